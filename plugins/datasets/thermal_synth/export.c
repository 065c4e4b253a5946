/* export.c - the pictures as files that other dataset plugins read.
 *
 * Segmentation: what dataset.image_seg reads: images/STEM.png, labels/STEM.png, a list of stems for
 * each split (train.txt, valid.txt, test.txt) and classes.txt. Pre-training: what dataset.image_mix
 * reads: infpre/thermal_synth/thermal/NUMBER.png, of split pretrain. */
#include "thermal.h"

#include <assay/file.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LONGEST_PATH 4096
#define LONGEST_STEM 32

static bool make_folder(const char *folder, const char *below, char *path, assay_error *error)
{
    int bytes = snprintf(path, LONGEST_PATH, "%s%s%s", folder, below[0] != '\0' ? "/" : "", below);
    if (bytes + LONGEST_STEM + 8 >= LONGEST_PATH)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder, .what = "the path is too long");
    return mkdir(path, 0777) == 0 || errno == EEXIST ||
           ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot make this folder",
                      .got = assay_text("%m"));
}

static bool write_picture(const assay_image *image, const char *folder, const char *stem,
                          assay_error *error)
{
    char path[LONGEST_PATH + LONGEST_STEM + 8];
    snprintf(path, sizeof path, "%s/%s.png", folder, stem);
    return assay_image_write(image, path, error);
}

/* Picture `index` of a split; `labels` NULL: without them. */
static bool write_pair(const thermal_data *data, assay_data_split split, int64_t index,
                       const char *images, const char *labels, const char *stem, assay_error *error)
{
    assay_image image = {0}, truth = {0};
    bool good = thermal_picture(data, thermal_number(split, index), &image, &truth, error) &&
                write_picture(&image, images, stem, error) &&
                (labels == NULL || write_picture(&truth, labels, stem, error));
    assay_image_free(&image);
    assay_image_free(&truth);
    return good;
}

static bool write_split(const thermal_data *data, assay_data_split split, const char *folder,
                        const char *images, const char *labels, assay_error *error)
{
    char path[LONGEST_PATH + LONGEST_STEM + 8], stem[LONGEST_STEM];
    const char *name = assay_split_name(split);
    snprintf(path, sizeof path, "%s/%s.txt", folder, name);
    assay_publisher *list = assay_publish_begin(path, error);
    if (list == NULL)
        return false;
    bool good = true;
    for (int64_t i = 0; good && i < data->count[split]; i++) {
        snprintf(stem, sizeof stem, "%s_%06" PRId64, name, i);
        good = write_pair(data, split, i, images, labels, stem, error) &&
               assay_publish_write(list, stem, (int64_t)strlen(stem), error) &&
               assay_publish_write(list, "\n", 1, error);
    }
    if (good)
        return assay_publish_commit(list, error);
    assay_publish_abandon(list);
    return false;
}

static bool write_classes(const char *folder, assay_error *error)
{
    char path[LONGEST_PATH + LONGEST_STEM + 8], text[CLASSES * LONGEST_STEM] = "";
    size_t used = 0;
    for (int c = 0; c < CLASSES; c++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n", thermal_classes[c]);
    snprintf(path, sizeof path, "%s/classes.txt", folder);
    return assay_publish(path, text, (int64_t)used, error);
}

static bool write_pretraining(const thermal_data *data, const char *folder, assay_error *error)
{
    char path[LONGEST_PATH], stem[LONGEST_STEM];
    if (!make_folder(folder, "infpre", path, error) ||
        !make_folder(folder, "infpre/thermal_synth", path, error) ||
        !make_folder(folder, "infpre/thermal_synth/thermal", path, error))
        return false;
    for (int64_t i = 0; i < data->count[ASSAY_PRETRAIN]; i++) {
        snprintf(stem, sizeof stem, "%07" PRId64, i);
        if (!write_pair(data, ASSAY_PRETRAIN, i, path, NULL, stem, error))
            return false;
    }
    return true;
}

bool thermal_write(const thermal_data *data, const char *folder, assay_error *error)
{
    char path[LONGEST_PATH], images[LONGEST_PATH], labels[LONGEST_PATH];
    if (!make_folder(folder, "", path, error))
        return false;
    if (data->options->task == THERMAL_PRETRAINING)
        return write_pretraining(data, folder, error);
    if (!make_folder(folder, "images", images, error) ||
        !make_folder(folder, "labels", labels, error))
        return false;
    for (int split = ASSAY_TRAIN; split < ASSAY_SPLITS; split++)
        if (!write_split(data, (assay_data_split)split, folder, images, labels, error))
            return false;
    return write_classes(folder, error);
}
