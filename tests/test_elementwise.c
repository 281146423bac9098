/* test_elementwise.c - the forms of ONNX operators that work number by number, on live tensors and on the integers of
 * shapes: each case is a model of one node.  Numbers are worked out by hand from the ONNX operator pages. */
#include "node_facts.h"
#include "test.h"

/* ---- element-wise forms ---- */

static void becomes(const node_case *c, const char *layer, const double *want)
{
  node_run r;
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, c));
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
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, &c));
  node_same("y", node_run_output(&r, 0), "(2)", V(1, 2));
  node_same("mask", node_run_output(&r, 1), "(2)", V(1, 1));
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
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, &c));
  node_same("y", node_run_output(&r, 0), "(3)", V(2, 5, 7));
  node_same("relevance", node_run_relevance(&r, 1), "(3)", V(0, 1, 1));
  node_run_close(&r);
}
END_TEST

START_TEST(where_routes_relevance_by_the_condition)
{
  node_run r;
  const node_case c = {.op = "Where", .opset = 9,
                       .in = {INTS("2,1", V(1, 0)), LIVE("1,2", NULL), CONST("", V(-9))}};
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, &c));
  node_same("y", node_run_output(&r, 0), "(2,2)", V(1, 2, -9, -9));
  node_same("relevance", node_run_relevance(&r, 1), "(1,2)", V(1, 1));
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

Suite *suite_elementwise(void);
Suite *suite_elementwise(void)
{
  Suite *s = suite_create("elementwise");
  TCase *tc = tcase_create("forms");
  tcase_add_checked_fixture(tc, node_setup, node_teardown);
  tcase_set_timeout(tc, 60);
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
