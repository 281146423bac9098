/* preprocess_signal.c - preprocessor_config.json of models that read sounds (as Hugging Face's
 * feature extractors write it, with frames added) or the bytes of files (as Magika writes it). */
#include "model.h"
#include <math.h>

static lrp_status whole(const lrp_conf *c, const char *key, int64_t least, int64_t most,
                        int64_t *out)
{
  const json_t *v = lrp_conf_get(c, key);
  if (!v) return LRP_OK;
  const int64_t n = json_is_integer(v) ? json_integer_value(v) : least - 1;
  if (n < least || n > most)
    return lrp_conf_fail(c, LRP_E_INPUT, key, "a whole number from %lld to %lld was expected",
                         (long long)least, (long long)most);
  *out = n;
  return LRP_OK;
}

/* ---- sounds ---- */

enum { RATE_MAX = 768000, FRAME_MAX = 1 << 28 };

/* (N,T) or (N,1,T); T, or -1. */
static bool takes_samples(const lrp_signature *in, int64_t *length)
{
  if (in->dtype != LRP_REAL || (in->rank != 2 && in->rank != 3)) return false;
  *length = in->shape[in->rank - 1];
  return in->rank == 2 || in->shape[1] == 1 || in->shape[1] == -1;
}

static lrp_status read_frames(const lrp_conf *c, const lrp_model *m, int64_t length,
                              lrp_sound_form *s)
{
  lrp_status st = whole(c, "frame_length", 1, FRAME_MAX, &s->frame);
  if (!st && s->frame && length > 0 && s->frame != length)
    st = lrp_conf_fail(c, LRP_E_INPUT, "frame_length",
                       "%lld samples, but input \"%s\" of the model takes %lld",
                       (long long)s->frame, m->onnx.graph.input[0].name, (long long)length);
  if (!s->frame && length > 0) s->frame = length;
  s->hop = s->frame;
  if (!st && s->frame) st = whole(c, "hop_length", 1, FRAME_MAX, &s->hop);
  if (!st && s->frame) st = lrp_conf_bool(c, "center", &s->do_center);
  return st;
}

static lrp_status read_sound(const lrp_conf *c, lrp_model *m, const lrp_signature *in)
{
  lrp_sound_form *s = &m->sound;
  int64_t features = 1, length = -1;
  *s = (lrp_sound_form){.epsilon = 1e-7}; /* as Wav2Vec2's */
  lrp_status st = whole(c, "sampling_rate", 1, RATE_MAX, &s->rate);
  if (!st) st = whole(c, "feature_size", 1, FRAME_MAX, &features);
  if (st) return st;
  if (features > 1 || m->info.n_input != 1 || !takes_samples(in, &length)) {
    lrp_warn(c->ctx,
             "%s: the model takes no samples of sound of shape (N,T) or (N,1,T) but what is made of "
             "them; give it arrays as .npy",
             c->path);
    return LRP_OK;
  }
  st = read_frames(c, m, length, s);
  if (!st) st = lrp_conf_bool(c, "do_normalize", &s->do_normalize);
  if (!st) st = lrp_conf_real(c, "normalize_epsilon", &s->epsilon);
  if (!st && !(s->epsilon > 0 && s->epsilon < 1))
    st = lrp_conf_fail(c, LRP_E_INPUT, "normalize_epsilon", "a number above 0 was expected");
  if (!st) m->info.sound = s;
  return st;
}

/* ---- bytes ---- */

enum { BYTES_MAX = 1 << 24, ID_MAX = 1 << 30 };

static lrp_status refuse_forms(const lrp_conf *c)
{
  int64_t middle = 0;
  int offsets = 0;
  lrp_status st = whole(c, "mid_size", 0, BYTES_MAX, &middle);
  if (!st) st = lrp_conf_bool(c, "use_inputs_at_offsets", &offsets);
  if (!st && middle)
    st = lrp_conf_fail(c, LRP_E_UNSUPPORTED, "mid_size",
                       "lrp takes no bytes from the middle of a file; give the array as .npy");
  if (!st && offsets)
    st = lrp_conf_fail(c, LRP_E_UNSUPPORTED, "use_inputs_at_offsets",
                       "lrp takes no bytes from fixed places; give the array as .npy");
  return st;
}

static lrp_status read_bytes(const lrp_conf *c, lrp_model *m, const lrp_signature *in)
{
  lrp_bytes_form *b = &m->bytes;
  *b = (lrp_bytes_form){.padding = 256, .block = 4096, .least = 1};
  lrp_status st = refuse_forms(c);
  if (!st) st = whole(c, "beg_size", 1, BYTES_MAX, &b->begin);
  if (!st) st = whole(c, "end_size", 0, BYTES_MAX, &b->end);
  const int64_t larger = b->begin > b->end ? b->begin : b->end;
  if (b->block < larger) b->block = larger;
  if (!st) st = whole(c, "block_size", larger, BYTES_MAX, &b->block);
  if (!st) st = whole(c, "padding_token", 0, ID_MAX, &b->padding);
  if (!st) st = whole(c, "min_file_size_for_dl", 1, b->begin, &b->least);
  if (st) return st;
  if (in->dtype != LRP_INDEX || in->rank != 2 || m->info.n_input != 1 ||
      (in->shape[1] != -1 && in->shape[1] != b->begin + b->end))
    return lrp_conf_fail(c, LRP_E_INPUT, "beg_size",
                         "%lld bytes in all, but input \"%s\" of the model is no row of as many "
                         "whole numbers",
                         (long long)(b->begin + b->end), in->name);
  m->info.bytes = b;
  return LRP_OK;
}

lrp_status lrp_model_signal(lrp_ctx *ctx, lrp_model *m, const char *folder)
{
  lrp_conf c;
  if (!lrp_conf_exists(folder, "preprocessor_config.json") || !m->onnx.graph.n_input) return LRP_OK;
  lrp_status st = lrp_conf_open(ctx, folder, "preprocessor_config.json", &c);
  const lrp_signature *in = &m->onnx.graph.input[0];
  if (!st && lrp_conf_get(&c, "sampling_rate"))
    st = read_sound(&c, m, in);
  else if (!st && lrp_conf_get(&c, "beg_size"))
    st = read_bytes(&c, m, in);
  lrp_conf_close(&c);
  return st;
}
