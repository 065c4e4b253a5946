/* spill.c - STORE.spill.PID: records that the store could not take, until it can.
 *
 * Text, one record a line with fields between tabs, numbers as hexadecimal floats. A batch begins
 * with "attempt RUN_HASH N" and counts only if its "end" is there, so a torn tail is no batch. The
 * writer holds a lock on the file; a file without one has lost its writer and is read in by the
 * next process that opens the store. Rows that a newer attempt has written again are left out. */
#include "lab/store/writer.h"

#include <assay/file.h>
#include <assay/log.h>
#include <assay/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LARGEST_SPILL (INT64_C(1) << 30)
#define FIELDS        10

/* ---- writing ---- */

static void print_batch(FILE *out, const char *run_hash, const store_batch *batch)
{
    fprintf(out, "attempt\t%s\t%" PRId64 "\n", run_hash, batch->attempt);
    for (int64_t i = 0; i < batch->count; i++) {
        const store_record *record = &batch->records[i];
        if (record->kind == RECORD_SERIES) {
            const series_name *name = &batch->series[record->name];
            fprintf(out, "series\t%s\t%s\t%" PRId64 "\t%a\t%" PRId64 "\n", name->name,
                    name->goal == NULL ? "" : name->goal, record->step, record->value,
                    record->t_ms);
        } else {
            const score_name *name = &batch->scores[record->name];
            fprintf(out, "score\t%s\t%s\t%s\t%s\t%" PRId64 "\t%a\t%a\t%a\t%" PRId64 "\n",
                    name->suite, name->benchmark, name->metric, name->split, record->step,
                    record->value, record->low, record->high, record->n);
        }
    }
    fprintf(out, "end\n");
}

static bool open_spill(const char *store_path, int *fd, assay_error *error)
{
    char *path = NULL;
    if (*fd >= 0)
        return true;
    if (asprintf(&path, "%s.spill.%ld", store_path, (long)getpid()) < 0)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a path");
    *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (*fd >= 0)
        flock(*fd, LOCK_SH); /* several writers of one process share the file */
    else
        ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "the spill file cannot be opened",
                   .got = assay_text("%m"), .hint = "neither can the store be written");
    free(path);
    return *fd >= 0;
}

bool spill_append(const char *store_path, const char *run_hash, const store_batch *batch, int *fd,
                  assay_error *error)
{
    char *text = NULL;
    size_t bytes = 0;
    if (!open_spill(store_path, fd, error))
        return false;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a spilled batch");
    print_batch(memory, run_hash, batch);
    bool ok = fclose(memory) == 0;
    off_t before = lseek(*fd, 0, SEEK_END);
    ok = ok && write(*fd, text, bytes) == (ssize_t)bytes && fsync(*fd) == 0;
    if (!ok) {
        ASSAY_FAIL(error, ASSAY_IO, .where = store_path,
                   .what = "neither the store nor its spill file can be written",
                   .got = assay_text("%m"), .hint = "free some disk space");
        if (before >= 0 && ftruncate(*fd, before) != 0)
            assay_log(ASSAY_LOG_WARNING, "a part of a batch stays in the spill file: %m");
    }
    free(text);
    return ok;
}

/* ---- reading in ---- */

typedef struct spill_reader {
    store_connection *db;
    int64_t run_id, attempt; /* of the batch; run_id -1: the store does not know it */
    int64_t rows;
} spill_reader;

/* Cuts `line` at its tabs; returns the number of fields, at most FIELDS. */
static int split(char *line, char **field)
{
    int n = 0;
    for (char *rest = line; rest != NULL && n < FIELDS; n++)
        field[n] = strsep(&rest, "\t");
    return n;
}

static bool read_attempt(spill_reader *reader, char **field, assay_error *error)
{
    int64_t known = 0;
    reader->attempt = strtoll(field[2], NULL, 10);
    if (!connection_number(reader->db, SQL_GET_RUN, &reader->run_id, error, "t", field[1]) ||
        !connection_number(reader->db, SQL_HAS_ATTEMPT, &known, error, "ii", reader->run_id,
                           reader->attempt))
        return false;
    if (known <= 0)
        reader->run_id = -1;
    return true;
}

static bool put_line(spill_reader *reader, char **field, const store_record *record,
                     assay_error *error)
{
    int64_t newer = 0, key_id = -1;
    if (reader->run_id < 0)
        return true;
    if (!connection_number(reader->db, SQL_SUPERSEDED, &newer, error, "iii", reader->run_id,
                           reader->attempt, record->step))
        return false;
    if (newer > 0)
        return true;
    reader->rows++;
    if (record->kind == RECORD_SCORE)
        return record_put_score(reader->db, reader->run_id,
                                &(score_name){field[1], field[2], field[3], field[4]}, record,
                                error);
    const char *goal = field[2][0] == '\0' ? NULL : field[2];
    return record_key(reader->db, field[1], goal, &key_id, error) &&
           record_put_series(reader->db, reader->run_id, reader->attempt, key_id, record, error);
}

static bool read_line(spill_reader *reader, char *line, assay_error *error)
{
    char *field[FIELDS];
    int n = split(line, field);
    if (n == 3 && strcmp(field[0], "attempt") == 0)
        return read_attempt(reader, field, error);
    if (n == 6 && strcmp(field[0], "series") == 0)
        return put_line(reader, field,
                        &(store_record){.kind = RECORD_SERIES,
                                        .step = strtoll(field[3], NULL, 10),
                                        .value = strtod(field[4], NULL),
                                        .t_ms = strtoll(field[5], NULL, 10)},
                        error);
    if (n == 10 && strcmp(field[0], "score") == 0)
        return put_line(reader, field,
                        &(store_record){.kind = RECORD_SCORE,
                                        .step = strtoll(field[5], NULL, 10),
                                        .value = strtod(field[6], NULL),
                                        .low = strtod(field[7], NULL),
                                        .high = strtod(field[8], NULL),
                                        .n = strtoll(field[9], NULL, 10)},
                        error);
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = reader->db->path,
                      .what = "a line of the spill file is not understood");
}

/* The whole batches of the text, in one transaction. */
static bool read_batches(store_handle *store, char *text, int64_t *rows, assay_error *error)
{
    spill_reader reader = {.db = &store->main, .run_id = -1};
    if (!store_begin(store, false, error))
        return false;
    bool ok = true;
    char *end = NULL;
    while (ok && (end = strstr(text, "\nend\n")) != NULL) {
        *end = '\0';
        for (char *line = strsep(&text, "\n"); line != NULL && ok; line = strsep(&text, "\n"))
            ok = read_line(&reader, line, error);
        text = end + strlen("\nend\n");
    }
    *rows = reader.rows;
    return store_commit(store, ok, error);
}

static void import_file(store_handle *store, const char *path)
{
    assay_error error = {0};
    char line[768];
    int64_t bytes = 0, rows = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        char *text = assay_read_file(path, LARGEST_SPILL, &bytes, &error);
        if (text != NULL && read_batches(store, text, &rows, &error)) {
            unlink(path);
            assay_log(ASSAY_LOG_INFO, "%lld rows read in from %s", (long long)rows, path);
        } else {
            assay_log(ASSAY_LOG_WARNING, "%s stays: %s", path,
                      assay_error_format(&error, line, sizeof line));
        }
        assay_free(text);
    }
    close(fd);
}

/* What glob would read as a pattern stands for itself. */
static char *pattern_of(const char *path, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, (int64_t)strlen(path) + 16, 2)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the path is too long");
        return NULL;
    }
    char *pattern = assay_alloc(bytes, error), *out = pattern;
    if (pattern == NULL)
        return NULL;
    for (const char *c = path; *c != '\0'; c++) {
        if (strchr("*?[\\", *c) != NULL)
            *out++ = '\\';
        *out++ = *c;
    }
    strcpy(out, ".spill.*");
    return pattern;
}

bool spill_import(store_handle *store, assay_error *error)
{
    glob_t found = {0};
    char *pattern = pattern_of(store->path, error);
    if (pattern == NULL)
        return false;
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            import_file(store, found.gl_pathv[i]);
    globfree(&found);
    assay_free(pattern);
    return true;
}
