/* check.c - every image, checked before a run starts; what each source counts; the fingerprint. */
#include "index.h"
#include "mix.h"

#include <assay/hash.h>
#include <assay/log.h>
#include <assay/regions.h>

#include <string.h>

#define SKIP 1 /* the option on_error */

static bool is_stopping(const assay_host *host)
{
    return host != NULL && host->stopping != NULL && host->stopping(host->user);
}

static bool check_item(const mix_data *data, image_index *index, mix_item *item, assay_error *error)
{
    char path[MIX_LONGEST_PATH];
    mix_path(data, item, path);
    const image_facts *facts =
        image_index_get(index, IMAGE_PICTURE, data->text + item->path, path, error);
    if (facts != NULL)
        memcpy(item->content, facts->content, sizeof item->content);
    return facts != NULL;
}

/* The items from one on. */
typedef struct rest {
    const mix_data *data;
    int64_t first;
} rest;

static void wish_item(const void *user, int64_t i, image_wish *out)
{
    const rest *of = user;
    out->kind = IMAGE_PICTURE;
    out->name = (int64_t)strlen(of->data->options->path) + 1; /* behind the slash */
    mix_path(of->data, &of->data->items[of->first + i], out->path);
}

/* Broken images leave when the script says so. */
static bool check_items(mix_data *data, image_index *index, const assay_host *host,
                        assay_error *first, assay_error *error)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < data->count; i++) {
        assay_error why = {0};
        if (i % IMAGE_AHEAD == 0) {
            if (is_stopping(host))
                return ASSAY_FAIL(error, ASSAY_STOPPED, .where = data->options->path,
                                  .what = "stopped while the images were checked");
            image_index_ahead(index, data->count - i, wish_item, &(rest){data, i});
        }
        if (check_item(data, index, &data->items[i], &why)) {
            data->sources[data->items[i].source].kept++;
            data->items[kept++] = data->items[i];
            continue;
        }
        if (data->options->on_error != SKIP || why.code != ASSAY_BAD_FILE)
            return ASSAY_FAIL(error, why.code, .where = why.where, .what = why.what,
                              .expected = why.expected, .got = why.got, .hint = why.hint);
        if (data->broken++ == 0)
            *first = why;
    }
    data->count = kept;
    return kept > 0 || ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = data->options->path,
                                  .what = "every image is broken", .got = first->where);
}

static void tell(const mix_data *data, const assay_error *first)
{
    char line[1200];
    for (int64_t i = 0; i < data->source_count; i++)
        assay_log(ASSAY_LOG_INFO, MIX_WHERE ": %s: %lld images, %lld taken", data->sources[i].name,
                  (long long)data->sources[i].listed, (long long)data->sources[i].kept);
    assay_log(ASSAY_LOG_INFO, MIX_WHERE ": %lld images in all", (long long)data->count);
    if (data->broken > 0)
        assay_log(ASSAY_LOG_WARNING, MIX_WHERE ": %lld images skipped, the first: %s",
                  (long long)data->broken, assay_error_format(first, line, sizeof line));
}

/* The candidates for crops that lie beside the images. */
static bool check_rois(const mix_data *data, assay_sha256 *hash, assay_error *error)
{
    char path[MIX_LONGEST_PATH];
    int64_t found = 0;
    assay_arena *arena = assay_arena_new(0, error);
    bool good = arena != NULL;
    for (int64_t i = 0; good && i < data->count; i++) {
        assay_arena_reset(arena);
        mix_path(data, &data->items[i], path);
        good = assay_rois_check(path, hash, &found, arena, error);
    }
    assay_arena_free(arena);
    if (good && found == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MIX_WHERE ": crop",
                          .what = "no image has a file of regions",
                          .hint = "assay rois FOLDER makes them, beside each folder of images");
    if (good && found < data->count)
        assay_log(ASSAY_LOG_INFO, MIX_WHERE ": %lld of %lld images have no file of regions",
                  (long long)(data->count - found), (long long)data->count);
    return good;
}

/* Contents in their order: not names of files, nor where they lie. */
static bool make_fingerprint(mix_data *data, assay_error *error)
{
    uint8_t sum[32];
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, "image_mix 1", 11);
    for (int64_t i = 0; i < data->count; i++)
        assay_sha256_add(&hash, data->items[i].content, sizeof data->items[i].content);
    if (data->options->crop == MIX_CROP_ROI && !check_rois(data, &hash, error))
        return false;
    assay_sha256_end(&hash, sum);
    assay_sha256_hex(sum, data->fingerprint);
    return true;
}

bool mix_check(mix_data *data, const assay_host *host, assay_error *error)
{
    image_index index = {0};
    assay_error first = {0};
    bool good = image_index_open(&index, data->options->path, host, error) &&
                check_items(data, &index, host, &first, error);
    /* What was learnt before a broken file stays known. */
    image_index_keep(&index);
    image_index_clear(&index);
    if (!good)
        return false;
    tell(data, &first);
    return make_fingerprint(data, error);
}
