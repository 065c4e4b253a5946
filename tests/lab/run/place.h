/* place.h - a folder with a store in it, toy plans run there, in this process or another, and
 * questions to the store. */
#ifndef RUN_PLACE_H
#define RUN_PLACE_H

#include "plans.h"

#include "lab/run/run.h"

#include <sys/types.h>

typedef struct test_place {
    char folder[64];
    char store[96];
} test_place;

int place_make(void **state); /* cmocka set-up: *state is a test_place */
int place_remove(void **state);

/* ---- in this process ---- */

typedef struct told { /* the events of the last run_here, progress aside */
    int count;
    struct {
        run_event_kind kind;
        int run;
        int64_t step;
        char status[16], message[512];
    } events[64];
} told;
extern told heard;

/* Set before run_here: the stop flag goes up at this step of this run (run -1: of any). */
extern int stop_at_run;
extern int64_t stop_at_step; /* -1: never */

/* Runs the plan with what `change` makes of the options (NULL: nothing). */
run_summary run_here(const test_place *place, const plan_shape *shape,
                     void (*change)(run_options *options));
/* The same, which must fail at once; *error is the reason. */
void must_refuse(const test_place *place, const plan_shape *shape,
                 void (*change)(run_options *options), assay_error *error);

/* "done 2 skipped 1": what is not zero. One static buffer. */
const char *summary_text(const run_summary *summary);

/* ---- in another process ---- */

/* Starts the toy program (its file in ASSAY_TOY_PROGRAM); its stdout goes to FOLDER/NAME.log. */
pid_t program_start(const test_place *place, const char *store, const plan_shape *shape,
                    const char *const *words, const char *name);
/* The same with any command line, ending with NULL; the program by its path. */
pid_t line_start(const test_place *place, const char *const *line, const char *name);
/* Its exit status, or -SIGNAL. */
int program_wait(pid_t pid);
/* The whole log; the caller frees it. */
char *program_log(const test_place *place, const char *name);
/* Waits until a query on the store gives a number above 0 (which it returns), at most 20 s. */
int64_t wait_until(const char *store, const char *sql);

/* ---- the store ---- */

/* The first number of the first row; -1 without one or without a store. */
int64_t ask_store(const char *store, const char *sql);
char *ask_store_text(const char *store, const char *sql); /* the caller frees it */
void assert_store_intact(const char *store);
/* Changes the store behind its back; false when a process holds its lock. */
bool store_execute(const char *store, const char *sql);

/* Everything two equal stores have in common, as sha256: per run the parameters of its newest
 * checkpoint, every series but time/ and memory/, every score. The number of series rows comes
 * too. */
int64_t store_outcome(const char *store, char hex[65]);

#endif
