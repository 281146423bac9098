/* registry.c - layer types and rules by name, and the plugins they come from. */
#include "registry.h"
#include "where.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
  const char *name;
  const void *thing; /* lrp_layer_type or lrp_rule */
  const lrp_owned *by;
} entry;
typedef struct table { /* sorted by name */
  entry *v;
  size_t n, room;
} table;
struct lrp_registry {
  lrp_owned **plugin; /* in the order they came; each stays where it is, its info is handed out */
  size_t n, room;
  table layer, rule;
  lrp_offer *offer; /* sorted by the operator's name, then by the layer type's */
  size_t n_offer, room_offer;
};

lrp_registry *lrp_registry_new(void)
{
  return calloc(1, sizeof(lrp_registry));
}

static void owned_free(lrp_owned *owned)
{
  if (!owned) return;
  free(owned->path);
  free(owned);
}

void lrp_registry_free(lrp_registry *r)
{
  if (!r) return;
  for (size_t i = 0; i < r->n; i++)
    owned_free(r->plugin[i]);
  free(r->plugin);
  free(r->offer);
  free(r->layer.v);
  free(r->rule.v);
  free(r);
}

/* Where name is, or where it would go. */
static size_t place(const table *t, const char *name, bool *found)
{
  size_t low = 0, high = t->n;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(t->v[middle].name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  *found = low < t->n && strcmp(t->v[low].name, name) == 0;
  return low;
}

static const entry *find(const table *t, const char *name)
{
  bool found;
  size_t i = place(t, name, &found);
  return found ? &t->v[i] : NULL;
}

static void insert(table *t, const char *name, const void *thing, const lrp_owned *by)
{
  bool found;
  size_t i = place(t, name, &found);
  memmove(&t->v[i + 1], &t->v[i], (t->n - i) * sizeof *t->v);
  t->v[i] = (entry){name, thing, by};
  t->n++;
}

/* Room for `more` elements and one to spare, so that what follows cannot fail; NULL: no memory, the
 * old array stays. */
static void *reserve(void *array, size_t *room, size_t n, size_t more, size_t element)
{
  size_t wanted = n + more + 1, bytes;
  if (array && wanted <= *room) return array;
  wanted += wanted / 2;
  if (!lrp_mul_size(wanted, element, &bytes)) return NULL;
  void *grown = realloc(array, bytes);
  if (grown) *room = wanted;
  return grown;
}

static bool reserve_entries(table *t, size_t more)
{
  entry *v = reserve(t->v, &t->room, t->n, more, sizeof *v);
  if (v) t->v = v;
  return v != NULL;
}

static bool reserve_plugin(lrp_registry *r)
{
  lrp_owned **v = reserve(r->plugin, &r->room, r->n, 1, sizeof *v);
  if (v) r->plugin = v;
  return v != NULL;
}

/* ---- operators ---- */

static size_t count_operators(const lrp_layer_type *type)
{
  size_t n = 0;
  while (type->operators && type->operators[n].name)
    n++;
  return n;
}

static int compare_offers(const lrp_offer *a, const char *operator_name, const char *layer_name)
{
  const int c = strcmp(a->op->name, operator_name);
  return c || !layer_name ? c : strcmp(a->type->name, layer_name);
}

/* The first offer that is not before (after: that is behind) these names. */
static size_t offer_place(const lrp_registry *r, const char *op, const char *layer, bool after)
{
  size_t low = 0, high = r->n_offer;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (compare_offers(&r->offer[middle], op, layer) < after)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void insert_offers(lrp_registry *r, const lrp_layer_type *type)
{
  for (size_t k = 0, n = count_operators(type); k < n; k++) {
    const lrp_operator *op = &type->operators[k];
    const size_t i = offer_place(r, op->name, type->name, true);
    memmove(&r->offer[i + 1], &r->offer[i], (r->n_offer - i) * sizeof *r->offer);
    r->offer[i] = (lrp_offer){op, type};
    r->n_offer++;
  }
}

const lrp_offer *lrp_offers(const lrp_ctx *ctx, const char *operator_name, int64_t *n)
{
  const lrp_registry *r = ctx->registry;
  const size_t begin = offer_place(r, operator_name, NULL, false),
               end = offer_place(r, operator_name, NULL, true);
  *n = (int64_t)(end - begin);
  return r->offer + begin;
}

/* ---- adding a plugin ---- */

static lrp_status refuse(lrp_ctx *ctx, const lrp_plugin *p, const char *path, const char *kind,
                         const char *name, const entry *other)
{
  const char *where =
      other && *other->by->info.path ? other->by->info.path : "linked into the program";
  const char *who = *path ? path : p->name;
  if (!other)
    return lrp_fail(ctx, LRP_E_ABI,
                    "%s: the plugin offers two things named \"%s\"; rename one of them", who, name);
  return lrp_fail(
      ctx, LRP_E_ABI,
      "%s: offers the %s \"%s\", which plugin %s %s (%s) offers already; rename one of them", who,
      kind, name, other->by->info.plugin->name, other->by->info.plugin->version, where);
}

static const entry *known(const lrp_registry *r, const char *name)
{
  const entry *e = find(&r->layer, name);
  return e ? e : find(&r->rule, name);
}

/* A layer type and a rule may not share a name either: lrp_owner() finds both by it. */
static lrp_status check_names(lrp_ctx *ctx, const lrp_plugin *p, const char *path)
{
  const lrp_registry *r = ctx->registry;
  for (size_t i = 0; p->layers && p->layers[i]; i++) {
    const char *name = p->layers[i]->name;
    if (known(r, name)) return refuse(ctx, p, path, "layer type", name, known(r, name));
    for (size_t j = 0; j < i; j++)
      if (strcmp(name, p->layers[j]->name) == 0)
        return refuse(ctx, p, path, "layer type", name, NULL);
  }
  for (size_t i = 0; p->rules && p->rules[i]; i++) {
    const char *name = p->rules[i]->name;
    if (known(r, name)) return refuse(ctx, p, path, "rule", name, known(r, name));
    for (size_t j = 0; j < i; j++)
      if (strcmp(name, p->rules[j]->name) == 0) return refuse(ctx, p, path, "rule", name, NULL);
    for (size_t j = 0; p->layers && p->layers[j]; j++)
      if (strcmp(name, p->layers[j]->name) == 0) return refuse(ctx, p, path, "rule", name, NULL);
  }
  return LRP_OK;
}

lrp_status lrp_registry_check(lrp_ctx *ctx, const lrp_plugin *plugin, const char *path)
{
  lrp_status status = lrp_check_plugin(ctx, plugin, path);
  return status ? status : check_names(ctx, plugin, path);
}

static lrp_owned *owned_new(const lrp_plugin *plugin, const char *path)
{
  lrp_owned *owned = calloc(1, sizeof *owned);
  if (!owned) return NULL;
  owned->path = malloc(strlen(path) + 1);
  if (!owned->path) {
    free(owned);
    return NULL;
  }
  memcpy(owned->path, path, strlen(path) + 1);
  owned->info = (lrp_plugin_info){plugin, owned->path, owned->sha256};
  return owned;
}

lrp_status lrp_registry_add(lrp_ctx *ctx, const lrp_plugin *plugin, const char *path,
                            const lrp_plugin_info **out)
{
  lrp_registry *r = ctx->registry;
  size_t n_layer = 0, n_rule = 0;
  lrp_status status = lrp_registry_check(ctx, plugin, path);
  if (status) return status;
  while (plugin->layers && plugin->layers[n_layer])
    n_layer++;
  while (plugin->rules && plugin->rules[n_rule])
    n_rule++;
  size_t n_offer = 0;
  for (size_t i = 0; i < n_layer; i++)
    n_offer += count_operators(plugin->layers[i]);
  lrp_owned *owned = owned_new(plugin, path);
  lrp_offer *offer = reserve(r->offer, &r->room_offer, r->n_offer, n_offer, sizeof *offer);
  if (offer) r->offer = offer;
  if (!owned || !offer || !reserve_plugin(r) || !reserve_entries(&r->layer, n_layer) ||
      !reserve_entries(&r->rule, n_rule)) {
    owned_free(owned);
    return lrp_nomem(ctx, "the list of plugins");
  }
  r->plugin[r->n++] = owned;
  for (size_t i = 0; i < n_layer; i++) {
    insert(&r->layer, plugin->layers[i]->name, plugin->layers[i], owned);
    insert_offers(r, plugin->layers[i]);
  }
  for (size_t i = 0; i < n_rule; i++)
    insert(&r->rule, plugin->rules[i]->name, plugin->rules[i], owned);
  if (out) *out = &owned->info;
  return LRP_OK;
}

const lrp_plugin_info *lrp_registry_of(const lrp_registry *r, const lrp_plugin *plugin)
{
  for (size_t i = 0; i < r->n; i++)
    if (r->plugin[i]->info.plugin == plugin) return &r->plugin[i]->info;
  return NULL;
}

/* ---- reading ---- */

/* The file is hashed when somebody first asks: starting up does not read 20 files. */
static const lrp_plugin_info *with_hash(const lrp_owned *by)
{
  lrp_owned *owned = (lrp_owned *)(uintptr_t)by; /* ours; const only to those who look names up */
  char program[LRP_PATH_MAX];
  if (*owned->sha256) return &owned->info;
  const char *file = *owned->path ? owned->path : lrp_program(program, sizeof program);
  if (!file || lrp_sha256_file(NULL, file, owned->sha256)) owned->sha256[0] = '\0';
  return &owned->info;
}

int64_t lrp_n_plugin(const lrp_ctx *ctx)
{
  return (int64_t)ctx->registry->n;
}

const lrp_plugin_info *lrp_plugin_at(const lrp_ctx *ctx, int64_t i)
{
  const lrp_registry *r = ctx->registry;
  return i >= 0 && (size_t)i < r->n ? with_hash(r->plugin[i]) : NULL;
}

int64_t lrp_n_layer(const lrp_ctx *ctx)
{
  return (int64_t)ctx->registry->layer.n;
}

const lrp_layer_type *lrp_layer_at(const lrp_ctx *ctx, int64_t i)
{
  const table *t = &ctx->registry->layer;
  return i >= 0 && (size_t)i < t->n ? t->v[i].thing : NULL;
}

int64_t lrp_n_rule(const lrp_ctx *ctx)
{
  return (int64_t)ctx->registry->rule.n;
}

const lrp_rule *lrp_rule_at(const lrp_ctx *ctx, int64_t i)
{
  const table *t = &ctx->registry->rule;
  return i >= 0 && (size_t)i < t->n ? t->v[i].thing : NULL;
}

const lrp_plugin_info *lrp_owner(const lrp_ctx *ctx, const char *name)
{
  const entry *e = known(ctx->registry, name);
  return e ? with_hash(e->by) : NULL;
}

static void not_found(lrp_ctx *ctx, const table *t, const char *what, const char *name)
{
  const char **names = t->n ? malloc(t->n * sizeof *names) : NULL;
  for (size_t i = 0; names && i < t->n; i++)
    names[i] = t->v[i].name;
  const char *near = names ? lrp_nearest(name, names, t->n) : NULL;
  if (near)
    lrp_fail(ctx, LRP_E_UNSUPPORTED, "there is no %s \"%.80s\"; did you mean \"%s\"?", what, name,
             near);
  else if (ctx->registry->n == 0)
    lrp_fail(ctx, LRP_E_UNSUPPORTED,
             "there is no %s \"%.80s\": no plugin is open; `lrp plugin path` shows where they are "
             "searched",
             what, name);
  else
    lrp_fail(ctx, LRP_E_UNSUPPORTED, "there is no %s \"%.80s\"; `lrp %s` lists all", what, name,
             t == &ctx->registry->rule ? "rules" : "layers");
  free(names);
}

const lrp_layer_type *lrp_find_layer(lrp_ctx *ctx, const char *name)
{
  const entry *e = find(&ctx->registry->layer, name);
  if (!e) not_found(ctx, &ctx->registry->layer, "layer type", name);
  return e ? e->thing : NULL;
}

/* Plain names mean what zennit computes: zennit:gamma is gamma. */
const lrp_rule *lrp_find_rule(lrp_ctx *ctx, const char *name)
{
  const entry *e = find(&ctx->registry->rule, name);
  if (!e && !strncmp(name, "zennit:", 7)) e = find(&ctx->registry->rule, name + 7);
  if (!e) not_found(ctx, &ctx->registry->rule, "rule", name);
  return e ? e->thing : NULL;
}
