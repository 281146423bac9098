/* driver.c - a model, rules and an input, kept ready; bench/run asks for one pass at a time.
 *
 *   lrp-driver [--precision NAME] MODEL RULES THREADS INPUT.npy...
 *
 * RULES are those of --rules, or method:NAME, or method:integrated_gradients:STEPS.
 *
 * Requests come on standard input, one a line, and each is answered by one line: "forward" and
 * "explain" (a forward pass and the way back) give seconds and processor seconds, "forward N" and "explain N" the
 * means of N in a row, "work" multiply-adds forward and back, "memory" the most KiB that were resident, "save FILE"
 * and "scores FILE" write arrays. */
#include "lrp/lrp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char *const METHODS[] = {"lrp", "gradient", "input_x_gradient",
                                      "integrated_gradients", NULL};

static const char *const PRECISIONS[] = {"f32", "bf16x3", "bf16", "auto", NULL};

typedef struct job {
  lrp_ctx *ctx;
  lrp_model *model;
  lrp_input *input;
  lrp_graph *graph;
  lrp_composite *composite;
  lrp_target *target;
  int64_t batch;
  int32_t method;
  int64_t n_step;
  const lrp_relevance *relevance;
} job;

static double now(clockid_t clock)
{
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static lrp_status open_job(job *j, char **argv, int n_input)
{
  const char *rules = argv[2];
  for (int32_t i = 0; !strncmp(rules, "method:", 7) && METHODS[i]; i++)
    if (strcspn(rules + 7, ":") == strlen(METHODS[i]) &&
        !strncmp(rules + 7, METHODS[i], strlen(METHODS[i])))
      j->method = i;
  const char *steps = j->method ? strchr(rules + 7, ':') : NULL;
  j->n_step = steps ? strtol(steps + 1, NULL, 10) : 20;
  lrp_status st = lrp_plugins_open(j->ctx);
  if (!st) st = lrp_model_open(j->ctx, argv[1], &j->model);
  if (!st)
    st = lrp_input_npy(j->ctx, j->model, (const char *const *)(argv + 4), n_input, &j->input);
  if (!st) st = lrp_graph_build(j->ctx, j->model, j->input, NULL, &j->graph);
  if (!st && j->method == LRP_METHOD_LRP) {
    st = lrp_composite_open(j->ctx, rules, j->model, &j->composite);
    if (!st) st = lrp_graph_assign(j->ctx, j->graph, j->composite);
  }
  if (!st) lrp_graph_once(j->graph, 1);
  j->batch = st ? 0 : lrp_graph_n_batch(j->graph);
  j->target = calloc((size_t)j->batch + 1, sizeof *j->target);
  return st ? st : j->target ? LRP_OK : LRP_E_NOMEM;
}

static void close_job(job *j)
{
  free(j->target);
  lrp_graph_free(j->graph);
  lrp_composite_free(j->composite);
  lrp_input_free(j->input);
  lrp_model_close(j->model);
  lrp_ctx_free(j->ctx);
}

static lrp_status explain(job *j)
{
  lrp_status st = lrp_graph_forward(j->ctx, j->graph, j->input);
  for (int64_t k = 0; !st && k < j->batch; k++)
    st = lrp_target_parse(j->ctx, j->model, "argmax", lrp_graph_scores(j->graph), k, &j->target[k]);
  return st ? st
            : lrp_graph_explain(j->ctx, j->graph, j->input, j->target, LRP_SEED_LOGIT, j->method,
                                j->n_step, NULL, &j->relevance);
}

/* The first input that has relevance. */
static lrp_status save(job *j, const char *path)
{
  int32_t i = 0;
  while (j->relevance && i + 1 < j->relevance->n_tensor && !j->relevance->tensor[i].data)
    i++;
  return j->relevance ? lrp_npy_write(j->ctx, path, &j->relevance->tensor[i]) : LRP_E_ARG;
}

static lrp_status work(job *j)
{
  const int64_t n = lrp_graph_n_node(j->graph);
  double sum[2] = {0, 0};
  lrp_status st = lrp_graph_profile(j->ctx, j->graph);
  if (!st) st = explain(j);
  const lrp_cost *c = st ? NULL : lrp_graph_costs(j->graph);
  for (int64_t i = 0; c && i < 2 * n; i++)
    sum[i >= n] += c[i].work;
  if (!st) printf("%.0f %.0f\n", sum[0], sum[1]);
  return st;
}

static lrp_status forward(job *j)
{
  return lrp_graph_forward(j->ctx, j->graph, j->input);
}

/* "NAME N"; 0: another request. */
static long times_of(const char *line, const char *name)
{
  const size_t n = strlen(name);
  if (strncmp(line, name, n) != 0 || (line[n] && line[n] != ' ')) return 0;
  const long times = line[n] ? strtol(line + n, NULL, 10) : 1;
  return times > 1 ? times : 1;
}

static lrp_status answer(job *j, const char *line)
{
  lrp_status st = LRP_OK;
  const long ahead = times_of(line, "forward"), both = times_of(line, "explain");
  const double n = ahead + both > 1 ? (double)(ahead + both) : 1;
  const double start = now(CLOCK_MONOTONIC), busy = now(CLOCK_PROCESS_CPUTIME_ID);
  if (!strcmp(line, "work")) return work(j);
  for (long i = 0; !st && i < ahead + both; i++)
    st = ahead ? forward(j) : explain(j);
  if (!strncmp(line, "save ", 5))
    st = save(j, line + 5);
  else if (!strncmp(line, "scores ", 7))
    st = lrp_npy_write(j->ctx, line + 7, lrp_graph_scores(j->graph));
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  if (!st && !strcmp(line, "memory"))
    printf("%ld\n", use.ru_maxrss);
  else if (!st)
    printf("%.9f %.9f\n", (now(CLOCK_MONOTONIC) - start) / n,
           (now(CLOCK_PROCESS_CPUTIME_ID) - busy) / n);
  return st;
}

int main(int argc, char **argv)
{
  char line[4096];
  job j = {.ctx = NULL};
  const double start = now(CLOCK_MONOTONIC);
  int32_t precision = 0;
  if (argc > 2 && !strcmp(argv[1], "--precision")) {
    while (PRECISIONS[precision] && strcmp(PRECISIONS[precision], argv[2]) != 0)
      precision++;
    argc -= 2;
    argv += 2;
  }
  if (argc < 5 || !PRECISIONS[precision]) {
    fputs("usage: lrp-driver [--precision NAME] MODEL RULES THREADS INPUT.npy...\n", stderr);
    return 2;
  }
  lrp_status st = lrp_ctx_new(&j.ctx);
  if (!st) st = lrp_set_precision(j.ctx, precision);
  lrp_set_threads(atoi(argv[3]));
  if (!st) st = open_job(&j, argv, argc - 4);
  if (!st) printf("%.9f\n", now(CLOCK_MONOTONIC) - start);
  while (!st && !fflush(stdout) && fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = '\0';
    st = answer(&j, line);
  }
  if (st) fprintf(stderr, "lrp-driver: %s\n", j.ctx ? lrp_message(j.ctx) : "no memory");
  const int code = lrp_exit_status(st);
  close_job(&j);
  return code;
}
