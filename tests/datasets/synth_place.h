/* synth_place.h - an open user_synth dataset, for the tests of the plugin. */
#ifndef TEST_SYNTH_PLACE_H
#define TEST_SYNTH_PLACE_H

#include "synth.h"

extern const assay_plugin assay_plugin_entry;
const assay_dataset_functions *synth_functions(void);

typedef struct synth_place {
    synth_options options; /* the table's defaults with fewer users */
    assay_arena *arena;
} synth_place;

int synth_place_make(void **state);
int synth_place_remove(void **state);

synth_data *must_open(synth_place *place);
/* What opening fails with. */
assay_error must_refuse(synth_place *place);

/* The sample, in `arena`. */
assay_sample must_sample(const synth_data *data, assay_data_split split, int benchmark,
                         int64_t number, int64_t epoch, assay_arena *arena);

/* SHA-256 of every value of a sample. */
void digest_sample(const synth_data *data, const assay_sample *sample, char hex[65]);

/* Whether a text field's value is `text`. */
bool is_text(const assay_field_value *value, const char *text);

#endif
