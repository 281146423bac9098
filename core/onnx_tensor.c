/* onnx_tensor.c - TensorProto: where its numbers lie, and what they are. */
#include "onnx_reader.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* Each element type: bytes of an element in raw_data, and the typed field that may hold it instead
 * (onnx.proto, TensorProto).  Integers narrower than their typed field must lie between low and
 * high. */
enum { F_FLOAT = 4, F_INT32 = 5, F_STRING = 6, F_INT64 = 7, F_DOUBLE = 10, F_UINT64 = 11 };
typedef struct kind {
  const char *name;
  uint8_t size, field, floating;
  int64_t low, high;
} kind;
static const kind kinds[] = {
    [LRP_ONNX_FLOAT] = {"float", 4, F_FLOAT, 1, 0, 0},
    [LRP_ONNX_UINT8] = {"uint8", 1, F_INT32, 0, 0, UINT8_MAX},
    [LRP_ONNX_INT8] = {"int8", 1, F_INT32, 0, INT8_MIN, INT8_MAX},
    [LRP_ONNX_UINT16] = {"uint16", 2, F_INT32, 0, 0, UINT16_MAX},
    [LRP_ONNX_INT16] = {"int16", 2, F_INT32, 0, INT16_MIN, INT16_MAX},
    [LRP_ONNX_INT32] = {"int32", 4, F_INT32, 0, INT32_MIN, INT32_MAX},
    [LRP_ONNX_INT64] = {"int64", 8, F_INT64, 0, INT64_MIN, INT64_MAX},
    [LRP_ONNX_STRING] = {"string", 0, F_STRING, 0, 0, 0},
    [LRP_ONNX_BOOL] = {"bool", 1, F_INT32, 0, 0, 1},
    [LRP_ONNX_FLOAT16] = {"float16", 2, F_INT32, 1, 0, UINT16_MAX},
    [LRP_ONNX_DOUBLE] = {"double", 8, F_DOUBLE, 1, 0, 0},
    [LRP_ONNX_UINT32] = {"uint32", 4, F_UINT64, 0, 0, UINT32_MAX},
    [LRP_ONNX_UINT64] = {"uint64", 8, F_UINT64, 0, INT64_MIN, INT64_MAX},
    [14] = {"complex64", 0, 0, 0, 0, 0},
    [15] = {"complex128", 0, 0, 0, 0, 0},
    [LRP_ONNX_BFLOAT16] = {"bfloat16", 2, F_INT32, 1, 0, UINT16_MAX},
    {"float8e4m3fn", 0, 0, 0, 0, 0},
    {"float8e4m3fnuz", 0, 0, 0, 0, 0},
    {"float8e5m2", 0, 0, 0, 0, 0},
    {"float8e5m2fnuz", 0, 0, 0, 0, 0},
    {"uint4", 0, 0, 0, 0, 0},
    {"int4", 0, 0, 0, 0, 0},
    {"float4e2m1", 0, 0, 0, 0, 0},
};

static const kind *kind_of(int32_t type)
{
  return type > 0 && type < (int32_t)(sizeof kinds / sizeof *kinds) ? &kinds[type] : NULL;
}

const char *lrp_onnx_type_name(int32_t type)
{
  const kind *k = kind_of(type);
  return k ? k->name : NULL;
}

/* ---- reading the message ---- */

typedef struct draft {
  lrp_bytes message;
  size_t n_dims, n_typed; /* numbers, or strings, in the typed field */
  uint32_t typed;         /* number of the typed field that holds something; 0: none */
  bool has_raw, elsewhere;
  lrp_bytes raw;
  lrp_bytes run;     /* the typed field's only run ... */
  size_t n_run;      /* ... if this is 1 */
  const uint8_t *at; /* of the data, for messages */
  lrp_external external;
} draft;

static uint32_t wire_of(uint32_t field)
{
  return field == F_FLOAT    ? LRP_WIRE_FIXED32
         : field == F_DOUBLE ? LRP_WIRE_FIXED64
                             : LRP_WIRE_VARINT;
}

static const char *field_name(uint32_t field)
{
  switch (field) {
  case F_FLOAT:
    return "float_data";
  case F_INT32:
    return "int32_data";
  case F_STRING:
    return "string_data";
  case F_INT64:
    return "int64_data";
  case F_DOUBLE:
    return "double_data";
  default:
    return "uint64_data";
  }
}

static lrp_status read_dims(lrp_reader *r, const lrp_field *f, draft *d, lrp_onnx_tensor *t)
{
  lrp_bytes run;
  size_t n;
  lrp_status st = lrp_reader_run(r, f, LRP_WIRE_VARINT, "dims", &run, &n);
  for (; !st && n > 0; n--) {
    uint64_t v = 0;
    if (d->n_dims == LRP_MAX_RANK)
      return lrp_reader_fail(r, f->start, LRP_E_UNSUPPORTED, "more than %d axes", LRP_MAX_RANK);
    st = lrp_reader_number(r, &run, LRP_WIRE_VARINT, &v);
    if (!st && (int64_t)v < 0)
      st = lrp_reader_fail(r, f->start, LRP_E_INPUT, "axis %zu has size %lld", d->n_dims,
                           (long long)v);
    t->shape[d->n_dims++] = (int64_t)v;
  }
  t->rank = (int32_t)d->n_dims;
  return st;
}

static lrp_status read_typed(lrp_reader *r, const lrp_field *f, draft *d)
{
  lrp_bytes run = f->bytes;
  size_t n = 1;
  const lrp_status st = f->number == F_STRING ? lrp_reader_want(r, f, LRP_WIRE_BYTES, "string_data")
                                              : lrp_reader_run(r, f, wire_of(f->number),
                                                               field_name(f->number), &run, &n);
  if (st || !n) return st;
  if (d->typed && d->typed != f->number)
    return lrp_reader_fail(r, f->start, LRP_E_INPUT,
                           "data in %s and in %s; one of them was expected", field_name(d->typed),
                           field_name(f->number));
  d->typed = f->number;
  d->n_typed += n;
  d->run = run;
  d->n_run++;
  d->at = f->start;
  return LRP_OK;
}

static lrp_status read_location(lrp_reader *r, const lrp_field *f, draft *d)
{
  int32_t location = 0;
  const lrp_status st = lrp_reader_int32(r, f, "data_location", &location);
  if (st) return st;
  if (location != 0 && location != 1)
    return lrp_reader_fail(r, f->start, LRP_E_INPUT, "data_location is %d; 0 or 1 was expected",
                           location);
  d->elsewhere = location == 1;
  d->at = f->start;
  return LRP_OK;
}

static lrp_status read_field(lrp_reader *r, const lrp_field *f, draft *d, lrp_onnx_tensor *t)
{
  lrp_status st;
  switch (f->number) {
  case 1:
    return read_dims(r, f, d, t);
  case 2:
    return lrp_reader_int32(r, f, "data_type", &t->type);
  case 3:
    return lrp_reader_fail(r, f->start, LRP_E_UNSUPPORTED, "a tensor in segments");
  case F_FLOAT:
  case F_INT32:
  case F_STRING:
  case F_INT64:
  case F_DOUBLE:
  case F_UINT64:
    return read_typed(r, f, d);
  case 8:
    return lrp_reader_text(r, f, "name", &t->name);
  case 9:
    st = lrp_reader_want(r, f, LRP_WIRE_BYTES, "raw_data");
    d->has_raw = true;
    d->raw = f->bytes;
    d->at = f->start;
    return st;
  case 13:
    st = lrp_reader_want(r, f, LRP_WIRE_BYTES, "external_data");
    return st ? st : lrp_reader_external_entry(r, f->bytes, &d->external);
  case 14:
    return read_location(r, f, d);
  default:
    return LRP_OK;
  }
}

/* ---- checks, and where the data is ---- */

static lrp_status check_type(lrp_reader *r, const draft *d, const lrp_onnx_tensor *t)
{
  const kind *k = kind_of(t->type);
  if (!k)
    return lrp_reader_fail(r, d->message.at, LRP_E_UNSUPPORTED, "unknown element type %d", t->type);
  if (!k->size && t->type != LRP_ONNX_STRING)
    return lrp_reader_fail(r, d->message.at, LRP_E_UNSUPPORTED,
                           "elements of type %s; convert the model to float", k->name);
  return LRP_OK;
}

/* Elements of the shape; *need: their bytes.  An empty axis does not hide the size of the others.
 */
static lrp_status check_shape(lrp_reader *r, const draft *d, lrp_onnx_tensor *t, size_t *need)
{
  size_t n = 1;
  bool fits = true, empty = false;
  for (int32_t i = 0; i < t->rank; i++) {
    empty = empty || !t->shape[i];
    fits = fits && lrp_mul_size(n, t->shape[i] ? (size_t)t->shape[i] : 1, &n) && n <= LRP_MAX_BYTES;
  }
  if (!fits || !lrp_mul_size(n, kinds[t->type].size, need) || *need > LRP_MAX_BYTES)
    return lrp_reader_fail(r, d->message.at, LRP_E_INPUT,
                           "the shape has more elements than any memory can hold");
  if (empty) n = *need = 0;
  t->count = (int64_t)n;
  return LRP_OK;
}

static lrp_status take_raw(lrp_reader *r, const draft *d, size_t need, lrp_onnx_tensor *t)
{
  const size_t bytes = (size_t)(d->raw.end - d->raw.at);
  if (bytes != need)
    return lrp_reader_fail(r, d->at, LRP_E_INPUT,
                           "raw_data has %zu bytes; %lld elements of type %s need %zu", bytes,
                           (long long)t->count, kinds[t->type].name, need);
  t->raw = d->raw.at;
  t->raw_size = need;
  return LRP_OK;
}

static void store(uint8_t *out, uint64_t v, size_t size)
{
  for (size_t i = 0; i < size; i++)
    out[i] = (uint8_t)(v >> (8 * i));
}

/* Decode one run behind out, which holds room for what is left of the tensor. */
static lrp_status decode_run(lrp_reader *r, const draft *d, lrp_bytes run, const kind *k,
                             uint8_t **out)
{
  const uint32_t wire = wire_of(d->typed);
  if (wire != LRP_WIRE_VARINT) {
    const size_t bytes = (size_t)(run.end - run.at);
    memcpy(*out, run.at, bytes);
    *out += bytes;
    return LRP_OK;
  }
  while (run.at < run.end) {
    uint64_t v;
    const uint8_t *at = run.at;
    const lrp_status st = lrp_reader_number(r, &run, wire, &v);
    if (st) return st;
    if ((int64_t)v < k->low || (int64_t)v > k->high)
      return lrp_reader_fail(r, at, LRP_E_INPUT, "%s holds %lld, which is no %s",
                             field_name(d->typed), (long long)v, k->name);
    store(*out, v, k->size);
    *out += k->size;
  }
  return LRP_OK;
}

/* Numbers of a typed field in the form of raw_data: in place if they are one run of fixed width,
 * else in the arena. */
static lrp_status take_typed(lrp_reader *r, const draft *d, size_t need, lrp_onnx_tensor *t)
{
  const kind *k = &kinds[t->type];
  lrp_bytes left = d->message;
  lrp_status st = LRP_OK;
  if (d->n_run == 1 && wire_of(d->typed) != LRP_WIRE_VARINT) {
    t->raw = d->run.at;
    t->raw_size = need;
    return LRP_OK;
  }
  uint8_t *data = lrp_reader_alloc(r, need, 1), *out = data;
  if (!data) return LRP_E_NOMEM;
  while (!st && left.at < left.end) {
    lrp_field f;
    lrp_bytes run;
    size_t n;
    st = lrp_reader_next(r, &left, &f);
    if (st || f.number != d->typed) continue;
    st = lrp_reader_run(r, &f, wire_of(d->typed), field_name(d->typed), &run, &n);
    if (!st) st = decode_run(r, d, run, k, &out);
  }
  t->raw = data;
  t->raw_size = need;
  return st;
}

static lrp_status check_typed(lrp_reader *r, const draft *d, const lrp_onnx_tensor *t)
{
  if (d->typed != kinds[t->type].field)
    return lrp_reader_fail(r, d->at, LRP_E_INPUT, "data of type %s in %s; %s was expected",
                           kinds[t->type].name, field_name(d->typed),
                           field_name(kinds[t->type].field));
  if (d->n_typed != (size_t)t->count)
    return lrp_reader_fail(r, d->at, LRP_E_INPUT, "%s has %zu elements; the shape has %lld",
                           field_name(d->typed), d->n_typed, (long long)t->count);
  return LRP_OK;
}

static lrp_status take_data(lrp_reader *r, const draft *d, size_t need, lrp_onnx_tensor *t)
{
  static const uint8_t nothing[1];
  if (d->typed && (d->has_raw || d->elsewhere))
    return lrp_reader_fail(r, d->at, LRP_E_INPUT, "data in %s and in %s; one of them was expected",
                           field_name(d->typed), d->has_raw ? "raw_data" : "an external file");
  if (t->type == LRP_ONNX_STRING && (d->has_raw || d->elsewhere))
    return lrp_reader_fail(r, d->at, LRP_E_INPUT, "strings in %s; string_data was expected",
                           d->has_raw ? "raw_data" : "an external file");
  if (d->elsewhere) {
    t->raw_size = need;
    return lrp_reader_external(r, d->at, &d->external, need, &t->raw);
  }
  if (d->has_raw) return take_raw(r, d, need, t);
  if (!d->typed && t->count)
    return lrp_reader_fail(r, d->message.at, LRP_E_INPUT, "no data for its %lld elements",
                           (long long)t->count);
  t->raw = t->type == LRP_ONNX_STRING ? NULL : nothing;
  if (!d->typed) return LRP_OK;
  const lrp_status st = check_typed(r, d, t);
  return st || t->type == LRP_ONNX_STRING ? st : take_typed(r, d, need, t);
}

lrp_status lrp_reader_tensor(lrp_reader *r, lrp_bytes message, lrp_onnx_tensor *t)
{
  draft d = {.message = message, .at = message.at};
  lrp_bytes left = message;
  lrp_status st = LRP_OK;
  size_t need = 0;
  *t = (lrp_onnx_tensor){.name = ""};
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (!st) st = read_field(r, &f, &d, t);
  }
  if (!st) st = check_type(r, &d, t);
  if (!st) st = check_shape(r, &d, t, &need);
  return st ? st : take_data(r, &d, need, t);
}

/* ---- the numbers ---- */

static uint64_t load(const uint8_t *p, size_t n)
{
  uint64_t v = 0;
  for (size_t i = n; i-- > 0;)
    v = v << 8 | p[i];
  return v;
}

static double float_bits(uint32_t bits)
{
  float f;
  memcpy(&f, &bits, sizeof f);
  return (double)f;
}

/* IEEE 754 binary16. */
static double half_bits(uint32_t h)
{
  const uint32_t sign = (h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
  if (exponent == 31) return float_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent) return float_bits(sign | (exponent + 112) << 23 | fraction << 13);
  return (sign ? -1.0 : 1.0) * ldexp((double)fraction, -24);
}

static double double_bits(uint64_t bits)
{
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

static lrp_status read_reals(lrp_ctx *ctx, const lrp_onnx_tensor *t, lrp_real *out)
{
  const size_t size = kinds[t->type].size;
  for (int64_t i = 0; i < t->count; i++) {
    const uint64_t bits = load(t->raw + (size_t)i * size, size);
    const double v = t->type == LRP_ONNX_FLOAT     ? float_bits((uint32_t)bits)
                     : t->type == LRP_ONNX_DOUBLE  ? double_bits(bits)
                     : t->type == LRP_ONNX_FLOAT16 ? half_bits((uint32_t)bits)
                                                   : float_bits((uint32_t)bits << 16);
    out[i] = (lrp_real)v;
    if (isinf(out[i]) && !isinf(v))
      return lrp_fail(
          ctx, LRP_E_NUMERIC,
          "element %lld is %g, too large for this build of lrp (--with-real=double takes it)",
          (long long)i, v);
  }
  return LRP_OK;
}

static lrp_status read_indices(lrp_ctx *ctx, const lrp_onnx_tensor *t, int64_t *out)
{
  const size_t size = kinds[t->type].size;
  for (int64_t i = 0; i < t->count; i++) {
    const uint64_t bits = load(t->raw + (size_t)i * size, size);
    switch (t->type) {
    case LRP_ONNX_BOOL:
      out[i] = bits != 0;
      break;
    case LRP_ONNX_INT8:
      out[i] = (int8_t)bits;
      break;
    case LRP_ONNX_INT16:
      out[i] = (int16_t)bits;
      break;
    case LRP_ONNX_INT32:
      out[i] = (int32_t)bits;
      break;
    default:
      out[i] = (int64_t)bits;
    }
    if (t->type == LRP_ONNX_UINT64 && out[i] < 0)
      return lrp_fail(ctx, LRP_E_UNSUPPORTED, "element %lld is %llu; at most 2^63-1 was expected",
                      (long long)i, (unsigned long long)bits);
  }
  return LRP_OK;
}

/* The bytes of the file are what the memory wants. */
static bool same_form(const lrp_onnx_tensor *t)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return t->type == LRP_ONNX_INT64 ||
         t->type == (sizeof(lrp_real) == 4 ? LRP_ONNX_FLOAT : LRP_ONNX_DOUBLE);
#else
  (void)t;
  return false;
#endif
}

lrp_status lrp_onnx_tensor_read(lrp_ctx *ctx, const lrp_onnx_tensor *t, lrp_arena *arena,
                                lrp_tensor *out)
{
  size_t bytes;
  *out = (lrp_tensor){.rank = t->rank};
  if (t->type == LRP_ONNX_STRING)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED, "tensor \"%s\" holds strings", t->name);
  out->dtype = kinds[t->type].floating ? LRP_REAL : LRP_INDEX;
  memcpy(out->shape, t->shape, sizeof out->shape);
  if (same_form(t) && (uintptr_t)t->raw % lrp_element(out) == 0) {
    out->data = (void *)(uintptr_t)t->raw; /* read-only pages: constants are never written */
    return LRP_OK;
  }
  const bool fits = lrp_mul_size((size_t)t->count, lrp_element(out), &bytes);
  out->data = fits ? lrp_arena_alloc(arena, bytes) : NULL;
  if (!out->data) return lrp_nomem(ctx, t->name[0] ? t->name : "a tensor");
  if (same_form(t)) {
    memcpy(out->data, t->raw, bytes);
    return LRP_OK;
  }
  const lrp_status st =
      out->dtype == LRP_REAL ? read_reals(ctx, t, out->data) : read_indices(ctx, t, out->data);
  return st ? lrp_fail_at(ctx, st, "tensor \"%s\"", t->name) : LRP_OK;
}
