/* dbase.h - what the commands on databases share: opening, rows, pairs of explanations. */
#ifndef LRP_CLI_DBASE_H
#define LRP_CLI_DBASE_H
#include "cli.h"
#include "store_db.h"

enum { CLI_EXIT_DB = 5, CLI_EXIT_MISSED = 6 };

typedef struct cli_db {
  lrp_ctx *ctx;
  lrp_store *store;
  sqlite3 *db;
  const char *path;
} cli_db;
const char *cli_db_path(const char *option); /* --db, else $LRP_DB, else lrp.db */
int cli_db_open(cli_db *, const char *option,
                int32_t mode); /* 0, or the exit status: a sentence was printed */
/* The same for who asks several questions: all answers tell of the moment of the first one, also while runs write. */
int cli_db_open_snapshot(cli_db *, const char *option);
void cli_db_close(cli_db *);
int cli_db_fail(cli_db *, const char *doing); /* prints SQLite's last error; the exit status */

/* A statement with its parameters, types as lrp_sql_do(): i, I, t, r.  NULL: a sentence was
 * printed. */
sqlite3_stmt *cli_db_ask(cli_db *, const char *sql, const char *types, ...);
/* The next row; false: there is none, or it failed: *status. */
bool cli_db_row(cli_db *, sqlite3_stmt *, int *status);
int cli_db_do(cli_db *, const char *doing,
              const char *sql); /* statements without rows; 0 or the exit status */
int64_t cli_db_int(cli_db *, int *status, const char *sql); /* the first value */
/* A column as text, never NULL; lives until the next step. */
const char *cli_db_text(sqlite3_stmt *, int column);
/* Rows of a query on standard output, or in a file. */
int cli_db_print(cli_db *, const char *sql, int32_t format, const char *path);
/* "table", "csv", "json", "markdown"; NULL: a table.  false: a sentence was printed. */
bool cli_db_format(const cli_command *, const char *text, int32_t *out);

/* "run:41" or "41"; false: it is neither. */
bool cli_run_id(const char *text, int64_t *id);

/* ---- pairs.c: the same input and target explained twice ---- */
typedef struct cli_side { /* what A or B means */
  enum { CLI_SIDE_RUN, CLI_SIDE_RULES, CLI_SIDE_MODEL } kind;
  const char *name; /* as given, without "run:" */
  int64_t run;
  int64_t n; /* explanations */
} cli_side;
typedef struct cli_pair {
  int64_t a, b; /* explanation_id */
  int64_t input, target, contrast;
} cli_pair;
typedef struct cli_pairs {
  cli_side side[2];
  cli_pair *pair;
  int64_t n;
} cli_pairs;
/* Only of this model (name or start of the SHA-256; NULL: any).  0 or the exit status; no pair at
 * all is a failure. */
int cli_pairs_find(cli_db *, const char *a, const char *b, const char *model, cli_pairs *out);
void cli_pairs_free(cli_pairs *);
typedef struct cli_relevance { /* of one explanation, as doubles */
  double *v;
  size_t n, room;
  char shape[256];
  double value, sum;
} cli_relevance;
/* The buffer of *out is used again. */
int cli_relevance_read(cli_db *, sqlite3_stmt **kept, int64_t id, cli_relevance *out);

/* ---- compare_page.c: side by side ---- */
/* Rows: the pairs; columns: A, B, the difference.  path ends with .html or .png. */
int cli_pairs_picture(cli_db *, const cli_pairs *, const int64_t *row, int64_t n_row,
                      const char *path);
/* ---- lrp db: its options, and the parts with files of their own ---- */
enum {
  DB_O_DB,
  DB_O_OUT,
  DB_O_RUN,
  DB_O_VIEW,
  DB_O_FORMAT,
  DB_O_MODEL,
  DB_O_INPUT,
  DB_O_NAME,
  DB_O_TARGET,
  DB_O_SEED,
  DB_O_EXPERIMENT,
  DB_O_PLUGIN
};
extern const cli_command CLI_DB;
int cli_db_export(const cli_args *);
int cli_db_import(const cli_args *, int argc, char **argv);
#endif
