/* lrp/vector.h - loops that are compiled twice, and functions that a compiler can put into vectors.
 *
 * A library for any processor of its kind is built for the oldest one, whose vectors are short.  LRP_TWICE gives a loop
 * a second form for wider ones and asks the processor which to run.  Both do the same operations on each element; only
 * sums may be taken in another order.  Nothing here is needed to write a plugin. */
#ifndef LRP_VECTOR_H
#define LRP_VECTOR_H
#include "lrp/plugin.h"
#include <math.h>
#include <string.h>

/* NAME PARAMS, from NAME_any PARAMS, which LRP_LOOP defines before:
 *
 *   LRP_LOOP void twice_any(const lrp_real *x, int64_t n, lrp_real *y)
 *   {
 *   #pragma omp simd
 *     for (int64_t i = 0; i < n; i++)
 *       y[i] = 2 * x[i];
 *   }
 *   LRP_TWICE(void, twice, (const lrp_real *x, int64_t n, lrp_real *y), (x, n, y)) */
#define LRP_LOOP static inline __attribute__((always_inline, unused))
/* Among the attributes of a function: it may multiply and add in one step, which -std=c11 forbids GCC. */
#ifdef __clang__
#pragma STDC FP_CONTRACT ON
#define LRP_CONTRACT
#else
#define LRP_CONTRACT optimize("fp-contract=fast"),
#endif
#if defined __x86_64__ && !defined __AVX2__
#define LRP_TWICE(RETURN, NAME, PARAMS, ARGS)                                                     \
  __attribute__((target("avx2"), unused)) static RETURN NAME##_wide PARAMS                         \
  {                                                                                                \
    return NAME##_any ARGS;                                                                       \
  }                                                                                                \
  __attribute__((unused)) static RETURN NAME PARAMS                                                \
  {                                                                                                \
    return __builtin_cpu_supports("avx2") ? NAME##_wide ARGS : NAME##_any ARGS;                   \
  }
#else
#define LRP_TWICE(RETURN, NAME, PARAMS, ARGS)                                                     \
  __attribute__((unused)) static RETURN NAME PARAMS                                                \
  {                                                                                                \
    return NAME##_any ARGS;                                                                       \
  }
#endif

#ifdef LRP_REAL_DOUBLE
typedef int64_t lrp_bits;
#else
typedef int32_t lrp_bits;
#endif

/* yes ? a : b without a branch: where GCC sees one it may forget vectors. */
LRP_LOOP lrp_real lrp_select(int yes, lrp_real a, lrp_real b)
{
  lrp_bits x, y;
  const lrp_bits mask = -(lrp_bits)yes;
  memcpy(&x, &a, sizeof x);
  memcpy(&y, &b, sizeof y);
  x = (x & mask) | (y & ~mask);
  memcpy(&a, &x, sizeof a);
  return a;
}

/* ---- e^x, and P(Z < x) of a normal Z ---- */

#ifdef LRP_REAL_DOUBLE
LRP_LOOP lrp_real lrp_exp(lrp_real x)
{
  return exp(x);
}
LRP_LOOP lrp_real lrp_normal(lrp_real x)
{
  return 0.5 * erfc(-0.70710678118654752440 * x);
}
#else
LRP_LOOP float lrp_two_to(int32_t n) /* -126 to 127 */
{
  const uint32_t bits = (uint32_t)(n + 127) << 23; /* of any n where NaN came in */
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

/* x = n ln 2 + r with |r| <= ln 2 / 2, e^x = 2^n e^r, ln 2 in two parts (Cody & Waite 1980, "Software Manual for the
 * Elementary Functions"), e^r by a polynomial fitted for the least largest error; within 1 ulp.  Adding 1.5 * 2^23
 * rounds to a whole number and leaves it in the low bits.  From -104 on it is 0; too large is infinite; NaN stays. */
LRP_LOOP float lrp_exp(float x)
{
  const float round = 12582912.0f, low = lrp_select(x < -104, -104, x);
  const float c = lrp_select(low > 89, 89, low);
  const float t = c * 1.44269504f + round, whole = t - round;
  const float r = (c - whole * 0.693359375f) + whole * 2.12194440e-4f;
  const float p = 0.49999994f + r * (0.1666652f + r * (0.041668393f + r * (0.008368781f + r * 0.0013814467f)));
  int32_t bits;
  memcpy(&bits, &t, sizeof bits);
  const int32_t n = bits - 0x4b400000, half = n >> 1; /* two steps: 2^n alone may be too small or too large */
  return (1 + (r + r * r * p)) * lrp_two_to(half) * lrp_two_to(n - half);
}

/* P(Z < -v) = e^(-v^2/2) g(1 / (1 + 0.3 v)) for v >= 0, where g is a polynomial fitted for the least largest relative
 * error, 6e-8: the form of Hastings 1955, "Approximations for Digital Computers".  Within 1e-6 of the value itself down
 * to x = -5, where 1 + erf(x / sqrt 2) has lost all its digits. */
LRP_LOOP float lrp_normal(float x)
{
  const float v = fabsf(x), t = 1 / (1 + 0.3f * v);
  const float g =
      7.2617936e-06f +
      t * (0.119486101f +
           t * (0.121931694f +
                t * (0.0946390778f +
                     t * (0.142639995f +
                          t * (-0.0766578987f +
                               t * (0.228792578f + t * (-0.169230297f + t * 0.0383915007f)))))));
  const float tail = lrp_exp(-0.5f * v * v) * g;
  return lrp_select(x < 0, tail, 1 - tail);
}
#endif
#endif
