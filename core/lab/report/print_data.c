/* print_data.c - a table for programs: JSON and CSV, with all digits of every number. */
#include "lab/report/cells.h"

#include <math.h>
#include <string.h>

void print_json_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (byte == '\n')
            fputs("\\n", out);
        else if (byte == '\t')
            fputs("\\t", out);
        else if (byte < 0x20 || byte == 0x7F)
            fprintf(out, "\\u%04x", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void print_json_cell(const table_cell *cell, FILE *out)
{
    char buffer[CELL_BYTES];
    const char *text = cell_exact(cell, buffer);
    if (text == NULL)
        fputs("null", out);
    else if (cell->kind == CELL_TEXT || (cell->kind == CELL_NUMBER && isinf(cell->number)))
        print_json_string(text, out);
    else
        fputs(text, out);
}

void print_json(const table *self, FILE *out)
{
    fputc('[', out);
    for (int64_t i = 0; i < self->count; i++) {
        int column = (int)(i % self->columns);
        fputs(column > 0 ? ", " : i == 0 ? "\n  {" : ",\n  {", out);
        print_json_string(self->names[column], out);
        fputs(": ", out);
        print_json_cell(&self->cells[i], out);
        if (column == self->columns - 1)
            fputc('}', out);
    }
    fputs(self->count > 0 ? "\n]\n" : "]\n", out);
}

/* A text field. An empty text is quoted, which tells it from an empty cell. */
static void print_csv_text(const char *text, FILE *out)
{
    size_t length = strlen(text);
    bool quoted = length == 0 || strpbrk(text, "\",\r\n") != NULL || text[0] == ' ' ||
                  text[length - 1] == ' ';
    if (quoted)
        fputc('"', out);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"')
            fputc('"', out);
        fputc(*c, out);
    }
    if (quoted)
        fputc('"', out);
}

/* A row of one empty cell would be an empty line, which readers skip: it is quoted. */
void print_csv(const table *self, FILE *out)
{
    char buffer[CELL_BYTES];
    for (int i = 0; i < self->columns; i++) {
        fputs(i > 0 ? "," : "", out);
        print_csv_text(self->names[i], out);
    }
    fputs("\r\n", out);
    for (int64_t i = 0; i < self->count; i++) {
        int column = (int)(i % self->columns);
        const char *text = cell_exact(&self->cells[i], buffer);
        if (text != NULL)
            print_csv_text(text, out);
        else if (self->columns == 1)
            fputs("\"\"", out);
        fputs(column == self->columns - 1 ? "\r\n" : ",", out);
    }
}
