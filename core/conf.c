/* conf.c - the JSON files beside a model, read with messages that name file, line and key. */
#include "model.h"
#include "onnx_reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CONF_LIMIT = 1 << 26 }; /* bytes; 20000 labels need 1 MB */

static char *join(const char *folder, const char *name)
{
  const size_t room = strlen(folder) + strlen(name) + 2;
  char *path = malloc(room);
  if (path) snprintf(path, room, "%s/%s", folder, name);
  return path;
}

bool lrp_conf_exists(const char *folder, const char *name)
{
  struct stat s;
  char *path = join(folder, name);
  const bool there = path && !stat(path, &s);
  free(path);
  return there;
}

lrp_status lrp_conf_open(lrp_ctx *ctx, const char *folder, const char *name, lrp_conf *out)
{
  json_error_t error;
  *out = (lrp_conf){.ctx = ctx, .path = join(folder, name)};
  if (!out->path) return lrp_nomem(ctx, name);
  lrp_status st = lrp_file_open(ctx, out->path, "JSON", CONF_LIMIT, &out->file);
  if (st) return st;
  out->root =
      json_loadb((const char *)out->file.data, out->file.size, JSON_REJECT_DUPLICATES, &error);
  if (!out->root)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: line %d: no valid JSON: %s", out->path, error.line,
                    error.text);
  if (!json_is_object(out->root))
    return lrp_fail(ctx, LRP_E_INPUT, "%s: line 1: a JSON object was expected", out->path);
  return LRP_OK;
}

void lrp_conf_close(lrp_conf *c)
{
  json_decref(c->root);
  lrp_file_close(&c->file);
  free(c->path);
  *c = (lrp_conf){0};
}

/* The line where the key is first written; 1 if it is spelled with escapes. */
static int line_of(const lrp_conf *c, const char *key)
{
  const size_t n = strlen(key);
  int line = 1;
  for (size_t i = 0; i + n + 2 <= c->file.size; i++) {
    const uint8_t *p = c->file.data + i;
    if (*p == '\n') line++;
    if (*p == '"' && p[n + 1] == '"' && !memcmp(p + 1, key, n)) return line;
  }
  return 1;
}

lrp_status lrp_conf_fail(const lrp_conf *c, lrp_status status, const char *key, const char *fmt,
                         ...)
{
  char text[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  return lrp_fail(c->ctx, status, "%s: line %d: \"%s\": %s", c->path, line_of(c, key), key, text);
}

const json_t *lrp_conf_get(const lrp_conf *c, const char *key)
{
  const json_t *v = json_object_get(c->root, key);
  return json_is_null(v) ? NULL : v;
}

lrp_status lrp_conf_bool(const lrp_conf *c, const char *key, int *out)
{
  const json_t *v = lrp_conf_get(c, key);
  if (!v) return LRP_OK;
  if (!json_is_boolean(v)) return lrp_conf_fail(c, LRP_E_INPUT, key, "true or false was expected");
  *out = json_is_true(v);
  return LRP_OK;
}

lrp_status lrp_conf_real(const lrp_conf *c, const char *key, double *out)
{
  const json_t *v = lrp_conf_get(c, key);
  if (!v) return LRP_OK;
  if (!json_is_number(v)) return lrp_conf_fail(c, LRP_E_INPUT, key, "a number was expected");
  *out = json_number_value(v);
  return LRP_OK;
}

lrp_status lrp_conf_text(const lrp_conf *c, const char *key, const char **out)
{
  const json_t *v = lrp_conf_get(c, key);
  if (!v) return LRP_OK;
  if (!json_is_string(v)) return lrp_conf_fail(c, LRP_E_INPUT, key, "a text was expected");
  const uint8_t *s = (const uint8_t *)json_string_value(v);
  if (!lrp_reader_printable((lrp_bytes){s, s + json_string_length(v)}))
    return lrp_conf_fail(c, LRP_E_INPUT, key, "a text without control characters was expected");
  *out = (const char *)s;
  return LRP_OK;
}
