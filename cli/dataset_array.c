/* dataset_array.c - data sets in arrays: IDX files as MNIST's, plain or compressed, and .npy;
 * labels of all kinds. */
#include "cli.h"
#include "dataset.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FAIL lrp_host_table()->fail
#define DATA_LIMIT                                                                                 \
  ((int64_t)1 << 36) /* 64 GiB: past any IDX file; refused before memory is asked for */

/* ---- IDX (LeCun's MNIST page): 0 0 type rank, big-endian sizes, bytes ---- */

typedef struct idx {
  int32_t rank;
  int64_t shape[4], n_byte;
  uint8_t *data;
} idx;

/* All bytes, in steps, so that a header that lies costs no more memory than there are bytes. */
static lrp_status read_bytes(lrp_ctx *ctx, const char *path, gzFile f, idx *x)
{
  int64_t have = 0, space = 0;
  while (have < x->n_byte) {
    if (have == space) {
      space = space ? 2 * space : 1 << 20;
      space = space < x->n_byte ? space : x->n_byte;
      uint8_t *grown = realloc(x->data, (size_t)space);
      if (!grown)
        return FAIL(ctx, LRP_E_NOMEM, "%s: no memory for %" PRId64 " bytes", path, x->n_byte);
      x->data = grown;
    }
    const int64_t want = space - have < (1 << 20) ? space - have : 1 << 20;
    const int got = gzread(f, x->data + have, (unsigned)want);
    if (got <= 0) {
      int code;
      const char *reason = gzerror(f, &code);
      return FAIL(ctx, LRP_E_INPUT, "%s: %s after %" PRId64 " of %" PRId64 " bytes of data", path,
                  got < 0 ? reason : "the file ends", have, x->n_byte);
    }
    have += got;
  }
  return LRP_OK;
}

static lrp_status read_idx(lrp_ctx *ctx, const char *path, gzFile f, idx *x)
{
  uint8_t head[4] = {1}, size[4];
  if (gzread(f, head, 4) != 4 || head[0] || head[1])
    return FAIL(ctx, LRP_E_INPUT, "%s: not an IDX file: it must begin with two bytes of 0", path);
  if (head[2] != 0x08)
    return FAIL(ctx, LRP_E_INPUT,
                "%s: IDX of type 0x%02x; bytes (0x08) were expected; save other numbers as .npy",
                path, head[2]);
  x->rank = head[3];
  if (x->rank < 1 || x->rank > 4)
    return FAIL(ctx, LRP_E_INPUT, "%s: IDX of rank %d; 1 (labels), 3 or 4 (pictures) was expected",
                path, x->rank);
  x->n_byte = 1;
  for (int32_t i = 0; i < x->rank; i++) {
    if (gzread(f, size, 4) != 4)
      return FAIL(ctx, LRP_E_INPUT, "%s: the file ends in its header", path);
    x->shape[i] = (int64_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
    if (!x->shape[i] || x->n_byte > DATA_LIMIT / x->shape[i])
      return FAIL(ctx, LRP_E_INPUT, "%s: size %" PRId64 " in the header; the file is damaged", path,
                  x->shape[i]);
    x->n_byte *= x->shape[i];
  }
  return read_bytes(ctx, path, f, x);
}

static lrp_status open_idx(lrp_ctx *ctx, const char *path, idx *x)
{
  *x = (idx){0};
  errno = 0;
  gzFile f = gzopen(path, "rb"); /* reads plain files as they are */
  if (!f) return FAIL(ctx, LRP_E_INPUT, "%s: %s", path, errno ? strerror(errno) : "no memory");
  const lrp_status st = read_idx(ctx, path, f, x);
  gzclose(f);
  if (st) free(x->data);
  return st;
}

static lrp_status add_numbers(lrp_ctx *ctx, dataset *d, int64_t n)
{
  lrp_status st = LRP_OK;
  for (int64_t i = 0; !st && i < n; i++)
    st = dataset_add(ctx, d, &(dataset_item){.ordinal = i});
  return st;
}

lrp_status dataset_open_idx(lrp_ctx *ctx, dataset *d)
{
  idx x;
  lrp_status st = open_idx(ctx, d->path, &x);
  if (st) return st;
  d->pixels = x.data;
  d->height = x.rank > 2 ? x.shape[1] : 0;
  d->width = x.rank > 2 ? x.shape[2] : 0;
  d->channels = x.rank > 3 ? x.shape[3] : 1;
  if (x.rank < 3)
    return FAIL(ctx, LRP_E_INPUT,
                "%s: IDX of rank %d: labels; pictures (rank 3 or 4) were expected", d->path,
                x.rank);
  return add_numbers(ctx, d, x.shape[0]);
}

/* ---- .npy ---- */

lrp_status dataset_open_npy(lrp_ctx *ctx, const experiment *e, const experiment_input *in,
                            dataset *d)
{
  lrp_status st = LRP_OK;
  if (in->npy.n > 16)
    return FAIL(ctx, LRP_E_INPUT, "npy: %d files; 16 at most were expected", in->npy.n);
  d->array = calloc((size_t)in->npy.n + 1, sizeof *d->array);
  if (!d->array) return FAIL(ctx, LRP_E_NOMEM, "%s: no memory", d->path);
  for (int i = 0; !st && i < in->npy.n; i++) {
    char *path = experiment_path(e, in->npy.item[i]);
    lrp_tensor *t = &d->array[i];
    st = path ? lrp_npy_read(ctx, path, t) : FAIL(ctx, LRP_E_NOMEM, "no memory");
    if (!st) d->n_array = i + 1;
    if (!st && (t->rank < 1 || t->shape[0] < 1))
      st = FAIL(ctx, LRP_E_INPUT, "%s: samples along the first axis were expected", path);
    else if (!st && t->shape[0] != d->array[0].shape[0])
      st = FAIL(ctx, LRP_E_INPUT, "%s: %" PRId64 " samples, but %s has %" PRId64, path, t->shape[0],
                d->path, d->array[0].shape[0]);
    free(path);
  }
  return st ? st : add_numbers(ctx, d, d->array[0].shape[0]);
}

/* ---- labels ---- */

static lrp_status check_count(lrp_ctx *ctx, const dataset *d, const char *path, int64_t n)
{
  if (n == d->n_item) return LRP_OK;
  return FAIL(ctx, LRP_E_INPUT, "%s: %" PRId64 " labels, but %s has %" PRId64 " inputs", path, n,
              d->path, d->n_item);
}

static lrp_status set_number(lrp_ctx *ctx, dataset *d, int64_t i, int64_t label)
{
  char text[24];
  const int n = snprintf(text, sizeof text, "%" PRId64, label);
  d->item[i].label = dataset_own(d, text, (size_t)n);
  return d->item[i].label ? LRP_OK : FAIL(ctx, LRP_E_NOMEM, "%s: no memory", d->path);
}

static lrp_status labels_npy(lrp_ctx *ctx, dataset *d, const char *path)
{
  lrp_tensor t = {0};
  lrp_status st = lrp_npy_read(ctx, path, &t);
  if (st) return st;
  if (t.rank != 1 || t.dtype != LRP_INDEX)
    st = FAIL(ctx, LRP_E_INPUT, "%s: an array of rank 1 of whole numbers was expected", path);
  if (!st) st = check_count(ctx, d, path, t.shape[0]);
  for (int64_t i = 0; !st && i < d->n_item; i++)
    st = set_number(ctx, d, i, ((const int64_t *)t.data)[i]);
  free(t.data);
  return st;
}

static lrp_status labels_idx(lrp_ctx *ctx, dataset *d, const char *path)
{
  idx x;
  lrp_status st = open_idx(ctx, path, &x);
  if (st) return st;
  if (x.rank != 1)
    st = FAIL(ctx, LRP_E_INPUT, "%s: IDX of rank %d; labels (rank 1) were expected", path, x.rank);
  if (!st) st = check_count(ctx, d, path, x.shape[0]);
  for (int64_t i = 0; !st && i < d->n_item; i++)
    st = set_number(ctx, d, i, x.data[i]);
  free(x.data);
  return st;
}

static lrp_status labels_lines(lrp_ctx *ctx, dataset *d, const char *path)
{
  char *s = NULL;
  size_t n = 0;
  int64_t count = 0;
  lrp_status st = dataset_file(ctx, path, &s, &n);
  for (size_t at = 0; !st && at < n;) {
    const size_t len = strcspn(s + at, "\n");
    if (count < d->n_item) {
      d->item[count].label = dataset_own(d, s + at, len && s[at + len - 1] == '\r' ? len - 1 : len);
      st = d->item[count].label ? LRP_OK : FAIL(ctx, LRP_E_NOMEM, "%s: no memory", path);
    }
    count++;
    at += len + 1;
  }
  free(s);
  return st ? st : check_count(ctx, d, path, count);
}

lrp_status dataset_open_labels(lrp_ctx *ctx, dataset *d, const char *path)
{
  uint8_t head[4] = {1};
  gzFile f = gzopen(path, "rb");
  if (!f) return FAIL(ctx, LRP_E_INPUT, "%s: %s", path, errno ? strerror(errno) : "no memory");
  const int got = gzread(f, head, 4);
  gzclose(f);
  if (cli_has_ending(path, ".npy")) return labels_npy(ctx, d, path);
  return got == 4 && !head[0] && !head[1] ? labels_idx(ctx, d, path) : labels_lines(ctx, d, path);
}
