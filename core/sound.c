/* sound.c - sounds through libsndfile (decoding) and libsamplerate (resampling). */
#include "sound.h"
#include <math.h>
#include <samplerate.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

void lrp_sound_free(lrp_sound *s)
{
  free(s->sample);
  *s = (lrp_sound){0};
}

/* ---- kinds of files ---- */

/* libsndfile knows many more formats, most of them rare and little tested; the common ones go
 * in. */
bool lrp_is_sound(const uint8_t *data, size_t n)
{
  static const char *const MAGIC[] = {"RIFF", "RIFX", "RF64", "FORM",
                                      "fLaC", "OggS", ".snd", "caff"};
  if (n < 12) return false;
  for (size_t i = 0; i < sizeof MAGIC / sizeof *MAGIC; i++)
    if (!memcmp(data, MAGIC[i], 4)) return i > 2 || !memcmp(data + 8, "WAVE", 4);
  return !memcmp(data, "ID3", 3) ||
         (data[0] == 0xff && (data[1] & 0xe6) == 0xe2); /* MPEG, layer 3 */
}

static uint32_t little32(const uint8_t *p)
{
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* libsndfile takes what is left of a WAV that was cut off; here that is an error.  Chunks: name,
 * size, data, padded to even length.  A size of 0xffffffff, or of 0 in the last chunk, is what
 * programs write that did not know it. */
static lrp_status check_wav(lrp_ctx *ctx, const char *path, const uint8_t *data, size_t n)
{
  if (memcmp(data, "RIFF", 4)) return LRP_OK;
  for (size_t at = 12; n - at >= 8;) {
    const size_t size = little32(data + at + 4), left = n - at - 8;
    const bool sound = !memcmp(data + at, "data", 4);
    if (sound && size > left && size != UINT32_MAX)
      return lrp_fail(ctx, LRP_E_INPUT,
                      "%s: the WAV was cut off: %zu bytes of samples were announced, %zu are there",
                      path, size, left);
    if (sound || size + (size & 1) > left) break;
    at += 8 + size + (size & 1);
  }
  return LRP_OK;
}

/* ---- a file in memory, for libsndfile ---- */

typedef struct source {
  const uint8_t *data;
  sf_count_t n, at;
} source;

static sf_count_t on_length(void *user)
{
  return ((const source *)user)->n;
}

static sf_count_t on_seek(sf_count_t by, int whence, void *user)
{
  source *s = user;
  const sf_count_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? s->at : s->n;
  if (by < -from || by > s->n - from) return -1;
  s->at = from + by;
  return s->at;
}

static sf_count_t on_read(void *to, sf_count_t n, void *user)
{
  source *s = user;
  if (n > s->n - s->at) n = s->n - s->at;
  if (n > 0) memcpy(to, s->data + s->at, (size_t)n);
  s->at += n > 0 ? n : 0;
  return n;
}

static sf_count_t on_write(const void *from, sf_count_t n, void *user)
{
  (void)from, (void)n, (void)user;
  return 0; /* opened for reading */
}

static sf_count_t on_tell(void *user)
{
  return ((const source *)user)->at;
}

/* ---- decoding ---- */

enum { BLOCK = 4096, CHANNELS_MAX = 64 };

/* Room for n more samples. */
static lrp_status grow(lrp_ctx *ctx, const char *path, int64_t n, int64_t *room, lrp_sound *s)
{
  if (s->n + n <= *room) return LRP_OK;
  int64_t more = 2 * *room > s->n + n ? 2 * *room : s->n + n;
  if (s->n + n > LRP_SOUND_MAX)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: more than %d samples", path, LRP_SOUND_MAX);
  if (more > LRP_SOUND_MAX) more = LRP_SOUND_MAX;
  const size_t bytes = (size_t)more * sizeof *s->sample;
  if (ctx->memory_limit && bytes > ctx->memory_limit)
    return lrp_fail(ctx, LRP_E_NOMEM, "%s: the samples need %zu bytes; the session's limit is %zu",
                    path, bytes, ctx->memory_limit);
  float *grown = realloc(s->sample, bytes);
  if (!grown) return lrp_nomem(ctx, path);
  s->sample = grown;
  *room = more;
  return LRP_OK;
}

static lrp_status mix(lrp_ctx *ctx, const char *path, const float *block, int64_t n, int channels,
                      lrp_sound *s)
{
  for (int64_t i = 0; i < n; i++) {
    double sum = 0;
    for (int c = 0; c < channels; c++)
      sum += (double)block[i * channels + c];
    if (!isfinite(sum))
      return lrp_fail(ctx, LRP_E_INPUT, "%s: sample %lld (at %.3f s) is no finite number", path,
                      (long long)(s->n + i), (double)(s->n + i) / (double)s->rate);
    s->sample[s->n + i] = (float)(sum / channels);
  }
  s->n += n;
  return LRP_OK;
}

static lrp_status read_all(lrp_ctx *ctx, const char *path, SNDFILE *file, const SF_INFO *info,
                           lrp_sound *s)
{
  int64_t room = 0, n = 1;
  lrp_status st = LRP_OK;
  float *block = malloc((size_t)BLOCK * (size_t)info->channels * sizeof *block);
  if (!block) return lrp_nomem(ctx, path);
  while (!st && (n = sf_readf_float(file, block, BLOCK)) > 0) {
    st = grow(ctx, path, n, &room, s);
    if (!st) st = mix(ctx, path, block, n, info->channels, s);
  }
  if (!st && sf_error(file))
    st = lrp_fail(ctx, LRP_E_INPUT, "%s: the sound is damaged: %s", path, sf_strerror(file));
  if (!st && !s->n) st = lrp_fail(ctx, LRP_E_INPUT, "%s: a sound without samples", path);
  if (!st && info->frames > s->n && info->frames < SF_COUNT_MAX)
    st = lrp_fail(ctx, LRP_E_INPUT,
                  "%s: the sound was cut off: %lld samples were announced, %lld are there", path,
                  (long long)info->frames, (long long)s->n);
  free(block);
  return st;
}

lrp_status lrp_sound_decode(lrp_ctx *ctx, const char *path, const uint8_t *data, size_t n,
                            lrp_sound *out)
{
  SF_VIRTUAL_IO io = {on_length, on_seek, on_read, on_write, on_tell};
  source from = {.data = data, .n = (sf_count_t)n};
  SF_INFO info = {0};
  *out = (lrp_sound){0};
  if (!lrp_is_sound(data, n))
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: no sound; WAV, AIFF, AU, CAF, FLAC, Ogg or MP3 was expected", path);
  lrp_status st = check_wav(ctx, path, data, n);
  if (st) return st;
  SNDFILE *file = sf_open_virtual(&io, SFM_READ, &info, &from);
  if (!file)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: the sound could not be read: %s", path,
                    sf_strerror(NULL));
  out->rate = info.samplerate;
  if (info.samplerate < 1 || info.channels < 1 || info.channels > CHANNELS_MAX)
    st = lrp_fail(
        ctx, LRP_E_INPUT,
        "%s: a sound of %d channels at %d samples a second; 1 to %d channels were expected", path,
        info.channels, info.samplerate, CHANNELS_MAX);
  if (!st) st = read_all(ctx, path, file, &info, out);
  sf_close(file);
  if (st) lrp_sound_free(out);
  return st;
}

/* ---- resampling ---- */

lrp_status lrp_sound_resample(lrp_ctx *ctx, const char *path, int64_t rate, lrp_sound *s)
{
  if (rate == s->rate) return LRP_OK;
  const double ratio = (double)rate / (double)s->rate, most = ceil((double)s->n * ratio) + 1;
  if (!src_is_valid_ratio(ratio))
    return lrp_fail(
        ctx, LRP_E_INPUT,
        "%s: %lld samples a second cannot be resampled to %lld; at most 256 times more or less",
        path, (long long)s->rate, (long long)rate);
  if (most > LRP_SOUND_MAX)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: more than %d samples at %lld a second", path,
                    LRP_SOUND_MAX, (long long)rate);
  SRC_DATA job = {.data_in = s->sample,
                  .input_frames = (long)s->n,
                  .output_frames = (long)most,
                  .src_ratio = ratio};
  job.data_out = malloc((size_t)most * sizeof *job.data_out);
  if (!job.data_out) return lrp_nomem(ctx, path);
  const int code = src_simple(&job, SRC_SINC_BEST_QUALITY, 1);
  lrp_sound out = {.n = job.output_frames_gen, .rate = rate, .sample = job.data_out};
  lrp_status st = LRP_OK;
  if (code)
    st = lrp_fail(ctx, LRP_E_INPUT, "%s: it could not be resampled: %s", path, src_strerror(code));
  if (!st && out.n < 1)
    st = lrp_fail(ctx, LRP_E_INPUT, "%s: too short: nothing is left at %lld samples a second", path,
                  (long long)rate);
  for (int64_t i = 0; !st && i < out.n; i++)
    if (!isfinite(out.sample[i]))
      st = lrp_fail(ctx, LRP_E_INPUT, "%s: its samples are too large to be resampled", path);
  lrp_sound_free(st ? &out : s);
  if (!st) *s = out;
  return st;
}
