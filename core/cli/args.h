/* cli/args.h - command lines, read against the table that a command declares.
 *
 * The table is the single source: it says what is accepted, what `--help` prints, and what an
 * unknown word is compared with. Texts are borrowed from the table and from argv. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <assay/error.h>

#include <stdint.h>
#include <stdio.h>

typedef struct arguments arguments;

typedef struct cli_flag {
    const char *name;     /* without the dashes: "db" */
    char letter;          /* 'o' for -o; 0 without */
    const char *argument; /* "FILE"; NULL: a switch */
    bool repeatable;      /* several values; others are given at most once */
    bool hidden;          /* not for people: absent from the help and from suggestions */
    const char *meaning;  /* what the help says of it */
} cli_flag;

typedef struct cli_command {
    const char *name;
    const char *operands; /* "SCRIPT.lua" as the help shows them; "" for none */
    int least, most;      /* how many operands; most -1: any number */
    const char *summary;  /* one line */
    const char *details;  /* paragraphs separated by \n; may be NULL */
    const char *example;  /* command lines separated by \n */
    int flag_count;
    const cli_flag *flags;
    /* Does it. The exit status; with *error set, main prints the error before it leaves. */
    int (*run)(const arguments *args, assay_error *error);
} cli_command;

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,  /* something that was right went wrong on the way */
    EXIT_WRONG = 2,   /* what the user asked for is wrong; nothing was done */
    EXIT_REMAINS = 75 /* something is left that can go on later */
};

/* The flags of every command, and the commands themselves (main.c). */
extern const cli_flag global_flags[];
extern const int global_flag_count;
extern const cli_command *const commands[];
extern const int command_count;

/* The command called `name`; NULL with the nearest name as hint. */
const cli_command *command_find(const char *name, assay_error *error);

/* Reads argv (argc of them; the command's name is among them or, for an overview, is absent). The
 * caller owns the result. --help and --version are accepted without operands. */
arguments *args_new(int argc, char **argv, assay_error *error);
void args_free(arguments *args); /* accepts NULL */

const cli_command *args_command(const arguments *args); /* NULL: none was named */
bool args_has(const arguments *args, const char *flag_name);
/* The value of a flag, or NULL without it. */
const char *args_value(const arguments *args, const char *flag_name);
/* Values of a repeatable flag: how many, and each in the order given. */
int args_values(const arguments *args, const char *flag_name);
const char *args_value_at(const arguments *args, const char *flag_name, int i);
int args_operands(const arguments *args);
const char *args_operand(const arguments *args, int i); /* NULL beyond the last */
/* *out is the flag's whole number within low .. high, or `standard` without the flag. */
bool args_integer(const arguments *args, const char *flag_name, int64_t low, int64_t high,
                  int64_t standard, int64_t *out, assay_error *error);

/* The overview of all commands, and one command's page, in at most 100 columns. */
void help_overview(FILE *out);
void help_command(const cli_command *of, FILE *out);

#endif
