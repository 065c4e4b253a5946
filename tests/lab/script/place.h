/* place.h - a folder with scripts in it, read with plugins that only describe options. */
#ifndef SCRIPT_PLACE_H
#define SCRIPT_PLACE_H

#include "lab/script/plan.h"

/* The start of a script that is right, up to the keys that a test is about, which follow, and
 * "}". */
#define EXPERIMENT                                                                                 \
    "return experiment { name = 'x', dataset = dataset.files { path = 'data' }, "                  \
    "model = model.coder {}, "

/* How a test departs from the usual request; zeros are the usual. */
typedef struct place_request {
    const char *file;             /* "s.lua" */
    const char *const *set;       /* "path=value" ..., NULL-terminated */
    const char *device;           /* "cpu" */
    const char *print;            /* fingerprint of every dataset: "print" */
    int64_t memory, instructions; /* limits */
    int slope;                    /* version of mask.slope: 1 or 2 */
} place_request;

int place_make(void **state); /* cmocka group set-up: the folder, with "data" in it */
int place_remove(void **state);
/* The folder that another process made, which removes it. */
void place_enter(const char *folder);
const char *place_folder(void);
/* A file of the folder; a '/' in the name makes the folder that it is in. */
void place_write(const char *name, const char *text);
void place_write_bytes(const char *name, const char *bytes, size_t count);
/* How often a dataset's fingerprint was asked for since the last reading began. */
int place_prints(void);

/* The plan of a script, or NULL with *error. `how` may be NULL. */
plan *place_read(const char *script, const place_request *how, assay_error *error);
/* The plan, which has to come about. */
plan *place_plan(const char *script, const place_request *how);
/* The message that a script gets, which must not become a plan: if it does, a text that is no
 * message. Static, until the next call. */
const char *place_wrong(const char *script, const place_request *how);

/* The runs, a line each: "stage | label | seed | inputs"; the inputs of a run as "init=0", of a
 * score as "mask.warmup:0". Static, until the next call. */
const char *place_table(const plan *of);
/* ---- tables of cases: all that are not as expected are told, then the test fails ---- */

typedef struct place_case { /* a wrong script */
    const char *script;
    const char *set[4]; /* NULL-terminated */
    const char *message;
} place_case;
void place_check_wrong(int n, const place_case *cases);
#define PLACE_WRONG(cases) place_check_wrong((int)(sizeof(cases) / sizeof *(cases)), cases)

typedef struct place_rule { /* of the language, with the table of runs that it gives */
    const char *says, *script;
    const char *set[4];
    const char *table;
} place_rule;
void place_check_runs(int n, const place_rule *rules);
#define PLACE_RUNS(rules) place_check_runs((int)(sizeof(rules) / sizeof *(rules)), rules)

/* A param of a run as "value (origin)"; "-" without it. Borrowed like assay_text. */
const char *place_param(const plan *of, int run, const char *key);

#endif
