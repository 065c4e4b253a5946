/* export.c - `assay export`: runs, and generated data, as files that other programs read. */
#include "cli/export.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/prepare.h"

#include <assay/memory.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a folder that appears whole ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_folder(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* FOLDER.tmp.PID, made beside a FOLDER that is not there or is empty. */
static bool begin_folder(const char *folder, char temporary[PLACE_SIZE], assay_error *error)
{
    struct stat info;
    char clean[PLACE_SIZE];
    snprintf(clean, sizeof clean, "%s", folder);
    for (size_t n = strlen(clean); n > 1 && clean[n - 1] == '/'; n--)
        clean[n - 1] = '\0';
    if (snprintf(temporary, PLACE_SIZE, "%s.tmp.%ld", clean, (long)getpid()) >= PLACE_SIZE)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "-o", .what = "the path is too long");
    if (stat(folder, &info) == 0 && (!S_ISDIR(info.st_mode) || rmdir(folder) != 0))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder,
                          .what = S_ISDIR(info.st_mode) ? "the folder is there and not empty"
                                                        : "a file of this name is there",
                          .hint = "name another, or remove it");
    return mkdir(temporary, 0777) == 0 ||
           ASSAY_FAIL(error, ASSAY_IO, .where = temporary, .what = "cannot make the folder",
                      .got = assay_text("%m"), .hint = "the folder above has to be there");
}

static bool end_folder(const char *temporary, const char *folder, bool ok, assay_error *error)
{
    if (ok && rename(temporary, folder) != 0)
        ok = ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "cannot put the folder in place",
                        .got = assay_text("%m"));
    if (!ok)
        remove_folder(temporary);
    return ok;
}

/* ---- what is asked for ---- */

enum { WHAT_WEIGHTS, WHAT_SCORES, WHAT_SERIES, WHAT_DATA, WHATS };
static const char *const whats[] = {"weights", "scores", "series", "data"};

static bool read_what(const arguments *args, bool script, bool each, bool chosen[WHATS],
                      assay_error *error)
{
    const char *list = args_value(args, "what");
    memset(chosen, 0, WHATS * sizeof *chosen);
    if (list == NULL) {
        chosen[WHAT_DATA] = script;
        chosen[WHAT_SCORES] = chosen[WHAT_SERIES] = !script;
        chosen[WHAT_WEIGHTS] = !script && !each;
        return true;
    }
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        const char *word = assay_text("%.*s", (int)length, list);
        int i = 0;
        while (i < WHATS && strcmp(word, whats[i]) != 0)
            i++;
        const char *near = i == WHATS ? assay_nearest(word, WHATS, whats) : NULL;
        if (i == WHATS)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--what",
                              .what = assay_text("nothing is called '%s'", word),
                              .expected = "weights, scores, series or data, with commas",
                              .hint = near != NULL ? assay_text("did you mean '%s'?", near) : NULL);
        if ((i == WHAT_DATA) != script)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--what",
                              .what = script ? "a script has data, and no runs of its own"
                                             : "data come from a script, not from a run",
                              .expected = script ? "data" : "weights, scores or series",
                              .got = word);
        chosen[i] = true;
        list += length + (list[length] == ',');
    }
    return true;
}

static bool read_dtype(const arguments *args, assay_stored_dtype *out, assay_error *error)
{
    static const char *const words[] = {"fp32", "fp16", "bf16"};
    static const assay_stored_dtype types[] = {ASSAY_STORED_F32, ASSAY_STORED_F16,
                                               ASSAY_STORED_BF16};
    const char *word = args_value(args, "dtype");
    *out = ASSAY_STORED_F32;
    for (int i = 0; word != NULL && i < 3; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = types[i];
            return true;
        }
    return word == NULL || ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--dtype",
                                      .what = assay_text("unknown type '%s'", word),
                                      .expected = "fp32, bf16 or fp16");
}

/* ---- runs ---- */

static int export_runs(const arguments *args, const char *folder, assay_error *error)
{
    char temporary[PLACE_SIZE];
    bool chosen[WHATS];
    int64_t megabytes = 0;
    export_request request = {.merge = !args_has(args, "no-merge")};
    export_run *runs = NULL;
    int status = EXIT_WRONG;
    request.store = place_of_existing_store(args, error);
    if (request.store == NULL || !read_dtype(args, &request.dtype, error) ||
        !args_integer(args, "shard", 1, 1000000000, 5000, &megabytes, error))
        return EXIT_WRONG;
    request.shard_bytes = megabytes * 1000000;
    runs = export_find(request.store, args_operand(args, 0), &request.count, &request.each, error);
    request.runs = runs;
    if (runs == NULL || !read_what(args, false, request.each, chosen, error) ||
        !begin_folder(folder, temporary, error))
        goto done;
    request.weights = chosen[WHAT_WEIGHTS];
    request.scores = chosen[WHAT_SCORES];
    request.series = chosen[WHAT_SERIES];
    bool ok = export_write(&request, temporary, error);
    status = end_folder(temporary, folder, ok, error) ? EXIT_DONE : output_status(error);
done:
    assay_free(runs);
    return status;
}

/* ---- data ---- */

/* Whether an earlier run of the plan has the same data. */
static bool is_repeated(const plan *of, int run)
{
    for (int i = 0; i < run; i++)
        if (strcmp(of->runs[i].dataset, of->runs[run].dataset) == 0)
            return true;
    return false;
}

static bool write_dataset(preparation *prepared, int run, const char *folder, assay_error *error)
{
    const assay_data *data =
        dataset_pool_get(prepared->pool, &prepared->plan->runs[run].recipe.dataset, error);
    if (data == NULL)
        return false;
    if (data->functions->write == NULL)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = assay_text("dataset.%s", data->name),
                          .what = "this dataset does not write itself",
                          .hint = "datasets that are generated do: user_synth");
    return data->functions->write(data->dataset, folder, error);
}

/* The only dataset of the plan into the folder, or each of several into data_1, data_2 ... */
static bool write_datasets(preparation *prepared, const char *folder, assay_error *error)
{
    char path[PLACE_SIZE + 32];
    int count = 0, n = 0;
    const plan *of = prepared->plan;
    for (int i = 0; i < of->run_count; i++)
        count += !is_repeated(of, i);
    for (int i = 0; i < of->run_count; i++) {
        if (is_repeated(of, i))
            continue;
        snprintf(path, sizeof path, count > 1 ? "%s/data_%d" : "%s", folder, ++n);
        if (count > 1 && mkdir(path, 0777) != 0)
            return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot make the folder",
                              .got = assay_text("%m"));
        if (!write_dataset(prepared, i, path, error))
            return false;
    }
    return true;
}

static int export_data(const arguments *args, const char *folder, assay_error *error)
{
    char temporary[PLACE_SIZE];
    bool chosen[WHATS];
    preparation prepared = {0};
    preparing how = {.without_inspection = true};
    if (!read_what(args, true, false, chosen, error) ||
        !prepare(args, args_operand(args, 0), &how, &prepared, error))
        return EXIT_WRONG;
    bool begun = begin_folder(folder, temporary, error);
    bool ok = begun && write_datasets(&prepared, temporary, error);
    if (begun)
        ok = end_folder(temporary, folder, ok, error);
    prepared_clear(&prepared);
    return ok ? EXIT_DONE : output_status(error);
}

static int export_command_run(const arguments *args, assay_error *error)
{
    const char *folder = args_value(args, "output"), *name = args_operand(args, 0);
    size_t length = strlen(name);
    if (folder == NULL || folder[0] == '\0') {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "-o", .what = "the folder to write is missing",
                   .expected = "-o FOLDER");
        return EXIT_WRONG;
    }
    if (args_has(args, "merge") && args_has(args, "no-merge")) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--no-merge",
                   .what = "adapters are either merged or not");
        return EXIT_WRONG;
    }
    bool script = length > 4 && strcmp(name + length - 4, ".lua") == 0;
    return script ? export_data(args, folder, error) : export_runs(args, folder, error);
}

static const cli_flag flags[] = {
    {.name = "output", .letter = 'o', .argument = "FOLDER", .meaning = "made whole or not at all"},
    {.name = "what",
     .argument = "LIST",
     .meaning =
         "of weights, scores, series (a run: all; an experiment: scores,series); of a script: "
         "data"},
    {.name = "dtype",
     .argument = "TYPE",
     .meaning = "of the weights: fp32 (the default), bf16, fp16"},
    {.name = "merge", .meaning = "low-rank adapters are added to the weights (the default)"},
    {.name = "no-merge",
     .meaning = "they stay beside them, as PEFT folders: DECODER/adapter/adapter_config.json"},
    {.name = "shard", .argument = "MB", .meaning = "the largest weights file (5000)"},
    SET_FLAG,
};

const cli_command export_command = {
    .name = "export",
    .operands = "RUN|EXPERIMENT|SCRIPT.lua",
    .least = 1,
    .most = 1,
    .summary = "weights, scores, series or data as files that other programs read",
    .details =
        "Each published stack of a run (decoder, encoder.SOURCE) is a Hugging Face folder with "
        "config.json and model.safetensors, which transformers loads; what is the model's own is "
        "in "
        "assay.safetensors. scores.csv and series.csv have a row for each value. Of an experiment, "
        "weights are in run_N, one folder a run.\n"
        "Of a script, the datasets that can write themselves (the synthetic ones) are written.",
    .example = "assay export 7 -o out/run7 --dtype bf16\n"
               "assay export mask_ablation -o out/tables\n"
               "assay export data.lua --what data -o data/synthetic",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = export_command_run,
};
