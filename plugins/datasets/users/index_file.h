/* index_file.h - the index's bytes, between who writes and who reads it.
 *
 * In order: INDEX_MAGIC; the records, each aligned to 8; zeros to a multiple of INDEX_PAGE; the
 * rows; the means and the scales; the labels; zeros to a multiple of 8; the footer. */
#ifndef USERS_INDEX_FILE_H
#define USERS_INDEX_FILE_H

#include "index.h"

#include <sys/stat.h>

#define INDEX_MAGIC   "assay users 1\n\0\0" /* 16 bytes with the closing NUL */
#define INDEX_PAGE    65536                 /* a multiple of every page size we meet */
#define INDEX_VERSION 1
#define INDEX_ORDER   0x01020304u

/* What identifies the users file without reading it. */
typedef struct index_source {
    int64_t bytes, mtime, mtime_ns, ctime, ctime_ns, inode;
} index_source;

struct index_footer {
    char magic[16];
    uint32_t version, order;
    index_source source;
    char description[65], content[65]; /* SHA-256 of dataset.json and of the (unpacked) lines */
    char broken_what[256], broken_got[192]; /* of the first line that was skipped */
    int64_t broken_line;
    int64_t rows_at, labels_at, numbers_at; /* numbers: means, then scales */
    int64_t label_count, feature_count;
    index_counts counts;
    uint32_t tail_checksum;   /* CRC-32 of everything from rows_at to the footer */
    uint32_t footer_checksum; /* of what stands before this field */
};

/* False with errno when the file cannot be looked at. */
bool index_source_of(const char *path, index_source *out);

/* Makes the index of `users_path` at `path`, whose folder is `folder`. */
bool index_write(const char *path, const char *folder, const char *users_path,
                 const set_description *description, const assay_host *host, bool skip,
                 assay_error *error);

#endif
