/* test_shapes.c - the forms of ONNX operators that exporters write, opset by opset: each case is a model of one node,
 * imported and run.  Numbers are worked out by hand from the ONNX operator pages. */
#include "node_model.h"
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static lrp_ctx *ctx;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  ck_assert_msg(!lrp_plugins_open(ctx), "%s", lrp_message(ctx));
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}

#define V(...) ((const double[]){__VA_ARGS__})
#define LIVE(SHAPE, ...) {.shape = SHAPE, .value = __VA_ARGS__}
#define CONST(SHAPE, VALUES) {.shape = SHAPE, .kind = NODE_CONST, .value = VALUES}
#define INTS(SHAPE, VALUES) {.shape = SHAPE, .kind = NODE_CONST, .dtype = LRP_INDEX, .value = VALUES}
#define ABSENT {.shape = "", .kind = NODE_ABSENT}

static void same(const char *what, const lrp_tensor *t, const char *shape, const double *want)
{
  char have[160];
  ck_assert_str_eq(lrp_shape_text(t, have, sizeof have), shape);
  for (int64_t i = 0, n = lrp_count(t); i < n; i++) {
    const double v = t->dtype == LRP_INDEX ? (double)lrp_indices(t)[i] : (double)lrp_reals(t)[i];
    ck_assert_msg(fabs(v - want[i]) <= 1e-5 * fmax(1, fabs(want[i])), "%s: element %lld is %g, %g was expected", what,
                  (long long)i, v, want[i]);
  }
}

/* Output 0 has this shape and these numbers. */
static void gives(const node_case *c, const char *shape, const double *want)
{
  node_run r;
  lrp_ck_ok(ctx, node_run_open(&r, ctx, c));
  same(c->op, node_run_output(&r, 0), shape, want);
  node_run_close(&r);
}

static void refused(const node_case *c, lrp_status status, const char *text)
{
  node_run r;
  lrp_ck_fails(ctx, status, text, node_run_open(&r, ctx, c));
  node_run_close(&r);
}

#define GIVES(SHAPE, WANT, ...) gives(&(const node_case){__VA_ARGS__}, SHAPE, WANT)
#define REFUSED(STATUS, TEXT, ...) refused(&(const node_case){__VA_ARGS__}, STATUS, TEXT)

/* The image form gives what the plain one gives, numbers and relevance of input 0. */
static void same_in_image(const node_case *c)
{
  node_run plain, image;
  node_case moved = *c;
  moved.image = true;
  lrp_ck_ok(ctx, node_run_open(&plain, ctx, c));
  lrp_ck_ok(ctx, node_run_open(&image, ctx, &moved));
  const lrp_tensor *y = node_run_output(&plain, 0);
  char shape[160];
  double want[400];
  ck_assert_int_le((int)lrp_count(y), 400);
  for (int64_t i = 0; i < lrp_count(y); i++)
    want[i] = (double)lrp_reals(y)[i];
  same(c->op, node_run_output(&image, 0), lrp_shape_text(y, shape, sizeof shape), want);
  const lrp_tensor *r = node_run_relevance(&plain, 1);
  ck_assert_int_le((int)lrp_count(r), 400);
  for (int64_t i = 0; r->data && i < lrp_count(r); i++)
    want[i] = (double)lrp_reals(r)[i];
  const lrp_tensor *q = node_run_relevance(&image, 1);
  ck_assert_int_eq(r->data == NULL, q->data == NULL);
  if (r->data)
    same(c->attr ? c->attr : c->op, q, lrp_shape_text(r, shape, sizeof shape), want);
  node_run_close(&plain);
  node_run_close(&image);
}

#define SAME_IN_IMAGE(...) same_in_image(&(const node_case){__VA_ARGS__})

/* ---- slice ---- */

START_TEST(slice_walks_backwards_with_negative_step)
{
  GIVES("(2,2)", V(4, 2, 8, 6), .op = "Slice", .opset = 13,
        .in = {LIVE("2,4", NULL), INTS("1", V(-1)), INTS("1", V(-100)), INTS("1", V(1)), INTS("1", V(-2))});
  GIVES("(2,4)", V(8, 7, 6, 5, 4, 3, 2, 1), .op = "Slice", .opset = 13,
        .in = {LIVE("2,4", NULL), INTS("2", V(-1, -1)), INTS("2", V(-1e19, -1e19)), INTS("2", V(0, 1)), INTS("2", V(-1, -1))});
}
END_TEST

START_TEST(slice_cuts_off_at_the_ends)
{
  GIVES("(2,3)", V(2, 3, 4, 6, 7, 8), .op = "Slice", .opset = 11,
        .in = {LIVE("2,4", NULL), INTS("1", V(1)), INTS("1", V(1e19)), INTS("1", V(-1))});
  GIVES("(2,0)", NULL, .op = "Slice", .opset = 11,
        .in = {LIVE("2,4", NULL), INTS("1", V(9)), INTS("1", V(12)), INTS("1", V(1))});
}
END_TEST

START_TEST(slice_before_opset_10_has_attributes)
{
  GIVES("(1,2)", V(6, 7), .op = "Slice", .opset = 9, .attr = "starts=[1,1] ends=[2,-1]", .in = {LIVE("2,4", NULL)});
  GIVES("(2,1)", V(2, 6), .op = "Slice", .opset = 7, .attr = "starts=[1] ends=[2] axes=[-1]", .in = {LIVE("2,4", NULL)});
}
END_TEST

START_TEST(slice_refuses_step_0_axes_out_of_range_and_live_starts)
{
  REFUSED(LRP_E_ARG, "step along axis 1 is 0", .op = "Slice", .opset = 13,
          .in = {LIVE("2,4", NULL), INTS("1", V(0)), INTS("1", V(2)), INTS("1", V(1)), INTS("1", V(0))});
  REFUSED(LRP_E_INPUT, "axis 2", .op = "Slice", .opset = 13,
          .in = {LIVE("2,4", NULL), INTS("1", V(0)), INTS("1", V(2)), INTS("1", V(2))});
  REFUSED(LRP_E_UNSUPPORTED, "Slice", .op = "Slice", .opset = 13,
          .in = {LIVE("2,4", NULL), {.shape = "1", .dtype = LRP_INDEX}, INTS("1", V(2))});
}
END_TEST

/* ---- reshape and its kin ---- */

START_TEST(reshape_copies_0_and_infers_minus_1)
{
  GIVES("(2,6)", V(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), .op = "Reshape", .opset = 7,
        .in = {LIVE("2,3,2", NULL), INTS("2", V(0, -1))});
  GIVES("()", V(7), .op = "Reshape", .opset = 14, .in = {LIVE("1,1", V(7)), INTS("0", NULL)});
}
END_TEST

START_TEST(reshape_takes_0_literally_with_allowzero)
{
  REFUSED(LRP_E_SHAPE, "x has 6 elements, the new shape has 0", .op = "Reshape", .opset = 14, .attr = "allowzero=1",
          .in = {LIVE("2,3", NULL), INTS("2", V(0, 3))});
}
END_TEST

START_TEST(reshape_refuses_what_does_not_fit)
{
  REFUSED(LRP_E_SHAPE, "x has 6 elements", .op = "Reshape", .opset = 13, .in = {LIVE("2,3", NULL), INTS("2", V(4, -1))});
  REFUSED(LRP_E_SHAPE, "one -1", .op = "Reshape", .opset = 13, .in = {LIVE("2,3", NULL), INTS("2", V(-1, -1))});
  REFUSED(LRP_E_SHAPE, "x has rank 2", .op = "Reshape", .opset = 13, .in = {LIVE("2,3", NULL), INTS("3", V(2, 3, 0))});
  REFUSED(LRP_E_NOMEM, "can be counted", .op = "Reshape", .opset = 13,
          .in = {LIVE("2,3", NULL), INTS("3", V(4e18, 4e18, 4))});
}
END_TEST

START_TEST(flatten_counts_axes_from_both_ends)
{
  GIVES("(1,6)", V(1, 2, 3, 4, 5, 6), .op = "Flatten", .opset = 9, .attr = "axis=0", .in = {LIVE("2,3", NULL)});
  GIVES("(2,3)", V(1, 2, 3, 4, 5, 6), .op = "Flatten", .opset = 13, .attr = "axis=-1", .in = {LIVE("2,1,3", NULL)});
  GIVES("(6,1)", V(1, 2, 3, 4, 5, 6), .op = "Flatten", .opset = 13, .attr = "axis=2", .in = {LIVE("2,3", NULL)});
  REFUSED(LRP_E_SHAPE, "axis 3", .op = "Flatten", .opset = 13, .attr = "axis=3", .in = {LIVE("2,3", NULL)});
}
END_TEST

START_TEST(squeeze_and_unsqueeze_have_axes_as_attribute_or_input)
{
  GIVES("(2,1)", V(1, 2), .op = "Squeeze", .opset = 11, .attr = "axes=[1]", .in = {LIVE("2,1,1", NULL)});
  GIVES("(2,1)", V(1, 2), .op = "Squeeze", .opset = 13, .in = {LIVE("2,1,1", NULL), INTS("1", V(-1))});
  GIVES("(2)", V(1, 2), .op = "Squeeze", .opset = 13, .in = {LIVE("2,1,1", NULL)});
  GIVES("(1,2,1)", V(1, 2), .op = "Unsqueeze", .opset = 11, .attr = "axes=[0,2]", .in = {LIVE("2", NULL)});
  GIVES("(1,2,1)", V(1, 2), .op = "Unsqueeze", .opset = 13, .in = {LIVE("2", NULL), INTS("2", V(-1, 0))});
  REFUSED(LRP_E_SHAPE, "1 was expected", .op = "Squeeze", .opset = 13, .in = {LIVE("2,1", NULL), INTS("1", V(0))});
  REFUSED(LRP_E_ARG, "twice", .op = "Unsqueeze", .opset = 13, .in = {LIVE("2", NULL), INTS("2", V(0, -3))});
}
END_TEST

START_TEST(expand_broadcasts_both_ways_and_sums_relevance)
{
  node_run r;
  const node_case c = {.op = "Expand", .opset = 13, .in = {LIVE("3,1", NULL), INTS("3", V(2, 1, 4))}};
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &c));
  same("expand", node_run_output(&r, 0), "(2,3,4)",
       V(1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
  same("relevance", node_run_relevance(&r, 0.5), "(3,1)", V(4, 4, 4));
  node_run_close(&r);
}
END_TEST

START_TEST(transpose_without_perm_reverses)
{
  GIVES("(3,2)", V(1, 4, 2, 5, 3, 6), .op = "Transpose", .opset = 7, .in = {LIVE("2,3", NULL)});
  REFUSED(LRP_E_ARG, "twice", .op = "Transpose", .opset = 13, .attr = "perm=[0,0]", .in = {LIVE("2,3", NULL)});
  REFUSED(LRP_E_SHAPE, "perm names 1 axes", .op = "Transpose", .opset = 13, .attr = "perm=[0]", .in = {LIVE("2,3", NULL)});
}
END_TEST

/* ---- pieces ---- */

START_TEST(concat_takes_negative_axes_and_constants)
{
  GIVES("(2,3)", V(1, 2, 8, 3, 4, 9), .op = "Concat", .opset = 11, .attr = "axis=-1",
        .in = {LIVE("2,2", NULL), CONST("2,1", V(8, 9))});
  REFUSED(LRP_E_SHAPE, "axis 0 has 1 elements in operand 1", .op = "Concat", .opset = 13, .attr = "axis=1",
          .in = {LIVE("2,2", NULL), CONST("1,2", NULL)});
}
END_TEST

START_TEST(split_has_sizes_as_attribute_input_or_number)
{
  const node_case forms[] = {
      {.op = "Split", .opset = 11, .attr = "axis=1 split=[2,1]", .in = {LIVE("2,3", NULL)}, .n_out = 2},
      {.op = "Split", .opset = 13, .attr = "axis=-1", .in = {LIVE("2,3", NULL), INTS("2", V(2, 1))}, .n_out = 2},
      {.op = "Split", .opset = 18, .attr = "axis=1 num_outputs=2", .in = {LIVE("2,3", NULL)}, .n_out = 2}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    node_run r;
    lrp_ck_ok(ctx, node_run_open(&r, ctx, &forms[i]));
    same("piece 0", node_run_output(&r, 0), "(2,2)", V(1, 2, 4, 5));
    same("piece 1", node_run_output(&r, 1), "(2,1)", V(3, 6));
    same("relevance", node_run_relevance(&r, 1), "(2,3)", V(1, 1, 0, 1, 1, 0));
    node_run_close(&r);
  }
  REFUSED(LRP_E_SHAPE, "together", .op = "Split", .opset = 13, .in = {LIVE("4", NULL), INTS("2", V(1, 2))}, .n_out = 2);
}
END_TEST

START_TEST(gather_scalar_index_drops_the_axis)
{
  GIVES("(2)", V(3, 6), .op = "Gather", .opset = 11, .attr = "axis=1", .in = {LIVE("2,3", NULL), INTS("", V(-1))});
  GIVES("(2,1,2)", V(3, 1, 6, 4), .op = "Gather", .opset = 11, .attr = "axis=-1",
        .in = {LIVE("2,3", NULL), INTS("1,2", V(2, 0))});
  REFUSED(LRP_E_INPUT, "index 3 at position 0", .op = "Gather", .opset = 11, .attr = "axis=1",
          .in = {LIVE("2,3", NULL), INTS("1", V(3))});
}
END_TEST

START_TEST(gather_adds_relevance_of_repeated_indices)
{
  node_run r;
  const node_case c = {.op = "Gather", .opset = 13, .in = {LIVE("3,2", NULL), INTS("3", V(2, 0, 2))}};
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &c));
  same("relevance", node_run_relevance(&r, 1), "(3,2)", V(1, 1, 0, 0, 2, 2));
  node_run_close(&r);
}
END_TEST

START_TEST(pad_forms_agree)
{
  const double *want = V(9, 9, 9, 9, 9, 1, 2, 9, 9, 3, 4, 9);
  GIVES("(3,4)", want, .op = "Pad", .opset = 10, .attr = "pads=[1,1,0,1] value=9.0", .in = {LIVE("2,2", NULL)});
  GIVES("(3,4)", want, .op = "Pad", .opset = 11, .in = {LIVE("2,2", NULL), INTS("4", V(1, 1, 0, 1)), CONST("", V(9))});
  GIVES("(3,4)", want, .op = "Pad", .opset = 18,
        .in = {LIVE("2,2", NULL), INTS("4", V(1, 1, 1, 0)), CONST("", V(9)), INTS("2", V(-1, 0))});
}
END_TEST

START_TEST(pad_modes_and_negative_margins)
{
  GIVES("(6)", V(3, 2, 1, 2, 3, 2), .op = "Pad", .opset = 13, .attr = "mode=reflect", .in = {LIVE("3", NULL), INTS("2", V(2, 1))});
  GIVES("(6)", V(1, 1, 1, 2, 3, 3), .op = "Pad", .opset = 13, .attr = "mode=edge", .in = {LIVE("3", NULL), INTS("2", V(2, 1))});
  GIVES("(6)", V(2, 3, 1, 2, 3, 1), .op = "Pad", .opset = 19, .attr = "mode=wrap", .in = {LIVE("3", NULL), INTS("2", V(2, 1))});
  GIVES("(3)", V(2, 3, 0), .op = "Pad", .opset = 13, .in = {LIVE("3", NULL), INTS("2", V(-1, 1))});
  REFUSED(LRP_E_SHAPE, "do not fit", .op = "Pad", .opset = 13, .attr = "mode=reflect",
          .in = {LIVE("3", NULL), INTS("2", V(3, 0))});
  REFUSED(LRP_E_INPUT, "pads has 3 numbers", .op = "Pad", .opset = 18,
          .in = {LIVE("3", NULL), INTS("3", V(1, 1, 1)), ABSENT, INTS("1", V(0))});
}
END_TEST

/* ---- reductions ---- */

START_TEST(reductions_have_axes_as_attribute_or_input)
{
  GIVES("(2,1)", V(2, 5), .op = "ReduceMean", .opset = 13, .attr = "axes=[1]", .in = {LIVE("2,3", NULL)});
  GIVES("(2,1)", V(2, 5), .op = "ReduceMean", .opset = 18, .in = {LIVE("2,3", NULL), INTS("1", V(-1))});
  GIVES("(2)", V(6, 15), .op = "ReduceSum", .opset = 11, .attr = "axes=[-1] keepdims=0", .in = {LIVE("2,3", NULL)});
  GIVES("(2)", V(6, 15), .op = "ReduceSum", .opset = 13, .attr = "keepdims=0", .in = {LIVE("2,3", NULL), INTS("1", V(1))});
  GIVES("()", V(6), .op = "ReduceMax", .opset = 13, .attr = "keepdims=0", .in = {LIVE("2,3", NULL)});
  GIVES("(1,1)", V(1), .op = "ReduceMin", .opset = 18, .in = {LIVE("2,3", NULL)});
}
END_TEST

START_TEST(empty_axes_reduce_all_or_nothing)
{
  GIVES("(1,1)", V(21), .op = "ReduceSum", .opset = 13, .in = {LIVE("2,3", NULL), INTS("0", NULL)});
  GIVES("(2,3)", V(1, 2, 3, 4, 5, 6), .op = "ReduceSum", .opset = 13, .attr = "noop_with_empty_axes=1",
        .in = {LIVE("2,3", NULL), INTS("0", NULL)});
}
END_TEST

START_TEST(reduce_max_gives_all_to_the_first_of_equal_maxima)
{
  node_run r;
  const node_case c = {.op = "ReduceMax", .opset = 13, .attr = "axes=[1]", .in = {LIVE("2,3", V(1, 7, 7, 5, 5, 2))}};
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &c));
  same("relevance", node_run_relevance(&r, 1), "(2,3)", V(0, 1, 0, 1, 0, 0));
  node_run_close(&r);
}
END_TEST

/* Any axes, of images of rank 3 to 5, with and without keepdims. */
START_TEST(reductions_of_images_keep_the_models_order)
{
  static const char *const shapes[] = {"2,3,4", "2,3,4,2", "1,3,2,3,2"};
  static const char *const ops[] = {"ReduceMean", "ReduceMax"};
  const int32_t rank = 3 + _i % 3;
  for (int keep = 0; keep < 2; keep++)
    for (unsigned bits = 1; bits < 1u << rank; bits++) {
      char attr[80] = "";
      int n = snprintf(attr, sizeof attr, "keepdims=%d axes=[", keep);
      for (int i = 0; i < rank; i++)
        if (bits >> i & 1)
          n += snprintf(attr + n, sizeof attr - (size_t)n, "%s%d", attr[n - 1] == '[' ? "" : ",", i);
      snprintf(attr + n, sizeof attr - (size_t)n, "]");
      SAME_IN_IMAGE(.op = ops[_i / 3], .opset = 13, .attr = attr, .in = {LIVE(shapes[_i % 3], NULL)});
    }
}
END_TEST

/* ---- images: axes and operands follow the engine's order ---- */

START_TEST(pieces_of_images_are_those_of_the_model)
{
  for (int axis = -4; axis < 4; axis++) {
    char attr[40], sizes[60];
    snprintf(attr, sizeof attr, "axis=%d", axis);
    SAME_IN_IMAGE(.op = "Concat", .opset = 13, .attr = attr, .in = {LIVE("2,3,2,4", NULL), CONST("2,3,2,4", NULL)});
    snprintf(sizes, sizeof sizes, "axis=%d split=[1,1]", axis);
    SAME_IN_IMAGE(.op = "Split", .opset = 11, .attr = sizes, .in = {LIVE("2,2,2,2", NULL)}, .n_out = 2);
    const double a = axis;
    SAME_IN_IMAGE(.op = "Slice", .opset = 13,
                  .in = {LIVE("2,3,2,4", NULL), INTS("1", V(-1)), INTS("1", V(-9)), INTS("1", &a), INTS("1", V(-1))});
    SAME_IN_IMAGE(.op = "Gather", .opset = 13, .attr = attr, .in = {LIVE("2,3,2,4", NULL), INTS("", V(1))});
  }
  SAME_IN_IMAGE(.op = "Pad", .opset = 13, .in = {LIVE("2,3,2,4", NULL), INTS("8", V(0, 1, 2, 0, 0, 0, 1, 3))});
  SAME_IN_IMAGE(.op = "Reshape", .opset = 13, .in = {LIVE("2,3,2,4", NULL), INTS("2", V(0, -1))});
  SAME_IN_IMAGE(.op = "Transpose", .opset = 13, .attr = "perm=[0,2,3,1]", .in = {LIVE("2,3,2,4", NULL)});
  SAME_IN_IMAGE(.op = "DepthToSpace", .opset = 13, .attr = "blocksize=2", .in = {LIVE("2,8,2,3", NULL)});
}
END_TEST

/* Every size is 3: a wrong order of axes would fit too. */
START_TEST(constants_beside_images_broadcast_as_in_the_model)
{
  static const char *const ops[] = {"Add", "Sub", "Mul", "Div", "PRelu"};
  static const char *const shapes[] = {"3,1,1", "1,3,1,1", "3", "3,3", "1,3,3", "3,3,3,3", ""};
  double x[81];
  for (int i = 0; i < 81; i++)
    x[i] = i % 2 ? i : -i;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    SAME_IN_IMAGE(.op = ops[_i], .opset = 13, .in = {LIVE("3,3,3,3", x), CONST(shapes[i], NULL)});
}
END_TEST

START_TEST(chosen_images_are_those_of_the_model)
{
  SAME_IN_IMAGE(.op = "Max", .opset = 13, .in = {LIVE("3,3,3,3", NULL), CONST("3,1,1", V(20, 50, 30)), CONST("3", V(40, 10, 60))});
  SAME_IN_IMAGE(.op = "Sum", .opset = 13, .in = {LIVE("3,3,3,3", NULL), CONST("3,1,1", NULL), CONST("3", NULL)});
}
END_TEST

/* ---- element-wise forms ---- */

static void becomes(const node_case *c, const char *layer, const double *want)
{
  node_run r;
  lrp_ck_ok(ctx, node_run_open(&r, ctx, c));
  ck_assert_str_eq(node_run_layer(&r), layer);
  for (int64_t i = 0; i < lrp_count(node_run_output(&r, 0)); i++)
    ck_assert_msg(fabs((double)lrp_reals(node_run_output(&r, 0))[i] - want[i]) < 1e-5, "%s: element %lld", c->op, (long long)i);
  node_run_close(&r);
}
#define BECOMES(LAYER, WANT, ...) becomes(&(const node_case){__VA_ARGS__}, LAYER, WANT)

START_TEST(a_constant_operand_makes_an_affine_layer_in_either_place)
{
  BECOMES("affine", V(11, 22), .op = "Add", .opset = 7, .in = {LIVE("2", NULL), CONST("2", V(10, 20))});
  BECOMES("affine", V(11, 22), .op = "Add", .opset = 7, .in = {CONST("2", V(10, 20)), LIVE("2", NULL)});
  BECOMES("affine", V(-9, -18), .op = "Sub", .opset = 13, .in = {LIVE("2", NULL), CONST("2", V(10, 20))});
  BECOMES("affine", V(9, 18), .op = "Sub", .opset = 13, .in = {CONST("2", V(10, 20)), LIVE("2", NULL)});
  BECOMES("affine", V(3, 6), .op = "Mul", .opset = 14, .in = {CONST("", V(3)), LIVE("2", NULL)});
  BECOMES("affine", V(0.5, 1), .op = "Div", .opset = 14, .in = {LIVE("2", NULL), CONST("1", V(2))});
}
END_TEST

START_TEST(what_is_not_affine_stays_with_the_live_layers)
{
  BECOMES("div", V(6, 3), .op = "Div", .opset = 14, .in = {CONST("", V(6)), LIVE("2", NULL)});
  BECOMES("add", V(11, 21, 12, 22), .op = "Add", .opset = 14, .in = {LIVE("2,1", NULL), CONST("2", V(10, 20))});
  BECOMES("mul", V(10, 20, 20, 40), .op = "Mul", .opset = 14, .in = {LIVE("2,1", NULL), CONST("2", V(10, 20))});
  REFUSED(LRP_E_INPUT, "has a zero in it", .op = "Div", .opset = 14, .in = {LIVE("2", NULL), CONST("2", V(1, 0))});
}
END_TEST

START_TEST(clip_has_bounds_as_attributes_inputs_or_not_at_all)
{
  const double *x = V(-5, 0.5, 8);
  GIVES("(3)", V(-1, 0.5, 2), .op = "Clip", .opset = 6, .attr = "min=-1.0 max=2.0", .in = {LIVE("3", x)});
  GIVES("(3)", V(-5, 0.5, 2), .op = "Clip", .opset = 9, .attr = "max=2.0", .in = {LIVE("3", x)});
  GIVES("(3)", V(-1, 0.5, 2), .op = "Clip", .opset = 11, .in = {LIVE("3", x), CONST("", V(-1)), CONST("", V(2))});
  GIVES("(3)", V(-5, 0.5, 2), .op = "Clip", .opset = 13, .in = {LIVE("3", x), ABSENT, CONST("", V(2))});
  GIVES("(3)", x, .op = "Clip", .opset = 13, .in = {LIVE("3", x)});
  REFUSED(LRP_E_UNSUPPORTED, "Clip", .op = "Clip", .opset = 13, .in = {LIVE("3", x), LIVE("", NULL)});
}
END_TEST

START_TEST(pow_takes_one_exponent_or_an_array)
{
  GIVES("(3)", V(4, 1, 9), .op = "Pow", .opset = 13, .in = {LIVE("3", V(-2, 1, 3)), CONST("", V(2))});
  GIVES("(3)", V(-8, 1, 27), .op = "Pow", .opset = 13, .in = {LIVE("3", V(-2, 1, 3)), INTS("1", V(3))});
  GIVES("(2)", V(1, 4), .op = "Pow", .opset = 13, .in = {LIVE("2", NULL), CONST("2", NULL)});
}
END_TEST

START_TEST(dropout_is_the_identity_and_its_mask_is_ones)
{
  node_run r;
  const node_case c = {.op = "Dropout", .opset = 7, .attr = "ratio=0.5", .in = {LIVE("2", NULL)}, .n_out = 2};
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &c));
  same("y", node_run_output(&r, 0), "(2)", V(1, 2));
  same("mask", node_run_output(&r, 1), "(2)", V(1, 1));
  node_run_close(&r);
  GIVES("(2)", V(1, 2), .op = "Dropout", .opset = 13, .in = {LIVE("2", NULL), CONST("", V(0.5)), INTS("", V(0))});
  REFUSED(LRP_E_UNSUPPORTED, "training mode", .op = "Dropout", .opset = 13,
          .in = {LIVE("2", NULL), CONST("", V(0.5)), INTS("", V(1))});
}
END_TEST

START_TEST(max_gives_relevance_to_the_first_of_equal_operands)
{
  node_run r;
  const node_case c = {.op = "Max", .opset = 13, .in = {LIVE("3", V(1, 5, 7)), CONST("3", V(2, 5, 6))}};
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &c));
  same("y", node_run_output(&r, 0), "(3)", V(2, 5, 7));
  same("relevance", node_run_relevance(&r, 1), "(3)", V(0, 1, 1));
  node_run_close(&r);
}
END_TEST

START_TEST(where_routes_relevance_by_the_condition)
{
  node_run r;
  const node_case c = {.op = "Where", .opset = 9,
                       .in = {INTS("2,1", V(1, 0)), LIVE("1,2", NULL), CONST("", V(-9))}};
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &c));
  same("y", node_run_output(&r, 0), "(2,2)", V(1, 2, -9, -9));
  same("relevance", node_run_relevance(&r, 1), "(1,2)", V(1, 1));
  node_run_close(&r);
}
END_TEST

/* ---- arithmetic on shapes is done when the model is read ---- */

START_TEST(integers_are_computed_as_onnx_says)
{
#define INTEGER(WANT, OP, ATTR, A, B)                                                                         \
  GIVES("(3)", WANT, .op = OP, .opset = 13, .attr = ATTR, .to_real = true, .in = {INTS("3", A), INTS("1", B)})
  INTEGER(V(-2, 2, 3), "Div", NULL, V(-7, 7, 9), V(3));
  INTEGER(V(2, 1, 0), "Mod", NULL, V(-7, 7, 9), V(3));
  INTEGER(V(-1, 1, 0), "Mod", "fmod=1", V(-7, 7, 9), V(3));
  INTEGER(V(-21, 21, 27), "Mul", NULL, V(-7, 7, 9), V(3));
  INTEGER(V(0, 1, 0), "Equal", NULL, V(2, 3, 4), V(3));
  INTEGER(V(3, 3, 4), "Max", NULL, V(2, 3, 4), V(3));
  GIVES("(3)", V(-1, 0, 1), .op = "Sign", .opset = 13, .to_real = true, .in = {INTS("3", V(-7, 0, 9))});
  REFUSED(LRP_E_INPUT, "divided by 0", .op = "Div", .opset = 13, .to_real = true, .in = {INTS("1", V(1)), INTS("", V(0))});
}
END_TEST

START_TEST(range_and_constant_of_shape_make_constants)
{
  GIVES("(3)", V(3, 1, -1), .op = "Range", .opset = 11, .to_real = true,
        .in = {INTS("", V(3)), INTS("", V(-2)), INTS("", V(-2))});
  GIVES("(2,2)", V(0, 0, 0, 0), .op = "ConstantOfShape", .opset = 9, .in = {INTS("2", V(2, 2))});
  REFUSED(LRP_E_INPUT, "delta is 0", .op = "Range", .opset = 11, .to_real = true,
          .in = {INTS("", V(3)), INTS("", V(4)), INTS("", V(0))});
}
END_TEST

START_TEST(shape_gives_the_models_order_for_images)
{
  GIVES("(4)", V(2, 3, 4, 5), .op = "Shape", .opset = 13, .to_real = true, .image = true, .in = {LIVE("2,3,4,5", NULL)});
  GIVES("(2)", V(4, 5), .op = "Shape", .opset = 15, .attr = "start=-2", .to_real = true, .in = {LIVE("2,3,4,5", NULL)});
}
END_TEST

START_TEST(cast_cuts_towards_zero)
{
  GIVES("(3)", V(-1, 1, 2), .op = "Cast", .opset = 13, .attr = "to=7", .to_real = true, .in = {LIVE("3", V(-1.7, 1.7, 2))});
  GIVES("(3)", V(1, 0, 1), .op = "Cast", .opset = 13, .attr = "to=9", .to_real = true, .in = {LIVE("3", V(-1.7, 0, 2))});
  REFUSED(LRP_E_UNSUPPORTED, "element type 8", .op = "Cast", .opset = 13, .attr = "to=8", .in = {LIVE("3", NULL)});
}
END_TEST

Suite *suite_shapes(void);
Suite *suite_shapes(void)
{
  Suite *s = suite_create("shapes");
  TCase *tc = tcase_create("forms");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, slice_walks_backwards_with_negative_step);
  tcase_add_test(tc, slice_cuts_off_at_the_ends);
  tcase_add_test(tc, slice_before_opset_10_has_attributes);
  tcase_add_test(tc, slice_refuses_step_0_axes_out_of_range_and_live_starts);
  tcase_add_test(tc, reshape_copies_0_and_infers_minus_1);
  tcase_add_test(tc, reshape_takes_0_literally_with_allowzero);
  tcase_add_test(tc, reshape_refuses_what_does_not_fit);
  tcase_add_test(tc, flatten_counts_axes_from_both_ends);
  tcase_add_test(tc, squeeze_and_unsqueeze_have_axes_as_attribute_or_input);
  tcase_add_test(tc, expand_broadcasts_both_ways_and_sums_relevance);
  tcase_add_test(tc, transpose_without_perm_reverses);
  tcase_add_test(tc, concat_takes_negative_axes_and_constants);
  tcase_add_test(tc, split_has_sizes_as_attribute_input_or_number);
  tcase_add_test(tc, gather_scalar_index_drops_the_axis);
  tcase_add_test(tc, gather_adds_relevance_of_repeated_indices);
  tcase_add_test(tc, pad_forms_agree);
  tcase_add_test(tc, pad_modes_and_negative_margins);
  tcase_add_test(tc, reductions_have_axes_as_attribute_or_input);
  tcase_add_test(tc, empty_axes_reduce_all_or_nothing);
  tcase_add_test(tc, reduce_max_gives_all_to_the_first_of_equal_maxima);
  tcase_add_loop_test(tc, reductions_of_images_keep_the_models_order, 0, 6);
  tcase_add_test(tc, pieces_of_images_are_those_of_the_model);
  tcase_add_loop_test(tc, constants_beside_images_broadcast_as_in_the_model, 0, 5);
  tcase_add_test(tc, chosen_images_are_those_of_the_model);
  tcase_add_test(tc, a_constant_operand_makes_an_affine_layer_in_either_place);
  tcase_add_test(tc, what_is_not_affine_stays_with_the_live_layers);
  tcase_add_test(tc, clip_has_bounds_as_attributes_inputs_or_not_at_all);
  tcase_add_test(tc, pow_takes_one_exponent_or_an_array);
  tcase_add_test(tc, dropout_is_the_identity_and_its_mask_is_ones);
  tcase_add_test(tc, max_gives_relevance_to_the_first_of_equal_operands);
  tcase_add_test(tc, where_routes_relevance_by_the_condition);
  tcase_add_test(tc, integers_are_computed_as_onnx_says);
  tcase_add_test(tc, range_and_constant_of_shape_make_constants);
  tcase_add_test(tc, shape_gives_the_models_order_for_images);
  tcase_add_test(tc, cast_cuts_towards_zero);
  suite_add_tcase(s, tc);
  return s;
}
