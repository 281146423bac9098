/* test_input.c - text, pictures and arrays become a model's tensors, or a sentence says why not. */
#include "model.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lrp_ctx *ctx;
static lrp_signature inputs[4];
static lrp_model model;
static lrp_input *input;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  model = (lrp_model){.info = {.name = "toy", .meta = "{}"}};
  model.onnx.graph.input = inputs;
  input = NULL;
}

static void teardown(void)
{
  lrp_input_free(input);
  lrp_tokenizer_free(model.tokenizer);
  lrp_ctx_free(ctx);
}

static void add_input(const char *name, int32_t dtype, int32_t rank, int64_t a, int64_t b,
                      int64_t c, int64_t d)
{
  inputs[model.info.n_input++] =
      (lrp_signature){.name = name, .dtype = dtype, .rank = rank, .shape = {a, b, c, d}};
  model.onnx.graph.n_input = model.info.n_input;
}

#define HEAD                                                                                       \
  "{\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"post_processor\":{\"type\":"                \
  "\"BertProcessing\",\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2]},"
#define LEVEL                                                                                      \
  "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"good\":5,"   \
  "\"bad\":6},\"unk_token\":\"[UNK]\"}}"

static void add_tokenizer(const char *json)
{
  lrp_ck_ok(ctx, lrp_tokenizer_read(ctx, "a.json", json, strlen(json), &model.tokenizer));
  model.info.tokenizer = model.tokenizer;
}

static void ck_row(int32_t i, int64_t n, const int64_t *expected)
{
  const lrp_tensor *t = &input->tensor[i];
  ck_assert_int_eq(t->dtype, LRP_INDEX);
  ck_assert(t->rank == 2 && t->shape[0] == 1);
  ck_assert_int_eq(t->shape[1], n);
  for (int64_t k = 0; k < n; k++)
    ck_assert_msg(lrp_indices(t)[k] == expected[k], "%s[%d] is %d", inputs[i].name, (int)k,
                  (int)lrp_indices(t)[k]);
}

/* ---- text ---- */
START_TEST(a_text_fills_inputs_by_name)
{
  add_tokenizer(HEAD LEVEL);
  add_input("attention_mask", LRP_INDEX, 2, -1, -1, 0, 0);
  add_input("input_ids", LRP_INDEX, 2, -1, -1, 0, 0);
  add_input("token_type_ids", LRP_INDEX, 2, 1, -1, 0, 0);
  add_input("position_ids", LRP_INDEX, 2, 1, -1, 0, 0);
  lrp_ck_ok(ctx, lrp_input_text(ctx, &model, "good odd bad", 12, &input));
  ck_row(0, 5, (int64_t[]){1, 1, 1, 1, 1});
  ck_row(1, 5, (int64_t[]){1, 5, 0, 6, 2});
  ck_row(2, 5, (int64_t[]){0, 0, 0, 0, 0});
  ck_row(3, 5, (int64_t[]){0, 1, 2, 3, 4});
  ck_assert_int_eq(input->kind, LRP_MODALITY_TEXT);
  ck_assert_int_eq(input->n_token, 5);
  ck_assert_str_eq(input->token[3].text, "bad");
  ck_assert(input->token[3].begin == 9 && input->token[3].end == 12);
  ck_assert_str_eq(input->text, "good odd bad");
  ck_assert_str_eq(input->sha256,
                   "0ee3475bd851be7278a142617bf460daed89bf2c464a2a6ace8bf7f6aac79209");
}
END_TEST

START_TEST(a_single_input_of_whole_numbers_takes_ids)
{
  add_tokenizer(HEAD LEVEL);
  add_input("words", LRP_INDEX, 2, 1, -1, 0, 0);
  lrp_ck_ok(ctx, lrp_input_text(ctx, &model, "bad", 3, &input));
  ck_row(0, 3, (int64_t[]){1, 6, 2});
}
END_TEST

START_TEST(a_fixed_length_is_filled_with_padding)
{
  add_tokenizer("{\"added_tokens\":[{\"id\":9,\"content\":\"[PAD]\",\"special\":true}],"
                "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"}," LEVEL);
  add_input("input_ids", LRP_INDEX, 2, 1, 4, 0, 0);
  add_input("attention_mask", LRP_INDEX, 2, 1, 4, 0, 0);
  lrp_ck_ok(ctx, lrp_input_text(ctx, &model, "bad good", 8, &input));
  ck_row(0, 4, (int64_t[]){6, 5, 9, 9});
  ck_row(1, 4, (int64_t[]){1, 1, 0, 0});
  ck_assert_int_eq(input->n_token, 4);
  ck_assert_str_eq(input->token[1].text, "good");
  ck_assert_str_eq(input->token[3].text, "[PAD]");
  ck_assert(input->token[3].special && input->token[3].word == -1);
  ck_assert_int_eq(input->n_dropped, 0);
}
END_TEST

START_TEST(padding_goes_left_where_the_tokenizer_says_so)
{
  add_tokenizer("{\"padding\":{\"direction\":\"Left\",\"pad_id\":0},\"pre_tokenizer\":{\"type\":"
                "\"WhitespaceSplit\"}," LEVEL);
  add_input("input_ids", LRP_INDEX, 2, 1, 3, 0, 0);
  add_input("attention_mask", LRP_INDEX, 2, 1, 3, 0, 0);
  lrp_ck_ok(ctx, lrp_input_text(ctx, &model, "bad", 3, &input));
  ck_row(0, 3, (int64_t[]){0, 0, 6});
  ck_row(1, 3, (int64_t[]){0, 0, 1});
}
END_TEST

START_TEST(config_json_may_name_the_padding)
{
  add_tokenizer("{\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"}," LEVEL);
  add_input("ids", LRP_INDEX, 2, 1, 3, 0, 0);
  lrp_ck_fails(ctx, LRP_E_INPUT, "names a token to fill with",
               lrp_input_text(ctx, &model, "bad", 3, &input));
  model.info.meta = "{\"pad_token_id\": 2}";
  lrp_ck_ok(ctx, lrp_input_text(ctx, &model, "bad", 3, &input));
  ck_row(0, 3, (int64_t[]){6, 2, 2});
}
END_TEST

START_TEST(a_fixed_length_drops_words_but_not_added_tokens)
{
  add_tokenizer(HEAD LEVEL);
  add_input("input_ids", LRP_INDEX, 2, 1, 4, 0, 0);
  lrp_ck_ok(ctx, lrp_input_text(ctx, &model, "bad good good bad", 17, &input));
  ck_row(0, 4, (int64_t[]){1, 6, 5, 2});
  ck_assert_int_eq(input->n_dropped, 2);
}
END_TEST

START_TEST(a_length_below_the_added_tokens_is_refused)
{
  add_tokenizer(HEAD LEVEL);
  add_input("input_ids", LRP_INDEX, 2, 1, 1, 0, 0);
  lrp_ck_fails(ctx, LRP_E_INPUT, "the model takes 1 tokens",
               lrp_input_text(ctx, &model, "bad", 3, &input));
}
END_TEST

START_TEST(texts_and_models_that_do_not_fit_are_told)
{
  lrp_ck_fails(ctx, LRP_E_INPUT, "the model toy reads no text",
               lrp_input_text(ctx, &model, "a", 1, &input));
  add_tokenizer(HEAD LEVEL);
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "has no input for token ids",
               lrp_input_text(ctx, &model, "a", 1, &input));
  add_input("input_ids", LRP_INDEX, 2, -1, -1, 0, 0);
  lrp_ck_fails(ctx, LRP_E_INPUT, "the text is empty", lrp_input_text(ctx, &model, "", 0, &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "the text has no tokens",
               lrp_input_text(ctx, &model, " ", 1, &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "byte 1 (0xff)", lrp_input_text(ctx, &model, "a\xff", 2, &input));
  add_input("pixel_values", LRP_REAL, 4, 1, 3, -1, -1);
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "input \"pixel_values\"",
               lrp_input_text(ctx, &model, "a", 1, &input));
  inputs[1] =
      (lrp_signature){.name = "attention_mask", .dtype = LRP_INDEX, .rank = 3, .shape = {1, 1, -1}};
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "the shape (1,1,?)",
               lrp_input_text(ctx, &model, "a", 1, &input));
  inputs[1].rank = 2;
  inputs[1].shape[1] = 5;
  inputs[0].shape[1] = 4;
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "different lengths, 4 and 5",
               lrp_input_text(ctx, &model, "a", 1, &input));
  model.info.n_input = 1;
  inputs[0].shape[0] = 2;
  lrp_ck_fails(ctx, LRP_E_INPUT, "takes (2,4)", lrp_input_text(ctx, &model, "a good", 6, &input));
  ck_assert_ptr_null(input);
}
END_TEST

/* ---- pictures ---- */
static void add_picture_model(int64_t c, int64_t side)
{
  add_input("x", LRP_REAL, 4, -1, c, side, side);
  model.preprocess =
      (lrp_preprocess){.channels = c, .do_rescale = 1, .rescale = 1.0 / 255, .resample = 2};
  model.info.preprocess = &model.preprocess;
}

START_TEST(a_picture_fills_its_input)
{
  add_picture_model(3, -1);
  lrp_ck_ok(ctx, lrp_input_image(ctx, &model, lrp_test_path("images/rgb.png"), &input));
  const lrp_tensor *t = &input->tensor[0];
  ck_assert(t->rank == 4 && t->shape[0] == 1 && t->shape[1] == 3 && t->shape[2] == 9 &&
            t->shape[3] == 13);
  ck_assert(input->image_w == 13 && input->image_h == 9 && input->image_c == 3);
  for (int c = 0; c < 3; c++)
    ck_assert_double_eq_tol((double)lrp_reals(t)[(c * 9 + 4) * 13 + 6],
                            input->pixels[(4 * 13 + 6) * 3 + c] / 255.0, 1e-6);
  ck_assert_uint_eq(strlen(input->sha256), 64);
  ck_assert_str_eq(input->path, lrp_test_path("images/rgb.png"));
}
END_TEST

START_TEST(a_picture_is_brought_to_the_models_size)
{
  add_picture_model(1, 6);
  model.preprocess.do_resize = 1;
  model.preprocess.height = model.preprocess.width = 6;
  lrp_ck_ok(ctx, lrp_input_file(ctx, &model, lrp_test_path("images/rgb.jpg"), &input));
  ck_assert_int_eq(input->kind, LRP_MODALITY_IMAGE);
  ck_assert_int_eq(lrp_count(&input->tensor[0]), 36);
}
END_TEST

START_TEST(pictures_that_do_not_fit_are_told)
{
  const char *path = lrp_test_path("images/rgb.png");
  add_picture_model(3, 8);
  lrp_ck_fails(ctx, LRP_E_INPUT, "shape (1,3,9,13), but input \"x\" of the model takes (?,3,8,8)",
               lrp_input_image(ctx, &model, path, &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "the PNG is damaged",
               lrp_input_image(ctx, &model, lrp_test_path("images/cut.png"), &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "no_such.png",
               lrp_input_image(ctx, &model, lrp_test_path("no_such.png"), &input));
  add_input("y", LRP_REAL, 1, 1, 0, 0, 0);
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "has 2 inputs; a picture fills one",
               lrp_input_image(ctx, &model, path, &input));
  model.info.preprocess = NULL;
  lrp_ck_fails(ctx, LRP_E_INPUT, "does not say how it reads pictures",
               lrp_input_image(ctx, &model, path, &input));
  ck_assert_ptr_null(input);
}
END_TEST

/* ---- arrays ---- */
static const char *array(const char *name, int32_t dtype, int32_t rank, const int64_t *shape,
                         double fill)
{
  const char *path = lrp_test_tmp(name);
  lrp_tensor t = {.dtype = dtype, .rank = rank};
  lrp_real reals[64];
  int64_t whole[64];
  memcpy(t.shape, shape, (size_t)rank * sizeof *shape);
  for (int64_t i = 0; i < 64; i++) {
    reals[i] = (lrp_real)fill;
    whole[i] = i;
  }
  t.data = dtype == LRP_REAL ? (void *)reals : (void *)whole;
  lrp_ck_ok(ctx, lrp_npy_write(ctx, path, &t));
  return path;
}

START_TEST(arrays_fill_inputs_in_order)
{
  const char *paths[2] = {array("a.npy", LRP_REAL, 3, (int64_t[]){2, 3, 4}, 0.5),
                          array("b.npy", LRP_INDEX, 1, (int64_t[]){5}, 0)};
  add_input("x", LRP_REAL, 3, -1, 3, 4, 0);
  add_input("n", LRP_INDEX, 2, 1, -1, 0, 0);
  lrp_ck_ok(ctx, lrp_input_npy(ctx, &model, paths, 2, &input));
  ck_assert_int_eq(input->kind, LRP_MODALITY_TENSOR);
  ck_assert_int_eq(input->tensor[0].shape[0], 2);
  ck_assert_double_eq((double)lrp_reals(&input->tensor[0])[23], 0.5);
  ck_assert(input->tensor[1].rank == 2 && input->tensor[1].shape[0] == 1 &&
            input->tensor[1].shape[1] == 5);
  ck_assert_int_eq(lrp_indices(&input->tensor[1])[4], 4);
  ck_assert_uint_eq(strlen(input->sha256), 64);
}
END_TEST

START_TEST(arrays_that_do_not_fit_are_told)
{
  const char *good = array("good.npy", LRP_REAL, 2, (int64_t[]){3, 4}, 1), *whole,
             *nothing = array("nothing.npy", LRP_REAL, 3, (int64_t[]){0, 3, 4}, 1);
  const char *nan_path = array("nan.npy", LRP_REAL, 2, (int64_t[]){3, 4}, (double)NAN);
  const char *inf_path = array("inf.npy", LRP_REAL, 2, (int64_t[]){3, 4}, (double)INFINITY);
  const char *both[2] = {good, good};
  whole = array("whole.npy", LRP_INDEX, 2, (int64_t[]){3, 4}, 0);
  add_input("x", LRP_REAL, 3, -1, 3, 4, 0);
  lrp_ck_fails(ctx, LRP_E_INPUT, "has 1 inputs (x), but 2 arrays",
               lrp_input_npy(ctx, &model, both, 2, &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "whole numbers, but input \"x\"",
               lrp_input_npy(ctx, &model, &whole, 1, &input));
  lrp_ck_fails(ctx, LRP_E_NUMERIC, "nan.npy", lrp_input_npy(ctx, &model, &nan_path, 1, &input));
  lrp_ck_fails(ctx, LRP_E_NUMERIC, "inf.npy", lrp_input_npy(ctx, &model, &inf_path, 1, &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "no elements", lrp_input_npy(ctx, &model, &nothing, 1, &input));
  inputs[0].shape[2] = 5;
  lrp_ck_fails(ctx, LRP_E_INPUT, "shape (1,3,4), but input \"x\" of the model takes (?,3,5)",
               lrp_input_npy(ctx, &model, &good, 1, &input));
  inputs[0].rank = 4;
  lrp_ck_fails(ctx, LRP_E_INPUT, "shape (3,4), but", lrp_input_npy(ctx, &model, &good, 1, &input));
  ck_assert_ptr_null(input);
}
END_TEST

/* ---- files ---- */
static const char *text_file(const char *text)
{
  const char *path = lrp_test_tmp("a.txt");
  lrp_ck_ok(ctx, lrp_file_write(ctx, path, text, strlen(text)));
  return path;
}

START_TEST(a_file_is_read_by_its_content)
{
  add_tokenizer(HEAD LEVEL);
  add_input("input_ids", LRP_INDEX, 2, -1, -1, 0, 0);
  lrp_ck_ok(ctx, lrp_input_file(ctx, &model, text_file("bad\r\n"), &input));
  ck_assert_str_eq(input->text, "bad");
  ck_row(0, 3, (int64_t[]){1, 6, 2});
  ck_assert_str_eq(input->path, lrp_test_tmp("a.txt"));
  lrp_input_free(input);
  lrp_ck_ok(ctx,
            lrp_input_file(ctx, &model, array("i.npy", LRP_INDEX, 1, (int64_t[]){4}, 0), &input));
  ck_row(0, 4, (int64_t[]){0, 1, 2, 3});
}
END_TEST

START_TEST(files_of_the_wrong_kind_are_told)
{
  add_input("x", LRP_REAL, 2, -1, -1, 0, 0);
  lrp_ck_fails(ctx, LRP_E_INPUT, "neither .npy, PNG nor JPEG",
               lrp_input_file(ctx, &model, text_file("hi"), &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "a picture, but the model toy",
               lrp_input_file(ctx, &model, lrp_test_path("images/grey.png"), &input));
  add_tokenizer(HEAD LEVEL);
  inputs[0] =
      (lrp_signature){.name = "input_ids", .dtype = LRP_INDEX, .rank = 2, .shape = {-1, -1}};
  lrp_ck_fails(ctx, LRP_E_INPUT, "a.txt: the text is empty",
               lrp_input_file(ctx, &model, text_file("\n"), &input));
  ck_assert_ptr_null(input);
}
END_TEST

Suite *suite_input(void);
Suite *suite_input(void)
{
  Suite *suite = suite_create("input");
  TCase *tc = tcase_create("input");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_add_test(tc, a_text_fills_inputs_by_name);
  tcase_add_test(tc, a_single_input_of_whole_numbers_takes_ids);
  tcase_add_test(tc, a_fixed_length_is_filled_with_padding);
  tcase_add_test(tc, padding_goes_left_where_the_tokenizer_says_so);
  tcase_add_test(tc, config_json_may_name_the_padding);
  tcase_add_test(tc, a_fixed_length_drops_words_but_not_added_tokens);
  tcase_add_test(tc, a_length_below_the_added_tokens_is_refused);
  tcase_add_test(tc, texts_and_models_that_do_not_fit_are_told);
  tcase_add_test(tc, a_picture_fills_its_input);
  tcase_add_test(tc, a_picture_is_brought_to_the_models_size);
  tcase_add_test(tc, pictures_that_do_not_fit_are_told);
  tcase_add_test(tc, arrays_fill_inputs_in_order);
  tcase_add_test(tc, arrays_that_do_not_fit_are_told);
  tcase_add_test(tc, a_file_is_read_by_its_content);
  tcase_add_test(tc, files_of_the_wrong_kind_are_told);
  suite_add_tcase(suite, tc);
  return suite;
}
