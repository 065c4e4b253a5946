/* scratch.h - files without a name, and whole reads and writes at an offset. */
#ifndef USERS_SCRATCH_H
#define USERS_SCRATCH_H

#include <assay/error.h>

#include <stdint.h>

/* A file in `folder` that vanishes with its last descriptor. -1 after a failure. The caller closes
 * it. */
int scratch_open(const char *folder, assay_error *error);

/* All `bytes` or a failure; reading beyond the end is one. `where` names the file. */
bool scratch_read(int fd, void *out, int64_t bytes, int64_t at, const char *where,
                  assay_error *error);
bool scratch_write(int fd, const void *data, int64_t bytes, int64_t at, const char *where,
                   assay_error *error);

#endif
