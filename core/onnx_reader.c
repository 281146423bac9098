/* onnx_reader.c - protobuf's wire format, walked within bounds: keys, numbers, lengths, texts. */
#include "onnx_reader.h"
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

lrp_status lrp_reader_fail(lrp_reader *r, const uint8_t *at, lrp_status status, const char *fmt,
                           ...)
{
  char text[LRP_MESSAGE_MAX];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  r->byte = (size_t)(at - r->base);
  return lrp_fail(r->ctx, status, "%s", text);
}

enum { POOL = 4096, LARGE = 512 }; /* bytes */

/* From a block that small things share: the arena's own steps of 64 bytes would let a hostile file
 * take 50 times its size. */
static void *pool_take(lrp_reader *r, size_t n, size_t align)
{
  if (n > LARGE) return lrp_arena_alloc(&r->out->arena, n);
  const size_t gap = r->pool ? (align - (uintptr_t)r->pool % align) % align : 0;
  if (!r->pool || r->pool_left < n + gap) {
    r->pool = lrp_arena_alloc(&r->out->arena, POOL);
    if (!r->pool) return NULL;
    r->pool_left = POOL;
    return pool_take(r, n, align);
  }
  char *out = r->pool + gap;
  r->pool = out + n;
  r->pool_left -= n + gap;
  return out;
}

void *lrp_reader_alloc(lrp_reader *r, size_t n, size_t size)
{
  size_t bytes;
  void *out = lrp_mul_size(n, size, &bytes) ? pool_take(r, bytes, sizeof(int64_t)) : NULL;
  if (!out) lrp_nomem(r->ctx, "the model's structure");
  return out;
}

/* ---- fields ---- */

typedef enum fault { FINE, CUT_NUMBER, LONG_NUMBER, BAD_KEY, BAD_WIRE, CUT_FIELD } fault;

enum { VARINT_MAX = 10 }; /* bytes of a 64-bit number, 7 bits each */

static fault take_varint(lrp_bytes *left, uint64_t *out)
{
  uint64_t v = 0;
  const size_t room = (size_t)(left->end - left->at);
  const size_t most = room < VARINT_MAX ? room : VARINT_MAX;
  for (size_t i = 0; i < most; i++) {
    const uint8_t byte = left->at[i];
    if (i == VARINT_MAX - 1 && byte > 1) return LONG_NUMBER;
    v |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      left->at += i + 1;
      *out = v;
      return FINE;
    }
  }
  return CUT_NUMBER;
}

static uint64_t little_endian(const uint8_t *p, size_t n)
{
  uint64_t v = 0;
  for (size_t i = n; i-- > 0;)
    v = v << 8 | p[i];
  return v;
}

static fault take_fixed(lrp_bytes *left, size_t n, uint64_t *out)
{
  if ((size_t)(left->end - left->at) < n) return CUT_NUMBER;
  *out = little_endian(left->at, n);
  left->at += n;
  return FINE;
}

static fault take_number(lrp_bytes *left, uint32_t wire, uint64_t *out)
{
  if (wire == LRP_WIRE_VARINT) return take_varint(left, out);
  return take_fixed(left, wire == LRP_WIRE_FIXED64 ? 8 : 4, out);
}

static fault take_field(lrp_bytes *left, lrp_field *f)
{
  uint64_t key;
  f->start = left->at;
  fault bad = take_varint(left, &key);
  if (bad) return bad;
  f->number = (uint32_t)(key >> 3 & 0x1fffffff);
  f->wire = (uint32_t)(key & 7);
  if (key >> 32 || !f->number) return BAD_KEY;
  if (f->wire != LRP_WIRE_VARINT && f->wire != LRP_WIRE_FIXED64 && f->wire != LRP_WIRE_BYTES &&
      f->wire != LRP_WIRE_FIXED32)
    return BAD_WIRE;
  f->bytes.at = left->at;
  bad = take_number(left, f->wire == LRP_WIRE_BYTES ? LRP_WIRE_VARINT : f->wire, &f->value);
  if (!bad && f->wire == LRP_WIRE_BYTES) {
    f->bytes.at = left->at;
    if (f->value > (size_t)(left->end - left->at)) return CUT_FIELD;
    left->at += f->value;
  }
  f->bytes.end = left->at;
  return bad;
}

static lrp_status report(lrp_reader *r, const uint8_t *at, fault bad, const lrp_field *f,
                         size_t room)
{
  switch (bad) {
  case CUT_NUMBER:
    return lrp_reader_fail(r, at, LRP_E_INPUT, "a number runs past the end of what encloses it");
  case LONG_NUMBER:
    return lrp_reader_fail(r, at, LRP_E_INPUT, "a number has more than 64 bits");
  case BAD_KEY:
    return lrp_reader_fail(r, at, LRP_E_INPUT, "a field number that protobuf does not allow");
  case BAD_WIRE:
    return lrp_reader_fail(r, at, LRP_E_INPUT,
                           "field %u has wire type %u; 0, 1, 2 or 5 was expected", f->number,
                           f->wire);
  default:
    return lrp_reader_fail(r, at, LRP_E_INPUT,
                           "field %u says it has %llu bytes, but what encloses it ends after %zu",
                           f->number, (unsigned long long)f->value, room);
  }
}

lrp_status lrp_reader_next(lrp_reader *r, lrp_bytes *left, lrp_field *f)
{
  const fault bad = take_field(left, f);
  return bad ? report(r, f->start, bad, f, (size_t)(left->end - left->at)) : LRP_OK;
}

lrp_status lrp_reader_count(lrp_reader *r, lrp_bytes message, size_t count[LRP_FIELDS])
{
  lrp_field f;
  memset(count, 0, LRP_FIELDS * sizeof *count);
  while (message.at < message.end) {
    const lrp_status st = lrp_reader_next(r, &message, &f);
    if (st) return st;
    if (f.number < LRP_FIELDS) count[f.number]++;
  }
  return LRP_OK;
}

/* ---- values ---- */

lrp_status lrp_reader_want(lrp_reader *r, const lrp_field *f, uint32_t wire, const char *name)
{
  if (f->wire == wire) return LRP_OK;
  return lrp_reader_fail(r, f->start, LRP_E_INPUT,
                         "field %u (%s) has wire type %u; %u was expected", f->number, name,
                         f->wire, wire);
}

lrp_status lrp_reader_enter(lrp_reader *r, const lrp_field *f, const char *name, lrp_bytes *out)
{
  *out = f->bytes;
  return lrp_reader_want(r, f, LRP_WIRE_BYTES, name);
}

lrp_status lrp_reader_int32(lrp_reader *r, const lrp_field *f, const char *name, int32_t *out)
{
  const lrp_status st = lrp_reader_want(r, f, LRP_WIRE_VARINT, name);
  if (st) return st;
  const int64_t v = (int64_t)f->value;
  if (v < INT32_MIN || v > INT32_MAX)
    return lrp_reader_fail(r, f->start, LRP_E_INPUT, "%s is %lld, more than 32 bits", name,
                           (long long)v);
  *out = (int32_t)v;
  return LRP_OK;
}

lrp_status lrp_reader_run(lrp_reader *r, const lrp_field *f, uint32_t wire, const char *name,
                          lrp_bytes *run, size_t *n)
{
  *run = f->bytes;
  *n = 1;
  if (f->wire == wire) return LRP_OK;
  const lrp_status st = lrp_reader_want(r, f, LRP_WIRE_BYTES, name);
  if (st) return st;
  const size_t bytes = (size_t)(run->end - run->at);
  if (wire != LRP_WIRE_VARINT) {
    const size_t size = wire == LRP_WIRE_FIXED64 ? 8 : 4;
    *n = bytes / size;
    if (bytes % size)
      return lrp_reader_fail(r, f->start, LRP_E_INPUT,
                             "%s has %zu bytes; a multiple of %zu was expected", name, bytes, size);
    return LRP_OK;
  }
  *n = 0;
  for (const uint8_t *p = run->at; p < run->end; p++)
    *n += *p < 0x80; /* the last byte of each number */
  if (bytes && run->end[-1] >= 0x80) return report(r, f->start, CUT_NUMBER, f, bytes);
  return LRP_OK;
}

lrp_status lrp_reader_number(lrp_reader *r, lrp_bytes *run, uint32_t wire, uint64_t *out)
{
  const fault bad = take_number(run, wire, out);
  return bad ? report(r, run->at, bad, NULL, 0) : LRP_OK;
}

/* ---- texts ---- */

bool lrp_reader_printable(lrp_bytes text)
{
  utf8proc_int32_t c;
  while (text.at < text.end) {
    const ptrdiff_t n = utf8proc_iterate(text.at, text.end - text.at, &c);
    if (n <= 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) return false;
    text.at += n;
  }
  return true;
}

const char *lrp_reader_copy(lrp_reader *r, lrp_bytes text)
{
  const size_t n = (size_t)(text.end - text.at);
  if (!n) return "";
  char *copy = pool_take(r, n + 1, 1);
  if (!copy) {
    lrp_nomem(r->ctx, "the model's texts");
    return NULL;
  }
  memcpy(copy, text.at, n);
  copy[n] = '\0';
  return copy;
}

lrp_status lrp_reader_text(lrp_reader *r, const lrp_field *f, const char *name, const char **out)
{
  *out = "";
  const lrp_status st = lrp_reader_want(r, f, LRP_WIRE_BYTES, name);
  if (st) return st;
  if (!lrp_reader_printable(f->bytes))
    return lrp_reader_fail(r, f->start, LRP_E_INPUT, "%s is no printable text in UTF-8", name);
  *out = lrp_reader_copy(r, f->bytes);
  return *out ? LRP_OK : LRP_E_NOMEM;
}

const char *lrp_reader_peek(lrp_bytes message, uint32_t number, char *buffer, size_t n)
{
  lrp_field f;
  buffer[0] = '\0';
  while (message.at < message.end && !take_field(&message, &f)) {
    if (f.number != number || f.wire != LRP_WIRE_BYTES) continue;
    const size_t all = (size_t)(f.bytes.end - f.bytes.at);
    const size_t len = all < n ? all : n - 1;
    const bool whole = all < n && lrp_reader_printable(f.bytes);
    for (size_t i = 0; i < len; i++) {
      const char c = (char)f.bytes.at[i];
      buffer[i] = whole || (c >= ' ' && c <= '~') ? c : '?';
    }
    buffer[len] = '\0';
  }
  return buffer;
}
