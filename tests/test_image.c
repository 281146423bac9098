/* test_image.c - pictures: decoded as they were drawn, resized to PIL's bytes, damaged ones told
 * apart. */
#include "image.h"
#include "lrp/image.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

#include "images/resized.h"

enum { W = 13, H = 9 };
static lrp_ctx *ctx;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}

/* The patterns of images/make_images.py. */
static int value(int x, int y, int c)
{
  return (x * 37 + y * 61 + c * 17 + x * y * 5) % 256;
}

static int smooth(int x, int y, int c)
{
  return 20 + 14 * x + 6 * y + 5 * c;
}

static lrp_status decode(const char *name, int64_t c, lrp_image *out)
{
  lrp_file file;
  lrp_ck_ok(ctx, lrp_file_open(ctx, lrp_test_path(name), "a picture", 0, &file));
  lrp_status status = lrp_image_decode(ctx, name, file.data, file.size, c, out);
  lrp_file_close(&file);
  return status;
}

static void pattern(int64_t c, lrp_image *out)
{
  lrp_ck_ok(ctx, lrp_image_new(ctx, "a picture", W, H, c, out));
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      for (int k = 0; k < c; k++)
        out->pixels[(y * W + x) * c + k] = (uint8_t)value(x, y, k);
}

START_TEST(png_pixels_come_back)
{
  static const struct {
    const char *name;
    int have, want;
  } files[] = {
      {"images/grey.png", 1, 1}, {"images/grey.png", 1, 3},       {"images/rgb.png", 3, 3},
      {"images/rgba.png", 4, 4}, {"images/rgba.png", 4, 3},       {"images/rgb.png", 3, 4},
      {"images/grey.png", 1, 4}, {"images/grey_alpha.png", 1, 1}, {"images/grey_alpha.png", 1, 3}};
  lrp_image image;
  lrp_ck_ok(ctx, decode(files[_i].name, files[_i].want, &image));
  ck_assert_int_eq(image.w, W);
  ck_assert_int_eq(image.h, H);
  ck_assert_int_eq(image.c, files[_i].want);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      for (int c = 0; c < files[_i].want; c++) {
        int expected =
            c == 3 && files[_i].have != 4 ? 255 : value(x, y, files[_i].have == 1 ? 0 : c);
        ck_assert_int_eq(image.pixels[(y * W + x) * image.c + c], expected);
      }
  lrp_image_free(&image);
}
END_TEST

START_TEST(colours_become_grey_by_their_luma)
{
  lrp_image image;
  lrp_ck_ok(ctx, decode("images/rgb.png", 1, &image));
  ck_assert_mem_eq(image.pixels, luma, sizeof luma);
  lrp_image_free(&image);
}
END_TEST

START_TEST(depths_of_png_become_8_bits)
{
  static const uint8_t bits[8] = {255, 0, 255, 0, 0, 255, 0, 255};
  lrp_image image;
  lrp_ck_ok(ctx, decode("images/grey16.png", 1, &image));
  ck_assert_int_eq(image.pixels[0], 0x12);
  ck_assert_int_eq(image.pixels[1], 0xff);
  lrp_image_free(&image);
  lrp_ck_ok(ctx, decode("images/grey1.png", 1, &image));
  ck_assert_mem_eq(image.pixels, bits, 8);
  lrp_image_free(&image);
  lrp_ck_ok(ctx, decode("images/palette.png", 3, &image));
  ck_assert_int_eq(image.c, 3);
  lrp_image_free(&image);
}
END_TEST

static void ck_near(int got, int expected)
{
  ck_assert_msg(abs(got - expected) <= 3, "%d is not near %d", got, expected);
}

START_TEST(jpeg_pixels_come_back_nearly)
{
  lrp_image image;
  lrp_ck_ok(ctx, decode("images/rgb.jpg", 3, &image));
  ck_assert(image.w == W && image.h == H && image.c == 3);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      for (int c = 0; c < 3; c++)
        ck_near(image.pixels[(y * W + x) * 3 + c], smooth(x, y, c));
  lrp_image_free(&image);
  lrp_ck_ok(ctx, decode("images/grey.jpg", 1, &image));
  ck_near(image.pixels[W * H - 1], smooth(W - 1, H - 1, 0));
  lrp_image_free(&image);
}
END_TEST

/* Orientation 6: the first row of the file is the last column of the picture. */
START_TEST(exif_orientation_turns_the_picture)
{
  lrp_image image;
  lrp_ck_ok(ctx, decode("images/turned.jpg", 1, &image));
  ck_assert(image.w == H && image.h == W);
  for (int y = 0; y < W; y++)
    for (int x = 0; x < H; x++)
      ck_near(image.pixels[y * H + x], smooth(y, H - 1 - x, 0));
  lrp_image_free(&image);
}
END_TEST

START_TEST(exif_that_is_cut_or_odd_has_orientation_1)
{
  static const uint8_t good[] = {'M',  'M', 0, 42, 0, 0, 0, 8, 0, 1, 1,
                                 0x12, 0,   3, 0,  0, 0, 1, 0, 8, 0, 0};
  uint8_t far[sizeof good];
  ck_assert_int_eq(lrp_exif_orientation(good, sizeof good), 8);
  for (size_t n = 0; n < sizeof good; n++)
    ck_assert_int_eq(lrp_exif_orientation(good, n), 1);
  memcpy(far, good, sizeof far);
  far[4] = 0xff;
  ck_assert_int_eq(lrp_exif_orientation(far, sizeof far), 1);
  memcpy(far, good, sizeof far);
  far[19] = 9;
  ck_assert_int_eq(lrp_exif_orientation(far, sizeof far), 1);
}
END_TEST

static const struct {
  const char *name;
  lrp_status status;
  const char *says;
} broken[] = {{"images/cut.png", LRP_E_INPUT, "the PNG is damaged: the file ends early"},
              {"images/crc.png", LRP_E_INPUT, "the PNG is damaged: IHDR: CRC error"},
              {"images/zlib.png", LRP_E_INPUT, "the PNG is damaged: "},
              {"images/empty.png", LRP_E_INPUT, "the PNG is damaged: "},
              {"images/huge.png", LRP_E_INPUT, "60000 x 60000 pixels; from 1 to 67108864"},
              {"images/cut.jpg", LRP_E_INPUT, "the JPEG is damaged: "},
              {"images/noise.jpg", LRP_E_INPUT, "the JPEG is damaged: "},
              {"images/cmyk.jpg", LRP_E_UNSUPPORTED, "CMYK"},
              {"images/resized.h", LRP_E_INPUT, "neither a PNG nor a JPEG"}};

START_TEST(a_damaged_picture_is_told)
{
  lrp_image image;
  lrp_ck_fails(ctx, broken[_i].status, broken[_i].says, decode(broken[_i].name, 3, &image));
  ck_assert_msg(strstr(lrp_message(ctx), broken[_i].name) != NULL, "%s", lrp_message(ctx));
  ck_assert_ptr_null(image.pixels);
}
END_TEST

START_TEST(a_picture_past_the_memory_limit_is_refused)
{
  lrp_image image;
  lrp_set_memory_limit(ctx, 100);
  lrp_ck_fails(ctx, LRP_E_NOMEM, "need 351 bytes; the session's limit is 100",
               decode("images/rgb.png", 3, &image));
}
END_TEST

static const struct {
  int filter, c, w, h;
  const uint8_t *bytes;
} resizes[] = {
    {0, 3, 5, 4, nearest_down},  {0, 1, 17, 11, nearest_up},  {0, 1, 20, 3, nearest_mixed},
    {2, 3, 5, 4, bilinear_down}, {2, 1, 17, 11, bilinear_up}, {2, 1, 20, 3, bilinear_mixed},
    {3, 3, 5, 4, bicubic_down},  {3, 1, 17, 11, bicubic_up},  {3, 1, 20, 3, bicubic_mixed}};

START_TEST(resizing_gives_the_bytes_of_pil)
{
  lrp_image in, out;
  int64_t n = (int64_t)resizes[_i].w * resizes[_i].h * resizes[_i].c;
  pattern(resizes[_i].c, &in);
  lrp_ck_ok(ctx, lrp_image_resize(ctx, "it", &in, resizes[_i].w, resizes[_i].h, resizes[_i].filter,
                                  &out));
  ck_assert(out.w == resizes[_i].w && out.h == resizes[_i].h && out.c == resizes[_i].c);
  for (int64_t i = 0; i < n; i++)
    ck_assert_msg(out.pixels[i] == resizes[_i].bytes[i], "byte %d: %d, not %d", (int)i,
                  out.pixels[i], resizes[_i].bytes[i]);
  lrp_image_free(&in);
  lrp_image_free(&out);
}
END_TEST

START_TEST(the_same_size_changes_nothing)
{
  for (int filter = 0; filter <= 3; filter++) {
    lrp_image in, out;
    pattern(3, &in);
    lrp_ck_ok(ctx, lrp_image_resize(ctx, "it", &in, W, H, filter, &out));
    ck_assert_mem_eq(in.pixels, out.pixels, 3 * W * H);
    lrp_image_free(&in);
    lrp_image_free(&out);
  }
}
END_TEST

START_TEST(the_shorter_edge_rules_where_the_aspect_is_kept)
{
  lrp_image image;
  lrp_preprocess p = {.do_resize = 1, .keep_aspect = 1, .height = 4, .width = 4, .resample = 2};
  pattern(1, &image);
  lrp_ck_ok(ctx, lrp_image_prepare(ctx, "it", &p, &image));
  ck_assert(image.w == 5 && image.h == 4); /* 4 * 13 / 9 = 5.8, cut off */
  lrp_image_free(&image);
}
END_TEST

START_TEST(a_crop_takes_the_middle_and_fills_with_black)
{
  lrp_image image;
  lrp_preprocess p = {.crop = 1, .crop_width = 4, .crop_height = 12};
  pattern(3, &image);
  lrp_ck_ok(ctx, lrp_image_prepare(ctx, "it", &p, &image));
  ck_assert(image.w == 4 && image.h == 12);
  for (int y = 0; y < 12; y++) /* 9 rows start at row 2, columns at (13 - 4) / 2 = 4 */
    for (int x = 0; x < 4; x++) {
      int expected = y < 2 || y >= 11 ? 0 : value(x + 4, y - 2, 1);
      ck_assert_int_eq(image.pixels[(y * 4 + x) * 3 + 1], expected);
    }
  lrp_image_free(&image);
}
END_TEST

START_TEST(normalising_makes_planes)
{
  lrp_image image;
  lrp_real out[3 * W * H];
  lrp_preprocess p = {
      .do_rescale = 1, .rescale = 0.5, .do_normalize = 1, .mean = {1, 2, 3}, .std = {2, 4, 8}};
  pattern(3, &image);
  lrp_image_normalize(&p, &image, out);
  for (int c = 0; c < 3; c++)
    ck_assert_double_eq_tol((double)out[c * W * H + 2 * W + 5],
                            (value(5, 2, c) * 0.5 - p.mean[c]) / p.std[c], 1e-5);
  lrp_image_free(&image);
}
END_TEST

START_TEST(a_written_png_reads_back)
{
  for (int c = 1; c <= 4; c++) {
    lrp_image in, out;
    lrp_file file;
    const char *path = lrp_test_tmp("written.png");
    if (c == 2) continue;
    pattern(c, &in);
    lrp_ck_ok(ctx, lrp_image_write_png(ctx, path, W, H, c, in.pixels));
    lrp_ck_ok(ctx, lrp_file_open(ctx, path, "it", 0, &file));
    lrp_ck_ok(ctx, lrp_image_decode(ctx, path, file.data, file.size, c, &out));
    ck_assert_mem_eq(in.pixels, out.pixels, (size_t)(W * H * c));
    lrp_file_close(&file);
    lrp_image_free(&in);
    lrp_image_free(&out);
  }
}
END_TEST

START_TEST(a_png_that_cannot_be_written_is_told)
{
  static const uint8_t pixel[4];
  lrp_ck_fails(ctx, LRP_E_ARG, "2 channels",
               lrp_image_write_png(ctx, lrp_test_tmp("x.png"), 1, 1, 2, pixel));
  lrp_ck_fails(ctx, LRP_E_ARG, "0 x 1",
               lrp_image_write_png(ctx, lrp_test_tmp("x.png"), 0, 1, 1, pixel));
  lrp_ck_fails(ctx, LRP_E_IO, "no_such_folder",
               lrp_image_write_png(ctx, lrp_test_tmp("no_such_folder/x.png"), 1, 1, 1, pixel));
}
END_TEST

Suite *suite_image(void);
Suite *suite_image(void)
{
  Suite *suite = suite_create("image");
  TCase *tc = tcase_create("image");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_add_loop_test(tc, png_pixels_come_back, 0, 9);
  tcase_add_test(tc, colours_become_grey_by_their_luma);
  tcase_add_test(tc, depths_of_png_become_8_bits);
  tcase_add_test(tc, jpeg_pixels_come_back_nearly);
  tcase_add_test(tc, exif_orientation_turns_the_picture);
  tcase_add_test(tc, exif_that_is_cut_or_odd_has_orientation_1);
  tcase_add_loop_test(tc, a_damaged_picture_is_told, 0, (int)(sizeof broken / sizeof *broken));
  tcase_add_test(tc, a_picture_past_the_memory_limit_is_refused);
  tcase_add_loop_test(tc, resizing_gives_the_bytes_of_pil, 0,
                      (int)(sizeof resizes / sizeof *resizes));
  tcase_add_test(tc, the_same_size_changes_nothing);
  tcase_add_test(tc, the_shorter_edge_rules_where_the_aspect_is_kept);
  tcase_add_test(tc, a_crop_takes_the_middle_and_fills_with_black);
  tcase_add_test(tc, normalising_makes_planes);
  tcase_add_test(tc, a_written_png_reads_back);
  tcase_add_test(tc, a_png_that_cannot_be_written_is_told);
  suite_add_tcase(suite, tc);
  return suite;
}
