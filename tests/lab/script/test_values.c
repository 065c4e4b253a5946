/* test_values.c - values as axes, as draws and in hashes: what differs reads differently and hashes
 * differently, what a machine may round otherwise does not show. */
#include "reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                       \
    "local function main(more)\n"                                                                  \
    "  local of = { name = 'e', dataset = dataset.toy {}, model = model.toy_encoder {}, seed = 1 " \
    "}\n"                                                                                          \
    "  for k, v in pairs(more) do of[k] = v end\n"                                                 \
    "  return experiment(of)\n"                                                                    \
    "end\n"

/* The plan of a text that has one. */
static plan *plan_of(const char *text, const char *device)
{
    assay_error error = {0};
    char line[2048];
    plan *made = read_plan(text, &(reading){.device = device}, &error);
    if (made == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return made;
}

/* Schedules made by one line of a loop are as many alternatives. */
static void test_functions_of_one_line(void **state)
{
    (void)state;
    expect_table(HEAD
                 "local masks = {}\n"
                 "for k = 1, 3 do\n"
                 "  masks[k] = mask.toy_ramp { weight = function(s, n) return s / n / k end }\n"
                 "end\n"
                 "return main { mask = any(masks) }",
                 NULL,
                 "0 main mask=toy_ramp{weight=function:8} seed=1\n"
                 "1 main mask=toy_ramp{weight=function:8}#2 seed=1\n"
                 "2 main mask=toy_ramp{weight=function:8}#3 seed=1\n");
}

#define DRAWN                                                                                      \
    "mask = mask.toy_ramp { gain = log_uniform(0.001, 1000), to = uniform(0.3, 0.4),\n"            \
    "  clock = choice { 'steps', 'micro' } } }"

static void test_draws(void **state)
{
    (void)state;
    plan *few = plan_of(HEAD "return main { trials = 5, " DRAWN, NULL);
    plan *many = plan_of(HEAD "return main { trials = 40, " DRAWN, NULL);
    int micro = 0;
    assert_int_equal(few->run_count, 5);
    assert_int_equal(many->run_count, 40);
    for (int i = 0; i < many->run_count; i++) {
        const plan_axis *axes = many->runs[i].axes;
        assert_int_equal(many->runs[i].axis_count, 3);
        assert_string_equal(axes[0].name, "mask.clock");
        micro += strcmp(axes[0].value, "micro") == 0;
        for (int k = 1; k < 3; k++) {
            char six[32];
            snprintf(six, sizeof six, "%.6g", axes[k].number);
            assert_true(axes[k].is_number && strtod(six, NULL) == axes[k].number);
        }
        assert_true(axes[1].number >= 0.001 && axes[1].number <= 1000);
        assert_true(axes[2].number >= 0.3 && axes[2].number <= 0.4);
    }
    assert_in_range(micro, 8, 32);
    for (int i = 0; i < few->run_count; i++)
        assert_string_equal(few->runs[i].run_hash, many->runs[i].run_hash);
    plan_free(few);
    plan_free(many);
}

/* A text cannot pass for the lines that would follow it. */
static void test_texts_are_no_lines(void **state)
{
    (void)state;
    plan *two = plan_of(HEAD "return main { loss = { loss.toy_broken { output = 'a' },\n"
                             "  loss.toy_next {} } }",
                        NULL);
    plan *one = plan_of(HEAD "return main { loss = { loss.toy_broken { output =\n"
                             "  'a\\nloss toy_next 1\\nweight=1\\nlearned=false' } } }",
                        NULL);
    assert_string_not_equal(two->runs[0].run_hash, one->runs[0].run_hash);
    plan_free(one);
    plan_free(two);
}

/* The kind of device is part of a run's identity, its number is not. */
static void test_devices(void **state)
{
    (void)state;
    const char *text = HEAD "return main {}";
    plan *cpu = plan_of(text, "cpu"), *first = plan_of(text, "cuda:0");
    plan *second = plan_of(text, "cuda:1");
    assert_string_not_equal(cpu->runs[0].run_hash, first->runs[0].run_hash);
    assert_string_equal(first->runs[0].run_hash, second->runs[0].run_hash);
    plan_free(cpu);
    plan_free(first);
    plan_free(second);
}

/* A schedule that waits for a score holds one value, which whoever reads it may replace. */
static void test_score_as_schedule(void **state)
{
    (void)state;
    plan *made =
        plan_of(HEAD "local a = run { name = 'a', dataset = dataset.toy {},\n"
                     "  model = model.toy_encoder {} }\n"
                     "return main { mask = mask.toy_ramp { weight = a:score('toy/auc') } }",
                NULL);
    assert_int_equal(made->run_count, 2);
    const setting *weight = settings_get(&made->runs[1].recipe.mask, "weight");
    assert_int_equal(weight->score_run, 0);
    assert_int_equal(weight->count, 1);
    assert_true(weight->numbers[0] == 1);
    assert_true(made->runs[1].inputs[0].is_score);
    plan_free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_of_one_line), cmocka_unit_test(test_draws),
        cmocka_unit_test(test_texts_are_no_lines),    cmocka_unit_test(test_devices),
        cmocka_unit_test(test_score_as_schedule),
    };
    return cmocka_run_group_tests_name("script values", tests, NULL, NULL);
}
