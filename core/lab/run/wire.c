/* wire.c - lines between processes (wire.h). */
#include "lab/run/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* ---- writing ---- */

static bool send_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        bytes -= (size_t)n;
    }
    return true;
}

bool wire_write(int fd, const char *format, ...)
{
    char line[WIRE_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return false;
    size_t bytes = (size_t)length < sizeof line - 2 ? (size_t)length : sizeof line - 2;
    for (size_t i = 0; i < bytes; i++)
        if (line[i] != '\t' && (unsigned char)line[i] < ' ')
            line[i] = ' ';
    line[bytes] = '\n';
    pthread_mutex_lock(&turn);
    bool ok = send_all(fd, line, bytes + 1);
    pthread_mutex_unlock(&turn);
    return ok;
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

bool wire_event(int fd, const run_event *event)
{
    const train_progress *p = &event->progress;
    return wire_write(fd, "event\t%d\t%d\t%lld\t%lld\t%lld\t%a\t%a\t%a\t%s\t%s\t%s",
                      (int)event->kind, event->run, (long long)event->run_id, (long long)p->step,
                      (long long)p->total, p->loss, p->tokens_per_s, p->seconds_left,
                      or_empty(event->status), or_empty(p->doing), or_empty(event->message));
}

/* ---- reading ---- */

bool wire_fill(wire *from)
{
    ssize_t n;
    memmove(from->buffer, from->buffer + from->taken, (size_t)(from->used - from->taken));
    from->used -= from->taken;
    from->taken = 0;
    if (from->used == WIRE_BYTES)
        return false; /* no line of ours is so long */
    do
        n = recv(from->fd, from->buffer + from->used, (size_t)(WIRE_BYTES - from->used), 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    from->used += n;
    return true;
}

char *wire_line(wire *from)
{
    char *line = from->buffer + from->taken;
    char *end = memchr(line, '\n', (size_t)(from->used - from->taken));
    if (end == NULL)
        return NULL;
    *end = '\0';
    from->taken = end + 1 - from->buffer;
    return line;
}

int wire_split(char *line, char *fields[WIRE_FIELDS])
{
    int n = 0;
    for (char *at = line; at != NULL && n < WIRE_FIELDS; n++) {
        fields[n] = at;
        at = n + 1 < WIRE_FIELDS ? strchr(at, '\t') : NULL;
        if (at != NULL)
            *at++ = '\0';
    }
    return n;
}

bool wire_integer(const char *text, int64_t low, int64_t high, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *out = value;
    return errno == 0 && end != text && *end == '\0' && value >= low && value <= high;
}

static bool read_number(const char *text, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && *end == '\0';
}

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

bool wire_read_event(int n, char *const *fields, int run_count, run_event *out)
{
    int64_t kind, run;
    train_progress *p = &out->progress;
    *out = (run_event){0};
    if (n != 12 || strcmp(fields[0], "event") != 0 ||
        !wire_integer(fields[1], RUN_STARTED, RUN_BLOCKED, &kind) ||
        !wire_integer(fields[2], 0, run_count - 1, &run) ||
        !wire_integer(fields[3], INT64_MIN, INT64_MAX, &out->run_id) ||
        !wire_integer(fields[4], 0, INT64_MAX, &p->step) ||
        !wire_integer(fields[5], 0, INT64_MAX, &p->total) || !read_number(fields[6], &p->loss) ||
        !read_number(fields[7], &p->tokens_per_s) || !read_number(fields[8], &p->seconds_left))
        return false;
    out->kind = (run_event_kind)kind;
    out->run = (int)run;
    out->status = or_null(fields[9]);
    p->doing = or_null(fields[10]);
    out->message = or_null(fields[11]);
    return true;
}
