/* precompiled.c - SentencePiece's own normalizer: a double array of byte strings and what each
 * becomes, as a model file carries it (darts-clone's units; Yata 2013).
 *
 * As the reference does it: a grapheme of at most five bytes whose beginning is in the array is
 * replaced as a whole, the shortest entry counts; otherwise each of its characters is looked up. */
#include "text/text.h"
#include <stdlib.h>
#include <string.h>

enum { GRAPHEME_MAX = 5, UNIT = 4 };

/* ---- reading ---- */
static int32_t sextet(char c)
{
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 (RFC 4648) with padding; false where it is not. */
static bool decode(const char *s, size_t n, uint8_t *out, size_t *n_out)
{
  size_t pad = 0;
  uint32_t bits = 0;
  *n_out = 0;
  if (n % 4) return false;
  while (pad < 2 && n && s[n - 1] == '=') {
    n--;
    pad++;
  }
  for (size_t i = 0; i < n; i++) {
    int32_t six = sextet(s[i]);
    if (six < 0) return false;
    bits = bits << 6 | (uint32_t)six;
    if (i % 4) out[(*n_out)++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
  }
  return true;
}

static uint32_t little(const uint8_t *p)
{
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static lrp_status damaged(lrp_ctx *ctx, const char *path, const char *what)
{
  return lrp_fail(ctx, LRP_E_INPUT,
                  "%s: the precompiled_charsmap of the normalizer Precompiled is damaged: %s", path,
                  what);
}

lrp_status lrp_charsmap_read(lrp_ctx *ctx, lrp_arena *memory, const char *path, const char *base64,
                             size_t n, lrp_charsmap *out)
{
  uint8_t *bytes = lrp_arena_alloc(memory, n / 4 * 3 + 4);
  size_t size = 0;
  if (!bytes) return lrp_nomem(ctx, "the normalizer");
  if (!decode(base64, n, bytes, &size)) return damaged(ctx, path, "it is not base64");
  if (size < 2 * UNIT) return damaged(ctx, path, "it is too short");
  uint32_t trie = little(bytes);
  if (trie % UNIT || !trie || trie > size - UNIT)
    return damaged(ctx, path, "its array is longer than the whole");
  bytes[size] = '\0';
  *out = (lrp_charsmap){.unit = bytes + UNIT,
                        .n_unit = trie / UNIT,
                        .text = (const char *)bytes + UNIT + trie,
                        .n_text = (uint32_t)(size - UNIT - trie)};
  return lrp_text_well_formed(ctx, path, out->text, out->n_text);
}

/* ---- looking up ---- */
/* What the bytes become: *to NULL where no entry starts them; false: the array is damaged. */
static bool look_up(const lrp_charsmap *map, const char *s, uint32_t n, const char **to)
{
  uint32_t at = 0, unit = little(map->unit);
  *to = NULL;
  for (uint32_t i = 0; i <= n; i++) {
    at ^= (unit >> 10) << ((unit & 1u << 9) >> 6);
    if (at >= map->n_unit) return false;
    if (i && unit >> 8 & 1) { /* an entry ends here */
      uint32_t place = little(map->unit + (size_t)at * UNIT) & 0x7fffffffu;
      if (place > map->n_text || ((uint8_t)map->text[place] & 0xc0) == 0x80) return false;
      *to = map->text + place;
      return true;
    }
    if (i == n || !s[i]) return true;
    at ^= (uint8_t)s[i];
    if (at >= map->n_unit) return false;
    unit = little(map->unit + (size_t)at * UNIT);
    if ((unit & (1u << 31 | 0xffu)) != (uint8_t)s[i]) return true;
  }
  return true;
}

/* ---- running ---- */
/* The last code point waits, because what is dropped behind it is counted with it. */
typedef struct writer {
  lrp_edit edit;
  int32_t cp, change;
  bool held;
} writer;

static void hold(writer *w, int32_t cp, int32_t change)
{
  if (w->held) lrp_edit_put(&w->edit, w->cp, w->change);
  w->cp = cp;
  w->change = change;
  w->held = true;
}

static void put(writer *w, const char *to, int32_t n_old)
{
  uint32_t n = (uint32_t)strlen(to), length;
  int32_t n_new = 0;
  for (uint32_t i = 0; i < n; i += length)
    hold(w, lrp_code_point(to, i, n, &length), n_new++ >= n_old);
  if (n_new < n_old && w->held) w->change += n_new - n_old;
}

static bool put_grapheme(const lrp_charsmap *map, const char *s, uint32_t n, int32_t n_char,
                         writer *w)
{
  const char *to = NULL;
  if (n <= GRAPHEME_MAX && !look_up(map, s, n, &to)) return false;
  if (to) {
    put(w, to, n_char);
    return true;
  }
  for (uint32_t i = 0, length; i < n; i += length) {
    int32_t cp = lrp_code_point(s, i, n, &length);
    if (!look_up(map, s + i, length, &to)) return false;
    if (to)
      put(w, to, 1);
    else
      hold(w, cp, 0);
  }
  return true;
}

lrp_status lrp_text_precompiled(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                                const lrp_piece *piece, lrp_text *out)
{
  writer w = {.edit = {in, out, piece->begin, piece->begin, piece->end}};
  utf8proc_int32_t state = 0;
  int32_t before = 0, n_char = 0;
  uint32_t begin = piece->begin, length;
  bool good = true;
  for (uint32_t i = begin; i < piece->end && good; i += length, n_char++) {
    int32_t cp = lrp_code_point(in->s, i, piece->end, &length);
    if (i > begin && utf8proc_grapheme_break_stateful(before, cp, &state)) {
      good = put_grapheme(&norm->map, in->s + begin, i - begin, n_char, &w);
      begin = i;
      n_char = 0;
    }
    before = cp;
  }
  if (good && begin < piece->end)
    good = put_grapheme(&norm->map, in->s + begin, piece->end - begin, n_char, &w);
  if (w.held) lrp_edit_put(&w.edit, w.cp, w.change);
  return good ? LRP_OK : damaged(ctx, norm->path, "it points outside of itself");
}
