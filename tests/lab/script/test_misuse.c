/* test_misuse.c - scripts whose words do not fit together: axes, stages, schedules, --set; each
 * gets one message, with its place and a hint where there is one. */
#include "place.h"

#include <assay/memory.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- axes ---- */

static void axes_that_cannot_be(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return any {}", {NULL}, "any { } has no alternatives (s.lua:1)"},
        {"return any(3)",
         {NULL},
         "any takes one table (s.lua:1); expected any { ... }, got number"},
        {"return any { 1, 2, 1.0 }",
         {NULL},
         "any { } has an alternative twice (s.lua:1); expected values that differ, got 1, numbers "
         "1 and 3"},
        {"return any { 1, any { 2, 3 } }",
         {NULL},
         "an alternative of any is itself an axis (s.lua:1); hint: all its values stand in one "
         "list"},
        {"return any { 1, uniform(2, 3) }",
         {NULL},
         "an alternative of any is itself an axis (s.lua:1); hint: all its values stand in one "
         "list"},
        {"local z = zip { a = { 1, 2 } }\nreturn any { 1, z.a }",
         {NULL},
         "an alternative of any is itself an axis (s.lua:2); hint: all its values stand in one "
         "list"},
        {"return any { mask.slope {}, mask.slope { warmup = 0.1 } }",
         {NULL},
         "any { } has an alternative twice (s.lua:1); expected values that differ, got mask.slope, "
         "numbers 1 and 2"},
        {"return any { mask.slope, mask.still {} }",
         {NULL},
         "the script returns no experiment (s.lua); expected return experiment { ... } at its end, "
         "got an axis"},
        {"local x = 1\nlocal y = any { 64,\n  'wide' }\nreturn model.coder { width = y }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:2); expected integer, 8 .. 4096, got 'wide'"},
        {"return model.coder { width = any { 64, 8.5 } }",
         {NULL},
         "model.coder.width takes whole numbers (s.lua:1); expected integer, 8 .. 4096, got 8.5"},
        {"return model.coder { width = any { 64, 5000 } }",
         {NULL},
         "model.coder.width is out of range (s.lua:1); expected 8 .. 4096, got 5000"},
        {"return dataset.files { path = any { 'data', none } }",
         {NULL},
         "dataset.files.path has the wrong type (s.lua:1); expected path, got none"},
        {EXPERIMENT "mask = any { mask.still {}, loss.guess {} } }",
         {NULL},
         "experiment.mask is of the wrong kind (s.lua:1); expected mask.NAME { ... }, got "
         "loss.guess"},
        {EXPERIMENT "dataset = any { dataset.files { path = 'data' }, none } }",
         {NULL},
         "experiment.dataset is of the wrong kind (s.lua:1); expected dataset.NAME { ... }, got "
         "none"},
    };
    PLACE_WRONG(scripts);
}

static void zips_that_cannot_be(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return zip {}", {NULL}, "zip { } has no fields (s.lua:1)"},
        {"return zip { a = 1 }",
         {NULL},
         "zip.a is no list (s.lua:1); expected values that move together, got 1"},
        {"return zip { a = { 1, 2 }, b = { 1, 2, 3 } }",
         {NULL},
         "the lists of a zip differ in length (s.lua:1); expected 2 values, as in 'a', got 3 in "
         "'b'"},
        {"return zip { { 1, 2 } }",
         {NULL},
         "zip takes options by name (s.lua:1); expected { name = value, ... }, got a value without "
         "a name"},
        {"local z = zip { w = { 64, 5000 }, lr = { 1, 2 } }\nreturn model.coder { width = z.w }",
         {NULL},
         "model.coder.width is out of range (s.lua:1); expected 8 .. 4096, got 5000"},
    };
    PLACE_WRONG(scripts);
}

static void samples_that_cannot_be(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return uniform(2, 1)",
         {NULL},
         "uniform has a bad range (s.lua:1); expected two numbers, the smaller first"},
        {"return uniform(1)",
         {NULL},
         "uniform has a bad range (s.lua:1); expected two numbers, the smaller first"},
        {"return uniform('1', 2)",
         {NULL},
         "uniform has a bad range (s.lua:1); expected two numbers, the smaller first"},
        {"return uniform(0 / 0, 2)",
         {NULL},
         "uniform has a bad range (s.lua:1); expected two numbers, the smaller first"},
        {"return log_uniform(0, 1)",
         {NULL},
         "log_uniform has a bad range (s.lua:1); expected two numbers above 0, the smaller first"},
        {"return model.coder { dropout = uniform(0, 2) }",
         {NULL},
         "model.coder.dropout is out of range (s.lua:1); expected 0 .. 0.9, got 2"},
        {"return model.coder { width = uniform(8, 64) }",
         {NULL},
         "model.coder.width cannot be drawn from a range (s.lua:1); expected choice { ... }, got a "
         "sampled axis"},
        {"return loss.match { temperature = uniform(0, 1) }",
         {NULL},
         "loss.match.temperature is out of range (s.lua:1); expected above 0, at most 100, got 0"},
        {"return choice {}", {NULL}, "choice { } has no alternatives (s.lua:1)"},
        {"return model.coder { width = choice { 64, 'wide' } }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:1); expected integer, 8 .. 4096, got 'wide'"},
        {EXPERIMENT "mask = choice { mask.slope { warmup = any { 0.1, 0.2 } } }, trials = 2 }",
         {NULL},
         "an axis inside an alternative of choice (s.lua:1); hint: which trials have it would be "
         "drawn, too; any { } can hold axes"},
        {EXPERIMENT "mask = choice { mask.slope { warmup = uniform(0, 1) } }, trials = 2 }",
         {NULL},
         "an axis inside an alternative of choice (s.lua:1); hint: which trials have it would be "
         "drawn, too; any { } can hold axes"},
        {EXPERIMENT "mask = choice { mask.slope {}, mask.still {} }, trials = 2 }",
         {"mask.warmup=any { 0.1, 0.2 }"},
         "an axis inside choice { }, at mask.warmup (--set mask.warmup); expected alternatives "
         "without axes, or any { } in its place"},
        {EXPERIMENT "mask = choice { mask.slope {}, any { mask.still {} } }, trials = 2 }",
         {NULL},
         "an alternative of choice is itself an axis (s.lua:1); hint: all its values stand in one "
         "list"},
        {EXPERIMENT "mask = mask.slope { warmup = uniform(0, 1) } }",
         {NULL},
         "sampled axes need a number of trials (s.lua:1); expected trials = n in the experiment"},
        {EXPERIMENT "trials = 3 }",
         {NULL},
         "there are trials and nothing is sampled (s.lua:1); expected uniform, log_uniform or "
         "choice somewhere"},
    };
    PLACE_WRONG(scripts);
}

/* ---- stages ---- */

#define STAGE(name, rest)                                                                          \
    "run { name = '" name "', dataset = dataset.files { path = 'data' }, model = model.coder {}"   \
    " " rest " }"

static void stages_that_cannot_be(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return " STAGE("a", ""),
         {NULL},
         "the script returns no experiment (s.lua); expected return experiment { ... } at its end, "
         "got stage 'a'"},
        {"return " STAGE("main", ""),
         {NULL},
         "a stage cannot be called 'main' (s.lua:1); hint: that is the experiment's own stage"},
        {"return " STAGE("mask", ""),
         {NULL},
         "a stage cannot be called 'mask' (s.lua:1); hint: that is a key of the experiment, and "
         "paths would be ambiguous"},
        {"return " STAGE("a.b", ""),
         {NULL},
         "run needs a name (s.lua:1); expected letters, digits, '_' and '-', got 'a.b'"},
        {"return run {}",
         {NULL},
         "run needs a name (s.lua:1); expected letters, digits, '_' and '-'"},
        {"local a = " STAGE("a", "") "\nlocal b = " STAGE(
             "a", ", seed = 1") "\n" EXPERIMENT "init = a, loss = loss.match { teacher = b } }",
         {NULL},
         "two stages are called 'a' (s.lua:2); expected a name of its own for each, got another "
         "one at s.lua:1"},
        {"local a = " STAGE("a", ", seed = seeds(3)") "\n" EXPERIMENT "init = a, seed = seeds(4) }",
         {NULL},
         "the seeds of stage 'a' are not its consumer's (s.lua:1); expected the same seeds, one "
         "seed, or none, got 3 of its own against 4"},
        {"local a = " STAGE("a", ", seed = { 1, 3 }") "\n" EXPERIMENT "init = a, seed = seeds(2) }",
         {NULL},
         "the seeds of stage 'a' are not its consumer's (s.lua:1); expected the same seeds, one "
         "seed, or none, got 2 of its own against 2"},
        {"local a = " STAGE("a", ", seed = seeds(2)") "\nlocal b = " STAGE(
             "b", ", seed = 1, init = a") "\n" EXPERIMENT "init = b, seed = seeds(2) }",
         {NULL},
         "the seeds of stage 'a' are not its consumer's (s.lua:1); expected the same seeds, one "
         "seed, or none, got 2 of its own against 1"},
        {"local a = " STAGE("a", "") "\nreturn a:score('auc')",
         {NULL},
         "bad path of a score (s.lua:2); expected \"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\", "
         "got 'auc'"},
        {"local a = " STAGE("a", "") "\nreturn a:score('/auc')",
         {NULL},
         "bad path of a score (s.lua:2); expected \"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\", "
         "got '/auc'"},
        {"local a = " STAGE("a", "") "\nreturn a:score('s/b/c/d')",
         {NULL},
         "bad path of a score (s.lua:2); expected \"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\", "
         "got 's/b/c/d'"},
        {"local a = " STAGE("a", "") "\nreturn a:score('s//d')",
         {NULL},
         "bad path of a score (s.lua:2); expected \"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\", "
         "got 's//d'"},
        {"local a = " STAGE("a", "") "\nreturn a:score('s/a@b')",
         {NULL},
         "bad path of a score (s.lua:2); expected \"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\", "
         "got 's/a@b'"},
        {"local a = " STAGE("a", "") "\nreturn a:score('s/a\\nb')",
         {NULL},
         "bad path of a score (s.lua:2); expected \"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\", "
         "got 's/a b'"},
        {"local a = " STAGE("a", "") "\nreturn a:score()",
         {NULL},
         "bad path of a score (s.lua:2); expected \"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\", "
         "got ''"},
        {"local a = " STAGE("a", "") "\nreturn a:score('s/auc', 'validation')",
         {NULL},
         "no such split (s.lua:2); expected pretrain, train, valid or test, got 'validation'"},
        {"local a = " STAGE("a", "") "\nreturn a.score('s/auc')",
         {NULL},
         "only a stage has a score (s.lua:2); expected STAGE:score(\"SUITE/METRIC\")"},
        {"local a = " STAGE("a", "") "\nreturn a:scores('s/auc')",
         {NULL},
         "stage 'a' has no field 'scores' (s.lua:2); hint: a stage has score: "
         "stage:score(\"SUITE/METRIC\")"},
        {"local e = experiment { name = 'x', dataset = dataset.files { path = 'data' },\nmodel = "
         "model.coder {} }\nreturn e:score('s/auc')",
         {NULL},
         "only a stage has a score (s.lua:3); expected STAGE:score(\"SUITE/METRIC\")"},
        {"local e = experiment { name = 'x', dataset = dataset.files { path = 'data' },\nmodel = "
         "model.coder {} }\n" EXPERIMENT "init = e }",
         {NULL},
         "experiment.init has the wrong type (s.lua:3); expected weights, got the experiment 'x'"},
        {"local a = " STAGE("a", "") "\nreturn model.coder { size = a:score('s/auc') }",
         {NULL},
         "model.coder.size has the wrong type (s.lua:2); expected choice, tiny|small|base, got a "
         "score"},
        {"local a = " STAGE("a", "") "\nreturn model.coder { width = a }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:2); expected integer, 8 .. 4096, got stage "
         "'a'"},
        {"local a = " STAGE("a", "") "\n" EXPERIMENT
                                     "mask = mask.slope { weight = function(s, t) return s / t end "
                                     "}, train = { steps = a:score('s/auc') } }",
         {NULL},
         "train.steps cannot be a score (s.lua:2); expected a number that is known when the plan "
         "is made"},
    };
    PLACE_WRONG(scripts);
}

/* ---- schedules ---- */

static void schedules_that_give_no_number(void **state)
{
    (void)state;
#define SCHEDULE(function)                                                                         \
    "local x = 1\nlocal f = " function "\n" EXPERIMENT                                             \
    "mask = mask.slope { weight = f }, train = { steps = 10 } }"
    static const place_case scripts[] = {
        {SCHEDULE("function() end"),
         {NULL},
         "a schedule gave no number at step 0 (s.lua:2); expected a finite number, got nil"},
        {SCHEDULE("function(step)\n  if step < 7 then return 0.5 end\nend"),
         {NULL},
         "a schedule gave no number at step 7 (s.lua:2); expected a finite number, got nil"},
        {SCHEDULE("function(step) return (step - 3) / 0 end"),
         {NULL},
         "a schedule gave no number at step 0 (s.lua:2); expected a finite number, got -inf"},
        {SCHEDULE("function(step) return '0.5' end"),
         {NULL},
         "a schedule gave no number at step 0 (s.lua:2); expected a finite number, got string"},
        {SCHEDULE("function(step) return step / 5 end"),
         {NULL},
         "mask.slope.weight is out of range at step 6 (s.lua:2); expected 0 .. 1, got 1.2"},
        {SCHEDULE("function(step, total) return step / totl end"),
         {NULL},
         "undeclared global 'totl' (s.lua:2); hint: a variable of the script begins with 'local'"},
        {SCHEDULE("function(step)\n  error('no ' .. step)\nend"), {NULL}, "no 0 (s.lua:3)"},
        {SCHEDULE("function(step)\n  while true do end\nend"),
         {NULL},
         "the script does not come to its end (s.lua:3); expected at most 10000000 instructions; "
         "hint: is there a loop without an end?"},
        {SCHEDULE("function(step) return mask.slope { warmup = 3 } end"),
         {NULL},
         "mask.slope.warmup is out of range (s.lua:2); expected 0 .. 1, got 3"},
        {"local f = function() return 1 end\n" EXPERIMENT
         "mask = mask.slope { weight = f }, train = { steps = 1e12 } }",
         {NULL},
         "a schedule by a function has a value for every step, and they are too many (s.lua:1); "
         "expected at most 10000000 steps, got 1000000000000"},
    };
    PLACE_WRONG(scripts);
}

/* ---- --set ---- */

static void settings_of_the_command_line_have_a_place_and_a_value(void **state)
{
    (void)state;
#define SLOPE EXPERIMENT "mask = mask.slope {}, loss = { loss.match {}, loss.match {} } }"
    static const place_case scripts[] = {
        {SLOPE,
         {"mask.warmpu=0.2"},
         "the experiment has no such place (--set mask.warmpu); hint: did you mean 'mask.warmup'?"},
        {SLOPE,
         {"modle.width=64"},
         "the experiment has no such place (--set modle.width); hint: did you mean 'model.width'?"},
        {SLOPE,
         {"elephant=64"},
         "the experiment has no such place (--set elephant); hint: a path is KEY.OPTION, "
         "LIST.PLUGIN.OPTION, or STAGE. and one of these"},
        {SLOPE,
         {"model.width=64", "model.width=65"},
         "this place is set twice (--set model.width)"},
        {SLOPE,
         {"model.width=64)"},
         "<eof> expected near ')' (--set model.width); hint: a value is written as in Lua: 0.1, "
         "true, '\"text\"', 'mask.causal {}'"},
        {SLOPE,
         {"model.width="},
         "there is no value (--set model.width); hint: 'none' is absence; a text stands in quotes"},
        {SLOPE,
         {"model.width=nil"},
         "there is no value (--set model.width); hint: 'none' is absence; a text stands in quotes"},
        {SLOPE,
         {"model.width=64, 65"},
         "')' expected near ',' (--set model.width); hint: a value is written as in Lua: 0.1, "
         "true, '\"text\"', 'mask.causal {}'"},
    };
    PLACE_WRONG(scripts);
}

static void values_of_the_command_line_are_checked(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {SLOPE,
         {"model.width=8.5"},
         "model.coder.width takes whole numbers (--set model.width); expected integer, 8 .. 4096, "
         "got 8.5"},
        {SLOPE,
         {"model.width=5000"},
         "model.coder.width is out of range (--set model.width); expected 8 .. 4096, got 5000"},
        {SLOPE,
         {"model.width=any { 64, 5000 }"},
         "model.coder.width is out of range (--set model.width); expected 8 .. 4096, got 5000"},
        {SLOPE,
         {"model.size=small"},
         "undeclared global 'small' (--set model.size); hint: a text stands in quotes: "
         "model.size='\"small\"'"},
        {SLOPE,
         {"model.size='smal'"},
         "unknown value 'smal' of model.coder.size (--set model.size); expected tiny|small|base, "
         "got 'smal'; hint: did you mean 'small'?"},
        {SLOPE,
         {"mask=mask.slop {}"},
         "unknown mask 'slop' (--set mask); expected slope, still; hint: did you mean 'slope'?"},
        {SLOPE,
         {"mask=mask.slope { warmup = 2 }"},
         "mask.slope.warmup is out of range (--set mask); expected 0 .. 1, got 2"},
        {SLOPE,
         {"mask=loss.match {}"},
         "experiment.mask is of the wrong kind (--set mask); expected mask.NAME { ... }, got "
         "loss.match"},
    };
    PLACE_WRONG(scripts);
}

static void what_the_command_line_cannot_set(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {SLOPE,
         {"loss.match#3.margin=0.2"},
         "the experiment has no such place (--set loss.match#3.margin); hint: did you mean "
         "'loss.match#2.margin'?"},
        {SLOPE,
         {"loss.match.margni=0.2"},
         "the experiment has no such place (--set loss.match.margni); hint: did you mean "
         "'loss.match.margin'?"},
        {SLOPE,
         {"name='y'"},
         "the experiment has no such place (--set name); hint: a name is what the store and paths "
         "go by; only the script says it"},
        {SLOPE,
         {"train={}"},
         "the experiment has no such place (--set train); hint: set one of its options: "
         "train.steps=100"},
        {SLOPE,
         {"train={ steps = 3 }"},
         "a table with the name 'steps' where a value is due (--set train); hint: a list is { a, "
         "b, c }; a plugin's options come after its name"},
        {SLOPE,
         {"train.step=3"},
         "the experiment has no such place (--set train.step); hint: did you mean 'train.steps'?"},
        {SLOPE,
         {"trials=3"},
         "there are trials and nothing is sampled (--set trials); expected uniform, log_uniform or "
         "choice somewhere"},
        {SLOPE,
         {"trials='3'"},
         "experiment.trials is of the wrong kind (--set trials); expected a whole number, 1 .. "
         "1000000, got '3'"},
        {SLOPE,
         {"seed=-1"},
         "experiment.seed is of the wrong kind (--set seed); expected a whole number from 0, a "
         "list of different ones, or seeds(n), got -1"},
        {SLOPE,
         {"seed=any { 1, 2 }"},
         "experiment.seed is of the wrong kind (--set seed); expected a whole number from 0, a "
         "list of different ones, or seeds(n), got an axis"},
        {SLOPE,
         {"dataset=none"},
         "experiment.dataset is of the wrong kind (--set dataset); expected dataset.NAME { ... }, "
         "got none"},
        {SLOPE,
         {"=3"},
         "the experiment has no such place (--set ); hint: a path is KEY.OPTION, "
         "LIST.PLUGIN.OPTION, or STAGE. and one of these"},
        {SLOPE,
         {"mask.weight=function(s, t) return 3 end"},
         "mask.slope.weight is out of range at step 0 (--set mask.weight); expected 0 .. 1, got 3"},
        {SLOPE,
         {"init=run { name = 'z' }"},
         "run 'z' has no dataset (--set init); expected dataset = dataset.NAME { ... }"},
    };
    PLACE_WRONG(scripts);
}

static void a_stages_places_are_set_behind_its_name(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"local a = " STAGE("a", "") "\n" EXPERIMENT "init = a }",
         {"a.train.stesp=3"},
         "the experiment has no such place (--set a.train.stesp); hint: did you mean "
         "'a.train.steps'?"},
        {"local a = " STAGE("a", "") "\n" EXPERIMENT "init = a }",
         {"a.model.width=8.5"},
         "model.coder.width takes whole numbers (--set a.model.width); expected integer, 8 .. "
         "4096, got 8.5"},
        {"local a = " STAGE("a", "") "\n" EXPERIMENT "init = a }",
         {"a.trials=2"},
         "the experiment has no such place (--set a.trials); hint: a path is KEY.OPTION, "
         "LIST.PLUGIN.OPTION, or STAGE. and one of these"},
        {"local a = " STAGE("a", "") "\n" EXPERIMENT "init = a }",
         {"a.name='b'"},
         "the experiment has no such place (--set a.name); hint: a name is what the store and "
         "paths go by; only the script says it"},
    };
    PLACE_WRONG(scripts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_that_cannot_be),
        cmocka_unit_test(zips_that_cannot_be),
        cmocka_unit_test(samples_that_cannot_be),
        cmocka_unit_test(stages_that_cannot_be),
        cmocka_unit_test(schedules_that_give_no_number),
        cmocka_unit_test(settings_of_the_command_line_have_a_place_and_a_value),
        cmocka_unit_test(values_of_the_command_line_are_checked),
        cmocka_unit_test(what_the_command_line_cannot_set),
        cmocka_unit_test(a_stages_places_are_set_behind_its_name),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
