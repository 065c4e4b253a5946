/* check.c - every file of every set, checked before a run starts; and the set's fingerprint. */
#include "index.h"
#include "seg.h"

#include <assay/hash.h>
#include <assay/log.h>
#include <assay/regions.h>

#include <stdio.h>
#include <string.h>

#define MANY 500 /* files to read: worth saying that it takes a while */

/* What broken images leave behind when they are skipped. */
typedef struct skipped {
    int64_t count;
    assay_error first;
} skipped;

/* ---- one image ---- */

static bool check_values(const seg_layout *layout, const image_facts *labels, const char *path,
                         assay_error *error)
{
    for (int v = 0; v < 256; v++) {
        if ((labels->values[v / 8] >> v % 8 & 1) == 0 || layout->class_of[v] >= 0)
            continue;
        return ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = path, .what = assay_text("label %d is no class", v),
            .expected = assay_text("0 to %d, or the ignored", layout->class_count - 1),
            .hint = "option `remap` says what stored labels mean");
    }
    return true;
}

static bool check_truth(image_index *index, const seg_data *data, seg_item *item,
                        assay_error *error)
{
    char path[SEG_LONGEST_PATH];
    const seg_layout *layout = &data->layout;
    seg_label_path(layout, &data->sets, item, path);
    const image_facts *labels =
        image_index_get(index, IMAGE_LABELS, path + strlen(layout->base), path, error);
    if (labels == NULL)
        return false;
    if (labels->width != item->width || labels->height != item->height)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                          .what = "the labels differ from their image in size",
                          .expected = assay_text("%d x %d", item->width, item->height),
                          .got = assay_text("%d x %d", labels->width, labels->height));
    memcpy(item->truth, labels->content, sizeof item->truth);
    return check_values(layout, labels, path, error);
}

static bool check_item(image_index *index, const seg_data *data, seg_item *item, assay_error *error)
{
    char path[SEG_LONGEST_PATH];
    const seg_layout *layout = &data->layout;
    seg_image_path(layout, &data->sets, item, path);
    const image_facts *image =
        image_index_get(index, IMAGE_PICTURE, path + strlen(layout->base), path, error);
    if (image == NULL)
        return false;
    if (layout->channel >= image->channels)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                          .what = "the image has not the channel that is read",
                          .expected = assay_text("%d channels or more", layout->channel + 1),
                          .got = assay_text("%d", image->channels));
    item->width = image->width;
    item->height = image->height;
    memcpy(item->image, image->content, sizeof item->image);
    return layout->labels == NULL || check_truth(index, data, item, error);
}

/* ---- all of them ---- */

static bool is_stopping(const assay_host *host)
{
    return host != NULL && host->stopping != NULL && host->stopping(host->user);
}

/* The items of a split from one on: first an image, then its labels, where there are any. */
typedef struct rest {
    const seg_data *data;
    const seg_set *set;
    int64_t first;
} rest;

static int64_t files_of(const seg_data *data)
{
    return data->layout.labels != NULL ? 2 : 1;
}

static void wish_file(const void *user, int64_t i, image_wish *out)
{
    const rest *of = user;
    const int64_t each = files_of(of->data);
    const seg_item *item = &of->set->items[of->first + i / each];
    out->kind = i % each == 0 ? IMAGE_PICTURE : IMAGE_LABELS;
    out->name = (int64_t)strlen(of->data->layout.base);
    if (out->kind == IMAGE_PICTURE)
        seg_image_path(&of->data->layout, &of->data->sets, item, out->path);
    else
        seg_label_path(&of->data->layout, &of->data->sets, item, out->path);
}

/* Checks a split's images; broken ones leave it when the script says so. */
static bool check_set(image_index *index, seg_data *data, seg_set *set, const assay_host *host,
                      skipped *broken, assay_error *error)
{
    bool skips = data->options->on_error == 1;
    int64_t kept = 0;
    for (int64_t i = 0; i < set->count; i++) {
        assay_error why = {0};
        const int64_t before = index->read, each = files_of(data);
        if (i % (IMAGE_AHEAD / each) == 0) {
            if (is_stopping(host))
                return ASSAY_FAIL(error, ASSAY_STOPPED, .where = data->layout.base,
                                  .what = "stopped while the images were checked");
            image_index_ahead(index, each * (set->count - i), wish_file, &(rest){data, set, i});
        }
        bool good = check_item(index, data, &set->items[i], &why);
        if (before < MANY && index->read >= MANY)
            assay_log(ASSAY_LOG_INFO, "%s: reading every file once, to check it",
                      data->layout.base);
        if (good) {
            set->items[kept++] = set->items[i];
            continue;
        }
        if (!skips || why.code != ASSAY_BAD_FILE) {
            if (error != NULL && error->code == ASSAY_OK)
                *error = why;
            return false;
        }
        if (broken->count++ == 0)
            broken->first = why;
    }
    set->count = kept;
    return true;
}

/* Nothing may be empty after broken images have left. */
static bool check_left(const seg_data *data, const skipped *broken, assay_error *error)
{
    char line[1200];
    bool labelled = data->layout.labels != NULL;
    for (int s = 0; s < ASSAY_SPLITS && broken->count > 0; s++) {
        bool due = labelled ? s != ASSAY_PRETRAIN : s == ASSAY_PRETRAIN;
        if (due && data->sets.of[s].count == 0)
            return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = data->layout.base,
                              .what = assay_text("every image of split %s is broken",
                                                 assay_split_name((assay_data_split)s)),
                              .got = assay_error_format(&broken->first, line, sizeof line));
    }
    return true;
}

static void tell(const seg_data *data, const image_index *index, const skipped *broken)
{
    char line[1200];
    const seg_sets *sets = &data->sets;
    if (index->read > 0)
        assay_log(ASSAY_LOG_INFO,
                  "%s: pretrain %lld, train %lld, valid %lld, test %lld images; %lld files read",
                  data->layout.base, (long long)sets->of[0].count, (long long)sets->of[1].count,
                  (long long)sets->of[2].count, (long long)sets->of[3].count,
                  (long long)index->read);
    if (broken->count > 0)
        assay_log(ASSAY_LOG_WARNING, "%s: %lld images skipped, the first: %s", data->layout.base,
                  (long long)broken->count, assay_error_format(&broken->first, line, sizeof line));
    if (sets->copies > 0)
        assay_log(ASSAY_LOG_WARNING,
                  "%s: %lld names look like copies (\"(1)\", \"~temp\"), %lld of them left out; "
                  "copies = \"drop\" leaves them out",
                  data->layout.base, (long long)sets->copies, (long long)sets->dropped);
    if (sets->shared > 0)
        assay_log(ASSAY_LOG_WARNING,
                  "%s: valid and test share %lld images: what is chosen on valid has seen test",
                  data->layout.base, (long long)sets->shared);
}

/* The candidates for crops that lie beside the images go into the fingerprint too. */
static bool check_rois(const seg_data *data, assay_sha256 *hash, assay_error *error)
{
    const seg_set *set = &data->sets.of[ASSAY_PRETRAIN];
    char path[SEG_LONGEST_PATH];
    int64_t found = 0;
    assay_arena *arena = assay_arena_new(0, error);
    bool good = arena != NULL;
    for (int64_t i = 0; good && i < set->count; i++) {
        assay_arena_reset(arena);
        seg_image_path(&data->layout, &data->sets, &set->items[i], path);
        good = assay_rois_check(path, hash, &found, arena, error);
    }
    assay_arena_free(arena);
    if (good && found == 0)
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .where = "dataset.image_seg: crop",
            .what = "no image has a file of regions",
            .hint = assay_text("assay rois %s/%s", data->layout.base, data->layout.images));
    if (good && found < set->count)
        assay_log(ASSAY_LOG_WARNING, "%s: %lld of %lld images have no file of regions",
                  data->layout.base, (long long)(set->count - found), (long long)set->count);
    return good;
}

/* Contents in order, and what labels are called: not names of files, nor where they lie. */
static bool make_fingerprint(seg_data *data, assay_error *error)
{
    static const uint8_t end[1] = {0};
    uint8_t sum[32];
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, "image_seg 1", 11);
    for (int s = 0; s < ASSAY_SPLITS; s++) {
        const seg_set *set = &data->sets.of[s];
        assay_sha256_add(&hash, &set->count, sizeof set->count);
        for (int64_t i = 0; i < set->count; i++) {
            assay_sha256_add(&hash, set->items[i].image, sizeof set->items[i].image);
            assay_sha256_add(&hash, set->items[i].truth, sizeof set->items[i].truth);
        }
    }
    for (int c = 0; c < data->layout.class_count; c++) {
        assay_sha256_add(&hash, data->layout.classes[c], strlen(data->layout.classes[c]));
        assay_sha256_add(&hash, end, 1);
    }
    assay_sha256_add(&hash, &data->layout.channel, sizeof data->layout.channel);
    assay_sha256_add(&hash, data->layout.class_of, sizeof data->layout.class_of);
    if (data->options->crop == SEG_CROP_ROI && !check_rois(data, &hash, error))
        return false;
    assay_sha256_end(&hash, sum);
    assay_sha256_hex(sum, data->fingerprint);
    return true;
}

bool seg_check(seg_data *data, const assay_host *host, assay_error *error)
{
    image_index index = {0};
    skipped broken = {0};
    bool good = image_index_open(&index, data->layout.base, host, error);
    for (int s = 0; s < ASSAY_SPLITS && good; s++)
        good = check_set(&index, data, &data->sets.of[s], host, &broken, error);
    /* What was learnt before a broken file stays known. */
    image_index_keep(&index);
    good = good && check_left(data, &broken, error);
    if (good) {
        tell(data, &index, &broken);
        good = make_fingerprint(data, error);
    }
    image_index_clear(&index);
    return good;
}
