/* test_convolution.c - convolutions in all kernels: plain C against loops written from the definition, the others against
 * plain C, and the transposed map against <u, conv v> = <convT u, v>. */
#include "kernel_chance.h"
#include "kernel_impl.h"

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
  static const int64_t size[][2] = {{14, 14}, {17, 30}, {37, 15}, {16, 24}, {7, 7}},
                       lo[][2] = {{1, 1}, {0, 2}, {2, 1}, {0, 0}, {1, 1}},
                       hi[][2] = {{1, 1}, {1, 0}, {2, 3}, {0, 0}, {1, 1}};
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

static void same_bits(const lrp_tensor *a, int64_t first, const lrp_tensor *b)
{
  ck_assert_mem_eq(lrp_reals(a) + first, b->data, (size_t)lrp_count(b) * sizeof(lrp_real));
}

/* So a batch has the relevance of its pictures alone, even where signs of sums near zero decide. */
START_TEST(winograd_gives_equal_bits_with_threads_and_to_pictures_in_batches)
{
  chance c = chance_of(2);
  lrp_ctx *ctx = context(0);
  winograd v = winograd_make(ctx, &c, _i);
  lrp_tensor y = tensor(&c, 4, v.y.shape), got_y = tensor(&c, 4, v.y.shape), x_bar = tensor(&c, 4, v.x.shape),
             got_x = tensor(&c, 4, v.x.shape), x = v.x, y_bar = v.y;
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.x, &v.w, &v.bias, &y));
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.w, &v.y, &x_bar));
  lrp_set_threads(2);
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.x, &v.w, &v.bias, &got_y));
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.w, &v.y, &got_x));
  same_bits(&y, 0, &got_y);
  same_bits(&x_bar, 0, &got_x);
  x.shape[0] = y_bar.shape[0] = got_x.shape[0] = got_y.shape[0] = 1;
  const int64_t inputs = lrp_count(&x), outputs = lrp_count(&y_bar);
  x.data = lrp_reals(&v.x) + inputs;
  y_bar.data = lrp_reals(&v.y) + outputs;
  lrp_ck_ok(ctx, lrp_conv_forward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &x, &v.w, &v.bias, &got_y));
  lrp_ck_ok(ctx, lrp_conv_backward(ctx, LRP_KERNEL_WINOGRAD, &v.g, &v.w, &y_bar, &got_x));
  same_bits(&y, outputs, &got_y);
  same_bits(&x_bar, inputs, &got_x);
  free(y.data), free(got_y.data), free(x_bar.data), free(got_x.data);
  winograd_free(&v);
  lrp_ctx_free(ctx);
}
END_TEST

/* Elements of the blocks that kernel_block.c wants. */
static int64_t in_blocks(int64_t rows, int64_t row, int64_t column)
{
  return (column / LRP_BLOCK * rows + row) * LRP_BLOCK + column % LRP_BLOCK;
}

/* Any number of rows, both ways. */
START_TEST(products_of_blocks_are_sums)
{
  enum { K = 48, N = 32, MATRICES = 3 };
  chance c = chance_of(_i);
  const int64_t rows = _i / 2 + 1;
  const bool turned = _i % 2;
  lrp_tensor a = tensor(&c, 3, (int64_t[]){MATRICES, rows, K}), w = tensor(&c, 3, (int64_t[]){MATRICES, K, N}),
             out = tensor(&c, 3, (int64_t[]){MATRICES, rows, N});
  const lrp_block_product p = {.matrices = MATRICES, .rows = rows, .k = K, .n = N, .a = lrp_reals(&a),
                               .w = lrp_reals(&w), .a_apart = rows * K, .out_apart = rows * N, .turned = turned,
                               .out = lrp_reals(&out)};
  lrp_real room[K * LRP_BLOCK]; /* of one thread: the problem is too small for more */
  lrp_block_product_run(&p, room);
  for (int64_t i = 0; i < MATRICES; i++)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t n = 0; n < N; n++) {
        double sum = 0;
        for (int64_t k = 0; k < K; k++)
          sum += (double)p.a[i * rows * K + in_blocks(rows, r, k)] *
                 (double)p.w[i * K * N + (turned ? in_blocks(N, n, k) : in_blocks(K, k, n))];
        ck_assert_double_lt(fabs((double)p.out[i * rows * N + in_blocks(rows, r, n)] - sum), 1e-4);
      }
  free(a.data), free(w.data), free(out.data);
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

Suite *suite_convolution(void);
Suite *suite_convolution(void)
{
  Suite *s = suite_create("convolution");
  TCase *t = tcase_create("convolution");
  tcase_add_loop_test(t, conv_in_plain_c_is_its_definition_and_its_adjoint, 0, TRIALS);
  tcase_add_loop_test(t, conv_by_choice_is_its_definition_and_its_adjoint, 0, TRIALS);
  tcase_add_loop_test(t, conv_in_onednn_is_its_definition_and_its_adjoint, 0, TRIALS);
  tcase_add_loop_test(t, transposed_conv_agrees_in_all_kernels, 0, TRIALS);
  tcase_add_loop_test(t, transposed_conv_to_few_channels_agrees_with_plain_c, 0, 4);
  tcase_add_test(t, conv_of_shapes_that_do_not_fit_is_refused);
  tcase_add_loop_test(t, winograd_gives_what_sums_give_both_ways, 0, 5);
  tcase_add_test(t, winograd_leaves_a_picture_with_a_tower_to_sums);
  tcase_add_loop_test(t, winograd_gives_equal_bits_with_threads_and_to_pictures_in_batches, 0, 5);
  tcase_add_loop_test(t, products_of_blocks_are_sums, 0, 120);
  tcase_add_loop_test(t, conv_of_one_place_agrees_with_plain_c, 0, 3);
  suite_add_tcase(s, t);
  return s;
}
