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

typedef struct wrong_script {
    const char *script;
    const char *set[3]; /* NULL-terminated */
    const char *message;
} wrong_script;

/* All that are not as expected are told, then the test fails. */
static void check_messages(int n, const wrong_script *scripts)
{
    int bad = 0;
    for (int i = 0; i < n; i++) {
        const char *got = place_wrong(
            scripts[i].script, &(place_request){.set = scripts[i].set, .instructions = 10000000});
        if (strcmp(got, scripts[i].message) == 0)
            continue;
        print_message("# %s %s\n#   got:      %s\n#   expected: %s\n", scripts[i].script,
                      scripts[i].set[0] != NULL ? scripts[i].set[0] : "", got, scripts[i].message);
        bad++;
    }
    assert_int_equal(bad, 0);
}

#define CHECK(scripts) check_messages((int)(sizeof(scripts) / sizeof *(scripts)), scripts)

/* ---- names ---- */

static void unknown_names_are_told_with_the_nearest(void **state)
{
    (void)state;
    static const wrong_script scripts[] = {
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
    CHECK(scripts);
}

/* ---- types and ranges ---- */

static void values_are_checked_where_they_stand(void **state)
{
    (void)state;
    static const wrong_script scripts[] = {
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
    CHECK(scripts);
}

static void whole_numbers_may_be_written_as_floats(void **state)
{
    (void)state;
    plan *a = place_plan(EXPERIMENT "train = { steps = 8.0 } }", NULL);
    assert_string_equal(place_param(a, 0, "train.steps"), "8 (script)");
    plan_free(a);
}

/* ---- axes ---- */

static void axes_that_cannot_be(void **state)
{
    (void)state;
    static const wrong_script scripts[] = {
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
    CHECK(scripts);
}

/* ---- stages ---- */

#define STAGE(name, rest)                                                                          \
    "run { name = '" name "', dataset = dataset.files { path = 'data' }, model = model.coder {}"   \
    " " rest " }"

static void stages_that_cannot_be(void **state)
{
    (void)state;
    static const wrong_script scripts[] = {
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
    CHECK(scripts);
}

/* ---- schedules ---- */

static void schedules_that_give_no_number(void **state)
{
    (void)state;
#define SCHEDULE(function)                                                                         \
    "local x = 1\nlocal f = " function "\n" EXPERIMENT                                             \
    "mask = mask.slope { weight = f }, train = { steps = 10 } }"
    static const wrong_script scripts[] = {
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
    CHECK(scripts);
}

/* ---- --set ---- */

static void settings_of_the_command_line(void **state)
{
    (void)state;
#define SLOPE EXPERIMENT "mask = mask.slope {}, loss = { loss.match {}, loss.match {} } }"
    static const wrong_script scripts[] = {
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
    CHECK(scripts);
}

/* ---- the script as a text ---- */

static void what_is_no_experiment(void **state)
{
    (void)state;
    static const wrong_script scripts[] = {
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
    CHECK(scripts);
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
        cmocka_unit_test(values_are_checked_where_they_stand),
        cmocka_unit_test(whole_numbers_may_be_written_as_floats),
        cmocka_unit_test(axes_that_cannot_be),
        cmocka_unit_test(stages_that_cannot_be),
        cmocka_unit_test(schedules_that_give_no_number),
        cmocka_unit_test(settings_of_the_command_line),
        cmocka_unit_test(what_is_no_experiment),
        cmocka_unit_test(a_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
