/* file.c - files that appear whole or not at all, and files that are read (assay/file.h). */
#include <assay/file.h>
#include <assay/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The failure of a system call, from errno as it left it. Returns false. */
static bool fail_io(assay_error *error, const char *what, const char *path)
{
    const char *hint = NULL;
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
        hint = "free some disk space";
        break;
    case EACCES:
    case EPERM:
    case EROFS:
        hint = "check who may read and write there";
        break;
    case ENOENT:
        hint = "check the path; folders are not made on the way";
        break;
    }
    return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = what, .got = assay_text("%m"),
                      .hint = hint);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* ---- publishing ---- */

struct assay_publisher {
    char *path, *temporary;
    int fd, folder; /* the temporary file, and the folder that holds it; -1: not open */
    int64_t written;
    bool created;  /* the temporary file exists and is ours to remove */
    bool reserved; /* blocks beyond the end may be waiting */
    bool broken;   /* a write failed: the content has a hole */
};

static void free_publisher(assay_publisher *publisher)
{
    if (publisher->created)
        unlink(publisher->temporary);
    close_if_open(publisher->fd);
    close_if_open(publisher->folder);
    assay_free(publisher->temporary);
    assay_free(publisher->path);
    assay_free(publisher);
}

static bool name_files(assay_publisher *publisher, const char *path, assay_error *error)
{
    int64_t bytes = (int64_t)strlen(path) + 32; /* ".tmp.", the digits of a pid, a NUL */
    publisher->path = assay_strdup(path, error);
    publisher->temporary = assay_alloc(bytes, error);
    if (publisher->path == NULL || publisher->temporary == NULL)
        return false;
    snprintf(publisher->temporary, (size_t)bytes, "%s.tmp.%ld", path, (long)getpid());
    return true;
}

/* Opened before anything is written: a folder that cannot be synced is found now. */
static bool open_folder(assay_publisher *publisher, assay_error *error)
{
    char *folder = assay_strdup(publisher->path, error);
    if (folder == NULL)
        return false;
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder] = '\0'; /* "/name" lies in "/" */
    publisher->folder = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = publisher->folder >= 0 ||
              fail_io(error, "cannot open the folder", slash != NULL ? folder : ".");
    assay_free(folder);
    return ok;
}

/* A crashed process with the same id may have left the file, so it may exist; a lock tells such a
 * relic from a file that is being written by another thread. */
static bool open_temporary(assay_publisher *publisher, assay_error *error)
{
    const char *name = publisher->temporary;
    publisher->fd = open(name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (publisher->fd < 0)
        return fail_io(error, "cannot create the temporary file", name);
    struct stat ours, there;
    bool busy = flock(publisher->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    /* Its holder may have renamed the file between the two calls. */
    if (!busy)
        busy = fstat(publisher->fd, &ours) != 0 || stat(name, &there) != 0 ||
               ours.st_ino != there.st_ino || ours.st_dev != there.st_dev;
    if (busy)
        return ASSAY_FAIL(error, ASSAY_IO, .where = publisher->path,
                          .what = "the file is being published by another thread",
                          .hint = "one writer at a time");
    publisher->created = true;
    if (ftruncate(publisher->fd, 0) != 0)
        return fail_io(error, "cannot empty the temporary file", name);
    return true;
}

assay_publisher *assay_publish_begin(const char *path, assay_error *error)
{
    assay_publisher *publisher = assay_zalloc(sizeof *publisher, error);
    if (publisher == NULL)
        return NULL;
    publisher->fd = publisher->folder = -1;
    if (name_files(publisher, path, error) && open_folder(publisher, error) &&
        open_temporary(publisher, error))
        return publisher;
    free_publisher(publisher);
    return NULL;
}

bool assay_publish_write(assay_publisher *publisher, const void *data, int64_t bytes,
                         assay_error *error)
{
    const char *next = data;
    if (bytes < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = publisher->path,
                          .what = "negative number of bytes to write",
                          .got = assay_text("%lld", (long long)bytes));
    while (bytes > 0) {
        ssize_t count = write(publisher->fd, next, (size_t)bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            publisher->broken = true;
            return fail_io(error, "cannot write", publisher->temporary);
        }
        next += count;
        bytes -= count;
        publisher->written += count;
    }
    return true;
}

bool assay_publish_reserve(assay_publisher *publisher, int64_t bytes, assay_error *error)
{
    if (bytes == 0)
        return true;
    int status;
    do
        status = fallocate(publisher->fd, FALLOC_FL_KEEP_SIZE, publisher->written, bytes);
    while (status != 0 && errno == EINTR);
    publisher->reserved = true;
    /* Some file systems cannot reserve; there the write finds the disk full. */
    if (status != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return fail_io(error, "cannot reserve disk space", publisher->path);
    return true;
}

/* The content reaches the disk before the name does, so that no crash leaves the name on a part. */
static bool settle_content(assay_publisher *publisher, assay_error *error)
{
    if (publisher->broken)
        return ASSAY_FAIL(error, ASSAY_IO, .where = publisher->path,
                          .what = "an earlier write failed, so the file stays as it was");
    if (publisher->reserved && ftruncate(publisher->fd, publisher->written) != 0)
        return fail_io(error, "cannot give reserved space back", publisher->temporary);
    if (fsync(publisher->fd) != 0)
        return fail_io(error, "cannot sync", publisher->temporary);
    return true;
}

bool assay_publish_commit(assay_publisher *publisher, assay_error *error)
{
    bool ok = false;
    if (!settle_content(publisher, error))
        goto done;
    if (rename(publisher->temporary, publisher->path) != 0) {
        fail_io(error, "cannot put the new file in place", publisher->path);
        goto done;
    }
    publisher->created = false;
    /* EINVAL: a file system that has nothing to sync in a folder. */
    if (fsync(publisher->folder) != 0 && errno != EINVAL) {
        fail_io(error, "the file is in place, but its folder cannot be synced", publisher->path);
        goto done;
    }
    ok = true;
done:
    free_publisher(publisher);
    return ok;
}

void assay_publish_abandon(assay_publisher *publisher)
{
    if (publisher != NULL)
        free_publisher(publisher);
}

bool assay_publish(const char *path, const void *data, int64_t bytes, assay_error *error)
{
    assay_publisher *publisher = assay_publish_begin(path, error);
    if (publisher == NULL)
        return false;
    if (!assay_publish_write(publisher, data, bytes, error)) {
        assay_publish_abandon(publisher);
        return false;
    }
    return assay_publish_commit(publisher, error);
}

/* ---- reading ---- */

/* A descriptor on a regular file and its size, or -1. Without O_NONBLOCK, opening a pipe would wait
 * for a writer before it could be refused. */
static int open_regular(const char *path, int64_t *bytes, assay_error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        fail_io(error, "cannot open", path);
        close_if_open(fd);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "not a regular file",
                   .got = S_ISDIR(status.st_mode) ? "a folder" : "a device, pipe or socket");
        close_if_open(fd);
        return -1;
    }
    *bytes = status.st_size;
    return fd;
}

bool assay_map(const char *path, assay_mapping *out, assay_error *error)
{
    *out = (assay_mapping){0};
    int64_t bytes;
    int fd = open_regular(path, &bytes, error);
    if (fd < 0)
        return false;
    bool ok = true;
    if (bytes > 0) {
        void *data = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            ok = fail_io(error, "cannot map", path);
        else
            *out = (assay_mapping){.data = data, .bytes = bytes};
    }
    close(fd);
    return ok;
}

void assay_unmap(assay_mapping *mapping)
{
    if (mapping->data != NULL)
        munmap((void *)(uintptr_t)mapping->data, (size_t)mapping->bytes);
    *mapping = (assay_mapping){0};
}

/* Reads until `bytes` are there or the file ends; returns how many, or -1. */
static int64_t read_all(int fd, char *out, int64_t bytes)
{
    int64_t done = 0;
    while (done < bytes) {
        ssize_t count = read(fd, out + done, (size_t)(bytes - done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        done += count;
    }
    return done;
}

char *assay_read_file(const char *path, int64_t limit, int64_t *bytes, assay_error *error)
{
    char *text = NULL;
    int64_t size, room, count = -1;
    int fd = open_regular(path, &size, error);
    if (fd < 0)
        return NULL;
    if (size > limit || !assay_size_add(&room, size, 1)) {
        ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "the file is too large",
                   .expected = assay_text("at most %lld bytes", (long long)limit),
                   .got = assay_text("%lld bytes", (long long)size));
        goto done;
    }
    text = assay_alloc(room, error);
    if (text == NULL)
        goto done;
    count = read_all(fd, text, size);
    if (count < 0) {
        fail_io(error, "cannot read", path);
        goto done;
    }
    text[count] = '\0';
    *bytes = count;
done:
    close(fd);
    if (count < 0) {
        assay_free(text);
        text = NULL;
    }
    return text;
}
