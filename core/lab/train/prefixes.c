/* prefixes.c - the histories of training samples, run once and kept as keys and values.
 *
 * Each history is run alone, so that its numbers do not depend on what else was missing: a run that
 * was broken off, and whose kept histories are gone, goes on with the same bits. When the room is
 * full, later histories are run again whenever they come: of samples that come in rounds, the least
 * recently used is the one that comes next, and must not go. */
#include "lab/train/prefixes.h"

#include <assay/memory.h>

#include <string.h>

/* ---- whether ---- */

static bool begins(const char *name, const char *prefix)
{
    return prefix[0] != '\0' && strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Whether the parameter acts behind the history alone: a loss's, or a prompt's. */
static bool acts_behind(const assembly *a, const char *name)
{
    for (int i = 0; i < a->recipe->loss_count; i++)
        if (begins(name, assay_text("loss.%s.", a->recipe->losses[i].label)))
            return true;
    for (int i = 0; i < a->adapter_count; i++)
        if (a->adapters[i].tokens > 0 && !a->adapters[i].part.plugin->adapter.apply &&
            begins(name, a->adapters[i].prefix))
            return true;
    return false;
}

/* The first parameter that learns and that the history may depend on; NULL: none. */
static const char *learning_before(const assembly *a)
{
    for (int64_t i = 0; i < assay_params_count(a->params); i++) {
        const assay_parameter *p = assay_params_at(a->params, i);
        if (p->trainable && !acts_behind(a, p->name))
            return p->name;
    }
    return NULL;
}

static bool drops(const assembly_part *part)
{
    const setting *rate = settings_get(part->use, "dropout");
    return rate && rate->number > 0;
}

/* The part in which dropout acts; NULL: none. */
static const assembly_part *dropping(const assembly *a)
{
    for (int i = 0; i < a->adapter_count; i++)
        if (drops(&a->adapters[i].part))
            return &a->adapters[i].part;
    return drops(&a->model) ? &a->model : NULL;
}

/* An output that is more than what is read behind the question; NULL: none. */
static const char *wanted_before(const assembly *a)
{
    for (int i = 0; i < a->wanted.count; i++)
        if (strcmp(a->wanted.names[i], assay_text("%s.embedding", a->facts.prefix)) != 0)
            return a->wanted.names[i];
    return NULL;
}

/* What stands in the way of keeping histories; NULL: nothing. Borrowed like assay_text. */
static const char *obstacle(const assembly *a)
{
    const assay_mask_functions *mask = a->mask.plugin ? &a->mask.plugin->mask : NULL;
    const assay_model_functions *model = &a->model.plugin->model;
    if (!a->facts.prefix || !model->prefill || !model->resume)
        return a->facts.no_prefix ? a->facts.no_prefix : "the model has no prefix cache";
    if (learning_before(a))
        return assay_text("%.100s learns, and histories may depend on it", learning_before(a));
    if (dropping(a))
        return assay_text("dropout acts in %s.%s", plugin_kind_name(dropping(a)->plugin->kind),
                          dropping(a)->plugin->name);
    if (wanted_before(a))
        return assay_text("a loss reads %.80s", wanted_before(a));
    if (mask && (!mask->steady || mask->observe))
        return assay_text("mask.%s changes in training", a->mask.plugin->name);
    return NULL;
}

bool prefixes_chosen(const assembly *a, const train_options *options, bool *chosen,
                     assay_error *error)
{
    const char *why = NULL;
    *chosen = false;
    if (options->cache_prefix == TRAIN_CACHE_OFF || options->steps == 0)
        return true;
    why = obstacle(a);
    *chosen = why == NULL;
    if (*chosen || options->cache_prefix == TRAIN_CACHE_AUTO)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "train.cache_prefix",
                      .what = "the histories of training samples cannot be kept", .got = why,
                      .hint = "\"auto\" keeps them where that is possible");
}

/* ---- what is kept ---- */

typedef struct kept {
    uint64_t content; /* of the sample, hashed: one that is drawn otherwise is another */
    assay_prefix *prefix;
} kept;

struct prefixes {
    assembly *assembly;
    assay_tape *tape;   /* of histories */
    assay_arena *arena; /* of a history's batch */
    kept *kept;         /* (samples), by index */
    int64_t samples, bytes, most;
    const assay_prefix **rows; /* of the batch under way */
    int64_t row_room;
    assay_prefix **passing; /* owned until the pass ends */
    int64_t passing_count, passing_room;
};

prefixes *prefixes_new(assembly *a, const train_options *options, int64_t samples,
                       assay_error *error)
{
    int64_t bytes = 0;
    assay_precision precision = assembly_precision(options);
    prefixes *p = assay_zalloc((int64_t)sizeof *p, error);
    if (!p)
        return NULL;
    *p = (prefixes){.assembly = a, .samples = samples, .most = options->cache_mb << 20};
    if (!assay_size_mul(&bytes, samples, (int64_t)sizeof *p->kept))
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "train.cache_prefix", .what = "set too large");
    else
        p->kept = assay_zalloc(bytes, error);
    p->tape = p->kept ? assembly_tape(a, precision, error) : NULL;
    p->arena = p->tape ? assay_arena_new(0, error) : NULL;
    if (!p->arena) {
        prefixes_free(p);
        return NULL;
    }
    return p;
}

void prefixes_end(prefixes *p)
{
    for (int64_t i = 0; i < p->passing_count; i++)
        assay_prefix_free(p->passing[i]);
    p->passing_count = 0;
}

void prefixes_free(prefixes *p)
{
    if (!p)
        return;
    prefixes_end(p);
    for (int64_t i = 0; p->kept && i < p->samples; i++)
        assay_prefix_free(p->kept[i].prefix);
    assay_tape_free(p->tape);
    assay_arena_free(p->arena);
    assay_free(p->kept);
    assay_free(p->rows);
    assay_free(p->passing);
    assay_free(p);
}

int64_t prefixes_bytes(const prefixes *p)
{
    return p->bytes;
}

/* ---- one history ---- */

/* FNV-1a, eight bytes at a time. */
static uint64_t add_bytes(uint64_t hash, const void *data, int64_t bytes)
{
    const uint8_t *at = data;
    for (; bytes > 0; at += 8, bytes -= 8) {
        uint64_t word = 0;
        memcpy(&word, at, (size_t)(bytes < 8 ? bytes : 8));
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 32;
    }
    return hash;
}

static int64_t element_bytes(assay_dtype dtype)
{
    return dtype == ASSAY_U8 ? 1 : 4;
}

/* Everything that the sample says, but for its label. */
static uint64_t content_of(const assay_data *data, const assay_sample *sample)
{
    int count = 0;
    uint64_t hash = 0xcbf29ce484222325u;
    const assay_field *fields = data->functions->fields(data->dataset, &count);
    for (int f = 0; f < count; f++) {
        const assay_field_value *value = &sample->values[f];
        int64_t n = 1;
        if (!value->present)
            continue;
        hash = add_bytes(hash, &f, (int64_t)sizeof f);
        if (value->offsets) {
            hash = add_bytes(hash, value->offsets,
                             (value->shape[0] + 1) * (int64_t)sizeof *value->offsets);
            n = value->offsets[value->shape[0]];
        }
        for (int k = 0; k < fields[f].rank && !value->offsets; k++) {
            hash = add_bytes(hash, &value->shape[k], (int64_t)sizeof value->shape[k]);
            n *= value->shape[k];
        }
        for (int k = 2; k < fields[f].rank && value->offsets; k++)
            n *= value->shape[k];
        hash = add_bytes(hash, value->data, n * element_bytes(fields[f].dtype));
    }
    return hash;
}

/* Copies a failure of the histories' tape, or of collating, to the pass's. */
static assay_prefix *fail(assay_tape *tape, const assay_error *own)
{
    assay_tape_fail(tape, own->code,
                    (assay_failure){.where = own->where,
                                    .what = own->what,
                                    .expected = own->expected,
                                    .got = own->got,
                                    .hint = own->hint});
    return NULL;
}

/* Runs one sample's history as in evaluation: nothing of it is drawn, or this would not be done. */
static assay_prefix *run_history(prefixes *p, assay_tape *tape, const assay_sample *sample,
                                 const assay_clock *clock, const assay_wanted *wanted)
{
    assembly *a = p->assembly;
    assay_error own = {0};
    assay_prefix *prefix = NULL;
    const assay_collation in = {.samples = sample,
                                .count = 1,
                                .phase = ASSAY_TRAINING,
                                .wanted = wanted,
                                .arena = p->arena,
                                .part = ASSAY_HISTORY};
    assay_batch batch = {.samples = 1, .sample = sample, .part = ASSAY_HISTORY};
    assay_arena_reset(p->arena);
    if (!a->model.plugin->model.collate(a->model.state, &in, &batch, &own))
        return fail(tape, &own);
    assay_tape_begin(p->tape, (assay_step){.seed = (uint64_t)a->recipe->seed, .no_gradient = true});
    if (assembly_prefill(a, p->tape, &batch, clock, &prefix))
        return prefix;
    assay_tape_failed(p->tape, &own);
    return fail(tape, &own);
}

/* ---- a batch ---- */

/* Room for one more, doubling; the old block is freed. */
static void *more_room(void *block, int64_t count, int64_t *room, int64_t need)
{
    int64_t grown = *room > 0 ? *room : 64;
    while (grown < need)
        grown *= 2;
    void **larger = assay_alloc(grown * (int64_t)sizeof *larger, NULL);
    if (!larger)
        return NULL;
    if (count > 0)
        memcpy(larger, block, (size_t)count * sizeof *larger);
    assay_free(block);
    *room = grown;
    return larger;
}

static bool make_room(prefixes *p, assay_tape *tape, int64_t rows)
{
    void *block = NULL;
    bool ok = true;
    if (rows > p->row_room) {
        block = more_room(p->rows, 0, &p->row_room, rows);
        p->rows = block;
        ok = block != NULL;
    }
    /* A row leaves at most one that was replaced and one that is not kept. */
    if (ok && p->passing_count + 2 * rows > p->passing_room) {
        block =
            more_room(p->passing, p->passing_count, &p->passing_room, p->passing_count + 2 * rows);
        ok = block != NULL;
        p->passing = ok ? block : p->passing;
    }
    if (!ok)
        assay_tape_fail(tape, ASSAY_NO_MEMORY,
                        (assay_failure){.where = "train.cache_prefix", .what = "no memory left"});
    return ok;
}

/* The history of one sample, kept or run. NULL after a failure, which is on `tape`. */
static const assay_prefix *history_of(prefixes *p, assay_tape *tape, const assay_sample *sample,
                                      const assay_clock *clock, const assay_wanted *wanted)
{
    bool known = sample->index >= 0 && sample->index < p->samples;
    kept *own = known ? &p->kept[sample->index] : NULL;
    uint64_t content = content_of(p->assembly->data, sample);
    if (own && own->prefix && own->content == content)
        return own->prefix;
    assay_prefix *prefix = run_history(p, tape, sample, clock, wanted);
    if (!prefix)
        return NULL;
    int64_t bytes = assay_prefix_bytes(prefix);
    if (own && own->prefix) {
        p->bytes -= assay_prefix_bytes(own->prefix);
        p->passing[p->passing_count++] = own->prefix;
        *own = (kept){0};
    }
    if (own && p->bytes + bytes <= p->most) {
        *own = (kept){content, prefix};
        p->bytes += bytes;
    } else {
        p->passing[p->passing_count++] = prefix;
    }
    return prefix;
}

bool prefixes_forward(prefixes *p, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, const assay_wanted *wanted, assay_outputs *out)
{
    out->count = 0;
    if (!make_room(p, tape, batch->samples))
        return false;
    for (int64_t b = 0; b < batch->samples; b++) {
        p->rows[b] = history_of(p, tape, &batch->sample[b], clock, wanted);
        if (!p->rows[b])
            return false;
    }
    return assembly_resume(p->assembly, tape, batch, clock, p->rows, wanted, out);
}
