/* program.h - the real program, started by the shell as a user starts it. */
#ifndef CLI_TEST_PROGRAM_H
#define CLI_TEST_PROGRAM_H

#include <stdbool.h>

/* Instrumented code is slower: bounds on time are wider there. */
#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 20
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 20
#else
#define SLOWER 1
#endif
#else
#define SLOWER 1
#endif

/* What a command line came to. Texts belong to the outcome. */
typedef struct outcome {
    int status; /* exit status; 128 + the number of the signal that ended it */
    char *out, *err;
    double seconds;
} outcome;

/* Remembers where the program is (argv[1] of the test) and the folder of the test's scripts. */
void program_is_at(const char *path);

/* cmocka set-up and tear-down: an empty folder to be in, and its removal. Inside it the command
 * lines see: assay on the PATH, $S the scripts of tests/cli/scripts, $T the toy plugins (which
 * ASSAY_PLUGINS names), $F the wrong ones of
 * tests/lab/plugin/fixtures, $HERE the folder; ASSAY_CACHE is below it. */
int folder_make(void **state);
int folder_remove(void **state);

/* Runs one command line by sh in the folder. Ends the test when it cannot be started. */
outcome shell(const char *line) __attribute__((warn_unused_result));
void outcome_free(outcome *of);

/* Whether the file is there, relative to the folder. */
bool there_is(const char *path);

/* Fails the test unless the status is this one; shows what was printed otherwise. */
void assert_status(const outcome *of, int status);
/* Fails the test unless `text` contains `part`. */
void assert_contains(const char *text, const char *part);
/* One line on stderr that begins with "assay: ". */
void assert_one_message(const outcome *of);

#endif
