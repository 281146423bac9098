/* lrp/threads.h - loops that several threads share where that is worth it: LRP_THREADS(many, for (...) ...).
 *
 * "omp parallel for if (many)" makes a team of one thread where it is not, and ends it by a system call: half a
 * microsecond, in each of a hundred loops of a small model.  Nothing here is needed to write a plugin. */
#ifndef LRP_THREADS_H
#define LRP_THREADS_H
#define LRP_PRAGMA(text) _Pragma(#text)
#define LRP_THREADS(many, ...) \
  do { \
    if (many) { \
      LRP_PRAGMA(omp parallel for) \
      __VA_ARGS__ \
    } else { \
      __VA_ARGS__ \
    } \
  } while (0)
#define LRP_THREADS_SIMD(many, ...) \
  do { \
    if (many) { \
      LRP_PRAGMA(omp parallel for simd) \
      __VA_ARGS__ \
    } else { \
      LRP_PRAGMA(omp simd) __VA_ARGS__ \
    } \
  } while (0)
#define LRP_THREADS_AS(clause, many, ...) \
  do { \
    if (many) { \
      LRP_PRAGMA(omp parallel for clause) \
      __VA_ARGS__ \
    } else { \
      __VA_ARGS__ \
    } \
  } while (0)
#endif
