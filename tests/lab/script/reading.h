/* reading.h - a script's text to what it comes to, for the tests of the script room: its table
 * of runs, or the message that says why not. A helper that cannot do its work fails the running
 * test. */
#ifndef TESTS_LAB_SCRIPT_READING_H
#define TESTS_LAB_SCRIPT_READING_H

#include "lab/script/plan.h"

/* What a reading is told beside the text; all zero: nothing. */
typedef struct reading {
    const char *module; /* text of module.lua beside the script */
    int set_count;
    plan_override sets[4];
    int64_t memory_limit, instruction_limit;
    const char *device; /* NULL: cpu */
} reading;

/* The plan of sweep.lua with this text, NULL and *error. The dataset's fingerprint is that of its
 * options' seed. The caller owns the plan. */
plan *read_plan(const char *text, const reading *how, assay_error *error);
/* One line per run: its number, stage, label, seed, and its inputs as NAME<-NUMBER. Or the
 * message of the failure. `how` may be NULL. The caller frees it. */
char *read_table(const char *text, const reading *how);
/* Fails unless the text comes to this table or message. */
void expect_table(const char *text, const reading *how, const char *expected);

#endif
