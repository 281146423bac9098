/* kernel_dnnl.c - products and convolutions by oneDNN; the only file that knows it.
 *
 * Linked directly: with libdnnl.so beside it a program that does nothing starts 2 ms later (2.9
 * against 0.8 ms, the median of 150 starts), too little to pay for loading it lazily through a
 * table of pointers.
 *
 * Tensors keep their plain channels-last layout; only constant weights are reordered, once, to what the primitive
 * likes: those of convolutions and those in bf16 at first, those of products in f32 where as many rows meet them a
 * second time; so one explanation neither waits for a second copy nor holds it.  One AVX-512 core of 117 GFLOP/s,
 * weights that come from memory, read as they are and in another layout:
 *
 *     16 x 768 x 768    50 and 85 GFLOP/s        196 x 1024 x 256    107 and 112
 *     49 x 2048 x 512   79 and 103               1024 x 3072 x 768   101 and 110
 *
 * Either layout gives the same bits.  Primitives of a constant weight live in its pack.  Those of two live
 * operands are made anew each time, which oneDNN's own cache makes cheap.  Scratchpads come from
 * ctx's arena, so primitives may be run by any thread. */
#include "kernel_impl.h"
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR != 2
#error "kernel_dnnl.c speaks the C API of oneDNN 2; configure --without-dnnl builds plain C only"
#endif

enum { PRODUCT, CONV, CONV_TRANSPOSED };
enum {
  KEY = 32,
  MAX_PRIMITIVES = 32
};                         /* kept for each weight; more shapes than that are made anew */
enum { MANY_ROWS = 16 }; /* for which weights in f32 are worth a copy in another layout */
enum { PART = 8 };        /* of the memory limit that such copies may take */

typedef struct weight { /* the weights in another layout; plain: how they were read, for transposed they are others */
  dnnl_memory_desc_t plain, desc;
  void *data;
  struct weight *next;
} weight;
typedef struct primitive {
  int64_t key[KEY];
  dnnl_primitive_t run; /* NULL: oneDNN has nothing fast for this problem */
  dnnl_memory_desc_t from, weights, bias, to;
  size_t scratch; /* bytes */
  const void *w;  /* weights as the primitive reads them */
  bool again;     /* met a second time */
  struct primitive *next;
} primitive;
struct lrp_dnnl_pack {
  weight *weight;
  primitive *primitive;
  int n;
};

/* ---- engine: one for the process, as oneDNN's cache wants it ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine; /* written once; NULL: not to be had */

static void engine_make(void)
{
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

static lrp_status status_of(lrp_ctx *ctx, dnnl_status_t s, const char *what)
{
  if (s == dnnl_success) return LRP_OK;
  if (s == dnnl_out_of_memory) return lrp_nomem(ctx, what);
  return lrp_fail(ctx, LRP_E_UNSUPPORTED, "%s: oneDNN fails with status %d", what, (int)s);
}

const char *lrp_dnnl_name(char *buffer, size_t n)
{
  static const struct {
    dnnl_cpu_isa_t isa;
    const char *name;
  } names[] = {{dnnl_cpu_isa_avx512_core_amx, "amx"},
               {dnnl_cpu_isa_avx512_core_bf16, "avx512 bf16"},
               {dnnl_cpu_isa_avx512_core_vnni, "avx512 vnni"},
               {dnnl_cpu_isa_avx512_core, "avx512"},
               {dnnl_cpu_isa_avx2_vnni, "avx2 vnni"},
               {dnnl_cpu_isa_avx2, "avx2"},
               {dnnl_cpu_isa_avx, "avx"},
               {dnnl_cpu_isa_sse41, "sse4.1"}};
  const dnnl_version_t *v = dnnl_version();
  const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  const char *name = "generic";
  for (size_t i = sizeof names / sizeof *names; i-- > 0;)
    if (names[i].isa == isa) name = names[i].name;
  snprintf(buffer, n, "oneDNN %d.%d.%d (%s)", v->major, v->minor, v->patch, name);
  return buffer;
}

int lrp_dnnl_bf16(void)
{
  const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  if ((isa & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx) return 2;
  return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

/* ---- running ---- */

typedef struct memory_list {
  dnnl_exec_arg_t arg[6];
  int n;
} memory_list;

/* oneDNN's handles are not const, but it writes only to the destination and the scratchpad. */
static dnnl_status_t memory_add(memory_list *l, int arg, const dnnl_memory_desc_t *desc,
                                const void *data)
{
  union {
    const void *in;
    void *out;
  } handle = {.in = data};
  const dnnl_status_t s = dnnl_memory_create(&l->arg[l->n].memory, desc, engine, handle.out);
  l->arg[l->n].arg = arg;
  l->n += s == dnnl_success;
  return s;
}

static dnnl_status_t execute(dnnl_primitive_t run, memory_list *l)
{
  dnnl_stream_t stream;
  dnnl_status_t s = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  if (s == dnnl_success) {
    s = dnnl_primitive_execute(run, stream, l->n, l->arg);
    if (s == dnnl_success) s = dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
  }
  return s;
}

static void memory_free(memory_list *l)
{
  while (l->n)
    dnnl_memory_destroy(l->arg[--l->n].memory);
}

/* ---- weights in the layout of the primitive ---- */

static dnnl_status_t reorder(const dnnl_memory_desc_t *from_desc, const void *from,
                             const dnnl_memory_desc_t *to_desc, void *to)
{
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t run = NULL;
  memory_list l = {.n = 0};
  dnnl_status_t s =
      dnnl_reorder_primitive_desc_create(&pd, from_desc, engine, to_desc, engine, NULL);
  if (s == dnnl_success) s = dnnl_primitive_create(&run, pd);
  if (s == dnnl_success) s = memory_add(&l, DNNL_ARG_FROM, from_desc, from);
  if (s == dnnl_success) s = memory_add(&l, DNNL_ARG_TO, to_desc, to);
  if (s == dnnl_success) s = execute(run, &l);
  memory_free(&l);
  dnnl_primitive_destroy(run);
  dnnl_primitive_desc_destroy(pd);
  return s;
}

/* With a pack the copy is kept there, else it lives in scratch. */
static lrp_status weights_for(lrp_ctx *ctx, lrp_dnnl_pack *pack, const dnnl_memory_desc_t *plain,
                              const void *data, const dnnl_memory_desc_t *wanted, const void **out)
{
  *out = data;
  if (dnnl_memory_desc_equal(plain, wanted)) return LRP_OK;
  for (const weight *w = pack ? pack->weight : NULL; w; w = w->next)
    if (dnnl_memory_desc_equal(&w->plain, plain) && dnnl_memory_desc_equal(&w->desc, wanted)) {
      *out = w->data;
      return LRP_OK;
    }
  const size_t bytes = dnnl_memory_desc_get_size(wanted);
  weight *w = pack ? calloc(1, sizeof *w) : NULL;
  void *copy = !pack ? lrp_arena_raw(&ctx->scratch, bytes)
               : w   ? lrp_pages_alloc(bytes)
                     : NULL;
  if (!copy) {
    free(w);
    return lrp_nomem(ctx, "packed weights");
  }
  const lrp_status st = status_of(ctx, reorder(plain, data, wanted, copy), "packed weights");
  if (st && pack) {
    free(copy);
    free(w);
  } else if (pack) {
    *w = (weight){.plain = *plain, .desc = *wanted, .data = copy, .next = pack->weight};
    pack->weight = w;
    ctx->relaid += bytes;
  }
  if (!st) *out = copy;
  return st;
}

/* ---- primitives ---- */

typedef struct problem {
  int64_t key[KEY];
  dnnl_memory_desc_t from, plain, weights, bias, to; /* plain: the weights as they are */
  const void *from_data, *w, *bias_data;
  void *to_data;
  lrp_pack *pack;
  const lrp_conv_job *conv; /* NULL: a product */
  bool transposed, many; /* many: a product of MANY_ROWS */
} problem;

static bool is_slow(const_dnnl_primitive_desc_t pd)
{
  const char *name = "";
  dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
  return strstr(name, "ref") != NULL; /* the reference implementation: slower than ours */
}

static dnnl_status_t conv_desc(const problem *p, const_dnnl_primitive_attr_t attr,
                               dnnl_primitive_desc_t *out)
{
  const lrp_conv_job *j = p->conv;
  const uint32_t skip = 3 - j->n_spatial;
  dnnl_dims_t stride, dilation, lo, hi;
  for (uint32_t i = 0; i < j->n_spatial; i++) {
    stride[i] = j->stride[skip + i];
    dilation[i] = j->dilation[skip + i] - 1;
    lo[i] = j->lo[skip + i];
    hi[i] = j->hi[skip + i];
  }
  dnnl_convolution_desc_t d;
  dnnl_primitive_desc_t hint = NULL;
  const dnnl_memory_desc_t *x = p->transposed ? &p->to : &p->from,
                           *y = p->transposed ? &p->from : &p->to;
  dnnl_memory_desc_t x_forward = *x; /* the hint's: in bf16 its source is no f32 */
  x_forward.data_type = p->from.data_type;
  dnnl_status_t s = dnnl_dilated_convolution_forward_desc_init(
      &d, p->transposed ? dnnl_forward_training : dnnl_forward_inference, dnnl_convolution_direct,
      &x_forward, &p->weights, p->bias_data ? &p->bias : NULL, y, stride, dilation, lo, hi);
  if (s != dnnl_success) return s;
  s = dnnl_primitive_desc_create(p->transposed ? &hint : out, &d, attr, engine, NULL);
  if (s != dnnl_success || !p->transposed) return s;
  s = dnnl_dilated_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, x, &p->weights,
                                                       y, stride, dilation, lo, hi);
  if (s == dnnl_success) s = dnnl_primitive_desc_create(out, &d, attr, engine, hint);
  dnnl_primitive_desc_destroy(hint);
  return s;
}

static dnnl_status_t product_desc(const problem *p, const_dnnl_primitive_attr_t attr,
                                  dnnl_primitive_desc_t *out)
{
  dnnl_matmul_desc_t d;
  const dnnl_status_t s =
      dnnl_matmul_desc_init(&d, &p->from, &p->weights, p->bias_data ? &p->bias : NULL, &p->to);
  return s == dnnl_success ? dnnl_primitive_desc_create(out, &d, attr, engine, NULL) : s;
}

/* Fill q; q->run stays NULL where oneDNN has nothing fast. */
static lrp_status primitive_make(lrp_ctx *ctx, const problem *p, primitive *q)
{
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t pd = NULL;
  memcpy(q->key, p->key, sizeof q->key);
  dnnl_status_t s = dnnl_primitive_attr_create(&attr);
  if (s == dnnl_success)
    s = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
  if (s == dnnl_success) s = p->conv ? conv_desc(p, attr, &pd) : product_desc(p, attr, &pd);
  lrp_status st = LRP_OK;
  if (s == dnnl_success && !is_slow(pd)) {
    s = dnnl_primitive_create(&q->run, pd);
    q->from = p->from;
    q->bias = p->bias;
    q->to = p->to;
    q->weights = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    q->scratch =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    st = status_of(ctx, s, p->conv ? "conv" : "matmul");
    if (!st)
      st = weights_for(ctx, p->pack ? p->pack->dnnl : NULL, &p->plain, p->w, &q->weights, &q->w);
  } else if (s == dnnl_out_of_memory) {
    st = lrp_nomem(ctx, "oneDNN");
  }
  dnnl_primitive_desc_destroy(pd);
  dnnl_primitive_attr_destroy(attr);
  return st;
}

static void primitive_free(primitive *q)
{
  dnnl_primitive_destroy(q->run);
  free(q);
}

static lrp_status primitive_keep(lrp_ctx *ctx, const problem *p, lrp_dnnl_pack *pack, primitive **out)
{
  primitive *q = calloc(1, sizeof *q);
  if (!q) return lrp_nomem(ctx, "packed weights");
  const lrp_status st = primitive_make(ctx, p, q);
  if (st) {
    primitive_free(q);
    return st;
  }
  q->next = pack->primitive; /* the newest is found first; another thread may still run an older one */
  pack->primitive = q;
  pack->n++;
  *out = q;
  return LRP_OK;
}

/* The weights as oneDNN likes them, where they were reordered for other rows before. */
static const weight *relaid(const lrp_dnnl_pack *pack, const dnnl_memory_desc_t *plain)
{
  const weight *w = pack->weight;
  while (w && !dnnl_memory_desc_equal(&w->plain, plain))
    w = w->next;
  return w;
}

/* The same product again: its weights in the layout that oneDNN likes. */
static lrp_status primitive_again(lrp_ctx *ctx, const problem *p, lrp_dnnl_pack *pack, primitive **out)
{
  problem q = *p;
  const weight *w = relaid(pack, &p->plain);
  const size_t bytes = dnnl_memory_desc_get_size(&p->plain);
  (*out)->again = true;
  if (w)
    q.weights = w->desc;
  else if ((ctx->memory_limit && ctx->relaid + bytes > ctx->memory_limit / PART) ||
           dnnl_memory_desc_init_by_tag(&q.weights, 2, q.plain.dims, dnnl_f32, dnnl_format_tag_any) != dnnl_success)
    return LRP_OK;
  const lrp_status st = primitive_keep(ctx, &q, pack, out);
  if (!st) (*out)->again = true;
  return st;
}

/* The first time, and the last where the weights have their layout already. */
static lrp_status primitive_first(lrp_ctx *ctx, const problem *p, lrp_dnnl_pack *pack, primitive **out)
{
  problem q = *p;
  const weight *w = p->many ? relaid(pack, &p->plain) : NULL;
  if (w) q.weights = w->desc;
  const lrp_status st = primitive_keep(ctx, &q, pack, out);
  if (!st) (*out)->again = w != NULL;
  return st;
}

/* The primitive of a constant weight, from its pack, which is locked; *out stays NULL where the
 * pack is full. */
static lrp_status primitive_kept(lrp_ctx *ctx, const problem *p, primitive **out)
{
  lrp_dnnl_pack *pack = p->pack->dnnl;
  *out = NULL;
  if (!pack && !(pack = p->pack->dnnl = calloc(1, sizeof *pack)))
    return lrp_nomem(ctx, "packed weights");
  for (*out = pack->primitive; *out && memcmp((*out)->key, p->key, sizeof p->key) != 0; *out = (*out)->next)
    ;
  const bool room = pack->n < MAX_PRIMITIVES;
  if (*out) return p->many && room && !(*out)->again ? primitive_again(ctx, p, pack, out) : LRP_OK;
  return room ? primitive_first(ctx, p, pack, out) : LRP_OK;
}

static lrp_status primitive_run(lrp_ctx *ctx, const problem *p, const primitive *q)
{
  memory_list l = {.n = 0};
  dnnl_memory_desc_t pad;
  const dnnl_dims_t size = {(dnnl_dim_t)q->scratch};
  void *scratch = q->scratch ? lrp_arena_raw(&ctx->scratch, q->scratch) : NULL;
  if (q->scratch && !scratch) return lrp_nomem(ctx, "oneDNN");
  dnnl_status_t s =
      memory_add(&l, p->transposed ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, &q->from, p->from_data);
  if (s == dnnl_success) s = memory_add(&l, DNNL_ARG_WEIGHTS, &q->weights, q->w);
  if (s == dnnl_success && p->bias_data) s = memory_add(&l, DNNL_ARG_BIAS, &q->bias, p->bias_data);
  if (s == dnnl_success)
    s = memory_add(&l, p->transposed ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, &q->to, p->to_data);
  if (s == dnnl_success && scratch)
    s = dnnl_memory_desc_init_by_tag(&pad, 1, size, dnnl_u8, dnnl_a);
  if (s == dnnl_success && scratch) s = memory_add(&l, DNNL_ARG_SCRATCHPAD, &pad, scratch);
  if (s == dnnl_success) s = execute(q->run, &l);
  memory_free(&l);
  return status_of(ctx, s, p->conv ? "conv" : "matmul");
}

static lrp_status solve(lrp_ctx *ctx, const problem *p, bool *done)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  primitive fresh = {.run = NULL};
  primitive *q = NULL;
  lrp_status st = LRP_OK;
  if (p->pack) {
    pthread_mutex_lock(&p->pack->lock);
    st = primitive_kept(ctx, p, &q);
    if (!st && !q) st = primitive_make(ctx, p, &fresh);
    pthread_mutex_unlock(&p->pack->lock);
  } else {
    st = primitive_make(ctx, p, &fresh);
  }
  q = q ? q : &fresh;
  *done = !st && q->run;
  if (*done) st = primitive_run(ctx, p, q);
  dnnl_primitive_destroy(fresh.run);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

void lrp_dnnl_pack_free(lrp_dnnl_pack *pack)
{
  if (!pack) return;
  while (pack->primitive) {
    primitive *q = pack->primitive;
    pack->primitive = q->next;
    primitive_free(q);
  }
  while (pack->weight) {
    weight *w = pack->weight;
    pack->weight = w->next;
    free(w->data);
    free(w);
  }
  free(pack);
}

/* ---- problems ---- */

/* One operand of a product: (batch...,rows,columns), broadcast where step is 0. */
static dnnl_status_t operand_desc(const lrp_product *p, const int64_t *step, int64_t rows,
                                  int64_t columns, int64_t row, int64_t column,
                                  dnnl_data_type_t type, dnnl_memory_desc_t *out)
{
  dnnl_dims_t dims, strides;
  for (int32_t i = 0; i < p->n_axis; i++) {
    dims[i] = step[i] ? p->axis[i] : 1;
    strides[i] = step[i] ? step[i] : rows * columns;
  }
  dims[p->n_axis] = rows, strides[p->n_axis] = row;
  dims[p->n_axis + 1] = columns, strides[p->n_axis + 1] = column;
  return dnnl_memory_desc_init_by_strides(out, p->n_axis + 2, dims, type, strides);
}

lrp_status lrp_dnnl_matmul(lrp_ctx *ctx, const lrp_product *p, bool *done)
{
  int64_t out_step[LRP_MAX_RANK], none[LRP_MAX_RANK] = {0}, inner = p->m * p->n;
  problem q = {.from_data = p->a,
               .w = p->b,
               .bias_data = p->bias,
               .to_data = p->out,
               .pack = p->n_axis > 1 ? NULL : p->pack,
               .many = p->relayout && p->m >= MANY_ROWS && !p->narrow && !p->n_axis};
  pthread_once(&once, engine_make);
  *done = false;
  if (!engine) return LRP_OK;
  for (int32_t i = p->n_axis; i-- > 0; inner *= p->axis[i])
    out_step[i] = inner;
  const dnnl_data_type_t type = p->narrow ? dnnl_bf16 : dnnl_f32;
  dnnl_status_t s = operand_desc(p, p->a_step, p->m, p->k, p->a_row, p->a_col, type, &q.from);
  if (s == dnnl_success)
    s = operand_desc(p, p->b_step, p->k, p->n, p->b_row, p->b_col, type, &q.plain);
  if (s == dnnl_success) s = operand_desc(p, out_step, p->m, p->n, p->n, 1, dnnl_f32, &q.to);
  if (s == dnnl_success && p->bias) s = operand_desc(p, none, 1, p->n, p->n, 1, dnnl_f32, &q.bias);
  q.weights = q.plain;
  if (s == dnnl_success && q.pack && p->narrow)
    s = dnnl_memory_desc_init_by_tag(&q.weights, 2, q.plain.dims, type, dnnl_format_tag_any);
  if (s != dnnl_success) return LRP_OK;
  const int64_t key[] = {PRODUCT,  lrp_threads(),   p->m,     p->n,
                         p->k,     p->a_row,        p->a_col, p->b_row,
                         p->b_col, p->bias != NULL, p->narrow,  p->n_axis ? p->axis[0] : 0,
                         p->n_axis ? p->a_step[0] : 0, p->n_axis ? p->b_step[0] : 0};
  memcpy(q.key, key, sizeof key);
  return solve(ctx, &q, done);
}

static dnnl_status_t conv_descs(const lrp_conv_job *j, bool transposed, problem *q)
{
  static const dnnl_format_tag_t last[] = {dnnl_nwc, dnnl_nhwc, dnnl_ndhwc},
                                 oi[] = {dnnl_oiw, dnnl_oihw, dnnl_oidhw},
                                 goi[] = {dnnl_goiw, dnnl_goihw, dnnl_goidhw};
  const int n = (int)j->n_spatial, skip = 3 - n, tag = n - 1;
  const bool grouped = j->group > 1;
  const dnnl_data_type_t type = j->narrow ? dnnl_bf16 : dnnl_f32;
  dnnl_dims_t x = {j->batch, j->c}, y = {j->batch, j->o}, w, o = {j->o};
  int at = 0;
  if (grouped) w[at++] = j->group;
  w[at++] = j->o / j->group;
  w[at++] = j->c / j->group;
  for (int i = 0; i < n; i++) {
    x[2 + i] = j->in[skip + i];
    y[2 + i] = j->out[skip + i];
    w[at++] = j->kernel[skip + i];
  }
  dnnl_status_t s = dnnl_memory_desc_init_by_tag(transposed ? &q->to : &q->from, n + 2, x,
                                                 transposed ? dnnl_f32 : type, last[tag]);
  if (s == dnnl_success)
    s = dnnl_memory_desc_init_by_tag(transposed ? &q->from : &q->to, n + 2, y,
                                     transposed ? type : dnnl_f32, last[tag]);
  if (s == dnnl_success)
    s = dnnl_memory_desc_init_by_tag(&q->plain, at, w, type, grouped ? goi[tag] : oi[tag]);
  if (s == dnnl_success)
    s = dnnl_memory_desc_init_by_tag(&q->weights, at, w, type, dnnl_format_tag_any);
  if (s == dnnl_success) s = dnnl_memory_desc_init_by_tag(&q->bias, 1, o, dnnl_f32, dnnl_a);
  return s;
}

/* oneDNN wants pads >= 0 and an output as long as the formula gives; plain C takes the rest. */
static bool conv_regular(const lrp_conv_job *j)
{
  bool ok = true;
  for (int i = 0; i < 3; i++)
    ok = ok && j->lo[i] >= 0 && j->hi[i] >= 0 &&
         j->in[i] + j->lo[i] + j->hi[i] - ((j->kernel[i] - 1) * j->dilation[i] + 1) >= 0 &&
         (j->in[i] + j->lo[i] + j->hi[i] - ((j->kernel[i] - 1) * j->dilation[i] + 1)) /
                     j->stride[i] +
                 1 ==
             j->out[i];
  return ok;
}

lrp_status lrp_dnnl_conv(lrp_ctx *ctx, const lrp_conv_job *j, bool transposed, bool *done)
{
  problem q = {.from_data = j->from,
               .w = j->w,
               .bias_data = transposed ? NULL : j->bias,
               .to_data = j->to,
               .pack = j->pack,
               .conv = j,
               .transposed = transposed};
  pthread_once(&once, engine_make);
  *done = false;
  if (!engine || !conv_regular(j) || conv_descs(j, transposed, &q) != dnnl_success) return LRP_OK;
  int64_t *key = q.key;
  *key++ = transposed ? CONV_TRANSPOSED : CONV;
  *key++ = lrp_threads();
  *key++ = j->batch;
  *key++ = j->group;
  *key++ = q.bias_data != NULL;
  *key++ = j->narrow;
  for (int i = 0; i < 3; i++) { /* channels and kernel are the weights' own */
    *key++ = j->in[i];
    *key++ = j->out[i];
    *key++ = j->stride[i];
    *key++ = j->dilation[i];
    *key++ = j->lo[i];
    *key++ = j->hi[i];
  }
  return solve(ctx, &q, done);
}
