/* index_write.c - the one pass over a users file that checks it and makes its index. */
#include "ids.h"
#include "index_file.h"
#include "json.h"
#include "lines.h"
#include "scratch.h"

#include <assay/file.h>

#include <math.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define STOP_EVERY 256       /* lines between two looks whether to stop */
#define TICK_NS    20000000  /* above the resolution of file times */
#define COPY_BYTES (1 << 16) /* at once, from a scratch file to the index */

/* Mean and sum of squared deviations of one feature over one split, by Welford's recurrence: one
 * pass, and no cancellation. */
typedef struct feature_spread {
    int64_t count;
    double mean, squares;
} feature_spread;

/* A scratch file that is only appended to, then copied. */
typedef struct scratch_column {
    int fd;
    int64_t bytes;
    int64_t kept; /* in `buffer`, not written yet */
    uint8_t buffer[COPY_BYTES];
} scratch_column;

typedef struct writing {
    const set_description *description;
    const char *users_path, *folder;
    const assay_host *host;
    bool skip;
    assay_publisher *publisher;
    line_reader *lines;
    id_set *ids;
    assay_arena *arena; /* one line's */
    scratch_column *rows, *labels;
    feature_spread *spreads[2]; /* (features) over pretrain, over train */
    int8_t *label_row;
    int64_t at; /* bytes of the index so far */
    bool in_tail;
    index_footer footer;
} writing;

/* ---- columns ---- */

static scratch_column *column_new(const char *folder, assay_error *error)
{
    scratch_column *made = assay_alloc(sizeof *made, error);
    if (made == NULL)
        return NULL;
    made->bytes = made->kept = 0;
    made->fd = scratch_open(folder, error);
    if (made->fd >= 0)
        return made;
    assay_free(made);
    return NULL;
}

static void column_free(scratch_column *column)
{
    if (column != NULL)
        close(column->fd);
    assay_free(column);
}

static bool column_flush(scratch_column *column, const char *where, assay_error *error)
{
    if (!scratch_write(column->fd, column->buffer, column->kept, column->bytes - column->kept,
                       where, error))
        return false;
    column->kept = 0;
    return true;
}

static bool column_add(scratch_column *column, const void *data, int64_t bytes, const char *where,
                       assay_error *error)
{
    if (column->kept + bytes > COPY_BYTES && !column_flush(column, where, error))
        return false;
    memcpy(column->buffer + column->kept, data, (size_t)bytes);
    column->kept += bytes;
    column->bytes += bytes;
    return true;
}

/* ---- the index's bytes ---- */

static bool append(writing *in, const void *data, int64_t bytes, assay_error *error)
{
    if (in->in_tail)
        in->footer.tail_checksum = (uint32_t)crc32(in->footer.tail_checksum, data, (uInt)bytes);
    in->at += bytes;
    return assay_publish_write(in->publisher, data, bytes, error);
}

static bool append_zeros(writing *in, int64_t multiple, assay_error *error)
{
    static const uint8_t zeros[4096];
    int64_t due = (multiple - in->at % multiple) % multiple;
    while (due > 0) {
        int64_t now = due < (int64_t)sizeof zeros ? due : (int64_t)sizeof zeros;
        if (!append(in, zeros, now, error))
            return false;
        due -= now;
    }
    return true;
}

static bool append_column(writing *in, scratch_column *column, assay_error *error)
{
    if (!column_flush(column, in->folder, error))
        return false;
    for (int64_t done = 0; done < column->bytes;) {
        int64_t left = column->bytes - done;
        int64_t now = left < COPY_BYTES ? left : COPY_BYTES;
        if (!scratch_read(column->fd, column->buffer, now, done, in->folder, error) ||
            !append(in, column->buffer, now, error))
            return false;
        done += now;
    }
    return true;
}

/* ---- one user ---- */

static void add_features(writing *in, const user_history *user)
{
    if (user->split != ASSAY_PRETRAIN && user->split != ASSAY_TRAIN)
        return;
    feature_spread *spreads = in->spreads[user->split == ASSAY_TRAIN];
    for (int f = 0; f < in->description->feature_count; f++) {
        double x = user->features[f];
        if (isnan(x))
            continue;
        feature_spread *spread = &spreads[f];
        double off = x - spread->mean;
        spread->count++;
        spread->mean += off / (double)spread->count;
        spread->squares += off * (x - spread->mean);
    }
}

/* First and last event before the user's horizon, over all sources. */
static void find_ends(const user_history *user, const set_description *description, index_row *row)
{
    double horizon = user_horizon(user);
    row->first = row->last = NAN;
    for (int s = 0; s < description->source_count; s++) {
        const user_events *events = &user->sources[s];
        int64_t count = user_events_before(events, horizon);
        if (count == 0)
            continue;
        row->first = fmin(row->first, events->times[0]);
        row->last = fmax(row->last, events->times[count - 1]);
    }
}

static bool add_user(writing *in, const user_history *user, assay_error *error)
{
    const set_description *description = in->description;
    const uint8_t *record = NULL;
    int64_t bytes = 0;
    if (!user_pack(user, description, in->arena, &record, &bytes, error) ||
        !append_zeros(in, 8, error))
        return false;
    index_row row = {.offset = in->at,
                     .bytes = (uint32_t)bytes,
                     .checksum = (uint32_t)crc32(0, record, (uInt)bytes),
                     .pairs = (uint32_t)user->pair_count,
                     .labels = (uint16_t)user->label_count,
                     .split = (uint8_t)user->split};
    find_ends(user, description, &row);
    memset(in->label_row, -1, (size_t)description->label_count);
    for (int64_t i = 0; i < user->label_count; i++)
        in->label_row[user->labels[i].label] = (int8_t)user->labels[i].value;
    add_features(in, user);
    in->footer.counts.users++;
    in->footer.counts.in_split[user->split]++;
    return append(in, record, bytes, error) &&
           column_add(in->rows, &row, sizeof row, in->folder, error) &&
           column_add(in->labels, in->label_row, description->label_count, in->folder, error);
}

static bool is_new(writing *in, const user_history *user, const text_line *line, const char *where,
                   assay_error *error)
{
    int64_t first = 0;
    if (!id_set_add(in->ids, user->id, user->id_bytes, line->number, &first, error))
        return false;
    return first == 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where,
                      .what =
                          assay_text("the id '%.*s' is not new",
                                     (int)(user->id_bytes < 80 ? user->id_bytes : 80), user->id),
                      .hint = assay_text("line %lld has it already", (long long)first));
}

static bool is_blank(const text_line *line)
{
    for (int64_t i = 0; i < line->bytes; i++)
        if (line->text[i] != ' ' && line->text[i] != '\t' && line->text[i] != '\r')
            return false;
    return !line->too_long;
}

static bool read_line(writing *in, const text_line *line, user_history *out, assay_error *error)
{
    const char *where = json_place(in->users_path, line->number);
    assay_arena_reset(in->arena);
    if (line->too_long)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where, .what = "the line is too long",
                          .expected = assay_text("at most %d bytes", LINES_LONGEST));
    /* Counts of a duplicate must not stay. */
    user_counts counts = in->footer.counts.cut;
    if (!user_parse(out, in->description, line->text, line->bytes, where, in->arena, &counts,
                    error) ||
        !is_new(in, out, line, where, error))
        return false;
    in->footer.counts.cut = counts;
    return true;
}

/* The first broken line is remembered, for an opener who does not skip. */
static void count_skipped(writing *in, const text_line *line, const assay_error *why)
{
    index_footer *footer = &in->footer;
    if (footer->counts.skipped++ > 0)
        return;
    footer->broken_line = line->number;
    memcpy(footer->broken_what, why->what, sizeof footer->broken_what);
    memcpy(footer->broken_got, why->got, sizeof footer->broken_got);
}

static bool add_line(writing *in, const text_line *line, assay_error *error)
{
    assay_error why = {0};
    user_history user;
    if (is_blank(line))
        return true;
    if (read_line(in, line, &user, in->skip ? &why : error))
        return add_user(in, &user, error);
    if (!in->skip)
        return false;
    if (why.code != ASSAY_BAD_FILE) { /* the machine failed, not the line */
        if (error != NULL)
            *error = why;
        return false;
    }
    count_skipped(in, line, &why);
    return true;
}

static bool add_lines(writing *in, assay_error *error)
{
    text_line line;
    int status = 0;
    while ((status = lines_next(in->lines, &line, error)) == 1) {
        if (line.number % STOP_EVERY == 0 && in->host != NULL && in->host->stopping != NULL &&
            in->host->stopping(in->host->user))
            return ASSAY_FAIL(error, ASSAY_STOPPED, .where = in->users_path,
                              .what = "stopped while indexing");
        if (!add_line(in, &line, error))
            return false;
    }
    if (status == 0 && in->footer.counts.users == 0)
        return ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = in->users_path, .what = "there is no user in this file",
            .got = in->footer.counts.skipped > 0
                       ? assay_text("%lld broken lines, the first is line %lld: %s",
                                    (long long)in->footer.counts.skipped,
                                    (long long)in->footer.broken_line, in->footer.broken_what)
                       : "an empty file");
    return status == 0;
}

/* ---- the tail ---- */

/* Means and scales. A constant column, and one without numbers, has scale 0: it is 0 everywhere. */
static bool append_numbers(writing *in, assay_error *error)
{
    int count = in->description->feature_count;
    const feature_spread *spreads = in->spreads[in->footer.counts.in_split[ASSAY_PRETRAIN] == 0];
    for (int f = 0; f < count; f++)
        if (!append(in, &spreads[f].mean, sizeof(double), error))
            return false;
    for (int f = 0; f < count; f++) {
        double sd = spreads[f].count > 0 ? sqrt(spreads[f].squares / (double)spreads[f].count) : 0;
        double least = 1e-12 * fabs(spreads[f].mean);
        double scale = sd > least ? 1 / sd : 0;
        if (!isfinite(scale))
            scale = 0;
        if (!append(in, &scale, sizeof scale, error))
            return false;
    }
    return true;
}

static bool append_tail(writing *in, assay_error *error)
{
    index_footer *footer = &in->footer;
    if (!append_zeros(in, INDEX_PAGE, error))
        return false;
    in->in_tail = true;
    footer->tail_checksum = (uint32_t)crc32(0, NULL, 0);
    footer->rows_at = in->at;
    if (!append_column(in, in->rows, error))
        return false;
    footer->numbers_at = in->at;
    if (!append_numbers(in, error))
        return false;
    footer->labels_at = in->at;
    if (!append_column(in, in->labels, error) || !append_zeros(in, 8, error))
        return false;
    in->in_tail = false;
    memcpy(footer->magic, INDEX_MAGIC, sizeof footer->magic);
    footer->version = INDEX_VERSION;
    footer->order = INDEX_ORDER;
    footer->label_count = in->description->label_count;
    footer->feature_count = in->description->feature_count;
    memcpy(footer->description, in->description->sha256, sizeof footer->description);
    lines_sha256(in->lines, footer->content);
    footer->footer_checksum =
        (uint32_t)crc32(0, (const Bytef *)footer, (uInt)offsetof(index_footer, footer_checksum));
    return append(in, footer, sizeof *footer, error);
}

/* ---- all of it ---- */

bool index_source_of(const char *path, index_source *out)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return false;
    *out = (index_source){.bytes = status.st_size,
                          .mtime = status.st_mtim.tv_sec,
                          .mtime_ns = status.st_mtim.tv_nsec,
                          .ctime = status.st_ctim.tv_sec,
                          .ctime_ns = status.st_ctim.tv_nsec,
                          .inode = (int64_t)status.st_ino};
    return true;
}

/* File times tick every few milliseconds: a file that changed a moment ago could change again
 * within the tick that we note. Lets that tick pass. */
static void await_tick(const index_source *source)
{
    struct timespec now, tick = {.tv_nsec = TICK_NS};
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t seconds = (int64_t)now.tv_sec - source->ctime;
    if (seconds >= 0 && seconds < 2 &&
        seconds * 1000000000 + now.tv_nsec - source->ctime_ns < TICK_NS)
        nanosleep(&tick, NULL);
}

static bool begin(writing *in, const char *path, assay_error *error)
{
    int64_t features = in->description->feature_count;
    if (!index_source_of(in->users_path, &in->footer.source))
        return ASSAY_FAIL(error, ASSAY_IO, .where = in->users_path,
                          .what = "cannot look at the file", .got = assay_text("%m"));
    await_tick(&in->footer.source);
    in->lines = lines_open(in->users_path, error);
    if (in->lines == NULL)
        return false;
    in->ids = id_set_new(in->folder, error);
    in->rows = column_new(in->folder, error);
    in->labels = column_new(in->folder, error);
    in->arena = assay_arena_new(0, error);
    in->label_row = assay_alloc(in->description->label_count, error);
    for (int i = 0; i < 2; i++)
        in->spreads[i] = assay_zalloc(features * (int64_t)sizeof(feature_spread), error);
    if (in->ids == NULL || in->rows == NULL || in->labels == NULL || in->arena == NULL ||
        in->label_row == NULL || in->spreads[0] == NULL || in->spreads[1] == NULL)
        return false;
    in->publisher = assay_publish_begin(path, error);
    return in->publisher != NULL && append(in, INDEX_MAGIC, 16, error);
}

/* A file that grew while it was read would leave an index of something that never was. */
static bool source_stayed(const writing *in, assay_error *error)
{
    index_source now;
    return (index_source_of(in->users_path, &now) &&
            memcmp(&now, &in->footer.source, sizeof now) == 0) ||
           ASSAY_FAIL(error, ASSAY_IO, .where = in->users_path,
                      .what = "the file changed while it was indexed",
                      .hint = "run again when it is complete");
}

bool index_write(const char *path, const char *folder, const char *users_path,
                 const set_description *description, const assay_host *host, bool skip,
                 assay_error *error)
{
    bool good = false;
    writing *in = assay_zalloc(sizeof *in, error);
    if (in == NULL)
        return false;
    in->description = description;
    in->users_path = users_path;
    in->folder = folder;
    in->host = host;
    in->skip = skip;
    good = begin(in, path, error) && add_lines(in, error) && append_tail(in, error) &&
           source_stayed(in, error);
    if (good) {
        good = assay_publish_commit(in->publisher, error);
        in->publisher = NULL;
    }
    if (in->publisher != NULL)
        assay_publish_abandon(in->publisher);
    assay_free(in->spreads[0]);
    assay_free(in->spreads[1]);
    assay_free(in->label_row);
    assay_arena_free(in->arena);
    column_free(in->rows);
    column_free(in->labels);
    id_set_free(in->ids);
    lines_close(in->lines);
    assay_free(in);
    return good;
}
