/* maker.h - which of a user's ten question-and-answer pairs a sample is: in turn over the epochs,
 * or a hard one.
 *
 * A pair is hard when its difficulty S = 1 - cos(history and question, answer) is at least the 70th
 * percentile of 1,000 pairs of calibration (GG-SM's selection, user-modelling spec 3.2). The paper
 * embeds both sides by a language model; here they are hashed bags of words, or, with scores read
 * from a file, S is the score of the pair's topic, whoever worked it out. */
#ifndef PAIRS_MAKER_H
#define PAIRS_MAKER_H

#include "uqa.h"

#include <assay/option.h>

typedef struct uqa_settings {
    int64_t pairs; /* of a user and epoch */
    double draft_errors, hard;
    bool reflection;
    const char *scores; /* a file, or NULL */
} uqa_settings;

/* The options of a plugin that makes such pairs, for fields of these names in its struct. */
#define UQA_OPTIONS(struct_type)                                                                   \
    ASSAY_INTEGER(struct_type, uqa_pairs, "pairs", 1, 1, UQA_ASKED,                                \
                  "uqa pairs of a user in an epoch, beside one future pair; the next epoch has "   \
                  "the user's next ones of ten"),                                                  \
        ASSAY_NUMBER(struct_type, draft_errors, "fraction", 0.1, 0.0, 1.0,                         \
                     "of the facts in drafted uqa answers that are wrong"),                        \
        ASSAY_BOOL(struct_type, reflection, 1,                                                     \
                   "facts of a draft that the history contradicts are revised"),                   \
        ASSAY_NUMBER(struct_type, hard, "fraction", 0.0, 0.0, 1.0,                                 \
                     "of uqa pairs that are drawn among the user's hard ones"),                    \
        ASSAY_PATH(struct_type, hard_scores, 0,                                                    \
                   "72 numbers, the topics' difficulties; none: hashed bags of words")

enum { UQA_CALIBRATION_USERS = 100 }; /* of ten pairs each */

typedef struct uqa_maker {
    uqa_settings settings;
    assay_stream errors, luck;
    bool scored; /* scores[] were read */
    double scores[UQA_TOPICS];
    double threshold; /* pairs with a difficulty of at least this are hard */
    /* What reflection found in the pairs of calibration. */
    int64_t pairs, stated, contradicted, revised;
} uqa_maker;

/* Reads the history of the `which`-th user of calibration, and the user's number. */
typedef bool (*uqa_reader)(void *user, int64_t which, assay_arena *arena, uqa_history *out,
                           uint64_t *number, assay_error *error);

/* Reads the scores, finds the threshold on the first `users` users (at most
 * UQA_CALIBRATION_USERS), counts what reflection finds in their pairs, and logs both; `where` names
 * the dataset. */
bool uqa_maker_make(uqa_maker *out, const uqa_settings *settings, uint64_t seed, const char *where,
                    int64_t users, uqa_reader reader, void *user, assay_error *error);

/* Pair `slot` (0 .. settings.pairs - 1) of user `number` in an epoch. */
bool uqa_maker_ask(const uqa_maker *maker, const uqa_history *history, uint64_t number,
                   int64_t slot, int64_t epoch, assay_arena *arena, uqa_pair *out,
                   assay_error *error);

/* 0 (the same words) to 1 (no word in common). */
double uqa_difficulty(const uqa_maker *maker, const uqa_history *history, const uqa_pair *pair);

#endif
