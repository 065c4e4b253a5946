/* run/wire.h - what the first process and its jobs say to each other: lines of fields separated by
 * tabs over a pair of sockets.
 *
 *     run INDEX HASH                 to a job: do this run of the plan
 *     event KIND RUN RUN_ID STEP TOTAL LOSS TOKENS LEFT STATUS DOING MESSAGE    from a job, which
 *     log LEVEL TEXT                                                            is working
 *     result RUN STATE MESSAGE       from a job, which is free for another run
 *
 * Numbers of C's %a form keep every bit. Texts have neither tabs nor newlines. */
#ifndef LAB_RUN_WIRE_H
#define LAB_RUN_WIRE_H

#include "lab/run/schedule.h"

enum { WIRE_BYTES = 4096, WIRE_FIELDS = 12 };

typedef struct wire {
    int fd;
    int64_t used; /* bytes in `buffer` that were read and not taken */
    char buffer[WIRE_BYTES];
    int64_t taken; /* of them: the line that was returned last */
} wire;

/* One line, printf-like, without its newline; control characters become spaces and what is too long
 * is cut. Whole lines, also when several threads write. False when the other side is gone. */
bool wire_write(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool wire_event(int fd, const run_event *event);

/* Reads what there is; waits for some when there is nothing. False at the end. */
bool wire_fill(wire *from);
/* The next whole line, in place, or NULL. */
char *wire_line(wire *from);
/* Cuts a line at its tabs; how many fields there are (at most WIRE_FIELDS). */
int wire_split(char *line, char *fields[WIRE_FIELDS]);
/* An event from the fields of its line; borrows them. False for a line that is none. */
bool wire_read_event(int n, char *const *fields, int run_count, run_event *out);
/* Whole numbers, whole words. */
bool wire_integer(const char *text, int64_t low, int64_t high, int64_t *out);

#endif
