/* test_record.c - what a store holds: each fact where it belongs, bit for bit, once, and nothing of what is wrong. */
#include "store_setup.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static lrp_store *filled(const char *name, int64_t *id, lrp_run **run)
{
  lrp_store *s = facts_create(ctx, facts_fresh(name));
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, run));
  lrp_ck_ok(ctx, lrp_store_explanation(s, *run, &f.record, id));
  return s;
}

START_TEST(explanation_reads_back_bit_for_bit)
{
  int64_t id;
  lrp_run *run;
  f.r[0] = (lrp_real)1e-42; /* a denormal */
  f.r[1] = (lrp_real)(1.0 / 3);
  f.r[2] = (lrp_real)-0.0;
  lrp_store *s = filled("bits.db", &id, &run);
  sqlite3_stmt *stmt;
  ck_assert_int_eq(
      sqlite3_prepare_v2(s->db, "SELECT r, dtype, shape, tensors FROM explanation", -1, &stmt, NULL),
      SQLITE_OK);
  ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
  ck_assert_int_eq(sqlite3_column_bytes(stmt, 0), (int)sizeof f.r);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  ck_assert_mem_eq(sqlite3_column_blob(stmt, 0), f.r, sizeof f.r);
#endif
  ck_assert_str_eq((const char *)sqlite3_column_text(stmt, 1), sizeof(lrp_real) == 8 ? "f64" : "f32");
  ck_assert_str_eq((const char *)sqlite3_column_text(stmt, 2), "[3]");
  ck_assert_str_eq((const char *)sqlite3_column_text(stmt, 3), "[\"input_ids\"]");
  sqlite3_finalize(stmt);
  double v = facts_real(s, "SELECT relevance FROM token_relevance WHERE position=1");
  ck_assert(v >= (double)f.r[1] && v <= (double)f.r[1]);
  ck_assert_double_eq_tol(facts_real(s, "SELECT residual FROM explanation"), f.value - f.sum, 1e-15);
  lrp_store_close(s);
}
END_TEST

START_TEST(several_tensors_follow_each_other_in_one_blob)
{
  lrp_real a[4] = {1, 2, 3, 4}, b[2] = {5, 6};
  lrp_tensor tensor[3] = {{.data = a, .dtype = LRP_REAL, .rank = 3, .shape = {2, 1, 2}}, /* (N,1,2) */
                          {.data = NULL, .dtype = LRP_REAL, .rank = 1, .shape = {2}},
                          {.data = b, .dtype = LRP_REAL, .rank = 1, .shape = {2}}};
  double value[2] = {0, 10}, sum[2] = {0, 13};
  lrp_ledger ledger[FACT_LAYERS * 2] = {[3] = {.r_out = 10, .r_in = 9}};
  lrp_relevance r = {.n_tensor = 3, .tensor = tensor, .value = value, .sum = sum, .ledger = ledger};
  lrp_input in = {.kind = LRP_MODALITY_TENSOR, .n_tensor = 3, .tensor = tensor};
  lrp_signature ports[3] = {{.name = "x"}, {.name = "mask"}, {.name = "bias"}};
  lrp_run *run;
  lrp_store *s = facts_create(ctx, facts_fresh("several.db"));
  f.model.n_input = 3;
  f.spec.input = ports;
  lrp_sha256("x", 1, in.sha256);
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &run));
  lrp_record rec = {.input = &in,
                    .sample = 1,
                    .n_sample = 2,
                    .ordinal = -1,
                    .target = {-1, -1},
                    .probability = -1,
                    .relevance = &r,
                    .n_node = FACT_LAYERS,
                    .at = -1};
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &rec, NULL));
  ck_assert_str_eq(facts_text(s, "SELECT shape FROM explanation"), "[[1,2],[]]");
  ck_assert_str_eq(facts_text(s, "SELECT tensors FROM explanation"), "[\"x\",\"bias\"]");
  ck_assert_str_eq(facts_text(s, "SELECT shape FROM input"), "[[2,1,2],[2],[2]]");
  ck_assert_int_eq(facts_int(s, "SELECT sample FROM input"), 1);
  ck_assert_int_eq(facts_int(s, "SELECT length(r) FROM explanation"), 3 * (int)sizeof(lrp_real));
  ck_assert_int_eq(facts_int(s, "SELECT r_pos FROM explanation"), 13);
  ck_assert_str_eq(facts_text(s, "SELECT target FROM v_explanation"), "all");
  ck_assert_str_eq(facts_text(s, "SELECT layer || leak FROM v_flow"), "fc1.0");
  rec.n_node = 1;
  lrp_ck_fails(ctx, LRP_E_SHAPE, "1 layers, but the run has 3", lrp_store_explanation(s, run, &rec, NULL));
  rec.n_node = 0;
  tensor[0].shape[0] = 3;
  lrp_ck_fails(ctx, LRP_E_SHAPE, "input 0 \"x\": the first axis is 3",
               lrp_store_explanation(s, run, &rec, NULL));
  lrp_store_close(s);
}
END_TEST

START_TEST(relevance_at_a_layer_is_one_more_explanation)
{
  lrp_real hidden[2] = {3, -1};
  lrp_tensor at = {.data = hidden, .dtype = LRP_REAL, .rank = 2, .shape = {1, 2}};
  int64_t id;
  lrp_run *run;
  f.relevance.at = &at;
  f.record.at = 1;
  lrp_store *s = filled("at.db", &id, &run);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 2);
  ck_assert_int_eq(facts_int(s, "SELECT sum FROM v_explanation WHERE layer='fc'"), 2);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM v_conservation"), 1);
  f.record.at = FACT_LAYERS;
  lrp_ck_fails(ctx, LRP_E_ARG, "layer 3 of 3", lrp_store_explanation(s, run, &f.record, NULL));
  lrp_store_close(s);
}
END_TEST

START_TEST(same_content_is_one_row)
{
  int64_t first, again;
  lrp_run *run, *next;
  lrp_store *s = filled("same.db", &first, &run);
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, &again)); /* the same run: left as it is */
  ck_assert_int_eq(first, again);
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &next));
  lrp_ck_ok(ctx, lrp_store_explanation(s, next, &f.record, &again));
  ck_assert_int_ne(first, again);
  static const char *const once[] = {"input",        "model",       "composite", "tokenizer",
                                     "tokenization", "environment", "plugin",    "experiment"};
  for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", once[i]);
    ck_assert_msg(facts_int(s, sql) == 1, "%s has %d rows", once[i], (int)facts_int(s, sql));
  }
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM vocab"), 3);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM layer"), 3);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 2);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM v_pair"), 2);
  lrp_store_close(s);
}
END_TEST

START_TEST(contrast_and_plain_target_are_two_explanations)
{
  int64_t plain, contrast;
  lrp_run *run;
  lrp_store *s = filled("contrast.db", &plain, &run);
  f.record.target.minus = 0;
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, &contrast));
  ck_assert_int_ne(plain, contrast);
  ck_assert_str_eq(facts_text(s, "SELECT target FROM v_explanation ORDER BY 1 DESC"), "spam - ham");
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM prediction"), 1);
  lrp_store_close(s);
}
END_TEST

START_TEST(views_answer)
{
  int64_t id;
  lrp_run *run;
  lrp_store *s = filled("views.db", &id, &run);
  ck_assert_str_eq(
      facts_text(s, "SELECT input||'|'||label||'|'||predicted||'|'||probability||'|'||target||'|'||composite"
                    "||'|'||value||'|'||model FROM v_explanation"),
      "good film|spam|spam|0.867|spam|eps|0.875|toy");
  ck_assert_str_eq(facts_text(s, "SELECT group_concat(token||':'||coalesce(word,'-'),' ') FROM"
                                 " (SELECT * FROM v_token ORDER BY position)"),
                   "[CLS]:- good:0 film:1");
  ck_assert_double_eq(facts_real(s, "SELECT shade FROM v_token WHERE token='good'"), 1);
  ck_assert_str_eq(
      facts_text(s,
                 "SELECT group_concat(word||':'||tokens,' ') FROM (SELECT * FROM v_word ORDER BY position)"),
      "good:1 film:1");
  ck_assert_str_eq(facts_text(s, "SELECT layer||'|'||rule||'|'||r_bias||'|'||leak FROM v_flow"),
                   "fc|epsilon(epsilon=0.25)|0.25|0.03125");
  ck_assert_double_eq_tol(facts_real(s, "SELECT rel FROM v_conservation"), (f.value - f.sum) / f.value,
                          1e-12);
  ck_assert_str_eq(facts_text(s, "SELECT status||explanations||errors FROM v_run"), "running10");
  ck_assert_double_eq_tol(facts_real(s, "SELECT margin FROM prediction"), 1.875, 1e-12);
  lrp_ck_ok(ctx, lrp_store_score(s, id, "srg", "{\"step\": 1}", 1, 0.5, NULL));
  lrp_ck_ok(ctx, lrp_store_score(s, id, "srg", "{ \"step\":1 }", 1, 0.25,
                                 NULL)); /* the same metric, a newer value */
  lrp_ck_ok(ctx, lrp_store_score(s, id, "auc", NULL, 1, (double)NAN, "the mask is empty"));
  ck_assert_str_eq(facts_text(s, "SELECT metric||'|'||n||'|'||mean||'|'||sd FROM v_score WHERE n"),
                   "srg|1|0.25|0.0");
  ck_assert_int_eq(facts_int(s, "SELECT undefined FROM v_score WHERE metric='auc'"), 1);
  ck_assert_int_eq(facts_int(s, "SELECT rowid FROM input_fts('film')"), 1);
  lrp_store_close(s);
}
END_TEST

START_TEST(run_records_how_it_was_made)
{
  int64_t id;
  lrp_run *run;
  lrp_store *s = filled("how.db", &id, &run);
  lrp_ck_ok(ctx, lrp_store_run_end(s, run, LRP_RUN_DONE));
  ck_assert_str_eq(
      facts_text(s, "SELECT status FROM run WHERE wall_ns>=0 AND peak_rss>0 AND finished_at IS NOT NULL"),
      "done");
  ck_assert_str_eq(facts_text(s, "SELECT json_extract(argv,'$[2]') FROM run"), "caf\xef\xbf\xbd");
  ck_assert_int_eq(facts_int(s, "SELECT seed FROM run"), -7);
  ck_assert_str_eq(facts_text(s, "SELECT key||':'||value FROM tag"), "why:a test=of tags");
  ck_assert_str_eq(
      facts_text(s,
                 "SELECT group_concat(name) FROM (SELECT l.name FROM run_layer JOIN layer l USING(layer_id)"
                 " ORDER BY ordinal)"),
      "emb,fc,fc#2");
  ck_assert_str_eq(facts_text(s, "SELECT lrp_version FROM environment"), lrp_version());
  ck_assert_double_eq(facts_real(s, "SELECT epsilon FROM composite_rule WHERE ord=0"), 0.25);
  ck_assert_str_eq(facts_text(s, "SELECT abi FROM plugin JOIN run_plugin USING(plugin_id)"), "1.0");
  ck_assert_str_eq(facts_text(s, "SELECT json_extract(spec,'$.text') FROM composite"), f.spec.composite_text);
  ck_assert_str_eq(facts_text(s, "SELECT json_extract(signature,'$.inputs[0].name') FROM model"),
                   "input_ids");
  lrp_store_close(s);
}
END_TEST

START_TEST(graph_built_anew_keeps_its_layers)
{
  int64_t id;
  lrp_run *run;
  lrp_store *s = filled("anew.db", &id, &run);
  f.layer[0].shape[1] = 5; /* a longer text */
  f.spec.n_layer = 2;
  lrp_ck_ok(ctx, lrp_store_run_layers(s, run, &f.spec));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM layer"), 3);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM run_layer"), 3);
  f.record.n_node = 2;
  facts_number(&f, 1);
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, NULL));
  lrp_store_close(s);
}
END_TEST

START_TEST(wrong_facts_are_told_and_leave_nothing)
{
  lrp_store *s = facts_create(ctx, facts_fresh("wrong.db"));
  lrp_run *run = NULL;
  f.spec.config = "{not json";
  lrp_ck_fails(ctx, LRP_E_ARG, "not a JSON object: {not json", lrp_store_run_begin(s, &f.spec, &run));
  f.spec.config = NULL;
  f.tags[0] = "no value";
  lrp_ck_fails(ctx, LRP_E_ARG, "key=value", lrp_store_run_begin(s, &f.spec, &run));
  f.tags[0] = "a=b";
  f.model.sha256 = "short";
  lrp_ck_fails(ctx, LRP_E_ARG, "SHA-256", lrp_store_run_begin(s, &f.spec, &run));
  ck_assert_ptr_null(run);
  ck_assert_int_eq(facts_int(s, "SELECT (SELECT count(*) FROM run)+(SELECT count(*) FROM model)+"
                                "(SELECT count(*) FROM environment)+(SELECT count(*) FROM experiment)"),
                   0);
  lrp_store_close(s);
}
END_TEST

START_TEST(not_a_number_becomes_an_error_row)
{
  int64_t id;
  lrp_run *run;
  lrp_store *s = filled("nan.db", &id, &run);
  facts_number(&f, 1);
  f.r[2] = (lrp_real)NAN;
  lrp_ck_fails(ctx, LRP_E_NUMERIC, "element 2 is", lrp_store_explanation(s, run, &f.record, &id));
  f.r[2] = 0;
  f.ledger[1].stab = (double)INFINITY;
  lrp_ck_fails(ctx, LRP_E_NUMERIC, "ledger of layer 1", lrp_store_explanation(s, run, &f.record, &id));
  f.ledger[1].stab = 0;
  f.scores[0] = (lrp_real)-INFINITY;
  lrp_ck_fails(ctx, LRP_E_NUMERIC, "scores", lrp_store_explanation(s, run, &f.record, &id));
  lrp_ck_ok(ctx, lrp_store_error(s, run, NULL, 0, LRP_E_INPUT, "cat.png: \xff is no picture"));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 1);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM error WHERE code='numeric' AND input_id=2"), 3);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM error WHERE code='input' AND input_id IS NULL"), 1);
  ck_assert_str_eq(facts_text(s, "PRAGMA integrity_check"), "ok");
  lrp_store_close(s);
}
END_TEST

START_TEST(store_opened_for_reading_writes_nothing)
{
  const char *path = facts_fresh("reading.db");
  lrp_store *s = facts_create(ctx, path);
  lrp_run *run;
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_READ, &s));
  lrp_ck_fails(ctx, LRP_E_DB, "for reading only", lrp_store_run_begin(s, &f.spec, &run));
  lrp_store_close(s);
}
END_TEST

START_TEST(run_that_nobody_ended_is_marked_when_the_store_closes)
{
  int64_t id;
  lrp_run *run;
  lrp_store *s = filled("open.db", &id, &run);
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, lrp_test_tmp("open.db"), LRP_STORE_READ, &s));
  ck_assert_str_eq(facts_text(s, "SELECT status FROM run"), "interrupted");
  lrp_store_close(s);
}
END_TEST

Suite *suite_record(void);
/* References are not checked then, so a run that another program removed must be noticed. */
START_TEST(trusting_store_keeps_references_and_tells_of_a_removed_run)
{
  int64_t id;
  lrp_run *run;
  lrp_store *s = filled("trust.db", &id, &run), *other;
  lrp_ck_ok(ctx, lrp_store_trust(s));
  facts_number(&f, 2);
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, NULL));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 2);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
  lrp_ck_ok(ctx, lrp_store_open(ctx, s->path, LRP_STORE_WRITE, &other));
  lrp_ck_ok(ctx, lrp_sql_do(other, "DELETE FROM run", ""));
  lrp_store_close(other);
  facts_number(&f, 3);
  lrp_ck_fails(ctx, LRP_E_DB, "was removed by another program", lrp_store_explanation(s, run, &f.record, NULL));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 0);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
  lrp_store_close(s);
}
END_TEST

/* They are written by statements of 16 rows and one of the rest. */
START_TEST(texts_of_any_length_have_a_row_for_each_token)
{
  lrp_token token[33];
  lrp_real r[33];
  int64_t id;
  lrp_run *run;
  lrp_store *s = filled("rows.db", &id, &run);
  for (int64_t n = 15; n <= 33; n++) {
    for (int64_t i = 0; i < n; i++) {
      token[i] = f.token[1];
      token[i].id = 100 + i;
      r[i] = (lrp_real)(i + 1);
    }
    facts_number(&f, (int)n);
    f.input.token = token;
    f.input.n_token = n;
    f.r_tensor.data = r;
    f.r_tensor.shape[1] = n;
    lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, &id));
    ck_assert_int_eq(facts_int(s, "SELECT sum(relevance) FROM token_relevance WHERE explanation_id="
                                  "(SELECT max(explanation_id) FROM explanation)"),
                     n * (n + 1) / 2);
    ck_assert_int_eq(facts_int(s, "SELECT max(position) FROM token"), n - 1);
  }
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM vocab WHERE token_id >= 100"), 33);
  lrp_store_close(s);
}
END_TEST

Suite *suite_record(void)
{
  Suite *s = suite_create("record");
  TCase *t = tcase_create("record");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, explanation_reads_back_bit_for_bit);
  tcase_add_test(t, several_tensors_follow_each_other_in_one_blob);
  tcase_add_test(t, relevance_at_a_layer_is_one_more_explanation);
  tcase_add_test(t, same_content_is_one_row);
  tcase_add_test(t, contrast_and_plain_target_are_two_explanations);
  tcase_add_test(t, views_answer);
  tcase_add_test(t, run_records_how_it_was_made);
  tcase_add_test(t, graph_built_anew_keeps_its_layers);
  tcase_add_test(t, wrong_facts_are_told_and_leave_nothing);
  tcase_add_test(t, not_a_number_becomes_an_error_row);
  tcase_add_test(t, store_opened_for_reading_writes_nothing);
  tcase_add_test(t, trusting_store_keeps_references_and_tells_of_a_removed_run);
  tcase_add_test(t, texts_of_any_length_have_a_row_for_each_token);
  tcase_add_test(t, run_that_nobody_ended_is_marked_when_the_store_closes);
  suite_add_tcase(s, t);
  return s;
}
