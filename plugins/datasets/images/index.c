/* index.c - the cached index of a folder's files (index.h).
 *
 * Bytes: INDEX_MAGIC; version and order; the number of rows; the rows; SHA-256 of all before it. */
#include "index.h"

#include <assay/device.h>
#include <assay/file.h>
#include <assay/hash.h>
#include <assay/image.h>
#include <assay/log.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define INDEX_MAGIC   "assay image_seg\n" /* 16 bytes without the closing NUL */
#define INDEX_VERSION 1
#define INDEX_ORDER   0x01020304u
#define INDEX_BYTES   (INT64_C(1) << 32)
#define TICK_NS       20000000 /* above the resolution of file times */
#define MOST_THREADS  64       /* that read ahead */

typedef struct index_head {
    char magic[16];
    uint32_t version, order;
    int64_t count;
} index_head;

/* ---- the table ---- */

/* The slot of a name: its row's, or the empty one where it belongs. */
static int64_t slot_of(const image_index *index, const uint8_t name[16])
{
    uint64_t key = 0;
    memcpy(&key, name, sizeof key);
    int64_t slot = (int64_t)(key & (uint64_t)(index->slot_count - 1));
    while (index->slots[slot] != 0 &&
           memcmp(index->rows[index->slots[slot] - 1].name, name, 16) != 0)
        slot = (slot + 1) & (index->slot_count - 1);
    return slot;
}

/* Room for `rows` rows, with at least half of the slots empty. */
static bool make_room(image_index *index, int64_t rows, assay_error *error)
{
    int64_t room = index->room > 0 ? index->room : 256, bytes = 0;
    if (rows <= index->room)
        return true;
    while (room < rows)
        room *= 2;
    if (!assay_size_mul(&bytes, room, sizeof(image_facts)))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "index of images");
    image_facts *grown = assay_zalloc(bytes, error);
    int64_t *slots = assay_zalloc(2 * room * (int64_t)sizeof *slots, error);
    if (grown == NULL || slots == NULL) {
        assay_free(grown);
        assay_free(slots);
        return false;
    }
    if (index->count > 0)
        memcpy(grown, index->rows, (size_t)index->count * sizeof *grown);
    assay_free(index->rows);
    assay_free(index->slots);
    index->rows = grown;
    index->slots = slots;
    index->room = room;
    index->slot_count = 2 * room;
    for (int64_t i = 0; i < index->count; i++)
        index->slots[slot_of(index, index->rows[i].name)] = i + 1;
    return true;
}

static image_facts *add_row(image_index *index, const uint8_t name[16], assay_error *error)
{
    if (!make_room(index, index->count + 1, error))
        return NULL;
    image_facts *row = &index->rows[index->count++];
    memset(row, 0, sizeof *row);
    memcpy(row->name, name, 16);
    index->slots[slot_of(index, name)] = index->count;
    return row;
}

/* ---- the cached file ---- */

static bool is_index(const uint8_t *data, int64_t bytes, index_head *head)
{
    uint8_t sum[32];
    assay_sha256 hash;
    if (bytes < (int64_t)sizeof *head + 32)
        return false;
    memcpy(head, data, sizeof *head);
    if (memcmp(head->magic, INDEX_MAGIC, 16) != 0 || head->version != INDEX_VERSION ||
        head->order != INDEX_ORDER || head->count < 0 ||
        head->count > INDEX_BYTES / (int64_t)sizeof(image_facts) ||
        bytes != (int64_t)sizeof *head + head->count * (int64_t)sizeof(image_facts) + 32)
        return false;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, data, (size_t)(bytes - 32));
    assay_sha256_end(&hash, sum);
    return memcmp(sum, data + bytes - 32, 32) == 0;
}

static bool load(image_index *index, assay_error *error)
{
    assay_error ignored = {0};
    assay_mapping mapping = {0};
    index_head head;
    bool good = true;
    if (!assay_map(index->path, &mapping, &ignored))
        return true; /* the first time */
    if (is_index(mapping.data, mapping.bytes, &head)) {
        const uint8_t *at = mapping.data + sizeof head;
        good = make_room(index, head.count, error);
        for (int64_t i = 0; good && i < head.count; i++, at += sizeof(image_facts)) {
            image_facts *row = add_row(index, at, error);
            good = row != NULL;
            if (good)
                memcpy(row, at, sizeof *row);
        }
    }
    assay_unmap(&mapping);
    return good;
}

bool image_index_open(image_index *out, const char *path, const assay_host *host,
                      assay_error *error)
{
    char hex[65], name[64];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (image_index){.opened = now.tv_sec, .opened_ns = now.tv_nsec};
    if (!make_room(out, 1, error))
        return false;
    if (host == NULL || host->cache_path == NULL)
        return true;
    char *whole = realpath(path, NULL);
    const char *named = whole != NULL ? whole : path;
    assay_sha256_of(named, strlen(named), hex);
    free(whole);
    snprintf(name, sizeof name, "image_seg-%.16s.index", hex);
    return host->cache_path(host->user, name, out->path, sizeof out->path, error) &&
           load(out, error);
}

void image_index_keep(const image_index *index)
{
    assay_error error = {0};
    char line[1200];
    uint8_t sum[32];
    assay_sha256 hash;
    index_head head = {.version = INDEX_VERSION, .order = INDEX_ORDER, .count = index->count};
    int64_t bytes = index->count * (int64_t)sizeof(image_facts);
    if (!index->changed || index->path[0] == '\0')
        return;
    memcpy(head.magic, INDEX_MAGIC, 16);
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, &head, sizeof head);
    assay_sha256_add(&hash, index->rows, (size_t)bytes);
    assay_sha256_end(&hash, sum);
    assay_publisher *publisher = assay_publish_begin(index->path, &error);
    bool good = publisher != NULL && assay_publish_write(publisher, &head, sizeof head, &error) &&
                assay_publish_write(publisher, index->rows, bytes, &error) &&
                assay_publish_write(publisher, sum, sizeof sum, &error);
    if (good)
        good = assay_publish_commit(publisher, &error);
    else if (publisher != NULL)
        assay_publish_abandon(publisher);
    if (!good)
        assay_log(ASSAY_LOG_WARNING, "the index of the images is not kept: %s",
                  assay_error_format(&error, line, sizeof line));
}

void image_index_clear(image_index *index)
{
    assay_free(index->rows);
    assay_free(index->slots);
    *index = (image_index){0};
}

/* ---- one file ---- */

static void name_of(image_file_kind kind, const char *name, uint8_t out[16])
{
    uint8_t sum[32];
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, kind == IMAGE_LABELS ? "labels " : "image ",
                     kind == IMAGE_LABELS ? 7 : 6);
    assay_sha256_add(&hash, name, strlen(name));
    assay_sha256_end(&hash, sum);
    memcpy(out, sum, 16);
}

/* What identifies the state of a file without reading it, and when that was. */
static bool look(image_facts *out, image_file_kind kind, const char *path, assay_error *error)
{
    struct stat status;
    struct timespec now;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                          .what = kind == IMAGE_LABELS ? "the labels of an image are missing"
                                                       : "there is no such image");
    clock_gettime(CLOCK_REALTIME, &now);
    out->bytes = status.st_size;
    out->mtime = status.st_mtim.tv_sec;
    out->mtime_ns = status.st_mtim.tv_nsec;
    out->ctime = status.st_ctim.tv_sec;
    out->ctime_ns = status.st_ctim.tv_nsec;
    out->inode = (int64_t)status.st_ino;
    out->seen = now.tv_sec;
    out->seen_ns = now.tv_nsec;
    return true;
}

static bool is_unchanged(const image_facts *known, const image_facts *now)
{
    return known->bytes == now->bytes && known->mtime == now->mtime &&
           known->mtime_ns == now->mtime_ns && known->ctime == now->ctime &&
           known->ctime_ns == now->ctime_ns && known->inode == now->inode;
}

/* A file that had changed within the tick of file times before it was looked at may have changed
 * once more within that tick: what another opening knew of it is not believed. */
static bool is_believed(const image_index *index, const image_facts *known, const image_facts *now)
{
    int64_t age = known->seen - known->ctime;
    bool by_now = known->seen > index->opened ||
                  (known->seen == index->opened && known->seen_ns >= index->opened_ns);
    return is_unchanged(known, now) &&
           (by_now || age >= 2 ||
            (age >= 0 && age * 1000000000 + known->seen_ns - known->ctime_ns > TICK_NS));
}

static bool read_contents(image_facts *out, const char *path, assay_error *error)
{
    assay_mapping mapping = {0};
    assay_sha256 hash;
    if (!assay_map(path, &mapping, error))
        return false;
    assay_sha256_begin(&hash);
    if (mapping.bytes > 0)
        assay_sha256_add(&hash, mapping.data, (size_t)mapping.bytes);
    assay_sha256_end(&hash, out->content);
    assay_unmap(&mapping);
    return true;
}

/* Decodes the file whole, so that a truncated one is found now. */
static bool read_file(image_facts *out, image_file_kind kind, const char *path, assay_error *error)
{
    assay_image_header header = {0};
    assay_image image = {0};
    if (!assay_image_look(&header, path, error) || !read_contents(out, path, error) ||
        !(kind == IMAGE_LABELS ? assay_image_read_labels(&image, path, NULL, error)
                               : assay_image_read(&image, path, ASSAY_LUMA, NULL, error)))
        return false;
    out->width = (int32_t)image.width;
    out->height = (int32_t)image.height;
    out->channels = (uint8_t)header.channels;
    out->bits = (uint8_t)header.bits;
    memset(out->values, 0, sizeof out->values);
    if (kind == IMAGE_LABELS) {
        const uint8_t *labels = image.data;
        bool met[256] = {false};
        for (int64_t i = 0; i < image.width * image.height; i++)
            met[labels[i]] = true;
        for (int v = 0; v < 256; v++)
            out->values[v / 8] |= (uint8_t)(met[v] << v % 8);
    }
    assay_image_free(&image);
    return true;
}

/* Whether the index knows the file as it is now; else where it is now. */
static bool knows(const image_index *index, const image_facts *now, int64_t *known)
{
    *known = index->slots[slot_of(index, now->name)];
    return *known > 0 && is_believed(index, &index->rows[*known - 1], now);
}

static image_facts *learn(image_index *index, int64_t known, const image_facts *now,
                          assay_error *error)
{
    image_facts *row = known > 0 ? &index->rows[known - 1] : add_row(index, now->name, error);
    if (row == NULL)
        return NULL;
    *row = *now;
    index->changed = true;
    index->read++;
    return row;
}

const image_facts *image_index_get(image_index *index, image_file_kind kind, const char *name,
                                   const char *path, assay_error *error)
{
    image_facts now = {0};
    name_of(kind, name, now.name);
    if (!look(&now, kind, path, error))
        return NULL;
    int64_t known = 0;
    if (knows(index, &now, &known))
        return &index->rows[known - 1];
    return read_file(&now, kind, path, error) ? learn(index, known, &now, error) : NULL;
}

/* ---- the next few, on several threads ---- */

typedef struct ahead {
    const image_index *index; /* nobody writes to it meanwhile */
    void (*wish)(const void *user, int64_t i, image_wish *out);
    const void *user;
    int64_t count;
    atomic_int_least64_t next;
    image_facts facts[IMAGE_AHEAD];
    bool is_read[IMAGE_AHEAD];
} ahead;

/* One thread's share: whichever is next. */
static void *read_ahead(void *user)
{
    ahead *a = user;
    image_wish wish;
    for (int64_t i = atomic_fetch_add(&a->next, 1); i < a->count;
         i = atomic_fetch_add(&a->next, 1)) {
        assay_error ignored = {0};
        int64_t known = 0;
        image_facts *now = &a->facts[i];
        a->wish(a->user, i, &wish);
        name_of(wish.kind, wish.path + wish.name, now->name);
        a->is_read[i] = look(now, wish.kind, wish.path, &ignored) &&
                        !knows(a->index, now, &known) &&
                        read_file(now, wish.kind, wish.path, &ignored);
    }
    return NULL;
}

void image_index_ahead(image_index *index, int64_t n,
                       void (*wish)(const void *user, int64_t i, image_wish *out), const void *user)
{
    pthread_t threads[MOST_THREADS];
    int wanted = assay_threads(), begun = 0;
    ahead a = {.index = index, .wish = wish, .user = user};
    a.count = n < IMAGE_AHEAD ? n : IMAGE_AHEAD;
    wanted = wanted < MOST_THREADS ? wanted : MOST_THREADS;
    /* The caller is one of them, and does what is left when there can be no more. */
    while (begun < wanted - 1 && pthread_create(&threads[begun], NULL, read_ahead, &a) == 0)
        begun++;
    (void)read_ahead(&a);
    for (int i = 0; i < begun; i++)
        (void)pthread_join(threads[i], NULL);
    for (int64_t i = 0; i < a.count; i++) {
        assay_error ignored = {0};
        int64_t known = 0;
        if (a.is_read[i] && !knows(index, &a.facts[i], &known))
            (void)learn(index, known, &a.facts[i], &ignored);
    }
}
