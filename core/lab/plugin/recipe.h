/* lab/plugin/recipe.h - everything that defines what one run computes, as checked settings. The
 * script makes recipes, the training loop follows them; neither knows the other. */
#ifndef LAB_PLUGIN_RECIPE_H
#define LAB_PLUGIN_RECIPE_H

#include "lab/plugin/host_tables.h"
#include "lab/plugin/settings.h"

typedef struct recipe {
    int64_t seed;
    settings dataset, model;
    settings mask; /* plugin NULL: the model's own attention */
    int adapter_count, loss_count, evaluator_count;
    settings *adapters, *losses, *evaluators;
    settings train; /* of train_table */
    setting init;   /* type WEIGHTS; not given: from the seed */
} recipe;

void recipe_clear(recipe *recipe); /* accepts a zeroed value */
/* A deep copy. */
bool recipe_copy(recipe *out, const recipe *from, assay_error *error);

#endif
