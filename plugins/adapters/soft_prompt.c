/* soft_prompt.c - adapter `soft_prompt`: a few learned vectors in the sequence of a frozen model
 * (user-modelling spec 2.6). They stand between the question and the token that is read, so that
 * under a causal mask everything before the question stays as it was; or, as the paper's figure
 * draws them, right behind the history. */
#include <assay/adapter.h>

#include <math.h>
#include <string.h>

#define WHERE "adapter soft_prompt"

enum { START_WORDS, START_RANDOM };
enum { AT_READOUT, AFTER_HISTORY };

typedef struct settings {
    int64_t tokens;
    int init, place;
    const char *words;
    double sd, lr_scale;
    bool freeze;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, tokens, "tokens", 6, 1, 16, "learned vectors"),
    ASSAY_CHOICE(settings, init, "words", "words|random",
                 "how they start: as a question's first words, again from its first when it has "
                 "fewer, or drawn"),
    ASSAY_TEXT(settings, words, "", "whose vectors they start as; empty: the training question"),
    ASSAY_NUMBER(settings, sd, "", 0, 0, 100, "of a random start; 0: 1 / sqrt(width)"),
    ASSAY_CHOICE(settings, place, "readout", "readout|after_history",
                 "just before the token that is read, or between history and question"),
    ASSAY_BOOL(settings, freeze, true, "nothing but the prompt and the losses' own learns"),
    ASSAY_POSITIVE(settings, lr_scale, "", 1.0, 1e6, "of the learning rate, for these vectors"),
};

typedef struct soft_prompt {
    assay_tensor *prompts; /* (tokens, D), borrowed from the run's parameters */
} soft_prompt;

static bool prompt_needs(const void *chosen, assay_needs *out, assay_error *error)
{
    const settings *s = chosen;
    (void)error;
    if (s->place == AFTER_HISTORY)
        out->extra.history = s->tokens;
    else
        out->extra.readout = s->tokens;
    out->freezes = s->freeze;
    return true;
}

/* ---- the start ---- */

/* The question of the first training sample; NULL with the error set. In `arena`. */
static const assay_field_value *training_question(const assay_adapter_setup *setup,
                                                  assay_arena *arena, assay_error *error)
{
    const assay_data *data = setup->data;
    const assay_draw draw = {.seed = setup->seed};
    assay_data_split split = ASSAY_TRAIN;
    assay_sample sample = {0};
    int field = assay_data_field(data, "query");
    if (data->functions->count(data->dataset, split, ASSAY_NO_BENCHMARK) == 0)
        split = ASSAY_PRETRAIN;
    if (field >= 0 && data->functions->count(data->dataset, split, ASSAY_NO_BENCHMARK) > 0) {
        if (!data->functions->sample(data->dataset, split, ASSAY_NO_BENCHMARK, 0, &draw, arena,
                                     &sample, error))
            return NULL;
        if (sample.values[field].present && sample.values[field].shape[0] > 0)
            return &sample.values[field];
    }
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
               .what = "the training samples have no question to start from",
               .hint = "words = \"...\" gives one, init = \"random\" needs none");
    return NULL;
}

/* The text's first vectors, repeated until all prompts have one. */
static bool start_from(const assay_adapter_setup *setup, const char *text, int64_t bytes,
                       assay_tensor *prompts, assay_error *error)
{
    int64_t tokens = prompts->shape[0], width = prompts->shape[1];
    float *out = assay_f32(prompts);
    int64_t found =
        setup->model->text_vectors(setup->opened_model, text, bytes, tokens, out, error);
    if (found == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "there is no word in the text that the prompt starts from",
                          .got = assay_text("'%.*s'", (int)(bytes < 60 ? bytes : 60), text));
    for (int64_t k = found; found > 0 && k < tokens; k++)
        memcpy(out + k * width, out + (k - found) * width, (size_t)width * sizeof *out);
    return found > 0;
}

static bool start_words(const settings *s, const assay_adapter_setup *setup, assay_tensor *prompts,
                        assay_error *error)
{
    if (!setup->model || !setup->model->text_vectors)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                          .what = "the model has no vectors of words to start from",
                          .hint = "init = \"random\"");
    if (s->words[0] != '\0')
        return setup->counting ||
               start_from(setup, s->words, (int64_t)strlen(s->words), prompts, error);
    assay_arena *arena = assay_arena_new(0, error);
    const assay_field_value *question = arena ? training_question(setup, arena, error) : NULL;
    bool ok = question && (setup->counting ||
                           start_from(setup, question->data, question->shape[0], prompts, error));
    assay_arena_free(arena);
    return ok;
}

/* ---- the plugin's functions ---- */

static void *prompt_open(const void *chosen, const assay_adapter_setup *setup, assay_error *error)
{
    const settings *s = chosen;
    int64_t shape[2] = {s->tokens, setup->facts->width};
    float sd = s->sd > 0 ? (float)s->sd : 1 / sqrtf((float)setup->facts->width);
    const char *name = assay_text("%sprompts", setup->prefix);
    soft_prompt *p = assay_zalloc((int64_t)sizeof *p, error);
    if (!p)
        return NULL;
    bool ok = !s->freeze || assay_params_train(setup->params, NULL, false, error) >= 0;
    if (ok)
        p->prompts = assay_params_add(setup->params, name, 2, shape,
                                      (assay_init){ASSAY_INIT_NORMAL, sd, 0}, error);
    if (!p->prompts || (s->init == START_WORDS && !start_words(s, setup, p->prompts, error))) {
        assay_free(p);
        return NULL;
    }
    assay_params_at(setup->params, assay_params_count(setup->params) - 1)->decays = false;
    return p;
}

static assay_tensor *prompt_readout(void *opened, assay_tape *tape)
{
    (void)tape;
    return ((soft_prompt *)opened)->prompts;
}

static const assay_adapter_functions functions = {
    .size = sizeof functions,
    .needs = prompt_needs,
    .open = prompt_open,
    .close = assay_free,
    .readout = prompt_readout,
};

ASSAY_PLUGIN(ASSAY_KIND_ADAPTER, "soft_prompt", 1, "learned vectors in a frozen model's sequence",
             settings, options, functions);
