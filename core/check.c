/* check.c - all checks of a plugin's file, told line by line. */
#include "story.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* One value; what: as the argument would be written. */
static void try_value(const lrp_arg *list, uint32_t i, lrp_value *args, lrp_value v,
                      lrp_ends_fn *each, void *user)
{
  char what[120];
  lrp_value before = args[i];
  const lrp_arg one[] = {list[i], LRP_ARGS_END};
  args[i] = v;
  lrp_args_print(one, &v, what, sizeof what);
  each(args, what, user);
  args[i] = before;
}

/* The ends of a real or whole argument; just inside of an end that is excluded. */
static void try_range(const lrp_arg *list, uint32_t i, lrp_value *args, lrp_ends_fn *each,
                      void *user)
{
  const lrp_arg *a = &list[i];
  const double end[] = {a->min, a->max};
  if (!(a->min < a->max)) return;
  for (int k = 0; k < 2; k++) {
    bool open = a->flags & (k ? LRP_ARG_OPEN_MAX : LRP_ARG_OPEN_MIN);
    if (!isfinite(end[k]) || fabs(end[k]) > 0x1p53) continue;
    if (a->type == LRP_ARG_INT) {
      try_value(list, i, args, (lrp_value){.i = (int64_t)end[k] + (open ? 1 - 2 * k : 0)}, each,
                user);
    } else {
      double inside = fabs(end[k]) > 0 ? end[k] * (1 + (k ? -1e-6 : 1e-6) * (end[k] > 0 ? 1 : -1))
                                       : (k ? -1e-6 : 1e-6);
      try_value(list, i, args, (lrp_value){.real = open ? inside : end[k]}, each, user);
    }
  }
}

static int64_t n_choices(const char *choices)
{
  int64_t n = 1;
  for (; *choices; choices++)
    n += *choices == '|';
  return n;
}

void lrp_for_ends(const lrp_arg *list, lrp_value *args, lrp_ends_fn *each, void *user)
{
  for (uint32_t i = 0; i < lrp_args_count(list); i++) {
    int64_t n = list[i].type == LRP_ARG_BOOL     ? 2
                : list[i].type == LRP_ARG_CHOICE ? n_choices(list[i].choices)
                                                 : 0;
    for (int64_t k = 0; k < n; k++)
      try_value(list, i, args, (lrp_value){.i = k}, each, user);
    if (list[i].type == LRP_ARG_REAL || list[i].type == LRP_ARG_INT)
      try_range(list, i, args, each, user);
  }
}

static lrp_status verdict(lrp_ctx *ctx, const char *what, const lrp_story *story)
{
  if (!story->n_failed) return LRP_OK;
  return lrp_fail(ctx, LRP_E_ABI, "%s: %" PRId64 " check%s failed", what, story->n_failed,
                  story->n_failed == 1 ? "" : "s");
}

lrp_status lrp_layer_check(lrp_ctx *ctx, const lrp_layer_type *type, lrp_check_fn *tell, void *user)
{
  lrp_story story = {tell, user, 0};
  lrp_story_layer(ctx, type, &story);
  return verdict(ctx, type->name, &story);
}

lrp_status lrp_rule_check(lrp_ctx *ctx, const lrp_rule *rule, lrp_check_fn *tell, void *user)
{
  lrp_story story = {tell, user, 0};
  lrp_story_rule(ctx, rule, &story);
  return verdict(ctx, rule->name, &story);
}

lrp_status lrp_plugin_check(lrp_ctx *ctx, const char *path, lrp_check_fn *tell, void *user)
{
  lrp_story story = {tell, user, 0};
  const lrp_plugin_info *info = NULL;
  lrp_status status = lrp_loader_open(ctx, path, &story, &info);
  if (status) return status;
  for (size_t i = 0; info->plugin->layers && info->plugin->layers[i]; i++)
    lrp_story_layer(ctx, info->plugin->layers[i], &story);
  for (size_t i = 0; info->plugin->rules && info->plugin->rules[i]; i++)
    lrp_story_rule(ctx, info->plugin->rules[i], &story);
  return verdict(ctx, info->path, &story);
}
