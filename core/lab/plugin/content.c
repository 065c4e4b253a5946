/* content.c - what a path in a script names (lab/plugin/content.h). */
#include "lab/plugin/content.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/weights.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- finding ---- */

/* FOLDER/PATH made absolute, into out; false when it is too long. */
static bool join(char out[PATH_MAX], const char *folder, const char *path)
{
    char here[PATH_MAX];
    int length;
    if (path[0] == '/')
        length = snprintf(out, PATH_MAX, "%s", path);
    else if (folder[0] == '/')
        length = snprintf(out, PATH_MAX, "%s/%s", folder, path);
    else if (getcwd(here, sizeof here) == NULL)
        return false;
    else if (folder[0] == '\0' || strcmp(folder, ".") == 0)
        length = snprintf(out, PATH_MAX, "%s/%s", here, path);
    else
        length = snprintf(out, PATH_MAX, "%s/%s/%s", here, folder, path);
    return length < PATH_MAX;
}

static bool replace_text(char **text, const char *with, assay_error *error)
{
    char *copy = assay_strdup(with, error);
    if (copy == NULL)
        return false;
    assay_free(*text);
    *text = copy;
    return true;
}

bool content_resolve(setting *value, const char *name, const char *folder, const char *where,
                     assay_error *error)
{
    const char *places[2] = {folder, ""};
    for (int i = 0; i < 2; i++) {
        char path[PATH_MAX];
        if (places[i] != NULL && value->text[0] != '\0' && join(path, places[i], value->text) &&
            access(path, F_OK) == 0)
            return replace_text(&value->resolved, path, error);
    }
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                      .what = assay_text("the path of %s does not exist", name),
                      .got = assay_text("'%s'", value->text),
                      .hint = value->text[0] == '/'
                                  ? NULL
                                  : "paths are beside the script or in the current folder");
}

/* ---- hashes ---- */

/* Files hashed lately, so that a thousand runs from one file read it once. */
typedef struct hashed {
    struct stat info; /* all zero: no entry */
    char sha256[65];
} hashed;

#define HASHED_FILES 32
static hashed lately[HASHED_FILES];
static int next_lately;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Under the lock: two threads that ask for one file read it once. */
static bool hash_locked(const char *path, char sha256[65], assay_error *error)
{
    struct stat info;
    bool known = stat(path, &info) == 0;
    for (int i = 0; known && i < HASHED_FILES; i++)
        if (lately[i].sha256[0] != '\0' && same_file(&lately[i].info, &info)) {
            memcpy(sha256, lately[i].sha256, 65);
            return true;
        }
    assay_mapping mapping;
    if (!assay_map(path, &mapping, error))
        return false;
    assay_sha256_of(mapping.data, (size_t)mapping.bytes, sha256);
    assay_unmap(&mapping);
    if (known) {
        hashed *slot = &lately[next_lately++ % HASHED_FILES];
        slot->info = info;
        memcpy(slot->sha256, sha256, 65);
    }
    return true;
}

/* ---- weights ---- */

/* `resolved` becomes the file behind a folder. */
static bool find_weights(setting *value, const char *name, const char *where, assay_error *error)
{
    char path[PATH_MAX];
    assay_error own = {0};
    if (assay_weights_locate(value->resolved, path, sizeof path, &own))
        return replace_text(&value->resolved, path, error);
    return ASSAY_FAIL(error, own.code, .where = where,
                      .what = assay_text("the folder of %s is not one model's", name),
                      .expected = own.expected,
                      .got = assay_text("%s in %s", own.got, value->resolved), .hint = own.hint);
}

static bool add_file(assay_sha256 *to, const char *path, assay_error *error)
{
    char sha256[65];
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (!hash_locked(path, sha256, error))
        return false;
    assay_sha256_add(to, name, strlen(name) + 1);
    assay_sha256_add(to, sha256, 64);
    return true;
}

/* Every shard that an index names. */
static bool add_shards(assay_sha256 *to, const char *index, assay_error *error)
{
    assay_weights *weights = assay_weights_open(index, error);
    bool ok = weights != NULL;
    for (int64_t i = 0; ok && i < assay_weights_files(weights); i++)
        ok = add_file(to, assay_weights_file(weights, i), error);
    assay_weights_close(weights);
    return ok;
}

/* What lies beside published weights and decides what they mean; how many of them were there. */
static int add_companions(assay_sha256 *to, const char *weights, bool *ok, assay_error *error)
{
    static const char *const names[] = {"config.json", "adapter_config.json", "tokenizer.json"};
    char path[PATH_MAX];
    const char *slash = strrchr(weights, '/');
    int count = 0, folder = slash != NULL ? (int)(slash - weights + 1) : 0;
    for (size_t i = 0; *ok && i < sizeof names / sizeof *names; i++) {
        if (snprintf(path, sizeof path, "%.*s%s", folder, weights, names[i]) >= PATH_MAX ||
            access(path, R_OK) != 0)
            continue;
        *ok = add_file(to, path, error);
        count++;
    }
    return count;
}

bool content_weights(setting *value, const char *name, const char *where, assay_error *error)
{
    static const char ending[] = ".index.json";
    char sha256[65];
    uint8_t digest[32];
    assay_sha256 all;
    if (!find_weights(value, name, where, error))
        return false;
    const char *path = value->resolved;
    size_t length = strlen(path), tail = sizeof ending - 1;
    bool sharded = length > tail && strcmp(path + length - tail, ending) == 0;
    assay_sha256_begin(&all);
    pthread_mutex_lock(&turn);
    bool ok = sharded ? add_shards(&all, path, error) : add_file(&all, path, error);
    if (add_companions(&all, path, &ok, error) > 0 || sharded) {
        assay_sha256_end(&all, digest);
        assay_sha256_hex(digest, sha256);
    } else if (ok) {
        ok = hash_locked(path, sha256, error);
    }
    pthread_mutex_unlock(&turn);
    return ok && replace_text(&value->sha256, sha256, error);
}

/* ---- whole folders ---- */

#define DEEPEST_FOLDER 16 /* a link may lead back up */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, int count)
{
    for (int i = 0; i < count; i++)
        assay_free(names[i]);
    assay_free(names);
}

/* The names in a folder, sorted; NULL with the error. */
static char **list_names(const char *folder, int *count, assay_error *error)
{
    int capacity = 16;
    char **names = assay_alloc(capacity * (int64_t)sizeof *names, error);
    DIR *open = names != NULL ? opendir(folder) : NULL;
    bool ok = open != NULL;
    *count = 0;
    if (names != NULL && open == NULL)
        ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "the folder cannot be read",
                   .got = strerror(errno));
    for (struct dirent *entry; ok && (entry = readdir(open)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (*count == capacity) {
            char **grown = assay_alloc(2 * capacity * (int64_t)sizeof *grown, error);
            ok = grown != NULL;
            if (!ok)
                break;
            memcpy(grown, names, (size_t)capacity * sizeof *grown);
            assay_free(names);
            names = grown;
            capacity *= 2;
        }
        names[*count] = assay_strdup(entry->d_name, error);
        ok = names[*count] != NULL;
        *count += ok;
    }
    if (open != NULL)
        closedir(open);
    if (!ok) {
        free_names(names, *count);
        return NULL;
    }
    qsort(names, (size_t)*count, sizeof *names, compare_names);
    return names;
}

/* Adds the name and the SHA-256 of every file of root/below, names relative to the root. */
static bool add_folder(assay_sha256 *to, const char *root, const char *below, int depth,
                       assay_error *error)
{
    char path[PATH_MAX], name[PATH_MAX], sha256[65];
    int count = 0;
    if (depth == DEEPEST_FOLDER || snprintf(path, sizeof path, "%s/%s", root, below) >= PATH_MAX)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = root,
                          .what = "folders are nested too deeply");
    char **names = list_names(path, &count, error);
    bool ok = names != NULL;
    for (int i = 0; i < count && ok; i++) {
        struct stat info;
        ok = snprintf(name, sizeof name, "%s%s%s", below, below[0] != '\0' ? "/" : "", names[i]) <
                 PATH_MAX &&
             snprintf(path, sizeof path, "%s/%s", root, name) < PATH_MAX && stat(path, &info) == 0;
        if (!ok) {
            ASSAY_FAIL(error, ASSAY_IO, .where = root, .what = "a file cannot be read",
                       .got = names[i]);
        } else if (S_ISDIR(info.st_mode)) {
            ok = add_folder(to, root, name, depth + 1, error);
        } else if (S_ISREG(info.st_mode)) {
            ok = hash_locked(path, sha256, error);
            assay_sha256_add(to, name, strlen(name) + 1);
            assay_sha256_add(to, sha256, ok ? 64 : 0);
        }
    }
    free_names(names, names != NULL ? count : 0);
    return ok;
}

bool content_identify(setting *value, const char *name, const char *where, assay_error *error)
{
    struct stat info;
    char sha256[65];
    uint8_t digest[32];
    assay_sha256 all;
    if (stat(value->resolved, &info) != 0)
        return ASSAY_FAIL(error, ASSAY_IO, .where = where,
                          .what = assay_text("the path of %s cannot be read", name),
                          .got = strerror(errno));
    pthread_mutex_lock(&turn);
    bool ok;
    if (S_ISDIR(info.st_mode)) {
        assay_sha256_begin(&all);
        ok = add_folder(&all, value->resolved, "", 0, error);
        assay_sha256_end(&all, digest);
        assay_sha256_hex(digest, sha256);
    } else {
        ok = hash_locked(value->resolved, sha256, error);
    }
    pthread_mutex_unlock(&turn);
    return ok && replace_text(&value->sha256, sha256, error);
}
