/* prefix.c - the model in two parts: what a user's history leaves in every layer, once, and any
 * number of questions on it (user-modelling spec 2.7).
 *
 * The history is what the layout puts before the question; the question's part is the question,
 * other people's readout tokens and the token that is read. */
#include "user_decoder.h"

const char *prefix_obstacle(const model *m)
{
    if (m->settings.readout == READ_MEAN)
        return "readout = \"mean\" reads every state of the history, which a prefix does not keep";
    if (m->settings.slots == SLOTS_FIXED && m->settings.slot_padding == PADDING_MASKED)
        return "masked padding slots are keys that nobody may see; slots = \"compact\" leaves them "
               "out";
    return NULL;
}

/* Learned vectors beside the history are no part of it: they change. */
static bool begins_question(const model *m, const piece *of)
{
    return of->kind == PIECE_QUESTION || (of->kind == PIECE_BESIDE && m->extra.history > 0);
}

void prefix_pieces(const model *m, assay_part_of part, int *first, int *end)
{
    int question = 0;
    while (question < m->layout.count && !begins_question(m, &m->layout.pieces[question]))
        question++;
    *first = part == ASSAY_QUESTION ? question : 0;
    *end = part == ASSAY_HISTORY ? question : m->layout.count;
}

/* A prefix is of what stands before the question, and nothing there may see what follows. */
static bool check(assay_tape *tape, const model *m, const assay_batch *batch, int tower)
{
    const content *c = &((const content *)batch->content)[tower];
    const char *obstacle = prefix_obstacle(m);
    if (!obstacle && !c->of_answer && !c->closed)
        return true;
    assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                    (assay_failure){.where = MODEL_WHERE,
                                    .what = "this tower cannot be run in two parts",
                                    .hint = obstacle});
    return false;
}

bool model_prefill(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, assay_prefix **out)
{
    const model *m = opened;
    const content *c = &((const content *)batch->content)[tower];
    return check(tape, m, batch, tower) &&
           assay_decoder_prefill(tape, m->decoder, x, c->lengths, bias, out);
}

bool model_resume(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                  assay_tensor *x, const assay_attention_bias *bias,
                  const assay_prefix *const *prefix, const assay_wanted *wanted, assay_outputs *out)
{
    const model *m = opened;
    const content *c = &((const content *)batch->content)[tower];
    const assay_tower *t = &batch->towers[tower];
    bool all = assay_wants(wanted, "user.states");
    (void)bias; /* the host has seen that it hides the future: the question is causal */
    if (!check(tape, m, batch, tower))
        return false;
    assay_tensor *states =
        assay_decoder_resume(tape, m->decoder, x, c->lengths, prefix, all ? NULL : t->readout);
    assay_tensor *flat =
        assay_reshape(tape, states, 2, (int64_t[]){t->rows * (all ? t->tokens : 1), m->width});
    if (assay_wants(wanted, "user.embedding"))
        assay_outputs_put(out, wanted, "user.embedding",
                          model_project(tape, m, all ? assay_gather(tape, flat, c->read) : flat));
    assay_outputs_put(out, wanted, "user.states", states);
    assay_outputs_put(out, wanted, "user.head", assay_decoder_head(m->decoder));
    return assay_tape_ok(tape, NULL);
}
