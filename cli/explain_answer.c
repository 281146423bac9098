/* explain_answer.c - relevance of one input of lrp explain, under all targets.
 *
 * A batch that needs more memory than the limit allows is cut: half as many samples are tried, and half of those, until
 * they fit; their parts are joined behind each other.  What is asked of a node inside (--at) and inputs that are no
 * plain batch are explained as a whole or not at all. */
#include "explain.h"
#include <stdlib.h>
#include <string.h>

static lrp_status graph_for(job *j, const lrp_input *in)
{
  const lrp_input *was = j->graph_for;
  if (j->graph && was && was->n_tensor == in->n_tensor && cli_same_shapes(was->tensor, in->tensor, in->n_tensor))
    return LRP_OK;
  lrp_graph_free(j->graph);
  j->graph = NULL;
  j->logged_graph = NULL;
  lrp_status st = lrp_graph_build(j->ctx, j->model, in, j->canonize, &j->graph);
  if (!st && j->composite) st = lrp_graph_assign(j->ctx, j->graph, j->composite);
  return st;
}

/* --target A,B: several, unless the whole is one label.  Known with the first scores. */
static lrp_status targets_of(job *j)
{
  lrp_target t;
  if (j->targets) return LRP_OK;
  const size_t n = j->target ? strlen(j->target) : 0;
  char *text = malloc(n + 1);
  const char **list = calloc(n + 1, sizeof *list);
  j->targets = list;
  j->target_words = text;
  j->n_target = 1;
  if (!text || !list) return LRP_E_NOMEM;
  list[0] = j->target;
  if (!j->target || !strchr(j->target, ',') ||
      !lrp_target_parse(j->ctx, j->model, j->target, lrp_graph_scores(j->graph), 0, &t))
    return LRP_OK;
  memcpy(text, j->target, n + 1);
  j->n_target = cli_cut(text, list);
  return j->n_target > 1 && j->at
             ? lrp_host_table()->fail(j->ctx, LRP_E_ARG, "--at wants one target, not %d",
                                      j->n_target)
             : LRP_OK;
}

/* The graph's own result is overwritten by the next one: copied where there are several. */
static lrp_status answer_target(job *j, const lrp_input *in, int which, job_target *a)
{
  const int64_t batch = lrp_graph_n_batch(j->graph);
  lrp_status st = LRP_OK;
  a->target = calloc((size_t)batch + 1, sizeof *a->target);
  if (!a->target) return LRP_E_NOMEM;
  for (int64_t k = 0; !st && k < batch; k++)
    st = lrp_target_parse(j->ctx, j->model, j->targets[which], lrp_graph_scores(j->graph), k,
                          &a->target[k]);
  if (!st)
    st = lrp_graph_explain(j->ctx, j->graph, in, a->target, j->seed, j->method, j->n_step, j->at,
                           &a->r);
  if (!st && j->n_target > 1) {
    a->r = a->copy = cli_keep(a->r, batch, lrp_graph_n_node(j->graph));
    if (!a->copy) st = LRP_E_NOMEM;
  }
  return st;
}

static void free_targets(job_target *a, int n)
{
  for (int k = 0; a && k < n; k++) {
    free(a[k].target);
    free(a[k].copy);
  }
  free(a);
}

/* One pass forward, and one back for each target. */
static lrp_status answer(job *j, const lrp_input *in, job_target **out)
{
  *out = NULL;
  lrp_status st = graph_for(j, in);
  if (!st && j->profile) st = lrp_graph_profile(j->ctx, j->graph);
  if (!st) st = lrp_graph_forward(j->ctx, j->graph, in);
  if (!st) st = targets_of(j);
  if (st) return st;
  *out = calloc((size_t)j->n_target, sizeof **out);
  if (!*out) return LRP_E_NOMEM;
  lrp_graph_once(j->graph, j->n_target == 1);
  for (int k = 0; !st && k < j->n_target; k++)
    st = answer_target(j, in, k, &(*out)[k]);
  return st;
}

/* ---- in parts ---- */

/* Samples that lie one behind the other in each input: how many; 1: it is no batch that could be cut. */
static int64_t samples_of(const job *j, const lrp_input *in)
{
  if (in->kind != LRP_MODALITY_TENSOR || in->n_tensor < 1 || j->at || j->profile) return 1;
  const int64_t n = in->tensor[0].rank ? in->tensor[0].shape[0] : 1;
  for (int32_t i = 0; i < in->n_tensor; i++) {
    const lrp_signature *sig = lrp_model_input(j->model, i);
    const bool open = sig->rank < 0 || (sig->rank > 0 && sig->shape[0] < 0);
    if (!open || !in->tensor[i].rank || in->tensor[i].shape[0] != n) return 1;
  }
  return n;
}

/* Samples first..first+n of `all`, in the arrays of the input. */
static void part_of(const lrp_input *in, int64_t first, int64_t n, int64_t all, lrp_input *part)
{
  for (int32_t i = 0; i < in->n_tensor; i++) {
    lrp_tensor *t = &part->tensor[i];
    *t = in->tensor[i];
    const size_t sample = (size_t)(lrp_count(t) / all) *
                          (t->dtype == LRP_REAL ? sizeof *lrp_reals(t) : sizeof *lrp_indices(t));
    t->data = (char *)t->data + (size_t)first * sample;
    t->shape[0] = n;
  }
}

static lrp_status join_scores(job *j, int64_t first, int64_t n, int64_t all)
{
  const lrp_tensor *s = lrp_graph_scores(j->graph);
  const size_t each = (size_t)(lrp_count(s) / n);
  if (!j->scores_room) j->scores_room = malloc((size_t)all * each * sizeof *j->scores_room + 1);
  if (!j->scores_room) return LRP_E_NOMEM;
  memcpy(j->scores_room + (size_t)first * each, s->data, (size_t)n * each * sizeof *j->scores_room);
  j->scores = *s;
  j->scores.shape[0] = all;
  j->scores.data = j->scores_room;
  return LRP_OK;
}

static lrp_status join_targets(job *j, const job_target *part, int64_t first, int64_t n, int64_t all)
{
  const int64_t n_node = lrp_graph_n_node(j->graph);
  if (!j->answer && !(j->answer = calloc((size_t)j->n_target, sizeof *j->answer))) return LRP_E_NOMEM;
  for (int k = 0; k < j->n_target; k++) {
    job_target *a = &j->answer[k];
    if (!a->target) a->target = calloc((size_t)all, sizeof *a->target);
    if (!a->copy) a->r = a->copy = cli_keep_room(part[k].r, n, all, n_node);
    if (!a->target || !a->copy) return LRP_E_NOMEM;
    memcpy(a->target + first, part[k].target, (size_t)n * sizeof *a->target);
    cli_keep_part(a->copy, all, first, part[k].r, n, n_node);
  }
  return LRP_OK;
}

static lrp_status next_part(job *j, const lrp_input *part, int64_t first, int64_t n, int64_t all)
{
  job_target *a;
  lrp_status st = answer(j, part, &a);
  if (!st && lrp_graph_n_batch(j->graph) != n)
    st = lrp_host_table()->fail(j->ctx, LRP_E_NOMEM, "the batch does not fit into the memory limit, and cannot be cut");
  if (!st) st = join_scores(j, first, n, all);
  if (!st) st = join_targets(j, a, first, n, all);
  free_targets(a, j->n_target);
  return st;
}

/* all samples did not fit. */
static lrp_status in_parts(job *j, const lrp_input *in, int64_t all)
{
  lrp_input part = *in, before = *in; /* the part, and that for which the graph was built */
  part.tensor = calloc(2 * (size_t)in->n_tensor, sizeof *part.tensor);
  if (!part.tensor) return LRP_E_NOMEM;
  before.tensor = part.tensor + in->n_tensor;
  lrp_status st = LRP_OK;
  int64_t most = (all + 1) / 2;
  j->in_parts = true;
  j->graph_for = NULL;
  for (int64_t first = 0, n; !st && first < all && !cli_signal(); first += st ? 0 : n) {
    n = all - first < most ? all - first : most;
    part_of(in, first, n, all, &part);
    st = next_part(j, &part, first, n, all);
    memcpy(before.tensor, part.tensor, (size_t)in->n_tensor * sizeof *part.tensor);
    j->graph_for = &before;
    if (st != LRP_E_NOMEM || most == 1) continue;
    most = (most + 1) / 2;
    n = 0;
    st = LRP_OK;
  }
  j->graph_for = NULL;
  free(part.tensor);
  if (cli_signal()) return LRP_E_NUMERIC; /* incomplete; nobody is told but of the signal */
  if (!st)
    cli_note("%lld samples were explained %lld at a time, as the memory limit allows", (long long)all,
             (long long)most);
  return st;
}

/* ---- both ---- */

lrp_status job_answer(job *j, const lrp_input *in)
{
  const int64_t all = samples_of(j, in);
  j->in_parts = false;
  lrp_status st = answer(j, in, &j->answer);
  if (st == LRP_E_NOMEM && all > 1) {
    free_targets(j->answer, j->n_target);
    j->answer = NULL;
    j->n_sample = all;
    return in_parts(j, in, all);
  }
  if (!st) j->n_sample = lrp_graph_n_batch(j->graph);
  if (!st) j->scores = *lrp_graph_scores(j->graph);
  return st;
}

void job_answer_free(job *j)
{
  free_targets(j->answer, j->n_target);
  free(j->scores_room);
  j->answer = NULL;
  j->scores_room = NULL;
}
