/* distribution.c - loss `distribution`: from what was seen so far, the distribution of event
 * categories in a window that follows, the stand-in for MSDP's stochastic distribution prediction
 * over several scales (user-modelling spec 4's proposal).
 *
 * For each sample and each scale (a number of events) a moment is drawn; the state there, mapped by
 * the scale's matrix (PREFIX + scale), is compared with the words' vectors, and every event of the
 * window that follows gives its category. The mean of -log p over the events of a window is the
 * cross-entropy from the window's distribution, that is KL plus the distribution's own entropy,
 * which no parameter changes: the gradient is KL's. States are those that see nothing later
 * (user.event_past), whatever mask the run has. */
#include "events.h"

#define MOST_SCALES 8

typedef struct settings {
    assay_numbers windows;
    double weight;
} settings;

static const assay_option options[] = {
    ASSAY_NUMBERS(settings, windows, "events", "4,16", 1, 1024, "lengths of the windows"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
};

typedef struct distribution {
    int64_t scales, windows[MOST_SCALES];
    assay_tensor *maps[MOST_SCALES];
} distribution;

static bool distribution_wants(const void *chosen, const char **names, int *count,
                               assay_error *error)
{
    (void)chosen;
    (void)error;
    names[(*count)++] = "user.event_past";
    names[(*count)++] = "user.event_classes";
    names[(*count)++] = "user.head";
    return true;
}

static void *distribution_open(const void *chosen, const assay_loss_setup *setup,
                               assay_error *error)
{
    const assay_numbers *windows = &((const settings *)chosen)->windows;
    distribution *loss = NULL;
    if (windows->count < 1 || windows->count > MOST_SCALES) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "loss distribution",
                   .what = "windows is a list of the wrong length", .expected = "1 to 8 numbers",
                   .got = assay_text("%lld", (long long)windows->count));
        return NULL;
    }
    loss = assay_zalloc(sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->scales = windows->count;
    for (int64_t s = 0; s < loss->scales; s++) {
        loss->windows[s] = (int64_t)windows->items[s];
        loss->maps[s] = events_matrix(setup, assay_text("%lld.weight", (long long)s + 1),
                                      setup->facts->width, error);
        if (!loss->maps[s]) {
            assay_free(loss);
            return NULL;
        }
    }
    return loss;
}

/* The moments drawn for one scale: for each event of a window, the row of its moment's state and
 * its category. */
typedef struct drawn {
    assay_tensor *rows, *targets; /* i32 (n) */
} drawn;

/* The first and the end of sample b's events. */
static void bounds_of(const assay_tensor *classes, int64_t b, int64_t *first, int64_t *end)
{
    int64_t tokens = classes->shape[1];
    const int32_t *row = assay_i32(classes) + b * tokens;
    for (*first = 0; *first < tokens && row[*first] < 0; (*first)++)
        ;
    for (*end = tokens; *end > *first && row[*end - 1] < 0; (*end)--)
        ;
}

static bool draw(assay_tape *tape, const assay_tensor *classes, int64_t s, int64_t window,
                 drawn *out)
{
    int64_t samples = classes->shape[0], tokens = classes->shape[1], count = samples * window;
    assay_step step = assay_tape_step(tape);
    assay_stream stream = assay_stream_of(step.seed, "distribution/moment", step.clock);
    out->rows = assay_tape_tensor(tape, ASSAY_I32, 1, &count);
    out->targets = assay_tape_tensor(tape, ASSAY_I32, 1, &count);
    if (!out->rows || !out->targets)
        return false;
    for (int64_t b = 0; b < samples; b++) {
        int64_t first, end, at = 0;
        bounds_of(classes, b, &first, &end);
        bool any = end - first > 1;
        if (any)
            at = first +
                 assay_random_below(stream, (uint64_t)(b * MOST_SCALES + s), end - first - 1);
        for (int64_t k = 0; k < window; k++) {
            bool inside = any && at + 1 + k < end;
            assay_i32(out->rows)[b * window + k] = (int32_t)(b * tokens + at);
            assay_i32(out->targets)[b * window + k] =
                inside ? assay_i32(classes)[b * tokens + at + 1 + k] : ASSAY_IGNORE;
        }
    }
    return true;
}

static assay_tensor *distribution_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                          const assay_batch *batch, const assay_outputs *outputs)
{
    const distribution *loss = opened;
    assay_tensor *states = events_flat(tape, assay_outputs_get(outputs, "user.event_past"));
    const assay_tensor *classes = assay_outputs_get(outputs, "user.event_classes");
    assay_tensor *head = assay_outputs_get(outputs, "user.head"), *sum = NULL;
    (void)clock;
    (void)batch;
    for (int64_t s = 0; classes && s < loss->scales; s++) {
        drawn d;
        if (!draw(tape, classes, s, loss->windows[s], &d))
            return NULL;
        assay_tensor *guess = assay_gather(tape, states, d.rows);
        guess = assay_linear(tape, guess, loss->maps[s], NULL, ASSAY_IDENTITY);
        assay_tensor *one = assay_cross_entropy_head(tape, guess, head, d.targets, ASSAY_MEAN);
        sum = s == 0 ? one : assay_add(tape, sum, one);
    }
    return assay_scale(tape, sum, 1.0f / (float)loss->scales);
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = distribution_wants,
    .open = distribution_open,
    .close = assay_free,
    .compute = distribution_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "distribution", 1,
             "the categories of the events that follow, over several windows", settings, options,
             functions);
