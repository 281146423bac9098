/* explain_all.c - the way of one input through lrp explain: read, graph, rules, forward, relevance, views. */
#include "explain.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- inputs ---- */

/* All of standard input, at most 64 MiB. */
static char *read_stdin(size_t *n)
{
  enum { LIMIT = 64 << 20 };
  size_t cap = 4096;
  char *s = malloc(cap + 1);
  *n = 0;
  while (s) {
    const size_t got = fread(s + *n, 1, cap - *n, stdin);
    *n += got;
    if (!got || *n > LIMIT)
      break;
    if (*n == cap) {
      char *grown = realloc(s, 2 * cap + 1);
      if (!grown) {
        free(s);
        return NULL;
      }
      s = grown;
      cap *= 2;
    }
  }
  while (s && *n && (s[*n - 1] == '\n' || s[*n - 1] == '\r')) /* the line end of echo is no part of the text */
    --*n;
  return s;
}

/* A word with the look of a file name: no blank, and a known ending or a slash. */
static bool looks_like_path(const char *s)
{
  static const char *const ENDINGS[] = {".txt", ".png", ".jpg", ".jpeg", ".npy", ".tsv", ".csv", ".json", ".onnx", NULL};
  if (strpbrk(s, " \t\n"))
    return false;
  const char *dot = strrchr(s, '.');
  for (int i = 0; dot && ENDINGS[i]; i++)
    if (!strcmp(dot, ENDINGS[i]))
      return true;
  return s[0] == '/' || !strncmp(s, "./", 2) || !strncmp(s, "../", 3);
}

static lrp_status input_of(job *j, const char *operand, lrp_input **out)
{
  const bool text = lrp_model_about(j->model)->modality == LRP_MODALITY_TEXT;
  if (!strcmp(operand, "-")) {
    size_t n;
    char *s = read_stdin(&n);
    const lrp_status st = !s ? LRP_E_NOMEM : lrp_input_text(j->ctx, j->model, s, n, out);
    free(s);
    return st;
  }
  if (text && access(operand, F_OK)) {
    if (!looks_like_path(operand))
      return lrp_input_text(j->ctx, j->model, operand, strlen(operand), out);
    return lrp_host_table()->fail(j->ctx, LRP_E_INPUT,
                                  "%s: no such file; to explain this very text, give it as --text \"%s\"", operand, operand);
  }
  return lrp_input_file(j->ctx, j->model, operand, out);
}

/* ---- one input ---- */

static bool same_shapes(const lrp_input *a, const lrp_input *b)
{
  if (!a || a->n_tensor != b->n_tensor)
    return false;
  for (int32_t i = 0; i < a->n_tensor; i++)
    if (a->tensor[i].rank != b->tensor[i].rank ||
        memcmp(a->tensor[i].shape, b->tensor[i].shape, (size_t)a->tensor[i].rank * sizeof(int64_t)))
      return false;
  return true;
}

static lrp_status graph_for(job *j, const lrp_input *in)
{
  if (j->graph && same_shapes(j->graph_for, in))
    return LRP_OK;
  lrp_graph_free(j->graph);
  j->graph = NULL;
  j->logged_graph = NULL;
  lrp_status st = lrp_graph_build(j->ctx, j->model, in, j->canonize, &j->graph);
  if (!st && j->composite)
    st = lrp_graph_assign(j->ctx, j->graph, j->composite);
  return st;
}

static void describe_target(const job *j, const lrp_target *t, char *out, size_t n)
{
  char plus[200], minus[200];
  if (t->plus < 0)
    snprintf(out, n, "all outputs");
  else if (t->minus < 0)
    snprintf(out, n, "%s", cli_label(j->model, t->plus, plus, sizeof plus));
  else
    snprintf(out, n, "%s - %s", cli_label(j->model, t->plus, plus, sizeof plus),
             cli_label(j->model, t->minus, minus, sizeof minus));
}

/* Probability of the predicted class: softmax over the scores, or the logistic function of a single one. */
static double probability(const lrp_real *s, int64_t n, int64_t at)
{
  double sum = 0;
  if (n == 1)
    return 1 / (1 + exp(-(double)s[0]));
  for (int64_t i = 0; i < n; i++)
    sum += exp((double)s[i] - (double)s[at]);
  return n ? 1 / sum : -1;
}

static void fill_view(const job *j, const lrp_input *in, const char *name, const lrp_relevance *r, const lrp_target *target,
                      int64_t sample, cli_view *v)
{
  const lrp_tensor *scores = lrp_graph_scores(j->graph);
  const int64_t batch = lrp_graph_n_batch(j->graph);
  *v = (cli_view){.model = j->model, .composite = j->composite, .method = j->method_text, .graph = j->graph, .input = in,
                  .name = name, .r = r, .sample = sample, .target = *target, .rel_input = -1};
  v->n_class = batch ? lrp_count(scores) / batch : 0;
  v->scores = lrp_reals(scores) + sample * v->n_class;
  for (int64_t i = 1; i < v->n_class; i++)
    if (v->scores[i] > v->scores[v->predicted])
      v->predicted = i;
  v->probability = scores->rank <= 2 ? probability(v->scores, v->n_class, v->predicted) : -1;
  for (int32_t i = 0; i < r->n_tensor && v->rel_input < 0; i++)
    if (r->tensor[i].data) {
      v->rel_input = i;
      v->n_rel = lrp_count(&r->tensor[i]) / batch;
      v->rel = lrp_reals(&r->tensor[i]) + sample * v->n_rel;
    }
}

static lrp_status show(job *j, const cli_view *v)
{
  if (j->json) {
    json_t *o = cli_json(v, j->ledger);
    return o && !json_array_append_new(j->documents, o) ? LRP_OK : LRP_E_NOMEM;
  }
  if (j->n_done)
    putchar('\n');
  cli_show_head(stdout, j->color, v);
  cli_show_balance(stdout, v);
  if (v->input->kind == LRP_MODALITY_TEXT && v->rel)
    cli_show_text(stdout, j->color, v);
  else if (v->input->kind == LRP_MODALITY_IMAGE && v->rel)
    cli_show_image(stdout, j->color, v);
  else if (v->rel)
    cli_show_tensor(stdout, v);
  if (j->ledger)
    cli_show_ledger(stdout, v);
  return LRP_OK;
}

static lrp_status present(job *j, const lrp_input *in, const char *name, const lrp_relevance *r, const lrp_target *targets)
{
  lrp_status st = LRP_OK;
  const int64_t batch = lrp_graph_n_batch(j->graph);
  for (int64_t k = 0; !st && k < batch; k++) {
    char label[512], numbered[1024];
    cli_view v;
    describe_target(j, &targets[k], label, sizeof label);
    snprintf(numbered, sizeof numbered, "%s[%lld]", name, (long long)k);
    fill_view(j, in, batch > 1 ? numbered : name, r, &targets[k], k, &v);
    v.target_text = label;
    st = show(j, &v);
    if (!st && j->db)
      st = job_log(j, &v);
    if (!st && j->out && k == 0)
      st = job_write(j, &v);
    j->n_done++;
  }
  return st;
}

static lrp_status explain_input(job *j, const lrp_input *in, const char *name)
{
  const lrp_relevance *r;
  lrp_status st = graph_for(j, in);
  if (!st)
    st = lrp_graph_forward(j->ctx, j->graph, in);
  if (st)
    return st;
  const int64_t batch = lrp_graph_n_batch(j->graph);
  lrp_target *targets = calloc((size_t)batch + 1, sizeof *targets);
  if (!targets)
    return LRP_E_NOMEM;
  for (int64_t k = 0; !st && k < batch; k++)
    st = lrp_target_parse(j->ctx, j->model, j->target, lrp_graph_scores(j->graph), k, &targets[k]);
  if (!st)
    st = lrp_graph_explain(j->ctx, j->graph, in, targets, j->seed, j->method, j->n_step, j->at, &r);
  if (!st)
    st = present(j, in, name, r, targets);
  free(targets);
  return st;
}

/* ---- all inputs ---- */

static lrp_status one(job *j, lrp_input *in, const char *name, lrp_input **kept)
{
  const lrp_status st = explain_input(j, in, name);
  lrp_input_free(*kept); /* the graph's shapes are compared with the last input */
  *kept = in;
  j->graph_for = in;
  return st;
}

static lrp_status each(job *j, const char **operand, int n, const char *text)
{
  lrp_input *kept = NULL, *in = NULL;
  lrp_status st = LRP_OK;
  const int n_in = lrp_model_about(j->model)->n_input;
  if (text) {
    st = lrp_input_text(j->ctx, j->model, text, strlen(text), &in);
    if (!st)
      st = one(j, in, "text", &kept);
  }
  if (n_in > 1 && n == n_in && strstr(operand[0], ".npy")) {
    st = lrp_input_npy(j->ctx, j->model, operand, n, &in);
    if (!st)
      st = one(j, in, operand[0], &kept);
    n = 0;
  }
  for (int i = 0; !st && i < n; i++) {
    st = input_of(j, operand[i], &in);
    if (!st)
      st = one(j, in, in->path ? in->path : !strcmp(operand[i], "-") ? "standard input" : "text", &kept);
  }
  lrp_input_free(kept);
  j->graph_for = NULL;
  return st;
}

static lrp_status open_all(job *j, const char *model, const char *rules)
{
  lrp_status st = lrp_model_open(j->ctx, model, &j->model);
  if (!st && j->method == LRP_METHOD_LRP)
    st = lrp_composite_open(j->ctx, rules ? rules : lrp_model_about(j->model)->composite, j->model, &j->composite);
  if (!st && j->json)
    j->documents = json_array();
  return st;
}

int explain_all(job *j, const char *model, const char **operand, int n, const char *text, const char *rules)
{
  lrp_status st = open_all(j, model, rules);
  if (!st)
    st = each(j, operand, n, text);
  char message[4096];
  snprintf(message, sizeof message, "%s", st ? lrp_message(j->ctx) : "");
  const lrp_status end = job_log_end(j, st);
  if (!st)
    st = end;
  else
    lrp_host_table()->fail(j->ctx, st, "%s", message);
  if (!st && j->json) {
    json_dumpf(json_array_size(j->documents) == 1 ? json_array_get(j->documents, 0) : j->documents, stdout,
               JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    putchar('\n');
  }
  const int code = st ? cli_fail(j->ctx, st) : 0;
  json_decref(j->documents);
  lrp_graph_free(j->graph);
  lrp_composite_free(j->composite);
  lrp_model_close(j->model);
  return code;
}
