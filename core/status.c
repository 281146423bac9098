/* status.c - the context, its message, warnings, and what the library says about itself. */
#include "core.h"
#include "registry.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unconfigured"
#endif
#ifndef LRP_CONFIG_SUMMARY
#define LRP_CONFIG_SUMMARY "built without configure"
#endif

/* Every status, its name, and the exit status of the command. */
#define STATUS_MAP(X)                                                                              \
  X(LRP_OK, "ok", 0)                                                                               \
  X(LRP_E_NOMEM, "no memory", 1)                                                                   \
  X(LRP_E_SHAPE, "shape", 3)                                                                       \
  X(LRP_E_ARG, "argument", 2)                                                                      \
  X(LRP_E_UNSUPPORTED, "unsupported", 4)                                                           \
  X(LRP_E_NUMERIC, "numeric", 3)                                                                   \
  X(LRP_E_ABI, "plugin", 3)                                                                        \
  X(LRP_E_IO, "input or output", 1)                                                                \
  X(LRP_E_INPUT, "input", 3)                                                                       \
  X(LRP_E_DB, "database", 5)

const char *lrp_status_name(lrp_status status)
{
  switch (status) {
#define X(code, name, exit_status)                                                                 \
  case code:                                                                                       \
    return name;
    STATUS_MAP(X)
#undef X
  default:
    return "unknown status";
  }
}

int lrp_exit_status(lrp_status status)
{
  switch (status) {
#define X(code, name, exit_status)                                                                 \
  case code:                                                                                       \
    return exit_status;
    STATUS_MAP(X)
#undef X
  default:
    return 1;
  }
}

const char *lrp_version(void)
{
  return PACKAGE_VERSION;
}

const char *lrp_config_summary(void)
{
  return LRP_CONFIG_SUMMARY;
}

/* Three quarters of the machine's memory; 0 (no limit) where the system does not tell. */
static size_t default_memory_limit(void)
{
#ifdef _SC_PHYS_PAGES
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  size_t bytes;
  if (pages > 0 && page > 0 && lrp_mul_size((size_t)pages, (size_t)page, &bytes))
    return bytes / 4 * 3;
#endif
  return 0;
}

lrp_status lrp_ctx_new(lrp_ctx **out)
{
  lrp_ctx *ctx = calloc(1, sizeof *ctx);
  *out = NULL;
  if (!ctx) return LRP_E_NOMEM;
  ctx->registry = lrp_registry_new();
  if (!ctx->registry) {
    free(ctx);
    return LRP_E_NOMEM;
  }
  ctx->memory_limit = default_memory_limit();
  *out = ctx;
  return LRP_OK;
}

void lrp_ctx_free(lrp_ctx *ctx)
{
  if (!ctx) return;
  lrp_arena_free(&ctx->scratch);
  lrp_arena_free(&ctx->texts);
  lrp_registry_free(ctx->registry);
  free(ctx);
}

const char *lrp_message(const lrp_ctx *ctx)
{
  return ctx ? ctx->message : "";
}

void lrp_on_warning(lrp_ctx *ctx, lrp_log_fn *warn, void *user)
{
  ctx->warn = warn;
  ctx->warn_user = user;
}

void lrp_set_memory_limit(lrp_ctx *ctx, size_t bytes)
{
  ctx->memory_limit = bytes;
}

/* An over-long message ends in "..." at a whole UTF-8 character. */
static void format_message(char text[LRP_MESSAGE_MAX], const char *fmt, va_list args)
{
  int n = vsnprintf(text, LRP_MESSAGE_MAX, fmt, args);
  if (n < 0) text[0] = '\0';
  if (n < LRP_MESSAGE_MAX) return;
  size_t cut = LRP_MESSAGE_MAX - 4;
  while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80)
    cut--;
  memcpy(text + cut, "...", 4);
}

lrp_status lrp_fail(lrp_ctx *ctx, lrp_status status, const char *fmt, ...)
{
  char text[LRP_MESSAGE_MAX]; /* apart from ctx->message, which may be among the arguments */
  if (!ctx) return status;
  va_list args;
  va_start(args, fmt);
  format_message(text, fmt, args);
  va_end(args);
  memcpy(ctx->message, text, strlen(text) + 1);
  return status;
}

lrp_status lrp_fail_at(lrp_ctx *ctx, lrp_status status, const char *fmt, ...)
{
  char where[LRP_MESSAGE_MAX];
  if (!ctx) return status;
  va_list args;
  va_start(args, fmt);
  format_message(where, fmt, args);
  va_end(args);
  size_t n = strlen(where);
  const char *gap = n == 0 || where[n - 1] == ' ' ? "" : where[n - 1] == ':' ? " " : ": ";
  return lrp_fail(ctx, status, "%s%s%s", where, gap, ctx->message);
}

void lrp_warn(lrp_ctx *ctx, const char *fmt, ...)
{
  char text[LRP_MESSAGE_MAX];
  if (!ctx || !ctx->warn) return;
  va_list args;
  va_start(args, fmt);
  format_message(text, fmt, args);
  va_end(args);
  ctx->warn(ctx->warn_user, text);
}

lrp_status lrp_over_limit(lrp_ctx *ctx)
{
  const bool small = ctx->memory_limit < 1 << 20;
  return lrp_fail(ctx, LRP_E_NOMEM,
                  "the model's tensors need more than the memory limit of %zu %s; give smaller inputs "
                  "or raise the limit (--memory)",
                  ctx->memory_limit >> (small ? 0 : 20), small ? "bytes" : "MiB");
}

lrp_status lrp_nomem(lrp_ctx *ctx, const char *what)
{
  if (ctx->scratch.refused) return lrp_over_limit(ctx);
  return lrp_fail(ctx, LRP_E_NOMEM, "%s: no memory left", what);
}
