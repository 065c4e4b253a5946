/* test_checkpoints.c - rows of checkpoints: listed newest first, taken out under the lease
 * alone. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void put(store_handle *store, store_lease *lease, int64_t step, const char *path)
{
    const store_file file = {.path = path, .sha256 = "abc", .bytes = 100 + step};
    assert_true(store_put_checkpoint(store, lease, step, &file, NULL));
}

static void rows_come_newest_first(void **state)
{
    int64_t ids[2];
    store_checkpoint rows[2];
    store_handle *store = must_open(*state);
    must_plan(store, "e", 2, ids);
    store_lease lease = must_claim(store, ids[0]), other = must_claim(store, ids[1]);
    assert_int_equal(store_get_checkpoints(store, ids[0], 2, rows, NULL), 0);
    put(store, &lease, 4, "a/step_4");
    put(store, &lease, 12, "a/step_12");
    put(store, &lease, 8, "a/step_8");
    put(store, &other, 99, "b/step_99");
    assert_int_equal(store_get_checkpoints(store, ids[0], 2, rows, NULL), 3);
    assert_int_equal(rows[0].step, 12);
    assert_string_equal(rows[0].path, "a/step_12");
    assert_string_equal(rows[0].sha256, "abc");
    assert_int_equal(rows[0].bytes, 112);
    assert_int_equal(rows[1].step, 8);
    assert_int_equal(store_get_checkpoints(store, ids[0], 0, NULL, NULL), 3);
    store_free(store);
}

static void only_the_holder_takes_a_row_out(void **state)
{
    int64_t ids[1];
    store_checkpoint row;
    assay_error error = {0};
    store_handle *store = must_open(*state);
    must_plan(store, "e", 1, ids);
    store_lease lease = must_claim(store, ids[0]), late = lease;
    put(store, &lease, 4, "a/step_4");
    put(store, &lease, 8, "a/step_8");
    late.attempt = 0; /* an attempt before this one */
    assert_false(store_drop_checkpoint(store, &late, 4, &error));
    assert_true(late.lost);
    assert_int_equal(store_get_checkpoints(store, ids[0], 1, &row, NULL), 2);
    assert_true(store_drop_checkpoint(store, &lease, 4, NULL));
    assert_int_equal(store_get_checkpoints(store, ids[0], 1, &row, NULL), 1);
    assert_int_equal(row.step, 8);
    store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_come_newest_first, place_make, place_remove),
        cmocka_unit_test_setup_teardown(only_the_holder_takes_a_row_out, place_make, place_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
