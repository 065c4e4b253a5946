/* help.c - the pages of `assay help`, made from the tables that command lines are read with. */
#include "cli/args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 96, MEANING_AT = 30 };

/* Prints `text` wrapped between the columns `indent` and WIDTH; the cursor stands at `column`. */
static void print_wrapped(const char *text, int column, int indent, FILE *out)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " \n");
        bool first = column <= indent;
        if (!first && column + 1 + (int)word > WIDTH) {
            fputc('\n', out);
            column = 0;
            first = true;
        }
        if (column < indent) {
            fprintf(out, "%*s", indent - column, "");
            column = indent;
        }
        if (!first) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, word, out);
        column += (int)word;
        text += word;
        if (*text == '\n') {
            fputc('\n', out);
            column = 0;
        }
        text += *text != '\0';
    }
    fputc('\n', out);
}

static void print_flag(const cli_flag *flag, FILE *out)
{
    char name[64];
    int length =
        snprintf(name, sizeof name, "  %s%s%s--%s%s%s", flag->letter ? "-" : "",
                 flag->letter ? (char[]){flag->letter, '\0'} : "", flag->letter ? ", " : "",
                 flag->name, flag->argument ? " " : "", flag->argument ? flag->argument : "");
    fputs(name, out);
    if (length + 2 > MEANING_AT) {
        fputc('\n', out);
        length = 0;
    }
    fprintf(out, "%*s", MEANING_AT - length, "");
    print_wrapped(flag->meaning, MEANING_AT, MEANING_AT, out);
}

static void print_flags(const char *title, int n, const cli_flag *flags, FILE *out)
{
    int shown = 0;
    for (int i = 0; i < n; i++)
        shown += !flags[i].hidden;
    if (shown == 0)
        return;
    fprintf(out, "\n%s\n", title);
    for (int i = 0; i < n; i++)
        if (!flags[i].hidden)
            print_flag(&flags[i], out);
}

static void print_examples(const char *lines, FILE *out)
{
    fputs("\nExamples\n", out);
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        fprintf(out, "  %.*s\n", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

void help_command(const cli_command *of, FILE *out)
{
    fprintf(out, "assay %s%s%s [OPTION]...\n\n", of->name, of->operands[0] ? " " : "",
            of->operands);
    fprintf(out, "%c%s.\n", toupper((unsigned char)of->summary[0]), of->summary + 1);
    if (of->details != NULL) {
        fputc('\n', out);
        print_wrapped(of->details, 0, 0, out);
    }
    print_flags("Options", of->flag_count, of->flags, out);
    print_flags("Options of every command", global_flag_count, global_flags, out);
    print_examples(of->example, out);
}

void help_overview(FILE *out)
{
    fputs("assay COMMAND [OPTION]...\n\n"
          "Runs representation-learning experiments that Lua scripts describe, and keeps the\n"
          "results in one SQLite file.\n\nCommands\n",
          out);
    for (int i = 0; i < command_count; i++) {
        char name[64];
        int length =
            snprintf(name, sizeof name, "  %s %s", commands[i]->name, commands[i]->operands);
        fputs(name, out);
        if (length + 2 > MEANING_AT) {
            fputc('\n', out);
            length = 0;
        }
        fprintf(out, "%*s", MEANING_AT - length, "");
        print_wrapped(commands[i]->summary, MEANING_AT, MEANING_AT, out);
    }
    print_flags("Options of every command", global_flag_count, global_flags, out);
    fputs("\nExit status: 0 all done; 1 some run failed; 2 the input is wrong, nothing was done;\n"
          "75 something remains that can go on later.\n"
          "'assay help COMMAND' explains one command.\n",
          out);
}
