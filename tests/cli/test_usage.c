/* test_usage.c - command lines, help, formats, and commands that need no run. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"run",     "plan",  "plugins", "runs",   "show",
                                    "compare", "query", "merge",   "doctor", "help"};
enum { NAMES = sizeof names / sizeof *names };

/* ---- help ---- */

static void assert_page(const char *text)
{
    int column = 0;
    for (const char *c = text; *c != '\0'; c++) {
        column = *c == '\n' ? 0 : column + 1;
        if (column > 100)
            fail_msg("a line is wider than 100 columns:\n%s", text);
        if (*c == '\n' && c > text && c[-1] == ' ')
            fail_msg("a line ends with a space:\n%s", text);
    }
}

static void test_every_command_has_a_page(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        char line[100], start[100];
        snprintf(line, sizeof line, "assay help %s", names[i]);
        snprintf(start, sizeof start, "assay %s", names[i]);
        outcome page = shell(line);
        assert_status(&page, 0);
        assert_string_equal(page.err, "");
        assert_memory_equal(page.out, start, strlen(start));
        assert_contains(page.out, "Examples\n  assay");
        assert_contains(page.out, "--db FILE");
        assert_page(page.out);
        snprintf(line, sizeof line, "assay %s --help", names[i]);
        outcome same = shell(line);
        assert_status(&same, 0);
        assert_string_equal(same.out, page.out);
        outcome_free(&same);
        outcome_free(&page);
    }
}

static void test_overview_names_every_command(void **state)
{
    (void)state;
    static const char *const lines[] = {"assay help", "assay --help", "assay -h"};
    for (int k = 0; k < 3; k++) {
        outcome page = shell(lines[k]);
        assert_status(&page, 0);
        assert_page(page.out);
        for (int i = 0; i < NAMES; i++) {
            char part[64];
            snprintf(part, sizeof part, "\n  %s ", names[i]);
            assert_contains(page.out, part);
        }
        outcome_free(&page);
    }
    outcome none = shell("assay");
    assert_status(&none, 2);
    assert_string_equal(none.out, "");
    assert_contains(none.err, "Commands");
    outcome_free(&none);
}

static void test_version(void **state)
{
    (void)state;
    outcome version = shell("assay --version");
    assert_status(&version, 0);
    assert_memory_equal(version.out, "assay ", 6);
    outcome_free(&version);
}

/* ---- wrong command lines ---- */

typedef struct wrong {
    const char *line, *message; /* the whole of stderr, "assay: " and the newline aside */
} wrong;

static const wrong wrongs[] = {
    {"assay rnu x.lua", "unknown command 'rnu'; hint: did you mean 'run'?"},
    {"assay frobnicate", "unknown command 'frobnicate'; hint: 'assay help' lists the commands"},
    {"assay help rnus", "unknown command 'rnus'; hint: did you mean 'runs'?"},
    {"assay run x.lua --rdo", "unknown option '--rdo' (assay run); hint: did you mean '--redo'?"},
    {"assay run x.lua --slurm",
     "unknown option '--slurm' (assay run); hint: 'assay help run' lists the options"},
    {"assay --frmat json runs", "unknown option '--frmat' (assay); hint: did you mean "
                                "'--format'?"},
    {"assay runs -x",
     "unknown option '-x' (assay runs); hint: 'assay help runs' lists the options"},
    {"assay runs --frmat=json", "unknown option '--frmat' (assay runs); hint: did you mean "
                                "'--format'?"},
    {"assay --format json rns", "unknown command 'rns'; hint: did you mean 'runs'?"},
    {"assay --nonsense", "unknown option '--nonsense' (assay); hint: 'assay help' lists what there "
                         "is"},
    {"assay run", "an argument is missing (assay run); expected SCRIPT.lua; hint: 'assay help run' "
                  "explains it"},
    {"assay merge a.db", "arguments are missing (assay merge); expected DEST SRC...; hint: 'assay "
                         "help merge' explains it"},
    {"assay runs a b", "too many arguments (assay runs); expected [EXPERIMENT], got b"},
    {"assay doctor me", "too many arguments (assay doctor); expected none, got me"},
    {"assay run x.lua --jobs", "option '--jobs' needs a value (assay run); expected N"},
    {"assay run x.lua --redo=1", "option '--redo' takes no value (assay run); got 1"},
    {"assay run x.lua --jobs 1 --jobs 2", "option '--jobs' is given twice (assay run)"},
    {"assay run x.lua --jobs 0", "bad value of '--jobs' (assay run); expected a whole number, "
                                 "1 .. 256, got '0'"},
    {"assay run x.lua --jobs two", "bad value of '--jobs' (assay run); expected a whole number, "
                                   "1 .. 256, got 'two'"},
    {"assay run x.lua --threads 2.5", "bad value of '--threads' (assay run); expected a whole "
                                      "number, 1 .. 1024, got '2.5'"},
    {"assay run x.lua --jobs 99999999999999999999", "bad value of '--jobs' (assay run); expected a "
                                                    "whole number, 1 .. 256, got "
                                                    "'99999999999999999999'"},
};

static void test_wrong_command_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        char whole[600];
        outcome result = shell(wrongs[i].line);
        snprintf(whole, sizeof whole, "assay: %s\n", wrongs[i].message);
        assert_string_equal(result.err, whole);
        assert_string_equal(result.out, "");
        assert_status(&result, 2);
        outcome_free(&result);
    }
    assert_false(there_is("results"));
}

/* Flags of every command stand anywhere; -- ends them. */
static void test_flags_stand_anywhere(void **state)
{
    (void)state;
    static const char *const lines[] = {"assay --db none.db runs", "assay runs --db none.db",
                                        "assay runs --db=none.db", "ASSAY_DB=none.db assay runs"};
    for (int i = 0; i < 4; i++) {
        outcome result = shell(lines[i]);
        assert_status(&result, 2);
        assert_one_message(&result);
        assert_contains(result.err, "there is no store (none.db)");
        outcome_free(&result);
    }
    outcome ended = shell("assay --db none.db show -- -1");
    assert_status(&ended, 2);
    assert_contains(ended.err, "there is no store (none.db)");
    outcome_free(&ended);
    assert_false(there_is("none.db"));
}

/* ---- output ---- */

static void test_formats_of_doctor(void **state)
{
    (void)state;
    json_error_t why;
    outcome data = shell("assay doctor --format json");
    assert_status(&data, 0);
    json_t *rows = json_loads(data.out, 0, &why);
    assert_true(json_is_array(rows));
    assert_true(json_array_size(rows) > 15);
    json_t *first = json_array_get(rows, 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "assay");
    json_decref(rows);
    outcome_free(&data);
    outcome csv = shell("assay doctor --format=csv");
    assert_status(&csv, 0);
    assert_memory_equal(csv.out, "about,name,value", 16);
    outcome_free(&csv);
    outcome text = shell("assay doctor");
    assert_status(&text, 0);
    static const char *const told[] = {"Lua",  "SQLite", "oneDNN", "jansson", "zlib",
                                       "cuda", "loaded", "cores",  "cache",   "results/assay.db"};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        assert_contains(text.out, told[i]);
    outcome_free(&text);
    outcome wrong_word = shell("assay doctor --format jsn");
    assert_status(&wrong_word, 2);
    assert_one_message(&wrong_word);
    assert_contains(wrong_word.err, "'json'");
    outcome_free(&wrong_word);
    assert_false(there_is("results"));
}

/* A reader that goes away is no failure; a disk that is full is one. */
static void test_output_that_goes_nowhere(void **state)
{
    (void)state;
    outcome gone = shell("assay doctor | head -1");
    assert_status(&gone, 0);
    assert_string_equal(gone.err, "");
    outcome_free(&gone);
    outcome ignored = shell("trap '' PIPE; assay help run | true");
    assert_status(&ignored, 0);
    assert_string_equal(ignored.err, "");
    outcome_free(&ignored);
    outcome full = shell("assay help run >/dev/full");
    assert_status(&full, 1);
    assert_one_message(&full);
    assert_contains(full.err, "the output cannot be written");
    outcome_free(&full);
    outcome full_table = shell("assay doctor --format csv >/dev/full");
    assert_status(&full_table, 1);
    assert_contains(full_table.err, "No space left on device");
    assert_one_message(&full_table);
    outcome_free(&full_table);
}

/* ---- start-up ---- */

/* The best of several: what the machine does beside is not the program's. */
static void test_starts_at_once(void **state)
{
    (void)state;
    const double bound = 0.06 * SLOWER;
    static const char *const lines[] = {"exec assay --version", "exec assay plugins"};
    for (int k = 0; k < 2; k++) {
        double best = 1e9;
        for (int i = 0; i < 10; i++) {
            outcome result = shell(lines[k]);
            assert_status(&result, 0);
            if (result.seconds < best)
                best = result.seconds;
            outcome_free(&result);
        }
        if (best > bound)
            fail_msg("%s takes %.0f ms", lines[k], best * 1e3);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_every_command_has_a_page),
        CASE(test_overview_names_every_command),
        CASE(test_version),
        CASE(test_wrong_command_lines),
        CASE(test_flags_stand_anywhere),
        CASE(test_formats_of_doctor),
        CASE(test_output_that_goes_nowhere),
        CASE(test_starts_at_once),
    };
    program_is_at(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
