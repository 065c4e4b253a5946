/* split.c - pre-tokenizers: a text divided into the words that the model takes one by one.
 *
 * Each step divides what the one before it hands on, piece by piece, so that no list of pieces is
 * ever made: a piece runs through all steps before the next one is found. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <string.h>

/* ---- reading ---- */

static split_step *add_step(splitter *of, split_kind kind, split_behavior behavior,
                            assay_error *error)
{
    split_step *steps = assay_zalloc((of->count + 1) * (int64_t)sizeof *steps, error);
    if (steps == NULL)
        return NULL;
    if (of->count > 0)
        memcpy(steps, of->steps, (size_t)of->count * sizeof *steps);
    assay_free(of->steps);
    of->steps = steps;
    steps[of->count].kind = kind;
    steps[of->count].behavior = behavior;
    return &steps[of->count++];
}

static bool read_behavior(const file_part *part, const char *usual, split_behavior *out,
                          assay_error *error)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const char *name = NULL;
    if (!part_text(part, "behavior", usual, &name, error))
        return false;
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (split_behavior)i;
            return true;
        }
    return part_unsupported(part, "unknown behavior",
                            "Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous",
                            assay_text("'%.100s'", name), error);
}

/* GPT-2's words: contractions, letters, numbers and signs, each with the space before it. */
static const char gpt2_words[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static bool read_byte_level(splitter *of, const file_part *part, assay_error *error)
{
    bool prefix, words, trim;
    if (!PART_KEYS(part, error, "add_prefix_space", "trim_offsets", "use_regex") ||
        !part_flag(part, "add_prefix_space", NULL, &prefix, error) ||
        !part_flag(part, "trim_offsets", NULL, &trim, error) ||
        !part_flag(part, "use_regex", &(bool){true}, &words, error))
        return false;
    if (prefix && add_step(of, SPLIT_PREFIX_SPACE, BEHAVIOR_ISOLATED, error) == NULL)
        return false;
    if (words) {
        split_step *step = add_step(of, SPLIT_PATTERN, BEHAVIOR_ISOLATED, error);
        if (step == NULL || (step->what = pattern_new(gpt2_words, part, error)) == NULL)
            return false;
    }
    return add_step(of, SPLIT_MAP, BEHAVIOR_ISOLATED, error) != NULL;
}

static bool read_split(splitter *of, const file_part *part, assay_error *error)
{
    split_behavior behavior = BEHAVIOR_ISOLATED;
    bool invert;
    file_part what = part_member(part, "pattern");
    if (!PART_KEYS(part, error, "pattern", "behavior", "invert") ||
        !read_behavior(part, NULL, &behavior, error) ||
        !part_flag(part, "invert", &(bool){false}, &invert, error))
        return false;
    split_step *step = add_step(of, SPLIT_PATTERN, behavior, error);
    if (step == NULL || (step->what = pattern_read(&what, error)) == NULL)
        return false;
    step->invert = invert;
    return true;
}

static bool read_bert(splitter *of, const file_part *part, assay_error *error)
{
    return PART_KEYS(part, error, "type") &&
           add_step(of, SPLIT_WHITE, BEHAVIOR_REMOVED, error) != NULL &&
           add_step(of, SPLIT_PUNCTUATION, BEHAVIOR_ISOLATED, error) != NULL;
}

static bool read_words(splitter *of, const file_part *part, assay_error *error)
{
    return PART_KEYS(part, error, "type") &&
           add_step(of, SPLIT_WORDS, BEHAVIOR_REMOVED, error) != NULL;
}

static bool read_white(splitter *of, const file_part *part, assay_error *error)
{
    return PART_KEYS(part, error, "type") &&
           add_step(of, SPLIT_WHITE, BEHAVIOR_REMOVED, error) != NULL;
}

static bool read_punctuation(splitter *of, const file_part *part, assay_error *error)
{
    split_behavior behavior = BEHAVIOR_ISOLATED;
    return PART_KEYS(part, error, "behavior") &&
           read_behavior(part, "Isolated", &behavior, error) &&
           add_step(of, SPLIT_PUNCTUATION, behavior, error) != NULL;
}

static bool read_digits(splitter *of, const file_part *part, assay_error *error)
{
    bool alone;
    return PART_KEYS(part, error, "individual_digits") &&
           part_flag(part, "individual_digits", &(bool){false}, &alone, error) &&
           add_step(of, SPLIT_DIGITS, alone ? BEHAVIOR_ISOLATED : BEHAVIOR_CONTIGUOUS, error) !=
               NULL;
}

static bool read_sequence(splitter *of, const file_part *part, assay_error *error)
{
    int64_t count = 0;
    if (!PART_KEYS(part, error, "pretokenizers") ||
        !part_list(part, "pretokenizers", &count, error))
        return false;
    for (int64_t i = 0; i < count; i++) {
        file_part item = part_item(part, "pretokenizers", i);
        if (!splitter_read(of, &item, error))
            return false;
    }
    return true;
}

bool splitter_read(splitter *of, const file_part *part, assay_error *error)
{
    static const struct {
        const char *type;
        bool (*read)(splitter *, const file_part *, assay_error *);
    } known[] = {
        {"ByteLevel", read_byte_level},  {"Split", read_split},
        {"BertPreTokenizer", read_bert}, {"Whitespace", read_words},
        {"WhitespaceSplit", read_white}, {"Punctuation", read_punctuation},
        {"Digits", read_digits},         {"Sequence", read_sequence},
    };
    const char *type;
    if (!part_type(part, &type, error))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0)
            return known[i].read(of, part, error);
    return part_unsupported(part, "unknown pre-tokenizer",
                            "ByteLevel, Split, BertPreTokenizer, Whitespace, WhitespaceSplit, "
                            "Punctuation, Digits or Sequence",
                            assay_text("'%.100s'", type), error);
}

void splitter_clear(splitter *of)
{
    for (int i = 0; i < of->count; i++)
        pattern_free(of->steps[i].what);
    assay_free(of->steps);
    *of = (splitter){0};
}

/* ---- dividing ---- */

typedef struct division {
    const splitter *of;
    pattern_match *match;
    text_buffer *buffers;
    piece_taker *take;
    void *user;
    assay_error *error;
} division;

static bool divide(const division *d, int step, const char *text, int64_t bytes);

/* One step's pieces on their way out: neighbours may still become one. */
typedef struct joiner {
    const division *division;
    const split_step *step;
    const char *text;
    int next;           /* the step that takes them */
    int64_t begin, end; /* the piece that is held back */
    bool holds, last;   /* whether there is one; whether the last segment was a match */
} joiner;

static bool hand_on(joiner *j)
{
    bool holds = j->holds;
    j->holds = false;
    if (!holds || j->begin == j->end)
        return true;
    return divide(j->division, j->next, j->text + j->begin, j->end - j->begin);
}

/* A segment is what matched or what lies between two matches. */
static bool segment(joiner *j, int64_t begin, int64_t end, bool is_match)
{
    is_match = is_match != j->step->invert;
    bool joins = false;
    switch (j->step->behavior) {
    case BEHAVIOR_ISOLATED:
        break;
    case BEHAVIOR_REMOVED:
        if (is_match)
            return true;
        break;
    case BEHAVIOR_WITH_PREVIOUS:
        joins = is_match && !j->last;
        break;
    case BEHAVIOR_WITH_NEXT:
        joins = !is_match && j->last;
        break;
    case BEHAVIOR_CONTIGUOUS:
        joins = is_match == j->last;
        break;
    }
    j->last = is_match;
    if (joins && j->holds) {
        j->end = end;
        return true;
    }
    if (!hand_on(j))
        return false;
    j->begin = begin;
    j->end = end;
    j->holds = true;
    return true;
}

static bool divide_by_pattern(joiner *j, int64_t bytes)
{
    int64_t done = 0, from = 0, begin, end;
    while (from <= bytes) {
        int found = pattern_find(j->step->what, j->division->match, j->text, bytes, from, &begin,
                                 &end, j->division->error);
        if (found < 0)
            return false;
        if (found == 0)
            break;
        if ((done < begin && !segment(j, done, begin, false)) || !segment(j, begin, end, true))
            return false;
        done = from = end;
        if (begin == end && end == bytes)
            break;
        if (begin == end) /* an empty match: look on behind the next character */
            unicode_next(j->text, &from);
    }
    return done == bytes || segment(j, done, bytes, false);
}

/* Every character of the class is a match of its own. */
static bool divide_by_class(joiner *j, int64_t bytes, bool (*is_in)(uint32_t))
{
    int64_t done = 0;
    for (int64_t at = 0; at < bytes;) {
        int64_t here = at;
        if (!is_in(unicode_next(j->text, &at)))
            continue;
        if ((done < here && !segment(j, done, here, false)) || !segment(j, here, at, true))
            return false;
        done = at;
    }
    return done == bytes || segment(j, done, bytes, false);
}

/* Words and runs of signs are pieces; white space is not. */
static bool divide_words(joiner *j, int64_t bytes)
{
    int64_t begin = 0;
    int kind = -1; /* -1 white, 0 sign, 1 word */
    for (int64_t at = 0; at < bytes;) {
        int64_t here = at;
        uint32_t code = unicode_next(j->text, &at);
        int now = unicode_is_word(code) ? 1 : unicode_is_white(code) ? -1 : 0;
        if (now == kind)
            continue;
        if (kind >= 0 && !segment(j, begin, here, false))
            return false;
        begin = here;
        kind = now;
    }
    return kind < 0 || segment(j, begin, bytes, false);
}

/* The piece with another text, which is the step's own buffer. */
static bool divide_changed(const division *d, int step, const char *text, int64_t bytes)
{
    text_buffer *into = &d->buffers[step];
    into->bytes = 0;
    if (d->of->steps[step].kind == SPLIT_MAP) {
        if (!letters_add(text, bytes, into, d->error))
            return false;
    } else if (!text_buffer_add(into, " ", 1, d->error) ||
               !text_buffer_add(into, text, bytes, d->error)) {
        return false;
    }
    return divide(d, step + 1, into->data, into->bytes);
}

static bool divide(const division *d, int step, const char *text, int64_t bytes)
{
    if (step == d->of->count)
        return d->take(d->user, text, bytes);
    const split_step *of = &d->of->steps[step];
    joiner j = {.division = d, .step = of, .text = text, .next = step + 1};
    bool ok = true;
    switch (of->kind) {
    case SPLIT_PATTERN:
        ok = divide_by_pattern(&j, bytes);
        break;
    case SPLIT_WHITE:
        ok = divide_by_class(&j, bytes, unicode_is_white);
        break;
    case SPLIT_PUNCTUATION:
        ok = divide_by_class(&j, bytes, unicode_is_punctuation);
        break;
    case SPLIT_DIGITS:
        ok = divide_by_class(&j, bytes, unicode_is_number);
        break;
    case SPLIT_WORDS:
        ok = divide_words(&j, bytes);
        break;
    case SPLIT_PREFIX_SPACE:
        if (text[0] == ' ')
            return divide(d, step + 1, text, bytes);
        return divide_changed(d, step, text, bytes);
    case SPLIT_MAP:
        return divide_changed(d, step, text, bytes);
    }
    return ok && hand_on(&j);
}

bool splitter_apply(const splitter *of, pattern_match *match, text_buffer *buffers,
                    const char *text, int64_t bytes, piece_taker *take, void *user,
                    assay_error *error)
{
    division d = {of, match, buffers, take, user, error};
    return bytes == 0 || divide(&d, 0, text, bytes);
}
