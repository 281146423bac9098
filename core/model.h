/* model.h - a model as the engine sees it: the ONNX file and what its folder says about it.  Not
 * installed. */
#ifndef LRP_MODEL_H
#define LRP_MODEL_H
#include "core.h"
#include "onnx.h"
#include "text/tokenizer.h"
#include <jansson.h>

struct lrp_model {
  lrp_onnx onnx; /* signatures are onnx.graph.input and .output */
  lrp_model_info info;
  lrp_arena arena; /* the texts of info */
  lrp_preprocess preprocess;
  lrp_sound_form sound;
  lrp_bytes_form bytes;
  lrp_tokenizer *tokenizer;
  int64_t max_tokens; /* that the model reads, where its folder tells; 0: it does not */
  char sha256[65];
};

/* ---- a JSON file beside the model; conf.c ---- */
typedef struct lrp_conf {
  lrp_ctx *ctx;
  char *path;
  lrp_file file;
  json_t *root; /* an object */
} lrp_conf;
/* LRP_E_INPUT names file and line of what is no JSON.  Close it in any case. */
lrp_status lrp_conf_open(lrp_ctx *, const char *folder, const char *name, lrp_conf *out);
void lrp_conf_close(lrp_conf *);
bool lrp_conf_exists(const char *folder, const char *name);
/* Record "FILE: line N: "key": ..." with the line where the key is first written. */
lrp_status lrp_conf_fail(const lrp_conf *, lrp_status, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Values of the root; a missing or null key leaves *out as it is.  LRP_E_INPUT: another type. */
lrp_status lrp_conf_bool(const lrp_conf *, const char *key, int *out);
lrp_status lrp_conf_real(const lrp_conf *, const char *key, double *out);
lrp_status lrp_conf_text(const lrp_conf *, const char *key,
                         const char **out);                    /* dies with the conf; printable */
const json_t *lrp_conf_get(const lrp_conf *, const char *key); /* NULL where missing or null */

/* config.json: kind, labels, composite, meta; *image: it speaks of pictures.  config.c */
lrp_status lrp_model_config(lrp_ctx *, lrp_model *, const char *folder, bool *image);
/* How many tokens the model reads: tokenizer_config.json, else config.json.  config.c */
lrp_status lrp_model_max_tokens(lrp_ctx *, lrp_model *, const char *folder);
/* preprocessor_config.json, or (name NULL) what the input's shape says; *image: it is about
 * pictures.  preprocess.c */
lrp_status lrp_model_preprocess(lrp_ctx *, lrp_model *, const char *folder, const char *name,
                                bool *image);
/* preprocessor_config.json of a model of sounds or of bytes; sets info.sound or info.bytes, or
 * neither.  preprocess_signal.c */
lrp_status lrp_model_signal(lrp_ctx *, lrp_model *, const char *folder);
char *lrp_model_text(lrp_ctx *, lrp_model *,
                     const char *text); /* a copy that lives with the model; NULL: no memory */
#endif
