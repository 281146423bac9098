/* store_facts.c - a run and an explanation made of plain facts, for tests of the store. */
#include "store_facts.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char HASH[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void fill_spec(facts *f)
{
  f->labels[0] = "ham";
  f->labels[1] = "spam";
  f->in = (lrp_signature){.name = "input_ids", .dtype = LRP_INDEX, .rank = 2, .shape = {1, -1}};
  f->out = (lrp_signature){.name = "scores", .dtype = LRP_REAL, .rank = 2, .shape = {1, 2}};
  f->model = (lrp_model_info){.path = "models/toy",
                              .name = "toy",
                              .sha256 = HASH,
                              .producer = "a test",
                              .kind = "textcnn",
                              .modality = LRP_MODALITY_TEXT,
                              .opset = 17,
                              .n_input = 1,
                              .n_output = 1,
                              .n_param = 10,
                              .n_label = 2,
                              .labels = f->labels,
                              .meta = "{\"model_type\":\"textcnn\"}"};
  f->layer[0] = (lrp_run_layer){.name = "emb",
                                .op = "Gather",
                                .type = "embedding",
                                .args = "",
                                .rule = "exact",
                                .matcher = "",
                                .note = "",
                                .rank = 3,
                                .shape = {1, 3, 2},
                                .n_param = 6};
  f->layer[1] = (lrp_run_layer){.name = "fc",
                                .op = "Gemm",
                                .type = "dense",
                                .args = "",
                                .rule = "epsilon(epsilon=0.25)",
                                .matcher = "linear",
                                .note = "merged bn",
                                .rank = 2,
                                .shape = {1, 2},
                                .n_param = 4};
  f->layer[2] = f->layer[1]; /* a second node of the same name */
  f->rule[0] = (lrp_run_rule){"linear", "epsilon", "{\"epsilon\":0.25,\"bias\":true}"};
  f->rule[1] = (lrp_run_rule){"*", "zero", "{}"};
  f->plugin = (lrp_plugin){.abi_major = 1, .abi_minor = 0, .name = "dense", .version = "0.1.0"};
  f->plugin_info = (lrp_plugin_info){&f->plugin, "plugins-1/dense.so", HASH};
  f->plugins[0] = &f->plugin_info;
  f->argv[0] = "lrp";
  f->argv[1] = "explain";
  f->argv[2] = "caf\xe9"; /* a file name that is no UTF-8 */
  f->tags[0] = "why=a test=of tags";
  f->spec = (lrp_run_spec){.model = &f->model,
                           .input = &f->in,
                           .output = &f->out,
                           .tokenizer_sha256 = HASH,
                           .tokenizer_kind = "WordPiece",
                           .layer = f->layer,
                           .n_layer = FACT_LAYERS,
                           .composite_name = "eps",
                           .composite_text = "linear = epsilon(epsilon=0.25)\n* = zero\n",
                           .composite_sha256 = HASH,
                           .rule = f->rule,
                           .n_rule = 2,
                           .plugin = f->plugins,
                           .n_plugin = 1,
                           .n_argv = 3,
                           .argv = f->argv,
                           .config = "{\"target\":\"argmax\"}",
                           .has_seed = 1,
                           .seed = -7,
                           .tag = f->tags,
                           .n_tag = 1};
}

void facts_number(facts *f, int number)
{
  snprintf(f->text, sizeof f->text, "good film %d", number);
  f->input.n_text = strlen(f->text);
  lrp_sha256(f->text, f->input.n_text, f->input.sha256);
}

void facts_fill(facts *f)
{
  *f = (facts){0};
  fill_spec(f);
  f->token[0] = (lrp_token){.id = 101, .word = -1, .special = 1, .text = "[CLS]"};
  f->token[1] = (lrp_token){.id = 7, .begin = 0, .end = 4, .word = 0, .text = "good"};
  f->token[2] = (lrp_token){.id = 8, .begin = 5, .end = 9, .word = 1, .text = "film"};
  snprintf(f->text, sizeof f->text, "good film");
  f->input =
      (lrp_input){.kind = LRP_MODALITY_TEXT, .n_token = FACT_TOKENS, .token = f->token, .text = f->text};
  f->input.n_text = strlen(f->text);
  lrp_sha256(f->text, f->input.n_text, f->input.sha256);
  f->r[0] = (lrp_real)0.1;
  f->r[1] = (lrp_real)0.75;
  f->r[2] = (lrp_real)-0.25;
  f->scores[0] = -1;
  f->scores[1] = (lrp_real)0.875;
  f->r_tensor = (lrp_tensor){.data = f->r, .dtype = LRP_REAL, .rank = 2, .shape = {1, FACT_TOKENS}};
  f->value = 0.875;
  f->sum = (double)f->r[0] + 0.5;
  f->ledger[1] = (lrp_ledger){.r_out = 0.875, .r_in = 0.5, .bias = 0.25, .stab = 0.0625, .gate = 0.03125};
  f->relevance = (lrp_relevance){.n_tensor = 1,
                                 .tensor = &f->r_tensor,
                                 .value = &f->value,
                                 .sum = &f->sum,
                                 .ledger = f->ledger,
                                 .wall_ns = 1234};
  f->record = (lrp_record){.input = &f->input,
                           .n_sample = 1,
                           .true_label = "spam",
                           .ordinal = 4,
                           .target = {1, -1},
                           .scores = f->scores,
                           .n_class = 2,
                           .probability = 0.867,
                           .relevance = &f->relevance,
                           .n_node = FACT_LAYERS,
                           .at = -1};
}

static sqlite3_stmt *first_row(lrp_store *s, const char *sql)
{
  sqlite3_stmt *stmt = NULL;
  ck_assert_msg(sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql,
                sqlite3_errmsg(s->db));
  ck_assert_msg(sqlite3_step(stmt) == SQLITE_ROW, "%s: no row: %s", sql, sqlite3_errmsg(s->db));
  return stmt;
}

int64_t facts_int(lrp_store *s, const char *sql)
{
  sqlite3_stmt *stmt = first_row(s, sql);
  int64_t v = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return v;
}

double facts_real(lrp_store *s, const char *sql)
{
  sqlite3_stmt *stmt = first_row(s, sql);
  double v = sqlite3_column_double(stmt, 0);
  sqlite3_finalize(stmt);
  return v;
}

const char *facts_text(lrp_store *s, const char *sql)
{
  static char text[4096];
  sqlite3_stmt *stmt = first_row(s, sql);
  const unsigned char *v = sqlite3_column_text(stmt, 0);
  snprintf(text, sizeof text, "%s", v ? (const char *)v : "(null)");
  sqlite3_finalize(stmt);
  return text;
}

const char *facts_fresh(const char *name)
{
  const char *path = lrp_test_tmp(name);
  char beside[4200];
  unlink(path);
  snprintf(beside, sizeof beside, "%s-wal", path);
  unlink(beside);
  return path;
}

lrp_store *facts_create(lrp_ctx *ctx, const char *path)
{
  lrp_store *s = NULL;
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_CREATE, &s));
  return s;
}
