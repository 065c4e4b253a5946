/* layer_probe.c - evaluator `layer_probe`: how well each layer's tokens name the classes of pixels
 * by a linear classifier alone (UNIP's layerwise linear probing, infrared spec 2.6.5).
 *
 * The network is frozen and in evaluation. Per layer a 1x1 convolution with bias on the patch
 * tokens is trained on the training split with the dataset's random changes, logits resized
 * bilinearly, and judged on valid and, at the end, on test. The papers train 14,400 (SODA) steps of
 * batch 8 at 1e-4; the defaults are a short probe. The step is one for all layers, so ten cost
 * little more than one.
 *
 * Scores: suite "layer_probe", benchmark "layer.N" (from 1), metrics miou, macc, aacc; and on valid
 * layer_probe//layer, the best layer by mIoU, with its miou. */
#include "probe.h"

#include <assay/blocks.h>
#include <assay/maps.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const assay_option options[] = {
    ASSAY_NUMBERS(settings, layers, "block", NULL, 1, MOST_LAYERS,
                  "that are probed, from 1; none given: all"),
    ASSAY_INTEGER(settings, steps, "steps", 500, 1, 1e9, "of training the probes"),
    ASSAY_INTEGER(settings, batch, "images", 8, 1, 4096, "a step, and windows a pass when judged"),
    ASSAY_POSITIVE(settings, lr, "", 1e-3, 10, "peak of the learning rate"),
    ASSAY_NUMBER(settings, weight_decay, "", 0.05, 0, 1, "AdamW's, of weights and biases"),
    ASSAY_NUMBER(settings, warmup, "fraction", 0.1, 0, 1, "of the steps"),
    ASSAY_CHOICE(settings, features, "block", "block|attn|norm|plain_norm|next_norm",
                 "a block's output; its attention branch alone; the output after the final norm, a "
                 "norm without weights, or the next block's first norm"),
    ASSAY_INTEGER(settings, images, "images", 0, 0, 1e12,
                  "of a split that are judged, its first; 0: all"),
    ASSAY_INTEGER(settings, stride, "pixels", 0, 0, 65536,
                  "between windows of larger images; 0: two thirds of the model's side"),
};

/* ---- what fit and judge share ---- */

bool probe_stopped(const prober *p, assay_error *error)
{
    const assay_host *host = p->evaluation->host;
    if (!host || !host->stopping || !host->stopping(host->user))
        return false;
    ASSAY_FAIL(error, ASSAY_STOPPED, .where = WHERE, .what = "asked to end");
    return true;
}

assay_tensor *probe_logits(prober *p, const layer_probe *probe, assay_tensor *features)
{
    const int64_t grid = (int64_t)lround(sqrt((double)(features->shape[1] - 1)));
    assay_tensor *logits =
        assay_linear(p->tape, features, probe->weight, probe->bias, ASSAY_IDENTITY);
    return assay_tokens_to_map(p->tape, logits, 1, grid, grid);
}

/* ---- opening ---- */

static int find_benchmark(const assay_data *data)
{
    int count = 0;
    const assay_benchmark *all =
        data->functions->benchmarks ? data->functions->benchmarks(data->dataset, &count) : NULL;
    for (int i = 0; i < count; i++)
        if (all[i].classes == 0)
            return i;
    return ASSAY_NO_BENCHMARK;
}

static const char *const *classes_of(const assay_data *data, int *count)
{
    *count = 0;
    return data->functions->classes ? data->functions->classes(data->dataset, count) : NULL;
}

static bool add_probe(prober *p, int64_t layer, assay_error *error)
{
    layer_probe *probe = &p->probes[p->count];
    const int64_t shape[] = {p->classes, p->evaluation->network->facts->width};
    snprintf(probe->output, sizeof probe->output, "image.layers.%" PRId64, layer);
    p->names[p->count] = probe->output;
    probe->layer = layer;
    probe->weight = assay_params_add(p->params, assay_text("layer.%" PRId64 ".weight", layer + 1),
                                     2, shape, (assay_init){ASSAY_INIT_NORMAL, 0.01f, 0}, error);
    probe->bias = assay_params_add(p->params, assay_text("layer.%" PRId64 ".bias", layer + 1), 1,
                                   shape, (assay_init){.kind = ASSAY_INIT_ZEROS}, error);
    if (!probe->bias)
        return false;
    assay_params_at(p->params, assay_params_count(p->params) - 1)->decays = true;
    p->count++;
    return true;
}

static bool add_probes(prober *p, assay_error *error)
{
    const assay_numbers *given = &p->options->layers;
    const int64_t layers = p->evaluation->network->facts->layers;
    bool ok = true;
    for (int64_t i = 0; i < layers && i < MOST_LAYERS && ok && given->count == 0; i++)
        ok = add_probe(p, i, error);
    for (int64_t i = 0; i < given->count && ok; i++)
        ok = add_probe(p, (int64_t)given->items[i] - 1, error);
    return ok;
}

static bool open_prober(prober *p, const void *chosen, const assay_evaluation *evaluation,
                        assay_error *error)
{
    int classes = 0;
    const assay_stack *stack = assay_stack_find(evaluation->network->params, ASSAY_STACK_VIT, NULL);
    const assay_data *data = evaluation->data;
    if (!stack)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                          .what = "the model is no vision transformer",
                          .hint = "model.vit and model.segmenter are");
    p->options = chosen;
    p->evaluation = evaluation;
    p->side = stack->config.vit.image;
    p->benchmark = find_benchmark(data);
    p->image = assay_data_field(data, "image");
    p->truth = assay_data_field(data, "truth");
    data->functions->fields(data->dataset, &p->field_count);
    classes_of(data, &classes);
    p->classes = classes;
    p->params = assay_params_new(evaluation->seed, error);
    p->tape = assay_tape_new(evaluation->device, ASSAY_PRECISION_FP32, error);
    p->samples = assay_arena_new(0, error);
    p->batches = assay_arena_new(0, error);
    return p->params && p->tape && p->samples && p->batches && add_probes(p, error) &&
           features_open(p, error);
}

static void close_prober(prober *p)
{
    for (int64_t i = 0; i < p->count; i++)
        assay_confusion_free(p->probes[i].confusion);
    assay_tape_free(p->tape);
    assay_params_free(p->params);
    assay_arena_free(p->samples);
    assay_arena_free(p->batches);
}

/* ---- results ---- */

static bool put(const prober *p, assay_data_split split, const char *benchmark, const char *metric,
                double value, int64_t n, assay_error *error)
{
    const assay_score score = {.suite = "layer_probe",
                               .benchmark = benchmark,
                               .metric = metric,
                               .split = split,
                               .value = value,
                               .low = NAN,
                               .high = NAN,
                               .n = n};
    return p->evaluation->score(p->evaluation->user, &score, error);
}

static bool put_scores(const prober *p, assay_data_split split, assay_error *error)
{
    const layer_probe *best = &p->probes[0];
    bool ok = true;
    for (int64_t i = 0; i < p->count && ok; i++) {
        const layer_probe *probe = &p->probes[i];
        const assay_segmentation *f = &probe->figures;
        char benchmark[32];
        snprintf(benchmark, sizeof benchmark, "layer.%" PRId64, probe->layer + 1);
        ok = put(p, split, benchmark, "miou", f->miou, f->pixels, error) &&
             put(p, split, benchmark, "macc", f->macc, f->pixels, error) &&
             put(p, split, benchmark, "aacc", f->aacc, f->pixels, error);
        best = f->miou > best->figures.miou ? probe : best;
    }
    /* Nothing is chosen on the test split. */
    if (ok && split == ASSAY_VALID)
        ok = put(p, split, "", "layer", (double)(best->layer + 1), best->figures.pixels, error) &&
             put(p, split, "", "miou", best->figures.miou, best->figures.pixels, error);
    return ok;
}

/* layer_probe.SPLIT.csv: the IoU of every layer and class; empty where a class is nowhere. */
static bool put_table(const prober *p, assay_data_split split, assay_error *error)
{
    int count = 0;
    int64_t room = 64, at = 0;
    const char *const *names = classes_of(p->evaluation->data, &count);
    for (int c = 0; c < count; c++)
        room += ((int64_t)strlen(names[c]) + 64) * p->count;
    char *text = assay_alloc(room, error);
    if (!text)
        return false;
    at += sprintf(text, "layer,class,name,iou\n");
    for (int64_t i = 0; i < p->count; i++)
        for (int c = 0; c < count; c++) {
            at += sprintf(text + at, "%" PRId64 ",%d,", p->probes[i].layer + 1, c);
            for (const char *from = names[c]; *from; from++)
                text[at++] = strchr(",\"\n\r", *from) ? ' ' : *from;
            text[at++] = ',';
            if (p->probes[i].iou[c] >= 0)
                at += sprintf(text + at, "%.9g", p->probes[i].iou[c]);
            text[at++] = '\n';
        }
    bool ok = p->evaluation->artifact(p->evaluation->user,
                                      assay_text("layer_probe.%s.csv", assay_split_name(split)),
                                      text, at, error);
    assay_free(text);
    return ok;
}

static bool report(prober *p, assay_data_split split, assay_error *error)
{
    bool any = false;
    return probe_judge(p, split, &any, error) &&
           (!any || (put_scores(p, split, error) && put_table(p, split, error)));
}

/* ---- the plugin's functions ---- */

static bool gives(const assay_model_facts *facts, const char *name)
{
    for (int i = 0; i < facts->output_count; i++)
        if (assay_same_text(facts->outputs[i], name))
            return true;
    return false;
}

static bool check_layers(const assay_numbers *layers, int64_t most, assay_error *error)
{
    for (int64_t i = 0; i < layers->count; i++) {
        bool twice = false;
        for (int64_t k = 0; k < i; k++)
            twice = twice || layers->items[k] == layers->items[i];
        if (twice || layers->items[i] > (double)most || layers->items[i] != floor(layers->items[i]))
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                              .what = "layers are whole numbers, each once",
                              .expected = assay_text("1 to %" PRId64, most),
                              .got = assay_text("%g", layers->items[i]));
    }
    return true;
}

static bool probe_check(const void *chosen, const assay_data *data, const assay_model_facts *facts,
                        assay_error *error)
{
    const settings *s = chosen;
    int classes = 0;
    classes_of(data, &classes);
    if (!gives(facts, "image.layers.0"))
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                          .what = "the model does not show its layers",
                          .expected = "outputs image.layers.L", .hint = "model.vit does");
    if (assay_data_field(data, "truth") < 0 || assay_data_field(data, "image") < 0 || classes < 2 ||
        classes > MOST_CLASSES)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = assay_text("dataset.%s has no classes of pixels", data->name),
                          .expected = "fields 'image' and 'truth', 2 to 255 classes");
    if (data->functions->count(data->dataset, ASSAY_TRAIN, find_benchmark(data)) < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "there are no training images to fit on");
    return check_layers(&s->layers, facts->layers, error);
}

static bool probe_evaluate(const void *chosen, const assay_evaluation *evaluation,
                           assay_error *error)
{
    prober *p = assay_zalloc((int64_t)sizeof *p, error);
    bool ok = p && open_prober(p, chosen, evaluation, error) && probe_fit(p, error) &&
              report(p, ASSAY_VALID, error) && (!evaluation->final || report(p, ASSAY_TEST, error));
    if (p)
        close_prober(p);
    assay_free(p);
    return ok;
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions,
    .check = probe_check,
    .evaluate = probe_evaluate,
};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "layer_probe", 1,
             "a linear classifier of pixels on the frozen tokens of every layer", settings, options,
             functions);
