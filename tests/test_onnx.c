/* test_onnx.c - the ONNX reader: rare forms, all that is broken, and where numbers lie. */
#include "onnx.h"
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lrp_ctx *ctx;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}

static lrp_onnx open_good(const char *name)
{
  char path[100];
  lrp_onnx o;
  snprintf(path, sizeof path, "models/good/%s.onnx", name);
  lrp_ck_ok(ctx, lrp_onnx_open(ctx, lrp_test_path(path), &o));
  return o;
}

static const lrp_onnx_tensor *init(const lrp_onnx *o, const char *name)
{
  for (int64_t i = 0; i < o->graph.n_init; i++)
    if (!strcmp(o->graph.init[i].name, name)) return &o->graph.init[i];
  ck_abort_msg("no initialiser %s", name);
  return NULL;
}

static void check_reals(const lrp_onnx *o, const char *name, int64_t n, const double *want)
{
  lrp_arena arena = {0};
  lrp_tensor t;
  lrp_ck_ok(ctx, lrp_onnx_tensor_read(ctx, init(o, name), &arena, &t));
  ck_assert_int_eq(t.dtype, LRP_REAL);
  ck_assert_int_eq(lrp_count(&t), n);
  for (int64_t i = 0; i < n; i++)
    ck_assert_msg((double)lrp_reals(&t)[i] == want[i], "%s[%d] is %g, not %g", name, (int)i,
                  (double)lrp_reals(&t)[i], want[i]);
  lrp_arena_free(&arena);
}

static void check_indices(const lrp_onnx *o, const char *name, int64_t n, const int64_t *want)
{
  lrp_arena arena = {0};
  lrp_tensor t;
  lrp_ck_ok(ctx, lrp_onnx_tensor_read(ctx, init(o, name), &arena, &t));
  ck_assert_int_eq(t.dtype, LRP_INDEX);
  ck_assert_int_eq(lrp_count(&t), n);
  for (int64_t i = 0; i < n; i++)
    ck_assert_msg(lrp_indices(&t)[i] == want[i], "%s[%d] is %lld", name, (int)i,
                  (long long)lrp_indices(&t)[i]);
  lrp_arena_free(&arena);
}

#define REALS(name, ...)                                                                           \
  check_reals(&o, name, (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)),               \
              (double[]){__VA_ARGS__})
#define INDICES(name, ...)                                                                         \
  check_indices(&o, name, (int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),           \
                (int64_t[]){__VA_ARGS__})

START_TEST(typed_fields_are_read_packed_and_single)
{
  lrp_onnx o = open_good("typed");
  REALS("float_packed", 1.5, -2);
  REALS("float_single", 1.5, -2);
  REALS("float_mixed", 1.5, -2, 3);
  REALS("double", 1.5, -2);
  REALS("half", 1.5, -2, ldexp(1, -24), 65504);
  REALS("bfloat", 1.5, -2);
  REALS("scalar", 7);
  REALS("packed_dims", 1, 2);
  INDICES("int8", -128, 127);
  INDICES("uint8", 0, 255);
  INDICES("int16", -32768, 32767);
  INDICES("uint16", 0, 65535);
  INDICES("int32", INT32_MIN, INT32_MAX);
  INDICES("int64", INT64_MIN, INT64_MAX);
  INDICES("uint32", 0, UINT32_MAX);
  INDICES("uint64", INT64_MAX);
  INDICES("bool", 1, 0);
  ck_assert_int_eq(init(&o, "scalar")->rank, 0);
  ck_assert_int_eq(init(&o, "packed_dims")->rank, 2);
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(raw_data_of_each_type_is_read_at_any_alignment)
{
  lrp_onnx o = open_good("raw");
  REALS("r1", 1.5, -2);
  INDICES("r2", 0, 255);
  INDICES("r3", -128, 127);
  INDICES("r4", 0, 65535);
  INDICES("r5", -32768, 32767);
  INDICES("r6", -5, 7);
  INDICES("r7", -5, 7);
  INDICES("r9", 1, 0);
  REALS("r10", 1.5, -2);
  REALS("r11", 1.5, -2);
  INDICES("r12", 0, UINT32_MAX);
  INDICES("r13", 5, 7);
  REALS("r16", 1.5, -2);
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(empty_and_string_tensors_have_no_numbers)
{
  lrp_onnx o = open_good("typed");
  lrp_arena arena = {0};
  lrp_tensor t;
  lrp_ck_ok(ctx, lrp_onnx_tensor_read(ctx, init(&o, "empty"), &arena, &t));
  ck_assert_int_eq(lrp_count(&t), 0);
  ck_assert_int_eq(t.shape[1], 3);
  ck_assert_ptr_nonnull(t.data);
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "tensor \"string\" holds strings",
               lrp_onnx_tensor_read(ctx, init(&o, "string"), &arena, &t));
  ck_assert_ptr_null(init(&o, "string")->raw);
  lrp_arena_free(&arena);
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(numbers_of_the_right_form_stay_in_the_file)
{
  lrp_onnx o = open_good("external");
  const lrp_onnx_tensor *w = &o.graph.init[0];
  lrp_arena arena = {0};
  lrp_tensor t;
  lrp_ck_ok(ctx, lrp_onnx_tensor_read(ctx, w, &arena, &t));
  if (sizeof(lrp_real) == 4) ck_assert_ptr_eq(t.data, w->raw);
  ck_assert_ptr_eq(w->raw, o.file[1].file.data + 4);
  ck_assert((double)lrp_reals(&t)[0] == 1.5 && (double)lrp_reals(&t)[1] == -2);
  lrp_arena_free(&arena);
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(external_file_is_mapped_once)
{
  lrp_onnx o = open_good("external");
  ck_assert_int_eq(o.n_file, 2);
  ck_assert_ptr_nonnull(strstr(o.file[1].path, "weights.bin"));
  ck_assert_ptr_eq(o.graph.init[1].raw, o.file[1].file.data);
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(external_data_needs_a_folder)
{
  lrp_file file;
  lrp_onnx o;
  lrp_ck_ok(ctx, lrp_file_open(ctx, lrp_test_path("models/good/external.onnx"), "it", 0, &file));
  lrp_ck_fails(ctx, LRP_E_INPUT, "the model has no folder",
               lrp_onnx_parse(ctx, file.data, file.size, NULL, &o));
  lrp_file_close(&file);
}
END_TEST

/* A copy of a file in the tests' own folder. */
static void copy_to(const char *from, const char *to)
{
  lrp_file file;
  lrp_ck_ok(ctx, lrp_file_open(ctx, lrp_test_path(from), "it", 0, &file));
  lrp_ck_ok(ctx, lrp_file_write(ctx, to, file.data, file.size));
  lrp_file_close(&file);
}

START_TEST(symbolic_link_may_stay_in_the_folder_but_not_leave_it)
{
  lrp_onnx o;
  const char *model = lrp_test_tmp("onnx_link/m.onnx"),
             *link = lrp_test_tmp("onnx_link/weights.bin");
  const char *outside = lrp_test_tmp("onnx_outside.bin");
  ck_assert_int_eq(mkdir(lrp_test_tmp("onnx_link"), 0700), 0);
  copy_to("models/good/external.onnx", model);
  copy_to("models/good/weights.bin", outside);
  ck_assert_int_eq(symlink(outside, link), 0);
  lrp_ck_fails(ctx, LRP_E_INPUT, "a symbolic link that leaves the model's folder",
               lrp_onnx_open(ctx, model, &o));
  ck_assert_int_eq(unlink(link), 0);
  copy_to("models/good/weights.bin", lrp_test_tmp("onnx_link/real.bin"));
  ck_assert_int_eq(symlink("real.bin", link), 0);
  lrp_ck_ok(ctx, lrp_onnx_open(ctx, model, &o));
  lrp_onnx_close(&o);
}
END_TEST

static const lrp_onnx_attr *attr(const lrp_onnx_node *node, const char *name)
{
  for (int32_t i = 0; i < node->n_attr; i++)
    if (!strcmp(node->attr[i].name, name)) return &node->attr[i];
  ck_abort_msg("no attribute %s", name);
  return NULL;
}

START_TEST(attributes_have_their_types_and_values)
{
  lrp_onnx o = open_good("attributes");
  const lrp_onnx_node *n = &o.graph.node[0];
  ck_assert_str_eq(n->op, "Thing");
  ck_assert_str_eq(n->domain, "");
  ck_assert_int_eq(n->n_in, 3);
  ck_assert_str_eq(n->in[1], "");
  ck_assert_str_eq(n->in[2], "w");
  ck_assert(attr(n, "f")->type == LRP_ATTR_REAL && attr(n, "f")->real == 0.5);
  ck_assert(attr(n, "i")->type == LRP_ATTR_INT && attr(n, "i")->i == -3);
  ck_assert_str_eq(attr(n, "s")->text, "same");
  ck_assert_int_eq(attr(n, "t")->tensor->count, 2);
  ck_assert(attr(n, "floats")->n == 3 && (double)attr(n, "floats")->reals[2] == 2);
  ck_assert(attr(n, "ints")->n == 3 && attr(n, "ints")->ints[0] == -1 &&
            attr(n, "ints")->ints[2] == 3);
  ck_assert_int_eq(attr(n, "strings")->n, 2);
  ck_assert_str_eq(attr(n, "strings")->texts[0], "a");
  ck_assert(attr(n, "none")->type == LRP_ATTR_INTS && attr(n, "none")->n == 0);
  ck_assert(attr(n, "no_type")->type == LRP_ATTR_INTS && attr(n, "no_type")->ints[0] == 4);
  ck_assert_int_eq(attr(n, "binary")->type, LRP_ATTR_OTHER);
  ck_assert(attr(n, "zero")->type == LRP_ATTR_INT && attr(n, "zero")->i == 0);
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(sub_graphs_are_read)
{
  lrp_onnx o = open_good("if");
  const lrp_onnx_graph *then = attr(&o.graph.node[0], "then_branch")->graph;
  ck_assert_ptr_nonnull(then);
  ck_assert_int_eq(then->n_node, 1);
  ck_assert_str_eq(then->node[0].op, "Relu");
  ck_assert_str_eq(attr(&o.graph.node[0], "else_branch")->graph->node[0].op, "Neg");
  ck_assert_int_eq(then->output[0].rank, -1);
  ck_assert_int_eq(o.graph.input[1].dtype, LRP_INDEX);
  ck_assert_int_eq(o.graph.input[1].rank, 0);
  lrp_onnx_close(&o);
  o = open_good("nested_16");
  ck_assert_str_eq(o.graph.node[0].op, "If");
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(initialisers_among_the_inputs_are_no_inputs)
{
  lrp_onnx o = open_good("old");
  ck_assert_int_eq(o.graph.n_input, 1);
  ck_assert_str_eq(o.graph.input[0].name, "x");
  ck_assert_int_eq(o.graph.input[0].rank, 4);
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq(o.graph.input[0].shape[i], -1); /* "batch", 0, -1 */
  ck_assert_int_eq(o.graph.input[0].shape[3], 4);
  ck_assert_int_eq(o.ir_version, 3);
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(operator_sets_are_found_by_domain)
{
  lrp_onnx o = open_good("mlp");
  ck_assert_int_gt(lrp_onnx_opset_of(&o, ""), 6);
  ck_assert_int_eq(lrp_onnx_opset_of(&o, ""), lrp_onnx_opset_of(&o, "ai.onnx"));
  ck_assert_int_eq(lrp_onnx_opset_of(&o, "com.example"), -1);
  lrp_onnx_close(&o);
  o = open_good("old");
  ck_assert_str_eq(o.producer, "hand 1");
  lrp_onnx_close(&o);
}
END_TEST

START_TEST(exported_models_are_read)
{
  static const struct {
    const char *name, *last;
    int64_t n_node, n_real; /* numbers of floating type */
  } models[] = {{"mlp", "Gemm", 5, 422}, {"cnn_avg", "Gemm", 8, 220}, {"bilstm", "Gemm", 4, 550}};
  for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
    lrp_onnx o = open_good(models[k].name);
    int64_t n_real = 0;
    ck_assert_int_eq(o.graph.n_node, models[k].n_node);
    ck_assert_str_eq(o.graph.node[o.graph.n_node - 1].op, models[k].last);
    ck_assert_int_eq(o.graph.n_input, 1);
    for (int64_t i = 0; i < o.graph.n_init; i++) {
      lrp_arena arena = {0};
      lrp_tensor t;
      lrp_ck_ok(ctx, lrp_onnx_tensor_read(ctx, &o.graph.init[i], &arena, &t));
      for (int64_t j = 0; t.dtype == LRP_REAL && j < lrp_count(&t); j++, n_real++)
        ck_assert(fabs((double)lrp_reals(&t)[j]) < 100); /* trained weights, read as such */
      lrp_arena_free(&arena);
    }
    ck_assert_int_eq(n_real, models[k].n_real);
    lrp_onnx_close(&o);
  }
}
END_TEST

START_TEST(unknown_fields_are_skipped)
{
  lrp_onnx o = open_good("unknown_fields");
  ck_assert_int_eq(o.graph.n_node, 1);
  lrp_onnx_close(&o);
}
END_TEST

/* expected.txt: name, status, part of the message; tabs between. */
START_TEST(each_broken_file_gives_its_sentence)
{
  char line[1024], path[100];
  int n = 0;
  FILE *in = fopen(lrp_test_path("models/broken/expected.txt"), "r");
  ck_assert_ptr_nonnull(in);
  while (fgets(line, sizeof line, in)) {
    lrp_onnx o;
    char *status = strchr(line, '\t'), *text = status ? strchr(status + 1, '\t') : NULL;
    ck_assert_ptr_nonnull(text);
    *status++ = *text++ = '\0';
    text[strcspn(text, "\n")] = '\0';
    snprintf(path, sizeof path, "models/broken/%.60s.onnx", line);
    const char *full = lrp_test_path(path);
    const lrp_status st = lrp_onnx_open(ctx, full, &o);
    ck_assert_msg(st && !strcmp(lrp_status_name(st), status), "%s: status %s, not %s: %s", line,
                  lrp_status_name(st), status, lrp_message(ctx));
    ck_assert_msg(strstr(lrp_message(ctx), text) != NULL, "%s: no \"%s\" in \"%s\"", line, text,
                  lrp_message(ctx));
    ck_assert_msg(!strncmp(lrp_message(ctx), full, strlen(full)), "%s: no path in \"%s\"", line,
                  lrp_message(ctx));
    ck_assert_ptr_null(o.file);
    n++;
  }
  fclose(in);
  ck_assert_int_gt(n, 70);
}
END_TEST

START_TEST(message_tells_file_byte_node_and_attribute)
{
  lrp_onnx o;
  const char *path = lrp_test_path("models/broken/attr_ints_cut.onnx");
  ck_assert_int_eq(lrp_onnx_open(ctx, path, &o), LRP_E_INPUT);
  const char *rest = lrp_message(ctx) + strlen(path);
  int byte = 0, used = 0;
  ck_assert_int_eq(sscanf(rest, ": byte %d: %n", &byte, &used), 1);
  ck_assert_str_eq(rest + used,
                   "node 0 \"relu\": attribute \"pads\": a number runs past the end of "
                   "what encloses it");
  lrp_file file;
  lrp_ck_ok(ctx, lrp_file_open(ctx, path, "it", 0, &file));
  ck_assert_int_eq(memcmp(file.data + byte, "\x42\x01\x80", 3), 0);
  lrp_file_close(&file);
}
END_TEST

/* A stranger's file cut short anywhere is refused, and no byte past its end is looked at. */
START_TEST(each_cut_of_a_model_is_refused)
{
  lrp_file file;
  lrp_onnx o;
  lrp_ck_ok(ctx, lrp_file_open(ctx, lrp_test_path("models/good/attributes.onnx"), "it", 0, &file));
  for (size_t n = 0; n < file.size; n++) {
    uint8_t *cut = malloc(n ? n : 1);
    ck_assert_ptr_nonnull(cut);
    memcpy(cut, file.data, n);
    const lrp_status st = lrp_onnx_parse(ctx, cut, n, NULL, &o);
    ck_assert_msg(st == LRP_E_INPUT, "%zu bytes: %s: %s", n, lrp_status_name(st), lrp_message(ctx));
    free(cut);
  }
  lrp_ck_ok(ctx, lrp_onnx_parse(ctx, file.data, file.size, NULL, &o));
  lrp_onnx_close(&o);
  lrp_file_close(&file);
}
END_TEST

START_TEST(missing_file_folder_and_pipe_are_refused)
{
  lrp_onnx o;
  const char *pipe = lrp_test_tmp("onnx_pipe");
  lrp_ck_fails(ctx, LRP_E_INPUT, "could not be opened", lrp_onnx_open(ctx, "none.onnx", &o));
  lrp_ck_fails(ctx, LRP_E_INPUT, "a folder; an ONNX model was expected",
               lrp_onnx_open(ctx, lrp_test_path("models"), &o));
  ck_assert_int_eq(mkfifo(pipe, 0600), 0);
  lrp_ck_fails(ctx, LRP_E_INPUT, "a device, pipe or socket", lrp_onnx_open(ctx, pipe, &o));
}
END_TEST

START_TEST(file_is_written_whole_or_not_at_all)
{
  const char *path = lrp_test_tmp("file_write");
  lrp_file file;
  lrp_ck_ok(ctx, lrp_file_write(ctx, path, "first", 5));
  lrp_ck_ok(ctx, lrp_file_write(ctx, path, "second", 6));
  lrp_ck_ok(ctx, lrp_file_open(ctx, path, "it", 6, &file));
  ck_assert_uint_eq(file.size, 6);
  ck_assert_int_eq(memcmp(file.data, "second", 6), 0);
  lrp_file_close(&file);
  lrp_ck_fails(ctx, LRP_E_INPUT, "6 bytes; at most 5", lrp_file_open(ctx, path, "it", 5, &file));
  lrp_ck_fails(ctx, LRP_E_IO, "not a regular file", lrp_file_write(ctx, "/dev/null", "x", 1));
  lrp_ck_fails(ctx, LRP_E_IO, "writing failed", lrp_file_write(ctx, "/none/x", "x", 1));
}
END_TEST

/* FIPS 180-4, example "abc". */
START_TEST(sha256_is_the_standards)
{
  static const char want[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const char *path = lrp_test_tmp("abc");
  char hex[65];
  lrp_sha256("abc", 3, hex);
  ck_assert_str_eq(hex, want);
  lrp_ck_ok(ctx, lrp_file_write(ctx, path, "abc", 3));
  lrp_ck_ok(ctx, lrp_sha256_file(ctx, path, hex));
  ck_assert_str_eq(hex, want);
  lrp_ck_fails(ctx, LRP_E_INPUT, "could not be opened", lrp_sha256_file(ctx, "none", hex));
}
END_TEST

Suite *suite_onnx(void);
Suite *suite_onnx(void)
{
  Suite *s = suite_create("onnx");
  TCase *t = tcase_create("onnx");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, typed_fields_are_read_packed_and_single);
  tcase_add_test(t, raw_data_of_each_type_is_read_at_any_alignment);
  tcase_add_test(t, empty_and_string_tensors_have_no_numbers);
  tcase_add_test(t, numbers_of_the_right_form_stay_in_the_file);
  tcase_add_test(t, external_file_is_mapped_once);
  tcase_add_test(t, external_data_needs_a_folder);
  tcase_add_test(t, symbolic_link_may_stay_in_the_folder_but_not_leave_it);
  tcase_add_test(t, attributes_have_their_types_and_values);
  tcase_add_test(t, sub_graphs_are_read);
  tcase_add_test(t, initialisers_among_the_inputs_are_no_inputs);
  tcase_add_test(t, operator_sets_are_found_by_domain);
  tcase_add_test(t, exported_models_are_read);
  tcase_add_test(t, unknown_fields_are_skipped);
  tcase_add_test(t, each_broken_file_gives_its_sentence);
  tcase_add_test(t, message_tells_file_byte_node_and_attribute);
  tcase_add_test(t, each_cut_of_a_model_is_refused);
  tcase_add_test(t, missing_file_folder_and_pipe_are_refused);
  tcase_add_test(t, file_is_written_whole_or_not_at_all);
  tcase_add_test(t, sha256_is_the_standards);
  suite_add_tcase(s, t);
  return s;
}
