/* recurrent_act.h - sigmoid and tanh in vectors of BYTES, see recurrent_kernel.h, which includes this file for each
 * width.  NAME and TARGET are its parameters. */

typedef float NAME(fvec) __attribute__((vector_size(BYTES), aligned(sizeof(float)), may_alias));
typedef int32_t NAME(ivec) __attribute__((vector_size(BYTES), may_alias));
#define VEC NAME(fvec)
#define IVEC NAME(ivec)
enum { NAME(act_lanes) = BYTES / (int)sizeof(float) };
#define SELECT(mask, a, b) ((VEC)(((mask) & (IVEC)(a)) | (~(mask) & (IVEC)(b))))

/* x = exp(x) within 2 units in the last place: x = n ln 2 + r, a polynomial for r (Cephes' expf,
 * S. Moshier). */
LRP_LOOP void NAME(exp_of)(VEC *x)
{
  const VEC high = (VEC){0} + 88, shift = (VEC){0} + 12582912.0f; /* 1.5 * 2^23 */
  VEC v = SELECT(*x > high, high, *x);
  v = SELECT(v < -high + 1, -high + 1, v);
  const VEC moved = v * 1.44269504088896341f + shift, n = moved - shift;
  const VEC r = v - n * 0.693359375f + n * 2.12194440e-4f;
  const VEC p =
      ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) *
           r +
       1.6666665459e-1f) *
          r +
      5.0000001201e-1f;
  const IVEC power = ((IVEC)moved - (IVEC)shift + 127) << 23;
  *x = (p * r * r + r + 1) * (VEC)power;
}

LRP_LOOP void NAME(sigmoid_of)(VEC *x)
{
  *x = -*x;
  NAME(exp_of)(x);
  *x = 1 / (1 + *x);
}

/* Near 0 a polynomial (Cephes' tanhf), else 1 - 2 / (exp(2 |x|) + 1). */
LRP_LOOP void NAME(tanh_of)(VEC *x)
{
  const IVEC sign = (IVEC)*x & INT32_MIN;
  const VEC size = (VEC)((IVEC)*x & INT32_MAX), z = *x * *x;
  const VEC near = ((((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z +
                     1.33314422036e-1f) *
                        z -
                    3.33332819422e-1f) *
                       z * *x +
                   *x;
  VEC far = size + size;
  NAME(exp_of)(&far);
  far = 1 - 2 / (far + 1);
  *x = SELECT(size < 0.625f, near, (IVEC)far | sign);
}

LRP_LOOP void NAME(act_vec)(int which, VEC *x)
{
  if (which == ACT_SIGMOID)
    NAME(sigmoid_of)(x);
  else
    NAME(tanh_of)(x);
}

/* y is not a. */
LRP_LOOP void NAME(act_rows)(int which, const lrp_real *a, int64_t n, lrp_real *y)
{
  lrp_real rest[NAME(act_lanes)] = {0};
  int64_t i = 0;
  for (; i + NAME(act_lanes) <= n; i += NAME(act_lanes)) {
    VEC x = *(const VEC *)(const void *)(a + i);
    NAME(act_vec)(which, &x);
    *(VEC *)(void *)(y + i) = x;
  }
  if (i == n) return;
  if (i) { /* the last vector reaches back, over values it writes once more */
    VEC x = *(const VEC *)(const void *)(a + n - NAME(act_lanes));
    NAME(act_vec)(which, &x);
    *(VEC *)(void *)(y + n - NAME(act_lanes)) = x;
    return;
  }
  memcpy(rest, a + i, (size_t)(n - i) * sizeof *rest);
  VEC x = *(const VEC *)(const void *)rest;
  NAME(act_vec)(which, &x);
  memcpy(rest, &x, sizeof rest);
  memcpy(y + i, rest, (size_t)(n - i) * sizeof *rest);
}
#if defined __x86_64__ && !defined __AVX2__
__attribute__((LRP_CONTRACT target(TARGET))) static void NAME(act_rows_wide)(int which, const lrp_real *a, int64_t n,
                                                                         lrp_real *y)
{
  NAME(act_rows)(which, a, n, y);
}
#endif
#undef SELECT
#undef VEC
#undef IVEC
#undef BYTES
#undef NAME
#undef TARGET
