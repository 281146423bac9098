/* sound.h - sounds from files to samples at a model's rate.  Not installed. */
#ifndef LRP_CORE_SOUND_H
#define LRP_CORE_SOUND_H
#include "core.h"

enum { LRP_SOUND_FILE_MAX = 1 << 30, LRP_SOUND_MAX = 1 << 28 }; /* bytes; samples: 4.6 hours at 16 kHz */

typedef struct lrp_sound { /* mono */
  int64_t n, rate;
  float *sample; /* malloc'ed; finite */
} lrp_sound;
/* The first bytes are those of a kind that lrp lets libsndfile read: WAV, AIFF, AU, CAF, FLAC, Ogg, MP3. */
bool lrp_is_sound(const uint8_t *data, size_t n);
/* Decode a file in memory; path is for messages.  Channels are averaged.  LRP_E_INPUT: no sound, damaged, cut off, empty,
 * or with samples that are no numbers. */
lrp_status lrp_sound_decode(lrp_ctx *, const char *path, const uint8_t *data, size_t n, lrp_sound *out);
/* In place, by libsamplerate's best band-limited interpolation. */
lrp_status lrp_sound_resample(lrp_ctx *, const char *path, int64_t rate, lrp_sound *);
void lrp_sound_free(lrp_sound *);
#endif
