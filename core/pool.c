/* pool.c - aligned buffers for the tensors of a graph, handed back and used again; a best fit over
 * a short list. */
#include "graph.h"
#include <stdlib.h>
#include <string.h>

typedef struct buffer {
  void *data;
  size_t size;
  bool busy;
} buffer;
struct lrp_pool {
  buffer *buffer;
  size_t n, cap, total, peak;
};

lrp_pool *lrp_pool_new(void)
{
  return calloc(1, sizeof(lrp_pool));
}

/* The smallest idle buffer that is large enough but not wasteful. */
static buffer *pool_fit(lrp_pool *pool, size_t bytes)
{
  buffer *best = NULL;
  for (size_t i = 0; i < pool->n; i++) {
    buffer *b = &pool->buffer[i];
    if (!b->busy && b->size >= bytes && b->size <= 2 * bytes + 4096 &&
        (!best || b->size < best->size))
      best = b;
  }
  return best;
}

static void pool_drop_idle(lrp_pool *pool)
{
  size_t kept = 0;
  for (size_t i = 0; i < pool->n; i++) {
    if (pool->buffer[i].busy) {
      pool->buffer[kept++] = pool->buffer[i];
    } else {
      pool->total -= pool->buffer[i].size;
      free(pool->buffer[i].data);
    }
  }
  pool->n = kept;
}

static buffer *pool_grow(lrp_ctx *ctx, lrp_pool *pool, size_t bytes)
{
  const size_t size = bytes / 64 * 64 + 64, limit = ctx->memory_limit, scratch = ctx->scratch.held;
  if (limit && pool->total + size + scratch > limit) pool_drop_idle(pool);
  if (limit && pool->total + size + scratch > limit) return lrp_over_limit(ctx), NULL;
  if (pool->n == pool->cap) {
    const size_t cap = pool->cap ? 2 * pool->cap : 64;
    buffer *grown = realloc(pool->buffer, cap * sizeof *grown);
    if (!grown) return lrp_nomem(ctx, "tensors"), NULL;
    pool->buffer = grown;
    pool->cap = cap;
  }
  buffer *b = &pool->buffer[pool->n];
  *b = (buffer){.data = lrp_pages_alloc(size), .size = size};
  if (!b->data) return lrp_nomem(ctx, "tensors"), NULL;
  pool->n++;
  pool->total += size;
  if (pool->total > pool->peak) pool->peak = pool->total;
  if (limit) ctx->scratch.most = limit - pool->total; /* working memory has what tensors leave */
  return b;
}

void *lrp_pool_get(lrp_ctx *ctx, lrp_pool *pool, size_t bytes, bool zero)
{
  buffer *b = pool_fit(pool, bytes);
  if (!b) b = pool_grow(ctx, pool, bytes);
  if (!b) return NULL;
  b->busy = true;
  if (zero) memset(b->data, 0, bytes);
  return b->data;
}

void lrp_pool_put(lrp_pool *pool, void *data)
{
  for (size_t i = pool->n; data && i-- > 0;)
    if (pool->buffer[i].data == data) {
      pool->buffer[i].busy = false;
      return;
    }
}

void lrp_pool_free(lrp_pool *pool)
{
  if (!pool) return;
  for (size_t i = 0; i < pool->n; i++)
    free(pool->buffer[i].data);
  free(pool->buffer);
  free(pool);
}

size_t lrp_pool_peak(const lrp_pool *pool)
{
  return pool->peak;
}
