/* node_facts.h - facts about a model of one ONNX node, written in a line:
 *
 *     GIVES("(2)", V(4, 5), .op = "Add", .opset = 14, .in = {LIVE("2", V(1, 2)), CONST("", V(3))}) */
#ifndef LRP_TESTS_NODE_FACTS_H
#define LRP_TESTS_NODE_FACTS_H
#include "node_model.h"

#define V(...) ((const double[]){__VA_ARGS__})
#define LIVE(SHAPE, ...) {.shape = SHAPE, .value = __VA_ARGS__}
#define CONST(SHAPE, VALUES) {.shape = SHAPE, .kind = NODE_CONST, .value = VALUES}
#define INTS(SHAPE, VALUES) {.shape = SHAPE, .kind = NODE_CONST, .dtype = LRP_INDEX, .value = VALUES}
#define ABSENT {.shape = "", .kind = NODE_ABSENT}

/* The context that these tests share, with all plugins open; fixtures. */
extern lrp_ctx *node_ctx;
void node_setup(void);
void node_teardown(void);

/* A tensor has this shape and these numbers. */
void node_same(const char *what, const lrp_tensor *t, const char *shape, const double *want);
/* Output 0 has this shape and these numbers. */
void node_gives(const node_case *c, const char *shape, const double *want);
/* The model is refused with this status and a sentence that holds the text. */
void node_refused(const node_case *c, lrp_status status, const char *text);
/* The image form gives what the plain one gives, numbers and relevance of input 0. */
void node_same_in_image(const node_case *c);
#define GIVES(SHAPE, WANT, ...) node_gives(&(const node_case){__VA_ARGS__}, SHAPE, WANT)
#define REFUSED(STATUS, TEXT, ...) node_refused(&(const node_case){__VA_ARGS__}, STATUS, TEXT)
#define SAME_IN_IMAGE(...) node_same_in_image(&(const node_case){__VA_ARGS__})
#endif
