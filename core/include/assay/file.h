/* assay/file.h - files that appear whole or not at all, and files that are mapped to be read. */
#ifndef ASSAY_FILE_H
#define ASSAY_FILE_H

#include <assay/error.h>

#include <stdint.h>

/* ---- publishing ----
 * begin opens PATH.tmp.PID in the same directory; write appends; commit syncs the file, renames it
 * to PATH and syncs the directory; abandon removes it. A reader of PATH sees the old content or the
 * new, never a part, and a failed commit removes the temporary file (after a failed write, commit
 * fails). A relic of a crashed process with the same id is overwritten; a second publisher of the
 * same path in this process is refused. */
typedef struct assay_publisher assay_publisher;

/* The caller owns the result and ends it with exactly one of commit or abandon, which free it. */
assay_publisher *assay_publish_begin(const char *path, assay_error *error);
bool assay_publish_write(assay_publisher *publisher, const void *data, int64_t bytes,
                         assay_error *error);
/* Reserves `bytes` on the disk, so that a full disk is found before the work of writing. What is
 * not written is given back by commit. A file system that cannot reserve is no failure. */
bool assay_publish_reserve(assay_publisher *publisher, int64_t bytes, assay_error *error);
bool assay_publish_commit(assay_publisher *publisher, assay_error *error);
void assay_publish_abandon(assay_publisher *publisher); /* accepts NULL */

/* begin, write, commit in one call. */
bool assay_publish(const char *path, const void *data, int64_t bytes, assay_error *error);

/* ---- mapping ---- */
typedef struct assay_mapping {
    const uint8_t *data; /* NULL for an empty file */
    int64_t bytes;
} assay_mapping;

/* Maps a regular file read-only; refuses directories, devices and pipes. The caller owns the
 * mapping and ends it with assay_unmap, after which `data` is invalid. */
bool assay_map(const char *path, assay_mapping *out, assay_error *error);
void assay_unmap(assay_mapping *mapping);

/* The whole file as an owned, NUL-terminated block (assay_free); *bytes excludes the NUL. Refuses
 * files above `limit` bytes. */
char *assay_read_file(const char *path, int64_t limit, int64_t *bytes, assay_error *error);

#endif
