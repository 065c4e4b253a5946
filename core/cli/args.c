/* args.c - one command line against one table: flags anywhere, `--` ends them. */
#include "cli/args.h"

#include <assay/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct given { /* a flag as it was written */
    const cli_flag *flag;
    const char *value; /* NULL for a switch */
} given;

struct arguments {
    const cli_command *command;
    int given_count, operand_count;
    given *given;          /* at most argc */
    const char **operands; /* at most argc */
};

/* ---- names ---- */

const cli_command *command_find(const char *name, assay_error *error)
{
    const char *names[32];
    for (int i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
        names[i] = commands[i]->name;
    }
    const char *near = assay_nearest(name, command_count, names);
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = assay_text("unknown command '%s'", name),
               .hint = near != NULL ? assay_text("did you mean '%s'?", near)
                                    : "'assay help' lists the commands");
    return NULL;
}

static const char *place(const cli_command *command)
{
    return command == NULL ? "assay" : assay_text("assay %s", command->name);
}

/* Whether `flag` is called `name`, which has `length` characters: --name, or -n by its letter. */
static bool is_called(const cli_flag *flag, const char *name, size_t length, bool by_letter)
{
    if (by_letter)
        return length == 1 && flag->letter != '\0' && flag->letter == name[0];
    return strlen(flag->name) == length && memcmp(flag->name, name, length) == 0;
}

static const cli_flag *find_flag(const cli_command *command, const char *name, size_t length,
                                 bool by_letter)
{
    for (int i = 0; command != NULL && i < command->flag_count; i++)
        if (is_called(&command->flags[i], name, length, by_letter))
            return &command->flags[i];
    for (int i = 0; i < global_flag_count; i++)
        if (is_called(&global_flags[i], name, length, by_letter))
            return &global_flags[i];
    return NULL;
}

/* A flag of any command at all. */
static const cli_flag *find_flag_anywhere(const char *name, size_t length, bool by_letter)
{
    const cli_flag *found = find_flag(NULL, name, length, by_letter);
    for (int i = 0; i < command_count && found == NULL; i++)
        found = find_flag(commands[i], name, length, by_letter);
    return found;
}

static int add_names(const char **names, int n, int most, const cli_flag *flags, int flag_count)
{
    for (int i = 0; i < flag_count && n < most; i++)
        if (!flags[i].hidden)
            names[n++] = flags[i].name;
    return n;
}

/* The nearest known flag as a hint; without a command, of all commands. */
static const char *suggest_flag(const cli_command *of, const char *name)
{
    enum { MOST = 128 };
    const char *names[MOST];
    int n = add_names(names, 0, MOST, global_flags, global_flag_count);
    for (int i = 0; i < command_count; i++)
        if (of == NULL || of == commands[i])
            n = add_names(names, n, MOST, commands[i]->flags, commands[i]->flag_count);
    const char *near = assay_nearest(name, n, names);
    if (near != NULL)
        return assay_text("did you mean '--%s'?", near);
    return of == NULL ? "'assay help' lists what there is"
                      : assay_text("'assay help %s' lists the options", of->name);
}

/* ---- reading ---- */

static bool add_flag(arguments *args, const cli_flag *flag, const char *value, assay_error *error)
{
    for (int i = 0; i < args->given_count && !flag->repeatable; i++)
        if (args->given[i].flag == flag && flag->argument != NULL)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = place(args->command),
                              .what = assay_text("option '--%s' is given twice", flag->name));
    args->given[args->given_count++] = (given){.flag = flag, .value = value};
    return true;
}

/* One word that begins with a dash; *i moves on when the next word is its value. */
static bool read_flag(arguments *args, int argc, char **argv, int *i, assay_error *error)
{
    const char *word = argv[*i];
    bool by_letter = word[1] != '-';
    const char *name = word + (by_letter ? 1 : 2);
    size_t length = by_letter ? strlen(name) : strcspn(name, "=");
    const cli_flag *flag = find_flag(args->command, name, length, by_letter);
    if (flag == NULL) {
        const char *plain = assay_text("%.*s", (int)length, name);
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = place(args->command),
                          .what =
                              assay_text("unknown option '%s%s'", by_letter ? "-" : "--", plain),
                          .hint = suggest_flag(args->command, plain));
    }
    const char *attached = !by_letter && name[length] == '=' ? name + length + 1 : NULL;
    if (flag->argument == NULL)
        return attached == NULL
                   ? add_flag(args, flag, NULL, error)
                   : ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = place(args->command),
                                .what = assay_text("option '--%s' takes no value", flag->name),
                                .got = attached);
    if (attached == NULL && *i + 1 == argc)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = place(args->command),
                          .what = assay_text("option '--%s' needs a value", flag->name),
                          .expected = flag->argument);
    return add_flag(args, flag, attached != NULL ? attached : argv[++*i], error);
}

/* The first word that is no flag, nor the value of one, names the command. 0 without one, and when
 * a flag that nobody knows stands before it. */
static int find_command_word(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-')
            return i;
        bool by_letter = word[1] != '-';
        const char *name = word + (by_letter ? 1 : 2);
        size_t length = by_letter ? strlen(name) : strcspn(name, "=");
        const cli_flag *known = find_flag_anywhere(name, length, by_letter);
        if (known == NULL)
            return 0;
        if (known->argument != NULL && name[length] == '\0')
            i++;
    }
    return 0;
}

static bool count_operands(const arguments *args, assay_error *error)
{
    const cli_command *command = args->command;
    if (command == NULL || args_has(args, "help") || args_has(args, "version"))
        return true;
    if (args->operand_count < command->least)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = place(command),
                          .what = args->operand_count == 0 ? "an argument is missing"
                                                           : "arguments are missing",
                          .expected = command->operands,
                          .hint = assay_text("'assay help %s' explains it", command->name));
    if (command->most >= 0 && args->operand_count > command->most)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = place(command),
                          .what = "too many arguments",
                          .expected = command->most == 0 ? "none" : command->operands,
                          .got = args->operands[command->most]);
    return true;
}

arguments *args_new(int argc, char **argv, assay_error *error)
{
    arguments *args = assay_zalloc(sizeof *args, error);
    if (args == NULL)
        return NULL;
    args->given = assay_zalloc((int64_t)sizeof *args->given * (argc + 1), error);
    args->operands = assay_zalloc((int64_t)sizeof *args->operands * (argc + 1), error);
    int at = find_command_word(argc, argv);
    if (args->given == NULL || args->operands == NULL ||
        (at > 0 && (args->command = command_find(argv[at], error)) == NULL))
        goto failed;
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        if (i == at)
            continue;
        if (!only_operands && strcmp(argv[i], "--") == 0)
            only_operands = true;
        else if (only_operands || argv[i][0] != '-' || argv[i][1] == '\0')
            args->operands[args->operand_count++] = argv[i];
        else if (!read_flag(args, argc, argv, &i, error))
            goto failed;
    }
    if (count_operands(args, error))
        return args;
failed:
    args_free(args);
    return NULL;
}

void args_free(arguments *args)
{
    if (args == NULL)
        return;
    assay_free(args->given);
    assay_free(args->operands);
    assay_free(args);
}

/* ---- asking ---- */

const cli_command *args_command(const arguments *args)
{
    return args->command;
}

int args_values(const arguments *args, const char *flag_name)
{
    int n = 0;
    for (int i = 0; i < args->given_count; i++)
        n += strcmp(args->given[i].flag->name, flag_name) == 0;
    return n;
}

const char *args_value_at(const arguments *args, const char *flag_name, int i)
{
    for (int k = 0; k < args->given_count; k++)
        if (strcmp(args->given[k].flag->name, flag_name) == 0 && i-- == 0)
            return args->given[k].value;
    return NULL;
}

bool args_has(const arguments *args, const char *flag_name)
{
    return args_values(args, flag_name) > 0;
}

const char *args_value(const arguments *args, const char *flag_name)
{
    return args_value_at(args, flag_name, 0);
}

int args_operands(const arguments *args)
{
    return args->operand_count;
}

const char *args_operand(const arguments *args, int i)
{
    return i < args->operand_count ? args->operands[i] : NULL;
}

bool args_integer(const arguments *args, const char *flag_name, int64_t low, int64_t high,
                  int64_t standard, int64_t *out, assay_error *error)
{
    const char *text = args_value(args, flag_name);
    *out = standard;
    if (text == NULL)
        return true;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < low || value > high)
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .where = place(args->command),
            .what = assay_text("bad value of '--%s'", flag_name),
            .expected = assay_text("a whole number, %lld .. %lld", (long long)low, (long long)high),
            .got = assay_text("'%s'", text));
    *out = value;
    return true;
}
