/* lab/plugin/registry.h - the plugins of this process: found, checked, loaded, or refused with the
 * reason.
 *
 * Every *.so of the search path is opened once (RTLD_NOW | RTLD_LOCAL), in order of folder and
 * name, and stays open to the end of the process. A folder that does not exist is passed over. */
#ifndef LAB_PLUGIN_REGISTRY_H
#define LAB_PLUGIN_REGISTRY_H

#include <assay/adapter.h>
#include <assay/dataset.h>
#include <assay/evaluator.h>
#include <assay/loss.h>
#include <assay/mask.h>
#include <assay/model.h>
#include <assay/plugin.h>

/* A loaded plugin. Structs are copies as large as the host knows them: what an older plugin lacks
 * is NULL or 0. Borrowed from the registry. */
typedef struct plugin {
    assay_kind kind;
    const char *name, *summary;
    int32_t version;
    uint32_t abi;
    const char *path; /* of the shared object */
    char sha256[65];  /* of its bytes */
    const assay_option *options;
    int option_count;
    int64_t options_bytes; /* of the struct that the options fill */
    union {
        assay_dataset_functions dataset;
        assay_model_functions model;
        assay_mask_functions mask;
        assay_loss_functions loss;
        assay_adapter_functions adapter;
        assay_evaluator_functions evaluator;
    };
} plugin;

typedef struct plugin_refusal {
    const char *path, *reason;
} plugin_refusal;

typedef struct plugin_registry plugin_registry;

/* Loads every plugin of the folders (n of them). A file that is refused is no failure of the call:
 * see registry_refusal. The caller owns the result. */
plugin_registry *registry_new(int n, const char *const *folders, assay_error *error);
void registry_free(plugin_registry *registry); /* accepts NULL; the objects stay loaded */

int registry_count(const plugin_registry *registry);
/* Ordered by kind, then name. */
const plugin *registry_at(const plugin_registry *registry, int i);
/* NULL when there is none. */
const plugin *registry_find(const plugin_registry *registry, assay_kind kind, const char *name);
/* The same; absence is an error with the nearest name as hint, and, when a file was refused,
 * that. */
const plugin *registry_get(const plugin_registry *registry, assay_kind kind, const char *name,
                           assay_error *error);
int registry_refusal_count(const plugin_registry *registry);
const plugin_refusal *registry_refusal_at(const plugin_registry *registry, int i);

/* "dataset", "model" ...; static. */
const char *plugin_kind_name(assay_kind kind);
/* False for a word that is no kind. */
bool plugin_kind_of(const char *word, assay_kind *out);

#endif
