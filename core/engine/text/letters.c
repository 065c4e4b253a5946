/* letters.c - ByteLevel's alphabet: a printable letter for every byte, GPT-2's invention.
 *
 * The printable characters of Latin-1 stand for themselves; the other 68 bytes, in order, are the
 * code points from U+0100 on. */
#include "engine/text/tokenizer.h"

static bool is_printable(unsigned char byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

uint32_t letter_of_byte(unsigned char byte)
{
    if (is_printable(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte <= 0xA0)
        return 0x100u + 33 + (byte - 0x7Fu);
    return 0x100u + 67; /* 0xAD */
}

int byte_of_letter(uint32_t code)
{
    if (code < 0x100)
        return is_printable((unsigned char)code) ? (int)code : -1;
    if (code <= 0x120)
        return (int)code - 0x100;
    if (code <= 0x100 + 66)
        return (int)code - 0x100 - 33 + 0x7F;
    return code == 0x100 + 67 ? 0xAD : -1;
}

bool letters_add(const char *text, int64_t bytes, text_buffer *out, assay_error *error)
{
    if (!text_buffer_reserve(out, 2 * bytes, error))
        return false;
    for (int64_t i = 0; i < bytes; i++)
        out->bytes += unicode_put(letter_of_byte((unsigned char)text[i]), out->data + out->bytes);
    return true;
}
