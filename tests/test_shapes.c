/* test_shapes.c - the forms of ONNX operators that move numbers, opset by opset: each case is a model of one node,
 * imported and run.  Numbers are worked out by hand from the ONNX operator pages. */
#include "node_facts.h"
#include "test.h"
#include <stdio.h>

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
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, &c));
  node_same("expand", node_run_output(&r, 0), "(2,3,4)",
       V(1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
  node_same("relevance", node_run_relevance(&r, 0.5), "(3,1)", V(4, 4, 4));
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
    lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, &forms[i]));
    node_same("piece 0", node_run_output(&r, 0), "(2,2)", V(1, 2, 4, 5));
    node_same("piece 1", node_run_output(&r, 1), "(2,1)", V(3, 6));
    node_same("relevance", node_run_relevance(&r, 1), "(2,3)", V(1, 1, 0, 1, 1, 0));
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
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, &c));
  node_same("relevance", node_run_relevance(&r, 1), "(3,2)", V(1, 1, 0, 0, 2, 2));
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
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, &c));
  node_same("relevance", node_run_relevance(&r, 1), "(2,3)", V(0, 1, 0, 1, 0, 0));
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

Suite *suite_shapes(void);
Suite *suite_shapes(void)
{
  Suite *s = suite_create("shapes");
  TCase *tc = tcase_create("forms");
  tcase_add_checked_fixture(tc, node_setup, node_teardown);
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
  suite_add_tcase(s, tc);
  return s;
}
