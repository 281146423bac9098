/* window.h - sliding windows of convolutions and pools: their arguments, padding and output sizes,
 * and which taps of a window lie inside the input.  Formulas are those of the ONNX operator pages
 * (Conv, ConvTranspose, MaxPool, AveragePool); ceil mode drops a last window that would start
 * behind the input, as PyTorch does. */
#ifndef LRP_PLUGINS_WINDOW_H
#define LRP_PLUGINS_WINDOW_H
#include "layer.h"

enum { WINDOW_AXES = 3 };
#define WINDOW_MAX                                                                                 \
  ((int64_t)1 << 30) /* of kernels, strides, dilations, pads: products of two cannot overflow */
enum { PAD_NOTSET, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER };

#define WINDOW_ARG_STRIDE                                                                          \
  {                                                                                                \
    .name = "stride", .type = LRP_ARG_INTS, .min = 1, .max = 1 << 30,                              \
    .doc = "step along each spatial axis; empty: 1"                                                \
  }
#define WINDOW_ARG_DILATION                                                                        \
  {                                                                                                \
    .name = "dilation", .type = LRP_ARG_INTS, .min = 1, .max = 1 << 30,                            \
    .doc = "distance of neighbouring taps along each spatial axis; empty: 1"                       \
  }
#define WINDOW_ARG_PAD                                                                             \
  {                                                                                                \
    .name = "pad", .type = LRP_ARG_INTS, .max = 1 << 30,                                           \
    .doc = "elements added before each spatial axis, then behind each; empty: 0"                   \
  }
#define WINDOW_ARG_AUTO_PAD                                                                        \
  {                                                                                                \
    .name = "auto_pad", .type = LRP_ARG_CHOICE, .choices = "notset|valid|same_upper|same_lower",   \
    .doc = "notset takes pad; the others compute it, as in ONNX"                                   \
  }

typedef struct window_lists { /* arguments of all axes; the arrays belong to the host */
  lrp_value kernel, stride, dilation, pad;
  int64_t auto_pad;
} window_lists;
typedef struct window { /* one axis */
  int64_t in, out, kernel, stride, dilation, lo, hi;
} window;
typedef struct window_taps { /* inside the input: positions first, first + dilation, ..., n of them
                              */
  int64_t first, n;
} window_taps;

static inline int64_t window_pick(const lrp_value *list, int64_t i, int64_t otherwise)
{
  return list->ints.n > i ? list->ints.v[i] : otherwise;
}

static inline lrp_status window_check(const lrp_host *h, lrp_ctx *ctx, const char *who,
                                      const char *what, const lrp_value *list, int64_t least)
{
  for (int64_t i = 0; i < list->ints.n; i++)
    if (list->ints.v[i] < least || list->ints.v[i] > WINDOW_MAX)
      return h->fail(ctx, LRP_E_ARG, "%s: %s[%lld] is %lld, %lld to %lld was expected", who, what,
                     (long long)i, (long long)list->ints.v[i], (long long)least,
                     (long long)WINDOW_MAX);
  return LRP_OK;
}

static inline lrp_status window_check_all(const lrp_host *h, lrp_ctx *ctx, const char *who,
                                          const window_lists *l)
{
  lrp_status st = window_check(h, ctx, who, "kernel", &l->kernel, 1);
  if (!st) st = window_check(h, ctx, who, "stride", &l->stride, 1);
  if (!st) st = window_check(h, ctx, who, "dilation", &l->dilation, 1);
  return st ? st : window_check(h, ctx, who, "pad", &l->pad, 0);
}

/* Does x have 1 to 3 spatial axes of a sane size, and does each list fit their number? */
static inline lrp_status window_rank(const lrp_host *h, lrp_ctx *ctx, const char *who,
                                     const window_lists *l, const lrp_tensor *x)
{
  const lrp_status st = need_reals(h, ctx, who, x);
  if (st) return st;
  const int64_t n = x->rank - 2;
  if (n < 1 || n > WINDOW_AXES)
    return h->fail(
        ctx, LRP_E_SHAPE,
        "%s: x has rank %d, 3 to 5 was expected (samples, channels, 1 to 3 spatial axes)", who,
        x->rank);
  for (int64_t a = 0; a < n; a++)
    if (x->shape[1 + a] < 1 || x->shape[1 + a] > WINDOW_MAX)
      return h->fail(ctx, LRP_E_SHAPE,
                     "%s: spatial axis %lld of x has %lld elements, 1 to %lld was expected", who,
                     (long long)a, (long long)x->shape[1 + a], (long long)WINDOW_MAX);
  const struct {
    const char *what;
    const lrp_value *list;
    int64_t n;
  } each[] = {{"kernel", &l->kernel, n},
              {"stride", &l->stride, n},
              {"dilation", &l->dilation, n},
              {"pad", &l->pad, 2 * n}};
  for (size_t i = 0; i < sizeof each / sizeof *each; i++)
    if (each[i].list->ints.n && each[i].list->ints.n != each[i].n)
      return h->fail(
          ctx, LRP_E_ARG, "%s: %s has %lld values, %lld were expected for %lld spatial axes", who,
          each[i].what, (long long)each[i].list->ints.n, (long long)each[i].n, (long long)n);
  return LRP_OK;
}

/* Axis a of n, everything but in, out and pads that auto_pad computes. */
static inline window window_axis(const window_lists *l, int64_t a, int64_t n, int64_t kernel)
{
  window w = {.kernel = kernel,
              .stride = window_pick(&l->stride, a, 1),
              .dilation = window_pick(&l->dilation, a, 1)};
  if (l->auto_pad == PAD_NOTSET) {
    w.lo = window_pick(&l->pad, a, 0);
    w.hi = window_pick(&l->pad, n + a, 0);
  }
  return w;
}

/* Elements that the window reaches over. */
static inline int64_t window_span(const window *w)
{
  return (w->kernel - 1) * w->dilation + 1;
}

static inline void window_same(window *w, int64_t total, int upper)
{
  total = total > 0 ? total : 0;
  w->lo = upper ? total / 2 : total - total / 2;
  w->hi = total - w->lo;
}

/* Output size of a convolution or pool along an axis whose input has in elements.  Returns 0 where
 * none fits. */
static inline int window_fit(const window_lists *l, window *w, int64_t in, int ceil_mode)
{
  const int64_t span = window_span(w);
  w->in = in;
  if (l->auto_pad == PAD_SAME_UPPER || l->auto_pad == PAD_SAME_LOWER) {
    w->out = (in + w->stride - 1) / w->stride;
    window_same(w, (w->out - 1) * w->stride + span - in, l->auto_pad == PAD_SAME_UPPER);
    return 1;
  }
  const int64_t room = in + w->lo + w->hi - span;
  if (room < 0) return 0;
  w->out = (ceil_mode ? (room + w->stride - 1) / w->stride : room / w->stride) + 1;
  if (ceil_mode && (w->out - 1) * w->stride >= in + w->lo) w->out--;
  return 1;
}

static inline window_taps window_at(const window *w, int64_t o)
{
  const int64_t start = o * w->stride - w->lo,
                skip = start < 0 ? (w->dilation - 1 - start) / w->dilation : 0;
  int64_t last = w->in - 1 - start;
  if (last < 0) return (window_taps){0, 0};
  last = last / w->dilation < w->kernel - 1 ? last / w->dilation : w->kernel - 1;
  return (window_taps){start + skip * w->dilation, last < skip ? 0 : last - skip + 1};
}

static inline lrp_status window_too_large(const lrp_host *h, lrp_ctx *ctx, const char *who,
                                          int64_t a, const window *w)
{
  return h->fail(ctx, LRP_E_SHAPE,
                 "%s: along spatial axis %lld the window reaches over %lld elements, the padded "
                 "input has %lld",
                 who, (long long)a, (long long)window_span(w), (long long)(w->in + w->lo + w->hi));
}

/* ONNX attributes that all sliding windows share. */
static inline lrp_status window_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                     lrp_value *stride, lrp_value *dilation, lrp_value *pad,
                                     lrp_value *auto_pad)
{
  static const char *const names[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
  const char *text = h->node_text(node, "auto_pad", "NOTSET");
  *stride = h->node_ints(node, "strides");
  *dilation = h->node_ints(node, "dilations");
  *pad = h->node_ints(node, "pads");
  for (int64_t i = 0; i < 4; i++)
    if (!strcmp(text, names[i]) || (i == 0 && !*text)) {
      auto_pad->i = i;
      return LRP_OK;
    }
  return h->fail(ctx, LRP_E_INPUT,
                 "auto_pad is \"%s\", NOTSET, VALID, SAME_UPPER or SAME_LOWER was expected", text);
}
#endif
