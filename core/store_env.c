/* store_env.c - program, machine and libraries of a run, and the fingerprint that tells equal
 * ones. */
#include "store_db.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utf8proc.h>

#ifndef LRP_COMPILER
#define LRP_COMPILER "unconfigured"
#endif

static const char SQL_FIND[] = "SELECT environment_id FROM environment WHERE fingerprint=?1";
static const char SQL_ADD[] =
    "INSERT INTO environment (fingerprint, lrp_version, configuration, compiler, cpu_model, "
    "threads, os, "
    "host, sqlite_version,"
    " utf8proc_version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING environment_id";

typedef struct facts {
  char cpu[128], os[256], host[128], compiler[512];
  int64_t threads;
} facts;

/* The first "model name" of Linux; elsewhere the machine's name. */
static void cpu_model(char *out, size_t n, const char *machine)
{
  static const char KEY[] = "model name";
  char line[256];
  FILE *f = fopen("/proc/cpuinfo", "r");
  snprintf(out, n, "%s", machine);
  while (f && fgets(line, sizeof line, f)) {
    const char *value = strchr(line, ':');
    if (strncmp(line, KEY, sizeof KEY - 1) || !value) continue;
    value += strspn(value, ": \t");
    snprintf(out, n, "%.*s", (int)strcspn(value, "\n"), value);
    break;
  }
  if (f) fclose(f);
}

static void look(facts *out, int32_t threads)
{
  struct utsname u;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  *out = (facts){.threads = threads > 0 ? threads : processors > 0 ? processors : 1};
  if (uname(&u) < 0) memset(&u, 0, sizeof u);
  snprintf(out->os, sizeof out->os, "%s %s %s", u.sysname, u.release, u.machine);
  snprintf(out->host, sizeof out->host, "%s", u.nodename);
#ifdef __VERSION__
  snprintf(out->compiler, sizeof out->compiler, "%s (%s)", LRP_COMPILER, __VERSION__);
#else
  snprintf(out->compiler, sizeof out->compiler, "%s", LRP_COMPILER);
#endif
  cpu_model(out->cpu, sizeof out->cpu, u.machine);
}

/* SHA-256 over a JSON list of the values: no two different lists have the same text. */
static lrp_status fingerprint(lrp_ctx *ctx, const facts *f, char hex[65])
{
  json_t *list =
      json_pack("[sssssIssss]", lrp_version(), lrp_config_summary(), f->compiler, f->cpu, "threads",
                (json_int_t)f->threads, f->os, f->host, sqlite3_libversion(), utf8proc_version());
  char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;
  json_decref(list);
  if (!text) return lrp_nomem(ctx, "the facts about this machine");
  lrp_sha256(text, strlen(text), hex);
  free(text);
  return LRP_OK;
}

/* What the system says is mostly ASCII; anything else is made well-formed. */
static void clean(char *s)
{
  for (; *s; s++)
    if ((unsigned char)*s >= 0x80 || (unsigned char)*s < 0x20) *s = '?';
}

lrp_status lrp_store_environment(lrp_store *s, int32_t threads, int64_t *id)
{
  facts f;
  char hex[65];
  look(&f, threads);
  clean(f.cpu);
  clean(f.os);
  clean(f.host);
  clean(f.compiler);
  lrp_status st = fingerprint(s->ctx, &f, hex);
  if (st) return st;
  return lrp_sql_get(s, id, SQL_FIND, SQL_ADD, "tttttitttt", hex, lrp_version(),
                     lrp_config_summary(), f.compiler, f.cpu, f.threads, f.os, f.host,
                     sqlite3_libversion(), utf8proc_version());
}
