/* lab/script/script.h - a script being read: its sandbox, and what its words come to.
 *
 * A script's constructors make nodes, in C, owned by the script's arena; Lua holds them as opaque
 * values. A tree of nodes is what the experiment says, axes included; choosing an alternative for
 * every axis gives a run (choose.c), and a run's nodes give its recipe (resolve.c). */
#ifndef LAB_SCRIPT_SCRIPT_H
#define LAB_SCRIPT_SCRIPT_H

#include "lab/script/plan.h"

#include <lua.h>

#define PATH_LIMIT 512 /* bytes of a path such as "pretrain.loss.contrastive#2.temperature" */
#define WORD_TYPE  "script word" /* of the userdata that holds a node */

typedef enum node_type {
    NODE_NONE,   /* the word `none`: absence */
    NODE_BOOL,   /* number is 0 or 1 */
    NODE_NUMBER, /* a Lua integer or float */
    NODE_TEXT,
    NODE_LIST,     /* items */
    NODE_FUNCTION, /* a Lua function, by reference */
    NODE_TABLE,    /* items by keys: train */
    NODE_PLUGIN,   /* KIND.NAME { ... }: items by keys are the options given */
    NODE_ANY,      /* items are alternatives; choice says which (fields of a zip share one) */
    NODE_SAMPLE,   /* drawn, one value per trial */
    NODE_SEEDS,    /* seeds(n): items are numbers */
    NODE_STAGE,    /* run { ... }: items by keys; the experiment itself is one, too */
    NODE_SCORE     /* stage:score(path, split): items[0] is the stage */
} node_type;

typedef enum distribution { DRAW_UNIFORM, DRAW_LOG_UNIFORM, DRAW_CHOICE } distribution;

/* One decision among alternatives: an `any`, or a whole zip. */
typedef struct choice {
    int count;        /* of alternatives */
    int chosen;       /* while runs are made; -1: not yet */
    const char *name; /* of the first of its nodes, by which decisions are ordered */
} choice;

/* What a function gives over `count` steps. */
typedef struct curve {
    int64_t count;
    double *values;
    struct curve *next;
} curve;

typedef struct node {
    node_type type;
    const char *where; /* "sweep.lua:12" */
    double number;
    const char *text;     /* a text; a stage's name; a score's path */
    int reference;        /* of a function */
    const void *identity; /* of a function: equal for equal ones */
    int order;            /* of a stage: when the script made it */
    int count;
    struct node **items;
    const char **keys;
    const plugin *plugin;
    assay_kind kind; /* of the plugin */
    choice *choice;
    const char *axis;   /* name of an ANY's or SAMPLE's axis, once all are known */
    bool axis_in_stage; /* the name is that of a place in a stage */
    const char **texts; /* of an ANY's alternatives, once they were asked for */
    distribution draw;
    double low, high;
    const char *split; /* of a score: "valid"; of a stage: "main" when it is the experiment */
    /* The node as an option's value, checked once. */
    const assay_option *option;
    setting *checked;
    curve *curves; /* that a function gave */
    /* The last run of a stage: its place in the plan, its seed, and in which pass that was. */
    int run;
    int64_t run_seed, run_pass;
} node;

/* A list that stands for a key left out; see choose_defaults. */
typedef struct suggestion {
    const plugin *model;
    assay_kind kind;
    const node *stage;
    node *list;
    struct suggestion *next;
} suggestion;

typedef struct override {
    const char *path;
    node *value;
    bool used;
} override;

typedef struct script {
    const plan_request *request;
    lua_State *lua;
    int64_t bytes, bytes_limit; /* of Lua's memory and the arena's */
    int64_t steps_left;         /* instructions */
    double began;               /* processor seconds */
    bool spent;                 /* a limit was reached: no pcall of the script may hide it */
    assay_arena *arena;
    char folder[4096];       /* of the script */
    char file[256];          /* its name, for places */
    const char *stands;      /* the place whose values are being checked; or NULL */
    const char *chunk_where; /* the place of all that is read: a value of --set; or NULL */
    char memory_where[256];  /* where memory was refused last */
    node *none;
    node *experiment; /* what the script returned */
    int stage_count;  /* made so far */
    int override_count;
    override *overrides;
    suggestion *suggestions;
    plan_source *sources; /* owned until the plan takes them */
    int source_count;
    node **checked; /* nodes whose settings have to be cleared */
    int checked_count, checked_capacity;
    assay_error error; /* of the failure under way through Lua */
} script;

/* ---- sandbox.c ---- */

/* A state with the environment of design section 4 and no more. */
bool sandbox_open(script *s, assay_error *error);
void sandbox_close(script *s);
/* Runs the text as a chunk of `file`; *out is the word of the language that it gives, or,
 * `literal`, any value; NULL when there is none. */
bool sandbox_run(script *s, const char *file, const char *text, int64_t bytes, bool literal,
                 node **out, assay_error *error);
/* The script needs more memory than it may have: s->error, which no pcall hides. */
bool sandbox_full(script *s);
/* lua_pcall with what notes the places of errors that have none. */
int sandbox_enter(lua_State *lua, int arguments, int results);
/* Calls the function under `arguments` values on the stack, with one result. */
bool sandbox_call(script *s, int arguments, assay_error *error);
/* The script behind a state. */
script *sandbox_script(lua_State *lua);
/* Counts work that a C function does for the script as so many instructions; raises when they are
 * spent. */
void sandbox_charge(lua_State *lua, double steps);
/* Raises an error once the script has taken too much processor time. */
void sandbox_check_time(lua_State *lua);
/* "sweep.lua:12" of the Lua code that called the C function; in the arena. */
const char *sandbox_where(script *s);
/* The line on which the Lua function at `index` is defined; NULL when that is not known. */
const char *sandbox_defined(script *s, int index);
/* Raises s->error as a Lua error; does not return. */
int sandbox_raise(script *s);
/* Records a failure in s->error and raises it. */
int sandbox_fail(script *s, assay_failure failure);
/* The environment's own functions (library.c), into the table on top of the stack. */
void library_fill(lua_State *lua);

/* ---- environment.c ---- */

/* Makes the environment; a C function of Lua without arguments and results. */
int sandbox_fill(lua_State *lua);
/* Runs a text of `file` in the environment, with one result on the stack. Raises. */
void sandbox_run_text(script *s, const char *file, const char *text, int64_t bytes);
/* Keeps a text that the plan was made from, and owns it; s->error when that fails. */
bool sandbox_keep(script *s, const char *name, char *text, bool is_script);

/* ---- nodes (nodes.c) ---- */

/* In the arena, zeroed; NULL with s->error set. */
void *script_alloc(script *s, int64_t bytes);
const char *script_text(script *s, const char *text);
node *node_new(script *s, node_type type, const char *where);
bool node_reserve(script *s, node *of, int count, bool with_keys);
/* The value at `index` as a node: words of the language as they are, plain values converted.
 * NULL with s->error for what can be no value. May raise Lua's own errors. */
node *node_of(script *s, int index, const char *where);
/* Pushes a node as a Lua value. */
void node_push(script *s, node *value);
/* The node at `index`, NULL when it is none. */
node *node_at(lua_State *lua, int index);
/* "a text", "a list", "loss.contrastive": for messages. Borrowed like assay_text. */
const char *node_describe(const node *value);
/* Whether two values differ, where an option left out is at its default. An axis, a stage and a
 * score equal themselves only. */
bool node_differs(const node *a, const node *b);
/* The item under a key; NULL without it. */
node *node_get(const node *of, const char *key);

/* ---- words.c: the language's words ---- */
void words_fill(script *s);
/* The one argument of a word, a table. May raise, as all of these. */
void words_take_table(script *s, const char *word, const char *where);
/* The table at `index` as a node with keys, sorted, for a plugin's options, train, a stage. nil is
 * never among them. */
node *words_table(script *s, int index, node_type type, const char *owner, const char *where);

/* ---- stages.c: run, experiment, and stage:score ---- */
int stages_run(lua_State *lua);
int stages_experiment(lua_State *lua);
/* What can be asked of a word: a stage's score. */
int stages_ask(lua_State *lua);

/* ---- check.c: values where they stand ---- */

/* The key `init` as an option. */
extern const assay_option init_option;

/* Checks a value, every alternative of it, against an option. */
bool check_value(script *s, const assay_option *option, node *value, const char *owner);
/* The value (a leaf) as a setting of the option, checked; kept in the node. NULL on failure. */
const setting *check_leaf(script *s, const assay_option *option, node *value, const char *owner);
/* The keys and values of experiment { } or run { }. */
bool check_stage(script *s, const node *stage, const char *owner);
/* Checks the value of one key of a stage. */
bool check_key(script *s, const char *key, node *value, const char *owner, const char *where);

/* ---- choose.c: axes ---- */

/* What stands at a place: the override of --set if there is one, else `written`, which may be NULL.
 * *overridden (or NULL) tells which. */
node *choose_written(script *s, const char *path, node *written, bool *overridden);
/* The alternative that is chosen, through axes inside alternatives; NULL when one is not chosen
 * yet. *from_axis (or NULL) becomes true when an axis was on the way. A sample is itself. */
node *choose_value(const node *value, bool *from_axis);
/* Names of all axes, and that every override has a place. */
bool choose_name_axes(script *s);
/* The first decision, by name, that a run of `stage` still needs; NULL when it needs none. */
choice *choose_next(script *s, node *stage);
/* Whether the tree holds a sample. */
bool choose_has_samples(script *s, node *stage);
/* The label of item `i` of a list when it is this plugin: "contrastive", "contrastive#2".
 * Repeats are counted over all alternatives of the items before, so that a label does not depend
 * on what is chosen there. */
void choose_label(const node *list, int i, const plugin *of, char *out, int64_t size);
/* What a model suggests for a key (loss, evaluate) that the script leaves out: a list of
 * plugins, as if it stood there. NULL on failure. */
node *choose_defaults(script *s, const node *stage, assay_kind kind, const plugin *model);
/* An axis of a stage with its chosen value, under the axis' name, for every axis that `stage` has;
 * `visit` false ends the walk. */
typedef bool (*axis_visitor)(script *s, void *user, node *axis);
bool choose_axes(script *s, node *stage, axis_visitor visit, void *user);
/* PATH, the separator, NAME; cut at PATH_LIMIT, which no path of names as they are allowed reaches.
 * `out` may be `path`. */
void choose_join(char out[PATH_LIMIT], const char *path, char separator, const char *name);
/* The path of a key of a stage: "train" or "STAGE.train". */
void choose_path(const node *stage, const char *key, char out[PATH_LIMIT]);

/* ---- resolve.c: a run of a stage, its axes chosen ---- */

typedef struct known_print { /* a dataset whose fingerprint is known */
    char *text;              /* its settings */
    char fingerprint[65];
} known_print;

/* Where a run of the plan stands among its stages. */
typedef struct standing {
    int height; /* how many stages lie below its own */
    int order;  /* of its stage, in the script; the experiment's is the last */
} standing;

typedef struct resolver {
    script *script;
    plan *plan;
    standing *standings; /* per run of the plan */
    int *slots;          /* the runs by their hashes: index + 1, 0 is free */
    int slot_count;      /* a power of two */
    int64_t pass;        /* counts runs of the experiment as they are asked for */
    int64_t trial;       /* 1, 2 ...; 0: without trials */
    int64_t *seeds;      /* of the experiment; of the script's arena */
    int seed_count;
    setting_origin seed_origin;
    known_print *prints;
    int print_count;
} resolver;

typedef struct run_seed {
    int64_t number;
    bool paired; /* it is one of the experiment's, which all its runs go through */
    bool own;    /* the stage says it, whatever its consumer's is */
    setting_origin origin;
} run_seed;

/* Keys of a stage that have a row of their own in param. */
enum { KEY_DATASET, KEY_MODEL, KEY_MASK, KEY_ADAPTER, KEY_LOSS, KEY_EVALUATE, KEY_INIT, KEYS };

/* A run in the making. */
typedef struct draft {
    node *stage;
    plan_run run;
    bool in_dataset; /* paths are identified by the fingerprint */
    setting_origin origins[KEYS];
    run_seed seed;
    int height;
    char fingerprint[65];
} draft;

/* The recipe of a draft's stage, its seed known; runs that feed it are in the plan then. */
bool resolve_recipe(resolver *r, draft *of);

/* ---- runs.c ---- */

/* The index in the plan of the run of `stage`, for a consumer (or, of the experiment, the run) with
 * this seed; -1 with s->error. */
int resolve_run(resolver *r, node *stage, const run_seed *seed);
/* The runs of the experiment, one per seed, as all is chosen now. */
bool resolve_experiment(resolver *r);
/* Room for one more item in a counted array; NULL on failure. */
void *resolve_grow(void *items, int count, int64_t size, assay_error *error);
/* Frees what a run owns; it is empty then. */
void plan_run_clear(plan_run *run);

/* ---- draw.c ---- */

/* The experiment's seeds into the resolver. */
bool resolve_seeds(resolver *r);
/* The seed of a stage's run: its consumer's, one of its own, or, with equal lists, the
 * consumer's. */
bool resolve_stage_seed(resolver *r, const node *stage, const run_seed *consumer, run_seed *out);
/* How often samples are drawn: trials, 0 without samples. */
bool resolve_trials(resolver *r, int64_t *trials);
/* A sample in this trial: a number, or the alternative that is picked. */
double resolve_sample(const resolver *r, const node *sample, node **picked);
/* The values of a function over the steps of a recipe, checked, as the value of an option. */
bool resolve_curve(resolver *r, const recipe *of, const assay_option *option, node *function,
                   const char *owner, setting *out);

/* ---- identity.c ---- */

/* Hashes and params of a run whose recipe and inputs are there. */
bool identity_fill(const resolver *r, draft *of, assay_error *error);
/* An axis with the value that is chosen. */
bool identity_axis(const resolver *r, node *axis, plan_axis *out, assay_error *error);

#endif
