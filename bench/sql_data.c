/* sql_data.c - writes a store for bench/sql.sh: sql_data FILE SCHEMA.sql.
 *
 * 5,000 texts of 100 tokens out of 20,000, explained under two composites: 10,000 explanations, a million rows of tokens. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 5000, TOKENS = 100, VOCABULARY = 20000, CLASSES = 4, RULES = 2 };

static sqlite3 *db;
static uint64_t state = 1;

static void must(int ok, const char *what)
{
  if (ok) return;
  fprintf(stderr, "sql_data: %s: %s\n", what, db ? sqlite3_errmsg(db) : "failed");
  exit(1);
}

static uint32_t draw(void)
{
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(state >> 32);
}

static void run(const char *sql)
{
  must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, sql);
}

static char *read_file(const char *path)
{
  FILE *f = fopen(path, "rb");
  char *text = calloc(1, 1 << 20);
  must(f && text && fread(text, 1, (1 << 20) - 1, f) > 0, path);
  fclose(f);
  return text;
}

static sqlite3_stmt *ready(const char *sql)
{
  sqlite3_stmt *s = NULL;
  must(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK, sql);
  return s;
}

static void step(sqlite3_stmt *s, const char *what)
{
  must(sqlite3_step(s) == SQLITE_DONE, what);
  sqlite3_reset(s);
}

static void things(void)
{
  run("INSERT INTO environment VALUES (1, printf('%064d', 1), '', '', '', '', 1, '', '', '', '')");
  run("INSERT INTO experiment (experiment_id, name) VALUES (1, 'bench')");
  run("INSERT INTO model VALUES (1, printf('%064d', 1), 'toy', NULL, NULL, NULL, 'text', 17, 0, '{}', '{}')");
  run("INSERT INTO class VALUES (1, 0, 'a'), (1, 1, 'b'), (1, 2, 'c'), (1, 3, 'd')");
}

static void inputs(int32_t *ids)
{
  char text[TOKENS * 8 + 1];
  sqlite3_stmt *in = ready("INSERT INTO input VALUES (?1, 'text', printf('%064d', ?1), 0, ?2, NULL, NULL, NULL, NULL)");
  sqlite3_stmt *cut = ready("INSERT INTO tokenization VALUES (?1, ?1, 1, '', 100, 0)");
  sqlite3_stmt *put = ready("INSERT INTO token VALUES (?1, ?2, ?3, ?4, ?5, ?2, 0)");
  for (int i = 1; i <= INPUTS; i++) {
    int at = 0;
    for (int k = 0; k < TOKENS; k++) {
      const uint32_t a = draw() % VOCABULARY, b = draw() % VOCABULARY;
      ids[k] = (int32_t)((uint64_t)a * b / VOCABULARY); /* some are more common than others */
      at += snprintf(text + at, sizeof text - (size_t)at, "w%05d  ", (int)ids[k]);
    }
    sqlite3_bind_int(in, 1, i);
    sqlite3_bind_text(in, 2, text, at, SQLITE_TRANSIENT);
    step(in, "input");
    sqlite3_bind_int(cut, 1, i);
    step(cut, "tokenization");
    for (int k = 0; k < TOKENS; k++) {
      const int values[] = {i, k, (int)ids[k], 8 * k, 8 * k + 6};
      for (int c = 0; c < 5; c++)
        sqlite3_bind_int(put, c + 1, values[c]);
      step(put, "token");
    }
    ids += TOKENS;
  }
  sqlite3_finalize(in);
  sqlite3_finalize(cut);
  sqlite3_finalize(put);
}

static void explanations(const int32_t *ids)
{
  int64_t id = 0;
  sqlite3_stmt *put = ready("INSERT INTO explanation (explanation_id, run_id, input_id, target_class, seed_kind, tokenization_id,"
                            " dtype, tensors, shape, target_value, r_sum, r_abs_max, r_pos, r_neg, wall_ns, r)"
                            " VALUES (?1, ?2, ?3, ?4, 'logit', ?3, 'f32', '[\"ids\"]', '[100]', 1, ?5, 1, ?6, ?7, 1, ?8)");
  sqlite3_stmt *row = ready("INSERT INTO token_relevance VALUES (?1, ?2, ?3, ?2, ?4)");
  for (int rule = 1; rule <= RULES; rule++)
    for (int i = 1; i <= INPUTS; i++) {
      unsigned char blob[4 * TOKENS];
      double pos = 0, neg = 0;
      id++;
      sqlite3_bind_int64(row, 1, id);
      for (int k = 0; k < TOKENS; k++) {
        const float v = (float)((double)draw() / UINT32_MAX - 0.5);
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        for (int b = 0; b < 4; b++)
          blob[4 * k + b] = (unsigned char)(bits >> (8 * b));
        *(v > 0 ? &pos : &neg) += (double)v;
        sqlite3_bind_int(row, 2, k);
        sqlite3_bind_int(row, 3, (int)ids[(i - 1) * TOKENS + k]);
        sqlite3_bind_double(row, 4, (double)v);
        step(row, "token_relevance");
      }
      sqlite3_bind_int64(put, 1, id);
      sqlite3_bind_int(put, 2, rule);
      sqlite3_bind_int(put, 3, i);
      sqlite3_bind_int(put, 4, i % CLASSES);
      sqlite3_bind_double(put, 5, pos + neg);
      sqlite3_bind_double(put, 6, pos);
      sqlite3_bind_double(put, 7, neg);
      sqlite3_bind_blob(put, 8, blob, sizeof blob, SQLITE_TRANSIENT);
      step(put, "explanation");
    }
  sqlite3_finalize(put);
  sqlite3_finalize(row);
}

int main(int argc, char **argv)
{
  must(argc == 3, "usage: sql_data FILE SCHEMA.sql");
  must(sqlite3_open(argv[1], &db) == SQLITE_OK, argv[1]);
  char *schema = read_file(argv[2]);
  int32_t *ids = calloc((size_t)INPUTS * TOKENS, sizeof *ids);
  must(ids != NULL, "memory");
  run("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; BEGIN");
  run(schema);
  things();
  run("INSERT INTO tokenizer VALUES (1, '', 'WordLevel')");
  run("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)"
      " INSERT INTO vocab SELECT 1, i, printf('w%05d', i) FROM n");
  for (int rule = 1; rule <= RULES; rule++) {
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO composite VALUES (%d, 'rule%d', printf('%%064d', %d), '{}');"
             "INSERT INTO run (run_id, uuid, experiment_id, model_id, composite_id, environment_id, method, argv, config,"
             " precision, pid, status) VALUES (%d, 'u%d', 1, 1, %d, 1, 'lrp', '[]', '{}', 'f32', 1, 'done')",
             rule, rule, rule, rule, rule, rule);
    run(sql);
  }
  inputs(ids);
  explanations(ids);
  run("COMMIT");
  free(schema);
  free(ids);
  return sqlite3_close(db) != SQLITE_OK;
}
