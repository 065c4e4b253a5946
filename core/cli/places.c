/* places.c - flags, then the environment, then what is usual: where everything is (places.h). */
#include "cli/places.h"
#include "lab/store/store.h"

#include <assay/memory.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define USUAL_FOLDER "results"
#define USUAL_STORE  USUAL_FOLDER "/assay.db"

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool is_usual(const char *store)
{
    return strcmp(store, USUAL_STORE) == 0;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* ---- the store ---- */

const char *place_of_store(const arguments *args)
{
    const char *given = args_value(args, "db");
    if (given == NULL)
        given = environment("ASSAY_DB");
    return given != NULL ? given : USUAL_STORE;
}

bool place_check_existing_store(const char *path, assay_error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "there is no store",
                          .hint = "'assay run SCRIPT.lua' makes it; --db or ASSAY_DB name another");
    if (!S_ISREG(status.st_mode))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                          .what = "the store is one regular file, this is none");
    store_handle *store = store_open(path, STORE_READ_ONLY, error);
    store_free(store);
    return store != NULL;
}

const char *place_of_existing_store(const arguments *args, assay_error *error)
{
    const char *store = place_of_store(args);
    return place_check_existing_store(store, error) ? store : NULL;
}

void place_folder_of(const char *path, char *out, int64_t size)
{
    snprintf(out, (size_t)size, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        snprintf(out, (size_t)size, ".");
    else
        slash[slash == out] = '\0';
}

bool place_check_store(const char *store, assay_error *error)
{
    char folder[PLACE_SIZE];
    struct stat status;
    if (strlen(store) >= sizeof folder)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store, .what = "the path is too long");
    place_folder_of(store, folder, sizeof folder);
    if (stat(store, &status) == 0 && !S_ISREG(status.st_mode))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store,
                          .what = "the store is one regular file, this is none");
    if (!is_folder(folder) && is_usual(store) && access(folder, F_OK) != 0)
        memcpy(folder, ".", 2); /* place_make_store_folder will make it there */
    if (!is_folder(folder))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder,
                          .what = "the store's folder is not there", .hint = "make it first");
    if (access(store, F_OK) == 0 && access(store, W_OK) != 0)
        return ASSAY_FAIL(error, ASSAY_IO, .where = store, .what = "the store cannot be written",
                          .got = strerror(errno), .hint = "check who may write the file");
    if (access(folder, W_OK | X_OK) != 0)
        return ASSAY_FAIL(error, ASSAY_IO, .where = folder,
                          .what = "the store's folder cannot be written", .got = strerror(errno),
                          .hint = "--db FILE puts the store elsewhere");
    return true;
}

bool place_make_store_folder(const char *store, assay_error *error)
{
    if (!is_usual(store) || mkdir(USUAL_FOLDER, 0777) == 0 || errno == EEXIST)
        return true;
    return ASSAY_FAIL(error, ASSAY_IO, .where = USUAL_FOLDER, .what = "the folder cannot be made",
                      .got = strerror(errno), .hint = "--db FILE puts the store elsewhere");
}

/* ---- the cache and the program ---- */

void place_of_cache(char *out, int64_t size)
{
    const char *cache = environment("ASSAY_CACHE");
    const char *home = environment("HOME");
    if (cache != NULL)
        snprintf(out, (size_t)size, "%s", cache);
    else if (home != NULL)
        snprintf(out, (size_t)size, "%s/.cache/assay", home);
    else
        out[0] = '\0';
}

bool place_of_program(char *out, int64_t size, assay_error *error)
{
    ssize_t length = readlink("/proc/self/exe", out, (size_t)size - 1);
    if (length < 0)
        return ASSAY_FAIL(error, ASSAY_IO, .where = "/proc/self/exe",
                          .what = "the program's own place is unknown", .got = strerror(errno));
    out[length] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        *slash = '\0';
    return true;
}

/* ---- plugins ---- */

static bool add_folder(plugin_folders *folders, int room, const char *path, size_t length,
                       assay_error *error)
{
    if (length == 0 || folders->count == room)
        return true;
    char *copy = assay_alloc((int64_t)length + 1, error);
    if (copy == NULL)
        return false;
    memcpy(copy, path, length);
    copy[length] = '\0';
    folders->paths[folders->count++] = copy;
    return true;
}

static bool add_own_folder(plugin_folders *folders, int room, assay_error *error)
{
    char beside[PLACE_SIZE + sizeof "/plugins"];
    if (!place_of_program(beside, PLACE_SIZE, error))
        return false;
    strcat(beside, "/plugins");
    const char *own = is_folder(beside) ? beside : ASSAY_PLUGIN_FOLDER;
    return add_folder(folders, room, own, strlen(own), error);
}

bool places_of_plugins(const arguments *args, plugin_folders *out, assay_error *error)
{
    const char *listed = environment("ASSAY_PLUGINS");
    int given = args_values(args, "plugins");
    int room = given + 2;
    for (const char *c = listed; c != NULL && *c != '\0'; c++)
        room += *c == ':';
    *out = (plugin_folders){0};
    out->paths = assay_zalloc(room * (int64_t)sizeof *out->paths, error);
    if (out->paths == NULL)
        return false;
    for (int i = 0; i < given; i++) {
        const char *folder = args_value_at(args, "plugins", i);
        if (!is_folder(folder)) {
            ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--plugins",
                       .what = "the folder of plugins is not there",
                       .got = assay_text("'%s'", folder));
            goto failed;
        }
        if (!add_folder(out, room, folder, strlen(folder), error))
            goto failed;
    }
    while (listed != NULL && *listed != '\0') {
        size_t length = strcspn(listed, ":");
        if (!add_folder(out, room, listed, length, error))
            goto failed;
        listed += length + (listed[length] == ':');
    }
    if (add_own_folder(out, room, error))
        return true;
failed:
    plugin_folders_clear(out);
    return false;
}

void plugin_folders_clear(plugin_folders *folders)
{
    for (int i = 0; i < folders->count; i++)
        assay_free(folders->paths[i]);
    assay_free(folders->paths);
    *folders = (plugin_folders){0};
}

plugin_registry *place_open_registry(const arguments *args, assay_error *error)
{
    plugin_folders folders;
    if (!places_of_plugins(args, &folders, error))
        return NULL;
    plugin_registry *registry =
        registry_new(folders.count, (const char *const *)folders.paths, error);
    plugin_folders_clear(&folders);
    return registry;
}
