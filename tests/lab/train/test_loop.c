/* test_loop.c - a run from the seed to its scores: what it learns, records and refuses. */
#include "fixture.h"

#include <assay/memory.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int make(void **state)
{
    static bench b;
    bench_make(&b);
    *state = &b;
    return 0;
}

static int unmake(void **state)
{
    bench_remove(*state);
    return 0;
}

static void a_run_learns_and_is_recorded(void **state)
{
    bench *b = *state;
    set_number(&b->recipe.train, "steps", 60);
    set_number(&b->recipe.dataset, "size", 400);
    must_run(b);
    assert_true(series_at(b, "loss", 60) < series_at(b, "loss", 1) - 0.3);
    assert_true(series_at(b, "loss/toy_next", 60) < series_at(b, "loss/toy_next", 1) - 0.2);
    assert_true(fabs(series_at(b, "loss", 5) - series_at(b, "loss/toy_next", 5) -
                     series_at(b, "loss/toy_contrast", 5)) < 1e-6);
    assert_int_equal(ask(b, "SELECT count(*) FROM series JOIN series_key USING(key_id) WHERE name "
                            "= 'lr'"),
                     60);
    assert_true(ask(b, "SELECT count(*) FROM series JOIN series_key USING(key_id) WHERE name IN "
                       "('grad_norm', 'time/step_ms', 'time/tokens_per_s', 'time/wait_ms', "
                       "'memory/step_mb', 'mask/weight', 'mask/importance', 'contrast/mean')") ==
                60 * 8);
    assert_int_equal(ask(b, "SELECT count(*) FROM score"), 2);
    assert_int_equal(ask(b, "SELECT count(*) FROM checkpoint"), 2);
    assert_int_equal(ask(b, "SELECT max(step) FROM checkpoint"), 60);
    assert_true(ask(b, "SELECT value FROM score WHERE split = 'test' AND metric = 'auc'") > 0.8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_learns_and_is_recorded, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
