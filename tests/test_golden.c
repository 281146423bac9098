/* test_golden.c - relevance against what zennit 1.0.0, captum 0.9.0 and others compute: every
 * rel_*.npy of every case.
 *
 * Tolerance: max|R - ref| <= max(1e-5, 20 noise32_rel) max|ref|, where noise32_rel is what the
 * reference program itself loses in float32 on that case; 1e-9 for the double build (1e-5 for
 * Captum's dialect there, whose pools have another epsilon than base.composite).  Outputs: 1e-5 of
 * the largest. */
#include "lrp/lrp.h"
#include "test.h"
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const CASES[] = {
    "mlp",     "mlp_nobias", "mlp_tanh",        "dead",        "cnn_max",
    "cnn_avg", "cnn_bn",     "cnn_bn_unmerged", "resnet_tiny", "cnn_overlap_pool",
    "deconv",  "textcnn",    "mlp_residual",    "fire_concat", "text_bow"};
enum { N_CASE = sizeof CASES / sizeof CASES[0] };
#ifdef LRP_REAL_DOUBLE
static const double FLOOR = 1e-9, OUTPUT = 1e-9;
#else
static const double FLOOR = 1e-5, OUTPUT = 1e-5;
#endif

typedef struct golden {
  lrp_ctx *ctx;
  lrp_model *model;
  lrp_input *input;
  lrp_graph *graph;
  json_t *meta;
  char folder[512];
} golden;

static void must(lrp_ctx *ctx, lrp_status st)
{
  ck_assert_msg(st == LRP_OK, "%s", lrp_message(ctx));
}

static const char *file_of(const golden *g, const char *name)
{
  static char path[1024];
  snprintf(path, sizeof path, "%s/%s", g->folder, name);
  return path;
}

static void open_case(golden *g, const char *name)
{
  char relative[256];
  snprintf(relative, sizeof relative, "golden/relevance/%s", name);
  snprintf(g->folder, sizeof g->folder, "%s", lrp_test_path(relative));
  must(NULL, lrp_ctx_new(&g->ctx));
  must(g->ctx, lrp_plugins_open(g->ctx));
  must(g->ctx, lrp_model_open(g->ctx, file_of(g, "model.onnx"), &g->model));
  const char *in = file_of(g, "input.npy");
  must(g->ctx, lrp_input_npy(g->ctx, g->model, &in, 1, &g->input));
  must(g->ctx, lrp_graph_build(g->ctx, g->model, g->input, strstr(name, "unmerged") ? "none" : NULL,
                               &g->graph));
  must(g->ctx, lrp_graph_forward(g->ctx, g->graph, g->input));
  g->meta = json_load_file(file_of(g, "meta.json"), 0, NULL);
  ck_assert_ptr_nonnull(g->meta);
}

static void close_case(golden *g)
{
  json_decref(g->meta);
  lrp_graph_free(g->graph);
  lrp_input_free(g->input);
  lrp_model_close(g->model);
  lrp_ctx_free(g->ctx);
}

/* Largest difference and largest reference value. */
static double distance(const lrp_tensor *r, const lrp_tensor *ref, double *largest)
{
  double worst = 0;
  *largest = 0;
  ck_assert_int_eq(lrp_count(r), lrp_count(ref));
  for (int64_t i = 0; i < lrp_count(ref); i++) {
    worst = fmax(worst, fabs((double)lrp_reals(r)[i] - (double)lrp_reals(ref)[i]));
    *largest = fmax(*largest, fabs((double)lrp_reals(ref)[i]));
  }
  return worst;
}

static double tolerance(const golden *g, const char *key)
{
  const json_t *e = json_object_get(json_object_get(g->meta, "rel"), key);
#ifdef LRP_REAL_DOUBLE
  (void)e; /* Captum stabilises pools with 1e-9, the composites' base with 1e-6 */
  if (!strcmp(key, "integrated_gradients20"))
    return 1e-7; /* zennit's steps from 1/20 to 1 are float32 */
  return !strncmp(key, "captum", 6) ? 1e-5 : FLOOR;
#else
  return fmax(FLOOR, 20 * json_number_value(json_object_get(e, "noise32_rel")));
#endif
}

/* A file in golden/composites, else a preset of that name.  zennit's presets with a first-layer rule
 * treat the first registered module only: in textcnn that is c3. */
static const char *composite_of(const golden *g, const char *key, const char *name)
{
  static char text[4096];
  char relative[300];
  snprintf(relative, sizeof relative, "golden/composites/%s.composite", key);
  snprintf(text, sizeof text, "%s", lrp_test_path(relative));
  if (access(text, R_OK)) snprintf(text, sizeof text, "%s", key);
  if (strcmp(name, "textcnn")) return text;
  FILE *f = fopen(text, "r");
  ck_assert_msg(f != NULL, "%s", text);
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  char *first = strstr(text, "first:");
  if (first)
    memcpy(first, "name:c3          ", strcspn(first, "-") < 17 ? strcspn(first, "-") : 17);
  (void)g;
  return text;
}

static void relevance_of(golden *g, const char *key, const char *name, const lrp_relevance **out,
                         lrp_composite **c)
{
  const char *at = !strncmp(key, "embedding_", 10) ? "emb" : NULL;
  const char *composite = !strncmp(key, "embedding_", 10) ? key + 10
                          : !strncmp(key, "token_", 6)    ? key + 6
                                                          : key;
  const int32_t method = !strcmp(key, "gradient")                 ? LRP_METHOD_GRADIENT
                         : !strcmp(key, "input_x_gradient")       ? LRP_METHOD_INPUT_X_GRADIENT
                         : !strcmp(key, "integrated_gradients20") ? LRP_METHOD_INTEGRATED_GRADIENTS
                                                                  : LRP_METHOD_LRP;
  const bool unit = strstr(key, "_seed_unit") != NULL,
             whole = strstr(key, "_seed_identity") != NULL;
  lrp_target target[8];
  const lrp_tensor *scores = lrp_graph_scores(g->graph);
  ck_assert_int_le(lrp_graph_n_batch(g->graph), 8);
  for (int64_t k = 0; k < lrp_graph_n_batch(g->graph); k++)
    must(g->ctx,
         lrp_target_parse(g->ctx, g->model, whole ? "all" : "argmax", scores, k, &target[k]));
  if (method == LRP_METHOD_LRP) {
    must(g->ctx, lrp_composite_open(g->ctx,
                                    unit || whole ? composite_of(g, "eps1e-6", name)
                                                  : composite_of(g, composite, name),
                                    g->model, c));
    must(g->ctx, lrp_graph_assign(g->ctx, g->graph, *c));
  }
  must(g->ctx, lrp_graph_explain(g->ctx, g->graph, g->input, target,
                                 unit ? LRP_SEED_ONE : LRP_SEED_LOGIT, method, 20, at, out));
}

static void check_one(golden *g, const char *name, const char *file)
{
  char key[256];
  lrp_tensor ref;
  const lrp_relevance *r;
  lrp_composite *c = NULL;
  snprintf(key, sizeof key, "%.*s", (int)(strlen(file) - 8), file + 4); /* rel_KEY.npy */
  must(g->ctx, lrp_npy_read(g->ctx, file_of(g, file), &ref));
  relevance_of(g, key, name, &r, &c);
  const lrp_tensor *got = !strncmp(key, "embedding_", 10) ? r->at : &r->tensor[0];
  ck_assert_ptr_nonnull(got);
  ck_assert_ptr_nonnull(got->data);
  double largest;
  const double worst = distance(got, &ref, &largest), tol = tolerance(g, key) * largest;
  ck_assert_msg(worst <= tol, "%s %s: differs by %g, %g is allowed (largest %g)", name, key, worst,
                tol, largest);
  free(ref.data);
  lrp_composite_free(c);
}

START_TEST(relevance_agrees_with_the_peers)
{
  golden g = {0};
  const char *name = CASES[_i];
  open_case(&g, name);
  DIR *d = opendir(g.folder);
  ck_assert_ptr_nonnull(d);
  int n = 0;
  for (struct dirent *e; (e = readdir(d));)
    if (!strncmp(e->d_name, "rel_", 4)) {
      check_one(&g, name, e->d_name);
      must(g.ctx, lrp_graph_forward(g.ctx, g.graph,
                                    g.input)); /* integrated gradients left other activations */
      n++;
    }
  closedir(d);
  ck_assert_int_ge(n, 6);
  close_case(&g);
}
END_TEST

START_TEST(outputs_agree_with_the_reference)
{
  golden g = {0};
  lrp_tensor ref;
  double largest;
  open_case(&g, CASES[_i]);
  must(g.ctx, lrp_npy_read(g.ctx, file_of(&g, "output.npy"), &ref));
  const double worst = distance(lrp_graph_output(g.graph, 0), &ref, &largest);
  ck_assert_msg(worst <= OUTPUT * largest, "%s: outputs differ by %g of %g", CASES[_i], worst,
                largest);
  free(ref.data);
  close_case(&g);
}
END_TEST

Suite *suite_golden(void);
Suite *suite_golden(void)
{
  Suite *s = suite_create("golden");
  TCase *t = tcase_create("peers");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, outputs_agree_with_the_reference, 0, N_CASE);
  tcase_add_loop_test(t, relevance_agrees_with_the_peers, 0, N_CASE);
  suite_add_tcase(s, t);
  return s;
}
