/* test_axes.c - each rule of the language about axes, with the table of runs that it gives. */
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

typedef struct rule {
    const char *says, *script;
    const char *set[4]; /* NULL-terminated */
    const char *table;
} rule;

/* All that are not as expected are told, then the test fails. */
static void check_rules(int n, const rule *rules)
{
    int bad = 0;
    for (int i = 0; i < n; i++) {
        assay_error error = {0};
        char text[1200];
        plan *made = place_read(rules[i].script, &(place_request){.set = rules[i].set}, &error);
        const char *got =
            made != NULL ? place_table(made) : assay_error_format(&error, text, sizeof text);
        if (strcmp(got, rules[i].table) != 0) {
            print_message("# %s\n#   got:\n%s#   expected:\n%s#   end\n", rules[i].says, got,
                          rules[i].table);
            bad++;
        }
        plan_free(made);
    }
    assert_int_equal(bad, 0);
}

#define CHECK(rules) check_rules((int)(sizeof(rules) / sizeof *(rules)), rules)

static void axes_multiply_in_the_order_of_their_paths(void **state)
{
    (void)state;
    static const rule rules[] = {
        {"axes multiply, ordered by path, seeds innermost",
         EXPERIMENT "seed = seeds(2), train = { lr = any { 0.1, 0.2 } }, "
                    "mask = any { mask.still {}, mask.slope {} } }",
         {NULL},
         "main | mask=still train.lr=0.1 | 1 | -\n"
         "main | mask=still train.lr=0.1 | 2 | -\n"
         "main | mask=still train.lr=0.2 | 1 | -\n"
         "main | mask=still train.lr=0.2 | 2 | -\n"
         "main | mask=slope train.lr=0.1 | 1 | -\n"
         "main | mask=slope train.lr=0.1 | 2 | -\n"
         "main | mask=slope train.lr=0.2 | 1 | -\n"
         "main | mask=slope train.lr=0.2 | 2 | -\n"},
        {"one Lua value is one axis, wherever it appears",
         "local w = any { 0.1, 0.3 }\n" ONE
         "mask = mask.slope { warmup = w }, train = { warmup = w } }",
         {NULL},
         "main | mask.warmup=0.1 | 1 | -\n"
         "main | mask.warmup=0.3 | 1 | -\n"},
        {"two equal axes are two",
         ONE "mask = mask.slope { warmup = any { 0.1, 0.3 } }, train = { warmup = any { 0.1, 0.3 } "
             "} }",
         {NULL},
         "main | mask.warmup=0.1 train.warmup=0.1 | 1 | -\n"
         "main | mask.warmup=0.1 train.warmup=0.3 | 1 | -\n"
         "main | mask.warmup=0.3 train.warmup=0.1 | 1 | -\n"
         "main | mask.warmup=0.3 train.warmup=0.3 | 1 | -\n"},
        {"an axis inside an alternative exists only there",
         ONE "mask = any { mask.still {}, mask.slope { warmup = any { 0.1, 0.3 } } } }",
         {NULL},
         "main | mask=still | 1 | -\n"
         "main | mask=slope mask.warmup=0.1 | 1 | -\n"
         "main | mask=slope mask.warmup=0.3 | 1 | -\n"},
        {"none is absence",
         ONE "mask = any { none, mask.still {} }, adapter = any { none, adapter.low {} } }",
         {NULL},
         "main | adapter=none mask=none | 1 | -\n"
         "main | adapter=none mask=still | 1 | -\n"
         "main | adapter=low mask=none | 1 | -\n"
         "main | adapter=low mask=still | 1 | -\n"},
        {"an axis of one alternative is an axis",
         ONE "mask = any { mask.still {} } }",
         {NULL},
         "main | mask=still | 1 | -\n"},
        {"a plugin axis' value is its name and the options that differ",
         ONE "mask = any { mask.slope { warmup = 0.2, scope = 'all' }, "
             "mask.slope { warmup = 0.3, scope = 'all' }, mask.slope { scope = 'all' }, "
             "mask.still {} } }",
         {NULL},
         "main | mask=slope{warmup=0.2} | 1 | -\n"
         "main | mask=slope{warmup=0.3} | 1 | -\n"
         "main | mask=slope{warmup=0.1} | 1 | -\n"
         "main | mask=still | 1 | -\n"},
        {"texts, booleans, numbers and lists as values",
         ONE "model = model.coder { size = any { 'tiny', 'base' }, tied = any { true, false }, "
             "rates = any { { 0.5 }, { 0.5, 1 }, {} } } }",
         {NULL},
         "main | model.rates=0.5 model.size=tiny model.tied=true | 1 | -\n"
         "main | model.rates=0.5 model.size=tiny model.tied=false | 1 | -\n"
         "main | model.rates=0.5 model.size=base model.tied=true | 1 | -\n"
         "main | model.rates=0.5 model.size=base model.tied=false | 1 | -\n"
         "main | model.rates=0.5,1 model.size=tiny model.tied=true | 1 | -\n"
         "main | model.rates=0.5,1 model.size=tiny model.tied=false | 1 | -\n"
         "main | model.rates=0.5,1 model.size=base model.tied=true | 1 | -\n"
         "main | model.rates=0.5,1 model.size=base model.tied=false | 1 | -\n"
         "main | model.rates={} model.size=tiny model.tied=true | 1 | -\n"
         "main | model.rates={} model.size=tiny model.tied=false | 1 | -\n"
         "main | model.rates={} model.size=base model.tied=true | 1 | -\n"
         "main | model.rates={} model.size=base model.tied=false | 1 | -\n"},
        {"numbers are the shortest text that reads back",
         ONE "train = { lr = any { 1e-3, 0.1 + 0.2, 1 / 3, 5e-324, 8.0 } } }",
         {NULL},
         "main | train.lr=0.001 | 1 | -\n"
         "main | train.lr=0.30000000000000004 | 1 | -\n"
         "main | train.lr=0.3333333333333333 | 1 | -\n"
         "main | train.lr=5e-324 | 1 | -\n"
         "main | train.lr=8 | 1 | -\n"},
        {"functions are told by their lines",
         "local f, g = function() return 0 end,\n function() return 1 end\n" ONE
         "mask = mask.slope { weight = any { 0.5, f, g } }, train = { steps = 2 } }",
         {NULL},
         "main | mask.weight=0.5 | 1 | -\n"
         "main | mask.weight=function:1 | 1 | -\n"
         "main | mask.weight=function:2 | 1 | -\n"},
        {"functions of one line are numbered",
         "local function ramp(k) return function(s, n) return k * s / n end end\n" ONE
         "mask = mask.slope { weight = any { ramp(0.1), ramp(0.2) } }, train = { steps = 2 } }",
         {NULL},
         "main | mask.weight=function:1 | 1 | -\n"
         "main | mask.weight=function:1#2 | 1 | -\n"},
        {"many alternatives",
         "local t = {}\nfor i = 1, 12 do t[i] = i end\n" ONE "train = { steps = any(t) } }",
         {NULL},
         "main | train.steps=1 | 1 | -\n"
         "main | train.steps=2 | 1 | -\n"
         "main | train.steps=3 | 1 | -\n"
         "main | train.steps=4 | 1 | -\n"
         "main | train.steps=5 | 1 | -\n"
         "main | train.steps=6 | 1 | -\n"
         "main | train.steps=7 | 1 | -\n"
         "main | train.steps=8 | 1 | -\n"
         "main | train.steps=9 | 1 | -\n"
         "main | train.steps=10 | 1 | -\n"
         "main | train.steps=11 | 1 | -\n"
         "main | train.steps=12 | 1 | -\n"},
    };
    CHECK(rules);
}

static void lists_are_named_by_plugin(void **state)
{
    (void)state;
    static const rule rules[] = {
        {"items of a list are named by their plugin, repeats get #2",
         ONE "loss = { loss.match { margin = any { 1, 2 } }, loss.guess {}, "
             "loss.match { margin = any { 3, 4 } } } }",
         {NULL},
         "main | loss.match#2.margin=3 loss.match.margin=1 | 1 | -\n"
         "main | loss.match#2.margin=3 loss.match.margin=2 | 1 | -\n"
         "main | loss.match#2.margin=4 loss.match.margin=1 | 1 | -\n"
         "main | loss.match#2.margin=4 loss.match.margin=2 | 1 | -\n"},
        {"an item that is an axis is named by its place",
         ONE "loss = { loss.guess {}, any { none, loss.match { margin = any { 1, 2 } } } } }",
         {NULL},
         "main | loss#2=none | 1 | -\n"
         "main | loss#2=match loss.match.margin=1 | 1 | -\n"
         "main | loss#2=match loss.match.margin=2 | 1 | -\n"},
        {"names do not depend on what is chosen",
         ONE "loss = { any { loss.match {}, loss.guess {} }, loss.match { margin = any { 1, 2 } } "
             "} }",
         {NULL},
         "main | loss#1=match loss.match#2.margin=1 | 1 | -\n"
         "main | loss#1=match loss.match#2.margin=2 | 1 | -\n"
         "main | loss#1=guess loss.match#2.margin=1 | 1 | -\n"
         "main | loss#1=guess loss.match#2.margin=2 | 1 | -\n"},
        {"any of lists",
         ONE "loss = any { { loss.guess {} }, { loss.guess {}, loss.match {} }, loss.match {} } }",
         {NULL},
         "main | loss=guess | 1 | -\n"
         "main | loss=guess+match | 1 | -\n"
         "main | loss=match | 1 | -\n"},
        {"lists of the same plugins are told by the options that differ",
         ONE "loss = any { { loss.match { margin = 1 }, loss.guess {} }, "
             "{ loss.match { margin = 2 }, loss.guess {} } } }",
         {NULL},
         "main | loss=match{margin=1}+guess | 1 | -\n"
         "main | loss=match{margin=2}+guess | 1 | -\n"},
    };
    CHECK(rules);
}

static void zips_move_together(void **state)
{
    (void)state;
    static const rule rules[] = {
        {"fields of a zip move together",
         "local z = zip { size = { 'tiny', 'small' }, lr = { 1e-3, 5e-4 } }\n" ONE
         "model = model.coder { size = z.size }, train = { lr = z.lr }, "
         "mask = any { mask.still {}, none } }",
         {NULL},
         "main | mask=still model.size=tiny train.lr=0.001 | 1 | -\n"
         "main | mask=still model.size=small train.lr=0.0005 | 1 | -\n"
         "main | mask=none model.size=tiny train.lr=0.001 | 1 | -\n"
         "main | mask=none model.size=small train.lr=0.0005 | 1 | -\n"},
        {"values repeat in a zip",
         "local z = zip { size = { 'tiny', 'tiny', 'base' }, width = { 8, 16, 16 } }\n" ONE
         "model = model.coder(z) }",
         {NULL},
         "main | model.size=tiny model.width=8 | 1 | -\n"
         "main | model.size=tiny model.width=16 | 1 | -\n"
         "main | model.size=base model.width=16 | 1 | -\n"},
        {"a field that is left out does not matter",
         "local z = zip { size = { 'tiny', 'small' }, lr = { 1e-3, 5e-4 } }\n" ONE
         "model = model.coder { size = z.size } }",
         {NULL},
         "main | model.size=tiny | 1 | -\n"
         "main | model.size=small | 1 | -\n"},
        {"a zip of plugins",
         "local z = zip { m = { mask.still {}, mask.slope {} }, l = { loss.guess {}, loss.match {} "
         "} }\n" ONE "mask = z.m, loss = z.l }",
         {NULL},
         "main | loss=guess mask=still | 1 | -\n"
         "main | loss=match mask=slope | 1 | -\n"},
    };
    CHECK(rules);
}

static void samples_are_drawn_by_trial(void **state)
{
    (void)state;
    static const rule rules[] = {
        {"a sample per trial, and all seeds of each",
         EXPERIMENT "seed = seeds(2), trials = 3, train = { lr = log_uniform(1e-4, 1e-2) } }",
         {NULL},
         "main | train.lr=0.00293485 | 1 | -\n"
         "main | train.lr=0.00293485 | 2 | -\n"
         "main | train.lr=0.00030562 | 1 | -\n"
         "main | train.lr=0.00030562 | 2 | -\n"
         "main | train.lr=0.000100186 | 1 | -\n"
         "main | train.lr=0.000100186 | 2 | -\n"},
        {"raising trials keeps the earlier ones",
         EXPERIMENT "seed = 1, trials = 5, train = { lr = log_uniform(1e-4, 1e-2) } }",
         {NULL},
         "main | train.lr=0.00293485 | 1 | -\n"
         "main | train.lr=0.00030562 | 1 | -\n"
         "main | train.lr=0.000100186 | 1 | -\n"
         "main | train.lr=0.000265612 | 1 | -\n"
         "main | train.lr=0.000708821 | 1 | -\n"},
        {"samples of different axes are independent",
         ONE "trials = 3, train = { lr = uniform(0.5, 1), warmup = uniform(0.5, 1) } }",
         {NULL},
         "main | train.lr=0.866896 train.warmup=0.921528 | 1 | -\n"
         "main | train.lr=0.621295 train.warmup=0.516442 | 1 | -\n"
         "main | train.lr=0.500202 train.warmup=0.742653 | 1 | -\n"},
        {"axes multiply with trials",
         ONE "trials = 2, train = { lr = uniform(0.5, 1) }, mask = any { none, mask.still {} } }",
         {NULL},
         "main | mask=none train.lr=0.866896 | 1 | -\n"
         "main | mask=none train.lr=0.621295 | 1 | -\n"
         "main | mask=still train.lr=0.866896 | 1 | -\n"
         "main | mask=still train.lr=0.621295 | 1 | -\n"},
        {"choice among plugins, and in lists",
         ONE "trials = 4, mask = choice { mask.still {}, mask.slope {} }, "
             "loss = { loss.guess {}, choice { loss.match {}, none } } }",
         {NULL},
         "main | loss#2=match mask=still | 1 | -\n"
         "main | loss#2=none mask=slope | 1 | -\n"},
        {"a schedule's constant can be drawn",
         ONE "trials = 2, mask = mask.slope { weight = uniform(0, 1) } }",
         {NULL},
         "main | mask.weight=0.442766 | 1 | -\n"
         "main | mask.weight=0.484877 | 1 | -\n"},
        {"equal draws are one run",
         ONE "trials = 50, model = model.coder { width = choice { 8, 16 "
             "} } }",
         {NULL},
         "main | model.width=8 | 1 | -\n"
         "main | model.width=16 | 1 | -\n"},
    };
    CHECK(rules);
}

static void seeds_are_numbers_lists_or_counts(void **state)
{
    (void)state;
    static const rule rules[] = {
        {"left out, six",
         EXPERIMENT "}",
         {NULL},
         "main | - | 1 | -\n"
         "main | - | 2 | -\n"
         "main | - | 3 | -\n"
         "main | - | 4 | -\n"
         "main | - | 5 | -\n"
         "main | - | 6 | -\n"},
        {"a number", EXPERIMENT "seed = 7 }", {NULL}, "main | - | 7 | -\n"},
        {"a list",
         EXPERIMENT "seed = { 9, 4, 0 } }",
         {NULL},
         "main | - | 9 | -\n"
         "main | - | 4 | -\n"
         "main | - | 0 | -\n"},
        {"a count",
         EXPERIMENT "seed = seeds(3) }",
         {NULL},
         "main | - | 1 | -\n"
         "main | - | 2 | -\n"
         "main | - | 3 | -\n"},
        {"the largest",
         EXPERIMENT "seed = { (1 << 53) - 1, -0.0 } }",
         {NULL},
         "main | - | 9007199254740991 | -\n"
         "main | - | 0 | -\n"},
    };
    CHECK(rules);
}

static void stages_feed_runs(void **state)
{
    (void)state;
#define PRETRAIN STAGE("pre", "mask = mask.slope { warmup = any { 0.1, 0.3 } }")
    static const rule rules[] = {
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
    CHECK(rules);
}

static void the_command_line_sets_places(void **state)
{
    (void)state;
#define TWO                                                                                        \
    ONE "mask = mask.slope { warmup = any { 0.1, 0.2 } }, "                                        \
        "loss = { loss.match {}, loss.guess {}, loss.match {} } }"
    static const rule rules[] = {
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
    CHECK(rules);
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
        cmocka_unit_test(axes_multiply_in_the_order_of_their_paths),
        cmocka_unit_test(lists_are_named_by_plugin),
        cmocka_unit_test(zips_move_together),
        cmocka_unit_test(samples_are_drawn_by_trial),
        cmocka_unit_test(seeds_are_numbers_lists_or_counts),
        cmocka_unit_test(stages_feed_runs),
        cmocka_unit_test(the_command_line_sets_places),
        cmocka_unit_test(params_know_where_they_come_from),
        cmocka_unit_test(fingerprints_are_asked_once),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
