/* test_export.c - what the real program exports of finished runs: folders that are whole, weights
 * merged or with their adapter beside them, tables with every row, and refusals that leave nothing
 * behind. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assay/weights.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(const char *line)
{
    outcome result = shell(line);
    assert_status(&result, 0);
    outcome_free(&result);
}

/* A file of the exporting folder's own place. */
static const char *here(const char *path)
{
    static char paths[4][4096];
    static int next;
    char *out = paths[next++ % 4];
    outcome result = shell("printf %s \"$HERE\"");
    snprintf(out, sizeof paths[0], "%s/%s", result.out, path);
    outcome_free(&result);
    return out;
}

static int64_t lines_of(const char *path)
{
    FILE *file = fopen(here(path), "r");
    int64_t lines = 0;
    assert_non_null(file);
    for (int c = fgetc(file); c != EOF; c = fgetc(file))
        lines += c == '\n';
    fclose(file);
    return lines;
}

static assay_weights *weights_of(const char *path)
{
    assay_error error = {0};
    char line[1200];
    assay_weights *weights = assay_weights_open(here(path), &error);
    if (weights == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return weights;
}

static const assay_stored *tensor_of(const assay_weights *weights, const char *name)
{
    const assay_stored *stored = assay_weights_find(weights, name);
    if (stored == NULL)
        fail_msg("there is no tensor %s", name);
    return stored;
}

/* ---- a run ---- */

static void a_run_becomes_a_folder(void **state)
{
    (void)state;
    must("assay run $S/adapted.lua -q");
    must("assay export 1 -o out");
    static const char *const files[] = {"out/decoder/config.json", "out/decoder/model.safetensors",
                                        "out/scores.csv", "out/series.csv"};
    for (int i = 0; i < 4; i++)
        assert_true(there_is(files[i]));
    assert_false(there_is("out/assay.safetensors")); /* everything else is merged */
    json_t *config = json_load_file(here("out/decoder/config.json"), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(config, "torch_dtype")), "float32");
    assert_string_equal(json_string_value(json_object_get(config, "model_type")), "qwen2");
    json_decref(config);
    assert_false(there_is("out/adapter"));
}

/* The merged matrix is the other export's with 6/4 B A added. */
static void merged_weights_are_base_and_adapter(void **state)
{
    static const char module[] = "model.layers.0.mlp.down_proj";
    char name[256];
    (void)state;
    must("assay run $S/adapted.lua -q && assay export 1 -o merged --what weights && "
         "assay export 1 -o beside --what weights --no-merge");
    assay_weights *merged = weights_of("merged/decoder"), *base = weights_of("beside/decoder");
    assay_weights *adapter = weights_of("beside/decoder/adapter");
    snprintf(name, sizeof name, "%s.weight", module);
    const assay_stored *w = tensor_of(merged, name), *w0 = tensor_of(base, name);
    snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", module);
    const assay_stored *a = tensor_of(adapter, name);
    snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", module);
    const assay_stored *b = tensor_of(adapter, name);
    double largest = 0;
    for (int64_t o = 0; o < w->shape[0]; o++)
        for (int64_t i = 0; i < w->shape[1]; i++) {
            double sum = 0;
            for (int64_t r = 0; r < 4; r++)
                sum += (double)((const float *)b->data)[o * 4 + r] *
                       (double)((const float *)a->data)[r * w->shape[1] + i];
            double added = (double)((const float *)w->data)[o * w->shape[1] + i] -
                           (double)((const float *)w0->data)[o * w->shape[1] + i];
            assert_true(fabs(added - 1.5 * sum) < 1e-6);
            largest = fmax(largest, fabs(added));
        }
    assert_true(largest > 1e-4); /* the branch has learned */
    assay_weights_close(merged);
    assay_weights_close(base);
    assay_weights_close(adapter);
}

static void types_and_shards_are_as_asked(void **state)
{
    (void)state;
    must("assay run $S/walks.lua -q && assay export 1 -o half --what weights --dtype fp16 && "
         "assay export 1 -o brain --what weights --dtype bf16");
    assay_weights *half = weights_of("half/decoder"), *brain = weights_of("brain/decoder");
    for (int64_t i = 0; i < assay_weights_count(half); i++)
        assert_int_equal(assay_weights_at(half, i)->dtype, ASSAY_STORED_F16);
    for (int64_t i = 0; i < assay_weights_count(brain); i++)
        assert_int_equal(assay_weights_at(brain, i)->dtype, ASSAY_STORED_BF16);
    assay_weights_close(half);
    assay_weights_close(brain);
}

/* ---- an experiment ---- */

static void an_experiment_becomes_tables(void **state)
{
    (void)state;
    must("assay run $S/walks.lua -q && assay export walks -o out");
    assert_false(there_is("out/run_1"));
    outcome rows = shell("assay query --format csv 'SELECT count(*) AS n FROM score' | tail -n 1 | "
                         "tr -d '\\r'");
    assert_int_equal(lines_of("out/scores.csv"), strtoll(rows.out, NULL, 10) + 1);
    outcome_free(&rows);
    rows = shell("assay query --format csv 'SELECT count(*) AS n FROM series' | tail -n 1 | "
                 "tr -d '\\r'");
    assert_int_equal(lines_of("out/series.csv"), strtoll(rows.out, NULL, 10) + 1);
    outcome_free(&rows);
    must("grep -q \"$(printf 'n\\r')\" out/scores.csv"); /* lines end as RFC 4180 has it */
    must("assay export walks -o all --what weights");
    for (int i = 1; i <= 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "all/run_%d/decoder/config.json", i);
        assert_true(there_is(path));
    }
}

/* ---- refusals ---- */

static void what_is_wrong_leaves_nothing(void **state)
{
    static const struct {
        const char *line, *word;
    } cases[] = {
        {"assay export 1", "-o FOLDER"},
        {"assay export nobody -o out", "neither an experiment nor a run"},
        {"assay export 1 -o out --what wieghts", "did you mean 'weights'?"},
        {"assay export 1 -o out --what data", "data come from a script"},
        {"assay export 1 -o out --dtype int8", "fp32, bf16 or fp16"},
        {"assay export 1 -o out --merge --no-merge", "either merged or not"},
        {"assay export 1 -o nowhere/out", "the folder above has to be there"},
        {"assay export 1 -o full", "the folder is there and not empty"},
        {"assay export 1 -o full/file", "a file of this name is there"},
        {"assay export $S/walks.lua -o out", "does not write itself"},
        {"assay export $S/walks.lua -o out --what scores", "a script has data"},
        {"assay export $S/nowhere.lua -o out", "nowhere.lua"},
        {"rm -r results/assay.db.files/*/step_*; assay export 1 -o out", "no checkpoint"},
    };
    (void)state;
    must("assay run $S/walks.lua -q && mkdir full && touch full/file");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        outcome result = shell(cases[i].line);
        assert_status(&result, 2);
        assert_one_message(&result);
        assert_contains(result.err, cases[i].word);
        outcome_free(&result);
        result = shell("ls | tr '\\n' ' '");
        assert_null(strstr(result.out, "out"));
        assert_null(strstr(result.out, "tmp"));
        outcome_free(&result);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_becomes_a_folder, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(merged_weights_are_base_and_adapter, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(types_and_shards_are_as_asked, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(an_experiment_becomes_tables, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(what_is_wrong_leaves_nothing, folder_make, folder_remove),
    };
    assert_true(argc > 1);
    program_is_at(argv[1]);
    return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
