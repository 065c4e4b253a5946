/* lab/script/plan.h - a script read to its end: the list of runs that it asks for.
 *
 * Design section 4 is the language. The same script gives the same plan, hashes included, every
 * time and on every machine. */
#ifndef LAB_SCRIPT_PLAN_H
#define LAB_SCRIPT_PLAN_H

#include "lab/plugin/recipe.h"

typedef struct plan_override {
    const char *path, *value; /* --set path=value; value is a Lua literal */
} plan_override;

typedef struct plan_request {
    const char *script; /* path of the .lua file */
    const plugin_registry *registry;
    int override_count;
    const plan_override *overrides;
    const char *device;        /* "cpu": part of run_hash */
    int64_t memory_limit;      /* bytes for Lua; 0: 256 MiB */
    int64_t instruction_limit; /* of Lua, over the whole script; 0: 500 million */
    /* Fingerprint of a dataset's content; opens it. Called once per different dataset. */
    bool (*fingerprint)(void *user, const settings *dataset, char out[65], assay_error *error);
    void *user;
} plan_request;

typedef struct plan_axis {
    char *name, *value; /* "mask", "ggsm{warmup=0.2}" */
    bool is_number;
    double number;
} plan_axis;

typedef struct plan_input {
    char *
        /* where it stands: "init", "loss.attention_distill.teacher", "mask.weight" (a score) */
        name;
    int run; /* index in the plan, always smaller than this run's own */
    bool is_score;
    bool
        /* its stage has a seed of its own, which equals this run's by chance if it does */
        own_seed;
} plan_input;

typedef struct plan_param { /* one row of the store's param */
    char *key;  /* "mask", "mask.warmup", "loss.contrastive.margin", "train.lr", "seed" */
    char *text; /* NULL: `number` */
    double number;
    setting_origin origin;
} plan_param;

typedef struct plan_run {
    recipe recipe;
    char run_hash[65], cell_hash[65];
    char *stage;       /* "main", or the stage's name */
    char *label;       /* the axes' values joined: "mask=ggsm model.size=tiny"; "-" without axes */
    char dataset[128]; /* "users:FINGERPRINT" for the store */
    int axis_count, input_count, param_count;
    plan_axis *axes;
    plan_input *inputs;
    plan_param *params;
} plan_run;

typedef struct plan_source { /* a text that the plan was made from */
    char *name;              /* as `require` named it, or the script's file name */
    char *text;
    bool is_script;
} plan_source;

typedef struct plan {
    char *name; /* of the experiment */
    int run_count;
    plan_run *runs; /* stages before what they feed; then in order of axes and seeds */
    int source_count;
    plan_source *sources;
} plan;

/* Reads the script, in a sandbox, to a plan. Nothing is written anywhere. Errors are of what the
 * script says: file and line, what, expected, got, nearest name. The caller owns the result. */
plan *plan_new(const plan_request *request, assay_error *error);
void plan_free(plan *of); /* accepts NULL */

#endif
