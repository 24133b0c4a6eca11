/*
 * Stands between a program and its disk (LD_PRELOAD): counts the calls that change files below a folder, writes down each
 * of them with its data, and makes one of them, or all from one on, fail. All by environment variables:
 *
 *   FAULTY_ROOT   the folder; other files are left alone
 *   FAULTY_LOG    where the calls are written down, if at all
 *   FAULTY_ACKS   a file of what the program was told; written down too, never counted, never failing
 *   FAULTY_CALL   number of the call that fails, from 1
 *   FAULTY_KIND   an errno, or one of the numbers below
 *   FAULTY_REST   1: all later calls fail as well
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { SHORT_WRITE = 1001, KILL_BEFORE = 1002, KILL_AFTER = 1003 };

#define MOST_FILES 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *paths[MOST_FILES];
static const char *root, *acks;
static long calls, faulty_call;
static int kind, rest, log_fd = -1;

__attribute__((constructor)) static void prepare(void) {
	root = getenv("FAULTY_ROOT");
	acks = getenv("FAULTY_ACKS");
	const char *call = getenv("FAULTY_CALL"), *what = getenv("FAULTY_KIND"), *log = getenv("FAULTY_LOG");
	faulty_call = call ? atol(call) : 0;
	kind = what ? atoi(what) : 0;
	rest = getenv("FAULTY_REST") != NULL;
	if (log) log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_meant(const char *path) {
	return root && path && strncmp(path, root, strlen(root)) == 0;
}

static const char *path_of(int fd) {
	return fd >= 0 && fd < MOST_FILES ? paths[fd] : NULL;
}

static void put(const void *data, size_t size) {
	for (const char *at = data; size > 0;) {
		ssize_t written = syscall(SYS_write, log_fd, at, size);
		if (written < 0) abort();
		at += written;
		size -= (size_t)written;
	}
}

/* Fixed head, then the path, then the data (or the new path of a rename). */
struct head { uint32_t op, path_size; int64_t offset, size; };

static void note(char op, const char *path, int64_t offset, const void *data, int64_t size, int has_data) {
	if (log_fd < 0) return;
	struct head head = {(uint32_t)op, (uint32_t)strlen(path), offset, size};
	put(&head, sizeof head);
	put(path, head.path_size);
	if (has_data) put(data, (size_t)size);
}

/* What is to become of this call: 0 if nothing is to. Called with the lock held. */
static int fate(void) {
	long call = ++calls;
	int is_faulty = faulty_call > 0 && (call == faulty_call || (rest && call > faulty_call));
	if (!is_faulty) return 0;
	if (kind == KILL_BEFORE) kill(getpid(), SIGKILL);
	return kind;
}

static void after(int what) {
	if (what == KILL_AFTER) kill(getpid(), SIGKILL);
}

static int is_errno(int what) {
	return what > 0 && what < SHORT_WRITE;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* A call on a path or file that only succeeds or not. */
#define PLAIN(op, path, offset, data, size, has_data, perform) do { \
	pthread_mutex_lock(&lock); \
	int what = fate(); \
	int result = -1; \
	if (is_errno(what)) errno = what; \
	else { \
		result = (perform); \
		int saved = errno; \
		if (result >= 0) note(op, path, offset, data, size, has_data); \
		after(what); \
		errno = saved; \
	} \
	pthread_mutex_unlock(&lock); \
	return result; \
} while (0)

static int opened(int (*perform)(int, const char *, int, mode_t), int folder, const char *path, int flags, mode_t mode) {
	int is_ack = acks && path && strcmp(path, acks) == 0;
	if (!is_ack && !is_meant(path)) return perform(folder, path, flags, mode);
	pthread_mutex_lock(&lock);
	int creates = (flags & O_CREAT) != 0 && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
	/* Only to read is no change. */
	int what = is_ack || (flags & O_ACCMODE) == O_RDONLY ? 0 : fate();
	int result = -1;
	if (is_errno(what)) errno = what;
	else {
		result = perform(folder, path, flags, mode);
		int saved = errno;
		if (result >= 0 && result < MOST_FILES) {
			free(paths[result]);
			paths[result] = strdup(path);
			if (!is_ack && (flags & O_ACCMODE) != O_RDONLY) note(creates ? 'c' : 'o', path, 0, NULL, 0, 0);
		}
		after(what);
		errno = saved;
	}
	pthread_mutex_unlock(&lock);
	return result;
}

static int real_open(int folder, const char *path, int flags, mode_t mode) {
	return (int)syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode);
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest_; va_start(rest_, flags); mode = va_arg(rest_, mode_t); va_end(rest_); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(real_open, AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(real_open, AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(real_open, folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(real_open, folder, path, flags, mode); }

int close(int fd) {
	REAL(int, "close", int);
	if (path_of(fd)) {
		pthread_mutex_lock(&lock);
		free(paths[fd]);
		paths[fd] = NULL;
		pthread_mutex_unlock(&lock);
	}
	return real(fd);
}

static ssize_t written(int fd, const void *data, size_t size, off_t offset) {
	const char *path = path_of(fd);
	int is_appended = offset < 0;
	if (!path) return is_appended ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
	pthread_mutex_lock(&lock);
	int is_ack = acks && strcmp(path, acks) == 0;
	int what = is_ack ? 0 : fate();
	ssize_t result = -1;
	if (is_errno(what)) errno = what;
	else {
		if (what == SHORT_WRITE && size > 1) size /= 2;
		if (is_appended) offset = (fcntl(fd, F_GETFL) & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
		result = is_appended ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
		int saved = errno;
		if (result > 0) note(is_ack ? 'a' : 'w', path, offset, data, result, 1);
		after(what);
		errno = saved;
	}
	pthread_mutex_unlock(&lock);
	return result;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return written(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return written(fd, data, size, offset); }

int fsync(int fd) {
	const char *path = path_of(fd);
	if (!path) return (int)syscall(SYS_fsync, fd);
	PLAIN('s', path, 0, NULL, 0, 0, (int)syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
	const char *path = path_of(fd);
	if (!path) return (int)syscall(SYS_fdatasync, fd);
	PLAIN('s', path, 0, NULL, 0, 0, (int)syscall(SYS_fdatasync, fd));
}

static int truncated(int fd, off_t size) {
	const char *path = path_of(fd);
	if (!path) return (int)syscall(SYS_ftruncate, fd, size);
	PLAIN('t', path, size, NULL, 0, 0, (int)syscall(SYS_ftruncate, fd, size));
}

int ftruncate(int fd, off_t size) { return truncated(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncated(fd, size); }

int unlink(const char *path) {
	if (!is_meant(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	PLAIN('u', path, 0, NULL, 0, 0, (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int unlinkat(int folder, const char *path, int flags) {
	if (!is_meant(path)) return (int)syscall(SYS_unlinkat, folder, path, flags);
	PLAIN('u', path, 0, NULL, 0, 0, (int)syscall(SYS_unlinkat, folder, path, flags));
}

int remove(const char *path) {
	REAL(int, "remove", const char *);
	if (!is_meant(path)) return real(path);
	PLAIN('u', path, 0, NULL, 0, 0, real(path));
}

int rename(const char *from, const char *to) {
	if (!is_meant(from)) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	PLAIN('r', from, 0, to, (int64_t)strlen(to), 1, (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int mkdir(const char *path, mode_t mode) {
	if (!is_meant(path)) return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
	PLAIN('m', path, 0, NULL, 0, 0, (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
