/* pattern.c - Oniguruma's regular expressions, said in PCRE2's words, and matched.
 *
 * The two agree on most of the language. Where a word means something else (`\s` is White_Space and
 * `\w` wider there; `^` and `$` are of every line; `\v` is one character) it is translated; what
 * has no counterpart, or could be read otherwise, is refused by name. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text/pattern.h"

#include <assay/memory.h>

#include <pcre2.h>
#include <string.h>

struct pattern {
    pcre2_code *code; /* NULL: the text */
    bool jit;
    char *text;
    int64_t bytes;
};

struct pattern_match {
    pcre2_match_data *data;
};

/* ---- translation ---- */

typedef struct translation {
    const char *from;
    int64_t at; /* the next character of `from` */
    bool in_class;
    text_buffer out;
    const file_part *part;
    assay_error *error;
} translation;

static bool add(translation *t, const char *text)
{
    return text_buffer_add(&t->out, text, (int64_t)strlen(text), t->error);
}

static bool refuse(translation *t, const char *what)
{
    return part_unsupported(t->part, assay_text("%s in a regular expression", what),
                            "what Oniguruma and PCRE2 share", assay_text("'%.150s'", t->from),
                            t->error);
}

#define WHITE                                                                                      \
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"
#define NOT_WHITE                                                                                  \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x84\\x86-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{" \
    "2027}"                                                                                        \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{"   \
    "10ffff}"

/* The class of word characters, without or with its brackets. */
static bool add_word(translation *t, const char *open, const char *close)
{
    return add(t, open) && add(t, "\\p{L}\\p{M}\\p{Nd}\\p{Pc}") &&
           unicode_add_pattern_word(t->in_class, &t->out, t->error) && add(t, close);
}

/* \b and \B: PCRE2's own would use its narrower word. */
static bool add_boundary(translation *t, bool is_one)
{
    return add(t, is_one ? "(?:(?<=" : "(?:(?<=") && add_word(t, "[", "]") &&
           add(t, is_one ? ")(?!" : ")(?=") && add_word(t, "[", "]") &&
           add(t, is_one ? ")|(?<!" : ")|(?<!") && add_word(t, "[", "]") &&
           add(t, is_one ? ")(?=" : ")(?!") && add_word(t, "[", "]") && add(t, "))");
}

/* \p{..} or \P{..}: a category as it is, a script by its script, since PCRE2's bare name means the
 * script's extensions too. t->at is behind the p. */
static bool translate_property(translation *t, char letter)
{
    const char *name = t->from + t->at;
    const char *close = name[0] == '{' ? strchr(name, '}') : NULL;
    if (close == NULL || close - name < 2)
        return refuse(t, "a property without {name}");
    int64_t length = close - name - 1;
    bool inverse = name[1] == '^';
    const char *word = name + 1 + inverse;
    length -= inverse;
    t->at += close - name + 1;
    const char *kind = length > 2 && !(length == 3 && memcmp(word, "Any", 3) == 0) ? "sc:" : "";
    return add(t,
               assay_text("\\%c{%s%s%.*s}", letter, inverse ? "^" : "", kind, (int)length, word));
}

static int hex_digits(const char *text, int most)
{
    int n = 0;
    while (n < most && text[n] != '\0' && strchr("0123456789abcdefABCDEF", text[n]) != NULL)
        n++;
    return n;
}

/* \xHH, \x{H...} and \uHHHH. */
static bool translate_code(translation *t, char letter)
{
    const char *at = t->from + t->at;
    bool braced = letter == 'x' && at[0] == '{';
    int digits = hex_digits(at + braced, braced ? 8 : letter == 'u' ? 4 : 2);
    if (digits == 0 || (braced && at[1 + digits] != '}') || (letter == 'u' && digits != 4))
        return refuse(t, assay_text("an unfinished \\%c", letter));
    if (letter == 'x' && !braced && digits == 2 && at[0] >= '8')
        return refuse(t, "\\x of a byte that is no ASCII");
    t->at += digits + 2 * braced;
    return add(t, assay_text("\\x{%.*s}", digits, at + braced));
}

static bool translate_escape(translation *t)
{
    char letter = t->from[t->at];
    t->at += letter != '\0';
    switch (letter) {
    case 's':
        return add(t, t->in_class ? WHITE : "[" WHITE "]");
    case 'S':
        return add(t, t->in_class ? NOT_WHITE : "[^" WHITE "]");
    case 'w':
        return t->in_class ? add_word(t, "", "") : add_word(t, "[", "]");
    case 'W':
        return t->in_class ? refuse(t, "\\W in a class") : add_word(t, "[^", "]");
    case 'd':
        return add(t, "\\p{Nd}");
    case 'D':
        return add(t, "\\P{Nd}");
    case 'b':
        return t->in_class ? add(t, "\\x08") : add_boundary(t, true);
    case 'v':
        return add(t, "\\x0b");
    case 'p':
    case 'P':
        return translate_property(t, letter);
    case 'x':
    case 'u':
        return translate_code(t, letter);
    case 'n':
    case 'r':
    case 't':
    case 'f':
    case 'a':
    case 'e':
        return add(t, assay_text("\\%c", letter));
    case 'B':
        if (!t->in_class)
            return add_boundary(t, false);
        break;
    case 'A':
    case 'z':
    case 'Z':
    case 'G':
        if (!t->in_class)
            return add(t, assay_text("\\%c", letter));
        break;
    case '\0':
        return refuse(t, "a lone \\");
    default:
        if ((unsigned char)letter >= 0x80) /* the escape of a longer character says nothing */
            return text_buffer_add(&t->out, &letter, 1, t->error);
        if (strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ", letter) != NULL)
            return add(t, assay_text("\\%c", letter));
    }
    return refuse(t, assay_text("the escape \\%c", letter));
}

/* The opening of a class, up to and with what a ']' would not close. */
static bool open_class(translation *t)
{
    t->in_class = true;
    t->at++;
    bool inverse = t->from[t->at] == '^';
    t->at += inverse;
    if (!add(t, inverse ? "[^" : "["))
        return false;
    if (t->from[t->at] != ']')
        return true;
    t->at++;
    return add(t, "\\]");
}

/* "(?": look-around, groups and `i` mean the same; other flags do not. */
static bool open_group(translation *t)
{
    static const char *const shared[] = {"(?:",  "(?=",  "(?!",   "(?<=",  "(?<!", "(?>",
                                         "(?i)", "(?i:", "(?-i)", "(?-i:", NULL};
    const char *at = t->from + t->at;
    if (at[1] != '?') {
        t->at++;
        return add(t, "(");
    }
    for (int i = 0; shared[i] != NULL; i++)
        if (strncmp(at, shared[i], strlen(shared[i])) == 0) {
            t->at += (int64_t)strlen(shared[i]);
            return add(t, shared[i]);
        }
    return refuse(t, assay_text("'%.4s'", at));
}

/* An interval in braces: {,n} is another thing in PCRE2, and {n,m}+ is not possessive. */
static bool translate_interval(translation *t)
{
    const char *at = t->from + t->at;
    size_t inside = strspn(at + 1, "0123456789,");
    bool is_interval = inside > 0 && at[1 + inside] == '}';
    if (!is_interval) {
        t->at++;
        return add(t, "\\{");
    }
    if (at[1] == ',' || at[2 + inside] == '+')
        return refuse(t, assay_text("the interval '%.*s'", (int)inside + 3, at));
    t->at += (int64_t)inside + 2;
    return text_buffer_add(&t->out, at, (int64_t)inside + 2, t->error);
}

static bool translate_in_class(translation *t)
{
    const char *at = t->from + t->at;
    if (at[0] == '[')
        return refuse(t, "a class within a class");
    if (at[0] == '&' && at[1] == '&')
        return refuse(t, "'&&'");
    if (at[0] == ']')
        t->in_class = false;
    t->at++;
    return text_buffer_add(&t->out, at, 1, t->error);
}

static bool translate(translation *t)
{
    while (t->from[t->at] != '\0') {
        char c = t->from[t->at];
        bool ok;
        if (c == '\\') {
            t->at++;
            ok = translate_escape(t);
        } else if (t->in_class) {
            ok = translate_in_class(t);
        } else if (c == '[') {
            ok = open_class(t);
        } else if (c == '(') {
            ok = open_group(t);
        } else if (c == '{') {
            ok = translate_interval(t);
        } else {
            t->at++;
            ok = text_buffer_add(&t->out, &c, 1, t->error);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* ---- compiling ---- */

static bool compile(pattern *of, const translation *t, assay_error *error)
{
    int number = 0;
    size_t offset = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a regular expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    of->code = pcre2_compile((PCRE2_SPTR)t->out.data, (PCRE2_SIZE)t->out.bytes,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &number, &offset, context);
    pcre2_compile_context_free(context);
    if (of->code == NULL) {
        PCRE2_UCHAR message[120];
        pcre2_get_error_message(number, message, sizeof message);
        return part_bad(t->part, "the regular expression cannot be read", (const char *)message,
                        assay_text("'%.150s'", t->from), error);
    }
    of->jit = pcre2_jit_compile(of->code, PCRE2_JIT_COMPLETE) == 0;
    return true;
}

pattern *pattern_new(const char *expression, const file_part *part, assay_error *error)
{
    translation t = {.from = expression, .part = part, .error = error};
    pattern *of = assay_zalloc(sizeof *of, error);
    if (of != NULL && !(translate(&t) && compile(of, &t, error))) {
        pattern_free(of);
        of = NULL;
    }
    text_buffer_free(&t.out);
    return of;
}

pattern *pattern_read(const file_part *part, assay_error *error)
{
    const char *text = NULL;
    if (!json_is_object(part->value) || json_object_size(part->value) != 1) {
        part_bad(part, "this is not a pattern", "{\"Regex\": ...} or {\"String\": ...}",
                 part_kind(part->value), error);
        return NULL;
    }
    if (json_object_get(part->value, "Regex") != NULL)
        return part_text(part, "Regex", NULL, &text, error) ? pattern_new(text, part, error) : NULL;
    if (!PART_KEYS(part, error, "String", "Regex") ||
        !part_text(part, "String", NULL, &text, error))
        return NULL;
    if (text[0] == '\0') {
        part_bad(part, "the pattern is empty", "at least one character", NULL, error);
        return NULL;
    }
    pattern *of = assay_zalloc(sizeof *of, error);
    if (of == NULL)
        return NULL;
    of->text = assay_strdup(text, error);
    of->bytes = (int64_t)strlen(text);
    if (of->text == NULL) {
        pattern_free(of);
        return NULL;
    }
    return of;
}

void pattern_free(pattern *of)
{
    if (of == NULL)
        return;
    pcre2_code_free(of->code);
    assay_free(of->text);
    assay_free(of);
}

/* ---- matching ---- */

pattern_match *pattern_match_new(assay_error *error)
{
    pattern_match *match = assay_zalloc(sizeof *match, error);
    if (match == NULL)
        return NULL;
    match->data = pcre2_match_data_create(1, NULL); /* the whole match; groups are not asked for */
    if (match->data == NULL) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory to match regular expressions");
        pattern_match_free(match);
        return NULL;
    }
    return match;
}

void pattern_match_free(pattern_match *match)
{
    if (match == NULL)
        return;
    pcre2_match_data_free(match->data);
    assay_free(match);
}

static int find_text(const pattern *of, const char *text, int64_t bytes, int64_t from,
                     int64_t *begin, int64_t *end)
{
    const char *found =
        from < bytes ? memmem(text + from, (size_t)(bytes - from), of->text, (size_t)of->bytes)
                     : NULL;
    if (found == NULL)
        return 0;
    *begin = found - text;
    *end = *begin + of->bytes;
    return 1;
}

int pattern_find(const pattern *of, pattern_match *match, const char *text, int64_t bytes,
                 int64_t from, int64_t *begin, int64_t *end, assay_error *error)
{
    if (of->code == NULL)
        return find_text(of, text, bytes, from, begin, end);
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (of->jit)
        found = pcre2_jit_match(of->code, subject, (PCRE2_SIZE)bytes, (PCRE2_SIZE)from, 0,
                                match->data, NULL);
    /* The compiled matcher has a stack of fixed size, the interpreter takes what it needs. */
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(of->code, subject, (PCRE2_SIZE)bytes, (PCRE2_SIZE)from,
                            PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match->data, NULL);
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    if (found < 0) {
        PCRE2_UCHAR message[120];
        pcre2_get_error_message(found, message, sizeof message);
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "tokenizer",
                   .what = "a regular expression gave up on the text",
                   .got = (const char *)message);
        return -1;
    }
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match->data);
    *begin = (int64_t)range[0];
    *end = (int64_t)range[1];
    return 1;
}
