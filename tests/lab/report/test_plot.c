/* test_plot.c - curves: their points by hand, the drawing character by character, SVG that is whole
 * and escaped, and what is refused. */
#include "ablation.h"
#include "lab/report/plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const test_cell cells[] = {
    {"mask=causal size=1", 2, {{"mask", "causal"}, {"size", "1"}}},
    {"mask=a<b>&\"c\" size=1", 2, {{"mask", "a<b>&\"c\""}, {"size", "1"}}},
};

static void put(const test_place *place, int run, const char *name, int step, double value)
{
    char sql[512], number[32] = "NULL, 'nan'";
    if (!isnan(value))
        snprintf(number, sizeof number, "%.17g, NULL", value);
    snprintf(sql, sizeof sql,
             "INSERT OR IGNORE INTO series_key(name) VALUES('%s');"
             "INSERT INTO series SELECT %d, key_id, %d, %s, 1, 0 FROM series_key WHERE name = '%s'",
             name, run, step, number, name);
    must_do(place, sql);
}

/* Two cells of two seeds: seed 1 at step, seed 2 two above; the second cell ten times that. */
static void make_curves(const test_place *place)
{
    plan_cells(place, "e", 2, cells, 2);
    for (int run = 1; run <= 4; run++)
        for (int step = 0; step <= 4; step++)
            put(place, run, "loss", step, (step + 2 * ((run - 1) % 2)) * (run > 2 ? 10 : 1));
}

static plot *must_plot(const test_place *place, plot_request asked)
{
    assay_error error = {0};
    asked.experiment = "e";
    asked.series = asked.series == NULL ? "loss" : asked.series;
    plot *of = plot_new(place->path, &asked, &error);
    if (of == NULL)
        fail_msg("%s (%s); %s; %s", error.what, error.where, error.got, error.hint);
    return of;
}

static bool is_noted(const plot *of, const char *part)
{
    for (int i = 0; i < of->n_notes; i++)
        if (strstr(of->notes[i], part) != NULL)
            return true;
    return false;
}

static void a_point_is_the_mean_and_spread_over_seeds(void **state)
{
    make_curves(*state);
    plot *of = must_plot(*state, (plot_request){0});
    assert_int_equal(of->n_lines, 2);
    assert_string_equal(of->lines[0].label, "mask=causal size=1");
    assert_int_equal(of->lines[1].n, 5);
    assert_true(of->lines[1].points[3].mean == 40 && of->lines[1].points[3].step == 3);
    assert_true(fabs(of->lines[1].points[3].sd - sqrt(200)) < 1e-12);
    assert_int_equal(of->lines[1].points[3].seeds, 2);
    assert_true(of->x.low == 0 && of->x.high == 4);
    assert_true(is_noted(of, "means over seeds"));
    assert_true(is_noted(of, "0 of 4 runs are done"));
    report *made = NULL;
    assert_non_null(made = plot_report(of, NULL));
    char *text = print_report(made, TABLE_CSV, NULL);
    assert_non_null(strstr(text, "mask=causal size=1,3,2,4,1.4142135623730951\r\n"));
    free(text);
    report_free(made);
    plot_free(of);
}

/* 0 and values that are not finite have no logarithm; seeds that end early leave the others. */
static void values_that_cannot_be_drawn_are_left_out(void **state)
{
    make_curves(*state);
    put(*state, 1, "loss", 5, NAN);
    put(*state, 2, "loss", 5, 8);
    plot *of = must_plot(*state, (plot_request){.log_x = true, .log_y = true});
    assert_int_equal(of->lines[0].n, 5); /* steps 1 .. 5 */
    assert_int_equal(of->lines[0].points[4].seeds, 1);
    assert_true(of->lines[0].points[4].mean == 8 && of->lines[0].points[4].sd == 0);
    assert_true(is_noted(of, "1 points are not finite"));
    assert_true(of->y.low > 0);
    plot_free(of);
}

/* 1,000 steps make bins of three, each run by its mean. */
static void long_curves_are_put_into_bins(void **state)
{
    plan_cells(*state, "e", 1, cells, 1);
    must_do(*state, "INSERT INTO series_key(name) VALUES('loss'); INSERT INTO series WITH "
                    "RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < 999) "
                    "SELECT 1, key_id, i, i * 2.0, NULL, 1, 0 FROM s, series_key");
    plot *of = must_plot(*state, (plot_request){0});
    assert_int_equal(of->lines[0].n, 334);
    assert_true(of->lines[0].points[1].step == 4 && of->lines[0].points[1].mean == 8);
    assert_true(is_noted(of, "mean over 3 steps"));
    plot_free(of);
    of = must_plot(*state, (plot_request){.from = 900});
    assert_int_equal(of->lines[0].n, 100);
    plot_free(of);
}

static char *draw(const plot *of, const plot_terminal *on)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    plot_print(of, on, out);
    fclose(out);
    return text;
}

static void the_drawing_reads_like_this(void **state)
{
    static const char *const where[] = {"mask=causal"}, *const by[] = {"mask"};
    make_curves(*state);
    plot_request one = {.where_count = 1, .where = where, .by_count = 1, .by = by};
    plot *of = must_plot(*state, one);
    char *text = draw(of, &(plot_terminal){.width = 40, .height = 12});
    const char *picture = "  loss of e\n"
                          "         |                          ....\n"
                          "       5 +                   ........***\n"
                          "         |            .......*********..\n"
                          "         |     .....**********.....\n"
                          "         |..*********.......\n"
                          "         |***........\n"
                          "       0 +....\n"
                          "         ++--------------+-------------+\n"
                          "          0              2             4\n"
                          "          step\n"
                          "  * causal: 5 (sd 1.4, 2 seeds) at step 4\n"
                          "  Lines are means over seeds, bands one sample sd to each side.\n"
                          "  0 of 4 runs are done; the others are drawn as far as they are.\n";
    assert_string_equal(text, picture);
    free(text);
    plot_free(of);
}

static void several_lines_have_letters_or_colours(void **state)
{
    make_curves(*state);
    plot *of = must_plot(*state, (plot_request){0});
    char *text = draw(of, &(plot_terminal){.width = 80, .height = 24, .unicode = true});
    assert_non_null(strstr(text, "  a mask=causal size=1: 5 (sd 1.4, 2 seeds) at step 4\n"));
    assert_non_null(strstr(text, "bbbb"));
    assert_null(strstr(text, "\x1b["));
    /* No line is wider than asked for, counted in characters. */
    int column = 0;
    for (const char *c = text; *c != '\0'; c++) {
        column = *c == '\n' ? 0 : column + ((*c & 0xc0) != 0x80);
        assert_true(column <= 80);
    }
    free(text);
    text = draw(of, &(plot_terminal){.width = 80, .height = 24, .unicode = true, .colours = true});
    assert_non_null(strstr(text, "\x1b[34m"));
    assert_non_null(strstr(text, "\xe2\xa3")); /* braille */
    free(text);
    plot_free(of);
}

/* Every element that is opened is closed, in order; attributes are quoted. */
static void assert_well_formed(const char *text)
{
    char open[8][32];
    int depth = 0;
    for (const char *at = strchr(text, '<'); at != NULL; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        assert_non_null(end);
        char name[32] = "";
        sscanf(at + 1 + (at[1] == '/'), "%31[a-z]", name);
        if (at[1] == '?' || end[-1] == '/')
            continue;
        if (at[1] == '/') {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        } else {
            assert_true(depth < 8);
            snprintf(open[depth++], sizeof open[0], "%s", name);
        }
    }
    assert_int_equal(depth, 0);
}

static void svg_is_whole_and_escaped(void **state)
{
    make_curves(*state);
    plot *of = must_plot(*state, (plot_request){0});
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_true(plot_svg(of, out, NULL));
    fclose(out);
    assert_well_formed(text);
    assert_non_null(strstr(text, ">mask=a&lt;b&gt;&amp;&quot;c&quot; size=1</text>"));
    assert_non_null(strstr(text, "fill-opacity"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
    plot_free(of);
}

static void ticks_are_round_and_inside(void **state)
{
    static const struct {
        plot_scale scale;
        int n;
        const char *first, *last;
    } cases[] = {
        {{0, 1, false}, 6, "0", "1"},
        {{0.13, 0.61, false}, 5, "0.2", "0.6"},
        {{-3, 12, false}, 3, "0", "10"},
        {{1e-3, 1e3, true}, 4, "0.001", "1000"},
        {{2, 9, true}, 4, "2", "7"},
        {{1.01, 1.05, true}, 5, "1.01", "1.05"},
        {{1e6, 1.00001e6, false}, 6, "1e+06", "1.00001e+06"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plot_tick ticks[16];
        int n = plot_ticks(&cases[i].scale, 5, ticks);
        if (n != cases[i].n || strcmp(ticks[0].text, cases[i].first) != 0 ||
            strcmp(ticks[n - 1].text, cases[i].last) != 0)
            fail_msg("case %zu: %d, %s .. %s", i, n, ticks[0].text, ticks[n - 1].text);
    }
}

static void wrong_requests_name_what_was_meant(void **state)
{
    static const char *const axis[] = {"maks"}, *const size[] = {"size"}, *const no[] = {"mask=x"};
    static const struct {
        plot_request asked;
        const char *what;
    } cases[] = {
        {{.experiment = "f"}, "unknown experiment 'f'"},
        {{.series = "los"}, "unknown series 'los'"},
        {{.stage = "other"}, "there are no curves yet"},
        {{.by_count = 1, .by = axis}, "unknown axis 'maks'"},
        {{.by_count = 1, .by = size}, "several cells are called '1'"},
        {{.where_count = 1, .where = no}, "no cell meets the conditions"},
        {{.from = 100}, "no steps are left"},
    };
    make_curves(*state);
    const test_place *place = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assay_error error = {0};
        plot_request asked = cases[i].asked;
        asked.experiment = asked.experiment == NULL ? "e" : asked.experiment;
        asked.series = asked.series == NULL ? "loss" : asked.series;
        assert_null(plot_new(place->path, &asked, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_string_equal(error.what, cases[i].what);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_point_is_the_mean_and_spread_over_seeds),
        TEST(values_that_cannot_be_drawn_are_left_out),
        TEST(long_curves_are_put_into_bins),
        TEST(the_drawing_reads_like_this),
        TEST(several_lines_have_letters_or_colours),
        TEST(svg_is_whole_and_escaped),
        cmocka_unit_test(ticks_are_round_and_inside),
        TEST(wrong_requests_name_what_was_meant),
    };
    return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
