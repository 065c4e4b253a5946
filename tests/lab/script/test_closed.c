/* test_closed.c - what a script cannot reach, and modules: the files beside it that it can. */
#include "place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct refused {
    const char *script, *message;
} refused;

/* All that are not as expected are told, then the test fails. */
static void check_messages(int n, const refused *scripts)
{
    int bad = 0;
    for (int i = 0; i < n; i++) {
        const char *got = place_wrong(
            scripts[i].script, &(place_request){.instructions = 5000000, .memory = 32 << 20});
        if (strcmp(got, scripts[i].message) == 0)
            continue;
        print_message("# %s\n#   got:      %s\n#   expected: %s\n", scripts[i].script, got,
                      scripts[i].message);
        bad++;
    }
    assert_int_equal(bad, 0);
}

#define CHECK(scripts) check_messages((int)(sizeof(scripts) / sizeof *(scripts)), scripts)

static void the_way_out_is_closed(void **state)
{
    (void)state;
    static const char *const names[] = {
        "os.execute('true')",
        "io.open('x')",
        "load('return 1')",
        "loadfile('x')",
        "dofile('x')",
        "debug.getinfo(1)",
        "coroutine.wrap(f)",
        "package.path",
        "print(1)",
        "setmetatable({}, {})",
        "getmetatable('')",
        "rawset({}, 1, 2)",
        "rawget({}, 1)",
        "next({})",
        "collectgarbage()",
        "_G.x",
        "_VERSION",
        "xpcall(f)",
        "warn('x')",
        "math.random()",
        "math.randomseed(1)",
        "string.dump(f)",
        "table.move({}, 1, 2, 3)",
        "('x'):dump()",
        "package.loadlib('x', '*')",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char script[256];
        snprintf(script, sizeof script, "local f = function() end\nlocal x = %s", names[i]);
        const char *got = place_wrong(script, NULL);
        bool told = strstr(got, "is not there in a script (s.lua:2)") != NULL ||
                    strstr(got, "undeclared global") != NULL;
        if (!told)
            fail_msg("%s: %s", names[i], got);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    static const refused scripts[] = {
        {"local n = 0\nwhile true do\n  n = n + 1\nend",
         "the script does not come to its end (s.lua:3); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"local f\nf = function() return f() end\nf()",
         "the script does not come to its end (s.lua:2); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"local function f() return 1 + f() end\nf()",
         "the script needs too much memory (s.lua:1); expected at most 32 MiB"},
        {"local t = {}\nfor i = 1, 1e9 do t[i] = i end",
         "the script needs too much memory (s.lua:2); expected at most 32 MiB"},
        {"local s = ('x'):rep(1e9)", "string.rep makes too long a text (s.lua:1)"},
        {"local s = (''):rep(1e18)", "string.rep makes too long a text (s.lua:1)"},
        {"local s = 'x'\nwhile true do s = s .. s end",
         "the script needs too much memory (s.lua:2); expected at most 32 MiB"},
        {"local f = function() end\nwhile true do\n  local g = f\n  f = function() return g end\n"
         "end",
         "the script needs too much memory (s.lua:4); expected at most 32 MiB"},
        {"local s = ('a'):rep(100000)\nreturn s:find('.-.-.-b')",
         "this pattern could take too long on so long a text (s.lua:2); hint: fewer of * + - in "
         "the pattern, '^' at its start, or a shorter text"},
        {"local s = ('a'):rep(100000)\nreturn s:gsub('\\0?.*.*.*b', '')",
         "this pattern could take too long on so long a text (s.lua:2); hint: fewer of * + - in "
         "the pattern, '^' at its start, or a shorter text"},
        {"local t = {}\nfor i = 1, 3e4 do t[i] = i end\nwhile true do table.insert(t, 1, 1) end",
         "the script does not come to its end (s.lua:3); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"pcall(function() while true do end end)\nreturn 3",
         "the script does not come to its end (s.lua:1); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"while true do pcall(function() while true do end end) end",
         "the script does not come to its end (s.lua:1); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"local t = {}\nwhile true do pcall(function() t[#t + 1] = ('x'):rep(1e6) end) end",
         "the script needs too much memory (s.lua:2); expected at most 32 MiB"},
        {"while true do pcall(error) end",
         "the script does not come to its end (s.lua:1); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"return table.sort({ 3, 2, 1 }, function() while true do end end)",
         "the script does not come to its end (s.lua:1); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"return ('x'):gsub('x', function() while true do end end)",
         "the script does not come to its end (s.lua:1); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"return table.unpack({}, 1, 1e8)",
         "the script does not come to its end (s.lua:1); expected at most 5000000 instructions; "
         "hint: is there a loop without an end?"},
        {"local t = {}\nfor i = 1, 100 do t = { t } end\nreturn any { t, 1 }",
         "lists are nested too deeply (s.lua:3); hint: a table that holds itself is no value"},
        {"return string.format('%p', {})",
         "'%p' is not there in a script (s.lua:1); hint: addresses differ every time"},
        {"return string.format('%%%5.2p', 'x')",
         "'%p' is not there in a script (s.lua:1); hint: addresses differ every time"},
        {"return string.format('\\0%p', 'x')",
         "'%p' is not there in a script (s.lua:1); hint: addresses differ every time"},
        {"return string.format('%s', {})", "string.format takes no table (s.lua:1)"},
        {"for k in pairs({ [{}] = 1 }) do end",
         "pairs cannot order a key that is a table (s.lua:1); hint: keys that are numbers or texts "
         "have an order"},
        {"goto a\n::a:: goto a", "the script does not come to its end (s.lua:2); expected at most "
                                 "5000000 instructions; hint: is there a loop without an end?"},
    };
    CHECK(scripts);
}

static void texts_show_no_addresses(void **state)
{
    (void)state;
    plan *of = place_plan(
        "local t = { tostring({}), tostring(nil), tostring(1.5), tostring(mask.still {}),\n"
        "  tostring(any { 1 }), tostring(tostring), ('%5.1f|%s'):format(2, true) }\n"
        "return experiment { name = 'x', seed = 1, dataset = dataset.files { path = 'data' },\n"
        "model = model.coder { note = table.concat(t, ' ') } }",
        NULL);
    assert_string_equal(place_param(of, 0, "model.note"),
                        "table nil 1.5 mask.still an axis function   2.0|true (script)");
    plan_free(of);
}

/* ---- modules ---- */

static void modules_are_lua_files_beside_the_script(void **state)
{
    (void)state;
    place_write("masks/soft.lua", "local m = {}\nfunction m.make(w)\n"
                                  "  return mask.slope { warmup = w }\nend\nreturn m");
    place_write("sizes.lua", "return { 'tiny', 'base' }");
    place_write("nothing.lua", "local x = 1");
    plan *of = place_plan("local soft, again = require 'masks.soft', require 'masks.soft'\n"
                          "assert(soft == again and require 'nothing' == true)\n" EXPERIMENT
                          "seed = 1, mask = soft.make(any { 0.1, 0.3 }), "
                          "train = { steps = #require('sizes') } }",
                          NULL);
    assert_int_equal(of->run_count, 2);
    assert_int_equal(of->source_count, 4);
    static const char *const names[] = {"s.lua", "masks/soft.lua", "nothing.lua", "sizes.lua"};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(of->sources[i].name, names[i]);
        assert_int_equal(of->sources[i].is_script, i == 0);
    }
    assert_string_equal(of->sources[2].text, "local x = 1");
    plan_free(of);
    assert_string_equal(
        place_wrong("local soft = require 'masks.soft'\nreturn soft.make(3)", NULL),
        "mask.slope.warmup is out of range (masks/soft.lua:3); expected 0 .. 1, got 3");
}

static void modules_that_fail_say_where(void **state)
{
    (void)state;
    place_write("broken.lua", "local x = 1\nlocal y = = 2");
    place_write("fails.lua", "local x = 1\n\nerror('not here')");
    place_write("fails_with_a_table.lua", "local x = 1\nerror({})");
    place_write("reads.lua", "return 1,\n  undeclared");
    place_write("writes.lua", "\nshared = 3");
    place_write("wrong.lua", "return mask.slope {\n  warmup = 3 }");
    place_write("loops.lua", "while true do end");
    place_write("a.lua", "return require 'b'");
    place_write("b.lua", "\nreturn require 'a'");
    place_write("c.lua", "return require 'fails'");
    place_write("compiled.lua", "\x1bLua");
    place_write_bytes("zero.lua", "return 1\0 2", 11);
    place_write("deep/er.lua", "return require 'missing'");
    static const refused scripts[] = {
        {"return require 'broken'", "unexpected symbol near '=' (broken.lua:2)"},
        {"return require 'fails'", "not here (fails.lua:3)"},
        {"return require 'fails_with_a_table'",
         "the script raised an error that is no text (fails_with_a_table.lua:2); got table"},
        {"return require 'reads'", "undeclared global 'undeclared' (reads.lua:2); hint: a variable "
                                   "of the script begins with 'local'"},
        {"return require 'writes'", "assignment to undeclared global 'shared' (writes.lua:2); "
                                    "hint: write 'local shared = ...'"},
        {"return require 'wrong'",
         "mask.slope.warmup is out of range (wrong.lua:1); expected 0 .. 1, got 3"},
        {"return require 'loops'",
         "the script does not come to its end (loops.lua:1); expected at most 5000000 "
         "instructions; hint: is there a loop without an end?"},
        {"return require 'a'", "module 'a' requires itself (b.lua:2)"},
        {"return require 'c'", "not here (fails.lua:3)"},
        {"return require 'compiled'",
         "this is compiled Lua, which is not run (compiled.lua); expected the text of a script"},
        {"return require 'zero'",
         "there is a zero byte in the text (zero.lua); expected the text of a script"},
        {"return require 'deep.er'",
         "module 'missing' cannot be read (deep/er.lua:1); expected missing.lua beside the script, "
         "got No such file or directory"},
        {"return require 'missing'",
         "module 'missing' cannot be read (s.lua:1); expected missing.lua beside the script, got "
         "No such file or directory"},
        {"return require 's'", "module 's' requires itself (s.lua:1)"},
        {"return require '../s'", "bad module name '../s' (s.lua:1); expected a Lua file beside "
                                  "the script: 'name' or 'folder.name'"},
        {"return require '..s'", "bad module name '..s' (s.lua:1); expected a Lua file beside the "
                                 "script: 'name' or 'folder.name'"},
        {"return require '.s'", "bad module name '.s' (s.lua:1); expected a Lua file beside the "
                                "script: 'name' or 'folder.name'"},
        {"return require 's.'", "bad module name 's.' (s.lua:1); expected a Lua file beside the "
                                "script: 'name' or 'folder.name'"},
        {"return require '/etc/passwd'", "bad module name '/etc/passwd' (s.lua:1); expected a Lua "
                                         "file beside the script: 'name' or 'folder.name'"},
        {"return require 'a\\0b'", "bad module name 'a' (s.lua:1); expected a Lua file beside the "
                                   "script: 'name' or 'folder.name'"},
        {"return require ''", "bad module name '' (s.lua:1); expected a Lua file beside the "
                              "script: 'name' or 'folder.name'"},
        {"return require(('x'):rep(300))",
         "bad module name 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' "
         "(s.lua:1); expected a Lua file beside the script: 'name' or 'folder.name'"},
        {"return require(3)", "module '3' cannot be read (s.lua:1); expected 3.lua beside the "
                              "script, got No such file or directory"},
        {"return require {}",
         "bad argument #1 to 'require' (string expected, got table) (s.lua:1)"},
        {"return require()",
         "bad argument #1 to 'require' (string expected, got no value) (s.lua:1)"},
        {"assert(not pcall(require, 'fails'))\nreturn require 'fails'", "not here (fails.lua:3)"},
    };
    CHECK(scripts);
}

/* A folder whose path is as long as paths get. */
static void folders_may_be_deep(void **state)
{
    char file[1024] = "", script[1100];
    (void)state;
    for (int i = 0; i < 8; i++)
        strcat(file, "a_folder_with_a_rather_long_name_of_fifty_letters_/");
    snprintf(script, sizeof script, "%smodule.lua", file);
    place_write(script, "return 7");
    snprintf(script, sizeof script, "%sdata/users", file);
    place_write(script, "");
    strcat(file, "s.lua");
    plan *of = place_plan(EXPERIMENT "seed = 1, train = { steps = require 'module' } }",
                          &(place_request){.file = file});
    assert_string_equal(place_param(of, 0, "train.steps"), "7 (script)");
    plan_free(of);
}

static void the_environment_is_read_by_env(void **state)
{
    (void)state;
    setenv("ASSAY_TEST_WIDTH", "128", 1);
    plan *of = place_plan("local w = tonumber(env('ASSAY_TEST_WIDTH', '64'))\n"
                          "local s = env('ASSAY_THAT_NOBODY_SETS', 'base')\n"
                          "return experiment { name = 'x', seed = 1, "
                          "dataset = dataset.files { path = 'data' }, "
                          "model = model.coder { width = w, size = s } }",
                          NULL);
    assert_string_equal(place_param(of, 0, "model.width"), "128 (script)");
    assert_string_equal(place_param(of, 0, "model.size"), "base (script)");
    plan_free(of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_out_is_closed),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(texts_show_no_addresses),
        cmocka_unit_test(modules_are_lua_files_beside_the_script),
        cmocka_unit_test(modules_that_fail_say_where),
        cmocka_unit_test(folders_may_be_deep),
        cmocka_unit_test(the_environment_is_read_by_env),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
