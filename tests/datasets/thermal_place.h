/* thermal_place.h - an open thermal_synth dataset, for the tests of the plugin. */
#ifndef TEST_THERMAL_PLACE_H
#define TEST_THERMAL_PLACE_H

#include "thermal.h"

extern const assay_plugin assay_plugin_entry;
const assay_dataset_functions *thermal_functions(void);

typedef struct thermal_place {
    thermal_options options; /* the table's defaults, few and small pictures */
    assay_arena *arena;
} thermal_place;

int thermal_place_make(void **state);
int thermal_place_remove(void **state);

thermal_data *must_open(thermal_place *place);
/* The sample, in the place's arena; training: with random changes. */
assay_sample must_sample(thermal_place *place, thermal_data *data, assay_data_split split,
                         int64_t index, const assay_draw *draw);
/* SHA-256 of every value of a sample. */
void digest_sample(const thermal_data *data, const assay_sample *sample, char hex[65]);

#endif
