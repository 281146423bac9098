/* test_words.c - where words end (Unicode Standard Annex 29), and which tokens make a word. */
#include "test.h"
#include "text/tokenizer.h"
#include "text/wordbreak.h"
#include <stdlib.h>
#include <string.h>

/* "a|b|c": the text cut at its word boundaries must be this. */
static void ck_words(const char *want)
{
  char text[256], got[512];
  size_t n = 0, m = 0;
  for (const char *p = want; *p; p++)
    if (*p != '|') text[n++] = *p;
  for (size_t at = 0; at < n;) {
    const size_t end = lrp_word_end(text, n, at);
    ck_assert(end > at && end <= n);
    if (at) got[m++] = '|';
    memcpy(got + m, text + at, end - at);
    m += end - at;
    at = end;
  }
  got[m] = '\0';
  ck_assert_str_eq(got, want);
}

START_TEST(words_end_where_unicode_ends_them)
{
  ck_words("can't| |stop|,| |3.14| |1,000|,| |a_b|."); /* WB6, 7, 11 to 13b */
  ck_words("e.g|.| |x:y");                             /* MidLetter joins letters */
  ck_words("1|:|2| |a|,|b");                           /* and neither numbers nor these */
  ck_words("\xe4\xbd\xa0|\xe5\xa5\xbd");               /* ideographs stand alone */
  ck_words("\xe3\x82\xab\xe3\x82\xbf| |x");            /* Katakana does not */
  ck_words("cafe\xcc\x81s|  |b");                      /* a mark; blanks together */
  ck_words("\r\n|\n|a");
  ck_words("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa6|!"); /* joined pictures */
  ck_words("\xf0\x9f\x87\xab\xf0\x9f\x87\xb7|\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa"); /* two flags */
  ck_words("\xd7\x90\"\xd7\x91|\"|x"); /* Hebrew keeps its quotes */
  ck_words("\xff|a|\xff");             /* ill-formed bytes */
}
END_TEST

START_TEST(tokens_of_one_word_share_it)
{
  /*                  0123456789012345678 */
  const char s[] = "un re  a,b New York";
  lrp_token t[] = {{.begin = 0, .end = 0, .special = 1},
                   {.begin = 0, .end = 1},
                   {.begin = 1, .end = 2},
                   {.begin = 2, .end = 5}, /* " re" */
                   {.begin = 5, .end = 6},
                   {.begin = 7, .end = 8},
                   {.begin = 8, .end = 9},
                   {.begin = 9, .end = 10},
                   {.begin = 11, .end = 17},
                   /* "New Yo" */ {.begin = 17, .end = 19}};
  const int32_t word[] = {-1, 0, 0, 1, -1, 2, 3, 4, 5, 5};
  lrp_ctx *ctx;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_word_tokens(ctx, s, sizeof s - 1, t, 10));
  for (int i = 0; i < 10; i++)
    ck_assert_msg(t[i].word == word[i], "token %d is in word %d, not %d", i, t[i].word, word[i]);
  lrp_ctx_free(ctx);
}
END_TEST

/* Marks without end: looking further from each of them would take hours. */
START_TEST(a_megabyte_of_marks_is_one_word)
{
  const size_t n = 1 << 20;
  char *s = malloc(n);
  ck_assert_ptr_nonnull(s);
  s[0] = s[1] = 'a';
  for (size_t i = 2; i < n; i += 2)
    memcpy(s + i, "\xcc\x81", 2);
  ck_assert_uint_eq(lrp_word_end(s, n, 0), n);
  for (size_t i = 2; i < n; i += 2)
    memcpy(s + i, i % 4 ? ".\xcc" : "\x81 ", 2);
  for (size_t at = 0, end; at < n; at = end)
    ck_assert_uint_gt((end = lrp_word_end(s, n, at)), at);
  free(s);
}
END_TEST

Suite *suite_words(void);
Suite *suite_words(void)
{
  Suite *s = suite_create("words");
  TCase *t = tcase_create("words");
  tcase_add_test(t, words_end_where_unicode_ends_them);
  tcase_add_test(t, tokens_of_one_word_share_it);
  tcase_add_test(t, a_megabyte_of_marks_is_one_word);
  suite_add_tcase(s, t);
  return s;
}
