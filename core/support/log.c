/* log.c - one sink, one lock, one finished line at a time (assay/log.h). */
#include <assay/log.h>

#include "text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    LINE_SIZE = 1024 + 1, /* the longest line and its NUL */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the three below */
static assay_log_sink current_sink;
static void *current_user;
static assay_log_level lowest_level;

/* A sink that calls something which logs would wait for its own lock. */
static _Thread_local bool inside_sink;

void assay_log_to(assay_log_sink sink, void *user, assay_log_level lowest)
{
    if (inside_sink)
        return;
    pthread_mutex_lock(&lock);
    current_sink = sink;
    current_user = user;
    lowest_level = lowest;
    pthread_mutex_unlock(&lock);
}

void assay_log(assay_log_level level, const char *format, ...)
{
    if (inside_sink)
        return;
    pthread_mutex_lock(&lock);
    if (current_sink != NULL && level >= lowest_level) {
        char line[LINE_SIZE];
        va_list arguments;
        va_start(arguments, format);
        text_format(line, sizeof line, format, arguments);
        va_end(arguments);
        text_one_line(line);
        inside_sink = true;
        current_sink(level, line, current_user);
        inside_sink = false;
    }
    pthread_mutex_unlock(&lock);
}

const char *assay_log_level_name(assay_log_level level)
{
    switch (level) {
    case ASSAY_LOG_DEBUG:
        return "debug";
    case ASSAY_LOG_INFO:
        return "info";
    case ASSAY_LOG_WARNING:
        return "warning";
    case ASSAY_LOG_ERROR:
        return "error";
    }
    return "unknown";
}
