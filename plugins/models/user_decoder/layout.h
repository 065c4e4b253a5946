/* layout.h - what stands where in the user's tower: a list of pieces, made once when the model is
 * opened.
 *
 * plain:   [front] [summaries] [events of source 1, oldest first] ... [features] [beside]
 *          (question mark) question [extra] <USER>
 * chat:    <|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nSENTENCE
 *          [summaries] <|bill_start|> events <|bill_end|> ... <|tabular_start|> features
 *          <|tabular_end|> [beside]\nQuery: question [extra] <|user_emb|> and, before an answer,
 *          <|im_end|>\n<|im_start|>assistant\n; the answer ends with <|im_end|> (user-modelling
 *          spec 2.2-2.4)
 * tagged:  [summaries] <bill> events </bill> ... <tabular> features </tabular> [beside]
 *          Instruction: question [extra] <USER>
 *          (spec 3.3)
 * [front], [beside] and [extra] are other people's tokens. From the first summary or event to the
 * last is the history, the tower's span. Without the readout user_token the last marker is left
 * out. */
#ifndef USER_DECODER_LAYOUT_H
#define USER_DECODER_LAYOUT_H

#include "lexicon.h"

#define MODEL_SOURCES 32

enum { LAYOUT_PLAIN, LAYOUT_CHAT, LAYOUT_TAGGED };

typedef enum piece_kind {
    PIECE_FRONT,
    PIECE_ID,        /* the token `value` */
    PIECE_BEGIN,     /* of the history */
    PIECE_SUMMARIES, /* all of them */
    PIECE_EVENTS,    /* of source `value` */
    PIECE_FEATURES,
    PIECE_END,    /* of the history */
    PIECE_BESIDE, /* other people's tokens right behind it */
    PIECE_QUESTION,
    PIECE_EXTRA,
    PIECE_READ /* the token `value`, which is read */
} piece_kind;

typedef struct piece {
    piece_kind kind;
    int32_t value;
} piece;

#define LAYOUT_PIECES 256

typedef struct layout {
    piece pieces[LAYOUT_PIECES];
    int count;
    const char *lead;       /* text before a question, read together with it; "": none */
    int32_t question_mark;  /* token before a question, only where there is one; -1: none */
    bool lead_always;       /* the lead stands without a question too */
    int64_t lead_ids;       /* tokens of the lead alone */
    assay_ids tail;         /* between what is read and the answer; owned */
    int32_t pad;            /* fills rows; never seen */
    int32_t answer_ends[2]; /* what ends an answer behind the user's tokens, and in its own tower */
} layout;

/* What the layout is made of. */
typedef struct layout_recipe {
    int kind;
    bool marked; /* the readout is user_token */
    int source_count;
    const char *const *sources; /* names, in the dataset's order */
    bool features;
} layout_recipe;

bool layout_make(layout *out, const layout_recipe *recipe, lexicon *words, assay_error *error);
void layout_close(layout *closed);

#endif
