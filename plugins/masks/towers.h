/* towers.h - what the masks of this folder share: the option that says which towers they act on,
 * and the ways of being evaluated. */
#ifndef MASKS_TOWERS_H
#define MASKS_TOWERS_H

#include <assay/mask.h>

/* Places of the words in MASK_TOWERS_OPTION. */
enum { MASK_ALL_TOWERS, MASK_USER_TOWER };

/* `towers` of a settings struct: an int. The published code of GG-SM gives the answer's tower the
 * user's mask; "user" leaves every other tower causal. */
#define MASK_TOWERS_OPTION(settings)                                                               \
    ASSAY_CHOICE(settings, towers, "all", "all|user",                                              \
                 "towers that the mask acts on; the others are causal")

static inline bool mask_acts(int towers, const assay_tower *tower)
{
    return towers == MASK_ALL_TOWERS || assay_same_text(tower->name, "user");
}

/* Places of the words in MASK_EVALUATE_OPTION. */
enum { MASK_EVALUATE_LAST, MASK_EVALUATE_FULL };

/* `evaluate` of a settings struct: an int. */
#define MASK_EVALUATE_OPTION(settings, standard)                                                   \
    ASSAY_CHOICE(settings, evaluate, standard, "last|full",                                        \
                 "mask of evaluation: that of the last training pass, or fully bidirectional")

#endif
