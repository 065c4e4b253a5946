/* plugins.c - `assay plugins`: what is installed, what was refused, and what a plugin can be
 * told. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"
#include "lab/plugin/host_tables.h"
#include "lab/plugin/settings.h"

#include <string.h>

static const char *const list_columns[] = {"kind", "name", "version", "summary", "file"};
static const char *const option_columns[] = {"option",  "type",  "unit",
                                             "default", "range", "meaning"};

static int print_options(const arguments *args, int n, const assay_option *options,
                         assay_error *error)
{
    table *out = table_new(6, option_columns, error);
    if (out == NULL)
        return EXIT_FAILED;
    for (int i = 0; i < n; i++) {
        table_text(out, options[i].name);
        table_text(out, option_type_name(options[i].type));
        table_text(out, options[i].unit);
        table_text(out, option_default_text(&options[i]));
        table_text(out, option_range_text(&options[i]));
        table_text(out, options[i].meaning);
    }
    int status = output_table(args, out, error);
    table_free(out);
    return status;
}

/* A title for people; other formats carry data only. */
static int print_plugin(const arguments *args, const plugin *one, assay_error *error)
{
    table_format format = TABLE_TEXT;
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    if (format == TABLE_TEXT) {
        printf("%s.%s, version %d: %s\n%s\n\n", plugin_kind_name(one->kind), one->name,
               one->version, one->summary, one->path);
        if (one->option_count == 0) {
            puts("It has no options.");
            return EXIT_DONE;
        }
    }
    return print_options(args, one->option_count, one->options, error);
}

/* Refused files belong to a list of everything: on stderr, so that the list stays a list. */
static void print_refusals(const plugin_registry *registry)
{
    fflush(stdout);
    for (int i = 0; i < registry_refusal_count(registry); i++) {
        const plugin_refusal *refusal = registry_refusal_at(registry, i);
        fprintf(stderr, "assay: warning: refused %s: %s\n", refusal->path, refusal->reason);
    }
}

/* Every plugin, or those of one kind (-1: all). */
static int print_list(const arguments *args, const plugin_registry *registry, int kind,
                      assay_error *error)
{
    table *out = table_new(5, list_columns, error);
    if (out == NULL)
        return EXIT_FAILED;
    for (int i = 0; i < registry_count(registry); i++) {
        const plugin *one = registry_at(registry, i);
        if (kind >= 0 && one->kind != (assay_kind)kind)
            continue;
        table_text(out, plugin_kind_name(one->kind));
        table_text(out, one->name);
        table_integer(out, one->version);
        table_text(out, one->summary);
        table_text(out, one->path);
    }
    int status = output_table(args, out, error);
    table_free(out);
    if (status == EXIT_DONE)
        print_refusals(registry);
    return status;
}

static int unknown_kind(const char *word, assay_error *error)
{
    const char *words[ASSAY_KINDS + 2] = {"experiment", "train"};
    for (int i = 0; i < ASSAY_KINDS; i++)
        words[2 + i] = plugin_kind_name((assay_kind)i);
    const char *near = assay_nearest(word, ASSAY_KINDS + 2, words);
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay plugins",
               .what = assay_text("unknown kind '%s'", word),
               .expected = "dataset, model, mask, loss, adapter, evaluator, experiment or train",
               .hint = near != NULL ? assay_text("did you mean '%s'?", near) : NULL);
    return EXIT_WRONG;
}

/* KIND or KIND.NAME. */
static int print_selection(const arguments *args, const plugin_registry *registry,
                           const char *selection, assay_error *error)
{
    char word[128];
    const char *dot = strchr(selection, '.');
    snprintf(word, sizeof word, "%.*s", (int)strcspn(selection, "."), selection);
    assay_kind kind;
    if (!plugin_kind_of(word, &kind))
        return unknown_kind(word, error);
    if (dot == NULL)
        return print_list(args, registry, (int)kind, error);
    const plugin *one = registry_get(registry, kind, dot + 1, error);
    return one == NULL ? EXIT_WRONG : print_plugin(args, one, error);
}

static int plugins_run(const arguments *args, assay_error *error)
{
    const char *selection = args_operand(args, 0);
    table_format format;
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    if (selection != NULL && strcmp(selection, "experiment") == 0)
        return print_options(args, experiment_table_count, experiment_table, error);
    if (selection != NULL && strcmp(selection, "train") == 0)
        return print_options(args, train_table_count, train_table, error);
    plugin_registry *registry = place_open_registry(args, error);
    if (registry == NULL)
        return output_status(error);
    int status = selection == NULL ? print_list(args, registry, -1, error)
                                   : print_selection(args, registry, selection, error);
    registry_free(registry);
    return status;
}

static const cli_flag flags[] = {FORMAT_FLAG};

const cli_command plugins_command = {
    .name = "plugins",
    .operands = "[KIND[.NAME]]",
    .most = 1,
    .summary = "what is installed; of one plugin its options",
    .details = "KIND is dataset, model, mask, loss, adapter or evaluator. Options are listed with "
               "type, unit, default, range and meaning. 'assay plugins experiment' and 'assay "
               "plugins train' list what a script's experiment and its training can be told.",
    .example = "assay plugins\nassay plugins mask.ggsm\nassay plugins train",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = plugins_run,
};
