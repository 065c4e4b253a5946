/* text.h - what errors and log lines share: texts that are cut and shown on one line.
 *
 * Private to this folder. Both texts may hold bytes from a file name or a file's content, and both
 * end on a terminal or in a JSON document, which takes whole UTF-8 characters only. */
#ifndef ASSAY_SUPPORT_TEXT_H
#define ASSAY_SUPPORT_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* vsnprintf into out[size], size >= 1; a text that is too long is cut between two characters. */
void text_format(char *out, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* Turns every control character into a space, newlines included. */
void text_one_line(char *text);

#endif
