/* input_stack.c - inputs of one sample each become one of as many samples.  Texts of different lengths are filled up
 * behind their ends where the model has a mask for it. */
#include "input.h"
#include "model.h"
#include <stdlib.h>
#include <string.h>

int lrp_input_pads(const lrp_model *model)
{
  const lrp_model_info *info = lrp_model_about(model);
  bool masked = false, any = info->tokenizer != NULL;
  for (int32_t i = 0; i < info->n_input; i++) {
    const lrp_signature *sig = lrp_model_input(model, i);
    masked = masked || lrp_text_role(model, i) == LRP_TEXT_MASK;
    any = any && lrp_text_role(model, i) != LRP_TEXT_NOTHING && sig->rank == 2 && sig->shape[1] < 0;
  }
  return masked && any;
}

/* The shape of tensor i of all: the longest second axis. */
static lrp_status stacked_shape(lrp_ctx *ctx, const lrp_model *model, const lrp_input *const *part,
                                int64_t n, int32_t i, int64_t *shape)
{
  const lrp_tensor *first = &part[0]->tensor[i];
  bool same = first->rank > 0 && first->shape[0] == 1;
  const bool pads = first->rank == 2 && lrp_input_pads(model);
  memcpy(shape, first->shape, (size_t)first->rank * sizeof *shape);
  for (int64_t k = 0; same && k < n; k++) {
    const lrp_tensor *t = part[k]->n_tensor == part[0]->n_tensor ? &part[k]->tensor[i] : NULL;
    same = t && t->rank == first->rank && t->dtype == first->dtype && t->shape[0] == 1;
    for (int32_t a = 1; same && a < t->rank; a++) {
      same = t->shape[a] == shape[a] || (pads && a == 1);
      if (t->shape[a] > shape[a]) shape[a] = t->shape[a];
    }
  }
  shape[0] = n;
  return same ? LRP_OK
              : lrp_fail(ctx, LRP_E_SHAPE,
                         "input \"%s\": samples of one shape, or texts of a model with an "
                         "attention_mask, were expected",
                         lrp_model_input(model, i)->name);
}

/* One sample behind the other; a shorter text's end is filled. */
static void copy_samples(const lrp_model *model, const lrp_input *const *part, int64_t n, int32_t i,
                         lrp_tensor *to)
{
  const size_t width = lrp_element(to);
  const int64_t room = n ? lrp_count(to) / n : 0;
  for (int64_t k = 0; k < n; k++) {
    const lrp_tensor *t = &part[k]->tensor[i];
    const int64_t m = lrp_count(t);
    memcpy((char *)to->data + (size_t)(k * room) * width, t->data, (size_t)m * width);
    for (int64_t j = m; j < room; j++)
      if (to->dtype == LRP_INDEX)
        lrp_indices(to)[k * room + j] = lrp_text_filler(model, i, j);
      else
        lrp_reals(to)[k * room + j] = (lrp_real)lrp_text_filler(model, i, j);
  }
}

lrp_status lrp_input_stack(lrp_ctx *ctx, const lrp_model *model, const lrp_input *const *part,
                           int64_t n, lrp_input **out)
{
  lrp_input *all = NULL;
  *out = NULL;
  if (n < 1) return lrp_fail(ctx, LRP_E_ARG, "%lld samples; at least 1 was expected", (long long)n);
  lrp_status st = lrp_input_new(ctx, model, part[0]->kind, NULL, &all);
  for (int32_t i = 0; !st && i < all->n_tensor; i++) {
    int64_t shape[LRP_MAX_RANK];
    const lrp_signature *sig = lrp_model_input(model, i);
    const int32_t rank = part[0]->tensor[i].rank;
    st = stacked_shape(ctx, model, part, n, i, shape);
    if (!st) st = lrp_input_check(ctx, "a batch", sig, rank, shape);
    if (!st) st = lrp_input_tensor(ctx, all, i, sig, rank, shape);
    if (!st) copy_samples(model, part, n, i, &all->tensor[i]);
  }
  if (st)
    lrp_input_free(all);
  else
    *out = all;
  return st;
}
