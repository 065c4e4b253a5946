/* query.c - any SELECT as a table; the views that it names explain themselves in the notes. */
#include "lab/report/answer.h"

#include <ctype.h>
#include <string.h>

/* Whether the word stands in the text by itself. */
static bool names(const char *sql, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strcasestr(sql, word); at != NULL; at = strcasestr(at + 1, word)) {
        bool begins = at == sql || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        if (begins && !(isalnum((unsigned char)at[length]) || at[length] == '_'))
            return true;
    }
    return false;
}

static bool explain(report *to, const char *store, const char *sql, assay_error *error)
{
    answer *views = answer_of(store, (store_query_limits){0}, error,
                              "SELECT view, meaning FROM v_help WHERE item = ''");
    bool ok = views != NULL;
    for (int64_t i = 0; ok && i < answer_count(views); i++) {
        const char *view = answer_text(views, i, 0);
        if (names(sql, view))
            ok = report_say(to, error, "%s: %s (columns: SELECT * FROM v_help WHERE view = '%s')",
                            view, answer_text(views, i, 1), view);
    }
    answer_free(views);
    return ok;
}

report *report_query(const char *store, const char *sql, store_query_limits limits,
                     assay_error *error)
{
    if (!report_check(store, error))
        return NULL;
    answer *rows = answer_of(store, limits, error, "%s", sql);
    report *made = rows == NULL ? NULL : report_new(error);
    bool ok = made != NULL && report_add(made, "", answer_table(rows, error), error) &&
              explain(made, store, sql, error);
    answer_free(rows);
    if (!ok)
        report_free(made);
    return ok ? made : NULL;
}
