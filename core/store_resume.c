/* store_resume.c - going on with a run: by another process, or after an interruption; what is there
 * already. */
#include "store_db.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char SQL_FIND[] =
    "SELECT r.run_id FROM run r JOIN experiment e USING (experiment_id) JOIN model m USING "
    "(model_id)"
    " LEFT JOIN composite c USING (composite_id)"
    " WHERE e.name=?1 AND m.sha256=?2 AND r.method=?3 AND r.precision=?4 AND r.config=?5 AND "
    "r.seed IS NULL"
    " AND c.name IS ?6 AND c.sha256 IS ?7 ORDER BY r.run_id DESC LIMIT 1";
static const char SQL_RESUME[] =
    "UPDATE run SET status='running', pid=?2, finished_at=NULL,"
    " heartbeat_at=strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE run_id=?1 RETURNING run_id";
static const char SQL_FORGET_ERRORS[] = "DELETE FROM error WHERE run_id=?1";
static const char SQL_MODEL_OF[] = "SELECT model_id FROM run WHERE run_id=?1";
static const char SQL_COSTS[] =
    "UPDATE run SET wall_ns=ifnull(wall_ns,0)+?2, cpu_ns=ifnull(cpu_ns,0)+?3,"
    " peak_rss=max(ifnull(peak_rss,0),?4), heartbeat_at=strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE "
    "run_id=?1";
static const char SQL_STATUS[] =
    "UPDATE run SET status=?2, finished_at=strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE run_id=?1";

/* Input ?2 ?3 ?4 in the runs r that differ from run ?1 in their inputs only. */
#define SAME_WORK                                                                                  \
  " FROM input i JOIN run o ON o.run_id=?1 JOIN run r ON r.experiment_id=o.experiment_id"          \
  " AND r.model_id=o.model_id AND r.composite_id IS o.composite_id AND r.method=o.method"          \
  " AND r.precision=o.precision AND r.config=o.config AND r.seed IS o.seed"
#define THE_INPUT " WHERE i.kind=?2 AND i.sha256=?3 AND i.sample=?4"
static const char SQL_SCORES[] =
    "SELECT p.scores" SAME_WORK
    " JOIN prediction p ON p.run_id=r.run_id AND p.input_id=i.input_id" THE_INPUT " LIMIT 1";
static const char SQL_HAS[] =
    "SELECT x.explanation_id" SAME_WORK
    " JOIN explanation x ON x.run_id=r.run_id AND x.input_id=i.input_id AND x.target_class=?5"
    " AND ifnull(x.contrast_class,-1)=?6 AND ifnull(x.layer_id,-1)=-1" THE_INPUT " LIMIT 1";

static const char *const KIND[] = {
    [LRP_MODALITY_TENSOR] = "tensor", [LRP_MODALITY_IMAGE] = "image", [LRP_MODALITY_TEXT] = "text",
    [LRP_MODALITY_SOUND] = "sound",   [LRP_MODALITY_BYTES] = "bytes"};

lrp_status lrp_store_run_find(lrp_store *s, const lrp_run_spec *spec, int64_t *id)
{
  s->doing = "looking for an earlier run";
  return lrp_sql_id(s, id, SQL_FIND, "ttttttt", spec->experiment ? spec->experiment : "default",
                    spec->model->sha256, lrp_method_names[spec->method], lrp_precision_name(s->ctx),
                    spec->config ? spec->config : "{}", spec->composite_name,
                    spec->composite_text ? spec->composite_sha256 : NULL);
}

lrp_status lrp_store_run_resume(lrp_store *s, int64_t id)
{
  int64_t found = -1;
  lrp_status st = lrp_sql_begin(s, "going on with a run");
  if (st) return st;
  st = lrp_sql_id(s, &found, SQL_RESUME, "ii", id, (int64_t)getpid());
  if (!st && found < 0)
    st = lrp_fail(s->ctx, LRP_E_ARG, "%s: there is no run %lld", s->path, (long long)id);
  if (!st) st = lrp_sql_do(s, SQL_FORGET_ERRORS, "i", id);
  return lrp_sql_end(s, st);
}

static void run_free(lrp_run *run)
{
  lrp_arena_free(&run->arena);
  free(run->layer_id);
  free(run);
}

lrp_status lrp_store_run_join(lrp_store *s, int64_t id, const lrp_run_spec *spec, lrp_run **out)
{
  lrp_run *run = calloc(1, sizeof *run);
  *out = NULL;
  if (!run) return lrp_nomem(s->ctx, "a run");
  *run = (lrp_run){.id = id, .tokenizer_id = -1, .seed_kind = spec->seed_kind};
  run->wall_ns = run->beat_ns = lrp_clock_ns(CLOCK_MONOTONIC);
  run->cpu_ns = lrp_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  lrp_status st = lrp_sql_begin(s, "joining a run");
  if (!st) {
    st = lrp_sql_id(s, &run->model_id, SQL_MODEL_OF, "i", id);
    if (!st && run->model_id < 0)
      st = lrp_fail(s->ctx, LRP_E_DB, "%s: run %lld is gone: another program removed it", s->path,
                    (long long)id);
    if (!st) st = lrp_store_run_uuid(s, id, run->uuid);
    if (!st) st = lrp_run_inputs(s, run, spec);
    st = lrp_sql_end(s, st);
  }
  if (st) {
    run_free(run);
    return st;
  }
  run->next = s->runs;
  s->runs = run;
  *out = run;
  return LRP_OK;
}

lrp_status lrp_store_run_know(lrp_store *s, int64_t id, lrp_run **out)
{
  lrp_run *run = calloc(1, sizeof *run);
  *out = NULL;
  if (!run) return lrp_nomem(s->ctx, "a run");
  *run = (lrp_run){.id = id, .next = s->known};
  s->known = run;
  *out = run;
  return LRP_OK;
}

lrp_status lrp_store_run_leave(lrp_store *s, lrp_run *run, int32_t status, int64_t wall_ns,
                               int64_t cpu_ns)
{
  static const char *const NAME[] = {
      [LRP_RUN_DONE] = "done", [LRP_RUN_FAILED] = "failed", [LRP_RUN_INTERRUPTED] = "interrupted"};
  struct rusage used = {0};
  if (!run) return LRP_OK;
  for (lrp_run **at = &s->runs; *at; at = &(*at)->next)
    if (*at == run) {
      *at = run->next;
      break;
    }
  getrusage(RUSAGE_SELF, &used);
  lrp_status st = lrp_sql_begin(s, "storing the costs of a run");
  if (!st)
    st = lrp_sql_do(s, SQL_COSTS, "iiii", run->id, wall_ns, cpu_ns,
                    (int64_t)used.ru_maxrss * 1024); /* Linux counts KiB */
  if (!st && status >= 0 && status <= LRP_RUN_INTERRUPTED)
    st = lrp_sql_do(s, SQL_STATUS, "it", run->id, NAME[status]);
  st = lrp_sql_end(s, st);
  run_free(run);
  return st;
}

/* ---- what is there ---- */

/* Least significant byte first, as store_write.c writes them. */
static void get_reals(const unsigned char *from, lrp_real *v, int64_t n)
{
  for (int64_t i = 0; i < n; i++, from += sizeof(lrp_real)) {
#ifdef LRP_REAL_DOUBLE
    uint64_t bits = 0;
#else
    uint32_t bits = 0;
#endif
    for (size_t b = sizeof bits; b-- > 0;)
      bits = bits << 8 | from[b];
    memcpy(&v[i], &bits, sizeof bits);
  }
}

lrp_status lrp_store_has_scores(lrp_store *s, const lrp_run *run, const lrp_input *in,
                                int64_t sample, lrp_real *scores, int64_t n_class, int *there)
{
  sqlite3_stmt *stmt = NULL;
  *there = 0;
  s->doing = "looking for what is there";
  int code = sqlite3_prepare_v2(s->db, SQL_SCORES, -1, &stmt, NULL);
  if (!code) code = sqlite3_bind_int64(stmt, 1, run->id);
  if (!code) code = sqlite3_bind_text(stmt, 2, KIND[in->kind], -1, SQLITE_STATIC);
  if (!code) code = sqlite3_bind_text(stmt, 3, in->sha256, -1, SQLITE_STATIC);
  if (!code) code = sqlite3_bind_int64(stmt, 4, sample);
  if (!code) code = sqlite3_step(stmt);
  const unsigned char *blob = code == SQLITE_ROW ? sqlite3_column_blob(stmt, 0) : NULL;
  if (blob && sqlite3_column_bytes(stmt, 0) / (int64_t)sizeof *scores == n_class) {
    get_reals(blob, scores, n_class);
    *there = 1;
  }
  lrp_status st = code == SQLITE_ROW || code == SQLITE_DONE
                      ? LRP_OK
                      : lrp_db_fail(s->ctx, s->db, s->path, s->doing);
  sqlite3_finalize(stmt);
  return st;
}

lrp_status lrp_store_has_explanation(lrp_store *s, const lrp_run *run, const lrp_input *in,
                                     int64_t sample, const lrp_target *target, int *there)
{
  int64_t id = -1;
  s->doing = "looking for what is there";
  lrp_status st = lrp_sql_id(s, &id, SQL_HAS, "ittiii", run->id, KIND[in->kind], in->sha256, sample,
                             target->plus < 0 ? (int64_t)-1 : target->plus,
                             target->minus < 0 ? (int64_t)-1 : target->minus);
  *there = id >= 0;
  return st;
}
