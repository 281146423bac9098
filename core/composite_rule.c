/* composite_rule.c - the right side of a line of a composite: a rule, its arguments, a filter. */
#include "composite_read.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The model's input box in units of its tensor, per channel: (0 - mean) / std and (1 - mean) /
 * std. */
static lrp_status box_text(const lrp_composite_reader *r, bool high, char *out, size_t n)
{
  const lrp_preprocess *p = r->model ? lrp_model_about(r->model)->preprocess : NULL;
  if (!p)
    return lrp_composite_complain(
        r,
        "the word \"model\" stands for the bounds of the model's inputs, which come from "
        "preprocessor_config.json in its folder; give numbers instead, as in zbox(low=-3, high=3)");
  size_t used = 0;
  const int64_t channels = p->channels > 0 ? p->channels : 3;
  const double top = p->do_rescale ? 255 * p->rescale : 255;
  for (int64_t c = 0; c < channels && c < 4; c++) {
    const double raw = high ? top : 0;
    const double v = p->do_normalize && p->std[c] != 0 ? (raw - p->mean[c]) / p->std[c] : raw;
    const int w = snprintf(out + used, n - used, "%s%.9g", c ? "/" : "", v);
    if (w < 0 || (size_t)w >= n - used)
      return lrp_composite_complain(r, "the model's bounds are too long");
    used += (size_t)w;
  }
  return LRP_OK;
}

/* "low=model" and "high=model" become the model's bounds; all else is copied. */
static lrp_status substitute(const lrp_composite_reader *r, const char *args, char *out, size_t n)
{
  size_t used = 0;
  while (*args) {
    const bool low = !strncmp(args, "low=model", 9), high = !strncmp(args, "high=model", 10);
    if (low || high) {
      used += (size_t)snprintf(out + used, n - used, low ? "low=" : "high=");
      const lrp_status st = box_text(r, high, out + used, n - used);
      if (st) return st;
      used += strlen(out + used);
      args += low ? 9 : 10;
    } else {
      out[used++] = *args++;
    }
    if (used + 16 > n)
      return lrp_composite_complain(r, "the arguments are longer than %zu characters", n);
  }
  out[used] = 0;
  return LRP_OK;
}

/* One rule's arguments; its text with all of them is put behind what is in whole. */
static lrp_status parse_args(const lrp_composite_reader *r, const lrp_rule *rule, const char *text,
                             const lrp_value **out, char *whole, size_t size)
{
  char args[2048], printed[2048];
  lrp_status st = substitute(r, text, args, sizeof args);
  if (st) return st;
  const uint32_t n = rule->args ? lrp_args_count(rule->args) : 0;
  lrp_value *v = lrp_arena_alloc(&r->c->arena, (n + 1) * sizeof *v);
  if (!v) return lrp_nomem(r->ctx, "a composite");
  lrp_arena *const keep = r->ctx->keep;
  r->ctx->keep = &r->c->arena;
  st = rule->args || *args ? lrp_args_parse(r->ctx, rule->name, rule->args, args, v) : LRP_OK;
  if (!st && rule->check) st = rule->check(&lrp_the_host, r->ctx, v);
  r->ctx->keep = keep;
  if (st) return lrp_fail_at(r->ctx, st, "%s: line %lld: ", r->source, (long long)r->line);
  *out = v;
  const int len = rule->args ? lrp_args_print(rule->args, v, printed, sizeof printed) : 0;
  const size_t used = strlen(whole);
  snprintf(whole + used, size - used, len > 0 ? "%s%s(%s)" : "%s%s", used ? " -> " : "", rule->name,
           printed);
  return LRP_OK;
}

char *lrp_composite_trim(char *s)
{
  while (isspace((unsigned char)*s))
    s++;
  for (size_t n = strlen(s); n && isspace((unsigned char)s[n - 1]); n--)
    s[n - 1] = 0;
  return s;
}

/* "zplus(epsilon=1e-6)" */
static lrp_status parse_rule(const lrp_composite_reader *r, char *text, const lrp_rule **rule,
                             const lrp_value **args, char *whole, size_t size)
{
  char *open = strchr(text, '('), *inner = open ? open + 1 : text + strlen(text);
  if (open) {
    char *close = strrchr(inner, ')');
    if (!close || *lrp_composite_trim(close + 1))
      return lrp_composite_complain(r, "\"%s\": a closing bracket at the end was expected", text);
    *open = *close = 0;
  }
  *rule = lrp_find_rule(r->ctx, lrp_composite_trim(text));
  if (!*rule)
    return lrp_fail_at(r->ctx, LRP_E_ARG, "%s: line %lld: ", r->source, (long long)r->line);
  return parse_args(r, *rule, lrp_composite_trim(inner), args, whole, size);
}

/* RULE, or RULE -> FILTER */
lrp_status lrp_composite_right(const lrp_composite_reader *r, char *right, lrp_composite_rule *line)
{
  char whole[4608] = "", *arrow = strstr(right, "->");
  if (arrow) *arrow = 0;
  lrp_status st =
      parse_rule(r, lrp_composite_trim(right), &line->rule, &line->args, whole, sizeof whole);
  if (!st && LRP_HAS(lrp_rule, line->rule, filter))
    return lrp_composite_complain(r, "%s is a filter: it follows a rule, as in conv -> zplus -> %s",
                                  line->rule->name, whole);
  if (!st && arrow)
    st = parse_rule(r, lrp_composite_trim(arrow + 2), &line->filter, &line->filter_args, whole,
                    sizeof whole);
  if (!st && arrow && !LRP_HAS(lrp_rule, line->filter, filter))
    return lrp_composite_complain(r, "%s is a rule; a filter such as top_k was expected behind %s",
                                  line->filter->name, line->rule->name);
  return st ? st : lrp_composite_copy(r, whole, strlen(whole), &line->rule_text);
}
