/* deed.c - see deed.h. */
#include "deed.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Digits with at most one point among them; at most 15, so that the number is exact. */
static bool read_amount(const char *word, int64_t bytes, double *out)
{
    double value = 0, scale = 1;
    bool fraction = false, digits = false;
    if (bytes > 15)
        return false;
    for (int64_t i = 0; i < bytes; i++) {
        if (word[i] == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (word[i] < '0' || word[i] > '9')
            return false;
        value = value * 10 + (word[i] - '0');
        scale *= fraction ? 10 : 1;
        digits = true;
    }
    *out = value / scale;
    return digits;
}

deed deed_of(const char *text, int64_t bytes)
{
    deed out = {.amount = NAN, .word = text};
    bool first = true, found = false;
    for (int64_t at = 0; at < bytes && !(found && !first);) {
        int64_t from = at;
        while (from < bytes && is_space(text[from]))
            from++;
        for (at = from; at < bytes && !is_space(text[at]);)
            at++;
        if (first) {
            out.word = text + from;
            out.word_bytes = (int32_t)(at - from);
            first = false;
        }
        found = found || read_amount(text + from, at - from, &out.amount);
    }
    return out;
}

int deed_compare(const deed *a, const deed *b)
{
    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    int32_t shorter = a->word_bytes < b->word_bytes ? a->word_bytes : b->word_bytes;
    int order = memcmp(a->word, b->word, (size_t)shorter);
    if (order != 0)
        return order;
    return (a->word_bytes > b->word_bytes) - (a->word_bytes < b->word_bytes);
}
