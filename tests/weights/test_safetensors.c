/* test_safetensors.c - what is written is what is read, under its name and in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "weights/from_bytes.h"

#include <assay/file.h>

#include <jansson.h>
#include <stdlib.h>

/* A directory per test, with one file in it. */
typedef struct scratch {
    char directory[64];
    char path[96];
} scratch;

static int make_scratch(void **state)
{
    scratch *place = calloc(1, sizeof *place);
    if (place == NULL)
        return -1;
    snprintf(place->directory, sizeof place->directory, "/tmp/assay_weights_XXXXXX");
    if (mkdtemp(place->directory) == NULL) {
        free(place);
        return -1;
    }
    snprintf(place->path, sizeof place->path, "%s/model.safetensors", place->directory);
    *state = place;
    return 0;
}

/* Fails when the writer left anything but the file behind. */
static int remove_scratch(void **state)
{
    scratch *place = *state;
    unlink(place->path);
    int status = rmdir(place->directory);
    free(place);
    return status;
}

static assay_tensor *new_tensor(assay_dtype dtype, int rank, const int64_t *shape)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_tensor_new(dtype, rank, shape, &error);
    assert_non_null(tensor);
    return tensor;
}

/* Bytes with every pattern in them: as floats, numbers of all sizes, infinities and NaNs. */
static void fill_bytes(assay_tensor *tensor)
{
    uint8_t *bytes = tensor->data;
    for (int64_t i = 0; i < assay_tensor_bytes(tensor); i++)
        bytes[i] = (uint8_t)(i * 167 + (i >> 3) + 255);
}

/* ---- writing and reading back ---- */

static void every_dtype_and_shape_survives_a_round_trip(void **state)
{
    static const struct {
        const char *name;
        assay_dtype dtype;
        int rank;
        int64_t shape[ASSAY_MAX_RANK];
        assay_stored_dtype stored;
    } cases[] = {
        {"u8.odd", ASSAY_U8, 1, {7}, ASSAY_STORED_U8},
        {"f32.scalar", ASSAY_F32, 0, {0}, ASSAY_STORED_F32},
        {"bf16.empty", ASSAY_BF16, 3, {3, 0, 2}, ASSAY_STORED_BF16},
        {"f32.empty", ASSAY_F32, 1, {0}, ASSAY_STORED_F32},
        {"bf16", ASSAY_BF16, 2, {5, 3}, ASSAY_STORED_BF16},
        {"i32", ASSAY_I32, 4, {1, 2, 3, 4}, ASSAY_STORED_I32},
        {"f32", ASSAY_F32, 3, {3, 17, 5}, ASSAY_STORED_F32},
        {"u8.empty", ASSAY_U8, 4, {0, 1, 1, 0}, ASSAY_STORED_U8},
    };
    enum { n = sizeof cases / sizeof cases[0] };
    scratch *place = *state;
    assay_error error = {0};
    assay_tensor *tensors[n];
    assay_weights_item items[n];
    for (int i = 0; i < n; i++) {
        tensors[i] = new_tensor(cases[i].dtype, cases[i].rank, cases[i].shape);
        fill_bytes(tensors[i]);
        items[i] = (assay_weights_item){cases[i].name, tensors[i]};
    }
    assert_true(assay_weights_write(place->path, n, items, 0, NULL, &error));
    assay_weights *weights = assay_weights_open(place->path, &error);
    assert_non_null(weights);
    assert_true(is_consistent(weights));
    assert_int_equal(assay_weights_count(weights), n);
    for (int i = 0; i < n; i++) {
        const assay_stored *stored = assay_weights_get(weights, cases[i].name, &error);
        assert_non_null(stored);
        assert_ptr_equal(assay_weights_at(weights, i), stored);
        assert_int_equal(stored->dtype, cases[i].stored);
        assay_tensor *back = assay_stored_tensor(stored, cases[i].dtype, &error);
        assert_non_null(back);
        assert_true(assay_tensor_same_shape(back, tensors[i]));
        if (assay_tensor_bytes(back) > 0)
            assert_memory_equal(back->data, tensors[i]->data, (size_t)assay_tensor_bytes(back));
        assay_tensor_free(back);
    }
    assay_weights_close(weights);
    for (int i = 0; i < n; i++)
        assay_tensor_free(tensors[i]);
}

static void no_tensors_at_all_make_a_file_too(void **state)
{
    scratch *place = *state;
    assay_error error = {0};
    assert_true(assay_weights_write(place->path, 0, NULL, 0, NULL, &error));
    assay_weights *weights = assay_weights_open(place->path, &error);
    assert_non_null(weights);
    assert_int_equal(assay_weights_count(weights), 0);
    assert_null(assay_weights_find(weights, "weight"));
    assert_null(assay_weights_metadata(weights, "format"));
    assay_weights_close(weights);
}

static void the_bytes_of_a_file_are_those_of_the_format(void **state)
{
    static const char expected[] = "\x90\0\0\0\0\0\0\0"
                                   "{\"__metadata__\":{\"z\":\"1\",\"a\":\"2\"},"
                                   "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                                   "\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[3,7]}}"
                                   "      \x01\x02\x03\x78\x56\x34\x12";
    static const char *const metadata[][2] = {{"z", "1"}, {"a", "2"}};
    scratch *place = *state;
    assay_error error = {0};
    assay_tensor *b = new_tensor(ASSAY_U8, 1, (const int64_t[]){3});
    assay_tensor *a = new_tensor(ASSAY_I32, 0, NULL);
    memcpy(b->data, "\x01\x02\x03", 3);
    assay_i32(a)[0] = 0x12345678;
    const assay_weights_item items[] = {{"b", b}, {"a", a}};
    assert_true(assay_weights_write(place->path, 2, items, 2, metadata, &error));
    int64_t bytes;
    char *file = assay_read_file(place->path, 4096, &bytes, &error);
    assert_non_null(file);
    assert_int_equal(bytes, sizeof expected - 1);
    assert_memory_equal(file, expected, sizeof expected - 1);
    assay_free(file);
    assay_tensor_free(a);
    assay_tensor_free(b);
}

static void names_and_metadata_may_be_any_text(void **state)
{
    static const char *const names[] = {"quote\"d",        "back\\slash", "new\nline",
                                        "\xce\xb8.weight", " ",           "\x01"};
    static const char *const metadata[][2] = {{"run \"1\"", "{\"a\": [1]}"}, {"", ""}};
    enum { n = sizeof names / sizeof names[0] };
    scratch *place = *state;
    assay_error error = {0};
    assay_tensor *tensor = new_tensor(ASSAY_U8, 0, NULL);
    assay_u8(tensor)[0] = 42;
    assay_weights_item items[n];
    for (int i = 0; i < n; i++)
        items[i] = (assay_weights_item){names[i], tensor};
    assert_true(assay_weights_write(place->path, n, items, 2, metadata, &error));
    assay_weights *weights = assay_weights_open(place->path, &error);
    assert_non_null(weights);
    for (int i = 0; i < n; i++)
        assert_string_equal(assay_weights_at(weights, i)->name, names[i]);
    for (int i = 0; i < 2; i++)
        assert_string_equal(assay_weights_metadata(weights, metadata[i][0]), metadata[i][1]);
    assert_null(assay_weights_metadata(weights, "quote\"d"));
    assay_weights_close(weights);
    assay_tensor_free(tensor);
}

static void what_cannot_be_written_leaves_the_old_file(void **state)
{
    static const char *const bad[][2] = {
        {"a", "a"}, {"a", ""}, {"a", "__metadata__"}, {"a", "\xff"}};
    static const char *const twice[][2] = {{"key", "1"}, {"key", "2"}};
    static const char *const not_utf8[][2] = {{"key", "\xc3"}};
    scratch *place = *state;
    assay_error error = {0};
    assay_tensor *tensor = new_tensor(ASSAY_U8, 0, NULL);
    assay_u8(tensor)[0] = 1;
    assert_true(assay_publish(place->path, "old", 3, &error));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const assay_weights_item items[] = {{bad[i][0], tensor}, {bad[i][1], tensor}};
        assert_false(assay_weights_write(place->path, 2, items, 0, NULL, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_string_equal(error.where, place->path);
        assay_error_clear(&error);
    }
    assert_false(assay_weights_write(place->path, 0, NULL, 2, twice, &error));
    assert_string_equal(error.got, "key");
    assay_error_clear(&error);
    assert_false(assay_weights_write(place->path, 0, NULL, 1, not_utf8, &error));
    assert_string_equal(error.expected, "valid UTF-8");
    assay_error_clear(&error);
    char *file = assay_read_file(place->path, 4096, &(int64_t){0}, &error);
    assert_non_null(file);
    assert_string_equal(file, "old");
    assay_free(file);
    assay_tensor_free(tensor);
}

/* The reference implementation wrote this file; its bytes are a check from outside. */
static void a_file_of_the_reference_is_read_and_rewritten_byte_for_byte(void **state)
{
    scratch *place = *state;
    assay_error error = {0};
    char path[4096];
    const char *root = getenv("ASSAY_TEST_DATA");
    snprintf(path, sizeof path, "%s/golden/users/bert_model.safetensors",
             root != NULL ? root : "tests");
    assay_weights *weights = assay_weights_open(path, &error);
    if (weights == NULL)
        fail_msg("%s (%s)", error.what, error.where);
    assert_true(is_consistent(weights));
    assert_int_equal(assay_weights_count(weights), 37);
    assay_weights_item items[37];
    for (int i = 0; i < 37; i++) {
        const assay_stored *stored = assay_weights_at(weights, i);
        items[i].name = stored->name;
        items[i].tensor = assay_stored_tensor(stored, ASSAY_F32, &error);
        assert_non_null(items[i].tensor);
    }
    const assay_stored *position =
        assay_weights_get(weights, "embeddings.position_embeddings.weight", &error);
    assert_non_null(position);
    assert_int_equal(position->rank, 2);
    assert_int_equal(position->shape[0], 32);
    assert_int_equal(position->shape[1], 48);
    double values[32 * 48];
    assay_stored_doubles(position, values);
    assert_true((float)values[0] == 0.007774104364216328f);
    assert_true((float)values[2] == -0.12245214730501175f);

    int64_t theirs_bytes;
    int64_t ours_bytes;
    assert_true(assay_weights_write(place->path, 37, items, 0, NULL, &error));
    char *theirs = assay_read_file(path, 1 << 20, &theirs_bytes, &error);
    char *ours = assay_read_file(place->path, 1 << 20, &ours_bytes, &error);
    assert_non_null(theirs);
    assert_non_null(ours);
    assert_int_equal(ours_bytes, theirs_bytes);
    assert_memory_equal(ours, theirs, (size_t)ours_bytes);
    assay_free(theirs);
    assay_free(ours);
    for (int i = 0; i < 37; i++)
        assay_tensor_free((assay_tensor *)items[i].tensor);
    assay_weights_close(weights);
}

/* ---- order, names, failures ---- */

static void tensors_come_in_order_of_data_whatever_the_header_says(void **state)
{
    static const char *const order[] = {"e", "a", "empty", "b", "c"};
    assay_error error = {0};
    (void)state;
    assay_weights *weights =
        open_made("{\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[5,6]},"
                  "\"b\":{\"data_offsets\":[2,5],\"shape\":[3],\"dtype\":\"U8\"},"
                  "\"empty\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[2,2]},"
                  "\"e\":{\"dtype\":\"F64\",\"shape\":[4,0],\"data_offsets\":[0,0]},"
                  "\"a\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
                  "\1\2\3\4\5\6", 6, &error);
    assert_non_null(weights);
    assert_true(is_consistent(weights));
    assert_int_equal(assay_weights_count(weights), 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(assay_weights_at(weights, i)->name, order[i]);
    assay_weights_close(weights);
}

static void a_missing_tensor_is_reported_with_the_nearest_name(void **state)
{
    scratch *place = *state;
    assay_error error = {0};
    assay_tensor *tensor = new_tensor(ASSAY_U8, 1, (const int64_t[]){0});
    const assay_weights_item items[] = {{"layers.0.q_proj.weight", tensor},
                                        {"layers.0.k_proj.weight", tensor},
                                        {"norm", tensor},
                                        {"nose", tensor}};
    assert_true(assay_weights_write(place->path, 4, items, 0, NULL, &error));
    assay_weights *weights = assay_weights_open(place->path, &error);
    assert_non_null(weights);
    assert_null(assay_weights_find(weights, "layers.0.k_proj.weigth"));
    assert_int_equal(error.code, ASSAY_OK);
    assert_null(assay_weights_get(weights, "layers.0.k_proj.weigth", &error));
    assert_string_equal(error.where, place->path);
    assert_non_null(strstr(error.what, "layers.0.k_proj.weigth"));
    assert_string_equal(error.hint, "the nearest name is layers.0.k_proj.weight");
    assay_error_clear(&error);
    assert_null(assay_weights_get(weights, "nrom", &error));
    assert_string_equal(error.hint, "the nearest name is norm");
    assay_error_clear(&error);
    assert_null(assay_weights_get(weights, "", &error));
    assert_string_equal(error.hint, "");
    assay_weights_close(weights);
    assay_tensor_free(tensor);
}

static void a_missing_file_is_an_error_that_names_it(void **state)
{
    scratch *place = *state;
    assay_error error = {0};
    assert_null(assay_weights_open(place->path, &error));
    assert_int_equal(error.code, ASSAY_IO);
    assert_non_null(strstr(error.where, "model.safetensors"));
    assert_null(assay_weights_open(place->directory, NULL));
}

static void running_out_of_memory_fails_cleanly_at_every_allocation(void **state)
{
    scratch *place = *state;
    assay_error error = {0};
    assay_tensor *tensor = new_tensor(ASSAY_F32, 1, (const int64_t[]){4});
    const assay_weights_item items[] = {{"a", tensor}};
    fill_bytes(tensor);
    assert_true(assay_weights_write(place->path, 1, items, 0, NULL, &error));
    int64_t live = assay_memory_stats_get().live_blocks;
    int64_t failures = 0;
    for (bool done = false; !done; failures += !done) {
        assay_error_clear(&error);
        assay_memory_fail_after(failures);
        assay_weights *weights = assay_weights_open(place->path, &error);
        assay_tensor *back = NULL;
        if (weights != NULL)
            back = assay_stored_tensor(assay_weights_at(weights, 0), ASSAY_F32, &error);
        done = back != NULL && assay_weights_write(place->path, 1, items, 0, NULL, &error);
        assay_memory_fail_after(-1);
        assert_int_equal(error.code, done ? ASSAY_OK : ASSAY_NO_MEMORY);
        assay_tensor_free(back);
        assay_weights_close(weights);
        assert_int_equal(assay_memory_stats_get().live_blocks, live);
    }
    assert_true(failures >= 6);
    assay_tensor_free(tensor);
}

static long json_allocations_left;

static void *limited_malloc(size_t bytes)
{
    return json_allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void running_out_of_json_memory_leaves_the_old_file(void **state)
{
    static const char *const metadata[][2] = {{"k", "v"}, {"l", "w"}};
    scratch *place = *state;
    assay_error error = {0};
    assay_tensor *tensor = new_tensor(ASSAY_U8, 2, (const int64_t[]){1, 2});
    const assay_weights_item items[] = {{"a", tensor}, {"b", tensor}};
    fill_bytes(tensor);
    assert_true(assay_weights_write(place->path, 1, items, 0, NULL, &error));
    bool written = false;
    json_set_alloc_funcs(limited_malloc, free);
    for (long limit = 0; !written; limit++) {
        assay_error_clear(&error);
        json_allocations_left = limit;
        written = assay_weights_write(place->path, 2, items, 2, metadata, &error);
        assert_int_equal(error.code, written ? ASSAY_OK : ASSAY_NO_MEMORY);
        json_allocations_left = limit;
        assay_weights_close(assay_weights_open(place->path, NULL));
        json_allocations_left = 1000;
        assay_weights *weights = assay_weights_open(place->path, NULL);
        assert_non_null(weights);
        assert_int_equal(assay_weights_count(weights), written ? 2 : 1);
        assay_weights_close(weights);
    }
    json_set_alloc_funcs(malloc, free);
    assay_tensor_free(tensor);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(every_dtype_and_shape_survives_a_round_trip),
        IN_SCRATCH(no_tensors_at_all_make_a_file_too),
        IN_SCRATCH(the_bytes_of_a_file_are_those_of_the_format),
        IN_SCRATCH(names_and_metadata_may_be_any_text),
        IN_SCRATCH(what_cannot_be_written_leaves_the_old_file),
        IN_SCRATCH(a_file_of_the_reference_is_read_and_rewritten_byte_for_byte),
        cmocka_unit_test(tensors_come_in_order_of_data_whatever_the_header_says),
        IN_SCRATCH(a_missing_tensor_is_reported_with_the_nearest_name),
        IN_SCRATCH(a_missing_file_is_an_error_that_names_it),
        IN_SCRATCH(running_out_of_memory_fails_cleanly_at_every_allocation),
        IN_SCRATCH(running_out_of_json_memory_leaves_the_old_file),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
