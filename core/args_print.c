/* args_print.c - arguments as canonical text and as JSON.  Both read back to the same values. */
#include "args.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sink { /* counts what does not fit, as snprintf does */
  char *buffer;
  size_t n, at;
} sink;

__attribute__((format(printf, 2, 3))) static void put(sink *out, const char *fmt, ...)
{
  va_list args;
  va_start(args, fmt);
  size_t room = out->at < out->n ? out->n - out->at : 0;
  int m = vsnprintf(room ? out->buffer + out->at : NULL, room, fmt, args);
  va_end(args);
  out->at += m > 0 ? (size_t)m : 0;
}

/* Nine digits, or seventeen where nine do not read back.  JSON knows no infinity: a number too
 * large for a double is read as one, as SQLite writes it. */
static void put_real(sink *out, double v, bool narrow, bool json)
{
  char text[40];
  if (json && isinf(v)) {
    put(out, "%s", v > 0 ? "9e999" : "-9e999");
    return;
  }
  snprintf(text, sizeof text, "%.9g", v);
  double back = strtod(text, NULL);
  bool same = narrow ? (lrp_real)back == (lrp_real)v : back == v;
  if (!same && isfinite(v)) snprintf(text, sizeof text, "%.17g", v);
  put(out, "%s", text);
}

static void put_choice(sink *out, const char *choices, int64_t i)
{
  while (i > 0 && (choices = strchr(choices, '|'))) {
    choices++;
    i--;
  }
  if (choices) put(out, "%.*s", (int)strcspn(choices, "|"), choices);
}

static void put_list(sink *out, const lrp_arg *arg, const lrp_value *v, bool json)
{
  bool real = arg->type == LRP_ARG_REALS;
  int64_t n = real ? v->reals.n : v->ints.n;
  put(out, "%s", json ? "[" : "");
  for (int64_t i = 0; i < n; i++) {
    put(out, "%s", i == 0 ? "" : json ? "," : "/");
    if (real)
      put_real(out, (double)v->reals.v[i], true, json);
    else
      put(out, "%" PRId64, v->ints.v[i]);
  }
  put(out, "%s", json ? "]" : "");
}

static void put_value(sink *out, const lrp_arg *arg, const lrp_value *v, bool json)
{
  switch (arg->type) {
  case LRP_ARG_REAL:
    put_real(out, v->real, false, json);
    break;
  case LRP_ARG_INT:
    put(out, "%" PRId64, v->i);
    break;
  case LRP_ARG_BOOL:
    put(out, "%s", json ? (v->i ? "true" : "false") : (v->i ? "on" : "off"));
    break;
  case LRP_ARG_CHOICE:
    put(out, "%s", json ? "\"" : "");
    put_choice(out, arg->choices, v->i);
    put(out, "%s", json ? "\"" : "");
    break;
  default:
    put_list(out, arg, v, json);
  }
}

static int print(const lrp_arg *args, const lrp_value *values, bool json, char *buffer, size_t n)
{
  sink out = {buffer, n, 0};
  lrp_locale held = lrp_locale_c();
  if (n) buffer[0] = '\0';
  put(&out, "%s", json ? "{" : "");
  for (uint32_t i = 0; i < lrp_args_count(args); i++) {
    put(&out, json ? "%s\"%s\":" : "%s%s=", i == 0 ? "" : json ? "," : ", ", args[i].name);
    put_value(&out, &args[i], &values[i], json);
  }
  put(&out, "%s", json ? "}" : "");
  lrp_locale_back(held);
  return (int)out.at;
}

int lrp_args_print(const lrp_arg *args, const lrp_value *values, char *buffer, size_t n)
{
  return print(args, values, false, buffer, n);
}

int lrp_args_json(const lrp_arg *args, const lrp_value *values, char *buffer, size_t n)
{
  return print(args, values, true, buffer, n);
}
