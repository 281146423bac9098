/* test_model.c - a model's folder: which file, which modality, which labels; and what is wrong with
 * it. */
#include "model.h"
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lrp_ctx *ctx;
static char warning[1024];

static void keep_warning(void *user, const char *message)
{
  (void)user;
  snprintf(warning, sizeof warning, "%s", message);
}

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  warning[0] = '\0';
  lrp_on_warning(ctx, keep_warning, NULL);
  ck_assert_int_eq(mkdir(lrp_test_tmp("m"), 0700), 0);
}

static void remove_all(const char *const *names)
{
  for (; *names; names++)
    if (unlink(lrp_test_tmp(*names))) rmdir(lrp_test_tmp(*names));
}

static void teardown(void)
{
  static const char *const names[] = {"m/model.onnx",
                                      "m/net.onnx",
                                      "m/net2.onnx",
                                      "m/onnx/model.onnx",
                                      "m/onnx",
                                      "m/config.json",
                                      "m/preprocessor_config.json",
                                      "m/vocab.txt",
                                      "m/weights.bin",
                                      "m",
                                      NULL};
  remove_all(names);
  lrp_ctx_free(ctx);
}

static void put_text(const char *name, const char *text)
{
  lrp_ck_ok(ctx, lrp_file_write(ctx, lrp_test_tmp(name), text, strlen(text)));
}

static void put_model(const char *name, const char *from)
{
  lrp_file file;
  lrp_ck_ok(ctx, lrp_file_open(ctx, lrp_test_path(from), "it", 0, &file));
  lrp_ck_ok(ctx, lrp_file_write(ctx, lrp_test_tmp(name), file.data, file.size));
  lrp_file_close(&file);
}

static lrp_model *open_folder(void)
{
  lrp_model *m;
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_tmp("m"), &m));
  return m;
}

static void refused(lrp_status status, const char *text)
{
  lrp_model *m;
  lrp_ck_fails(ctx, status, text, lrp_model_open(ctx, lrp_test_tmp("m"), &m));
  ck_assert_ptr_null(m);
}

#define CNN     "models/good/cnn_avg.onnx"     /* (2,2,12,12) -> (2,4) */
#define PICTURE "models/good/picture.onnx"     /* (n,3,8,8) -> (n,4) */
#define ANY     "models/good/any_picture.onnx" /* (n,c,h,w) -> (n,4) */

START_TEST(file_without_a_folder_is_a_tensor_model)
{
  lrp_model *m;
  const char *path = lrp_test_path(CNN);
  lrp_ck_ok(ctx, lrp_model_open(ctx, path, &m));
  const lrp_model_info *i = lrp_model_about(m);
  ck_assert_str_eq(i->path, path);
  ck_assert_str_eq(i->file, path);
  ck_assert_str_eq(i->name, "cnn_avg");
  ck_assert_int_eq(i->modality, LRP_MODALITY_TENSOR);
  ck_assert_str_eq(i->composite, "epsilon_plus");
  ck_assert_str_eq(i->kind, "");
  ck_assert_str_eq(i->meta, "{}");
  ck_assert_int_eq(i->n_param, 220);
  ck_assert_int_eq(i->n_node, 8);
  ck_assert_int_eq(i->opset, 17);
  ck_assert(i->n_input == 1 && i->n_output == 1);
  ck_assert(i->n_label == 0 && !i->labels && !i->preprocess && !i->tokenizer);
  ck_assert_int_eq(lrp_model_input(m, 0)->rank, 4);
  ck_assert_ptr_null(lrp_model_input(m, 1));
  ck_assert_ptr_null(lrp_model_output(m, -1));
  ck_assert_int_eq(lrp_model_output(m, 0)->rank, 2);
  lrp_model_close(m);
}
END_TEST

START_TEST(sha256_covers_the_file_and_its_external_data)
{
  lrp_model *m;
  char want[65];
  uint8_t both[4096];
  size_t n = 0;
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(CNN), &m));
  lrp_ck_ok(ctx, lrp_sha256_file(ctx, lrp_test_path(CNN), want));
  ck_assert_str_eq(lrp_model_about(m)->sha256, want);
  lrp_model_close(m);
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path("models/good/external.onnx"), &m));
  for (int k = 0; k < 2; k++) {
    lrp_file file;
    lrp_ck_ok(ctx,
              lrp_file_open(
                  ctx, lrp_test_path(k ? "models/good/weights.bin" : "models/good/external.onnx"),
                  "it", 0, &file));
    ck_assert_uint_lt(n + file.size, sizeof both);
    memcpy(both + n, file.data, file.size);
    n += file.size;
    lrp_file_close(&file);
  }
  lrp_sha256(both, n, want);
  ck_assert_str_eq(lrp_model_about(m)->sha256, want);
  lrp_model_close(m);
}
END_TEST

START_TEST(folder_is_searched_in_order)
{
  refused(LRP_E_INPUT, "no ONNX model in this folder");
  put_model("m/net.onnx", "models/good/mlp.onnx");
  lrp_model *m = open_folder();
  ck_assert_ptr_nonnull(strstr(lrp_model_about(m)->file, "m/net.onnx"));
  ck_assert_str_eq(lrp_model_about(m)->name, "m");
  lrp_model_close(m);
  put_model("m/net2.onnx", "models/good/mlp.onnx");
  refused(LRP_E_INPUT, "2 ONNX models in this folder");
  ck_assert_int_eq(mkdir(lrp_test_tmp("m/onnx"), 0700), 0);
  put_model("m/onnx/model.onnx", "models/good/mlp.onnx");
  m = open_folder();
  ck_assert_ptr_nonnull(strstr(lrp_model_about(m)->file, "m/onnx/model.onnx"));
  lrp_model_close(m);
  put_model("m/model.onnx", "models/good/mlp.onnx");
  m = open_folder();
  ck_assert_ptr_nonnull(strstr(lrp_model_about(m)->file, "m/model.onnx"));
  lrp_model_close(m);
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_tmp("m/model.onnx"), &m));
  ck_assert_str_eq(lrp_model_about(m)->name, "m");
  lrp_model_close(m);
}
END_TEST

START_TEST(missing_and_broken_models_are_refused)
{
  lrp_model *m;
  lrp_ck_fails(ctx, LRP_E_INPUT, "the model could not be opened", lrp_model_open(ctx, "none", &m));
  put_model("m/model.onnx", "models/broken/text.onnx");
  refused(LRP_E_INPUT, "this is not an ONNX file, but a text");
}
END_TEST

START_TEST(config_gives_kind_labels_composite_and_meta)
{
  const char *config =
      "{\"model_type\": \"toy\", \"lrp_composite\": \"gamma\",\n"
      " \"id2label\": {\"1\": \"one\", \"0\": \"zero\", \"3\": 3, \"2\": \"d\xc3\xa9\"}}";
  put_model("m/model.onnx", CNN);
  put_text("m/config.json", config);
  lrp_model *m = open_folder();
  const lrp_model_info *i = lrp_model_about(m);
  ck_assert_str_eq(i->kind, "toy");
  ck_assert_str_eq(i->composite, "gamma");
  ck_assert_str_eq(i->meta, config);
  ck_assert_int_eq(i->n_label, 4);
  ck_assert_str_eq(i->labels[0], "zero");
  ck_assert_str_eq(i->labels[1], "one");
  ck_assert_str_eq(i->labels[2], "d\xc3\xa9");
  ck_assert_str_eq(i->labels[3], "3");
  ck_assert_str_eq(warning, "");
  lrp_model_close(m);
  put_text("m/config.json", "{\"labels\": [\"a\", \"b\", \"c\", \"d\"]}");
  m = open_folder();
  ck_assert_str_eq(lrp_model_about(m)->labels[3], "d");
  lrp_model_close(m);
}
END_TEST

START_TEST(labels_of_another_number_than_scores_are_left_out_with_a_warning)
{
  put_model("m/model.onnx", CNN);
  put_text("m/config.json", "{\"id2label\": {\"0\": \"zero\", \"1\": \"one\"}}");
  lrp_model *m = open_folder();
  ck_assert_int_eq(lrp_model_about(m)->n_label, 0);
  ck_assert_ptr_nonnull(strstr(warning, "2 labels, but output"));
  lrp_model_close(m);
}
END_TEST

static const struct {
  const char *text, *message;
} bad_configs[] = {
    {"", "the file is empty"},
    {"{\n\n\"a\": }", "config.json: line 3: no valid JSON"},
    {"[]", "a JSON object was expected"},
    {"{\"a\": 1, \"a\": 2}", "no valid JSON: duplicate"},
    {"{\n\"model_type\": 3}", "config.json: line 2: \"model_type\": a text was expected"},
    {"{\"model_type\": \"a\\u001b\"}", "without control characters"},
    {"{\"lrp_composite\": []}", "\"lrp_composite\": a text was expected"},
    {"{\"id2label\": []}", "an object as {\"0\": \"cat\"} was expected"},
    {"{\"labels\": {}}", "an array was expected"},
    {"{\"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\",\n \"4\": \"d\"}}",
     "line 2: \"4\": id2label has 4 labels, so ids 0 to 3 were expected"},
    {"{\"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\", \"03\": \"d\"}}",
     "\"03\": id2label"},
    {"{\"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\", \"x\": \"d\"}}", "\"x\": id2label"},
    {"{\"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\", \"3\": []}}",
     "a text was expected for each"},
    {"{\"labels\": [\"a\", \"b\", \"c\", \"\\n\"]}", "a label holds a control character"},
};

START_TEST(bad_config_is_refused_with_its_line)
{
  put_model("m/model.onnx", CNN);
  put_text("m/config.json", bad_configs[_i].text);
  refused(LRP_E_INPUT, bad_configs[_i].message);
}
END_TEST

START_TEST(vocabulary_makes_a_text_model)
{
  put_model("m/model.onnx", "models/good/mlp.onnx");
  put_text("m/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
  lrp_model *m = open_folder();
  ck_assert_int_eq(lrp_model_about(m)->modality, LRP_MODALITY_TEXT);
  ck_assert_ptr_nonnull(lrp_model_about(m)->tokenizer);
  ck_assert_str_eq(lrp_model_about(m)->composite, "text");
  lrp_model_close(m);
}
END_TEST

/* ---- pictures ---- */

static const lrp_preprocess *picture(const char *model, const char *text, lrp_model **m)
{
  put_model("m/model.onnx", model);
  put_text("m/preprocessor_config.json", text);
  *m = open_folder();
  ck_assert_int_eq(lrp_model_about(*m)->modality, LRP_MODALITY_IMAGE);
  ck_assert_str_eq(lrp_model_about(*m)->composite, "epsilon_gamma_box");
  return lrp_model_about(*m)->preprocess;
}

START_TEST(preprocessor_as_vit_writes_it)
{
  lrp_model *m;
  const lrp_preprocess *p =
      picture(PICTURE,
              "{\"do_normalize\": true, \"do_rescale\": true, \"do_resize\": true, \"image_mean\": "
              "[0.5, 0.25, 0],\n"
              "\"image_processor_type\": \"ViTImageProcessor\", \"image_std\": [0.5, 1, 2], "
              "\"resample\": 3,\n"
              "\"rescale_factor\": 0.00392156862745098, \"size\": {\"height\": 8, \"width\": 8}}",
              &m);
  ck_assert(p->do_normalize && p->do_rescale && p->do_resize && !p->crop && !p->keep_aspect);
  ck_assert(p->height == 8 && p->width == 8 && p->channels == 3 && p->resample == 3);
  ck_assert(p->mean[1] == 0.25 && p->std[2] == 2);
  ck_assert(fabs(p->rescale - 1.0 / 255) < 1e-12);
  lrp_model_close(m);
}
END_TEST

START_TEST(preprocessor_of_old_files_has_defaults)
{
  lrp_model *m;
  const lrp_preprocess *p =
      picture(ANY, "{\"size\": 8, \"image_mean\": [0.5], \"image_std\": 0.25}", &m);
  ck_assert(p->do_resize && p->do_rescale && p->do_normalize && !p->keep_aspect);
  ck_assert(p->height == 8 && p->width == 8 && p->channels == 3 && p->resample == 2);
  ck_assert(p->mean[2] == 0.5 && p->std[0] == 0.25 && p->std[2] == 0.25);
  ck_assert(fabs(p->rescale - 1.0 / 255) < 1e-12);
  lrp_model_close(m);
  p = picture(ANY, "{\"image_processor_type\": \"X\", \"do_rescale\": false}", &m);
  ck_assert(!p->do_resize && !p->do_rescale && !p->do_normalize && p->height == 0);
  lrp_model_close(m);
}
END_TEST

START_TEST(a_crop_makes_a_single_size_the_shortest_edge)
{
  lrp_model *m;
  const lrp_preprocess *p =
      picture(PICTURE, "{\"size\": 10, \"do_center_crop\": true, \"crop_size\": 8}", &m);
  ck_assert(p->keep_aspect && p->height == 10 && p->crop && p->crop_height == 8 &&
            p->crop_width == 8);
  lrp_model_close(m);
  p = picture(PICTURE,
              "{\"size\": {\"shortest_edge\": 9}, \"do_center_crop\": true,"
              " \"crop_size\": {\"height\": 8, \"width\": 8}}",
              &m);
  ck_assert(p->keep_aspect && p->height == 9 && p->crop_height == 8);
  lrp_model_close(m);
}
END_TEST

START_TEST(crop_pct_resizes_before_it_crops)
{
  lrp_model *m;
  const lrp_preprocess *p =
      picture(PICTURE, "{\"size\": {\"shortest_edge\": 8}, \"crop_pct\": 0.8}", &m);
  ck_assert(p->keep_aspect && p->height == 10 && p->crop && p->crop_height == 8);
  lrp_model_close(m);
  p = picture(ANY, "{\"size\": {\"shortest_edge\": 384}, \"crop_pct\": 0.8}", &m);
  ck_assert(!p->keep_aspect && p->height == 384 && p->width == 384 && !p->crop);
  lrp_model_close(m);
}
END_TEST

START_TEST(sound_preprocessor_makes_no_picture_model)
{
  put_model("m/model.onnx", PICTURE);
  put_text("m/preprocessor_config.json", "{\"sampling_rate\": 16000, \"do_normalize\": true}");
  lrp_model *m = open_folder();
  ck_assert_int_eq(lrp_model_about(m)->modality, LRP_MODALITY_TENSOR);
  ck_assert_ptr_null(lrp_model_about(m)->preprocess);
  lrp_model_close(m);
}
END_TEST

START_TEST(config_alone_can_say_picture)
{
  put_model("m/model.onnx", PICTURE);
  put_text("m/config.json", "{\"architectures\": [\"ToyForImageClassification\"]}");
  lrp_model *m = open_folder();
  ck_assert_int_eq(lrp_model_about(m)->modality, LRP_MODALITY_IMAGE);
  const lrp_preprocess *p = lrp_model_about(m)->preprocess;
  ck_assert(p && p->do_resize && p->height == 8 && p->channels == 3 && !p->do_normalize);
  lrp_model_close(m);
  put_model("m/model.onnx", CNN); /* two channels are no picture */
  m = open_folder();
  ck_assert_int_eq(lrp_model_about(m)->modality, LRP_MODALITY_TENSOR);
  lrp_model_close(m);
}
END_TEST

static const struct {
  const char *text, *message;
  lrp_status status;
} bad_preprocessors[] = {
    {"{", "preprocessor_config.json: line 1: no valid JSON", LRP_E_INPUT},
    {"{\n\"do_resize\": 1}", "line 2: \"do_resize\": true or false was expected", LRP_E_INPUT},
    {"{\"do_resize\": true}", "\"size\" was expected beside it", LRP_E_INPUT},
    {"{\"size\": 0}", "\"size\": a whole number of pixels from 1", LRP_E_INPUT},
    {"{\"size\": 8.5}", "\"size\": a whole number of pixels from 1", LRP_E_INPUT},
    {"{\"size\": {\"height\": 8}}", "{height, width} or {shortest_edge}", LRP_E_UNSUPPORTED},
    {"{\"size\": {\"shortest_edge\": 8, \"longest_edge\": 9}}", "{shortest_edge}",
     LRP_E_UNSUPPORTED},
    {"{\"size\": 16}", "16 x 16 pixels, but input \"x\" of the model takes 8 x 8", LRP_E_INPUT},
    {"{\"size\": 8, \"do_center_crop\": true}", "\"crop_size\" was expected", LRP_E_INPUT},
    {"{\"size\": 8, \"do_center_crop\": true, \"crop_size\": 4}", "\"crop_size\": 4 x 4",
     LRP_E_INPUT},
    {"{\"size\": 8, \"crop_pct\": 0.5}", "\"crop_pct\"", LRP_E_INPUT},
    {"{\"size\": {\"shortest_edge\": 8}, \"crop_pct\": 2}", "\"crop_pct\"", LRP_E_INPUT},
    {"{\"size\": {\"shortest_edge\": 8}, \"crop_pct\": 1e-9}", "more than 32768", LRP_E_INPUT},
    {"{\"size\": 8, \"resample\": 1}", "\"resample\": 0 (nearest)", LRP_E_UNSUPPORTED},
    {"{\"rescale_factor\": 0}", "\"rescale_factor\": a number above 0", LRP_E_INPUT},
    {"{\"rescale_factor\": \"x\"}", "\"rescale_factor\": a number was expected", LRP_E_INPUT},
    {"{\"image_mean\": [1, 2]}", "\"image_mean\": 1 or 3 numbers", LRP_E_INPUT},
    {"{\"image_mean\": [1, 2, \"x\"]}", "\"image_mean\": numbers were expected", LRP_E_INPUT},
    {"{\"image_mean\": [1, 2, 3]}", "\"image_std\": 1 or 3 numbers", LRP_E_INPUT},
    {"{\"image_mean\": 0, \"image_std\": [1, 0, 1]}", "\"image_std\": numbers above 0",
     LRP_E_INPUT},
    {"{\"do_flip_channel_order\": true}", "\"do_flip_channel_order\": lrp has no such",
     LRP_E_UNSUPPORTED},
};

START_TEST(bad_preprocessor_is_refused_with_its_line)
{
  put_model("m/model.onnx", PICTURE);
  put_text("m/preprocessor_config.json", bad_preprocessors[_i].text);
  refused(bad_preprocessors[_i].status, bad_preprocessors[_i].message);
}
END_TEST

START_TEST(picture_needs_channels_that_pictures_have)
{
  put_text("m/preprocessor_config.json", "{\"size\": 12}");
  put_model("m/model.onnx", CNN);
  refused(LRP_E_UNSUPPORTED, "input \"x\" has 2 channels; 1, 3 or 4 were expected");
  put_model("m/model.onnx", "models/good/mlp.onnx");
  refused(LRP_E_UNSUPPORTED, "takes no pictures");
}
END_TEST

#define LENGTH(array) (int)(sizeof(array) / sizeof *(array))

Suite *suite_model(void);
Suite *suite_model(void)
{
  Suite *s = suite_create("model");
  TCase *t = tcase_create("model");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, file_without_a_folder_is_a_tensor_model);
  tcase_add_test(t, sha256_covers_the_file_and_its_external_data);
  tcase_add_test(t, folder_is_searched_in_order);
  tcase_add_test(t, missing_and_broken_models_are_refused);
  tcase_add_test(t, config_gives_kind_labels_composite_and_meta);
  tcase_add_test(t, labels_of_another_number_than_scores_are_left_out_with_a_warning);
  tcase_add_loop_test(t, bad_config_is_refused_with_its_line, 0, LENGTH(bad_configs));
  tcase_add_test(t, vocabulary_makes_a_text_model);
  tcase_add_test(t, preprocessor_as_vit_writes_it);
  tcase_add_test(t, preprocessor_of_old_files_has_defaults);
  tcase_add_test(t, a_crop_makes_a_single_size_the_shortest_edge);
  tcase_add_test(t, crop_pct_resizes_before_it_crops);
  tcase_add_test(t, sound_preprocessor_makes_no_picture_model);
  tcase_add_test(t, config_alone_can_say_picture);
  tcase_add_loop_test(t, bad_preprocessor_is_refused_with_its_line, 0, LENGTH(bad_preprocessors));
  tcase_add_test(t, picture_needs_channels_that_pictures_have);
  suite_add_tcase(s, t);
  return s;
}
