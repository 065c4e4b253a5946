/* unicode.c - UTF-8, character classes and normal forms, as Hugging Face's tokenizers see them.
 *
 * The data are utf8proc's. Where Hugging Face's are older, differences.h lists the code points. */
#include "engine/text/unicode.h"

#include "engine/text/differences.h"

#include <assay/memory.h>

#include <string.h>
#include <utf8proc.h>

/* ---- a text that grows ---- */

void text_buffer_free(text_buffer *buffer)
{
    assay_free(buffer->data);
    *buffer = (text_buffer){0};
}

bool text_buffer_reserve(text_buffer *buffer, int64_t more, assay_error *error)
{
    int64_t wanted;
    if (!assay_size_add(&wanted, buffer->bytes, more) || !assay_size_add(&wanted, wanted, wanted))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the text is too long");
    if (buffer->bytes + more <= buffer->room)
        return true;
    wanted = wanted < 256 ? 256 : wanted;
    char *data = assay_alloc(wanted, error);
    if (data == NULL)
        return false;
    if (buffer->bytes > 0)
        memcpy(data, buffer->data, (size_t)buffer->bytes);
    assay_free(buffer->data);
    buffer->data = data;
    buffer->room = wanted;
    return true;
}

bool text_buffer_add(text_buffer *buffer, const char *data, int64_t bytes, assay_error *error)
{
    if (!text_buffer_reserve(buffer, bytes, error))
        return false;
    if (bytes > 0)
        memcpy(buffer->data + buffer->bytes, data, (size_t)bytes);
    buffer->bytes += bytes;
    return true;
}

/* ---- UTF-8 ---- */

/* How many bytes a character with this first byte has; 0: none begins so. */
static int announced_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* How many bytes from `at` on are a character's or its beginning; 0 for a wrong first byte. */
static int sound_length(const unsigned char *at, int64_t left)
{
    unsigned char first = at[0];
    int length = announced_length(first), sound = length > 0;
    while (sound > 0 && sound < length && sound < left && (at[sound] & 0xC0) == 0x80)
        sound++;
    bool low =
        (first == 0xE0 && left > 1 && at[1] < 0xA0) || (first == 0xF0 && left > 1 && at[1] < 0x90);
    bool high =
        (first == 0xED && left > 1 && at[1] > 0x9F) || (first == 0xF4 && left > 1 && at[1] > 0x8F);
    return sound > 1 && (low || high) ? 1 : sound;
}

/* The bytes of the character at `at`, 0 when it is none. */
static int sequence_length(const unsigned char *at, int64_t left)
{
    int sound = sound_length(at, left);
    return sound == announced_length(at[0]) ? sound : 0;
}

int64_t unicode_broken(const char *text, int64_t bytes)
{
    int sound = sound_length((const unsigned char *)text, bytes);
    return sound > 0 ? sound : 1;
}

int64_t unicode_check(const char *text, int64_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    int64_t i = 0;
    while (i < bytes) {
        uint64_t eight;
        if (i + 8 <= bytes) {
            memcpy(&eight, at + i, 8);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += 8;
                continue;
            }
        }
        int length = sequence_length(at + i, bytes - i);
        if (length == 0)
            return i;
        i += length;
    }
    return -1;
}

uint32_t unicode_next(const char *text, int64_t *at)
{
    const unsigned char *b = (const unsigned char *)text + *at;
    if (b[0] < 0x80) {
        *at += 1;
        return b[0];
    }
    if (b[0] < 0xE0) {
        *at += 2;
        return (uint32_t)(b[0] & 0x1F) << 6 | (b[1] & 0x3F);
    }
    if (b[0] < 0xF0) {
        *at += 3;
        return (uint32_t)(b[0] & 0x0F) << 12 | (uint32_t)(b[1] & 0x3F) << 6 | (b[2] & 0x3F);
    }
    *at += 4;
    return (uint32_t)(b[0] & 0x07) << 18 | (uint32_t)(b[1] & 0x3F) << 12 |
           (uint32_t)(b[2] & 0x3F) << 6 | (b[3] & 0x3F);
}

uint32_t unicode_before(const char *text, int64_t end)
{
    do
        end--;
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80);
    return unicode_next(text, &end);
}

int unicode_put(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* ---- classes ---- */

static bool is_within(uint32_t code, const code_range *ranges, int count)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= code;
}
#define WITHIN(code, ranges) is_within((code), (ranges), (int)(sizeof(ranges) / sizeof *(ranges)))

static utf8proc_category_t category_of(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code);
}

bool unicode_is_white(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= 9 && code <= 13);
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool unicode_is_number(uint32_t code)
{
    if (code < 0x80)
        return code >= '0' && code <= '9';
    utf8proc_category_t category = category_of(code);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool unicode_is_punctuation(uint32_t code)
{
    if (code < 0x80)
        return (code > ' ' && code < '0') || (code > '9' && code < 'A') ||
               (code > 'Z' && code < 'a') || (code > 'z' && code < 0x7F);
    utf8proc_category_t category = category_of(code);
    if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO)
        return !WITHIN(code, not_punctuation);
    return WITHIN(code, also_punctuation);
}

bool unicode_is_word(uint32_t code)
{
    if (code < 0x80)
        return (code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') || code == '_' ||
               (code >= 'a' && code <= 'z');
    utf8proc_category_t category = category_of(code);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ND) ||
           category == UTF8PROC_CATEGORY_PC || WITHIN(code, also_word);
}

bool unicode_is_nonspacing(uint32_t code)
{
    if (code < 0x300)
        return false;
    if (category_of(code) == UTF8PROC_CATEGORY_MN)
        return !WITHIN(code, not_nonspacing);
    return WITHIN(code, also_nonspacing);
}

bool unicode_is_mark(uint32_t code)
{
    if (code < 0x300)
        return false;
    utf8proc_category_t category = category_of(code);
    if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME)
        return !WITHIN(code, not_mark);
    return WITHIN(code, also_mark);
}

bool unicode_is_control(uint32_t code)
{
    if (code < 0x80)
        return code < ' ' || code == 0x7F;
    utf8proc_category_t category = category_of(code);
    return (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
            category == UTF8PROC_CATEGORY_CO) &&
           !WITHIN(code, not_control);
}

bool unicode_is_chinese(uint32_t code)
{
    static const code_range chinese[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                         {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0x2F800, 0x2FA1F}};
    return code >= 0x3400 && WITHIN(code, chinese);
}

bool unicode_add_pattern_word(bool in_class, text_buffer *out, assay_error *error)
{
    for (size_t i = 0; i < sizeof also_pattern_word / sizeof *also_pattern_word; i++) {
        if (in_class && also_pattern_word[i].last < 0x100)
            continue;
        const char *range =
            assay_text("\\x{%x}-\\x{%x}", also_pattern_word[i].first, also_pattern_word[i].last);
        if (!text_buffer_add(out, range, (int64_t)strlen(range), error))
            return false;
    }
    return true;
}

int unicode_lower(uint32_t code, uint32_t *out)
{
    if (code < 0x80) {
        out[0] = code >= 'A' && code <= 'Z' ? code + 32 : code;
        return 1;
    }
    if (code == 0x130) { /* the only lower case of two: i with a dot above */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    return 1;
}

/* ---- normal forms ---- */

/* Whether the code point stands in NFC whatever is beside it: no decomposition, no class, and part
 * of no composition. Hangul syllables may take a final consonant, which is not such a one. */
static bool is_inert(uint32_t code)
{
    if (code < 0x300)
        return true;
    if (code >= 0xAC00 && code <= 0xD7A3)
        return true;
    if (code >= 0x1100 && code <= 0x11FF)
        return false;
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)code);
    return property->decomp_seqindex == UINT16_MAX && property->combining_class == 0 &&
           property->comb_index == UINT16_MAX;
}

static bool is_composed(const char *text, int64_t bytes)
{
    for (int64_t at = 0; at < bytes;)
        if ((unsigned char)text[at] < 0xCC) /* below U+0300 */
            at += (unsigned char)text[at] < 0x80 ? 1 : 2;
        else if (!is_inert(unicode_next(text, &at)))
            return false;
    return true;
}

/* Appends the normal form of a part without code points that are newer than the forms. */
static bool add_form(const char *text, int64_t bytes, utf8proc_option_t options, text_buffer *out,
                     assay_error *error)
{
    bool ok = false;
    utf8proc_int32_t *codes = NULL;
    const utf8proc_uint8_t *from = (const utf8proc_uint8_t *)text;
    if (bytes == 0)
        return true;
    utf8proc_ssize_t count = utf8proc_decompose(from, bytes, NULL, 0, options);
    if (count < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "the text has no normal form",
                          .got = utf8proc_errmsg(count));
    int64_t room;
    if (!assay_size_mul(&room, count + 1, sizeof *codes))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the text is too long");
    codes = assay_alloc(room, error);
    if (codes == NULL)
        goto done;
    count = utf8proc_decompose(from, bytes, codes, count, options);
    if (count >= 0)
        count = utf8proc_reencode(codes, count, options); /* in place */
    if (count < 0) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "the text has no normal form",
                   .got = utf8proc_errmsg(count));
        goto done;
    }
    ok = text_buffer_add(out, (const char *)codes, count, error);
done:
    assay_free(codes);
    return ok;
}

bool unicode_normalize(const char *text, int64_t bytes, normal_form form, text_buffer *out,
                       assay_error *error)
{
    static const int options[] = {
        [FORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [FORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [FORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [FORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_option_t chosen = (utf8proc_option_t)options[form];
    if (form == FORM_NFC && is_composed(text, bytes))
        return text_buffer_add(out, text, bytes, error);
    int64_t begin = 0;
    for (int64_t at = 0; at < bytes;) {
        int64_t here = at;
        uint32_t code = unicode_next(text, &at);
        if (code < newer_than_forms[0].first || !WITHIN(code, newer_than_forms))
            continue;
        if (!add_form(text + begin, here - begin, chosen, out, error) ||
            !text_buffer_add(out, text + here, at - here, error))
            return false;
        begin = at;
    }
    return add_form(text + begin, bytes - begin, chosen, out, error);
}
