/* test_parameters.c - a parameter set written to a file and filled from one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assay/weights.h>

#include "nn/support.h"

static bool equal_values(const assay_params *a, const assay_params *b)
{
    for (int64_t i = 0; i < assay_params_count(a); i++) {
        const assay_tensor *x = assay_params_at(a, i)->value, *y = assay_params_at(b, i)->value;
        if (memcmp(x->data, y->data, (size_t)assay_tensor_bytes(x)) != 0)
            return false;
    }
    return true;
}

static void what_is_saved_is_loaded_bit_for_bit(void **state)
{
    (void)state;
    assay_error error = {0};
    int64_t loaded = 0;
    const char *path = path_in_folder("set.safetensors");
    assay_params *saved = small_set(1), *other = small_set(2);
    assert_false(equal_values(saved, other));
    must(assay_params_save(saved, path, &error), &error);
    assay_weights *file = assay_weights_open(path, &error);
    must(file && assay_params_load(other, file, NULL, &loaded, &error), &error);
    assert_int_equal(loaded, 3);
    assert_true(equal_values(saved, other));
    assay_weights_close(file);
    assay_params_free(saved);
    assay_params_free(other);
    unlink(path);
}

/* Writes a file of these tensors, each filled with 5. */
static assay_weights *file_of(int n, const char *const names[], const assay_dtype dtypes[],
                              const int64_t shapes[][2], const int ranks[])
{
    assay_error error = {0};
    assay_weights_item items[4];
    const char *path = path_in_folder("made.safetensors");
    for (int i = 0; i < n; i++) {
        assay_tensor *tensor = assay_tensor_new(dtypes[i], ranks[i], shapes[i], &error);
        must(tensor != NULL, &error);
        for (int64_t k = 0; k < assay_tensor_count(tensor); k++) {
            if (dtypes[i] == ASSAY_F32)
                assay_f32(tensor)[k] = 5.0f;
            else if (dtypes[i] == ASSAY_BF16)
                assay_bf16(tensor)[k] = assay_to_bf16(5.0f);
            else
                assay_i32(tensor)[k] = 5;
        }
        items[i] = (assay_weights_item){names[i], tensor};
    }
    must(assay_weights_write(path, n, items, 0, NULL, &error), &error);
    assay_weights *file = assay_weights_open(path, &error);
    must(file != NULL, &error);
    unlink(path);
    for (int i = 0; i < n; i++)
        assay_tensor_free((assay_tensor *)(uintptr_t)items[i].tensor);
    return file;
}

static const int64_t good_shapes[4][2] = {{3, 4}, {4}, {2, 3}, {7}};
static const int good_ranks[4] = {2, 1, 2, 1};
static const assay_dtype all_f32[4] = {ASSAY_F32, ASSAY_F32, ASSAY_F32, ASSAY_F32};

static void assert_refused(assay_weights *file, const assay_load_options *options, assay_code code,
                           const char *word)
{
    assay_error error = {0};
    int64_t loaded = -7;
    assay_params *params = small_set(1), *untouched = small_set(1);
    assert_false(assay_params_load(params, file, options, &loaded, &error));
    assert_failed(&error, code, word);
    assert_int_equal(loaded, -7);
    assert_true(equal_values(params, untouched));
    assay_params_free(params);
    assay_params_free(untouched);
    assay_weights_close(file);
}

static void a_file_that_does_not_match_changes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"tower.w", "tower.b", "head.w", "extra"};
    static const int64_t wide[3][2] = {{3, 4}, {4}, {3, 2}};
    static const int64_t flat[3][2] = {{3, 4}, {4}, {6}};
    static const int flat_ranks[3] = {2, 1, 1};
    static const assay_dtype integers[3] = {ASSAY_F32, ASSAY_F32, ASSAY_I32};
    assert_refused(file_of(2, names, all_f32, good_shapes, good_ranks), NULL, ASSAY_BAD_INPUT,
                   "head.w");
    assert_refused(file_of(4, names, all_f32, good_shapes, good_ranks), NULL, ASSAY_BAD_FILE,
                   "extra");
    assert_refused(file_of(3, names, all_f32, wide, good_ranks), NULL, ASSAY_BAD_SHAPE, "(2, 3)");
    assert_refused(file_of(3, names, all_f32, flat, flat_ranks), NULL, ASSAY_BAD_SHAPE, "(6)");
    assert_refused(file_of(3, names, integers, good_shapes, good_ranks), NULL, ASSAY_BAD_FILE,
                   "I32");
}

/* Leniency about absence is no leniency about shape. */
static void a_wrong_shape_is_refused_by_every_option(void **state)
{
    (void)state;
    static const char *const names[] = {"tower.w"};
    static const int64_t wrong[1][2] = {{4, 3}};
    const assay_load_options lenient = {.allow_missing = true, .allow_unused = true};
    assert_refused(file_of(1, names, all_f32, wrong, good_ranks), &lenient, ASSAY_BAD_SHAPE,
                   "tower.w");
}

static void missing_and_unused_tensors_can_be_allowed(void **state)
{
    (void)state;
    assay_error error = {0};
    int64_t loaded = 0;
    static const char *const names[] = {"base.tower.w", "tower.b", "base.x"};
    static const assay_dtype dtypes[] = {ASSAY_BF16, ASSAY_F32, ASSAY_I32};
    const assay_load_options options = {
        .prefix = "base.", .allow_missing = true, .allow_unused = true};
    assay_params *params = small_set(1), *before = small_set(1);
    assay_weights *file = file_of(3, names, dtypes, good_shapes, good_ranks);
    must(assay_params_load(params, file, &options, &loaded, &error), &error);
    assert_int_equal(loaded, 1);
    assert_true(assay_f32(assay_params_at(params, 0)->value)[11] == 5.0f);
    for (int64_t i = 1; i < 3; i++)
        assert_memory_equal(assay_params_at(params, i)->value->data,
                            assay_params_at(before, i)->value->data, 4 * 4);
    assay_weights_close(file);
    assay_params_free(params);
    assay_params_free(before);
}

static int finish(void **state)
{
    (void)state;
    remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_loaded_bit_for_bit),
        cmocka_unit_test(a_file_that_does_not_match_changes_nothing),
        cmocka_unit_test(a_wrong_shape_is_refused_by_every_option),
        cmocka_unit_test(missing_and_unused_tensors_can_be_allowed),
    };
    return cmocka_run_group_tests_name("parameters", tests, NULL, finish);
}
