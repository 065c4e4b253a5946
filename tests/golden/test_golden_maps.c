/* test_golden_maps.c - resizing of maps against PyTorch's bilinear without corners aligned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "under_test.h"

#include <assay/maps.h>

#define IMAGES "infrared/image_reference.safetensors"

static assay_tensor *map_of(assay_tape *tape, const assay_stored *stored)
{
    assay_tensor *map = assay_tape_tensor(tape, ASSAY_F32, 4, stored->shape);
    double *wide = golden_doubles(stored);
    assert_non_null(map);
    for (int64_t i = 0; i < stored->count; i++)
        assay_f32(map)[i] = (float)wide[i];
    test_free(wide);
    return map;
}

static void resizing_agrees_with_pytorch(void **state)
{
    (void)state;
    assay_weights *file = golden_open(IMAGES);
    golden_group group = {.name = "maps", .file = file, .device = "cpu", .tolerance = 1e-5};
    assay_tape *tape = assay_tape_new(device_under_test(NULL), ASSAY_PRECISION_FP32, NULL);
    assert_non_null(tape);
    assay_tape_begin(tape, (assay_step){0});
    for (int64_t i = 0; i < assay_weights_count(file); i++) {
        const assay_stored *stored = assay_weights_at(file, i);
        if (strncmp(stored->name, "bilinear.", 9) != 0)
            continue;
        assay_tensor *y = assay_resize_bilinear(tape, map_of(tape, golden_get(file, "in")),
                                                stored->shape[2], stored->shape[3]);
        assert_non_null(y);
        golden_check_floats(&group, stored->name, stored->count, assay_f32(y));
    }
    golden_end(&group);
    assert_int_equal(group.compared, 3);
    assay_tape_free(tape);
    assay_weights_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resizing_agrees_with_pytorch)};
    return cmocka_run_group_tests_name("golden maps", tests, NULL, NULL);
}
