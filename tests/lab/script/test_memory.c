/* test_memory.c - a plan when memory fails: at every allocation a clean error, and nothing is
 * lost. */
#include "place.h"
#include "rich.h"

#include <assay/memory.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static plan *read_rich(assay_error *error)
{
    static const char *const set[] = {"train.weight_decay=any { 0, 0.1 }", "mask.scope='all'",
                                      NULL};
    return place_read(NULL, &(place_request){.file = "rich.lua", .set = set}, error);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    place_write("rich.lua", RICH_SCRIPT);
    place_write("soft.lua", RICH_MODULE);
    int64_t before = assay_memory_stats_get().live_blocks, failures = 0;
    int64_t from = assay_memory_stats_get().allocations;
    plan *whole = read_rich(&(assay_error){0});
    assert_non_null(whole);
    int64_t count = assay_memory_stats_get().allocations - from;
    int runs = whole->run_count;
    plan_free(whole);
    assert_int_equal(assay_memory_stats_get().live_blocks, before);
    /* All of the first ones, then with growing steps: runs are made alike. */
    for (int64_t at = 0; at < count; at += at < 1200 ? 1 : 1 + at / 97) {
        assay_error error = {0};
        assay_memory_fail_after(at);
        plan *of = read_rich(&error);
        assay_memory_fail_after(-1);
        if (of != NULL) { /* what failed was not needed: the text of a comparison */
            assert_int_equal(of->run_count, runs);
        } else {
            failures++;
            if (error.code != ASSAY_NO_MEMORY || error.what[0] == '\0')
                fail_msg("allocation %lld: '%s' (%s)", (long long)at, error.what, error.where);
        }
        plan_free(of);
        if (assay_memory_stats_get().live_blocks != before)
            fail_msg("allocation %lld of %lld: blocks are lost", (long long)at, (long long)count);
    }
    assert_true(failures > 1000);
}

/* A wrong script loses nothing either. */
static void failures_lose_nothing(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "return 3",
        "local a = any { 1, 2",
        "return loss.match { teacher = 'nowhere' }",
        "require 'soft'\nerror {}",
        EXPERIMENT "loss = loss.match { margin = any { 0.1, 9 } } }",
        EXPERIMENT "mask = mask.slope { weight = function(s) return 1 - s end }, train = { steps = "
                   "9 } }",
    };
    int64_t before = assay_memory_stats_get().live_blocks;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        place_wrong(scripts[i], NULL);
        assert_int_equal(assay_memory_stats_get().live_blocks, before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(failures_lose_nothing),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
