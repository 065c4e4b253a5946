/* cli/progress.h - what is seen of runs at work: on a terminal one line per active run, redrawn; in
 * a pipe plain lines now and then. Warnings of the libraries pass through here meanwhile. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "lab/run/run.h"

#include <stdio.h>

typedef struct progress_view progress_view;

/* Listens to the log until it is freed. `quiet`: failures only. The plan is borrowed. */
progress_view *progress_new(const plan *plan, FILE *out, bool quiet, assay_error *error);
void progress_free(progress_view *progress); /* accepts NULL; takes the active lines away */

/* A run_options.event; user is the progress. Any thread. */
void progress_event(void *user, const run_event *event);

#endif
