/* assembly.c - a recipe's plugins, opened in order and closed in reverse. */
#include "lab/train/assembly.h"

#include "lab/train/datasets.h"
#include "lab/train/weights.h"

#include <assay/memory.h>
#include <assay/weights.h>

#include <stdio.h>
#include <string.h>

/* ---- options ---- */

/* Keeps a text as long as the assembly. Borrowed; NULL when memory is short. */
static const char *keep_text(assembly *a, const char *text, assay_error *error)
{
    assembly_text *kept = assay_alloc((int64_t)sizeof *kept, error);
    if (!kept)
        return NULL;
    kept->text = assay_strdup(text, error);
    kept->next = a->texts;
    a->texts = kept;
    return kept->text;
}

/* The weights behind an option. When only counted, a stage has none yet. */
static bool resolve_weights(void *user, const setting *value, assay_weights_source *out,
                            assay_error *error)
{
    char path[4096];
    assembly *a = user;
    bool counted = a->counting && value->stage >= 0;
    if (counted)
        snprintf(path, sizeof path, "(weights of a stage)");
    else if (!weights_of_setting(a->sources, value, path, sizeof path, error))
        return false;
    out->path = keep_text(a, path, error);
    out->stage = value->stage >= 0 ? value : NULL;
    return out->path != NULL;
}

void *assembly_options(assembly *a, const settings *use, assay_error *error)
{
    return settings_fill(use, resolve_weights, a, error);
}

static bool fill_part(assembly *a, assembly_part *part, const settings *use, assay_error *error)
{
    part->use = use;
    part->plugin = use->plugin;
    part->options = assembly_options(a, use, error);
    return part->options != NULL;
}

/* open returned `state`: a plugin that fails without saying why is named at least. */
static bool opened(assembly_part *part, void *state, assay_error *error)
{
    part->state = state;
    if (!state && error && error->code == ASSAY_OK)
        ASSAY_FAIL(
            error, ASSAY_UNSUPPORTED,
            .where = assay_text("%s.%s", plugin_kind_name(part->plugin->kind), part->plugin->name),
            .what = "the plugin failed to open and said no reason");
    return state != NULL;
}

train_options *assembly_train_options(const recipe *from, assay_error *error)
{
    return settings_fill(&from->train, NULL, NULL, error);
}

/* ---- needs ---- */

static bool refuse_need(const assembly_part *part, const char *what, const char *hint,
                        assay_error *error)
{
    return ASSAY_FAIL(
        error, ASSAY_BAD_INPUT,
        .where = assay_text("%s.%s", plugin_kind_name(part->plugin->kind), part->plugin->name),
        .what = what, .hint = hint);
}

static bool ask_mask(assembly *a, assay_error *error)
{
    const assay_mask_functions *mask = &a->mask.plugin->mask;
    if (mask->needs && !mask->needs(a->mask.options, &a->mask_needs, error))
        return false;
    if (a->mask_needs.extra.readout > 0 || a->mask_needs.extra.history > 0)
        return refuse_need(&a->mask, "a mask has no vectors for readout or history tokens",
                           "its tokens stand in front", error);
    if (a->mask_needs.extra.front > 0 && !mask->front)
        return refuse_need(&a->mask, "it asks for front tokens and gives no vectors for them", NULL,
                           error);
    a->extra.front += a->mask_needs.extra.front;
    return true;
}

static bool ask_adapter(assembly *a, assembly_adapter *adapter, assay_error *error)
{
    const assay_adapter_functions *functions = &adapter->part.plugin->adapter;
    assay_needs needs = {0};
    if (functions->needs && !functions->needs(adapter->part.options, &needs, error))
        return false;
    if (needs.extra.front > 0 || needs.tap_count > 0)
        return refuse_need(&adapter->part, "front tokens and taps are a mask's", NULL, error);
    if (needs.extra.readout > 0 && needs.extra.history > 0)
        return refuse_need(&adapter->part, "its tokens stand in one place",
                           "two adapters may stand in one list", error);
    if (needs.extra.readout + needs.extra.history > 0 && !functions->readout)
        return refuse_need(&adapter->part, "it asks for extra tokens and gives no vectors for them",
                           NULL, error);
    adapter->at_history = needs.extra.history > 0;
    adapter->tokens = needs.extra.readout + needs.extra.history;
    adapter->freezes_mask = needs.freezes;
    a->extra.readout += needs.extra.readout;
    a->extra.history += needs.extra.history;
    return true;
}

/* ---- opening ---- */

/* What a plugin's option says that the host reads; 1 for a plugin without it. */
static double option_number(const settings *use, const char *name)
{
    const setting *value = settings_get(use, name);
    return value ? value->number : 1.0;
}

static bool open_model(assembly *a, assay_error *error)
{
    assay_model_setup setup = {
        .size = sizeof setup,
        .data = a->data,
        .params = a->params,
        .extra = a->extra,
        .host = a->host,
        .seed = (uint64_t)a->recipe->seed,
        .counting = a->counting,
    };
    const assay_model_functions *model = &a->model.plugin->model;
    if (!opened(&a->model, model->open(a->model.options, &setup, error), error))
        return false;
    model->facts(a->model.state, &a->facts);
    return true;
}

static bool open_adapter(assembly *a, assembly_adapter *adapter, assay_error *error)
{
    assembly_part *part = &adapter->part;
    snprintf(adapter->prefix, sizeof adapter->prefix, "adapter.%s.", part->use->label);
    adapter->lr_scale = option_number(part->use, "lr_scale");
    assay_adapter_setup setup = {
        .size = sizeof setup,
        .facts = &a->facts,
        .params = a->params,
        .prefix = adapter->prefix,
        .host = a->host,
        .seed = (uint64_t)a->recipe->seed,
        .counting = a->counting,
        .data = a->data,
        .model = &a->model.plugin->model,
        .opened_model = a->model.state,
    };
    return opened(part, part->plugin->adapter.open(part->options, &setup, error), error);
}

static bool open_mask(assembly *a, assay_error *error)
{
    assay_mask_setup setup = {
        .size = sizeof setup,
        .facts = &a->facts,
        .params = a->params,
        .device = a->device,
        .host = a->host,
        .total = a->total,
        .total_micro = a->total_micro,
        .counting = a->counting,
    };
    return opened(&a->mask, a->mask.plugin->mask.open(a->mask.options, &setup, error), error);
}

/* An adapter that freezes everything else was opened before the mask's parameters were there. */
static bool freeze_mask(assembly *a, assay_error *error)
{
    bool freezes = false;
    for (int i = 0; i < a->adapter_count; i++)
        freezes = freezes || a->adapters[i].freezes_mask;
    return !freezes || assay_params_train(a->params, "mask.", false, error) >= 0;
}

static bool open_loss(assembly *a, assembly_loss *loss, assay_error *error)
{
    assembly_part *part = &loss->part;
    train_options *options = assembly_train_options(a->recipe, error);
    if (!options)
        return false;
    assay_loss_setup setup = {
        .size = sizeof setup,
        .facts = &a->facts,
        .data = a->data,
        .params = a->params,
        .prefix = loss->prefix,
        .device = a->device,
        .host = a->host,
        .total = a->total,
        .counting = a->counting,
        .split = data_training_split(a->data, options),
    };
    assay_free(options);
    return opened(part, part->plugin->loss.open(part->options, &setup, error), error);
}

/* ---- what losses want ---- */

static bool has_output(const assay_model_facts *facts, const char *name)
{
    for (int i = 0; i < facts->output_count; i++)
        if (strcmp(facts->outputs[i], name) == 0)
            return true;
    return false;
}

static bool want(assembly_wanted *wanted, const char *name, assay_error *error)
{
    for (int i = 0; i < wanted->count; i++)
        if (strcmp(wanted->names[i], name) == 0)
            return true;
    if (wanted->count == ASSAY_MAX_OUTPUTS)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "loss",
                          .what = "the losses want too many outputs together",
                          .expected = assay_text("at most %d", ASSAY_MAX_OUTPUTS));
    wanted->names[wanted->count++] = name;
    return true;
}

static bool ask_loss(assembly *a, assembly_loss *loss, assay_error *error)
{
    const assay_loss_functions *functions = &loss->part.plugin->loss;
    const char *label = loss->part.use->label;
    loss->weight = option_number(loss->part.use, "weight");
    loss->lr_scale = option_number(loss->part.use, "lr_scale");
    snprintf(loss->prefix, sizeof loss->prefix, "loss.%s.", label);
    snprintf(loss->series, sizeof loss->series, "loss/%s", label);
    snprintf(loss->valid, sizeof loss->valid, "valid/loss/%s", label);
    if (!functions->wants(loss->part.options, loss->names, &loss->count, error))
        return false;
    for (int i = 0; i < loss->count; i++) {
        const char *name = loss->names[i];
        const char *nearest = assay_nearest(name, a->facts.output_count, a->facts.outputs);
        if (!has_output(&a->facts, name))
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = assay_text("loss.%s", label),
                .what = assay_text("model %s has no output '%.60s'", a->model.plugin->name, name),
                .hint = nearest ? assay_text("did you mean '%s'?", nearest) : NULL);
        if (!want(&a->wanted, name, error) ||
            (functions->couples && !want(&a->coupled, name, error)))
            return false;
    }
    return true;
}

/* ---- all of it ---- */

static bool fill_parts(assembly *a, const assembly_setup *setup, assay_error *error)
{
    const recipe *r = a->recipe;
    if (r->loss_count > ASSAY_MAX_OUTPUTS)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "loss", .what = "too many losses",
                          .expected = assay_text("at most %d", ASSAY_MAX_OUTPUTS));
    a->adapters = assay_zalloc((r->adapter_count + 1) * (int64_t)sizeof *a->adapters, error);
    a->losses = assay_zalloc((r->loss_count + 1) * (int64_t)sizeof *a->losses, error);
    if (!a->adapters || !a->losses || !fill_part(a, &a->model, &r->model, error))
        return false;
    if (r->mask.plugin && (!fill_part(a, &a->mask, &r->mask, error) || !ask_mask(a, error)))
        return false;
    for (int i = 0; i < r->adapter_count; i++) {
        assembly_adapter *adapter = &a->adapters[a->adapter_count++];
        adapter->owner = a;
        if (!fill_part(a, &adapter->part, &r->adapters[i], error) ||
            !ask_adapter(a, adapter, error))
            return false;
    }
    for (int i = 0; i < r->loss_count && !setup->bare; i++)
        if (!fill_part(a, &a->losses[a->loss_count++].part, &r->losses[i], error))
            return false;
    return true;
}

static bool open_parts(assembly *a, const assembly_setup *setup, assay_error *error)
{
    bool initial = a->recipe->init.given && !setup->bare;
    if (!open_model(a, error) || (initial && !weights_start(a, false, error)))
        return false;
    for (int i = 0; i < a->adapter_count; i++)
        if (!open_adapter(a, &a->adapters[i], error))
            return false;
    if (a->mask.plugin && (!open_mask(a, error) || !freeze_mask(a, error)))
        return false;
    if (initial && (!weights_start(a, true, error) || !weights_mask_state(a, error)))
        return false;
    for (int i = 0; i < a->loss_count; i++)
        if (!ask_loss(a, &a->losses[i], error) || !open_loss(a, &a->losses[i], error))
            return false;
    return true;
}

assembly *assembly_open(const assembly_setup *setup, assay_error *error)
{
    assembly *a = assay_zalloc((int64_t)sizeof *a, error);
    if (!a)
        return NULL;
    a->recipe = setup->recipe;
    a->data = setup->data;
    a->device = setup->device;
    a->host = setup->host;
    a->sources = setup->sources;
    a->total = setup->total;
    a->total_micro = setup->total_micro;
    a->trained = setup->trained;
    a->counting = setup->counting;
    a->params = setup->counting ? assay_params_new_counting(error)
                                : assay_params_new((uint64_t)setup->recipe->seed, error);
    if (!a->params || !fill_parts(a, setup, error) || !open_parts(a, setup, error)) {
        assembly_close(a);
        return NULL;
    }
    assembly_network(a, 0);
    return a;
}

void assembly_close(assembly *a)
{
    if (!a)
        return;
    for (int i = a->loss_count - 1; i >= 0; i--) {
        assembly_part *part = &a->losses[i].part;
        if (part->state)
            part->plugin->loss.close(part->state);
        assay_free(part->options);
    }
    if (a->mask.state)
        a->mask.plugin->mask.close(a->mask.state);
    assay_free(a->mask.options);
    for (int i = a->adapter_count - 1; i >= 0; i--) {
        assembly_part *part = &a->adapters[i].part;
        if (part->state)
            part->plugin->adapter.close(part->state);
        assay_free(part->options);
    }
    if (a->model.state)
        a->model.plugin->model.close(a->model.state);
    assay_free(a->model.options);
    while (a->texts) {
        assembly_text *next = a->texts->next;
        assay_free(a->texts->text);
        assay_free(a->texts);
        a->texts = next;
    }
    assay_free(a->adapters);
    assay_free(a->losses);
    assay_params_free(a->params);
    assay_free(a);
}
