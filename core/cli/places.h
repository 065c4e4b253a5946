/* cli/places.h - where things are: the store, the plugins, the cache, this program. */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

#include "cli/args.h"
#include "lab/plugin/registry.h"

enum { PLACE_SIZE = 4096 };

/* --db, else ASSAY_DB, else results/assay.db. Borrowed from the arguments or the environment. */
const char *place_of_store(const arguments *args);
/* The same; it must be there and be a store of this program: for commands that only read. */
const char *place_of_existing_store(const arguments *args, assay_error *error);
bool place_check_existing_store(const char *path, assay_error *error);
/* Whether a store could be at `store`: found out before any work, and nothing is made. */
bool place_check_store(const char *store, assay_error *error);
/* Makes the folder of the usual store; others must be there. */
bool place_make_store_folder(const char *store, assay_error *error);
/* The folder that holds the path, whether or not the path is there; "." for a bare name. */
void place_folder_of(const char *path, char *out, int64_t size);

/* ASSAY_CACHE, else ~/.cache/assay; "" when there is no home. */
void place_of_cache(char *out, int64_t size);

/* The folder of this program, as the kernel knows it. */
bool place_of_program(char *out, int64_t size, assay_error *error);

/* The search path of plugins: --plugins in order, ASSAY_PLUGINS, and the program's own: the folder
 * `plugins` beside it (as in a build tree) or, failing that, the installed one. */
typedef struct plugin_folders {
    int count;
    char **paths;
} plugin_folders;
bool places_of_plugins(const arguments *args, plugin_folders *out, assay_error *error);
void plugin_folders_clear(plugin_folders *folders); /* accepts a zeroed value */

/* The registry of that search path. A --plugins folder that is not there is an error. */
plugin_registry *place_open_registry(const arguments *args, assay_error *error);

#endif
