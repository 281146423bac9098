/* model.c - lrp model info|check|graph: what a model is, whether LRP can be applied, and every node
 * with its rule. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

enum { O_RULES, O_CANONIZE, O_SHAPE, O_PLUGIN, O_JSON };
static const cli_option OPTIONS[] = {
    [O_RULES] = {"rules", 'r', "RULES", "the composite (default: as explain would choose)"},
    [O_CANONIZE] = {"canonize", 0, "LIST",
                    "all (default), none, or canonizers with commas between; -NAME leaves one out"},
    [O_SHAPE] =
        {"shape", 's', "A,B,...",
         "the shape of the first input, where the model leaves axes open and no INPUT is given"},
    [O_PLUGIN] = {"plugin", 'p', "FILE", "load a plugin first; may be repeated"},
    [O_JSON] = {"json", 0, NULL, "print one JSON document"},
    {0}};
static int run_model(const cli_command *c, int argc, char **argv);
const cli_command CLI_MODEL = {
    "model",
    "info, check or graph: what a model is and which rule each node gets",
    "info|check|graph MODEL [INPUT...] [OPTION ...]\n\n"
    "info   what the model is: inputs, outputs, labels, default rules\n"
    "check  can it be explained, and what does LRP mean here?  exit status 4 lists every layer that\n"
    "       has no type or no rule; with INPUT it tells how much of the score arrives there\n"
    "graph  every node with its layer type, shape and rule; for the shapes of INPUT if it is given",
    OPTIONS,
    O_PLUGIN,
    "  lrp model info examples/models/spam-textcnn\n"
    "  lrp model check examples/models/fashion-cnn --rules epsilon_plus\n"
    "  lrp model graph examples/models/spam-textcnn \"see you at six\"\n"
    "  lrp model graph examples/models/fashion-cnn\n",
    run_model};

static const char *const MODALITIES[] = {"tensor", "image", "text"};

/* ---- info ---- */

static void put_signature(const char *what, const lrp_signature *s)
{
  printf("%-12s ", what);
  cli_escape(stdout, s->name, strlen(s->name));
  fputs(s->dtype == LRP_INDEX ? "  integers (" : "  numbers (", stdout);
  for (int32_t i = 0; i < s->rank; i++)
    if (s->shape[i] < 0)
      printf("%s?", i ? "," : "");
    else
      printf("%s%lld", i ? "," : "", (long long)s->shape[i]);
  puts(s->rank < 0 ? "any)" : ")");
}

static int info(const lrp_model *m)
{
  const lrp_model_info *a = lrp_model_about(m);
  printf("model        ");
  cli_escape(stdout, a->name, strlen(a->name));
  fputs("\nfile         ", stdout);
  cli_escape(stdout, a->file, strlen(a->file));
  printf("\nsha256       %s\nproducer     ", a->sha256);
  cli_escape(stdout, a->producer, strlen(a->producer));
  printf("\nopset        %d\nreads        %s\nparameters   %lld\nnodes        %lld\n", a->opset,
         MODALITIES[a->modality], (long long)a->n_param, (long long)a->n_node);
  for (int32_t i = 0; i < a->n_input; i++)
    put_signature("input", lrp_model_input(m, i));
  for (int32_t i = 0; i < a->n_output; i++)
    put_signature("output", lrp_model_output(m, i));
  if (a->n_label) printf("labels       ");
  for (int64_t i = 0; i < a->n_label && i < 20; i++) {
    char label[256];
    cli_label(m, i, label, sizeof label);
    printf("%s%lld ", i ? ", " : "", (long long)i);
    cli_escape(stdout, label, strlen(label));
  }
  if (a->n_label) puts(a->n_label > 20 ? ", ..." : "");
  printf("rules        %s (default)\n", a->composite);
  return 0;
}

static json_t *signature_json(const lrp_signature *s)
{
  json_t *shape = s->rank < 0 ? json_null() : json_array();
  for (int32_t i = 0; i < s->rank; i++)
    json_array_append_new(shape, s->shape[i] < 0 ? json_null() : json_integer(s->shape[i]));
  return json_pack("{s:o, s:s, s:o}", "name", cli_json_text(s->name, strlen(s->name)), "type",
                   s->dtype == LRP_INDEX ? "integers" : "numbers", "shape", shape);
}

static int info_json(const lrp_model *m)
{
  const lrp_model_info *a = lrp_model_about(m);
  json_t *labels = json_array(), *inputs = json_array(), *outputs = json_array();
  for (int64_t i = 0; i < a->n_label; i++) {
    char label[256];
    cli_label(m, i, label, sizeof label);
    json_array_append_new(labels, cli_json_text(label, strlen(label)));
  }
  for (int32_t i = 0; i < a->n_input; i++)
    json_array_append_new(inputs, signature_json(lrp_model_input(m, i)));
  for (int32_t i = 0; i < a->n_output; i++)
    json_array_append_new(outputs, signature_json(lrp_model_output(m, i)));
  cli_json_print(json_pack("{s:o, s:o, s:s, s:o, s:i, s:s, s:I, s:I, s:s, s:o, s:o, s:o}", "name",
                           cli_json_text(a->name, strlen(a->name)), "file",
                           cli_json_text(a->file, strlen(a->file)), "sha256", a->sha256, "producer",
                           cli_json_text(a->producer, strlen(a->producer)), "opset", a->opset,
                           "modality", MODALITIES[a->modality], "parameters",
                           (json_int_t)a->n_param, "nodes", (json_int_t)a->n_node, "rules",
                           a->composite, "labels", labels, "inputs", inputs, "outputs", outputs));
  return 0;
}

/* ---- a graph for shapes without an input ---- */

static bool parse_shape(const char *text, lrp_tensor *t)
{
  for (t->rank = 0; *text && t->rank < LRP_MAX_RANK; t->rank++) {
    char *end;
    const long long v = strtoll(text, &end, 10);
    if (end == text || v < 0 || (*end && *end != ',')) return false;
    t->shape[t->rank] = v;
    text = end + (*end == ',');
  }
  return !*text && t->rank > 0;
}

/* An input of the model's shapes, open axes 1 (text: 16 tokens), without data. */
static lrp_status stand_in(lrp_ctx *ctx, const lrp_model *m, const char *shape, lrp_input *in,
                           lrp_tensor *t, int32_t most)
{
  const lrp_model_info *a = lrp_model_about(m);
  if (a->n_input > most)
    return lrp_host_table()->fail(
        ctx, LRP_E_UNSUPPORTED,
        "the model has %d inputs, at most %d can be stood in for; give inputs", a->n_input, most);
  *in = (lrp_input){.kind = a->modality, .n_tensor = a->n_input, .tensor = t};
  for (int32_t i = 0; i < a->n_input; i++) {
    const lrp_signature *s = lrp_model_input(m, i);
    t[i] = (lrp_tensor){.dtype = s->dtype, .rank = s->rank};
    if (i == 0 && shape && !parse_shape(shape, &t[0]))
      return lrp_host_table()->fail(
          ctx, LRP_E_ARG, "--shape %s: whole numbers with commas between were expected", shape);
    if (i == 0 && shape) continue;
    if (s->rank < 0)
      return lrp_host_table()->fail(
          ctx, LRP_E_ARG, "input \"%s\" has no shape in the file; give --shape or an input",
          s->name);
    for (int32_t k = 0; k < s->rank; k++)
      t[i].shape[k] = s->shape[k] >= 0                 ? s->shape[k]
                      : k > 0 && s->dtype == LRP_INDEX ? 16
                      : k >= 2                         ? 32
                                                       : 1;
  }
  return LRP_OK;
}

/* A shape that was made up does not fit: say so. */
static lrp_status made_up(lrp_ctx *ctx, const lrp_model *m, lrp_status st)
{
  char why[512];
  bool open = false;
  for (int32_t i = 0; i < lrp_model_about(m)->n_input; i++)
    for (int32_t k = 0; k < lrp_model_input(m, i)->rank; k++)
      open = open || lrp_model_input(m, i)->shape[k] < 0;
  if (st != LRP_E_SHAPE || !open) return st;
  snprintf(why, sizeof why, "%s", lrp_message(ctx));
  return lrp_host_table()->fail(
      ctx, st, "%s; the model leaves axes open, which were made up: give an input or --shape", why);
}

/* *read: the input, where one was given; the caller frees it.  c: name all that is missing for it, too. */
static lrp_status build(lrp_ctx *ctx, const lrp_model *m, const cli_args *a, const lrp_composite *c,
                        lrp_graph **g, lrp_input **read)
{
  enum { MOST = 16 };
  lrp_tensor t[MOST];
  lrp_input shapes = {0}, *in = NULL;
  lrp_status st = LRP_OK;
  const int n = a->n_operand - 2;
  if (n > 1)
    st = lrp_input_npy(ctx, m, a->operand + 2, n, &in);
  else if (n == 1)
    st = cli_input(ctx, m, a->operand[2], &in);
  else
    st = stand_in(ctx, m, a->value[O_SHAPE], &shapes, t, MOST);
  if (!st) st = lrp_graph_build(ctx, m, in ? in : &shapes, a->value[O_CANONIZE], g);
  if (st == LRP_E_UNSUPPORTED && (in || shapes.n_tensor)) {
    const lrp_status all =
        lrp_graph_survey(ctx, m, in ? in : &shapes, a->value[O_CANONIZE], c);
    st = all ? all : st;
  }
  *read = in;
  return st && !in && !a->value[O_SHAPE] ? made_up(ctx, m, st) : st;
}

/* ---- graph ---- */

static void put_shape(const lrp_node_view *n, char *text, size_t size)
{
  snprintf(text, size, "(");
  for (int32_t i = 0; i < n->out->rank; i++) {
    const size_t len = strlen(text);
    snprintf(text + len, size - len, "%s%lld", i ? "," : "", (long long)n->out->shape[i]);
  }
  const size_t len = strlen(text);
  snprintf(text + len, size - len, n->channels_last ? ") cl" : ")");
}

static void put_cell(const char *s, int width)
{
  const int w = cli_width(s, strlen(s));
  cli_escape(stdout, s, strlen(s));
  printf("%*s", w < width ? width - w + 2 : 2, "");
}

/* What canonizers took out of the file's graph, beside the node that holds it now. */
static void put_gone(const lrp_graph *g, int64_t node, bool after, const int *width)
{
  char text[256];
  const char *by;
  int64_t into;
  int32_t behind;
  for (int64_t i = 0, all = lrp_graph_n_gone(g); i < all; i++) {
    const lrp_node_view n = lrp_graph_gone(g, i, &by, &into, &behind);
    if (into != node || (behind != 0) != after) continue;
    snprintf(text, sizeof text, "- %.240s", n.name);
    put_cell(text, width[0]);
    put_cell(n.op, width[1]);
    put_cell(n.layer->name, width[2]);
    put_shape(&n, text, sizeof text);
    put_cell(text, width[3]);
    printf("%s: now in ", by);
    const lrp_node_view now = lrp_graph_node(g, node);
    cli_escape(stdout, now.name, strlen(now.name));
    putchar('\n');
  }
}

static void graph_table(const lrp_graph *g)
{
  char shape[256];
  int name = 4, op = 8, layer = 5, out = 6;
  bool last = false;
  const int64_t nodes = lrp_graph_n_node(g), all = nodes + lrp_graph_n_gone(g);
  for (int64_t i = 0; i < all; i++) { /* columns as wide as they need */
    const char *by;
    int64_t into;
    int32_t behind;
    const lrp_node_view n =
        i < nodes ? lrp_graph_node(g, i) : lrp_graph_gone(g, i - nodes, &by, &into, &behind);
    put_shape(&n, shape, sizeof shape);
    const int w[] = {cli_width(n.name, strlen(n.name)) + 2 * (i >= nodes), (int)strlen(n.op),
                     (int)strlen(n.layer->name), (int)strlen(shape)};
    name = w[0] > name ? (w[0] < 40 ? w[0] : 40) : name;
    op = w[1] > op ? w[1] : op;
    layer = w[2] > layer ? w[2] : layer;
    out = w[3] > out ? w[3] : out;
    last = last || n.channels_last;
  }
  printf("%-*s  %-*s  %-*s  %-*s  %s\n", name, "node", op, "operator", layer, "layer", out,
         "output", "rule  <- line of the composite");
  for (int64_t i = 0; i < lrp_graph_n_node(g); i++) {
    const lrp_node_view n = lrp_graph_node(g, i);
    put_gone(g, i, false, (const int[]){name, op, layer, out});
    put_shape(&n, shape, sizeof shape);
    put_cell(n.name, name);
    put_cell(n.op, op);
    put_cell(n.layer->name, layer);
    put_cell(shape, out);
    cli_escape(stdout, n.rule[0] ? n.rule : "-", n.rule[0] ? strlen(n.rule) : 1);
    fputs(n.matcher[0] ? "  <- " : "", stdout);
    cli_escape(stdout, n.matcher, strlen(n.matcher));
    fputs(n.note[0] ? "  [" : "", stdout);
    cli_escape(stdout, n.note, strlen(n.note));
    puts(n.note[0] ? "]" : "");
    put_gone(g, i, true, (const int[]){name, op, layer, out});
  }
  if (lrp_graph_n_gone(g))
    puts("- in the file, but taken away by the canonizer named (--canonize none leaves all in)");
  if (last) puts("cl: the engine keeps this one channels-last");
}

static json_t *gone_json(const lrp_graph *g, int64_t node)
{
  json_t *list = json_array();
  const char *by;
  int64_t into;
  int32_t behind;
  for (int64_t i = 0, all = lrp_graph_n_gone(g); i < all; i++) {
    const lrp_node_view n = lrp_graph_gone(g, i, &by, &into, &behind);
    if (into == node)
      json_array_append_new(list, json_pack("{s:o, s:o, s:s, s:s}", "name",
                                            cli_json_text(n.name, strlen(n.name)), "op",
                                            cli_json_text(n.op, strlen(n.op)), "layer",
                                            n.layer->name, "canonizer", by));
  }
  return list;
}

static void graph_json(const lrp_graph *g)
{
  json_t *list = json_array();
  for (int64_t i = 0; i < lrp_graph_n_node(g); i++) {
    const lrp_node_view n = lrp_graph_node(g, i);
    json_t *shape = json_array();
    for (int32_t k = 0; k < n.out->rank; k++)
      json_array_append_new(shape, json_integer(n.out->shape[k]));
    json_array_append_new(
        list,
        json_pack("{s:o, s:o, s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:I}", "name",
                  cli_json_text(n.name, strlen(n.name)), "op", cli_json_text(n.op, strlen(n.op)),
                  "layer", n.layer->name, "arguments", n.args, "shape", shape, "channels_last",
                  (int)n.channels_last, "rule", cli_json_text(n.rule, strlen(n.rule)), "matcher",
                  cli_json_text(n.matcher, strlen(n.matcher)), "note",
                  cli_json_text(n.note, strlen(n.note)), "gone", gone_json(g, i), "parameters",
                  (json_int_t)n.n_param));
  }
  cli_json_print(list);
}

/* ---- all of it ---- */

static lrp_status examine(lrp_ctx *ctx, const lrp_model *m, const cli_args *a, bool check)
{
  lrp_graph *g = NULL;
  lrp_composite *c = NULL;
  lrp_input *in = NULL;
  const char *rules = a->value[O_RULES] ? a->value[O_RULES] : lrp_model_about(m)->composite;
  lrp_status st = lrp_composite_open(ctx, rules, m, &c);
  if (!st) st = build(ctx, m, a, c, &g, &in);
  if (!st) st = lrp_graph_assign(ctx, g, c);
  if (!st && check)
    st = cli_check(ctx, g, m, in, rules, a->value[O_JSON]);
  else if (g && !check && a->value[O_JSON])
    graph_json(g);
  else if (g && !check)
    graph_table(g);
  lrp_graph_free(g);
  lrp_composite_free(c);
  lrp_input_free(in);
  return st;
}

static int run_model(const cli_command *c, int argc, char **argv)
{
  static const char *const WHAT[] = {"info", "check", "graph"};
  cli_args a;
  lrp_ctx *ctx = NULL;
  lrp_model *m = NULL;
  int code = cli_parse(c, argc, argv, &a), what = -1;
  if (code) {
    cli_args_free(&a);
    return code - 1;
  }
  for (int i = 0; a.n_operand >= 2 && i < 3; i++)
    what = strcmp(a.operand[0], WHAT[i]) ? what : i;
  if (what < 0 || (what == 0 && a.n_operand > 2)) {
    cli_error(
        "model: info, check or graph, then a model were expected; lrp model --help shows examples");
    code = 2;
  } else {
    lrp_status st = cli_session(a.all, a.n_all, NULL, NULL, &ctx);
    code = lrp_exit_status(st);
    if (!st && !(st = lrp_model_open(ctx, a.operand[1], &m))) {
      if (what == 0)
        code = a.value[O_JSON] ? info_json(m) : info(m);
      else
        st = examine(ctx, m, &a, what == 1);
    }
    if (st && ctx) code = cli_fail(ctx, st);
  }
  lrp_model_close(m);
  lrp_ctx_free(ctx);
  cli_args_free(&a);
  return code;
}
