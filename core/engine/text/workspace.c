/* workspace.c - what one call of an open tokenizer needs, lent by the tokenizer and given back. */
#include "engine/text/workspace.h"

#include <assay/memory.h>

#include <string.h>

static workspace *workspace_new(const assay_tokenizer *of, assay_error *error)
{
    workspace *space = assay_zalloc(sizeof *space, error);
    if (space == NULL)
        return NULL;
    space->piece_count = of->splitter.count;
    space->match = pattern_match_new(error);
    space->pieces = assay_zalloc(space->piece_count * (int64_t)sizeof *space->pieces, error);
    space->cache = assay_zalloc((int64_t)sizeof *space->cache << CACHE_BITS, error);
    if (space->match == NULL || space->pieces == NULL || space->cache == NULL) {
        workspace_free(space);
        return NULL;
    }
    return space;
}

void workspace_free(workspace *space)
{
    if (space == NULL)
        return;
    pattern_match_free(space->match);
    text_buffer_free(&space->normalized[0]);
    text_buffer_free(&space->normalized[1]);
    for (int i = 0; space->pieces != NULL && i < space->piece_count; i++)
        text_buffer_free(&space->pieces[i]);
    assay_free(space->pieces);
    assay_free(space->bpe.block);
    assay_free(space->cache);
    assay_free(space);
}

/* The list of idle workspaces is the only part of an open tokenizer that changes. */
workspace *workspace_take(const assay_tokenizer *of, assay_error *error)
{
    assay_tokenizer *lender = (assay_tokenizer *)of;
    pthread_mutex_lock(&lender->lock);
    workspace *space = lender->idle;
    if (space != NULL)
        lender->idle = space->next;
    pthread_mutex_unlock(&lender->lock);
    return space != NULL ? space : workspace_new(of, error);
}

void workspace_give(const assay_tokenizer *of, workspace *space)
{
    assay_tokenizer *lender = (assay_tokenizer *)of;
    pthread_mutex_lock(&lender->lock);
    space->next = lender->idle;
    lender->idle = space;
    pthread_mutex_unlock(&lender->lock);
}

cached_word *workspace_slot(workspace *space, const char *word, int64_t bytes)
{
    uint64_t hash = (uint64_t)bytes;
    for (int64_t at = 0; at < bytes; at += 8) {
        uint64_t eight = 0;
        memcpy(&eight, word + at, (size_t)(bytes - at < 8 ? bytes - at : 8));
        hash = (hash ^ eight) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    return &space->cache[hash & ((1u << CACHE_BITS) - 1)];
}
