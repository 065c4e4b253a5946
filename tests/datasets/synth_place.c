/* synth_place.c - see synth_place.h. */
#include "synth_place.h"

#include <assay/hash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const assay_dataset_functions *synth_functions(void)
{
    return assay_plugin_entry.functions;
}

int synth_place_make(void **state)
{
    static const char *const sources[] = {"bill", "app", "minipro", "sousuo", "spm", "tabular"};
    static const char *const pairs[] = {"future"};
    assay_error error = {0};
    synth_place *place = calloc(1, sizeof *place);
    place->options = (synth_options){.users = 40,
                                     .probe_users = 30,
                                     .valid_users = 20,
                                     .test_users = 10,
                                     .seed = 1,
                                     .sources = {6, sources},
                                     .pairs = {1, pairs},
                                     .features = -1,
                                     .activity = 3,
                                     .noise = 0.1,
                                     .future_question = "What next?",
                                     .task = "",
                                     .uqa_pairs = 1,
                                     .draft_errors = 0.1,
                                     .reflection = true};
    place->arena = assay_arena_new(0, &error);
    *state = place;
    return place->arena != NULL ? 0 : -1;
}

int synth_place_remove(void **state)
{
    synth_place *place = *state;
    assay_arena_free(place->arena);
    free(place);
    return 0;
}

synth_data *must_open(synth_place *place)
{
    assay_error error = {0};
    char line[1400];
    synth_data *data = synth_functions()->open(&place->options, NULL, &error);
    if (data == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return data;
}

assay_error must_refuse(synth_place *place)
{
    assay_error error = {0};
    if (synth_functions()->open(&place->options, NULL, &error) != NULL)
        fail_msg("this was opened");
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_true(error.what[0] != '\0' && error.where[0] != '\0');
    return error;
}

assay_sample must_sample(const synth_data *data, assay_data_split split, int benchmark,
                         int64_t number, int64_t epoch, assay_arena *arena)
{
    assay_error error = {0};
    assay_sample sample = {0};
    const assay_draw draw = {.epoch = epoch};
    if (!synth_sample(data, split, benchmark, number, &draw, arena, &sample, &error))
        fail_msg("%s %s", error.what, error.got);
    assert_int_equal(sample.index, number);
    return sample;
}

void digest_sample(const synth_data *data, const assay_sample *sample, char hex[65])
{
    uint8_t sum[32];
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, &sample->label, sizeof sample->label);
    for (int f = 0; f < data->field_count; f++) {
        const assay_field_value *value = &sample->values[f];
        int64_t elements = value->shape[0];
        assay_sha256_add(&hash, &value->present, sizeof value->present);
        assay_sha256_add(&hash, &elements, sizeof elements);
        if (value->offsets != NULL) {
            assay_sha256_add(&hash, value->offsets,
                             (size_t)(elements + 1) * sizeof *value->offsets);
            elements = value->offsets[elements];
        }
        assay_sha256_add(&hash, value->data,
                         (size_t)(elements * assay_dtype_size(data->fields[f].dtype)));
    }
    assay_sha256_end(&hash, sum);
    assay_sha256_hex(sum, hex);
}

bool is_text(const assay_field_value *value, const char *text)
{
    return value->present && value->shape[0] == (int64_t)strlen(text) &&
           memcmp(value->data, text, strlen(text)) == 0;
}
