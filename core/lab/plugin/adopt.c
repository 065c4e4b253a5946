/* adopt.c - checks of a plugin's descriptor and of its kind's functions (lab/plugin/adopt.h). */
#include "lab/plugin/adopt.h"

#include "lab/plugin/words.h"

#include <stddef.h>
#include <string.h>

enum {
    LONGEST_NAME = 40,      /* characters */
    LONGEST_SUMMARY = 200,  /* bytes: a line of a listing */
    LARGEST_STRUCT = 65536, /* bytes; more is no size but rubbish */
};

/* What every descriptor of major number 1 has; later members may be missing. */
#define SMALLEST_DESCRIPTOR                                                                        \
    ((int64_t)(offsetof(assay_plugin, functions) + sizeof(((assay_plugin *)0)->functions)))

/* ---- functions ---- */

typedef enum need { NEEDED, OPTIONAL, PAIRED } need; /* paired: with the next one, both or none */

typedef struct function {
    assay_kind kind;
    const char *name;
    size_t offset;
    need need;
} function;

#define DATASET(name, need)                                                                        \
    {                                                                                              \
        ASSAY_KIND_DATASET, #name, offsetof(assay_dataset_functions, name), need                   \
    }
#define MODEL(name, need)                                                                          \
    {                                                                                              \
        ASSAY_KIND_MODEL, #name, offsetof(assay_model_functions, name), need                       \
    }
#define MASK(name, need)                                                                           \
    {                                                                                              \
        ASSAY_KIND_MASK, #name, offsetof(assay_mask_functions, name), need                         \
    }
#define LOSS(name, need)                                                                           \
    {                                                                                              \
        ASSAY_KIND_LOSS, #name, offsetof(assay_loss_functions, name), need                         \
    }
#define ADAPTER(name, need)                                                                        \
    {                                                                                              \
        ASSAY_KIND_ADAPTER, #name, offsetof(assay_adapter_functions, name), need                   \
    }
#define EVALUATOR(name, need)                                                                      \
    {                                                                                              \
        ASSAY_KIND_EVALUATOR, #name, offsetof(assay_evaluator_functions, name), need               \
    }

/* What the kinds' headers require. Functions that may be missing by themselves need no row. */
static const function functions[] = {
    DATASET(open, NEEDED),    DATASET(close, NEEDED),      DATASET(fingerprint, NEEDED),
    DATASET(fields, NEEDED),  DATASET(count, NEEDED),      DATASET(sample, NEEDED),
    MODEL(open, NEEDED),      MODEL(close, NEEDED),        MODEL(facts, NEEDED),
    MODEL(collate, NEEDED),   MODEL(embed, NEEDED),        MODEL(forward, NEEDED),
    MASK(open, NEEDED),       MASK(close, NEEDED),         MASK(bias, NEEDED),
    MASK(save, PAIRED),       MASK(load, OPTIONAL),        LOSS(wants, NEEDED),
    LOSS(open, NEEDED),       LOSS(close, NEEDED),         LOSS(compute, NEEDED),
    LOSS(save, PAIRED),       LOSS(load, OPTIONAL),        ADAPTER(open, NEEDED),
    ADAPTER(close, NEEDED),   ADAPTER(attaches, PAIRED),   ADAPTER(apply, OPTIONAL),
    EVALUATOR(check, NEEDED), EVALUATOR(evaluate, NEEDED),
};
#define FUNCTION_COUNT ((int)(sizeof functions / sizeof functions[0]))

static int64_t functions_bytes(assay_kind kind)
{
    switch (kind) {
    case ASSAY_KIND_DATASET:
        return sizeof(assay_dataset_functions);
    case ASSAY_KIND_MODEL:
        return sizeof(assay_model_functions);
    case ASSAY_KIND_MASK:
        return sizeof(assay_mask_functions);
    case ASSAY_KIND_LOSS:
        return sizeof(assay_loss_functions);
    case ASSAY_KIND_ADAPTER:
        return sizeof(assay_adapter_functions);
    case ASSAY_KIND_EVALUATOR:
        return sizeof(assay_evaluator_functions);
    }
    return 0;
}

static bool has_function(const void *table, const function *row)
{
    void (*pointer)(void);
    memcpy(&pointer, (const char *)table + row->offset, sizeof pointer);
    return pointer != NULL;
}

static bool check_functions(assay_kind kind, const void *table, assay_error *error)
{
    for (int i = 0; i < FUNCTION_COUNT; i++) {
        const function *row = &functions[i];
        if (row->kind != kind)
            continue;
        bool has = has_function(table, row);
        if (row->need == NEEDED && !has)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                              .what = assay_text("lacks the function '%s'", row->name),
                              .expected = assay_text("every function that assay/%s.h does not call "
                                                     "optional",
                                                     plugin_kind_name(kind)));
        if (row->need == PAIRED && has != has_function(table, row + 1))
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT,
                .what = assay_text("has one of '%s' and '%s'", row->name, functions[i + 1].name),
                .expected = "both or none");
    }
    return true;
}

/* The plugin's struct into the host's, which is zeroed: as much of it as the plugin has. */
static bool adopt_functions(plugin *out, const void *theirs, assay_error *error)
{
    uint32_t bytes = 0;
    if (theirs == NULL)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "has no functions");
    memcpy(&bytes, theirs, sizeof bytes);
    if (bytes < sizeof bytes || bytes > LARGEST_STRUCT)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "has functions of an impossible size",
                          .got = assay_text("%u bytes", bytes),
                          .hint = "set .size = sizeof functions");
    int64_t ours = functions_bytes(out->kind);
    void *table = &out->dataset; /* all members of the union begin here */
    memcpy(table, theirs, (size_t)(bytes < ours ? bytes : ours));
    return check_functions(out->kind, table, error);
}

/* ---- the descriptor ---- */

bool adopt_is_name(const char *name)
{
    if (name == NULL || name[0] < 'a' || name[0] > 'z' ||
        strnlen(name, LONGEST_NAME + 1) > LONGEST_NAME)
        return false;
    for (; *name != '\0'; name++) {
        bool fits = (*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9');
        if (!fits && *name != '_')
            return false;
    }
    return true;
}

/* The first two members stand where they are in every ABI; the others mean what the host thinks
 * only in its own. Fills `theirs` as far as it reaches. */
static bool read_descriptor(assay_plugin *theirs, const void *entry, int64_t bytes,
                            assay_error *error)
{
    int64_t head = (int64_t)(offsetof(assay_plugin, abi) + sizeof theirs->abi);
    if (bytes == 0 || bytes >= head)
        memcpy(theirs, entry, (size_t)head);
    unsigned major = theirs->abi >> 16;
    if (theirs->abi != 0 && major != ASSAY_ABI_MAJOR)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .what = "was built for another plugin ABI",
                          .expected = assay_text("%d.x", ASSAY_ABI_MAJOR),
                          .got = assay_text("%u.%u", major, theirs->abi & 0xFFFF),
                          .hint = "build it again with this program's headers");
    int64_t reach = bytes == 0 || bytes > (int64_t)theirs->size ? theirs->size : bytes;
    if (reach < SMALLEST_DESCRIPTOR || reach < (int64_t)theirs->size)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "has a descriptor that is too small",
                          .expected = assay_text("%lld bytes", (long long)SMALLEST_DESCRIPTOR),
                          .got =
                              assay_text("%lld, and it claims %u", (long long)reach, theirs->size),
                          .hint = "define it by ASSAY_PLUGIN");
    memcpy(theirs, entry,
           (size_t)(reach < (int64_t)sizeof *theirs ? reach : (int64_t)sizeof *theirs));
    return true;
}

static bool check_build(const assay_plugin *theirs, assay_error *error)
{
    unsigned minor = theirs->abi & 0xFFFF;
    if (minor > ASSAY_ABI_MINOR)
        return ASSAY_FAIL(
            error, ASSAY_UNSUPPORTED, .what = "needs a newer program",
            .expected = assay_text("plugin ABI %d.%d or older", ASSAY_ABI_MAJOR, ASSAY_ABI_MINOR),
            .got = assay_text("%u.%u", theirs->abi >> 16, minor));
    if (theirs->build == NULL || strcmp(theirs->build, ASSAY_BUILD) != 0)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .what = "is of another build",
                          .expected = ASSAY_BUILD,
                          .got = theirs->build == NULL ? "nothing" : theirs->build,
                          .hint = "build it again with this machine's compiler");
    return true;
}

static bool check_identity(const assay_plugin *theirs, assay_error *error)
{
    if ((int)theirs->kind < 0 || (int)theirs->kind >= ASSAY_KINDS)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .what = "is of an unknown kind",
                          .expected = assay_text("0 .. %d", ASSAY_KINDS - 1),
                          .got = assay_text("%d", (int)theirs->kind));
    if (!adopt_is_name(theirs->name))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "has a bad name",
                          .expected = "lower-case letters, digits and underscores, a letter first, "
                                      "at most 40",
                          .got = theirs->name == NULL ? "nothing"
                                                      : assay_text("'%.60s'", theirs->name));
    if (theirs->version < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "has a bad version",
                          .expected = "1 or more", .got = assay_text("%d", (int)theirs->version));
    if (!text_is_line(theirs->summary) || strlen(theirs->summary) > LONGEST_SUMMARY)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "has no proper summary",
                          .expected = assay_text("one line of at most %d bytes", LONGEST_SUMMARY));
    return true;
}

bool adopt_plugin(plugin *out, const void *entry, int64_t bytes, assay_arena *arena,
                  assay_error *error)
{
    assay_plugin theirs = {0};
    if (!read_descriptor(&theirs, entry, bytes, error) || !check_build(&theirs, error) ||
        !check_identity(&theirs, error))
        return false;
    out->kind = theirs.kind;
    out->name = theirs.name;
    out->summary = theirs.summary;
    out->version = theirs.version;
    out->abi = theirs.abi;
    out->options_bytes = theirs.options_bytes;
    out->option_count = theirs.option_count;
    out->options = adopt_options(theirs.options, theirs.option_count, theirs.option_size,
                                 theirs.options_bytes, arena, error);
    return out->options != NULL && adopt_functions(out, theirs.functions, error);
}
