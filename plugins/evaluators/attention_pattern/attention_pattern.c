/* attention_pattern.c - evaluator `attention_pattern`: what the attention of every layer looks
 * like, and the layer that UNIP distils from (infrared spec 2.6.1 to 2.6.4).
 *
 * Per layer and head: the normalised mutual information of query and key position, the mean over
 * images, and the attention distance in pixels; a layer's value is the mean over its heads. A layer
 * is local above 0.12, global below 0.06, else hybrid. The chosen layer is the one whose NMI lies
 * nearest to the target 0.09; the score "layer" counts it from 1, so that
 * stage:score("attention_pattern/layer") is an attention_distill's teacher_layer. */
#include "pattern.h"

#include <assay/blocks.h>
#include <assay/metrics.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SPLIT_TRAINED = 0 }; /* then pretrain, train, valid, test */

static const assay_option options[] = {
    ASSAY_INTEGER(settings, images, "images", 1000, 1, 1e9, "first ones of the split"),
    ASSAY_CHOICE(settings, split, "trained", "trained|pretrain|train|valid|test",
                 "where the images are from; trained: what a run on this data is trained on"),
    ASSAY_INTEGER(settings, batch, "images", 4, 1, 4096,
                  "a pass; the maps of all layers are held at once"),
    ASSAY_NUMBER(settings, target, "", 0.09, 0, 1, "NMI that the chosen layer is nearest to"),
    ASSAY_NUMBER(settings, local_above, "", 0.12, 0, 1, "NMI above which a layer is local"),
    ASSAY_NUMBER(settings, global_below, "", 0.06, 0, 1, "NMI below which a layer is global"),
    ASSAY_INTEGER(settings, maps, "images", 0, 0, 64,
                  "whose attention is drawn: by layer, and by head of the chosen layer"),
};

/* ---- passes ---- */

bool pattern_pass(pattern *p, int64_t first, int64_t count, const assay_wanted *wanted,
                  assay_outputs *outputs, assay_error *error)
{
    const assay_data *data = p->evaluation->data;
    const assay_network *network = p->evaluation->network;
    const assay_draw as_it_is = {.seed = p->evaluation->seed};
    assay_arena_reset(p->arena);
    assay_sample *samples = assay_arena_alloc(p->arena, count * (int64_t)sizeof *samples, error);
    for (int64_t i = 0; i < count; i++)
        if (!samples ||
            !data->functions->sample(data->dataset, p->split, ASSAY_NO_BENCHMARK, first + i,
                                     &as_it_is, p->arena, &samples[i], error))
            return false;
    const assay_collation in = {.samples = samples,
                                .count = count,
                                .phase = ASSAY_EVALUATION,
                                .wanted = wanted,
                                .arena = p->arena};
    assay_batch batch = {.samples = count, .sample = samples};
    if (!network->collate(network->user, &in, &batch, error))
        return false;
    assay_tape_begin(p->tape, (assay_step){.seed = p->evaluation->seed, .no_gradient = true});
    return network->run(network->user, p->tape, &batch, wanted, outputs) ||
           assay_tape_failed(p->tape, error);
}

/* ---- measuring ---- */

/* Room for the heads of a layer, known from its first map; all maps are of one square grid. */
static bool prepare(pattern *p, int64_t layer, const assay_tensor *map, assay_error *error)
{
    const int64_t patches = map->shape[3] - 1;
    const int64_t grid = (int64_t)lround(sqrt((double)(patches > 0 ? patches : 0)));
    if (patches < 2 || grid * grid != patches || map->shape[2] != map->shape[3])
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                          .what = "the maps are not those of a class token and a square of patches",
                          .got = assay_tensor_text(map));
    p->grid = grid;
    if (p->figures[layer])
        return true;
    p->heads[layer] = map->shape[1];
    p->figures[layer] = assay_zalloc(p->heads[layer] * (int64_t)sizeof *p->figures[layer], error);
    return p->figures[layer] != NULL;
}

static bool measure_map(const pattern *p, const float *map, head_figures *out, assay_error *error)
{
    const int64_t tokens = p->grid * p->grid + 1;
    return assay_attention_nmi(map, tokens, 1, &out->nmi, error) &&
           assay_attention_distance(map, tokens, 1, p->grid, (double)p->patch, &out->distance,
                                    error);
}

/* Adds the maps (B, H, T, T) of one layer. Every map is measured by itself and they are added in
 * order: the number of threads changes nothing. */
static bool add_layer(pattern *p, int64_t layer, const assay_tensor *map, assay_error *error)
{
    if (!prepare(p, layer, map, error))
        return false;
    const int64_t heads = map->shape[1], maps = map->shape[0] * heads;
    const int64_t size = map->shape[2] * map->shape[3];
    head_figures *each = assay_arena_alloc(p->arena, maps * (int64_t)sizeof *each, error);
    const float *values = assay_f32(map); /* one thread fetches them from the device */
    int64_t failed = -1;
    if (!each)
        return false;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < maps; i++)
        if (!measure_map(p, values + i * size, &each[i], NULL)) {
#pragma omp atomic write
            failed = i;
        }
    if (failed >= 0)
        return measure_map(p, values + failed * size, &each[0], error);
    for (int64_t i = 0; i < maps; i++) {
        p->figures[layer][i % heads].nmi += each[i].nmi;
        p->figures[layer][i % heads].distance += each[i].distance;
    }
    return true;
}

static bool measure_all(pattern *p, int64_t images, assay_error *error)
{
    const assay_host *host = p->evaluation->host;
    const assay_wanted wanted = {p->count, p->names};
    for (int64_t first = 0; first < images; first += p->options->batch) {
        const int64_t left = images - first;
        const int64_t count = left < p->options->batch ? left : p->options->batch;
        assay_outputs outputs = {0};
        if (host && host->stopping && host->stopping(host->user))
            return ASSAY_FAIL(error, ASSAY_STOPPED, .where = WHERE, .what = "asked to end");
        if (!pattern_pass(p, first, count, &wanted, &outputs, error))
            return false;
        for (int64_t i = 0; i < p->layers; i++)
            if (!add_layer(p, i, assay_outputs_get(&outputs, p->names[i]), error))
                return false;
        p->images += count;
    }
    return true;
}

static double gap(const pattern *p, int64_t layer)
{
    return fabs(p->mean[layer].nmi - p->options->target);
}

/* Sums to means, and the choice. */
static void finish(pattern *p)
{
    for (int64_t i = 0; i < p->layers; i++) {
        for (int64_t h = 0; h < p->heads[i]; h++) {
            head_figures *f = &p->figures[i][h];
            f->nmi /= (double)p->images;
            f->distance /= (double)p->images;
            p->mean[i].nmi += f->nmi / (double)p->heads[i];
            p->mean[i].distance += f->distance / (double)p->heads[i];
        }
        if (gap(p, i) < gap(p, p->chosen))
            p->chosen = i;
    }
}

/* ---- results ---- */

enum { LOCAL, HYBRID, GLOBAL };
static const char *const classes[] = {"local", "hybrid", "global"};

static int class_of(const pattern *p, double nmi)
{
    if (nmi > p->options->local_above)
        return LOCAL;
    return nmi < p->options->global_below ? GLOBAL : HYBRID;
}

static bool put(const pattern *p, const char *benchmark, const char *metric, double value,
                assay_error *error)
{
    const assay_score score = {.suite = "attention_pattern",
                               .benchmark = benchmark,
                               .metric = metric,
                               .split = ASSAY_VALID,
                               .value = value,
                               .low = NAN,
                               .high = NAN,
                               .n = p->images};
    return p->evaluation->score(p->evaluation->user, &score, error);
}

static bool put_scores(const pattern *p, assay_error *error)
{
    int64_t of_class[3] = {0};
    bool ok = put(p, "", "layer", (double)(p->chosen + 1), error) &&
              put(p, "", "nmi", p->mean[p->chosen].nmi, error) &&
              put(p, "", "nmi_gap", gap(p, p->chosen), error);
    for (int64_t i = 0; i < p->layers && ok; i++) {
        char benchmark[32];
        snprintf(benchmark, sizeof benchmark, "layer.%" PRId64, i + 1);
        of_class[class_of(p, p->mean[i].nmi)]++;
        ok = put(p, benchmark, "nmi", p->mean[i].nmi, error) &&
             put(p, benchmark, "distance", p->mean[i].distance, error);
    }
    for (int c = 0; c < 3 && ok; c++)
        ok = put(p, "", assay_text("%s_layers", classes[c]), (double)of_class[c], error);
    return ok;
}

/* attention_pattern.csv: a row per layer and head, both from 1; head 0 is the mean over heads. */
static bool put_table(const pattern *p, assay_error *error)
{
    enum { ROW = 128 };
    int64_t rows = 1, at = 0;
    for (int64_t i = 0; i < p->layers; i++)
        rows += 1 + p->heads[i];
    char *text = assay_alloc(rows * ROW, error);
    if (!text)
        return false;
    at += snprintf(text, ROW, "layer,head,nmi,distance,pattern\n");
    for (int64_t i = 0; i < p->layers; i++)
        for (int64_t h = 0; h <= p->heads[i]; h++) {
            const head_figures *f = h == 0 ? &p->mean[i] : &p->figures[i][h - 1];
            at += snprintf(text + at, ROW, "%" PRId64 ",%" PRId64 ",%.9g,%.9g,%s\n", i + 1, h,
                           f->nmi, f->distance, classes[class_of(p, f->nmi)]);
        }
    bool ok =
        p->evaluation->artifact(p->evaluation->user, "attention_pattern.csv", text, at, error);
    assay_free(text);
    return ok;
}

/* ---- the plugin's functions ---- */

static assay_data_split split_of(const settings *o, const assay_data *data)
{
    if (o->split != SPLIT_TRAINED)
        return (assay_data_split)(o->split - 1);
    if (data->functions->training)
        return data->functions->training(data->dataset);
    return data->functions->count(data->dataset, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK) > 0
               ? ASSAY_PRETRAIN
               : ASSAY_TRAIN;
}

static bool gives(const assay_model_facts *facts, const char *name)
{
    for (int i = 0; i < facts->output_count; i++)
        if (assay_same_text(facts->outputs[i], name))
            return true;
    return false;
}

static bool pattern_check(const void *chosen, const assay_data *data,
                          const assay_model_facts *facts, assay_error *error)
{
    const settings *o = chosen;
    const assay_data_split split = split_of(o, data);
    if (!gives(facts, "image.attention.0") || facts->layers > MOST_LAYERS)
        return ASSAY_FAIL(
            error, ASSAY_UNSUPPORTED, .where = WHERE,
            .what = "the model does not show its attention to patches",
            .expected = assay_text("outputs image.attention.L of at most %d layers", MOST_LAYERS),
            .hint = "model.vit does");
    if (o->global_below > o->local_above)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "a layer would be local and global at once",
                          .expected = "global_below <= local_above");
    return data->functions->count(data->dataset, split, ASSAY_NO_BENCHMARK) > 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                      .what = assay_text("the dataset has no %s images", assay_split_name(split)));
}

static bool open_pattern(pattern *p, const void *chosen, const assay_evaluation *evaluation,
                         assay_error *error)
{
    const assay_stack *stack = assay_stack_find(evaluation->network->params, ASSAY_STACK_VIT, NULL);
    p->options = chosen;
    p->evaluation = evaluation;
    p->split = split_of(chosen, evaluation->data);
    p->layers = evaluation->network->facts->layers;
    p->patch = stack ? stack->config.vit.patch : 16;
    for (int64_t i = 0; i < p->layers; i++) {
        snprintf(p->texts[i], sizeof p->texts[i], "image.attention.%" PRId64, i);
        p->names[p->count++] = p->texts[i];
    }
    p->tape = assay_tape_new(evaluation->device, ASSAY_PRECISION_FP32, error);
    p->arena = assay_arena_new(0, error);
    return p->tape && p->arena;
}

static void close_pattern(pattern *p)
{
    for (int64_t i = 0; i < p->layers; i++)
        assay_free(p->figures[i]);
    assay_tape_free(p->tape);
    assay_arena_free(p->arena);
}

static bool pattern_evaluate(const void *chosen, const assay_evaluation *evaluation,
                             assay_error *error)
{
    const settings *o = chosen;
    pattern p = {0};
    bool ok = open_pattern(&p, chosen, evaluation, error);
    if (ok && (evaluation->final || p.split != ASSAY_TEST)) {
        const assay_data *data = evaluation->data;
        int64_t images = data->functions->count(data->dataset, p.split, ASSAY_NO_BENCHMARK);
        images = images < o->images ? images : o->images;
        ok = measure_all(&p, images, error);
        if (ok) {
            finish(&p);
            ok = put_scores(&p, error) && put_table(&p, error) && pattern_pictures(&p, error);
        }
    }
    close_pattern(&p);
    return ok;
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions,
    .check = pattern_check,
    .evaluate = pattern_evaluate,
};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "attention_pattern", 1,
             "NMI and distance of every layer's attention, and the layer nearest to a target",
             settings, options, functions);
