/* test_folders.c - weights in several files and other floating types: what is written comes back,
 * and every way in which an index and its shards can disagree is an error that names the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assay/file.h>
#include <assay/weights.h>

#include "nn/support.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

/* A folder of this process that is emptied by remove_all. */
static const char *folder(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s", path_in_folder(""));
    return path;
}

static void remove_all(void)
{
    DIR *open = opendir(folder());
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry; entry = readdir(open))
        if (entry->d_name[0] != '.')
            unlink(path_in_folder(entry->d_name));
    closedir(open);
}

static void write_set(const assay_params *params, assay_stored_dtype dtype, int64_t shard_bytes)
{
    assay_error error = {0};
    assay_weights_item items[4];
    assay_weights_options options = {.dtype = dtype, .shard_bytes = shard_bytes};
    for (int64_t i = 0; i < assay_params_count(params); i++)
        items[i] = (assay_weights_item){assay_params_at(params, i)->name,
                                        assay_params_at(params, i)->value};
    must(assay_weights_write_folder(folder(), assay_params_count(params), items, &options, &error),
         &error);
}

static bool exists(const char *name)
{
    return access(path_in_folder(name), F_OK) == 0;
}

/* ---- what is written ---- */

static void a_set_above_the_limit_becomes_shards(void **state)
{
    static const struct {
        int64_t shard_bytes;
        int shards;
    } cases[] = {{0, 1}, {88, 1}, {87, 2}, {64, 2}, {63, 2}, {39, 3}, {1, 3}};
    (void)state;
    assay_params *saved = small_set(1); /* 48, 16 and 24 bytes */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        assay_params *other = small_set(2);
        write_set(saved, ASSAY_STORED_F32, cases[i].shard_bytes);
        assert_int_equal(exists("model.safetensors"), cases[i].shards == 1);
        assert_int_equal(exists("model.safetensors.index.json"), cases[i].shards > 1);
        assay_weights *file = assay_weights_open(folder(), &error);
        must(file != NULL, &error);
        assert_int_equal(assay_weights_files(file), cases[i].shards);
        assert_string_equal(assay_weights_metadata(file, "format"), "pt");
        must(assay_params_load(other, file, NULL, NULL, &error), &error);
        for (int64_t k = 0; k < 3; k++)
            assert_memory_equal(assay_params_at(other, k)->value->data,
                                assay_params_at(saved, k)->value->data,
                                (size_t)assay_tensor_bytes(assay_params_at(saved, k)->value));
        assay_weights_close(file);
        assay_params_free(other);
        remove_all();
    }
    assay_params_free(saved);
}

/* The nearest number of `bits` fraction bits and smallest exponent `low`, ties to even, by
 * doubles. */
static double rounded(double value, int bits, int low)
{
    int exponent = 0;
    frexp(value, &exponent);
    double unit = ldexp(1, (exponent - 1 < low ? low : exponent - 1) - bits);
    return nearbyint(value / unit) * unit;
}

static void floating_types_round_to_nearest_even(void **state)
{
    static const struct {
        assay_stored_dtype dtype;
        int bits, low;
    } types[] = {{ASSAY_STORED_F16, 10, -14}, {ASSAY_STORED_BF16, 7, -126}};
    (void)state;
    enum { N = 40000 };
    assay_error error = {0};
    assay_stream stream = assay_stream_of(3, "floats", 0);
    assay_tensor *from = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){N}, &error);
    assay_tensor *back = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){N}, &error);
    must(from && back, &error);
    for (int i = 0; i < N; i++) {
        /* Numbers of all sizes that fp16 has, and each fourth one half way between two of them. */
        double value = ldexp(1 + (double)assay_random_uniform(stream, (uint64_t)i), i % 41 - 26);
        if (i % 4 == 0)
            value = rounded(value, types[i / 4 % 2].bits + 1, types[i / 4 % 2].low - 1);
        assay_f32(from)[i] = (float)(i % 2 ? value : -value);
    }
    assay_f32(from)[0] = 0.0f;
    assay_f32(from)[1] = -0.0f;
    assay_f32(from)[2] = INFINITY;
    for (int t = 0; t < 2; t++) {
        assay_weights_options options = {.dtype = types[t].dtype};
        must(assay_weights_write_folder(folder(), 1, &(assay_weights_item){"x", from}, &options,
                                        &error),
             &error);
        assay_weights *file = assay_weights_open(folder(), &error);
        must(file != NULL, &error);
        assert_int_equal(assay_weights_at(file, 0)->dtype, types[t].dtype);
        must(assay_stored_read(assay_weights_at(file, 0), back, &error), &error);
        assert_true(assay_f32(back)[2] == INFINITY && signbit(assay_f32(back)[1]));
        for (int i = 3; i < N; i++) {
            double value = (double)assay_f32(from)[i];
            if ((double)assay_f32(back)[i] != rounded(value, types[t].bits, types[t].low))
                fail_msg("%s of %a is %a", assay_stored_dtype_name(types[t].dtype), value,
                         (double)assay_f32(back)[i]);
        }
        assay_weights_close(file);
        remove_all();
    }
    assay_tensor_free(from);
    assay_tensor_free(back);
}

static void what_fp16_cannot_hold_is_refused(void **state)
{
    static const struct {
        float value;
        bool fits;
    } cases[] = {{65504, true}, {65519.996f, true}, {65520, false}, {-1e6f, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        assay_tensor *from = assay_tensor_new(ASSAY_F32, 0, NULL, &error);
        assay_f32(from)[0] = cases[i].value;
        assay_weights_options options = {.dtype = ASSAY_STORED_F16};
        bool ok = assay_weights_write_folder(folder(), 1, &(assay_weights_item){"big", from},
                                             &options, &error);
        assert_int_equal(ok, cases[i].fits);
        if (!ok)
            assert_failed(&error, ASSAY_NOT_FINITE, "tensor big");
        assert_int_equal(exists("model.safetensors"), cases[i].fits);
        assay_tensor_free(from);
        remove_all();
    }
}

/* ---- what is refused ---- */

#define FIRST  "model-00001-of-00002.safetensors"
#define SECOND "model-00002-of-00002.safetensors"

/* An index with this text instead of the right one; the shards hold tower.w, tower.b and head.w. */
static void refuse_index(const char *index, assay_code code, const char *word, const char *where)
{
    char text[1200];
    assay_error error = {0};
    write_text(path_in_folder("model.safetensors.index.json"), index);
    assay_weights *file = assay_weights_open(folder(), &error);
    if (file)
        fail_msg("an index was taken: %s", index);
    assert_failed(&error, code, word);
    assay_error_format(&error, text, sizeof text);
    if (!strstr(text, where))
        fail_msg("\"%s\" is not named: %s", where, text);
}

static void indexes_and_shards_that_disagree_are_errors(void **state)
{
    static const struct {
        const char *index, *word, *where;
    } cases[] = {
        {"", "not valid JSON", "index.json"},
        {"{\"weight_map\": 5}", "no weight_map", "index.json"},
        {"{\"weight_map\": {\"a\": 5}}", "tensor a is in no file", "index.json"},
        {"{\"weight_map\": {\"a\": \"../other.safetensors\"}}", "no file that can be a shard",
         "../other.safetensors"},
        {"{\"weight_map\": {\"a\": \"model.bin\"}}", "no file that can be a shard", "model.bin"},
        {"{\"weight_map\": {\"tower.w\": \"" FIRST "\", \"tower.b\": \"" FIRST
         "\", \"head.w\": \"missing.safetensors\"}}",
         "cannot be found", "missing.safetensors"},
        {"{\"weight_map\": {\"tower.w\": \"" FIRST "\", \"tower.b\": \"" FIRST
         "\", \"head.w\": \"" SECOND "\", \"tail.w\": \"" SECOND "\"}}",
         "lacks tensor tail.w", SECOND},
        {"{\"weight_map\": {\"tower.w\": \"" FIRST "\", \"head.w\": \"" SECOND "\"}}",
         "does not place tensor tower.b", FIRST},
        {"{\"weight_map\": {\"tower.w\": \"" FIRST "\", \"tower.b\": \"" SECOND
         "\", \"head.w\": \"" SECOND "\"}}",
         "does not place tensor tower.b", FIRST},
        {"{\"weight_map\": {\"head.w\": \"" SECOND "\", \"head.w\": \"" SECOND "\"}}", "duplicate",
         "index.json"},
    };
    (void)state;
    assay_params *saved = small_set(1);
    write_set(saved, ASSAY_STORED_F32, 64);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse_index(cases[i].index, ASSAY_BAD_FILE, cases[i].word, cases[i].where);
    assay_params_free(saved);
    remove_all();
}

static void a_truncated_shard_is_named(void **state)
{
    (void)state;
    assay_params *saved = small_set(1);
    assay_error error = {0};
    struct stat info;
    write_set(saved, ASSAY_STORED_F32, 64);
    assert_int_equal(stat(path_in_folder(SECOND), &info), 0);
    for (int64_t bytes = 0; bytes < info.st_size; bytes += 3) {
        char text[1200];
        assert_int_equal(truncate(path_in_folder(SECOND), bytes), 0);
        assert_null(assay_weights_open(folder(), &error));
        assay_error_format(&error, text, sizeof text);
        if (error.code != ASSAY_BAD_FILE || !strstr(text, SECOND))
            fail_msg("cut to %lld bytes: %s", (long long)bytes, text);
        assay_error_clear(&error);
        write_set(saved, ASSAY_STORED_F32, 64);
    }
    assay_params_free(saved);
    remove_all();
}

static void folders_without_one_model_are_errors(void **state)
{
    static const struct {
        const char *files[3];
        const char *word;
    } cases[] = {
        {{NULL}, "got 0 files"},
        {{"a.safetensors", "b.safetensors"}, "got 2 files"},
        {{"pytorch_model.bin", "config.json"}, "safe_serialization"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        for (int k = 0; k < 3 && cases[i].files[k]; k++)
            write_text(path_in_folder(cases[i].files[k]), "x");
        assert_null(assay_weights_open(folder(), &error));
        assert_failed(&error, ASSAY_BAD_INPUT, cases[i].word);
        remove_all();
    }
    assay_error error = {0};
    assert_null(assay_weights_open(path_in_folder("nowhere"), &error));
    assert_failed(&error, ASSAY_IO, "nowhere");
}

static int end(void **state)
{
    (void)state;
    remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_above_the_limit_becomes_shards),
        cmocka_unit_test(floating_types_round_to_nearest_even),
        cmocka_unit_test(what_fp16_cannot_hold_is_refused),
        cmocka_unit_test(indexes_and_shards_that_disagree_are_errors),
        cmocka_unit_test(a_truncated_shard_is_named),
        cmocka_unit_test(folders_without_one_model_are_errors),
    };
    return cmocka_run_group_tests_name("folders", tests, NULL, end);
}
