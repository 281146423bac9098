/* lrp/image.h - pictures to files. */
#ifndef LRP_IMAGE_H
#define LRP_IMAGE_H
#include "lrp/lrp.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Write pixels (height,width,channels), 8 bit, as a PNG; channels 1: grey, 3: RGB, 4: RGBA.  The
 * file is there as a whole or not at all.  LRP_E_ARG: another number of channels, or more than 64
 * million pixels; LRP_E_IO. */
LRP_API lrp_status lrp_image_write_png(lrp_ctx *, const char *path, int64_t width, int64_t height,
                                       int64_t channels, const uint8_t *pixels);
/* The same in memory: *file is malloc'ed, *n bytes. */
LRP_API lrp_status lrp_image_png(lrp_ctx *, int64_t width, int64_t height, int64_t channels,
                                 const uint8_t *pixels, uint8_t **file, size_t *n);
#ifdef __cplusplus
}
#endif
#endif
