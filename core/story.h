/* story.h - the story that `lrp plugin check` tells.  Not installed. */
#ifndef LRP_STORY_H
#define LRP_STORY_H
#include "registry.h"

typedef struct lrp_story {
  lrp_check_fn *tell; /* NULL: nobody listens */
  void *user;
  int64_t n_failed;
} lrp_story;
/* One line; counts the failed ones.  story NULL: nothing. */
void lrp_tell(lrp_story *, int verdict, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* abi.c: does the exported object fit this host?  Reads the fields in an order in which each one
 * vouches for the next. */
lrp_status lrp_check_abi(lrp_ctx *, const lrp_plugin *, const char *path, lrp_story *);
/* elf.c: LRP_E_ABI where the file is shorter than its headers say, which would kill the program
 * inside dlopen(). */
lrp_status lrp_check_whole(lrp_ctx *, const char *path);
/* loader.c: lrp_plugin_open with its story. */
lrp_status lrp_loader_open(lrp_ctx *, const char *path, lrp_story *, const lrp_plugin_info **out);

/* trial.c: a layer with arguments, shapes and random numbers that its infer() accepts.  All memory
 * is the trial's. */
typedef struct lrp_trial {
  lrp_ctx *ctx;
  const lrp_layer_type *type;
  lrp_arena arena;
  lrp_value *args;
  void *inst;
  lrp_call call;          /* a genuine forward pass: freeze 0 */
  lrp_tensor *in, *param; /* call.in, call.param */
  bool positive;          /* the inputs are: the layer gives NaN on others */
  char text[300];         /* "x (2,12), weight (5,12)" */
} lrp_trial;
/* LRP_E_UNSUPPORTED: no shapes were found.  zero_bias: BIAS parameters hold zeros. */
lrp_status lrp_trial_new(lrp_ctx *, const lrp_layer_type *, bool zero_bias, lrp_trial *out);
void lrp_trial_free(lrp_trial *);
/* A tensor like t: zeroed, copied, or random in [low, high), the same in every run.  LRP_E_NOMEM.
 */
lrp_status lrp_trial_zeros(lrp_trial *, const lrp_tensor *t, lrp_tensor *out);
lrp_status lrp_trial_copy(lrp_trial *, const lrp_tensor *t, lrp_tensor *out);
lrp_status lrp_trial_random(lrp_trial *, const lrp_tensor *t, uint64_t seed, double low,
                            double high, lrp_tensor *out);
/* forward on other inputs (NULL: its own) under a freeze mask, with saved tensors copied from the
 * genuine pass. */
lrp_status lrp_trial_forward(lrp_trial *, const lrp_tensor *in, uint32_t freeze, lrp_call *out);
/* Pull out_bar[n_out] back; in_bar[i].data is there where relevance can flow. */
lrp_status lrp_trial_vjp(lrp_trial *, const lrp_call *, const lrp_tensor *out_bar,
                         lrp_tensor *in_bar);
bool lrp_trial_carries(const lrp_trial *, uint32_t i); /* can relevance flow to input i? */

/* Calls each() with args[] where one argument is at an end of its range or at another choice; the
 * others keep their values.  what: "epsilon=1". */
typedef void lrp_ends_fn(lrp_value *args, const char *what, void *user);
void lrp_for_ends(const lrp_arg *, lrp_value *args, lrp_ends_fn *each, void *user); /* check.c */

void lrp_story_layer(lrp_ctx *, const lrp_layer_type *, lrp_story *); /* check_layer.c */
void lrp_story_rule(lrp_ctx *, const lrp_rule *, lrp_story *);        /* check_rule.c */
#endif
