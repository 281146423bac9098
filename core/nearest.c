/* nearest.c - the name somebody meant: the nearest by edit distance. */
#include "registry.h"
#include <string.h>

enum { LONGEST = 64 }; /* longer names are not compared */

static int lower(char c)
{
  return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static size_t least(size_t a, size_t b)
{
  return a < b ? a : b;
}

/* Letters to insert, delete, replace or swap with their neighbour (Damerau 1964, optimal string
 * alignment). */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
  size_t row[3][LONGEST + 1], *before = row[0], *last = row[1], *now = row[2];
  for (size_t j = 0; j <= m; j++)
    last[j] = j;
  for (size_t i = 1; i <= n; i++) {
    now[0] = i;
    for (size_t j = 1; j <= m; j++) {
      bool same = lower(a[i - 1]) == lower(b[j - 1]);
      now[j] = least(last[j - 1] + !same, 1 + least(last[j], now[j - 1]));
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
          lower(a[i - 2]) == lower(b[j - 1]))
        now[j] = least(now[j], before[j - 2] + 1);
    }
    size_t *spare = before;
    before = last;
    last = now;
    now = spare;
  }
  return last[m];
}

const char *lrp_nearest(const char *name, const char *const *names, size_t n)
{
  const char *best = NULL;
  size_t length = strlen(name), best_distance = length < 6 ? 2 : length / 3 + 1;
  if (length == 0 || length > LONGEST) return NULL;
  for (size_t i = 0; i < n; i++) {
    size_t m = strlen(names[i]);
    if (m > LONGEST) continue;
    size_t d = distance(name, length, names[i], m);
    if (d < best_distance) {
      best = names[i];
      best_distance = d;
    }
  }
  return best;
}
