/* report_read.c - what a report shows: its columns, its cases, how far the columns agree, and which
 * cases are chosen.  Relevance is read case by case, never all of it. */
#include "report.h"
#include "stat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ?1: a JSON array of runs, or NULL; then each of them is a column of its own. */
#define SELECTED "(?1 IS NULL OR r.run_id IN (SELECT value FROM json_each(?1)))"
static const char SQL_COLUMNS[] =
    "SELECT r.model_id, m.name, m.modality, coalesce(c.name, r.method), json_extract(c.spec, "
    "'$.text'), "
    "json_group_array(r.run_id),\n"
    "  r.method, ifnull(r.composite_id, -1), min(r.run_id)\n"
    "FROM run r JOIN model m USING (model_id) LEFT JOIN composite c USING (composite_id)\n"
    "WHERE " SELECTED " AND EXISTS (SELECT 1 FROM explanation x WHERE x.run_id = r.run_id AND "
    "x.layer_id IS NULL)\n"
    "GROUP BY r.model_id, r.composite_id, r.method, CASE WHEN ?1 IS NULL THEN 0 ELSE r.run_id END\n"
    "ORDER BY r.model_id, min(r.run_id)";
static const char SQL_MISSING[] =
    "SELECT j.value, r.run_id FROM json_each(?1) j LEFT JOIN run r ON r.run_id = j.value\n"
    "WHERE NOT EXISTS (SELECT 1 FROM explanation x WHERE x.run_id = j.value AND x.layer_id IS "
    "NULL)";
/* The latest explanation of a case counts. */
static const char SQL_CASES[] =
    "SELECT x.input_id, x.target_class, ifnull(x.contrast_class, -1), x.explanation_id, j.key\n"
    "FROM json_each(?1) j JOIN json_each(j.value) k JOIN explanation x ON x.run_id = k.value\n"
    "WHERE x.layer_id IS NULL ORDER BY 1, 2, 3, 4";
/* Of one explanation: what the head of a case tells. */
static const char SQL_ABOUT[] =
    "SELECT i.kind, i.text, i.path, i.ordinal, i.sha256, i.shape, i.true_label, p.predicted, "
    "p.prob, p.margin,\n"
    "  coalesce(k.label, CAST(p.predicted AS TEXT)), v.target, i.input_id, x.tokenization_id, "
    "v.input\n"
    "FROM explanation x JOIN input i USING (input_id) JOIN run r USING (run_id)\n"
    "  JOIN v_explanation v USING (explanation_id)\n"
    "  LEFT JOIN prediction p ON p.run_id = x.run_id AND p.input_id = x.input_id\n"
    "  LEFT JOIN class k ON k.model_id = r.model_id AND k.class_index = p.predicted\n"
    "WHERE x.explanation_id = ?1";

int report_no_memory(void)
{
  cli_error("no memory");
  return 1;
}

static char *copy(sqlite3_stmt *s, int column)
{
  return strdup(cli_db_text(s, column));
}

/* ---- columns ---- */

static report_model *model_of(report *r, sqlite3_stmt *s)
{
  const int64_t id = sqlite3_column_int64(s, 0);
  if (r->n_model && r->model[r->n_model - 1].id == id) return &r->model[r->n_model - 1];
  report_model *grown = realloc(r->model, (size_t)(r->n_model + 1) * sizeof *grown);
  if (!grown) return NULL;
  r->model = grown;
  report_model *m = &grown[r->n_model++];
  *m = (report_model){.id = id, .name = copy(s, 1), .modality = copy(s, 2)};
  return m->name && m->modality ? m : NULL;
}

static int add_column(report *r, sqlite3_stmt *s)
{
  report_model *m = model_of(r, s);
  if (!m) return report_no_memory();
  if (m->n_column == REPORT_COLUMNS) {
    cli_error("%s: model %s has more than %d rules; name the runs, as in lrp report 1 2 3",
              r->d.path, m->name, REPORT_COLUMNS);
    return 2;
  }
  report_column *c = &m->column[m->n_column++];
  *c = (report_column){.name = copy(s, 3),
                       .spec = sqlite3_column_type(s, 4) == SQLITE_NULL ? NULL : copy(s, 4),
                       .runs = copy(s, 5),
                       .method = copy(s, 6),
                       .composite = sqlite3_column_int64(s, 7)};
  return c->name && c->runs && c->method ? 0 : report_no_memory();
}

/* Two columns of one name are told apart by their runs. */
static int tell_apart(report_model *m)
{
  for (int i = 0; i < m->n_column; i++) {
    bool twice = false;
    for (int k = 0; k < m->n_column; k++)
      twice = twice || (k != i && !strcmp(m->column[i].name, m->column[k].name));
    if (!twice) continue;
    const size_t n = strlen(m->column[i].name) + strlen(m->column[i].runs) + 8;
    for (int k = i; k < m->n_column; k++) {
      if (k != i && strcmp(m->column[i].name, m->column[k].name)) continue;
      if (k == i) continue;
      char *name = malloc(n + strlen(m->column[k].runs));
      if (!name) return report_no_memory();
      snprintf(name, n + strlen(m->column[k].runs), "%s, run %.*s", m->column[k].name,
               (int)strcspn(m->column[k].runs + 1, ",]"), m->column[k].runs + 1);
      free(m->column[k].name);
      m->column[k].name = name;
    }
  }
  return 0;
}

static int missing(report *r)
{
  int status = 0;
  sqlite3_stmt *s = r->runs ? cli_db_ask(&r->d, SQL_MISSING, "t", r->runs) : NULL;
  if (r->runs && cli_db_row(&r->d, s, &status)) {
    const long long id = sqlite3_column_int64(s, 0);
    if (sqlite3_column_type(s, 1) == SQLITE_NULL)
      cli_error("%s: there is no run %lld; lrp runs ls lists them", r->d.path, id);
    else
      cli_error("%s: run %lld has no explanations", r->d.path, id);
    status = 2;
  }
  sqlite3_finalize(s);
  return status;
}

static int read_columns(report *r)
{
  int status = missing(r);
  sqlite3_stmt *s = status ? NULL : cli_db_ask(&r->d, SQL_COLUMNS, "t", r->runs);
  while (!status && cli_db_row(&r->d, s, &status))
    status = add_column(r, s);
  sqlite3_finalize(s);
  if (!status && !r->n_model) {
    cli_error("%s has no explanations; lrp explain and lrp run write them", r->d.path);
    status = 2;
  }
  for (int i = 0; !status && i < r->n_model; i++)
    status = tell_apart(&r->model[i]);
  return status;
}

/* ---- cases ---- */

static int add_case(report_model *m, const report_case *c)
{
  if (m->n == m->room) {
    const int64_t room = m->room ? 2 * m->room : 256;
    report_case *item = realloc(m->item, (size_t)room * sizeof *item);
    if (item) m->item = item;
    int64_t *id = realloc(m->id_of, (size_t)(room * m->n_column) * sizeof *id);
    if (id) m->id_of = id;
    if (!item || !id) return report_no_memory();
    m->room = room;
  }
  memset(m->id_of + m->n * m->n_column, 0, (size_t)m->n_column * sizeof *m->id_of);
  m->item[m->n++] = *c;
  return 0;
}

static int read_cases(report *r, report_model *m)
{
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);
  if (!f) return report_no_memory();
  for (int i = 0; i < m->n_column; i++)
    fprintf(f, "%s%s", i ? "," : "[", m->column[i].runs);
  fputc(']', f);
  if (fclose(f)) return report_no_memory();
  int status = 0;
  sqlite3_stmt *s = cli_db_ask(&r->d, SQL_CASES, "t", text);
  free(text);
  while (!status && cli_db_row(&r->d, s, &status)) {
    const report_case c = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                           sqlite3_column_int64(s, 2), (double)NAN};
    const report_case *last = m->n ? &m->item[m->n - 1] : NULL;
    if (!last || last->input != c.input || last->target != c.target || last->contrast != c.contrast)
      status = add_case(m, &c);
    if (!status)
      m->id_of[(m->n - 1) * m->n_column + sqlite3_column_int64(s, 4)] = sqlite3_column_int64(s, 3);
  }
  sqlite3_finalize(s);
  return status;
}

/* ---- agreement ---- */

/* Adds the pairs of one case; the mean of its cosines is what its disagreement comes from. */
static void agree(report_model *m, report_case *c, const cli_relevance *v, lrp_stat_room *room)
{
  double sum = 0;
  int64_t n = 0;
  for (int a = 0; a < m->n_column; a++)
    for (int b = a + 1; b < m->n_column; b++) {
      if (!v[a].n || v[a].n != v[b].n) continue;
      const double cosine = lrp_stat_cos(v[a].v, v[b].v, v[a].n),
                   rank = lrp_stat_spearman(v[a].v, v[b].v, v[a].n, room);
      if (isnan(cosine)) continue;
      sum += cosine;
      n++;
      m->cosine[a][b] += cosine;
      m->rank[a][b] += isnan(rank) ? cosine : rank; /* all equal in one of both: one value, say */
      m->pairs[a][b]++;
    }
  if (n) c->disagreement = 1 - sum / (double)n;
}

static void mirror(report_model *m)
{
  for (int a = 0; a < m->n_column; a++) {
    m->cosine[a][a] = m->rank[a][a] = 1;
    for (int b = a + 1; b < m->n_column; b++) {
      const double n = (double)m->pairs[a][b];
      m->cosine[b][a] = m->cosine[a][b] = n > 0 ? m->cosine[a][b] / n : (double)NAN;
      m->rank[b][a] = m->rank[a][b] = n > 0 ? m->rank[a][b] / n : (double)NAN;
      m->pairs[b][a] = m->pairs[a][b];
    }
  }
}

static int measure(report *r, report_model *m, cli_progress *progress)
{
  cli_relevance v[REPORT_COLUMNS] = {{0}};
  lrp_stat_room room = {0};
  int status = 0;
  for (int64_t i = 0; !status && i < m->n; i++) {
    size_t n = 0;
    for (int k = 0; !status && k < m->n_column; k++) {
      const int64_t id = m->id_of[i * m->n_column + k];
      v[k].n = 0;
      if (id) status = cli_relevance_read(&r->d, &r->read, id, &v[k]);
      n = v[k].n > n ? v[k].n : n;
    }
    if (!status && !lrp_stat_reserve(&room, n)) status = report_no_memory();
    if (!status) agree(m, &m->item[i], v, &room);
    cli_progress_step(progress);
  }
  for (int k = 0; k < m->n_column; k++)
    free(v[k].v);
  lrp_stat_release(&room);
  mirror(m);
  return status;
}

/* ---- choice ---- */

typedef struct key {
  double disagreement;
  int64_t at;
} key;

static int by_disagreement(const void *a, const void *b)
{
  const key *x = a, *y = b;
  if (x->disagreement > y->disagreement || x->disagreement < y->disagreement)
    return x->disagreement > y->disagreement ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

static int choose(report_model *m, int64_t limit)
{
  key *keys = malloc((size_t)m->n * sizeof *keys + 1);
  m->shown = malloc((size_t)m->n * sizeof *m->shown + 1);
  if (keys && m->shown) {
    for (int64_t i = 0; i < m->n; i++)
      keys[i] = (key){isnan(m->item[i].disagreement) ? -3 : m->item[i].disagreement, i};
    qsort(keys, (size_t)m->n, sizeof *keys, by_disagreement);
    m->n_shown = m->n < limit ? m->n : limit;
    for (int64_t i = 0; i < m->n_shown; i++)
      m->shown[i] = keys[i].at;
  }
  const bool ok = keys && m->shown;
  free(keys);
  return ok ? 0 : report_no_memory();
}

int report_read(report *r)
{
  int64_t n = 0;
  int status = read_columns(r);
  for (int i = 0; !status && i < r->n_model; i++) {
    status = read_cases(r, &r->model[i]);
    n += r->model[i].n;
  }
  cli_progress progress;
  cli_progress_begin(&progress, n);
  for (int i = 0; !status && i < r->n_model; i++) {
    status = measure(r, &r->model[i], &progress);
    if (!status) status = choose(&r->model[i], r->limit);
  }
  cli_progress_hide(&progress);
  return status;
}

/* ---- one case ---- */

sqlite3_stmt *report_about(report *r, const report_model *m, int64_t c)
{
  int status = 0, k = 0;
  while (k < m->n_column - 1 && !m->id_of[c * m->n_column + k])
    k++;
  if (!r->about) r->about = cli_db_ask(&r->d, SQL_ABOUT, "");
  if (!r->about) return NULL;
  sqlite3_reset(r->about);
  sqlite3_bind_int64(r->about, 1, m->id_of[c * m->n_column + k]);
  return cli_db_row(&r->d, r->about, &status) ? r->about : NULL;
}

void report_free(report *r)
{
  for (int i = 0; i < r->n_model; i++) {
    report_model *m = &r->model[i];
    for (int k = 0; k < m->n_column; k++) {
      free(m->column[k].name);
      free(m->column[k].spec);
      free(m->column[k].runs);
      free(m->column[k].method);
    }
    free(m->name);
    free(m->modality);
    free(m->item);
    free(m->id_of);
    free(m->shown);
  }
  free(r->model);
  sqlite3_finalize(r->read);
  sqlite3_finalize(r->about);
  sqlite3_finalize(r->tokens);
  sqlite3_finalize(r->predicted);
  free(r->r.v);
  free(r->g.v);
  free(r->runs);
  free(r->made_by);
  dataset_close(r->pictures);
  cli_db_close(&r->d);
}
