/* preprocess.c - preprocessor_config.json as Hugging Face's image processors write it: from
 * pictures to the model's input.  What lrp cannot do the same way is refused, never left out. */
#include "model.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE_LIMIT = 1 << 15 }; /* pixels */

static lrp_status side_of(const lrp_conf *c, const char *key, const json_t *v, int64_t *out)
{
  const int64_t side = json_is_integer(v) ? json_integer_value(v) : -1;
  if (side < 1 || side > SIDE_LIMIT)
    return lrp_conf_fail(c, LRP_E_INPUT, key, "a whole number of pixels from 1 to %d was expected",
                         SIDE_LIMIT);
  *out = side;
  return LRP_OK;
}

/* 224, {"height": 224, "width": 224} or {"shortest_edge": 256}; *edge: the last form. */
static lrp_status size_of(const lrp_conf *c, const char *key, int64_t *height, int64_t *width,
                          int *edge)
{
  const json_t *v = lrp_conf_get(c, key);
  lrp_status st;
  *edge = 0;
  if (!v) return LRP_OK;
  if (!json_is_object(v)) {
    st = side_of(c, key, v, height);
    *width = *height;
    return st;
  }
  const json_t *shortest = json_object_get(v, "shortest_edge");
  if (shortest && json_object_size(v) == 1) {
    *edge = 1;
    st = side_of(c, key, shortest, height);
    *width = *height;
    return st;
  }
  if (!json_object_get(v, "height") || !json_object_get(v, "width") || json_object_size(v) != 2)
    return lrp_conf_fail(c, LRP_E_UNSUPPORTED, key,
                         "a number, {height, width} or {shortest_edge} was expected");
  st = side_of(c, key, json_object_get(v, "height"), height);
  return st ? st : side_of(c, key, json_object_get(v, "width"), width);
}

/* With "crop_pct" (ConvNeXt's) a shortest edge below 384 is that of the crop; the resize before it
 * is larger by 1/pct; from 384 on the picture is squeezed to a square. */
static lrp_status apply_crop_pct(const lrp_conf *c, lrp_preprocess *p, int edge)
{
  double pct = 0;
  const lrp_status st = lrp_conf_real(c, "crop_pct", &pct);
  if (st || pct == 0) return st;
  if (!edge || !(pct > 0 && pct <= 1))
    return lrp_conf_fail(c, LRP_E_INPUT, "crop_pct",
                         "a share from 0 to 1 beside a size with shortest_edge was expected");
  p->keep_aspect = p->height < 384;
  if (!p->keep_aspect) return LRP_OK;
  const double larger = (double)p->height / pct;
  if (larger > SIDE_LIMIT)
    return lrp_conf_fail(c, LRP_E_INPUT, "crop_pct",
                         "the picture would get more than %d pixels wide", SIDE_LIMIT);
  p->crop = 1;
  p->crop_height = p->crop_width = p->height;
  p->height = p->width = (int64_t)larger;
  return LRP_OK;
}

static lrp_status read_resample(const lrp_conf *c, lrp_preprocess *p)
{
  const json_t *v = lrp_conf_get(c, "resample");
  if (!v) return LRP_OK;
  const int64_t r = json_is_integer(v) ? json_integer_value(v) : -1;
  if (r != 0 && r != 2 && r != 3)
    return lrp_conf_fail(c, LRP_E_UNSUPPORTED, "resample",
                         "0 (nearest), 2 (bilinear) or 3 (bicubic) was expected");
  p->resample = (int)r;
  return LRP_OK;
}

static lrp_status read_sizes(const lrp_conf *c, lrp_preprocess *p)
{
  int edge, crop_edge;
  p->do_resize = lrp_conf_get(c, "size") != NULL;
  lrp_status st = lrp_conf_bool(c, "do_resize", &p->do_resize);
  if (!st) st = lrp_conf_bool(c, "do_center_crop", &p->crop);
  if (!st) st = size_of(c, "size", &p->height, &p->width, &edge);
  if (!st) st = size_of(c, "crop_size", &p->crop_height, &p->crop_width, &crop_edge);
  if (st) return st;
  /* a single number means a square, but the shortest edge where a crop follows (CLIP, ResNet of
   * older files) */
  p->keep_aspect = p->do_resize && (edge || (json_is_integer(lrp_conf_get(c, "size")) && p->crop));
  if (p->do_resize && !p->height)
    return lrp_conf_fail(c, LRP_E_INPUT, "do_resize", "\"size\" was expected beside it");
  if (p->crop && !p->crop_height)
    return lrp_conf_fail(c, LRP_E_INPUT, "do_center_crop", "\"crop_size\" was expected beside it");
  if (!p->do_resize) p->height = p->width = 0;
  if (!p->crop) p->crop_height = p->crop_width = 0;
  st = p->do_resize ? apply_crop_pct(c, p, edge) : LRP_OK;
  return st ? st : read_resample(c, p);
}

/* A number for all channels, or one for each. */
static lrp_status read_channels(const lrp_conf *c, const char *key, int64_t channels, bool positive,
                                double *out)
{
  const json_t *v = lrp_conf_get(c, key);
  const size_t n = json_is_array(v) ? json_array_size(v) : 1;
  if (!v || (n != 1 && n != (size_t)channels))
    return lrp_conf_fail(c, LRP_E_INPUT, key,
                         "1 or %lld numbers were expected, one for each channel",
                         (long long)channels);
  for (int64_t i = 0; i < channels; i++) {
    const json_t *one = json_is_array(v) ? json_array_get(v, n == 1 ? 0 : (size_t)i) : v;
    out[i] = json_number_value(one);
    if (!json_is_number(one) || !isfinite(out[i]) || (positive && !(out[i] > 0)))
      return lrp_conf_fail(c, LRP_E_INPUT, key, "%s were expected",
                           positive ? "numbers above 0" : "numbers");
  }
  return LRP_OK;
}

static lrp_status read_scales(const lrp_conf *c, lrp_preprocess *p)
{
  lrp_status st = lrp_conf_bool(c, "do_rescale", &p->do_rescale);
  if (!st) st = lrp_conf_real(c, "rescale_factor", &p->rescale);
  if (!st && !(p->rescale > 0))
    st = lrp_conf_fail(c, LRP_E_INPUT, "rescale_factor", "a number above 0 was expected");
  p->do_normalize = lrp_conf_get(c, "image_mean") != NULL;
  if (!st) st = lrp_conf_bool(c, "do_normalize", &p->do_normalize);
  if (!st && p->do_normalize) st = read_channels(c, "image_mean", p->channels, false, p->mean);
  if (!st && p->do_normalize) st = read_channels(c, "image_std", p->channels, true, p->std);
  return st;
}

/* Steps that some processors have and lrp has not. */
static lrp_status refuse_steps(const lrp_conf *c)
{
  static const char *const steps[] = {"do_flip_channel_order", "do_pad",
                                      "do_thumbnail",          "do_align_long_axis",
                                      "do_image_splitting",    "do_color_quantize",
                                      "rescale_offset",        "include_top"};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    int on = 0;
    const lrp_status st = lrp_conf_bool(c, steps[i], &on);
    if (st) return st;
    if (on)
      return lrp_conf_fail(
          c, LRP_E_UNSUPPORTED, steps[i],
          "lrp has no such step; prepare the pictures yourself and give them as .npy");
  }
  return LRP_OK;
}

/* The model's input of pictures: N,C,H,W with 1, 3 or 4 channels. */
static lrp_status read_input(lrp_ctx *ctx, const lrp_model *m, lrp_preprocess *p)
{
  const lrp_signature *in = m->onnx.graph.n_input ? &m->onnx.graph.input[0] : NULL;
  if (!in || in->dtype != LRP_REAL || (in->rank != 4 && in->rank != -1))
    return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                    "%s: input \"%s\" takes no pictures; real numbers of shape (N,C,H,W) were "
                    "expected beside a preprocessor_config.json",
                    m->info.file, in ? in->name : "");
  const int64_t channels = in->rank == 4 ? in->shape[1] : -1;
  if (channels != -1 && channels != 1 && channels != 3 && channels != 4)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                    "%s: input \"%s\" has %lld channels; 1, 3 or 4 were expected as the second of "
                    "its axes (N,C,H,W)",
                    m->info.file, in->name, (long long)channels);
  p->channels = channels == -1 ? 3 : channels;
  return LRP_OK;
}

/* What comes out of the steps is what the model takes. */
static lrp_status check_fit(const lrp_conf *c, const lrp_model *m, const lrp_preprocess *p)
{
  const lrp_signature *in = &m->onnx.graph.input[0];
  const char *key = p->crop ? "crop_size" : "size";
  const int64_t h = p->crop ? p->crop_height : p->height, w = p->crop ? p->crop_width : p->width;
  if (in->rank != 4 || (!p->crop && (!p->do_resize || p->keep_aspect))) return LRP_OK;
  if ((in->shape[2] == -1 || in->shape[2] == h) && (in->shape[3] == -1 || in->shape[3] == w))
    return LRP_OK;
  return lrp_conf_fail(
      c, LRP_E_INPUT, key, "%lld x %lld pixels, but input \"%s\" of the model takes %lld x %lld",
      (long long)h, (long long)w, in->name, (long long)in->shape[2], (long long)in->shape[3]);
}

/* Bytes to 0..1, bilinear to the size that the model takes. */
static void from_shape(const lrp_model *m, lrp_preprocess *p)
{
  const lrp_signature *in = &m->onnx.graph.input[0];
  if (in->rank != 4 || in->shape[2] == -1 || in->shape[3] == -1) return;
  p->do_resize = 1;
  p->height = in->shape[2];
  p->width = in->shape[3];
}

lrp_status lrp_model_preprocess(lrp_ctx *ctx, lrp_model *m, const char *folder, const char *name,
                                bool *image)
{
  lrp_preprocess *p = &m->preprocess;
  lrp_conf c = {0};
  lrp_status st = LRP_OK;
  *p = (lrp_preprocess){.do_rescale = 1, .rescale = 1.0 / 255, .resample = 2, .std = {1, 1, 1, 1}};
  if (name) {
    st = lrp_conf_open(ctx, folder, name, &c);
    *image = !st && !lrp_conf_get(&c, "sampling_rate") && /* the same file name serves sound ... */
             !lrp_conf_get(&c, "beg_size");               /* ... and bytes */
  }
  if (!st && *image) st = read_input(ctx, m, p);
  if (!st && *image && !name) from_shape(m, p);
  if (!st && *image && name) {
    st = refuse_steps(&c);
    if (!st) st = read_sizes(&c, p);
    if (!st) st = read_scales(&c, p);
    if (!st) st = check_fit(&c, m, p);
  }
  if (!st && *image) m->info.preprocess = p;
  lrp_conf_close(&c);
  return st;
}
