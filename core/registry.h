/* registry.h - who offers which layer type and which rule, by name.  Not installed. */
#ifndef LRP_REGISTRY_H
#define LRP_REGISTRY_H
#include "core.h"

typedef struct lrp_owned { /* a plugin that is in the registry */
  lrp_plugin_info info;
  char *path;
  char sha256[65]; /* "" until somebody asks */
} lrp_owned;

lrp_registry *lrp_registry_new(void); /* NULL: no memory */
void lrp_registry_free(lrp_registry *);

/* Add all that the plugin offers, or nothing: a malformed descriptor, or a name that another plugin
 * or this one offers already, is LRP_E_ABI.  path: absolute, or "" for a plugin of the program.
 * Runs no code of the plugin.  *out may be NULL.  _check says whether _add would take it. */
lrp_status lrp_registry_add(lrp_ctx *, const lrp_plugin *, const char *path,
                            const lrp_plugin_info **out);
lrp_status lrp_registry_check(lrp_ctx *, const lrp_plugin *, const char *path);
const lrp_plugin_info *lrp_registry_of(const lrp_registry *,
                                       const lrp_plugin *); /* NULL: not there */

/* Who implements the operators of this name, by the names of the layer types; n of them. */
typedef struct lrp_offer {
  const lrp_operator *op;
  const lrp_layer_type *type;
} lrp_offer;
const lrp_offer *lrp_offers(const lrp_ctx *, const char *operator_name, int64_t *n);

/* descriptor.c: a plugin's own records, without any code of it being run.  LRP_E_ABI with a
 * sentence that names the plugin, the layer or rule, the field and what was expected. */
lrp_status lrp_check_plugin(lrp_ctx *, const lrp_plugin *, const char *path);

/* nearest.c: the name meant by `name`, among n; NULL: none is near. */
const char *lrp_nearest(const char *name, const char *const *names, size_t n);
#endif
