/* test_wrong.c - wrong scripts: each gets one message, with its place and a hint where there is
 * one, and no plan. */
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

/* ---- names ---- */

static void unknown_names_are_told_with_the_nearest(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return mask.slop {}",
         {NULL},
         "unknown mask 'slop' (s.lua:1); expected slope, still; hint: did you mean 'slope'?"},
        {"return mask.nothing_like_it {}",
         {NULL},
         "unknown mask 'nothing_like_it' (s.lua:1); expected slope, still"},
        {"local m = model\n\nreturn m.code {}",
         {NULL},
         "unknown model 'code' (s.lua:3); expected coder; hint: did you mean 'coder'?"},
        {"return mask.slope { warmpu = 0.1 }",
         {NULL},
         "unknown option 'warmpu' of mask.slope (s.lua:1); hint: did you mean 'warmup'?"},
        {"return mask.slope { elephant = 0.1 }",
         {NULL},
         "unknown option 'elephant' of mask.slope (s.lua:1); hint: 'assay plugins mask.slope' "
         "lists its options"},
        {"return mask.still { warmup = 0.1 }",
         {NULL},
         "unknown option 'warmup' of mask.still (s.lua:1); hint: mask.still has no options"},
        {"return dataset.files {}",
         {NULL},
         "dataset.files needs the option 'path' (s.lua:1); expected path: a folder of files"},
        {EXPERIMENT "mastk = mask.still {} }",
         {NULL},
         "unknown key 'mastk' of experiment (s.lua:1); hint: did you mean 'mask'?"},
        {EXPERIMENT "elephant = 1 }",
         {NULL},
         "unknown key 'elephant' of experiment (s.lua:1); hint: 'assay plugins experiment' lists "
         "the keys"},
        {EXPERIMENT "train = { step = 3 } }",
         {NULL},
         "unknown option 'step' of train (s.lua:1); hint: did you mean 'steps'?"},
        {"local a = run { name = 'a', dataset = dataset.files { path = 'data' }, models = 1 }",
         {NULL},
         "unknown key 'models' of run (s.lua:1); hint: did you mean 'model'?"},
        {"local a = run { name = 'a', dataset = dataset.files { path = 'data' },\nmodel = "
         "model.coder {}, trials = 3 }",
         {NULL},
         "a stage has no trials (s.lua:1); hint: they are a key of the experiment, whose trials it "
         "joins"},
        {"local stpes = 3\nlocal x = stepts",
         {NULL},
         "undeclared global 'stepts' (s.lua:2); hint: a variable of the script begins with "
         "'local'"},
        {"local x = 1\nmodle.coder {}",
         {NULL},
         "undeclared global 'modle' (s.lua:2); hint: did you mean 'model'?"},
        {"steps = 3",
         {NULL},
         "assignment to undeclared global 'steps' (s.lua:1); hint: write 'local steps = ...'"},
        {"local function f()\n  steps = 3\nend\nf()",
         {NULL},
         "assignment to undeclared global 'steps' (s.lua:2); hint: write 'local steps = ...'"},
        {"mask.still = 3", {NULL}, "this table belongs to the language (s.lua:1)"},
        {"local z = zip { size = { 1 }, lr = { 2 } }\nreturn z.sise",
         {NULL},
         "this zip has no field 'sise' (s.lua:2); hint: did you mean 'size'?"},
        {"local a = any { 1, 2 }\nreturn a.size", {NULL}, "an axis has no field 'size' (s.lua:2)"},
    };
    PLACE_WRONG(scripts);
}

/* ---- types and ranges ---- */

static void numbers_are_checked_where_they_stand(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"local x = 1\nreturn model.coder { width = 8.5 }",
         {NULL},
         "model.coder.width takes whole numbers (s.lua:2); expected integer, 8 .. 4096, got 8.5"},
        {"return model.coder { width = '64' }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:1); expected integer, 8 .. 4096, got '64'"},
        {"return model.coder { width = true }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:1); expected integer, 8 .. 4096, got true"},
        {"return model.coder { width = { 64 } }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:1); expected integer, 8 .. 4096, got a list"},
        {"return model.coder { width = mask.still {} }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:1); expected integer, 8 .. 4096, got "
         "mask.still"},
        {"return model.coder { width = function() return 8 end }",
         {NULL},
         "model.coder.width has the wrong type (s.lua:1); expected integer, 8 .. 4096, got a "
         "function"},
        {"return model.coder { width = 4 }",
         {NULL},
         "model.coder.width is out of range (s.lua:1); expected 8 .. 4096, got 4"},
        {"return model.coder { width = 4097 }",
         {NULL},
         "model.coder.width is out of range (s.lua:1); expected 8 .. 4096, got 4097"},
        {"return model.coder { width = 2^53 + 2 }",
         {NULL},
         "model.coder.width is out of range (s.lua:1); expected 8 .. 4096, got 9007199254740994"},
        {"return model.coder { width = (1 << 53) + 1 }",
         {NULL},
         "a whole number so large that it is not exact (s.lua:1); hint: up to 2^53 every one is"},
        {"return model.coder { width = 1e300 }",
         {NULL},
         "model.coder.width is out of range (s.lua:1); expected 8 .. 4096, got 1e+300"},
        {"return model.coder { width = math.huge }",
         {NULL},
         "model.coder.width takes whole numbers (s.lua:1); expected integer, 8 .. 4096, got inf"},
        {"return model.coder { dropout = 0 / 0 }",
         {NULL},
         "model.coder.dropout is not finite (s.lua:1); expected number, 0 .. 0.9, got -nan"},
        {"return model.coder { dropout = -math.huge }",
         {NULL},
         "model.coder.dropout is not finite (s.lua:1); expected number, 0 .. 0.9, got -inf"},
        {"return model.coder { dropout = 1 }",
         {NULL},
         "model.coder.dropout is out of range (s.lua:1); expected 0 .. 0.9, got 1"},
        {"return model.coder { dropout = 'much' }",
         {NULL},
         "model.coder.dropout has the wrong type (s.lua:1); expected number, 0 .. 0.9, got 'much'"},
    };
    PLACE_WRONG(scripts);
}

static void choices_and_texts_are_checked_where_they_stand(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return model.coder { tied = 1 }",
         {NULL},
         "model.coder.tied has the wrong type (s.lua:1); expected boolean, got 1"},
        {"return model.coder { size = 'smal' }",
         {NULL},
         "unknown value 'smal' of model.coder.size (s.lua:1); expected tiny|small|base, got "
         "'smal'; hint: did you mean 'small'?"},
        {"return model.coder { size = 1 }",
         {NULL},
         "model.coder.size has the wrong type (s.lua:1); expected choice, tiny|small|base, got 1"},
        {"return model.coder { size = none, width = none, note = {} }",
         {NULL},
         "model.coder.note has the wrong type (s.lua:1); expected text, got a list"},
        {"return model.coder { note = 5 }",
         {NULL},
         "model.coder.note has the wrong type (s.lua:1); expected text, got 5"},
        {"return model.coder { note = '\\xff' }",
         {NULL},
         "model.coder.note is not well-formed UTF-8 (s.lua:1); expected text"},
        {"return model.coder { note = 'a\\0b' }",
         {NULL},
         "a text with a zero byte in it (s.lua:1)"},
    };
    PLACE_WRONG(scripts);
}

static void lists_are_checked_where_they_stand(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return model.coder { rates = { 0.5, 3 } }",
         {NULL},
         "model.coder.rates is out of range (item 2) (s.lua:1); expected 0 .. 2, got 3"},
        {"return model.coder { rates = { 0.5, 'x' } }",
         {NULL},
         "model.coder.rates has the wrong type (s.lua:1); expected list of numbers, 0 .. 2, got a "
         "list with 'x' in it"},
        {"return model.coder { rates = { 0.5, nil, 1 } }",
         {NULL},
         "a list with holes (s.lua:1); hint: a nil ends a list in Lua; 'none' is absence"},
        {"return model.coder { rates = { a = 0.5 } }",
         {NULL},
         "a table with the name 'a' where a value is due (s.lua:1); hint: a list is { a, b, c }; a "
         "plugin's options come after its name"},
        {"return model.coder { readouts = { 'last', 'lost' } }",
         {NULL},
         "unknown value 'lost' of model.coder.readouts (s.lua:1); expected first|last|mean, got "
         "'lost'; hint: did you mean 'last'?"},
        {"return model.coder { readouts = { 'last', any { 'first', 'mean' } } }",
         {NULL},
         "model.coder.readouts has the wrong type (s.lua:1); expected list of texts, "
         "first|last|mean, got a list with an axis in it"},
        {"return model.coder { readouts = { '' } }",
         {NULL},
         "model.coder.readouts has an empty item (s.lua:1); got item 1"},
        {"return model.coder { readouts = 3 }",
         {NULL},
         "model.coder.readouts has the wrong type (s.lua:1); expected list of texts, "
         "first|last|mean, got 3"},
    };
    PLACE_WRONG(scripts);
}

static void paths_schedules_and_weights_are_checked_where_they_stand(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return dataset.files { path = 'date' }",
         {NULL},
         "the path of dataset.files.path does not exist (s.lua:1); got 'date'; hint: paths are "
         "beside the script or in the current folder"},
        {"return dataset.files { path = 7 }",
         {NULL},
         "dataset.files.path has the wrong type (s.lua:1); expected path, got 7"},
        {"return dataset.files { path = none }",
         {NULL},
         "dataset.files.path has the wrong type (s.lua:1); expected path, got none"},
        {"return mask.slope { weight = 1.5 }",
         {NULL},
         "mask.slope.weight is out of range (s.lua:1); expected 0 .. 1, got 1.5"},
        {"return mask.slope { weight = 'half' }",
         {NULL},
         "mask.slope.weight has the wrong type (s.lua:1); expected schedule, 0 .. 1, got 'half'"},
        {"return mask.slope { weight = { 0.5, 0.6 } }",
         {NULL},
         "mask.slope.weight has the wrong type (s.lua:1); expected schedule, 0 .. 1, got a list"},
        {"return loss.match { temperature = 0 }",
         {NULL},
         "loss.match.temperature is out of range (s.lua:1); expected above 0, at most 100, got 0"},
        {"return loss.match { teacher = 3 }",
         {NULL},
         "loss.match.teacher has the wrong type (s.lua:1); expected weights, got 3"},
        {"return loss.match { teacher = 'weights.safetensors' }",
         {NULL},
         "the path of loss.match.teacher does not exist (s.lua:1); got 'weights.safetensors'; "
         "hint: paths are beside the script or in the current folder"},
        {"return loss.match { teacher = model.coder {} }",
         {NULL},
         "loss.match.teacher has the wrong type (s.lua:1); expected weights, got model.coder"},
    };
    PLACE_WRONG(scripts);
}

static void options_come_in_one_table_by_name(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return mask.slope { 0.1 }",
         {NULL},
         "mask.slope takes options by name (s.lua:1); expected { name = value, ... }, got a value "
         "without a name"},
        {"return mask.slope(0.1)",
         {NULL},
         "mask.slope takes one table (s.lua:1); expected mask.slope { ... }, got number"},
        {"return mask.slope()",
         {NULL},
         "mask.slope takes one table (s.lua:1); expected mask.slope { ... }, got nothing"},
        {"return mask.slope({}, {})",
         {NULL},
         "mask.slope takes one table (s.lua:1); expected mask.slope { ... }, got table"},
    };
    PLACE_WRONG(scripts);
}

static void keys_take_plugins_of_their_kind(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {EXPERIMENT "mask = model.coder {} }",
         {NULL},
         "experiment.mask is of the wrong kind (s.lua:1); expected mask.NAME { ... }, got "
         "model.coder"},
        {EXPERIMENT "mask = 'still' }",
         {NULL},
         "experiment.mask is of the wrong kind (s.lua:1); expected mask.NAME { ... }, got 'still'"},
        {EXPERIMENT "mask = mask.still }",
         {NULL},
         "experiment.mask is of the wrong kind (s.lua:1); expected mask.NAME { ... }, got a "
         "function"},
        {EXPERIMENT "mask = { mask.still {} } }",
         {NULL},
         "experiment.mask is of the wrong kind (s.lua:1); expected mask.NAME { ... }, got a list"},
        {EXPERIMENT "loss = { loss.guess {}, mask.still {} } }",
         {NULL},
         "experiment.loss is of the wrong kind (s.lua:1); expected loss.NAME { ... }, got "
         "mask.still"},
        {EXPERIMENT "loss = { { loss.guess {} } } }",
         {NULL},
         "experiment.loss is of the wrong kind (s.lua:1); expected loss.NAME { ... }, got a list"},
        {EXPERIMENT "loss = none }",
         {NULL},
         "experiment.loss is of the wrong kind (s.lua:1); expected loss.NAME { ... } or a list of "
         "them, got none"},
        {EXPERIMENT "loss = {} }",
         {NULL},
         "there is nothing to train for: no loss (s.lua:1); expected loss = loss.NAME { ... }; "
         "hint: train = { steps = 0 } only evaluates"},
    };
    PLACE_WRONG(scripts);
}

static void training_options_are_checked_where_they_stand(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {EXPERIMENT "init = 4 }",
         {NULL},
         "experiment.init has the wrong type (s.lua:1); expected weights, got 4"},
        {EXPERIMENT "train = 4 }",
         {NULL},
         "experiment.train is of the wrong kind (s.lua:1); expected a table { steps = ..., batch = "
         "... }, got 4"},
        {EXPERIMENT "train = { 4 } }",
         {NULL},
         "train takes options by name (s.lua:1); expected { name = value, ... }, got a value "
         "without a name"},
        {EXPERIMENT "train = { steps = 8.5 } }",
         {NULL},
         "train.steps takes whole numbers (s.lua:1); expected integer, 0 .. 1000000000000, got "
         "8.5"},
        {EXPERIMENT "train = { precision = 'tf32' } }",
         {NULL},
         "train.precision tf32 is there on cuda only (s.lua:1); expected fp32 or bf16, got tf32 on "
         "cpu"},
        {EXPERIMENT "train = { batch = 10, accumulate = 4 } }",
         {NULL},
         "train.batch cannot be divided into equal parts (s.lua:1); expected a multiple of "
         "accumulate * pieces = 4, got 10"},
    };
    PLACE_WRONG(scripts);
}

static void seeds_and_trials_are_whole_numbers(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {EXPERIMENT "seed = 1.5 }",
         {NULL},
         "experiment.seed is of the wrong kind (s.lua:1); expected a whole number from 0, a list "
         "of different ones, or seeds(n), got 1.5"},
        {EXPERIMENT "seed = -1 }",
         {NULL},
         "experiment.seed is of the wrong kind (s.lua:1); expected a whole number from 0, a list "
         "of different ones, or seeds(n), got -1"},
        {EXPERIMENT "seed = { 1, 2, 1 } }",
         {NULL},
         "experiment.seed is of the wrong kind (s.lua:1); expected a whole number from 0, a list "
         "of different ones, or seeds(n), got 1"},
        {EXPERIMENT "seed = {} }",
         {NULL},
         "experiment.seed is of the wrong kind (s.lua:1); expected a whole number from 0, a list "
         "of different ones, or seeds(n), got a list"},
        {EXPERIMENT "seed = (1 << 53) + 1 }",
         {NULL},
         "a whole number so large that it is not exact (s.lua:1); hint: up to 2^53 every one is"},
        {EXPERIMENT "seed = any { 1, 2 } }",
         {NULL},
         "experiment.seed is of the wrong kind (s.lua:1); expected a whole number from 0, a list "
         "of different ones, or seeds(n), got an axis"},
        {"return seeds(0)", {NULL}, "seeds takes one whole number (s.lua:1); expected 1 .. 100000"},
        {"return seeds('3')",
         {NULL},
         "seeds takes one whole number (s.lua:1); expected 1 .. 100000"},
        {EXPERIMENT "trials = 0 }",
         {NULL},
         "experiment.trials is of the wrong kind (s.lua:1); expected a whole number, 1 .. 1000000, "
         "got 0"},
    };
    PLACE_WRONG(scripts);
}

static void an_experiment_has_a_name_a_dataset_and_a_model(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"return experiment { name = 'a b', dataset = dataset.files { path = 'data' } }",
         {NULL},
         "experiment needs a name (s.lua:1); expected letters, digits, '_', '-' and '.', got 'a "
         "b'"},
        {"return experiment { dataset = dataset.files { path = 'data' } }",
         {NULL},
         "experiment needs a name (s.lua:1); expected letters, digits, '_', '-' and '.'"},
        {"return experiment { name = 'x', dataset = none, model = model.coder {} }",
         {NULL},
         "experiment.dataset is of the wrong kind (s.lua:1); expected dataset.NAME { ... }, got "
         "none"},
        {"return experiment { name = 'x', model = model.coder {} }",
         {NULL},
         "experiment 'x' has no dataset (s.lua:1); expected dataset = dataset.NAME { ... }"},
        {"return experiment { name = 'x', dataset = dataset.files { path = 'data' } }",
         {NULL},
         "experiment 'x' has no model (s.lua:1); expected model = model.NAME { ... }"},
        {"return experiment('x')",
         {NULL},
         "experiment takes one table (s.lua:1); expected experiment { ... }, got string"},
    };
    PLACE_WRONG(scripts);
}

static void whole_numbers_may_be_written_as_floats(void **state)
{
    (void)state;
    plan *a = place_plan(EXPERIMENT "train = { steps = 8.0 } }", NULL);
    assert_string_equal(place_param(a, 0, "train.steps"), "8 (script)");
    plan_free(a);
}

/* ---- the script as a text ---- */

static void what_is_no_experiment(void **state)
{
    (void)state;
    static const place_case scripts[] = {
        {"",
         {NULL},
         "the script returns no experiment (s.lua); expected return experiment { ... } at its end"},
        {"return",
         {NULL},
         "the script returns no experiment (s.lua); expected return experiment { ... } at its end"},
        {"return 3",
         {NULL},
         "the script returns no experiment (s.lua); expected return experiment { ... } at its end"},
        {"return mask.still {}",
         {NULL},
         "the script returns no experiment (s.lua); expected return experiment { ... } at its end, "
         "got mask.still"},
        {"return {", {NULL}, "unexpected symbol near <eof> (s.lua:1)"},
        {"local x = \n= 3", {NULL}, "unexpected symbol near '=' (s.lua:2)"},
        {"\x1bLua",
         {NULL},
         "this is compiled Lua, which is not run (s.lua); expected the text of a script"},
        {"goto nowhere", {NULL}, "no visible label 'nowhere' for <goto> at line 1 (s.lua:1)"},
        {"error('stop')", {NULL}, "stop (s.lua:1)"},
        {"\n\nerror({ 1 })",
         {NULL},
         "the script raised an error that is no text (s.lua:3); got table"},
        {"error()", {NULL}, "the script raised an error that is no text (s.lua:1); got nil"},
        {"error('no place', 0)", {NULL}, "no place (s.lua:1)"},
        {"error('a\\nb')", {NULL}, "a b (s.lua:1)"},
        {"assert(false)", {NULL}, "assertion failed! (s.lua:1)"},
        {"assert(nil, 'wanted')", {NULL}, "wanted (s.lua:1)"},
        {"assert(false, {})",
         {NULL},
         "the script raised an error that is no text (s.lua:1); got table"},
        {"local t = nil\nlocal x = t.y",
         {NULL},
         "attempt to index a nil value (local 't') (s.lua:2)"},
        {"local x = 1 + {}", {NULL}, "attempt to perform arithmetic on a table value (s.lua:1)"},
        {"local x = mask.still {} + 1",
         {NULL},
         "mask.still cannot be computed with (s.lua:1); hint: it has no value yet; compute what "
         "goes into it"},
        {"local a = any { 1, 2 }\na.b = 3", {NULL}, "this table belongs to the language (s.lua:2)"},
        {"local f = mask.slope {}\nf()",
         {NULL},
         "mask.slope cannot be computed with (s.lua:2); hint: it has no value yet; compute what "
         "goes into it"},
        {"return env('ASSAY_THAT_NOBODY_SETS')",
         {NULL},
         "ASSAY_THAT_NOBODY_SETS is not set in the environment (s.lua:1); hint: env(name, default) "
         "gives a default"},
        {"return tostring()", {NULL}, "bad argument #1 to 'tostring' (value expected) (s.lua:1)"},
    };
    PLACE_WRONG(scripts);
}

static void a_file_that_is_not_there(void **state)
{
    (void)state;
    char wanted[1200];
    snprintf(wanted, sizeof wanted, "%s/none.lua", place_folder());
    const char *got = place_wrong(NULL, &(place_request){.file = "none.lua"});
    assert_non_null(strstr(got, wanted));
    assert_non_null(strstr(got, "No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_names_are_told_with_the_nearest),
        cmocka_unit_test(numbers_are_checked_where_they_stand),
        cmocka_unit_test(choices_and_texts_are_checked_where_they_stand),
        cmocka_unit_test(lists_are_checked_where_they_stand),
        cmocka_unit_test(paths_schedules_and_weights_are_checked_where_they_stand),
        cmocka_unit_test(options_come_in_one_table_by_name),
        cmocka_unit_test(keys_take_plugins_of_their_kind),
        cmocka_unit_test(training_options_are_checked_where_they_stand),
        cmocka_unit_test(seeds_and_trials_are_whole_numbers),
        cmocka_unit_test(an_experiment_has_a_name_a_dataset_and_a_model),
        cmocka_unit_test(whole_numbers_may_be_written_as_floats),
        cmocka_unit_test(what_is_no_experiment),
        cmocka_unit_test(a_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
