/* files.c - whole folders: copied, removed (files.h). */
#include "lab/store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail_copy(const char *path, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "a run's file cannot be copied",
                      .got = assay_text("%m"), .hint = "check the disk's space and who may write");
}

static bool copy_bytes(int from, int to)
{
    char buffer[65536];
    ssize_t bytes;
    while ((bytes = read(from, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0, n; done < bytes; done += n)
            if ((n = write(to, buffer + done, (size_t)(bytes - done))) < 0)
                return false;
    return bytes == 0 && fsync(to) == 0;
}

static bool copy_file(const char *from, const char *to, assay_error *error)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool ok = out >= 0 && copy_bytes(in, out);
    if (!ok)
        fail_copy(from, error);
    if (out >= 0)
        close(out);
    if (in >= 0)
        close(in);
    return ok;
}

static bool copy_entry(const char *from, const char *to, const char *name, assay_error *error)
{
    char *source = NULL, *target = NULL;
    struct stat found;
    bool ok = asprintf(&source, "%s/%s", from, name) >= 0;
    source = ok ? source : NULL;
    ok = ok && asprintf(&target, "%s/%s", to, name) >= 0;
    target = ok ? target : NULL;
    if (!ok)
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a path");
    else if (stat(source, &found) != 0)
        ok = fail_copy(source, error);
    else
        ok = S_ISDIR(found.st_mode) ? files_copy(source, target, error)
                                    : copy_file(source, target, error);
    free(source);
    free(target);
    return ok;
}

bool files_sync(const char *path, assay_error *error)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = folder >= 0 && fsync(folder) == 0;
    if (!ok)
        ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "a folder cannot be synced",
                   .got = assay_text("%m"));
    if (folder >= 0)
        close(folder);
    return ok;
}

bool files_copy(const char *from, const char *to, assay_error *error)
{
    DIR *folder = opendir(from);
    if (folder == NULL)
        return errno == ENOENT || fail_copy(from, error);
    bool ok = mkdir(to, 0755) == 0 || fail_copy(to, error);
    struct dirent *entry;
    while (ok && (entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = copy_entry(from, to, entry->d_name, error);
    closedir(folder);
    return ok && files_sync(to, error);
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place)
{
    (void)found;
    (void)kind;
    (void)place;
    return remove(path);
}

void files_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void files_remove_ending(const char *folder, const char *ending)
{
    DIR *opened = opendir(folder);
    struct dirent *entry;
    size_t tail = strlen(ending);
    while (opened != NULL && (entry = readdir(opened)) != NULL) {
        char *path = NULL;
        size_t length = strlen(entry->d_name);
        if (length <= tail || strcmp(entry->d_name + length - tail, ending) != 0)
            continue;
        if (asprintf(&path, "%s/%s", folder, entry->d_name) >= 0) {
            files_remove(path);
            free(path);
        }
    }
    if (opened != NULL)
        closedir(opened);
}
