/* assay/log.h - what the libraries have to say, handed to whoever listens.
 *
 * Libraries never print. Without a sink, messages vanish. */
#ifndef ASSAY_LOG_H
#define ASSAY_LOG_H

typedef enum assay_log_level {
    ASSAY_LOG_DEBUG,
    ASSAY_LOG_INFO,
    ASSAY_LOG_WARNING,
    ASSAY_LOG_ERROR
} assay_log_level;

/* Called with one finished line (no newline, control characters turned into spaces), one at a time.
 * `line` is borrowed for the call. Whatever is logged, and a new sink that is set, from inside the
 * call is dropped. */
typedef void (*assay_log_sink)(assay_log_level level, const char *line, void *user);

/* Sets the sink (NULL: none) and the lowest level that reaches it. */
void assay_log_to(assay_log_sink sink, void *user, assay_log_level lowest);

/* Lines above 1024 bytes are cut. Thread-safe. */
void assay_log(assay_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "debug", "info", "warning", "error". Static storage. */
const char *assay_log_level_name(assay_log_level level);

#endif
