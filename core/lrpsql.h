/* lrpsql.h - what the files of the SQL functions share.  Not installed.
 *
 * The same code is a part of liblrp and, with LRPSQL_MODULE, the loadable module lrpsql.so. */
#ifndef LRP_LRPSQL_H
#define LRP_LRPSQL_H
#ifdef LRPSQL_MODULE
#include <sqlite3ext.h>
#else
#include <sqlite3.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* All functions on a connection; SQLITE_x. */
int lrp_sql_functions(sqlite3 *);
/* Their parts. */
int lrp_sql_each(sqlite3 *);
int lrp_sql_aggregates(sqlite3 *);
int lrp_sql_words(sqlite3 *);

/* Takes the arguments of a table-valued function, its last n <= 8 columns, for a scan: bit i of plan->idxNum
 * is set where argument i is given; those come to the filter in their order.  SQLITE_CONSTRAINT: one is
 * not known when the scan starts; another order of the join will do. */
static inline int lrp_sql_arguments(sqlite3_index_info *plan, int first, int n)
{
  int at[8] = {-1, -1, -1, -1, -1, -1, -1, -1}, given = 0;
  for (int i = 0; i < plan->nConstraint; i++) {
    const int k = plan->aConstraint[i].iColumn - first;
    if (k < 0 || k >= n || plan->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    if (!plan->aConstraint[i].usable) return SQLITE_CONSTRAINT;
    at[k] = i;
  }
  for (int k = 0; k < n; k++)
    if (at[k] >= 0) {
      plan->aConstraintUsage[at[k]].argvIndex = ++given;
      plan->aConstraintUsage[at[k]].omit = 1;
      plan->idxNum |= 1 << k;
    }
  return SQLITE_OK;
}

/* Element i of little-endian reals of 4 or 8 bytes. */
static inline double lrp_sql_real(const unsigned char *data, size_t width, size_t i)
{
  const unsigned char *p = data + i * width;
  uint64_t bits = 0;
  for (size_t b = 0; b < width; b++)
    bits |= (uint64_t)p[b] << (8 * b);
  if (width == 8) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
  }
  const uint32_t narrow = (uint32_t)bits;
  float v;
  memcpy(&v, &narrow, sizeof v);
  return (double)v;
}
#endif
