/* model_coder.c - a model with options of most types, and losses and evaluators of its own. */
#include "plan_only.h"

#include <assay/model.h>

typedef struct options {
    int size;
    int64_t width;
    double dropout;
    bool tied;
    assay_numbers rates;
    assay_texts readouts;
    const char *note;
} options;

static const assay_option table[] = {
    ASSAY_CHOICE(options, size, "tiny", "tiny|small|base", "how large"),
    ASSAY_INTEGER(options, width, "", 64, 8, 4096, "of the states"),
    ASSAY_NUMBER(options, dropout, "fraction", 0.0, 0.0, 0.9, "of the embeddings"),
    ASSAY_BOOL(options, tied, true, "input and output share weights"),
    ASSAY_NUMBERS(options, rates, "", "0.5,1", 0.0, 2.0, "of the blocks"),
    ASSAY_TEXTS(options, readouts, "last", "first|last|mean", "where states are read"),
    ASSAY_TEXT(options, note, "", "for people"),
};

static void *coder_open(const void *settings, const assay_model_setup *setup, assay_error *error)
{
    (void)settings;
    (void)setup;
    PLAN_ONLY(error);
    return NULL;
}

static void coder_close(void *model)
{
    (void)model;
}

static void coder_facts(void *model, assay_model_facts *out)
{
    (void)model;
    (void)out;
}

static bool coder_collate(void *model, const assay_collation *in, assay_batch *out,
                          assay_error *error)
{
    (void)model;
    (void)in;
    (void)out;
    return PLAN_ONLY(error);
}

static assay_tensor *coder_embed(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                                 const assay_insert *insert)
{
    (void)model;
    (void)tape;
    (void)batch;
    (void)tower;
    (void)insert;
    return NULL;
}

static bool coder_forward(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                          assay_tensor *x, const assay_attention_bias *bias,
                          const assay_wanted *wanted, assay_outputs *out)
{
    (void)model;
    (void)tape;
    (void)batch;
    (void)tower;
    (void)x;
    (void)bias;
    (void)wanted;
    (void)out;
    return false;
}

static const char *const losses[] = {"guess", NULL};
static const char *const evaluators[] = {"probe", NULL};

static const assay_model_functions functions = {
    .size = sizeof functions,
    .default_losses = losses,
    .default_evaluators = evaluators,
    .open = coder_open,
    .close = coder_close,
    .facts = coder_facts,
    .collate = coder_collate,
    .embed = coder_embed,
    .forward = coder_forward,
};

ASSAY_PLUGIN(ASSAY_KIND_MODEL, "coder", 1, "codes sequences", options, table, functions);
