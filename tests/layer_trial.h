/* layer_trial.h - a layer with arguments, shapes and numbers, ready to be run: what the tests of
 * layers share. */
#ifndef LRP_TESTS_LAYER_TRIAL_H
#define LRP_TESTS_LAYER_TRIAL_H
#include "core.h"
#include "test.h"

enum { TRIAL_MAX = 8 }; /* inputs, parameters, outputs, saved tensors of a layer under test */

/* Shapes are written "2,3,4"; "" is a single number, NULL the end of the list or an absent optional
 * parameter. */
typedef struct layer_sample {
  const char *layer, *args;
  const char *in[TRIAL_MAX], *param[TRIAL_MAX];
} layer_sample;

/* All entries, ended by one without a layer. */
extern const layer_sample layer_samples[];
/* Sample k of a layer: its entries in layer_samples.c, or else those plain shapes that it accepts.  false: there is no
 * k-th. */
bool trial_sample(const lrp_layer_type *, int k, layer_sample *out);

typedef struct trial {
  lrp_ctx *ctx;
  const lrp_host *h;
  const lrp_layer_type *type;
  lrp_arena arena; /* owns everything below */
  lrp_value args[64];
  void *inst;
  uint32_t n_in, n_param;
  lrp_tensor in[TRIAL_MAX], param[TRIAL_MAX], out[TRIAL_MAX], saved[TRIAL_MAX];
  lrp_call call;
} trial;

/* Arguments parsed, tensors filled, shapes inferred, forward run.  positive: the inputs lie in
 * [0.5, 1.5], flagged NONNEG; else in (-1, 1), all different, none near 0.  A refusal leaves the
 * sentence in ctx. */
lrp_status trial_new(trial *, lrp_ctx *, const lrp_layer_type *, const layer_sample *,
                     bool positive);
void trial_free(trial *);

/* A tensor like t in the arena: zeroed, or a copy. */
lrp_tensor trial_zeros(trial *, const lrp_tensor *t);
lrp_tensor trial_copy(trial *, const lrp_tensor *t);
/* Numbers in (-1, 1), different for each seed, the same in every run. */
void trial_fill(const lrp_tensor *t, uint32_t seed);

/* Run forward on other inputs and parameters (NULL: the trial's) under a freeze mask; frozen
 * tensors come from `from` (NULL: none).  The call lives in the arena. */
lrp_status trial_forward(trial *, const lrp_tensor *in, const lrp_tensor *param, uint32_t freeze,
                         const lrp_call *from, lrp_call *out);
/* Pull out_bar[n_out] back; in_bar[n_in] exists where relevance can flow. */
lrp_status trial_vjp(trial *, const lrp_call *, const lrp_tensor *out_bar, lrp_tensor *in_bar);

/* Can relevance flow to input i? */
bool trial_carries(const trial *, uint32_t i);
const lrp_port *trial_port(const trial *, uint32_t i);
uint32_t trial_n_freezable(const lrp_layer_type *);
double trial_dot(const lrp_tensor *a, const lrp_tensor *b,
                 double *size); /* *size += sum of |a b| */

/* ---- for tests of single layers: all of these assert ---- */

/* A trial of the named layer on signed inputs. */
void trial_begin(trial *, layer_sample);
/* trial_new() is refused with this status; its sentence. */
const char *trial_refusal(layer_sample, lrp_status);
/* Forward once more, on whatever in[] and param[] hold now. */
lrp_call trial_again(trial *);
void trial_put(const lrp_tensor *, const double *v); /* lrp_count() of them */
void trial_put_all(const lrp_tensor *, double v);
void trial_put_count(const lrp_tensor *); /* 1, 2, 3, ... */
void trial_compare(const lrp_tensor *have, const double *want, size_t n, double tolerance);
#define ck_reals(have, want, tolerance)                                                            \
  trial_compare(have, want, sizeof(want) / sizeof *(want), tolerance)

/* The context that the tests of layers share, with all plugins open; fixtures. */
extern lrp_ctx *trial_ctx;
void trial_setup(void);
void trial_teardown(void);
#endif
