/* words.h - what synthetic users do, in words: topics, things, actions, merchants. */
#ifndef USER_SYNTH_WORDS_H
#define USER_SYNTH_WORDS_H

enum synth_topic {
    DINING,
    TAKEOUT,
    TRANSIT,
    TRAVEL,
    MOVIE,
    CONCERT,
    GAMES,
    HEALTH,
    FOREST,
    BRAND,
    DISCOUNT,
    FINANCE,
    ACCOUNT, /* the user's own account: log-ins and settings */
    TOPICS
};

/* In the order that a model is given them (user-modelling spec 2.3.3). */
enum synth_source { BILL, APP, MINIPRO, SOUSUO, SPM, SOURCES };

enum synth_status { PAID, PENDING, REFUNDED, FAILED, STATUSES };

enum {
    MODIFIERS = 4,
    NOUNS = 16,
    ITEMS = MODIFIERS * NOUNS, /* of a topic */
    ACTIONS = 8,
    MERCHANT_FRONTS = 32,
    MERCHANT_ENDS = 16,
    MERCHANTS = MERCHANT_FRONTS * MERCHANT_ENDS,
    SEARCH_TAILS = 8,
    PAGES = 8,
    BLOCKS = 8,
    DAY_PARTS = 6,
    HOW_OFTEN = 8,
};

typedef struct topic_words {
    const char *name; /* the first word of every event of the topic, in all sources */
    const char *modifiers[MODIFIERS], *nouns[NOUNS];
    const char *actions[ACTIONS]; /* ever rarer */
} topic_words;

extern const topic_words topic_table[TOPICS];
extern const char *const source_names[SOURCES];
extern const char *const status_words[STATUSES];
extern const char *const merchant_fronts[MERCHANT_FRONTS], *const merchant_ends[MERCHANT_ENDS];
extern const char *const search_tails[SEARCH_TAILS], *const page_words[PAGES];
extern const char *const block_words[BLOCKS], *const day_parts[DAY_PARTS],
                                                  *const how_often[HOW_OFTEN];

#endif
