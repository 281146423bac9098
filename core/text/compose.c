/* compose.c - the four Unicode normal forms with the source of every byte (UAX 15).
 *
 * Decomposition and classes come from utf8proc; ordering and composition are done here because
 * utf8proc's own keep no sources.  The count of changed code points follows the reference: of a
 * composed character only the first part's source stays. */
#include "text/text.h"
#include <stdlib.h>

typedef struct unit {
  int32_t cp, change; /* see lrp_edit */
  int32_t class;      /* canonical combining class */
} unit;
typedef struct run { /* a starter and the marks behind it */
  unit *u;
  size_t n, cap;
} run;

static bool push(run *r, unit u)
{
  if (r->n == r->cap) {
    size_t cap = r->cap ? 2 * r->cap : 32;
    unit *more = realloc(r->u, cap * sizeof *more);
    if (!more) return false;
    r->u = more;
    r->cap = cap;
  }
  r->u[r->n++] = u;
  return true;
}

/* Stable: marks of one class keep their order. */
static int by_class(const void *a, const void *b)
{
  const unit *x = a, *y = b;
  return x->class != y->class ? (x->class > y->class ? 1 : -1) : 0;
}

/* Merge sort, because qsort() is not stable and a text may hold a million marks in a row. */
static void merge_sort(unit *u, unit *spare, size_t n)
{
  if (n < 2) return;
  size_t half = n / 2, i = 0, j = half, k = 0;
  merge_sort(u, spare, half);
  merge_sort(u + half, spare, n - half);
  while (i < half && j < n)
    spare[k++] = by_class(&u[j], &u[i]) < 0 ? u[j++] : u[i++];
  while (i < half)
    spare[k++] = u[i++];
  while (j < n)
    spare[k++] = u[j++];
  for (i = 0; i < n; i++)
    u[i] = spare[i];
}

static bool order(run *r)
{
  size_t begin = 0;
  while (begin < r->n) {
    if (!r->u[begin].class) {
      begin++;
      continue;
    }
    size_t end = begin;
    bool sorted = true;
    for (; end < r->n && r->u[end].class; end++)
      sorted = sorted && (end == begin || r->u[end - 1].class <= r->u[end].class);
    if (!sorted) {
      unit *spare = malloc((end - begin) * sizeof *spare);
      if (!spare) return false;
      merge_sort(r->u + begin, spare, end - begin);
      free(spare);
    }
    begin = end;
  }
  return true;
}

/* The one character of a pair, -1: none.  Hangul by arithmetic (Unicode, 3.12), the rest by
 * utf8proc's tables. */
static int32_t pair(int32_t a, int32_t b)
{
  enum {
    S = 0xac00,
    L = 0x1100,
    V = 0x1161,
    T = 0x11a7,
    N_L = 19,
    N_V = 21,
    N_T = 28,
    N_S = N_L * N_V * N_T
  };
  if (a >= L && a < L + N_L)
    return b >= V && b < V + N_V ? S + ((a - L) * N_V + (b - V)) * N_T : -1;
  if (a >= S && a < S + N_S) return (a - S) % N_T == 0 && b > T && b < T + N_T ? a + (b - T) : -1;
  utf8proc_int32_t two[2] = {a, b};
  bool one = utf8proc_normalize_utf32(two, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) == 1;
  return one && !lrp_is_late(LRP_LATE_DECOMPOSITION, two[0]) ? two[0] : -1;
}

/* Compose in place (UAX 15, D117): a mark joins the last starter unless one of its class or higher
 * is between. */
static void compose(run *r)
{
  size_t n = 0, starter = SIZE_MAX;
  int32_t last = -1; /* class of the last mark kept behind the starter, -1: none */
  for (size_t i = 0; i < r->n; i++) {
    unit u = r->u[i];
    bool blocked = last >= u.class;
    int32_t joined = starter != SIZE_MAX && !blocked ? pair(r->u[starter].cp, u.cp) : -1;
    if (joined >= 0) {
      r->u[starter].cp = joined;
      r->u[starter].change += u.change - 1;
      continue;
    }
    if (!u.class) {
      starter = n;
      last = -1;
    } else if (starter != SIZE_MAX) {
      last = u.class;
    }
    r->u[n++] = u;
  }
  r->n = n;
}

static int32_t class_of(int32_t cp)
{
  if (cp < 0x80 || lrp_is_late(LRP_LATE_MARK, cp)) return 0;
  return utf8proc_get_property(cp)->combining_class;
}

static bool decompose(bool compatible, const lrp_text *in, const lrp_piece *piece, run *r)
{
  enum { MOST = 32 }; /* U+FDFA has 18 */
  utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
  for (uint32_t i = piece->begin, length; i < piece->end; i += length) {
    int32_t cp = lrp_code_point(in->s, i, piece->end, &length);
    utf8proc_int32_t parts[MOST];
    int boundary = 0;
    utf8proc_ssize_t n = 1;
    parts[0] = cp;
    if (cp >= 0x80 && !lrp_is_late(LRP_LATE_DECOMPOSITION, cp))
      n = utf8proc_decompose_char(cp, parts, MOST, options, &boundary);
    if (n < 0 || n > MOST) n = 1; /* never so: then the character stays */
    for (utf8proc_ssize_t k = 0; k < n; k++) {
      int32_t class = class_of(parts[k]);
      if (!push(r, (unit){parts[k], k > 0, class})) return false;
    }
  }
  return true;
}

lrp_status lrp_text_decompose(lrp_ctx *ctx, bool compatible, bool composed, const lrp_text *in,
                              const lrp_piece *piece, lrp_text *out)
{
  bool ascii = true;
  for (uint32_t i = piece->begin; i < piece->end && ascii; i++)
    ascii = (uint8_t)in->s[i] < 0x80;
  if (ascii) {
    lrp_text_copy(out, in, piece->begin, piece->end);
    return LRP_OK;
  }
  run r = {0};
  bool good = decompose(compatible, in, piece, &r) && order(&r);
  if (good && composed) compose(&r);
  lrp_edit edit = {in, out, piece->begin, piece->begin, piece->end};
  for (size_t i = 0; good && i < r.n; i++)
    lrp_edit_put(&edit, r.u[i].cp, r.u[i].change);
  free(r.u);
  return good ? LRP_OK : lrp_nomem(ctx, "the text");
}
