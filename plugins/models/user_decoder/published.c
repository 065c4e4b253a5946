/* published.c - published weights into the model's parameters: a decoder's and, for every event
 * encoder, a BERT's. They are where a run starts; a checkpoint or `init` comes after them. */
#include "user_decoder.h"

#include <stdio.h>
#include <string.h>

/* What comes from where: parameters named PREFIX REST from tensors named REST. */
typedef struct transfer {
    const char *option, *prefix;
    const char *within; /* what a file may put before its names */
    const assay_weights *weights;
} transfer;

static bool fail_missing(const transfer *t, const char *name, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = MODEL_WHERE,
                      .what = assay_text("the weights of option '%s' lack %.150s", t->option, name),
                      .got = assay_weights_count(t->weights) > 0
                                 ? assay_weights_at(t->weights, 0)->name
                                 : "an empty file");
}

/* The stored tensor of a parameter's name without prefix: as it is, with `within` before it, or
 * without it. */
static const assay_stored *find(const transfer *t, const char *rest)
{
    size_t length = strlen(t->within);
    const assay_stored *stored = assay_weights_find(t->weights, rest);
    if (!stored)
        stored = assay_weights_find(t->weights, assay_text("%s%.180s", t->within, rest));
    if (!stored && strncmp(rest, t->within, length) == 0)
        stored = assay_weights_find(t->weights, rest + length);
    return stored;
}

static bool same_shape(const assay_tensor *value, const assay_stored *stored)
{
    return stored->rank == value->rank &&
           memcmp(stored->shape, value->shape, (size_t)value->rank * sizeof *value->shape) == 0;
}

static bool take(const transfer *t, const assay_parameter *parameter, bool counting,
                 assay_error *error)
{
    const char *rest = parameter->name + strlen(t->prefix);
    const assay_stored *stored = find(t, rest);
    if (!stored)
        return fail_missing(t, rest, error);
    if (!same_shape(parameter->value, stored))
        return ASSAY_FAIL(
            error, ASSAY_BAD_SHAPE, .where = MODEL_WHERE,
            .what = assay_text("%.150s of option '%s' has another shape", stored->name, t->option),
            .expected = assay_shape_text(parameter->value->rank, parameter->value->shape),
            .got = assay_shape_text(stored->rank < ASSAY_MAX_RANK ? stored->rank : ASSAY_MAX_RANK,
                                    stored->shape));
    return counting || assay_stored_read(stored, parameter->value, error);
}

static bool transfer_all(const transfer *t, assay_params *params, bool counting, assay_error *error)
{
    size_t length = strlen(t->prefix);
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        const assay_parameter *parameter = assay_params_at(params, i);
        if (strncmp(parameter->name, t->prefix, length) == 0 &&
            !take(t, parameter, counting, error))
            return false;
    }
    return true;
}

static bool load_decoder(assay_params *params, const assay_weights *weights, bool counting,
                         assay_error *error)
{
    static const char *const prefixes[] = {"model.", "lm_head."};
    for (int i = 0; i < 2; i++) {
        const size_t length = strlen(prefixes[i]);
        for (int64_t k = 0; k < assay_params_count(params); k++) {
            const assay_parameter *parameter = assay_params_at(params, k);
            const transfer whole = {"decoder", "", "model.", weights};
            if (strncmp(parameter->name, prefixes[i], length) == 0 &&
                !take(&whole, parameter, counting, error))
                return false;
        }
    }
    return true;
}

static bool load_encoders(assay_params *params, const model *m, const assay_weights *weights,
                          bool counting, assay_error *error)
{
    int count = m->settings.encoder_shared ? 1 : m->source_count;
    for (int s = 0; s < count; s++) {
        char prefix[96];
        const transfer one = {"encoder_weights", prefix, "bert.", weights};
        snprintf(prefix, sizeof prefix, "bert.%s.",
                 m->settings.encoder_shared ? "shared" : m->sources[s].name);
        if (!transfer_all(&one, params, counting, error))
            return false;
    }
    return true;
}

bool published_load(const model *m, assay_params *params, bool counting, assay_error *error)
{
    const char *paths[] = {m->settings.decoder.path, m->settings.encoder_weights.path};
    for (int i = 0; i < 2; i++) {
        if (!paths[i])
            continue;
        assay_weights *weights = assay_weights_open(paths[i], error);
        bool ok = weights && (i == 0 ? load_decoder(params, weights, counting, error)
                                     : load_encoders(params, m, weights, counting, error));
        assay_weights_close(weights);
        if (!ok)
            return false;
    }
    return true;
}
