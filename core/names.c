/* names.c - a table from names to numbers. */
#include "names.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* FNV-1a over a keyed start, finished by a mix: enough against accidental and simple chosen
 * collisions. */
static uint64_t hash(uint64_t key, const char *s)
{
  uint64_t h = 0xcbf29ce484222325u ^ key;
  for (; *s; s++)
    h = (h ^ (uint8_t)*s) * 0x100000001b3u;
  h ^= key >> 17;
  h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
  return h ^ (h >> 29);
}

static struct lrp_name *slot_for(const lrp_names *t, const char *name)
{
  size_t i = (size_t)hash(t->key, name) & (t->cap - 1);
  while (t->slot[i].name && strcmp(t->slot[i].name, name))
    i = (i + 1) & (t->cap - 1);
  return &t->slot[i];
}

static lrp_status grow(lrp_ctx *ctx, lrp_names *t)
{
  lrp_names bigger = {.cap = t->cap ? 2 * t->cap : 64, .n = t->n, .key = t->key};
  if (!t->cap) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    bigger.key = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)t;
  }
  bigger.slot = calloc(bigger.cap, sizeof *bigger.slot);
  if (!bigger.slot) return lrp_nomem(ctx, "names");
  for (size_t i = 0; i < t->cap; i++)
    if (t->slot[i].name) *slot_for(&bigger, t->slot[i].name) = t->slot[i];
  free(t->slot);
  *t = bigger;
  return LRP_OK;
}

lrp_status lrp_names_add(lrp_ctx *ctx, lrp_names *t, const char *name, int32_t value)
{
  if (2 * (t->n + 1) > t->cap) {
    const lrp_status st = grow(ctx, t);
    if (st) return st;
  }
  struct lrp_name *s = slot_for(t, name);
  t->n += !s->name;
  *s = (struct lrp_name){name, value};
  return LRP_OK;
}

int32_t lrp_names_find(const lrp_names *t, const char *name)
{
  if (!t->n) return -1;
  const struct lrp_name *s = slot_for(t, name);
  return s->name ? s->value : -1;
}

void lrp_names_free(lrp_names *t)
{
  free(t->slot);
  *t = (lrp_names){0};
}
