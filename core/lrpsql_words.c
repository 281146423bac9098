/* lrpsql_words.c - the table function top_words([k [, run [, wrong]]]): the words that speak most for each class, over all texts.
 *
 * For each model, composite or method, and class: the k words of the largest mean relevance; all words without k.  word is
 * in lower case (ASCII letters only, as lower()), n tells how often it was met.  Contrasts and relevance inside a model are
 * left out.  A text that several runs of one group explained counts once, by the latest of them.  low and high are the ends of the mean's 95 % interval by Student's t, over the word's occurrences; NULL where
 * it was met once.  wrong 1: only explanations of inputs whose true label is known and not what was predicted.
 * GROUP BY would sort all rows of tokens; this reads explanation.r and adds up in a hash table: over a million
 * tokens five times as fast. */
#include "lrpsql.h"
#include "stat.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#ifdef LRPSQL_MODULE
SQLITE_EXTENSION_INIT3
#endif

static const char SQL_TEXTS[] = "SELECT z.tokenization_id, z.input_id, i.text FROM tokenization z JOIN input i USING (input_id)";
static const char SQL_TOKENS[] =
    "SELECT position, word, byte_begin, byte_end FROM token WHERE tokenization_id = ?1 AND word IS NOT NULL ORDER BY position";
static const char SQL_RELEVANCE[] =
    "SELECT r.model_id, r.composite_id, r.method, x.target_class, x.dtype, x.r, x.run_id FROM explanation x JOIN run r USING (run_id)"
    " WHERE x.input_id = ?1 AND x.tokenization_id = ?2 AND x.layer_id IS NULL AND x.contrast_class IS NULL"
    " AND (?3 IS NULL OR x.run_id = ?3)"
    " AND (NOT ?4 OR EXISTS (SELECT 1 FROM prediction p JOIN input i USING (input_id)"
    " LEFT JOIN class c ON c.model_id = r.model_id AND c.class_index = p.predicted"
    " WHERE p.run_id = x.run_id AND p.input_id = x.input_id AND i.true_label <> coalesce(c.label, CAST(p.predicted AS TEXT))))"
    " ORDER BY x.run_id DESC, x.explanation_id";

enum { MODEL, COMPOSITE, METHOD, CLASS, WORD, RELEVANCE, N, LOW, HIGH, K, RUN, WRONG, N_ARGUMENT = 3 }; /* columns; arguments last */
enum { HAS_K = 1, HAS_RUN = 2, HAS_WRONG = 4 }; /* bits of a plan */

/* ---- a hash table of places in an array; its keys are compared by who uses it ---- */

typedef struct places {
  uint32_t *slot; /* place + 1; 0: free */
  size_t n_slot, n;
} places;

static uint64_t mix(uint64_t h, uint64_t v)
{
  h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ (h >> 29);
}

typedef struct group { /* what is compared */
  int64_t model, composite, target; /* composite -1: none */
  char method[32];
  int64_t tokenization, run; /* which run it was that explained this text last; not compared */
} group;
typedef struct total {
  uint32_t group, word;
  int64_t n;
  double sum, squares; /* squares: of the differences from the mean */
} total;
typedef struct spelling {
  size_t at, n; /* in the letters */
} spelling;
typedef struct piece { /* a token of the text in hand */
  int64_t position;
  uint32_t word;
  bool first; /* of its word */
} piece;
typedef struct sums {
  char *letters;
  size_t n_letter, letter_room;
  spelling *word;
  size_t word_room;
  places words;
  total *total;
  size_t total_room;
  places totals;
  piece *piece;
  size_t n_piece, piece_room;
  group *group;
  size_t n_group, group_room, last; /* last: of the explanation before, likely that of the next */
} sums;

/* Room for one more element; false: no memory. */
static bool reserve(void **data, size_t *room, size_t n, size_t more, size_t size)
{
  if (n + more <= *room) return true;
  size_t wanted = *room ? *room : 256;
  while (wanted < n + more && wanted < SIZE_MAX / 4 / size)
    wanted *= 2;
  void *grown = wanted < n + more ? NULL : realloc(*data, wanted * size);
  if (!grown) return false;
  *data = grown;
  *room = wanted;
  return true;
}

static uint64_t hash_word(const sums *s, size_t i)
{
  uint64_t h = 0;
  for (size_t k = 0; k < s->word[i].n; k++)
    h = mix(h, (unsigned char)s->letters[s->word[i].at + k]);
  return h;
}

static uint64_t hash_total(const sums *s, size_t i)
{
  return mix(mix(0, s->total[i].group), s->total[i].word);
}

static bool same_word(const sums *s, size_t i, size_t k)
{
  return s->word[i].n == s->word[k].n && !memcmp(s->letters + s->word[i].at, s->letters + s->word[k].at, s->word[i].n);
}

static bool same_total(const sums *s, size_t i, size_t k)
{
  return s->total[i].group == s->total[k].group && s->total[i].word == s->total[k].word;
}

/* Where the candidate, the element behind the last one, stands already; else it is added.  SIZE_MAX: no memory. */
static size_t find(places *p, const sums *s, uint64_t (*hash)(const sums *, size_t),
                   bool (*same)(const sums *, size_t, size_t))
{
  if (2 * (p->n + 1) > p->n_slot) {
    const size_t n_slot = p->n_slot ? 2 * p->n_slot : 1024;
    uint32_t *slot = p->n < UINT32_MAX / 4 ? calloc(n_slot, sizeof *slot) : NULL;
    if (!slot) return SIZE_MAX;
    for (size_t i = 0; i < p->n; i++) {
      size_t at = (size_t)hash(s, i) & (n_slot - 1);
      while (slot[at])
        at = (at + 1) & (n_slot - 1);
      slot[at] = (uint32_t)i + 1;
    }
    free(p->slot);
    p->slot = slot;
    p->n_slot = n_slot;
  }
  size_t at = (size_t)hash(s, p->n) & (p->n_slot - 1);
  for (; p->slot[at]; at = (at + 1) & (p->n_slot - 1))
    if (same(s, p->slot[at] - 1, p->n)) return p->slot[at] - 1;
  p->slot[at] = (uint32_t)p->n + 1;
  return p->n++;
}

static void sums_free(sums *s)
{
  free(s->letters);
  free(s->word);
  free(s->words.slot);
  free(s->total);
  free(s->totals.slot);
  free(s->piece);
  free(s->group);
  *s = (sums){0};
}

/* ---- adding up ---- */

static bool intern(sums *s, const char *text, size_t n, uint32_t *id)
{
  if (!reserve((void **)&s->letters, &s->letter_room, s->n_letter, n + 1, 1) ||
      !reserve((void **)&s->word, &s->word_room, s->words.n, 1, sizeof *s->word))
    return false;
  for (size_t i = 0; i < n; i++)
    s->letters[s->n_letter + i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
  s->word[s->words.n] = (spelling){s->n_letter, n};
  const size_t before = s->words.n, at = find(&s->words, s, hash_word, same_word);
  if (at == SIZE_MAX) return false;
  if (at == before) s->n_letter += n; /* a new one: its letters stay */
  *id = (uint32_t)at;
  return true;
}

static bool add(sums *s, uint32_t which, uint32_t word, double value)
{
  if (!reserve((void **)&s->total, &s->total_room, s->totals.n, 1, sizeof *s->total)) return false;
  s->total[s->totals.n] = (total){.group = which, .word = word};
  const size_t at = find(&s->totals, s, hash_total, same_total);
  if (at == SIZE_MAX) return false;
  total *t = &s->total[at];
  const double before = t->n ? t->sum / (double)t->n : 0;
  t->sum += value;
  t->n++;
  t->squares += (value - before) * (value - t->sum / (double)t->n); /* Welford 1962 */
  return true;
}

/* The tokens of a text with the spelling of their word; tokens of a word follow each other. */
static int read_pieces(sums *s, sqlite3_stmt *tokens, const char *text, size_t n_text)
{
  int code;
  int64_t word = -1, begin = 0, end = 0;
  size_t first = 0;
  s->n_piece = 0;
  while ((code = sqlite3_step(tokens)) == SQLITE_ROW || (code == SQLITE_DONE && s->n_piece > first)) {
    const bool more = code == SQLITE_ROW;
    if (s->n_piece > first && (!more || sqlite3_column_int64(tokens, 1) != word)) { /* a word is complete */
      uint32_t id;
      const bool inside = begin >= 0 && begin <= end && (uint64_t)end <= n_text;
      while (inside && begin < end && strchr(" \t\r\n", text[begin])) /* byte-level tokens begin with a blank */
        begin++;
      if (!intern(s, inside ? text + begin : "", inside ? (size_t)(end - begin) : 0, &id)) return SQLITE_NOMEM;
      for (; first < s->n_piece; first++)
        s->piece[first].word = id;
    }
    if (!more) break;
    const bool fresh = first == s->n_piece;
    if (!reserve((void **)&s->piece, &s->piece_room, s->n_piece, 1, sizeof *s->piece)) return SQLITE_NOMEM;
    word = sqlite3_column_int64(tokens, 1);
    const int64_t b = sqlite3_column_int64(tokens, 2), e = sqlite3_column_int64(tokens, 3);
    begin = fresh || b < begin ? b : begin;
    end = fresh || e > end ? e : end;
    s->piece[s->n_piece++] = (piece){.position = sqlite3_column_int64(tokens, 0), .first = fresh};
  }
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool find_group(sums *s, sqlite3_stmt *row, uint32_t *out)
{
  group g = {.tokenization = -1,
             .model = sqlite3_column_int64(row, 0),
             .composite = sqlite3_column_type(row, 1) == SQLITE_NULL ? -1 : sqlite3_column_int64(row, 1),
             .target = sqlite3_column_int64(row, 3)};
  const unsigned char *method = sqlite3_column_text(row, 2);
  sqlite3_snprintf(sizeof g.method, g.method, "%s", method ? (const char *)method : "");
  for (size_t k = 0; k < s->n_group; k++) {
    const size_t i = (s->last + k) % s->n_group;
    const group *o = &s->group[i];
    if (o->model != g.model || o->composite != g.composite || o->target != g.target || strcmp(o->method, g.method)) continue;
    s->last = i;
    *out = (uint32_t)i;
    return true;
  }
  if (!reserve((void **)&s->group, &s->group_room, s->n_group, 1, sizeof *s->group)) return false;
  s->group[s->n_group] = g;
  *out = (uint32_t)s->n_group++;
  return true;
}

static int add_explanation(sums *s, int64_t tokenization, sqlite3_stmt *row)
{
  const int64_t run = sqlite3_column_int64(row, 6);
  const unsigned char *dtype = sqlite3_column_text(row, 4), *r = sqlite3_column_blob(row, 5);
  const size_t width = dtype && !strcmp((const char *)dtype, "f64") ? 8 : 4, n = (size_t)sqlite3_column_bytes(row, 5) / width;
  uint32_t which;
  if (!find_group(s, row, &which)) return SQLITE_NOMEM;
  group *g = &s->group[which];
  if (g->tokenization == tokenization && g->run != run) return SQLITE_OK; /* rows come latest run first */
  g->tokenization = tokenization;
  g->run = run;
  for (size_t i = 0; i < s->n_piece;) {
    double sum = 0;
    const uint32_t word = s->piece[i].word;
    do {
      const int64_t at = s->piece[i].position;
      if (at >= 0 && (uint64_t)at < n) sum += lrp_sql_real(r, width, (size_t)at);
    } while (++i < s->n_piece && !s->piece[i].first);
    if (!add(s, which, word, sum)) return SQLITE_NOMEM;
  }
  return SQLITE_OK;
}

static int add_text(sums *s, sqlite3_stmt *texts, sqlite3_stmt *tokens, sqlite3_stmt *relevance)
{
  const char *text = (const char *)sqlite3_column_text(texts, 2);
  sqlite3_bind_int64(tokens, 1, sqlite3_column_int64(texts, 0));
  sqlite3_bind_int64(relevance, 1, sqlite3_column_int64(texts, 1));
  sqlite3_bind_int64(relevance, 2, sqlite3_column_int64(texts, 0));
  int code = text ? read_pieces(s, tokens, text, (size_t)sqlite3_column_bytes(texts, 2)) : SQLITE_OK;
  while (!code && (code = sqlite3_step(relevance)) == SQLITE_ROW)
    code = add_explanation(s, sqlite3_column_int64(texts, 0), relevance);
  sqlite3_reset(tokens);
  sqlite3_reset(relevance);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int add_all(sums *s, sqlite3 *db, sqlite3_value *run, sqlite3_value *wrong)
{
  sqlite3_stmt *texts = NULL, *tokens = NULL, *relevance = NULL;
  int code = sqlite3_prepare_v2(db, SQL_TEXTS, -1, &texts, NULL);
  if (!code) code = sqlite3_prepare_v2(db, SQL_TOKENS, -1, &tokens, NULL);
  if (!code) code = sqlite3_prepare_v2(db, SQL_RELEVANCE, -1, &relevance, NULL);
  if (!code && run) code = sqlite3_bind_value(relevance, 3, run);
  if (!code) code = sqlite3_bind_int(relevance, 4, wrong && sqlite3_value_int(wrong));
  while (!code && (code = sqlite3_step(texts)) == SQLITE_ROW)
    code = add_text(s, texts, tokens, relevance);
  sqlite3_finalize(texts);
  sqlite3_finalize(tokens);
  sqlite3_finalize(relevance);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int by_strength(const void *a, const void *b)
{
  const total *x = a, *y = b;
  const double mean_x = x->sum / (double)x->n, mean_y = y->sum / (double)y->n;
  if (x->group != y->group) return x->group < y->group ? -1 : 1;
  if (mean_x > mean_y || mean_x < mean_y) return mean_x > mean_y ? -1 : 1;
  return (x->word > y->word) - (x->word < y->word);
}

/* The k strongest of each group. */
static void cut(sums *s, int64_t k)
{
  size_t kept = 0;
  int64_t place = 0;
  uint32_t now = UINT32_MAX;
  if (!s->totals.n) return;
  qsort(s->total, s->totals.n, sizeof *s->total, by_strength); /* the hash table is of no use from here on */
  for (size_t i = 0; i < s->totals.n; i++) {
    place = s->total[i].group == now ? place + 1 : 1;
    now = s->total[i].group;
    if (place <= k) s->total[kept++] = s->total[i];
  }
  s->totals.n = kept;
}

/* ---- the table ---- */

typedef struct table {
  sqlite3_vtab base;
  sqlite3 *db;
} table;
typedef struct cursor {
  sqlite3_vtab_cursor base;
  sums s;
  size_t at;
} cursor;

static int table_connect(sqlite3 *db, void *user, int n_arg, const char *const *arg, sqlite3_vtab **out, char **message)
{
  (void)user, (void)n_arg, (void)arg, (void)message;
  int code = sqlite3_declare_vtab(
      db, "CREATE TABLE x(model_id INTEGER, composite_id INTEGER, method TEXT, target_class INTEGER, word TEXT, relevance REAL,"
          " n INTEGER, low REAL, high REAL, k HIDDEN, run HIDDEN, wrong HIDDEN)");
  if (code) return code;
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS); /* it reads what any query may read */
  table *t = sqlite3_malloc(sizeof *t);
  if (!t) return SQLITE_NOMEM;
  *t = (table){.db = db};
  *out = &t->base;
  return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *base)
{
  sqlite3_free(base);
  return SQLITE_OK;
}

/* All is added up when a scan starts: it belongs outermost, FROM top_words(10) CROSS JOIN ... */
static int table_plan(sqlite3_vtab *base, sqlite3_index_info *plan)
{
  const int code = lrp_sql_arguments(plan, K, N_ARGUMENT);
  (void)base;
  if (code) return code;
  plan->estimatedCost = 1e9;
  plan->estimatedRows = plan->idxNum & HAS_K ? 100 : 100000;
  return SQLITE_OK;
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
  (void)base;
  cursor *c = sqlite3_malloc(sizeof *c);
  if (!c) return SQLITE_NOMEM;
  *c = (cursor){.at = 0};
  *out = &c->base;
  return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
  sums_free(&((cursor *)base)->s);
  sqlite3_free(base);
  return SQLITE_OK;
}

static int cursor_filter(sqlite3_vtab_cursor *base, int plan, const char *text, int n_arg, sqlite3_value **arg)
{
  cursor *c = (cursor *)base;
  table *t = (table *)base->pVtab;
  sqlite3_value *k = plan & HAS_K ? arg[0] : NULL, *run = plan & HAS_RUN ? arg[(plan & HAS_K) != 0] : NULL,
                *wrong = plan & HAS_WRONG ? arg[n_arg - 1] : NULL;
  (void)text;
  c->at = 0;
  sums_free(&c->s);
  const int code = add_all(&c->s, t->db, run, wrong);
  if (!code && k && sqlite3_value_type(k) != SQLITE_NULL) cut(&c->s, sqlite3_value_int64(k));
  if (code && code != SQLITE_NOMEM && code != SQLITE_INTERRUPT) {
    sqlite3_free(t->base.zErrMsg);
    t->base.zErrMsg = sqlite3_mprintf("top_words: %s", sqlite3_errmsg(t->db));
  }
  return code;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
  ((cursor *)base)->at++;
  return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
  const cursor *c = (const cursor *)base;
  return c->at >= c->s.totals.n;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int column)
{
  const cursor *c = (const cursor *)base;
  const total *t = &c->s.total[c->at];
  const group *g = &c->s.group[t->group];
  const spelling *w = &c->s.word[t->word];
  if (column == MODEL)
    sqlite3_result_int64(out, g->model);
  else if (column == COMPOSITE && g->composite >= 0)
    sqlite3_result_int64(out, g->composite);
  else if (column == METHOD)
    sqlite3_result_text(out, g->method, -1, SQLITE_TRANSIENT);
  else if (column == CLASS)
    sqlite3_result_int64(out, g->target);
  else if (column == WORD)
    sqlite3_result_text(out, w->n ? c->s.letters + w->at : "", (int)w->n, SQLITE_TRANSIENT);
  else if (column == RELEVANCE)
    sqlite3_result_double(out, t->sum / (double)t->n);
  else if (column == N)
    sqlite3_result_int64(out, t->n);
  else if ((column == LOW || column == HIGH) && t->n > 1) {
    const double n = (double)t->n, half = lrp_stat_t_quantile(0.975, n - 1) * sqrt(t->squares / (n - 1) / n);
    sqlite3_result_double(out, t->sum / n + (column == LOW ? -half : half));
  }
  return SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
  *out = (sqlite3_int64)((const cursor *)base)->at;
  return SQLITE_OK;
}

int lrp_sql_words(sqlite3 *db)
{
  static const sqlite3_module module = {.xConnect = table_connect,
                                        .xBestIndex = table_plan,
                                        .xDisconnect = table_disconnect,
                                        .xOpen = cursor_open,
                                        .xClose = cursor_close,
                                        .xFilter = cursor_filter,
                                        .xNext = cursor_next,
                                        .xEof = cursor_eof,
                                        .xColumn = cursor_column,
                                        .xRowid = cursor_rowid};
  return sqlite3_create_module_v2(db, "top_words", &module, NULL, NULL);
}
