/* error.c - recording and showing a failure (assay/error.h). */
#include <assay/error.h>

#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_BUFFERS = 16,
    TEXT_SIZE = 256,
};

/* Removes the last UTF-8 sequence of a text that was cut when it lacks some of its bytes. Bytes
 * 10xxxxxx continue a sequence; its first byte says how many bytes it has. */
static void drop_part_of_character(char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    start--;
    unsigned char lead = (unsigned char)text[start];
    size_t width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (start + width > length)
        text[start] = '\0';
}

static void copy_cut(char *out, size_t size, const char *text)
{
    size_t length = text == NULL ? 0 : strnlen(text, size);
    bool cut = length == size;
    length -= cut;
    if (length > 0)
        memcpy(out, text, length);
    out[length] = '\0';
    if (cut)
        drop_part_of_character(out, length);
}

void text_format(char *out, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(out, size, format, arguments);
    if (length < 0)
        out[0] = '\0';
    else if ((size_t)length >= size)
        drop_part_of_character(out, size - 1);
}

void text_one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            *text = ' ';
}

const char *assay_text(const char *format, ...)
{
    static _Thread_local char buffers[TEXT_BUFFERS][TEXT_SIZE];
    static _Thread_local unsigned next;
    char *out = buffers[next];
    next = (next + 1) % TEXT_BUFFERS;
    va_list arguments;
    va_start(arguments, format);
    text_format(out, TEXT_SIZE, format, arguments);
    va_end(arguments);
    return out;
}

bool assay_fail(assay_error *error, assay_code code, assay_failure failure)
{
    if (error == NULL || error->code != ASSAY_OK)
        return false;
    error->code = code;
    copy_cut(error->what, sizeof error->what, failure.what);
    copy_cut(error->where, sizeof error->where, failure.where);
    copy_cut(error->expected, sizeof error->expected, failure.expected);
    copy_cut(error->got, sizeof error->got, failure.got);
    copy_cut(error->hint, sizeof error->hint, failure.hint);
    return false;
}

void assay_error_clear(assay_error *error)
{
    if (error != NULL)
        memset(error, 0, sizeof *error);
}

const char *assay_code_name(assay_code code)
{
    switch (code) {
    case ASSAY_OK:
        return "ok";
    case ASSAY_BAD_INPUT:
        return "bad input";
    case ASSAY_BAD_SHAPE:
        return "bad shape";
    case ASSAY_BAD_FILE:
        return "bad file";
    case ASSAY_IO:
        return "i/o";
    case ASSAY_NO_MEMORY:
        return "no memory";
    case ASSAY_NOT_FINITE:
        return "not finite";
    case ASSAY_UNSUPPORTED:
        return "unsupported";
    case ASSAY_STOPPED:
        return "stopped";
    }
    return "unknown";
}

const char *assay_error_format(const assay_error *error, char *out, size_t size)
{
    if (size == 0)
        return out;
    bool where = error->where[0] != '\0', hint = error->hint[0] != '\0';
    bool expected = error->expected[0] != '\0', got = error->got[0] != '\0';
    char line[sizeof *error + 64]; /* every text and every joining word fits */
    snprintf(line, sizeof line, "%s%s%s%s%s%s%s%s%s%s",
             error->what[0] != '\0' ? error->what : assay_code_name(error->code), where ? " (" : "",
             error->where, where ? ")" : "", expected ? "; expected " : "", error->expected,
             got ? (expected ? ", got " : "; got ") : "", error->got, hint ? "; hint: " : "",
             error->hint);
    text_one_line(line);
    copy_cut(out, size, line);
    return out;
}
