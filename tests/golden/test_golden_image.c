/* test_golden_image.c - image sizes against PyTorch and Pillow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/image.h>

#define IMAGES "infrared/image_reference.safetensors"

/* Every tensor PREFIX.HxW of the file, resized from `in`. */
static void check_planes(golden_group *group, const char *prefix, assay_resize how)
{
    double *wide = golden_doubles(golden_get(group->file, "in"));
    const assay_stored *in = golden_get(group->file, "in");
    float *from = test_malloc((size_t)in->count * sizeof *from);
    for (int64_t i = 0; i < in->count; i++)
        from[i] = (float)wide[i];
    for (int64_t i = 0; i < assay_weights_count(group->file); i++) {
        const assay_stored *stored = assay_weights_at(group->file, i);
        if (strncmp(stored->name, prefix, strlen(prefix)) != 0)
            continue;
        float *out = test_malloc((size_t)stored->count * sizeof *out);
        assay_resize_planes(from, in->shape[0] * in->shape[1], in->shape[2], in->shape[3], out,
                            stored->shape[2], stored->shape[3], how);
        golden_check_floats(group, stored->name, stored->count, out);
        test_free(out);
    }
    test_free(from);
    test_free(wide);
}

static void planes_agree_with_pytorch(void **state)
{
    (void)state;
    assay_weights *file = golden_open(IMAGES);
    golden_group group = {.name = "planes", .file = file, .device = "cpu", .tolerance = 1e-5};
    check_planes(&group, "bicubic.", ASSAY_BICUBIC);
    check_planes(&group, "bilinear.", ASSAY_BILINEAR);
    check_planes(&group, "nearest.", ASSAY_NEAREST);
    golden_end(&group);
    assert_int_equal(group.compared, 9);
    assay_weights_close(file);
}

static void images_agree_with_pillow_within_a_grey_level(void **state)
{
    (void)state;
    static const char *const names[] = {"pillow_bicubic.16x16", "pillow_bicubic.37x20",
                                        "pillow_bicubic.64x80"};
    assay_error error = {0};
    assay_weights *file = golden_open(IMAGES);
    const assay_stored *in = golden_get(file, "pillow.in");
    assay_image from = {in->shape[1], in->shape[0], 8, (void *)(uintptr_t)in->data, false};
    int64_t equal = 0, all = 0;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        assay_image out = {0};
        const assay_stored *stored = golden_get(file, names[n]);
        golden_must(assay_image_resize(&out, &from, stored->shape[1], stored->shape[0],
                                       ASSAY_BICUBIC, NULL, &error),
                    &error);
        const uint8_t *expected = stored->data, *got = out.data;
        for (int64_t i = 0; i < stored->count; i++) {
            if (abs((int)got[i] - (int)expected[i]) > 1)
                fail_msg("%s: pixel %lld is %d, Pillow's %d", names[n], (long long)i, got[i],
                         expected[i]);
            equal += got[i] == expected[i];
        }
        all += stored->count;
        assay_image_free(&out);
    }
    print_message("# %lld of %lld pixels equal\n", (long long)equal, (long long)all);
    assert_true(equal * 100 >= all * 99);
    assay_weights_close(file);
}

int main(void)
{
    static const char *const files[] = {IMAGES, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(planes_agree_with_pytorch), files},
        {cmocka_unit_test(images_agree_with_pillow_within_a_grey_level), files},
    };
    return golden_run("golden_image", sizeof tests / sizeof *tests, tests);
}
