/* user_decoder.h - what the files of the model share: its settings, its parts, and what a batch
 * holds.
 *
 * B samples, D the decoder's width, E the width of an event encoder's vectors. What stands where in
 * the user's tower is the layout (layout.h). Answer words, and in the layout `chat` what stands
 * between the read token and them, follow when next-word targets are wanted: they lie beyond the
 * tower's lengths, in what is padding to everybody else, and closing.c closes them to all that
 * stands before them, whatever the mask. The answer's tower is the answer's words and an end,
 * through the same decoder and projection.
 *
 * Parameters, by the prefixes that `assay plan` counts:
 *     model.               the decoder under its published names
 *     bag.SOURCE. bert.SOURCE.   event encoders; SOURCE is `shared` for one of all sources
 *     encoder.SOURCE.      a source's adapter: norm, fc1 (E, E), fc2 (D, E)
 *     summary.user. summary.source.   the adapters of the summary tokens, likewise
 *     features.            weight, bias (to tokens), mean.weight, mean.bias (to the encoder's
 *                          width)
 *     when.                age.weight, rank.weight
 *     markers.             weight: of markers that the decoder's table has no rows for
 *     projector.           0.weight, 0.bias and, behind an activation, 2.weight, 2.bias */
#ifndef USER_DECODER_H
#define USER_DECODER_H

#include <assay/blocks.h>
#include <assay/model.h>

#include "layout.h"

#define MODEL_AGE_BUCKETS 128 /* of a source: quarters of a factor of 2 of 1 + age */
#define MODEL_RANKS       64  /* places counted from a source's newest event */
#define MODEL_PARTS       16

enum { ENCODER_WORDS, ENCODER_BAG, ENCODER_BERT };
enum { FEATURES_DIFFERENT, FEATURES_COPIED };
enum { HEAD_MLP, HEAD_RELU, HEAD_LINEAR, HEAD_NONE };
enum { READ_USER_TOKEN, READ_MEAN, READ_LAST };
enum { ANSWER_AUTO, ANSWER_LAST, ANSWER_MEAN };
enum { SLOTS_COMPACT, SLOTS_FIXED };
enum { PADDING_MASKED, PADDING_SEEN };
enum { SUMMARIES_CODE, SUMMARIES_PAPER };

typedef struct settings {
    int size;
    assay_weights_source decoder;
    int64_t width, layers, heads, kv_heads, mlp, embedding, head_width;
    int head;
    int encoder;
    bool encoder_shared;
    assay_weights_source encoder_weights;
    int64_t encoder_width, encoder_layers, encoder_heads, encoder_mlp;
    double dropout;
    int layout, readout, answer_readout;
    bool answer_end, user_summary, source_summary;
    int summaries, features;
    int64_t feature_tokens;
    bool age, rank;
    int slots, slot_padding;
    assay_numbers slot_counts;
    const char *tokenizer, *encoder_tokenizer;
    int64_t words, min_count, event_words;
    assay_numbers event_limits;
    int64_t question_words, answer_words, tokens;
} settings;

/* Normalise, W1, GELU, W2: what turns an encoder's vector (E) into a token (D). */
typedef struct adapter {
    assay_tensor *norm_weight, *norm_bias, *w1, *b1, *w2, *b2;
} adapter;

/* An event encoder of one source, or of all; which of them is there says settings.encoder. */
typedef struct event_encoder {
    assay_tensor *table, *w1, *b1, *w2, *b2; /* of a bag */
    assay_bert *bert;                        /* owned */
} event_encoder;

typedef struct source {
    const char *name; /* borrowed from the dataset */
    int texts, times; /* fields; times -1: without */
    assay_dtype time_type;
    int64_t slots; /* events at most; 0: as many as there are */
    int64_t words; /* of an event that are read */
    adapter adapter;
    event_encoder own;            /* zeroed where encoders are shared */
    const event_encoder *encoder; /* own, or the shared one */
} source;

typedef struct model {
    settings settings;
    assay_extra_tokens extra;
    lexicon *words, *event_words;   /* of the decoder; of the event encoders, or the same one */
    int32_t begin_event, end_event; /* around an event's ids, of a BERT: [CLS] and [SEP] */
    layout layout;
    int64_t marker_count;  /* markers beyond the decoder's table: SmolLM2's has no row to spare */
    assay_tensor *markers; /* (marker_count, D) or NULL */
    assay_decoder *decoder;
    int source_count, features, question, answer; /* fields; -1: without */
    int64_t feature_count, width, encoder_width;
    source sources[MODEL_SOURCES];
    event_encoder shared;
    assay_tensor *age, *rank;                       /* (1 + sources * buckets, D), (1 + ranks, D) */
    assay_tensor *feature_weight, *feature_bias;    /* to `feature_tokens` tokens, or to one */
    assay_tensor *feature_mean, *feature_mean_bias; /* to E, for summaries of the code */
    adapter summary_user, summary_source;
    assay_tensor *w0, *b0, *w2, *b2; /* the projection; w2 NULL: linear; w0 NULL: none */
    assay_part parts[MODEL_PARTS];
    int part_count;
    const char *source_names[MODEL_SOURCES];
    char **outputs; /* names, owned */
    int output_count;
    struct usual {
        double events, event_words, question, answer; /* per sample, words per event */
    } usual;
    const assay_host *host;     /* for series; NULL: none */
    const assay_params *params; /* the run's */
} model;

/* The texts of one source in a batch, each different one once. */
typedef struct distinct {
    int64_t rows;          /* U; 0: the batch has no event of this source */
    assay_tensor *ids;     /* i32 (U, W) ids, padding behind them */
    assay_tensor *lengths; /* i32 (U), at least 1 */
} distinct;

/* What did not fit, for the series "model/cut_...": numbers of the batch. */
typedef struct cuts {
    int64_t questions, answers, events;
} cuts;

/* One tower of a batch. All in the batch's arena. */
typedef struct content {
    bool of_answer;
    assay_part_of part; /* what of the user's tower is here */
    assay_tensor *ids;  /* i32 (B, T), of an answer's tower; what follows is the user's */
    distinct texts[MODEL_SOURCES];
    bool padded[MODEL_SOURCES]; /* the source's rows of the table end with that of a padding slot */
    assay_tensor *features;     /* f32 (B, F), NULL: none */
    assay_tensor *words;        /* i32 (n) different ids of texts and markers */
    assay_tensor *index;        /* i32 (B T): each token's row in the joined table of network.c */
    assay_tensor *age, *rank;   /* i32 (B, T) rows of the tables of these names, 0 for no event */
    assay_tensor *slots[MODEL_SOURCES];  /* i32 (B S): events as rows of texts, for summaries */
    assay_tensor *counts[MODEL_SOURCES]; /* i32 (B): events of each sample */
    assay_tensor *lengths;               /* i32 (B): valid tokens, answer words included */
    assay_tensor *read;     /* i32 (B): b T + the position that is read; NULL: the mean */
    assay_tensor *averaged; /* i32 (B T'): b T + positions of the mean, NULL: all valid ones */
    assay_tensor *averaged_counts; /* i32 (B) */
    assay_tensor *targets;         /* i32 (B, T) or NULL */
    assay_tensor *sources; /* i32 (B, T): source of each event token, -1 of others; or NULL */
    assay_tensor *closed;  /* f32 (B, T): -infinity where an answer word is; NULL: none is */
    assay_tensor *hidden;  /* f32 (B, T): -infinity where a padding slot is; NULL: none is */
    cuts cut;
} content;

/* sizes.c: fills what the options leave at 0 from the size, or from the published weights' own
 * configuration, and the two stacks' configurations. */
typedef struct shapes {
    assay_decoder_config decoder; /* vocabulary 0: as many ids as there are */
    assay_bert_config bert;       /* likewise; of a bag: width and vocabulary alone */
} shapes;
bool sizes_choose(settings *s, shapes *out, assay_error *error);

/* fields.c: what the dataset offers. */
bool fields_find(model *m, const assay_data *data, assay_error *error);
/* What a sample holds on average, from some of those that models are trained on. */
bool fields_measure(model *m, const assay_data *data, assay_error *error);

/* parameters.c: everything the model learns, in `params`. */
bool parameters_add(model *m, const shapes *of, assay_params *params, assay_error *error);
/* published.c: the weights that options name, into the parameters; a counting set is compared. */
bool published_load(const model *m, assay_params *params, assay_error *error);

/* facts.c */
void facts_fill(const model *m, assay_model_facts *out);
bool facts_outputs(model *m, assay_error *error); /* names all outputs */

/* encoder.c: (U, E), the vectors of a source's texts. */
assay_tensor *encoder_run(assay_tape *tape, const model *m, int s, const distinct *texts);

/* collate.c, with measure.c and lay_out.c: samples to towers. Any thread. */
bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error);

/* The newest of a sample's events of a source, as many as it has slots. */
typedef struct events_shown {
    int64_t first, count;
} events_shown;
static inline events_shown source_events(const source *from, const assay_sample *sample)
{
    const assay_field_value *value = &sample->values[from->texts];
    int64_t all = value->present ? value->shape[0] : 0;
    int64_t count = from->slots > 0 && all > from->slots ? from->slots : all;
    return (events_shown){all - count, count};
}

/* texts.c: the different texts of the events that the samples show of source s, and in `rows` (room
 * for all of them, sample after sample) which text each event has. */
bool distinct_make(const model *m, int s, const assay_collation *in, distinct *out, int32_t *rows,
                   assay_error *error);

/* network.c: tokens and states. */
assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert);
bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out);

/* Readout states (B, D) to embeddings. */
assay_tensor *model_project(assay_tape *tape, const model *m, assay_tensor *x);

/* prefix.c: the pieces first .. end - 1 of the layout that a part has, why there is no prefix cache
 * with these options (NULL: there is), and the two parts of a pass. */
void prefix_pieces(const model *m, assay_part_of part, int *first, int *end);
const char *prefix_obstacle(const model *m);
bool model_prefill(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, assay_prefix **out);
bool model_resume(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                  assay_tensor *x, const assay_attention_bias *bias,
                  const assay_prefix *const *prefix, const assay_wanted *wanted,
                  assay_outputs *out);

/* closing.c: `bias` with the answer words closed to what stands before them, and padding slots
 * hidden from everybody. False after a failure, which is on the tape. */
bool closing_apply(assay_tape *tape, const assay_tower *tower, const content *content,
                   assay_attention_bias *bias);

#endif
