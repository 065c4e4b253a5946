/* checkpoint_files.c - a checkpoint's names, hashes and folders. */
#include "lab/train/checkpoint.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/memory.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

void checkpoint_path(const char *folder, int64_t step, const char *file, char *out, int64_t size)
{
    snprintf(out, (size_t)size, "%s/step_%08" PRId64 "%s%s", folder, step, file ? "/" : "",
             file ? file : "");
}

int64_t checkpoint_step_of(const char *name)
{
    int64_t step = 0;
    int used = 0;
    if (sscanf(name, "step_%" SCNd64 "%n", &step, &used) != 1 || name[used] != '\0' || step < 0)
        return -1;
    return step;
}

/* The process of "step_00000400.tmp.123" or "... .tmp.123.old"; -1 for another name. */
static int64_t process_of(const char *name)
{
    const char *mark = strstr(name, ".tmp.");
    if (!mark || strncmp(name, "step_", 5) != 0)
        return -1;
    return strtoll(mark + 5, NULL, 10);
}

/* ---- folders ---- */

static bool fail_io(const char *path, const char *what, assay_error *error)
{
    int code = errno;
    return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = what, .got = strerror(code));
}

bool checkpoint_make_folder(const char *path, assay_error *error)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ||
           fail_io(path, "cannot make the folder", error);
}

bool checkpoint_remove(const char *path, assay_error *error)
{
    char file[4608];
    struct dirent *entry = NULL;
    bool ok = true;
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT || unlink(path) == 0 || fail_io(path, "cannot remove", error);
    while (ok && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        ok = unlink(file) == 0 || errno == ENOENT || fail_io(file, "cannot remove", error);
    }
    closedir(folder);
    return ok && (rmdir(path) == 0 || errno == ENOENT || fail_io(path, "cannot remove", error));
}

static bool sync_folder(const char *path, assay_error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        fail_io(path, "cannot sync the folder", error);
    if (fd >= 0)
        close(fd);
    return ok;
}

bool checkpoint_publish(const char *folder, const char *from, const char *to, assay_error *error)
{
    char old[4352];
    snprintf(old, sizeof old, "%s.tmp.%ld.old", to, (long)getpid());
    if (rename(to, old) != 0 && errno != ENOENT)
        return fail_io(to, "cannot move away what is there", error);
    if (rename(from, to) != 0)
        return fail_io(to, "cannot rename the checkpoint into place", error);
    return sync_folder(folder, error) && checkpoint_remove(old, error);
}

/* ---- hashes ---- */

bool checkpoint_hash_file(const char *path, char sha256[65], int64_t *bytes, assay_error *error)
{
    assay_mapping mapping = {0};
    if (!assay_map(path, &mapping, error))
        return false;
    assay_sha256_of(mapping.data ? (const void *)mapping.data : "", (size_t)mapping.bytes, sha256);
    *bytes = mapping.bytes;
    assay_unmap(&mapping);
    return true;
}

void checkpoint_hash_section(const assay_weights *weights, const char *prefix, char sha256[65],
                             int64_t *tensors)
{
    assay_sha256 hash;
    uint8_t digest[32];
    assay_sha256_begin(&hash);
    *tensors = 0;
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        const assay_stored *stored = assay_weights_at(weights, i);
        if (strncmp(stored->name, prefix, strlen(prefix)) != 0)
            continue;
        assay_sha256_add(&hash, stored->name, strlen(stored->name) + 1);
        assay_sha256_add(&hash, assay_stored_dtype_name(stored->dtype),
                         strlen(assay_stored_dtype_name(stored->dtype)) + 1);
        assay_sha256_add(&hash, stored->shape, (size_t)stored->rank * sizeof *stored->shape);
        assay_sha256_add(&hash, stored->data, (size_t)stored->bytes);
        (*tensors)++;
    }
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, sha256);
}

bool checkpoint_sections(const checkpoint_setup *setup,
                         bool (*each)(void *user, const char *section, assay_error *error),
                         void *user, assay_error *error)
{
    const assembly *a = setup->assembly;
    bool ok = true;
    if (setup->adamw)
        ok = each(user, "moments", error);
    if (ok && a->mask.plugin && a->mask.plugin->mask.save)
        ok = each(user, "mask", error);
    for (int i = 0; i < a->loss_count && ok; i++)
        if (a->losses[i].part.plugin->loss.save)
            ok = each(user, assay_text("loss/%s", a->losses[i].part.use->label), error);
    return ok;
}

store_checkpoint *checkpoint_rows(const train_job *job, int64_t *count, assay_error *error)
{
    int64_t n = store_get_checkpoints(job->store, job->lease->run_id, 0, NULL, error);
    if (n < 0)
        return NULL;
    store_checkpoint *rows = assay_alloc((n + 1) * (int64_t)sizeof *rows, error);
    if (!rows)
        return NULL;
    *count = store_get_checkpoints(job->store, job->lease->run_id, n, rows, error);
    if (*count >= 0 && *count <= n)
        return rows;
    ASSAY_FAIL(error, ASSAY_IO, .where = job->folder,
               .what = "another process records checkpoints of this run");
    assay_free(rows);
    return NULL;
}

/* ---- what is left behind ---- */

static bool recorded(const store_checkpoint *rows, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i++)
        if (rows[i].step == step)
            return true;
    return false;
}

static bool is_relic(const char *name, const store_checkpoint *rows, int64_t n)
{
    int64_t process = process_of(name), step = checkpoint_step_of(name);
    if (process >= 0)
        return process == getpid() || (kill((pid_t)process, 0) != 0 && errno == ESRCH);
    return step >= 0 && !recorded(rows, n, step);
}

bool checkpoint_sweep(const train_job *job, assay_error *error)
{
    char path[4352];
    struct dirent *entry = NULL;
    bool ok = true;
    int64_t n = 0;
    store_checkpoint *rows = checkpoint_rows(job, &n, error);
    if (!rows)
        return false;
    DIR *folder = opendir(job->folder);
    while (ok && folder && (entry = readdir(folder)) != NULL) {
        if (!is_relic(entry->d_name, rows, n))
            continue;
        snprintf(path, sizeof path, "%s/%s", job->folder, entry->d_name);
        ok = checkpoint_remove(path, error);
    }
    if (folder)
        closedir(folder);
    assay_free(rows);
    return ok;
}
