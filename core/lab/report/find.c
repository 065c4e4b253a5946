/* find.c - what a command's argument means: a run, an experiment; and what was probably meant. */
#include "lab/report/answer.h"

#include <assay/memory.h>

#include <stdlib.h>
#include <string.h>

static const store_query_limits no_limits = {0};

bool report_check(const char *store, assay_error *error)
{
    store_handle *opened = store_open(store, STORE_READ_ONLY, error);
    store_free(opened);
    return opened != NULL;
}

/* Whether the row's text stands in an earlier row. */
static bool is_again(const answer *rows, int64_t row, int column)
{
    bool found = false;
    for (int64_t i = 0; i < row && !found; i++)
        found = strcmp(answer_text(rows, i, column), answer_text(rows, row, column)) == 0;
    return found;
}

/* Up to a few of the texts in one line, each once, with commas. */
static const char *list_texts(const answer *rows, int column)
{
    enum { MOST = 6 };
    char line[160] = "";
    int listed = 0;
    for (int64_t i = 0; i < answer_count(rows) && listed <= MOST; i++) {
        size_t length = strlen(line);
        if (is_again(rows, i, column))
            continue;
        snprintf(line + length, sizeof line - length, "%s%s", listed == 0 ? "" : ", ",
                 listed == MOST ? "..." : answer_text(rows, i, column));
        listed++;
    }
    return assay_text("%s", line);
}

bool report_unknown(const char *what, const char *word, const answer *rows, int column,
                    assay_error *error)
{
    int64_t n = answer_count(rows);
    const char *near = NULL;
    const char **words = assay_alloc((n + 1) * (int64_t)sizeof *words, NULL);
    for (int64_t i = 0; i < n && words != NULL; i++)
        words[i] = answer_text(rows, i, column);
    if (words != NULL)
        near = assay_nearest(word, (int)n, words);
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = assay_text("unknown %s '%s'", what, word),
               .expected = n == 0 ? NULL : list_texts(rows, column),
               .hint = near == NULL ? NULL : assay_text("did you mean '%s'?", near));
    assay_free(words);
    return false;
}

bool report_find_experiment(const char *store, const char *name, int64_t *id, assay_error *error)
{
    bool found = false;
    answer *rows = answer_of(store, no_limits, error,
                             "SELECT name, experiment_id FROM experiment ORDER BY experiment_id");
    if (rows == NULL)
        return false;
    for (int64_t i = 0; i < answer_count(rows) && !found; i++) {
        found = strcmp(answer_text(rows, i, 0), name) == 0;
        if (found)
            *id = answer_integer(rows, i, 1);
    }
    if (!found && answer_count(rows) == 0)
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store, .what = "the store has no experiments",
                   .hint = "assay run SCRIPT.lua makes one");
    else if (!found)
        report_unknown("experiment", name, rows, 0, error);
    answer_free(rows);
    return found;
}

/* The rows of run that the word means: by number, else by prefix; at most six. */
static answer *candidates(const char *store, const char *word, assay_error *error)
{
    char *end = NULL;
    long long number = strtoll(word, &end, 10);
    if (*word >= '0' && *word <= '9' && *end == '\0') {
        answer *rows = answer_of(store, no_limits, error,
                                 "SELECT run_id || ' (' || substr(run_hash, 1, 12) || ')', run_id "
                                 "FROM run WHERE run_id = %lld",
                                 number);
        if (rows == NULL || answer_count(rows) == 1)
            return rows;
        answer_free(rows);
    }
    char *prefix = sql_text(word, error);
    if (prefix == NULL)
        return NULL;
    answer *rows = answer_of(store, no_limits, error,
                             "SELECT run_id || ' (' || substr(run_hash, 1, 12) || ')', run_id "
                             "FROM run WHERE substr(run_hash, 1, length(%s)) = %s "
                             "ORDER BY run_id LIMIT 7",
                             prefix, prefix);
    assay_free(prefix);
    return rows;
}

bool report_find_run(const char *store, const char *word, int64_t *run_id, assay_error *error)
{
    if (word[0] == '\0')
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "no run is named",
                          .expected = "a run_id or a prefix of a run_hash");
    if (!report_check(store, error))
        return false;
    answer *rows = candidates(store, word, error);
    if (rows == NULL)
        return false;
    int64_t n = answer_count(rows);
    if (n == 1)
        *run_id = answer_integer(rows, 0, 1);
    else if (n == 0)
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store, .what = assay_text("no run '%s'", word),
                   .expected = "a run_id or a prefix of a run_hash",
                   .hint = "assay runs lists them");
    else
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store,
                   .what = assay_text("'%s' begins several runs", word), .got = list_texts(rows, 0),
                   .hint = "give more of the hash, or the number");
    answer_free(rows);
    return n == 1;
}
