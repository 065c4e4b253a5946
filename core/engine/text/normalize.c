/* normalize.c - normalizers: what is done to a text before it is divided. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <string.h>

/* ---- reading ---- */

static normalize_step *add_step(normalizer *of, normalize_kind kind, assay_error *error)
{
    normalize_step *steps = assay_zalloc((of->count + 1) * (int64_t)sizeof *steps, error);
    if (steps == NULL)
        return NULL;
    if (of->count > 0)
        memcpy(steps, of->steps, (size_t)of->count * sizeof *steps);
    assay_free(of->steps);
    of->steps = steps;
    steps[of->count].kind = kind;
    return &steps[of->count++];
}

static bool read_form(normalizer *of, const file_part *part, const char *type, assay_error *error)
{
    static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};
    if (!PART_KEYS(part, error, "type"))
        return false;
    normalize_step *step = add_step(of, NORMALIZE_FORM, error);
    for (int i = 0; step != NULL && i < 4; i++)
        if (strcmp(type, names[i]) == 0)
            step->form = (normal_form)i;
    return step != NULL;
}

static bool read_plain(normalizer *of, const file_part *part, const char *type, assay_error *error)
{
    return PART_KEYS(part, error, "type") &&
           add_step(of, strcmp(type, "Lowercase") == 0 ? NORMALIZE_LOWER : NORMALIZE_MARKS,
                    error) != NULL;
}

static bool read_bert(normalizer *of, const file_part *part, const char *type, assay_error *error)
{
    (void)type;
    bool clean, chinese, lower, accents;
    if (!PART_KEYS(part, error, "clean_text", "handle_chinese_chars", "strip_accents",
                   "lowercase") ||
        !part_flag(part, "clean_text", NULL, &clean, error) ||
        !part_flag(part, "handle_chinese_chars", NULL, &chinese, error) ||
        !part_flag(part, "lowercase", NULL, &lower, error))
        return false;
    accents = lower; /* what null means */
    if (!json_is_null(json_object_get(part->value, "strip_accents")) &&
        !part_flag(part, "strip_accents", &lower, &accents, error))
        return false;
    normalize_step *step = add_step(of, NORMALIZE_BERT, error);
    if (step == NULL)
        return false;
    step->clean = clean;
    step->chinese = chinese;
    step->lower = lower;
    step->accents = accents;
    return true;
}

static bool read_replace(normalizer *of, const file_part *part, const char *type,
                         assay_error *error)
{
    (void)type;
    const char *content;
    file_part what = part_member(part, "pattern");
    if (!PART_KEYS(part, error, "pattern", "content") ||
        !part_text(part, "content", NULL, &content, error))
        return false;
    normalize_step *step = add_step(of, NORMALIZE_REPLACE, error);
    return step != NULL && (step->content = assay_strdup(content, error)) != NULL &&
           (step->what = pattern_read(&what, error)) != NULL;
}

static bool read_prepend(normalizer *of, const file_part *part, const char *type,
                         assay_error *error)
{
    (void)type;
    const char *content;
    if (!PART_KEYS(part, error, "prepend") || !part_text(part, "prepend", NULL, &content, error))
        return false;
    normalize_step *step = add_step(of, NORMALIZE_PREPEND, error);
    return step != NULL && (step->content = assay_strdup(content, error)) != NULL;
}

static bool read_strip(normalizer *of, const file_part *part, const char *type, assay_error *error)
{
    (void)type;
    bool left, right;
    if (!PART_KEYS(part, error, "strip_left", "strip_right") ||
        !part_flag(part, "strip_left", NULL, &left, error) ||
        !part_flag(part, "strip_right", NULL, &right, error))
        return false;
    normalize_step *step = add_step(of, NORMALIZE_STRIP, error);
    if (step == NULL)
        return false;
    step->left = left;
    step->right = right;
    return true;
}

static bool read_sequence(normalizer *of, const file_part *part, const char *type,
                          assay_error *error)
{
    (void)type;
    int64_t count = 0;
    if (!PART_KEYS(part, error, "normalizers") || !part_list(part, "normalizers", &count, error))
        return false;
    for (int64_t i = 0; i < count; i++) {
        file_part item = part_item(part, "normalizers", i);
        if (!normalizer_read(of, &item, error))
            return false;
    }
    return true;
}

bool normalizer_read(normalizer *of, const file_part *part, assay_error *error)
{
    static const struct {
        const char *type;
        bool (*read)(normalizer *, const file_part *, const char *, assay_error *);
    } known[] = {
        {"NFC", read_form},          {"NFD", read_form},
        {"NFKC", read_form},         {"NFKD", read_form},
        {"Lowercase", read_plain},   {"StripAccents", read_plain},
        {"Replace", read_replace},   {"BertNormalizer", read_bert},
        {"Prepend", read_prepend},   {"Strip", read_strip},
        {"Sequence", read_sequence},
    };
    const char *type;
    if (!part_type(part, &type, error))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0)
            return known[i].read(of, part, type, error);
    return part_unsupported(part, "unknown normalizer",
                            "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace, "
                            "Prepend, BertNormalizer or Sequence",
                            assay_text("'%.100s'", type), error);
}

void normalizer_clear(normalizer *of)
{
    for (int i = 0; i < of->count; i++) {
        pattern_free(of->steps[i].what);
        assay_free(of->steps[i].content);
    }
    assay_free(of->steps);
    *of = (normalizer){0};
}

/* ---- applying ---- */

static bool is_ascii(const char *text, int64_t bytes)
{
    unsigned char all = 0;
    for (int64_t i = 0; i < bytes; i++)
        all |= (unsigned char)text[i];
    return all < 0x80;
}

/* Appends one code point; the room is there. */
static void put(text_buffer *out, uint32_t code)
{
    out->bytes += unicode_put(code, out->data + out->bytes);
}

static void put_lower(text_buffer *out, uint32_t code)
{
    uint32_t lower[2];
    int count = unicode_lower(code, lower);
    for (int i = 0; i < count; i++)
        put(out, lower[i]);
}

/* No lower case is longer than 3/2 of its upper case. */
static bool apply_lower(const char *text, int64_t bytes, text_buffer *out, assay_error *error)
{
    if (!text_buffer_reserve(out, 2 * bytes, error))
        return false;
    for (int64_t at = 0; at < bytes;)
        put_lower(out, unicode_next(text, &at));
    return true;
}

static bool apply_marks(const char *text, int64_t bytes, text_buffer *out, assay_error *error)
{
    if (!text_buffer_reserve(out, bytes, error))
        return false;
    for (int64_t at = 0; at < bytes;) {
        uint32_t code = unicode_next(text, &at);
        if (!unicode_is_mark(code))
            put(out, code);
    }
    return true;
}

/* The first two parts of BERT's: controls go, white space is a space, ideographs stand alone. */
static bool clean_bert(const normalize_step *step, const char *text, int64_t bytes,
                       text_buffer *out, assay_error *error)
{
    if (!text_buffer_reserve(out, 2 * bytes, error)) /* an ideograph has three bytes, or four */
        return false;
    for (int64_t at = 0; at < bytes;) {
        uint32_t code = unicode_next(text, &at);
        if (step->clean && code != '\t' && code != '\n' && code != '\r' &&
            (code == 0xFFFD || unicode_is_control(code)))
            continue;
        if (step->clean && unicode_is_white(code))
            code = ' ';
        bool alone = step->chinese && unicode_is_chinese(code);
        if (alone)
            put(out, ' ');
        put(out, code);
        if (alone)
            put(out, ' ');
    }
    return true;
}

static bool apply_bert_ascii(const normalize_step *step, const char *text, int64_t bytes,
                             text_buffer *out, assay_error *error)
{
    if (!text_buffer_reserve(out, bytes, error))
        return false;
    char *to = out->data + out->bytes;
    for (int64_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (step->clean && (c < ' ' || c == 0x7F)) {
            if (c != '\t' && c != '\n' && c != '\r')
                continue;
            c = ' ';
        }
        *to++ = step->lower && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    out->bytes = to - out->data;
    return true;
}

static bool apply_bert(const normalize_step *step, const char *text, int64_t bytes,
                       text_buffer *out, assay_error *error)
{
    if (is_ascii(text, bytes))
        return apply_bert_ascii(step, text, bytes, out, error);
    text_buffer cleaned = {0}, apart = {0};
    bool ok = clean_bert(step, text, bytes, &cleaned, error);
    const text_buffer *from = &cleaned;
    if (ok && step->accents) {
        ok = unicode_normalize(cleaned.data, cleaned.bytes, FORM_NFD, &apart, error);
        from = &apart;
    }
    ok = ok && text_buffer_reserve(out, 2 * from->bytes, error);
    for (int64_t at = 0; ok && at < from->bytes;) {
        uint32_t code = unicode_next(from->data, &at);
        if (step->accents && unicode_is_nonspacing(code))
            continue;
        if (step->lower)
            put_lower(out, code);
        else
            put(out, code);
    }
    text_buffer_free(&cleaned);
    text_buffer_free(&apart);
    return ok;
}

static bool apply_replace(const normalize_step *step, pattern_match *match, const char *text,
                          int64_t bytes, text_buffer *out, assay_error *error)
{
    int64_t at = 0, from = 0, begin, end;
    int found = 0;
    while (from <= bytes &&
           (found = pattern_find(step->what, match, text, bytes, from, &begin, &end, error)) > 0) {
        if (!text_buffer_add(out, text + at, begin - at, error) ||
            !text_buffer_add(out, step->content, (int64_t)strlen(step->content), error))
            return false;
        at = from = end;
        if (end == begin && end < bytes) /* an empty match: go on behind the next character */
            unicode_next(text, &from);
        else if (end == begin)
            break;
    }
    return found >= 0 && text_buffer_add(out, text + at, bytes - at, error);
}

static bool apply_strip(const normalize_step *step, const char *text, int64_t bytes,
                        text_buffer *out, assay_error *error)
{
    int64_t begin = 0, next = 0;
    while (step->left && next < bytes && unicode_is_white(unicode_next(text, &next)))
        begin = next;
    while (step->right && bytes > begin && unicode_is_white(unicode_before(text, bytes)))
        do
            bytes--;
        while (((unsigned char)text[bytes] & 0xC0) == 0x80);
    return text_buffer_add(out, text + begin, bytes - begin, error);
}

static bool apply_step(const normalize_step *step, pattern_match *match, const char *text,
                       int64_t bytes, text_buffer *out, assay_error *error)
{
    switch (step->kind) {
    case NORMALIZE_FORM:
        return unicode_normalize(text, bytes, step->form, out, error);
    case NORMALIZE_LOWER:
        return apply_lower(text, bytes, out, error);
    case NORMALIZE_MARKS:
        return apply_marks(text, bytes, out, error);
    case NORMALIZE_BERT:
        return apply_bert(step, text, bytes, out, error);
    case NORMALIZE_REPLACE:
        return apply_replace(step, match, text, bytes, out, error);
    case NORMALIZE_PREPEND:
        return (bytes == 0 ||
                text_buffer_add(out, step->content, (int64_t)strlen(step->content), error)) &&
               text_buffer_add(out, text, bytes, error);
    default:
        return apply_strip(step, text, bytes, out, error);
    }
}

bool normalizer_apply(const normalizer *of, pattern_match *match, const char *text, int64_t bytes,
                      text_buffer *two, const char **out, int64_t *out_bytes, assay_error *error)
{
    int turn = 0;
    for (int i = 0; i < of->count; i++) {
        const normalize_step *step = &of->steps[i];
        bool nothing = (step->kind == NORMALIZE_FORM || step->kind == NORMALIZE_MARKS) &&
                       is_ascii(text, bytes);
        if (nothing)
            continue;
        text_buffer *into = &two[turn];
        into->bytes = 0;
        if (!text_buffer_reserve(into, 1, error) || /* an empty text has an address too */
            !apply_step(step, match, text, bytes, into, error))
            return false;
        text = into->data;
        bytes = into->bytes;
        turn = 1 - turn;
    }
    *out = text;
    *out_bytes = bytes;
    return true;
}
