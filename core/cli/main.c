/* main.c - the program `assay`: finds the command, does it, says what went wrong, ends.
 *
 * Only this folder prints, and only main exits. */
#include "cli/commands.h"
#include "cli/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const cli_flag global_flags[] = {
    {.name = "db",
     .argument = "FILE",
     .meaning = "the store (ASSAY_DB in the environment; results/assay.db)"},
    {.name = "plugins",
     .argument = "DIR",
     .repeatable = true,
     .meaning = "a folder of plugins, searched before those of ASSAY_PLUGINS (separated by colons) "
                "and the installed ones; repeatable"},
    {.name = "quiet", .letter = 'q', .meaning = "errors and results only"},
    {.name = "help", .letter = 'h', .meaning = "this page"},
    {.name = "version", .meaning = "the program's version"},
};
const int global_flag_count = sizeof global_flags / sizeof *global_flags;

static int help_run(const arguments *args, assay_error *error)
{
    const char *name = args_operand(args, 0);
    const cli_command *of = name == NULL ? NULL : command_find(name, error);
    if (name != NULL && of == NULL)
        return EXIT_WRONG;
    if (of != NULL)
        help_command(of, stdout);
    else
        help_overview(stdout);
    return EXIT_DONE;
}

static const cli_command help_page = {
    .name = "help",
    .operands = "[COMMAND]",
    .most = 1,
    .summary = "the commands, or one of them explained",
    .example = "assay help run",
    .run = help_run,
};

const cli_command *const commands[] = {
    &run_command,     &plan_command,   &plugins_command, &runs_command,   &show_command,
    &compare_command, &plot_command,   &query_command,   &merge_command,  &tokenize_command,
    &embed_command,   &export_command, &rois_command,    &doctor_command, &help_page,
};
const int command_count = sizeof commands / sizeof *commands;

/* What was printed has arrived. A reader that went away (`assay ... | head`) ends the program by
 * SIGPIPE or, where that is ignored, without a word. */
static int finish_output(int status)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    if (fflush(stdout) != 0)
        failed = true;
    if (!failed || errno == EPIPE)
        return status;
    assay_error error = {0};
    ASSAY_FAIL(&error, ASSAY_IO, .what = "the output cannot be written",
               .got = errno != 0 ? strerror(errno) : NULL);
    output_error(&error);
    return EXIT_FAILED;
}

static int perform(const arguments *args, assay_error *error)
{
    const cli_command *command = args_command(args);
    if (args_has(args, "version")) {
        printf("assay %s\n", ASSAY_PROGRAM_VERSION);
        return EXIT_DONE;
    }
    if (command == NULL) {
        bool asked = args_has(args, "help");
        help_overview(asked ? stdout : stderr);
        return asked ? EXIT_DONE : EXIT_WRONG;
    }
    if (args_has(args, "help")) {
        help_command(command, stdout);
        return EXIT_DONE;
    }
    output_listen(args_has(args, "quiet"));
    return command->run(args, error);
}

int main(int argc, char **argv)
{
    assay_error error = {0};
    int status = EXIT_WRONG;
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    arguments *args = args_new(argc, argv, &error);
    if (args != NULL)
        status = perform(args, &error);
    args_free(args);
    if (error.code == ASSAY_OK)
        return finish_output(status);
    output_error(&error);
    return status;
}
