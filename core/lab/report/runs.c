/* runs.c - the list of runs: where each stands, and what it has shown so far. */
#include "lab/report/answer.h"
#include "lab/report/sql.h"

#include <string.h>

#define STALE_MS 120000 /* a lease that has not beaten for so long is no proof of life */

/* The columns of the statement. */
enum {
    RUN_ID,
    EXPERIMENT,
    STAGE,
    CELL,
    SEED,
    STATE,
    STEP,
    TOTAL,
    LOSS,
    METRIC,
    VALID,
    BEST,
    TEST,
    ATTEMPTS,
    TOUCHED,
    ERROR
};

/* "5 s", "12 min", "3 h", "8 d". */
static const char *ago(int64_t ms)
{
    int64_t s = ms < 0 ? 0 : ms / 1000;
    if (s < 120)
        return assay_text("%lld s", (long long)s);
    if (s < 7200)
        return assay_text("%lld min", (long long)(s / 60));
    if (s < 172800)
        return assay_text("%lld h", (long long)(s / 3600));
    return assay_text("%lld d", (long long)(s / 86400));
}

static table *list(const answer *rows, bool with_experiment, int64_t now_ms, assay_error *error)
{
    static const char *const names[] = {
        "experiment", "run_id", "stage", "cell", "seed", "state",    "step", "total",
        "loss",       "score",  "valid", "best", "test", "attempts", "age",  "error"};
    int first = with_experiment ? 0 : 1;
    table *made = table_new((int)(sizeof names / sizeof *names) - first, names + first, error);
    for (int64_t i = 0; made != NULL && i < answer_count(rows); i++) {
        if (with_experiment)
            table_text(made, answer_text(rows, i, EXPERIMENT));
        table_integer(made, answer_integer(rows, i, RUN_ID));
        for (int column = STAGE; column <= ATTEMPTS; column++)
            answer_put(rows, i, column, 4, made);
        table_text(made, answer_has(rows, i, TOUCHED)
                             ? ago(now_ms - answer_integer(rows, i, TOUCHED))
                             : NULL);
        answer_put(rows, i, ERROR, 0, made);
    }
    return made;
}

static bool is_stale(const answer *rows, int64_t i, int64_t now_ms)
{
    return strcmp(answer_text(rows, i, STATE), "running") == 0 && answer_has(rows, i, TOUCHED) &&
           now_ms - answer_integer(rows, i, TOUCHED) > STALE_MS;
}

/* How many there are of each state, and whose process may be dead. */
static bool sum_up(report *to, const answer *rows, int64_t now_ms, assay_error *error)
{
    static const char *const states[] = {"done",      "running", "pending",
                                         "preempted", "failed",  "lost"};
    char line[256] = "";
    int64_t n = answer_count(rows);
    for (size_t s = 0; s < sizeof states / sizeof *states; s++) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            count += strcmp(answer_text(rows, i, STATE), states[s]) == 0;
        size_t length = strlen(line);
        if (count > 0)
            snprintf(line + length, sizeof line - length, "%s%lld %s", length == 0 ? ": " : ", ",
                     (long long)count, states[s]);
    }
    bool ok = report_say(to, error, "%lld run%s%s", (long long)n, n == 1 ? "" : "s", line);
    for (int64_t i = 0; i < n && ok; i++)
        if (is_stale(rows, i, now_ms))
            ok = report_say(to, error,
                            "run %lld is marked running and has not been heard of for %s; the next "
                            "assay run finds out whether its process is alive",
                            (long long)answer_integer(rows, i, RUN_ID),
                            ago(now_ms - answer_integer(rows, i, TOUCHED)));
    return ok;
}

report *report_runs(const char *store, const char *experiment, int64_t now_ms, assay_error *error)
{
    int64_t id = 0;
    if (!report_check(store, error) ||
        (experiment != NULL && !report_find_experiment(store, experiment, &id, error)))
        return NULL;
    const char *only = experiment == NULL ? "SELECT experiment_id FROM experiment"
                                          : assay_text("VALUES(%lld)", (long long)id);
    answer *rows = answer_of(store, (store_query_limits){0}, error, "WITH the(id) AS (%s) %s", only,
                             report_sql_text[REPORT_SQL_RUNS]);
    report *made = rows == NULL ? NULL : report_new(error);
    bool ok = made != NULL &&
              report_add(made, "", list(rows, experiment == NULL, now_ms, error), error) &&
              sum_up(made, rows, now_ms, error);
    answer_free(rows);
    if (!ok)
        report_free(made);
    return ok ? made : NULL;
}
