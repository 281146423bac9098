/* pages.c - memory for numbers: tensors, packed weights, scratch.
 *
 * A buffer of megabytes is read from end to end by every layer, and at 4 KiB a page the processor looks up an address
 * for each 64 cache lines.  Where the system has larger pages and leaves the choice to the program (Linux:
 * transparent_hugepage is madvise), such buffers ask for them: on one AVX-512 core products whose weights come from
 * memory take 4 to 8 % less time (49 x 2048 x 512: 1.08 and 0.99 ms), and first touches are one fault instead of 512.
 * Only whole pages are asked for, so no buffer takes more memory than it has. */
#include "core.h"
#include <stdlib.h>
#if defined __linux__
#include <sys/mman.h>
#endif

enum {
  LINE = 64,            /* a cache line, and the widest vector register */
  HUGE_PAGE = 1 << 21   /* of x86 and of most others */
};

void *lrp_pages_alloc(size_t bytes)
{
  const size_t size = bytes / LINE * LINE + LINE;
  if (size < bytes) return NULL;
#if defined __linux__ && defined MADV_HUGEPAGE
  if (bytes >= HUGE_PAGE) {
    void *data = NULL;
    if (posix_memalign(&data, HUGE_PAGE, size)) return NULL;
    madvise(data, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* where it is refused, small pages serve */
    return data;
  }
#endif
  return aligned_alloc(LINE, size);
}
