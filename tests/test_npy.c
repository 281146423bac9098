/* test_npy.c - arrays as numpy writes them. */
#include "core.h"
#include "test.h"
#include <math.h>
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

/* A file with this header text (version 1 to 3) and data; returns its path. */
static const char *make(int version, const char *dict, const void *data, size_t n)
{
  uint8_t file[1024] = "\x93NUMPY";
  const size_t len = strlen(dict), start = version == 1 ? 10 : 12;
  const char *path = lrp_test_tmp("made.npy");
  ck_assert_uint_lt(start + len + n, sizeof file);
  file[6] = (uint8_t)version;
  file[8] = (uint8_t)len;
  memcpy(file + start, dict, len);
  if (n) memcpy(file + start + len, data, n);
  lrp_ck_ok(ctx, lrp_file_write(ctx, path, file, start + len + n));
  return path;
}

static void refused(lrp_status status, const char *text, const char *dict, const void *data,
                    size_t n)
{
  lrp_tensor t;
  lrp_ck_fails(ctx, status, text, lrp_npy_read(ctx, make(1, dict, data, n), &t));
  ck_assert_ptr_null(t.data);
}

START_TEST(written_arrays_read_back)
{
  lrp_real x[6] = {1, -2, 3.5f, 0, (lrp_real)1e-7, -1e6f};
  int64_t y[3] = {INT64_MIN, 0, INT64_MAX};
  const lrp_tensor out[2] = {{.data = x, .dtype = LRP_REAL, .rank = 2, .shape = {2, 3}},
                             {.data = y, .dtype = LRP_INDEX, .rank = 1, .shape = {3}}};
  const char *path = lrp_test_tmp("back.npy");
  for (int k = 0; k < 2; k++) {
    lrp_tensor in;
    lrp_ck_ok(ctx, lrp_npy_write(ctx, path, &out[k]));
    lrp_ck_ok(ctx, lrp_npy_read(ctx, path, &in));
    ck_assert_int_eq(in.dtype, out[k].dtype);
    ck_assert_int_eq(in.rank, out[k].rank);
    ck_assert_int_eq(memcmp(in.shape, out[k].shape, sizeof in.shape), 0);
    ck_assert_int_eq(memcmp(in.data, out[k].data, (size_t)lrp_count(&in) * lrp_element(&in)), 0);
    free(in.data);
  }
}
END_TEST

START_TEST(written_header_is_numpys_own)
{
  int64_t y[2] = {1, 2};
  const lrp_tensor t = {.data = y, .dtype = LRP_INDEX, .rank = 1, .shape = {2}};
  const char *path = lrp_test_tmp("head.npy");
  lrp_file file;
  lrp_ck_ok(ctx, lrp_npy_write(ctx, path, &t));
  lrp_ck_ok(ctx, lrp_file_open(ctx, path, "it", 0, &file));
  ck_assert_uint_eq(file.size, 128 + 16);
  ck_assert_int_eq(memcmp(file.data,
                          "\x93NUMPY\1\0\x76\0{'descr': '<i8', 'fortran_order': False, "
                          "'shape': (2,), }",
                          67),
                   0);
  ck_assert_int_eq(file.data[127], '\n');
  lrp_file_close(&file);
}
END_TEST

START_TEST(scalars_and_empty_arrays_read_back)
{
  lrp_real x[1] = {4};
  const lrp_tensor scalar = {.data = x, .dtype = LRP_REAL};
  const lrp_tensor empty = {.data = x, .dtype = LRP_REAL, .rank = 2, .shape = {0, 5}};
  const char *path = lrp_test_tmp("small.npy");
  lrp_tensor t;
  lrp_ck_ok(ctx, lrp_npy_write(ctx, path, &scalar));
  lrp_ck_ok(ctx, lrp_npy_read(ctx, path, &t));
  ck_assert_int_eq(t.rank, 0);
  ck_assert((double)lrp_reals(&t)[0] == 4);
  free(t.data);
  lrp_ck_ok(ctx, lrp_npy_write(ctx, path, &empty));
  lrp_ck_ok(ctx, lrp_npy_read(ctx, path, &t));
  ck_assert(t.rank == 2 && t.shape[0] == 0 && t.shape[1] == 5);
  free(t.data);
}
END_TEST

/* One element of each type, in both byte orders. */
static const struct {
  const char *descr;
  uint8_t bytes[8];
  double want;
} elements[] = {
    {"<f4", {0, 0, 0xc0, 0x3f}, 1.5},
    {">f4", {0x3f, 0xc0, 0, 0}, 1.5},
    {"<f8", {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, 1.5},
    {">f8", {0x3f, 0xf8, 0, 0, 0, 0, 0, 0}, 1.5},
    {"<f2", {0, 0x3e}, 1.5},
    {">f2", {0xbe, 0}, -1.5},
    {"<f2", {1, 0}, 5.9604644775390625e-08},
    {"|i1", {0x80}, -128},
    {"|u1", {0x80}, 128},
    {"|b1", {1}, 1},
    {"<i2", {0xfe, 0xff}, -2},
    {">u2", {0xff, 0xfe}, 65534},
    {">i4", {0xff, 0xff, 0xff, 0xfe}, -2},
    {"<u4", {0xfe, 0xff, 0xff, 0xff}, 4294967294},
    {">i8", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}, -2},
    {"<u8", {7}, 7},
};

START_TEST(each_type_is_read_in_both_byte_orders)
{
  char dict[100];
  lrp_tensor t;
  const size_t size = (size_t)(elements[_i].descr[2] - '0');
  snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (), }",
           elements[_i].descr);
  lrp_ck_ok(ctx, lrp_npy_read(ctx, make(1, dict, elements[_i].bytes, size), &t));
  ck_assert_int_eq(t.dtype, elements[_i].descr[1] == 'f' ? LRP_REAL : LRP_INDEX);
  const double got = t.dtype == LRP_REAL ? (double)lrp_reals(&t)[0] : (double)lrp_indices(&t)[0];
  ck_assert_msg(got == elements[_i].want, "%s: %g, not %g", elements[_i].descr, got,
                elements[_i].want);
  free(t.data);
}
END_TEST

START_TEST(fortran_order_is_turned_to_c_order)
{
  uint8_t data[24];
  lrp_tensor t;
  for (uint8_t i = 0; i < 24; i++)
    data[i] = i;
  lrp_ck_ok(ctx,
            lrp_npy_read(
                ctx,
                make(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", data, 24),
                &t));
  for (int64_t i = 0; i < 2; i++)
    for (int64_t j = 0; j < 3; j++)
      for (int64_t k = 0; k < 4; k++)
        ck_assert_int_eq(lrp_indices(&t)[(i * 3 + j) * 4 + k], i + 2 * j + 6 * k);
  free(t.data);
}
END_TEST

START_TEST(formats_2_and_3_keys_in_any_order_and_old_longs_are_read)
{
  const char *dict = "{\"shape\": (2L,),\"fortran_order\":False,'descr':'|u1'}  \n";
  lrp_tensor t;
  for (int version = 1; version <= 3; version++) {
    lrp_ck_ok(ctx, lrp_npy_read(ctx, make(version, dict, "\5\6", 2), &t));
    ck_assert_int_eq(lrp_indices(&t)[1], 6);
    free(t.data);
  }
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "format 4.0",
               lrp_npy_read(ctx, make(4, dict, "\5\6", 2), &t));
}
END_TEST

#define DICT(descr, fortran, shape)                                                                \
  "{'descr': '" descr "', 'fortran_order': " fortran ", 'shape': " shape ", }"

START_TEST(bad_headers_are_refused)
{
  refused(LRP_E_INPUT, "byte 0 of the header: a dictionary was expected", "[]", NULL, 0);
  refused(LRP_E_UNSUPPORTED, "elements of type <c8", DICT("<c8", "False", "()"), "12345678", 8);
  refused(LRP_E_UNSUPPORTED, "elements of type |O", DICT("|O", "False", "()"), "12345678", 8);
  refused(LRP_E_INPUT, "structured types", "{'descr': [('a', '<f4')], 'shape': ()}", NULL, 0);
  refused(LRP_E_INPUT, "True or False", DICT("<f4", "Maybe", "()"), "1234", 4);
  refused(LRP_E_INPUT, "a size was expected", DICT("<f4", "False", "(-1,)"), "1234", 4);
  refused(LRP_E_INPUT, "a size too large", DICT("<f4", "False", "(99999999999999999999,)"), "1234",
          4);
  refused(LRP_E_INPUT, "a comma or the end of the shape", DICT("<f4", "False", "(1 1)"), "1234", 4);
  refused(LRP_E_INPUT, "the shape in brackets", DICT("<f4", "False", "1"), "1234", 4);
  refused(LRP_E_UNSUPPORTED, "more than 8 axes", DICT("<f4", "False", "(1,1,1,1,1,1,1,1,1)"),
          "1234", 4);
  refused(LRP_E_INPUT, "a key occurs twice", "{'shape': (), 'shape': ()}", NULL, 0);
  refused(LRP_E_INPUT, "no others", "{'colour': 'red'}", NULL, 0);
  refused(LRP_E_INPUT, "descr, fortran_order and shape", "{'shape': ()}", NULL, 0);
  refused(LRP_E_INPUT, "a colon was expected", "{'shape' ()}", NULL, 0);
  refused(LRP_E_INPUT, "a short text in quotes", "{'shape", NULL, 0);
  refused(LRP_E_INPUT, "nothing was expected behind", DICT("<f4", "False", "()") " x", "1234", 4);
}
END_TEST

START_TEST(sizes_are_checked_against_the_file)
{
  lrp_tensor t;
  refused(LRP_E_INPUT, "needs 8 bytes; 4 are there", DICT("<f4", "False", "(2,)"), "1234", 4);
  refused(LRP_E_INPUT, "needs 4 bytes; 8 are there", DICT("<f4", "False", "(1,)"), "12345678", 8);
  refused(LRP_E_INPUT, "any memory",
          DICT("<f4", "False", "(4611686018427387904, 4611686018427387904)"), "1234", 4);
  refused(LRP_E_INPUT, "any memory", DICT("<f4", "False", "(4611686018427387904, 4, 0)"), NULL, 0);
  const char *path = lrp_test_tmp("cut.npy");
  lrp_ck_ok(ctx, lrp_file_write(ctx, path, "\x93NUMPY\1\0\xff\0{'de", 14));
  lrp_ck_fails(ctx, LRP_E_INPUT, "the header has 255 bytes, the file only 14",
               lrp_npy_read(ctx, path, &t));
  lrp_ck_ok(ctx, lrp_file_write(ctx, path, "PNG", 3));
  lrp_ck_fails(ctx, LRP_E_INPUT, "not an array of numpy", lrp_npy_read(ctx, path, &t));
  lrp_ck_fails(ctx, LRP_E_INPUT, "could not be opened", lrp_npy_read(ctx, "none.npy", &t));
}
END_TEST

START_TEST(numbers_that_are_not_finite_are_refused_by_place)
{
  const float x[6] = {0, 1, 2, 3, NAN, 5}, y[2] = {0, -INFINITY};
  const double big = 1e300;
  refused(LRP_E_NUMERIC, "element [1,1] is nan", DICT("<f4", "False", "(2, 3)"), x, sizeof x);
  refused(LRP_E_NUMERIC, "element [0,2] is nan", DICT("<f4", "True", "(2, 3)"), x, sizeof x);
  refused(LRP_E_NUMERIC, "element [1] is -inf", DICT("<f4", "False", "(2,)"), y, sizeof y);
  refused(LRP_E_NUMERIC, "element [0] is inf", DICT("<f2", "False", "(1,)"), "\0\x7c", 2);
  refused(LRP_E_NUMERIC, "element [0] is 1.84467e+19", DICT("<u8", "False", "(1,)"),
          "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
  if (sizeof(lrp_real) == 4)
    refused(LRP_E_NUMERIC, "too large", DICT("<f8", "False", "(1,)"), &big, sizeof big);
}
END_TEST

START_TEST(writing_needs_an_array_and_a_place)
{
  lrp_real x[1] = {4};
  lrp_tensor t = {.dtype = LRP_REAL};
  lrp_ck_fails(ctx, LRP_E_ARG, "no array to write", lrp_npy_write(ctx, lrp_test_tmp("x.npy"), &t));
  t.data = x;
  lrp_ck_fails(ctx, LRP_E_IO, "writing failed", lrp_npy_write(ctx, "/none/x.npy", &t));
}
END_TEST

Suite *suite_npy(void);
Suite *suite_npy(void)
{
  Suite *s = suite_create("npy");
  TCase *t = tcase_create("npy");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, written_arrays_read_back);
  tcase_add_test(t, written_header_is_numpys_own);
  tcase_add_test(t, scalars_and_empty_arrays_read_back);
  tcase_add_loop_test(t, each_type_is_read_in_both_byte_orders, 0,
                      (int)(sizeof elements / sizeof *elements));
  tcase_add_test(t, fortran_order_is_turned_to_c_order);
  tcase_add_test(t, formats_2_and_3_keys_in_any_order_and_old_longs_are_read);
  tcase_add_test(t, bad_headers_are_refused);
  tcase_add_test(t, sizes_are_checked_against_the_file);
  tcase_add_test(t, numbers_that_are_not_finite_are_refused_by_place);
  tcase_add_test(t, writing_needs_an_array_and_a_place);
  suite_add_tcase(s, t);
  return s;
}
