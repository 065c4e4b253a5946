/* test_log.c - lines reach the sink one at a time, whole, and only from the chosen level on. */
#include <assay/log.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct record {
    int lines;
    assay_log_level level;
    char line[2048];
    atomic_int inside;
    int overlaps;
} record;

static void keep_line(assay_log_level level, const char *line, void *user)
{
    record *seen = user;
    if (atomic_fetch_add(&seen->inside, 1) != 0)
        seen->overlaps++;
    seen->lines++;
    seen->level = level;
    strncpy(seen->line, line, sizeof seen->line - 1);
    atomic_fetch_sub(&seen->inside, 1);
}

static int silence(void **state)
{
    (void)state;
    assay_log_to(NULL, NULL, ASSAY_LOG_DEBUG);
    return 0;
}

static void without_a_sink_messages_vanish(void **state)
{
    (void)state;
    record seen = {0};
    assay_log_to(keep_line, &seen, ASSAY_LOG_DEBUG);
    assay_log_to(NULL, NULL, ASSAY_LOG_DEBUG);
    assay_log(ASSAY_LOG_ERROR, "nobody hears this");
    assert_int_equal(seen.lines, 0);
}

static void only_the_lowest_level_and_above_arrive(void **state)
{
    (void)state;
    record seen = {0};
    assay_log_to(keep_line, &seen, ASSAY_LOG_WARNING);
    assay_log(ASSAY_LOG_INFO, "quiet");
    assert_int_equal(seen.lines, 0);
    assay_log(ASSAY_LOG_WARNING, "step %d of %s", 3, "run");
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.level, ASSAY_LOG_WARNING);
    assert_string_equal(seen.line, "step 3 of run");
    assay_log(ASSAY_LOG_ERROR, "loud");
    assert_int_equal(seen.lines, 2);
}

static void a_line_is_one_line(void **state)
{
    (void)state;
    record seen = {0};
    assay_log_to(keep_line, &seen, ASSAY_LOG_DEBUG);
    assay_log(ASSAY_LOG_INFO, "a\nb\r\033c");
    assert_string_equal(seen.line, "a b  c");
}

static void a_long_line_is_cut_to_1024_bytes(void **state)
{
    (void)state;
    char text[1500];
    record seen = {0};
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assay_log_to(keep_line, &seen, ASSAY_LOG_DEBUG);
    assay_log(ASSAY_LOG_INFO, "%s", text);
    assert_int_equal(strlen(seen.line), 1024);
}

static void log_again(assay_log_level level, const char *line, void *user)
{
    keep_line(level, line, user);
    assay_log(ASSAY_LOG_ERROR, "from inside the sink");
    assay_log_to(NULL, NULL, ASSAY_LOG_DEBUG);
}

static void a_sink_that_logs_does_not_wait_for_itself(void **state)
{
    (void)state;
    record seen = {0};
    assay_log_to(log_again, &seen, ASSAY_LOG_DEBUG);
    assay_log(ASSAY_LOG_INFO, "first");
    assay_log(ASSAY_LOG_INFO, "second");
    assert_int_equal(seen.lines, 2);
    assert_string_equal(seen.line, "second");
}

enum {
    THREADS = 4,
    LINES_EACH = 2000,
};

static void *log_many(void *unused)
{
    for (int i = 0; i < LINES_EACH; i++)
        assay_log(ASSAY_LOG_INFO, "line %d", i);
    return unused;
}

static void threads_speak_one_at_a_time(void **state)
{
    (void)state;
    record seen = {0};
    pthread_t threads[THREADS];
    assay_log_to(keep_line, &seen, ASSAY_LOG_DEBUG);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(seen.lines, THREADS * LINES_EACH);
    assert_int_equal(seen.overlaps, 0);
}

static void every_level_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(assay_log_level_name(ASSAY_LOG_DEBUG), "debug");
    assert_string_equal(assay_log_level_name(ASSAY_LOG_INFO), "info");
    assert_string_equal(assay_log_level_name(ASSAY_LOG_WARNING), "warning");
    assert_string_equal(assay_log_level_name(ASSAY_LOG_ERROR), "error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(without_a_sink_messages_vanish, silence),
        cmocka_unit_test_teardown(only_the_lowest_level_and_above_arrive, silence),
        cmocka_unit_test_teardown(a_line_is_one_line, silence),
        cmocka_unit_test_teardown(a_long_line_is_cut_to_1024_bytes, silence),
        cmocka_unit_test_teardown(a_sink_that_logs_does_not_wait_for_itself, silence),
        cmocka_unit_test_teardown(threads_speak_one_at_a_time, silence),
        cmocka_unit_test(every_level_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
