/* stacks.c - what a parameter set remembers of how it was built: its stacks and low-rank
 * adapters. */
#include "engine/nn/params.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

/* A copy of `count` items of `size` bytes with room for one more; NULL when memory is short. */
static void *grown(const void *items, int64_t count, int64_t size, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, count + 1, size)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "parameters", .what = "too many notes");
        return NULL;
    }
    void *copy = assay_alloc(bytes, error);
    if (copy && count > 0)
        memcpy(copy, items, (size_t)(count * size));
    return copy;
}

static void free_text(const char *text)
{
    assay_free((char *)(uintptr_t)text);
}

void nn_notes_truncate(nn_notes *notes, int64_t count)
{
    while (notes->stack_count > 0) {
        const assay_stack *last = &notes->stacks[notes->stack_count - 1];
        if (count > 0 && last->first + last->count <= count)
            break;
        free_text(last->prefix);
        notes->stack_count--;
    }
    while (count == 0 && notes->lora_count > 0)
        free_text(notes->loras[--notes->lora_count].prefix);
    if (notes->stack_count == 0) {
        assay_free(notes->stacks);
        notes->stacks = NULL;
    }
    if (notes->lora_count == 0) {
        assay_free(notes->loras);
        notes->loras = NULL;
    }
}

/* ---- stacks ---- */

bool assay_stack_note(assay_params *params, const assay_stack *stack, assay_error *error)
{
    nn_notes *notes = nn_params_notes(params);
    char *prefix = assay_strdup(stack->prefix ? stack->prefix : "", error);
    assay_stack *stacks =
        prefix ? grown(notes->stacks, notes->stack_count, (int64_t)sizeof *stacks, error) : NULL;
    if (!stacks) {
        assay_free(prefix);
        return false;
    }
    stacks[notes->stack_count] = *stack;
    stacks[notes->stack_count++].prefix = prefix;
    assay_free(notes->stacks);
    notes->stacks = stacks;
    return true;
}

int64_t assay_stacks(const assay_params *params)
{
    return nn_params_notes_of(params)->stack_count;
}

const assay_stack *assay_stack_at(const assay_params *params, int64_t i)
{
    return &nn_params_notes_of(params)->stacks[i];
}

const assay_stack *assay_stack_find(const assay_params *params, assay_stack_kind kind,
                                    const char *prefix)
{
    const nn_notes *notes = nn_params_notes_of(params);
    for (int64_t i = 0; i < notes->stack_count; i++)
        if (notes->stacks[i].kind == kind &&
            strcmp(notes->stacks[i].prefix, prefix ? prefix : "") == 0)
            return &notes->stacks[i];
    return NULL;
}

/* ---- low-rank adapters ---- */

bool assay_lora_note(assay_params *params, const assay_lora *lora, assay_error *error)
{
    nn_notes *notes = nn_params_notes(params);
    char *prefix = assay_strdup(lora->prefix ? lora->prefix : "", error);
    assay_lora *loras =
        prefix ? grown(notes->loras, notes->lora_count, (int64_t)sizeof *loras, error) : NULL;
    if (!loras) {
        assay_free(prefix);
        return false;
    }
    loras[notes->lora_count] = *lora;
    loras[notes->lora_count++].prefix = prefix;
    assay_free(notes->loras);
    notes->loras = loras;
    return true;
}

int64_t assay_loras(const assay_params *params)
{
    return nn_params_notes_of(params)->lora_count;
}

const assay_lora *assay_lora_at(const assay_params *params, int64_t i)
{
    return &nn_params_notes_of(params)->loras[i];
}

double assay_lora_scale(const assay_lora *lora)
{
    double rank = (double)lora->rank;
    return lora->alpha / (lora->rank_stable ? sqrt(rank) : rank);
}
