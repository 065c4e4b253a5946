/* compare_published.c - a paper's numbers beside ours: which published row belongs to which cell,
 * and what differs between the two. */
#include "lab/report/compare.h"
#include "lab/report/sql.h"

#include <assay/memory.h>

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 4

/* The columns of the statements. */
enum { NAME, PAPER, PLACE, SUITE, METRIC, OURS };
enum { ROW_PLACE, ROW_METHOD, ROW_BENCHMARK, ROW_VALUE, ROW_NOTE };
enum { FACT_PLACE, FACT_METHOD, FACT_KEY, FACT_VALUE };

/* A line of a paper's table. Texts are borrowed from the answer about rows. */
typedef struct published_line {
    const char *place, *method;
    int64_t first, end; /* its rows */
    bool is_matched;
} published_line;

/* A cell and the line that belongs to it. */
typedef struct published_pair {
    int cell, line;
    char *differs; /* owned: what of the conditions is not the same; "" for nothing */
} published_pair;

typedef struct beside {
    const comparison *of;
    answer *rows, *conditions, *cells, *about, *params;
    published_line *lines;
    published_pair *pairs;
    int n_lines, n_pairs;
} beside;

/* ---- names ---- */

/* Whether the names are equal but for case and everything that is no letter or digit. */
static bool is_alike(const char *a, const char *b)
{
    while (true) {
        while (*a != '\0' && !isalnum((unsigned char)*a))
            a++;
        while (*b != '\0' && !isalnum((unsigned char)*b))
            b++;
        if (*a == '\0' || *b == '\0')
            return *a == *b;
        if (tolower((unsigned char)*a++) != tolower((unsigned char)*b++))
            return false;
    }
}

/* Whether the row of places is what was asked for: "PAPER" or "PAPER/PLACE". */
static bool is_asked(const comparison *of, int64_t row)
{
    const char *asked = of->asked->published, *slash = strchr(asked, '/');
    const char *place = answer_text(of->places, row, PLACE);
    char paper[200] = "";
    size_t length = slash == NULL ? strlen(asked) : (size_t)(slash - asked);
    if (length >= sizeof paper)
        return false;
    memcpy(paper, asked, length);
    return is_alike(answer_text(of->places, row, PAPER), paper) &&
           (slash == NULL || is_alike(place, slash + 1) ||
            is_alike(place, assay_text("Table %s", slash + 1)));
}

/* Whether the experiment has scores of the suite by the metric, and nothing else was asked for. */
static bool is_measured(const comparison *of, const char *suite, const char *metric)
{
    const report_comparison *asked = of->asked;
    if ((asked->suite != NULL && strcmp(asked->suite, suite) != 0) ||
        (asked->metric != NULL && strcmp(asked->metric, metric) != 0))
        return false;
    for (int64_t i = 0; i < answer_count(of->metrics); i++)
        if (strcmp(answer_text(of->metrics, i, 0), metric) == 0 &&
            strcmp(answer_text(of->metrics, i, 1), suite) == 0)
            return true;
    return false;
}

bool compare_choose_published(comparison *of, assay_error *error)
{
    char known[300] = "";
    bool any = false;
    of->places = answer_of(of->store, (store_query_limits){0}, error, "%s",
                           report_sql_text[REPORT_SQL_PUBLISHED_PLACES]);
    if (of->places == NULL)
        return false;
    for (int64_t i = 0; i < answer_count(of->places); i++) {
        const char *suite = answer_text(of->places, i, SUITE);
        const char *metric = answer_text(of->places, i, METRIC);
        const char *ours = answer_text(of->places, i, OURS);
        if (!is_asked(of, i))
            continue;
        any = true;
        of->paper = answer_text(of->places, i, PAPER);
        of->paper_place =
            strchr(of->asked->published, '/') == NULL ? "" : answer_text(of->places, i, PLACE);
        if (is_measured(of, ours, metric)) {
            of->paper_suite = suite;
            of->own = *of->asked;
            of->own.suite = ours;
            of->own.metric = metric;
            of->asked = &of->own;
            return true;
        }
        if (strcmp(suite, ours) != 0)
            continue;
        size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s of %s", length == 0 ? "" : ", ",
                 metric, suite);
    }
    if (!any)
        return report_unknown("published table", of->asked->published, of->places, NAME, error);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                      .what = assay_text("%s has no numbers for what the experiment measures",
                                         of->asked->published),
                      .where = assay_text("experiment %s", of->asked->experiment),
                      .expected = assay_text("%s", known));
}

static answer *ask(const beside *with, report_sql sql, assay_error *error)
{
    const comparison *of = with->of;
    const char *texts[] = {of->paper, of->paper_place, of->paper_suite, of->metric};
    char *quoted[4] = {NULL};
    answer *rows = NULL;
    bool ok = true;
    for (int i = 0; i < 4 && ok; i++)
        ok = (quoted[i] = sql_text(texts[i], error)) != NULL;
    if (ok)
        rows = answer_of(of->store, (store_query_limits){0}, error,
                         "WITH the(paper, place, suite, metric) AS (VALUES(%s, %s, %s, %s)) %s",
                         quoted[0], quoted[1], quoted[2], quoted[3], report_sql_text[sql]);
    for (int i = 0; i < 4; i++)
        assay_free(quoted[i]);
    return rows;
}

static bool read_paper(beside *with, assay_error *error)
{
    const comparison *of = with->of;
    return (with->rows = ask(with, REPORT_SQL_PUBLISHED_ROWS, error)) != NULL &&
           (with->conditions = ask(with, REPORT_SQL_PUBLISHED_CONDITIONS, error)) != NULL &&
           (with->cells = ask(with, REPORT_SQL_PUBLISHED_CELLS, error)) != NULL &&
           (with->about = ask(with, REPORT_SQL_PUBLISHED_ABOUT, error)) != NULL &&
           (with->params = answer_of(of->store, (store_query_limits){0}, error, "%s%s", of->where,
                                     report_sql_text[REPORT_SQL_COMPARE_PARAMS])) != NULL;
}

/* Rows of one place and method follow each other. */
static bool find_lines(beside *with, assay_error *error)
{
    int64_t n = answer_count(with->rows);
    with->lines = assay_zalloc((n + 1) * (int64_t)sizeof *with->lines, error);
    if (with->lines == NULL)
        return false;
    for (int64_t i = 0; i < n; i++) {
        const char *place = answer_text(with->rows, i, ROW_PLACE);
        const char *method = answer_text(with->rows, i, ROW_METHOD);
        published_line *last = with->n_lines == 0 ? NULL : &with->lines[with->n_lines - 1];
        if (last == NULL || strcmp(last->place, place) != 0 || strcmp(last->method, method) != 0) {
            last = &with->lines[with->n_lines++];
            *last = (published_line){.place = place, .method = method, .first = i};
        }
        last->end = i + 1;
    }
    return true;
}

/* NaN: the paper does not print it. A mean over a suite is the paper's average. */
static double value_of(const beside *with, int line, const char *benchmark)
{
    for (int64_t i = with->lines[line].first; i < with->lines[line].end; i++)
        if (strcmp(answer_text(with->rows, i, ROW_BENCHMARK), benchmark) == 0)
            return answer_real(with->rows, i, ROW_VALUE);
    return NAN;
}

/* ---- which line belongs to which cell ---- */

/* Whether the text of `length` bytes at `value` is `wanted`, or the same number. */
static bool is_value(const char *value, size_t length, const char *wanted, size_t wanted_length)
{
    char a[64], b[64], *end_a = NULL, *end_b = NULL;
    if (length == wanted_length && memcmp(value, wanted, length) == 0)
        return true;
    if (length == 0 || wanted_length == 0 || length >= sizeof a || wanted_length >= sizeof b)
        return false;
    snprintf(a, sizeof a, "%.*s", (int)length, value);
    snprintf(b, sizeof b, "%.*s", (int)wanted_length, wanted);
    double x = strtod(a, &end_a), y = strtod(b, &end_b);
    return *end_a == '\0' && *end_b == '\0' && x == y;
}

/* Whether `own` ends in `name`, at the beginning of a word of a path. */
static bool is_name(const char *own, size_t own_length, const char *name, size_t length)
{
    return own_length >= length && memcmp(own + own_length - length, name, length) == 0 &&
           (own_length == length || own[own_length - length - 1] == '.');
}

/* "contrastive{margin=0.1}+next_token" without what is in braces. */
static void strip(const char *value, char *out, size_t size)
{
    size_t n = 0;
    for (int depth = 0; *value != '\0' && n + 1 < size; value++) {
        depth += *value == '{';
        if (depth == 0)
            out[n++] = *value;
        depth -= *value == '}' && depth > 0;
    }
    out[n] = '\0';
}

/* Whether "name=value" stands in the braces of an axis' value. */
static bool has_option(const char *at, const char *name, size_t name_length, const char *value,
                       size_t length)
{
    for (const char *brace = strchr(at, '{'); brace != NULL; brace = strchr(brace + 1, '{'))
        for (const char *item = brace; *item == '{' || *item == ',';) {
            const char *key = item + 1;
            size_t whole = strcspn(key, ",}"), sign = strcspn(key, "=");
            if (sign < whole && is_name(key, sign, name, name_length) &&
                is_value(key + sign + 1, whole - sign - 1, value, length))
                return true;
            item = key + whole;
        }
    return false;
}

/* Whether an axis of the cell whose name ends in `name`, or an option within an axis' value, has
 * the value. */
static bool has_axis(const comparison *of, int cell, const char *name, size_t name_length,
                     const char *value, size_t length)
{
    for (int axis = 0; axis < of->n_axes; axis++) {
        const char *own = answer_text(of->axes, axis, 0), *at = of->cells[cell].values[axis];
        char plain[300];
        if (at == NULL)
            continue;
        strip(at, plain, sizeof plain);
        bool is_axis = is_name(own, strlen(own), name, name_length);
        if ((is_axis && is_value(at, strcspn(at, " "), value, length)) ||
            (is_axis && is_value(plain, strcspn(plain, " "), value, length)) ||
            has_option(at, name, name_length, value, length))
            return true;
    }
    return false;
}

/* "a=1 b!=2|c=3": all of the conditions between two bars. */
static bool meets(const comparison *of, int cell, const char *pattern)
{
    bool all = *pattern != '\0';
    while (*pattern != '\0') {
        size_t length = strcspn(pattern, " |"), name = strcspn(pattern, "=");
        bool is_not = name > 0 && name < length && pattern[name - 1] == '!';
        all = all && name < length &&
              has_axis(of, cell, pattern, name - is_not, pattern + name + 1, length - name - 1) !=
                  is_not;
        pattern += length;
        if (*pattern != ' ') { /* the end of an alternative */
            if (all)
                return true;
            all = true;
        }
        pattern += *pattern != '\0';
    }
    return false;
}

/* Whether what is known of published rows, or the names, put the line to the cell. */
static bool belongs(const beside *with, int line, int cell)
{
    const comparison *of = with->of;
    const published_line *one = &with->lines[line];
    for (int64_t i = 0; i < answer_count(with->cells); i++)
        if (strcmp(answer_text(with->cells, i, 0), one->place) == 0 &&
            strcmp(answer_text(with->cells, i, 1), one->method) == 0 &&
            meets(of, cell, answer_text(with->cells, i, 2)))
            return true;
    if (is_alike(of->cells[cell].label, one->method))
        return true;
    for (int axis = 0; axis < of->n_axes; axis++)
        if (of->cells[cell].values[axis] != NULL &&
            is_alike(of->cells[cell].values[axis], one->method))
            return true;
    return false;
}

/* The two words of "CELL=METHOD": METHOD is behind the last sign. */
static bool split_match(const char *match, char *cell, size_t size, const char **method,
                        assay_error *error)
{
    const char *sign = strrchr(match, '=');
    if (sign == NULL || sign == match || sign[1] == '\0' || (size_t)(sign - match) >= size)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--match",
                          .what = assay_text("'%s' matches nothing", match),
                          .expected = "CELL=METHOD: a cell of ours, and a row of the paper's");
    memcpy(cell, match, (size_t)(sign - match));
    cell[sign - match] = '\0';
    *method = sign + 1;
    return true;
}

/* Whether the user has said what belongs to the cell, and whether it is this line. */
static bool is_said(const beside *with, int line, int cell, bool *said)
{
    const report_comparison *asked = with->of->asked;
    bool is_it = false;
    *said = false;
    for (int i = 0; i < asked->match_count; i++) {
        char word[512];
        const char *method = NULL;
        if (!split_match(asked->match[i], word, sizeof word, &method, NULL) ||
            !compare_is_meant(with->of, &with->of->cells[cell], word))
            continue;
        *said = true;
        is_it = is_it || is_alike(with->lines[line].method, method);
    }
    return is_it;
}

/* Each word of --match means something. */
static bool check_matches(const beside *with, assay_error *error)
{
    const comparison *of = with->of;
    for (int i = 0; i < of->asked->match_count; i++) {
        char word[512];
        const char *method = NULL;
        bool cell = false, line = false;
        if (!split_match(of->asked->match[i], word, sizeof word, &method, error))
            return false;
        for (int k = 0; k < of->n_cells; k++)
            cell = cell || compare_is_meant(of, &of->cells[k], word);
        for (int k = 0; k < with->n_lines; k++)
            line = line || is_alike(with->lines[k].method, method);
        if (!line)
            return report_unknown("published method", method, with->rows, ROW_METHOD, error);
        if (!cell)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--match",
                              .what = assay_text("no cell is meant by '%s'", word),
                              .expected = "a value of an axis, AXIS=VALUE, or a cell's label");
    }
    return true;
}

/* ---- what differs ---- */

/* The cell's own word on a condition; NULL: it has no such option. */
static const char *own_condition(const beside *with, int cell, const char *key)
{
    for (int64_t i = 0; i < answer_count(with->params); i++)
        if (answer_integer(with->params, i, 0) == with->of->cells[cell].cell_id &&
            strcmp(answer_text(with->params, i, 1), key) == 0)
            return answer_text(with->params, i, 2);
    return NULL;
}

/* "train.steps 400, theirs 50000; ..." for every condition that is not the same. */
static char *list_differences(const beside *with, int cell, int line, assay_error *error)
{
    const published_line *one = &with->lines[line];
    char text[1000] = "";
    for (int64_t i = 0; i < answer_count(with->conditions); i++) {
        const char *key = answer_text(with->conditions, i, FACT_KEY);
        const char *theirs = answer_text(with->conditions, i, FACT_VALUE);
        if (strcmp(answer_text(with->conditions, i, FACT_PLACE), one->place) != 0 ||
            strcmp(answer_text(with->conditions, i, FACT_METHOD), one->method) != 0)
            continue;
        bool is_seeds = strcmp(key, "seeds") == 0;
        const char *ours = is_seeds ? assay_text("%lld", (long long)with->of->cells[cell].done)
                                    : own_condition(with, cell, key);
        if (ours != NULL && is_value(ours, strlen(ours), theirs, strlen(theirs)))
            continue;
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s%s %s, theirs %s", length == 0 ? "" : "; ",
                 key, ours == NULL ? "none" : ours, theirs);
    }
    return assay_strdup(text, error);
}

static bool find_pairs(beside *with, assay_error *error)
{
    const comparison *of = with->of;
    int64_t room = 0;
    if (!assay_size_mul(&room, (int64_t)of->n_cells * with->n_lines + 1,
                        (int64_t)sizeof *with->pairs))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the comparison is too large");
    with->pairs = assay_zalloc(room, error);
    if (with->pairs == NULL)
        return false;
    for (int cell = 0; cell < of->n_cells; cell++)
        for (int line = 0; line < with->n_lines; line++) {
            bool said = false, is_it = is_said(with, line, cell, &said);
            if (said ? !is_it : !belongs(with, line, cell))
                continue;
            published_pair *pair = &with->pairs[with->n_pairs++];
            *pair = (published_pair){.cell = cell, .line = line};
            with->lines[line].is_matched = true;
            pair->differs = list_differences(with, cell, line, error);
            if (pair->differs == NULL)
                return false;
        }
    return true;
}

/* ---- the table ---- */

static const char *const names[] = {
    "benchmark", "cell",       "method", "n",         "ours",
    "sd",        "difference", "p_holm", "published", "published_difference",
    "comparable"};
#define COLUMNS ((int)(sizeof names / sizeof *names))

static const compare_row *row_of(const comparison *of, int cell, int measure)
{
    for (int i = 0; i < of->n_rows; i++)
        if (of->rows[i].cell == cell && of->rows[i].measure == measure)
            return &of->rows[i];
    return NULL;
}

/* The published number of the block's baseline in the same place; NaN: none, or several. */
static double published_baseline(const beside *with, const published_pair *pair,
                                 const char *benchmark)
{
    int baseline = with->of->blocks[with->of->cells[pair->cell].block].baseline;
    double found = NAN;
    for (int i = 0; i < with->n_pairs; i++) {
        const published_pair *other = &with->pairs[i];
        if (other->cell != baseline ||
            strcmp(with->lines[other->line].place, with->lines[pair->line].place) != 0)
            continue;
        if (!isnan(found))
            return NAN;
        found = value_of(with, other->line, benchmark);
    }
    return found;
}

static const char *name_line(const beside *with, int line)
{
    const published_line *one = &with->lines[line];
    if (with->of->paper_place[0] != '\0')
        return assay_text("%s", one->method);
    return assay_text("%s (%s)", one->method, one->place);
}

/* A cell, with the line that belongs to it (pair NULL: none does). */
static void put_ours(const beside *with, int cell, int measure, const published_pair *pair,
                     table *out)
{
    const comparison *of = with->of;
    const char *benchmark = of->measures[measure].benchmark;
    const compare_row *row = row_of(of, cell, measure);
    double theirs = pair == NULL ? NAN : value_of(with, pair->line, benchmark);
    table_text(out, benchmark);
    table_text(out, of->cells[cell].label);
    table_text(out, pair == NULL ? NULL : name_line(with, pair->line));
    table_integer(out, row->n);
    table_number(out, row->mean, DIGITS);
    table_number(out, row->sd, DIGITS);
    if (of->cells[cell].is_baseline) {
        table_text(out, NULL);
        table_text(out, NULL);
    } else {
        table_number(out, row->difference, DIGITS);
        table_number(out, row->p_holm, DIGITS);
    }
    if (isnan(theirs)) {
        for (int i = 0; i < 3; i++)
            table_text(out, NULL);
        return;
    }
    double gain =
        of->cells[cell].is_baseline ? NAN : theirs - published_baseline(with, pair, benchmark);
    table_number(out, theirs, DIGITS);
    if (isnan(gain))
        table_text(out, NULL);
    else
        table_number(out, gain, DIGITS);
    table_text(out, pair->differs[0] == '\0' ? "yes" : "no");
}

static void put_theirs(const beside *with, int line, const char *benchmark, table *out)
{
    double value = value_of(with, line, benchmark);
    if (isnan(value))
        return;
    table_text(out, benchmark);
    table_text(out, NULL);
    table_text(out, name_line(with, line));
    for (int i = 0; i < 5; i++)
        table_text(out, NULL);
    table_number(out, value, DIGITS);
    table_text(out, NULL);
    table_text(out, NULL);
}

/* Lines that belong to no cell, the best first. */
static void put_others(const beside *with, const char *benchmark, table *out)
{
    double last = INFINITY;
    for (int shown = -1;;) {
        int next = -1;
        for (int i = 0; i < with->n_lines; i++) {
            double value = value_of(with, i, benchmark);
            bool after = value < last || (value == last && i > shown);
            if (!with->lines[i].is_matched && after &&
                (next < 0 || value > value_of(with, next, benchmark)))
                next = i;
        }
        if (next < 0)
            return;
        put_theirs(with, next, benchmark, out);
        last = value_of(with, next, benchmark);
        shown = next;
    }
}

static table *make_table(const beside *with, assay_error *error)
{
    const comparison *of = with->of;
    table *made = table_new(COLUMNS, names, error);
    for (int measure = 0; made != NULL && measure < of->n_measures; measure++) {
        for (int cell = 0; cell < of->n_cells; cell++) {
            bool any = false;
            for (int i = 0; i < with->n_pairs; i++)
                if (with->pairs[i].cell == cell) {
                    put_ours(with, cell, measure, &with->pairs[i], made);
                    any = true;
                }
            if (!any)
                put_ours(with, cell, measure, NULL, made);
        }
        put_others(with, of->measures[measure].benchmark, made);
    }
    return made;
}

/* ---- the notes ---- */

/* One sentence for all pairs that differ in the same. */
static bool say_differences(const beside *with, report *to, assay_error *error)
{
    bool ok = true;
    for (int i = 0; i < with->n_pairs && ok; i++) {
        const char *differs = with->pairs[i].differs;
        char who[400] = "";
        int n = 0;
        bool said = differs[0] == '\0';
        for (int k = 0; k < with->n_pairs; k++) {
            if (strcmp(with->pairs[k].differs, differs) != 0)
                continue;
            said = said || k < i;
            size_t length = strlen(who);
            snprintf(who + length, sizeof who - length, "%s%s", n++ == 0 ? "" : ", ",
                     with->lines[with->pairs[k].line].method);
        }
        if (!said)
            ok =
                report_say(to, error, "Not comparable%s%s: %s.", n == with->n_pairs ? "" : " with ",
                           n == with->n_pairs ? "" : who, differs);
    }
    return ok;
}

static bool explain(const beside *with, report *to, assay_error *error)
{
    const comparison *of = with->of;
    bool ok =
        report_say(to, error,
                   "published: %s%s%s; published_difference is its difference to the line of "
                   "our baseline. Numbers that are not comparable are held against each other "
                   "by the differences at most.",
                   of->paper, of->paper_place[0] == '\0' ? "" : ", ", of->paper_place);
    if (ok && strcmp(of->paper_suite, of->asked->suite) != 0)
        ok = report_say(to, error, "Ours are of the suite %s, theirs of %s: other data.",
                        of->asked->suite, of->paper_suite);
    if (ok && with->n_pairs == 0)
        ok = report_say(to, error,
                        "No published line belongs to a cell: --match CELL=METHOD says which.");
    ok = ok && say_differences(with, to, error);
    for (int64_t i = 0; i < answer_count(with->about) && ok; i++)
        ok = report_say(to, error, "%s, %s: %s", of->paper, answer_text(with->about, i, 0),
                        answer_text(with->about, i, 1));
    return ok;
}

bool compare_add_published(const comparison *of, report *to, assay_error *error)
{
    beside with = {.of = of};
    bool ok = read_paper(&with, error) && find_lines(&with, error) && check_matches(&with, error) &&
              find_pairs(&with, error) && report_add(to, "", make_table(&with, error), error) &&
              explain(&with, to, error) && compare_explain(of, to, error);
    for (int i = 0; i < with.n_pairs; i++)
        assay_free(with.pairs[i].differs);
    assay_free(with.pairs);
    assay_free(with.lines);
    answer_free(with.rows);
    answer_free(with.conditions);
    answer_free(with.cells);
    answer_free(with.about);
    answer_free(with.params);
    return ok;
}
