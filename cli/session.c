/* session.c - a context with all plugins loaded, for every subcommand. */
#include "cli.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void warn(void *user, const char *message)
{
  (void)user;
  cli_note("lrp: %s", message);
}

/* "512M", "4G", "1048576": bytes; false: not such a number. */
static bool bytes_of(const char *text, size_t *out)
{
  char *end;
  errno = 0;
  const double v = strtod(text, &end);
  const int unit = toupper((unsigned char)*end);
  const double scale = unit == 'K' ? 1024. : unit == 'M' ? 1048576. : unit == 'G' ? 1073741824. : 1;
  if (errno || end == text || (*end && end[1]) || (*end && scale == 1) ||
      !(v > 0 && v * scale < 1e18))
    return false;
  *out = (size_t)(v * scale);
  return true;
}

lrp_status cli_session(const char *const *plugins, int n, const char *threads, const char *memory,
                       lrp_ctx **out)
{
  static const cli_option THREADS = {"threads", 0, "N", ""};
  int64_t n_thread = 0;
  size_t bytes = 0;
  *out = NULL;
  if (threads && !cli_int(&THREADS, threads, 1, 1024, &n_thread)) return LRP_E_ARG;
  if (memory && !bytes_of(memory, &bytes)) {
    cli_error("--memory %s: a size as 512M or 4G was expected", memory);
    return LRP_E_ARG;
  }
  lrp_ctx *ctx;
  lrp_status st = lrp_ctx_new(&ctx);
  if (st) {
    cli_error("no memory");
    return st;
  }
  lrp_on_warning(ctx, warn, NULL);
  if (n_thread || !getenv("LRP_THREADS")) lrp_set_threads((int)n_thread);
  if (bytes) lrp_set_memory_limit(ctx, bytes);
  st = lrp_plugins_open(ctx);
  for (int i = 0; !st && i < n; i++)
    st = lrp_plugin_open(ctx, plugins[i], NULL);
  if (st) {
    cli_fail(ctx, st);
    lrp_ctx_free(ctx);
    return st;
  }
  *out = ctx;
  return LRP_OK;
}

lrp_status cli_precision(lrp_ctx *ctx, const char *text)
{
  static const char *const NAMES[] = {[LRP_PRECISION_F32] = "f32",
                                      [LRP_PRECISION_BF16X3] = "bf16x3",
                                      [LRP_PRECISION_BF16] = "bf16",
                                      [LRP_PRECISION_AUTO] = "auto",
                                      NULL};
  int32_t i = 0;
  if (!text) return LRP_OK;
  while (NAMES[i] && strcmp(text, NAMES[i]) != 0)
    i++;
  if (!NAMES[i]) {
    cli_error("--precision %s: f32, bf16x3, bf16 or auto was expected", text);
    return LRP_E_ARG;
  }
  const lrp_status st = lrp_set_precision(ctx, i);
  if (st) {
    cli_fail(ctx, st);
    return st;
  }
  const char *slow = lrp_precision_slow(ctx), *name = lrp_precision_name(ctx);
  if (slow)
    cli_note("lrp: --precision: %s", slow);
  else if (i == LRP_PRECISION_AUTO || strcmp(name, text) != 0)
    cli_note("lrp: --precision %s: computing in %s", text, name);
  return LRP_OK;
}
