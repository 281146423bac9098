/* input_sound.c - a sound becomes a model's input: one frame of it, or the whole. */
#include "input.h"
#include "sound.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- frames: frame k begins at first + k * hop ---- */

typedef struct frames {
  int64_t length, hop, first, n;
} frames;

static frames frames_of(const lrp_sound_form *f, int64_t n)
{
  if (!f->frame) return (frames){.length = n, .hop = 1, .n = 1};
  if (f->do_center)
    return (frames){
        .length = f->frame, .hop = f->hop, .first = -(f->frame / 2), .n = 1 + n / f->hop};
  return (frames){
      .length = f->frame, .hop = f->hop, .n = n > f->frame ? 1 + (n - f->frame) / f->hop : 1};
}

/* The frame with the largest sum of squares, the first of equals; sums from running totals. */
static lrp_status loudest(lrp_ctx *ctx, const lrp_sound *s, const frames *f, int64_t *at)
{
  double *total = malloc(((size_t)s->n + 1) * sizeof *total), most = -1;
  if (!total) return lrp_nomem(ctx, "the sound");
  total[0] = 0;
  for (int64_t i = 0; i < s->n; i++)
    total[i + 1] = total[i] + (double)s->sample[i] * (double)s->sample[i];
  for (int64_t k = 0; k < f->n; k++) {
    int64_t lo = f->first + k * f->hop, hi = lo + f->length;
    lo = lo < 0 ? 0 : lo > s->n ? s->n : lo;
    hi = hi < 0 ? 0 : hi > s->n ? s->n : hi;
    const double energy = total[hi] - total[lo];
    if (energy > most * (1 + 1e-12)) {
      most = energy;
      *at = f->first + k * f->hop;
    }
  }
  free(total);
  return LRP_OK;
}

static lrp_status nearest(lrp_ctx *ctx, const char *path, const lrp_sound *s, const frames *f,
                          double seconds, int64_t *at)
{
  const double time = seconds * (double)s->rate;
  if (!(time <= (double)s->n))
    return lrp_fail(ctx, LRP_E_ARG, "%s: %g s is asked for, but the sound ends at %.3f s", path,
                    seconds, (double)s->n / (double)s->rate);
  const double k = round((time - (double)f->first - (double)f->length / 2) / (double)f->hop);
  *at = f->first + (k < 0 ? 0 : k > (double)(f->n - 1) ? f->n - 1 : (int64_t)k) * f->hop;
  return LRP_OK;
}

/* ---- numbers ---- */

static void fill(const lrp_sound_form *form, const float *x, int64_t n, lrp_real *out)
{
  double mean = 0, variance = 0;
  for (int64_t i = 0; i < n; i++)
    mean += (double)x[i] / (double)n;
  for (int64_t i = 0; i < n; i++)
    variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
  const double scale = 1 / sqrt(variance + form->epsilon);
  for (int64_t i = 0; i < n; i++)
    out[i] = (lrp_real)(form->do_normalize ? ((double)x[i] - mean) * scale : (double)x[i]);
}

static lrp_status make_tensor(lrp_ctx *ctx, const lrp_model *model, const char *path,
                              const frames *f, lrp_input *input)
{
  const lrp_signature *sig = lrp_model_input(model, 0);
  int64_t shape[3] = {1, 1, f->length};
  if (sig->rank == 2) shape[1] = f->length;
  lrp_status st = lrp_input_check(ctx, path, sig, sig->rank, shape);
  if (!st) st = lrp_input_tensor(ctx, input, 0, sig, sig->rank, shape);
  float *frame = st ? NULL : calloc((size_t)f->length, sizeof *frame);
  if (!st && !frame) st = lrp_nomem(ctx, path);
  if (st) return st;
  for (int64_t i = 0; i < f->length; i++) {
    const int64_t k = input->sound_at + i;
    frame[i] = k >= 0 && k < input->n_sound ? input->sound[k] : 0;
  }
  fill(lrp_model_about(model)->sound, frame, f->length, lrp_reals(&input->tensor[0]));
  lrp_sha256(frame, (size_t)f->length * sizeof *frame, input->sha256);
  free(frame);
  return LRP_OK;
}

/* Takes the samples. */
static lrp_status take(lrp_ctx *ctx, const lrp_model *model, const char *path, double seconds,
                       lrp_sound *s, lrp_input *input)
{
  const frames f = frames_of(lrp_model_about(model)->sound, s->n);
  lrp_status st = LRP_OK;
  if (f.n > 1)
    st = seconds < 0 ? loudest(ctx, s, &f, &input->sound_at)
                     : nearest(ctx, path, s, &f, seconds, &input->sound_at);
  else
    input->sound_at = f.first;
  input->sound = s->sample;
  input->n_sound = s->n;
  return st ? st : make_tensor(ctx, model, path, &f, input);
}

lrp_status lrp_input_sound(lrp_ctx *ctx, const lrp_model *model, const char *path, double seconds,
                           lrp_input **out)
{
  const lrp_sound_form *form = lrp_model_about(model)->sound;
  lrp_input *input = NULL;
  lrp_sound sound = {0};
  lrp_file file = {0};
  *out = NULL;
  if (!form)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: a sound, but the model %s does not say how it reads sounds; put a "
                    "preprocessor_config.json with "
                    "\"sampling_rate\" into its folder, or give the array as .npy",
                    path, lrp_model_about(model)->name);
  if (seconds >= 0 && !form->frame)
    return lrp_fail(ctx, LRP_E_ARG, "%s: a time was given, but the model %s takes whole sounds",
                    path, lrp_model_about(model)->name);
  lrp_status st = lrp_file_open(ctx, path, "a sound", LRP_SOUND_FILE_MAX, &file);
  if (!st) st = lrp_sound_decode(ctx, path, file.data, file.size, &sound);
  lrp_file_close(&file);
  if (!st) st = lrp_sound_resample(ctx, path, form->rate, &sound);
  if (!st) st = lrp_input_new(ctx, model, LRP_MODALITY_SOUND, path, &input);
  if (st) {
    lrp_sound_free(&sound);
    return st;
  }
  st = take(ctx, model, path, seconds, &sound, input);
  if (st)
    lrp_input_free(input);
  else
    *out = input;
  return st;
}
