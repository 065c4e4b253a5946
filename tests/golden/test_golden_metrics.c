/* test_golden_metrics.c - the metrics against values computed independently in another framework.
 *
 * The files lie under the folder ASSAY_GOLDEN, or under golden/ of the test data. A file that is
 * absent is skipped; a tensor that a present file lacks, and a file of which nothing was compared,
 * are failures. Every count (rows, classes, layers, heads) is read from the files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/metrics.h>

#define CLASS_TOKENS 1

#define PROBE        "users/probe.safetensors"
#define ATTENTION    "infrared/vit_reference.safetensors"
#define SEGMENTATION "infrared/image_reference.safetensors"

static int64_t compared; /* values of the running test that agreed */

static int start(void **state)
{
    (void)state;
    compared = 0;
    return 0;
}

/* A tensor that the file has to hold, with `rank` dimensions. Borrowed. */
static const assay_stored *get(const assay_weights *file, const char *name, int rank)
{
    const assay_stored *stored = golden_get(file, name);
    if (stored->rank != rank)
        fail_msg("%s has rank %d, expected %d", name, stored->rank, rank);
    return stored;
}

static void agree(const char *name, const double *got, const double *expected, int64_t n)
{
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        difference += (got[i] - expected[i]) * (got[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    if (n < 1 || !(sqrt(difference) <= GOLDEN_AGREEMENT * sqrt(norm)))
        fail_msg("%s: %lld values differ by %g of their norm %g", name, (long long)n,
                 sqrt(difference / norm), sqrt(norm));
    compared += n;
}

static void agree_with(const assay_weights *file, const char *name, const double *got, int64_t n)
{
    const assay_stored *stored = assay_weights_find(file, name);
    if (!stored || stored->count != n)
        fail_msg("%s is missing or does not hold %lld values", name, (long long)n);
    double *expected = golden_doubles(stored);
    agree(name, got, expected, n);
    test_free(expected);
}

/* AUC and KS of `score` against the labels, with the file's values of these two names. */
static void agree_ranking(const assay_weights *file, const double *score, const int32_t *label,
                          int64_t n, const char *auc_name, const char *ks_name)
{
    assay_ranking ranking;
    assay_error error = {0};
    golden_must(assay_rank(score, label, n, &ranking, &error), &error);
    agree_with(file, auc_name, &ranking.auc, 1);
    agree_with(file, ks_name, &ranking.ks, 1);
}

static void the_probe_and_its_ranking_agree(void **state)
{
    (void)state;
    assay_weights *file = golden_open(PROBE);
    const assay_stored *stored = get(file, "X", 2);
    int64_t n = stored->shape[0], d = stored->shape[1];
    int64_t train = (int64_t)golden_scalar(file, "train_rows"), held_out = n - train;
    double *x = golden_doubles(stored);
    assert_int_equal(get(file, "y", 1)->count, n);
    double *y = golden_doubles(get(file, "y", 1));
    int32_t *label = test_malloc((size_t)n * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++)
        label[i] = (int32_t)y[i];

    assay_error error = {0};
    assay_probe_options options = {.l2 = golden_scalar(file, "lambda")};
    assay_probe *probe = assay_probe_fit(x, label, train, d, &options, &error);
    golden_must(probe != NULL, &error);
    double *score = test_malloc((size_t)held_out * sizeof(double));
    assay_probe_score(probe, x + train * d, held_out, score);
    double bias = assay_probe_bias(probe);
    agree_with(file, "weights_standardised", assay_probe_weights(probe), d);
    agree_with(file, "bias", &bias, 1);
    agree_with(file, "scores", score, held_out);
    agree_ranking(file, score, label + train, held_out, "auc", "ks");

    stored = get(file, "tied_scores", 1);
    assert_int_equal(stored->count, held_out);
    double *tied = golden_doubles(stored);
    agree_ranking(file, tied, label + train, held_out, "tied_auc", "tied_ks");

    assert_true(compared > 0);
    test_free(tied);
    test_free(score);
    assay_probe_free(probe);
    test_free(label);
    test_free(y);
    test_free(x);
    assay_weights_close(file);
}

/* Adds 1 / images of the statistics of every head of one layer's maps (images, heads, T, T). The
 * images are `side` pixels wide. */
static void add_layer(const assay_stored *maps, int64_t side, double *nmi, double *distance)
{
    int64_t images = maps->shape[0], heads = maps->shape[1], tokens = maps->shape[2];
    int64_t width = llround(sqrt((double)(tokens - CLASS_TOKENS)));
    double pixels_per_patch = (double)side / (double)width;
    double *values = golden_doubles(maps);
    float *map = test_malloc((size_t)(tokens * tokens) * sizeof(float));
    for (int64_t k = 0; k < images * heads; k++) {
        double one_nmi = NAN, one_distance = NAN;
        assay_error error = {0};
        for (int64_t i = 0; i < tokens * tokens; i++)
            map[i] = (float)values[k * tokens * tokens + i];
        golden_must(assay_attention_nmi(map, tokens, CLASS_TOKENS, &one_nmi, &error), &error);
        golden_must(assay_attention_distance(map, tokens, CLASS_TOKENS, width, pixels_per_patch,
                                             &one_distance, &error),
                    &error);
        nmi[k % heads] += one_nmi / (double)images;
        distance[k % heads] += one_distance / (double)images;
    }
    test_free(map);
    test_free(values);
}

static void the_attention_statistics_agree(void **state)
{
    (void)state;
    assay_weights *file = golden_open(ATTENTION);
    const assay_stored *expected = get(file, "nmi", 2);
    int64_t layers = expected->shape[0], heads = expected->shape[1];
    int64_t side = get(file, "image", 4)->shape[3];
    double *nmi = test_calloc((size_t)(layers * heads), sizeof(double));
    double *distance = test_calloc((size_t)(layers * heads), sizeof(double));
    for (int64_t layer = 0; layer < layers; layer++) {
        char name[64];
        snprintf(name, sizeof name, "attention.%lld", (long long)layer);
        const assay_stored *maps = get(file, name, 4);
        assert_int_equal(maps->shape[1], heads);
        assert_int_equal(maps->shape[2], maps->shape[3]);
        add_layer(maps, side, nmi + layer * heads, distance + layer * heads);
    }
    agree_with(file, "nmi", nmi, layers * heads);
    agree_with(file, "attention_distance", distance, layers * heads);
    assert_true(compared > 0);
    test_free(distance);
    test_free(nmi);
    assay_weights_close(file);
}

static uint8_t *new_bytes(const assay_stored *stored)
{
    double *values = golden_doubles(stored);
    uint8_t *bytes = test_malloc((size_t)stored->count);
    for (int64_t i = 0; i < stored->count; i++)
        bytes[i] = (uint8_t)values[i];
    test_free(values);
    return bytes;
}

static void the_segmentation_scores_agree(void **state)
{
    (void)state;
    assay_weights *file = golden_open(SEGMENTATION);
    const assay_stored *truth = get(file, "miou.truth", 3);
    const assay_stored *prediction = get(file, "miou.prediction", 3);
    int64_t images = truth->shape[0], classes = get(file, "miou.iou", 1)->count;
    assert_true(images > 0 && classes > 0);
    assert_int_equal(truth->count, prediction->count);
    int64_t pixels = truth->count / images;
    uint8_t *truth_bytes = new_bytes(truth), *prediction_bytes = new_bytes(prediction);

    assay_error error = {0};
    assay_confusion *confusion = assay_confusion_new(classes, 255, &error);
    golden_must(confusion != NULL, &error);
    for (int64_t i = 0; i < images; i++)
        golden_must(assay_confusion_add(confusion, truth_bytes + i * pixels,
                                        prediction_bytes + i * pixels, pixels, &error),
                    &error);
    double *iou = test_malloc((size_t)classes * sizeof(double));
    assay_segmentation scores;
    golden_must(assay_confusion_summary(confusion, &scores, iou, &error), &error);
    agree_with(file, "miou.iou", iou, classes);
    agree_with(file, "miou.miou", &scores.miou, 1);
    agree_with(file, "miou.macc", &scores.macc, 1);
    agree_with(file, "miou.aacc", &scores.aacc, 1);
    assert_true(compared > 0);
    test_free(iou);
    assay_confusion_free(confusion);
    test_free(prediction_bytes);
    test_free(truth_bytes);
    assay_weights_close(file);
}

int main(void)
{
    static const char *const probe[] = {PROBE, NULL};
    static const char *const attention[] = {ATTENTION, NULL};
    static const char *const segmentation[] = {SEGMENTATION, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test_setup(the_probe_and_its_ranking_agree, start), probe},
        {cmocka_unit_test_setup(the_attention_statistics_agree, start), attention},
        {cmocka_unit_test_setup(the_segmentation_scores_agree, start), segmentation},
    };
    return golden_run("golden metrics", sizeof tests / sizeof tests[0], tests);
}
