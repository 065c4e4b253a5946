/* rates.c - learning rates: over the steps, and of one parameter beside another. */
#include "lab/train/rates.h"

#include <math.h>
#include <string.h>

/* mmcv's warm-up begins at this part of the rate (infrared spec 1.7). */
#define POLY_WARMUP_RATIO 1e-6

assay_schedule rates_schedule(const train_options *o)
{
    static const assay_schedule_kind kinds[] = {
        [TRAIN_CONSTANT] = ASSAY_CONSTANT,
        [TRAIN_LINEAR] = ASSAY_LINEAR,
        [TRAIN_COSINE] = ASSAY_COSINE,
        [TRAIN_POLY] = ASSAY_POLY,
    };
    return (assay_schedule){
        .kind = kinds[o->schedule],
        .warmup_kind = o->schedule == TRAIN_POLY ? ASSAY_WARMUP_SCALED : ASSAY_WARMUP_LINEAR,
        .warmup = o->warmup * (double)o->steps,
        .total = (double)o->steps,
        .ratio = POLY_WARMUP_RATIO,
        .floor = o->floor,
        .power = 1.0,
    };
}

bool rates_check(const assembly *a, const train_options *o, assay_error *error)
{
    if (o->layer_decay == 1.0 || a->model.plugin->model.depth)
        return true;
    return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "train.layer_decay",
                      .what = assay_text("model %s does not say how deep a parameter stands",
                                         a->model.plugin->name),
                      .hint = "layer_decay = 1 leaves all rates alike");
}

/* The parameter's name as the model knows it: an adapter's names are its own behind its prefix.
 * NULL: not the model's business. */
static const char *own_name(const assembly *a, const char *name)
{
    for (int i = 0; i < a->adapter_count; i++) {
        size_t length = strlen(a->adapters[i].prefix);
        if (strncmp(name, a->adapters[i].prefix, length) == 0)
            return name + length;
    }
    return strncmp(name, "loss.", 5) == 0 || strncmp(name, "mask.", 5) == 0 ? NULL : name;
}

/* decay^(layers + 1 - depth) on everything (infrared spec 2.9.6, as BEiT). */
static void decay_layers(const assembly *a, double decay, assay_adamw *adamw)
{
    int64_t last = a->facts.layers + 1;
    for (int64_t i = 0; i < assay_params_count(a->params); i++) {
        const char *name = assay_params_at(a->params, i)->name, *own = own_name(a, name);
        int64_t depth = own ? a->model.plugin->model.depth(a->model.state, own) : last;
        assay_adamw_scale_factor(adamw, name, (float)pow(decay, (double)(last - depth)));
    }
}

bool rates_scale(const assembly *a, const train_options *o, assay_adamw *adamw, assay_error *error)
{
    if (!rates_check(a, o, error))
        return false;
    for (int i = 0; i < a->adapter_count; i++)
        assay_adamw_set_factor(adamw, a->adapters[i].prefix, (float)a->adapters[i].lr_scale);
    for (int i = 0; i < a->loss_count; i++)
        assay_adamw_set_factor(adamw, a->losses[i].prefix, (float)a->losses[i].lr_scale);
    if (o->layer_decay != 1.0)
        decay_layers(a, o->layer_decay, adamw);
    return true;
}
