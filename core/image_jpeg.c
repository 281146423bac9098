/* image_jpeg.c - JPEG files through libjpeg. */
#include "image.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h> /* wants stdio.h */

#include <jerror.h>

enum { SCANS_MAX = 200 }; /* of a progressive file: each costs a pass over all pixels */

typedef struct reader {
  struct jpeg_error_mgr errors; /* first: libjpeg hands it back */
  struct jpeg_progress_mgr progress;
  jmp_buf out_of_here;
  char message[JMSG_LENGTH_MAX];
  struct jpeg_decompress_struct jpeg;
  lrp_image *out;
  const char *path;
  lrp_ctx *ctx;
  lrp_status status;
  int orientation;
} reader;

static void on_error(j_common_ptr jpeg)
{
  reader *r = (reader *)(void *)jpeg->err;
  r->errors.format_message(jpeg, r->message);
  longjmp(r->out_of_here, 1);
}

/* A warning is about pixels that were made up, so it is an error here; but for stray bytes between
 * the parts. */
static void on_message(j_common_ptr jpeg, int level)
{
  int code = jpeg->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM) on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
  reader *r = (reader *)(void *)jpeg->err;
  if (r->jpeg.input_scan_number <= SCANS_MAX) return;
  snprintf(r->message, sizeof r->message, "more than %d scans", SCANS_MAX);
  longjmp(r->out_of_here, 1);
}

static void read_exif(reader *r)
{
  for (jpeg_saved_marker_ptr m = r->jpeg.marker_list; m; m = m->next)
    if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && !memcmp(m->data, "Exif\0", 6))
      r->orientation = lrp_exif_orientation(m->data + 6, m->data_length - 6);
}

static bool decode(reader *r, const uint8_t *data, size_t n)
{
  if (setjmp(r->out_of_here)) return false;
  struct jpeg_decompress_struct *jpeg = &r->jpeg;
  jpeg_create_decompress(jpeg);
  jpeg->progress = &r->progress;
  jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
  jpeg_mem_src(jpeg, data, (unsigned long)n);
  jpeg_read_header(jpeg, TRUE);
  read_exif(r);
  if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK) {
    r->status = lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: a JPEG of CMYK colours; convert it to RGB",
                         r->path);
    return false;
  }
  if (jpeg->jpeg_color_space != JCS_GRAYSCALE) jpeg->out_color_space = JCS_RGB;
  int64_t w = jpeg->image_width, h = jpeg->image_height,
          c = jpeg->jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
  r->status = lrp_image_new(r->ctx, r->path, w, h, c, r->out);
  if (r->status) return false;
  jpeg_start_decompress(jpeg);
  while (jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW row = r->out->pixels + (int64_t)jpeg->output_scanline * w * c;
    jpeg_read_scanlines(jpeg, &row, 1);
  }
  jpeg_finish_decompress(jpeg);
  return true;
}

lrp_status lrp_jpeg_decode(lrp_ctx *ctx, const char *path, const uint8_t *data, size_t n,
                           lrp_image *out, int *orientation)
{
  reader *r = calloc(1, sizeof *r);
  *out = (lrp_image){0};
  if (!r) return lrp_nomem(ctx, path);
  r->jpeg.err = jpeg_std_error(&r->errors);
  r->errors.error_exit = on_error;
  r->errors.emit_message = on_message;
  r->progress.progress_monitor = on_progress;
  r->out = out;
  r->path = path;
  r->ctx = ctx;
  r->orientation = 1;
  bool good = decode(r, data, n);
  jpeg_destroy_decompress(&r->jpeg);
  lrp_status status = r->status;
  if (!good && !status)
    status = lrp_fail(ctx, LRP_E_INPUT, "%s: the JPEG is damaged: %s", path, r->message);
  if (!good) lrp_image_free(out);
  *orientation = r->orientation;
  free(r);
  return status;
}
