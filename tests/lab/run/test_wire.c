/* test_wire.c - what jobs say arrives as it was said; what is no line of ours is refused. */
#include "lab/run/wire.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];
static wire from;

static int connect_ends(void **state)
{
    (void)state;
    from = (wire){0};
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 ||
           (from.fd = ends[0], false);
}

static int close_ends(void **state)
{
    (void)state;
    close(ends[0]);
    return ends[1] >= 0 && close(ends[1]) != 0;
}

static char *must_read(void)
{
    char *line;
    while ((line = wire_line(&from)) == NULL)
        assert_true(wire_fill(&from));
    return line;
}

static void an_event_arrives_as_it_was(void **state)
{
    (void)state;
    char *fields[WIRE_FIELDS];
    run_event got;
    const run_event sent = {.kind = RUN_ENDED,
                            .run = 3,
                            .run_id = 41,
                            .status = "failed",
                            .message = "what\twas (there)\nand: here",
                            .progress = {.step = 7,
                                         .total = 9,
                                         .loss = 0.1,
                                         .tokens_per_s = (double)INFINITY,
                                         .seconds_left = -0.0,
                                         .doing = "evaluating toy"}};
    assert_true(wire_event(ends[1], &sent));
    int n = wire_split(must_read(), fields);
    assert_true(wire_read_event(n, fields, 4, &got));
    assert_int_equal(got.kind, RUN_ENDED);
    assert_int_equal(got.run, 3);
    assert_int_equal(got.run_id, 41);
    assert_string_equal(got.status, "failed");
    assert_string_equal(got.message, "what\twas (there) and: here");
    assert_int_equal(got.progress.step, 7);
    assert_true(got.progress.loss == 0.1);
    assert_true(isinf(got.progress.tokens_per_s));
    assert_string_equal(got.progress.doing, "evaluating toy");
    assert_true(wire_event(ends[1], &(run_event){.kind = RUN_STARTED, .progress.loss = NAN}));
    n = wire_split(must_read(), fields);
    assert_true(wire_read_event(n, fields, 4, &got));
    assert_null(got.status);
    assert_null(got.message);
    assert_true(isnan(got.progress.loss));
}

static void lines_arrive_whole_however_they_are_cut(void **state)
{
    (void)state;
    static const char text[] = "one\ttwo\nthree\n";
    char *fields[WIRE_FIELDS];
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        assert_int_equal(write(ends[1], text + i, 1), 1);
        assert_true(wire_fill(&from));
        if (text[i] != '\n')
            assert_null(wire_line(&from));
        else if (i < 10) {
            assert_int_equal(wire_split(wire_line(&from), fields), 2);
            assert_string_equal(fields[1], "two");
        } else
            assert_string_equal(wire_line(&from), "three");
    }
}

static void a_long_text_is_cut_and_stays_one_line(void **state)
{
    (void)state;
    static char text[3 * WIRE_BYTES];
    memset(text, 'x', sizeof text - 1);
    assert_true(wire_write(ends[1], "log\t1\t%s", text));
    assert_true(wire_write(ends[1], "next"));
    assert_true(strlen(must_read()) < WIRE_BYTES / 2);
    assert_string_equal(must_read(), "next");
}

static void what_is_no_line_of_ours_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "event",
        "event\t2\t0\t1\t0\t0\t0\t0\t0\t\t",        /* a field short */
        "event\t9\t0\t1\t0\t0\t0\t0\t0\t\t\t",      /* no such kind */
        "event\t2\t4\t1\t0\t0\t0\t0\t0\t\t\t",      /* no such run */
        "event\t2\t-1\t1\t0\t0\t0\t0\t0\t\t\t",     /* nor this */
        "event\t2\t0\t1\t0x\t0\t0\t0\t0\t\t\t",     /* no number */
        "event\t2\t0\t1\t0\t0\tnumber\t0\t0\t\t\t", /* nor this */
        "event\t2\t0\t99999999999999999999\t0\t0\t0\t0\t0\t\t\t",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[100], *fields[WIRE_FIELDS];
        run_event event;
        strcpy(line, lines[i]);
        if (wire_read_event(wire_split(line, fields), fields, 4, &event))
            fail_msg("taken for an event: %s", lines[i]);
    }
    static char noise[WIRE_BYTES + 1];
    memset(noise, 'x', sizeof noise);
    assert_int_equal(write(ends[1], noise, sizeof noise), sizeof noise);
    while (from.used < WIRE_BYTES)
        assert_true(wire_fill(&from));
    assert_null(wire_line(&from));
    assert_false(wire_fill(&from));
}

static void the_end_of_the_other_side_is_seen_on_both_ways(void **state)
{
    (void)state;
    assert_true(wire_write(ends[1], "last"));
    close(ends[1]);
    ends[1] = -1;
    assert_string_equal(must_read(), "last");
    assert_false(wire_fill(&from));
    assert_false(wire_write(ends[0], "to nobody"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connect_ends, close_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_arrives_as_it_was),
        TEST(lines_arrive_whole_however_they_are_cut),
        TEST(a_long_text_is_cut_and_stays_one_line),
        TEST(what_is_no_line_of_ours_is_refused),
        TEST(the_end_of_the_other_side_is_seen_on_both_ways),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
