/* test_sound.c - sounds become frames at the model's rate; broken ones get a sentence. */
#include "model.h"
#include "sound.h"
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lrp_ctx *ctx;
static lrp_signature signature;
static lrp_model model;
static lrp_input *input;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  signature = (lrp_signature){.name = "x", .dtype = LRP_REAL, .rank = 3, .shape = {-1, 1, 16}};
  model = (lrp_model){.info = {.name = "toy", .meta = "{}", .n_input = 1}};
  model.onnx.graph.input = &signature;
  model.onnx.graph.n_input = 1;
  model.sound = (lrp_sound_form){.rate = 8000, .frame = 16, .hop = 8, .do_center = 1, .epsilon = 1e-16};
  model.info.sound = &model.sound;
  input = NULL;
}

static void teardown(void)
{
  lrp_input_free(input);
  unlink(lrp_test_tmp("a.wav"));
  unlink(lrp_test_tmp("preprocessor_config.json"));
  lrp_ctx_free(ctx);
}

/* ---- WAV files made here ---- */

enum { PCM = 1, IEEE = 3, HEAD = 44 };

static void put(uint8_t *to, uint32_t v, int bytes)
{
  for (int i = 0; i < bytes; i++)
    to[i] = (uint8_t)(v >> 8 * i);
}

/* The 44 bytes in front of n samples of so many bits. */
static void head(uint8_t *to, uint32_t format, uint32_t channels, uint32_t rate, uint32_t bits, uint32_t n)
{
  memcpy(to, "RIFF????WAVEfmt ????????????????????data", 40);
  put(to + 4, 36 + n * bits / 8, 4);
  put(to + 16, 16, 4);
  put(to + 20, format, 2);
  put(to + 22, channels, 2);
  put(to + 24, rate, 4);
  put(to + 28, rate * channels * bits / 8, 4);
  put(to + 32, channels * bits / 8, 2);
  put(to + 34, bits, 2);
  put(to + 40, n * bits / 8, 4);
}

static const char *put_file(const void *data, size_t n)
{
  lrp_ck_ok(ctx, lrp_file_write(ctx, lrp_test_tmp("a.wav"), data, n));
  return lrp_test_tmp("a.wav");
}

static const char *put_floats(uint32_t channels, uint32_t rate, const float *v, uint32_t n)
{
  uint8_t *data = malloc(HEAD + n * sizeof *v);
  ck_assert_ptr_nonnull(data);
  head(data, IEEE, channels, rate, 32, n);
  memcpy(data + HEAD, v, n * sizeof *v);
  const char *path = put_file(data, HEAD + n * sizeof *v);
  free(data);
  return path;
}

static double x(int64_t i)
{
  return (double)lrp_reals(&input->tensor[0])[i];
}

/* ---- frames ---- */

START_TEST(the_loudest_frame_is_taken)
{
  float v[64] = {[40] = 0.5f};
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, put_floats(1, 8000, v, 64), -1, &input));
  ck_assert_int_eq(input->kind, LRP_MODALITY_SOUND);
  ck_assert_int_eq(input->n_sound, 64);
  ck_assert_int_eq(input->sound_at, 32); /* the first of the two frames that hold it */
  ck_assert(input->tensor[0].rank == 3 && input->tensor[0].shape[2] == 16);
  for (int64_t i = 0; i < 16; i++)
    ck_assert_double_eq(x(i), i == 8 ? 0.5 : 0);
}
END_TEST

START_TEST(a_time_chooses_the_frame_around_it)
{
  float v[64] = {[0] = 0.25f, [63] = 0.75f};
  const char *path = put_floats(1, 8000, v, 64);
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, path, 0, &input));
  ck_assert_int_eq(input->sound_at, -8); /* zeros in front */
  ck_assert(x(0) == 0 && x(7) == 0 && x(8) == 0.25);
  lrp_input_free(input);
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, path, 0.008, &input));
  ck_assert_int_eq(input->sound_at, 56); /* zeros behind */
  ck_assert(x(7) == 0.75 && x(8) == 0);
  lrp_input_free(input);
  lrp_ck_fails(ctx, LRP_E_ARG, "the sound ends at 0.008 s", lrp_input_sound(ctx, &model, path, 1, &input));
}
END_TEST

START_TEST(frames_without_centre_begin_at_the_sound)
{
  float v[40];
  for (int i = 0; i < 40; i++)
    v[i] = (float)i / 64;
  model.sound.do_center = 0;
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, put_floats(1, 8000, v, 40), -1, &input));
  ck_assert_int_eq(input->sound_at, 24); /* frames begin at 0, 8, 16, 24 */
  lrp_input_free(input);
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, put_floats(1, 8000, v, 4), -1, &input));
  ck_assert(x(3) == 3.0 / 64 && x(4) == 0 && x(15) == 0); /* short: zeros behind */
}
END_TEST

START_TEST(a_model_of_any_length_takes_the_whole_sound)
{
  float v[21] = {[20] = 0.5f};
  signature.shape[2] = -1;
  model.sound.frame = model.sound.hop = 0;
  model.sound.do_center = 0;
  const char *path = put_floats(1, 8000, v, 21);
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, path, -1, &input));
  ck_assert_int_eq(input->tensor[0].shape[2], 21);
  ck_assert_double_eq(x(20), 0.5);
  lrp_input_free(input);
  lrp_ck_fails(ctx, LRP_E_ARG, "takes whole sounds", lrp_input_sound(ctx, &model, path, 0, &input));
}
END_TEST

START_TEST(channels_are_averaged)
{
  const float v[4] = {0.5f, -0.25f, 1, 0};
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, put_floats(2, 8000, v, 4), 0, &input));
  ck_assert_int_eq(input->n_sound, 2);
  ck_assert(x(8) == 0.125 && x(9) == 0.5);
}
END_TEST

START_TEST(a_frame_is_normalised_and_silence_stays_silent)
{
  float v[64] = {0};
  for (int i = 0; i < 64; i++)
    v[i] = 0.3f + 0.1f * (float)(i % 3);
  model.sound.do_normalize = 1;
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, put_floats(1, 8000, v, 64), 0.004, &input));
  double sum = 0, square = 0;
  for (int64_t i = 0; i < 16; i++) {
    sum += x(i);
    square += x(i) * x(i);
  }
  ck_assert_double_eq_tol(sum, 0, 1e-4);
  ck_assert_double_eq_tol(square / 16, 1, 1e-4);
  lrp_input_free(input);
  memset(v, 0, sizeof v);
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, put_floats(1, 8000, v, 64), -1, &input));
  for (int64_t i = 0; i < 16; i++)
    ck_assert_double_eq(x(i), 0);
}
END_TEST

/* ---- other rates ---- */

/* 500 Hz at this rate stays 500 Hz at 8000 samples a second. */
START_TEST(a_tone_keeps_its_pitch_at_another_rate)
{
  static const uint32_t rates[] = {16000, 44100, 4000, 48000};
  const double pi = 3.14159265358979323846;
  const uint32_t rate = rates[_i], n = rate / 5;
  float *v = malloc(n * sizeof *v);
  ck_assert_ptr_nonnull(v);
  for (uint32_t i = 0; i < n; i++)
    v[i] = (float)(0.5 * sin(2 * pi * 500 * i / rate));
  const char *path = put_floats(1, rate, v, n);
  free(v);
  lrp_ck_ok(ctx, lrp_input_sound(ctx, &model, path, 0.1, &input));
  ck_assert(llabs(input->n_sound - 1600) <= 1);
  for (int64_t i = 0; i < 16; i++)
    ck_assert_double_eq_tol(x(i), 0.5 * sin(2 * pi * 500 * (double)(input->sound_at + i) / 8000), 2e-3);
}
END_TEST

START_TEST(rates_that_lie_too_far_apart_are_refused)
{
  const float v[4] = {0};
  lrp_ck_fails(ctx, LRP_E_INPUT, "10 samples a second cannot be resampled to 8000",
               lrp_input_sound(ctx, &model, put_floats(1, 10, v, 4), -1, &input));
}
END_TEST

/* ---- broken files ---- */

START_TEST(a_sound_that_was_cut_off_is_refused)
{
  uint8_t data[HEAD + 32] = {0};
  head(data, PCM, 1, 8000, 16, 64);
  lrp_ck_fails(ctx, LRP_E_INPUT, "cut off: 128 bytes of samples were announced, 32 are there",
               lrp_input_sound(ctx, &model, put_file(data, sizeof data), -1, &input));
}
END_TEST

START_TEST(what_is_no_sound_is_refused)
{
  lrp_ck_fails(ctx, LRP_E_INPUT, "no sound; WAV, AIFF",
               lrp_input_sound(ctx, &model, put_file("hello, this is a text\n", 22), -1, &input));
  lrp_ck_fails(ctx, LRP_E_INPUT, "the sound could not be read",
               lrp_input_sound(ctx, &model, put_file("RIFF\4\0\0\0WAVE", 12), -1, &input));
}
END_TEST

START_TEST(samples_that_are_no_numbers_are_refused)
{
  const float bad[2] = {(float)NAN, (float)INFINITY};
  const float v[4] = {0, 0, 0, bad[_i]};
  lrp_ck_fails(ctx, LRP_E_INPUT, "sample 3 (at 0.000 s) is no finite number",
               lrp_input_sound(ctx, &model, put_floats(1, 8000, v, 4), -1, &input));
}
END_TEST

START_TEST(a_sound_without_samples_is_refused)
{
  const float v[1] = {0};
  lrp_ck_fails(ctx, LRP_E_INPUT, "a sound without samples",
               lrp_input_sound(ctx, &model, put_floats(1, 8000, v, 0), -1, &input));
}
END_TEST

/* Whatever byte is wrong, wherever the file ends: a sentence, or samples that are numbers. */
START_TEST(damaged_headers_do_no_harm)
{
  uint8_t good[HEAD + 16] = {0};
  lrp_sound s;
  head(good, PCM, 1, 8000, 16, 8);
  for (size_t n = 0; n <= sizeof good; n++)
    if (!lrp_sound_decode(ctx, "a.wav", good, n, &s)) {
      ck_assert(n == sizeof good);
      lrp_sound_free(&s);
    }
  for (size_t i = 0; i < sizeof good; i++)
    for (int bit = 0; bit < 8; bit++) {
      uint8_t bad[sizeof good];
      memcpy(bad, good, sizeof good);
      bad[i] ^= (uint8_t)(1 << bit);
      if (lrp_sound_decode(ctx, "a.wav", bad, sizeof bad, &s)) continue;
      ck_assert(s.n >= 1 && s.n <= 64 && s.rate >= 1);
      lrp_sound_free(&s);
    }
}
END_TEST

/* ---- preprocessor_config.json ---- */

static lrp_status configure(const char *json)
{
  lrp_ck_ok(ctx, lrp_file_write(ctx, lrp_test_tmp("preprocessor_config.json"), json, strlen(json)));
  char folder[1024];
  snprintf(folder, sizeof folder, "%s", lrp_test_tmp("preprocessor_config.json"));
  *strrchr(folder, '/') = '\0';
  model.info.sound = NULL;
  return lrp_model_signal(ctx, &model, folder);
}

START_TEST(a_feature_extractor_tells_rate_and_normalising)
{
  lrp_ck_ok(ctx, configure("{\"sampling_rate\": 16000, \"feature_size\": 1, \"do_normalize\": true}"));
  ck_assert_ptr_nonnull(model.info.sound);
  ck_assert(model.sound.rate == 16000 && model.sound.frame == 16 && model.sound.hop == 16);
  ck_assert(model.sound.do_normalize && !model.sound.do_center && model.sound.epsilon == 1e-7);
  lrp_ck_ok(ctx, configure("{\"sampling_rate\": 16000, \"feature_size\": 80}"));
  ck_assert_ptr_null(model.info.sound); /* spectra, not samples */
}
END_TEST

START_TEST(frames_that_do_not_fit_are_refused)
{
  lrp_ck_fails(ctx, LRP_E_INPUT, "\"frame_length\": 17 samples, but input \"x\" of the model takes 16",
               configure("{\"sampling_rate\": 8000, \"frame_length\": 17}"));
  lrp_ck_fails(ctx, LRP_E_INPUT, "\"sampling_rate\": a whole number from 1 to 768000",
               configure("{\"sampling_rate\": 0}"));
  lrp_ck_fails(ctx, LRP_E_INPUT, "\"hop_length\": a whole number", configure("{\"sampling_rate\": 8000, \"hop_length\": -1}"));
  lrp_ck_fails(ctx, LRP_E_INPUT, "\"normalize_epsilon\": a number above 0",
               configure("{\"sampling_rate\": 8000, \"normalize_epsilon\": 0}"));
}
END_TEST

Suite *suite_sound(void);

Suite *suite_sound(void)
{
  Suite *s = suite_create("sound");
  TCase *t = tcase_create("sound");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, the_loudest_frame_is_taken);
  tcase_add_test(t, a_time_chooses_the_frame_around_it);
  tcase_add_test(t, frames_without_centre_begin_at_the_sound);
  tcase_add_test(t, a_model_of_any_length_takes_the_whole_sound);
  tcase_add_test(t, channels_are_averaged);
  tcase_add_test(t, a_frame_is_normalised_and_silence_stays_silent);
  tcase_add_loop_test(t, a_tone_keeps_its_pitch_at_another_rate, 0, 4);
  tcase_add_test(t, rates_that_lie_too_far_apart_are_refused);
  tcase_add_test(t, a_sound_that_was_cut_off_is_refused);
  tcase_add_test(t, what_is_no_sound_is_refused);
  tcase_add_loop_test(t, samples_that_are_no_numbers_are_refused, 0, 2);
  tcase_add_test(t, a_sound_without_samples_is_refused);
  tcase_add_test(t, damaged_headers_do_no_harm);
  tcase_add_test(t, a_feature_extractor_tells_rate_and_normalising);
  tcase_add_test(t, frames_that_do_not_fit_are_refused);
  suite_add_tcase(s, t);
  return s;
}
