/* ranking.c - AUC and KS of scores against binary labels, with ties.
 *
 * Both are ratios of whole numbers over the pairs (positive, negative), so they are summed as whole
 * numbers and divided once: the result cannot depend on the order of the rows. */
#include <assay/memory.h>
#include <assay/metrics.h>

#include <math.h>
#include <stdlib.h>

typedef struct scored {
    double score;
    int32_t label;
} scored;

static int compare_descending(const void *left, const void *right)
{
    double a = ((const scored *)left)->score;
    double b = ((const scored *)right)->score;
    return (a < b) - (a > b);
}

/* Checks every row and counts the classes. */
static bool count_classes(const double *score, const int32_t *label, int64_t n, assay_ranking *out,
                          assay_error *error)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(score[i]))
            return ASSAY_FAIL(error, ASSAY_NOT_FINITE, .where = "ranking",
                              .what = "a score is not finite", .expected = "finite scores",
                              .got = assay_text("%g in row %lld", score[i], (long long)i),
                              .hint = "the model that scored the row has diverged");
        if (label[i] != 0 && label[i] != 1)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "ranking",
                              .what = "a label is not binary", .expected = "0 or 1",
                              .got = assay_text("%d in row %lld", (int)label[i], (long long)i));
        out->positives += label[i];
    }
    out->negatives = n - out->positives;
    if (out->positives == 0 || out->negatives == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "ranking",
                          .what = "AUC and KS do not exist for one class",
                          .expected = "rows of both labels",
                          .got = assay_text("%lld positives, %lld negatives",
                                            (long long)out->positives, (long long)out->negatives),
                          .hint = "rank over more rows, or split stratified by label");
    return true;
}

/* Walks the rows, sorted by descending score, in groups of equal score. A threshold cannot cut a
 * group, so its pairs count one half in the AUC and KS is looked at between groups only. */
static void walk_groups(const scored *row, int64_t n, assay_ranking *out)
{
    int64_t positives = out->positives, negatives = out->negatives;
    int64_t tp = 0, fp = 0;
    int64_t half_pairs = 0; /* twice the pairs won, ties counting one */
    int64_t widest = 0;     /* the largest |tp/P - fp/N|, times P N */
    for (int64_t i = 0; i < n;) {
        int64_t group_tp = 0, group_fp = 0;
        double score = row[i].score;
        for (; i < n && row[i].score == score; i++) {
            group_tp += row[i].label;
            group_fp += 1 - row[i].label;
        }
        half_pairs += group_fp * (2 * tp + group_tp);
        tp += group_tp;
        fp += group_fp;
        int64_t gap = tp * negatives - fp * positives;
        gap = gap < 0 ? -gap : gap;
        widest = gap > widest ? gap : widest;
    }
    double pairs = (double)positives * (double)negatives;
    out->auc = (double)half_pairs / (2.0 * pairs);
    out->ks = (double)widest / pairs;
}

bool assay_rank(const double *score, const int32_t *label, int64_t n, assay_ranking *out,
                assay_error *error)
{
    assay_ranking ranking = {0};
    if (!count_classes(score, label, n, &ranking, error))
        return false;

    int64_t bytes = 0, pairs = 0;
    if (!assay_size_mul(&bytes, n, (int64_t)sizeof(scored)) ||
        !assay_size_mul(&pairs, ranking.positives, ranking.negatives) ||
        !assay_size_mul(&pairs, pairs, 2))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "ranking",
                          .what = "the pairs of rows do not fit in 63 bits",
                          .got = assay_text("%lld rows", (long long)n));
    scored *row = assay_alloc(bytes, error);
    if (!row)
        return false;
    for (int64_t i = 0; i < n; i++)
        row[i] = (scored){.score = score[i], .label = label[i]};
    qsort(row, (size_t)n, sizeof(scored), compare_descending);
    walk_groups(row, n, &ranking);
    assay_free(row);
    *out = ranking;
    return true;
}
