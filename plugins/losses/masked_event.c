/* masked_event.c - loss `masked_event`: masked events are predicted from what stands around them,
 * the stand-in for One4all (user-modelling spec 4's proposal).
 *
 * Asking for user.event_masked makes the model hide a part of the events in training. The state at
 * such a place, mapped by a matrix of the loss (PREFIX + "weight"), is compared either with the
 * words' vectors, the target being the event's category (its first word), or with all different
 * events of the batch, the target being the event itself. The mean is over the masked events. */
#include "events.h"

enum { TARGET_CATEGORY, TARGET_EVENT };

typedef struct settings {
    int target;
    double weight;
} settings;

static const assay_option options[] = {
    ASSAY_CHOICE(settings, target, "category", "category|event",
                 "what is predicted: the event's first word, or which of the batch's events it is"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
};

typedef struct masked_event {
    int target;
    assay_tensor *map;
} masked_event;

static bool masked_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    bool category = ((const settings *)chosen)->target == TARGET_CATEGORY;
    (void)error;
    names[(*count)++] = "user.states";
    names[(*count)++] = "user.event_masked";
    names[(*count)++] = category ? "user.event_classes" : "user.event_ids";
    names[(*count)++] = category ? "user.head" : "user.event_texts";
    return true;
}

static void *masked_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    masked_event *loss = assay_zalloc(sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->target = ((const settings *)chosen)->target;
    loss->map = events_matrix(setup, "weight", setup->facts->width, error);
    if (!loss->map) {
        assay_free(loss);
        return NULL;
    }
    return loss;
}

static assay_tensor *masked_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                    const assay_batch *batch, const assay_outputs *outputs)
{
    const masked_event *loss = opened;
    bool category = loss->target == TARGET_CATEGORY;
    assay_tensor *states = events_flat(tape, assay_outputs_get(outputs, "user.states"));
    const assay_tensor *masked = assay_outputs_get(outputs, "user.event_masked");
    const assay_tensor *what =
        assay_outputs_get(outputs, category ? "user.event_classes" : "user.event_ids");
    (void)clock;
    (void)batch;
    if (!masked || !what)
        return NULL;
    int64_t count = assay_tensor_count(what);
    assay_tensor *targets = assay_tape_constant(tape, ASSAY_I32, 1, &count, what->data);
    for (int64_t i = 0; targets && i < count; i++)
        if (!assay_i32(masked)[i])
            assay_i32(targets)[i] = ASSAY_IGNORE;
    states = assay_linear(tape, states, loss->map, NULL, ASSAY_IDENTITY);
    return assay_cross_entropy_head(
        tape, states, assay_outputs_get(outputs, category ? "user.head" : "user.event_texts"),
        targets, ASSAY_MEAN);
}

static double masked_targets(void *opened, const assay_batch *batch, const assay_outputs *outputs)
{
    const assay_tensor *masked = assay_outputs_get(outputs, "user.event_masked");
    double count = 0;
    (void)opened;
    (void)batch;
    for (int64_t i = 0; masked && i < assay_tensor_count(masked); i++)
        count += assay_i32(masked)[i];
    return count;
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .couples = true,
    .wants = masked_wants,
    .open = masked_open,
    .close = assay_free,
    .compute = masked_compute,
    .targets = masked_targets,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "masked_event", 1, "hidden events are predicted from the others",
             settings, options, functions);
