/* model.c - a model: an ONNX file, or a folder with one and the files that exporters write beside
 * it. */
#if !defined _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* realpath() */
#endif
#include "model.h"
#include "names.h"
#include <dirent.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *lrp_model_text(lrp_ctx *ctx, lrp_model *m, const char *text)
{
  char *copy = lrp_arena_text(&m->arena, text, strlen(text));
  if (!copy) lrp_nomem(ctx, "the model's texts");
  return copy;
}

/* ---- finding the file ---- */

static bool is_onnx_name(const char *name)
{
  const size_t n = strlen(name);
  return n > 5 && name[0] != '.' && !strcmp(name + n - 5, ".onnx");
}

/* The single *.onnx of a folder; the message lists several. */
static lrp_status only_file(lrp_ctx *ctx, const char *folder, char *name, size_t room)
{
  char list[400] = "";
  size_t used = 0;
  int64_t n = 0;
  DIR *dir = opendir(folder);
  if (!dir)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: the folder could not be read: %s", folder,
                    strerror(errno));
  for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
    if (!is_onnx_name(e->d_name)) continue;
    if (n++ == 0) snprintf(name, room, "%s", e->d_name);
    if (used + strlen(e->d_name) + 3 < sizeof list)
      used +=
          (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", e->d_name);
  }
  closedir(dir);
  if (!n)
    return lrp_fail(
        ctx, LRP_E_INPUT,
        "%s: no ONNX model in this folder; model.onnx, onnx/model.onnx or a single *.onnx was "
        "expected",
        folder);
  if (n > 1)
    return lrp_fail(
        ctx, LRP_E_INPUT,
        "%s: %lld ONNX models in this folder (%s); name one of them, or call it model.onnx", folder,
        (long long)n, list);
  return LRP_OK;
}

enum { NAME_ROOM = 1024 }; /* four times what file systems allow */

static lrp_status find_file(lrp_ctx *ctx, lrp_model *m, const char *path, bool folder)
{
  char name[NAME_ROOM] = "model.onnx";
  if (!folder) {
    m->info.file = lrp_model_text(ctx, m, path);
    return m->info.file ? LRP_OK : LRP_E_NOMEM;
  }
  if (!lrp_conf_exists(path, name)) {
    snprintf(name, sizeof name, "onnx/model.onnx");
    if (!lrp_conf_exists(path, name)) {
      const lrp_status st = only_file(ctx, path, name, sizeof name);
      if (st) return st;
    }
  }
  const size_t n = strlen(path), room = n + strlen(name) + 2;
  char *file = lrp_arena_alloc(&m->arena, room);
  if (!file) return lrp_nomem(ctx, path);
  snprintf(file, room, n && path[n - 1] == '/' ? "%s%s" : "%s/%s", path, name);
  m->info.file = file;
  return LRP_OK;
}

/* The folder's name; of a file its own without ".onnx", unless that is "model". */
static lrp_status name_model(lrp_ctx *ctx, lrp_model *m, const char *path, bool folder)
{
  char *real = realpath(path, NULL);
  if (!real) return lrp_fail(ctx, LRP_E_INPUT, "%s: %s", path, strerror(errno));
  char *slash = strrchr(real, '/');
  if (!folder && slash > real && !strcmp(slash, "/model.onnx")) {
    *slash = '\0';
    slash = strrchr(real, '/');
  }
  const char *last = slash && slash[1] ? slash + 1 : "model";
  const size_t n = strlen(last), cut = !folder && is_onnx_name(last) ? 5 : 0;
  char *name = lrp_arena_text(&m->arena, last, n - cut);
  free(real);
  m->info.name = name;
  return name ? LRP_OK : lrp_nomem(ctx, path);
}

/* ---- facts ---- */

/* Over the model file and then its external data, in the order of their first use. */
static void hash_files(lrp_model *m)
{
  struct sha256_ctx hash;
  uint8_t digest[SHA256_DIGEST_SIZE];
  sha256_init(&hash);
  for (int32_t i = 0; i < m->onnx.n_file; i++)
    sha256_update(&hash, m->onnx.file[i].file.size, m->onnx.file[i].file.data);
  sha256_digest(&hash, sizeof digest, digest);
  for (size_t i = 0; i < sizeof digest; i++)
    snprintf(m->sha256 + 2 * i, 3, "%02x", digest[i]);
  m->info.sha256 = m->sha256;
}

static bool is_floating(int32_t type)
{
  return type == LRP_ONNX_FLOAT || type == LRP_ONNX_FLOAT16 || type == LRP_ONNX_DOUBLE ||
         type == LRP_ONNX_BFLOAT16;
}

static void count_things(lrp_model *m)
{
  const lrp_onnx_graph *g = &m->onnx.graph;
  const int32_t opset = lrp_onnx_opset_of(&m->onnx, "");
  m->info.producer = m->onnx.producer;
  m->info.opset = opset > 0 ? opset : 0;
  m->info.n_input = (int32_t)g->n_input;
  m->info.n_output = (int32_t)g->n_output;
  m->info.n_node = g->n_node;
  for (int64_t i = 0; i < g->n_init; i++)
    if (is_floating(g->init[i].type)) m->info.n_param += g->init[i].count;
}

/* ---- the folder ---- */

static lrp_status open_tokenizer(lrp_ctx *ctx, lrp_model *m, const char *folder)
{
  const char *name = lrp_conf_exists(folder, "tokenizer.json") ? "tokenizer.json"
                     : lrp_conf_exists(folder, "vocab.txt")    ? "vocab.txt"
                                                               : NULL;
  if (!name) return LRP_OK;
  const size_t room = strlen(folder) + strlen(name) + 2;
  char *path = lrp_arena_alloc(&m->arena, room);
  if (!path) return lrp_nomem(ctx, name);
  snprintf(path, room, "%s/%s", folder, name);
  const lrp_status st = lrp_tokenizer_open(ctx, path, &m->tokenizer);
  m->info.tokenizer = m->tokenizer;
  return st;
}

/* Text where there is a tokenizer; pictures where a preprocessor or config.json speaks of them. */
static lrp_status read_folder(lrp_ctx *ctx, lrp_model *m, const char *folder)
{
  const lrp_signature *in = m->onnx.graph.n_input ? &m->onnx.graph.input[0] : NULL;
  const bool like_picture = in && in->rank == 4 && in->dtype == LRP_REAL &&
                            (in->shape[1] == 1 || in->shape[1] == 3 || in->shape[1] == 4);
  bool image = false;
  lrp_status st = LRP_OK;
  if (lrp_conf_exists(folder, "config.json")) st = lrp_model_config(ctx, m, folder, &image);
  if (!st) st = open_tokenizer(ctx, m, folder);
  if (!st && m->tokenizer) st = lrp_model_max_tokens(ctx, m, folder);
  if (st || m->tokenizer) {
    m->info.modality = LRP_MODALITY_TEXT;
    return st;
  }
  image = image && like_picture;
  if (lrp_conf_exists(folder, "preprocessor_config.json"))
    st = lrp_model_preprocess(ctx, m, folder, "preprocessor_config.json", &image);
  else if (image)
    st = lrp_model_preprocess(ctx, m, folder, NULL, &image);
  if (!st && !image) st = lrp_model_signal(ctx, m, folder);
  m->info.modality = image           ? LRP_MODALITY_IMAGE
                     : m->info.sound ? LRP_MODALITY_SOUND
                     : m->info.bytes ? LRP_MODALITY_BYTES
                                     : LRP_MODALITY_TENSOR;
  return st;
}

/* ---- opening ---- */

/* ---- is there attention? ---- */

/* A layer type that takes the node's operator and is of one of the kinds (bits); NULL: none. */
static const lrp_layer_type *type_of(const lrp_ctx *ctx, const lrp_onnx_node *node, uint32_t kinds)
{
  for (int64_t i = 0, n = node->domain[0] ? 0 : lrp_n_layer(ctx); i < n; i++) {
    const lrp_layer_type *t = lrp_layer_at(ctx, i);
    if (!(kinds >> t->kind & 1)) continue;
    for (const lrp_operator *o = t->operators; o && o->name; o++)
      if (!strcmp(o->name, node->op)) return t;
  }
  return NULL;
}

/* Does the tensor come from a softmax, perhaps rearranged? */
static bool from_softmax(const lrp_ctx *ctx, const lrp_onnx_graph *g, const lrp_names *writer,
                         const char *tensor)
{
  enum { FAR = 8 };
  for (int i = 0; i < FAR; i++) {
    const int32_t by = lrp_names_find(writer, tensor);
    if (by < 0) return false;
    const lrp_onnx_node *node = &g->node[by];
    if (type_of(ctx, node, 1u << LRP_KIND_SOFTMAX)) return true;
    if (!node->n_in || !type_of(ctx, node, 1u << LRP_KIND_RESHAPE)) return false;
    tensor = node->in[0];
  }
  return false;
}

/* Attention: a product reads a softmax, or a layer of that kind takes queries, keys and values.
 *
 *     q, k -> [bilinear] -> ... -> [softmax] -> [rearrangements] -> [bilinear] <- v
 */
static lrp_status attends(lrp_ctx *ctx, const lrp_model *m, bool *yes)
{
  const lrp_onnx_graph *g = &m->onnx.graph;
  lrp_names writer = {0};
  lrp_status st = LRP_OK;
  for (int64_t i = 0; !st && i < g->n_node; i++)
    for (int32_t k = 0; !st && k < g->node[i].n_out; k++)
      if (g->node[i].out[k][0] && lrp_names_find(&writer, g->node[i].out[k]) < 0)
        st = lrp_names_add(ctx, &writer, g->node[i].out[k], (int32_t)i);
  for (int64_t i = 0; !st && !*yes && i < g->n_node; i++) {
    const lrp_onnx_node *node = &g->node[i];
    const lrp_layer_type *t = type_of(ctx, node, 1u << LRP_KIND_BILINEAR);
    if (!t) continue;
    int data = 0;
    for (const lrp_port *p = t->in; p->role; p++)
      data += p->role == LRP_PORT_DATA && !(p->flags & LRP_PORT_OPTIONAL);
    *yes = data >= 3;
    for (int32_t k = 0; !*yes && k < node->n_in; k++)
      *yes = from_softmax(ctx, g, &writer, node->in[k]);
  }
  lrp_names_free(&writer);
  return st;
}

static lrp_status fill(lrp_ctx *ctx, lrp_model *m, const char *path)
{
  static const char *const presets[] = {[LRP_MODALITY_TENSOR] = "epsilon_plus",
                                        [LRP_MODALITY_IMAGE] = "epsilon_gamma_box",
                                        [LRP_MODALITY_TEXT] = "text",
                                        [LRP_MODALITY_SOUND] = "epsilon_plus",
                                        [LRP_MODALITY_BYTES] = "text"};
  struct stat s;
  if (stat(path, &s))
    return lrp_fail(
        ctx, LRP_E_INPUT,
        "%s: the model could not be opened: %s; an .onnx file or a folder with one was expected",
        path, strerror(errno));
  const bool folder = S_ISDIR(s.st_mode);
  m->info.path = lrp_model_text(ctx, m, path);
  lrp_status st = m->info.path ? find_file(ctx, m, path, folder) : LRP_E_NOMEM;
  if (!st) st = lrp_onnx_open(ctx, m->info.file, &m->onnx);
  if (!st) st = name_model(ctx, m, path, folder);
  if (st) return st;
  count_things(m);
  hash_files(m);
  if (folder) st = read_folder(ctx, m, path);
  const char *preset = presets[m->info.modality];
  if (!st && !m->info.composite && strcmp(preset, "text")) { /* which knows attention */
    bool yes = false;
    st = attends(ctx, m, &yes);
    if (yes) preset = m->info.modality == LRP_MODALITY_IMAGE ? "attnlrp_gamma" : "attnlrp";
  }
  if (!st && !m->info.composite) m->info.composite = preset;
  return st;
}

lrp_status lrp_model_open(lrp_ctx *ctx, const char *path, lrp_model **out)
{
  lrp_model *m = calloc(1, sizeof *m);
  *out = NULL;
  if (!m) return lrp_nomem(ctx, path);
  m->info =
      (lrp_model_info){.kind = "", .meta = "{}", .producer = "", .modality = LRP_MODALITY_TENSOR};
  const lrp_status st = fill(ctx, m, path);
  if (st)
    lrp_model_close(m);
  else
    *out = m;
  return st;
}

void lrp_model_close(lrp_model *m)
{
  if (!m) return;
  lrp_tokenizer_free(m->tokenizer);
  lrp_onnx_close(&m->onnx);
  lrp_arena_free(&m->arena);
  free(m);
}

const lrp_model_info *lrp_model_about(const lrp_model *m)
{
  return &m->info;
}

const lrp_signature *lrp_model_input(const lrp_model *m, int32_t i)
{
  return i >= 0 && i < m->info.n_input ? &m->onnx.graph.input[i] : NULL;
}

const lrp_signature *lrp_model_output(const lrp_model *m, int32_t i)
{
  return i >= 0 && i < m->info.n_output ? &m->onnx.graph.output[i] : NULL;
}
