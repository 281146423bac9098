/* onnx_external.c - tensors that lie in other files: found inside the model's folder only, mapped
 * once each. */
#if !defined _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* realpath() */
#endif
#include "onnx_reader.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A plain decimal number of at most 63 bits. */
static bool decimal(lrp_bytes text, uint64_t *out)
{
  uint64_t v = 0;
  if (text.at == text.end) return false;
  for (; text.at < text.end; text.at++) {
    if (*text.at < '0' || *text.at > '9' || v > (uint64_t)(INT64_MAX - 9) / 10) return false;
    v = v * 10 + (uint64_t)(*text.at - '0');
  }
  *out = v;
  return true;
}

static bool is(lrp_bytes text, const char *word)
{
  const size_t n = strlen(word);
  return (size_t)(text.end - text.at) == n && !memcmp(text.at, word, n);
}

/* location, offset and length are known; checksums and what runtimes add are not needed to read. */
lrp_status lrp_reader_external_entry(lrp_reader *r, lrp_bytes message, lrp_external *e)
{
  lrp_field f,
      value = {.start = message.at, .wire = LRP_WIRE_BYTES, .bytes = {message.at, message.at}};
  lrp_bytes key = {message.at, message.at}, left = message;
  while (left.at < left.end) {
    lrp_status st = lrp_reader_next(r, &left, &f);
    if (!st && (f.number == 1 || f.number == 2))
      st = lrp_reader_want(r, &f, LRP_WIRE_BYTES, f.number == 1 ? "key" : "value");
    if (st) return st;
    if (f.number == 1) key = f.bytes;
    if (f.number == 2) value = f;
  }
  if (is(key, "location"))
    return lrp_reader_text(r, &value, "external_data's location", &e->location);
  const bool offset = is(key, "offset"), length = is(key, "length");
  e->has_length = e->has_length || length;
  if ((offset || length) && !decimal(value.bytes, offset ? &e->offset : &e->length))
    return lrp_reader_fail(r, value.start, LRP_E_INPUT,
                           "external_data's %s is no whole number >= 0",
                           offset ? "offset" : "length");
  return LRP_OK;
}

/* ---- the file ---- */

/* Relative, and no step upwards. */
static bool stays_below(const char *location)
{
  if (location[0] == '/') return false;
  for (const char *p = location; *p; p += strspn(p, "/")) {
    const size_t n = strcspn(p, "/");
    if (n == 2 && p[0] == '.' && p[1] == '.') return false;
    p += n;
  }
  return true;
}

static bool is_inside(const char *folder, const char *path)
{
  const size_t n = strlen(folder);
  return !strncmp(folder, path, n) && (path[n] == '/' || !path[n] || (n && folder[n - 1] == '/'));
}

/* The real path of the file, malloc'ed, once it is known to lie in the folder. */
static lrp_status resolve(lrp_reader *r, const uint8_t *at, const char *location, char **out)
{
  char *folder = NULL, *path = NULL, *joined = NULL;
  lrp_status st = LRP_OK;
  if (!stays_below(location))
    return lrp_reader_fail(
        r, at, LRP_E_INPUT,
        "external data in \"%s\"; a path below the model's folder, without \"..\", "
        "was expected",
        location);
  const size_t room = strlen(r->folder) + strlen(location) + 2;
  joined = malloc(room);
  folder = realpath(r->folder, NULL);
  if (joined) snprintf(joined, room, "%s/%s", r->folder, location);
  path = joined ? realpath(joined, NULL) : NULL;
  if (!joined)
    st = lrp_nomem(r->ctx, "a path");
  else if (!folder || !path)
    st = lrp_reader_fail(
        r, at, LRP_E_INPUT,
        "external data in \"%s\", which could not be opened: %s; the file belongs in "
        "the folder of the model",
        location, strerror(errno));
  else if (!is_inside(folder, path))
    st = lrp_reader_fail(
        r, at, LRP_E_INPUT,
        "external data in \"%s\", a symbolic link that leaves the model's folder; put "
        "the file itself there",
        location);
  if (!st) {
    *out = path;
    path = NULL;
  }
  free(joined);
  free(folder);
  free(path);
  return st;
}

/* Room for one more file. */
static lrp_status grow(lrp_reader *r)
{
  const size_t n = (size_t)r->out->n_file + 1;
  struct lrp_onnx_file *files = realloc(r->out->file, n * sizeof *files);
  if (!files) return lrp_nomem(r->ctx, "the list of files");
  r->out->file = files;
  files[n - 1] = (struct lrp_onnx_file){0};
  return LRP_OK;
}

static lrp_status map_file(lrp_reader *r, const uint8_t *at, const char *location,
                           const lrp_file **out)
{
  char *path = NULL;
  lrp_status st = resolve(r, at, location, &path);
  if (st) return st;
  for (int32_t i = 1; i < r->out->n_file; i++)
    if (!strcmp(r->out->file[i].path, path)) {
      free(path);
      *out = &r->out->file[i].file;
      return LRP_OK;
    }
  st = grow(r);
  if (!st) {
    struct lrp_onnx_file *f = &r->out->file[r->out->n_file];
    st = lrp_file_open(r->ctx, path, "external data of the model", 0, &f->file);
    if (st) {
      r->byte = (size_t)(at - r->base);
      lrp_fail_at(r->ctx, st, "external data: ");
    } else {
      f->path = path;
      path = NULL;
      r->out->n_file++;
      *out = &f->file;
    }
  }
  free(path);
  return st;
}

lrp_status lrp_reader_external(lrp_reader *r, const uint8_t *at, const lrp_external *e, size_t need,
                               const uint8_t **out)
{
  const lrp_file *file = NULL;
  if (!e->location || !e->location[0])
    return lrp_reader_fail(r, at, LRP_E_INPUT, "external data without a location");
  if (!r->folder)
    return lrp_reader_fail(r, at, LRP_E_INPUT,
                           "external data in \"%s\", but the model has no folder", e->location);
  if (e->has_length && e->length != need)
    return lrp_reader_fail(r, at, LRP_E_INPUT, "external data of %llu bytes; the shape needs %zu",
                           (unsigned long long)e->length, need);
  const lrp_status st = map_file(r, at, e->location, &file);
  if (st) return st;
  if (e->offset > file->size || need > file->size - e->offset)
    return lrp_reader_fail(
        r, at, LRP_E_INPUT,
        "external data at bytes %llu to %llu of \"%s\", which has only %zu bytes",
        (unsigned long long)e->offset, (unsigned long long)e->offset + need, e->location,
        file->size);
  *out = file->data + e->offset;
  return LRP_OK;
}
