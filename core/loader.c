/* loader.c - finds and opens plugins.  The only file that knows libltdl.
 *
 * libltdl is one for the process and not thread-safe, so its state and the list of opened modules
 * are too, behind one lock.  Modules stay loaded until the process ends.  What libltdl 2.4.7 needs
 * to be told:
 * - a bare name is searched in LTDL_LIBRARY_PATH and LD_LIBRARY_PATH, so it only ever gets absolute
 * paths;
 * - it hides why a module does not load, and binds functions at their first call, where a missing
 * one kills the program: so dlopen(RTLD_NOW) goes first, for the reason and for all of the binding;
 * - lt_dlerror() may be set after success: it is read after failures only. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* realpath() */
#endif
#include "story.h"
#include "where.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <ltdl.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef LRP_PLUGIN_DIR
#define LRP_PLUGIN_DIR "/usr/local/lib/lrp/plugins-1"
#endif
#define SUFFIX ".so" /* libtool's for -module on every ELF system and on macOS */

typedef struct module { /* a plugin that passed the ABI check */
  struct module *next;
  const lrp_plugin *plugin;
  dev_t dev;
  ino_t ino;
  bool linked; /* part of the program: no file of its own */
  bool started;
} module;

static struct {
  pthread_mutex_t lock;
  bool ready, no_memory;
  const lrp_preloaded *preloaded;
  module *first, **end;
} process = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- libltdl ---- */

void lrp_preload(const lrp_preloaded *symbols)
{
  pthread_mutex_lock(&process.lock);
  if (symbols && !process.ready) process.preloaded = symbols;
  pthread_mutex_unlock(&process.lock);
}

static module *module_new(const lrp_plugin *plugin)
{
  module *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->plugin = plugin;
  *process.end = m;
  process.end = &m->next;
  return m;
}

/* libltdl calls this for every library that is linked into the program; those that are no plugins
 * are passed over. */
static int take_preloaded(lt_dlhandle handle)
{
  const lrp_plugin *plugin = lt_dlsym(handle, "lrp_plugin");
  module *m = plugin ? module_new(plugin) : NULL;
  if (m) m->linked = true;
  if (plugin && !m) process.no_memory = true;
  return 0;
}

static lrp_status get_ready(lrp_ctx *ctx)
{
  if (process.ready) return LRP_OK;
  /* lrp_preloaded is what libtool writes; ltdl.h calls the same record lt_dlsymlist */
  _Static_assert(sizeof(lrp_preloaded) == sizeof(lt_dlsymlist), "the record is libtool's");
  _Static_assert(offsetof(lrp_preloaded, address) == offsetof(lt_dlsymlist, address),
                 "and laid out alike");
  if (process.preloaded)
    lt_dlpreload_default((const lt_dlsymlist *)(const void *)process.preloaded);
  if (lt_dlinit() != 0) {
    const char *why = lt_dlerror();
    return lrp_fail(ctx, LRP_E_ABI, "libltdl does not start: %s", why ? why : "no reason given");
  }
  process.ready = true;
  process.end = &process.first;
  lt_dlpreload_open("@PROGRAM@", take_preloaded); /* fails where nothing is linked in */
  return process.no_memory ? lrp_nomem(ctx, "the list of plugins") : LRP_OK;
}

/* ---- may this file be trusted? ---- */

/* The group that has no member but the user, as many systems give to everybody (umask 002), or
 * root's. */
static bool is_private_group(gid_t gid)
{
  struct passwd user, *u = NULL;
  struct group group, *g = NULL;
  char a[4096], b[4096];
  if (gid == 0) return true;
  if (getpwuid_r(geteuid(), &user, a, sizeof a, &u) != 0 || !u || u->pw_gid != gid) return false;
  if (getgrgid_r(gid, &group, b, sizeof b, &g) != 0 || !g) return false;
  return strcmp(g->gr_name, u->pw_name) == 0 && !g->gr_mem[0];
}

static lrp_status check_rights(lrp_ctx *ctx, const char *path, const struct stat *st)
{
  const char *who = NULL;
  if (st->st_mode & S_IWOTH)
    who = "everybody";
  else if (st->st_mode & S_IWGRP && !is_private_group(st->st_gid))
    who = "its group";
  if (!who) return LRP_OK;
  return lrp_fail(ctx, LRP_E_ABI,
                  "%s: %s may write to this %s, so no plugin is taken from it (chmod %s-w)", path,
                  who, S_ISDIR(st->st_mode) ? "folder" : "file", st->st_mode & S_IWOTH ? "o" : "g");
}

/* folder/name, absolute; folder without links. */
static lrp_status absolute(lrp_ctx *ctx, const char *path, char out[LRP_PATH_MAX])
{
  char folder[LRP_PATH_MAX], real[PATH_MAX > LRP_PATH_MAX ? PATH_MAX : LRP_PATH_MAX];
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  struct stat st;
  if (strlen(path) >= sizeof folder)
    return lrp_fail(ctx, LRP_E_INPUT, "%.80s...: the path is too long", path);
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
  if (!realpath(folder, real) || stat(real, &st) != 0)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: %s", path, strerror(errno));
  int n = snprintf(out, LRP_PATH_MAX, "%s%s%s", real, strcmp(real, "/") == 0 ? "" : "/", name);
  if (n < 0 || n >= LRP_PATH_MAX)
    return lrp_fail(ctx, LRP_E_INPUT, "%.80s...: the path is too long", path);
  return check_rights(ctx, real, &st);
}

/* ---- one module ---- */

/* The module's name as libtool makes it: the file's name up to its last dot, all but letters and
 * digits as _. */
static void module_name(const char *path, char *name, size_t n)
{
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path,
             *dot = strrchr(base, '.');
  snprintf(name, n, "%.*s", dot ? (int)(dot - base) : (int)strlen(base), base);
  for (char *c = name; *c; c++)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9')))
      *c = '_';
}

static bool is_word(uint8_t c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Another module's descriptor in the file?  Looks for "<name>_LTX_lrp_plugin" among its bytes: the
 * table of names has it. */
static bool other_name(const char *path, char *name, size_t n)
{
  static const char mark[] = "_LTX_lrp_plugin";
  lrp_file file;
  bool found = false;
  if (lrp_file_open(NULL, path, "a plugin", 0, &file)) return false;
  for (size_t i = 1; !found && i + sizeof mark <= file.size; i++) {
    if (file.data[i] != '_' || memcmp(file.data + i, mark, sizeof mark) != 0) continue;
    size_t start = i;
    while (start > 0 && is_word(file.data[start - 1]))
      start--;
    if (start == i || i - start >= n) continue;
    memcpy(name, file.data + start, i - start);
    name[i - start] = '\0';
    found = true;
  }
  lrp_file_close(&file);
  return found;
}

static lrp_status no_symbol(lrp_ctx *ctx, const char *path)
{
  char wanted[256], found[256];
  module_name(path, wanted, sizeof wanted);
  if (other_name(path, found, sizeof found) && strcmp(found, wanted) != 0)
    return lrp_fail(ctx, LRP_E_ABI,
                    "%s: the file holds the plugin of %s" SUFFIX
                    " under another name; call it %s" SUFFIX
                    " again, or build it with LRP_PLUGIN(%s, ...)",
                    path, found, found, wanted);
  return lrp_fail(
      ctx, LRP_E_ABI,
      "%s: not an lrp plugin: it exports no %s_LTX_lrp_plugin; is LRP_PLUGIN(%s, ...) missing?",
      path, wanted, wanted);
}

static lrp_status check_symbol(lrp_ctx *ctx, const char *path, lt_dlhandle handle, lrp_story *story,
                               const lrp_plugin **out)
{
  char name[256];
  *out = lt_dlsym(handle, "lrp_plugin");
  module_name(path, name, sizeof name);
  lrp_status status = *out ? LRP_OK : no_symbol(ctx, path);
  if (status)
    lrp_tell(story, LRP_CHECK_FAILED, "no symbol %s_LTX_lrp_plugin: %s", name, lrp_message(ctx));
  else
    lrp_tell(story, LRP_CHECK_PASSED, "exports %s_LTX_lrp_plugin", name);
  return status ? status : lrp_check_abi(ctx, *out, path, story);
}

static module *find_module(const lrp_plugin *plugin)
{
  module *m = process.first;
  while (m && m->plugin != plugin)
    m = m->next;
  return m;
}

/* The module is new, or known and looked at again for its story. */
static lrp_status load(lrp_ctx *ctx, const char *path, const struct stat *st, lrp_story *story,
                       module **out)
{
  const lrp_plugin *plugin = NULL;
  lt_dlhandle handle = NULL;
  lrp_status status = lrp_check_whole(ctx, path);
  void *bound = status ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!status && !bound) {
    const char *why = dlerror();
    status =
        lrp_fail(ctx, LRP_E_ABI, "%s%s", strstr(why, path) ? "" : "a plugin does not load: ", why);
  }
  if (!status && !(handle = lt_dlopen(path))) {
    const char *why = lt_dlerror();
    status = lrp_fail(ctx, LRP_E_ABI, "%s: the plugin does not load: %s", path,
                      why ? why : "no reason given");
  }
  if (status) lrp_tell(story, LRP_CHECK_FAILED, "does not load: %s", lrp_message(ctx));
  if (!status) lrp_tell(story, LRP_CHECK_PASSED, "loads, with every symbol it needs");
  if (!status) status = check_symbol(ctx, path, handle, story, &plugin);
  if (!status && !(*out = find_module(plugin)) && !(*out = module_new(plugin)))
    status = lrp_nomem(ctx, "the list of plugins");
  if (!status) {
    (*out)->dev = st->st_dev;
    (*out)->ino = st->st_ino;
    lt_dlmakeresident(handle);
  } else if (handle) {
    lt_dlclose(handle);
  }
  if (bound) dlclose(bound); /* libltdl's own handle keeps it */
  return status;
}

/* Give the module to ctx: checked, started once for the process, registered. */
static lrp_status adopt(lrp_ctx *ctx, module *m, const char *path, lrp_story *story,
                        const lrp_plugin_info **out)
{
  const lrp_plugin *p = m->plugin;
  const lrp_plugin_info *known = lrp_registry_of(ctx->registry, p);
  if (known && !story) {
    if (out) *out = known;
    return LRP_OK;
  }
  lrp_status status = known ? lrp_check_plugin(ctx, p, path) : lrp_registry_check(ctx, p, path);
  if (status)
    lrp_tell(story, LRP_CHECK_FAILED, "%s", lrp_message(ctx));
  else
    lrp_tell(story, LRP_CHECK_PASSED, "descriptor is well formed: %s %s", p->name, p->version);
  if (!status && !m->started && LRP_HAS(lrp_plugin, p, start)) {
    lrp_mark mark = lrp_arena_mark(&ctx->scratch);
    status = p->start(&lrp_the_host, ctx);
    lrp_arena_release(&ctx->scratch, mark);
    if (status) lrp_fail_at(ctx, status, "%s: the plugin did not start", *path ? path : p->name);
    lrp_tell(story, status ? LRP_CHECK_FAILED : LRP_CHECK_PASSED, "start(): %s",
             status ? lrp_message(ctx) : "ok");
  }
  if (status) return status;
  m->started = true;
  if (known && out) *out = known;
  return known ? LRP_OK : lrp_registry_add(ctx, p, path, out);
}

static lrp_status open_file(lrp_ctx *ctx, const char *path, lrp_story *story,
                            const lrp_plugin_info **out)
{
  struct stat st;
  module *m = NULL;
  size_t n = strlen(path);
  if (stat(path, &st) != 0) return lrp_fail(ctx, LRP_E_INPUT, "%s: %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode))
    return lrp_fail(ctx, LRP_E_INPUT, "%s: not a file; a plugin's " SUFFIX " was expected", path);
  if (n > 3 && strcmp(path + n - 3, ".la") == 0)
    return lrp_fail(
        ctx, LRP_E_INPUT,
        "%s: libtool's description of a module; give the module itself, .libs/NAME" SUFFIX, path);
  lrp_status status = check_rights(ctx, path, &st);
  if (status) {
    lrp_tell(story, LRP_CHECK_FAILED, "%s", lrp_message(ctx));
    return status;
  }
  for (module *i = process.first; i && !story && !m; i = i->next)
    if (!i->linked && i->dev == st.st_dev && i->ino == st.st_ino) m = i;
  if (!m) status = load(ctx, path, &st, story, &m);
  return status ? status : adopt(ctx, m, path, story, out);
}

lrp_status lrp_loader_open(lrp_ctx *ctx, const char *path, lrp_story *story,
                           const lrp_plugin_info **out)
{
  char full[LRP_PATH_MAX];
  if (geteuid() != getuid() || getegid() != getgid())
    return lrp_fail(
        ctx, LRP_E_ABI,
        "%s: a program with another user's rights takes plugins of the installation only", path);
  lrp_status status = absolute(ctx, path, full);
  if (status) return status;
  pthread_mutex_lock(&process.lock);
  status = get_ready(ctx);
  if (!status) status = open_file(ctx, full, story, out);
  pthread_mutex_unlock(&process.lock);
  return status;
}

lrp_status lrp_plugin_open(lrp_ctx *ctx, const char *path, const lrp_plugin_info **out)
{
  if (out) *out = NULL;
  return lrp_loader_open(ctx, path, NULL, out);
}

/* ---- the search path ---- */

static int by_name(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The modules of a folder, sorted, so that every run opens them in one order.  Names are malloc'ed.
 */
static size_t list_folder(const char *folder, char ***out)
{
  DIR *d = opendir(folder);
  struct dirent *e;
  char **names = NULL;
  size_t n = 0;
  while (d && (e = readdir(d))) {
    size_t m = strlen(e->d_name);
    if (m <= sizeof SUFFIX - 1 || *e->d_name == '.' ||
        strcmp(e->d_name + m - (sizeof SUFFIX - 1), SUFFIX) != 0)
      continue;
    char **grown = realloc(names, (n + 1) * sizeof *names), *name = malloc(m + 1);
    if (grown) names = grown;
    if (!grown || !name) {
      free(name);
      break;
    }
    memcpy(name, e->d_name, m + 1);
    names[n++] = name;
  }
  if (d) closedir(d);
  if (n) qsort(names, n, sizeof *names, by_name);
  *out = names;
  return n;
}

static void warn_left_out(lrp_ctx *ctx)
{
  lrp_warn(ctx, "%s; this plugin is left out", ctx->message);
}

static void open_folder(lrp_ctx *ctx, const char *folder, bool must_exist)
{
  char path[LRP_PATH_MAX], **names;
  struct stat st;
  if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
    if (must_exist) lrp_warn(ctx, "LRP_PLUGIN_PATH: %s: no such folder", folder);
    return;
  }
  if (check_rights(ctx, folder, &st)) {
    lrp_warn(ctx, "%s", ctx->message);
    return;
  }
  size_t n = list_folder(folder, &names);
  for (size_t i = 0; i < n; i++) {
    int m = snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    if (m > 0 && (size_t)m < sizeof path && open_file(ctx, path, NULL, NULL)) warn_left_out(ctx);
    free(names[i]);
  }
  free(names);
}

/* Calls each() for the folders of the search path, LRP_PLUGIN_PATH first.  warn: of those that are
 * not absolute. */
static void for_folders(lrp_ctx *ctx, bool warn,
                        void (*each)(lrp_ctx *, const char *, bool, void *), void *user)
{
  char folder[LRP_PATH_MAX];
  for (const char *at = lrp_trusted_env("LRP_PLUGIN_PATH"); at && *at;) {
    size_t n = strcspn(at, ":");
    if (n && *at != '/' && warn)
      lrp_warn(ctx, "LRP_PLUGIN_PATH: \"%.*s\" is not an absolute folder and is ignored",
               n < 200 ? (int)n : 200, at);
    if (n && *at == '/' && n < sizeof folder) {
      snprintf(folder, sizeof folder, "%.*s", (int)n, at);
      each(ctx, folder, true, user);
    }
    at += n + (at[n] == ':');
  }
  if (lrp_own_folder("plugins-1", LRP_PLUGIN_DIR, folder, sizeof folder))
    each(ctx, folder, false, user);
}

static void each_open(lrp_ctx *ctx, const char *folder, bool must_exist, void *user)
{
  (void)user;
  open_folder(ctx, folder, must_exist);
}

lrp_status lrp_plugins_open(lrp_ctx *ctx)
{
  pthread_mutex_lock(&process.lock);
  lrp_status status = get_ready(ctx);
  for (module *m = status ? NULL : process.first; m; m = m->next)
    if (m->linked && (lrp_check_abi(ctx, m->plugin, "a plugin of the program", NULL) ||
                      adopt(ctx, m, "", NULL, NULL)))
      warn_left_out(ctx);
  if (!status) for_folders(ctx, true, each_open, NULL);
  pthread_mutex_unlock(&process.lock);
  if (!status) ctx->message[0] = '\0'; /* all of it was said as warnings */
  return status;
}

typedef struct path_list {
  char *text;
  size_t n, room;
} path_list;

static void each_list(lrp_ctx *ctx, const char *folder, bool must_exist, void *user)
{
  path_list *list = user;
  (void)ctx, (void)must_exist;
  int m = snprintf(list->text + list->n, list->room - list->n, "%s%s", list->n ? ":" : "", folder);
  if (m > 0 && (size_t)m < list->room - list->n) list->n += (size_t)m;
}

const char *lrp_plugin_dirs(lrp_ctx *ctx)
{
  const char *env = lrp_trusted_env("LRP_PLUGIN_PATH");
  path_list list = {.room = (env ? strlen(env) : 0) + LRP_PATH_MAX + 2};
  list.text = lrp_arena_alloc(&ctx->texts, list.room);
  if (!list.text) return "";
  for_folders(ctx, false, each_list, &list);
  return list.text;
}
