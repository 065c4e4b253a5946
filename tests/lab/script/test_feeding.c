/* test_feeding.c - runs that feed runs, and places that --set changes, with the table of runs
 * that each rule gives; and where params come from. */
#include "place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ONE EXPERIMENT "seed = 1, "
#define STAGE(name, rest)                                                                          \
    "run { name = '" name                                                                          \
    "', dataset = dataset.files { path = 'data' }, model = model.coder {}, " rest " }\n"

static void stages_feed_runs(void **state)
{
    (void)state;
#define PRETRAIN STAGE("pre", "mask = mask.slope { warmup = any { 0.1, 0.3 } }")
    static const place_rule rules[] = {
        {"a stage's axes multiply into its consumers, named STAGE.path",
         "local pre = " PRETRAIN ONE "init = pre, mask = any { none, mask.still {} } }",
         {NULL},
         "pre | pre.mask.warmup=0.1 | 1 | -\n"
         "pre | pre.mask.warmup=0.3 | 1 | -\n"
         "main | mask=none pre.mask.warmup=0.1 | 1 | init=0\n"
         "main | mask=none pre.mask.warmup=0.3 | 1 | init=1\n"
         "main | mask=still pre.mask.warmup=0.1 | 1 | init=0\n"
         "main | mask=still pre.mask.warmup=0.3 | 1 | init=1\n"},
        {"an axis that stands outside too has its name from there",
         "local w = any { 0.1, 0.3 }\nlocal pre = " STAGE("pre", "mask = mask.slope { warmup = w }")
             ONE "init = pre, train = { warmup = w } }",
         {NULL},
         "pre | train.warmup=0.1 | 1 | -\n"
         "pre | train.warmup=0.3 | 1 | -\n"
         "main | train.warmup=0.1 | 1 | init=0\n"
         "main | train.warmup=0.3 | 1 | init=1\n"},
        {"without a seed, its consumer's",
         "local pre = " STAGE("pre", "") EXPERIMENT "init = pre, seed = seeds(2) }",
         {NULL},
         "pre | - | 1 | -\n"
         "pre | - | 2 | -\n"
         "main | - | 1 | init=0\n"
         "main | - | 2 | init=1\n"},
        {"with one seed it is shared",
         "local pre = " STAGE("pre", "seed = 5") EXPERIMENT "init = pre, seed = seeds(2) }",
         {NULL},
         "pre | - | 5 | -\n"
         "main | - | 1 | init=0\n"
         "main | - | 2 | init=0\n"},
        {"equal seeds pair",
         "local pre = " STAGE("pre", "seed = seeds(2)") EXPERIMENT "init = pre, seed = { 1, 2 } }",
         {NULL},
         "pre | - | 1 | -\n"
         "pre | - | 2 | -\n"
         "main | - | 1 | init=0\n"
         "main | - | 2 | init=1\n"},
        {"a stage used twice is one run",
         "local pre = " STAGE("pre", "") ONE "init = pre, loss = loss.match { teacher = pre } }",
         {NULL},
         "pre | - | 1 | -\n"
         "main | - | 1 | init=0 loss.match.teacher=0\n"},
    };
    PLACE_RUNS(rules);
}

static void stages_feed_stages_and_stand_as_alternatives(void **state)
{
    (void)state;
    static const place_rule rules[] = {
        {"stages of stages, in order",
         "local a = " STAGE("a", "") "local b = " STAGE("b", "init = a, mask = mask.still {}") ONE
         "init = b, loss = { loss.match { teacher = a } } }",
         {NULL},
         "a | - | 1 | -\n"
         "b | - | 1 | init=0\n"
         "main | - | 1 | init=1 loss.match.teacher=0\n"},
        {"stages as alternatives",
         "local a = " STAGE("a", "") "local b = " STAGE("b", "mask = mask.still {}") ONE
         "init = any { none, a, b } }",
         {NULL},
         "b | - | 1 | -\n"
         "main | init=none | 1 | -\n"
         "main | init=a | 1 | init=1\n"
         "main | init=b | 1 | init=0\n"},
        {"a stage that only one alternative uses",
         "local a = " STAGE("a", "mask = mask.slope { warmup = any { 0.1, 0.3 } }") ONE
         "loss = any { loss.guess {}, loss.match { teacher = a } } }",
         {NULL},
         "a | a.mask.warmup=0.1 | 1 | -\n"
         "a | a.mask.warmup=0.3 | 1 | -\n"
         "main | loss=guess | 1 | -\n"
         "main | a.mask.warmup=0.1 loss=match | 1 | loss.match.teacher=0\n"
         "main | a.mask.warmup=0.3 loss=match | 1 | loss.match.teacher=1\n"},
        {"a run that two stages come to belongs to the later",
         "local a = " STAGE("a", "") "local b = " STAGE("b", "") ONE
         "init = a, loss = loss.match { teacher = b } }",
         {NULL},
         "b | - | 1 | -\n"
         "main | - | 1 | init=0 loss.match.teacher=0\n"},
        {"a run of main that is a stage's, too, is main's and comes first",
         "local a = " STAGE("a", "") "local b = " STAGE("b", "init = a, train = { steps = 9 }") ONE
         "init = any { none, b } }",
         {NULL},
         "main | init=none | 1 | -\n"
         "b | - | 1 | init=0\n"
         "main | init=b | 1 | init=1\n"},
    };
    PLACE_RUNS(rules);
}

static void scores_and_sampled_stages_feed_runs(void **state)
{
    (void)state;
    static const place_rule rules[] = {
        {"a score is an input",
         "local a = " STAGE("a", "") ONE
         "mask = mask.slope { warmup = a:score('s/auc') }, train = { lr = a:score('s/b/ks',"
         " 'test') } }",
         {NULL},
         "a | - | 1 | -\n"
         "main | - | 1 | train.lr:0 mask.warmup:0\n"},
        {"scores as alternatives",
         "local a = " STAGE("a", "") ONE
         "mask = mask.slope { warmup = any { 0.5, a:score('s/auc'), a:score('s/ks') } } }",
         {NULL},
         "a | - | 1 | -\n"
         "main | mask.warmup=0.5 | 1 | -\n"
         "main | mask.warmup=a:s/auc | 1 | mask.warmup:0\n"
         "main | mask.warmup=a:s/ks | 1 | mask.warmup:0\n"},
        {"a stage under trials",
         "local a = " STAGE("a", "train = { lr = uniform(0.5, 1) }") ONE "trials = 2, init = a }",
         {NULL},
         "a | a.train.lr=0.697143 | 1 | -\n"
         "a | a.train.lr=0.747329 | 1 | -\n"
         "main | a.train.lr=0.697143 | 1 | init=0\n"
         "main | a.train.lr=0.747329 | 1 | init=1\n"},
        {"a stage drawn by choice",
         "local a = " STAGE("a", "") "local b = " STAGE("b", "mask = mask.still {}") ONE
         "trials = 4, init = choice { a, b } }",
         {NULL},
         "a | - | 1 | -\n"
         "b | - | 1 | -\n"
         "main | init=a | 1 | init=0\n"
         "main | init=b | 1 | init=1\n"},
        {"a stage whose model is another",
         "local a = run { name = 'a', dataset = dataset.files { path = 'data' }, "
         "model = model.coder { size = 'base' }, train = { steps = 0 }, seed = 3 }\n" EXPERIMENT
         "seed = { 1, 2 }, loss = loss.match { teacher = a } }",
         {NULL},
         "a | - | 3 | -\n"
         "main | - | 1 | loss.match.teacher=0\n"
         "main | - | 2 | loss.match.teacher=0\n"},
    };
    PLACE_RUNS(rules);
}

static void the_command_line_sets_places(void **state)
{
    (void)state;
#define TWO                                                                                        \
    ONE "mask = mask.slope { warmup = any { 0.1, 0.2 } }, "                                        \
        "loss = { loss.match {}, loss.guess {}, loss.match {} } }"
    static const place_rule rules[] = {
        {"it replaces an axis", TWO, {"mask.warmup=0.5"}, "main | - | 1 | -\n"},
        {"it makes one",
         TWO,
         {"model.size=any { 'tiny', 'base' }", "mask.warmup=0.5"},
         "main | model.size=tiny | 1 | -\n"
         "main | model.size=base | 1 | -\n"},
        {"it replaces a plugin, options and all",
         TWO,
         {"mask=mask.still {}"},
         "main | - | 1 | -\n"},
        {"it replaces a plugin by an axis",
         TWO,
         {"mask=any { none, mask.slope {} }"},
         "main | mask=none | 1 | -\n"
         "main | mask=slope | 1 | -\n"},
        {"options of what it puts there",
         TWO,
         {"mask=mask.slope {}", "mask.warmup=0.7"},
         "main | - | 1 | -\n"},
        {"items of lists",
         TWO,
         {"mask=none", "loss.match#2.margin=any { 1, 2 }"},
         "main | loss.match#2.margin=1 | 1 | -\n"
         "main | loss.match#2.margin=2 | 1 | -\n"},
        {"lists",
         TWO,
         {"mask=none", "loss={ loss.guess {}, any { none, loss.match {} } }"},
         "main | loss#2=none | 1 | -\n"
         "main | loss#2=match | 1 | -\n"},
        {"seeds",
         TWO,
         {"seed=seeds(2)", "mask=none"},
         "main | - | 1 | -\n"
         "main | - | 2 | -\n"},
        {"a sample and its trials",
         TWO,
         {"mask.warmup=uniform(0.5, 1)", "trials=2"},
         "main | mask.warmup=0.86329 | 1 | -\n"
         "main | mask.warmup=0.864712 | 1 | -\n"},
        {"a schedule",
         TWO,
         {"mask.warmup=0.5", "mask.weight=any { 0, function(s, n) return s / n end }"},
         "main | mask.weight=0 | 1 | -\n"
         "main | mask.weight=function | 1 | -\n"},
        {"losses that the model suggests",
         ONE "}",
         {"loss.guess.weight=any { 1, 2 }"},
         "main | loss.guess.weight=1 | 1 | -\n"
         "main | loss.guess.weight=2 | 1 | -\n"},
        {"evaluators that the model suggests",
         ONE "}",
         {"evaluate.probe.suite=any { 'all', 'few' }"},
         "main | evaluate.probe.suite=all | 1 | -\n"
         "main | evaluate.probe.suite=few | 1 | -\n"},
        {"a stage's places",
         "local pre = " PRETRAIN ONE "init = pre }",
         {"pre.mask.warmup=0.5", "pre.train.steps=any { 1, 2 }", "pre.seed=9"},
         "pre | pre.train.steps=1 | 9 | -\n"
         "pre | pre.train.steps=2 | 9 | -\n"
         "main | pre.train.steps=1 | 1 | init=0\n"
         "main | pre.train.steps=2 | 1 | init=1\n"},
        {"init", "local pre = " PRETRAIN ONE "init = pre }", {"init=none"}, "main | - | 1 | -\n"},
        {"a place inside a choice",
         ONE "trials = 3, mask = choice { mask.still {}, mask.slope {} } }",
         {"mask.warmup=0.5"},
         "main | mask=still | 1 | -\n"
         "main | mask=slope | 1 | -\n"},
    };
    PLACE_RUNS(rules);
}

/* ---- what stands in param ---- */

static void params_know_where_they_come_from(void **state)
{
    (void)state;
    plan *of = place_plan("local pre = " STAGE("pre", "seed = 4, train = { steps = 5 }") EXPERIMENT
                          "mask = mask.slope { warmup = any { 0.25 }, scope = 'all' "
                          "}, init = pre, train = { lr = pre:score('s/auc') }, "
                          "adapter = none }",
                          &(place_request){.set = (const char *const[]){"train.steps=3", NULL}});
    static const char *const stage[][2] = {
        {"seed", "4 (script)"},      {"train.steps", "5 (script)"},
        {"init", "none (default)"},  {"mask", "the model's own (default)"},
        {"loss", "guess (default)"}, {"loss.guess.weight", "1 (default)"},
    };
    static const char *const run[][2] = {
        {"dataset", "files (script)"},
        {"dataset.path", "data (script)"},
        {"dataset.limit", "0 (default)"},
        {"model.size", "tiny (default)"},
        {"mask", "slope (script)"},
        {"mask.warmup", "0.25 (axis)"},
        {"mask.scope", "all (script)"},
        {"mask.weight", "0.5 (default)"},
        {"adapter", "none (script)"},
        {"evaluate", "probe (default)"},
        {"evaluate.probe.metrics", "auc (default)"},
        {"train.steps", "3 (command line)"},
        {"train.lr", "score s/auc@valid (stage)"},
        {"init", "pre seed 4 (stage)"},
        {"seed", "1 (default)"},
        {"loss.match.margin", "-"},
    };
    for (size_t i = 0; i < sizeof stage / sizeof *stage; i++)
        assert_string_equal(place_param(of, 0, stage[i][0]), stage[i][1]);
    for (size_t i = 0; i < sizeof run / sizeof *run; i++)
        assert_string_equal(place_param(of, 1, run[i][0]), run[i][1]);
    plan_free(of);
    of = place_plan(ONE "mask = any { none, mask.still {} }, init = any { none } }",
                    &(place_request){.set = (const char *const[]){"seed=2", NULL}});
    assert_string_equal(place_param(of, 0, "mask"), "the model's own (axis)");
    assert_string_equal(place_param(of, 1, "mask"), "still (axis)");
    assert_string_equal(place_param(of, 1, "init"), "none (axis)");
    assert_string_equal(place_param(of, 1, "seed"), "2 (command line)");
    plan_free(of);
}

/* A dataset is opened once, however many runs read it. */
static void fingerprints_are_asked_once(void **state)
{
    (void)state;
    plan *of = place_plan(EXPERIMENT "seed = seeds(3) }", NULL);
    plan_free(of);
    assert_int_equal(place_prints(), 1);
    of = place_plan("return experiment { name = 'x', seed = seeds(3), model = model.coder {}, "
                    "dataset = dataset.files { path = 'data', limit = any { 0, 8, 16 } }, "
                    "mask = any { none, mask.still {} } }",
                    NULL);
    assert_int_equal(of->run_count, 18);
    assert_int_equal(place_prints(), 3);
    assert_string_equal(of->runs[0].dataset, "files:print");
    plan_free(of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_feed_runs),
        cmocka_unit_test(stages_feed_stages_and_stand_as_alternatives),
        cmocka_unit_test(scores_and_sampled_stages_feed_runs),
        cmocka_unit_test(the_command_line_sets_places),
        cmocka_unit_test(params_know_where_they_come_from),
        cmocka_unit_test(fingerprints_are_asked_once),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
