/* list.c - the images of a mixture, in their order: the parts as the options have them; sets,
 * classes and files by name, files of infrared sets by number when all their names are numbers. */
#include "mix.h"
#include "room.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool add_source(mix_data *data, const char *name, assay_error *error)
{
    void *sources = data->sources;
    bool good = images_make_room(&sources, data->source_count, 1, sizeof *data->sources,
                                 &data->source_room, MIX_WHERE, error);
    data->sources = sources;
    if (!good)
        return false;
    mix_source *of = &data->sources[data->source_count++];
    *of = (mix_source){.listed = 0};
    snprintf(of->name, sizeof of->name, "%.127s", name);
    return true;
}

/* An image FOLDER/NAME of the newest source. */
static bool add_image(mix_data *data, const char *folder, const char *name, assay_error *error)
{
    int64_t length = (int64_t)(strlen(folder) + strlen(name)) + 2; /* the slash, the end */
    void *text = data->text, *items = data->items;
    bool good =
        images_make_room(&text, data->text_bytes, length, 1, &data->text_room, MIX_WHERE, error) &&
        images_make_room(&items, data->count, 1, sizeof *data->items, &data->room, MIX_WHERE,
                         error);
    data->text = text;
    data->items = items;
    if (!good)
        return false;
    data->items[data->count++] =
        (mix_item){.path = data->text_bytes, .source = (int32_t)(data->source_count - 1)};
    snprintf(data->text + data->text_bytes, (size_t)length, "%s/%s", folder, name);
    data->text_bytes += length;
    data->sources[data->source_count - 1].listed++;
    return true;
}

/* ---- folders ---- */

typedef struct names {
    struct dirent **entries;
    int count;
} names;

static void free_names(names *of)
{
    for (int i = 0; i < of->count; i++)
        free(of->entries[i]);
    free(of->entries);
    *of = (names){NULL, 0};
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), last = strlen(end);
    return length > last && strcmp(name + length - last, end) == 0;
}

static int is_image(const struct dirent *entry)
{
    static const char *const ends[] = {".jpg", ".jpeg", ".JPEG", ".png", ".bmp"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (entry->d_name[0] != '.' && ends_with(entry->d_name, ends[i]))
            return 1;
    return 0;
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The whole number before the first dot; -1: there is something else. */
static int64_t number_of(const char *name)
{
    int64_t number = 0;
    int digits = 0;
    for (; *name >= '0' && *name <= '9' && digits < 18; name++, digits++)
        number = 10 * number + (*name - '0');
    return digits > 0 && *name == '.' ? number : -1;
}

static int by_number(const void *a, const void *b)
{
    const char *first = (*(struct dirent *const *)a)->d_name;
    const char *second = (*(struct dirent *const *)b)->d_name;
    int64_t m = number_of(first), n = number_of(second);
    return m < n ? -1 : m > n ? 1 : strcmp(first, second);
}

/* What a folder below the data's holds, by name. */
static bool read_folder(const mix_data *data, const char *folder,
                        int (*chosen)(const struct dirent *), names *out, assay_error *error)
{
    char path[MIX_LONGEST_PATH];
    if (snprintf(path, sizeof path, "%s/%s", data->options->path, folder) >= (int)sizeof path)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder, .what = "the path is too long");
    out->count = scandir(path, &out->entries, chosen, by_name);
    if (out->count >= 0)
        return true;
    *out = (names){NULL, 0};
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "this folder cannot be read",
                      .got = strerror(errno),
                      .hint = "option `parts` says which parts of the mixture there are");
}

static bool is_folder(const mix_data *data, const char *folder)
{
    char path[MIX_LONGEST_PATH];
    struct stat found;
    return snprintf(path, sizeof path, "%s/%s", data->options->path, folder) < (int)sizeof path &&
           stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

/* The images of a folder, the first `most` of them (0: all). */
static bool add_folder(mix_data *data, const char *folder, int64_t most, bool by_numbers,
                       assay_error *error)
{
    names found = {NULL, 0};
    char path[MIX_LONGEST_PATH];
    bool good = read_folder(data, folder, is_image, &found, error);
    if (good && found.count == 0) {
        snprintf(path, sizeof path, "%s/%s", data->options->path, folder);
        good = ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                          .what = "there is no image in this folder",
                          .expected = ".jpg, .jpeg, .JPEG, .png or .bmp");
    }
    for (int i = 0; i < found.count && by_numbers; i++)
        by_numbers = number_of(found.entries[i]->d_name) >= 0;
    if (by_numbers)
        qsort(found.entries, (size_t)found.count, sizeof *found.entries, by_number);
    for (int i = 0; good && i < found.count && (most == 0 || i < most); i++) {
        const char *name = found.entries[i]->d_name;
        if (strlen(data->options->path) + strlen(folder) + strlen(name) + 3 > MIX_LONGEST_PATH)
            good =
                ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = name, .what = "the path is too long");
        good = good && add_image(data, folder, name, error);
    }
    free_names(&found);
    return good;
}

/* ---- parts ---- */

/* BELOW/NAME/thermal of every folder NAME that has it; below "" they lie in the data's own
 * folder. */
static bool add_infrared(mix_data *data, const char *below, assay_error *error)
{
    names sets = {NULL, 0};
    char set[MIX_LONGEST_PATH], folder[MIX_LONGEST_PATH];
    const char *slash = below[0] != '\0' ? "/" : "";
    int64_t found = 0;
    bool good = read_folder(data, below[0] != '\0' ? below : ".", is_shown, &sets, error);
    for (int i = 0; good && i < sets.count; i++) {
        int length = snprintf(set, sizeof set, "%s%s%s", below, slash, sets.entries[i]->d_name);
        if (length + 9 > (int)sizeof set)
            continue; /* reading it would fail */
        memcpy(folder, set, (size_t)length);
        memcpy(folder + length, "/thermal", sizeof "/thermal");
        if (!is_folder(data, folder)) {
            /* infpre holds sets only; beside PAD's sets there may be other folders. */
            if (below[0] != '\0' && is_folder(data, set))
                good = ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                                  .where = assay_text("%s/%s", data->options->path, set),
                                  .what = "this infrared set has no folder `thermal`");
            continue;
        }
        found++;
        good = add_source(data, set, error) && add_folder(data, folder, 0, true, error);
    }
    free_names(&sets);
    return good &&
           (found > 0 || ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                                    .where = assay_text("%s/%s", data->options->path, below),
                                    .what = "there is no infrared set in this folder",
                                    .expected = "NAME/thermal/IMAGE"));
}

/* in1k/CLASS/IMAGE, at most `per_class` of each, the first by name. */
static bool add_classes(mix_data *data, assay_error *error)
{
    names classes = {NULL, 0};
    char folder[MIX_LONGEST_PATH];
    int64_t found = 0;
    bool good =
        read_folder(data, "in1k", is_shown, &classes, error) && add_source(data, "in1k", error);
    for (int i = 0; good && i < classes.count; i++) {
        snprintf(folder, sizeof folder, "in1k/%s", classes.entries[i]->d_name);
        if (!is_folder(data, folder))
            continue;
        found++;
        good = add_folder(data, folder, data->options->per_class, false, error);
    }
    free_names(&classes);
    return good &&
           (found > 0 ||
            ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("%s/in1k", data->options->path),
                       .what = "there is no class in this folder", .expected = "CLASS/IMAGE"));
}

static bool add_part(mix_data *data, const char *part, assay_error *error)
{
    if (strcmp(part, "infpre") == 0)
        return add_infrared(data, "infpre", error);
    if (strcmp(part, "msip") == 0)
        return add_infrared(data, "", error);
    if (strcmp(part, "in1k") == 0)
        return add_classes(data, error);
    return add_source(data, "coco/train2017", error) &&
           add_folder(data, "coco/train2017", 0, false, error);
}

bool mix_list(mix_data *data, assay_error *error)
{
    const assay_texts *parts = &data->options->parts;
    for (int64_t i = 0; i < parts->count; i++) {
        for (int64_t k = 0; k < i; k++)
            if (strcmp(parts->items[k], parts->items[i]) == 0)
                return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MIX_WHERE ": parts",
                                  .what = assay_text("'%s' is named twice", parts->items[i]));
        if (!add_part(data, parts->items[i], error))
            return false;
    }
    if (data->count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MIX_WHERE ": parts",
                          .what = "no part is named", .expected = "infpre, in1k, coco or msip");
    int64_t step = (int64_t)floor(1 / data->options->data_ratio), kept = 0;
    int64_t most = data->options->limit > 0 ? data->options->limit : data->count;
    for (int64_t i = 0; i < data->count && kept < most; i += step)
        data->items[kept++] = data->items[i];
    data->count = kept;
    return true;
}

void mix_path(const mix_data *data, const mix_item *item, char *out)
{
    snprintf(out, MIX_LONGEST_PATH, "%s/%s", data->options->path, data->text + item->path);
}
