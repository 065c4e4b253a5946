/* assay/plugin.h - what every plugin has: one exported descriptor, and what the host offers it.
 *
 * A plugin is one shared object that exports one symbol, `assay_plugin_entry`:
 *
 *     ASSAY_PLUGIN(ASSAY_KIND_MASK, "causal", 1, "every token sees itself and the past", options,
 *                  functions);
 *
 * `functions` is the kind's struct (assay/mask.h, assay/loss.h ...). Every such struct begins with
 * its own size and only ever grows at the end: the host copies as much as the plugin has and takes
 * what is missing for NULL, so an old plugin keeps working; a function that the kind's header calls
 * optional may be NULL.
 *
 * Rules. A plugin never prints, exits, installs signal handlers or seeds anything. Failures go into
 * the assay_error that a function is given. Random numbers come from assay_stream_of(seed, NAME,
 * step): they are addressed, so that an interrupted run has nothing to replay. Two opens with equal
 * options, seed and data behave alike to the last bit. `open` returns the plugin's state, or NULL
 * with the error set and nothing left behind; `close` accepts what `open` returned. Nothing is
 * called on two threads at once, except where a function says so.
 *
 * A plugin of other ABI or build, with a bad descriptor, or with a kind and name that another
 * plugin has, is refused with the reason (`assay plugins` lists refusals). */
#ifndef ASSAY_PLUGIN_H
#define ASSAY_PLUGIN_H

#include <assay/error.h>
#include <assay/late.h>
#include <assay/option.h>
#include <assay/tensor.h>
#include <assay/weights.h>

/* The host takes a plugin of the same major number and of a minor number up to its own. */
#define ASSAY_ABI_MAJOR 1
#define ASSAY_ABI_MINOR 0
#define ASSAY_ABI       ((uint32_t)ASSAY_ABI_MAJOR << 16 | ASSAY_ABI_MINOR)

/* What must be equal on both sides for structs to mean the same: "lp64 le long double 16". */
#define ASSAY_BUILD_TEXT_(x) #x
#define ASSAY_BUILD_TEXT(x)  ASSAY_BUILD_TEXT_(x)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ASSAY_BUILD_ORDER "le"
#else
#define ASSAY_BUILD_ORDER "be"
#endif
#define ASSAY_BUILD                                                                                \
    "pointer " ASSAY_BUILD_TEXT(__SIZEOF_POINTER__) ", long " ASSAY_BUILD_TEXT(                    \
        __SIZEOF_LONG__) ", " ASSAY_BUILD_ORDER

typedef enum assay_kind {
    ASSAY_KIND_DATASET,
    ASSAY_KIND_MODEL,
    ASSAY_KIND_MASK,
    ASSAY_KIND_LOSS,
    ASSAY_KIND_ADAPTER,
    ASSAY_KIND_EVALUATOR,
} assay_kind;
#define ASSAY_KINDS 6

typedef struct assay_plugin {
    uint32_t size;     /* sizeof(assay_plugin) as the plugin saw it */
    uint32_t abi;      /* ASSAY_ABI */
    const char *build; /* ASSAY_BUILD */
    assay_kind kind;
    const char *name;    /* lower-case letters, digits, underscores; at most 40 */
    int32_t version;     /* part of a run's identity: raise it when results change */
    const char *summary; /* one line */
    const assay_option *options;
    int32_t option_count;
    uint32_t option_size;  /* sizeof(assay_option) as the plugin saw it */
    int64_t options_bytes; /* size of the struct that the options fill */
    const void *functions; /* the kind's struct; its first member is its size */
} assay_plugin;

#define ASSAY_PLUGIN_SYMBOL "assay_plugin_entry"

/* Defines the descriptor. `settings` is the type of the options' struct. */
#define ASSAY_PLUGIN(of_kind, of_name, of_version, of_summary, settings, table, of_functions)      \
    ASSAY_PLUGIN_ENTRY(of_kind, of_name, of_version, of_summary, of_functions, .options = (table), \
                       .option_count = (int32_t)(sizeof(table) / sizeof(assay_option)),            \
                       .options_bytes = sizeof(settings))
/* The same for a plugin without options. */
#define ASSAY_PLUGIN_PLAIN(of_kind, of_name, of_version, of_summary, of_functions)                 \
    ASSAY_PLUGIN_ENTRY(of_kind, of_name, of_version, of_summary, of_functions, )

/* What both are made of; `...` are the members about options. */
#define ASSAY_PLUGIN_ENTRY(of_kind, of_name, of_version, of_summary, of_functions, ...)            \
    __attribute__((visibility("default"))) extern const assay_plugin assay_plugin_entry;           \
    const assay_plugin assay_plugin_entry = {.size = sizeof(assay_plugin),                         \
                                             .abi = ASSAY_ABI,                                     \
                                             .build = ASSAY_BUILD,                                 \
                                             .kind = (of_kind),                                    \
                                             .name = (of_name),                                    \
                                             .version = (of_version),                              \
                                             .summary = (of_summary),                              \
                                             .option_size = sizeof(assay_option),                  \
                                             .functions = &(of_functions),                         \
                                             __VA_ARGS__}

/* Whether two texts are equal: for the names below, without <string.h>. */
static inline bool assay_same_text(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        a++, b++;
    return *a == *b;
}

/* ---- clocks ----
 * Passed, never guessed: which pass this is. */
typedef enum assay_phase { ASSAY_TRAINING, ASSAY_EVALUATION } assay_phase;

typedef struct assay_clock {
    assay_phase phase;
    int64_t step;  /* training: optimizer steps finished before this pass, 0 .. total-1;
                            evaluation: optimizer steps finished, 0 .. total */
    int64_t total; /* train.steps */
    int64_t micro; /* the same two counts in micro-batches (train.accumulate a step) */
    int64_t total_micro;
} assay_clock;

/* ---- state ----
 * What a plugin must remember over a restart, beyond its parameters (which the host keeps): named
 * tensors. save hands each to `put`, which copies; load asks for each by name and gets it as
 * stored, borrowed for the call. Names are the plugin's own; the host sets them apart. */
typedef struct assay_state_writer {
    void *user;
    bool (*put)(void *user, const char *name, const assay_tensor *tensor, assay_error *error);
} assay_state_writer;

typedef struct assay_state_reader {
    void *user;
    const assay_stored *(*get)(void *user, const char *name, assay_error *error);
} assay_state_reader;

/* ---- what the host offers ---- */
struct assay_network;

typedef struct assay_host {
    uint32_t size;
    void *user; /* first argument of everything below */
    /* Records `value` in the series `name` ("mask/weight_mean") at the step under way; several
     * values of one step are averaged. NULL outside training. */
    void (*series)(void *user, const char *name, double value);
    /* A path for a file that can be made again (a vocabulary, an index): `name` in the cache
     * folder, which exists then. The plugin publishes it by assay_publish, so that two processes
     * do not meet half a file, and puts what the file depends on into the name. */
    bool (*cache_path)(void *user, const char *name, char *out, int64_t size, assay_error *error);
    /* Whether the process was asked to end: long work returns with code ASSAY_STOPPED then. */
    bool (*stopping)(void *user);
    /* The frozen model of another stage or of published weights, built beside the run's own (a
     * distillation's teacher). Borrowed: lives as long as the run. */
    const struct assay_network *(*network)(void *user, const assay_weights_source *source,
                                           assay_error *error);
    /* Has a reading done when the step under way has been asked for, so that nobody waits for the
     * device in the middle of it; its `read` may call `series`. NULL outside training. */
    void (*later)(void *user, const assay_reading *reading);
} assay_host;

/* The same, and at once where the host has no such service. */
static inline void assay_read_later(const assay_host *host, const assay_reading *reading)
{
    if (host->later)
        host->later(host->user, reading);
    else
        assay_read_now(reading);
}

#endif
