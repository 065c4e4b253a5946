/* index_read.c - finding a valid index or having it made, and reading users from it (index.h). */
#include "index_file.h"
#include "json.h"
#include "scratch.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/log.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#define LONGEST_PATH 4096

/* ---- is this file a valid index? ---- */

/* Whether `bytes` from `at` lie inside what was mapped, which begins at rows_at. */
static bool holds(const index_footer *footer, int64_t end, int64_t at, int64_t count, int64_t size)
{
    int64_t bytes = 0;
    return assay_size_mul(&bytes, count, size) && at >= footer->rows_at && at % 8 == 0 &&
           at <= end && bytes <= end - at;
}

/* Whether the footer is whole, of this build, and about these files. */
static bool footer_fits(const index_footer *footer, const users_index *index,
                        const index_source *source)
{
    uint32_t sum =
        (uint32_t)crc32(0, (const Bytef *)footer, (uInt)offsetof(index_footer, footer_checksum));
    return memcmp(footer->magic, INDEX_MAGIC, sizeof footer->magic) == 0 &&
           footer->version == INDEX_VERSION && footer->order == INDEX_ORDER &&
           footer->footer_checksum == sum && memcmp(&footer->source, source, sizeof *source) == 0 &&
           memcmp(footer->description, index->description->sha256, 65) == 0 &&
           footer->label_count == index->description->label_count &&
           footer->feature_count == index->description->feature_count;
}

static uint32_t sum_of(const uint8_t *data, int64_t bytes)
{
    uLong sum = crc32(0, NULL, 0);
    for (int64_t at = 0; at < bytes;) {
        int64_t now = bytes - at < (1 << 30) ? bytes - at : 1 << 30;
        sum = crc32(sum, data + at, (uInt)now);
        at += now;
    }
    return (uint32_t)sum;
}

/* Every row names a record inside the records and a split that exists. */
static bool rows_fit(const users_index *index)
{
    const index_footer *footer = index->footer;
    for (int64_t i = 0; i < footer->counts.users; i++) {
        const index_row *row = &index->rows[i];
        if (row->offset < 16 || row->offset % 8 != 0 || row->offset > footer->rows_at ||
            row->bytes > footer->rows_at - row->offset || row->split >= ASSAY_SPLITS)
            return false;
    }
    return true;
}

/* Maps the tail and checks it. False: this is no valid index, for whatever reason. */
static bool map_tail(users_index *index, const index_footer *footer, int64_t file_bytes)
{
    int64_t end = file_bytes - (int64_t)sizeof *footer;
    if (footer->rows_at < 16 || footer->rows_at % INDEX_PAGE != 0 || footer->rows_at > end ||
        footer->counts.users < 1 ||
        !holds(footer, end, footer->rows_at, footer->counts.users, sizeof(index_row)) ||
        !holds(footer, end, footer->numbers_at, 2 * footer->feature_count, sizeof(double)) ||
        !holds(footer, end, footer->labels_at, footer->counts.users, footer->label_count))
        return false;
    int64_t bytes = file_bytes - footer->rows_at;
    void *map = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, index->fd, footer->rows_at);
    if (map == MAP_FAILED)
        return false;
    const uint8_t *base = map;
    index->map = map;
    index->map_bytes = bytes;
    index->rows = map;
    index->mean = (const double *)(const void *)(base + (footer->numbers_at - footer->rows_at));
    index->scale = index->mean + footer->feature_count;
    index->labels = (const int8_t *)(base + (footer->labels_at - footer->rows_at));
    index->footer = (const index_footer *)(const void *)(base + (end - footer->rows_at));
    return sum_of(base, end - footer->rows_at) == footer->tail_checksum && rows_fit(index);
}

static void unload(users_index *index)
{
    if (index->map != NULL)
        munmap(index->map, (size_t)index->map_bytes);
    if (index->fd >= 0)
        close(index->fd);
    index->map = NULL;
    index->fd = -1;
}

/* Opens `path` as the index of a source in this state; when it is none, false with nothing open. */
static bool load(users_index *index, const char *path, const index_source *source)
{
    struct stat status;
    index_footer footer;
    index->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (index->fd < 0)
        return false;
    bool good = fstat(index->fd, &status) == 0 && S_ISREG(status.st_mode) &&
                status.st_size > (int64_t)sizeof footer && status.st_size % 8 == 0 &&
                scratch_read(index->fd, &footer, sizeof footer,
                             status.st_size - (int64_t)sizeof footer, path, NULL) &&
                footer_fits(&footer, index, source) && map_tail(index, &footer, status.st_size);
    if (!good)
        unload(index);
    return good;
}

/* ---- where it lies ---- */

/* The folder of a path: "." without one. */
static void folder_of(const char *path, char *out, int64_t size)
{
    snprintf(out, (size_t)size, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        snprintf(out, (size_t)size, ".");
    else if (slash == out)
        out[1] = '\0';
    else
        *slash = '\0';
}

static bool path_beside(const char *users_path, char *out, assay_error *error)
{
    int length = snprintf(out, LONGEST_PATH, "%s.index", users_path);
    return length < LONGEST_PATH - 16 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = users_path, .what = "the path is too long");
}

/* A name of its own for every users file: two sets in one cache folder do not meet. */
static bool path_in_cache(const char *users_path, const assay_host *host, char *out,
                          assay_error *error)
{
    char hex[65], name[64];
    if (host == NULL || host->cache_path == NULL)
        return ASSAY_FAIL(error, ASSAY_IO, .where = users_path,
                          .what = "the folder of the data cannot be written, and there is no cache",
                          .hint = "name a folder for the index in ASSAY_CACHE");
    char *whole = realpath(users_path, NULL);
    const char *named = whole != NULL ? whole : users_path;
    assay_sha256_of(named, strlen(named), hex);
    free(whole);
    snprintf(name, sizeof name, "users-%.16s.index", hex);
    return host->cache_path(host->user, name, out, LONGEST_PATH, error);
}

/* ---- opening ---- */

static void tell(const users_index *index, const char *users_path)
{
    const index_counts *counts = &index->counts;
    assay_log(ASSAY_LOG_INFO,
              "%s: %lld users (pretrain %lld, train %lld, valid %lld, test %lld), %lld events; "
              "%lld users without events, %lld texts cut, %lld events beyond the slots",
              users_path, (long long)counts->users, (long long)counts->in_split[0],
              (long long)counts->in_split[1], (long long)counts->in_split[2],
              (long long)counts->in_split[3], (long long)counts->cut.events,
              (long long)counts->cut.without_events, (long long)counts->cut.texts_cut,
              (long long)counts->cut.over_slots);
    if (counts->skipped > 0)
        assay_log(ASSAY_LOG_WARNING, "%s: %lld lines skipped, the first is line %lld: %s",
                  users_path, (long long)counts->skipped, (long long)index->footer->broken_line,
                  index->footer->broken_what);
}

/* Content, not place: equal lines and descriptions have one fingerprint, packed or not. */
static void make_fingerprint(users_index *index)
{
    char text[160];
    snprintf(text, sizeof text, "users %d\n%.64s\n%.64s\n", INDEX_VERSION, index->footer->content,
             index->footer->description);
    assay_sha256_of(text, strlen(text), index->fingerprint);
}

/* An index made under `skip` has left lines out, which an opener who does not skip is told. */
static bool lines_allowed(const users_index *index, const char *users_path, bool skip,
                          assay_error *error)
{
    const index_footer *footer = index->footer;
    if (skip || footer->counts.skipped == 0)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = json_place(users_path, footer->broken_line),
                      .what = footer->broken_what, .got = footer->broken_got,
                      .hint = "on_error = \"skip\" leaves broken lines out");
}

static bool make(users_index *index, const char *users_path, const char *path,
                 const assay_host *host, bool skip, assay_error *error)
{
    char folder[LONGEST_PATH];
    index_source source;
    folder_of(path, folder, sizeof folder);
    if (!index_write(path, folder, users_path, index->description, host, skip, error))
        return false;
    index->made = true;
    return (index_source_of(users_path, &source) && load(index, path, &source)) ||
           ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "the new index cannot be read",
                      .hint = "the users file may be changing; run again");
}

static bool find_or_make(users_index *index, const char *users_path, const assay_host *host,
                         bool skip, assay_error *error)
{
    char path[LONGEST_PATH], folder[LONGEST_PATH];
    index_source source;
    if (!index_source_of(users_path, &source))
        return ASSAY_FAIL(error, ASSAY_IO, .where = users_path, .what = "there is no such file",
                          .got = assay_text("%m"));
    if (!path_beside(users_path, path, error))
        return false;
    bool found = load(index, path, &source);
    folder_of(users_path, folder, sizeof folder);
    if (!found && access(folder, W_OK) != 0) {
        if (!path_in_cache(users_path, host, path, error))
            return false;
        found = load(index, path, &source);
    }
    index->path = assay_strdup(path, error);
    return index->path != NULL && (found || make(index, users_path, path, host, skip, error));
}

bool index_open(users_index *out, const set_description *description, const char *users_path,
                const assay_host *host, bool skip, assay_error *error)
{
    *out = (users_index){.description = description, .fd = -1};
    if (!find_or_make(out, users_path, host, skip, error))
        return false;
    out->counts = out->footer->counts;
    out->home = out->counts.in_split[ASSAY_PRETRAIN] > 0 ? ASSAY_PRETRAIN : ASSAY_TRAIN;
    make_fingerprint(out);
    if (out->made)
        tell(out, users_path);
    return lines_allowed(out, users_path, skip, error);
}

void index_close(users_index *index)
{
    if (index->description != NULL)
        unload(index);
    assay_free(index->path);
    memset(index, 0, sizeof *index);
}

/* ---- reading ---- */

bool index_read(const users_index *index, int64_t number, assay_arena *arena, user_history *out,
                assay_error *error)
{
    const index_row *row = &index->rows[number];
    uint8_t *record = assay_arena_alloc(arena, row->bytes, error);
    if (record == NULL ||
        !scratch_read(index->fd, record, row->bytes, row->offset, index->path, error))
        return false;
    if ((uint32_t)crc32(0, record, row->bytes) != row->checksum)
        return ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = index->path,
            .what = assay_text("the record of user %lld is damaged", (long long)number + 1),
            .hint = "remove the index; it is made again");
    return user_unpack(out, index->description, record, row->bytes, index->path, arena, error);
}
