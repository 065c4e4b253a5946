/* show.c - everything about one run; and of two runs, what differs. */
#include "lab/report/answer.h"
#include "lab/report/sql.h"

typedef struct section_of {
    const char *title;
    report_sql sql;
} section_of;

static const section_of of_one[] = {
    {"run", REPORT_SQL_SHOW_RUN},
    {"parameters", REPORT_SQL_SHOW_PARAMS},
    {"inputs", REPORT_SQL_SHOW_INPUTS},
    {"attempts", REPORT_SQL_SHOW_ATTEMPTS},
    {"series", REPORT_SQL_SHOW_SERIES},
    {"scores", REPORT_SQL_SHOW_SCORES},
    {"checkpoints", REPORT_SQL_SHOW_CHECKPOINTS},
    {"artifacts", REPORT_SQL_SHOW_ARTIFACTS},
    {"plugins", REPORT_SQL_SHOW_PLUGINS},
    {"sources", REPORT_SQL_SHOW_SOURCES},
};

static const section_of of_two[] = {
    {"run", REPORT_SQL_DIFFER_RUN},
    {"parameters", REPORT_SQL_DIFFER_PARAMS},
    {"inputs", REPORT_SQL_DIFFER_INPUTS},
    {"plugins", REPORT_SQL_DIFFER_PLUGINS},
    {"newest attempt", REPORT_SQL_DIFFER_ATTEMPT},
    {"sources", REPORT_SQL_DIFFER_SOURCES},
    {"scores", REPORT_SQL_DIFFER_SCORES},
    {"series", REPORT_SQL_DIFFER_SERIES},
};

/* Runs the statement behind `with`, which names the runs; a section without rows is left out. */
static bool add_section(report *to, const char *store, const section_of *section, const char *with,
                        assay_error *error)
{
    answer *rows = answer_of(store, (store_query_limits){0}, error, "%s%s", with,
                             report_sql_text[section->sql]);
    bool ok = rows != NULL;
    if (ok && answer_count(rows) > 0)
        ok = report_add(to, section->title, answer_table(rows, error), error);
    answer_free(rows);
    return ok;
}

static report *put_together(const char *store, int n, const section_of *sections, const char *with,
                            assay_error *error)
{
    report *made = report_new(error);
    bool ok = made != NULL;
    for (int i = 0; i < n && ok; i++)
        ok = add_section(made, store, &sections[i], with, error);
    if (!ok)
        report_free(made);
    return ok ? made : NULL;
}

static bool explain_two(report *to, assay_error *error)
{
    return report_say(to, error,
                      "Only what differs is shown, and the last scores side by side, the same or "
                      "not; difference: second less first.") &&
           report_say(to, error, "Two runs say nothing about chance; assay compare does.");
}

report *report_show(const char *store, const char *run, const char *other, assay_error *error)
{
    int64_t first = 0, second = 0;
    if (!report_find_run(store, run, &first, error) ||
        (other != NULL && !report_find_run(store, other, &second, error)))
        return NULL;
    if (other == NULL)
        return put_together(store, (int)(sizeof of_one / sizeof *of_one), of_one,
                            assay_text("WITH the(id) AS (VALUES(%lld)) ", (long long)first), error);
    report *made = put_together(store, (int)(sizeof of_two / sizeof *of_two), of_two,
                                assay_text("WITH a(id) AS (VALUES(%lld)), b(id) AS (VALUES(%lld)) ",
                                           (long long)first, (long long)second),
                                error);
    if (made == NULL || explain_two(made, error))
        return made;
    report_free(made);
    return NULL;
}
