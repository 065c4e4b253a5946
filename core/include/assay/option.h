/* assay/option.h - what a plugin can be told: its table of options.
 *
 * A plugin declares one struct of plain fields and one table that describes them. The host checks a
 * script's values against the table where they stand in the script, fills the struct, and hands it
 * to the plugin; there is no look-up by name and no key that nobody reads. The same table is what
 * `assay plugins KIND.NAME` prints, what the store records as defaults, and what identifies a run.
 *
 *     typedef struct settings { int64_t prefix; double weight; int scope; } settings;
 *     static const assay_option options[] = {
 *         ASSAY_INTEGER(settings, prefix, "tokens", 0, 0, 1 << 20, "tokens that see each other"),
 *         ASSAY_NUMBER(settings, weight, "", 1.0, 0.0, 1.0, "weight of the other future keys"),
 *         ASSAY_CHOICE(settings, scope, "user", "user|all", "towers that the mask applies to"),
 *     };
 *
 * Every option is part of a run's identity, except a path: what a path names is identified by its
 * content (a dataset's fingerprint, a weights file's hash), so data may lie anywhere. */
#ifndef ASSAY_OPTION_H
#define ASSAY_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum assay_option_type {
    ASSAY_OPTION_BOOL,    /* bool */
    ASSAY_OPTION_INTEGER, /* int64_t; a script's 8.5 is refused, 8.0 is 8 */
    ASSAY_OPTION_NUMBER,  /* double, finite */
    ASSAY_OPTION_TEXT,    /* const char *, UTF-8 */
    ASSAY_OPTION_CHOICE,  /* int: the place in `choices`, from 0 */
    /* const char *: beside the script or, failing that, in the current folder; it exists. NULL when
     * left out */
    ASSAY_OPTION_PATH,
    ASSAY_OPTION_WEIGHTS,  /* assay_weights_source: a stage, or a path of published weights */
    ASSAY_OPTION_SCHEDULE, /* assay_curve: a number, or a Lua function of (step, total) */
    ASSAY_OPTION_TEXTS,    /* assay_texts: a list of texts */
    ASSAY_OPTION_NUMBERS,  /* assay_numbers: a list of numbers */
} assay_option_type;

/* The values behind the compound types. Borrowed: they live as long as the struct they stand in,
 * which lives from the plugin's open to its close. */
typedef struct assay_texts {
    int64_t count;
    const char *const *items;
} assay_texts;

typedef struct assay_numbers {
    int64_t count;
    const double *items;
} assay_numbers;

/* One value per optimizer step, rounded to fp32 when the plan was made; count 1 is a constant. The
 * plan needs train.steps for a function, so its values are as many as the run has steps (at least
 * one). */
typedef struct assay_curve {
    int64_t count;
    const float *values;
} assay_curve;

/* The curve's value for a pass at `step` (0 .. total-1); steps beyond take the last value. */
static inline float assay_curve_at(assay_curve curve, int64_t step)
{
    if (step < 0)
        step = 0;
    return curve.values[step < curve.count ? step : curve.count - 1];
}

/* Where weights come from; all NULL when the option was left out. */
typedef struct assay_weights_source {
    const char *path;  /* a safetensors file that exists when the run starts */
    const void *stage; /* the stage whose model these are, for assay_host.network; NULL: a path */
} assay_weights_source;

enum {
    ASSAY_OPTION_REQUIRED = 1,   /* there is no default */
    ASSAY_OPTION_ABOVE_LOW = 2,  /* `low` itself is out of range */
    ASSAY_OPTION_BELOW_HIGH = 4, /* `high` itself is out of range */
};

typedef struct assay_option {
    const char *name; /* the field's name: lower-case letters, digits, underscores */
    assay_option_type type;
    uint32_t flags;
    int64_t offset;      /* of the field in the plugin's struct */
    const char *unit;    /* "steps", "tokens", "fraction"; "" for none */
    const char *meaning; /* one line, for people */
    double number;       /* default of a bool, an integer, a number or a schedule */
    const char *text;    /* default of a text, a choice, or a list ("a,b"; NULL or "": empty) */
    double low, high;    /* range of integers, numbers and schedules, and of a list's numbers */
    const char *choices; /* of a choice, and of the items of a list of texts: "a|b|c"; or NULL */
} assay_option;

#define ASSAY_OPTION_AT(struct_type, field, option_type)                                           \
    .name = #field, .type = (option_type), .offset = (int64_t)offsetof(struct_type, field)

#define ASSAY_BOOL(struct_type, field, standard, what)                                             \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_BOOL), .unit = "", .meaning = (what),     \
                                                                .number = (standard)               \
    }
#define ASSAY_INTEGER(struct_type, field, of_unit, standard, from, to, what)                       \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_INTEGER),                                 \
            .unit = (of_unit), .meaning = (what), .number = (standard), .low = (from),             \
            .high = (to)                                                                           \
    }
#define ASSAY_NUMBER(struct_type, field, of_unit, standard, from, to, what)                        \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_NUMBER),                                  \
            .unit = (of_unit), .meaning = (what), .number = (standard), .low = (from),             \
            .high = (to)                                                                           \
    }
/* A number above `from`: a temperature, a scale. */
#define ASSAY_POSITIVE(struct_type, field, of_unit, standard, to, what)                            \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_NUMBER),                                  \
            .flags = ASSAY_OPTION_ABOVE_LOW, .unit = (of_unit), .meaning = (what),                 \
            .number = (standard), .low = 0, .high = (to)                                           \
    }
#define ASSAY_TEXT(struct_type, field, standard, what)                                             \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_TEXT), .unit = "", .meaning = (what),     \
                                                                .text = (standard)                 \
    }
#define ASSAY_CHOICE(struct_type, field, standard, words, what)                                    \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_CHOICE),                                  \
            .unit = "", .meaning = (what), .text = (standard), .choices = (words)                  \
    }
#define ASSAY_PATH(struct_type, field, of_flags, what)                                             \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_PATH), .flags = (of_flags), .unit = "",   \
                                                                .meaning = (what)                  \
    }
#define ASSAY_WEIGHTS(struct_type, field, of_flags, what)                                          \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_WEIGHTS), .flags = (of_flags),            \
                                                                   .unit = "", .meaning = (what)   \
    }
#define ASSAY_SCHEDULE(struct_type, field, of_unit, standard, from, to, what)                      \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_SCHEDULE),                                \
            .unit = (of_unit), .meaning = (what), .number = (standard), .low = (from),             \
            .high = (to)                                                                           \
    }
#define ASSAY_TEXTS(struct_type, field, standard, words, what)                                     \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_TEXTS),                                   \
            .unit = "", .meaning = (what), .text = (standard), .choices = (words)                  \
    }
#define ASSAY_NUMBERS(struct_type, field, of_unit, standard, from, to, what)                       \
    {                                                                                              \
        ASSAY_OPTION_AT(struct_type, field, ASSAY_OPTION_NUMBERS),                                 \
            .unit = (of_unit), .meaning = (what), .text = (standard), .low = (from), .high = (to)  \
    }

#endif
