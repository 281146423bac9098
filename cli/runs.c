/* runs.c - lrp runs: which runs there are, what one was made with; tags; removal; runs whose
 * program died. */
#include "dbase.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

enum { O_DB, O_FORMAT, O_EXPERIMENT, O_DRY, O_FORCE };
static const cli_option OPTIONS[] = {
    [O_DB] = {"db", 'd', "FILE", "the database ($LRP_DB, else lrp.db)"},
    [O_FORMAT] = {"format", 'f', "FORMAT",
                  "of ls and show: table (default), csv, json or markdown"},
    [O_EXPERIMENT] = {"experiment", 'e', "NAME", "of ls: only runs of this experiment"},
    [O_DRY] = {"dry-run", 0, NULL, "of rm and doctor: tell what would be done, and do nothing"},
    [O_FORCE] = {"force", 0, NULL, "of rm: runs that are still running, too"},
    {0}};
static int run_runs(const cli_command *, int argc, char **argv);
const cli_command CLI_RUNS = {
    "runs",
    "list, tag and remove the runs of a database",
    "ls | show RUN | tag RUN [KEY=VALUE... | KEY=...] | rm RUN... | doctor\n\n"
    "ls      all runs, the latest first\n"
    "show    all that is known of a run\n"
    "tag     set notes on a run; an empty value takes one away; without any: list them\n"
    "rm      remove runs with their explanations; inputs and models stay\n"
    "doctor  runs that are 'running' but whose program is gone become 'interrupted'",
    OPTIONS,
    -1,
    "  lrp runs ls\n  lrp runs show 3 --format json\n  lrp runs tag 3 paper=figure-2\n"
    "  lrp runs rm 1 2 --dry-run\n  lrp runs doctor\n",
    run_runs};

static const char SQL_LIST[] = "SELECT run_id AS run, experiment, model, composite, status, "
                               "started_at, round(seconds, 2) AS seconds, explanations, errors,\n"
                               "  (SELECT group_concat(key || '=' || value, ' ') FROM tag t WHERE "
                               "t.run_id = v_run.run_id) AS tags\n"
                               "FROM v_run %s ORDER BY run_id DESC";
static const char SQL_SHOW[] =
    "WITH r AS (SELECT * FROM run WHERE run_id = %lld)\n"
    "SELECT 'run' AS what, CAST(run_id AS TEXT) AS value FROM r UNION ALL SELECT 'uuid', uuid FROM "
    "r\n"
    "UNION ALL SELECT 'experiment', e.name FROM r JOIN experiment e USING (experiment_id)\n"
    "UNION ALL SELECT 'model', m.name || ' (SHA-256 ' || substr(m.sha256, 1, 16) || '...)' FROM r "
    "JOIN model m USING (model_id)\n"
    "UNION ALL SELECT 'model path', m.path FROM r JOIN model m USING (model_id)\n"
    "UNION ALL SELECT 'method', method FROM r\n"
    "UNION ALL SELECT 'composite', c.name || ' (SHA-256 ' || substr(c.sha256, 1, 16) || '...)' "
    "FROM r JOIN composite c USING (composite_id)\n"
    "UNION ALL SELECT 'status', status FROM r UNION ALL SELECT 'started', started_at FROM r\n"
    "UNION ALL SELECT 'last sign of life', heartbeat_at FROM r UNION ALL SELECT 'finished', "
    "finished_at FROM r\n"
    "UNION ALL SELECT 'seconds', CAST(round(wall_ns / 1e9, 3) AS TEXT) FROM r\n"
    "UNION ALL SELECT 'processor seconds', CAST(round(cpu_ns / 1e9, 3) AS TEXT) FROM r\n"
    "UNION ALL SELECT 'memory, MB', CAST(peak_rss / 1048576 AS TEXT) FROM r\n"
    "UNION ALL SELECT 'precision', precision FROM r UNION ALL SELECT 'seed', CAST(seed AS TEXT) "
    "FROM r WHERE seed IS NOT NULL\n"
    "UNION ALL SELECT 'settings', config FROM r UNION ALL SELECT 'command line', argv FROM r\n"
    "UNION ALL SELECT 'program', 'lrp ' || lrp_version || ', process ' || r.pid FROM r JOIN "
    "environment USING (environment_id)\n"
    "UNION ALL SELECT 'host', host || ': ' || cpu_model || ', ' || threads || ' threads, ' || os "
    "FROM r JOIN environment USING (environment_id)\n"
    "UNION ALL SELECT 'plugins', group_concat(p.name || ' ' || p.version, ', ') FROM r JOIN "
    "run_plugin USING (run_id) JOIN plugin p USING (plugin_id)\n"
    "UNION ALL SELECT 'layers', CAST((SELECT count(*) FROM run_layer g WHERE g.run_id = r.run_id) "
    "AS TEXT) FROM r\n"
    "UNION ALL SELECT 'explanations', CAST((SELECT count(*) FROM explanation x WHERE x.run_id = "
    "r.run_id) AS TEXT) FROM r\n"
    "UNION ALL SELECT 'errors', CAST((SELECT count(*) FROM error x WHERE x.run_id = r.run_id) AS "
    "TEXT) FROM r\n"
    "UNION ALL SELECT * FROM (SELECT 'tag ' || t.key, t.value FROM r JOIN tag t USING (run_id) "
    "ORDER BY t.key)";
static const char SQL_TAGS[] = "SELECT key, value FROM tag WHERE run_id = %lld ORDER BY key";
static const char SQL_TAG[] = "INSERT INTO tag (run_id, key, value) VALUES (?1, ?2, ?3)"
                              " ON CONFLICT (run_id, key) DO UPDATE SET value=excluded.value";
static const char SQL_UNTAG[] = "DELETE FROM tag WHERE run_id = ?1 AND key = ?2";
static const char SQL_STATUS[] =
    "SELECT r.status, (SELECT count(*) FROM explanation x WHERE x.run_id = r.run_id), r.pid, "
    "e.host, r.heartbeat_at,\n"
    "  strftime('%s', 'now') - strftime('%s', r.heartbeat_at)\n"
    "FROM run r JOIN environment e USING (environment_id) WHERE r.run_id = ?1";
static const char SQL_REMOVE[] = "DELETE FROM run WHERE run_id = ?1";
static const char SQL_RUNNING[] = "SELECT run_id FROM run WHERE status = 'running' ORDER BY run_id";
static const char SQL_INTERRUPT[] = "UPDATE run SET status = 'interrupted', finished_at = "
                                    "heartbeat_at WHERE run_id = ?1 AND status = 'running'";

enum { SILENT_S = 3600 }; /* a run elsewhere, or one whose process number may be another's by now */

typedef struct state {
  char status[16], host[256], beat[32];
  int64_t n, pid, silent_s;
} state;

/* 0, or the exit status: there is no such run. */
static int state_of(cli_db *d, int64_t run, state *out)
{
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(d, SQL_STATUS, "i", run);
  if (cli_db_row(d, stmt, &status)) {
    snprintf(out->status, sizeof out->status, "%s", cli_db_text(stmt, 0));
    out->n = sqlite3_column_int64(stmt, 1);
    out->pid = sqlite3_column_int64(stmt, 2);
    snprintf(out->host, sizeof out->host, "%s", cli_db_text(stmt, 3));
    snprintf(out->beat, sizeof out->beat, "%s", cli_db_text(stmt, 4));
    out->silent_s = sqlite3_column_int64(stmt, 5);
  } else if (!status) {
    cli_error("%s has no run %lld; lrp runs ls lists them", d->path, (long long)run);
    status = 2;
  }
  sqlite3_finalize(stmt);
  return status;
}

static int run_of(const char *text, int64_t *id)
{
  if (cli_run_id(text, id)) return 0;
  cli_error("runs: \"%s\": the number of a run was expected, as 3 or run:3; lrp runs ls lists them",
            text);
  return 2;
}

static int change(cli_db *d, const char *sql, const char *types, int64_t run, const char *key,
                  const char *value)
{
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(d, sql, types, run, key, value);
  cli_db_row(d, stmt, &status);
  sqlite3_finalize(stmt);
  return status;
}

/* ---- ls, show ---- */

static int list(cli_db *d, const char *experiment, int32_t format)
{
  char *where =
      experiment ? sqlite3_mprintf("WHERE experiment = %Q", experiment) : sqlite3_mprintf("");
  char *sql = where ? sqlite3_mprintf(SQL_LIST, where) : NULL;
  const int status = sql ? cli_db_print(d, sql, format, NULL) : cli_fail(d->ctx, LRP_E_NOMEM);
  sqlite3_free(where);
  sqlite3_free(sql);
  return status;
}

static int print_of_run(cli_db *d, const char *format_sql, int64_t run, int32_t format)
{
  char *sql = sqlite3_mprintf(format_sql, (long long)run);
  const int status = sql ? cli_db_print(d, sql, format, NULL) : cli_fail(d->ctx, LRP_E_NOMEM);
  sqlite3_free(sql);
  return status;
}

static int show(cli_db *d, const char *text, int32_t format)
{
  int64_t run;
  state s;
  int status = run_of(text, &run);
  if (!status) status = state_of(d, run, &s);
  return status ? status : print_of_run(d, SQL_SHOW, run, format);
}

/* ---- tag ---- */

static int tag_one(cli_db *d, int64_t run, const char *text)
{
  const char *equals = strchr(text, '=');
  if (!equals || equals == text) {
    cli_error("runs tag: \"%s\": KEY=VALUE was expected", text);
    return 2;
  }
  char *key = strndup(text, (size_t)(equals - text));
  if (!key) return cli_fail(d->ctx, LRP_E_NOMEM);
  const int status = equals[1] ? change(d, SQL_TAG, "itt", run, key, equals + 1)
                               : change(d, SQL_UNTAG, "it", run, key, NULL);
  free(key);
  return status;
}

static int tag(cli_db *d, const char *const *operand, int n, int32_t format)
{
  int64_t run;
  state s;
  int status = run_of(operand[0], &run);
  if (!status) status = state_of(d, run, &s);
  if (!status && n == 1) return print_of_run(d, SQL_TAGS, run, format);
  if (!status) status = cli_db_do(d, "tagging a run", "BEGIN IMMEDIATE");
  for (int i = 1; !status && i < n; i++)
    status = tag_one(d, run, operand[i]);
  if (!status) status = cli_db_do(d, "tagging a run", "COMMIT");
  if (!status)
    cli_note("run %lld: %d tag%s changed; lrp runs show %lld", (long long)run, n - 1, cli_plural(n - 1),
             (long long)run);
  return status;
}

/* ---- rm ---- */

static int may_remove(cli_db *d, const char *text, bool force, int64_t *run, state *s)
{
  int status = run_of(text, run);
  if (!status) status = state_of(d, *run, s);
  if (status || force || strcmp(s->status, "running")) return status;
  cli_error("run %lld is running (process %lld on %s); wait for its end, see lrp runs doctor, or "
            "say --force",
            (long long)*run, (long long)s->pid, s->host);
  return 2;
}

/* All of them or none; what was done is told after it is done. */
static int remove_runs(cli_db *d, const char *const *operand, int n, bool force, bool dry)
{
  int64_t run;
  state s;
  char *told = NULL;
  size_t n_told = 0;
  FILE *f = open_memstream(&told, &n_told);
  if (!f) return cli_fail(d->ctx, LRP_E_NOMEM);
  int status = dry ? 0 : cli_db_do(d, "removing runs", "BEGIN IMMEDIATE");
  for (int i = 0; !status && i < n; i++) {
    status = may_remove(d, operand[i], force, &run, &s);
    if (!status)
      fprintf(f, "run %lld: %s, %lld explanation%s%s\n", (long long)run, s.status, (long long)s.n,
              cli_plural(s.n), dry ? " would be removed" : " removed");
    if (!status && !dry) status = change(d, SQL_REMOVE, "i", run, NULL, NULL);
  }
  if (!status && !dry) status = cli_db_do(d, "removing runs", "COMMIT");
  const bool complete = !fclose(f);
  if (!status && complete) fputs(told, stdout);
  free(told);
  if (!status && !dry)
    cli_note("the room is used again by new runs; lrp db compact gives it back to the disk");
  else if (!dry)
    cli_error("nothing was removed");
  return status;
}

/* ---- doctor ---- */

static const char *own_host(char *out, size_t n)
{
  struct utsname u;
  snprintf(out, n, "%s", uname(&u) < 0 ? "" : u.nodename);
  return out;
}

static int examine(cli_db *d, int64_t run, bool dry, int *n_dead)
{
  state s;
  char host[256];
  int status = state_of(d, run, &s);
  if (status) return status;
  const bool here = !strcmp(s.host, own_host(host, sizeof host));
  const bool gone = here && kill((pid_t)s.pid, 0) && errno == ESRCH;
  if (!gone && s.silent_s < SILENT_S) {
    printf("run %lld: alive, process %lld on %s, last sign of life %s\n", (long long)run,
           (long long)s.pid, s.host, s.beat);
    return 0;
  }
  ++*n_dead;
  printf("run %lld: process %lld on %s %s, %lld explanation%s%s\n", (long long)run,
         (long long)s.pid, s.host, gone ? "is gone" : "gave no sign of life for an hour",
         (long long)s.n, cli_plural(s.n),
         dry ? ": would be marked interrupted" : ": marked interrupted");
  return dry ? 0 : change(d, SQL_INTERRUPT, "i", run, NULL, NULL);
}

static int doctor(cli_db *d, bool dry)
{
  int status = dry ? 0 : cli_db_do(d, "looking after runs", "BEGIN IMMEDIATE"), n = 0, n_dead = 0;
  sqlite3_stmt *stmt = status ? NULL : cli_db_ask(d, SQL_RUNNING, "");
  while (!status && cli_db_row(d, stmt, &status)) {
    n++;
    status = examine(d, sqlite3_column_int64(stmt, 0), dry, &n_dead);
  }
  sqlite3_finalize(stmt);
  if (!status && !dry) status = cli_db_do(d, "looking after runs", "COMMIT");
  if (!status && !n) puts("no run is running");
  return status;
}

/* ---- the command ---- */

static int dispatch(cli_db *d, const cli_args *a, int32_t format)
{
  const char *what = a->operand[0];
  const bool dry = a->value[O_DRY] != NULL;
  const int n = a->n_operand - 1;
  if (!strcmp(what, "ls")) return list(d, a->value[O_EXPERIMENT], format);
  if (!strcmp(what, "show")) return show(d, a->operand[1], format);
  if (!strcmp(what, "tag")) return tag(d, a->operand + 1, n, format);
  if (!strcmp(what, "rm")) return remove_runs(d, a->operand + 1, n, a->value[O_FORCE] != NULL, dry);
  return doctor(d, dry);
}

static bool understood(const cli_command *c, const cli_args *a, int32_t *format, int32_t *mode)
{
  static const struct {
    const char *name;
    int least, most;
    bool writes;
  } known[] = {{"ls", 0, 0, false},
               {"show", 1, 1, false},
               {"tag", 1, 1000, true},
               {"rm", 1, 1000, true},
               {"doctor", 0, 0, true}};
  for (size_t i = 0; a->n_operand && i < sizeof known / sizeof *known; i++)
    if (!strcmp(a->operand[0], known[i].name) && a->n_operand - 1 >= known[i].least &&
        a->n_operand - 1 <= known[i].most) {
      const bool reads = !known[i].writes || a->value[O_DRY] ||
                         (!strcmp(known[i].name, "tag") && a->n_operand == 2);
      *mode = reads ? LRP_STORE_READ : LRP_STORE_WRITE;
      return cli_db_format(c, a->value[O_FORMAT], format);
    }
  cli_error("runs: ls, show RUN, tag RUN KEY=VALUE, rm RUN... or doctor was expected; lrp runs "
            "--help shows examples");
  return false;
}

static int run_runs(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  cli_db d = {0};
  int32_t format, mode;
  int status = cli_parse(c, argc, argv, &a);
  if (status) {
    status--;
  } else if (!understood(c, &a, &format, &mode)) {
    status = 2;
  } else {
    status = cli_db_open(&d, a.value[O_DB], mode);
    if (!status) status = dispatch(&d, &a, format);
  }
  cli_db_close(&d);
  cli_args_free(&a);
  return status;
}
