/* test_kernel.c - products and convolutions: plain C against loops written from the definition,
 * oneDNN against plain C, and a convolution's transposed map against <u, conv v> = <convT u, v>.
 * Sizes are random; the seed is in each message. */
#include "kernel_problem.h"
#include <math.h>

enum { TRIALS = 60 };
static const uint64_t first_seed = 20240611;

typedef struct chance {
  uint64_t state, seed;
} chance;

static uint64_t next(chance *c) /* xorshift64*, Vigna 2016 */
{
  c->state ^= c->state >> 12;
  c->state ^= c->state << 25;
  c->state ^= c->state >> 27;
  return c->state * UINT64_C(0x2545F4914F6CDD1D) >> 11;
}

static int64_t between(chance *c, int64_t least, int64_t most)
{
  return least + (int64_t)(next(c) % (uint64_t)(most - least + 1));
}

static chance chance_of(int trial)
{
  const uint64_t seed = first_seed + (uint64_t)trial;
  return (chance){.state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1, .seed = seed};
}

/* Random values in -1..1, with some exact zeros. */
static lrp_tensor tensor(chance *c, int32_t rank, const int64_t *shape)
{
  const lrp_tensor t = problem_tensor(rank, shape);
  for (int64_t i = 0, n = lrp_count(&t); i < n; i++)
    lrp_reals(&t)[i] = next(c) % 8 == 0 ? 0 : (lrp_real)((double)(next(c) % 20001) / 10000 - 1);
  return t;
}

/* What the kernels must overwrite. */
static void spoil(const lrp_tensor *t)
{
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    lrp_reals(t)[i] = (lrp_real)1e30;
}

static void close_to(const chance *c, const char *what, const lrp_tensor *got, const double *want,
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

static double *doubles(const lrp_tensor *t)
{
  double *v = calloc((size_t)lrp_count(t) + 1, sizeof *v);
  ck_assert_ptr_nonnull(v);
  return v;
}

/* Mostly one thread: threads that wait for each other make small problems slow on a busy machine.
 */
static lrp_ctx *context(int trial)
{
  lrp_ctx *ctx;
  lrp_set_threads(trial % 8 == 7 ? 2 : 1);
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  return ctx;
}

/* ---- products ---- */

static int64_t some_size(chance *c, int trial)
{
  static const int64_t special[] = {0, 1, 2, 3, 5, 6, 7, 15, 16, 17, 48, 49};
  return trial % 3 ? between(c, 1, 40) : special[next(c) % (sizeof special / sizeof *special)];
}

static product product_make(chance *c, int trial)
{
  product p = {.m = some_size(c, trial), .n = some_size(c, trial), .k = some_size(c, trial)};
  int64_t out[5], a[5], b[5];
  const int32_t batch = (int32_t)between(c, 0, 3), skip_a = (int32_t)between(c, 0, batch),
                skip_b = (int32_t)between(c, 0, skip_a ? 0 : batch);
  for (int32_t i = 0; i < batch; i++) {
    out[i] = between(c, trial % 7 == 0 ? 0 : 1, 3);
    const uint64_t one = next(c) % 4; /* which operand is broadcast along the axis */
    a[i] = one == 1 ? 1 : out[i];
    b[i] = one == 2 ? 1 : out[i];
    if ((one == 1 && i < skip_b) || (one == 2 && i < skip_a)) out[i] = 1, a[i] = b[i] = 1;
  }
  p.trans_a = (int)between(c, 0, 1);
  p.trans_b = (int)between(c, 0, 1);
  p.with_bias = between(c, 0, 1);
  out[batch] = p.m, out[batch + 1] = p.n;
  a[batch] = p.trans_a ? p.k : p.m, a[batch + 1] = p.trans_a ? p.m : p.k;
  b[batch] = p.trans_b ? p.n : p.k, b[batch + 1] = p.trans_b ? p.k : p.n;
  p.a = tensor(c, batch + 2 - skip_a, a + skip_a);
  p.b = tensor(c, batch + 2 - skip_b, b + skip_b);
  p.bias = tensor(c, 1, &p.n);
  p.out = tensor(c, batch + 2, out);
  return p;
}

/* Where the batch of out that holds element i starts in an operand. */
static const lrp_real *batch_of(const lrp_tensor *out, int64_t i, const lrp_tensor *t)
{
  int64_t rest = i, step = 1, at = 0;
  for (int32_t k = 0; k < out->rank; k++) {
    const int64_t size = out->shape[out->rank - 1 - k],
                  own = k < t->rank ? t->shape[t->rank - 1 - k] : 1;
    if (k >= 2 && own != 1) at += rest % size * step;
    step *= own;
    rest /= size;
  }
  return lrp_reals(t) + at;
}

/* From the definition: three loops. */
static double *product_naive(const product *p)
{
  double *z = doubles(&p->out);
  for (int64_t i = 0, n = lrp_count(&p->out); i < n; i++) {
    const lrp_real *a = batch_of(&p->out, i, &p->a), *b = batch_of(&p->out, i, &p->b);
    const int64_t row = i / p->n % p->m, col = i % p->n;
    z[i] = p->with_bias ? (double)lrp_reals(&p->bias)[col] : 0;
    for (int64_t k = 0; k < p->k; k++)
      z[i] += (double)(p->trans_a ? a[k * p->m + row] : a[row * p->k + k]) *
              (double)(p->trans_b ? b[col * p->k + k] : b[k * p->n + col]);
  }
  return z;
}

static void product_check(int which, int trial)
{
  lrp_ctx *ctx = context(trial);
  chance c = chance_of(trial);
  product p = product_make(&c, trial);
  double *want = product_naive(&p);
  for (int round = 0; round < 3; round++) { /* without a pack, at its first use, at its second */
    if (round == 1) lrp_ck_ok(ctx, lrp_pack_attach(ctx, &p.b));
    spoil(&p.out);
    lrp_ck_ok(ctx, product_run(ctx, which, &p));
    close_to(&c, "matmul", &p.out, want, (double)p.k);
  }
  lrp_pack_free(&p.b);
  free(want);
  product_free(&p);
  lrp_ctx_free(ctx);
}

START_TEST(matmul_in_plain_c_is_three_loops)
{
  product_check(LRP_KERNEL_PLAIN, _i);
}
END_TEST

START_TEST(matmul_by_choice_is_three_loops)
{
  product_check(LRP_KERNEL_AUTO, _i);
}
END_TEST

START_TEST(matmul_in_onednn_is_three_loops)
{
  product_check(LRP_KERNEL_DNNL, _i);
}
END_TEST

/* Large enough for several blocks, panels and threads. */
START_TEST(large_matmul_agrees_in_all_kernels)
{
  static const int64_t size[][3] = {{130, 259, 70}, {1, 700, 1000}, {3, 1000, 700},
                                    {1000, 3, 700}, {2000, 1, 900}, {150, 300, 300}};
  const int64_t m = size[_i][0], n = size[_i][1], k = size[_i][2];
  for (int trans = 0; trans < 4; trans++) {
    chance c = chance_of(_i);
    lrp_ctx *ctx = context(7);
    product p = {
        .m = m, .n = n, .k = k, .trans_a = trans & 1, .trans_b = trans >> 1, .with_bias = true};
    p.a = tensor(&c, 2, (int64_t[]){p.trans_a ? k : m, p.trans_a ? m : k});
    p.b = tensor(&c, 2, (int64_t[]){p.trans_b ? n : k, p.trans_b ? k : n});
    p.bias = tensor(&c, 1, &n);
    p.out = tensor(&c, 2, (int64_t[]){m, n});
    double *want = product_naive(&p);
    for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
      spoil(&p.out);
      lrp_ck_ok(ctx, product_run(ctx, which, &p));
      close_to(&c, "large matmul", &p.out, want, (double)k);
    }
    free(want);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

/* Which rows of a hold only zeros: none, all, all but one, the first or the last half, every third, few. */
static bool is_blank(int pattern, int64_t row, int64_t m)
{
  const bool blank[] = {false, true, row != 7, row < m / 2, row >= m / 2, row % 3 == 0, row % 20 == 0};
  return blank[pattern];
}

START_TEST(rows_of_zeros_give_the_bias_and_leave_others_as_they_are)
{
  enum { M = 43, N = 70, K = 500 };
  const int64_t n = N;
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
    lrp_ctx *ctx = context(7);
    chance c = chance_of(_i);
    product p = {.m = M, .n = N, .k = K, .trans_b = which % 2, .with_bias = _i % 2};
    p.a = tensor(&c, 2, (int64_t[]){M, K});
    p.b = tensor(&c, 2, (int64_t[]){p.trans_b ? N : K, p.trans_b ? K : N});
    p.bias = tensor(&c, 1, &n);
    p.out = tensor(&c, 2, (int64_t[]){M, N});
    for (int64_t i = 0; i < M; i++)
      if (is_blank(_i / 2, i, M)) memset(lrp_reals(&p.a) + i * K, 0, K * sizeof(lrp_real));
    double *want = product_naive(&p);
    spoil(&p.out);
    lrp_ck_ok(ctx, product_run(ctx, which, &p));
    close_to(&c, "rows of zeros", &p.out, want, K);
    free(want);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

/* Many matrices, as attention has them: y_bar b^T, and a^T y_bar, where y_bar has such rows in all of them; one row has
 * a number in the last only. */
START_TEST(rows_of_zeros_in_all_of_many_matrices)
{
  enum { B = 3, M = 50, N = 40, K = 300 };
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
    lrp_ctx *ctx = context(7);
    chance c = chance_of(_i);
    const bool depth = _i % 2;
    product p = {.m = depth ? N : M, .n = depth ? K : N, .k = depth ? M : K, .trans_a = depth, .trans_b = !depth};
    p.a = tensor(&c, 3, (int64_t[]){B, depth ? p.k : p.m, depth ? p.m : p.k});
    p.b = tensor(&c, 3, (int64_t[]){B, depth ? p.k : p.n, depth ? p.n : p.k});
    p.out = tensor(&c, 3, (int64_t[]){B, p.m, p.n});
    lrp_real *y_bar = lrp_reals(depth ? &p.b : &p.a);
    for (int64_t i = 0; i < B * M; i++)
      if (is_blank(_i / 2, i % M, M) && i != B * M - 3) memset(y_bar + i * K, 0, K * sizeof(lrp_real));
    double *want = product_naive(&p);
    spoil(&p.out);
    lrp_ck_ok(ctx, product_run(ctx, which, &p));
    close_to(&c, "rows of zeros in many", &p.out, want, (double)p.k);
    free(want);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

/* A square matrix has the same layout transposed: its packed forms must not be taken for each other. */
START_TEST(a_pack_serves_a_square_matrix_both_ways)
{
  enum { M = 64, N = 256 };
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
    lrp_ctx *ctx = context(7);
    chance c = chance_of(_i);
    product p = {.m = M, .n = N, .k = N};
    p.a = tensor(&c, 2, (int64_t[]){M, N});
    p.b = tensor(&c, 2, (int64_t[]){N, N});
    p.out = tensor(&c, 2, (int64_t[]){M, N});
    lrp_ck_ok(ctx, lrp_pack_attach(ctx, &p.b));
    for (int round = 0; round < 4; round++) {
      p.trans_b = (round + _i) % 2;
      double *want = product_naive(&p);
      spoil(&p.out);
      lrp_ck_ok(ctx, product_run(ctx, which, &p));
      close_to(&c, "square", &p.out, want, N);
      free(want);
    }
    lrp_pack_free(&p.b);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

START_TEST(matmul_of_shapes_that_do_not_fit_is_refused)
{
  lrp_ctx *ctx = context(7);
  chance c = chance_of(0);
  lrp_tensor a = tensor(&c, 2, (int64_t[]){2, 3}), b = tensor(&c, 2, (int64_t[]){4, 5}),
             out = tensor(&c, 2, (int64_t[]){2, 5}), deep = tensor(&c, 3, (int64_t[]){2, 3, 5}),
             shallow = tensor(&c, 3, (int64_t[]){3, 2, 5});
  lrp_ck_fails(ctx, LRP_E_SHAPE, "(2,3) and (4,5)",
               lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &b, 0, NULL, &out));
  lrp_ck_fails(ctx, LRP_E_SHAPE, "axis 3 from the end",
               lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &deep, 0, NULL, &shallow));
  free(a.data);
  free(b.data);
  free(out.data);
  free(deep.data);
  free(shallow.data);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(a_pack_serves_only_its_own_tensor)
{
  lrp_ctx *ctx = context(7);
  chance c = chance_of(0);
  lrp_tensor a = tensor(&c, 2, (int64_t[]){8, 4}), b = tensor(&c, 2, (int64_t[]){4, 6}),
             other = tensor(&c, 2, (int64_t[]){4, 6}), out = tensor(&c, 2, (int64_t[]){8, 6});
  lrp_ck_ok(ctx, lrp_pack_attach(ctx, &b));
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &b, 0, NULL, &out));
  lrp_tensor view = b; /* another's data behind a copied header */
  view.data = other.data;
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &view, 0, NULL, &out));
  product p = {.m = 8, .n = 6, .k = 4, .a = a, .b = other, .out = out};
  double *want = product_naive(&p);
  close_to(&c, "view", &out, want, 4);
  free(want);
  lrp_pack_free(&b);
  ck_assert_ptr_null(b.host);
  free(a.data);
  free(b.data);
  free(other.data);
  free(out.data);
  lrp_ctx_free(ctx);
}
END_TEST

/* ---- convolutions ---- */

static convolution conv_make(chance *c, int trial)
{
  convolution v = {.c = {.struct_size = sizeof v.c, .n_spatial = (uint32_t)between(c, 1, 3)}};
  const int64_t n = v.c.n_spatial, most = n == 3 ? 6 : n == 2 ? 12 : 40;
  const bool wide = trial % 4 == 0;
  v.c.group = between(c, 0, 2) ? 1 : between(c, 2, 4);
  const int64_t each_c = wide ? between(c, 15, 34) : between(c, 1, 4),
                each_o = wide ? between(c, 15, 34) : between(c, 1, 4);
  const bool depthwise = trial % 5 == 0;
  const int64_t channels = v.c.group * (depthwise ? 1 : each_c),
                out_channels = v.c.group * (depthwise ? 1 : each_o);
  int64_t x[5] = {between(c, trial % 9 == 0 ? 0 : 1, 3)},
          w[5] = {out_channels, channels / v.c.group}, y[5] = {x[0]};
  for (int64_t i = 0; i < n; i++) {
    v.c.stride[i] = between(c, 1, 3);
    v.c.dilation[i] = between(c, 1, 3);
    v.c.pad_lo[i] = between(c, 0, 3);
    v.c.pad_hi[i] = between(c, 0, 3);
    w[2 + i] = between(c, 1, n == 1 && trial % 3 == 0 ? 40 : 4);
    const int64_t span = (w[2 + i] - 1) * v.c.dilation[i] + 1,
                  least = span - v.c.pad_lo[i] - v.c.pad_hi[i];
    x[1 + i] = between(c, least < 1 ? 1 : least, (least < 1 ? 1 : least) + most);
    y[1 + i] = (x[1 + i] + v.c.pad_lo[i] + v.c.pad_hi[i] - span) / v.c.stride[i] + 1;
  }
  x[1 + n] = channels;
  y[1 + n] = out_channels;
  v.x = tensor(c, (int32_t)n + 2, x);
  v.w = tensor(c, (int32_t)n + 2, w);
  v.b = tensor(c, 1, &out_channels);
  v.y = tensor(c, (int32_t)n + 2, y);
  return v;
}

/* Element of x that kernel element `tap` reads for output position `at`; -1: padding. */
static int64_t conv_source(const convolution *v, int64_t sample, int64_t at, int64_t tap)
{
  const int32_t n = (int32_t)v->c.n_spatial;
  int64_t offset = 0, step = 1;
  for (int32_t i = n; i-- > 0;) {
    const int64_t size = v->x.shape[1 + i], k = tap % v->w.shape[2 + i], o = at % v->y.shape[1 + i];
    const int64_t s = o * v->c.stride[i] + k * v->c.dilation[i] - v->c.pad_lo[i];
    if (s < 0 || s >= size) return -1;
    offset += s * step;
    step *= size;
    tap /= v->w.shape[2 + i];
    at /= v->y.shape[1 + i];
  }
  return (sample * step + offset) * v->x.shape[n + 1];
}

static double *conv_naive(const convolution *v)
{
  const int64_t o = v->w.shape[0], c = v->w.shape[1], taps = o && c ? lrp_count(&v->w) / o / c : 0;
  const int64_t samples = v->y.shape[0], positions = samples ? lrp_count(&v->y) / samples / o : 0;
  double *z = doubles(&v->y);
  for (int64_t s = 0; s < samples; s++)
    for (int64_t at = 0; at < positions; at++)
      for (int64_t k = 0; k < o; k++) {
        double sum = (double)lrp_reals(&v->b)[k];
        for (int64_t t = 0; t < taps; t++) {
          const int64_t from = conv_source(v, s, at, t);
          for (int64_t i = 0; from >= 0 && i < c; i++)
            sum += (double)lrp_reals(&v->x)[from + k / (o / v->c.group) * c + i] *
                   (double)lrp_reals(&v->w)[(k * c + i) * taps + t];
        }
        z[(s * positions + at) * o + k] = sum;
      }
  return z;
}

static double inner(const lrp_tensor *a, const lrp_tensor *b)
{
  double s = 0;
  for (int64_t i = 0, n = lrp_count(a); i < n; i++)
    s += (double)lrp_reals(a)[i] * (double)lrp_reals(b)[i];
  return s;
}

/* Forward against the definition; the transposed map against the adjoint identity, without the
 * bias. */
static void conv_check(int which, int trial)
{
  lrp_ctx *ctx = context(trial);
  chance c = chance_of(trial);
  convolution v = conv_make(&c, trial);
  lrp_tensor u = tensor(&c, v.y.rank, v.y.shape), back = tensor(&c, v.x.rank, v.x.shape);
  double *want = conv_naive(&v);
  const double terms = (double)(lrp_count(&v.w) / v.w.shape[0]);
  for (int round = 0; round < 3; round++) {
    if (round == 1) lrp_ck_ok(ctx, lrp_pack_attach(ctx, &v.w));
    spoil(&v.y);
    lrp_ck_ok(ctx, lrp_conv_forward(ctx, which, &v.c, &v.x, &v.w, &v.b, &v.y));
    close_to(&c, "conv", &v.y, want, terms);
    lrp_ck_ok(ctx, lrp_conv_forward(ctx, which, &v.c, &v.x, &v.w, NULL, &v.y));
    spoil(&back);
    lrp_ck_ok(ctx, lrp_conv_backward(ctx, which, &v.c, &v.w, &u, &back));
    const double left = inner(&u, &v.y), right = inner(&back, &v.x);
    const double tolerance =
        (sizeof(lrp_real) == 8 ? 1e-13 : 2e-6) * (4 + sqrt(terms) * sqrt((double)lrp_count(&u)));
    ck_assert_msg(fabs(left - right) <= tolerance,
                  "seed %llu: <u, conv v> = %.9g, <convT u, v> = %.9g", (unsigned long long)c.seed,
                  left, right);
  }
  lrp_pack_free(&v.w);
  free(want);
  free(u.data);
  free(back.data);
  conv_free(&v);
  lrp_ctx_free(ctx);
}

START_TEST(conv_in_plain_c_is_its_definition_and_its_adjoint)
{
  conv_check(LRP_KERNEL_PLAIN, _i);
}
END_TEST

START_TEST(conv_by_choice_is_its_definition_and_its_adjoint)
{
  conv_check(LRP_KERNEL_AUTO, _i);
}
END_TEST

START_TEST(conv_in_onednn_is_its_definition_and_its_adjoint)
{
  conv_check(LRP_KERNEL_DNNL, _i);
}
END_TEST

/* Element by element, which the adjoint identity does not see. */
START_TEST(transposed_conv_agrees_in_all_kernels)
{
  lrp_ctx *ctx = context(_i);
  chance c = chance_of(_i);
  convolution v = conv_make(&c, _i);
  lrp_tensor plain = tensor(&c, v.x.rank, v.x.shape), other = tensor(&c, v.x.rank, v.x.shape);
  double *want = doubles(&plain);
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_PLAIN, &v.c, &v.w, &v.y, &plain));
  for (int64_t i = 0, n = lrp_count(&plain); i < n; i++)
    want[i] = (double)lrp_reals(&plain)[i];
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
    spoil(&other);
    lrp_ck_ok(ctx, lrp_conv_backward(ctx, which, &v.c, &v.w, &v.y, &other));
    close_to(&c, "transposed conv", &other, want, (double)(lrp_count(&v.w) / v.w.shape[0]));
  }
  free(want);
  free(plain.data);
  free(other.data);
  conv_free(&v);
  lrp_ctx_free(ctx);
}
END_TEST

/* A picture's first layer has a way of its own: large enough that AUTO takes it, with borders that are
 * cut and added, gaps between taps, with and without packed weights. */
START_TEST(transposed_conv_to_few_channels_agrees_with_plain_c)
{
  static const lrp_conv form[] = {
      {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}},
      {.stride = {2, 2}, .dilation = {1, 1}, .pad_lo = {3, 3}, .pad_hi = {2, 3}},
      {.stride = {1, 3}, .dilation = {2, 2}, .pad_lo = {0, 4}, .pad_hi = {1, 0}},
      {.stride = {3, 2}, .dilation = {1, 1}, .pad_lo = {-2, -1}, .pad_hi = {5, -3}}};
  chance c = chance_of(_i);
  lrp_ctx *ctx = context(7);
  lrp_conv g = form[_i];
  const int64_t channels = 2 + _i % 3, in[] = {2, 61, 97, channels}, o = 64, kernel = 3;
  int64_t out[] = {2, 0, 0, o};
  g.struct_size = sizeof g;
  g.n_spatial = 2;
  g.group = 1;
  for (int a = 0; a < 2; a++)
    out[1 + a] = (in[1 + a] + g.pad_lo[a] + g.pad_hi[a] - (kernel - 1) * g.dilation[a] - 1) / g.stride[a] + 1;
  lrp_tensor w = tensor(&c, 4, (int64_t[]){o, channels, kernel, kernel}), y = tensor(&c, 4, out),
             plain = tensor(&c, 4, in), other = tensor(&c, 4, in);
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_PLAIN, &g, &w, &y, &plain));
  double *want = doubles(&plain);
  for (int64_t i = 0, n = lrp_count(&plain); i < n; i++)
    want[i] = (double)lrp_reals(&plain)[i];
  for (int round = 0; round < 3; round++) {
    if (round == 1) lrp_ck_ok(ctx, lrp_pack_attach(ctx, &w));
    spoil(&other);
    lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_AUTO, &g, &w, &y, &other));
    close_to(&c, "transposed conv", &other, want, (double)(o * kernel * kernel));
  }
  lrp_pack_free(&w);
  free(want), free(w.data), free(y.data), free(plain.data), free(other.data);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(conv_of_shapes_that_do_not_fit_is_refused)
{
  lrp_ctx *ctx = context(7);
  chance c = chance_of(0);
  lrp_conv g = {
      .struct_size = sizeof g, .n_spatial = 1, .stride = {1}, .dilation = {1}, .group = 2};
  lrp_tensor x = tensor(&c, 3, (int64_t[]){1, 5, 4}), w = tensor(&c, 3, (int64_t[]){6, 4, 3}),
             y = tensor(&c, 3, (int64_t[]){1, 3, 6});
  lrp_ck_fails(ctx, LRP_E_SHAPE, "in 2 groups",
               lrp_conv_forward(ctx, LRP_KERNEL_AUTO, &g, &x, &w, NULL, &y));
  g.group = 1;
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_AUTO, &g, &x, &w, NULL, &y));
  g.stride[0] = 0;
  lrp_ck_fails(ctx, LRP_E_SHAPE, "conv: x (1,5,4)",
               lrp_conv_forward(ctx, LRP_KERNEL_AUTO, &g, &x, &w, NULL, &y));
  free(x.data);
  free(w.data);
  free(y.data);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(equal_problems_give_equal_bits)
{
  lrp_ctx *ctx = context(7);
  chance c = chance_of(0);
  const size_t bytes = 300 * 300 * sizeof(lrp_real);
  lrp_tensor a = tensor(&c, 2, (int64_t[]){300, 500}), b = tensor(&c, 2, (int64_t[]){500, 300}),
             first = tensor(&c, 2, (int64_t[]){300, 300}),
             second = tensor(&c, 2, (int64_t[]){300, 300});
  lrp_ck_ok(ctx, lrp_pack_attach(ctx, &b));
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &b, 0, NULL, &first));
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &b, 0, NULL, &second));
  ck_assert_mem_eq(first.data, second.data, bytes);
  lrp_set_threads(1); /* the number of threads changes who sums, not the order of sums */
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &b, 0, NULL, &first));
  lrp_set_threads(3);
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &b, 0, NULL, &second));
  ck_assert_mem_eq(first.data, second.data, bytes);
  lrp_pack_free(&b);
  free(a.data);
  free(b.data);
  free(first.data);
  free(second.data);
  lrp_ctx_free(ctx);
}
END_TEST

/* ---- Winograd's form of 3 x 3 kernels ---- */

typedef struct winograd { /* a problem and both its results, in plain C */
  lrp_conv g;
  lrp_tensor x, w, bias, y, x_bar;
  double *want_y, *want_x;
} winograd;

static double *copy_of(const lrp_tensor *t)
{
  double *v = doubles(t);
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    v[i] = (double)lrp_reals(t)[i];
  return v;
}

static winograd winograd_make(lrp_ctx *ctx, chance *c, int form)
{
  static const int64_t size[][2] = {{14, 14}, {17, 30}, {37, 15}, {16, 24}},
                       lo[][2] = {{1, 1}, {0, 2}, {2, 1}, {0, 0}}, hi[][2] = {{1, 1}, {1, 0}, {2, 3}, {0, 0}};
  winograd v = {.g = {.struct_size = sizeof v.g, .n_spatial = 2, .group = 1, .stride = {1, 1}, .dilation = {1, 1}}};
  int64_t in[] = {3, size[form][0], size[form][1], 48}, out[] = {3, 0, 0, 32};
  for (int a = 0; a < 2; a++) {
    v.g.pad_lo[a] = lo[form][a];
    v.g.pad_hi[a] = hi[form][a];
    out[1 + a] = in[1 + a] + lo[form][a] + hi[form][a] - 2;
  }
  v.x = tensor(c, 4, in);
  v.w = tensor(c, 4, (int64_t[]){32, 48, 3, 3});
  v.bias = tensor(c, 1, (int64_t[]){32});
  v.y = tensor(c, 4, out);
  v.x_bar = tensor(c, 4, in);
  lrp_tensor y = tensor(c, 4, out);
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_PLAIN, &v.g, &v.x, &v.w, &v.bias, &y));
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_PLAIN, &v.g, &v.w, &v.y, &v.x_bar));
  v.want_y = copy_of(&y);
  v.want_x = copy_of(&v.x_bar);
  free(y.data);
  lrp_ck_ok(ctx, lrp_pack_attach(ctx, &v.w));
  return v;
}

static void winograd_free(winograd *v)
{
  lrp_pack_free(&v->w);
  free(v->x.data), free(v->w.data), free(v->bias.data), free(v->y.data), free(v->x_bar.data);
  free(v->want_y), free(v->want_x);
}

/* Root mean square of the difference, in units of what is wanted. */
static double difference(const lrp_tensor *got, const double *want)
{
  double d = 0, s = 0;
  for (int64_t i = 0, n = lrp_count(got); i < n; i++) {
    const double e = (double)lrp_reals(got)[i] - want[i];
    d += e * e;
    s += want[i] * want[i];
  }
  return sqrt(d / s);
}

START_TEST(winograd_gives_what_sums_give_both_ways)
{
  chance c = chance_of(_i);
  lrp_ctx *ctx = context(_i % 2 ? 7 : 0);
  winograd v = winograd_make(ctx, &c, _i);
  lrp_tensor y = tensor(&c, 4, v.y.shape), x_bar = tensor(&c, 4, v.x.shape);
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_WINOGRAD; which += LRP_KERNEL_WINOGRAD - LRP_KERNEL_AUTO) {
    spoil(&y);
    spoil(&x_bar);
    lrp_ck_ok(ctx, lrp_conv_forward(ctx, which, &v.g, &v.x, &v.w, &v.bias, &y));
    lrp_ck_ok(ctx, lrp_conv_backward(ctx, which, &v.g, &v.w, &v.y, &x_bar));
    ck_assert_double_lt(difference(&y, v.want_y), 3e-6);
    ck_assert_double_lt(difference(&x_bar, v.want_x), 3e-6);
  }
  free(y.data), free(x_bar.data);
  winograd_free(&v);
  lrp_ctx_free(ctx);
}
END_TEST

/* A number that towers above all others would leave its rounding errors around it. */
START_TEST(winograd_leaves_a_picture_with_a_tower_to_sums)
{
  chance c = chance_of(1);
  lrp_ctx *ctx = context(0);
  winograd v = winograd_make(ctx, &c, 0);
  lrp_tensor tall = tensor(&c, 4, v.y.shape), sums = tensor(&c, 4, v.x.shape), got = tensor(&c, 4, v.x.shape);
  const int64_t picture = lrp_count(&v.x) / 3, outputs = lrp_count(&v.y) / 3;
  memcpy(tall.data, v.y.data, (size_t)lrp_count(&tall) * sizeof(lrp_real));
  lrp_reals(&tall)[outputs + 99] = (lrp_real)1e8;
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_DNNL, &v.g, &v.w, &tall, &sums));
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.w, &tall, &got));
  for (int64_t i = 0; i < lrp_count(&got); i++) {
    const double w = i / picture == 1 ? (double)lrp_reals(&sums)[i] : v.want_x[i], d = (double)lrp_reals(&got)[i] - w;
    ck_assert_msg(fabs(d) <= 2e-6 * fabs(w) + 1e-4, "element %lld: %g, not %g", (long long)i, w + d, w);
  }
  lrp_reals(&tall)[5] = (lrp_real)INFINITY;
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.w, &tall, &got));
  ck_assert(isfinite(lrp_reals(&got)[picture - 1]));
  free(tall.data), free(sums.data), free(got.data);
  winograd_free(&v);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(winograd_gives_equal_bits_with_threads_and_equal_pictures_in_batches)
{
  chance c = chance_of(2);
  lrp_ctx *ctx = context(0);
  winograd v = winograd_make(ctx, &c, 1);
  lrp_tensor one = tensor(&c, 4, v.y.shape), two = tensor(&c, 4, v.y.shape), x = v.x, y = two;
  const int64_t outputs = lrp_count(&one) / 3;
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.x, &v.w, &v.bias, &one));
  lrp_set_threads(2);
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.x, &v.w, &v.bias, &two));
  ck_assert_mem_eq(one.data, two.data, (size_t)lrp_count(&one) * sizeof(lrp_real));
  x.shape[0] = y.shape[0] = 1;
  x.data = lrp_reals(&v.x) + lrp_count(&x);
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &x, &v.w, &v.bias, &y));
  for (int64_t i = 0; i < outputs; i++)
    ck_assert_double_lt(fabs((double)lrp_reals(&y)[i] - (double)lrp_reals(&one)[outputs + i]), 1e-5);
  free(one.data), free(two.data);
  winograd_free(&v);
  lrp_ctx_free(ctx);
}
END_TEST

/* Kernels of one place are products, under a stride too; large enough that AUTO takes them. */
START_TEST(conv_of_one_place_agrees_with_plain_c)
{
  static const int64_t stride[][2] = {{1, 1}, {2, 2}, {3, 1}};
  chance c = chance_of(_i);
  lrp_ctx *ctx = context(7);
  lrp_conv g = {.struct_size = sizeof g, .n_spatial = 2, .group = 1, .dilation = {1, 1},
                .stride = {stride[_i][0], stride[_i][1]}};
  const int64_t in[] = {3, 40, 61, 96}, o = 112;
  int64_t out[] = {3, (in[1] - 1) / g.stride[0] + 1, (in[2] - 1) / g.stride[1] + 1, o};
  lrp_tensor x = tensor(&c, 4, in), w = tensor(&c, 4, (int64_t[]){o, in[3], 1, 1}),
             bias = tensor(&c, 1, (int64_t[]){o}), y = tensor(&c, 4, out), got = tensor(&c, 4, out),
             x_bar = tensor(&c, 4, in), back = tensor(&c, 4, in);
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_PLAIN, &g, &x, &w, &bias, &y));
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_PLAIN, &g, &w, &y, &x_bar));
  double *want = copy_of(&y), *want_back = copy_of(&x_bar);
  lrp_ck_ok(ctx, lrp_pack_attach(ctx, &w));
  spoil(&got);
  spoil(&back);
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_AUTO, &g, &x, &w, &bias, &got));
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_AUTO, &g, &w, &y, &back));
  close_to(&c, "conv", &got, want, (double)in[3]);
  close_to(&c, "transposed conv", &back, want_back, 16 * (double)o); /* y is no longer within -1..1 */
  lrp_pack_free(&w);
  free(want), free(want_back), free(x.data), free(w.data), free(bias.data), free(y.data), free(got.data);
  free(x_bar.data), free(back.data);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(the_kernels_have_a_name)
{
  lrp_set_threads(1);
  const char *name = lrp_kernel_name();
  ck_assert_msg(!strcmp(name, "plain C") ||
                    (!strncmp(name, "oneDNN ", 7) && strstr(name, ", 1 thread")),
                "%s", name);
}
END_TEST

Suite *suite_kernel(void);
Suite *suite_kernel(void)
{
  Suite *s = suite_create("kernel");
  TCase *t = tcase_create("kernel");
  tcase_add_loop_test(t, matmul_in_plain_c_is_three_loops, 0, TRIALS);
  tcase_add_loop_test(t, matmul_by_choice_is_three_loops, 0, TRIALS);
  tcase_add_loop_test(t, matmul_in_onednn_is_three_loops, 0, TRIALS);
  tcase_add_loop_test(t, large_matmul_agrees_in_all_kernels, 0, 6);
  tcase_add_loop_test(t, rows_of_zeros_in_all_of_many_matrices, 0, 14);
  tcase_add_loop_test(t, a_pack_serves_a_square_matrix_both_ways, 0, 2);
  tcase_add_loop_test(t, rows_of_zeros_give_the_bias_and_leave_others_as_they_are, 0, 14);
  tcase_add_test(t, matmul_of_shapes_that_do_not_fit_is_refused);
  tcase_add_test(t, a_pack_serves_only_its_own_tensor);
  tcase_add_loop_test(t, conv_in_plain_c_is_its_definition_and_its_adjoint, 0, TRIALS);
  tcase_add_loop_test(t, conv_by_choice_is_its_definition_and_its_adjoint, 0, TRIALS);
  tcase_add_loop_test(t, conv_in_onednn_is_its_definition_and_its_adjoint, 0, TRIALS);
  tcase_add_loop_test(t, transposed_conv_agrees_in_all_kernels, 0, TRIALS);
  tcase_add_loop_test(t, transposed_conv_to_few_channels_agrees_with_plain_c, 0, 4);
  tcase_add_test(t, conv_of_shapes_that_do_not_fit_is_refused);
  tcase_add_test(t, equal_problems_give_equal_bits);
  tcase_add_loop_test(t, winograd_gives_what_sums_give_both_ways, 0, 4);
  tcase_add_test(t, winograd_leaves_a_picture_with_a_tower_to_sums);
  tcase_add_test(t, winograd_gives_equal_bits_with_threads_and_equal_pictures_in_batches);
  tcase_add_loop_test(t, conv_of_one_place_agrees_with_plain_c, 0, 3);
  tcase_add_test(t, the_kernels_have_a_name);
  suite_add_tcase(s, t);
  return s;
}
