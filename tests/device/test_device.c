/* Choosing a device and its threads. */
#include "twins.h"

#include <stdio.h>

static void the_best_variant_is_the_default(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("ASSAY_CPU"), 0);
    const assay_device *device = assay_device_cpu(NULL), *best = NULL, *next;
    for (int v = 0; (next = cpu_variant_at(v)) != NULL; v++)
        best = next;
    assert_ptr_equal(device, best);
    assert_string_equal(assay_device_name(device), "cpu");
    assert_string_equal(assay_device_name(assay_device_plain()), "plain");
    assert_string_equal(assay_device_variant(assay_device_plain()), "plain");
}

static void the_environment_lowers_the_choice(void **state)
{
    (void)state;
    const assay_device *wanted;
    for (int v = 0; (wanted = cpu_variant_at(v)) != NULL; v++) {
        assert_int_equal(setenv("ASSAY_CPU", assay_device_variant(wanted), 1), 0);
        assert_ptr_equal(assay_device_cpu(NULL), wanted);
    }
    assert_int_equal(unsetenv("ASSAY_CPU"), 0);
}

static void an_unknown_instruction_set_is_an_error(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_int_equal(setenv("ASSAY_CPU", "avx1024", 1), 0);
    assert_null(assay_device_cpu(&error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_string_equal(error.where, "ASSAY_CPU");
    assert_string_equal(error.got, "avx1024");
    assert_int_equal(unsetenv("ASSAY_CPU"), 0);
}

static void every_table_is_complete(void **state)
{
    (void)state;
    enum { ENTRIES = sizeof(assay_kernels) / sizeof(void (*)(void)) };
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = cpu_variant_at(v++)) {
        void (*entries[ENTRIES])(void);
        memcpy(entries, device->kernels, sizeof entries);
        for (int i = 0; i < ENTRIES; i++)
            assert_true(entries[i] != NULL);
    }
}

static void threads_are_set_within_bounds(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_true(assay_threads_set(3, &error));
    assert_int_equal(assay_threads(), 3);
    assert_false(assay_threads_set(0, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_string_equal(error.got, "0");
    assert_false(assay_threads_set(1025, NULL));
    assert_int_equal(assay_threads(), 3);
    assert_true(assay_threads_set(2, NULL));
}

static void the_product_library_tells_its_version(void **state)
{
    (void)state;
    int major, minor, patch;
    assert_int_equal(sscanf(assay_products_version(), "oneDNN %d.%d.%d", &major, &minor, &patch),
                     3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_variant_is_the_default),
        cmocka_unit_test(the_environment_lowers_the_choice),
        cmocka_unit_test(an_unknown_instruction_set_is_an_error),
        cmocka_unit_test(every_table_is_complete),
        cmocka_unit_test(threads_are_set_within_bounds),
        cmocka_unit_test(the_product_library_tells_its_version),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
