/* image.c - pictures: decoding, colours, orientation, crop and normalising. */
#include "image.h"
#include <stdlib.h>
#include <string.h>

void lrp_image_free(lrp_image *image)
{
  free(image->pixels);
  *image = (lrp_image){0};
}

lrp_status lrp_image_new(lrp_ctx *ctx, const char *path, int64_t w, int64_t h, int64_t c,
                         lrp_image *out)
{
  *out = (lrp_image){0};
  if (w < 1 || h < 1 || w > LRP_PIXELS_MAX / h)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: a picture of %lld x %lld pixels; from 1 to %lld in all were expected",
                    path, (long long)w, (long long)h, (long long)LRP_PIXELS_MAX);
  size_t bytes = (size_t)(w * h * c);
  if (ctx->memory_limit && bytes > ctx->memory_limit)
    return lrp_fail(ctx, LRP_E_NOMEM,
                    "%s: %lld x %lld pixels need %zu bytes; the session's limit is %zu", path,
                    (long long)w, (long long)h, bytes, ctx->memory_limit);
  uint8_t *pixels = malloc(bytes);
  if (!pixels) return lrp_nomem(ctx, path);
  *out = (lrp_image){w, h, c, pixels};
  return LRP_OK;
}

/* ---- EXIF ---- */
static uint32_t number(const uint8_t *p, int bytes, bool little)
{
  uint32_t v = 0;
  for (int i = 0; i < bytes; i++)
    v |= (uint32_t)p[little ? i : bytes - 1 - i] << 8 * i;
  return v;
}

/* TIFF 6.0: byte order, 42, offset of the first directory; entries of 12 bytes: tag, type, count,
 * value. */
int lrp_exif_orientation(const uint8_t *tiff, size_t n)
{
  enum { ORIENTATION = 0x0112, SHORT = 3 };
  if (n < 8) return 1;
  bool little = tiff[0] == 'I';
  size_t at = number(tiff + 4, 4, little);
  if (at > n - 2) return 1;
  uint32_t entries = number(tiff + at, 2, little);
  for (at += 2; entries && n - at >= 12; entries--, at += 12) {
    if (number(tiff + at, 2, little) != ORIENTATION || number(tiff + at + 2, 2, little) != SHORT)
      continue;
    uint32_t value = number(tiff + at + 8, 2, little);
    return value >= 1 && value <= 8 ? (int)value : 1;
  }
  return 1;
}

/* Turn and mirror so that the picture stands as its camera saw it. */
static lrp_status orient(lrp_ctx *ctx, const char *path, int orientation, lrp_image *image)
{
  if (orientation == 1) return LRP_OK;
  bool turned = orientation >= 5,
       flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8,
       flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  lrp_image out;
  lrp_status status = lrp_image_new(ctx, path, turned ? image->h : image->w,
                                    turned ? image->w : image->h, image->c, &out);
  if (status) return status;
  for (int64_t y = 0; y < out.h; y++)
    for (int64_t x = 0; x < out.w; x++) {
      int64_t from_x = turned ? y : x, from_y = turned ? x : y; /* in the file's picture */
      if (flip_x) from_x = image->w - 1 - from_x;
      if (flip_y) from_y = image->h - 1 - from_y;
      memcpy(out.pixels + (y * out.w + x) * out.c,
             image->pixels + (from_y * image->w + from_x) * out.c, (size_t)out.c);
    }
  lrp_image_free(image);
  *image = out;
  return LRP_OK;
}

/* ---- colours ---- */
/* ITU-R 601 luma in 16 bits, rounded as PIL does it. */
static uint8_t luma(const uint8_t *rgb)
{
  return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static void convert_pixel(const uint8_t *from, int64_t c_from, uint8_t *to, int64_t c_to)
{
  uint8_t rgba[4] = {from[0], from[0], from[0], 255};
  if (c_from >= 3) memcpy(rgba, from, (size_t)c_from);
  if (c_to == 1)
    to[0] = c_from == 1 ? from[0] : luma(rgba);
  else
    memcpy(to, rgba, (size_t)c_to);
}

lrp_status lrp_image_recolor(lrp_ctx *ctx, const char *path, int64_t c, lrp_image *image)
{
  lrp_image out;
  if (c == image->c) return LRP_OK;
  lrp_status status = lrp_image_new(ctx, path, image->w, image->h, c, &out);
  if (status) return status;
  for (int64_t i = 0; i < image->w * image->h; i++)
    convert_pixel(image->pixels + i * image->c, image->c, out.pixels + i * c, c);
  lrp_image_free(image);
  *image = out;
  return LRP_OK;
}

/* ---- decoding ---- */
bool lrp_image_is_png(const uint8_t *data, size_t n)
{
  return n >= 8 && !memcmp(data, "\x89PNG\r\n\x1a\n", 8);
}

bool lrp_image_is_jpeg(const uint8_t *data, size_t n)
{
  return n >= 3 && !memcmp(data, "\xff\xd8\xff", 3);
}

lrp_status lrp_image_decode(lrp_ctx *ctx, const char *path, const uint8_t *data, size_t n,
                            int64_t c, lrp_image *out)
{
  int orientation = 1;
  lrp_status status;
  *out = (lrp_image){0};
  if (lrp_image_is_png(data, n))
    status = lrp_png_decode(ctx, path, data, n, out, &orientation);
  else if (lrp_image_is_jpeg(data, n))
    status = lrp_jpeg_decode(ctx, path, data, n, out, &orientation);
  else
    return lrp_fail(ctx, LRP_E_INPUT, "%s: neither a PNG nor a JPEG", path);
  if (!status) status = lrp_image_recolor(ctx, path, c, out);
  if (!status) status = orient(ctx, path, orientation, out);
  if (status) lrp_image_free(out);
  return status;
}

/* ---- preprocessing ---- */
static int64_t floor_half(int64_t n)
{
  return n >= 0 ? n / 2 : -((1 - n) / 2);
}

/* The middle of the picture; black where it is smaller than the crop. */
static lrp_status crop(lrp_ctx *ctx, const char *path, int64_t w, int64_t h, lrp_image *image)
{
  lrp_image out;
  lrp_status status = lrp_image_new(ctx, path, w, h, image->c, &out);
  if (status) return status;
  int64_t left = floor_half(image->w - w), top = floor_half(image->h - h);
  memset(out.pixels, 0, (size_t)(w * h * out.c));
  for (int64_t y = 0; y < h; y++) {
    if (y + top < 0 || y + top >= image->h) continue;
    int64_t begin = left < 0 ? -left : 0, end = image->w - left < w ? image->w - left : w;
    memcpy(out.pixels + (y * w + begin) * out.c,
           image->pixels + ((y + top) * image->w + begin + left) * out.c,
           (size_t)((end - begin) * out.c));
  }
  lrp_image_free(image);
  *image = out;
  return LRP_OK;
}

static lrp_status resize(lrp_ctx *ctx, const char *path, const lrp_preprocess *p, lrp_image *image)
{
  lrp_image out;
  int64_t w = p->width, h = p->height;
  if (p->keep_aspect) { /* the shorter edge becomes p->height; the other is cut to whole pixels */
    bool upright = image->w <= image->h;
    double other = (double)p->height * (double)(upright ? image->h : image->w) /
                   (double)(upright ? image->w : image->h);
    w = upright ? p->height : (int64_t)other;
    h = upright ? (int64_t)other : p->height;
  }
  lrp_status status = lrp_image_resize(ctx, path, image, w, h, p->resample, &out);
  if (status) return status;
  lrp_image_free(image);
  *image = out;
  return LRP_OK;
}

lrp_status lrp_image_prepare(lrp_ctx *ctx, const char *path, const lrp_preprocess *p,
                             lrp_image *image)
{
  lrp_status status = p->do_resize ? resize(ctx, path, p, image) : LRP_OK;
  if (status || !p->crop) return status;
  return crop(ctx, path, p->crop_width, p->crop_height, image);
}

void lrp_image_normalize(const lrp_preprocess *p, const lrp_image *image, lrp_real *out)
{
  int64_t n = image->w * image->h;
  for (int64_t c = 0; c < image->c; c++)
    for (int64_t i = 0; i < n; i++) {
      double v = image->pixels[i * image->c + c];
      if (p->do_rescale) v *= p->rescale;
      if (p->do_normalize) v = (v - p->mean[c]) / p->std[c];
      out[c * n + i] = (lrp_real)v;
    }
}
