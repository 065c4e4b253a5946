/* balance.c - classes take turns: position p is of class p mod K, whose samples come one after
 * another, in an order that is drawn anew whenever the class came round. Position alone decides, so
 * nothing has to be replayed when a run goes on. */
#include "lab/train/balance.h"

#include <assay/random.h>

typedef struct turn { /* one class that has samples */
    int32_t label;
    int64_t count;
    int64_t *members; /* (count) samples, in order */
    int64_t *order;   /* (count) of `epoch` */
    int64_t epoch;    /* -1: none yet */
} turn;

struct balance {
    uint64_t seed;
    bool shuffle;
    int64_t turn_count;
    turn *turns;
    int64_t *room; /* behind members and order */
};

static bool fail(const assay_data *data, const char *what, const char *got, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "train.balance", .what = what,
                      .expected = "class labels of the training samples",
                      .got = assay_text("dataset.%s: %s", data->name, got),
                      .hint = "the dataset's option `task` trains on a task's labels");
}

static bool has_labels(const assay_data *data, assay_error *error)
{
    return data->functions->labels ||
           fail(data, "there are no classes to balance", "no labels", error);
}

static bool too_few(const assay_data *data, int64_t classes, assay_error *error)
{
    return fail(data, "there are no classes to balance",
                classes == 1 ? "one class only" : "no sample has a label", error);
}

bool balance_check(const assay_data *data, assay_data_split split, assay_error *error)
{
    assay_label_mix seen;
    if (!has_labels(data, error) ||
        !assay_labels_mix(data, split, ASSAY_NO_BENCHMARK, &seen, error))
        return false;
    return seen.others > 0 || too_few(data, seen.count > 0, error);
}

/* The labels of the set; NULL with the error set. Owned by the caller. */
static int32_t *labels_of(const assay_data *data, assay_data_split split, int64_t n,
                          assay_error *error)
{
    int64_t bytes = 0;
    if (!has_labels(data, error))
        return NULL;
    if (!assay_size_mul(&bytes, n, (int64_t)sizeof(int32_t))) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "train.balance", .what = "set too large");
        return NULL;
    }
    int32_t *label = assay_alloc(bytes, error);
    if (label &&
        !data->functions->labels(data->dataset, split, ASSAY_NO_BENCHMARK, 0, n, label, error)) {
        assay_free(label);
        return NULL;
    }
    return label;
}

/* The greatest label + 1. */
static int64_t label_range(const int32_t *label, int64_t n)
{
    int64_t range = 0;
    for (int64_t i = 0; i < n; i++)
        range = label[i] >= range ? label[i] + 1 : range;
    return range;
}

/* Sorts samples by class, each class in the set's order; turns are the classes that have some. */
static bool deal(balance *b, const int32_t *label, int64_t n, assay_error *error)
{
    int64_t range = label_range(label, n), used = 0;
    int64_t *count = assay_zalloc((range + 1) * (int64_t)sizeof *count, error);
    b->turns = assay_zalloc((range + 1) * (int64_t)sizeof *b->turns, error);
    b->room = assay_alloc(2 * (n + 1) * (int64_t)sizeof *b->room, error);
    bool ok = count && b->turns && b->room;
    for (int64_t i = 0; ok && i < n; i++)
        if (label[i] >= 0)
            count[label[i]]++;
    for (int64_t c = 0; ok && c < range; c++) {
        if (count[c] == 0)
            continue;
        b->turns[b->turn_count] = (turn){.label = (int32_t)c,
                                         .members = b->room + used,
                                         .order = b->room + n + used,
                                         .epoch = -1};
        used += count[c];
        count[c] = b->turn_count++;
    }
    for (int64_t i = 0; ok && i < n; i++) {
        turn *t = label[i] >= 0 ? &b->turns[count[label[i]]] : NULL;
        if (t)
            t->members[t->count++] = i;
    }
    assay_free(count);
    return ok;
}

balance *balance_new(const assay_data *data, assay_data_split split, uint64_t seed, bool shuffle,
                     assay_error *error)
{
    int64_t n = data->functions->count(data->dataset, split, ASSAY_NO_BENCHMARK);
    int32_t *label = labels_of(data, split, n, error);
    balance *b = label ? assay_zalloc((int64_t)sizeof *b, error) : NULL;
    bool ok = b && deal(b, label, n, error);
    assay_free(label);
    if (ok && b->turn_count < 2)
        ok = too_few(data, b->turn_count, error);
    if (!ok) {
        balance_free(b);
        return NULL;
    }
    b->seed = seed;
    b->shuffle = shuffle;
    return b;
}

void balance_free(balance *b)
{
    if (!b)
        return;
    assay_free(b->turns);
    assay_free(b->room);
    assay_free(b);
}

int64_t balance_at(balance *b, int64_t position, int64_t *epoch)
{
    turn *t = &b->turns[position % b->turn_count];
    int64_t place = position / b->turn_count;
    *epoch = place / t->count;
    if (!b->shuffle)
        return t->members[place % t->count];
    if (t->epoch != *epoch) {
        const char *name = assay_text("data/order/class.%d", (int)t->label);
        assay_stream stream = assay_stream_of(b->seed, name, (uint64_t)*epoch);
        assay_random_permutation(stream, t->count, t->order);
        t->epoch = *epoch;
    }
    return t->members[t->order[place % t->count]];
}
