/* A library to preload into the measured processes. It counts in the file that FAENA_BENCH_SYNCS names, for all processes
   together: calls of fsync and fdatasync, their nanoseconds, and calls of nanosleep. SQLite sleeps while another connection writes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct counts {
	uint64_t syncs, sync_nanoseconds, sleeps;
};

static struct counts *counts;

__attribute__((constructor)) static void begin(void) {
	const char *path = getenv("FAENA_BENCH_SYNCS");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (file < 0) return;
	void *memory = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (memory != MAP_FAILED) counts = memory;
}

static void add(uint64_t *number, uint64_t amount) {
	__atomic_add_fetch(number, amount, __ATOMIC_RELAXED);
}

static uint64_t nanoseconds(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int counted(const char *name, int file) {
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	if (!counts) return real(file);
	uint64_t start = nanoseconds();
	int result = real(file);
	add(&counts->sync_nanoseconds, nanoseconds() - start);
	add(&counts->syncs, 1);
	return result;
}

int fsync(int file) { return counted("fsync", file); }
int fdatasync(int file) { return counted("fdatasync", file); }

int nanosleep(const struct timespec *wanted, struct timespec *rest) {
	int (*real)(const struct timespec *, struct timespec *) = (int (*)(const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "nanosleep");
	if (counts) add(&counts->sleeps, 1);
	return real(wanted, rest);
}
