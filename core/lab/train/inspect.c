/* inspect.c - what a recipe comes to, and whether it fits, without a number being computed. */
#include "lab/train/balance.h"
#include "lab/train/datasets.h"
#include "lab/train/network.h"
#include "lab/train/prefixes.h"
#include "lab/train/rates.h"

#include <assay/memory.h>

#include <stdio.h>
#include <string.h>

/* ---- values that wait for another run's score ---- */

static void settle(settings *use)
{
    for (int i = 0; i < use->count; i++) {
        setting *value = &use->values[i];
        const assay_option *option = &use->options[i];
        if (value->score_run < 0 || !value->given)
            continue;
        bool required = (option->flags & ASSAY_OPTION_REQUIRED) != 0;
        value->number = required ? (option->low + option->high) / 2 : option->number;
        value->score_run = -1;
    }
}

static void settle_all(recipe *r)
{
    settle(&r->dataset);
    settle(&r->model);
    settle(&r->mask);
    settle(&r->train);
    for (int i = 0; i < r->adapter_count; i++)
        settle(&r->adapters[i]);
    for (int i = 0; i < r->loss_count; i++)
        settle(&r->losses[i]);
    for (int i = 0; i < r->evaluator_count; i++)
        settle(&r->evaluators[i]);
}

/* ---- checks ---- */

static bool check_data(const assembly *a, const train_options *o, recipe_facts *out,
                       assay_error *error)
{
    assay_data_split split = data_training_split(a->data, o);
    out->samples = data_count(a->data, split, ASSAY_NO_BENCHMARK);
    if (o->steps > 0 && out->samples < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("dataset.%s", a->data->name),
                          .what = assay_text("its %s split is empty", assay_split_name(split)),
                          .hint = "train.split chooses another");
    if (o->steps > 0 && o->early_stop > 0 &&
        data_count(a->data, ASSAY_VALID, ASSAY_NO_BENCHMARK) < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "train.early_stop",
                          .what = "the dataset has no valid split to watch");
    return o->steps == 0 || !o->balance || balance_check(a->data, split, error);
}

/* A coupling loss over pieces keeps its outputs for the whole batch: rows of embeddings, not
 * states. */
static bool check_pieces(const assembly *a, const train_options *o, assay_error *error)
{
    static const char *const large[] = {".states", ".targets", ".head", ".layers.", ".attention."};
    for (int i = 0; i < a->coupled.count && o->pieces > 1; i++)
        for (int k = 0; k < 5; k++)
            if (strstr(a->coupled.names[i], large[k]))
                return ASSAY_FAIL(
                    error, ASSAY_BAD_INPUT, .where = "train.pieces",
                    .what = assay_text("a loss that couples samples reads '%.60s', which is too "
                                       "large to keep for a batch in pieces",
                                       a->coupled.names[i]),
                    .hint = "train.pieces = 1");
    return true;
}

static bool check_evaluators(assembly *a, assay_error *error)
{
    const recipe *r = a->recipe;
    for (int i = 0; i < r->evaluator_count; i++) {
        const assay_evaluator_functions *functions = &r->evaluators[i].plugin->evaluator;
        void *options = assembly_options(a, &r->evaluators[i], error);
        bool ok =
            options && (!functions->check || functions->check(options, a->data, &a->facts, error));
        assay_free(options);
        if (!ok)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                              .where = assay_text("evaluator.%s", r->evaluators[i].label),
                              .what = "it does not fit the data or the model");
    }
    return true;
}

static bool check_losses(const assembly *a, const train_options *o, assay_error *error)
{
    if (o->steps == 0)
        return true;
    if (a->loss_count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "loss",
                          .what = "there is no loss to train by",
                          .hint = "train.steps = 0 evaluates only");
    return assay_params_size(a->params, NULL, true) > 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "train.steps",
                      .what = "every parameter is frozen: there is nothing to train");
}

/* ---- figures ---- */

static void count_part(const assembly *a, recipe_facts *out, const char *name, const char *prefix)
{
    int64_t total = assay_params_size(a->params, prefix, false);
    if (total == 0 || out->part_count == (int)(sizeof out->parts / sizeof *out->parts))
        return;
    recipe_part *part = &out->parts[out->part_count++];
    snprintf(part->name, sizeof part->name, "%s", name);
    part->total = total;
    part->trainable = assay_params_size(a->params, prefix, true);
}

static void count_parts(const assembly *a, recipe_facts *out)
{
    int64_t total = 0, trainable = 0;
    out->parameters = assay_params_size(a->params, NULL, false);
    out->trainable = assay_params_size(a->params, NULL, true);
    for (int i = 0; i < a->facts.part_count; i++)
        count_part(a, out, a->facts.parts[i].name, a->facts.parts[i].prefix);
    count_part(a, out, "mask", "mask.");
    for (int i = 0; i < a->adapter_count; i++) {
        const char *label = a->adapters[i].part.use->label;
        count_part(a, out, assay_text("adapter %s", label), assay_text("adapter.%s.", label));
    }
    for (int i = 0; i < a->loss_count; i++)
        count_part(a, out, assay_text("loss %s", a->losses[i].part.use->label),
                   a->losses[i].prefix);
    for (int i = 0; i < out->part_count; i++) {
        total += out->parts[i].total;
        trainable += out->parts[i].trainable;
    }
    if (total < out->parameters && out->part_count < 64)
        out->parts[out->part_count++] =
            (recipe_part){"the rest", out->parameters - total, out->trainable - trainable};
}

/* Forward and back are three forward passes; pieces run forward once more. Memory: values of all
 * parameters, gradient and two moments of the trained, and a tape of one piece, half of it in
 * bf16. */
static void estimate(const assembly *a, const train_options *o, recipe_facts *out)
{
    double passes = o->pieces > 1 ? 4 : 3;
    double piece = (double)o->batch / (double)(o->accumulate * o->pieces);
    double activations = a->facts.activation_bytes * (o->precision == TRAIN_BF16 ? 0.5 : 1.0);
    out->sample_flops = a->facts.flops;
    out->counted = a->facts.counted;
    out->flops = passes * a->facts.flops * (double)o->steps * (double)o->batch;
    out->memory_bytes = 4.0 * (double)out->parameters +
                        (o->steps > 0 ? 12.0 * (double)out->trainable : 0.0) + activations * piece;
}

/* ---- all of it ---- */

static bool inspect(const recipe *from, dataset_pool *pool, const train_sources *sources,
                    recipe_facts *out, assay_error *error)
{
    bool ok = false, kept = false;
    train_host host;
    networks teachers = {0};
    assembly *a = NULL;
    train_options *o = assembly_train_options(from, error);
    if (!o)
        return false;
    train_host_init(&host, dataset_pool_cache(pool), NULL, NULL);
    assembly_setup setup = {
        .recipe = from,
        .host = &host.host,
        .sources = sources,
        .total = o->steps,
        .total_micro = o->steps * o->accumulate,
        .counting = true,
    };
    /* The device is not known here: what only cuda has is refused when the run starts. */
    if (!train_options_check(o, "cuda", "train", error))
        goto done;
    setup.data = dataset_pool_get(pool, &from->dataset, error);
    if (!setup.data)
        goto done;
    networks_init(&teachers, &host, &setup, ASSAY_PRECISION_FP32);
    a = assembly_open(&setup, error);
    if (!a || !check_data(a, o, out, error) || !check_losses(a, o, error) ||
        !rates_check(a, o, error) || !prefixes_chosen(a, o, &kept, error) ||
        !check_pieces(a, o, error) || !check_evaluators(a, error))
        goto done;
    count_parts(a, out);
    estimate(a, o, out);
    ok = true;
done:
    assembly_close(a);
    networks_clear(&teachers);
    assay_free(o);
    return ok;
}

bool recipe_inspect_with(const recipe *from, dataset_pool *pool, const train_sources *sources,
                         recipe_facts *out, assay_error *error)
{
    recipe copy = {0};
    *out = (recipe_facts){0};
    if (!recipe_copy(&copy, from, error))
        return false;
    settle_all(&copy);
    bool ok = inspect(&copy, pool, sources, out, error);
    recipe_clear(&copy);
    return ok;
}

bool recipe_inspect(const recipe *from, dataset_pool *pool, recipe_facts *out, assay_error *error)
{
    return recipe_inspect_with(from, pool, NULL, out, error);
}
