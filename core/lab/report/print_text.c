/* print_text.c - a table for terminals: columns of equal width, numbers to the right. */
#include "lab/report/answer.h"
#include "lab/report/cells.h"

#include <string.h>

#define GAP 2

/* Prints a text on one line, or only measures it (out NULL); returns its width in terminal
 * cells. */
static int show(const char *text, FILE *out)
{
    char name[CONTROL_BYTES];
    int width = 0;
    while (*text != '\0') {
        const char *start = text;
        unsigned code = next_code_point(&text);
        const char *control = control_name(code, name);
        width += control != NULL ? (int)strlen(control) : code_point_width(code);
        if (out != NULL && control != NULL)
            fputs(control, out);
        else if (out != NULL)
            fwrite(start, 1, (size_t)(text - start), out);
    }
    return width;
}

void print_line(const char *text, FILE *out)
{
    show(text, out);
}

static int column_width(const table *self, int column)
{
    char number[CELL_BYTES];
    int width = show(self->names[column], NULL);
    for (int64_t i = column; i < self->count; i += self->columns) {
        int cell = show(cell_show(&self->cells[i], number), NULL);
        width = cell > width ? cell : width;
    }
    return width;
}

static void pad(int n, char with, FILE *out)
{
    for (int i = 0; i < n; i++)
        fputc(with, out);
}

/* Lines do not end in spaces: what stands before a cell is printed when there is something in
 * it. */
typedef struct text_line {
    FILE *out;
    int owed; /* spaces not yet printed */
} text_line;

static void put(text_line *line, const char *text, int width, bool right)
{
    int free = width - show(text, NULL);
    if (*text != '\0') {
        pad(line->owed + (right ? free : 0), ' ', line->out);
        show(text, line->out);
        line->owed = GAP + (right ? 0 : free);
    } else {
        line->owed += width + GAP;
    }
}

static void end(text_line *line)
{
    fputc('\n', line->out);
    line->owed = 0;
}

void print_text(const table *self, FILE *out)
{
    char number[CELL_BYTES];
    text_line row = {.out = out};
    for (int i = 0; i < self->columns; i++) {
        self->widths[i] = column_width(self, i);
        self->right[i] = column_is_number(self, i);
        put(&row, self->names[i], self->widths[i], self->right[i]);
    }
    end(&row);
    for (int i = 0; i < self->columns; i++) {
        pad(i == 0 ? 0 : GAP, ' ', out);
        pad(self->widths[i], '-', out);
    }
    fputc('\n', out);
    for (int64_t i = 0; i < self->count; i++) {
        int column = (int)(i % self->columns);
        put(&row, cell_show(&self->cells[i], number), self->widths[column], self->right[column]);
        if (column == self->columns - 1)
            end(&row);
    }
}
