/* test_wrong.c - wrong scripts, plugins and stores: one message with place and hint, status 2, and
 * nothing made. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTS 4

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Refused with one message that contains every part, and no store was made. */
static void assert_refused(const char *line, const char *const parts[PARTS])
{
    outcome result = shell(line);
    if (result.status != 2)
        fail_msg("%s: status %d\n%s%s", line, result.status, result.out, result.err);
    assert_one_message(&result);
    for (int i = 0; i < PARTS && parts[i] != NULL; i++)
        assert_contains(result.err, parts[i]);
    assert_string_equal(result.out, "");
    outcome_free(&result);
    assert_false(there_is("results"));
}

/* ---- scripts ----
 * Three lines make what most scripts need, so that what follows begins on line 4. */
#define TOP                                                                                        \
    "local data, toy = dataset.toy { size = 32 }, model.toy_encoder {}\n"                          \
    "local train = { steps = 4, batch = 8 }\n"                                                     \
    "local contrast = loss.toy_contrast {}\n"
#define WHOLE                                                                                      \
    "return experiment { name = 'x', dataset = data, model = toy, loss = contrast, train = train " \
    "}\n"

typedef struct wrong_script {
    const char *about, *text, *parts[PARTS];
} wrong_script;

static const wrong_script scripts[] = {
    {"unknown plugin", TOP "local m = mask.toy_ram {}\n" WHOLE, {"x.lua:4", "toy_ram", "toy_ramp"}},
    {"unknown kind of thing",
     TOP "local m = msk.toy_ramp {}\n" WHOLE,
     {"x.lua:4", "msk", "did you mean 'mask'"}},
    {"unknown option",
     TOP "local l = loss.toy_contrast { tempreature = 0.1 }\n" WHOLE,
     {"x.lua:4", "tempreature", "did you mean 'temperature'"}},
    {"unknown key of experiment",
     TOP "return experiment { name = 'x', dataset = data, modl = toy }\n",
     {"x.lua:4", "modl", "did you mean 'model'"}},
    {"unknown key of train",
     TOP "return experiment { name = 'x', dataset = data, model = toy, loss = contrast,\n"
         "  train = { stepz = 4 } }\n",
     {"x.lua:", "stepz", "did you mean 'steps'"}},
    {"no name", TOP "return experiment { dataset = data, model = toy }\n", {"x.lua:4", "name"}},
    {"no model", TOP "return experiment { name = 'x', dataset = data }\n", {"x.lua:4", "model"}},
    {"wrong type",
     TOP "local m = model.toy_encoder { width = 'wide' }\n" WHOLE,
     {"x.lua:4", "width", "integer", "wide"}},
    {"8.5 where an integer is due",
     TOP "local m = model.toy_encoder { width = 8.5 }\n" WHOLE,
     {"x.lua:4", "width", "integer", "8.5"}},
    {"out of range",
     TOP "local d = dataset.toy { stray = 1.5 }\n" WHOLE,
     {"x.lua:4", "stray", "0 .. 1", "1.5"}},
    {"a choice that is none",
     TOP "local l = loss.toy_contrast { variant = 'gg_cod' }\n" WHOLE,
     {"x.lua:4", "variant", "gg_cod", "gg_code"}},
    {"not a number", TOP "local d = dataset.toy { stray = 0/0 }\n" WHOLE, {"x.lua:4", "stray"}},
    {"undeclared global", TOP "local n = stepz + 1\n" WHOLE, {"x.lua:4", "stepz"}},
    {"assignment to a global", TOP "stepz = 1\n" WHOLE, {"x.lua:4", "stepz"}},
    {"syntax error", TOP "return experiment { name = \n", {"x.lua:5"}},
    {"endless loop", TOP "while true do end\n" WHOLE, {"x.lua:4", "instructions"}},
    {"memory hog",
     TOP "local t = {}\nfor i = 1, 1e7 do t[i] = string.rep('x', 1000) .. i end\n" WHOLE,
     {"x.lua", "memory"}},
    {"memory hog in one call", TOP "local s = string.rep('x', 1 << 40)\n" WHOLE, {"x.lua:4"}},
    {"os.execute", TOP "os.execute('touch made')\n" WHOLE, {"x.lua:4", "os"}},
    {"io.open", TOP "io.open('made', 'w')\n" WHOLE, {"x.lua:4", "io"}},
    {"load", TOP "load('return 1')()\n" WHOLE, {"x.lua:4", "load"}},
    {"math.random", TOP "local r = math.random()\n" WHOLE, {"x.lua:4", "random"}},
    {"require of what is not there", TOP "require 'nothing'\n" WHOLE, {"x.lua:4", "nothing"}},
    {"the script's own error", TOP "error('no such data today')\n", {"x.lua:4", "no such data"}},
    {"nothing returned", TOP, {"x.lua", "experiment"}},
    {"something else returned", TOP "return 12\n", {"x.lua", "experiment"}},
    {"two lists of unequal lengths",
     TOP "local z = zip { a = { 1, 2 }, b = { 1, 2, 3 } }\n" WHOLE,
     {"x.lua:4", "zip"}},
    {"an axis without values",
     TOP "return experiment { name = 'x', dataset = data, model = toy, seed = any {} }\n",
     {"x.lua:4", "any"}},
    {"no steps at all",
     TOP "return experiment { name = 'x', dataset = data, model = toy, loss = contrast,\n"
         "  train = { steps = -1 } }\n",
     {"x.lua:", "steps", "-1"}},
    {"a schedule outside its range",
     TOP "local m = mask.toy_ramp { weight = function(step, total) return 2 + step end }\n"
         "return experiment { name = 'x', dataset = data, model = toy, mask = m,\n"
         "  loss = contrast, train = train }\n",
     {"x.lua:", "weight", "0 .. 1"}},
    {"a precision of another device",
     TOP "return experiment { name = 'x', dataset = data, model = toy, loss = contrast,\n"
         "  train = { steps = 4, batch = 8, precision = 'tf32' } }\n",
     {"tf32"}},
};

static void test_wrong_scripts(void **state)
{
    (void)state;
    static const char *const commands[] = {"assay plan x.lua", "assay run x.lua"};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        print_message("# %s\n", scripts[i].about);
        write_text("x.lua", scripts[i].text);
        assert_refused(commands[i % 2], scripts[i].parts);
        assert_false(there_is("made"));
    }
}

/* What only shows when everything is put together. */
static const wrong_script assemblies[] = {
    {"a loss that wants what no model gives",
     TOP "return experiment { name = 'x', dataset = data, model = toy, train = train,\n"
         "  loss = loss.toy_broken { output = 'user.nothing' } }\n",
     {"user.nothing"}},
    {"an evaluator of an unknown suite",
     TOP "return experiment { name = 'x', dataset = data, model = toy, loss = contrast,\n"
         "  train = train, evaluate = { evaluator.toy_probe { suite = 'toi' } } }\n",
     {"toi"}},
};

static void test_wrong_assemblies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof assemblies / sizeof *assemblies; i++) {
        print_message("# %s\n", assemblies[i].about);
        write_text("x.lua", assemblies[i].text);
        assert_refused("assay run x.lua", assemblies[i].parts);
        assert_refused("assay plan x.lua", assemblies[i].parts);
    }
}

/* ---- command lines about scripts ---- */

typedef struct wrong_line {
    const char *line, *parts[PARTS];
} wrong_line;

static const wrong_line lines[] = {
    {"assay run nothing.lua", {"nothing.lua"}},
    {"assay run .", {"."}},
    {"assay run $S/walks.lua --set train.stepz=3", {"train.stepz", "train.steps"}},
    {"assay run $S/walks.lua --set train.steps=many", {"train.steps"}},
    {"assay run $S/walks.lua --set train.steps=8.5", {"train.steps", "integer", "8.5"}},
    {"assay run $S/walks.lua --set train.steps", {"--set", "PATH=VALUE", "'train.steps'"}},
    {"assay run $S/walks.lua --set =3", {"--set", "PATH=VALUE"}},
    {"assay run $S/walks.lua --set loss.toy_next.weight=1", {"loss.toy_next"}},
    {"assay run $S/walks.lua --set pretraining.train.steps=1", {"pretraining"}},
    {"CUDA_VISIBLE_DEVICES= assay run $S/walks.lua --device cuda", {"cuda", "hint"}},
    {"CUDA_VISIBLE_DEVICES= assay run $S/walks.lua --device cuda:1", {"cuda", "hint"}},
    {"assay run $S/walks.lua --device cuda:x", {"unknown device 'cuda:x'", "cpu or cuda"}},
    {"assay run $S/walks.lua --device gpu", {"unknown device 'gpu'", "cpu or cuda"}},
    {"assay plan $S/walks.lua --device cpv", {"unknown device 'cpv'", "did you mean 'cpu'?"}},
    {"assay plan $S/walks.lua --plugins nowhere", {"--plugins", "'nowhere'"}},
    {"assay plan $S/walks.lua --format jsn", {"json"}},
    {"assay plugins msk", {"unknown kind 'msk'", "did you mean 'mask'?"}},
    {"assay plugins mask.toy_ram", {"toy_ram", "did you mean 'toy_ramp'?"}},
    {"assay query 'SELECT 1'", {"there is no store (results/assay.db)", "assay run"}},
};

static void test_wrong_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_refused(lines[i].line, lines[i].parts);
}

/* ---- plugins ---- */

typedef struct refused {
    const char *name, *make, *reason; /* bad/NAME.so, which the shell makes */
} refused;

static const refused refusals[] = {
    {"text", "echo hello >bad/text.so", "is no shared object"},
    {"empty", ": >bad/empty.so", "is no shared object"},
    {"cut", "head -c 3000 $T/mask_toy_ramp.so >bad/cut.so", "is cut off"},
    {"again", "cp $F/twin.so bad/again.so && cp $F/twin.so bad/also.so", "is there already: bad/a"},
    {"other_abi", "cp $F/other_abi.so bad/", "was built for another plugin ABI; expected 1.x, got"},
    {"newer", "cp $F/newer.so bad/", "needs a newer program"},
    {"other_build", "cp $F/other_build.so bad/", "is of another build"},
    {"no_entry", "cp $F/no_entry.so bad/", "is no plugin"},
    {"not_a_descriptor", "cp $F/not_a_descriptor.so bad/", "too small"},
    {"unresolved", "cp $F/unresolved.so bad/", "undefined symbol"},
    {"gone", "ln -s nothing bad/gone.so", "cannot be read"},
    {"folder", "mkdir bad/folder.so", ""},
};

/* The reason is on stderr and with the doctor; what is good stays usable. */
static void test_refused_plugins(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char line[300];
        snprintf(line, sizeof line, "rm -rf bad && mkdir bad && %s", refusals[i].make);
        outcome made = shell(line);
        assert_status(&made, 0);
        outcome_free(&made);
        outcome listed = shell("assay plugins --plugins bad");
        assert_status(&listed, 0);
        assert_contains(listed.err, "assay: warning: refused bad/");
        assert_contains(listed.err, refusals[i].reason);
        assert_contains(listed.out, "toy_ramp");
        outcome_free(&listed);
        outcome doctor = shell("assay doctor --plugins bad");
        assert_status(&doctor, 0);
        assert_contains(doctor.out, refusals[i].reason);
        outcome_free(&doctor);
    }
    outcome planned = shell("assay plan $S/walks.lua --plugins bad");
    assert_status(&planned, 0);
    outcome_free(&planned);
    assert_false(there_is("results"));
}

/* ---- stores ---- */

static void execute(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The file is as it was after every command that would use it. */
static void assert_store_refused(const char *db, const char *part)
{
    static const char *const commands[] = {
        "run $S/walks.lua", "plan $S/walks.lua", "runs",       "show 1",
        "compare walks",    "query 'SELECT 1'",  "merge x.db",
    };
    char line[300];
    snprintf(line, sizeof line, "cp %s before", db);
    outcome copied = shell(line);
    assert_status(&copied, 0);
    outcome_free(&copied);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *const parts[PARTS] = {db, part};
        bool merge = i + 1 == sizeof commands / sizeof *commands;
        snprintf(line, sizeof line, "assay %s %s%s", commands[i], merge ? "" : "--db ", db);
        assert_refused(line, parts);
        snprintf(line, sizeof line, "cmp %s before", db);
        outcome same = shell(line);
        assert_status(&same, 0);
        outcome_free(&same);
        assert_false(there_is("x.db"));
    }
}

static void test_files_that_are_no_store(void **state)
{
    (void)state;
    write_text("text.db",
               "This is no database at all, though it is long enough to be looked at.\n");
    assert_store_refused("text.db", "not");
    execute("foreign.db", "CREATE TABLE t(x); INSERT INTO t VALUES(1);");
    assert_store_refused("foreign.db", "a database of another program");
}

static void test_newer_store(void **state)
{
    (void)state;
    outcome made = shell("assay run $S/walks.lua --quiet --db new.db --set train.steps=0");
    assert_status(&made, 0);
    outcome_free(&made);
    execute("new.db", "PRAGMA user_version = 1000; PRAGMA journal_mode = DELETE;");
    assert_store_refused("new.db", "the store is newer than this program");
}

static const wrong_line places[] = {
    {"assay run $S/walks.lua --db nowhere/x.db", {"the store's folder is not there", "nowhere"}},
    {"assay run $S/walks.lua --db /proc/x.db", {"/proc"}},
    {"assay run $S/walks.lua --db /dev/full", {"/dev/full", "regular file"}},
    {"assay run $S/walks.lua --db .", {"regular file"}},
    {": >file; assay run $S/walks.lua --db file/x.db", {"folder is not there (file)"}},
    {"assay merge nowhere/x.db file", {"nowhere"}},
    {"assay merge x.db nothing.db", {"there is no store (nothing.db)"}},
};

static void test_places_that_cannot_be_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        assert_refused(places[i].line, places[i].parts);
    assert_false(there_is("x.db"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_wrong_scripts),
        CASE(test_wrong_assemblies),
        CASE(test_wrong_lines),
        CASE(test_refused_plugins),
        CASE(test_files_that_are_no_store),
        CASE(test_newer_store),
        CASE(test_places_that_cannot_be_written),
    };
    program_is_at(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests_name("wrong", tests, NULL, NULL);
}
