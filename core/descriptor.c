/* descriptor.c - is a plugin's descriptor well formed?  Looks at every field once, when the plugin
 * is registered, so that nothing later has to; runs none of the plugin's code. */
#include "expand.h"
#include "fuse.h"
#include "registry.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Far above what anybody needs; an array without its end mark is told from a long one. */
enum {
  MOST_THINGS = 4096,
  MOST_PORTS = 32,
  MOST_ARGS = 64,
  MOST_SAVED = 32,
  MOST_OPERATORS = 256,
  LONGEST_NAME = 63,
  LARGEST_STRUCT = 4096
};

typedef struct subject { /* what messages start with: FILE: layer "conv" */
  lrp_ctx *ctx;
  const char *file, *kind, *name;
} subject;

__attribute__((format(printf, 2, 3))) static lrp_status bad(const subject *s, const char *fmt, ...)
{
  char text[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  return lrp_fail(s->ctx, LRP_E_ABI, "%s: %s%s%.63s%s: %s", s->file, s->kind, *s->kind ? " \"" : "",
                  *s->kind ? s->name : "the plugin", *s->kind ? "\"" : "", text);
}

static bool good_name(const char *name)
{
  size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_:") : 0;
  return n > 0 && n <= LONGEST_NAME && name[n] == '\0';
}

/* ---- arguments ---- */

/* "a|b|c", words of letters, digits and _ . + - */
static bool good_choices(const char *choices, double *n)
{
  static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
  for (*n = 0; choices; *n += 1) {
    size_t m = strspn(choices, word);
    if (m == 0) return false;
    choices += m;
    if (*choices == '\0') {
      *n += 1;
      return true;
    }
    if (*choices++ != '|') return false;
  }
  return false;
}

static lrp_status check_default(const subject *s, const lrp_arg *a)
{
  double n = 2;
  bool list = a->type == LRP_ARG_REALS || a->type == LRP_ARG_INTS;
  if (isnan(a->def) || isnan(a->min) || isnan(a->max) || a->min > a->max)
    return bad(s, "argument %s has default %g and range %g to %g", a->name, a->def, a->min, a->max);
  if (a->type == LRP_ARG_CHOICE && !good_choices(a->choices, &n))
    return bad(s, "argument %s has choices \"%.80s\"; words as a|b|c were expected", a->name,
               a->choices ? a->choices : "");
  if ((a->type == LRP_ARG_CHOICE || a->type == LRP_ARG_BOOL) && !(a->def >= 0 && a->def < n))
    return bad(s, "argument %s has default %g; 0 to %g were expected", a->name, a->def, n - 1);
  if (a->type != LRP_ARG_REAL && (!(fabs(a->def) <= 0x1p53) || a->def != floor(a->def)))
    if (!list)
      return bad(s, "argument %s has default %g; a whole number was expected", a->name, a->def);
  if (list || a->flags & LRP_ARG_REQUIRED || !(a->min < a->max)) return LRP_OK;
  if (a->def < a->min || a->def > a->max || (a->flags & LRP_ARG_OPEN_MIN && a->def <= a->min) ||
      (a->flags & LRP_ARG_OPEN_MAX && a->def >= a->max))
    return bad(s, "argument %s has default %g outside of its range %g to %g", a->name, a->def,
               a->min, a->max);
  return LRP_OK;
}

static lrp_status check_args(const subject *s, const lrp_arg *args)
{
  const uint32_t flags = LRP_ARG_REQUIRED | LRP_ARG_OPEN_MIN | LRP_ARG_OPEN_MAX | LRP_ARG_AXIS;
  for (size_t i = 0; args && args[i].type != LRP_ARG_END; i++) {
    const lrp_arg *a = &args[i];
    if (i == MOST_ARGS)
      return bad(s, "more than %d arguments; does the list end with LRP_ARGS_END?", MOST_ARGS);
    if (!good_name(a->name))
      return bad(s, "argument %zu has no name of letters a-z, digits and _", i);
    if (a->type > LRP_ARG_INTS)
      return bad(s, "argument %s has the unknown type %" PRIu32, a->name, a->type);
    if (a->flags & ~flags)
      return bad(s, "argument %s has the unknown flags %#" PRIx32, a->name, a->flags & ~flags);
    if (a->flags & LRP_ARG_AXIS && a->type != LRP_ARG_INT && a->type != LRP_ARG_INTS)
      return bad(s, "argument %s is flagged LRP_ARG_AXIS but holds no whole numbers", a->name);
    if (!a->doc) return bad(s, "argument %s has no doc; one sentence was expected", a->name);
    if (a->reserved[0] || a->reserved[1])
      return bad(s, "argument %s has reserved fields that are not 0", a->name);
    for (size_t j = 0; j < i; j++)
      if (strcmp(a->name, args[j].name) == 0) return bad(s, "two arguments are named %s", a->name);
    lrp_status status = check_default(s, a);
    if (status) return status;
  }
  return LRP_OK;
}

/* ---- ports ---- */

static const lrp_port *find_port(const lrp_port *ports, const char *name, size_t n)
{
  for (; ports && ports->role; ports++)
    if (strlen(ports->name) == n && memcmp(ports->name, name, n) == 0) return ports;
  return NULL;
}

/* roles: bit 1<<role of those that may stand in this list. */
static lrp_status check_ports(const subject *s, const char *what, const lrp_port *ports,
                              uint32_t roles)
{
  for (size_t i = 0; ports && ports[i].role; i++) {
    const lrp_port *p = &ports[i];
    if (i == MOST_PORTS)
      return bad(s, "more than %d %ss; does the list end with LRP_PORTS_END?", MOST_PORTS, what);
    if (!good_name(p->name))
      return bad(s, "%s %zu has no name of letters a-z, digits and _", what, i);
    if (p->role > LRP_PORT_BUFFER || !(roles >> p->role & 1))
      return bad(s, "%s %s has role %" PRIu32 ", which has no place there", what, p->name, p->role);
    if (p->dtype != LRP_REAL && p->dtype != LRP_INDEX && p->dtype != LRP_ANY_DTYPE)
      return bad(s, "%s %s has the unknown element type %" PRIu32, what, p->name, p->dtype);
    if (p->flags & ~(uint32_t)(LRP_PORT_OPTIONAL | LRP_PORT_MANY | LRP_PORT_SHAPE))
      return bad(s, "%s %s has the unknown flags %#" PRIx32, what, p->name, p->flags);
    if (p->flags & LRP_PORT_MANY && (!(roles >> LRP_PORT_DATA & 1) || ports[i + 1].role))
      return bad(s, "%s %s is flagged LRP_PORT_MANY; only the last input may be", what, p->name);
    if (p->role == LRP_PORT_CARRIER && (i == 0 || ports[i - 1].role != LRP_PORT_SIDE))
      return bad(s, "carrier %s does not follow the SIDE input whose relevance it carries",
                 p->name);
    if (p->reserved) return bad(s, "%s %s has a reserved field that is not 0", what, p->name);
    if (find_port(ports, p->name, strlen(p->name)) != p)
      return bad(s, "two %ss are named %s", what, p->name);
  }
  return LRP_OK;
}

/* ---- operators ---- */

/* "x - w b": names of ports, "-" for what only args() reads. */
static lrp_status check_binding(const subject *s, const lrp_layer_type *t, const lrp_operator *o)
{
  for (const char *at = o->inputs; at && *at;) {
    size_t n = strcspn(at, " ");
    const lrp_port *p = find_port(t->in, at, n);
    if (n && !(n == 1 && *at == '-') && !p && !find_port(t->param, at, n))
      return bad(s, "operator %s binds an input to \"%.*s\", which is no port", o->name,
                 n < 63 ? (int)n : 63, at);
    if (p && p->role == LRP_PORT_CARRIER)
      return bad(s, "operator %s binds an input to the carrier %s, which no file has", o->name,
                 p->name);
    at += n + (at[n] == ' ');
  }
  return LRP_OK;
}

static lrp_status check_operators(const subject *s, const lrp_layer_type *t)
{
  for (size_t i = 0; t->operators && t->operators[i].name; i++) {
    const lrp_operator *o = &t->operators[i];
    if (i == MOST_OPERATORS)
      return bad(s, "more than %d operators; does the list end with a name of 0?", MOST_OPERATORS);
    if (!*o->name) return bad(s, "operator %zu has an empty name", i);
    if (!o->domain) return bad(s, "operator %s has no domain; \"\" is ONNX's own", o->name);
    if (o->since < 0 || (o->until && o->until < o->since))
      return bad(s, "operator %s has the opset range %" PRId32 " to %" PRId32, o->name, o->since,
                 o->until);
    const char *fault = o->expand ? lrp_expand_fault(o) : NULL;
    if (fault) return bad(s, "operator %s: the text of what it stands for is wrong: %s", o->name, fault);
    lrp_status status = o->expand ? LRP_OK : check_binding(s, t, o);
    if (status) return status;
  }
  return LRP_OK;
}

static lrp_status check_patterns(const subject *s, const lrp_layer_type *t)
{
  const lrp_pattern *p = LRP_HAS(lrp_layer_type, t, patterns) ? t->patterns : NULL;
  for (size_t i = 0; p && p[i].form; i++) {
    if (i == MOST_OPERATORS)
      return bad(s, "more than %d patterns; does the list end with a form of 0?", MOST_OPERATORS);
    if (p[i].name && !good_name(p[i].name))
      return bad(s, "pattern %zu has a name that is not made of a-z 0-9 _ :", i);
    const char *fault = lrp_pattern_fault(t, &p[i]);
    if (fault) return bad(s, "pattern %zu, \"%.100s\": %s", i, p[i].form, fault);
  }
  return LRP_OK;
}

/* ---- layers, rules, plugin ---- */

static lrp_status check_size(const subject *s, uint32_t size, size_t least)
{
  if (size < least || size > LARGEST_STRUCT || size % sizeof(uint32_t))
    return bad(s, "struct_size is %" PRIu32 "; %zu (as in ABI 1.0) to %d were expected", size,
               least, LARGEST_STRUCT);
  return LRP_OK;
}

static lrp_status check_layer_fields(const subject *s, const lrp_layer_type *t)
{
  size_t n = 0;
  if (t->kind >= LRP_KIND_COUNT) return bad(s, "unknown kind %" PRIu32, t->kind);
  if (t->layout > LRP_LAYOUT_AXES) return bad(s, "unknown layout %" PRIu32, t->layout);
  if (t->n_saved > MOST_SAVED)
    return bad(s, "n_saved is %" PRIu32 "; at most %d are possible", t->n_saved, MOST_SAVED);
  if (!t->doc) return bad(s, "it has no doc; one sentence was expected");
  if (!t->in || !t->out || !t->out->role) return bad(s, "it has no input list or no output");
  if (!t->infer || !t->forward) return bad(s, "it has no %s()", t->infer ? "forward" : "infer");
  if (t->destroy && !t->create) return bad(s, "it has destroy() but no create()");
  while (t->freezable && t->freezable[n] && n <= t->n_saved)
    n++;
  if (n > t->n_saved)
    return bad(s, "it names more freezable tensors than the %" PRIu32 " it saves", t->n_saved);
  return LRP_OK;
}

static lrp_status check_layer(const subject *plugin, const lrp_layer_type *t)
{
  const uint32_t in = 1u << LRP_PORT_DATA | 1u << LRP_PORT_CARRIER | 1u << LRP_PORT_SIDE;
  const uint32_t param = 1u << LRP_PORT_WEIGHT | 1u << LRP_PORT_BIAS | 1u << LRP_PORT_BUFFER;
  subject s = {plugin->ctx, plugin->file, "layer", "?"};
  lrp_status status =
      check_size(&s, t->struct_size, offsetof(lrp_layer_type, route) + sizeof t->route);
  if (status) return status;
  if (!good_name(t->name))
    return bad(plugin,
               "a layer has no name of at most %d letters a-z, digits, _ and :", LONGEST_NAME);
  s.name = t->name;
  if (!status) status = check_layer_fields(&s, t);
  if (!status) status = check_args(&s, t->args);
  if (!status) status = check_ports(&s, "input", t->in, in);
  if (!status) status = check_ports(&s, "parameter", t->param, param);
  if (!status)
    status = check_ports(&s, "output", t->out, 1u << LRP_PORT_DATA | 1u << LRP_PORT_SIDE);
  for (const lrp_port *p = t->param; !status && p && p->role; p++)
    if (find_port(t->in, p->name, strlen(p->name)))
      status = bad(&s, "an input and a parameter are named %s", p->name);
  if (!status) status = check_operators(&s, t);
  return status ? status : check_patterns(&s, t);
}

static lrp_status check_rule(const subject *plugin, const lrp_rule *r)
{
  subject s = {plugin->ctx, plugin->file, "rule", "?"};
  lrp_status status =
      check_size(&s, r->struct_size, offsetof(lrp_rule, relprop) + sizeof r->relprop);
  if (status) return status;
  if (!good_name(r->name))
    return bad(plugin,
               "a rule has no name of at most %d letters a-z, digits, _ and :", LONGEST_NAME);
  s.name = r->name;
  if ((r->kinds & ~LRP_RULE_WHOLE) >> LRP_KIND_COUNT)
    return bad(&s, "kinds is %#" PRIx32 ", which has unknown bits", r->kinds);
  if (!r->doc || !r->cite || !r->formula)
    return bad(&s, "doc, cite or formula is missing; \"\" says there is none");
  const int ways = !!r->table + !!r->relprop + (LRP_HAS(lrp_rule, r, filter) ? 1 : 0);
  if (ways != 1)
    return bad(&s, "it has %s; one of the two was expected, or filter()",
               ways ? "table() and relprop()" : "neither table() nor relprop()");
  return check_args(&s, r->args);
}

static lrp_status check_text(const subject *s, const char *field, const char *text)
{
  if (!text) return bad(s, "%s is missing; \"\" says there is none", field);
  return strlen(text) <= 400 ? LRP_OK : bad(s, "%s is longer than 400 bytes", field);
}

lrp_status lrp_check_plugin(lrp_ctx *ctx, const lrp_plugin *p, const char *path)
{
  subject s = {ctx, *path ? path : p->name ? p->name : "a plugin of the program", "", ""};
  lrp_status status = LRP_OK;
  if (!good_name(p->name))
    return bad(&s, "it has no name of at most %d letters a-z, digits, _ and :", LONGEST_NAME);
  if (!p->version || !*p->version) return bad(&s, "it has no version");
  if (!status) status = check_text(&s, "version", p->version);
  if (!status) status = check_text(&s, "license", p->license);
  if (!status) status = check_text(&s, "doc", p->doc);
  if (!status && (!p->layers || !*p->layers) && (!p->rules || !*p->rules))
    status = bad(&s, "it offers neither layers nor rules");
  for (size_t i = 0; !status && p->layers && p->layers[i]; i++)
    status =
        i == MOST_THINGS ? bad(&s, "its list of layers has no end") : check_layer(&s, p->layers[i]);
  for (size_t i = 0; !status && p->rules && p->rules[i]; i++)
    status =
        i == MOST_THINGS ? bad(&s, "its list of rules has no end") : check_rule(&s, p->rules[i]);
  return status;
}
