/* collate.h - what the files that make batches of samples share: a plan of the user's tower, filled
 * step by step.
 *
 *     collate.c   texts to ids, features, the answer's tower, the order of the steps
 *     measure.c   how long everything is, which words the batch has, where their rows stand
 *     lay_out.c   token by token, what stands where */
#ifndef USER_DECODER_COLLATE_H
#define USER_DECODER_COLLATE_H

#include "user_decoder.h"

/* The ids of one field of all samples. */
typedef struct texts {
    int32_t *ids;    /* (B, most) */
    int32_t *counts; /* (B); -1: the sample has no such field */
    int64_t most, cut;
} texts;

/* Everything that is known of the user's tower before it is laid out. */
typedef struct plan {
    const model *model;
    const assay_collation *in;
    content *content;
    texts question, answer;
    int32_t *rows[MODEL_SOURCES];  /* of each event, sample after sample: its text's number */
    int64_t *first[MODEL_SOURCES]; /* (B + 1) where a sample's events begin in it */
    int64_t tokens;                /* T */
    int32_t *row_of_word;          /* (ids) place in `words` + 1; 0: not in this batch */
    int64_t word_count;
    bool with_answers, with_sources;
    int first_piece, end_piece; /* of the layout, that the batch's part has */
    /* Where the parts of the joined table begin. */
    int64_t base_texts[MODEL_SOURCES], base_features, base_summary, base_front, base_readout,
        base_history;
} plan;

/* Blocks of the batch's arena; zeros, and a value everywhere. NULL with the error set. */
void *plan_take(const assay_collation *in, int64_t count, int64_t size, assay_error *error);
assay_tensor *plan_integers(const assay_collation *in, int rank, const int64_t *shape,
                            int32_t value, assay_error *error);
assay_tensor *plan_zeros(const assay_collation *in, const int64_t grid[2], assay_error *error);

/* Summary tokens of a sample. */
static inline int64_t plan_summaries(const model *m)
{
    int64_t sources = m->source_count + (m->features >= 0);
    return m->settings.user_summary + (m->settings.source_summary ? sources : 0);
}

/* Events that sample b shows of source s. */
static inline int64_t plan_events(const plan *p, int s, int64_t b)
{
    return p->first[s][b + 1] - p->first[s][b];
}

/* Whether all slots have a token, with an event or without. */
static inline bool plan_is_fixed(const model *m)
{
    return m->settings.slots == SLOTS_FIXED;
}

/* Tokens of a sample's features. */
static inline int64_t plan_features(const model *m)
{
    return m->features >= 0 ? m->settings.feature_tokens : 0;
}

/* Of the decoder's table; ids beyond are markers in a table of their own, which is all there. */
static inline int64_t plan_rows(const plan *p)
{
    return lexicon_size(p->model->words) - p->model->marker_count;
}

/* measure.c, in this order: the events of each sample and their different texts; T, with what is
 * too long cut; the different ids; the order of network.c's table. */
bool plan_find_events(plan *p, assay_error *error);
bool plan_measure(plan *p, assay_error *error);
bool plan_find_words(plan *p, assay_error *error);
void plan_place(plan *p);

/* lay_out.c: the tower's tensors and those of the content, filled. */
bool plan_lay_out(plan *p, assay_tower *tower, assay_error *error);

#endif
