/* rois.c - `assay rois`: candidates for PAD's crops of the images in folders, found once and
 * written to files beside them (infrared spec 3.3.1). */
#include "cli/commands.h"
#include "cli/output.h"

#include <assay/memory.h>
#include <assay/regions.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONGEST_PATH 4096

/* What has been done so far. */
typedef struct tally {
    int64_t images, kept, candidates, without;
} tally;

typedef struct job {
    const char *folder;
    struct dirent **entries;
    int count;
    assay_roi_rule rule;
    bool again; /* files that are there are made anew */
} job;

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), last = strlen(end);
    return length > last && strcmp(name + length - last, end) == 0;
}

static int is_image(const struct dirent *entry)
{
    static const char *const ends[] = {".png", ".jpg", ".jpeg", ".JPEG", ".bmp"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (entry->d_name[0] != '.' && ends_with(entry->d_name, ends[i]))
            return 1;
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool make_folder(const char *file, assay_error *error)
{
    char folder[LONGEST_PATH];
    snprintf(folder, sizeof folder, "%s", file);
    *strrchr(folder, '/') = '\0';
    return mkdir(folder, 0777) == 0 || errno == EEXIST ||
           ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "cannot make this folder",
                      .got = strerror(errno));
}

/* An image's candidates, into their file. */
static bool find_one(const job *j, const char *name, tally *of, assay_error *error)
{
    char image_path[LONGEST_PATH], path[LONGEST_PATH];
    assay_image image = {0};
    assay_rois rois = {0};
    int length = snprintf(image_path, sizeof image_path, "%s/%s", j->folder, name);
    if (length >= LONGEST_PATH || !assay_rois_path(image_path, path, sizeof path))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = name, .what = "the path is too long");
    of->images++;
    if (!j->again && access(path, F_OK) == 0) {
        of->kept++;
        return true;
    }
    if (!assay_image_read(&image, image_path, ASSAY_LUMA, NULL, error))
        return false;
    assay_image_narrow(&image);
    assay_arena *arena = assay_arena_new(image.width * image.height * 128 + 65536, error);
    assay_error why = {0};
    bool good = arena != NULL;
    if (good && !assay_rois_find(&image, &j->rule, &rois, arena, &why))
        good = ASSAY_FAIL(error, why.code, .where = image_path, .what = why.what,
                          .expected = why.expected, .got = why.got, .hint = why.hint);
    good = good && assay_rois_write(path, &rois, error);
    of->candidates += rois.count;
    of->without += rois.count == 0;
    assay_arena_free(arena);
    assay_image_free(&image);
    return good;
}

/* All images of a folder; the first failure in the order of names is told. */
static bool find_all(const job *j, tally *all, assay_error *error)
{
    int first_bad = j->count;
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < j->count; i++) {
        tally mine = {0};
        assay_error own = {0};
        bool good = find_one(j, j->entries[i]->d_name, &mine, &own);
#pragma omp critical
        {
            all->images += mine.images;
            all->kept += mine.kept;
            all->candidates += mine.candidates;
            all->without += mine.without;
            if (!good && i < first_bad) {
                first_bad = i;
                *error = own;
            }
        }
    }
    return first_bad == j->count;
}

static bool find_in(const char *folder, const arguments *args, double unit, tally *all,
                    assay_error *error)
{
    char full[LONGEST_PATH], some[LONGEST_PATH], path[LONGEST_PATH];
    job j = {.rule = assay_roi_rule_of(unit), .again = args_has(args, "again")};
    j.rule.search.corrected = args_has(args, "corrected");
    if (realpath(folder, full) == NULL)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder,
                          .what = "this folder cannot be read", .got = strerror(errno));
    j.folder = full;
    j.count = scandir(full, &j.entries, is_image, by_name);
    if (j.count < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder,
                          .what = "this folder cannot be read", .got = strerror(errno));
    bool good = j.count > 0 || ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder,
                                          .what = "there is no image in this folder",
                                          .expected = ".png, .jpg, .jpeg, .JPEG or .bmp");
    if (good && (snprintf(some, sizeof some, "%s/x", full) >= LONGEST_PATH ||
                 !assay_rois_path(some, path, sizeof path)))
        good = ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder, .what = "the path is too long");
    good = good && make_folder(path, error) && find_all(&j, all, error);
    for (int i = 0; i < j.count; i++)
        free(j.entries[i]);
    free(j.entries);
    return good;
}

static int rois_run(const arguments *args, assay_error *error)
{
    tally all = {0};
    double unit = 1;
    const char *text = args_value(args, "unit");
    char *end = NULL;
    if (text != NULL)
        unit = strtod(text, &end);
    if (text != NULL && (end == text || *end != '\0' || !(unit > 0 && unit <= 100))) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--unit", .what = "this is no unit",
                   .expected = "a number above 0, up to 100", .got = text);
        return EXIT_WRONG;
    }
    for (int i = 0; i < args_operands(args); i++)
        if (!find_in(args_operand(args, i), args, unit, &all, error))
            return output_status(error);
    int64_t made = all.images - all.kept;
    printf("%lld images: %lld files made (%.1f candidates each, %lld without), %lld were there\n",
           (long long)all.images, (long long)made,
           made > 0 ? (double)all.candidates / (double)made : 0.0, (long long)all.without,
           (long long)all.kept);
    return EXIT_DONE;
}

static const cli_flag flags[] = {
    {.name = "unit",
     .argument = "F",
     .meaning = "sides of the rule times F, areas and scale times F squared; the rule (1) is made "
                "for images of about 640 x 480"},
    {.name = "corrected",
     .meaning = "without the quirks of the published search: whole boxes, all textures, neighbours "
                "that touch"},
    {.name = "again", .meaning = "files that are there are made anew"},
};

const cli_command rois_command = {
    .name = "rois",
    .operands = "FOLDER...",
    .least = 1,
    .most = -1,
    .summary = "regions of images that may hold objects, for crop = \"roi\" (PAD)",
    .details = "For each image of a folder DIR/NAME, selective search finds regions; those of 600 "
               "pixels, sides of 40 and an aspect of 3 at most are written to DIR/roi, a line "
               "\"x,y,w,h\" each, as PAD's own files have them.",
    .example = "assay rois infpre/LLVIP/thermal",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = rois_run,
};
