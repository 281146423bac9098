/* dataset.c - a data set: which inputs there are, in which order, and how one of them is read. */
#include "dataset.h"
#include "cli.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FAIL lrp_host_table()->fail

static lrp_status no_memory(lrp_ctx *ctx, const dataset *d)
{
  return FAIL(ctx, LRP_E_NOMEM, "%s: no memory", d->path);
}

/* ---- building ---- */

lrp_status dataset_add(lrp_ctx *ctx, dataset *d, const dataset_item *item)
{
  if (d->n_item == d->n_room) {
    const int64_t more = d->n_room ? 2 * d->n_room : 64;
    dataset_item *grown = (size_t)more < SIZE_MAX / sizeof *grown
                              ? realloc(d->item, (size_t)more * sizeof *grown)
                              : NULL;
    if (!grown) return no_memory(ctx, d);
    d->item = grown;
    d->n_room = more;
  }
  d->item[d->n_item++] = *item;
  return LRP_OK;
}

const char *dataset_own(dataset *d, const char *text, size_t n)
{
  if (!(d->n_owned & (d->n_owned - 1))) { /* room for 1, 2, 4, ... */
    char **grown = realloc(d->owned, (size_t)(d->n_owned ? 2 * d->n_owned : 1) * sizeof *grown);
    if (!grown) return NULL;
    d->owned = grown;
  }
  char *s = strndup(text, n);
  if (s) d->owned[d->n_owned++] = s;
  return s;
}

/* ---- folders ---- */

static bool is_picture(const char *name)
{
  char end[6] = "";
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && dot[i] && i < sizeof end - 1; i++)
    end[i] = (char)tolower((unsigned char)dot[i]);
  return !strcmp(end, ".png") || !strcmp(end, ".jpg") || !strcmp(end, ".jpeg");
}

static int by_text(const void *a, const void *b)
{
  const dataset_item *x = a, *y = b;
  return strcmp(x->text, y->text);
}

/* Pictures of a folder; label NULL: of the data set's own folder, whose sub-folders are entered. */
static lrp_status scan(lrp_ctx *ctx, dataset *d, const char *folder, const char *label,
                       bool labelled)
{
  DIR *dir = opendir(folder);
  lrp_status st = LRP_OK;
  if (!dir)
    return FAIL(ctx, LRP_E_INPUT, "%s: %s; a folder of pictures was expected", folder,
                strerror(errno));
  for (struct dirent *e; !st && (e = readdir(dir));) {
    struct stat info;
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (e->d_name[0] == '.' || n < 0 || n >= (int)sizeof path || stat(path, &info)) continue;
    const char *name =
        S_ISDIR(info.st_mode) && !label ? dataset_own(d, e->d_name, strlen(e->d_name)) : NULL;
    if (name) {
      st = scan(ctx, d, path, name, labelled);
    } else if (S_ISREG(info.st_mode) && is_picture(path)) {
      const dataset_item item = {
          .text = dataset_own(d, path, (size_t)n), .label = labelled ? label : NULL, .ordinal = -1};
      st = item.text ? dataset_add(ctx, d, &item) : no_memory(ctx, d);
    }
  }
  closedir(dir);
  return st;
}

static lrp_status open_folder(lrp_ctx *ctx, const experiment_input *in, dataset *d)
{
  lrp_status st = scan(ctx, d, d->path, NULL, !in->labels);
  if (!st && !d->n_item)
    return FAIL(ctx, LRP_E_INPUT, "%s: neither this folder nor its sub-folders hold a PNG or JPEG",
                d->path);
  if (!st) qsort(d->item, (size_t)d->n_item, sizeof *d->item, by_text);
  return st;
}

/* ---- order ---- */

/* SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Shuffled (Fisher and Yates) first, then from offset on, at most limit: a random part of the
 * data. */
static lrp_status arrange(lrp_ctx *ctx, const experiment_input *in, int64_t limit, dataset *d)
{
  uint64_t state = (uint64_t)in->shuffle;
  const int64_t offset = in->offset > 0 ? in->offset : 0;
  if (offset >= d->n_item)
    return FAIL(ctx, LRP_E_INPUT, "%s: offset %lld, but there are %lld inputs", d->path,
                (long long)offset, (long long)d->n_item);
  d->order = malloc((size_t)d->n_item * sizeof *d->order);
  if (!d->order) return no_memory(ctx, d);
  for (int64_t i = 0; i < d->n_item; i++)
    d->order[i] = i;
  for (int64_t i = d->n_item; in->shuffle >= 0 && i > 1; i--) {
    const int64_t k = (int64_t)(next_random(&state) % (uint64_t)i), kept = d->order[i - 1];
    d->order[i - 1] = d->order[k];
    d->order[k] = kept;
  }
  d->n = d->n_item - offset;
  memmove(d->order, d->order + offset, (size_t)d->n * sizeof *d->order);
  if (in->limit >= 0 && in->limit < d->n) d->n = in->limit;
  if (limit >= 0 && limit < d->n) d->n = limit;
  return LRP_OK;
}

/* ---- opening ---- */

static lrp_status open_kind(lrp_ctx *ctx, const experiment *e, const experiment_input *in,
                            dataset *d)
{
  switch (in->kind) {
  case INPUT_FOLDER:
    return open_folder(ctx, in, d);
  case INPUT_LINES:
    return dataset_open_lines(ctx, d);
  case INPUT_TABLE:
    return dataset_open_table(ctx, in, d);
  case INPUT_NPY:
    return dataset_open_npy(ctx, e, in, d);
  default:
    return dataset_open_idx(ctx, d);
  }
}

static lrp_status open_labels(lrp_ctx *ctx, const experiment *e, const experiment_input *in,
                              dataset *d)
{
  if (!in->labels || in->kind == INPUT_FOLDER) return LRP_OK;
  char *path = experiment_path(e, in->labels);
  const lrp_status st = path ? dataset_open_labels(ctx, d, path) : no_memory(ctx, d);
  free(path);
  return st;
}

lrp_status dataset_open(lrp_ctx *ctx, const experiment *e, const experiment_input *in,
                        int64_t limit, dataset **out)
{
  dataset *d = calloc(1, sizeof *d);
  *out = NULL;
  if (!d) return FAIL(ctx, LRP_E_NOMEM, "no memory");
  d->kind = in->kind;
  d->path = experiment_path(e, in->kind == INPUT_NPY ? in->npy.item[0] : in->source[in->kind]);
  lrp_status st = d->path ? open_kind(ctx, e, in, d) : FAIL(ctx, LRP_E_NOMEM, "no memory");
  if (!st && !d->n_item) st = FAIL(ctx, LRP_E_INPUT, "%s: there are no inputs in it", d->path);
  if (!st) st = open_labels(ctx, e, in, d);
  if (!st) st = arrange(ctx, in, limit, d);
  if (st)
    dataset_close(d);
  else
    *out = d;
  return st;
}

void dataset_close(dataset *d)
{
  if (!d) return;
  for (int32_t i = 0; i < d->n_array; i++)
    free(d->array[i].data);
  for (int64_t i = 0; i < d->n_owned; i++)
    free(d->owned[i]);
  free(d->owned);
  free(d->array);
  free(d->pixels);
  free(d->bytes);
  free(d->order);
  free(d->item);
  free(d->path);
  free(d);
}

/* ---- reading ---- */

bool dataset_fits(const dataset *d, const lrp_model *model)
{
  const lrp_model_info *m = lrp_model_about(model);
  if (d->kind == INPUT_NPY) return m->modality != LRP_MODALITY_TEXT && m->n_input == d->n_array;
  return m->modality ==
         (d->kind == INPUT_FOLDER || d->kind == INPUT_IDX ? LRP_MODALITY_IMAGE : LRP_MODALITY_TEXT);
}

const char *dataset_where(const dataset *d, int64_t i, char *buffer, size_t n)
{
  const dataset_item *item = &d->item[d->order[i]];
  if (d->kind == INPUT_FOLDER)
    snprintf(buffer, n, "%s", item->text);
  else
    snprintf(buffer, n, "%s, %s %lld", d->path,
             d->kind == INPUT_IDX || d->kind == INPUT_NPY ? "number" : "line",
             (long long)item->ordinal);
  return buffer;
}

static lrp_status read_array(lrp_ctx *ctx, const dataset *d, int64_t at, const lrp_model *model,
                             lrp_input **out)
{
  lrp_tensor part[16];
  const int32_t n = d->n_array < 16 ? d->n_array : 16;
  for (int32_t i = 0; i < n; i++) {
    part[i] = d->array[i];
    part[i].shape[0] = 1;
    part[i].data =
        (char *)d->array[i].data + (size_t)at * (size_t)lrp_count(&part[i]) *
                                       (part[i].dtype == LRP_INDEX ? 8 : sizeof(lrp_real));
    if (lrp_model_input(model, i)->rank == part[i].rank - 1) { /* the model knows no batches */
      memmove(part[i].shape, part[i].shape + 1, (size_t)(part[i].rank - 1) * sizeof *part[i].shape);
      part[i].rank--;
    }
  }
  return lrp_input_arrays(ctx, model, d->path, part, n, out);
}

/* A class that is given by its number gets its name. */
static void name_label(const char *label, const lrp_model *model, char *out, size_t n)
{
  const lrp_model_info *m = lrp_model_about(model);
  char *end = NULL;
  if (!label || !*label) return;
  for (int64_t i = 0; m->labels && i < m->n_label; i++)
    if (m->labels[i] && !strcmp(m->labels[i], label)) {
      snprintf(out, n, "%s", label);
      return;
    }
  const long long at = strtoll(label, &end, 10);
  const bool number = !*end && at >= 0 && m->labels && at < m->n_label && m->labels[at];
  snprintf(out, n, "%s", number ? m->labels[at] : label);
}

/* "FILE#7" tells inputs of an array apart wherever paths are shown. */
static void set_path(const dataset *d, const dataset_item *item, lrp_input *in)
{
  char path[4200];
  if (d->kind == INPUT_IDX || d->kind == INPUT_NPY)
    snprintf(path, sizeof path, "%s#%lld", d->path, (long long)item->ordinal);
  else
    snprintf(path, sizeof path, "%s", d->path);
  free(in->path);
  in->path = strdup(path);
}

lrp_status dataset_read(lrp_ctx *ctx, const dataset *d, int64_t i, const lrp_model *model,
                        sample *out)
{
  dataset_item item = d->item[d->order[i]];
  char where[4200];
  lrp_status st;
  *out = (sample){.ordinal = item.ordinal};
  if (item.wrong)
    return FAIL(ctx, LRP_E_INPUT, "%s: %s", dataset_where(d, i, where, sizeof where), item.wrong);
  if (d->kind == INPUT_FOLDER)
    st = lrp_input_image(ctx, model, item.text, &out->input);
  else if (d->kind == INPUT_NPY)
    st = read_array(ctx, d, item.ordinal, model, &out->input);
  else if (d->kind == INPUT_IDX)
    st = lrp_input_pixels(ctx, model, d->path, d->width, d->height, d->channels,
                          d->pixels + item.ordinal * d->width * d->height * d->channels,
                          &out->input);
  else
    st = dataset_read_text(ctx, d, &item, model, out);
  char label[sizeof out->label];
  snprintf(label, sizeof label, "%s", out->label[0] ? out->label : item.label ? item.label : "");
  if (!st) name_label(label, model, out->label, sizeof out->label);
  if (!st && d->kind != INPUT_FOLDER) set_path(d, &item, out->input);
  if (st && d->kind != INPUT_FOLDER) {
    char message[4096];
    snprintf(message, sizeof message, "%s", lrp_message(ctx));
    FAIL(ctx, st, "%s: %s", dataset_where(d, i, where, sizeof where), message);
  }
  if (st) sample_free(out);
  return st;
}

void sample_free(sample *s)
{
  lrp_input_free(s->input);
  free(s->rationale);
  s->input = NULL;
  s->rationale = NULL;
}
