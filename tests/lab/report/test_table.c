/* test_table.c - tables in five formats: aligned, and with hostile cells still whole. */
#include "lab/report/table.h"

#include <assay/memory.h>

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The printed table; the caller frees it. */
static char *print(const table *of, table_format format)
{
    char *text = NULL;
    size_t bytes = 0;
    assay_error error = {0};
    FILE *out = open_memstream(&text, &bytes);
    if (!table_print(of, format, out, &error))
        fail_msg("%s", error.what);
    fclose(out);
    return text;
}

static void assert_prints(const table *of, table_format format, const char *expected)
{
    char *text = print(of, format);
    assert_string_equal(text, expected);
    free(text);
}

static table *must_make(int columns, const char *const *names)
{
    table *made = table_new(columns, names, NULL);
    assert_non_null(made);
    return made;
}

static table *plain(void)
{
    static const char *const names[] = {"mask", "n", "auc"};
    table *made = must_make(3, names);
    table_text(made, "causal");
    table_integer(made, 6);
    table_number(made, 0.73125, 4);
    table_text(made, "hybrid_mlp");
    table_integer(made, 12);
    table_number(made, -0.5, 4);
    table_text(made, NULL);
    table_integer(made, 1);
    table_number(made, NAN, 4);
    return made;
}

static void one_table_has_five_forms(void **state)
{
    (void)state;
    table *made = plain();
    assert_int_equal(table_rows(made), 3);
    assert_prints(made, TABLE_TEXT,
                  "mask         n      auc\n"
                  "----------  --  -------\n"
                  "causal       6   0.7312\n"
                  "hybrid_mlp  12  -0.5000\n"
                  "             1      n/a\n");
    assert_prints(made, TABLE_JSON,
                  "[\n"
                  "  {\"mask\": \"causal\", \"n\": 6, \"auc\": 0.73125},\n"
                  "  {\"mask\": \"hybrid_mlp\", \"n\": 12, \"auc\": -0.5},\n"
                  "  {\"mask\": null, \"n\": 1, \"auc\": null}\n"
                  "]\n");
    assert_prints(made, TABLE_CSV,
                  "mask,n,auc\r\ncausal,6,0.73125\r\nhybrid_mlp,12,-0.5\r\n,1,\r\n");
    assert_prints(made, TABLE_MARKDOWN,
                  "| mask | n | auc |\n|---|--:|--:|\n| causal | 6 | 0.7312 |\n"
                  "| hybrid\\_mlp | 12 | -0.5000 |\n|  | 1 | n/a |\n");
    assert_prints(made, TABLE_LATEX,
                  "\\begin{tabular}{lrr}\n\\toprule\nmask & n & auc \\\\\n\\midrule\n"
                  "causal & 6 & 0.7312 \\\\\nhybrid\\_mlp & 12 & $-0.5000$ \\\\\n"
                  " & 1 & n/a \\\\\n\\bottomrule\n\\end{tabular}\n");
    table_free(made);
}

/* What one cell of one column becomes, without the frame around it. */
typedef struct hostile {
    const char *cell, *text, *json, *csv, *markdown, *latex;
} hostile;

static const hostile hostile_cells[] = {
    {"", "", "\"\"", "\"\"", "", ""},
    {"a\"b", "a\"b", "\"a\\\"b\"", "\"a\"\"b\"", "a\"b", "a''b"},
    {"a,b", "a,b", "\"a,b\"", "\"a,b\"", "a,b", "a,b"},
    {"a\nb", "a\\nb", "\"a\\nb\"", "\"a\nb\"", "a\\\\nb", "a\\textbackslash{}nb"},
    {"a\r\tb", "a\\r\\tb", "\"a\\u000d\\tb\"", "\"a\r\tb\"", "a\\\\r\\\\tb",
     "a\\textbackslash{}r\\textbackslash{}tb"},
    {"a|b", "a|b", "\"a|b\"", "a|b", "a\\|b", "a\\textbar{}b"},
    {"a\\b", "a\\b", "\"a\\\\b\"", "a\\b", "a\\\\b", "a\\textbackslash{}b"},
    {"\x1b[2J", "\\x1b[2J", "\"\\u001b[2J\"", "\x1b[2J", "\\\\x1b\\[2J",
     "\\textbackslash{}x1b{[}2J"},
    {"\xc2\x85", "\\u0085", "\"\xc2\x85\"", "\xc2\x85", "\\\\u0085", "\\textbackslash{}u0085"},
    {" x ", " x", "\" x \"", "\" x \"", " x ", " x "},
    {"<b>&", "<b>&", "\"<b>&\"", "<b>&", "&lt;b&gt;&amp;", "\\textless{}b\\textgreater{}\\&"},
    {"50% $#_{}~^", "50% $#_{}~^", "\"50% $#_{}~^\"", "50% $#_{}~^", "50% \\$#\\_{}\\~^",
     "50\\% \\$\\#\\_\\{\\}\\textasciitilde{}\\textasciicircum{}"},
    {"*a* `b` --x", "*a* `b` --x", "\"*a* `b` --x\"", "*a* `b` --x", "\\*a\\* \\`b\\` --x",
     "{*}a{*} \\textasciigrave{}b\\textasciigrave{} -{}-x"},
    {"\xc3\xa9\xe4\xb8\xad", "\xc3\xa9\xe4\xb8\xad", "\"\xc3\xa9\xe4\xb8\xad\"",
     "\xc3\xa9\xe4\xb8\xad", "\xc3\xa9\xe4\xb8\xad", "\xc3\xa9\xe4\xb8\xad"},
    {"\xff\xc3(", "\xef\xbf\xbd\xef\xbf\xbd(", "\"\xef\xbf\xbd\xef\xbf\xbd(\"",
     "\xef\xbf\xbd\xef\xbf\xbd(", "\xef\xbf\xbd\xef\xbf\xbd(", "\xef\xbf\xbd\xef\xbf\xbd("},
};

/* `text` without the frame: from after `before` to `after` at its end. */
static void assert_inside(char *text, const char *before, const char *after, const char *expected)
{
    char *start = strstr(text, before);
    assert_non_null(start);
    start += strlen(before);
    size_t length = strlen(start), tail = strlen(after);
    assert_true(length >= tail && strcmp(start + length - tail, after) == 0);
    start[length - tail] = '\0';
    assert_string_equal(start, expected);
    free(text);
}

static void hostile_texts_stay_inside_their_cells(void **state)
{
    (void)state;
    static const char *const names[] = {"c", "end"};
    for (size_t i = 0; i < sizeof hostile_cells / sizeof *hostile_cells; i++) {
        const hostile *cell = &hostile_cells[i];
        table *made = must_make(2, names);
        table_text(made, cell->cell);
        table_text(made, NULL);
        char *text = print(made, TABLE_TEXT);
        char *row = strchr(strchr(text, '\n') + 1, '\n') + 1;
        row[strlen(row) - 1] = '\0';
        assert_int_equal(strncmp(row, cell->text, strlen(cell->text)), 0);
        assert_null(strpbrk(row, "\n\r\t\x1b"));
        free(text);
        assert_inside(print(made, TABLE_JSON), "{\"c\": ", ", \"end\": null}\n]\n", cell->json);
        assert_inside(print(made, TABLE_CSV), "\r\n", ",\r\n", cell->csv);
        assert_inside(print(made, TABLE_MARKDOWN), "|---|---|\n| ", " |  |\n", cell->markdown);
        assert_inside(print(made, TABLE_LATEX), "\\midrule\n",
                      " &  \\\\\n\\bottomrule\n\\end{tabular}\n", cell->latex);
        table_free(made);
    }
}

/* Another reader of JSON gets back what went in, control characters included. */
static void json_is_read_back_whole(void **state)
{
    (void)state;
    static const char *const names[] = {"a \"name\"\n", "x"};
    static const double values[] = {0.1, 1e-300, 123456789.123456789, -0.0, 5e-324, 2};
    char all[128] = "";
    for (int i = 0; i < 126; i++)
        all[i] = (char)(i + 1);
    table *made = must_make(2, names);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        table_text(made, all);
        table_number(made, values[i], 2);
    }
    table_text(made, NULL);
    table_number(made, INFINITY, 2);
    char *text = print(made, TABLE_JSON);
    json_t *read = json_loads(text, 0, NULL);
    assert_non_null(read);
    assert_int_equal(json_array_size(read), 7);
    for (size_t i = 0; i < 6; i++) {
        json_t *row = json_array_get(read, i);
        assert_string_equal(json_string_value(json_object_get(row, names[0])), all);
        assert_true(json_number_value(json_object_get(row, "x")) == values[i]);
    }
    assert_true(json_is_null(json_object_get(json_array_get(read, 6), names[0])));
    assert_string_equal(json_string_value(json_object_get(json_array_get(read, 6), "x")), "inf");
    json_decref(read);
    free(text);
    table_free(made);
}

static void columns_line_up_by_what_a_terminal_shows(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b"};
    static const char *const cells[] = {
        "\xe4\xb8\xad\xe6\x96\x87", /* two wide characters */
        "e\xcc\x81t\xc3\xa9",       /* a combining accent and a composed one */
        "\xf0\x9f\x98\x80",         /* beyond the first plane, wide */
        "\xce\xb1\xce\xb2\xce\xb3\xce\xb4",
    };
    table *made = must_make(2, names);
    for (int i = 0; i < 4; i++) {
        table_text(made, cells[i]);
        table_text(made, "x");
    }
    assert_prints(made, TABLE_TEXT,
                  "a     b\n----  -\n"
                  "\xe4\xb8\xad\xe6\x96\x87  x\n"
                  "e\xcc\x81t\xc3\xa9   x\n"
                  "\xf0\x9f\x98\x80    x\n"
                  "\xce\xb1\xce\xb2\xce\xb3\xce\xb4  x\n");
    table_free(made);
}

static void numbers_show_what_they_are(void **state)
{
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *shown, *exact;
    } cases[] = {
        {0.03125, 3, "0.031", "0.03125"},
        {1.2e-7, 3, "1.2e-07", "1.2e-07"},
        {-0.0, 2, "0.00", "-0"},
        {0, 2, "0.00", "0"},
        {0.0004, 3, "4.0e-04", "0.0004"},
        {-1e20, 2, "-1.0e+20", "-1e+20"},
        {INFINITY, 2, "inf", "inf"},
        {NAN, 2, "n/a", ""},
        {1.0 / 3, -1, "0.3333333333", "0.3333333333333333"},
        {0.1, -1, "0.1", "0.1"},
        {41, 0, "41", "41"},
    };
    static const char *const names[] = {"x", "y"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        table *made = must_make(2, names);
        table_number(made, cases[i].value, cases[i].digits);
        table_text(made, "y");
        char *text = print(made, TABLE_MARKDOWN);
        assert_non_null(strstr(text, assay_text("| %s | y |", cases[i].shown)));
        free(text);
        assert_inside(print(made, TABLE_CSV), "x,y\r\n", ",y\r\n", cases[i].exact);
        table_free(made);
    }
}

static void empty_tables_and_single_empty_cells_are_still_tables(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b"};
    table *made = must_make(2, names);
    assert_prints(made, TABLE_TEXT, "a  b\n-  -\n");
    assert_prints(made, TABLE_JSON, "[]\n");
    assert_prints(made, TABLE_CSV, "a,b\r\n");
    assert_prints(made, TABLE_MARKDOWN, "| a | b |\n|---|---|\n");
    table_free(made);
    made = must_make(1, names);
    table_text(made, NULL);
    assert_prints(made, TABLE_CSV, "a\r\n\"\"\r\n");
    table_free(made);
}

static void what_is_no_table_is_refused(void **state)
{
    (void)state;
    static const char *const twice[] = {"a", "b", "a"};
    assay_error error = {0};
    assert_null(table_new(3, twice, &error));
    assert_non_null(strstr(error.what, "'a'"));
    assert_null(table_new(0, twice, NULL));
    table *made = must_make(2, twice);
    table_text(made, "x");
    assay_error_clear(&error);
    assert_false(table_print(made, TABLE_CSV, stderr, &error));
    assert_non_null(strstr(error.what, "not full"));
    table_free(made);
    table_free(NULL);
}

static void failures_of_memory_and_of_the_file_are_told_by_print(void **state)
{
    (void)state;
    static const char *const names[] = {"a"};
    assay_error error = {0};
    table *made = must_make(1, names);
    assay_memory_fail_after(0);
    table_text(made, "x");
    table_text(made, "y");
    assert_false(table_print(made, TABLE_TEXT, stderr, &error));
    assert_int_equal(error.code, ASSAY_NO_MEMORY);
    table_free(made);
    made = must_make(1, names);
    table_text(made, "x");
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assay_error_clear(&error);
    assert_false(table_print(made, TABLE_TEXT, full, &error));
    assert_int_equal(error.code, ASSAY_IO);
    fclose(full);
    table_free(made);
}

static void formats_have_names_and_typing_errors_a_hint(void **state)
{
    (void)state;
    table_format format = TABLE_TEXT;
    assay_error error = {0};
    assert_true(table_format_of("latex", &format, NULL));
    assert_int_equal(format, TABLE_LATEX);
    assert_true(table_format_of("table", &format, NULL));
    assert_int_equal(format, TABLE_TEXT);
    assert_false(table_format_of("markdwon", &format, &error));
    assert_string_equal(error.hint, "did you mean 'markdown'?");
    assay_error_clear(&error);
    assert_false(table_format_of("xml", &format, &error));
    assert_string_equal(error.what, "unknown format 'xml'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_table_has_five_forms),
        cmocka_unit_test(hostile_texts_stay_inside_their_cells),
        cmocka_unit_test(json_is_read_back_whole),
        cmocka_unit_test(columns_line_up_by_what_a_terminal_shows),
        cmocka_unit_test(numbers_show_what_they_are),
        cmocka_unit_test(empty_tables_and_single_empty_cells_are_still_tables),
        cmocka_unit_test(what_is_no_table_is_refused),
        cmocka_unit_test(failures_of_memory_and_of_the_file_are_told_by_print),
        cmocka_unit_test(formats_have_names_and_typing_errors_a_hint),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
