/* args.c - arguments of layers and rules: defaults, parsing, ranges.
 *
 * Text is read in the C locale whatever the program has set, so "0.25" means the same everywhere.
 */
#include "args.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARGS = 64 }; /* one bit each for "was given" */

typedef struct span { /* a piece of text */
  const char *s;
  size_t n;
} span;

static bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static span trim(span t)
{
  while (t.n && is_blank(t.s[0]))
    t.s++, t.n--;
  while (t.n && is_blank(t.s[t.n - 1]))
    t.n--;
  return t;
}

/* The text before the first c, which is taken off *rest together with c; *more: c was there. */
static span split(span *rest, char c, bool *more)
{
  const char *end = rest->n ? memchr(rest->s, c, rest->n) : NULL;
  span head = {rest->s, end ? (size_t)(end - rest->s) : rest->n};
  *more = end != NULL;
  size_t taken = head.n + (end ? 1 : 0);
  rest->s += taken;
  rest->n -= taken;
  return head;
}

static bool equal(span t, const char *word)
{
  return strlen(word) == t.n && memcmp(t.s, word, t.n) == 0;
}

/* For "%.*s": a stranger's text is cut in messages. */
static int shown(span t)
{
  return t.n < 80 ? (int)t.n : 80;
}

uint32_t lrp_args_count(const lrp_arg *args)
{
  uint32_t n = 0;
  while (args && args[n].type != LRP_ARG_END)
    n++;
  return n;
}

lrp_status lrp_args_default(lrp_ctx *ctx, const char *who, const lrp_arg *args, lrp_value *out)
{
  for (uint32_t i = 0; i < lrp_args_count(args); i++) {
    memset(&out[i], 0, sizeof out[i]);
    switch (args[i].type) {
    case LRP_ARG_REAL:
      out[i].real = args[i].def;
      break;
    case LRP_ARG_INT:
    case LRP_ARG_BOOL:
    case LRP_ARG_CHOICE:
      out[i].i = (int64_t)args[i].def;
      break;
    case LRP_ARG_REALS:
    case LRP_ARG_INTS:
      break;
    default:
      return lrp_fail(ctx, LRP_E_ABI, "%s: argument %s has the unknown type %" PRIu32, who,
                      args[i].name, args[i].type);
    }
  }
  return LRP_OK;
}

/* ---- ranges ---- */

/* "> 0 and <= 1" */
static const char *range_text(const lrp_arg *arg, char *text, size_t n)
{
  char low[40] = "", high[40] = "";
  if (isfinite(arg->min))
    snprintf(low, sizeof low, "%s %.9g", arg->flags & LRP_ARG_OPEN_MIN ? ">" : ">=", arg->min);
  if (isfinite(arg->max))
    snprintf(high, sizeof high, "%s %.9g", arg->flags & LRP_ARG_OPEN_MAX ? "<" : "<=", arg->max);
  snprintf(text, n, "%s%s%s", low, *low && *high ? " and " : "", high);
  return text;
}

static bool in_range(const lrp_arg *arg, double v)
{
  /* min == max: no bounds, so nothing here compares reals for anything but that mark. */
  if (!(arg->min < arg->max)) return true;
  bool low = arg->flags & LRP_ARG_OPEN_MIN ? v > arg->min : v >= arg->min;
  bool high = arg->flags & LRP_ARG_OPEN_MAX ? v < arg->max : v <= arg->max;
  return low && high;
}

static lrp_status out_of_range(lrp_ctx *ctx, const char *who, const lrp_arg *arg, const char *value)
{
  char range[100];
  return lrp_fail(ctx, LRP_E_ARG, "%s: %s=%s is out of range; it must be %s", who, arg->name, value,
                  range_text(arg, range, sizeof range));
}

/* Infinity is a value only where it is the default, as for the bounds of a clip. */
static lrp_status check_real(lrp_ctx *ctx, const char *who, const lrp_arg *arg, double v)
{
  char text[40];
  snprintf(text, sizeof text, "%.9g", v);
  if (isnan(v) || (isinf(v) && !(arg->type == LRP_ARG_REAL && isinf(arg->def))))
    return lrp_fail(ctx, LRP_E_ARG, "%s: %s=%s is not a finite number", who, arg->name, text);
  return in_range(arg, v) ? LRP_OK : out_of_range(ctx, who, arg, text);
}

static lrp_status check_int(lrp_ctx *ctx, const char *who, const lrp_arg *arg, int64_t v)
{
  char text[40];
  snprintf(text, sizeof text, "%" PRId64, v);
  return in_range(arg, (double)v) ? LRP_OK : out_of_range(ctx, who, arg, text);
}

static int64_t n_choices(const char *choices)
{
  int64_t n = 1;
  for (; *choices; choices++)
    n += *choices == '|';
  return n;
}

static lrp_status check_list(lrp_ctx *ctx, const char *who, const lrp_arg *arg, const lrp_value *v)
{
  bool real = arg->type == LRP_ARG_REALS;
  int64_t n = real ? v->reals.n : v->ints.n;
  const void *data = real ? (const void *)v->reals.v : (const void *)v->ints.v;
  if (n < 0 || (n > 0 && !data))
    return lrp_fail(ctx, LRP_E_ARG, "%s: %s is a list of %" PRId64 " numbers without data", who,
                    arg->name, n);
  if (n == 0 && arg->flags & LRP_ARG_REQUIRED)
    return lrp_fail(ctx, LRP_E_ARG, "%s: argument %s is missing; a list as 1/2/3 was expected", who,
                    arg->name);
  for (int64_t k = 0; k < n; k++) {
    lrp_status status = real ? check_real(ctx, who, arg, (double)v->reals.v[k])
                             : check_int(ctx, who, arg, v->ints.v[k]);
    if (status) return status;
  }
  return LRP_OK;
}

static lrp_status check_value(lrp_ctx *ctx, const char *who, const lrp_arg *arg, const lrp_value *v)
{
  switch (arg->type) {
  case LRP_ARG_REAL:
    return check_real(ctx, who, arg, v->real);
  case LRP_ARG_INT:
    return check_int(ctx, who, arg, v->i);
  case LRP_ARG_BOOL:
    return v->i == 0 || v->i == 1
               ? LRP_OK
               : lrp_fail(ctx, LRP_E_ARG, "%s: %s=%" PRId64 " is neither 0 nor 1", who, arg->name,
                          v->i);
  case LRP_ARG_CHOICE:
    return v->i >= 0 && v->i < n_choices(arg->choices)
               ? LRP_OK
               : lrp_fail(ctx, LRP_E_ARG, "%s: %s=%" PRId64 " is not the position of one of %s",
                          who, arg->name, v->i, arg->choices);
  default:
    return check_list(ctx, who, arg, v);
  }
}

lrp_status lrp_args_check(lrp_ctx *ctx, const char *who, const lrp_arg *args,
                          const lrp_value *values)
{
  lrp_locale held = lrp_locale_c();
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < lrp_args_count(args); i++)
    status = check_value(ctx, who, &args[i], &values[i]);
  lrp_locale_back(held);
  return status;
}

/* ---- values ---- */

/* [+-] digits [. digits] [e [+-] digits], or inf: no hexadecimal, no nan, no blanks. */
static bool read_real(span t, double *out)
{
  char text[64], *end;
  if (t.n == 0 || t.n >= sizeof text) return false;
  memcpy(text, t.s, t.n);
  text[t.n] = '\0';
  const char *body = text + (text[0] == '-' || text[0] == '+');
  if (strcmp(body, "inf") != 0 && strspn(body, "0123456789.eE+-") != strlen(body)) return false;
  *out = strtod(text, &end);
  return end != text && *end == '\0';
}

static bool read_int(span t, int64_t *out)
{
  char text[32], *end;
  if (t.n == 0 || t.n >= sizeof text) return false;
  memcpy(text, t.s, t.n);
  text[t.n] = '\0';
  if (strspn(text, "0123456789+-") != t.n) return false;
  errno = 0;
  long long v = strtoll(text, &end, 10);
  *out = v;
  return end != text && *end == '\0' && errno == 0;
}

static bool read_bool(span t, int64_t *out)
{
  static const char *const word[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
  for (size_t i = 0; i < sizeof word / sizeof *word; i++)
    if (equal(t, word[i])) {
      *out = (int64_t)(i % 2);
      return true;
    }
  return false;
}

/* Position of t among "a|b|c": the very word, or the only one that starts with it. */
static bool read_choice(span t, const char *choices, int64_t *out)
{
  span rest = {choices, strlen(choices)};
  int64_t found = -1;
  bool more = true;
  for (int64_t i = 0; more && t.n; i++) {
    span word = split(&rest, '|', &more);
    if (word.n < t.n || memcmp(word.s, t.s, t.n) != 0) continue;
    *out = i;
    if (word.n == t.n) return true;
    found = found == -1 ? i : -2;
  }
  *out = found;
  return found >= 0;
}

static void *array(lrp_ctx *ctx, int64_t n, size_t element)
{
  size_t bytes;
  if (!lrp_mul_size((size_t)n, element, &bytes)) return NULL;
  return lrp_arena_alloc(ctx->keep ? ctx->keep : &ctx->scratch, bytes);
}

/* "1/2/3"; nothing at all is the empty list. */
static lrp_status read_list(lrp_ctx *ctx, const lrp_arg *arg, span t, lrp_value *out, bool *good)
{
  bool real = arg->type == LRP_ARG_REALS, more = t.n > 0;
  int64_t n = t.n > 0, i = 0;
  lrp_real *reals = NULL;
  int64_t *ints = NULL;
  for (size_t k = 0; k < t.n; k++)
    n += t.s[k] == '/';
  if (real)
    reals = n ? array(ctx, n, sizeof *reals) : NULL;
  else
    ints = n ? array(ctx, n, sizeof *ints) : NULL;
  if (n && !reals && !ints) return lrp_nomem(ctx, arg->name);
  for (*good = true; *good && more; i++) {
    span item = trim(split(&t, '/', &more));
    double v = 0;
    *good = real ? read_real(item, &v) : read_int(item, &ints[i]);
    if (real) reals[i] = (lrp_real)v;
  }
  if (real)
    out->reals.v = reals, out->reals.n = n;
  else
    out->ints.v = ints, out->ints.n = n;
  return LRP_OK;
}

static lrp_status read_value(lrp_ctx *ctx, const char *who, const lrp_arg *arg, span t,
                             lrp_value *out)
{
  static const char *const wanted[] = {
      [LRP_ARG_REAL] = "a number as 0.25",
      [LRP_ARG_INT] = "a whole number",
      [LRP_ARG_BOOL] = "on or off",
      [LRP_ARG_REALS] = "numbers as 0.5/0.25",
      [LRP_ARG_INTS] = "whole numbers as 1/2/3",
  };
  bool good = false;
  lrp_status status = LRP_OK;
  if (arg->type == LRP_ARG_REAL)
    good = read_real(t, &out->real);
  else if (arg->type == LRP_ARG_INT)
    good = read_int(t, &out->i);
  else if (arg->type == LRP_ARG_BOOL)
    good = read_bool(t, &out->i);
  else if (arg->type == LRP_ARG_CHOICE)
    good = read_choice(t, arg->choices, &out->i);
  else
    status = read_list(ctx, arg, t, out, &good);
  if (status || good) return status;
  if (arg->type == LRP_ARG_CHOICE)
    return lrp_fail(ctx, LRP_E_ARG, "%s: %s=%.*s: one of %s was expected", who, arg->name, shown(t),
                    t.s, arg->choices);
  return lrp_fail(ctx, LRP_E_ARG, "%s: %s=%.*s: %s was expected", who, arg->name, shown(t), t.s,
                  wanted[arg->type]);
}

/* ---- names ---- */

/* "a, b, c" of the arguments whose name starts with t. */
static void list_names(const lrp_arg *args, span t, char *text, size_t n)
{
  size_t at = 0;
  text[0] = '\0';
  for (uint32_t i = 0; i < lrp_args_count(args) && at < n; i++) {
    if (strncmp(args[i].name, t.s, t.n) != 0) continue;
    int m = snprintf(text + at, n - at, "%s%s", at ? ", " : "", args[i].name);
    at += m > 0 ? (size_t)m : 0;
  }
}

static lrp_status unknown_name(lrp_ctx *ctx, const char *who, const lrp_arg *args, span t)
{
  const char *names[MOST_ARGS];
  char list[400], name[81];
  uint32_t n = lrp_args_count(args);
  for (uint32_t i = 0; i < n; i++)
    names[i] = args[i].name;
  snprintf(name, sizeof name, "%.*s", shown(t), t.s);
  const char *near = lrp_nearest(name, names, n);
  if (near)
    return lrp_fail(ctx, LRP_E_ARG, "%s has no argument \"%s\"; did you mean \"%s\"?", who, name,
                    near);
  list_names(args, (span){"", 0}, list, sizeof list);
  return lrp_fail(ctx, LRP_E_ARG, "%s has no argument \"%s\"; its arguments are: %s", who, name,
                  list);
}

/* The argument of that name, or the only one whose name starts so. */
static lrp_status find_name(lrp_ctx *ctx, const char *who, const lrp_arg *args, span t,
                            uint32_t *out)
{
  char list[400];
  uint32_t n = lrp_args_count(args), hits = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (strncmp(args[i].name, t.s, t.n) != 0) continue;
    if (hits++ == 0) *out = i;
    if (args[i].name[t.n] == '\0') {
      *out = i;
      return LRP_OK;
    }
  }
  if (t.n == 0 || hits == 0) return unknown_name(ctx, who, args, t);
  if (hits == 1) return LRP_OK;
  list_names(args, t, list, sizeof list);
  return lrp_fail(ctx, LRP_E_ARG, "%s: \"%.*s\" may mean %s; write more letters", who, shown(t),
                  t.s, list);
}

/* One "name=value", or a bare value where it comes first. */
static lrp_status parse_item(lrp_ctx *ctx, const char *who, const lrp_arg *args, span item,
                             bool first, uint64_t *given, lrp_value *out)
{
  uint32_t i = 0;
  span value = item;
  bool named;
  span name = trim(split(&value, '=', &named));
  if (item.n == 0)
    return lrp_fail(ctx, LRP_E_ARG,
                    "%s: an argument is empty; name=value was expected between commas", who);
  if (!named && !first)
    return lrp_fail(ctx, LRP_E_ARG,
                    "%s: \"%.*s\" has no name; only the first value may go without (name=value)",
                    who, shown(item), item.s);
  if (!named) value = item;
  lrp_status status = named ? find_name(ctx, who, args, name, &i) : LRP_OK;
  if (status) return status;
  if (*given >> i & 1) return lrp_fail(ctx, LRP_E_ARG, "%s: %s is given twice", who, args[i].name);
  *given |= (uint64_t)1 << i;
  return read_value(ctx, who, &args[i], trim(value), &out[i]);
}

static lrp_status parse(lrp_ctx *ctx, const char *who, const lrp_arg *args, span text,
                        lrp_value *out)
{
  uint32_t n = lrp_args_count(args);
  uint64_t given = 0;
  bool more = text.n > 0;
  if (n > MOST_ARGS)
    return lrp_fail(ctx, LRP_E_ABI, "%s declares %" PRIu32 " arguments; at most %d are possible",
                    who, n, MOST_ARGS);
  if (n == 0 && more)
    return lrp_fail(ctx, LRP_E_ARG, "%s takes no arguments; remove \"%.*s\"", who, shown(text),
                    text.s);
  for (bool first = true; more; first = false) {
    span item = trim(split(&text, ',', &more));
    lrp_status status = parse_item(ctx, who, args, item, first, &given, out);
    if (status) return status;
  }
  for (uint32_t i = 0; i < n; i++)
    if (args[i].flags & LRP_ARG_REQUIRED && !(given >> i & 1))
      return lrp_fail(ctx, LRP_E_ARG, "%s: argument %s is missing; write %s=VALUE (%s)", who,
                      args[i].name, args[i].name, args[i].doc ? args[i].doc : "required");
  return LRP_OK;
}

lrp_status lrp_args_parse(lrp_ctx *ctx, const char *who, const lrp_arg *args, const char *text,
                          lrp_value *out)
{
  lrp_status status = lrp_args_default(ctx, who, args, out);
  if (status) return status;
  lrp_locale held = lrp_locale_c();
  status = parse(ctx, who, args, trim((span){text ? text : "", text ? strlen(text) : 0}), out);
  lrp_locale_back(held);
  return status ? status : lrp_args_check(ctx, who, args, out);
}
