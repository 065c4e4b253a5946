/* attention_stats.c - how local an attention map is: mutual information and mean distance.
 *
 * Both follow the analysis of Park et al., "What do self-supervised vision transformers learn?"
 * (ICLR 2023), as the infrared spec restates it in 2.6.1 and 2.6.4: the class token is dropped from
 * queries and keys, a small number is added to every entry, and rows are renormalised. */
#include <assay/memory.h>
#include <assay/metrics.h>

#include <math.h>

#define NMI_SMOOTHING      1e-8
#define DISTANCE_SMOOTHING 1e-32
#define VANISHED_ENTROPY   1e-12 /* far above rounding, far below that of any smoothed softmax */

/* The patch-to-patch part of a map, borrowed. Entry (i, j) is first[i * tokens + j]. */
typedef struct patch_map {
    const float *first;
    int64_t tokens;
    int64_t patches;
} patch_map;

/* Cuts the first `skip` tokens off and checks what is left: at least `least` patches, every entry a
 * finite non-negative number (a negative one has no logarithm and is no softmax). */
static bool cut_map(const float *attention, int64_t tokens, int64_t skip, int64_t least,
                    const char *where, patch_map *out, assay_error *error)
{
    if (skip < 0 || tokens < 0 || tokens - skip < least)
        return ASSAY_FAIL(
            error, ASSAY_BAD_SHAPE, .where = where, .what = "too few patches in the attention map",
            .expected = assay_text("at least %lld after the skipped tokens", (long long)least),
            .got = assay_text("%lld tokens, %lld of them skipped", (long long)tokens,
                              (long long)skip));
    patch_map map = {attention + skip * tokens + skip, tokens, tokens - skip};
    for (int64_t i = 0; i < map.patches; i++) {
        for (int64_t j = 0; j < map.patches; j++) {
            float entry = map.first[i * tokens + j];
            if (isfinite(entry) && entry >= 0)
                continue;
            return ASSAY_FAIL(error, isfinite(entry) ? ASSAY_BAD_INPUT : ASSAY_NOT_FINITE,
                              .where = where, .what = "an attention entry is not a probability",
                              .expected = "finite and non-negative entries",
                              .got = assay_text("%g from patch %lld to patch %lld", (double)entry,
                                                (long long)i, (long long)j),
                              .hint = "the map is expected after its softmax");
        }
    }
    *out = map;
    return true;
}

/* What the entries of query i are divided by after `smoothing` was added to each. */
static double row_total(const patch_map *map, int64_t i, double smoothing)
{
    double total = 0;
    for (int64_t j = 0; j < map->patches; j++)
        total += (double)map->first[i * map->tokens + j] + smoothing;
    return total;
}

/* key[j] = p(k_j), the mean of column j of the renormalised map; all positive. */
static void key_marginal(const patch_map *map, double *key)
{
    for (int64_t j = 0; j < map->patches; j++)
        key[j] = 0;
    for (int64_t i = 0; i < map->patches; i++) {
        double scale = 1 / (row_total(map, i, NMI_SMOOTHING) * (double)map->patches);
        for (int64_t j = 0; j < map->patches; j++)
            key[j] += ((double)map->first[i * map->tokens + j] + NMI_SMOOTHING) * scale;
    }
}

bool assay_attention_nmi(const float *attention, int64_t tokens, int64_t skip, double *nmi,
                         assay_error *error)
{
    patch_map map;
    if (!cut_map(attention, tokens, skip, 2, "attention nmi", &map, error))
        return false;
    double *key = assay_alloc(map.patches * (int64_t)sizeof(double), error);
    if (!key)
        return false;
    key_marginal(&map, key);

    double information = 0, key_entropy = 0;
    for (int64_t i = 0; i < map.patches; i++) {
        double total = row_total(&map, i, NMI_SMOOTHING), sum = 0;
        for (int64_t j = 0; j < map.patches; j++) {
            double a = ((double)map.first[i * tokens + j] + NMI_SMOOTHING) / total;
            sum += a * log(a / key[j]);
        }
        information += sum / (double)map.patches;
    }
    for (int64_t j = 0; j < map.patches; j++)
        key_entropy -= key[j] * log(key[j]);
    assay_free(key);

    if (key_entropy < VANISHED_ENTROPY)
        *nmi = 0;
    else /* rounding can leave an information of about -1e-16 */
        *nmi = fmax(information, 0) / sqrt(log((double)map.patches) * key_entropy);
    return true;
}

/* Expected distance, in patches, from patch i to where it attends. */
static double query_distance(const patch_map *map, int64_t i, int64_t grid_width)
{
    double sum = 0;
    for (int64_t j = 0; j < map->patches; j++) {
        double dy = (double)(i / grid_width - j / grid_width);
        double dx = (double)(i % grid_width - j % grid_width);
        sum += ((double)map->first[i * map->tokens + j] + DISTANCE_SMOOTHING) *
               sqrt(dy * dy + dx * dx);
    }
    return sum / row_total(map, i, DISTANCE_SMOOTHING);
}

bool assay_attention_distance(const float *attention, int64_t tokens, int64_t skip,
                              int64_t grid_width, double pixels_per_patch, double *distance,
                              assay_error *error)
{
    const char *where = "attention distance";
    patch_map map;
    if (!cut_map(attention, tokens, skip, 1, where, &map, error))
        return false;
    if (grid_width < 1 || map.patches % grid_width != 0)
        return ASSAY_FAIL(
            error, ASSAY_BAD_SHAPE, .where = where, .what = "the patches do not fill a grid",
            .expected = assay_text("a multiple of %lld patches", (long long)grid_width),
            .got = assay_text("%lld patches", (long long)map.patches),
            .hint = "grid_width counts patches per row; skip drops the class token");
    if (!isfinite(pixels_per_patch) || pixels_per_patch <= 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "the side of a patch is not a length",
                          .expected = "pixels above 0", .got = assay_text("%g", pixels_per_patch));
    double sum = 0;
    for (int64_t i = 0; i < map.patches; i++)
        sum += query_distance(&map, i, grid_width);
    *distance = pixels_per_patch * sum / (double)map.patches;
    return true;
}
