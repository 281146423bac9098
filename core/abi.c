/* abi.c - does a plugin's exported object fit this host?  Nothing of the plugin runs before all of
 * this holds. */
#include "story.h"
#include <inttypes.h>
#include <stdio.h>

void lrp_tell(lrp_story *story, int verdict, const char *fmt, ...)
{
  char line[LRP_MESSAGE_MAX];
  if (!story) return;
  if (verdict == LRP_CHECK_FAILED) story->n_failed++;
  if (!story->tell) return;
  va_list args;
  va_start(args, fmt);
  vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  story->tell(story->user, verdict, line);
}

/* The reader sees the failed line without the file's name, which the message has. */
__attribute__((format(printf, 4, 5))) static lrp_status
refuse(lrp_ctx *ctx, const char *path, lrp_story *story, const char *fmt, ...)
{
  char text[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  lrp_tell(story, LRP_CHECK_FAILED, "%s", text);
  return lrp_fail(ctx, LRP_E_ABI, "%s: %s", path, text);
}

/* LRP_ABI_GUARD packs three sizes; see plugin.h. */
static const char *sizes(uint32_t guard, char *text, size_t n)
{
  snprintf(text, n, "lrp_real of %" PRIu32 " bytes, pointers of %" PRIu32 ", tensors of %" PRIu32,
           guard % 16, guard % 256 / 16, guard / 256);
  return text;
}

lrp_status lrp_check_abi(lrp_ctx *ctx, const lrp_plugin *p, const char *path, lrp_story *story)
{
  const size_t least = offsetof(lrp_plugin, start) + sizeof p->start; /* as in ABI 1.0 */
  char theirs[100], ours[100];
  if (p->magic != LRP_ABI_MAGIC)
    return refuse(ctx, path, story,
                  "not an lrp plugin: it starts with %#010" PRIx32 ", %#010" PRIx32 " was expected",
                  p->magic, (uint32_t)LRP_ABI_MAGIC);
  lrp_tell(story, LRP_CHECK_PASSED, "magic %#010" PRIx32, p->magic);
  if (p->abi_major != LRP_ABI_MAJOR)
    return refuse(ctx, path, story,
                  "built for plugin ABI %" PRIu32 ", this lrp speaks %u; rebuild the plugin",
                  p->abi_major, LRP_ABI_MAJOR);
  lrp_tell(story, LRP_CHECK_PASSED, "built for ABI %" PRIu32 ".%" PRIu32 ", this lrp speaks %u.%u",
           p->abi_major, p->abi_minor, LRP_ABI_MAJOR, LRP_ABI_MINOR);
  if (p->struct_size < least || p->struct_size > 4096)
    return refuse(ctx, path, story,
                  "its descriptor has %" PRIu32
                  " bytes, %zu to 4096 were expected; rebuild the plugin",
                  p->struct_size, least);
  lrp_tell(story, LRP_CHECK_PASSED, "descriptor of %" PRIu32 " bytes, this lrp reads %zu",
           p->struct_size, sizeof *p);
  if (p->needs_minor > LRP_ABI_MINOR)
    return refuse(ctx, path, story,
                  "needs plugin ABI %u.%" PRIu32
                  ", this lrp speaks %u.%u; install a newer lrp or rebuild the plugin",
                  LRP_ABI_MAJOR, p->needs_minor, LRP_ABI_MAJOR, LRP_ABI_MINOR);
  lrp_tell(story, LRP_CHECK_PASSED, "needs ABI %u.%" PRIu32 " or newer", LRP_ABI_MAJOR,
           p->needs_minor);
  if (p->guard != LRP_ABI_GUARD)
    return refuse(
        ctx, path, story,
        "built with %s; this lrp has %s; rebuild the plugin with `pkg-config --cflags lrp`",
        sizes(p->guard, theirs, sizeof theirs), sizes(LRP_ABI_GUARD, ours, sizeof ours));
  lrp_tell(story, LRP_CHECK_PASSED, "built with %s", sizes(p->guard, theirs, sizeof theirs));
  return LRP_OK;
}
