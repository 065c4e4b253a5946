/* user_decoder.h - what the files of the model share: its parts, and what a batch holds.
 *
 * The user's tower, left to right (B samples, D width):
 *     [extra front] [summary: user, one per source] [events of source 1, oldest first] ...
 *     [features] [question mark, question words] [extra readout] <USER>
 * The events and what stands between them and the question are the history, the tower's span.
 * <USER> is there for the readout user_token alone. Answer words follow when next-word targets are
 * wanted: they lie beyond the tower's lengths, in what is padding to everybody else, and closing.c
 * closes them to all that stands before them, whatever the mask. The answer's tower is the answer's
 * words and <EOS>, through the same decoder and projection. */
#ifndef USER_DECODER_H
#define USER_DECODER_H

#include <assay/blocks.h>
#include <assay/model.h>

#include "vocabulary.h"

#define MODEL_WHERE       "model user_decoder"
#define MODEL_SOURCES     32
#define MODEL_PARTS       (MODEL_SOURCES + 8)
#define MODEL_AGE_BUCKETS 128 /* of a source: quarters of a factor of 2 of 1 + age */
#define MODEL_RANKS       64  /* places counted from a source's newest event */

enum { SIZE_TINY, SIZE_SMALL };
enum { HEAD_MLP, HEAD_LINEAR };
enum { READ_USER_TOKEN, READ_MEAN, READ_LAST };

typedef struct settings {
    int size, head, readout;
    int64_t width, layers, heads, kv_heads, mlp, embedding;
    bool summary;
    int64_t feature_tokens, words, min_count, event_words, question_words, answer_words, tokens;
} settings;

/* Normalise, W1, GELU, W2: what turns an encoder's vector into a token. */
typedef struct adapter {
    assay_tensor *norm_weight, *norm_bias, *w1, *b1, *w2, *b2;
} adapter;

typedef struct source {
    const char *name; /* borrowed from the dataset */
    int texts, times; /* fields; times -1: without */
    assay_dtype time_type;
    adapter adapter;
} source;

typedef struct model {
    settings settings;
    assay_extra_tokens extra;
    vocabulary *words;
    assay_decoder *decoder;
    int source_count, features, question, answer; /* fields; -1: without */
    int64_t feature_count, width;
    source sources[MODEL_SOURCES];
    assay_tensor *age, *rank;                    /* (1 + sources * buckets, D), (1 + ranks, D) */
    assay_tensor *feature_weight, *feature_bias; /* to `feature_tokens` tokens */
    assay_tensor *summary_features, *summary_features_bias;
    adapter summary_user, summary_source;
    assay_tensor *w0, *b0, *w2, *b2; /* the projection; w2 NULL: linear */
    assay_part parts[MODEL_PARTS];
    char part_texts[2 * MODEL_PARTS][128];
    int part_count;
} model;

/* The texts of one source in a batch, each different one once. */
typedef struct distinct {
    int64_t rows;          /* U; 0: the batch has no event of this source */
    assay_tensor *ids;     /* i32 (U, W) words, WORD_PAD behind them */
    assay_tensor *lengths; /* i32 (U), at least 1 */
} distinct;

/* One tower of a batch. All in the batch's arena. */
typedef struct content {
    bool of_answer;
    assay_tensor *ids; /* i32 (B, T), of an answer's tower; what follows is the user's */
    distinct texts[MODEL_SOURCES];
    assay_tensor *features;   /* f32 (B, F), NULL: none */
    assay_tensor *words;      /* i32 (n) different words of questions, answers and markers */
    assay_tensor *index;      /* i32 (B T): each token's row in the joined table of network.c */
    assay_tensor *age, *rank; /* i32 (B, T) rows of the tables of these names, 0 for no event */
    assay_tensor *slots[MODEL_SOURCES];  /* i32 (B S): events as rows of texts, for summaries */
    assay_tensor *counts[MODEL_SOURCES]; /* i32 (B): events of each sample */
    assay_tensor *lengths;               /* i32 (B): valid tokens, answer words included */
    assay_tensor *read;    /* i32 (B): b T + the position that is read; NULL: the mean */
    assay_tensor *targets; /* i32 (B, T) or NULL */
    assay_tensor *closed;  /* f32 (B, T): -infinity where an answer word is; NULL: none is */
} content;

/* collate.c: samples to towers. Any thread. */
bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error);

/* texts.c: the different texts of field `field` in the samples, and in `rows` (room for all events,
 * sample after sample) which of them each event is. */
bool distinct_make(const vocabulary *words, int64_t most_words, const assay_collation *in,
                   int field, distinct *out, int32_t *rows, assay_error *error);

/* network.c: tokens and states. */
assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert);
bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out);

/* closing.c: `bias` with the answer words closed to what stands before them. False after a failure,
 * which is on the tape. */
bool closing_apply(assay_tape *tape, const assay_tower *tower, const assay_tensor *closed,
                   assay_attention_bias *bias);

#endif
