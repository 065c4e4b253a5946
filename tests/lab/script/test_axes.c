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

static void axes_multiply_in_the_order_of_their_paths(void **state)
{
    (void)state;
    static const place_rule rules[] = {
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
    PLACE_RUNS(rules);
}

static void lists_are_named_by_plugin(void **state)
{
    (void)state;
    static const place_rule rules[] = {
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
    PLACE_RUNS(rules);
}

static void zips_move_together(void **state)
{
    (void)state;
    static const place_rule rules[] = {
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
    PLACE_RUNS(rules);
}

static void samples_are_drawn_by_trial(void **state)
{
    (void)state;
    static const place_rule rules[] = {
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
    PLACE_RUNS(rules);
}

static void seeds_are_numbers_lists_or_counts(void **state)
{
    (void)state;
    static const place_rule rules[] = {
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
    PLACE_RUNS(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_multiply_in_the_order_of_their_paths),
        cmocka_unit_test(lists_are_named_by_plugin),
        cmocka_unit_test(zips_move_together),
        cmocka_unit_test(samples_are_drawn_by_trial),
        cmocka_unit_test(seeds_are_numbers_lists_or_counts),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
