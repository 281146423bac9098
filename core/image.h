/* image.h - pictures from files to what a model takes.  Not installed. */
#ifndef LRP_CORE_IMAGE_H
#define LRP_CORE_IMAGE_H
#include "core.h"

#define LRP_PIXELS_MAX ((int64_t)64 << 20) /* of a picture: 64 million */
enum { LRP_IMAGE_FILE_MAX = 1 << 29 };

typedef struct lrp_image { /* pixels (h,w,c), 8 bit; c 1: grey, 3: RGB, 4: RGBA */
  int64_t w, h, c;
  uint8_t *pixels; /* malloc'ed */
} lrp_image;
void lrp_image_free(lrp_image *);
/* Uninitialised pixels.  LRP_E_INPUT: more than LRP_PIXELS_MAX pixels or than the session's memory
 * limit. */
lrp_status lrp_image_new(lrp_ctx *, const char *path, int64_t w, int64_t h, int64_t c,
                         lrp_image *out);

/* Change the number of channels in place, as lrp_image_decode does. */
lrp_status lrp_image_recolor(lrp_ctx *, const char *path, int64_t c, lrp_image *);

bool lrp_image_is_png(const uint8_t *data, size_t n);
bool lrp_image_is_jpeg(const uint8_t *data, size_t n);
/* Decode a PNG or JPEG in memory; path is for messages.  Grey becomes RGB, transparency is dropped,
 * colours become grey (ITU-R 601) as c asks.  Colour profiles and gamma are ignored, as PIL ignores
 * them; the orientation of EXIF is applied.  LRP_E_INPUT: damaged, with the decoder's message. */
lrp_status lrp_image_decode(lrp_ctx *, const char *path, const uint8_t *data, size_t n, int64_t c,
                            lrp_image *out);
lrp_status lrp_png_decode(lrp_ctx *, const char *path, const uint8_t *data, size_t n,
                          lrp_image *out, int *orientation);
lrp_status lrp_jpeg_decode(lrp_ctx *, const char *path, const uint8_t *data, size_t n,
                           lrp_image *out, int *orientation);
/* Orientation 1 ... 8 of EXIF data that starts with the TIFF header; 1 where there is none. */
int lrp_exif_orientation(const uint8_t *tiff, size_t n);

/* To w x h pixels; filter as lrp_preprocess.resample.  The same bytes as PIL: bilinear and bicubic
 * average over all source pixels when they shrink.  out must be another picture. */
lrp_status lrp_image_resize(lrp_ctx *, const char *path, const lrp_image *in, int64_t w, int64_t h,
                            int filter, lrp_image *out);
/* Resize and crop in place as the model's preprocessing says. */
lrp_status lrp_image_prepare(lrp_ctx *, const char *path, const lrp_preprocess *, lrp_image *);
/* Rescale and normalise into out (c,h,w). */
void lrp_image_normalize(const lrp_preprocess *, const lrp_image *, lrp_real *out);
#endif
