/* lora.c - adapter `lora`: low-rank branches beside the linear layers of a frozen stack, as PEFT
 * builds them (user-modelling spec 1.2, 1.3): y = W x + b + scale B A dropout(x).
 *
 * A starts Kaiming-uniform (a = sqrt 5) and B at zero, so a fresh adapter changes nothing. What is
 * frozen are the stacks that it acts in; the model's own heads and encoders go on learning. */
#include <assay/adapter.h>
#include <assay/blocks.h>
#include <assay/ops.h>

#include <stdlib.h>
#include <string.h>

enum { FREEZE_STACKS, FREEZE_ALL, FREEZE_NOTHING };

typedef struct settings {
    int64_t rank;
    double alpha, dropout;
    bool rslora;
    assay_texts targets, within, train;
    int freeze;
    assay_weights_source weights;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, rank, "", 8, 1, 65536, "rows of A: the rank of what is added"),
    ASSAY_NUMBER(settings, alpha, "", 16, 0, 1e6, "the branch is scaled by alpha / rank"),
    ASSAY_NUMBER(settings, dropout, "", 0.05, 0, 0.999, "of the branch's input, in training"),
    ASSAY_BOOL(settings, rslora, false, "scale by alpha / sqrt(rank) instead"),
    ASSAY_TEXTS(settings, targets, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", NULL,
                "layers that get a branch: names, or ends of names after a dot (output.dense)"),
    ASSAY_TEXTS(settings, within, "", NULL,
                "parameters' prefixes that it keeps to (encoder.bill.); none: every stack"),
    ASSAY_CHOICE(settings, freeze, "stacks", "stacks|all|nothing",
                 "the stacks that it acts in, or the whole model, or nothing is frozen"),
    ASSAY_TEXTS(settings, train, "", NULL, "prefixes of parameters that go on learning"),
    ASSAY_WEIGHTS(settings, weights, 0,
                  "an adapter to start from: a folder as PEFT saves it, of this rank and alpha"),
};

/* A matrix with a branch. */
typedef struct branch {
    char *place;         /* as the stack names it, owned */
    char *module;        /* its parameters' name but for .lora_A.weight and .lora_B.weight, owned */
    assay_tensor *a, *b; /* (rank, I), (O, rank): parameters, borrowed */
} branch;

typedef struct lora {
    int64_t count;
    branch *branches; /* sorted by place */
    float scale, dropout;
} lora;

/* ---- which matrices ---- */

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool begins_with_any(const char *text, const assay_texts *prefixes)
{
    for (int64_t i = 0; i < prefixes->count; i++)
        if (begins_with(text, prefixes->items[i]))
            return true;
    return false;
}

/* Length of MODULE in "MODULE.weight"; 0 for another name. */
static size_t module_length(const char *name)
{
    static const char ending[] = ".weight";
    size_t length = strlen(name), tail = sizeof ending - 1;
    return length > tail && strcmp(name + length - tail, ending) == 0 ? length - tail : 0;
}

/* PEFT's rule: the target is the module's name or its end behind a dot. */
static bool is_target(const char *name, size_t length, const char *target)
{
    size_t end = strlen(target);
    return end <= length && memcmp(name + length - end, target, end) == 0 &&
           (end == length || name[length - end - 1] == '.');
}

/* The place of a stack's matrix, which is in a layer; NULL for embeddings, heads and stacks without
 * places. */
static const char *place_of(const assay_stack *stack, const char *name)
{
    static const char *const layers[] = {[ASSAY_STACK_DECODER] = "model.layers.",
                                         [ASSAY_STACK_BERT] = "encoder.layer.",
                                         [ASSAY_STACK_VIT] = "blocks."};
    const char *own = name + strlen(stack->prefix);
    if (!begins_with(own, layers[stack->kind]))
        return NULL;
    /* A decoder's places are the same in every model; the others' carry their prefix. */
    return stack->kind == ASSAY_STACK_DECODER ? own + strlen("model.") : name;
}

/* The target that takes this matrix; -1: none does. */
static int64_t target_of(const settings *s, const assay_stack *stack,
                         const assay_parameter *parameter)
{
    size_t length = module_length(parameter->name);
    if (length == 0 || parameter->value->rank != 2 || !place_of(stack, parameter->name) ||
        (s->within.count > 0 && !begins_with_any(parameter->name, &s->within)))
        return -1;
    for (int64_t i = 0; i < s->targets.count; i++)
        if (is_target(parameter->name, length, s->targets.items[i]))
            return i;
    return -1;
}

/* ---- opening ---- */

static void lora_close(void *opened)
{
    lora *l = opened;
    if (!l)
        return;
    for (int64_t i = 0; i < l->count; i++) {
        assay_free(l->branches[i].place);
        assay_free(l->branches[i].module);
    }
    assay_free(l->branches);
    assay_free(l);
}

static bool add_branch(lora *l, const settings *s, const assay_adapter_setup *setup,
                       const assay_stack *stack, const assay_parameter *parameter,
                       assay_error *error)
{
    branch *to = &l->branches[l->count++];
    int length = (int)module_length(parameter->name);
    const char *place = place_of(stack, parameter->name);
    int64_t outputs = parameter->value->shape[0], inputs = parameter->value->shape[1];
    to->place =
        assay_strdup(assay_text("%.*s", length - (int)(place - parameter->name), place), error);
    to->module = assay_strdup(assay_text("%s%.*s", setup->prefix, length, parameter->name), error);
    if (!to->place || !to->module)
        return false;
    to->a = assay_params_add(setup->params, assay_text("%s.lora_A.weight", to->module), 2,
                             (int64_t[]){s->rank, inputs},
                             (assay_init){ASSAY_INIT_KAIMING_UNIFORM, 2.2360679775f, 0}, error);
    to->b = assay_params_add(setup->params, assay_text("%s.lora_B.weight", to->module), 2,
                             (int64_t[]){outputs, s->rank}, (assay_init){.kind = ASSAY_INIT_ZEROS},
                             error);
    return to->a && to->b;
}

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const branch *)a)->place, ((const branch *)b)->place);
}

/* A branch beside every matrix that a target takes; *unused is the first target that takes none. */
static bool add_branches(lora *l, const settings *s, const assay_adapter_setup *setup,
                         int64_t *unused, assay_error *error)
{
    assay_params *params = setup->params;
    int64_t count = assay_params_count(params), bytes = 0;
    bool ok = false;
    bool *used = assay_zalloc(s->targets.count + 1, error);
    if (!used || !assay_size_mul(&bytes, count, (int64_t)sizeof *l->branches))
        goto done;
    l->branches = assay_zalloc(bytes, error);
    if (!l->branches)
        goto done;
    for (int64_t k = 0; k < assay_stacks(params); k++) {
        const assay_stack *stack = assay_stack_at(params, k);
        for (int64_t i = stack->first; i < stack->first + stack->count; i++) {
            const assay_parameter *parameter = assay_params_at(params, i);
            int64_t target = target_of(s, stack, parameter);
            if (target < 0)
                continue;
            used[target] = true;
            if (!add_branch(l, s, setup, stack, parameter, error))
                goto done;
        }
    }
    for (*unused = 0; *unused < s->targets.count && used[*unused];)
        ++*unused;
    qsort(l->branches, (size_t)l->count, sizeof *l->branches, compare_places);
    ok = true;
done:
    assay_free(used);
    return ok;
}

/* The name among the layers' last parts that was probably meant; NULL: none. */
static const char *nearest_target(const assay_params *params, const char *target)
{
    static _Thread_local char last[ASSAY_NAME_LIMIT + 1];
    const char *nearest = NULL;
    for (int64_t k = 0; k < assay_stacks(params); k++) {
        const assay_stack *stack = assay_stack_at(params, k);
        for (int64_t i = stack->first; i < stack->first + stack->count; i++) {
            const char *name = assay_params_at(params, i)->name;
            size_t length = module_length(name), part = length;
            if (length == 0 || !place_of(stack, name))
                continue;
            while (part > 0 && name[part - 1] != '.')
                part--;
            const char *word = assay_text("%.*s", (int)(length - part), name + part);
            const char *both[] = {word, nearest};
            const char *better = assay_nearest(target, nearest ? 2 : 1, both);
            if (better == word) {
                memcpy(last, word, strlen(word) + 1);
                nearest = last;
            }
        }
    }
    return nearest;
}

static bool check_targets(const settings *s, const assay_params *params, int64_t unused,
                          assay_error *error)
{
    if (s->targets.count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adapter.lora: targets",
                          .what = "no layer is named", .expected = "at least one name");
    if (unused == s->targets.count)
        return true;
    const char *target = s->targets.items[unused];
    const char *nearest = nearest_target(params, target);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adapter.lora: targets",
                      .what = assay_text("no layer of the model is called '%s'", target),
                      .expected = "the last part of a linear layer's name, or its end behind a dot",
                      .hint = nearest && strcmp(nearest, target) != 0
                                  ? assay_text("did you mean '%s'?", nearest)
                              : s->within.count > 0 ? "'within' may keep the layer out"
                                                    : NULL);
}

/* ---- freezing ---- */

static bool acts_in(const lora *l, const settings *s, const assay_params *params,
                    const assay_stack *stack)
{
    for (int64_t i = stack->first; l->count > 0 && i < stack->first + stack->count; i++)
        if (target_of(s, stack, assay_params_at(params, i)) >= 0)
            return true;
    return false;
}

static bool freeze_stack(assay_params *params, const assay_stack *stack, assay_error *error)
{
    for (int64_t i = stack->first; i < stack->first + stack->count; i++)
        if (assay_params_train(params, assay_params_at(params, i)->name, false, error) < 0)
            return false;
    return true;
}

static bool freeze(const lora *l, const settings *s, const assay_adapter_setup *setup,
                   assay_error *error)
{
    assay_params *params = setup->params;
    for (int64_t i = 0; s->freeze == FREEZE_ALL && i < assay_params_count(params); i++) {
        const char *name = assay_params_at(params, i)->name;
        if (!begins_with(name, "adapter.") && assay_params_train(params, name, false, error) < 0)
            return false;
    }
    for (int64_t k = 0; s->freeze == FREEZE_STACKS && k < assay_stacks(params); k++) {
        const assay_stack *stack = assay_stack_at(params, k);
        if (acts_in(l, s, params, stack) && !freeze_stack(params, stack, error))
            return false;
    }
    for (int64_t i = 0; i < s->train.count; i++) {
        int64_t found = assay_params_train(params, s->train.items[i], true, error);
        if (found < 0)
            return false;
        if (found == 0)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adapter.lora: train",
                              .what = "no parameter's name begins so",
                              .got = assay_text("'%s'", s->train.items[i]));
    }
    return true;
}

/* A stage that is only counted has no weights yet. */
static bool start(const settings *s, const assay_adapter_setup *setup, const assay_lora *note,
                  assay_error *error)
{
    if (!s->weights.path || (setup->counting && s->weights.stage))
        return true;
    return assay_lora_load(setup->params, note, s->weights.path, error);
}

static void *lora_open(const void *chosen, const assay_adapter_setup *setup, assay_error *error)
{
    const settings *s = chosen;
    assay_lora note = {.prefix = setup->prefix,
                       .rank = s->rank,
                       .alpha = s->alpha,
                       .dropout = s->dropout,
                       .rank_stable = s->rslora};
    int64_t unused = 0;
    lora *l = assay_zalloc((int64_t)sizeof *l, error);
    if (!l)
        return NULL;
    l->scale = (float)assay_lora_scale(&note);
    l->dropout = (float)s->dropout;
    if (add_branches(l, s, setup, &unused, error) &&
        check_targets(s, setup->params, unused, error) &&
        assay_lora_note(setup->params, &note, error) && freeze(l, s, setup, error) &&
        start(s, setup, &note, error))
        return l;
    lora_close(l);
    return NULL;
}

/* ---- acting ---- */

static const branch *find_branch(const lora *l, const char *place)
{
    branch key = {.place = (char *)(uintptr_t)place};
    return bsearch(&key, l->branches, (size_t)l->count, sizeof *l->branches, compare_places);
}

static bool lora_attaches(void *opened, const char *place)
{
    return find_branch(opened, place) != NULL;
}

/* Two thin products; the scale is applied where the branch is thinnest. Each tower drops its
 * own. */
static assay_tensor *lora_apply(void *opened, assay_tape *tape, const char *place,
                                assay_tensor *input, assay_tensor *output)
{
    const lora *l = opened;
    const branch *at = find_branch(l, place);
    if (!at)
        return output;
    assay_tensor *x = input;
    if (l->dropout > 0)
        x = assay_dropout(tape, x, l->dropout,
                          assay_text("%s/%s", assay_tape_scope_get(tape), at->module));
    x = assay_linear(tape, x, at->a, NULL, ASSAY_IDENTITY);
    x = assay_linear(tape, assay_scale(tape, x, l->scale), at->b, NULL, ASSAY_IDENTITY);
    return assay_add(tape, output, x);
}

static const assay_adapter_functions functions = {
    .size = sizeof functions,
    .open = lora_open,
    .close = lora_close,
    .attaches = lora_attaches,
    .apply = lora_apply,
};

ASSAY_PLUGIN(ASSAY_KIND_ADAPTER, "lora", 1,
             "low-rank branches beside the linear layers of a frozen stack", settings, options,
             functions);
