/* segmentation.c - loss `segmentation`: cross-entropy of every pixel's class, on logits brought to
 * the truth's size, and a share of the auxiliary head's (infrared spec 2.9.5).
 *
 * The published implementation's mean (mmsegmentation 0.11) is over all pixels, those that are not
 * counted contributing 0; `mean = "counted"` divides by the counted ones. */
#include <assay/loss.h>
#include <assay/maps.h>

enum { MEAN_ALL, MEAN_COUNTED };
enum { IGNORED = 255 };

typedef struct settings {
    int mean;
    double auxiliary, weight;
} settings;

static const assay_option options[] = {
    ASSAY_NUMBER(settings, auxiliary, "", 0.4, 0, 1e3,
                 "weight of the auxiliary head's cross-entropy, where the model has that head"),
    ASSAY_CHOICE(settings, mean, "all", "all|counted",
                 "over all pixels, or those whose class is known"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
};

typedef struct segmentation {
    settings settings;
} segmentation;

static bool segmentation_wants(const void *chosen, const char **names, int *count,
                               assay_error *error)
{
    const settings *s = chosen;
    (void)error;
    names[(*count)++] = "image.logits";
    names[(*count)++] = "image.truth";
    if (s->auxiliary > 0)
        names[(*count)++] = "image.auxiliary";
    return true;
}

static void *segmentation_open(const void *chosen, const assay_loss_setup *setup,
                               assay_error *error)
{
    (void)setup;
    segmentation *loss = assay_zalloc(sizeof *loss, error);
    if (loss)
        loss->settings = *(const settings *)chosen;
    return loss;
}

static void segmentation_close(void *opened)
{
    assay_free(opened);
}

/* Of logits (B, C, h, w), at truth (B, S, S). */
static assay_tensor *cross_entropy(const settings *s, assay_tape *tape, assay_tensor *logits,
                                   const assay_tensor *truth)
{
    assay_tensor *whole = assay_resize_bilinear(tape, logits, truth->shape[1], truth->shape[2]);
    return assay_pixel_cross_entropy(tape, whole, truth, IGNORED, s->mean == MEAN_ALL);
}

static assay_tensor *segmentation_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                          const assay_batch *batch, const assay_outputs *outputs)
{
    const settings *s = &((const segmentation *)opened)->settings;
    const assay_tensor *truth = assay_outputs_get(outputs, "image.truth");
    assay_tensor *auxiliary = assay_outputs_get(outputs, "image.auxiliary");
    (void)clock;
    (void)batch;
    if (!truth)
        return NULL;
    assay_tensor *sum = cross_entropy(s, tape, assay_outputs_get(outputs, "image.logits"), truth);
    /* A model without the head gives no numbers. */
    if (!auxiliary || assay_tensor_count(auxiliary) == 0)
        return sum;
    return assay_add(
        tape, sum,
        assay_scale(tape, cross_entropy(s, tape, auxiliary, truth), (float)s->auxiliary));
}

static double segmentation_targets(void *opened, const assay_batch *batch,
                                   const assay_outputs *outputs)
{
    const settings *s = &((const segmentation *)opened)->settings;
    const assay_tensor *truth = assay_outputs_get(outputs, "image.truth");
    double counted = 0;
    (void)batch;
    if (s->mean == MEAN_ALL)
        return (double)assay_tensor_count(truth);
    for (int64_t i = 0; i < assay_tensor_count(truth); i++)
        counted += assay_u8(truth)[i] != IGNORED;
    return counted;
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = segmentation_wants,
    .open = segmentation_open,
    .close = segmentation_close,
    .compute = segmentation_compute,
    .targets = segmentation_targets,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "segmentation", 1,
             "cross-entropy of the class of every pixel, with the auxiliary head's", settings,
             options, functions);
