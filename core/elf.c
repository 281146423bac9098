/* elf.c - is a module's file whole?  glibc maps what the headers promise without looking at the
 * file's size; the first access behind the end of a truncated file is then a SIGBUS (seen with
 * glibc 2.36).  Not an ELF file: dlopen() tells. */
#include "story.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined __has_include
#if __has_include(<elf.h>)
#define HAVE_ELF 1
#endif
#endif

#ifdef HAVE_ELF
#include <elf.h>
#if UINTPTR_MAX > 0xffffffffu
typedef Elf64_Ehdr header;
typedef Elf64_Phdr segment;
enum { NATIVE = ELFCLASS64 };
#else
typedef Elf32_Ehdr header;
typedef Elf32_Phdr segment;
enum { NATIVE = ELFCLASS32 };
#endif
enum { MOST_SEGMENTS = 256 };

static bool ends_within(uint64_t start, uint64_t n, uint64_t size)
{
  return start <= size && n <= size - start;
}

typedef struct head { /* the first page, which holds all headers of an ordinary module */
  int fd;
  ssize_t got;
  unsigned char page[4096];
} head;

static bool read_at(const head *f, uint64_t at, void *out, size_t n)
{
  if (f->got >= 0 && ends_within(at, n, (uint64_t)f->got)) {
    memcpy(out, f->page + at, n);
    return true;
  }
  return at <= INT64_MAX && pread(f->fd, out, n, (off_t)at) == (ssize_t)n;
}

/* Every loaded segment and the table of sections, which linkers write last. */
static bool whole(int fd, uint64_t size)
{
  header h;
  segment s;
  head f = {.fd = fd};
  f.got = pread(fd, f.page, sizeof f.page, 0);
  if (f.got < SELFMAG || memcmp(f.page, ELFMAG, SELFMAG) != 0) return true;
  if (!read_at(&f, 0, &h, sizeof h)) return false;
  if (h.e_ident[EI_CLASS] != NATIVE) return true; /* dlopen() refuses it */
  if (h.e_phentsize != sizeof s || h.e_phnum > MOST_SEGMENTS) return true; /* and those */
  if (h.e_shoff && !ends_within(h.e_shoff, (uint64_t)h.e_shentsize * h.e_shnum, size)) return false;
  for (uint64_t i = 0; i < h.e_phnum; i++) {
    if (!ends_within(h.e_phoff, (i + 1) * sizeof s, size)) return false;
    if (!read_at(&f, h.e_phoff + i * sizeof s, &s, sizeof s)) return false;
    if (s.p_type == PT_LOAD && !ends_within(s.p_offset, s.p_filesz, size)) return false;
  }
  return true;
}
#endif

lrp_status lrp_check_whole(lrp_ctx *ctx, const char *path)
{
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || fstat(fd, &st) != 0) {
    int why = errno;
    if (fd >= 0) close(fd);
    return lrp_fail(ctx, LRP_E_INPUT, "%s: %s", path, strerror(why));
  }
  bool good = true;
#ifdef HAVE_ELF
  good = whole(fd, (uint64_t)st.st_size);
#endif
  close(fd);
  if (good) return LRP_OK;
  return lrp_fail(ctx, LRP_E_ABI,
                  "%s: the file is cut off after %lld bytes; copy or build it again", path,
                  (long long)st.st_size);
}
