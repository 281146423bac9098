/* kernel_chance.h - random problems for the suites of kernels; the seed is in each message. */
#ifndef LRP_KERNEL_CHANCE_H
#define LRP_KERNEL_CHANCE_H
#include "kernel_problem.h"
#include <math.h>

enum { TRIALS = 60 };
static const uint64_t first_seed = 20240611;

typedef struct chance {
  uint64_t state, seed;
} chance;

static inline uint64_t next(chance *c) /* xorshift64*, Vigna 2016 */
{
  c->state ^= c->state >> 12;
  c->state ^= c->state << 25;
  c->state ^= c->state >> 27;
  return c->state * UINT64_C(0x2545F4914F6CDD1D) >> 11;
}

static inline int64_t between(chance *c, int64_t least, int64_t most)
{
  return least + (int64_t)(next(c) % (uint64_t)(most - least + 1));
}

static inline chance chance_of(int trial)
{
  const uint64_t seed = first_seed + (uint64_t)trial;
  return (chance){.state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1, .seed = seed};
}

/* Random values in -1..1, with some exact zeros. */
static inline lrp_tensor tensor(chance *c, int32_t rank, const int64_t *shape)
{
  const lrp_tensor t = problem_tensor(rank, shape);
  for (int64_t i = 0, n = lrp_count(&t); i < n; i++)
    lrp_reals(&t)[i] = next(c) % 8 == 0 ? 0 : (lrp_real)((double)(next(c) % 20001) / 10000 - 1);
  return t;
}

/* What the kernels must overwrite. */
static inline void spoil(const lrp_tensor *t)
{
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    lrp_reals(t)[i] = (lrp_real)1e30;
}

static inline void close_to(const chance *c, const char *what, const lrp_tensor *got, const double *want,
                     double terms)
{
  const double tolerance = (sizeof(lrp_real) == 8 ? 1e-14 : 3e-6) * (4 + sqrt(terms));
  int64_t worst = 0;
  double most = 0;
  for (int64_t i = 0, n = lrp_count(got); i < n; i++) {
    const double e = fabs((double)lrp_reals(got)[i] - want[i]);
    if (!(e <= most) && most >= 0) worst = i, most = e; /* a NaN too, and it stays */
  }
  ck_assert_msg(most <= tolerance, "%s: seed %llu, element %lld: %.9g, not %.9g", what,
                (unsigned long long)c->seed, (long long)worst, (double)lrp_reals(got)[worst],
                want[worst]);
}

static inline double *doubles(const lrp_tensor *t)
{
  double *v = calloc((size_t)lrp_count(t) + 1, sizeof *v);
  ck_assert_ptr_nonnull(v);
  return v;
}

/* Mostly one thread: threads that wait for each other make small problems slow on a busy machine.
 */
static inline lrp_ctx *context(int trial)
{
  lrp_ctx *ctx;
  lrp_set_threads(trial % 8 == 7 ? 2 : 1);
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  return ctx;
}
#endif
