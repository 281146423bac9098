/* store_views.c - the views of a store are no data: a file that an older lrp made gets those of this
 * one when it is opened for writing, whatever its format.  Views that a user added stay. */
#include "store_db.h"
#include <string.h>

static const char SQL_VIEW[] = "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name = ?1 AND sql = ?2";
static const char HEAD[] = "CREATE VIEW ";

typedef struct view { /* a statement of the schema, without its semicolon */
  const char *sql, *name;
  size_t n, n_name;
} view;

/* The next one from *at on; false: there is none.  A semicolon may stand in a comment. */
static bool next_view(lrp_ctx *ctx, const char *schema, const char **at, view *v)
{
  const char *start = *at, *end;
  while ((start = strstr(start, HEAD)) && start > schema && start[-1] != '\n')
    start++;
  if (!start) return false;
  for (end = strchr(start, ';'); end; end = strchr(end + 1, ';')) {
    const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
    const char *text = lrp_arena_text(&ctx->scratch, start, (size_t)(end - start) + 1);
    const bool whole = text && sqlite3_complete(text);
    lrp_arena_release(&ctx->scratch, mark);
    if (whole) break;
  }
  if (!end) return false;
  const char *name = start + sizeof HEAD - 1;
  *v = (view){.sql = start,
              .name = name,
              .n = (size_t)(end - start),
              .n_name = strcspn(name, " \n")};
  *at = end;
  return true;
}

static bool is_there(lrp_store *s, const view *v, lrp_status *st)
{
  int64_t n = 0;
  *st = lrp_sql_id(s, &n, SQL_VIEW, "ss", v->name, v->n_name, v->sql, v->n);
  return !*st && n > 0;
}

static lrp_status lay(lrp_store *s, const view *v)
{
  char *sql = sqlite3_mprintf("DROP VIEW IF EXISTS %.*s; %.*s", (int)v->n_name, v->name, (int)v->n, v->sql);
  if (!sql) return lrp_nomem(s->ctx, s->path);
  const int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
  sqlite3_free(sql);
  return code ? lrp_db_fail(s->ctx, s->db, s->path, s->doing) : LRP_OK;
}

lrp_status lrp_store_views(lrp_store *s, const char *schema)
{
  const char *at = schema;
  view v;
  lrp_status st = LRP_OK;
  bool begun = false;
  while (!st && next_view(s->ctx, schema, &at, &v)) {
    if (is_there(s, &v, &st) || st) continue;
    if (!begun) st = lrp_sql_begin(s, "laying the views anew");
    begun = begun || !st;
    if (!st) st = lay(s, &v);
  }
  return begun ? lrp_sql_end(s, st) : st;
}
