/* test_stages.c - runs that feed runs: whose seeds they take, whom they belong to, in which
 * order they stand, and how their axes reach the experiment's table. */
#include "reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PARTS                                                                                      \
    "local data, net = dataset.toy {}, model.toy_encoder {}\n"                                     \
    "local function stage(name, more)\n"                                                           \
    "  local of = { name = name, dataset = data, model = net, train = { steps = 10 } }\n"          \
    "  for k, v in pairs(more or {}) do of[k] = v end\n"                                           \
    "  return run(of)\n"                                                                           \
    "end\n"                                                                                        \
    "local function main(more)\n"                                                                  \
    "  local of = { name = 'e', dataset = data, model = net, seed = seeds(2),\n"                   \
    "               train = { steps = 20 } }\n"                                                    \
    "  for k, v in pairs(more) do of[k] = v end\n"                                                 \
    "  return experiment(of)\n"                                                                    \
    "end\n"

typedef struct case_of {
    const char *rule, *text, *expected;
} case_of;

static const case_of cases[] = {
    {"a stage without seed takes its consumer's", PARTS "return main { init = stage('a') }",
     "0 a - seed=1\n1 a - seed=2\n2 main - seed=1 init<-0\n3 main - seed=2 init<-1\n"},
    {"a stage with one seed is shared", PARTS "return main { init = stage('a', { seed = 7 }) }",
     "0 a - seed=7\n1 main - seed=1 init<-0\n2 main - seed=2 init<-0\n"},
    {"equal seeds pair", PARTS "return main { init = stage('a', { seed = seeds(2) }) }",
     "0 a - seed=1\n1 a - seed=2\n2 main - seed=1 init<-0\n3 main - seed=2 init<-1\n"},
    {"other seeds do not", PARTS "return main { init = stage('a', { seed = seeds(3) }) }",
     "the seeds of stage 'a' are not its consumer's (sweep.lua:13); expected the same seeds, one "
     "seed, "
     "or none, got 3 of its own against 2\n"},
    {"seeds pair with the consumer, not with the experiment",
     PARTS "local a = stage('a', { seed = seeds(2) })\n"
           "return main { init = stage('b', { seed = 1, init = a }) }",
     "the seeds of stage 'a' are not its consumer's (sweep.lua:13); expected the same seeds, one "
     "seed, "
     "or none, got 2 of its own against 1\n"},
    {"a stage of a shared stage is shared",
     PARTS "return main { init = stage('b', { seed = 9, init = stage('a') }) }",
     "0 a - seed=9\n1 b - seed=9 init<-0\n2 main - seed=1 init<-1\n3 main - seed=2 init<-1\n"},
    {"a stage's axes multiply, named by the stage",
     PARTS
     "return main { seed = 1, init = stage('a', { mask = mask.toy_ramp { gain = any { 1, 2 } } "
     "}) }",
     "0 a a.mask.gain=1 seed=1\n1 a a.mask.gain=2 seed=1\n"
     "2 main a.mask.gain=1 seed=1 init<-0\n3 main a.mask.gain=2 seed=1 init<-1\n"},
    {"an axis of a stage and of the experiment is one",
     PARTS "local g = any { 1, 2 }\n"
           "return main { seed = 1, mask = mask.toy_ramp { gain = g },\n"
           "  init = stage('a', { mask = mask.toy_ramp { gain = g } }) }",
     "0 a mask.gain=1 seed=1\n1 a mask.gain=2 seed=1\n"
     "2 main mask.gain=1 seed=1 init<-0\n3 main mask.gain=2 seed=1 init<-1\n"},
    {"two stages that are equal are one run, of the later",
     PARTS "local a, b = stage('a'), stage('b')\n"
           "return main { seed = 1, init = any { b, a } }",
     "0 b - seed=1\n1 main init=b seed=1 init<-0\n"},
    {"a run of the experiment that a stage feeds on stands before it",
     PARTS "local a = stage('a', { train = { steps = 20 } })\n"
           "local b = stage('b', { init = a })\n"
           "return main { seed = 1, init = any { none, b } }",
     "0 main init=none seed=1\n1 b - seed=1 init<-0\n2 main init=b seed=1 init<-1\n"},
    {"a score is an input, and no weights",
     PARTS "local a = stage('a')\n"
           "return main { seed = 1, mask = mask.toy_ramp { gain = a:score('toy/auc') } }",
     "0 a - seed=1\n1 main - seed=1 mask.gain<-0\n"},
    {"how many steps there are is no score",
     PARTS "local a = stage('a')\nreturn main { train = { steps = a:score('toy/auc') } }",
     "train.steps cannot be a score (sweep.lua:14); expected a number that is known when the plan "
     "is "
     "made\n"},
    {"stages drawn by choice are walked like others",
     PARTS
     "return main { seed = 1, trials = 3, init = choice { stage('a'), stage('b', { seed = 5 }) "
     "} }",
     NULL},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("# %s\n", cases[i].rule);
        if (cases[i].expected != NULL)
            expect_table(cases[i].text, NULL, cases[i].expected);
    }
}

/* A stage that --set reaches although a draw decides whether it is used. */
static void test_set_in_drawn_stage(void **state)
{
    (void)state;
    reading how = {.set_count = 1, .sets = {{"b.train.steps", "11"}}};
    assay_error error = {0};
    plan *made = read_plan(cases[sizeof cases / sizeof *cases - 1].text, &how, &error);
    assert_non_null(made);
    for (int i = 0; i < made->run_count; i++)
        if (strcmp(made->runs[i].stage, "b") == 0)
            assert_true(settings_get(&made->runs[i].recipe.train, "steps")->number == 11);
    plan_free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_set_in_drawn_stage),
    };
    return cmocka_run_group_tests_name("script stages", tests, NULL, NULL);
}
