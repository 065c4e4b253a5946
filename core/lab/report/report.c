/* report.c - a report's sections and notes: put together, printed. */
#include "lab/report/answer.h"
#include "lab/report/cells.h"

#include <assay/memory.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SECTIONS 16

typedef struct report_section {
    char *title;
    table *table;
} report_section;

struct report {
    int n_sections, n_notes, note_capacity;
    report_section sections[SECTIONS];
    char **notes;
};

report *report_new(assay_error *error)
{
    return assay_zalloc((int64_t)sizeof(report), error);
}

void report_free(report *of)
{
    if (of == NULL)
        return;
    for (int i = 0; i < of->n_sections; i++) {
        assay_free(of->sections[i].title);
        table_free(of->sections[i].table);
    }
    for (int i = 0; i < of->n_notes; i++)
        assay_free(of->notes[i]);
    assay_free(of->notes);
    assay_free(of);
}

bool report_add(report *to, const char *title, table *of, assay_error *error)
{
    char *copy = of == NULL ? NULL : assay_strdup(title, error);
    bool full = to->n_sections == SECTIONS;
    if (full)
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "a report has too many sections");
    if (copy == NULL || full) {
        assay_free(copy);
        table_free(of);
        return false;
    }
    to->sections[to->n_sections++] = (report_section){copy, of};
    return true;
}

static bool grow_notes(report *to, assay_error *error)
{
    if (to->n_notes < to->note_capacity)
        return true;
    int capacity = to->note_capacity * 2 + 16;
    char **notes = assay_alloc(capacity * (int64_t)sizeof *notes, error);
    if (notes == NULL)
        return false;
    if (to->n_notes > 0)
        memcpy(notes, to->notes, (size_t)to->n_notes * sizeof *notes);
    assay_free(to->notes);
    to->notes = notes;
    to->note_capacity = capacity;
    return true;
}

bool report_say(report *to, assay_error *error, const char *format, ...)
{
    char *text = NULL, *note = NULL;
    va_list arguments;
    va_start(arguments, format);
    bool ok = vasprintf(&text, format, arguments) >= 0;
    va_end(arguments);
    if (!ok)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a note");
    ok = grow_notes(to, error) && (note = utf8_copy(text, error)) != NULL;
    free(text);
    if (ok)
        to->notes[to->n_notes++] = note;
    return ok;
}

int report_sections(const report *of)
{
    return of->n_sections;
}

const char *report_title(const report *of, int section)
{
    return of->sections[section].title;
}

const table *report_table(const report *of, int section)
{
    return of->sections[section].table;
}

int report_notes(const report *of)
{
    return of->n_notes;
}

const char *report_note(const report *of, int i)
{
    return of->notes[i];
}

/* ---- printing ---- */

/* What stands before a section's table, and after it. */
static void print_title(const report *of, int section, table_format format, FILE *out)
{
    const char *title = of->sections[section].title;
    if (format == TABLE_JSON) {
        fputs(section == 0 ? "{" : ",\n", out);
        print_json_string(title, out);
        fputs(": ", out);
        return;
    }
    if (section > 0)
        fputs(format == TABLE_CSV ? "\r\n" : "\n", out);
    if (format == TABLE_LATEX)
        fputs("% ", out);
    if (format == TABLE_MARKDOWN) {
        fputs("### ", out);
        print_markdown_text(title, out);
        fputs("\n\n", out);
        return;
    }
    print_line(title, out);
    fputs(format == TABLE_CSV ? "\r\n" : "\n", out);
}

static void print_notes(const report *of, table_format format, FILE *out)
{
    if (of->n_notes > 0 && format != TABLE_JSON && format != TABLE_CSV)
        fputc('\n', out);
    for (int i = 0; i < of->n_notes; i++) {
        if (format == TABLE_MARKDOWN) {
            fputs("- ", out);
            print_markdown_text(of->notes[i], out);
        } else {
            fputs(format == TABLE_LATEX ? "% " : "", out);
            print_line(of->notes[i], out);
        }
        fputc('\n', out);
    }
}

bool report_print(const report *of, table_format format, FILE *out, FILE *notes, assay_error *error)
{
    bool ok = true, titled = of->n_sections > 1 || of->sections[0].title[0] != '\0';
    for (int i = 0; i < of->n_sections && ok; i++) {
        if (titled)
            print_title(of, i, format, out);
        ok = table_print(of->sections[i].table, format, out, error);
    }
    if (!ok)
        return false;
    if (titled && format == TABLE_JSON)
        fputs("}\n", out);
    if (format != TABLE_JSON && format != TABLE_CSV)
        print_notes(of, format, out);
    else if (notes != NULL)
        print_notes(of, format, notes);
    return (fflush(out) == 0 && ferror(out) == 0) ||
           ASSAY_FAIL(error, ASSAY_IO, .what = "a report could not be written",
                      .got = assay_text("%m"));
}
