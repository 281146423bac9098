/* file.c - files as memory, files written whole, and SHA-256 (nettle). */
#include "core.h"
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

/* The size of an open file that can be mapped. */
static lrp_status check_file(lrp_ctx *ctx, int fd, const char *path, const char *what, size_t limit,
                             size_t *size)
{
  struct stat s;
  if (fstat(fd, &s)) return lrp_fail(ctx, LRP_E_INPUT, "%s: %s", path, strerror(errno));
  if (S_ISDIR(s.st_mode))
    return lrp_fail(ctx, LRP_E_INPUT, "%s: a folder; %s was expected", path, what);
  if (!S_ISREG(s.st_mode))
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: a device, pipe or socket; %s in a regular file was expected", path, what);
  if (s.st_size <= 0)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: the file is empty; %s was expected", path, what);
  if ((uint64_t)s.st_size > LRP_MAX_BYTES || (limit && (uint64_t)s.st_size > limit))
    return lrp_fail(ctx, LRP_E_INPUT, "%s: %lld bytes; at most %zu were expected of %s", path,
                    (long long)s.st_size, limit ? limit : LRP_MAX_BYTES, what);
  *size = (size_t)s.st_size;
  return LRP_OK;
}

lrp_status lrp_file_open(lrp_ctx *ctx, const char *path, const char *what, size_t limit,
                         lrp_file *out)
{
  size_t size = 0;
  *out = (lrp_file){0};
  int fd =
      open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe nobody writes must not hang us */
  if (fd < 0)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: %s could not be opened: %s", path, what,
                    strerror(errno));
  lrp_status st = check_file(ctx, fd, path, what, limit, &size);
  if (!st) {
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
      st =
          lrp_fail(ctx, LRP_E_INPUT, "%s: %s could not be mapped: %s", path, what, strerror(errno));
    else
      *out = (lrp_file){data, size};
  }
  close(fd);
  return st;
}

void lrp_file_close(lrp_file *file)
{
  /* munmap() takes no const pointer, though the pages are read-only */
  if (file->data) munmap((void *)(uintptr_t)file->data, file->size);
  *file = (lrp_file){0};
}

void lrp_file_unload(const lrp_file *file)
{
#ifdef MADV_DONTNEED
  if (file->data) madvise((void *)(uintptr_t)file->data, file->size, MADV_DONTNEED);
#else
  (void)file;
#endif
}

/* ---- writing ---- */

enum { TEMPORARY_TRIES = 100 }; /* names left over by killed programs of the same process id */

/* A new file beside path; its name is malloc'ed. */
static int open_temporary(const char *path, char **name)
{
  size_t room = strlen(path) + 40;
  int fd = -1;
  *name = malloc(room);
  for (int i = 0; *name && i < TEMPORARY_TRIES && fd < 0; i++) {
    snprintf(*name, room, "%s.%ld-%d.tmp", path, (long)getpid(), i);
    fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) break;
  }
  return fd;
}

static bool write_all(int fd, const uint8_t *data, size_t n)
{
  while (n > 0) {
    ssize_t done = write(fd, data, n);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return false;
    data += done;
    n -= (size_t)done;
  }
  return fsync(fd) == 0;
}

lrp_status lrp_file_write(lrp_ctx *ctx, const char *path, const void *data, size_t n)
{
  struct stat s;
  char *name = NULL;
  if (!stat(path, &s) &&
      !S_ISREG(s.st_mode)) /* rename() would put a file in the place of /dev/null */
    return lrp_fail(ctx, LRP_E_IO, "%s: not a regular file; it is not overwritten", path);
  int fd = open_temporary(path, &name);
  int error = fd < 0 ? (name ? errno : ENOMEM) : 0;
  if (fd >= 0) {
    if (!write_all(fd, data, n)) error = errno;
    if (close(fd) && !error) error = errno;
    if (!error && rename(name, path)) error = errno;
    if (error) unlink(name);
  }
  free(name);
  return error ? lrp_fail(ctx, LRP_E_IO, "%s: writing failed: %s", path, strerror(error)) : LRP_OK;
}

/* ---- SHA-256 ---- */

void lrp_sha256(const void *data, size_t n, char hex[65])
{
  static const char digits[] = "0123456789abcdef";
  struct sha256_ctx hash;
  uint8_t digest[SHA256_DIGEST_SIZE];
  sha256_init(&hash);
  sha256_update(&hash, n, data);
  sha256_digest(&hash, sizeof digest, digest);
  for (size_t i = 0; i < sizeof digest; i++) {
    hex[2 * i] = digits[digest[i] >> 4];
    hex[2 * i + 1] = digits[digest[i] & 15];
  }
  hex[64] = '\0';
}

lrp_status lrp_sha256_file(lrp_ctx *ctx, const char *path, char hex[65])
{
  lrp_file file;
  lrp_status st = lrp_file_open(ctx, path, "a file to take the SHA-256 of", 0, &file);
  if (!st) lrp_sha256(file.data, file.size, hex);
  lrp_file_close(&file);
  return st;
}
