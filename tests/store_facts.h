/* store_facts.h - a run and an explanation made of plain facts, for tests of the store. */
#ifndef LRP_STORE_FACTS_H
#define LRP_STORE_FACTS_H
#include "store_db.h"
#include "test.h"

enum { FACT_TOKENS = 3, FACT_LAYERS = 3 };
typedef struct facts {
  lrp_model_info model;
  lrp_signature in, out;
  lrp_run_layer layer[FACT_LAYERS];
  lrp_run_rule rule[2];
  lrp_plugin plugin;
  lrp_plugin_info plugin_info;
  const lrp_plugin_info *plugins[1];
  const char *labels[2], *argv[3], *tags[1];
  lrp_run_spec spec;
  lrp_token token[FACT_TOKENS];
  char text[32];
  lrp_input input;
  lrp_real r[FACT_TOKENS], scores[2];
  lrp_tensor r_tensor;
  double value, sum;
  lrp_ledger ledger[FACT_LAYERS];
  lrp_relevance relevance;
  lrp_record record;
} facts;
/* "good film" as [CLS] good film under two rules; relevance 0.1, 0.75, -0.25 for class 1 of ham, spam. */
void facts_fill(facts *);
/* Another text and hash, of the same tokens' lengths: number goes into the text. */
void facts_number(facts *, int number);

/* Where a store may be made: what an earlier test left there is removed. */
const char *facts_fresh(const char *name);
lrp_store *facts_create(lrp_ctx *, const char *path);

/* The first value of a query on the store's own connection; fails the test where there is none. */
int64_t facts_int(lrp_store *, const char *sql);
double facts_real(lrp_store *, const char *sql);
const char *facts_text(lrp_store *, const char *sql); /* lives until the next call; "(null)" for NULL */
#endif
