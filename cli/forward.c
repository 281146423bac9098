/* forward.c - lrp forward: the raw outputs of a model. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

enum {
  O_OUT,
  O_OUTPUT_INDEX,
  O_CANONIZE,
  O_PLUGIN,
  O_JSON,
  O_PROFILE,
  O_THREADS,
  O_MEMORY,
  O_PRECISION,
  O_QUIET
};
static const cli_option OPTIONS[] = {
    [O_OUT] = {"output", 'o', "FILE", "write the output as .npy in the shape of the model file"},
    [O_OUTPUT_INDEX] = {"index", 'i', "N", "which output of the model (0)"},
    [O_CANONIZE] = {"canonize", 0, "LIST",
                    "all (default), none, or canonizers with commas between; -NAME leaves one out"},
    [O_PLUGIN] = {"plugin", 'p', "FILE", "load a plugin first; may be repeated"},
    [O_JSON] = {"json", 0, NULL, "print one JSON document"},
    [O_PROFILE] = {"profile", 0, NULL, "tell what each layer costs: time, products, bytes"},
    [O_THREADS] = {"threads", 0, "N", "threads"},
    [O_MEMORY] = {"memory", 0, "SIZE", "at most this much for the model's tensors"},
    [O_PRECISION] = {"precision", 0, "NAME", CLI_PRECISION_DOC},
    [O_QUIET] = {"quiet", 'q', NULL, "no notes on standard error"},
    {0}};
static int run_forward(const cli_command *c, int argc, char **argv);
const cli_command CLI_FORWARD = {
    "forward",
    "run a model and give its raw outputs",
    "MODEL INPUT... [OPTION ...]",
    OPTIONS,
    O_PLUGIN,
    "  lrp forward examples/models/fashion-cnn examples/data/ankle-boot.png\n"
    "  lrp forward examples/models/spam-textcnn \"see you at six\" --json\n",
    run_forward};

static void print_json(const lrp_tensor *t, const char *name, const lrp_graph *g)
{
  json_t *shape = json_array(), *values = json_array();
  for (int32_t i = 0; i < t->rank; i++)
    json_array_append_new(shape, json_integer(t->shape[i]));
  for (int64_t i = 0; i < lrp_count(t); i++) {
    json_t *real = t->dtype == LRP_INDEX ? json_integer(lrp_indices(t)[i])
                                         : json_real((double)lrp_reals(t)[i]);
    json_array_append_new(values, real ? real : json_null()); /* JSON knows no infinity */
  }
  json_t *o = json_pack("{s:o, s:o, s:o}", "name", cli_json_text(name, strlen(name)), "shape",
                        shape, "values", values);
  if (o && lrp_graph_costs(g)) json_object_set_new(o, "profile", cli_profile_json(g));
  cli_json_print(o);
}

static void print_output(const lrp_tensor *t, const char *name)
{
  enum { MOST = 1000 };
  const int64_t n = lrp_count(t);
  cli_escape(stdout, name, strlen(name));
  for (int32_t i = 0; i < t->rank; i++)
    printf("%s%lld", i ? "," : " (", (long long)t->shape[i]);
  fputs(t->rank ? ")\n" : " (a number)\n", stdout);
  for (int64_t i = 0; i < n && i < MOST; i++) {
    if (t->dtype == LRP_INDEX)
      printf("%s%lld", i ? " " : "", (long long)lrp_indices(t)[i]);
    else
      printf("%s%.9g", i ? " " : "", (double)lrp_reals(t)[i]);
  }
  fputs(n > MOST ? " ... (-o file.npy writes all)\n" : "\n", stdout);
}

static lrp_status read_input(lrp_ctx *ctx, const lrp_model *m, const cli_args *a, lrp_input **in)
{
  const int n = a->n_operand - 1;
  const int32_t wanted = lrp_model_about(m)->n_input;
  if (n > 1 && n == wanted) return lrp_input_npy(ctx, m, a->operand + 1, n, in);
  if (n > 1)
    return lrp_host_table()->fail(
        ctx, LRP_E_ARG,
        "forward takes one input, or one .npy for each of the model's %d inputs; got %d", wanted,
        n);
  return cli_input(ctx, m, a->operand[1], in);
}

static lrp_status forward(lrp_ctx *ctx, const cli_args *a, int64_t index)
{
  lrp_model *m = NULL;
  lrp_input *in = NULL;
  lrp_graph *g = NULL;
  lrp_status st = lrp_model_open(ctx, a->operand[0], &m);
  if (!st) st = read_input(ctx, m, a, &in);
  if (!st) st = lrp_graph_build(ctx, m, in, a->value[O_CANONIZE], &g);
  if (!st && a->value[O_PROFILE]) st = lrp_graph_profile(ctx, g);
  if (!st) st = lrp_graph_forward(ctx, g, in);
  const lrp_tensor *t = st ? NULL : lrp_graph_output(g, (int32_t)index);
  if (!st && !t)
    st = lrp_host_table()->fail(ctx, LRP_E_ARG, "--index %lld: the model has %d outputs",
                                (long long)index, lrp_model_about(m)->n_output);
  if (!st && a->value[O_OUT]) {
    st = lrp_npy_write(ctx, a->value[O_OUT], t);
    if (!st) cli_note("wrote %s", a->value[O_OUT]);
  }
  const char *name = st ? NULL : lrp_model_output(m, (int32_t)index)->name;
  if (!st && a->value[O_JSON])
    print_json(t, name, g);
  else if (!st && !a->value[O_OUT])
    print_output(t, name);
  if (!st && a->value[O_PROFILE] && !a->value[O_JSON]) cli_profile_print(stderr, g);
  lrp_graph_free(g);
  lrp_input_free(in);
  lrp_model_close(m);
  return st;
}

static int run_forward(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  lrp_ctx *ctx = NULL;
  int64_t index = 0;
  int code = cli_parse(c, argc, argv, &a);
  if (code) {
    cli_args_free(&a);
    return code - 1;
  }
  cli_quiet(a.value[O_QUIET]);
  if (a.n_operand < 2) {
    cli_error("forward: a model and an input were expected; lrp forward --help shows examples");
    code = 2;
  } else if (a.value[O_OUTPUT_INDEX] &&
             !cli_int(&OPTIONS[O_OUTPUT_INDEX], a.value[O_OUTPUT_INDEX], 0, 1000, &index)) {
    code = 2;
  } else {
    lrp_status st = cli_session(a.all, a.n_all, a.value[O_THREADS], a.value[O_MEMORY], &ctx);
    if (!st) st = cli_precision(ctx, a.value[O_PRECISION]);
    code = lrp_exit_status(st);
    if (!st && (st = forward(ctx, &a, index))) code = cli_fail(ctx, st);
  }
  lrp_ctx_free(ctx);
  cli_args_free(&a);
  return code;
}
