/* index.h - what is known of every file of a set, so that it is read and checked once.
 *
 * A set is checked file by file in its order, so that the first that is wrong is the one that is
 * named; image_index_ahead has read the next few by then, several at a time.
 *
 * The first time, every image and label file is decoded whole. What was found is kept in the host's
 * cache, one file for a folder of data, and a file that has not changed since (size, times, inode)
 * is believed. Without a cache everything is read again at every start. */
#ifndef IMAGES_INDEX_H
#define IMAGES_INDEX_H

#include <assay/plugin.h>

typedef enum image_file_kind { IMAGE_PICTURE, IMAGE_LABELS } image_file_kind;

/* One file. Rows are written as they are, zeros between the members included. */
typedef struct image_facts {
    uint8_t name[16]; /* of the hash of kind and path in the folder */
    int64_t bytes, mtime, mtime_ns, ctime, ctime_ns, inode;
    int64_t seen, seen_ns; /* when it was looked at */
    int32_t width, height;
    uint8_t channels, bits, unused[6];
    uint8_t values[32];  /* labels: bit v says that some pixel is v */
    uint8_t content[32]; /* SHA-256 of the file */
} image_facts;

typedef struct image_index {
    char path[4096]; /* of the cached file; "": none */
    image_facts *rows;
    int64_t count, room;
    int64_t *slots; /* open addressing: row + 1, or 0 */
    int64_t slot_count;
    int64_t read;              /* files that had to be read */
    int64_t opened, opened_ns; /* what was seen since then was read by this opening */
    bool changed;
} image_index;

/* Takes what the cache knows of the folder `path`; a damaged cache knows nothing. */
bool image_index_open(image_index *out, const char *path, const assay_host *host,
                      assay_error *error);
/* The facts of the file `name` (its path in the folder) at `path`. Valid until the next call. */
const image_facts *image_index_get(image_index *index, image_file_kind kind, const char *name,
                                   const char *path, assay_error *error);
/* A file that will be asked for: `name` is where its name in the folder begins in its path. */
typedef struct image_wish {
    image_file_kind kind;
    int64_t name;
    char path[4096];
} image_wish;
enum { IMAGE_AHEAD = 256 }; /* files that are read ahead together, at most */
/* Reads those of n files that are not known, on all of the kernels' threads. What is wrong with one
 * image_index_get tells, in its turn. `wish` says which the i-th is; any thread. */
void image_index_ahead(image_index *index, int64_t n,
                       void (*wish)(const void *user, int64_t i, image_wish *out),
                       const void *user);
/* Publishes what was learnt. That it cannot be written is logged and no failure. */
void image_index_keep(const image_index *index);
void image_index_clear(image_index *index);

#endif
