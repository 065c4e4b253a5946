/* scratch.c - see scratch.h. */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int scratch_open(const char *folder, assay_error *error)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EACCES && errno != EROFS && errno != ENOSPC) {
        /* A file system that knows no nameless files. */
        char path[4096];
        snprintf(path, sizeof path, "%s/.assay.XXXXXX", folder);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "cannot make a temporary file here",
                   .got = assay_text("%m"));
    return fd;
}

bool scratch_read(int fd, void *out, int64_t bytes, int64_t at, const char *where,
                  assay_error *error)
{
    char *to = out;
    while (bytes > 0) {
        ssize_t got = pread(fd, to, (size_t)bytes, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ASSAY_FAIL(error, ASSAY_IO, .where = where, .what = "cannot read the file",
                              .got = got == 0 ? "its end" : assay_text("%m"));
        to += got;
        at += got;
        bytes -= got;
    }
    return true;
}

bool scratch_write(int fd, const void *data, int64_t bytes, int64_t at, const char *where,
                   assay_error *error)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t put = pwrite(fd, from, (size_t)bytes, at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return ASSAY_FAIL(error, ASSAY_IO, .where = where, .what = "cannot write the file",
                              .got = assay_text("%m"),
                              .hint = errno == ENOSPC ? "free some disk space" : NULL);
        from += put;
        at += put;
        bytes -= put;
    }
    return true;
}
