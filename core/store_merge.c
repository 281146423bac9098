/* store_merge.c - adds the runs of another store.  Ids are numbered anew: for each table with an
 * id, a map in the temporary database leads from the other file's id to ours. */
#include "store_db.h"
#include <string.h>
#include <sys/stat.h>

#define MAP(name)  "CREATE TEMP TABLE m_" name " (old INTEGER PRIMARY KEY, new INTEGER NOT NULL);"
#define DROP(name) "DROP TABLE temp.m_" name ";"
#define OR_KNOWN   " WHERE true ON CONFLICT DO NOTHING;"

/* Things known by their content. */
static const char SQL_THINGS[] = MAP("environment") MAP("plugin") MAP("model") MAP("layer")
    MAP("tokenizer") MAP("composite") MAP("experiment") MAP(
        "metric") "INSERT INTO main.environment (fingerprint, lrp_version, configuration, "
                  "compiler, cpu_model, threads, os, host,"
                  " sqlite_version, utf8proc_version)"
                  " SELECT fingerprint, lrp_version, configuration, compiler, cpu_model, threads, "
                  "os, host, sqlite_version,"
                  " utf8proc_version FROM other.environment" OR_KNOWN
                  "INSERT INTO m_environment SELECT o.environment_id, n.environment_id FROM "
                  "other.environment o"
                  " JOIN main.environment n USING (fingerprint);"
                  "INSERT INTO main.plugin (name, version, sha256, abi, path)"
                  " SELECT name, version, sha256, abi, path FROM other.plugin" OR_KNOWN
                  "INSERT INTO m_plugin SELECT o.plugin_id, n.plugin_id FROM other.plugin o"
                  " JOIN main.plugin n USING (name, version, sha256);"
                  "INSERT INTO main.model (sha256, name, path, producer, kind, modality, opset, "
                  "n_param, signature, meta)"
                  " SELECT sha256, name, path, producer, kind, modality, opset, n_param, "
                  "signature, meta FROM other.model" OR_KNOWN
                  "INSERT INTO m_model SELECT o.model_id, n.model_id FROM other.model o JOIN "
                  "main.model n USING (sha256);"
                  "INSERT INTO main.class SELECT m.new, o.class_index, o.label FROM other.class o"
                  " JOIN m_model m ON m.old = o.model_id" OR_KNOWN
                  "INSERT INTO main.layer (model_id, name, op, type, args, n_param)"
                  " SELECT m.new, o.name, o.op, o.type, o.args, o.n_param FROM other.layer o JOIN "
                  "m_model m ON m.old = o.model_id" OR_KNOWN
                  "INSERT INTO m_layer SELECT o.layer_id, n.layer_id FROM other.layer o JOIN "
                  "m_model m ON m.old = o.model_id"
                  " JOIN main.layer n ON n.model_id = m.new AND n.name = o.name AND n.op = o.op "
                  "AND n.type = o.type"
                  " AND n.args = o.args;"
                  "INSERT INTO main.tokenizer (sha256, kind) SELECT sha256, kind FROM "
                  "other.tokenizer" OR_KNOWN "INSERT INTO m_tokenizer SELECT o.tokenizer_id, "
                                             "n.tokenizer_id FROM other.tokenizer o"
                  " JOIN main.tokenizer n USING (sha256);"
                  "INSERT INTO main.vocab SELECT m.new, o.token_id, o.token FROM other.vocab o"
                  " JOIN m_tokenizer m ON m.old = o.tokenizer_id" OR_KNOWN
                  "INSERT INTO main.composite (name, sha256, spec) SELECT name, sha256, spec FROM "
                  "other.composite" OR_KNOWN "INSERT INTO m_composite SELECT o.composite_id, "
                                             "n.composite_id FROM other.composite o"
                  " JOIN main.composite n USING (name, sha256);"
                  "INSERT INTO main.composite_rule (composite_id, ord, layer_match, rule, params)"
                  " SELECT m.new, o.ord, o.layer_match, o.rule, o.params FROM other.composite_rule "
                  "o"
                  " JOIN m_composite m ON m.old = o.composite_id" OR_KNOWN
                  "INSERT INTO main.experiment (name, note, created_at) SELECT name, note, "
                  "created_at FROM other.experiment" OR_KNOWN
                  "INSERT INTO m_experiment SELECT o.experiment_id, n.experiment_id FROM "
                  "other.experiment o"
                  " JOIN main.experiment n USING (name);"
                  "INSERT INTO main.metric (name, params, direction) SELECT name, params, "
                  "direction FROM other.metric" OR_KNOWN
                  "INSERT INTO m_metric SELECT o.metric_id, n.metric_id FROM other.metric o JOIN "
                  "main.metric n USING (name, params);";

/* Inputs and their tokens; a label that we did not know is taken. */
static const char SQL_INPUTS[] = MAP("input") MAP(
    "tokenization") "INSERT INTO main.input (kind, sha256, sample, text, path, ordinal, shape, "
                    "true_label)"
                    " SELECT kind, sha256, sample, text, path, ordinal, shape, true_label FROM "
                    "other.input" OR_KNOWN
                    "INSERT INTO m_input SELECT o.input_id, n.input_id FROM other.input o"
                    " JOIN main.input n USING (kind, sha256, sample);"
                    "UPDATE main.input SET true_label = o.true_label FROM m_input m JOIN "
                    "other.input o ON o.input_id = m.old"
                    " WHERE main.input.input_id = m.new AND main.input.true_label IS NULL AND "
                    "o.true_label IS NOT NULL;"
                    "INSERT INTO main.rationale SELECT m.new, o.byte_begin, o.byte_end FROM "
                    "other.rationale o"
                    " JOIN m_input m ON m.old = o.input_id" OR_KNOWN
                    "INSERT INTO main.tokenization (input_id, tokenizer_id, sha256, n, n_dropped)"
                    " SELECT i.new, t.new, o.sha256, o.n, o.n_dropped FROM other.tokenization o "
                    "JOIN m_input i ON i.old = o.input_id"
                    " JOIN m_tokenizer t ON t.old = o.tokenizer_id" OR_KNOWN
                    "INSERT INTO m_tokenization SELECT o.tokenization_id, n.tokenization_id FROM "
                    "other.tokenization o"
                    " JOIN m_input i ON i.old = o.input_id JOIN m_tokenizer t ON t.old = "
                    "o.tokenizer_id"
                    " JOIN main.tokenization n ON n.input_id = i.new AND n.tokenizer_id = t.new "
                    "AND n.sha256 = o.sha256;"
                    "INSERT INTO main.token (tokenization_id, position, token_id, byte_begin, "
                    "byte_end, word, special)"
                    " SELECT m.new, o.position, o.token_id, o.byte_begin, o.byte_end, o.word, "
                    "o.special FROM other.token o"
                    " JOIN m_tokenization m ON m.old = o.tokenization_id" OR_KNOWN;

/* Runs; of one that both know, the later state is the true one. */
static const char SQL_RUNS[] = MAP(
    "run") "INSERT INTO main.run (uuid, experiment_id, model_id, composite_id, environment_id, "
           "method, argv, config, seed,"
           " precision, status, started_at, heartbeat_at, pid, finished_at, wall_ns, cpu_ns, "
           "peak_rss)"
           " SELECT o.uuid, x.new, m.new, c.new, e.new, o.method, o.argv, o.config, o.seed, "
           "o.precision, o.status,"
           " o.started_at, o.heartbeat_at, o.pid, o.finished_at, o.wall_ns, o.cpu_ns, o.peak_rss"
           " FROM other.run o JOIN m_experiment x ON x.old = o.experiment_id JOIN m_model m ON "
           "m.old = o.model_id"
           " JOIN m_environment e ON e.old = o.environment_id LEFT JOIN m_composite c ON c.old = "
           "o.composite_id" OR_KNOWN "INSERT INTO m_run SELECT o.run_id, n.run_id FROM other.run o "
                                     "JOIN main.run n USING (uuid);"
           "UPDATE main.run SET status = o.status, heartbeat_at = o.heartbeat_at, finished_at = "
           "o.finished_at,"
           " wall_ns = o.wall_ns, cpu_ns = o.cpu_ns, peak_rss = o.peak_rss FROM other.run o"
           " WHERE main.run.uuid = o.uuid AND o.heartbeat_at > main.run.heartbeat_at;"
           "INSERT INTO main.run_plugin SELECT r.new, p.new FROM other.run_plugin o JOIN m_run r "
           "ON r.old = o.run_id"
           " JOIN m_plugin p ON p.old = o.plugin_id" OR_KNOWN
           "INSERT INTO main.run_layer (run_id, layer_id, ordinal, out_shape, rule, matcher, note)"
           " SELECT r.new, l.new, o.ordinal, o.out_shape, o.rule, o.matcher, o.note FROM "
           "other.run_layer o"
           " JOIN m_run r ON r.old = o.run_id JOIN m_layer l ON l.old = o.layer_id" OR_KNOWN
           "INSERT INTO main.tag (run_id, key, value) SELECT r.new, o.key, o.value FROM other.tag o"
           " JOIN m_run r ON r.old = o.run_id" OR_KNOWN
           "INSERT INTO main.error (run_id, input_id, code, message, at)"
           " SELECT r.new, i.new, o.code, o.message, o.at FROM other.error o JOIN m_run r ON r.old "
           "= o.run_id"
           " LEFT JOIN m_input i ON i.old = o.input_id EXCEPT SELECT run_id, input_id, code, "
           "message, at FROM main.error;";

/* Explanations.  What hangs on them is taken for those that are new; metrics may have been computed
 * later. */
static const char SQL_EXPLANATIONS[] = MAP(
    "explanation") "CREATE TEMP TABLE m_last AS SELECT ifnull(max(explanation_id), 0) AS id FROM "
                   "main.explanation;"
                   "INSERT INTO main.prediction (run_id, input_id, predicted, score, prob, margin, "
                   "scores)"
                   " SELECT r.new, i.new, o.predicted, o.score, o.prob, o.margin, o.scores FROM "
                   "other.prediction o"
                   " JOIN m_run r ON r.old = o.run_id JOIN m_input i ON i.old = o.input_id" OR_KNOWN
                   "INSERT INTO main.explanation (run_id, input_id, target_class, contrast_class, "
                   "seed_kind, layer_id,"
                   " tokenization_id, dtype, tensors, shape, target_value, r_sum, r_abs_max, "
                   "r_pos, r_neg, wall_ns, r)"
                   " SELECT r.new, i.new, o.target_class, o.contrast_class, o.seed_kind, l.new, "
                   "t.new, o.dtype, o.tensors, o.shape,"
                   " o.target_value, o.r_sum, o.r_abs_max, o.r_pos, o.r_neg, o.wall_ns, o.r FROM "
                   "other.explanation o"
                   " JOIN m_run r ON r.old = o.run_id JOIN m_input i ON i.old = o.input_id"
                   " LEFT JOIN m_layer l ON l.old = o.layer_id LEFT JOIN m_tokenization t ON t.old "
                   "= o.tokenization_id" OR_KNOWN
                   "INSERT INTO m_explanation SELECT o.explanation_id, n.explanation_id FROM "
                   "other.explanation o"
                   " JOIN m_run r ON r.old = o.run_id JOIN m_input i ON i.old = o.input_id LEFT "
                   "JOIN m_layer l ON l.old = o.layer_id"
                   " JOIN main.explanation n ON n.run_id = r.new AND n.input_id = i.new AND "
                   "n.target_class = o.target_class"
                   " AND ifnull(n.contrast_class, -1) = ifnull(o.contrast_class, -1) AND "
                   "ifnull(n.layer_id, -1) = ifnull(l.new, -1);"
                   "INSERT INTO main.token_relevance (explanation_id, position, token_id, word, "
                   "relevance)"
                   " SELECT m.new, o.position, o.token_id, o.word, o.relevance FROM m_explanation m"
                   " JOIN other.token_relevance o ON o.explanation_id = m.old WHERE m.new > "
                   "(SELECT id FROM m_last);"
                   "INSERT INTO main.layer_flow (explanation_id, layer_id, r_out, r_in, r_bias, "
                   "r_stab, r_gate)"
                   " SELECT m.new, l.new, o.r_out, o.r_in, o.r_bias, o.r_stab, o.r_gate FROM "
                   "m_explanation m"
                   " JOIN other.layer_flow o ON o.explanation_id = m.old JOIN m_layer l ON l.old = "
                   "o.layer_id"
                   " WHERE m.new > (SELECT id FROM m_last);"
                   "INSERT INTO main.score (metric_id, explanation_id, value, reason)"
                   " SELECT k.new, m.new, o.value, o.reason FROM other.score o JOIN m_explanation "
                   "m ON m.old = o.explanation_id"
                   " JOIN m_metric k ON k.old = o.metric_id" OR_KNOWN;

static const char SQL_CLEAR[] = DROP("environment") DROP("plugin") DROP("model") DROP("layer")
    DROP("tokenizer") DROP("composite") DROP("experiment") DROP("metric") DROP("input")
        DROP("tokenization") DROP("run") DROP("explanation") DROP("last");

static const char SQL_ATTACH[] = "ATTACH ?1 AS other";
static const char SQL_DETACH[] = "DETACH other";
static const char SQL_FORMAT[] = "PRAGMA main.user_version";
static const char SQL_OTHER_FORMAT[] = "PRAGMA other.user_version";
static const char SQL_OTHER_BROKEN[] = "PRAGMA other.foreign_key_check";

static const struct { /* what is counted before and after */
  const char *table;
  size_t at;
} COUNTED[] = {{"run", offsetof(lrp_merged, run)},
               {"explanation", offsetof(lrp_merged, explanation)},
               {"input", offsetof(lrp_merged, input)},
               {"error", offsetof(lrp_merged, error)},
               {"score", offsetof(lrp_merged, score)}};

static int64_t *field(lrp_merged *m, size_t at)
{
  return (int64_t *)(void *)((char *)m + at);
}

/* One number, without keeping the statement: it would speak of a file that is no longer
 * attached. */
static lrp_status number(lrp_store *s, const char *sql, const char *text, int64_t *out)
{
  sqlite3_stmt *stmt = NULL;
  int code = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
  if (!code && text) code = sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
  if (!code) code = sqlite3_step(stmt);
  if (out) *out = code == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
  lrp_status st = code == SQLITE_ROW || code == SQLITE_DONE
                      ? LRP_OK
                      : lrp_db_fail(s->ctx, s->db, s->path, s->doing);
  sqlite3_finalize(stmt);
  return st;
}

static lrp_status count(lrp_store *s, const char *schema, const char *table, int64_t *out)
{
  char sql[80];
  sqlite3_snprintf(sizeof sql, sql, "SELECT count(*) FROM %s.%s", schema, table);
  return number(s, sql, NULL, out);
}

/* Is it a store that we can read, and another file than ours? */
static lrp_status judge(lrp_store *s, const char *from)
{
  struct stat ours, theirs;
  lrp_store *other = NULL;
  lrp_status st = lrp_store_open(s->ctx, from, LRP_STORE_READ, &other);
  lrp_store_close(other);
  if (st) return st;
  if (!stat(s->path, &ours) && !stat(from, &theirs) && ours.st_dev == theirs.st_dev &&
      ours.st_ino == theirs.st_ino)
    return lrp_fail(s->ctx, LRP_E_DB, "%s: merging it into itself; two files were expected", from);
  return LRP_OK;
}

static lrp_status judge_attached(lrp_store *s, const char *from)
{
  int64_t ours = 0, theirs = 0, broken = -1;
  lrp_status st = number(s, SQL_FORMAT, NULL, &ours);
  if (!st) st = number(s, SQL_OTHER_FORMAT, NULL, &theirs);
  if (!st && theirs < ours)
    return lrp_fail(
        s->ctx, LRP_E_DB,
        "%s: format %lld, %s has %lld; bring it up to date first: lrp db migrate --db %s", from,
        (long long)theirs, s->path, (long long)ours, from);
  if (!st && theirs > ours)
    return lrp_fail(s->ctx, LRP_E_DB,
                    "%s: format %lld, written by a newer lrp; %s has %lld; install a newer lrp",
                    from, (long long)theirs, s->path, (long long)ours);
  sqlite3_stmt *stmt = NULL; /* its first column is text: only whether there is a row counts */
  if (!st && sqlite3_prepare_v2(s->db, SQL_OTHER_BROKEN, -1, &stmt, NULL))
    st = lrp_db_fail(s->ctx, s->db, from, s->doing);
  if (!st) broken = sqlite3_step(stmt);
  sqlite3_finalize(stmt);
  if (!st && broken == SQLITE_ROW)
    st = lrp_fail(s->ctx, LRP_E_DB,
                  "%s: rows are missing that others refer to; lrp db check --db %s tells which",
                  from, from);
  return st;
}

static lrp_status copy(lrp_store *s, lrp_merged *out)
{
  static const char *const parts[] = {SQL_THINGS, SQL_INPUTS, SQL_RUNS, SQL_EXPLANATIONS,
                                      SQL_CLEAR};
  lrp_status st = LRP_OK;
  int64_t after = 0, runs = 0, explanations = 0;
  for (size_t i = 0; !st && i < sizeof COUNTED / sizeof *COUNTED; i++)
    st = count(s, "main", COUNTED[i].table, field(out, COUNTED[i].at));
  for (size_t i = 0; !st && i < sizeof parts / sizeof *parts; i++)
    if (sqlite3_exec(s->db, parts[i], NULL, NULL, NULL))
      st = lrp_db_fail(s->ctx, s->db, s->path, s->doing);
  for (size_t i = 0; !st && i < sizeof COUNTED / sizeof *COUNTED; i++) {
    st = count(s, "main", COUNTED[i].table, &after);
    *field(out, COUNTED[i].at) = after - *field(out, COUNTED[i].at);
  }
  if (!st) st = count(s, "other", "run", &runs);
  if (!st) st = count(s, "other", "explanation", &explanations);
  out->run_known = runs - out->run;
  out->explanation_known = explanations - out->explanation;
  return st;
}

lrp_status lrp_store_merge(lrp_store *s, const char *from, lrp_merged *out)
{
  *out = (lrp_merged){0};
  lrp_status st = judge(s, from);
  if (st) return st;
  s->doing = "merging";
  st = number(s, SQL_ATTACH, from, NULL);
  if (!st) {
    st = judge_attached(s, from);
    if (!st) st = lrp_sql_begin(s, "merging"); /* ATTACH is not possible within a transaction */
    if (!st) st = lrp_sql_end(s, copy(s, out));
    sqlite3_exec(s->db, SQL_DETACH, NULL, NULL, NULL);
  }
  return st ? lrp_fail_at(s->ctx, st, "merging %s", from) : LRP_OK;
}
