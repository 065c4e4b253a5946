/* test_positions.c - weights of a ViT for 224 pixels in one for 512 (infrared spec 1.3). */
#include "lab/train/positions.h"

#include <assay/blocks.h>
#include <assay/image.h>
#include <assay/memory.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WIDTH = 8, SMALL = 14, LARGE = 32 };

static void must(bool ok, const assay_error *error)
{
    char text[1200];
    if (!ok)
        fail_msg("%s", assay_error_format(error, text, sizeof text));
}

/* A set with one ViT of this grid of patches. */
static assay_params *vit_of(const char *prefix, int64_t grid, int64_t width)
{
    assay_error error = {0};
    const assay_vit_config config = {.width = width,
                                     .layers = 1,
                                     .heads = 2,
                                     .mlp_width = 8,
                                     .patch = 16,
                                     .image = 16 * grid,
                                     .channels = 3,
                                     .norm_eps = 1e-6f,
                                     .final_norm = true};
    assay_params *params = assay_params_new(3, &error);
    must(params != NULL, &error);
    assay_vit *vit = assay_vit_new(params, prefix, &config, &error);
    must(vit != NULL, &error);
    assay_vit_free(vit);
    return params;
}

static float *table_of(const assay_params *params, const char *name)
{
    return assay_f32(assay_params_find(params, name)->value);
}

static bool carry_over(const assay_params *from, assay_params *to,
                       const assay_load_options *options, assay_error *error)
{
    char path[] = "/tmp/assay_positions_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    must(assay_params_save(from, path, error), error);
    assay_weights *weights = assay_weights_open(path, error);
    must(weights != NULL, error);
    bool ok = assay_params_load(to, weights, options, NULL, error);
    assay_weights_close(weights);
    unlink(path);
    return ok;
}

/* Keys's kernel with PyTorch's a. */
static double cubic(double x)
{
    const double a = -0.75;
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Patch (y, x) of the large grid from the small one, straight from the definition. */
static double expected(const float *table, int64_t y, int64_t x, int64_t d)
{
    const double at_y = (y + 0.5) * SMALL / LARGE - 0.5, at_x = (x + 0.5) * SMALL / LARGE - 0.5;
    double sum = 0;
    for (int64_t i = (int64_t)floor(at_y) - 1; i <= (int64_t)floor(at_y) + 2; i++)
        for (int64_t j = (int64_t)floor(at_x) - 1; j <= (int64_t)floor(at_x) + 2; j++) {
            int64_t row = i < 0 ? 0 : i >= SMALL ? SMALL - 1 : i;
            int64_t column = j < 0 ? 0 : j >= SMALL ? SMALL - 1 : j;
            sum += cubic(at_y - (double)i) * cubic(at_x - (double)j) *
                   (double)table[(1 + row * SMALL + column) * WIDTH + d];
        }
    return sum;
}

static void positions_of_224_pixels_serve_512(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "tower."};
    for (int p = 0; p < 2; p++) {
        assay_error error = {0};
        const assay_load_options options = {.fit = positions_fit};
        assay_params *small = vit_of(prefixes[p], SMALL, WIDTH);
        assay_params *large = vit_of(prefixes[p], LARGE, WIDTH);
        const char *name = p ? "tower.pos_embed" : "pos_embed";
        float *from = table_of(small, name), *to = table_of(large, name);
        for (int64_t i = 0; i < (1 + SMALL * SMALL) * WIDTH; i++)
            from[i] = sinf((float)(i * i % 1009));
        must(carry_over(small, large, &options, &error), &error);
        for (int64_t d = 0; d < WIDTH; d++)
            assert_true(to[d] == from[d]); /* the class token's row */
        for (int64_t y = 0; y < LARGE; y++)
            for (int64_t x = 0; x < LARGE; x++)
                for (int64_t d = 0; d < WIDTH; d++)
                    assert_true(fabs((double)to[(1 + y * LARGE + x) * WIDTH + d] -
                                     expected(from, y, x, d)) < 1e-5);
        /* What is of one shape is copied as it is. */
        const char *other = p ? "tower.blocks.0.attn.qkv.weight" : "blocks.0.attn.qkv.weight";
        assert_memory_equal(table_of(large, other), table_of(small, other), 3 * WIDTH * WIDTH * 4);
        assay_params_free(small);
        assay_params_free(large);
    }
}

static void only_position_tables_are_fitted(void **state)
{
    (void)state;
    assay_error error = {0};
    const assay_load_options options = {.fit = positions_fit}, plain = {0};
    assay_params *small = vit_of("", SMALL, WIDTH), *large = vit_of("", LARGE, WIDTH);
    assay_params *wide = vit_of("", LARGE, 2 * WIDTH);
    const float before = table_of(large, "pos_embed")[5 * WIDTH];
    assert_false(carry_over(small, large, &plain, &error)); /* who does not ask gets none */
    assert_int_equal(error.code, ASSAY_BAD_SHAPE);
    assert_true(table_of(large, "pos_embed")[5 * WIDTH] == before);
    assay_error_clear(&error);
    assert_false(carry_over(small, wide, &options, &error));
    assert_int_equal(error.code, ASSAY_BAD_SHAPE);
    assay_params_free(small);
    assay_params_free(large);
    assay_params_free(wide);
}

static void a_set_without_the_stack_fits_nothing(void **state)
{
    (void)state;
    assay_error error = {0};
    const int64_t shape[] = {1, 1 + LARGE * LARGE, WIDTH};
    const assay_load_options options = {.fit = positions_fit, .allow_unused = true};
    assay_params *small = vit_of("", SMALL, WIDTH), *other = assay_params_new(0, &error);
    must(other != NULL, &error);
    must(assay_params_add(other, "pos_embed", 3, shape, (assay_init){.kind = ASSAY_INIT_ZEROS},
                          &error) != NULL,
         &error);
    assert_false(carry_over(small, other, &options, &error));
    assert_int_equal(error.code, ASSAY_BAD_SHAPE);
    assay_params_free(small);
    assay_params_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_of_224_pixels_serve_512),
        cmocka_unit_test(only_position_tables_are_fitted),
        cmocka_unit_test(a_set_without_the_stack_fits_nothing),
    };
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
