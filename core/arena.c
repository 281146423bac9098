/* arena.c - memory that is freed at once: a chain of growing blocks.
 *
 * Blocks that a release sets free are kept as spares, so the scratch memory of one callback serves
 * the next without a trip to the system; where none is large enough, they go.  Bytes of small blocks
 * that were never handed out are known to be zero (calloc) and are not cleared again.  Under
 * AddressSanitizer all that is not handed out is poisoned. */
#include "core.h"
#include <stdlib.h>
#include <string.h>

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* clang's way to say what gcc says so */
#endif
#endif
#if defined __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGN = 64 }; /* a cache line, and the widest vector register */
enum {
  FIRST_BLOCK = 1 << 16,
  LARGE = 1 << 21, /* above it blocks may be of any content, to lie in large pages */
  LAST_DOUBLING = 1 << 26
}; /* above it blocks are as large as asked for */

struct lrp_block {
  lrp_block *below;
  void *raw; /* what is to be freed */
  unsigned char *data;
  size_t size, fill, dirty; /* from dirty on every byte is still zero */
};

static lrp_block *block_new(size_t size)
{
  const size_t head = (sizeof(lrp_block) + ALIGN - 1) / ALIGN * ALIGN;
  const bool large = size > LARGE;
  unsigned char *raw = large ? lrp_pages_alloc(head + size) : calloc(1, head + size + ALIGN);
  if (!raw) return NULL;
  unsigned char *start = raw + (ALIGN - (uintptr_t)raw % ALIGN) % ALIGN;
  lrp_block *block = (lrp_block *)(void *)start;
  *block = (lrp_block){.raw = raw, .data = start + head, .size = size, .dirty = large ? size : 0};
  POISON(block->data, size);
  return block;
}

static void block_free(lrp_arena *arena, lrp_block *block)
{
  arena->held -= block->size;
  UNPOISON(block->data, block->size);
  free(block->raw);
}

static void drop_spares(lrp_arena *arena)
{
  while (arena->spare) {
    lrp_block *block = arena->spare;
    arena->spare = block->below;
    block_free(arena, block);
  }
}

/* The smallest spare block with room for size bytes, taken off its chain; NULL: none has. */
static lrp_block *spare_for(lrp_arena *arena, size_t size)
{
  lrp_block **best = NULL;
  for (lrp_block **at = &arena->spare; *at; at = &(*at)->below)
    if ((*at)->size >= size && (!best || (*at)->size < (*best)->size)) best = at;
  lrp_block *block = best ? *best : NULL;
  if (block) *best = block->below;
  return block;
}

static bool may_hold(const lrp_arena *arena, size_t more)
{
  return !arena->most || (arena->held <= arena->most && more <= arena->most - arena->held);
}

/* A block with room for size bytes on top of the chain: a spare one if any fits. */
static bool push(lrp_arena *arena, size_t size)
{
  lrp_block *block = spare_for(arena, size);
  if (!block) {
    drop_spares(arena);
    size_t grown = arena->top ? 2 * arena->top->size : FIRST_BLOCK;
    if (grown > LAST_DOUBLING) grown = LAST_DOUBLING;
    if (!may_hold(arena, grown) || size > grown) grown = size;
    arena->refused = !may_hold(arena, grown);
    block = arena->refused ? NULL : block_new(grown);
    if (!block) return false;
    arena->held += grown;
  }
  block->below = arena->top;
  block->fill = 0;
  arena->top = block;
  return true;
}

/* Take the top block off; it becomes a spare one. */
static void pop(lrp_arena *arena)
{
  lrp_block *block = arena->top;
  arena->top = block->below;
  POISON(block->data, block->size);
  block->below = arena->spare;
  arena->spare = block;
}

static void *take(lrp_arena *arena, size_t bytes, bool zero)
{
  arena->refused = false;
  if (bytes > LRP_MAX_BYTES) return NULL;
  size_t size = (bytes ? (bytes + ALIGN - 1) / ALIGN : 1) * ALIGN;
  lrp_block *block = arena->top;
  if (!block || block->size - block->fill < size) {
    if (!push(arena, size)) return NULL;
    block = arena->top;
  }
  unsigned char *out = block->data + block->fill;
  UNPOISON(out, bytes);
  if (zero && block->fill < block->dirty) {
    size_t old = block->dirty - block->fill;
    memset(out, 0, old < bytes ? old : bytes);
  }
  block->fill += size;
  if (block->dirty < block->fill) block->dirty = block->fill;
  arena->used += size;
  if (arena->peak < arena->used) arena->peak = arena->used;
  return out;
}

void *lrp_arena_alloc(lrp_arena *arena, size_t bytes)
{
  return take(arena, bytes, true);
}

void *lrp_arena_raw(lrp_arena *arena, size_t bytes)
{
  return take(arena, bytes, false);
}

lrp_mark lrp_arena_mark(const lrp_arena *arena)
{
  return (lrp_mark){arena->top, arena->top ? arena->top->fill : 0, arena->used};
}

void lrp_arena_release(lrp_arena *arena, lrp_mark mark)
{
  while (arena->top && arena->top != mark.top)
    pop(arena);
  if (arena->top) {
    arena->top->fill = mark.fill;
    POISON(arena->top->data + mark.fill, arena->top->size - mark.fill);
  }
  arena->used = mark.used;
}

void lrp_arena_free(lrp_arena *arena)
{
  while (arena->top) {
    lrp_block *block = arena->top;
    arena->top = block->below;
    block_free(arena, block);
  }
  drop_spares(arena);
  *arena = (lrp_arena){0};
}

char *lrp_arena_text(lrp_arena *arena, const char *s, size_t n)
{
  char *copy = n < LRP_MAX_BYTES ? lrp_arena_alloc(arena, n + 1) : NULL;
  if (copy && n) memcpy(copy, s, n);
  return copy;
}
