/* image_png.c - PNG files through libpng. */
#include "image.h"
#include "lrp/image.h"
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
  const uint8_t *data;
  size_t n, at;
  char message[200]; /* libpng's own */
  lrp_image *out;
  const char *path;
  lrp_ctx *ctx;
  lrp_status status; /* of our own, when libpng was stopped by us */
  uint8_t **row;
  int orientation;
} reader;

static void on_error(png_structp png, png_const_charp text)
{
  reader *r = png_get_error_ptr(png);
  snprintf(r->message, sizeof r->message, "%s", text);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
  (void)png, (void)text; /* ancillary chunks; nothing of the pixels */
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
  reader *r = png_get_io_ptr(png);
  if (n > r->n - r->at) png_error(png, "the file ends early");
  memcpy(to, r->data + r->at, n);
  r->at += n;
}

/* All forms of PNG to 8 bits of grey, grey and alpha, RGB or RGBA. */
static void to_bytes(png_structp png, png_infop info)
{
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_interlace_handling(png);
  if (png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY_ALPHA) png_set_gray_to_rgb(png);
  if (png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY &&
      png_get_valid(png, info, PNG_INFO_tRNS))
    png_set_gray_to_rgb(png);
  png_read_update_info(png, info);
}

static void read_exif(reader *r, png_structp png, png_infop info)
{
#ifdef PNG_eXIf_SUPPORTED
  png_uint_32 n = 0;
  png_bytep exif = NULL;
  if (png_get_eXIf_1(png, info, &n, &exif)) r->orientation = lrp_exif_orientation(exif, n);
#else
  (void)r, (void)png, (void)info;
#endif
}

/* false: r->status or r->message says why. */
static bool decode(reader *r, png_structp png, png_infop info)
{
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_read_fn(png, r, on_read);
  png_set_user_limits(png, 1 << 20, 1 << 20);
  png_read_info(png, info);
  to_bytes(png, info);
  int64_t w = png_get_image_width(png, info), h = png_get_image_height(png, info),
          c = png_get_channels(png, info);
  r->status = lrp_image_new(r->ctx, r->path, w, h, c, r->out);
  if (r->status) return false;
  r->row = malloc((size_t)h * sizeof *r->row);
  if (!r->row) {
    r->status = lrp_nomem(r->ctx, r->path);
    return false;
  }
  for (int64_t y = 0; y < h; y++)
    r->row[y] = r->out->pixels + y * w * c;
  png_read_image(png, r->row);
  png_read_end(png, info);
  read_exif(r, png, info);
  return true;
}

lrp_status lrp_png_decode(lrp_ctx *ctx, const char *path, const uint8_t *data, size_t n,
                          lrp_image *out, int *orientation)
{
  reader r = {.data = data, .n = n, .out = out, .path = path, .ctx = ctx, .orientation = 1};
  *out = (lrp_image){0};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_read_struct(&png, NULL, NULL);
    return lrp_nomem(ctx, path);
  }
  bool good = decode(&r, png, info);
  png_destroy_read_struct(&png, &info, NULL);
  free(r.row);
  *orientation = r.orientation;
  if (good) return LRP_OK;
  lrp_image_free(out);
  return r.status ? r.status
                  : lrp_fail(ctx, LRP_E_INPUT, "%s: the PNG is damaged: %s", path, r.message);
}

static lrp_status encode(lrp_ctx *ctx, const char *path, int64_t width, int64_t height,
                         int64_t channels, const uint8_t *pixels, uint8_t **file, size_t *n)
{
  png_image image = {.version = PNG_IMAGE_VERSION};
  if (width < 1 || height < 1 || width > LRP_PIXELS_MAX / height ||
      (channels != 1 && channels != 3 && channels != 4))
    return lrp_fail(ctx, LRP_E_ARG,
                    "%s: a PNG of %lld x %lld pixels with %lld channels; 1, 3 or 4 channels and at "
                    "most %lld pixels "
                    "were expected",
                    path, (long long)width, (long long)height, (long long)channels,
                    (long long)LRP_PIXELS_MAX);
  image.width = (png_uint_32)width;
  image.height = (png_uint_32)height;
  image.format = channels == 1 ? PNG_FORMAT_GRAY : channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  *file = malloc(size);
  if (!*file) return lrp_nomem(ctx, path);
  lrp_status status = LRP_OK;
  if (!png_image_write_to_memory(&image, *file, &size, 0, pixels, 0, NULL)) {
    status = lrp_fail(ctx, LRP_E_IO, "%s: the PNG could not be made: %s", path, image.message);
    free(*file);
    *file = NULL;
  }
  *n = size;
  png_image_free(&image);
  return status;
}

lrp_status lrp_image_png(lrp_ctx *ctx, int64_t width, int64_t height, int64_t channels,
                         const uint8_t *pixels, uint8_t **file, size_t *n)
{
  return encode(ctx, "a picture", width, height, channels, pixels, file, n);
}

lrp_status lrp_image_write_png(lrp_ctx *ctx, const char *path, int64_t width, int64_t height,
                               int64_t channels, const uint8_t *pixels)
{
  uint8_t *file;
  size_t n;
  lrp_status status = encode(ctx, path, width, height, channels, pixels, &file, &n);
  if (status) return status;
  status = lrp_file_write(ctx, path, file, n);
  free(file);
  return status;
}
