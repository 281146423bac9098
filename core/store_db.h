/* store_db.h - what the files of the store share: the connection, prepared statements, failures.
 * Not installed. */
#ifndef LRP_STORE_DB_H
#define LRP_STORE_DB_H
#include "core.h"
#include "lrp/store.h"
#include <sqlite3.h>

#define LRP_APPLICATION_ID 0x4C525031 /* "LRP1" */
enum { LRP_BUSY_MS = 10000 };         /* wait for a lock */
enum { LRP_SQL_MAX = 128 };           /* prepared statements of a store */

struct lrp_store {
  lrp_ctx *ctx;
  sqlite3 *db;
  char *path;
  int32_t mode;
  const char *doing; /* for messages: "storing an explanation" */
  struct {
    const char *sql; /* the constant itself is the key, with n_row */
    int64_t n_row;   /* 0: sql is the whole statement; else see lrp_sql_rows */
    sqlite3_stmt *stmt;
  } prepared[LRP_SQL_MAX];
  int n_prepared;
  lrp_run *runs;  /* open ones */
  lrp_run *known; /* see lrp_store_run_know */
  bool grouped;   /* see lrp_store_group_begin */
  lrp_status group_failed;
  bool trusts;  /* see lrp_store_trust */
  bool was_new; /* the last explanation */
};
struct lrp_run {
  lrp_arena arena;
  lrp_run *next;
  int64_t id, model_id, tokenizer_id; /* tokenizer_id -1: none */
  char uuid[37];                      /* of lrp_store_run_join() */
  int64_t *layer_id, n_layer;
  const char **input_name, **input_what; /* as JSON strings; for messages */
  int32_t n_input, seed_kind;
  int64_t wall_ns, cpu_ns, beat_ns; /* clocks at the start; at the last sign of life */
};

/* store.c */
lrp_status lrp_store_open_within(lrp_ctx *, const char *path, int32_t mode, int busy_ms,
                                 lrp_store **out);
/* Steps from format i to i + 1, each in a transaction of its own; n of them lead to format n. */
lrp_status lrp_store_migrate(lrp_store *, const char *const *step, int n);

/* store_views.c: those of the schema's text that are not there, or others by that name, are made. */
lrp_status lrp_store_views(lrp_store *, const char *schema);

/* store_sql.c */
lrp_status lrp_db_fail(lrp_ctx *, sqlite3 *, const char *path,
                       const char *doing);                /* a sentence for db's last error */
lrp_status lrp_sql_begin(lrp_store *, const char *doing); /* a writing transaction */
lrp_status lrp_sql_end(lrp_store *, lrp_status st); /* commit, or roll back where st is a failure */
/* Run a statement.  types has a letter for each ?1, ?2, ...: t const char * (NULL: null), s const
 * char * and size_t, i int64_t, I int64_t where negative is null, r double, R double where NaN is
 * null, b const void * and size_t. */
lrp_status lrp_sql_do(lrp_store *, const char *sql, const char *types, ...);
/* The first column of the first row, -1 where there is none. */
lrp_status lrp_sql_id(lrp_store *, int64_t *id, const char *sql, const char *types, ...);
/* An INSERT, also with ON CONFLICT DO NOTHING: the new row's id, -1 where there is one already. */
lrp_status lrp_sql_insert(lrp_store *, int64_t *id, const char *sql, const char *types, ...);
/* The id that find gives, else the one that add returns; find may use fewer parameters than there
 * are types. */
lrp_status lrp_sql_get(lrp_store *, int64_t *id, const char *find, const char *add,
                       const char *types, ...);
/* Many rows by few statements: "INSERT INTO t (a, b) VALUES" (head), then the tail, which may be
 * empty.  fill() gives the n_cell cells of row i. */
typedef struct lrp_bound {
  char type; /* i: i, I: i, where negative is null, r: r, t: text */
  int64_t i;
  double r;
  const char *text; /* must live until the call of lrp_sql_rows has ended */
} lrp_bound;
typedef struct lrp_rows {
  const char *head, *tail;
  int32_t n_cell; /* at most LRP_CELL_MAX */
} lrp_rows;
enum { LRP_CELL_MAX = 8 };
typedef lrp_status lrp_row_fn(void *data, int64_t i, lrp_bound *cell);
lrp_status lrp_sql_rows(lrp_store *, const lrp_rows *, int64_t n, lrp_row_fn *fill, void *data);
int64_t lrp_clock_ns(int clock); /* CLOCK_x */
/* Writes "[3,32,32]" without a NUL and returns its end. */
enum { LRP_SHAPE_TEXT = LRP_MAX_RANK * 21 + 4 }; /* room for it, a comma and a NUL */
char *lrp_shape_json(char *to, const int64_t *shape, int32_t rank);
/* A copy in the arena with U+FFFD for ill-formed UTF-8; NULL for NULL, or no memory. */
const char *lrp_utf8_copy(lrp_arena *, const char *s);

/* store_run.c */
extern const char *const lrp_method_names[]; /* by LRP_METHOD_x */
lrp_status lrp_run_inputs(lrp_store *, lrp_run *, const lrp_run_spec *);

/* store_env.c */
lrp_status lrp_store_environment(lrp_store *, int32_t threads, int64_t *id);

/* store_input.c; all inside a transaction */
lrp_status lrp_store_input(lrp_store *, const lrp_input *, int64_t sample, int64_t ordinal,
                           const char *true_label, int64_t *id);
lrp_status lrp_store_rationale(lrp_store *, const lrp_input *, int64_t input, const lrp_span *,
                               int64_t n);
lrp_status lrp_store_tokens(lrp_store *, const lrp_run *, const lrp_input *, int64_t input,
                            int64_t *id);
#endif
