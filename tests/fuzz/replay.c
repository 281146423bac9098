/* replay.c - runs a fuzzer over the files and folders given as arguments: the corpus is tested
 * without libFuzzer. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw() */
#endif
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An exact block, so that a sanitizer sees each byte read past the end. */
static int replay(const char *path, const struct stat *s, int kind, struct FTW *where)
{
  const size_t n = (size_t)s->st_size;
  (void)where;
  if (kind != FTW_F) return 0;
  FILE *in = fopen(path, "rb");
  uint8_t *data = malloc(n ? n : 1);
  if (!in || !data || fread(data, 1, n, in) != n) {
    perror(path);
    exit(1);
  }
  LLVMFuzzerTestOneInput(data, n);
  free(data);
  fclose(in);
  return 0;
}

int main(int argc, char **argv)
{
  for (int i = 1; i < argc; i++)
    if (nftw(argv[i], replay, 16, FTW_PHYS)) return perror(argv[i]), 1;
  return 0;
}
