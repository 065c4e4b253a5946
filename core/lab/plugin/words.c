/* words.c - words in one text, numbers as text, UTF-8 (lab/plugin/words.h). */
#include "lab/plugin/words.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int words_count(const char *words, char separator)
{
    if (words == NULL || words[0] == '\0')
        return 0;
    int count = 1;
    for (; *words != '\0'; words++)
        count += *words == separator;
    return count;
}

const char *words_at(const char *words, char separator, int i, int64_t *length)
{
    for (; i > 0; i--)
        words = strchr(words, separator) + 1;
    const char *end = strchr(words, separator);
    *length = end == NULL ? (int64_t)strlen(words) : end - words;
    return words;
}

int words_find(const char *words, char separator, const char *word)
{
    int64_t wanted = (int64_t)strlen(word);
    int count = words_count(words, separator);
    for (int i = 0; i < count; i++) {
        int64_t length;
        const char *at = words_at(words, separator, i, &length);
        if (length == wanted && memcmp(at, word, (size_t)length) == 0)
            return i;
    }
    return -1;
}

/* A locale's decimal point becomes '.'; it may be longer than one byte. */
static void use_point(char *text)
{
    const char *point = localeconv()->decimal_point;
    char *at = strcmp(point, ".") == 0 ? NULL : strstr(text, point);
    if (at == NULL)
        return;
    size_t length = strlen(point);
    at[0] = '.';
    memmove(at + 1, at + length, strlen(at + length) + 1);
}

const char *number_text(double number, char out[NUMBER_TEXT])
{
    if (fabs(number) < 1e15 && number == floor(number)) {
        snprintf(out, NUMBER_TEXT, "%.0f", number);
        return out;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, NUMBER_TEXT, "%.*g", digits, number);
        if (strtod(out, NULL) == number)
            break;
    }
    use_point(out);
    return out;
}

/* Bytes of the character that begins with `lead`; 0 when none does. */
static int character_bytes(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if (lead >= 0xE0 && lead <= 0xEF)
        return 3;
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

bool text_is_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        int bytes = character_bytes(*at);
        if (bytes == 0)
            return false;
        for (int i = 1; i < bytes; i++) /* a NUL ends the walk here, being no continuation */
            if ((at[i] & 0xC0) != 0x80)
                return false;
        bool overlong = (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xF0 && at[1] < 0x90);
        bool surrogate = at[0] == 0xED && at[1] > 0x9F;
        bool too_large = at[0] == 0xF4 && at[1] > 0x8F;
        if (overlong || surrogate || too_large)
            return false;
        at += bytes;
    }
    return true;
}

bool text_is_line(const char *text)
{
    if (text == NULL || text[0] == '\0' || !text_is_utf8(text))
        return false;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return false;
    return true;
}
