/* utf8.c - texts as terminals and documents want them: valid, of known width, without controls. */
#include "lab/report/cells.h"

#include <assay/memory.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The length of the sequence at `text`; 0 when the byte there begins none: a stray or missing
 * continuation, a form that is too long, a surrogate, beyond U+10FFFF. */
static int sequence_length(const unsigned char *text)
{
    unsigned lead = text[0];
    if (lead < 0x80)
        return 1;
    int length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    bool wrong = (lead == 0xE0 && text[1] < 0xA0) || (lead == 0xED && text[1] > 0x9F) ||
                 (lead == 0xF0 && text[1] < 0x90) || (lead == 0xF4 && text[1] > 0x8F);
    return wrong ? 0 : length;
}

char *utf8_copy(const char *text, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, (int64_t)strlen(text) + 1, 3)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "a text is too long");
        return NULL;
    }
    const unsigned char *from = (const unsigned char *)text;
    int wrong = 0;
    for (int length; *from != '\0'; from += length > 0 ? length : 1) {
        length = sequence_length(from);
        wrong += length == 0;
    }
    if (wrong == 0)
        return assay_strdup(text, error);
    char *copy = assay_alloc(bytes, error), *to = copy;
    from = (const unsigned char *)text;
    while (copy != NULL && *from != '\0') {
        int length = sequence_length(from);
        memcpy(to, length > 0 ? (const char *)from : "\xEF\xBF\xBD",
               length > 0 ? (size_t)length : 3);
        to += length > 0 ? length : 3;
        from += length > 0 ? length : 1;
    }
    if (copy != NULL)
        *to = '\0';
    return copy;
}

unsigned next_code_point(const char **text)
{
    const unsigned char *byte = (const unsigned char *)*text;
    int length = sequence_length(byte);
    unsigned code = byte[0];
    if (length > 1) {
        code = byte[0] & (0xFFU >> (length + 1));
        for (int i = 1; i < length; i++)
            code = code << 6 | (byte[i] & 0x3F);
    }
    *text += length > 0 ? length : 1;
    return code;
}

typedef struct code_range {
    unsigned first, last;
} code_range;

static bool is_in(const code_range *ranges, size_t n, unsigned code)
{
    for (size_t i = 0; i < n; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

/* The blocks that matter in names and messages, not the whole of Unicode's tables. */
int code_point_width(unsigned code)
{
    static const code_range none[] = {
        {0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},   {0x610, 0x61A},   {0x64B, 0x65F},
        {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x2064},
        {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF},
    };
    static const code_range wide[] = {
        {0x1100, 0x115F}, {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xA960, 0xA97F},
        {0xAC00, 0xD7A3}, {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
        {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1FAFF}, {0x20000, 0x3FFFD},
    };
    if (code < 0x300)
        return 1;
    if (is_in(none, sizeof none / sizeof *none, code))
        return 0;
    return is_in(wide, sizeof wide / sizeof *wide, code) ? 2 : 1;
}

const char *control_name(unsigned code, char buffer[CONTROL_BYTES])
{
    if (code == '\n')
        return "\\n";
    if (code == '\r')
        return "\\r";
    if (code == '\t')
        return "\\t";
    if (code < 0x20 || code == 0x7F)
        snprintf(buffer, CONTROL_BYTES, "\\x%02x", code);
    else if ((code >= 0x80 && code < 0xA0) || (code >= 0x202A && code <= 0x202E) ||
             (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029)
        snprintf(buffer, CONTROL_BYTES, "\\u%04x", code);
    else
        return NULL;
    return buffer;
}
