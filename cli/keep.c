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

static void *taken(char **to, size_t n)
{
  void *at = *to;
  *to += (n + 15) / 16 * 16;
  return at;
}

static void *copied(char **to, const void *from, size_t n)
{
  return from ? memcpy(taken(to, n), from, n) : NULL;
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

/* ---- parts of a batch ---- */

lrp_relevance *cli_keep_room(const lrp_relevance *part, int64_t n, int64_t all, int64_t n_node)
{
  const size_t times = (size_t)((all + n - 1) / n), sums = (size_t)all * sizeof(double);
  char *memory = malloc(times * cli_keep_bytes(part, n, n_node)), *to = memory;
  if (!memory) return NULL;
  lrp_relevance *out = copied(&to, part, sizeof *part);
  lrp_tensor *tensor = copied(&to, part->tensor, (size_t)part->n_tensor * sizeof *tensor);
  for (int32_t i = 0; i < part->n_tensor; i++) {
    tensor[i].shape[0] = all;
    if (tensor[i].data) tensor[i].data = taken(&to, (size_t)lrp_count(&tensor[i]) * sizeof(lrp_real));
  }
  out->tensor = tensor;
  out->value = taken(&to, sums);
  out->sum = taken(&to, sums);
  out->ledger = taken(&to, (size_t)(n_node * all) * sizeof(lrp_ledger));
  out->wall_ns = 0;
  return out;
}

/* What a header calls constant is in the room. */
static void put(const void *room, size_t at, const void *from, size_t n)
{
  union {
    const void *seen;
    char *own;
  } to = {.seen = room};
  memcpy(to.own + at, from, n);
}

void cli_keep_part(lrp_relevance *room, int64_t all, int64_t first, const lrp_relevance *part, int64_t n,
                   int64_t n_node)
{
  const size_t real = sizeof(lrp_real), row = sizeof(lrp_ledger), sum = sizeof(double), at = (size_t)first,
               size = (size_t)n;
  for (int32_t i = 0; i < part->n_tensor; i++) {
    const size_t each = (size_t)(lrp_count(&part->tensor[i]) / n) * real;
    if (part->tensor[i].data && room->tensor[i].data)
      put(room->tensor[i].data, at * each, part->tensor[i].data, size * each);
  }
  put(room->value, at * sum, part->value, size * sum);
  put(room->sum, at * sum, part->sum, size * sum);
  for (int64_t i = 0; i < n_node; i++)
    put(room->ledger, (size_t)(i * all + first) * row, part->ledger + i * n, size * row);
  room->wall_ns += part->wall_ns;
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
