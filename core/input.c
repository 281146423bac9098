/* input.c - inputs of a model from arrays, pictures and files; text is in input_text.c. */
#include "input.h"
#include "image.h"
#include "sound.h"
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the input itself ---- */
lrp_status lrp_input_new(lrp_ctx *ctx, const lrp_model *model, int32_t kind, const char *path,
                         lrp_input **out)
{
  int32_t n = lrp_model_about(model)->n_input;
  lrp_input *input = calloc(1, sizeof *input);
  *out = input;
  if (!input) return lrp_nomem(ctx, "the input");
  input->kind = kind;
  input->n_tensor = n;
  input->tensor = calloc(n > 0 ? (size_t)n : 1, sizeof *input->tensor);
  input->path = path ? malloc(strlen(path) + 1) : NULL;
  if (input->path) memcpy(input->path, path, strlen(path) + 1);
  if (input->tensor && (input->path || !path)) return LRP_OK;
  lrp_input_free(input);
  *out = NULL;
  return lrp_nomem(ctx, "the input");
}

void lrp_input_free(lrp_input *input)
{
  if (!input) return;
  for (int32_t i = 0; input->tensor && i < input->n_tensor; i++)
    free(input->tensor[i].data);
  free(input->tensor);
  free(input->token);
  free(input->text);
  free(input->path);
  free(input->pixels);
  free(input->sound);
  free(input->byte_at);
  free(input->byte);
  free(input);
}

lrp_status lrp_input_tensor(lrp_ctx *ctx, lrp_input *input, int32_t i, const lrp_signature *sig,
                            int32_t rank, const int64_t *shape)
{
  lrp_tensor *t = &input->tensor[i];
  size_t bytes;
  *t = (lrp_tensor){.dtype = sig->dtype, .rank = rank};
  memcpy(t->shape, shape, (size_t)rank * sizeof *shape);
  lrp_status status = lrp_tensor_bytes(ctx, t, &bytes);
  if (status) return status;
  if (ctx->memory_limit && bytes > ctx->memory_limit)
    return lrp_fail(ctx, LRP_E_NOMEM, "input \"%s\" needs %zu bytes; the session's limit is %zu",
                    sig->name, bytes, ctx->memory_limit);
  t->data = calloc(1, bytes ? bytes : 1);
  return t->data ? LRP_OK : lrp_nomem(ctx, "the input");
}

/* ---- shapes ---- */
const char *lrp_signature_text(const lrp_signature *sig, char *buffer, size_t n)
{
  size_t used = (size_t)snprintf(buffer, n, "(");
  for (int32_t i = 0; i < sig->rank && used + 24 < n; i++)
    used += sig->shape[i] < 0 ? (size_t)snprintf(buffer + used, n - used, i ? ",?" : "?")
                              : (size_t)snprintf(buffer + used, n - used, i ? ",%lld" : "%lld",
                                                 (long long)sig->shape[i]);
  snprintf(buffer + used, n - used, sig->rank < 0 ? "any shape)" : ")");
  return buffer;
}

lrp_status lrp_input_check(lrp_ctx *ctx, const char *who, const lrp_signature *sig, int32_t rank,
                           const int64_t *shape)
{
  char have[200], want[200];
  bool fits = sig->rank < 0 || sig->rank == rank;
  for (int32_t k = 0; fits && k < rank && sig->rank >= 0; k++)
    fits = sig->shape[k] < 0 || sig->shape[k] == shape[k];
  if (fits) return LRP_OK;
  lrp_tensor t = {.rank = rank};
  memcpy(t.shape, shape, (size_t)rank * sizeof *shape);
  return lrp_fail(ctx, LRP_E_INPUT, "%s: shape %s, but input \"%s\" of the model takes %s", who,
                  lrp_shape_text(&t, have, sizeof have), sig->name,
                  lrp_signature_text(sig, want, sizeof want));
}

/* ---- arrays ---- */
/* An array is the tensor as it is, or one sample of a batch without its first axis. */
static lrp_status fit(lrp_ctx *ctx, const char *path, const lrp_signature *sig, lrp_tensor *t)
{
  if (t->dtype != sig->dtype)
    return lrp_fail(
        ctx, LRP_E_INPUT,
        "%s: %s numbers, but input \"%s\" of the model takes %s ones; convert them with %s", path,
        t->dtype == LRP_INDEX ? "whole" : "real", sig->name,
        sig->dtype == LRP_INDEX ? "whole" : "real",
        sig->dtype == LRP_INDEX ? "numpy's astype('int64')" : "numpy's astype('float32')");
  if (sig->rank == t->rank + 1 && t->rank < LRP_MAX_RANK && sig->shape[0] <= 1) {
    memmove(t->shape + 1, t->shape, (size_t)t->rank * sizeof *t->shape);
    t->shape[0] = 1;
    t->rank++;
  }
  lrp_status status = lrp_input_check(ctx, path, sig, t->rank, t->shape);
  if (!status && !lrp_count(t))
    return lrp_fail(ctx, LRP_E_INPUT, "%s: the array has no elements", path);
  return status;
}

static void hash_tensors(lrp_input *input)
{
  struct sha256_ctx hash;
  uint8_t digest[SHA256_DIGEST_SIZE];
  sha256_init(&hash);
  for (int32_t i = 0; i < input->n_tensor; i++)
    sha256_update(&hash, (size_t)lrp_count(&input->tensor[i]) * lrp_element(&input->tensor[i]),
                  input->tensor[i].data);
  sha256_digest(&hash, sizeof digest, digest);
  for (size_t i = 0; i < sizeof digest; i++)
    snprintf(input->sha256 + 2 * i, 3, "%02x", digest[i]);
}

static lrp_status count_files(lrp_ctx *ctx, const lrp_model *model, int32_t n)
{
  const lrp_model_info *info = lrp_model_about(model);
  char names[400] = "";
  size_t used = 0;
  if (n == info->n_input) return LRP_OK;
  for (int32_t i = 0; i < info->n_input && used < sizeof names - 1; i++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                             lrp_model_input(model, i)->name);
  return lrp_fail(ctx, LRP_E_INPUT, "the model %s has %d inputs (%s), but %d arrays were given",
                  info->name, (int)info->n_input, names, (int)n);
}

lrp_status lrp_input_npy(lrp_ctx *ctx, const lrp_model *model, const char *const *paths, int32_t n,
                         lrp_input **out)
{
  lrp_input *input = NULL;
  *out = NULL;
  lrp_status status = count_files(ctx, model, n);
  if (!status) status = lrp_input_new(ctx, model, LRP_MODALITY_TENSOR, n ? paths[0] : NULL, &input);
  for (int32_t i = 0; i < n && !status; i++) {
    status = lrp_npy_read(ctx, paths[i], &input->tensor[i]);
    if (!status) status = fit(ctx, paths[i], lrp_model_input(model, i), &input->tensor[i]);
  }
  if (status) {
    lrp_input_free(input);
    return status;
  }
  hash_tensors(input);
  *out = input;
  return LRP_OK;
}

static lrp_status copy_array(lrp_ctx *ctx, const char *name, const lrp_signature *sig,
                             const lrp_tensor *from, lrp_tensor *to)
{
  size_t bytes;
  lrp_status status = lrp_tensor_bytes(ctx, from, &bytes);
  if (status) return status;
  *to = *from;
  to->data = malloc(bytes ? bytes : 1);
  if (!to->data) return lrp_nomem(ctx, name);
  if (bytes) memcpy(to->data, from->data, bytes);
  return fit(ctx, name, sig, to);
}

lrp_status lrp_input_arrays(lrp_ctx *ctx, const lrp_model *model, const char *name,
                            const lrp_tensor *array, int32_t n, lrp_input **out)
{
  lrp_input *input = NULL;
  *out = NULL;
  lrp_status status = count_files(ctx, model, n);
  if (!status) status = lrp_input_new(ctx, model, LRP_MODALITY_TENSOR, name, &input);
  for (int32_t i = 0; i < n && !status; i++)
    status = copy_array(ctx, name, lrp_model_input(model, i), &array[i], &input->tensor[i]);
  if (status) {
    lrp_input_free(input);
    return status;
  }
  hash_tensors(input);
  *out = input;
  return LRP_OK;
}

/* ---- pictures ---- */
static lrp_status check_picture_model(lrp_ctx *ctx, const lrp_model *model, const char *path)
{
  const lrp_model_info *info = lrp_model_about(model);
  if (!info->preprocess)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: a picture, but the model %s does not say how it reads pictures; put a "
                    "preprocessor_config.json into its folder, or give the array as .npy",
                    path, info->name);
  if (info->n_input != 1)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED, "the model %s has %d inputs; a picture fills one",
                    info->name, (int)info->n_input);
  return LRP_OK;
}

/* Takes the pixels, in the model's number of channels. */
static lrp_status fill_picture(lrp_ctx *ctx, const lrp_model *model, const char *path,
                               lrp_image *image, lrp_input *input)
{
  const lrp_preprocess *p = lrp_model_about(model)->preprocess;
  const lrp_signature *sig = lrp_model_input(model, 0);
  lrp_sha256(image->pixels, (size_t)(image->w * image->h * image->c), input->sha256);
  lrp_status status = lrp_image_prepare(ctx, path, p, image);
  int64_t shape[4] = {1, image->c, image->h, image->w};
  if (!status) status = lrp_input_check(ctx, path, sig, 4, shape);
  if (!status) status = lrp_input_tensor(ctx, input, 0, sig, 4, shape);
  if (status) {
    lrp_image_free(image);
    return status;
  }
  lrp_image_normalize(p, image, lrp_reals(&input->tensor[0]));
  input->image_w = image->w;
  input->image_h = image->h;
  input->image_c = image->c;
  input->pixels = image->pixels;
  return LRP_OK;
}

static int64_t channels_of(const lrp_model *model)
{
  const int64_t c = lrp_model_about(model)->preprocess->channels;
  return c ? c : 3;
}

static lrp_status decode_picture(lrp_ctx *ctx, const lrp_model *model, const char *path,
                                 const lrp_file *file, lrp_input *input)
{
  lrp_image image;
  lrp_status status =
      lrp_image_decode(ctx, path, file->data, file->size, channels_of(model), &image);
  return status ? status : fill_picture(ctx, model, path, &image, input);
}

lrp_status lrp_input_image(lrp_ctx *ctx, const lrp_model *model, const char *path, lrp_input **out)
{
  lrp_input *input = NULL;
  lrp_file file = {0};
  *out = NULL;
  lrp_status status = check_picture_model(ctx, model, path);
  if (!status) status = lrp_file_open(ctx, path, "a picture", LRP_IMAGE_FILE_MAX, &file);
  if (!status) status = lrp_input_new(ctx, model, LRP_MODALITY_IMAGE, path, &input);
  if (!status) status = decode_picture(ctx, model, path, &file, input);
  lrp_file_close(&file);
  if (status)
    lrp_input_free(input);
  else
    *out = input;
  return status;
}

lrp_status lrp_input_pixels(lrp_ctx *ctx, const lrp_model *model, const char *name, int64_t width,
                            int64_t height, int64_t channels, const uint8_t *pixels,
                            lrp_input **out)
{
  lrp_input *input = NULL;
  lrp_image image = {0};
  *out = NULL;
  if (channels != 1 && channels != 3 && channels != 4)
    return lrp_fail(ctx, LRP_E_ARG, "%s: %lld channels; 1, 3 or 4 were expected", name,
                    (long long)channels);
  lrp_status status = check_picture_model(ctx, model, name);
  if (!status) status = lrp_image_new(ctx, name, width, height, channels, &image);
  if (status) return status;
  memcpy(image.pixels, pixels, (size_t)(width * height * channels));
  status = lrp_image_recolor(ctx, name, channels_of(model), &image);
  if (!status) status = lrp_input_new(ctx, model, LRP_MODALITY_IMAGE, name, &input);
  if (status)
    lrp_image_free(&image);
  else
    status = fill_picture(ctx, model, name, &image, input);
  if (status)
    lrp_input_free(input);
  else
    *out = input;
  return status;
}

/* ---- files of any kind ---- */
/* The line end that closes a text file is no part of its text. */
static size_t text_size(const lrp_file *file)
{
  size_t n = file->size;
  if (n && file->data[n - 1] == '\n') n--;
  if (n < file->size && n && file->data[n - 1] == '\r') n--;
  return n;
}

static lrp_status text_file(lrp_ctx *ctx, const lrp_model *model, const char *path,
                            const lrp_file *file, lrp_input **out)
{
  if (!lrp_model_about(model)->tokenizer)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: neither .npy, PNG nor JPEG, and the model %s reads no text (its folder "
                    "has no tokenizer.json "
                    "or vocab.txt)",
                    path, lrp_model_about(model)->name);
  lrp_status status = lrp_input_text(ctx, model, (const char *)file->data, text_size(file), out);
  if (status) return lrp_fail_at(ctx, status, "%s: ", path);
  size_t n = strlen(path) + 1;
  (*out)->path = malloc(n);
  if ((*out)->path) {
    memcpy((*out)->path, path, n);
    return LRP_OK;
  }
  lrp_input_free(*out);
  *out = NULL;
  return lrp_nomem(ctx, path);
}

lrp_status lrp_input_file(lrp_ctx *ctx, const lrp_model *model, const char *path, lrp_input **out)
{
  lrp_file file;
  *out = NULL;
  lrp_status status = lrp_file_open(ctx, path, "a text, picture or .npy", 0, &file);
  if (status) return status;
  const lrp_model_info *info = lrp_model_about(model);
  if (info->bytes)
    status = lrp_input_bytes(ctx, model, path, file.data, file.size, out);
  else if (file.size >= 6 && !memcmp(file.data, "\x93NUMPY", 6))
    status = lrp_input_npy(ctx, model, &path, 1, out);
  else if (lrp_image_is_png(file.data, file.size) || lrp_image_is_jpeg(file.data, file.size))
    status = lrp_input_image(ctx, model, path, out);
  else if (info->sound || (!info->tokenizer && lrp_is_sound(file.data, file.size)))
    status = lrp_input_sound(ctx, model, path, -1, out);
  else
    status = text_file(ctx, model, path, &file, out);
  lrp_file_close(&file);
  return status;
}
