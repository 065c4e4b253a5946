/* event_sequence.h - what the files of the model share: its parts, and what a batch holds.
 *
 * One token per event of all sources, oldest first, behind one for the features where the dataset
 * has them (B samples, T tokens, D width, U different texts of the batch). A text is the mean of
 * its words' vectors, mapped by a linear layer, plus its source's vector; the vectors of events
 * are rows of a table of the batch's different texts, so that losses may compare with each text
 * once. */
#ifndef EVENT_SEQUENCE_H
#define EVENT_SEQUENCE_H

#include <assay/blocks.h>
#include <assay/model.h>

#include "vocabulary.h"

#define MODEL_WHERE   "model event_sequence"
#define MODEL_SOURCES 32
#define MODEL_AGES    64 /* buckets: half factors of 2 of 1 + age */

enum { ATTEND_CAUSAL, ATTEND_BIDIRECTIONAL };
enum { HEAD_NONE, HEAD_LINEAR };

typedef struct settings {
    int attention, head;
    bool features;
    int64_t width, layers, heads, mlp, embedding, words, min_count, event_words, answer_words,
        events;
    double masked;
} settings;

typedef struct source {
    int texts, times; /* fields; times -1: without */
    assay_dtype time_type;
} source;

typedef struct model {
    settings settings;
    vocabulary *words;
    assay_decoder *decoder;
    int source_count, features, answer; /* fields; -1: without */
    int64_t feature_count;
    source sources[MODEL_SOURCES];
    assay_tensor *text, *text_bias;       /* (D, D), (D): means of words to event vectors */
    assay_tensor *source, *age;           /* (sources, D), (1 + ages, D) */
    assay_tensor *mask;                   /* (1, D): stands for an event that is masked */
    assay_tensor *feature, *feature_bias; /* (D, F), (D), or NULL */
    assay_tensor *head, *head_bias;       /* (E, D), (E), or NULL: the mean state itself */
    assay_tensor *answer1, *answer1_bias, *answer2, *answer2_bias;
} model;

/* One tower of a batch. All in the batch's arena. */
typedef struct content {
    bool of_answer, masking;
    int64_t texts;         /* U, at least 1 */
    assay_tensor *words;   /* i32 (U, W); of the answer's tower (B, W) */
    assay_tensor *lengths; /* i32 (U): words of each text; of the answer's tower (B) */
    assay_tensor *sources; /* i32 (U) */
    assay_tensor *rows;    /* i32 (B T): U is the mask, U + 1 + b sample b's features */
    assay_tensor *ages;    /* i32 (B, T), 0 where there is no age */
    assay_tensor *ids;     /* i32 (B, T): an event's text, ASSAY_IGNORE where no event is */
    assay_tensor *classes; /* i32 (B, T): its first word, likewise */
    assay_tensor *features;
    assay_tensor *valid; /* i32 (B): tokens */
} content;

/* collate.c: samples to towers. Any thread. */
bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error);

/* network.c: tokens and states. */
assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert);
bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out);

#endif
