/* test_abi.c - the layout of every public record of plugin.h, compared with abi.txt: what is
 * released never moves.
 *
 * A field that is appended gets a line here and in abi.txt, in the commit that raises
 * LRP_ABI_MINOR.  The text that this build would have is written to abi.txt in the runner's scratch
 * folder before it is compared. */
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct record {
  const char *type, *field; /* field NULL: the type itself */
  size_t offset, size;
} record;
#define TYPE(type)         {#type, NULL, 0, sizeof(type)},
#define FIELD(type, field) {#type, #field, offsetof(type, field), sizeof(((type *)0)->field)},

/* clang-format off */
static const record list[] = {
  TYPE(lrp_tensor)
  FIELD(lrp_tensor, data)
  FIELD(lrp_tensor, dtype)
  FIELD(lrp_tensor, rank)
  FIELD(lrp_tensor, shape)
  FIELD(lrp_tensor, flags)
  FIELD(lrp_tensor, pad)
  FIELD(lrp_tensor, host)
  TYPE(lrp_arg)
  FIELD(lrp_arg, name)
  FIELD(lrp_arg, type)
  FIELD(lrp_arg, flags)
  FIELD(lrp_arg, def)
  FIELD(lrp_arg, min)
  FIELD(lrp_arg, max)
  FIELD(lrp_arg, choices)
  FIELD(lrp_arg, doc)
  FIELD(lrp_arg, reserved)
  TYPE(lrp_value)
  FIELD(lrp_value, real)
  FIELD(lrp_value, i)
  FIELD(lrp_value, reals)
  FIELD(lrp_value, reals.v)
  FIELD(lrp_value, reals.n)
  FIELD(lrp_value, ints)
  FIELD(lrp_value, ints.v)
  FIELD(lrp_value, ints.n)
  TYPE(lrp_port)
  FIELD(lrp_port, name)
  FIELD(lrp_port, role)
  FIELD(lrp_port, dtype)
  FIELD(lrp_port, flags)
  FIELD(lrp_port, pad)
  FIELD(lrp_port, reserved)
  TYPE(lrp_operator)
  FIELD(lrp_operator, domain)
  FIELD(lrp_operator, name)
  FIELD(lrp_operator, since)
  FIELD(lrp_operator, until)
  FIELD(lrp_operator, inputs)
  FIELD(lrp_operator, args)
  FIELD(lrp_operator, expand)
  TYPE(lrp_window)
  FIELD(lrp_window, struct_size)
  FIELD(lrp_window, pad)
  FIELD(lrp_window, first)
  FIELD(lrp_window, width)
  FIELD(lrp_window, n)
  FIELD(lrp_window, at)
  FIELD(lrp_window, in)
  TYPE(lrp_pattern)
  FIELD(lrp_pattern, form)
  FIELD(lrp_pattern, args)
  FIELD(lrp_pattern, name)
  TYPE(lrp_call)
  FIELD(lrp_call, struct_size)
  FIELD(lrp_call, freeze)
  FIELD(lrp_call, n_in)
  FIELD(lrp_call, n_param)
  FIELD(lrp_call, n_out)
  FIELD(lrp_call, n_saved)
  FIELD(lrp_call, in)
  FIELD(lrp_call, param)
  FIELD(lrp_call, out)
  FIELD(lrp_call, saved)
  TYPE(lrp_site)
  FIELD(lrp_site, struct_size)
  FIELD(lrp_site, degree)
  FIELD(lrp_site, type)
  FIELD(lrp_site, inst)
  FIELD(lrp_site, call)
  FIELD(lrp_site, r_out)
  FIELD(lrp_site, r_in)
  FIELD(lrp_site, rule)
  FIELD(lrp_site, rule_args)
  FIELD(lrp_site, host)
  TYPE(lrp_layer_type)
  FIELD(lrp_layer_type, struct_size)
  FIELD(lrp_layer_type, kind)
  FIELD(lrp_layer_type, layout)
  FIELD(lrp_layer_type, n_saved)
  FIELD(lrp_layer_type, name)
  FIELD(lrp_layer_type, doc)
  FIELD(lrp_layer_type, args)
  FIELD(lrp_layer_type, in)
  FIELD(lrp_layer_type, param)
  FIELD(lrp_layer_type, out)
  FIELD(lrp_layer_type, freezable)
  FIELD(lrp_layer_type, operators)
  FIELD(lrp_layer_type, create)
  FIELD(lrp_layer_type, destroy)
  FIELD(lrp_layer_type, infer)
  FIELD(lrp_layer_type, forward)
  FIELD(lrp_layer_type, vjp)
  FIELD(lrp_layer_type, degree)
  FIELD(lrp_layer_type, jvp)
  FIELD(lrp_layer_type, relprop)
  FIELD(lrp_layer_type, affine)
  FIELD(lrp_layer_type, fold)
  FIELD(lrp_layer_type, route)
  FIELD(lrp_layer_type, patterns)
  FIELD(lrp_layer_type, writes)
  FIELD(lrp_layer_type, pad)
  FIELD(lrp_layer_type, absorb)
  FIELD(lrp_layer_type, windows)
  FIELD(lrp_layer_type, rows)
  TYPE(lrp_pass)
  FIELD(lrp_pass, in)
  FIELD(lrp_pass, group)
  FIELD(lrp_pass, w_part)
  FIELD(lrp_pass, b_part)
  FIELD(lrp_pass, w_a)
  FIELD(lrp_pass, w_b)
  FIELD(lrp_pass, b_a)
  FIELD(lrp_pass, b_b)
  FIELD(lrp_pass, den)
  FIELD(lrp_pass, red)
  TYPE(lrp_group)
  FIELD(lrp_group, gate)
  FIELD(lrp_group, pad)
  FIELD(lrp_group, coef)
  TYPE(lrp_table)
  FIELD(lrp_table, struct_size)
  FIELD(lrp_table, n_pass)
  FIELD(lrp_table, n_group)
  FIELD(lrp_table, stab)
  FIELD(lrp_table, eps)
  FIELD(lrp_table, norm_scale)
  FIELD(lrp_table, pad)
  FIELD(lrp_table, low)
  FIELD(lrp_table, high)
  FIELD(lrp_table, n_low)
  FIELD(lrp_table, n_high)
  FIELD(lrp_table, pass)
  FIELD(lrp_table, group)
  TYPE(lrp_rule)
  FIELD(lrp_rule, struct_size)
  FIELD(lrp_rule, kinds)
  FIELD(lrp_rule, name)
  FIELD(lrp_rule, doc)
  FIELD(lrp_rule, cite)
  FIELD(lrp_rule, formula)
  FIELD(lrp_rule, args)
  FIELD(lrp_rule, check)
  FIELD(lrp_rule, table)
  FIELD(lrp_rule, relprop)
  FIELD(lrp_rule, note)
  FIELD(lrp_rule, unchanged)
  FIELD(lrp_rule, pad)
  FIELD(lrp_rule, filter)
  TYPE(lrp_conv)
  FIELD(lrp_conv, struct_size)
  FIELD(lrp_conv, n_spatial)
  FIELD(lrp_conv, stride)
  FIELD(lrp_conv, dilation)
  FIELD(lrp_conv, pad_lo)
  FIELD(lrp_conv, pad_hi)
  FIELD(lrp_conv, group)
  TYPE(lrp_host)
  FIELD(lrp_host, struct_size)
  FIELD(lrp_host, abi_major)
  FIELD(lrp_host, abi_minor)
  FIELD(lrp_host, pad)
  FIELD(lrp_host, version)
  FIELD(lrp_host, fail)
  FIELD(lrp_host, scratch)
  FIELD(lrp_host, forward)
  FIELD(lrp_host, vjp)
  FIELD(lrp_host, params)
  FIELD(lrp_host, relprop)
  FIELD(lrp_host, divide)
  FIELD(lrp_host, layer)
  FIELD(lrp_host, rule)
  FIELD(lrp_host, node_name)
  FIELD(lrp_host, node_opset)
  FIELD(lrp_host, node_n_in)
  FIELD(lrp_host, node_n_out)
  FIELD(lrp_host, node_has)
  FIELD(lrp_host, node_int)
  FIELD(lrp_host, node_real)
  FIELD(lrp_host, node_text)
  FIELD(lrp_host, node_ints)
  FIELD(lrp_host, node_reals)
  FIELD(lrp_host, node_tensor)
  FIELD(lrp_host, node_const)
  FIELD(lrp_host, node_rank)
  FIELD(lrp_host, keep_ints)
  FIELD(lrp_host, keep_reals)
  FIELD(lrp_host, matmul)
  FIELD(lrp_host, conv)
  FIELD(lrp_host, conv_vjp)
  FIELD(lrp_host, tap)
  FIELD(lrp_host, node_word)
  FIELD(lrp_host, transposed)
  FIELD(lrp_host, node_type)
  FIELD(lrp_host, raw)
  FIELD(lrp_host, count)
  TYPE(lrp_plugin)
  FIELD(lrp_plugin, magic)
  FIELD(lrp_plugin, abi_major)
  FIELD(lrp_plugin, abi_minor)
  FIELD(lrp_plugin, struct_size)
  FIELD(lrp_plugin, needs_minor)
  FIELD(lrp_plugin, guard)
  FIELD(lrp_plugin, name)
  FIELD(lrp_plugin, version)
  FIELD(lrp_plugin, license)
  FIELD(lrp_plugin, doc)
  FIELD(lrp_plugin, layers)
  FIELD(lrp_plugin, rules)
  FIELD(lrp_plugin, start)
};
/* clang-format on */
enum { N = sizeof list / sizeof *list, LINE = 120 };

static void line_of(const record *r, char line[LINE])
{
  snprintf(line, LINE, "%s%s%s %zu %zu\n", r->type, r->field ? "." : "", r->field ? r->field : "",
           r->offset, r->size);
}

START_TEST(layout_is_that_of_the_released_abi)
{
  char line[LINE], want[LINE];
  if (sizeof(void *) != 8)
    return; /* abi.txt is for 64-bit systems; the next test holds everywhere */
  FILE *f = fopen(lrp_test_tmp("abi.txt"), "w");
  ck_assert_ptr_nonnull(f);
  for (size_t i = 0; i < N; i++) {
    line_of(&list[i], line);
    fputs(line, f);
  }
  ck_assert_int_eq(fclose(f), 0);
  f = fopen(lrp_test_path("abi.txt"), "r");
  ck_assert_msg(f != NULL, "%s is missing", lrp_test_path("abi.txt"));
  for (size_t i = 0; i < N; i++) {
    line_of(&list[i], line);
    ck_assert_msg(fgets(want, sizeof want, f) != NULL, "abi.txt has no line for %s", line);
    ck_assert_msg(strcmp(line, want) == 0, "abi.txt says %s, this build has %s", want, line);
  }
  ck_assert_msg(fgets(want, sizeof want, f) == NULL, "this build has no %s", want);
  fclose(f);
}
END_TEST

START_TEST(no_field_is_missing_from_the_list)
{
  size_t end = 0;
  const record *type = NULL;
  for (size_t i = 0; i <= N; i++) {
    const record *r = i < N ? &list[i] : NULL;
    if (!r || !r->field) { /* the last field ends where the type does, but for padding */
      if (type)
        ck_assert_msg(type->size - end < 8, "%s: %zu bytes at its end are no field", type->type,
                      type->size - end);
      type = r;
      end = 0;
      continue;
    }
    if (strchr(r->field, '.')) continue;   /* inside of a union's member */
    if (strcmp(r->type, "lrp_value") != 0) /* a union: all start at 0 */
      ck_assert_msg(r->offset >= end && r->offset - end < 8, "%s: %zu bytes before %s are no field",
                    r->type, r->offset - end, r->field);
    if (end < r->offset + r->size) end = r->offset + r->size;
  }
}
END_TEST

START_TEST(guard_tells_the_builds_apart)
{
  ck_assert_uint_eq(LRP_ABI_GUARD % 16, sizeof(lrp_real));
  ck_assert_uint_eq(LRP_ABI_GUARD % 256 / 16, sizeof(void *));
  ck_assert_uint_eq(LRP_ABI_GUARD / 256, sizeof(lrp_tensor));
}
END_TEST

Suite *suite_abi(void);
Suite *suite_abi(void)
{
  Suite *s = suite_create("abi");
  TCase *t = tcase_create("abi");
  tcase_add_test(t, layout_is_that_of_the_released_abi);
  tcase_add_test(t, no_field_is_missing_from_the_list);
  tcase_add_test(t, guard_tells_the_builds_apart);
  suite_add_tcase(s, t);
  return s;
}
