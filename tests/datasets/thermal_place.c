/* thermal_place.c - see thermal_place.h. */
#include "thermal_place.h"

#include <assay/hash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const assay_dataset_functions *thermal_functions(void)
{
    return assay_plugin_entry.functions;
}

int thermal_place_make(void **state)
{
    static const double air[] = {-5, 32}, resize[] = {0.5, 2}, scale[] = {0.2, 1};
    static const double ratio[] = {0.75, 4.0 / 3};
    assay_error error = {0};
    thermal_place *place = calloc(1, sizeof *place);
    place->options = (thermal_options){.images = 50,
                                       .train_images = 40,
                                       .valid_images = 30,
                                       .test_images = 20,
                                       .width = 96,
                                       .height = 64,
                                       .seed = 1,
                                       .air = {2, air},
                                       .clutter = 1,
                                       .netd = 0.08,
                                       .nonuniformity = 0.05,
                                       .blur = 0.6,
                                       .mean = 0.3801,
                                       .side = 48,
                                       .resize = {2, resize},
                                       .crop_scale = {2, scale},
                                       .crop_ratio = {2, ratio},
                                       .most = 0.75,
                                       .roi_p = 0.85,
                                       .flip = true,
                                       .photometric = true};
    place->arena = assay_arena_new(0, &error);
    *state = place;
    return place->arena != NULL ? 0 : -1;
}

int thermal_place_remove(void **state)
{
    thermal_place *place = *state;
    assay_arena_free(place->arena);
    free(place);
    return 0;
}

thermal_data *must_open(thermal_place *place)
{
    assay_error error = {0};
    char line[1400];
    thermal_data *data = thermal_functions()->open(&place->options, NULL, &error);
    if (data == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return data;
}

assay_sample must_sample(thermal_place *place, thermal_data *data, assay_data_split split,
                         int64_t index, const assay_draw *draw)
{
    assay_error error = {0};
    assay_sample sample = {0};
    if (!thermal_functions()->sample(data, split, ASSAY_NO_BENCHMARK, index, draw, place->arena,
                                     &sample, &error))
        fail_msg("%s %s", error.what, error.got);
    assert_int_equal(sample.index, index);
    return sample;
}

void digest_sample(const thermal_data *data, const assay_sample *sample, char hex[65])
{
    uint8_t sum[32];
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    for (int f = 0; f < data->field_count; f++) {
        const assay_field_value *value = &sample->values[f];
        assay_sha256_add(&hash, value->shape, 2 * sizeof value->shape[0]);
        assay_sha256_add(
            &hash, value->data,
            (size_t)(value->shape[0] * value->shape[1] * assay_dtype_size(data->fields[f].dtype)));
    }
    assay_sha256_end(&hash, sum);
    assay_sha256_hex(sum, hex);
}
