/* cli/commands.h - the commands of `assay`, each in the file of its name. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/args.h"

extern const cli_command run_command, plan_command, plugins_command, runs_command, show_command,
    compare_command, plot_command, query_command, merge_command, tokenize_command, embed_command,
    export_command, rois_command, doctor_command;

#endif
