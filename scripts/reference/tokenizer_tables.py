#!/usr/bin/env python3
"""Writes core/engine/text/differences.h: where Hugging Face's tokenizers and the Unicode Character Database of
version 14 disagree about a code point.

usage: tokenizer_tables.py >core/engine/text/differences.h      then clang-format -i
Needs PyPI's `tokenizers` and a Python whose unicodedata is of Unicode 14 (3.11). Its parts have tables of
several ages: normal forms and the character categories of BERT's normalizer are older than Unicode 14, and what
a \\w is differs between its two regular expression libraries. Each set is found by asking for every assigned code
point alone (or, for combining classes, beside two marks whose classes everybody agrees on)."""
import sys
import unicodedata as unicode

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

assert unicode.unidata_version == "14.0.0", "this Python's unicodedata is of Unicode " + unicode.unidata_version
assigned = [c for c in range(0x110000) if unicode.category(chr(c)) not in ("Cn", "Cs")]
symbols = "$+<=>^`|~"  # ASCII punctuation that Unicode calls symbols
white = {c for c in assigned if chr(c).isspace() and not 0x1C <= c <= 0x1F}


def category(c):
    return unicode.category(chr(c))


def of(*categories):
    """The code points whose category begins with one of these."""
    return {c for c in assigned if category(c).startswith(categories)}


def divided(splitter):
    """The code points at which a pre-tokenizer divides."""
    return {c for c in assigned if len(splitter.pre_tokenize_str("\x01" + chr(c) + "\x01")) > 1}


def removed(normalizer):
    return {c for c in assigned if normalizer.normalize_str(chr(c)) == ""}


def bert(**what):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**flags, **what})


def unknown_to_normal_forms():
    """Code points without a combining class or decomposition there, with one in Unicode 14."""
    found = set()
    below, above = "\u0334", "\u0345"  # combining classes 1 and 240
    for c in assigned:
        for text in (chr(c), "a" + above + chr(c), "a" + chr(c) + below):
            for form in ("NFD", "NFKD"):
                if getattr(normalizers, form)().normalize_str(text) != unicode.normalize(form, text):
                    found.add(c)
    whole = {c for c in found if len(unicode.normalize("NFD", chr(c))) > 1}
    return found | {ord(part) for c in whole for part in unicode.normalize("NFD", chr(c))}


def check(condition, what):
    if not condition:
        sys.exit("not as the tokenizer's sources assume: " + what)


def table(name, points, meaning):
    ranges = []
    for c in sorted(points):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    cells = ", ".join("{0x%04x, 0x%04x}" % tuple(r) for r in ranges)
    return "/* %s: %d code points. */\nstatic const code_range %s[] = {%s};\n" % (meaning, len(points), name, cells)


def main():
    word_of_both = of("L", "M", "Nd", "Pc")
    punctuation = of("P") | {ord(c) for c in symbols}
    control = of("C") - {9, 10, 13}
    theirs = divided(pre_tokenizers.Punctuation())
    check(divided(pre_tokenizers.BertPreTokenizer()) == theirs | white, "BERT divides at punctuation and white space")
    check(divided(pre_tokenizers.WhitespaceSplit()) == white, "white space")
    check(divided(pre_tokenizers.Digits(individual_digits=True)) == of("N"), "digits are numbers")
    for letter, same in (("s", white), ("p{L}", of("L")), ("p{N}", of("N")), ("d", of("Nd"))):
        check(divided(pre_tokenizers.Split(Regex("\\" + letter), "removed")) == same, "pattern " + letter)
    pattern_word = divided(pre_tokenizers.Split(Regex(r"\w"), "removed"))
    whole = pre_tokenizers.Whitespace()
    word = {c for c in assigned if c not in white and len(whole.pre_tokenize_str("a" + chr(c))) == 1}
    check(word >= word_of_both and pattern_word >= word_of_both, "words are of letters, marks, digits, connectors")
    cleaned = removed(bert(clean_text=True))
    check(cleaned - control == {0xFFFD}, "cleaning removes controls and U+FFFD")
    marks, theirs_marks = of("Mn"), removed(bert(strip_accents=True))
    all_marks, theirs_all = of("M"), removed(normalizers.StripAccents())
    print("/* differences.h - where Hugging Face's tokenizers and Unicode 14 disagree about a code point.")
    print(" *")
    print(" * Written by scripts/reference/tokenizer_tables.py with tokenizers %s. Ranges are" % tokenizers.__version__)
    print(" * ascending and include both ends. */")
    print("#ifndef ASSAY_TEXT_DIFFERENCES_H\n#define ASSAY_TEXT_DIFFERENCES_H\n\n#include <stdint.h>\n")
    print("typedef struct code_range {\n    uint32_t first, last;\n} code_range;\n")
    print(table("newer_than_forms", unknown_to_normal_forms(), "Left as they are by the normal forms"))
    print(table("not_punctuation", punctuation - theirs, "Punctuation that it does not divide at"))
    print(table("also_punctuation", theirs - punctuation, "Divided at as if punctuation"))
    print(table("not_nonspacing", marks - theirs_marks, "Nonspacing marks that BERT's normalizer keeps"))
    print(table("also_nonspacing", theirs_marks - marks, "Removed by it as if nonspacing marks"))
    print(table("not_mark", all_marks - theirs_all, "Marks that StripAccents keeps"))
    print(table("also_mark", theirs_all - all_marks, "Removed by it as if marks"))
    print(table("not_control", control - cleaned, "Controls that BERT's normalizer keeps"))
    print(table("also_word", word - word_of_both, "In words, though no letter, mark, digit or connector"))
    print(table("also_pattern_word", pattern_word - word_of_both, "The same for \\w in the file's own patterns"))
    print("#endif")


main()
