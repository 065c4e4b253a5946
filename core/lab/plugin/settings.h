/* lab/plugin/settings.h - the options of one use of a plugin, checked against its table.
 *
 * A table of options is a plugin's, or one of the host's own (host_tables.h: experiment, train);
 * both are checked, listed, recorded and filled by the same code. */
#ifndef LAB_PLUGIN_SETTINGS_H
#define LAB_PLUGIN_SETTINGS_H

#include "lab/plugin/registry.h"

/* Where a value comes from; the words of the store's column param.origin. */
typedef enum setting_origin {
    SETTING_DEFAULT,
    SETTING_SCRIPT,
    SETTING_COMMAND_LINE,
    SETTING_AXIS,
    SETTING_STAGE,
} setting_origin;
const char *setting_origin_name(
    setting_origin origin); /* "default", "script", "command line" ... */

/* One option's value. Owned by the settings; which members hold it follows from the option's type:
 *   BOOL, INTEGER, NUMBER   number (an integer is exact up to 2^53)
 *   TEXT, CHOICE, PATH      text (a path as written; `resolved` as found)
 *   SCHEDULE                numbers (1 or train.steps of them, fp32 in double)
 *   TEXTS, NUMBERS          texts or numbers
 *   WEIGHTS                 stage (a number of the plan's runs, or -1) or text and resolved; sha256
 *                           of the files' content when it is a path
 *   PATH of no dataset      sha256 of the content, once setting_identify was asked
 * A value that another run's score gives (`score_run` >= 0) has no number until that run is done:
 * it is NaN until then, which setting_check lets pass and settings_fill refuses. */
typedef struct setting {
    setting_origin origin;
    bool given; /* false for an option without default that was left out: a path, weights */
    double number;
    char *text, *resolved, *sha256;
    int64_t count;
    double *numbers;
    char **texts;
    int stage;
    int score_run;    /* index in the plan of the run whose score this is; -1: none */
    char *score_path; /* "SUITE/METRIC@SPLIT" or "SUITE/BENCHMARK/METRIC@SPLIT" */
} setting;
/* No value yet. A value starts so, not zeroed: run 0 is a run. */
#define SETTING_NONE ((setting){.stage = -1, .score_run = -1})

/* One use of a plugin: `label` is what --set, param and axis call it ("contrastive",
 * "contrastive#2"), and is the plugin's name unless it is repeated in a list. */
typedef struct settings {
    const plugin *plugin; /* NULL: a host table */
    const assay_option *options;
    int count;
    char *label;
    setting *values; /* (count) in the order of the table */
} settings;

/* Every option at its default; values of options that have none are not `given`. The label of
 * settings_defaults is the plugin's name. The caller ends the result with settings_clear, after a
 * failure there is nothing to clear. */
bool settings_defaults(settings *out, const plugin *plugin, assay_error *error);
bool settings_defaults_of(settings *out, const char *label, int count, const assay_option *options,
                          assay_error *error);
bool settings_copy(settings *out, const settings *from, assay_error *error);
void settings_clear(settings *settings); /* accepts a zeroed value */
/* The default of one option into an empty value. */
bool setting_default(const assay_option *option, setting *out, assay_error *error);
void setting_clear(setting *value); /* accepts a zeroed value; leaves SETTING_NONE */
bool setting_copy(setting *out, const setting *from, assay_error *error);

/* "mask.ggsm", or the label of a host table: how messages name these settings. Borrowed like
 * assay_text. */
const char *settings_owner(const settings *settings);
/* The place of option `name`; -1 and an error with the nearest name. */
int settings_find(const settings *settings, const char *name, const char *where,
                  assay_error *error);
setting *settings_get(const settings *settings, const char *name); /* NULL when there is none */

/* Checks one value against its option: type, range, choice, UTF-8, existence of a path (looked for
 * beside `folder`, then in the current one). `owner` is for messages: "mask.ggsm", "train". Fills
 * `resolved` (absolute), `sha256`; of a folder of weights, `resolved` is its model.safetensors or
 * its only .safetensors file. Numbers are normalised: -0 is 0, a schedule's are rounded to fp32.
 * `where` is the place in the script ("sweep.lua:12"). An option left out that is required is
 * settings_check's business. */
bool setting_check(const assay_option *option, setting *value, const char *owner,
                   const char *folder, const char *where, assay_error *error);
/* The failure of a value that is not of the option's type, for those who see the value before it
 * can be a setting (a Lua table, a Lua boolean where a number is due). `got` names it: "a table".
 * Returns false. */
bool setting_fail_type(const assay_option *option, const char *owner, const char *got,
                       const char *where, assay_error *error);
/* Fills `sha256` of a path that setting_check has passed: its content's, a file's or a whole
 * folder's. Not for a dataset's paths, whose content has a fingerprint. */
bool setting_identify(const assay_option *option, setting *value, const char *owner,
                      const char *where, assay_error *error);
/* Every required option was given. */
bool settings_check(const settings *settings, const char *where, assay_error *error);

/* The struct that the plugin is handed: assay_alloc'ed, with everything it points at inside the
 * same block (one assay_free). `resolve` gives each weights option its file: called for options of
 * type WEIGHTS that were given; what it puts into `path` is copied. NULL: a path is its `resolved`,
 * and a stage is an error. For a plugin without options, or `plugin` NULL (a host table), the block
 * is as large as the table reaches. */
typedef bool (*settings_resolve)(void *user, const setting *value, assay_weights_source *out,
                                 assay_error *error);
void *settings_fill(const settings *settings, settings_resolve resolve, void *user,
                    assay_error *error);

/* Text of one value for tables, the store and hashes: "0.1", "true", "ggsm", "a,b"; numbers have
 * the fewest digits that read back as the same double. Two values of one option with equal text are
 * equal, except paths and weights, which stand as written ("none" when left out, "stage N" for a
 * run's): a comma or backslash in a list's text is written after a backslash, and a schedule of
 * many values is "function of N values, sha256 HEX" over their fp32 bits. A score that is not known
 * yet is "score PATH". Owned by the caller. */
char *setting_text(const assay_option *option, const setting *value, assay_error *error);
/* "integer", "number", "text" ...: the type's word for people. Static. */
const char *option_type_name(assay_option_type type);
/* "0 .. 1", "above 0", "tiny|small"; "" when there is nothing to say. Borrowed like assay_text. */
const char *option_range_text(const assay_option *option);
/* The default as in setting_text; "required" or "none" when there is none. Borrowed like
 * assay_text. */
const char *option_default_text(const assay_option *option);

#endif
