/* registry.c - the search path: every shared object opened once, taken or refused with the reason
 * (lab/plugin/registry.h). */
#include "lab/plugin/registry.h"

#include "lab/plugin/adopt.h"
#include "lab/plugin/object.h"

#include <assay/file.h>
#include <assay/hash.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct plugin_registry {
    assay_arena *arena; /* everything below, and the texts that plugins and refusals point at */
    int count, refusal_count, seen_count;
    int capacity, refusal_capacity, seen_capacity;
    plugin **plugins; /* ordered by kind, then name */
    plugin_refusal *refusals;
    struct file_id {
        dev_t device;
        ino_t inode;
    } * seen; /* files that were looked at: links to them are no other plugins */
};

static const char *const kind_names[ASSAY_KINDS] = {"dataset", "model",   "mask",
                                                    "loss",    "adapter", "evaluator"};

const char *plugin_kind_name(assay_kind kind)
{
    return kind_names[kind];
}

bool plugin_kind_of(const char *word, assay_kind *out)
{
    for (int i = 0; i < ASSAY_KINDS; i++)
        if (strcmp(word, kind_names[i]) == 0) {
            *out = (assay_kind)i;
            return true;
        }
    return false;
}

/* ---- lists in the registry's arena ---- */

/* Room for one more item: the list itself, or a copy of twice the size. NULL on failure. */
static void *list_room(assay_arena *arena, void *items, int count, int *capacity, size_t item,
                       assay_error *error)
{
    if (count < *capacity)
        return items;
    int larger = *capacity == 0 ? 16 : 2 * *capacity;
    void *fresh = assay_arena_alloc(arena, (int64_t)item * larger, error);
    if (fresh == NULL)
        return NULL;
    if (count > 0)
        memcpy(fresh, items, item * (size_t)count);
    *capacity = larger;
    return fresh;
}

static char *keep_text(assay_arena *arena, const char *text, assay_error *error)
{
    size_t bytes = strlen(text) + 1;
    char *copy = assay_arena_alloc(arena, (int64_t)bytes, error);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

static bool refuse(plugin_registry *registry, const char *path, const char *reason,
                   assay_error *error)
{
    plugin_refusal *list = list_room(registry->arena, registry->refusals, registry->refusal_count,
                                     &registry->refusal_capacity, sizeof *list, error);
    char *path_copy = keep_text(registry->arena, path, error);
    char *reason_copy = keep_text(registry->arena, reason, error);
    if (list == NULL || path_copy == NULL || reason_copy == NULL)
        return false;
    registry->refusals = list;
    list[registry->refusal_count++] = (plugin_refusal){path_copy, reason_copy};
    return true;
}

/* Whether this file was looked at before, by whatever name; remembers it. */
static bool seen_before(plugin_registry *registry, const struct stat *info, bool *seen,
                        assay_error *error)
{
    *seen = true;
    for (int i = 0; i < registry->seen_count; i++)
        if (registry->seen[i].device == info->st_dev && registry->seen[i].inode == info->st_ino)
            return true;
    *seen = false;
    struct file_id *list = list_room(registry->arena, registry->seen, registry->seen_count,
                                     &registry->seen_capacity, sizeof *list, error);
    if (list == NULL)
        return false;
    registry->seen = list;
    list[registry->seen_count++] = (struct file_id){info->st_dev, info->st_ino};
    return true;
}

/* ---- one file ---- */

static int compare_place(assay_kind kind, const char *name, const plugin *other)
{
    if (kind != other->kind)
        return kind < other->kind ? -1 : 1;
    return strcmp(name, other->name);
}

static bool insert(plugin_registry *registry, plugin *fresh, assay_error *error)
{
    plugin **list = list_room(registry->arena, registry->plugins, registry->count,
                              &registry->capacity, sizeof *list, error);
    if (list == NULL)
        return false;
    registry->plugins = list;
    int at = registry->count++;
    for (; at > 0 && compare_place(fresh->kind, fresh->name, list[at - 1]) < 0; at--)
        list[at] = list[at - 1];
    list[at] = fresh;
    return true;
}

/* What can be known of the file before it is loaded: that it is whole, and the hash of its
 * bytes. */
static bool read_object(const char *path, char sha256[65], assay_error *error)
{
    assay_mapping mapping;
    if (!assay_map(path, &mapping, error))
        return false;
    assay_sha256_of(mapping.data, (size_t)mapping.bytes, sha256);
    bool ok = object_is_whole(mapping.data, mapping.bytes, error);
    assay_unmap(&mapping);
    return ok;
}

/* Opens the shared object and adopts what it exports. On failure *error is the reason. */
static bool take(plugin *out, const char *path, assay_arena *arena, assay_error *error)
{
    if (!read_object(path, out->sha256, error))
        return false;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        const char *reason = dlerror();
        size_t length = strlen(path);
        if (strncmp(reason, path, length) == 0 && strncmp(reason + length, ": ", 2) == 0)
            reason += length + 2;
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .what = "is no shared object that can be loaded",
                          .got = reason);
    }
    const void *entry = dlsym(object, ASSAY_PLUGIN_SYMBOL);
    Dl_info found;
    const ElfW(Sym) *symbol = NULL;
    if (entry == NULL)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .what = "is no plugin",
                          .expected = "an exported symbol " ASSAY_PLUGIN_SYMBOL, .got = "none",
                          .hint = "define the descriptor by ASSAY_PLUGIN");
    int64_t bytes = 0;
    if (dladdr1(entry, &found, (void **)&symbol, RTLD_DL_SYMENT) != 0 && symbol != NULL)
        bytes = (int64_t)symbol->st_size;
    return adopt_plugin(out, entry, bytes, arena, error);
}

/* False only when memory is out: a file that cannot be used becomes a refusal. */
static bool load_file(plugin_registry *registry, const char *path, assay_error *error)
{
    struct stat info;
    bool seen = false;
    if (stat(path, &info) != 0)
        return refuse(registry, path, assay_text("cannot be read: %s", strerror(errno)), error);
    if (!seen_before(registry, &info, &seen, error) || seen)
        return seen;
    if (!S_ISREG(info.st_mode)) /* a pipe would never end */
        return refuse(registry, path, "is not a regular file", error);
    plugin *fresh = assay_arena_alloc(registry->arena, sizeof *fresh, error);
    char *path_copy = keep_text(registry->arena, path, error);
    if (fresh == NULL || path_copy == NULL)
        return false;
    memset(fresh, 0, sizeof *fresh);
    fresh->path = path_copy;
    assay_error reason = {0};
    char line[sizeof reason + 64];
    if (!take(fresh, path, registry->arena, &reason)) {
        if (reason.code == ASSAY_NO_MEMORY)
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path, .what = reason.what);
        return refuse(registry, path, assay_error_format(&reason, line, sizeof line), error);
    }
    const plugin *first = registry_find(registry, fresh->kind, fresh->name);
    if (first != NULL) {
        snprintf(line, sizeof line, "%s '%s' is there already: %s", plugin_kind_name(fresh->kind),
                 fresh->name, first->path);
        return refuse(registry, path, line, error);
    }
    return insert(registry, fresh, error);
}

/* ---- the search path ---- */

static int is_object(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    /* Devices lie beside the plugins, and are loaded by themselves when --device asks for one. */
    return length > 3 && strcmp(entry->d_name + length - 3, ".so") == 0 &&
           strncmp(entry->d_name, "device_", 7) != 0;
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* alphasort would ask the locale */
}

static bool load_folder(plugin_registry *registry, const char *folder, assay_error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_object, compare_entries);
    if (count < 0 && errno == ENOENT)
        return true;
    if (count < 0 && errno != ENOMEM)
        return refuse(registry, folder,
                      assay_text("the folder cannot be read: %s", strerror(errno)), error);
    bool ok =
        count >= 0 || ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = folder, .what = "out of memory");
    for (int i = 0; i < count; i++) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (ok && length >= (int)sizeof path)
            ok = refuse(registry, folder, "the path is too long", error);
        else if (ok)
            ok = load_file(registry, path, error);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

plugin_registry *registry_new(int n, const char *const *folders, assay_error *error)
{
    plugin_registry *registry = assay_zalloc(sizeof *registry, error);
    bool ok = registry != NULL && (registry->arena = assay_arena_new(1 << 16, error)) != NULL;
    for (int i = 0; i < n && ok; i++)
        ok = load_folder(registry, folders[i], error);
    if (!ok) {
        registry_free(registry);
        registry = NULL;
    }
    return registry;
}

void registry_free(plugin_registry *registry)
{
    if (registry == NULL)
        return;
    assay_arena_free(registry->arena);
    assay_free(registry);
}

/* ---- reading ---- */

int registry_count(const plugin_registry *registry)
{
    return registry->count;
}

const plugin *registry_at(const plugin_registry *registry, int i)
{
    return registry->plugins[i];
}

const plugin *registry_find(const plugin_registry *registry, assay_kind kind, const char *name)
{
    int low = 0, high = registry->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = compare_place(kind, name, registry->plugins[middle]);
        if (order == 0)
            return registry->plugins[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The refusal of a file that is named after this plugin, KIND_NAME.so or NAME.so; NULL: none. */
static const plugin_refusal *refusal_of(const plugin_registry *registry, assay_kind kind,
                                        const char *name)
{
    for (int i = 0; i < registry->refusal_count; i++) {
        const char *slash = strrchr(registry->refusals[i].path, '/');
        const char *file = slash == NULL ? registry->refusals[i].path : slash + 1;
        if (strcmp(file, assay_text("%s_%.60s.so", plugin_kind_name(kind), name)) == 0 ||
            strcmp(file, assay_text("%.60s.so", name)) == 0)
            return &registry->refusals[i];
    }
    return NULL;
}

const plugin *registry_get(const plugin_registry *registry, assay_kind kind, const char *name,
                           assay_error *error)
{
    const plugin *found = registry_find(registry, kind, name);
    if (found != NULL)
        return found;
    const char *known[64];
    char listed[192] = "";
    int count = 0;
    for (int i = 0; i < registry->count && count < 64; i++)
        if (registry->plugins[i]->kind == kind)
            known[count++] = registry->plugins[i]->name;
    for (int i = 0; i < count && strlen(listed) + strlen(known[i]) + 3 < sizeof listed; i++)
        snprintf(listed + strlen(listed), sizeof listed - strlen(listed), "%s%s",
                 i == 0 ? "" : ", ", known[i]);
    const plugin_refusal *refusal = refusal_of(registry, kind, name);
    const char *nearest = assay_nearest(name, count, known);
    const char *hint = NULL;
    if (refusal != NULL)
        hint = assay_text("%s: %s", refusal->path, refusal->reason);
    else if (nearest != NULL)
        hint = assay_text("did you mean '%s'?", nearest);
    else if (registry->refusal_count > 0)
        hint = assay_text("%d %s refused; 'assay plugins' says why", registry->refusal_count,
                          registry->refusal_count == 1 ? "file was" : "files were");
    ASSAY_FAIL(error, ASSAY_BAD_INPUT,
               .what = assay_text("unknown %s '%.60s'", plugin_kind_name(kind), name),
               .expected = count == 0 ? NULL : listed,
               .got = count == 0 ? assay_text("no %s is installed", plugin_kind_name(kind)) : NULL,
               .hint = hint);
    return NULL;
}

int registry_refusal_count(const plugin_registry *registry)
{
    return registry->refusal_count;
}

const plugin_refusal *registry_refusal_at(const plugin_registry *registry, int i)
{
    return &registry->refusals[i];
}
