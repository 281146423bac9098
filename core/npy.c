/* npy.c - arrays as numpy writes them (.npy, format 1.0 to 3.0; numpy.lib.format).
 *
 * The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
 * Only what numpy itself writes is accepted. */
#include "core.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 6, ALIGN = 64 }; /* bytes; numpy aligns the data */

typedef struct header {
  char order, kind; /* '<' or '>'; 'f', 'i', 'u', 'b' */
  size_t size;      /* bytes of an element */
  bool fortran;     /* first axis fastest */
  int32_t rank;
  int64_t shape[LRP_MAX_RANK], count;
  size_t data; /* offset of the first element */
  bool has_descr, has_order, has_shape;
} header;

typedef struct text { /* what is left of the dictionary */
  lrp_ctx *ctx;
  const char *path;
  const char *at, *end, *start;
} text;

static lrp_status bad(const text *t, const char *what)
{
  return lrp_fail(t->ctx, LRP_E_INPUT, "%s: byte %td of the header: %s", t->path, t->at - t->start,
                  what);
}

static void skip_blank(text *t)
{
  while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t'))
    t->at++;
}

/* Take a character, blanks before it skipped. */
static bool take(text *t, char c)
{
  skip_blank(t);
  if (t->at == t->end || *t->at != c) return false;
  t->at++;
  return true;
}

static bool take_word(text *t, const char *word)
{
  const size_t n = strlen(word);
  skip_blank(t);
  if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0) return false;
  t->at += n;
  return true;
}

/* A quoted string without escapes. */
static lrp_status take_string(text *t, char *out, size_t n)
{
  skip_blank(t);
  const char quote = t->at < t->end ? *t->at : '\0';
  if (quote != '\'' && quote != '"')
    return bad(t, "a text in quotes was expected (structured types are not read)");
  const char *from = t->at + 1, *to = memchr(from, quote, (size_t)(t->end - from));
  if (!to || (size_t)(to - from) >= n) return bad(t, "a short text in quotes was expected");
  memcpy(out, from, (size_t)(to - from));
  out[to - from] = '\0';
  t->at = to + 1;
  return LRP_OK;
}

static lrp_status read_descr(text *t, header *h)
{
  char s[16];
  const lrp_status st = take_string(t, s, sizeof s);
  if (st) return st;
  const bool known =
      strlen(s) == 3 && strchr("<>|=", s[0]) && strchr("fiub", s[1]) && strchr("1248", s[2]);
  h->order = s[0];
  h->kind = s[1];
  h->size = known ? (size_t)(s[2] - '0') : 0;
  if (!known || (h->kind == 'f' && h->size == 1) || (h->kind == 'b' && h->size != 1) ||
      (h->order == '|' && h->size != 1))
    return lrp_fail(t->ctx, LRP_E_UNSUPPORTED,
                    "%s: elements of type %s; floats of 2, 4 or 8 bytes, integers or bool were "
                    "expected",
                    t->path, s);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  if (h->order != '>') h->order = '<';
#else
  if (h->order != '<') h->order = '>';
#endif
  return LRP_OK;
}

static lrp_status take_size(text *t, int64_t *out)
{
  int64_t v = 0;
  skip_blank(t);
  if (t->at == t->end || *t->at < '0' || *t->at > '9') return bad(t, "a size was expected");
  for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *t->at - '0', &v))
      return bad(t, "a size too large");
  if (t->at < t->end && *t->at == 'L') t->at++; /* Python 2 */
  *out = v;
  return LRP_OK;
}

static lrp_status read_shape(text *t, header *h)
{
  if (!take(t, '(')) return bad(t, "the shape in brackets was expected");
  while (!take(t, ')')) {
    if (h->rank == LRP_MAX_RANK)
      return lrp_fail(t->ctx, LRP_E_UNSUPPORTED, "%s: more than %d axes", t->path, LRP_MAX_RANK);
    const lrp_status st = take_size(t, &h->shape[h->rank++]);
    if (st) return st;
    const bool comma = take(t, ',');
    skip_blank(t);
    if (!comma && (t->at == t->end || *t->at != ')'))
      return bad(t, "a comma or the end of the shape was expected");
  }
  return LRP_OK;
}

static lrp_status read_entry(text *t, header *h)
{
  char key[16];
  bool *seen;
  lrp_status st = take_string(t, key, sizeof key);
  if (st) return st;
  if (!strcmp(key, "descr"))
    seen = &h->has_descr;
  else if (!strcmp(key, "fortran_order"))
    seen = &h->has_order;
  else if (!strcmp(key, "shape"))
    seen = &h->has_shape;
  else
    return bad(t, "keys descr, fortran_order and shape were expected, no others");
  if (*seen) return bad(t, "a key occurs twice");
  *seen = true;
  if (!take(t, ':')) return bad(t, "a colon was expected");
  if (seen == &h->has_descr) return read_descr(t, h);
  if (seen == &h->has_shape) return read_shape(t, h);
  h->fortran = take_word(t, "True");
  return h->fortran || take_word(t, "False") ? LRP_OK : bad(t, "True or False was expected");
}

static lrp_status read_dictionary(text *t, header *h)
{
  if (!take(t, '{')) return bad(t, "a dictionary was expected");
  while (!take(t, '}')) {
    const lrp_status st = read_entry(t, h);
    if (st) return st;
    const bool comma = take(t, ',');
    skip_blank(t);
    if (!comma && (t->at == t->end || *t->at != '}'))
      return bad(t, "a comma or the end of the dictionary was expected");
  }
  skip_blank(t);
  if (t->at < t->end) return bad(t, "nothing was expected behind the dictionary");
  if (!h->has_descr || !h->has_order || !h->has_shape)
    return bad(t, "descr, fortran_order and shape were expected");
  return LRP_OK;
}

/* Magic, version, length of the dictionary, dictionary. */
static lrp_status read_header(lrp_ctx *ctx, const char *path, const lrp_file *file, header *h)
{
  const uint8_t *p = file->data;
  if (file->size < 12 || memcmp(p, "\x93NUMPY", MAGIC) != 0)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: not an array of numpy (.npy)", path);
  if (p[6] < 1 || p[6] > 3 || p[7] != 0)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED, "%s: format %d.%d; 1.0, 2.0 or 3.0 was expected", path,
                    p[6], p[7]);
  const size_t start = p[6] == 1 ? 10 : 12;
  size_t n = (size_t)p[8] | (size_t)p[9] << 8;
  if (p[6] > 1) n |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
  if (n > file->size - start)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: the header has %zu bytes, the file only %zu", path, n,
                    file->size);
  h->data = start + n;
  const char *from = (const char *)p + start;
  text t = {.ctx = ctx, .path = path, .at = from, .start = from, .end = from + n};
  return read_dictionary(&t, h);
}

/* The file holds exactly what the shape needs.  An empty axis does not hide the size of the others.
 */
static lrp_status check_size(lrp_ctx *ctx, const char *path, const lrp_file *file, header *h)
{
  size_t n = 1, bytes;
  bool fits = true, empty = false;
  for (int32_t i = 0; i < h->rank; i++) {
    empty = empty || !h->shape[i];
    fits = fits && lrp_mul_size(n, h->shape[i] ? (size_t)h->shape[i] : 1, &n) && n <= LRP_MAX_BYTES;
  }
  fits = fits && lrp_mul_size(n, h->size, &bytes);
  if (!fits)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: the shape has more elements than any memory can hold",
                    path);
  if (empty) n = bytes = 0;
  if (bytes != file->size - h->data)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: the shape needs %zu bytes; %zu are there", path, bytes,
                    file->size - h->data);
  h->count = (int64_t)n;
  return LRP_OK;
}

/* ---- elements ---- */

static uint64_t load(const header *h, const uint8_t *p)
{
  uint64_t v = 0;
  for (size_t i = 0; i < h->size; i++)
    v = v << 8 | p[h->order == '>' ? i : h->size - 1 - i];
  return v;
}

static double real_of(const header *h, uint64_t bits)
{
  if (h->size == 8) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
  }
  if (h->size == 4) {
    const uint32_t b = (uint32_t)bits;
    float f;
    memcpy(&f, &b, sizeof f);
    return (double)f;
  }
  const int exponent = (int)(bits >> 10 & 31); /* IEEE 754 binary16 */
  const double fraction = (double)(bits & 0x3ff), sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == 31) return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
  return sign * (exponent ? ldexp(fraction + 1024, exponent - 25) : ldexp(fraction, -24));
}

static int64_t index_of(const header *h, uint64_t bits)
{
  if (h->kind == 'b') return bits != 0;
  if (h->kind == 'u' || h->size == 8) return (int64_t)bits;
  const uint64_t sign = (uint64_t)1 << (8 * h->size - 1);
  return (int64_t)(bits ^ sign) - (int64_t)sign;
}

/* "3,0,7": where element i of the C order lies. */
static const char *place(const header *h, int64_t i, char *buffer, size_t n)
{
  int64_t at[LRP_MAX_RANK] = {0};
  size_t used = 0;
  buffer[0] = '\0';
  for (int32_t a = h->rank; a-- > 0; i /= h->shape[a])
    at[a] = i % h->shape[a];
  for (int32_t a = 0; a < h->rank && used < n; a++)
    used += (size_t)snprintf(buffer + used, n - used, "%s%lld", a ? "," : "", (long long)at[a]);
  return buffer;
}

static lrp_status refuse(lrp_ctx *ctx, const char *path, const header *h, int64_t i, double v)
{
  char where[256];
  place(h, i, where, sizeof where);
  if (isfinite(v))
    return lrp_fail(ctx, LRP_E_NUMERIC, "%s: element [%s] is %g, too large for lrp's numbers", path,
                    where, v);
  return lrp_fail(ctx, LRP_E_NUMERIC, "%s: element [%s] is %g; finite numbers were expected", path,
                  where, v);
}

/* Go to the next element of the C order: *offset (in elements) follows in the file's order. */
static void step(const header *h, int64_t *at, int64_t *offset)
{
  int64_t stride = 1;
  if (!h->fortran) {
    (*offset)++;
    return;
  }
  for (int32_t a = 0; a + 1 < h->rank; a++)
    stride *= h->shape[a];
  for (int32_t a = h->rank; a-- > 0; stride = a > 0 ? stride / h->shape[a - 1] : 1) {
    *offset += stride;
    if (++at[a] < h->shape[a]) return;
    *offset -= stride * h->shape[a];
    at[a] = 0;
  }
}

static lrp_status convert(lrp_ctx *ctx, const char *path, const header *h, const uint8_t *data,
                          lrp_tensor *out)
{
  int64_t at[LRP_MAX_RANK] = {0}, offset = 0;
  for (int64_t i = 0; i < h->count; i++, step(h, at, &offset)) {
    const uint64_t bits = load(h, data + (size_t)offset * h->size);
    if (h->kind == 'f') {
      const double v = real_of(h, bits);
      lrp_reals(out)[i] = (lrp_real)v;
      if (!isfinite(lrp_reals(out)[i])) return refuse(ctx, path, h, i, v);
    } else {
      lrp_indices(out)[i] = index_of(h, bits);
      if (h->kind == 'u' && lrp_indices(out)[i] < 0) return refuse(ctx, path, h, i, (double)bits);
    }
  }
  return LRP_OK;
}

lrp_status lrp_npy_read(lrp_ctx *ctx, const char *path, lrp_tensor *out)
{
  lrp_file file = {0};
  header h = {0};
  size_t bytes = 0;
  *out = (lrp_tensor){0};
  lrp_status st = lrp_file_open(ctx, path, "an array of numpy (.npy)", 0, &file);
  if (!st) st = read_header(ctx, path, &file, &h);
  if (!st) st = check_size(ctx, path, &file, &h);
  if (!st) {
    *out = (lrp_tensor){.dtype = h.kind == 'f' ? LRP_REAL : LRP_INDEX, .rank = h.rank};
    memcpy(out->shape, h.shape, sizeof out->shape);
    if (!lrp_mul_size((size_t)h.count, lrp_element(out), &bytes) ||
        !(out->data = malloc(bytes ? bytes : 1)))
      st = lrp_nomem(ctx, path);
  }
  if (!st) st = convert(ctx, path, &h, file.data + h.data, out);
  if (st) {
    free(out->data);
    *out = (lrp_tensor){0};
  }
  lrp_file_close(&file);
  return st;
}

/* ---- writing ---- */

/* The header of format 1.0, filled with blanks up to the alignment; returns its length. */
static size_t write_header(const lrp_tensor *t, char *out, size_t room)
{
  char dict[512];
  const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
  size_t n =
      (size_t)snprintf(dict, sizeof dict, "{'descr': '%c%c%zu', 'fortran_order': False, 'shape': (",
                       little ? '<' : '>', t->dtype == LRP_INDEX ? 'i' : 'f', lrp_element(t));
  for (int32_t i = 0; i < t->rank; i++)
    n += (size_t)snprintf(dict + n, sizeof dict - n,
                          i || t->rank == 1 ? (i ? ", %lld" : "%lld,") : "%lld",
                          (long long)t->shape[i]);
  n += (size_t)snprintf(dict + n, sizeof dict - n, "), }");
  const size_t whole = (10 + n + 1 + ALIGN - 1) / ALIGN * ALIGN, rest = whole - 10;
  if (whole > room) return 0;
  memset(out, ' ', whole);
  memcpy(out, "\x93NUMPY\1\0", 8);
  out[8] = (char)(rest & 255);
  out[9] = (char)(rest >> 8);
  memcpy(out + 10, dict, n);
  out[whole - 1] = '\n';
  return whole;
}

lrp_status lrp_npy_write(lrp_ctx *ctx, const char *path, const lrp_tensor *t)
{
  char head[640];
  size_t bytes, all;
  if (!t->data) return lrp_fail(ctx, LRP_E_ARG, "%s: there is no array to write", path);
  lrp_status st = lrp_tensor_bytes(ctx, t, &bytes);
  if (st) return st;
  const size_t n = write_header(t, head, sizeof head);
  char *whole = n && !__builtin_add_overflow(n, bytes, &all) ? malloc(all) : NULL;
  if (!whole) return lrp_nomem(ctx, path);
  memcpy(whole, head, n);
  if (bytes) memcpy(whole + n, t->data, bytes);
  st = lrp_file_write(ctx, path, whole, all);
  free(whole);
  return st;
}
