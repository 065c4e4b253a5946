/* test_sandbox.c - a script cannot take the program down or keep it: every limit holds wherever
 * it is reached, in Lua, in C under Lua, in words of the language, and no pcall hides it. */
#include "reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EXPERIMENT                                                                                 \
    "return experiment { name = 'e', dataset = dataset.toy {}, model = model.toy_encoder {},\n"    \
    "  seed = 1, train = { steps = 4 }, mask = mask.toy_ramp { weight = function(step, total)\n"   \
    "  return step / total end } }"

typedef struct hostile {
    const char *text, *expected; /* the message's beginning */
} hostile;

static const hostile scripts[] = {
    {"local t = {} t[1] = t any(t)", "lists are nested too deeply (sweep.lua:1)"},
    {"local t = {} for i = 1, 1e5 do t = { t } end any(t)",
     "lists are nested too deeply (sweep.lua:1)"},
    {"while true do any { 1, 2, 3 } end", "the script needs too much memory (sweep.lua:1)"},
    {"while true do seeds(100000) end", "the script needs too much memory (sweep.lua:1)"},
    {"while true do pcall(seeds, 100000) end", "the script needs too much memory (sweep.lua:1)"},
    {"local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e6) .. #t end) end",
     "the script needs too much memory (sweep.lua:1)"},
    {"while true do pcall(function() while true do end end) end",
     "the script does not come to its end (sweep.lua:1); expected at most 1000000 instructions"},
    {"local s = ('a'):rep(1e7) s:find(('a'):rep(5e6) .. 'b', 1, true)",
     "this pattern could take too long on so long a text (sweep.lua:1)"},
    {"local s = ('a'):rep(1e5) s:find('\\0.*.*.*.*b')",
     "this pattern could take too long on so long a text (sweep.lua:1)"},
    {"local s = ('a'):rep(3000) for w in s:gmatch('^a-a-b') do end",
     "this pattern could take too long on so long a text (sweep.lua:1)"},
    {"\x1bLua", "this is compiled Lua, which is not run (sweep.lua)"},
    {"return any { 1 } * 2", "an axis cannot be computed with (sweep.lua:1)"},
    {"return 3 < any { 1 }", "an axis cannot be computed with (sweep.lua:1)"},
    {"local z = zip { size = { 1, 2 } } return z.sise",
     "this zip has no field 'sise' (sweep.lua:1); hint: did you mean 'size'?"},
    {"return any { any { 1, 2 }, 3 }", "an alternative of any is itself an axis (sweep.lua:1)"},
    {"return any { 1, uniform(0, 1) }", "an alternative of any is itself an axis (sweep.lua:1)"},
    {"return choice { mask.toy_ramp { gain = any { 1, 2 } } }",
     "an axis inside an alternative of choice (sweep.lua:1)"},
    {"return zip { a = { any { 1, 2 }, 3 } }", "a value of zip.a is itself an axis (sweep.lua:1)"},
    {"return { name = 'e' }", "the script returns no experiment (sweep.lua)"},
};

static void test_hostile(void **state)
{
    (void)state;
    const reading how = {.memory_limit = 48 << 20, .instruction_limit = 1000000};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        char *got = read_table(scripts[i].text, &how);
        if (strncmp(got, scripts[i].expected, strlen(scripts[i].expected)) != 0)
            fail_msg("%s\n  gave      %s  expected  %s", scripts[i].text, got, scripts[i].expected);
        free(got);
    }
}

/* Patterns that scripts do write. */
static void test_patterns_that_pass(void **state)
{
    (void)state;
    expect_table("local s = ('ab '):rep(80)\n"
                 "assert(s:match('^%s*(.-)%s*$') == ('ab '):rep(80):sub(1, -2))\n"
                 "assert(select(2, ('x,'):rep(5000):gsub(',', ';')) == 5000)\n"
                 "assert(('a[*b'):match('[][*+-]+') == '[*')\n"
                 "assert(('1e-3'):match('^[%d.]+e[+-]?%d+$') == '1e-3')\n" EXPERIMENT,
                 NULL, "0 main - seed=1\n");
}

/* Memory ends at every point of reading and planning: always a message, never the end of the
 * program. */
static void test_memory_at_every_point(void **state)
{
    (void)state;
    int refused = 0, passed = 0;
    for (int64_t limit = 1000; limit < 120000; limit += 97) {
        reading how = {.memory_limit = limit,
                       .set_count = 2,
                       .sets = {{"train.lr", "any { 1e-3, 1e-2 }"},
                                {"mask.gain", "({ 1, 2, ('x'):rep(300) })[2]"}}};
        assay_error error = {0};
        plan *made = read_plan(EXPERIMENT, &how, &error);
        if (made != NULL) {
            assert_int_equal(made->run_count, 2);
            passed++;
        } else {
            assert_int_not_equal(error.code, ASSAY_OK);
            assert_true(error.what[0] != '\0');
            refused++;
        }
        plan_free(made);
    }
    assert_true(refused > 100 && passed > 10);
}

typedef struct schedule_case {
    const char *body, *expected;
} schedule_case;

static void test_schedules_that_fail(void **state)
{
    (void)state;
    static const schedule_case wrong[] = {
        {"error('no')", "no (sweep.lua:2)\n"},
        {"return nothing", "undeclared global 'nothing' (sweep.lua:2); "},
        {"return 'x'",
         "a schedule gave no number at step 0 (sweep.lua:1); expected a finite number, "
         "got string\n"},
        {"return step",
         "mask.toy_ramp.weight is out of range at step 2 (sweep.lua:1); expected 0 .. "
         "1, got 2\n"},
        {"while true do end", "the script does not come to its end (sweep.lua:2)"},
    };
    const reading how = {.instruction_limit = 1000000};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "local m = mask.toy_ramp { weight = function(step)\n%s end }\n"
                 "return experiment { name = 'e', dataset = dataset.toy {},\n"
                 "  model = model.toy_encoder {}, mask = m, train = { steps = 4 } }",
                 wrong[i].body);
        char *got = read_table(text, &how);
        if (strncmp(got, wrong[i].expected, strlen(wrong[i].expected)) != 0)
            fail_msg("%s\n  gave      %s  expected  %s", wrong[i].body, got, wrong[i].expected);
        free(got);
    }
}

/* A message names what is first in order, not what a hash table meets first. */
static void test_messages_are_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        expect_table("return mask.toy_ramp { gain = print_it == nil, to = {}, from = { a = 1 } }",
                     NULL,
                     "undeclared global 'print_it' (sweep.lua:1); hint: a variable of the script "
                     "begins with 'local'\n");
    expect_table(
        "return mask.toy_ramp { warmup = { z = 1 }, to = { b = 1, a = 2 }, gain = { 1 } }", NULL,
        "a table with the name 'a' where a value is due (sweep.lua:1); hint: a list is { a, b, "
        "c }; a plugin's options come after its name\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_patterns_that_pass),
        cmocka_unit_test(test_memory_at_every_point),
        cmocka_unit_test(test_schedules_that_fail),
        cmocka_unit_test(test_messages_are_the_same),
    };
    return cmocka_run_group_tests_name("script sandbox", tests, NULL, NULL);
}
