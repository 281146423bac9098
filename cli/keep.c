/* keep.c - a copy of a relevance, which the graph overwrites with its next explanation. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

size_t cli_keep_bytes(const lrp_relevance *r, int64_t batch, int64_t n_node)
{
  const size_t n_batch = (size_t)batch, n_tensor = (size_t)r->n_tensor;
  size_t n = sizeof *r + n_tensor * sizeof(lrp_tensor) + 2 * n_batch * sizeof(double) +
             (size_t)n_node * n_batch * sizeof(lrp_ledger) + 16 * (n_tensor + 8);
  for (size_t i = 0; i < n_tensor; i++)
    n += r->tensor[i].data ? (size_t)lrp_count(&r->tensor[i]) * sizeof(lrp_real) : 0;
  return n;
}

static void *copied(char **to, const void *from, size_t n)
{
  void *at = *to;
  if (!from) return NULL;
  memcpy(at, from, n);
  *to += (n + 15) / 16 * 16;
  return at;
}

lrp_relevance *cli_keep(const lrp_relevance *r, int64_t batch, int64_t n_node)
{
  const size_t n_batch = (size_t)batch;
  char *memory = malloc(cli_keep_bytes(r, batch, n_node)), *to = memory;
  if (!memory) return NULL;
  lrp_relevance *out = copied(&to, r, sizeof *r);
  lrp_tensor *tensor = copied(&to, r->tensor, (size_t)r->n_tensor * sizeof *tensor);
  for (int32_t i = 0; i < r->n_tensor; i++)
    tensor[i].data =
        copied(&to, r->tensor[i].data, (size_t)lrp_count(&r->tensor[i]) * sizeof(lrp_real));
  out->tensor = tensor;
  out->value = copied(&to, r->value, n_batch * sizeof(double));
  out->sum = copied(&to, r->sum, n_batch * sizeof(double));
  out->ledger = copied(&to, r->ledger, (size_t)n_node * n_batch * sizeof(lrp_ledger));
  return out;
}

/* Sample number `which` of `batch`, as long as alone; the array of one sample is taken as it is. */
static lrp_tensor part_of(const lrp_tensor *t, int64_t which, int64_t batch, const lrp_tensor *own)
{
  lrp_tensor part = *t;
  if (batch < 2) return part;
  if (t->data) part.data = lrp_reals(t) + which * (lrp_count(t) / batch);
  part.rank = own->rank;
  memcpy(part.shape, own->shape, sizeof part.shape);
  return part;
}

lrp_relevance *cli_keep_sample(const lrp_relevance *r, int64_t which, int64_t batch, int64_t n_node,
                               const lrp_input *own)
{
  lrp_relevance one = *r;
  lrp_tensor *tensor = malloc(((size_t)r->n_tensor + 1) * sizeof *tensor);
  lrp_ledger *ledger = malloc(((size_t)n_node + 1) * sizeof *ledger);
  for (int32_t i = 0; tensor && i < r->n_tensor; i++)
    tensor[i] = part_of(&r->tensor[i], which, batch, &own->tensor[i]);
  for (int64_t i = 0; ledger && i < n_node; i++)
    ledger[i] = r->ledger[i * batch + which];
  one.tensor = tensor;
  one.ledger = ledger;
  one.value = r->value + which;
  one.sum = r->sum + which;
  one.wall_ns = r->wall_ns / batch;
  lrp_relevance *out = tensor && ledger ? cli_keep(&one, 1, n_node) : NULL;
  free(tensor);
  free(ledger);
  return out;
}
