/* print_markup.c - a table for documents: Markdown as GitHub reads it, and LaTeX with booktabs. */
#include "lab/report/cells.h"

#include <string.h>

/* What stands for the ASCII character `c` before `next`, in `buffer` or static; NULL: it stands for
 * itself. */
typedef const char *(*escape_of)(char c, char next, char buffer[8]);

static const char *escape_markdown(char c, char next, char buffer[8])
{
    (void)next;
    if (c == '<')
        return "&lt;";
    if (c == '>')
        return "&gt;";
    if (c == '&')
        return "&amp;";
    if (strchr("\\`*_[]|~$", c) == NULL)
        return NULL;
    buffer[0] = '\\';
    buffer[1] = c;
    buffer[2] = '\0';
    return buffer;
}

static const char *escape_latex(char c, char next, char buffer[8])
{
    switch (c) {
    case '\\':
        return "\\textbackslash{}";
    case '~':
        return "\\textasciitilde{}";
    case '^':
        return "\\textasciicircum{}";
    case '<':
        return "\\textless{}";
    case '>':
        return "\\textgreater{}";
    case '|':
        return "\\textbar{}";
    case '`':
        return "\\textasciigrave{}";
    case '"':
        return "''";
    case '[': /* after the end of a row it would begin an argument, as * would */
        return "{[}";
    case '*':
        return "{*}";
    case '-': /* two of them would be joined */
        return next == '-' ? "-{}" : NULL;
    }
    if (strchr("{}$&#%_", c) == NULL)
        return NULL;
    buffer[0] = '\\';
    buffer[1] = c;
    buffer[2] = '\0';
    return buffer;
}

static void print_plain(const char *text, size_t bytes, escape_of escape, FILE *out)
{
    char buffer[8];
    for (size_t i = 0; i < bytes; i++) {
        char next = i + 1 < bytes ? text[i + 1] : '\0';
        const char *escaped = (unsigned char)text[i] < 0x80 ? escape(text[i], next, buffer) : NULL;
        if (escaped != NULL)
            fputs(escaped, out);
        else
            fputc(text[i], out);
    }
}

/* Control characters appear by name; what lies between two of them is escaped. */
static void print_escaped(const char *text, escape_of escape, FILE *out)
{
    char name[CONTROL_BYTES];
    const char *plain = text;
    while (*text != '\0') {
        const char *start = text;
        const char *control = control_name(next_code_point(&text), name);
        if (control == NULL)
            continue;
        print_plain(plain, (size_t)(start - plain), escape, out);
        print_plain(control, strlen(control), escape, out);
        plain = text;
    }
    print_plain(plain, (size_t)(text - plain), escape, out);
}

void print_markdown_text(const char *text, FILE *out)
{
    print_escaped(text, escape_markdown, out);
}

void print_latex_text(const char *text, FILE *out)
{
    print_escaped(text, escape_latex, out);
}

void print_markdown(const table *self, FILE *out)
{
    char number[CELL_BYTES];
    for (int i = 0; i < self->columns; i++) {
        fputs("| ", out);
        print_markdown_text(self->names[i], out);
        fputc(' ', out);
    }
    fputs("|\n", out);
    for (int i = 0; i < self->columns; i++)
        fputs(column_is_number(self, i) ? "|--:" : "|---", out);
    fputs("|\n", out);
    for (int64_t i = 0; i < self->count; i++) {
        fputs("| ", out);
        print_markdown_text(cell_show(&self->cells[i], number), out);
        fputs(i % self->columns == self->columns - 1 ? " |\n" : " ", out);
    }
}

/* A negative number has a minus sign, not a hyphen. */
static void print_latex_cell(const table_cell *cell, FILE *out)
{
    char number[CELL_BYTES];
    const char *text = cell_show(cell, number);
    bool is_number = cell->kind == CELL_INTEGER || cell->kind == CELL_NUMBER;
    if (is_number && text[0] == '-')
        fprintf(out, "$%s$", text);
    else
        print_latex_text(text, out);
}

void print_latex(const table *self, FILE *out)
{
    fputs("\\begin{tabular}{", out);
    for (int i = 0; i < self->columns; i++)
        fputc(column_is_number(self, i) ? 'r' : 'l', out);
    fputs("}\n\\toprule\n", out);
    for (int i = 0; i < self->columns; i++) {
        fputs(i > 0 ? " & " : "", out);
        print_latex_text(self->names[i], out);
    }
    fputs(" \\\\\n\\midrule\n", out);
    for (int64_t i = 0; i < self->count; i++) {
        int column = (int)(i % self->columns);
        fputs(column > 0 ? " & " : "", out);
        print_latex_cell(&self->cells[i], out);
        fputs(column == self->columns - 1 ? " \\\\\n" : "", out);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", out);
}
