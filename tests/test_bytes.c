/* test_bytes.c - the first and last bytes of a file become a model's input. */
#include "model.h"
#include "test.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NONE = 256 };
static lrp_ctx *ctx;
static lrp_signature signature;
static lrp_model model;
static lrp_input *input;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  signature = (lrp_signature){.name = "bytes", .dtype = LRP_INDEX, .rank = 2, .shape = {-1, 8}};
  model = (lrp_model){.info = {.name = "toy", .meta = "{}", .n_input = 1}};
  model.onnx.graph.input = &signature;
  model.onnx.graph.n_input = 1;
  model.bytes = (lrp_bytes_form){.begin = 5, .end = 3, .block = 8, .padding = NONE, .least = 2};
  model.info.bytes = &model.bytes;
  input = NULL;
}

static void teardown(void)
{
  lrp_input_free(input);
  unlink(lrp_test_tmp("preprocessor_config.json"));
  lrp_ctx_free(ctx);
}

/* at: places in the file; -1: padding. */
static void ck_read(const char *data, const int64_t at[8])
{
  lrp_ck_ok(ctx, lrp_input_bytes(ctx, &model, "a", data, strlen(data), &input));
  ck_assert_int_eq(input->kind, LRP_MODALITY_BYTES);
  ck_assert_int_eq(input->n_byte, 8);
  for (int i = 0; i < 8; i++) {
    const int64_t id = at[i] < 0 ? NONE : (uint8_t)data[at[i]];
    ck_assert_msg(input->byte_at[i] == at[i] && lrp_indices(&input->tensor[0])[i] == id, "position %d: %d at %d", i,
                  (int)lrp_indices(&input->tensor[0])[i], (int)input->byte_at[i]);
  }
  lrp_input_free(input);
  input = NULL;
}

START_TEST(first_and_last_bytes_are_read)
{
  ck_read("0123456789abcdef", (int64_t[]){0, 1, 2, 3, 4, 13, 14, 15});
}
END_TEST

START_TEST(white_space_around_is_skipped)
{
  ck_read(" \n0123456789abc\t\r\n", (int64_t[]){2, 3, 4, 5, 6, 12, 13, 14});
}
END_TEST

/* As Magika does it: what is skipped is not made up for by bytes behind the block. */
START_TEST(no_byte_outside_the_blocks_is_read)
{
  ck_read("     0123456789     ", (int64_t[]){5, 6, 7, -1, -1, 12, 13, 14});
}
END_TEST

START_TEST(a_short_file_is_padded_and_read_twice)
{
  ck_read("ab", (int64_t[]){0, 1, -1, -1, -1, -1, 0, 1});
  ck_read(" ab ", (int64_t[]){1, 2, 3, -1, -1, 0, 1, 2});
}
END_TEST

START_TEST(too_few_bytes_are_refused)
{
  lrp_ck_fails(ctx, LRP_E_INPUT, "a: too short: the model toy wants at least 2 bytes behind white space",
               lrp_input_bytes(ctx, &model, "a", "       x", 8, &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "too short", lrp_input_bytes(ctx, &model, "a", "", 0, &input));
}
END_TEST

START_TEST(every_file_is_bytes_for_such_a_model)
{
  const char *path = lrp_test_path("models/good/mlp.onnx");
  lrp_ck_ok(ctx, lrp_input_file(ctx, &model, path, &input));
  ck_assert_int_eq(input->kind, LRP_MODALITY_BYTES);
  ck_assert_str_eq(input->path, path);
}
END_TEST

static lrp_status configure(const char *json)
{
  lrp_ck_ok(ctx, lrp_file_write(ctx, lrp_test_tmp("preprocessor_config.json"), json, strlen(json)));
  char folder[1024];
  snprintf(folder, sizeof folder, "%s", lrp_test_tmp("preprocessor_config.json"));
  *strrchr(folder, '/') = '\0';
  model.info.bytes = NULL;
  return lrp_model_signal(ctx, &model, folder);
}

START_TEST(the_config_tells_how_many_bytes)
{
  lrp_ck_ok(ctx, configure("{\"beg_size\": 6, \"mid_size\": 0, \"end_size\": 2, \"padding_token\": 300}"));
  ck_assert_ptr_nonnull(model.info.bytes);
  ck_assert(model.bytes.begin == 6 && model.bytes.end == 2 && model.bytes.padding == 300 && model.bytes.block == 4096);
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "\"mid_size\": lrp takes no bytes from the middle",
               configure("{\"beg_size\": 4, \"mid_size\": 2, \"end_size\": 2}"));
  lrp_ck_fails(ctx, LRP_E_INPUT, "\"beg_size\": 9 bytes in all, but input \"bytes\" of the model is no row",
               configure("{\"beg_size\": 6, \"end_size\": 3}"));
  lrp_ck_fails(ctx, LRP_E_INPUT, "\"block_size\": a whole number from 6",
               configure("{\"beg_size\": 6, \"end_size\": 2, \"block_size\": 5}"));
}
END_TEST

Suite *suite_bytes(void);

Suite *suite_bytes(void)
{
  Suite *s = suite_create("bytes");
  TCase *t = tcase_create("bytes");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, first_and_last_bytes_are_read);
  tcase_add_test(t, white_space_around_is_skipped);
  tcase_add_test(t, no_byte_outside_the_blocks_is_read);
  tcase_add_test(t, a_short_file_is_padded_and_read_twice);
  tcase_add_test(t, too_few_bytes_are_refused);
  tcase_add_test(t, every_file_is_bytes_for_such_a_model);
  tcase_add_test(t, the_config_tells_how_many_bytes);
  suite_add_tcase(s, t);
  return s;
}
