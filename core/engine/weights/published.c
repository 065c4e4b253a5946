/* published.c - how others name the parameters of a vision transformer (infrared spec 2.14): timm's
 * names, which are ours, behind prefixes that wrappers of training have left in the files. */
#include <assay/weights.h>

#include <stdio.h>
#include <string.h>

/* The longest name that is put together here. */
#define LONGEST 512

/* What stands before timm's names in the file: before its patch embedding. False: it has none. */
static bool base_of(const assay_weights *weights, char base[LONGEST])
{
    static const char known[] = "patch_embed.proj.weight";
    bool found = false;
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        const char *name = assay_weights_at(weights, i)->name;
        size_t length = strlen(name), tail = sizeof known - 1;
        if (length < tail || length - tail >= LONGEST || strcmp(name + length - tail, known) != 0 ||
            (length > tail && name[length - tail - 1] != '.'))
            continue;
        if (found && !strstr(name, "teacher"))
            continue;
        snprintf(base, LONGEST, "%.*s", (int)(length - tail), name);
        found = true;
        if (strstr(name, "teacher"))
            break;
    }
    return found;
}

static const assay_stored *find_behind(const assay_weights *weights, const char *base,
                                       const char *name)
{
    char full[2 * LONGEST];
    snprintf(full, sizeof full, "%s%s", base, name);
    return assay_weights_find(weights, full);
}

/* "blocks.3.gamma_1" as DeiT III calls it, into out; false for another name. */
static bool other_gamma(const char *name, char out[LONGEST])
{
    size_t length = strlen(name);
    bool first = length > 8 && strcmp(name + length - 8, ".gamma_1") == 0;
    bool second = length > 8 && strcmp(name + length - 8, ".gamma_2") == 0;
    snprintf(out, LONGEST, "%.*s.ls%d.gamma", (int)(length > 8 ? length - 8 : 0), name,
             first ? 1 : 2);
    return first || second;
}

static bool is_encoder(const assay_stack *stack)
{
    return stack->kind == ASSAY_STACK_VIT && !stack->config.vit.blocks_only;
}

/* The parameter's name in its ViT; NULL when it is none's. */
static const char *own_name(const assay_params *params, const char *name)
{
    for (int64_t k = 0; k < assay_stacks(params); k++) {
        const assay_stack *stack = assay_stack_at(params, k);
        for (int64_t i = stack->first; is_encoder(stack) && i < stack->first + stack->count; i++)
            if (strcmp(assay_params_at(params, i)->name, name) == 0)
                return name + strlen(stack->prefix);
    }
    return NULL;
}

/* Whether a ViT of the set calls a parameter of its own so, behind its prefix. */
static bool is_taken(const assay_params *params, const char *name)
{
    for (int64_t k = 0; k < assay_stacks(params); k++) {
        const assay_stack *stack = assay_stack_at(params, k);
        for (int64_t i = stack->first; is_encoder(stack) && i < stack->first + stack->count; i++)
            if (strcmp(assay_params_at(params, i)->name + strlen(stack->prefix), name) == 0)
                return true;
    }
    return false;
}

const assay_stored *assay_find_published(const assay_params *params, const assay_weights *weights,
                                         const char *name)
{
    char base[LONGEST], other[LONGEST];
    const char *own = own_name(params, name);
    if (strlen(name) >= LONGEST || !base_of(weights, base))
        return NULL;
    /* what stands beside the ViT in one module: mmsegmentation's "backbone.fpn1.0.weight" */
    if (!own)
        return is_taken(params, name) ? NULL : find_behind(weights, base, name);
    const assay_stored *stored = find_behind(weights, base, own);
    return !stored && other_gamma(own, other) ? find_behind(weights, base, other) : stored;
}

bool assay_check_published(const assay_params *params, const assay_weights *weights,
                           assay_error *error)
{
    char base[LONGEST];
    if (!base_of(weights, base))
        return true;
    bool scaled = find_behind(weights, base, "blocks.0.gamma_1") ||
                  find_behind(weights, base, "blocks.0.ls1.gamma");
    for (int64_t k = 0; k < assay_stacks(params); k++) {
        const assay_stack *stack = assay_stack_at(params, k);
        if (is_encoder(stack) && scaled && !stack->config.vit.layer_scale)
            return ASSAY_FAIL(
                error, ASSAY_BAD_FILE, .where = assay_weights_path(weights),
                .what = "the branches of the file's blocks are scaled, the model's are not",
                .hint = "layer_scale = true gives the model its gammas");
    }
    return true;
}
