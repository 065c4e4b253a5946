/* sets.c - see sets.h. */
#include "sets.h"

#include <string.h>

/* ---- how many samples a user gives ---- */

double sets_future_from(const sample_sets *sets, int64_t user)
{
    return sets->index->rows[user].last - sets->rules.window;
}

/* Samples of one maker. A next-period pair needs an event on both sides of its cut-off; the side
 * after it has the last one. Without events a comparison is with NaN, and false. Labels become
 * pairs where models are trained and nowhere else: no label of another split reaches one. */
static int64_t made(const sample_sets *sets, int64_t user, pair_maker maker)
{
    const index_row *row = &sets->index->rows[user];
    switch (maker) {
    case PAIRS_GIVEN:
        return row->pairs;
    case PAIRS_LABELS:
        return row->split == sets->index->home ? row->labels : 0;
    case PAIRS_FUTURE:
        return sets_future_from(sets, user) >= row->first;
    case PAIRS_UQA:
        return row->first <= row->last ? sets->rules.uqa_pairs : 0;
    }
    return 0;
}

static int8_t label_of(const sample_sets *sets, int64_t user, int task)
{
    const set_description *description = sets->index->description;
    return sets->index->labels[user * description->label_count + description->words[task].label];
}

/* The task whose samples the set has, or -1. What models are pre-trained on stays pairs. */
static int task_of(const sample_sets *sets, assay_data_split split, int benchmark)
{
    if (benchmark != ASSAY_NO_BENCHMARK)
        return benchmark;
    return split == ASSAY_PRETRAIN ? -1 : sets->rules.task;
}

static int64_t samples_of(const sample_sets *sets, int64_t user, int benchmark)
{
    int task = task_of(sets, (assay_data_split)sets->index->rows[user].split, benchmark);
    int64_t count = 0;
    if (task >= 0)
        return label_of(sets, user, task) >= 0;
    for (int m = 0; m < sets->rules.maker_count; m++)
        count += made(sets, user, sets->rules.makers[m]);
    return count;
}

/* ---- counting ---- */

static sample_set *set_at(const sample_sets *sets, assay_data_split split, int benchmark)
{
    int per_split = sets->set_count / ASSAY_SPLITS;
    return &sets->sets[(int)split * per_split + 1 + benchmark];
}

const sample_set *sets_get(const sample_sets *sets, assay_data_split split, int benchmark)
{
    return set_at(sets, split, benchmark);
}

static bool make_tables(sample_sets *out, assay_error *error)
{
    int64_t users = out->index->counts.users;
    out->block = (users + SETS_BLOCKS - 1) / SETS_BLOCKS;
    out->blocks = (users + out->block - 1) / out->block;
    out->set_count = ASSAY_SPLITS * (1 + out->index->description->task_count);
    out->sets = assay_zalloc(out->set_count * (int64_t)sizeof *out->sets, error);
    if (out->sets == NULL)
        return false;
    for (int i = 0; i < out->set_count; i++) {
        out->sets[i].before = assay_alloc(out->blocks * (int64_t)sizeof(int64_t), error);
        if (out->sets[i].before == NULL)
            return false;
    }
    return true;
}

bool sets_make(sample_sets *out, const users_index *index, const set_rules *rules,
               assay_error *error)
{
    *out = (sample_sets){.index = index, .rules = *rules};
    if (!make_tables(out, error))
        return false;
    int tasks = index->description->task_count;
    int64_t seen[ASSAY_SPLITS] = {0};
    for (int64_t user = 0; user < index->counts.users; user++) {
        if (user % out->block == 0)
            for (int i = 0; i < out->set_count; i++)
                out->sets[i].before[user / out->block] = out->sets[i].count;
        assay_data_split split = (assay_data_split)index->rows[user].split;
        if (rules->limit > 0 && seen[split]++ >= rules->limit)
            continue;
        for (int b = ASSAY_NO_BENCHMARK; b < tasks; b++) {
            sample_set *set = set_at(out, split, b);
            set->count += samples_of(out, user, b);
            set->end = user + 1;
        }
    }
    return true;
}

void sets_clear(sample_sets *sets)
{
    for (int i = 0; sets->sets != NULL && i < sets->set_count; i++)
        assay_free(sets->sets[i].before);
    assay_free(sets->sets);
    memset(sets, 0, sizeof *sets);
}

/* ---- finding ---- */

/* The last block before which at most `number` samples stand. */
static int64_t block_of(const sample_sets *sets, const sample_set *set, int64_t number)
{
    int64_t low = 0, high = sets->blocks - 1;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (set->before[middle] <= number)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

sample_source sets_find(const sample_sets *sets, assay_data_split split, int benchmark,
                        int64_t number)
{
    const sample_set *set = set_at(sets, split, benchmark);
    int64_t block = block_of(sets, set, number);
    sample_source found = {.user = block * sets->block, .task = task_of(sets, split, benchmark)};
    number -= set->before[block];
    for (;; found.user++) {
        if (sets->index->rows[found.user].split != split)
            continue;
        int64_t here = samples_of(sets, found.user, benchmark);
        if (number < here)
            break;
        number -= here;
    }
    for (int m = 0; found.task < 0 && m < sets->rules.maker_count; m++) {
        int64_t here = made(sets, found.user, sets->rules.makers[m]);
        found.maker = sets->rules.makers[m];
        found.item = number;
        if (number < here)
            break;
        number -= here;
    }
    return found;
}

void sets_labels(const sample_sets *sets, assay_data_split split, int benchmark, int64_t first,
                 int64_t n, int32_t *out)
{
    const sample_set *set = set_at(sets, split, benchmark);
    int64_t block = block_of(sets, set, first), number = set->before[block];
    for (int64_t user = block * sets->block; user < set->end && number < first + n; user++) {
        int8_t label = label_of(sets, user, task_of(sets, split, benchmark));
        if (sets->index->rows[user].split != split || label < 0)
            continue;
        if (number++ >= first)
            *out++ = label;
    }
}
