/* conformance.c - runs a folder of ONNX node tests (each a model.onnx and test_data_set_0/ with input_K.pb, output_K.pb)
 * through the engine: `conformance FOLDER REFUSED`.  Prints TAP, a line for each operator: what a layer type claims must
 * give the numbers, or be refused and listed in the file REFUSED with the reason; what none claims must be refused.
 *
 * Every input is live at first.  A list of axes or a shape that is an input of the test, but a constant in every real
 * model, is made one where the engine says so: integers first, then all but the first input, then all. */
#include "graph.h"
#include "onnx_reader.h"
#include <dirent.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_IO = 64, MOST_NODES = 1024, NAME = 256, PATH = 4096 };
enum { LIVE, INTEGERS_CONSTANT, REST_CONSTANT, ALL_CONSTANT, N_MODE };
enum { PASSED, REFUSED, WRONG };

typedef struct node_test {
  lrp_onnx onnx;    /* of model.onnx */
  lrp_onnx file[2]; /* inputs, outputs: arenas and mapped files of their tensors */
  lrp_onnx_tensor io[2][MOST_IO];
  int32_t n[2];
} node_test;

typedef struct result { /* of an operator */
  char name[NAME];
  bool claimed;
  int tests, mode[N_MODE], refused, bad;
  char *notes;
} result;
typedef struct results {
  result *of;
  int n;
} results;

/* ---- reading a test ---- */

/* test_data_set_0/WHAT_0.pb, ...: each file is one TensorProto. */
static lrp_status read_tensors(lrp_ctx *ctx, const char *folder, const char *what, lrp_onnx *home,
                               lrp_onnx_tensor *t, int32_t *n)
{
  lrp_status st = LRP_OK;
  home->file = calloc(MOST_IO, sizeof *home->file);
  if (!home->file) return LRP_E_NOMEM;
  for (*n = 0; !st && *n < MOST_IO; ++*n) {
    char path[PATH + NAME];
    snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", folder, what, *n);
    FILE *there = fopen(path, "rb");
    if (!there) return LRP_OK;
    fclose(there);
    lrp_file *f = &home->file[*n].file;
    st = lrp_file_open(ctx, path, "a tensor", 0, f);
    home->n_file = *n + 1;
    lrp_reader r = {.ctx = ctx, .out = home, .base = f->data};
    if (!st) st = lrp_reader_tensor(&r, (lrp_bytes){f->data, f->data + f->size}, &t[*n]);
  }
  return st;
}

static void test_close(node_test *t)
{
  lrp_onnx_close(&t->onnx);
  lrp_onnx_close(&t->file[0]);
  lrp_onnx_close(&t->file[1]);
  free(t);
}

static lrp_status test_open(lrp_ctx *ctx, const char *folder, node_test *t)
{
  char path[PATH + NAME];
  snprintf(path, sizeof path, "%s/model.onnx", folder);
  lrp_status st = lrp_onnx_open(ctx, path, &t->onnx);
  if (!st) st = read_tensors(ctx, folder, "input", &t->file[0], t->io[0], &t->n[0]);
  return st ? st : read_tensors(ctx, folder, "output", &t->file[1], t->io[1], &t->n[1]);
}

/* ---- the model as it is run ---- */

static bool made_constant(int mode, int64_t i, const lrp_onnx_tensor *t)
{
  const bool real = t->type == LRP_ONNX_FLOAT || t->type == LRP_ONNX_DOUBLE ||
                    t->type == LRP_ONNX_FLOAT16 || t->type == LRP_ONNX_BFLOAT16;
  return mode == ALL_CONSTANT || (mode == REST_CONSTANT && i > 0) ||
         (mode == INTEGERS_CONSTANT && !real);
}

typedef struct
    staged { /* a copy of the graph with some inputs made initialisers, and integer scores cast */
  lrp_model model;
  lrp_input input;
  lrp_tensor tensor[MOST_IO];
  lrp_onnx_tensor init[2 * MOST_IO];
  lrp_signature in[MOST_IO], out[MOST_IO];
  lrp_onnx_node node[MOST_NODES + 1];
  lrp_onnx_attr to;
  const char *cast[2];
  struct lrp_onnx_opset opset[MOST_IO];
  lrp_arena arena;
} staged;

/* The engine explains numbers: a Cast makes reals of a first output that holds integers. */
static void cast_scores(staged *s, lrp_onnx_graph *g)
{
  if (g->n_output < 1 || g->output[0].dtype != LRP_INDEX) return;
  s->cast[0] = g->output[0].name;
  s->cast[1] = "as reals";
  for (int32_t i = 0; i < s->model.onnx.n_opset && i < MOST_IO;
       i++) { /* Cast as it is since opset 6 */
    s->opset[i] = s->model.onnx.opset[i];
    if (s->opset[i].version < 6 && !s->opset[i].domain[0]) s->opset[i].version = 6;
  }
  if (s->model.onnx.n_opset <= MOST_IO) s->model.onnx.opset = s->opset;
  s->to = (lrp_onnx_attr){.name = "to", .type = LRP_ATTR_INT, .i = LRP_ONNX_FLOAT};
  memcpy(s->node, g->node, (size_t)g->n_node * sizeof *g->node);
  s->node[g->n_node++] = (lrp_onnx_node){.name = "",
                                         .op = "Cast",
                                         .domain = "",
                                         .n_in = 1,
                                         .n_out = 1,
                                         .n_attr = 1,
                                         .in = &s->cast[0],
                                         .out = &s->cast[1],
                                         .attr = &s->to};
  g->node = s->node;
  s->out[0].name = s->cast[1];
  s->out[0].dtype = LRP_REAL;
}

static lrp_status stage(lrp_ctx *ctx, const node_test *t, int mode, staged *s)
{
  lrp_onnx_graph *g = &s->model.onnx.graph;
  lrp_status st = LRP_OK;
  s->model.onnx = t->onnx;
  if (g->n_init > MOST_IO || g->n_input != t->n[0] || g->n_output > MOST_IO ||
      g->n_node > MOST_NODES)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED, "a test of this size, or with other data than tensors");
  if (g->n_init) memcpy(s->init, g->init, (size_t)g->n_init * sizeof *g->init);
  const int64_t n = g->n_input;
  g->n_input = 0;
  for (int64_t i = 0; !st && i < n; i++) {
    if (made_constant(mode, i, &t->io[0][i])) {
      s->init[g->n_init] = t->io[0][i];
      s->init[g->n_init++].name = g->input[i].name;
      continue;
    }
    s->in[g->n_input++] = g->input[i];
    st = lrp_onnx_tensor_read(ctx, &t->io[0][i], &s->arena, &s->tensor[s->input.n_tensor++]);
  }
  memcpy(s->out, g->output, (size_t)g->n_output * sizeof *g->output);
  g->init = s->init;
  g->input = s->in;
  g->output = s->out;
  s->input.tensor = s->tensor;
  cast_scores(s, g);
  return st;
}

/* ---- running and comparing ---- */

/* How far numbers may be off: 1e-4 of the largest one, or what the element type can hold; the reference has its own
 * rounding. */
static double tolerance(const lrp_onnx_tensor *file, const lrp_tensor *want)
{
  double most = 0;
  for (int64_t i = 0, n = lrp_count(want); want->dtype == LRP_REAL && i < n; i++)
    if (isfinite(lrp_reals(want)[i])) most = fmax(most, fabs((double)lrp_reals(want)[i]));
  return most * (file->type == LRP_ONNX_BFLOAT16  ? 1e-2
                 : file->type == LRP_ONNX_FLOAT16 ? 2e-3
                                                  : 1e-4);
}

/* NaN equals NaN. */
static bool close_to(double v, double want, double off)
{
  return v == want || (isnan(v) && isnan(want)) || fabs(v - want) <= off;
}

/* Operators that write quantised numbers: which input is the scale, the zero point is behind it. */
static const struct {
  const char *op;
  int scale;
} QUANTISER[] = {{"QuantizeLinear", 1}, {"QLinearConv", 6}, {"QLinearMatMul", 6}};

/* The engine gives quantised numbers as the real ones that they mean, (q - zero) scale: so does this.  Scales are one, or
 * one for each index of the node's axis. */
static bool dequantise(lrp_ctx *ctx, staged *s, const lrp_onnx_node *node, const lrp_onnx_tensor *scale_file,
                       const lrp_onnx_tensor *zero_file, lrp_tensor *want)
{
  lrp_tensor scale, zero = {.dtype = LRP_INDEX};
  int64_t axis = 1, inner = 1;
  if (lrp_onnx_tensor_read(ctx, scale_file, &s->arena, &scale)) return false;
  if (zero_file && lrp_onnx_tensor_read(ctx, zero_file, &s->arena, &zero)) return false;
  for (int32_t i = 0; i < node->n_attr; i++)
    if (!strcmp(node->attr[i].name, "axis")) axis = node->attr[i].i;
  for (int64_t i = axis + (axis < 0 ? want->rank : 0) + 1; i < want->rank; i++)
    inner *= want->shape[i];
  const int64_t n = lrp_count(want), n_scale = lrp_count(&scale), n_zero = zero.data ? lrp_count(&zero) : 0;
  lrp_real *v = lrp_arena_alloc(&s->arena, ((size_t)n + 1) * sizeof *v);
  for (int64_t i = 0; v && i < n; i++) {
    const int64_t k = i / inner;
    const double z = n_zero ? (double)lrp_indices(&zero)[k % n_zero] : 0;
    v[i] = (lrp_real)(((double)lrp_indices(want)[i] - z) * (double)lrp_reals(&scale)[k % n_scale]);
  }
  want->data = v;
  want->dtype = LRP_REAL;
  return v != NULL;
}

/* What output i should be in the engine's terms; false: nothing to compare. */
static bool wanted(lrp_ctx *ctx, staged *s, const node_test *t, int32_t i, lrp_tensor *want)
{
  const lrp_onnx_node *node = t->onnx.graph.node;
  if (lrp_onnx_tensor_read(ctx, &t->io[1][i], &s->arena, want)) return false;
  if (t->onnx.graph.n_node != 1) return true;
  if (!strcmp(node->op, "DynamicQuantizeLinear")) /* its other outputs are 1 and 0 */
    return i == 0 && dequantise(ctx, s, node, &t->io[1][1], &t->io[1][2], want);
  for (size_t k = 0; want->dtype == LRP_INDEX && k < sizeof QUANTISER / sizeof QUANTISER[0]; k++)
    if (!strcmp(node->op, QUANTISER[k].op)) {
      const int at = QUANTISER[k].scale;
      return dequantise(ctx, s, node, &t->io[0][at], at + 1 < t->n[0] ? &t->io[0][at + 1] : NULL, want);
    }
  return true;
}

static int compare(lrp_ctx *ctx, const lrp_onnx_tensor *file, lrp_tensor want, const lrp_tensor *have)
{
  char a[160], b[160];
  if (have->rank != want.rank ||
      memcmp(have->shape, want.shape, (size_t)want.rank * sizeof *want.shape) != 0)
    return lrp_fail(ctx, LRP_E_SHAPE, "shape %s, %s was expected",
                    lrp_shape_text(have, a, sizeof a), lrp_shape_text(&want, b, sizeof b)),
           WRONG;
  const double off = tolerance(file, &want);
  for (int64_t i = 0, n = lrp_count(have); i < n; i++) {
    const double v =
        have->dtype == LRP_INDEX ? (double)lrp_indices(have)[i] : (double)lrp_reals(have)[i];
    const double w =
        want.dtype == LRP_INDEX ? (double)lrp_indices(&want)[i] : (double)lrp_reals(&want)[i];
    if (!close_to(v, w, off))
      return lrp_fail(ctx, LRP_E_NUMERIC, "element %lld is %g, %g was expected", (long long)i, v,
                      w),
             WRONG;
  }
  return PASSED;
}

static int attempt(lrp_ctx *ctx, const node_test *t, int mode, lrp_status *why)
{
  staged *s = calloc(1, sizeof *s);
  lrp_graph *g = NULL;
  lrp_tensor want;
  int outcome = PASSED;
  if (!s) exit(1);
  lrp_status st = stage(ctx, t, mode, s);
  if (!st) st = lrp_graph_build(ctx, &s->model, &s->input, NULL, &g);
  if (!st) st = lrp_graph_forward(ctx, g, &s->input);
  for (int32_t i = 0; !st && outcome == PASSED && i < t->n[1] && i < s->model.onnx.graph.n_output;
       i++)
    if (wanted(ctx, s, t, i, &want)) outcome = compare(ctx, &t->io[1][i], want, lrp_graph_output(g, i));
  lrp_graph_free(g);
  lrp_arena_free(&s->arena);
  free(s);
  *why = st;
  return st ? REFUSED : outcome;
}

/* ---- tables ---- */

static bool claimed(lrp_ctx *ctx, const lrp_onnx_node *node)
{
  for (int64_t k = 0; k < lrp_n_layer(ctx); k++) {
    const lrp_operator *op = lrp_layer_at(ctx, k)->operators;
    for (; op && op->name; op++)
      if (!strcmp(op->name, node->op) && !strcmp(op->domain, node->domain)) return true;
  }
  return !node->domain[0] && (!strcmp(node->op, "Constant") || !strcmp(node->op, "If"));
}

/* A test belongs to its operator, or to "functions" where it has several (bodies of functions, sequences). */
static result *result_of(lrp_ctx *ctx, results *all, const lrp_onnx_graph *g)
{
  bool known = true;
  for (int64_t i = 0; i < g->n_node; i++)
    known = known && claimed(ctx, &g->node[i]);
  const char *name = g->n_node == 1 ? g->node[0].op
                     : known        ? "several operators"
                                    : "several, not all known";
  for (int i = 0; i < all->n; i++)
    if (!strcmp(all->of[i].name, name)) return &all->of[i];
  result *grown = realloc(all->of, ((size_t)all->n + 1) * sizeof *grown);
  if (!grown) exit(1);
  all->of = grown;
  grown += all->n++;
  *grown = (result){.claimed = known};
  snprintf(grown->name, sizeof grown->name, "%s", name);
  return grown;
}

static void note(result *r, const char *test, const char *what, const char *message)
{
  const size_t had = r->notes ? strlen(r->notes) : 0,
               room = had + strlen(test) + strlen(what) + strlen(message) + 16;
  char *text = realloc(r->notes, room);
  if (!text) exit(1);
  r->notes = text;
  text += had;
  snprintf(text, room - had, "# %s %s: %s\n", test, what, message);
  for (char *p = text; *p; p++)
    if (*p == '\n' && p[1]) *p = ' ';
}

/* What the file REFUSED says of a test, in lines "PATTERN reason": it must be refused, or, with ~ before the pattern, it may
 * fail (versions of the test differ, or its numbers are coarse). */
enum { MUST_PASS, MUST_BE_REFUSED, MAY_FAIL };

static int listed(const char *list, const char *test)
{
  char line[1024], pattern[NAME];
  FILE *in = fopen(list, "r");
  int found = MUST_PASS;
  while (in && !found && fgets(line, sizeof line, in)) {
    const bool may = line[0] == '~';
    const size_t n = strcspn(line, " \t\n");
    if (line[0] == '#' || !n || n >= sizeof pattern) continue;
    memcpy(pattern, line + may, n - may);
    pattern[n - may] = 0;
    if (!fnmatch(pattern, test, 0)) found = may ? MAY_FAIL : MUST_BE_REFUSED;
  }
  if (in) fclose(in);
  return found;
}

static void judge(result *r, const char *test, int outcome, int mode, int list, const char *message)
{
  if (outcome == PASSED) {
    r->mode[mode]++;
    if (list != MUST_BE_REFUSED) return;
    r->bad++;
    note(r, test, "works now", "take it off the list of refusals");
  } else if (list == MAY_FAIL || (outcome == REFUSED && (list || !r->claimed))) {
    r->refused++;
  } else {
    r->bad++;
    note(r, test, outcome == REFUSED ? "is refused" : "is wrong", message);
  }
}

static void run_test(lrp_ctx *ctx, results *all, const char *folder, const char *test,
                     const char *list)
{
  char path[PATH];
  node_test *t = calloc(1, sizeof *t);
  result nobody = {.claimed = false}, *r = &nobody;
  int outcome = REFUSED, mode = LIVE;
  lrp_status why = LRP_OK;
  if (!t) exit(1);
  snprintf(path, sizeof path, "%s/%s", folder, test);
  if (!test_open(ctx, path, t)) r = result_of(ctx, all, &t->onnx.graph);
  for (; r != &nobody && mode < N_MODE; mode++) {
    outcome = attempt(ctx, t, mode, &why);
    if (outcome != REFUSED || (why != LRP_E_UNSUPPORTED && why != LRP_E_INPUT)) break;
  }
  r->tests++;
  if (r != &nobody) judge(r, test, outcome, mode, listed(list, test), lrp_message(ctx));
  test_close(t);
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
  return strcmp(((const result *)a)->name, ((const result *)b)->name);
}

static int print_results(const results *all)
{
  int passed = 0, refused = 0, bad = 0, others = 0, number = 0;
  for (int i = 0; i < all->n; i++) {
    const result *r = &all->of[i];
    const int good = r->mode[0] + r->mode[1] + r->mode[2] + r->mode[3];
    if (!r->claimed && !r->bad) {
      others += r->refused;
      continue;
    }
    printf("%sok %d - %s: %d of %d tests (%d live, %d with constants, %d folded), %d refused as "
           "listed\n",
           r->bad ? "not " : "", ++number, r->name, good, r->tests, r->mode[LIVE],
           r->mode[1] + r->mode[2], r->mode[3], r->refused);
    fputs(r->notes ? r->notes : "", stdout);
    passed += good;
    refused += r->refused;
    bad += r->bad;
  }
  printf("1..%d\n# %d tests pass, %d are refused as listed, %d are wrong; %d of operators without "
         "a layer type are refused\n",
         number, passed, refused, bad, others);
  return 0; /* TAP tells the rest */
}

int main(int argc, char **argv)
{
  lrp_ctx *ctx = NULL;
  struct dirent **names = NULL;
  results all = {NULL, 0};
  LRP_PRELOAD();
  const int n = argc == 3 ? scandir(argv[1], &names, NULL, alphasort) : -1;
  if (n <= 0) {
    fprintf(stderr, "usage: conformance FOLDER-OF-NODE-TESTS LIST-OF-REFUSALS\n");
    return 1;
  }
  if (lrp_ctx_new(&ctx) || lrp_plugins_open(ctx)) {
    fprintf(stderr, "conformance: %s\n", ctx ? lrp_message(ctx) : "no memory");
    return 1;
  }
  for (int i = 0; i < n; i++) {
    if (names[i]->d_name[0] != '.') run_test(ctx, &all, argv[1], names[i]->d_name, argv[2]);
    free(names[i]);
  }
  free(names);
  qsort(all.of, (size_t)all.n, sizeof *all.of, by_name);
  const int code = print_results(&all);
  for (int i = 0; i < all.n; i++)
    free(all.of[i].notes);
  free(all.of);
  lrp_ctx_free(ctx);
  return code;
}
