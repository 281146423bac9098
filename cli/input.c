/* input.c - what an operand means: a file, standard input, or a text. */
#include "cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool cli_has_ending(const char *path, const char *ending)
{
  const size_t n = strlen(path), m = strlen(ending);
  return n > m && !strcmp(path + n - m, ending);
}

/* All of standard input, at most LIMIT bytes; NULL: a message was left. */
static char *read_stdin(lrp_ctx *ctx, size_t *n)
{
  enum { LIMIT = 64 << 20 };
  size_t room = 4096;
  char *s = malloc(room + 1);
  *n = 0;
  while (s) {
    const size_t got = fread(s + *n, 1, room - *n, stdin);
    *n += got;
    if (!got || *n > LIMIT) break;
    if (*n == room) {
      char *grown = realloc(s, 2 * room + 1);
      if (!grown) break;
      s = grown;
      room *= 2;
    }
  }
  if (s && feof(stdin)) return s;
  if (s && *n > LIMIT)
    lrp_host_table()->fail(ctx, LRP_E_INPUT, "standard input: more than %d MB", LIMIT >> 20);
  else
    lrp_host_table()->fail(ctx, LRP_E_INPUT, "standard input: %s",
                           s && ferror(stdin) ? strerror(errno) : "no memory");
  free(s);
  return NULL;
}

static lrp_status from_stdin(lrp_ctx *ctx, const lrp_model *m, lrp_input **out)
{
  size_t n;
  const bool bytes = lrp_model_about(m)->modality == LRP_MODALITY_BYTES;
  if (lrp_model_about(m)->modality != LRP_MODALITY_TEXT && !bytes)
    return lrp_host_table()->fail(
        ctx, LRP_E_INPUT, "standard input is read as text, and %s reads no text; name a file",
        lrp_model_about(m)->name);
  char *s = read_stdin(ctx, &n);
  if (!s) return LRP_E_INPUT;
  while (!bytes && n &&
         (s[n - 1] == '\n' || s[n - 1] == '\r')) /* the line end of echo is no part of the text */
    n--;
  const lrp_status st = bytes ? lrp_input_bytes(ctx, m, "standard input", s, n, out)
                              : lrp_input_text(ctx, m, s, n, out);
  free(s);
  return st;
}

/* A word with the look of a file name: no blank, and a known ending or a path's beginning. */
static bool looks_like_path(const char *s)
{
  static const char *const ENDINGS[] = {".txt", ".png", ".jpg",  ".jpeg", ".npy",
                                        ".tsv", ".csv", ".json", ".onnx", NULL};
  if (strpbrk(s, " \t\n")) return false;
  for (int i = 0; ENDINGS[i]; i++)
    if (cli_has_ending(s, ENDINGS[i])) return true;
  return s[0] == '/' || !strncmp(s, "./", 2) || !strncmp(s, "../", 3);
}

/* "voice.wav@1.25": the frame at 1.25 seconds, where there is no file of that whole name. */
static lrp_status at_time(lrp_ctx *ctx, const lrp_model *m, const char *operand, lrp_input **out)
{
  const char *at = strrchr(operand, '@');
  char *end, *path = NULL;
  const double seconds = at ? strtod(at + 1, &end) : 0;
  if (!at || at == operand || !at[1] || *end || !(seconds >= 0 && seconds < 1e9))
    return lrp_input_file(ctx, m, operand, out);
  path = strndup(operand, (size_t)(at - operand));
  if (!path) return lrp_host_table()->fail(ctx, LRP_E_NOMEM, "%s: no memory", operand);
  const lrp_status st = lrp_input_sound(ctx, m, path, seconds, out);
  free(path);
  return st;
}

lrp_status cli_input(lrp_ctx *ctx, const lrp_model *m, const char *operand, lrp_input **out)
{
  struct stat file;
  if (!strcmp(operand, "-")) return from_stdin(ctx, m, out);
  const bool there = !stat(operand, &file),
             text = lrp_model_about(m)->modality == LRP_MODALITY_TEXT;
  if (there && S_ISDIR(file.st_mode))
    return lrp_host_table()->fail(
        ctx, LRP_E_INPUT, "%s: a folder; name its files, as %s/*%s%s%s", operand, operand,
        text ? ", or give this very text as --text \"" : "", text ? operand : "", text ? "\"" : "");
  if (!there && lrp_model_about(m)->modality == LRP_MODALITY_SOUND)
    return at_time(ctx, m, operand, out);
  if (there || !text) return lrp_input_file(ctx, m, operand, out);
  if (!looks_like_path(operand)) return lrp_input_text(ctx, m, operand, strlen(operand), out);
  return lrp_host_table()->fail(
      ctx, LRP_E_INPUT, "%s: no such file; to explain this very text, give it as --text \"%s\"",
      operand, operand);
}

bool cli_same_shapes(const lrp_tensor *a, const lrp_tensor *b, int32_t n)
{
  for (int32_t i = 0; i < n; i++)
    if (a[i].rank != b[i].rank ||
        memcmp(a[i].shape, b[i].shape, (size_t)a[i].rank * sizeof(int64_t)))
      return false;
  return true;
}
