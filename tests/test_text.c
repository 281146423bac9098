/* test_text.c - tokenizers against the reference's ids and byte ranges, and every message of a bad
 * file. */
#include "test.h"
#include "text/tokenizer.h"
#include "text/wordbreak.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lrp_ctx *ctx;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}

static json_t *load(const char *name)
{
  json_error_t error;
  json_t *root = json_load_file(lrp_test_path(name), JSON_ALLOW_NUL, &error);
  ck_assert_msg(root != NULL, "%s: %s", name, error.text);
  return root;
}

static int64_t at(const json_t *list, size_t i)
{
  return json_integer_value(json_array_get(list, i));
}

/* ---- the reference's answers ---- */
static const struct {
  const char *file, *cases;
} references[] = {{"tokenizers/wordpiece.tokenizer.json", "tokenizers/wordpiece.json"},
                  {"tokenizers/bpe.tokenizer.json", "tokenizers/bpe.json"},
                  {"tokenizers/unigram.tokenizer.json", "tokenizers/unigram.json"},
                  {"tokenizers/minilm.vocab.txt", "tokenizers/minilm.json"}};

static void check_case(const lrp_tokenizer *t, const json_t *c)
{
  const json_t *text = json_object_get(c, "text"), *ids = json_object_get(c, "ids");
  const json_t *tokens = json_object_get(c, "tokens"), *spans = json_object_get(c, "byte_offsets");
  lrp_token *token;
  int64_t n;
  if (!json_string_length(text)) return; /* lrp refuses an empty text */
  lrp_ck_ok(ctx, lrp_tokenizer_encode(ctx, t, json_string_value(text), json_string_length(text), 1,
                                      &token, &n, NULL));
  ck_assert_msg(n == (int64_t)json_array_size(ids), "\"%s\": %d tokens, not %zu",
                json_string_value(text), (int)n, json_array_size(ids));
  for (int64_t i = 0; i < n; i++) {
    const json_t *span = json_array_get(spans, (size_t)i);
    ck_assert_msg(token[i].id == at(ids, (size_t)i), "\"%s\": token %d", json_string_value(text),
                  (int)i);
    ck_assert_str_eq(token[i].text, json_string_value(json_array_get(tokens, (size_t)i)));
    ck_assert_msg(token[i].begin == at(span, 0) && token[i].end == at(span, 1),
                  "\"%s\": token %d is at %u..%u, not %d..%d", json_string_value(text), (int)i,
                  token[i].begin, token[i].end, (int)at(span, 0), (int)at(span, 1));
  }
  free(token);
}

START_TEST(reference_ids_tokens_and_byte_ranges)
{
  lrp_tokenizer *t;
  json_t *root = load(references[_i].cases);
  const json_t *cases = json_object_get(root, "cases");
  lrp_ck_ok(ctx, lrp_tokenizer_open(ctx, lrp_test_path(references[_i].file), &t));
  ck_assert_uint_eq(json_array_size(cases), 128);
  for (size_t i = 0; i < json_array_size(cases); i++)
    check_case(t, json_array_get(cases, i));
  lrp_tokenizer_free(t);
  json_decref(root);
}
END_TEST

static void check_step(const char *name, const lrp_tokenizer *t, const json_t *c)
{
  const json_t *text = json_object_get(c, "text"), *ids = json_object_get(c, "ids");
  lrp_token *token;
  int64_t n;
  lrp_ck_ok(ctx, lrp_tokenizer_encode(ctx, t, json_string_value(text), json_string_length(text), 1,
                                      &token, &n, NULL));
  ck_assert_msg(n == (int64_t)json_array_size(ids), "%s, \"%s\": %d tokens, not %zu", name,
                json_string_value(text), (int)n, json_array_size(ids));
  for (size_t i = 0; i < (size_t)n; i++)
    ck_assert_msg(token[i].id == at(ids, i) &&
                      token[i].begin == at(json_object_get(c, "begin"), i) &&
                      token[i].end == at(json_object_get(c, "end"), i) &&
                      token[i].word == at(json_object_get(c, "word"), i),
                  "%s, \"%s\": token %zu is %d at %u..%u, word %d", name, json_string_value(text),
                  i, (int)token[i].id, token[i].begin, token[i].end, token[i].word);
  free(token);
}

START_TEST(every_step_equals_the_reference)
{
  json_t *root = load("tokenizers/steps.json");
  const json_t *list = json_object_get(root, "list");
  ck_assert_uint_gt(json_array_size(list), 50);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *entry = json_array_get(list, i), *cases = json_object_get(entry, "cases");
    const char *name = json_string_value(json_object_get(entry, "name"));
    char *text = json_dumps(json_object_get(entry, "tokenizer"), JSON_COMPACT);
    lrp_tokenizer *t;
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(!lrp_tokenizer_read(ctx, "a.json", text, strlen(text), &t), "%s: %s", name,
                  lrp_message(ctx));
    for (size_t k = 0; k < json_array_size(cases); k++)
      check_step(name, t, json_array_get(cases, k));
    lrp_tokenizer_free(t);
    free(text);
  }
  json_decref(root);
}
END_TEST

/* ---- what is told about a tokenizer ---- */
static lrp_tokenizer *read_text(const char *json)
{
  lrp_tokenizer *t;
  lrp_ck_ok(ctx, lrp_tokenizer_read(ctx, "a.json", json, strlen(json), &t));
  return t;
}

#define LEVEL                                                                                      \
  "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"[UNK]\":0,\"a\":1,\"b\":7},\"unk_token\":\"["    \
  "UNK]\"}"
#define SPACES "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},"

START_TEST(facts_of_a_tokenizer)
{
  bool left = true;
  lrp_tokenizer *t =
      read_text("{\"added_tokens\":[{\"id\":9,\"content\":\"<pad>\",\"special\":true}]," LEVEL "}");
  ck_assert_str_eq(lrp_tokenizer_kind(t), "WordLevel");
  ck_assert_int_eq(lrp_tokenizer_size(t), 4);
  ck_assert_int_eq(lrp_tokenizer_max_id(t), 9);
  ck_assert_int_eq(lrp_tokenizer_pad_id(t, &left), 9);
  ck_assert(!left);
  ck_assert_str_eq(lrp_tokenizer_id_text(t, 7), "b");
  ck_assert_str_eq(lrp_tokenizer_id_text(t, 9), "<pad>");
  ck_assert_ptr_null(lrp_tokenizer_id_text(t, 2));
  ck_assert_int_eq(lrp_tokenizer_text_id(t, "b", 1), 7);
  ck_assert_int_eq(lrp_tokenizer_text_id(t, "c", 1), -1);
  ck_assert_uint_eq(strlen(lrp_tokenizer_sha256(t)), 64);
  lrp_tokenizer_free(t);
}
END_TEST

START_TEST(truncation_counts_what_it_drops)
{
  lrp_token *token;
  int64_t n, dropped;
  lrp_tokenizer *t = read_text("{\"truncation\":{\"direction\":\"Right\",\"max_length\":2,"
                               "\"strategy\":\"LongestFirst\",\"stride\":0}," SPACES LEVEL "}");
  lrp_ck_ok(ctx, lrp_tokenizer_encode(ctx, t, "b a a b x", 9, 1, &token, &n, &dropped));
  ck_assert_int_eq(n, 2);
  ck_assert_int_eq(dropped, 3);
  ck_assert_int_eq(token[0].id, 7);
  free(token);
  lrp_tokenizer_free(t);
}
END_TEST

START_TEST(special_tokens_are_left_out_on_request)
{
  lrp_token *token;
  int64_t n;
  lrp_tokenizer *t = read_text("{\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",1],"
                               "\"sep\":[\"b\",7]}," SPACES LEVEL "}");
  lrp_ck_ok(ctx, lrp_tokenizer_encode(ctx, t, "b x", 3, 1, &token, &n, NULL));
  ck_assert_int_eq(n, 4);
  ck_assert(token[0].special && token[0].begin == token[0].end && token[0].word == -1);
  ck_assert(!token[1].special && token[1].word == 0);
  free(token);
  lrp_ck_ok(ctx, lrp_tokenizer_encode(ctx, t, "b x", 3, 0, &token, &n, NULL));
  ck_assert_int_eq(n, 2);
  free(token);
  lrp_tokenizer_free(t);
}
END_TEST

START_TEST(a_text_without_tokens_gives_none)
{
  lrp_token *token;
  int64_t n;
  lrp_tokenizer *t = read_text("{" SPACES LEVEL "}");
  lrp_ck_ok(ctx, lrp_tokenizer_encode(ctx, t, " \n", 2, 1, &token, &n, NULL));
  ck_assert_int_eq(n, 0);
  ck_assert_ptr_null(token);
  lrp_tokenizer_free(t);
}
END_TEST

/* ---- texts that are refused ---- */
START_TEST(ill_formed_utf8_is_refused_with_its_byte)
{
  static const struct {
    const char *text;
    size_t n;
    const char *says;
  } bad[] = {{"ab\xff", 3, "byte 2 (0xff)"},
             {"\xc3", 1, "byte 0 (0xc3)"},
             {"a\xed\xa0\x80", 4, "byte 1 (0xed)"},
             {"\xc0\x80", 2, "byte 0 (0xc0)"},
             {"x\xf4\x90\x80\x80", 5, "byte 1 (0xf4)"},
             {"\x80", 1, "byte 0 (0x80)"},
             {"\xe2\x82 a", 4, "byte 0 (0xe2)"}};
  lrp_tokenizer *t = read_text("{" SPACES LEVEL "}");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    lrp_token *token;
    int64_t n;
    lrp_ck_fails(ctx, LRP_E_INPUT, bad[i].says,
                 lrp_tokenizer_encode(ctx, t, bad[i].text, bad[i].n, 1, &token, &n, NULL));
    ck_assert_ptr_null(token);
  }
  lrp_tokenizer_free(t);
}
END_TEST

START_TEST(an_empty_text_is_refused)
{
  lrp_token *token;
  int64_t n;
  lrp_tokenizer *t = read_text("{" SPACES LEVEL "}");
  lrp_ck_fails(ctx, LRP_E_INPUT, "the text is empty",
               lrp_tokenizer_encode(ctx, t, "", 0, 1, &token, &n, NULL));
  lrp_tokenizer_free(t);
}
END_TEST

START_TEST(an_unknown_word_without_unk_token_is_told)
{
  lrp_token *token;
  int64_t n;
  lrp_tokenizer *t =
      read_text("{" SPACES "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}");
  lrp_ck_fails(ctx, LRP_E_INPUT, "the word \"b\" is not in the vocabulary",
               lrp_tokenizer_encode(ctx, t, "a b", 3, 1, &token, &n, NULL));
  lrp_tokenizer_free(t);
}
END_TEST

START_TEST(a_normalizer_cannot_blow_a_text_up)
{
  char text[2001];
  lrp_token *token;
  int64_t n;
  json_t *root =
      json_pack("{s{ss s{ss} so} s{ss s{si} ss}}", "normalizer", "type", "Replace", "pattern",
                "String", "a", "content", json_stringn(memset(text, 'a', 1000), 1000), "model",
                "type", "WordLevel", "vocab", "u", 0, "unk_token", "u");
  json_t *once = json_object_get(root, "normalizer"), *list = json_array();
  for (int i = 0; i < 3; i++)
    json_array_append(list, once);
  json_t *sequence = json_pack("{ss so}", "type", "Sequence", "normalizers", list);
  json_object_set_new(root, "normalizer", sequence);
  char *json = json_dumps(root, 0);
  lrp_tokenizer *t = read_text(json);
  lrp_ck_fails(ctx, LRP_E_INPUT, "lengthens the text past",
               lrp_tokenizer_encode(ctx, t, "aaaa", 4, 1, &token, &n, NULL));
  lrp_tokenizer_free(t);
  free(json);
  json_decref(root);
}
END_TEST

START_TEST(an_expression_that_explodes_gives_up)
{
  lrp_token *token;
  int64_t n;
  lrp_tokenizer *t =
      read_text("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?:a|aa)+[cd]\"},"
                "\"behavior\":\"Isolated\",\"invert\":false}," LEVEL "}");
  lrp_ck_fails(
      ctx, LRP_E_INPUT, "gave up on this text",
      lrp_tokenizer_encode(ctx, t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 35, 1, &token, &n, NULL));
  lrp_tokenizer_free(t);
}
END_TEST

START_TEST(a_charsmap_that_points_outside_of_itself_is_an_error)
{
  lrp_token *token;
  int64_t n;
  lrp_tokenizer *t = read_text(
      "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAABAAA\"}," LEVEL
      "}");
  lrp_ck_fails(ctx, LRP_E_INPUT, "points outside of itself",
               lrp_tokenizer_encode(ctx, t, "ab", 2, 1, &token, &n, NULL));
  lrp_tokenizer_free(t);
}
END_TEST

/* A megabyte that is one word for the model: quadratic work would take hours. */
START_TEST(a_megabyte_of_one_letter_is_read)
{
  enum { N = 1 << 20 };
  char *text = malloc(N);
  ck_assert_ptr_nonnull(text);
  memset(text, 'a', N);
  for (size_t i = 0; i < 3; i++) {
    lrp_tokenizer *t;
    lrp_token *token;
    int64_t n;
    lrp_ck_ok(ctx, lrp_tokenizer_open(ctx, lrp_test_path(references[i].file), &t));
    lrp_ck_ok(ctx, lrp_tokenizer_encode(ctx, t, text, N, 0, &token, &n, NULL));
    ck_assert_int_ge(n, 1);
    ck_assert_uint_eq(token[n - 1].end, N);
    free(token);
    lrp_tokenizer_free(t);
  }
  free(text);
}
END_TEST

/* ---- files that are refused, one for each message ---- */
#define MODEL(rest) "{\"model\":{" rest "}}"
#define WITH(part)  "{" part "," LEVEL "}"
#define MAP(base64)                                                                                \
  WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"" base64 "\"}")
static const struct {
  const char *json;
  lrp_status status;
  const char *says;
} refused[] = {
    {"{\"model\":", LRP_E_INPUT, "a.json:1: not JSON"},
    {"[]", LRP_E_INPUT, "the file is not an object"},
    {"{}", LRP_E_INPUT, "there is no model"},
    {"{\"a\":1,\"a\":2}", LRP_E_INPUT, "duplicate object key"},
    {WITH("\"version\":\"2.0\""), LRP_E_UNSUPPORTED, "version \"2.0\""},
    {WITH("\"colour\":1"), LRP_E_UNSUPPORTED, "the key \"colour\""},
    {MODEL("\"type\":\"Magic\""), LRP_E_UNSUPPORTED, "the model \"Magic\""},
    {MODEL("\"type\":\"WordLevel\""), LRP_E_INPUT, "\"vocab\" of model WordLevel"},
    {MODEL("\"type\":\"WordLevel\",\"vocab\":{\"a\":-1}"), LRP_E_INPUT,
     "the id of the token \"a\""},
    {MODEL("\"type\":\"WordLevel\",\"vocab\":{\"a\":1,\"b\":1}"), LRP_E_INPUT, "share the id 1"},
    {MODEL("\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":3"), LRP_E_INPUT,
     "a text was expected"},
    {MODEL("\"type\":\"WordPiece\",\"vocab\":{},\"max_input_chars_per_word\":-1"), LRP_E_INPUT,
     "a whole number"},
    {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0}"), LRP_E_INPUT, "\"merges\" of model BPE"},
    {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]"), LRP_E_INPUT,
     "merge 0 is neither"},
    {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]"), LRP_E_INPUT,
     "the second is not"},
    {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\"]]"), LRP_E_INPUT,
     "what they make is not"},
    {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\""), LRP_E_INPUT,
     "\"unk_token\""},
    {MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.5"), LRP_E_UNSUPPORTED,
     "dropout"},
    {MODEL("\"type\":\"Unigram\",\"vocab\":{}"), LRP_E_INPUT, "a list of [\"text\", score]"},
    {MODEL("\"type\":\"Unigram\",\"vocab\":[[\"a\"]]"), LRP_E_INPUT, "piece 0 of the vocabulary"},
    {MODEL("\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1"), LRP_E_INPUT,
     "the index of a piece"},
    {WITH("\"normalizer\":{\"type\":\"Magic\"}"), LRP_E_UNSUPPORTED, "the normalizer \"Magic\""},
    {WITH("\"normalizer\":{\"type\":\"Precompiled\"}"), LRP_E_INPUT,
     "\"precompiled_charsmap\" of normalizer Precompiled"},
    {MAP(""), LRP_E_INPUT, "it is too short"},
    {MAP("BAAA"), LRP_E_INPUT, "it is too short"},
    {MAP("BAA?"), LRP_E_INPUT, "it is not base64"},
    {MAP("BAAAA"), LRP_E_INPUT, "it is not base64"},
    {MAP("CAAAAAAABAAA"), LRP_E_INPUT, "its array is longer than the whole"},
    {WITH("\"normalizer\":{}"), LRP_E_INPUT, "the normalizer has no \"type\""},
    {WITH("\"normalizer\":{\"type\":\"NFC\",\"x\":1}"), LRP_E_UNSUPPORTED,
     "normalizer NFC has the key \"x\""},
    {WITH("\"normalizer\":{\"type\":\"Sequence\"}"), LRP_E_INPUT, "\"normalizers\""},
    {WITH("\"normalizer\":{\"type\":\"Replace\",\"content\":\"\"}"), LRP_E_INPUT, "\"pattern\""},
    {WITH("\"normalizer\":{\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"Regex\":\"(\"}}"),
     LRP_E_INPUT, "the expression \"(\": missing"},
    {WITH("\"normalizer\":{\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"Regex\":\"\\\\h\"}"
          "}"),
     LRP_E_UNSUPPORTED, "which lrp does not read"},
    {WITH("\"normalizer\":{\"type\":\"Prepend\"}"), LRP_E_INPUT, "\"prepend\""},
    {WITH("\"normalizer\":{\"type\":\"Strip\",\"strip_left\":1}"), LRP_E_INPUT,
     "true or false was expected"},
    {WITH("\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}"), LRP_E_UNSUPPORTED,
     "the pre_tokenizer \"UnicodeScripts\""},
    {WITH("\"pre_tokenizer\":{\"type\":\"Punctuation\",\"behavior\":\"Lost\"}"), LRP_E_INPUT,
     "\"behavior\""},
    {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"), LRP_E_INPUT,
     "one character"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
          "\"x\"}"),
     LRP_E_INPUT, "always, first or never"},
    {WITH("\"post_processor\":{\"type\":\"Other\"}"), LRP_E_UNSUPPORTED,
     "the post_processor \"Other\""},
    {WITH("\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[1,2],\"sep\":[1,2]}"),
     LRP_E_INPUT, "\"cls\""},
    {WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}"), LRP_E_UNSUPPORTED,
     "the text 0 times"},
    {WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
          "\"id\":\"c\"}}]}"),
     LRP_E_INPUT, "the template names \"c\""},
    {WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":"
          "\"A\",\"type_id\":1}}]}"),
     LRP_E_UNSUPPORTED, "type_id 1"},
    {WITH("\"added_tokens\":[{\"id\":3,\"content\":\"a\"}]"), LRP_E_INPUT,
     "has the id 3, in the vocabulary 1"},
    {WITH("\"added_tokens\":[{\"id\":1,\"content\":\"c\"}]"), LRP_E_INPUT,
     "has the id 1 of the token \"a\""},
    {WITH("\"added_tokens\":[{\"id\":8,\"content\":\"c\"},{\"id\":9,\"content\":\"c\"}]"),
     LRP_E_INPUT, "there twice"},
    {WITH("\"truncation\":{\"max_length\":3,\"strategy\":\"OnlySecond\"}"), LRP_E_UNSUPPORTED,
     "OnlySecond"},
    {WITH("\"truncation\":{\"max_length\":1,\"strategy\":\"OnlyFirst\"},\"post_processor\":{"
          "\"type\":\"BertProcessing\","
          "\"cls\":[\"a\",1],\"sep\":[\"b\",7]}"),
     LRP_E_INPUT, "leaves no room"},
};

START_TEST(a_bad_file_is_refused_by_name)
{
  lrp_tokenizer *t;
  const char *json = refused[_i].json;
  lrp_ck_fails(ctx, refused[_i].status, refused[_i].says,
               lrp_tokenizer_read(ctx, "a.json", json, strlen(json), &t));
  ck_assert_ptr_null(t);
  ck_assert_msg(strstr(lrp_message(ctx), "a.json") != NULL, "%s", lrp_message(ctx));
}
END_TEST

START_TEST(sequences_nest_only_so_deep)
{
  char json[2048];
  size_t n = (size_t)snprintf(json, sizeof json, "{\"normalizer\":");
  lrp_tokenizer *t;
  for (int i = 0; i < 20; i++)
    n += (size_t)snprintf(json + n, sizeof json - n, "{\"type\":\"Sequence\",\"normalizers\":[");
  for (int i = 0; i < 20; i++)
    n += (size_t)snprintf(json + n, sizeof json - n, "]}");
  n += (size_t)snprintf(json + n, sizeof json - n, "," LEVEL "}");
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "nested 16 times",
               lrp_tokenizer_read(ctx, "a.json", json, n, &t));
}
END_TEST

START_TEST(a_vocab_txt_must_be_berts)
{
  static const char missing[] = "[PAD]\n[UNK]\n[CLS]\nhello\n",
                    twice[] = "[UNK]\n[CLS]\n[SEP]\nhello\nhello\n", bytes[] = "[UNK]\n\xff\n";
  lrp_tokenizer *t;
  lrp_ck_fails(ctx, LRP_E_INPUT, "[SEP] is missing",
               lrp_tokenizer_read(ctx, "vocab.txt", missing, sizeof missing - 1, &t));
  lrp_ck_fails(ctx, LRP_E_INPUT, "\"hello\" is there twice, as 3 and 4",
               lrp_tokenizer_read(ctx, "vocab.txt", twice, sizeof twice - 1, &t));
  lrp_ck_fails(ctx, LRP_E_INPUT, "vocab.txt is not UTF-8: byte 6",
               lrp_tokenizer_read(ctx, "vocab.txt", bytes, sizeof bytes - 1, &t));
  lrp_ck_fails(ctx, LRP_E_INPUT, "no_such.json",
               lrp_tokenizer_open(ctx, lrp_test_path("no_such.json"), &t));
}
END_TEST

Suite *suite_text(void);
Suite *suite_text(void)
{
  Suite *suite = suite_create("text");
  TCase *reference = tcase_create("reference"), *own = tcase_create("own");
  tcase_add_checked_fixture(reference, setup, teardown);
  tcase_set_timeout(reference, 60);
  tcase_add_loop_test(reference, reference_ids_tokens_and_byte_ranges, 0, 4);
  tcase_add_test(reference, every_step_equals_the_reference);
  tcase_add_test(reference, a_megabyte_of_one_letter_is_read);
  tcase_add_test(reference, a_charsmap_that_points_outside_of_itself_is_an_error);
  suite_add_tcase(suite, reference);
  tcase_add_checked_fixture(own, setup, teardown);
  tcase_add_test(own, facts_of_a_tokenizer);
  tcase_add_test(own, truncation_counts_what_it_drops);
  tcase_add_test(own, special_tokens_are_left_out_on_request);
  tcase_add_test(own, a_text_without_tokens_gives_none);
  tcase_add_test(own, ill_formed_utf8_is_refused_with_its_byte);
  tcase_add_test(own, an_empty_text_is_refused);
  tcase_add_test(own, an_unknown_word_without_unk_token_is_told);
  tcase_add_test(own, a_normalizer_cannot_blow_a_text_up);
  tcase_add_test(own, an_expression_that_explodes_gives_up);
  tcase_add_loop_test(own, a_bad_file_is_refused_by_name, 0,
                      (int)(sizeof refused / sizeof *refused));
  tcase_add_test(own, sequences_nest_only_so_deep);
  tcase_add_test(own, a_vocab_txt_must_be_berts);
  suite_add_tcase(suite, own);
  return suite;
}
