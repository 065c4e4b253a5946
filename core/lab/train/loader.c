/* loader.c - a thread that draws samples and collates them, a few items ahead.
 *
 * Slots form a ring: the thread fills slot i mod SLOTS with item i and waits while it holds one
 * that has not been given back. Each slot has an arena of its own that is reset, so that after the
 * largest item nothing more is allocated. */
#include "lab/train/loader.h"

#include "lab/train/balance.h"
#include "lab/train/datasets.h"

#include <assay/memory.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

#define SLOTS 3
/* The order of more samples than these is worked out one by one and takes no memory; of fewer it is
 * a table, as it has always been, so that recorded runs can be made again. */
#define LISTED (INT64_C(1) << 20)

typedef struct slot {
    assay_arena *arena;
    loader_item item;
    assay_error error; /* of making it */
} slot;

struct loader {
    loader_plan plan;
    int64_t samples, items; /* in the set; to be made */
    int64_t epoch;          /* that `of_epoch` and `order` are of; -1: none yet */
    assay_stream of_epoch;
    int64_t *order; /* NULL: not shuffled, or too many */
    balance *turns; /* NULL: samples as they come */
    slot slots[SLOTS];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled, freed;
    int64_t made, taken, returned; /* items, counted under the lock */
    bool has_lock, has_thread, ending;
};

double train_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- making one item ---- */

static int64_t sample_at(loader *l, int64_t position, int64_t *epoch)
{
    if (l->turns)
        return balance_at(l->turns, position, epoch);
    *epoch = position / l->samples;
    if (!l->plan.shuffle)
        return position % l->samples;
    if (*epoch != l->epoch) {
        l->of_epoch = assay_stream_of(l->plan.seed, "data/order", (uint64_t)*epoch);
        if (l->order)
            assay_random_permutation(l->of_epoch, l->samples, l->order);
        l->epoch = *epoch;
    }
    int64_t place = position % l->samples;
    return l->order ? l->order[place] : assay_random_permuted(l->of_epoch, l->samples, place);
}

static bool draw_samples(loader *l, slot *s, int64_t first, int64_t count, assay_error *error)
{
    const assay_data *data = l->plan.assembly->data;
    assay_batch *whole = &s->item.whole;
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, count, (int64_t)sizeof(assay_sample)))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "loader", .what = "batch too large");
    assay_sample *samples = assay_arena_alloc(s->arena, bytes, error);
    assay_tensor *labels = assay_tensor_in(s->arena, ASSAY_I32, 1, &count, error);
    if (!samples || !labels)
        return false;
    for (int64_t i = 0; i < count; i++) {
        assay_draw draw = {.seed = l->plan.seed, .augment = l->plan.augment};
        int64_t index = sample_at(l, first + i, &draw.epoch);
        if (!data->functions->sample(data->dataset, l->plan.split, l->plan.benchmark, index, &draw,
                                     s->arena, &samples[i], error))
            return ASSAY_FAIL(error, ASSAY_UNSUPPORTED,
                              .where =
                                  assay_text("%s, %s sample %lld", data->name,
                                             assay_split_name(l->plan.split), (long long)index),
                              .what = "the dataset failed and said no reason");
        assay_i32(labels)[i] = samples[i].label;
    }
    *whole = (assay_batch){.samples = count, .sample = samples, .labels = labels};
    return true;
}

/* Labels of part of the batch: the same numbers under another shape. */
static const assay_tensor *labels_of(slot *s, int64_t first, int64_t count, assay_error *error)
{
    assay_tensor *labels = assay_tensor_in(s->arena, ASSAY_I32, 1, &count, error);
    if (labels)
        memcpy(labels->data, assay_i32(s->item.whole.labels) + first,
               (size_t)count * sizeof(int32_t));
    return labels;
}

static bool collate_piece(loader *l, slot *s, int64_t first, int64_t count, assay_batch *out,
                          assay_error *error)
{
    assembly *a = l->plan.assembly;
    assay_collation in = {.samples = s->item.whole.sample + first,
                          .count = count,
                          .phase = l->plan.phase,
                          .wanted = l->plan.wanted,
                          .arena = s->arena,
                          .part = l->plan.part};
    *out = (assay_batch){
        .samples = count,
        .sample = in.samples,
        .labels = labels_of(s, first, count, error),
        .part = in.part,
    };
    if (!out->labels)
        return false;
    if (a->model.plugin->model.collate(a->model.state, &in, out, error))
        return true;
    return ASSAY_FAIL(error, ASSAY_UNSUPPORTED,
                      .where = assay_text("model.%s", a->model.plugin->name),
                      .what = "collate failed and said no reason");
}

static bool make_item(loader *l, slot *s, int64_t number, assay_error *error)
{
    int64_t first = l->plan.first + number * l->plan.size;
    int64_t count = l->plan.end - first < l->plan.size ? l->plan.end - first : l->plan.size;
    int64_t pieces = l->plan.pieces < count ? l->plan.pieces : count, done = 0;
    assay_arena_reset(s->arena);
    s->item = (loader_item){.piece_count = pieces, .arena = s->arena};
    if (!draw_samples(l, s, first, count, error))
        return false;
    s->item.pieces = assay_arena_alloc(s->arena, pieces * (int64_t)sizeof(assay_batch), error);
    if (!s->item.pieces)
        return false;
    for (int64_t i = 0; i < pieces; i++) {
        int64_t part = (count - done) / (pieces - i);
        if (!collate_piece(l, s, done, part, &s->item.pieces[i], error))
            return false;
        s->item.whole.tokens += s->item.pieces[i].tokens;
        done += part;
    }
    if (pieces == 1)
        s->item.whole = s->item.pieces[0];
    return true;
}

/* ---- the thread ---- */

static void *work(void *user)
{
    loader *l = user;
    for (int64_t number = 0; number < l->items; number++) {
        slot *s = &l->slots[number % SLOTS];
        pthread_mutex_lock(&l->lock);
        while (number - l->returned >= SLOTS && !l->ending)
            pthread_cond_wait(&l->freed, &l->lock);
        bool ending = l->ending;
        pthread_mutex_unlock(&l->lock);
        if (ending)
            break;
        assay_error_clear(&s->error);
        bool ok = make_item(l, s, number, &s->error);
        pthread_mutex_lock(&l->lock);
        l->made = number + 1;
        pthread_cond_signal(&l->filled);
        pthread_mutex_unlock(&l->lock);
        if (!ok)
            break;
    }
    return NULL;
}

const loader_item *loader_next(loader *l, double *waited, assay_error *error)
{
    double begun = train_seconds();
    const loader_item *item = NULL;
    pthread_mutex_lock(&l->lock);
    if (l->returned < l->taken) {
        l->returned = l->taken;
        pthread_cond_signal(&l->freed);
    }
    if (l->taken < l->items) {
        while (l->made <= l->taken)
            pthread_cond_wait(&l->filled, &l->lock);
        slot *s = &l->slots[l->taken % SLOTS];
        if (s->error.code == ASSAY_OK) {
            item = &s->item;
            l->taken++;
        } else if (error && error->code == ASSAY_OK) {
            *error = s->error;
        }
    }
    pthread_mutex_unlock(&l->lock);
    if (waited)
        *waited = train_seconds() - begun;
    return item;
}

/* ---- life ---- */

static bool start(loader *l, assay_error *error)
{
    int64_t bytes = 0;
    for (int i = 0; i < SLOTS; i++) {
        l->slots[i].arena = assay_arena_new(0, error);
        if (!l->slots[i].arena)
            return false;
    }
    if (l->plan.balance) {
        l->turns = balance_new(l->plan.assembly->data, l->plan.split, l->plan.seed, l->plan.shuffle,
                               error);
        if (!l->turns)
            return false;
    } else if (l->plan.shuffle && l->samples <= LISTED) {
        if (!assay_size_mul(&bytes, l->samples, (int64_t)sizeof *l->order))
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "loader", .what = "set too large");
        l->order = assay_alloc(bytes, error);
        if (!l->order)
            return false;
    }
    if (pthread_mutex_init(&l->lock, NULL) != 0)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "loader", .what = "no lock to be had");
    pthread_cond_init(&l->filled, NULL);
    pthread_cond_init(&l->freed, NULL);
    l->has_lock = true;
    if (pthread_create(&l->thread, NULL, work, l) != 0)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "loader", .what = "no thread to be had",
                          .hint = "ulimit -u");
    l->has_thread = true;
    return true;
}

loader *loader_new(const loader_plan *plan, assay_error *error)
{
    loader *l = assay_zalloc((int64_t)sizeof *l, error);
    if (!l)
        return NULL;
    l->plan = *plan;
    l->epoch = -1;
    l->samples = data_count(plan->assembly->data, plan->split, plan->benchmark);
    l->items = (plan->end - plan->first + plan->size - 1) / plan->size;
    if (l->samples < 1) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                   .where = assay_text("dataset %s", plan->assembly->data->name),
                   .what = assay_text("the %s split is empty", assay_split_name(plan->split)));
        loader_free(l);
        return NULL;
    }
    if (!start(l, error)) {
        loader_free(l);
        return NULL;
    }
    return l;
}

void loader_free(loader *l)
{
    if (!l)
        return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->lock);
        l->ending = true;
        pthread_cond_signal(&l->freed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    if (l->has_lock) {
        pthread_mutex_destroy(&l->lock);
        pthread_cond_destroy(&l->filled);
        pthread_cond_destroy(&l->freed);
    }
    for (int i = 0; i < SLOTS; i++)
        assay_arena_free(l->slots[i].arena);
    balance_free(l->turns);
    assay_free(l->order);
    assay_free(l);
}
