/* input_bytes.c - the first and last bytes of a file become a model's input, as Magika reads them
 * (Fratantonio et al. 2025): white space around is skipped, a padding id stands where there are no
 * bytes. */
#include "input.h"
#include <stdlib.h>
#include <string.h>

static bool is_blank(uint8_t c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Position i of the input is byte `at` of the file; -1: padding. */
static void put(lrp_input *input, const uint8_t *data, int64_t padding, int64_t i, int64_t at)
{
  input->byte_at[i] = at;
  input->byte[i] = at < 0 ? 0 : data[at];
  lrp_indices(&input->tensor[0])[i] = at < 0 ? padding : data[at];
}

/* The first bytes fill from the left, the last ones end at the right; a short file fills both. */
static void fill(const lrp_bytes_form *form, const uint8_t *data, int64_t n, lrp_input *input)
{
  const int64_t block = n < form->block ? n : form->block;
  int64_t begin = 0, end = n;
  while (begin < block && is_blank(data[begin]))
    begin++;
  while (end > n - block && is_blank(data[end - 1]))
    end--;
  for (int64_t i = 0; i < form->begin; i++)
    put(input, data, form->padding, i, begin + i < block ? begin + i : -1);
  for (int64_t i = 0; i < form->end; i++) {
    const int64_t at = end - form->end + i;
    put(input, data, form->padding, form->begin + i, at >= n - block && at < end ? at : -1);
  }
}

static lrp_status make(lrp_ctx *ctx, const lrp_model *model, const char *name, const uint8_t *data,
                       size_t n, lrp_input *input)
{
  const lrp_bytes_form *form = lrp_model_about(model)->bytes;
  const lrp_signature *sig = lrp_model_input(model, 0);
  const int64_t shape[2] = {1, form->begin + form->end};
  lrp_status st = lrp_input_check(ctx, name, sig, 2, shape);
  if (!st) st = lrp_input_tensor(ctx, input, 0, sig, 2, shape);
  if (st) return st;
  input->n_byte = shape[1];
  input->byte_at = malloc((size_t)shape[1] * sizeof *input->byte_at);
  input->byte = malloc((size_t)shape[1]);
  if (!input->byte_at || !input->byte) return lrp_nomem(ctx, name);
  fill(form, data, (int64_t)n, input);
  if (input->byte_at[form->least - 1] < 0)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: too short: the model %s wants at least %lld bytes behind white space",
                    name, lrp_model_about(model)->name, (long long)form->least);
  lrp_sha256(data, n, input->sha256);
  return LRP_OK;
}

lrp_status lrp_input_bytes(lrp_ctx *ctx, const lrp_model *model, const char *name, const void *data,
                           size_t n, lrp_input **out)
{
  lrp_input *input = NULL;
  *out = NULL;
  if (!lrp_model_about(model)->bytes)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: the model %s does not say how it reads the bytes of files; put a "
                    "preprocessor_config.json with "
                    "\"beg_size\" into its folder, or give the array as .npy",
                    name, lrp_model_about(model)->name);
  if (n > LRP_MAX_BYTES) return lrp_fail(ctx, LRP_E_INPUT, "%s: too large", name);
  lrp_status st = lrp_input_new(ctx, model, LRP_MODALITY_BYTES, name, &input);
  if (!st) st = make(ctx, model, name, data, n, input);
  if (st)
    lrp_input_free(input);
  else
    *out = input;
  return st;
}
