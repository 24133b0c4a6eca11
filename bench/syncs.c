/* Preloaded into whatever is measured: counts fsync and fdatasync, of all processes, in the file that FAENA_BENCH_SYNCS names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t *counter;

__attribute__((constructor)) static void begin(void) {
	const char *path = getenv("FAENA_BENCH_SYNCS");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (file < 0) return;
	void *memory = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (memory != MAP_FAILED) counter = memory;
}

static int counted(const char *name, int file) {
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	if (counter) __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
	return real(file);
}

int fsync(int file) { return counted("fsync", file); }
int fdatasync(int file) { return counted("fdatasync", file); }
