/* tokenize.c - `assay tokenize`: lines of text to token ids, and lines of ids back to text. */
#include "cli/commands.h"
#include "cli/output.h"

#include <assay/memory.h>
#include <assay/text.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct lines { /* stdin, line by line */
    char *text;
    size_t room;
    int64_t bytes; /* without the line's end */
    int64_t number;
} lines;

/* The next line; false at the end, and with an error where stdin fails. */
static bool next_line(lines *in, assay_error *error)
{
    errno = 0;
    ssize_t got = getline(&in->text, &in->room, stdin);
    if (got < 0) {
        if (ferror(stdin))
            ASSAY_FAIL(error, ASSAY_IO, .where = "stdin", .what = "the input cannot be read",
                       .got = strerror(errno));
        return false;
    }
    in->number++;
    in->bytes = got > 0 && in->text[got - 1] == '\n' ? got - 1 : got;
    in->text[in->bytes] = '\0';
    return true;
}

/* The failure of a line, with the line's number for the tokenizer's own name. */
static bool fail_at(const lines *in, const assay_error *why, assay_error *error)
{
    return ASSAY_FAIL(error, why->code, .where = assay_text("stdin:%lld", (long long)in->number),
                      .what = why->what, .expected = why->expected, .got = why->got,
                      .hint = why->hint);
}

static void print_ids(const assay_ids *ids)
{
    for (int64_t i = 0; i < ids->count; i++)
        printf(i > 0 ? " %d" : "%d", ids->items[i]);
    putchar('\n');
}

/* Tokens as they stand in the file, one space apart, with the characters escaped that would break
 * a line. */
static void print_tokens(const assay_tokenizer *of, const assay_ids *ids)
{
    for (int64_t i = 0; i < ids->count; i++) {
        if (i > 0)
            putchar(' ');
        for (const char *c = assay_tokenizer_token(of, ids->items[i]); *c != '\0'; c++)
            if (*c == '\n' || *c == '\r')
                fputs(*c == '\n' ? "\\n" : "\\r", stdout);
            else
                putchar(*c);
    }
    putchar('\n');
}

static bool encode_line(const assay_tokenizer *of, const arguments *args, const lines *in,
                        assay_ids *ids, assay_error *error)
{
    assay_error why = {0};
    ids->count = 0;
    if (!assay_tokenizer_encode(of, in->text, in->bytes, args_has(args, "special"), ids, &why))
        return fail_at(in, &why, error);
    if (args_has(args, "tokens"))
        print_tokens(of, ids);
    else
        print_ids(ids);
    return true;
}

/* Reads the ids of a line, parted by white space or commas. */
static bool read_ids(const lines *in, assay_ids *ids, assay_error *error)
{
    static const char gaps[] = " \t\r,";
    int64_t room = (in->bytes / 2 + 1) * (int64_t)sizeof *ids->items;
    assay_ids_free(ids);
    ids->items = assay_alloc(room, error);
    if (ids->items == NULL)
        return false;
    for (char *at = in->text + strspn(in->text, gaps); *at != '\0'; at += strspn(at, gaps)) {
        char *end = NULL;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || errno != 0 || id < 0 || id > INT32_MAX ||
            (*end != '\0' && strchr(gaps, *end) == NULL))
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                              .where = assay_text("stdin:%lld", (long long)in->number),
                              .what = "this is not a token id", .expected = "a whole number",
                              .got = assay_text("'%.*s'", (int)strcspn(at, gaps), at));
        ids->items[ids->count++] = (int32_t)id;
        at = end;
    }
    return true;
}

static bool decode_line(const assay_tokenizer *of, const arguments *args, const lines *in,
                        assay_ids *ids, assay_error *error)
{
    assay_error why = {0};
    char *text = NULL;
    int64_t bytes = 0;
    if (!read_ids(in, ids, error))
        return false;
    if (!assay_tokenizer_decode(of, ids->items, ids->count, !args_has(args, "special"), &text,
                                &bytes, &why))
        return fail_at(in, &why, error);
    fwrite(text, 1, (size_t)bytes, stdout);
    putchar('\n');
    assay_free(text);
    return true;
}

static int tokenize_run(const arguments *args, assay_error *error)
{
    const char *path = args_value(args, "tokenizer");
    bool back = args_has(args, "decode");
    if (path == NULL || (back && args_has(args, "tokens"))) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay tokenize",
                   .what = path == NULL ? "no tokenizer is named" : "--tokens is of no use here",
                   .expected = path == NULL ? "--tokenizer FILE" : "--tokens or --decode");
        return EXIT_WRONG;
    }
    assay_tokenizer *of = assay_tokenizer_open(path, error);
    if (of == NULL)
        return output_status(error);
    lines in = {0};
    assay_ids ids = {0};
    bool ok = true;
    while (ok && next_line(&in, error))
        ok = back ? decode_line(of, args, &in, &ids, error)
                  : encode_line(of, args, &in, &ids, error);
    free(in.text);
    assay_ids_free(&ids);
    assay_tokenizer_free(of);
    return error->code == ASSAY_OK ? EXIT_DONE : output_status(error);
}

static const cli_flag flags[] = {
    {.name = "tokenizer",
     .argument = "FILE",
     .meaning = "a tokenizer.json, or the folder of a model that has one"},
    {.name = "decode", .meaning = "lines of ids to text instead"},
    {.name = "special",
     .meaning = "with the special tokens around each text ([CLS] ... [SEP]); with --decode, show "
                "special tokens too"},
    {.name = "tokens", .meaning = "print tokens instead of ids"},
};

const cli_command tokenize_command = {
    .name = "tokenize",
    .operands = "",
    .summary = "text on stdin to token ids, line by line, and back",
    .details = "Each line is one text, without its line end; its ids are printed on one line. The "
               "ids are those of Hugging Face's tokenizers.",
    .example = "echo 'Hello, world!' | assay tokenize --tokenizer tokenizer.json\n"
               "echo '15496 11 995 0' | assay tokenize --tokenizer tokenizer.json --decode",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = tokenize_run,
};
