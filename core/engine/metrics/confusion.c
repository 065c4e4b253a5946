/* confusion.c - counts of (truth, prediction) over a whole set, and the scores made of them.
 *
 * Intersection and union are accumulated over all images before any division, as mmsegmentation's
 * evaluation does (infrared spec 2.11): a mean of per-image values would be another metric. */
#include <assay/memory.h>
#include <assay/metrics.h>

#define MAX_CLASSES 256 /* labels are bytes */

struct assay_confusion {
    int64_t classes;
    int64_t ignore;
    int64_t *counts; /* (classes, classes): [truth][prediction] */
};

assay_confusion *assay_confusion_new(int64_t classes, int64_t ignore, assay_error *error)
{
    if (classes < 1 || classes > MAX_CLASSES) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "confusion matrix",
                   .what = "impossible number of classes", .expected = "1 .. 256",
                   .got = assay_text("%lld", (long long)classes),
                   .hint = "labels are stored in one byte");
        return NULL;
    }
    if (ignore < -1 || ignore >= MAX_CLASSES) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "confusion matrix",
                   .what = "impossible label to ignore", .expected = "-1 (none) or 0 .. 255",
                   .got = assay_text("%lld", (long long)ignore));
        return NULL;
    }
    assay_confusion *confusion = assay_zalloc((int64_t)sizeof *confusion, error);
    if (!confusion)
        return NULL;
    confusion->classes = classes;
    confusion->ignore = ignore;
    confusion->counts = assay_zalloc(classes * classes * (int64_t)sizeof(int64_t), error);
    if (!confusion->counts) {
        assay_confusion_free(confusion);
        return NULL;
    }
    return confusion;
}

void assay_confusion_free(assay_confusion *confusion)
{
    if (!confusion)
        return;
    assay_free(confusion->counts);
    assay_free(confusion);
}

/* Whether every counted pixel can be counted, so that a refused batch leaves no trace. */
static bool check_pixels(const assay_confusion *confusion, const uint8_t *truth,
                         const uint8_t *prediction, int64_t n, assay_error *error)
{
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] == confusion->ignore)
            continue;
        if (truth[i] < confusion->classes && prediction[i] < confusion->classes)
            continue;
        bool bad_truth = truth[i] >= confusion->classes;
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .where = "confusion matrix",
            .what =
                bad_truth ? "a true label is out of range" : "a predicted label is out of range",
            .expected = assay_text("0 .. %lld", (long long)confusion->classes - 1),
            .got =
                assay_text("%d at pixel %lld", bad_truth ? truth[i] : prediction[i], (long long)i),
            .hint = bad_truth ? "is it the label that the data set uses for `ignore`?" : "");
    }
    return true;
}

bool assay_confusion_add(assay_confusion *confusion, const uint8_t *truth,
                         const uint8_t *prediction, int64_t n, assay_error *error)
{
    if (!check_pixels(confusion, truth, prediction, n, error))
        return false;
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] != confusion->ignore)
            confusion->counts[truth[i] * confusion->classes + prediction[i]]++;
    }
    return true;
}

int64_t assay_confusion_count(const assay_confusion *confusion, int64_t truth, int64_t prediction)
{
    return confusion->counts[truth * confusion->classes + prediction];
}

/* The pixels of one class: in the truth, in the prediction, in both. */
typedef struct class_pixels {
    int64_t truth, predicted, hits;
} class_pixels;

static class_pixels count_class(const assay_confusion *confusion, int64_t c)
{
    class_pixels pixels = {.hits = assay_confusion_count(confusion, c, c)};
    for (int64_t other = 0; other < confusion->classes; other++) {
        pixels.truth += assay_confusion_count(confusion, c, other);
        pixels.predicted += assay_confusion_count(confusion, other, c);
    }
    return pixels;
}

bool assay_confusion_summary(const assay_confusion *confusion, assay_segmentation *out, double *iou,
                             assay_error *error)
{
    int64_t total = 0;
    for (int64_t i = 0; i < confusion->classes * confusion->classes; i++)
        total += confusion->counts[i];
    if (total == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "confusion matrix",
                          .what = "no pixel was counted",
                          .hint = "the set is empty, or every true label is the ignored one");

    double iou_sum = 0, recall_sum = 0;
    int64_t in_either = 0, in_truth = 0, hits = 0;
    for (int64_t c = 0; c < confusion->classes; c++) {
        class_pixels pixels = count_class(confusion, c);
        int64_t in_union = pixels.truth + pixels.predicted - pixels.hits;
        double value = in_union > 0 ? (double)pixels.hits / (double)in_union : -1;
        if (iou)
            iou[c] = value;
        if (in_union > 0) {
            iou_sum += value;
            in_either++;
        }
        if (pixels.truth > 0) {
            recall_sum += (double)pixels.hits / (double)pixels.truth;
            in_truth++;
        }
        hits += pixels.hits;
    }
    *out = (assay_segmentation){.miou = iou_sum / (double)in_either,
                                .macc = recall_sum / (double)in_truth,
                                .aacc = (double)hits / (double)total,
                                .pixels = total};
    return true;
}
