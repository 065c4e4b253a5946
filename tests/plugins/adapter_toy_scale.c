/* adapter_toy_scale.c - a learned scale on one branch of a frozen model, and a soft prompt: an
 * adapter that uses everything an adapter may, for the lab's tests. */
#include <assay/adapter.h>
#include <assay/ops.h>

typedef struct options {
    assay_texts places;
    int64_t tokens;
    bool freeze;
} options;

static const assay_option table[] = {
    ASSAY_TEXTS(options, places, "layers.0.mlp", NULL, "branches that are scaled"),
    ASSAY_INTEGER(options, tokens, "tokens", 0, 0, 16, "of a soft prompt before the readout"),
    ASSAY_BOOL(options, freeze, true, "the model itself does not learn"),
};

typedef struct scale {
    const options *o;
    assay_tensor *factor, *prompt; /* parameters, borrowed; prompt NULL: none */
} scale;

static bool scale_needs(const void *settings, assay_needs *out, assay_error *error)
{
    (void)error;
    out->extra.readout = ((const options *)settings)->tokens;
    return true;
}

static void scale_close(void *adapter)
{
    assay_free(adapter);
}

static void *scale_open(const void *settings, const assay_adapter_setup *setup, assay_error *error)
{
    int64_t width = setup->facts->width;
    scale *s = assay_zalloc((int64_t)sizeof *s, error);
    if (!s)
        return NULL;
    s->o = settings;
    bool ok = !s->o->freeze || assay_params_train(setup->params, NULL, false, error) >= 0;
    if (ok) {
        s->factor = assay_params_add(setup->params, assay_text("%sscale", setup->prefix), 1, &width,
                                     (assay_init){ASSAY_INIT_ONES, 0, 0}, error);
        ok = s->factor != NULL;
    }
    if (ok && s->o->tokens > 0) {
        s->prompt = assay_params_add(setup->params, assay_text("%sprompt", setup->prefix), 2,
                                     (int64_t[]){s->o->tokens, width},
                                     (assay_init){ASSAY_INIT_NORMAL, 0.1f, 0}, error);
        ok = s->prompt != NULL;
    }
    if (!ok) {
        scale_close(s);
        return NULL;
    }
    return s;
}

static bool scale_attaches(void *adapter, const char *place)
{
    const options *o = ((scale *)adapter)->o;
    for (int64_t i = 0; i < o->places.count; i++)
        if (assay_same_text(o->places.items[i], place))
            return true;
    return false;
}

static assay_tensor *scale_apply(void *adapter, assay_tape *tape, const char *place,
                                 assay_tensor *input, assay_tensor *output)
{
    (void)place;
    (void)input;
    return assay_mul(tape, output, ((scale *)adapter)->factor);
}

static assay_tensor *scale_readout(void *adapter, assay_tape *tape)
{
    (void)tape;
    return ((scale *)adapter)->prompt;
}

static const assay_adapter_functions functions = {
    .size = sizeof functions,
    .needs = scale_needs,
    .open = scale_open,
    .close = scale_close,
    .attaches = scale_attaches,
    .apply = scale_apply,
    .readout = scale_readout,
};

ASSAY_PLUGIN(ASSAY_KIND_ADAPTER, "toy_scale", 1, "scales branches of a frozen model", options,
             table, functions);
