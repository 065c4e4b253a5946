/* fixture.h - a folder with a store in it, a small plan, and questions to the store. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "lab/store/store.h"

/* A new folder that the fixture owns, and the store's path in it. */
typedef struct test_place {
    char folder[64], path[96];
} test_place;

int place_make(void **state);   /* cmocka set-up: *state is a test_place */
int place_remove(void **state); /* its tear-down: the folder and all in it */

/* The store at the place, which must open. */
store_handle *must_open(const test_place *place);

/* Writes a plan of `n` runs (cells by threes of seeds) and gives their ids. */
void must_plan(store_handle *store, const char *experiment, int n, int64_t *ids);

/* Claims a run that must be free. */
store_lease must_claim(store_handle *store, int64_t run_id);

/* The first cell of the first row; SQL that fails, or gives no row, fails the test. */
int64_t ask(const test_place *place, const char *sql);
double ask_real(const test_place *place, const char *sql);
/* The same as text in one static buffer; "NULL" for NULL. */
const char *ask_text(const test_place *place, const char *sql);

/* Statements on a connection of their own, which may write; failure fails the test. */
void must_do(const test_place *place, const char *sql);

/* The store's own check of its pages. */
void assert_intact(const test_place *place);

extern const store_worker worker;

#endif
