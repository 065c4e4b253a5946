/* find.c - which images a split has: by lists of stems, or by hash of the stem. */
#include "room.h"
#include "seg.h"

#include <assay/file.h>
#include <assay/hash.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_BYTES (INT64_C(1) << 28)

static const char *const suffixes[] = {".png", ".jpg", ".jpeg", ".JPEG", ".bmp"};
#define SUFFIXES     (int)(sizeof suffixes / sizeof *suffixes)
#define SUFFIX_WORDS ".png, .jpg, .jpeg, .JPEG or .bmp"

bool seg_ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcmp(name + length - end, suffix) == 0;
}

int seg_suffix_of(const char *name)
{
    for (int i = 0; i < SUFFIXES; i++)
        if (seg_ends_with(name, suffixes[i]))
            return i;
    return -1;
}

void seg_image_path(const seg_layout *layout, const seg_sets *sets, const seg_item *item, char *out)
{
    const char *suffix =
        layout->image_suffix[0] != '\0' ? layout->image_suffix : suffixes[item->suffix];
    snprintf(out, SEG_LONGEST_PATH, "%s/%s/%s%s", layout->base, layout->images,
             sets->text + item->stem, suffix);
}

void seg_label_path(const seg_layout *layout, const seg_sets *sets, const seg_item *item, char *out)
{
    snprintf(out, SEG_LONGEST_PATH, "%s/%s/%s%s", layout->base, layout->labels,
             sets->text + item->stem, layout->label_suffix);
}

static bool add_item(seg_sets *sets, assay_data_split split, const char *stem, int64_t length,
                     seg_item item, assay_error *error)
{
    seg_set *set = &sets->of[split];
    void *text = sets->text, *items = set->items;
    bool good = images_make_room(&text, sets->text_bytes, length + 1, 1, &sets->text_room,
                                 "dataset.image_seg", error) &&
                images_make_room(&items, set->count, 1, sizeof *set->items, &set->room,
                                 "dataset.image_seg", error);
    sets->text = text;
    set->items = items;
    if (!good)
        return false;
    item.stem = sets->text_bytes;
    memcpy(sets->text + sets->text_bytes, stem, (size_t)length);
    sets->text[sets->text_bytes + length] = '\0';
    sets->text_bytes += length + 1;
    set->items[set->count++] = item;
    return true;
}

/* ---- lists ---- */

/* FTNet warns that SODA's lists name such copies. */
static bool is_copy(const char *stem, int64_t length)
{
    return memmem(stem, (size_t)length, "(1)", 3) != NULL ||
           memmem(stem, (size_t)length, "~temp", 5) != NULL;
}

/* A stem stays below the folders. */
static bool is_stem(const char *stem, int64_t length)
{
    return length < SEG_LONGEST_STEM && stem[0] != '/' &&
           memchr(stem, '\0', (size_t)length) == NULL &&
           memmem(stem, (size_t)length, "..", 2) == NULL;
}

static const char *place_of(const char *path, int64_t line)
{
    return assay_text("%s:%lld", path, (long long)line);
}

/* The suffix of an item's image, where files of several will do. None is there: the first, which
 * check.c will miss when broken images may be skipped. */
static bool find_suffix(const seg_layout *layout, const seg_sets *sets, seg_item *item,
                        bool may_miss, const char *where, assay_error *error)
{
    char path[SEG_LONGEST_PATH];
    for (int i = 0; i < SUFFIXES; i++) {
        item->suffix = (uint8_t)i;
        seg_image_path(layout, sets, item, path);
        if (access(path, F_OK) == 0)
            return true;
    }
    item->suffix = 0;
    return may_miss || ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where,
                                  .what = "there is no image of this stem",
                                  .expected = assay_text("%s/%.100s%s", layout->images,
                                                         sets->text + item->stem, SUFFIX_WORDS));
}

static bool add_listed(seg_sets *sets, const seg_layout *layout, const seg_options *options,
                       assay_data_split split, const char *stem, int64_t length, const char *path,
                       seg_item item, assay_error *error)
{
    if (!is_stem(stem, length))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = place_of(path, item.line),
                          .what = "this is no stem of a file",
                          .got = assay_text("%.*s", length > 120 ? 120 : (int)length, stem));
    if (is_copy(stem, length)) {
        sets->copies++;
        sets->dropped += options->copies == 1;
        if (options->copies == 1)
            return true;
    }
    if (!add_item(sets, split, stem, length, item, error))
        return false;
    seg_set *set = &sets->of[split];
    return layout->image_suffix[0] != '\0' ||
           find_suffix(layout, sets, &set->items[set->count - 1], options->on_error == 1,
                       place_of(path, item.line), error);
}

/* One stem a line; blank lines say nothing. */
static bool read_list(seg_sets *sets, const seg_layout *layout, const seg_options *options,
                      assay_data_split split, const char *name, int number, assay_error *error)
{
    char path[SEG_LONGEST_PATH];
    int64_t bytes = 0, line = 0;
    if (!seg_list_path(layout, name, path, sizeof path))
        return ASSAY_FAIL(
            error, ASSAY_IO, .where = path,
            .what = assay_text("the list of split %s is missing", assay_split_name(split)),
            .hint = "options `train`, `valid`, `test` name others");
    char *text = assay_read_file(path, LIST_BYTES, &bytes, error);
    bool good = text != NULL;
    for (int64_t at = 0; good && at < bytes;) {
        const char *end = memchr(text + at, '\n', (size_t)(bytes - at));
        int64_t next = end != NULL ? end - text + 1 : bytes;
        int64_t first = at, last = end != NULL ? next - 1 : bytes;
        line++;
        while (first < last && strchr(" \t\r", text[first]) != NULL && text[first] != '\0')
            first++;
        while (last > first && strchr(" \t\r", text[last - 1]) != NULL && text[last - 1] != '\0')
            last--;
        if (last > first)
            good = add_listed(sets, layout, options, split, text + first, last - first, path,
                              (seg_item){.line = (int32_t)(line < INT32_MAX ? line : INT32_MAX),
                                         .list = (uint8_t)number},
                              error);
        at = next;
    }
    assay_free(text);
    return good;
}

/* ---- a folder ---- */

/* 70/15/15 by hash: a stem's split does not change when other images come or go. */
static assay_data_split split_of(const char *stem, int64_t length)
{
    char hex[65];
    assay_sha256_of(stem, (size_t)length, hex);
    hex[8] = '\0';
    double share = (double)strtoul(hex, NULL, 16) / 4294967296.0;
    return share < 0.70 ? ASSAY_TRAIN : share < 0.85 ? ASSAY_VALID : ASSAY_TEST;
}

static bool add_file(seg_sets *sets, const seg_layout *layout, const seg_options *options,
                     const char *name, assay_error *error)
{
    int suffix = seg_suffix_of(name);
    const char *end = layout->image_suffix;
    if (name[0] == '.' || (end[0] != '\0' ? !seg_ends_with(name, end) : suffix < 0))
        return true;
    int64_t length = (int64_t)(strlen(name) - strlen(end[0] != '\0' ? end : suffixes[suffix]));
    if (is_copy(name, length)) {
        sets->copies++;
        sets->dropped += options->copies == 1;
        if (options->copies == 1)
            return true;
    }
    assay_data_split split =
        options->task == SEG_TASK_PRETRAINING ? ASSAY_PRETRAIN : split_of(name, length);
    return add_item(sets, split, name, length,
                    (seg_item){.suffix = (uint8_t)(suffix < 0 ? 0 : suffix)}, error);
}

static int compare_items(const void *a, const void *b, void *text)
{
    const seg_item *x = a, *y = b;
    int order = strcmp((const char *)text + x->stem, (const char *)text + y->stem);
    return order != 0 ? order : (int)x->suffix - (int)y->suffix;
}

/* Names in order, so that the set does not depend on the file system. */
static bool read_folder(seg_sets *sets, const seg_layout *layout, const seg_options *options,
                        assay_error *error)
{
    char path[SEG_LONGEST_PATH];
    bool good = true;
    snprintf(path, sizeof path, "%s/%s", layout->base, layout->images);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot read the folder",
                          .got = assay_text("%m"));
    for (struct dirent *entry = readdir(folder); entry != NULL && good; entry = readdir(folder))
        good = add_file(sets, layout, options, entry->d_name, error);
    closedir(folder);
    for (int s = 0; s < ASSAY_SPLITS && good; s++)
        if (sets->of[s].count > 1)
            qsort_r(sets->of[s].items, (size_t)sets->of[s].count, sizeof(seg_item), compare_items,
                    sets->text);
    return good;
}

/* ---- checks ---- */

/* A stem and where it was named. */
typedef struct naming {
    const char *stem;
    const seg_item *item;
    assay_data_split split;
} naming;

static int compare_namings(const void *a, const void *b)
{
    const naming *x = a, *y = b;
    int order = strcmp(x->stem, y->stem);
    return order != 0 ? order : (int)x->split - (int)y->split;
}

static const char *naming_place(const seg_layout *layout, const seg_sets *sets, const naming *at)
{
    char path[SEG_LONGEST_PATH];
    int list = at->split == ASSAY_VALID ? 1 : at->split == ASSAY_TEST ? 2 : 0;
    if (at->item->line > 0)
        return assay_text("%s:%d", layout->lists[list][at->item->list], at->item->line);
    seg_image_path(layout, sets, at->item, path);
    return assay_text("%s", path);
}

/* Twice in one split counts it twice; in train and in another split its answer is known. Valid and
 * test may share images, as published lists do: that is said, not refused. */
static bool check_namings(seg_sets *sets, const seg_layout *layout, naming *namings, int64_t count,
                          assay_error *error)
{
    qsort(namings, (size_t)count, sizeof *namings, compare_namings);
    for (int64_t i = 1; i < count; i++) {
        const naming *one = &namings[i - 1], *two = &namings[i];
        if (strcmp(one->stem, two->stem) != 0)
            continue;
        if (one->split == ASSAY_VALID && two->split == ASSAY_TEST) {
            sets->shared++;
            continue;
        }
        return ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = naming_place(layout, sets, two),
            .what = one->split == two->split
                        ? assay_text("'%.120s' is named twice", two->stem)
                        : assay_text("'%.120s' is in %s and in %s", two->stem,
                                     assay_split_name(one->split), assay_split_name(two->split)),
            .hint = assay_text("%s names it already", naming_place(layout, sets, one)));
    }
    return true;
}

static bool check_duplicates(seg_sets *sets, const seg_layout *layout, assay_error *error)
{
    int64_t count = 0, at = 0, bytes = 0;
    for (int s = 0; s < ASSAY_SPLITS; s++)
        count += sets->of[s].count;
    if (!assay_size_mul(&bytes, count, sizeof(naming)))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "dataset.image_seg");
    naming *namings = assay_alloc(bytes, error);
    if (namings == NULL)
        return false;
    for (int s = 0; s < ASSAY_SPLITS; s++)
        for (int64_t i = 0; i < sets->of[s].count; i++)
            namings[at++] = (naming){sets->text + sets->of[s].items[i].stem, &sets->of[s].items[i],
                                     (assay_data_split)s};
    bool good = check_namings(sets, layout, namings, count, error);
    assay_free(namings);
    return good;
}

/* Every floor(1/r)-th image of what is trained on, then the first of each split. */
static void thin(seg_sets *sets, const seg_options *options, assay_data_split home)
{
    int64_t step = (int64_t)floor(1 / options->data_ratio);
    seg_set *set = &sets->of[home];
    int64_t kept = 0;
    for (int64_t i = 0; i < set->count; i += step)
        set->items[kept++] = set->items[i];
    set->count = kept;
    for (int s = 0; s < ASSAY_SPLITS && options->limit > 0; s++)
        if (sets->of[s].count > options->limit)
            sets->of[s].count = options->limit;
}

static bool check_empty(const seg_sets *sets, const seg_layout *layout, const seg_options *options,
                        assay_error *error)
{
    bool labelled = options->task == SEG_TASK_SEGMENTATION;
    for (int s = labelled ? ASSAY_TRAIN : ASSAY_PRETRAIN;
         s <= (labelled ? ASSAY_TEST : ASSAY_PRETRAIN); s++)
        if (sets->of[s].count == 0)
            return ASSAY_FAIL(
                error, ASSAY_BAD_FILE, .where = assay_text("%s/%s", layout->base, layout->images),
                .what = assay_text("split %s has no image", assay_split_name((assay_data_split)s)),
                .expected = layout->image_suffix[0] != '\0'
                                ? assay_text("files *%s", layout->image_suffix)
                                : "files *" SUFFIX_WORDS,
                .hint = layout->listed ? "options `train`, `valid`, `test` name lists of stems"
                                       : "without lists splits are 70/15/15 by hash of the stem");
    return true;
}

bool seg_find(seg_sets *out, const seg_layout *layout, const seg_options *options,
              assay_error *error)
{
    assay_data_split home = options->task == SEG_TASK_PRETRAINING ? ASSAY_PRETRAIN : ASSAY_TRAIN;
    const assay_data_split splits[3] = {home, ASSAY_VALID, ASSAY_TEST};
    bool good = true;
    if (!layout->listed)
        good = read_folder(out, layout, options, error);
    for (int i = 0; i < 3 && layout->listed; i++)
        for (int k = 0; good && layout->lists[i][k] != NULL; k++)
            good = read_list(out, layout, options, splits[i], layout->lists[i][k], k, error);
    if (!good || !check_empty(out, layout, options, error) || !check_duplicates(out, layout, error))
        return false;
    thin(out, options, home);
    return true;
}

void seg_sets_clear(seg_sets *sets)
{
    for (int s = 0; s < ASSAY_SPLITS; s++)
        assay_free(sets->of[s].items);
    assay_free(sets->text);
    *sets = (seg_sets){0};
}
