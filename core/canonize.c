/* canonize.c - the list of canonizers, and which of them run: all, none, or those that a list names.  Each pass is a file
 * with its pattern drawn at its head (fuse.c, dense_conv.c, merge_affine.c, merge_ahead.c, final_softmax.c); the forms that
 * fuse.c looks for are with the layer types that they stand for. */
#include "canonize.h"
#include <stdio.h>
#include <string.h>

static const struct pass {
  const char *name;
  lrp_status (*run)(lrp_ctx *, lrp_graph *);
} PASSES[] = {{"dense_conv", lrp_dense_conv},
              {"merge_affine", lrp_merge_affine},
              {"merge_ahead", lrp_merge_ahead},
              {"final_softmax", lrp_final_softmax}};
enum { N_PASS = sizeof PASSES / sizeof PASSES[0] };

/* The next name of a list, without its sign; *take: it has none. */
static const char *next_name(const char **list, size_t *n, bool *take)
{
  const char *p = *list;
  *take = *p != '-';
  p += !*take;
  *n = strcspn(p, ",");
  *list = p + *n + (p[*n] == ',');
  return p;
}

static bool is(const char *p, size_t n, const char *name)
{
  return strlen(name) == n && !strncmp(p, name, n);
}

bool lrp_canonizer_wanted(const char *list, const char *name, bool form)
{
  bool wanted = !list || !*list || *list == '-', take;
  size_t n;
  while (list && *list) {
    const char *p = next_name(&list, &n, &take);
    if (is(p, n, name) || is(p, n, "all") || (form && is(p, n, "fuse")))
      wanted = take;
    else if (is(p, n, "none"))
      wanted = !take;
  }
  return wanted;
}

/* The i-th form of a layer type; NULL: it has no more.  *name: what --canonize calls it. */
static const lrp_pattern *form_of(const lrp_layer_type *t, int64_t i, const char **name)
{
  const lrp_pattern *p = LRP_HAS(lrp_layer_type, t, patterns) ? t->patterns : NULL;
  for (; p && p->form && i > 0; i--)
    p++;
  if (!p || !p->form) return NULL;
  *name = p->name ? p->name : t->name;
  return p;
}

static bool form_known(const lrp_ctx *ctx, const char *text, size_t n)
{
  const char *name;
  for (int64_t k = 0; k < lrp_n_layer(ctx); k++)
    for (int64_t i = 0; form_of(lrp_layer_at(ctx, k), i, &name); i++)
      if (is(text, n, name)) return true;
  return false;
}

static bool known(const lrp_ctx *ctx, const char *p, size_t n)
{
  bool yes = is(p, n, "all") || is(p, n, "none") || is(p, n, "fuse") || form_known(ctx, p, n);
  for (int i = 0; i < N_PASS; i++)
    yes = yes || is(p, n, PASSES[i].name);
  return yes;
}

/* Every form's name once, with commas between. */
static void all_forms(const lrp_ctx *ctx, char *out, size_t room)
{
  const char *name, *before = "";
  size_t used = 0;
  out[0] = 0;
  for (int64_t k = 0; k < lrp_n_layer(ctx); k++)
    for (int64_t i = 0; form_of(lrp_layer_at(ctx, k), i, &name); i++) {
      if (strcmp(name, before) && used + strlen(name) + 3 < room)
        used += (size_t)snprintf(out + used, room - used, "%s%s", used ? ", " : "", name);
      before = name;
    }
}

static lrp_status check_list(lrp_ctx *ctx, const char *list)
{
  char forms[1024];
  size_t n;
  bool take;
  while (list && *list) {
    const char *p = next_name(&list, &n, &take);
    if (known(ctx, p, n)) continue;
    all_forms(ctx, forms, sizeof forms);
    return lrp_fail(
        ctx, LRP_E_ARG,
        "canonizer \"%.*s\" is not known; all, none, dense_conv, merge_affine, merge_ahead, "
        "final_softmax and "
        "fuse are, and the forms that fuse stands for: %s; a minus before a name leaves it out",
        (int)n, p, forms);
  }
  return LRP_OK;
}

lrp_status lrp_canonize(lrp_ctx *ctx, lrp_graph *g, const char *which)
{
  lrp_status st = check_list(ctx, which);
  if (!st) st = lrp_fuse(ctx, g, which);
  for (int i = 0; !st && i < N_PASS; i++)
    if (lrp_canonizer_wanted(which, PASSES[i].name, false)) st = PASSES[i].run(ctx, g);
  return st;
}
