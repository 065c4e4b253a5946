/* cli/prepare.h - from a command line to a plan that can be run: plugins loaded, the script read,
 * its data opened, every different recipe inspected. Nothing is written to the store, so whatever
 * is wrong with the user's input is known before a run starts. */
#ifndef CLI_PREPARE_H
#define CLI_PREPARE_H

#include "cli/device.h"
#include "lab/script/plan.h"
#include "lab/train/train.h"

/* What `run` and `plan` share. */
#define SET_FLAG                                                                                   \
    {                                                                                              \
        .name = "set", .argument = "PATH=VALUE", .repeatable = true,                               \
        .meaning = "replace an option (train.steps=100, loss.contrastive.margin=0.2, "             \
                   "STAGE.train.lr=1e-4) or a whole axis; VALUE is a Lua literal; repeatable"      \
    }
#define DEVICE_FLAG                                                                                \
    {                                                                                              \
        .name = "device", .argument = "DEVICE", .meaning = "cpu (the default) or cuda[:N]"         \
    }

typedef struct preparation {
    plugin_registry *registry;
    dataset_pool *pool;
    plan *plan;
    device_choice device;
    int facts_count;
    recipe_facts *facts; /* one per different recipe, the seed aside */
    int *facts_of;       /* per run: its place in `facts` */
} preparation;

typedef struct preparing {
    /* A job's plan has been inspected by the process that started it: it goes without facts. */
    bool without_inspection;
    const volatile sig_atomic_t *stop; /* set: end with ASSAY_STOPPED; NULL: never */
} preparing;

/* On failure nothing is left in *out. */
bool prepare(const arguments *args, const char *script, const preparing *how, preparation *out,
             assay_error *error);
void prepared_clear(preparation *prepared); /* accepts a zeroed value */

#endif
