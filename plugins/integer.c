/* integer.c - layers "integer", arithmetic and logic on integers and truth values, "compare", truth values from
 * comparisons, both broadcast as in numpy, and "clip_index".  Exporters write them for shapes, indices and masks; no relevance passes. */
#include "strided.h"
#include <stdlib.h>

typedef struct integer {
  int op;
} integer;

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  integer *p = malloc(sizeof *p);
  if (!p)
    return h->fail(ctx, LRP_E_NOMEM, "integer: no memory for an instance");
  p->op = (int)a[0].i;
  *inst = p;
  return LRP_OK;
}

/* Sets the argument op; one such function for each operator. */
#define READ(OP)                                                                                              \
  static lrp_status read_##OP(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)            \
  {                                                                                                           \
    (void)h, (void)ctx, (void)node;                                                                           \
    a[0].i = OP;                                                                                              \
    return LRP_OK;                                                                                            \
  }

/* ---- integer ---- */

enum { ADD, SUB, MUL, DIV, MOD, FMOD, POW, AND, OR, XOR, NOT, NEG, ABS, SIGN };
static const lrp_arg integer_args[] = {{.name = "op",
                                        .type = LRP_ARG_CHOICE,
                                        .choices = "add|sub|mul|div|mod|fmod|pow|and|or|xor|not|neg|abs|sign",
                                        .doc = "div cuts towards zero; mod has the sign of b, fmod that of a"},
                                       LRP_ARGS_END};
static const lrp_port integer_in[] = {
    {.name = "a", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
    {.name = "b", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX}, LRP_PORTS_END};

static int is_unary(int op)
{
  return op >= NOT;
}

static lrp_status integer_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int unary = is_unary(((const integer *)inst)->op);
  if (call->in[0].dtype != LRP_INDEX || (!unary && (call->n_in < 2 || call->in[1].dtype != LRP_INDEX)))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "integer: takes %s", unary ? "one integer operand" : "two integer operands");
  tensor_describe(&call->out[0], LRP_INDEX, call->in[0].rank, call->in[0].shape);
  return unary ? LRP_OK : strided_broadcast(h, ctx, "integer", &call->in[1], &call->out[0]);
}

/* By squaring; a negative exponent leaves 1, -1 or 0. */
static int64_t power(int64_t a, int64_t b)
{
  uint64_t base = (uint64_t)a, y = 1;
  if (b < 0)
    return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  for (; b; b >>= 1, base *= base)
    if (b & 1)
      y *= base;
  return (int64_t)y;
}

/* Overflow wraps around, as it does where models are trained.  b is not 0 under a division. */
static int64_t compute(int op, int64_t a, int64_t b)
{
  const uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
  switch (op) {
  case ADD:
    return (int64_t)(ua + ub);
  case SUB:
    return (int64_t)(ua - ub);
  case MUL:
    return (int64_t)(ua * ub);
  case DIV:
    return b == -1 ? (int64_t)(0 - ua) : a / b;
  case MOD:
  case FMOD: {
    const int64_t r = b == -1 ? 0 : a % b;
    return op == MOD && r && (r < 0) != (b < 0) ? r + b : r;
  }
  case POW:
    return power(a, b);
  case AND:
    return a && b;
  case OR:
    return a || b;
  case XOR:
    return !a != !b;
  case NOT:
    return !a;
  case SIGN:
    return (a > 0) - (a < 0);
  case NEG:
    return (int64_t)(0 - ua);
  default:
    return a < 0 ? (int64_t)(0 - ua) : a;
  }
}

static lrp_status integer_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int op = ((const integer *)inst)->op, divides = op == DIV || op == MOD || op == FMOD;
  const lrp_tensor *y = &call->out[0], *a = &call->in[0], *b = is_unary(op) ? a : &call->in[1];
  const strided w = strided_over(y, y, a, b);
  const int64_t pieces = strided_pieces(&w, STRIDED_PIECE), sa = strided_last(&w, 1), sb = strided_last(&w, 2);
  for (int64_t k = 0; k < pieces; k++) {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    for (int64_t i = 0; i < n; i++) {
      const int64_t right = lrp_indices(b)[at[2] + i * sb];
      if (divides && right == 0)
        return h->fail(ctx, LRP_E_INPUT, "integer: element %lld is divided by 0", (long long)(at[0] + i));
      lrp_indices(y)[at[0] + i] = compute(op, lrp_indices(a)[at[1] + i * sa], right);
    }
  }
  return LRP_OK;
}

READ(ADD)
READ(SUB)
READ(MUL)
READ(DIV)
READ(POW)
READ(AND)
READ(OR)
READ(XOR)
READ(NOT)
READ(NEG)
READ(ABS)
READ(SIGN)

static lrp_status read_mod(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "fmod", 0) ? FMOD : MOD;
  return LRP_OK;
}

/* ---- compare ---- */

enum { EQUAL, LESS, GREATER, LESS_OR_EQUAL, GREATER_OR_EQUAL };
static const lrp_arg compare_args[] = {{.name = "op",
                                        .type = LRP_ARG_CHOICE,
                                        .choices = "equal|less|greater|less_or_equal|greater_or_equal",
                                        .doc = "what holds between a and b where y is 1"},
                                       LRP_ARGS_END};
static const lrp_port compare_in[] = {{.name = "a", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
                                      {.name = "b", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
                                      LRP_PORTS_END};

static lrp_status compare_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  if (call->in[0].dtype != call->in[1].dtype)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "compare: operands of different element types");
  tensor_describe(&call->out[0], LRP_INDEX, call->in[0].rank, call->in[0].shape);
  return strided_broadcast(h, ctx, "compare", &call->in[1], &call->out[0]);
}

#define HOLDS(op, a, b)                                                                                       \
  ((op) == EQUAL           ? (a) == (b)                                                                       \
   : (op) == LESS          ? (a) < (b)                                                                        \
   : (op) == GREATER       ? (a) > (b)                                                                        \
   : (op) == LESS_OR_EQUAL ? (a) <= (b)                                                                       \
                           : (a) >= (b))

static lrp_status compare_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int op = ((const integer *)inst)->op;
  const lrp_tensor *y = &call->out[0], *a = &call->in[0], *b = &call->in[1];
  const strided w = strided_over(y, y, a, b);
  const int64_t sa = strided_last(&w, 1), sb = strided_last(&w, 2);
  (void)h, (void)ctx;
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    for (int64_t i = 0; i < n; i++) {
      const int64_t ia = at[1] + i * sa, ib = at[2] + i * sb;
      lrp_indices(y)[at[0] + i] = a->dtype == LRP_REAL ? HOLDS(op, lrp_reals(a)[ia], lrp_reals(b)[ib])
                                                       : HOLDS(op, lrp_indices(a)[ia], lrp_indices(b)[ib]);
    }
  });
  return LRP_OK;
}

READ(EQUAL)
READ(LESS)
READ(GREATER)
READ(LESS_OR_EQUAL)
READ(GREATER_OR_EQUAL)

/* ---- clip_index ---- */

static const lrp_port clip_in[] = {
    {.name = "x", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
    {.name = "min", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX, .flags = LRP_PORT_OPTIONAL},
    {.name = "max", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};

static lrp_status clip_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  for (uint32_t i = 1; i < call->n_in; i++)
    if (lrp_count(&call->in[i]) != 1)
      return h->fail(ctx, LRP_E_SHAPE, "clip_index: a bound has %lld elements, one was expected",
                     (long long)lrp_count(&call->in[i]));
  tensor_describe(&call->out[0], LRP_INDEX, call->in[0].rank, call->in[0].shape);
  return LRP_OK;
}

static lrp_status clip_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int64_t *x = lrp_indices(&call->in[0]), *low = call->n_in > 1 ? lrp_indices(&call->in[1]) : NULL;
  const int64_t *high = call->n_in > 2 ? lrp_indices(&call->in[2]) : NULL;
  (void)h, (void)ctx, (void)inst;
  for (int64_t i = 0, n = lrp_count(&call->out[0]); i < n; i++) {
    const int64_t v = x ? x[i] : 0, at_least = low && v < *low ? *low : v;
    lrp_indices(&call->out[0])[i] = high && at_least > *high ? *high : at_least;
  }
  return LRP_OK;
}

/* ---- descriptors ---- */

static const lrp_operator integer_operators[] = {{.domain = "", .name = "Add", .since = 7, .args = read_ADD},
                                                 {.domain = "", .name = "Sub", .since = 7, .args = read_SUB},
                                                 {.domain = "", .name = "Mul", .since = 7, .args = read_MUL},
                                                 {.domain = "", .name = "Div", .since = 7, .args = read_DIV},
                                                 {.domain = "", .name = "Mod", .since = 10, .args = read_mod},
                                                 {.domain = "", .name = "Pow", .since = 7, .args = read_POW},
                                                 {.domain = "", .name = "And", .since = 7, .args = read_AND},
                                                 {.domain = "", .name = "Or", .since = 7, .args = read_OR},
                                                 {.domain = "", .name = "Xor", .since = 7, .args = read_XOR},
                                                 {.domain = "", .name = "Not", .since = 1, .args = read_NOT},
                                                 {.domain = "", .name = "Neg", .since = 6, .args = read_NEG},
                                                 {.domain = "", .name = "Abs", .since = 6, .args = read_ABS},
                                                 {.domain = "", .name = "Sign", .since = 9, .args = read_SIGN},
                                                 {0}};
static const lrp_operator compare_operators[] = {
    {.domain = "", .name = "Equal", .since = 7, .args = read_EQUAL},
    {.domain = "", .name = "Less", .since = 7, .args = read_LESS},
    {.domain = "", .name = "Greater", .since = 7, .args = read_GREATER},
    {.domain = "", .name = "LessOrEqual", .since = 12, .args = read_LESS_OR_EQUAL},
    {.domain = "", .name = "GreaterOrEqual", .since = 12, .args = read_GREATER_OR_EQUAL},
    {0}};
static const lrp_layer_type integer_type = {.struct_size = sizeof integer_type,
                                            .kind = LRP_KIND_OTHER,
                                            .layout = LRP_LAYOUT_ANY,
                                            .name = "integer",
                                            .doc = "y = arithmetic or logic on integers",
                                            .args = integer_args,
                                            .in = integer_in,
                                            .out = outs,
                                            .operators = integer_operators,
                                            .create = create,
                                            .destroy = free,
                                            .infer = integer_infer,
                                            .forward = integer_forward};
static const lrp_layer_type compare_type = {.struct_size = sizeof compare_type,
                                            .kind = LRP_KIND_OTHER,
                                            .layout = LRP_LAYOUT_ANY,
                                            .name = "compare",
                                            .doc = "y = 1 where the comparison holds, else 0",
                                            .args = compare_args,
                                            .in = compare_in,
                                            .out = outs,
                                            .operators = compare_operators,
                                            .create = create,
                                            .destroy = free,
                                            .infer = compare_infer,
                                            .forward = compare_forward};
static const lrp_operator clip_operators[] = {{.domain = "", .name = "Clip", .since = 11}, {0}};
static const lrp_layer_type clip_type = {.struct_size = sizeof clip_type,
                                         .kind = LRP_KIND_OTHER,
                                         .layout = LRP_LAYOUT_MODEL,
                                         .name = "clip_index",
                                         .doc = "y = min(max(x, min), max) of integers",
                                         .in = clip_in,
                                         .out = outs,
                                         .operators = clip_operators,
                                         .infer = clip_infer,
                                         .forward = clip_forward};
static const lrp_layer_type *const layers[] = {&integer_type, &compare_type, &clip_type, NULL};
LRP_PLUGIN(layer_integer, "integer", "1.0", "MIT", "integers and truth values", layers, NULL, NULL);
