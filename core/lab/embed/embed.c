/* embed.c - users times queries through a network, a batch of users at a time (embed.h). */
#include "lab/embed/embed.h"

#include <assay/attention.h>
#include <assay/memory.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WHERE     "embed"
#define MOST_ROWS 1024 /* of questions a pass, so that a pass stays in the caches */

static const char *const names[] = {"user.embedding"};
static const assay_wanted wanted = {1, names};

/* The work under way. */
typedef struct worker {
    const embed_request *request;
    vectors_writer *out;
    const char *path;
    vectors_format format;
    embed_report *report;
    int field_count, query, id; /* of the model's data; id of the data that is read, -1: none */
    int *from;              /* (field_count) the same field of the data that is read; -1: none */
    assay_arena *arena;     /* samples and histories of the batch */
    assay_arena *questions; /* of one pass */
    assay_sample *samples;  /* (batch) */
    assay_prefix **prefix;  /* (batch) */
    float *vectors;         /* (batch, queries, width), once the width is known */
} worker;

static double seconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int64_t embed_users(const embed_request *request)
{
    const assay_data *data = request->data;
    int64_t all = data->functions->count(data->dataset, request->split, request->benchmark);
    return request->limit > 0 && request->limit < all ? request->limit : all;
}

/* ---- samples ---- */

/* Where the model's fields are in the data that is read; a field of another form is no field. */
static bool match_fields(worker *w, assay_error *error)
{
    int theirs = 0, found = 0;
    const assay_data *model = w->request->model_data, *data = w->request->data;
    const assay_field *ours = model->functions->fields(model->dataset, &w->field_count);
    const assay_field *others = data->functions->fields(data->dataset, &theirs);
    w->query = assay_data_field(model, "query");
    w->id = assay_data_field(data, "id");
    w->from = assay_alloc((w->field_count + 1) * (int64_t)sizeof *w->from, error);
    if (!w->from)
        return false;
    for (int i = 0; i < w->field_count; i++) {
        int k = assay_data_field(data, ours[i].name);
        bool same = k >= 0 && others[k].dtype == ours[i].dtype && others[k].rank == ours[i].rank &&
                    memcmp(others[k].shape, ours[i].shape, sizeof ours[i].shape) == 0;
        w->from[i] = same ? k : -1;
        found += same;
    }
    if (w->query >= 0 && found > 0)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = data->name,
                      .what = w->query < 0 ? "the data the model was trained on has no field "
                                             "'query'"
                                           : "no field is one that the model reads");
}

/* A copy of the values with the query in its place; NULL: none is asked. */
static assay_sample ask(const worker *w, const assay_sample *sample, const char *query,
                        assay_arena *arena, assay_error *error)
{
    assay_sample asked = *sample;
    assay_field_value *values =
        assay_arena_alloc(arena, w->field_count * (int64_t)sizeof *values, error);
    asked.values = values;
    if (!values)
        return asked;
    for (int i = 0; i < w->field_count; i++) {
        values[i] = (assay_field_value){.data = "", .present = false};
        if (w->from[i] >= 0)
            values[i] = sample->values[w->from[i]];
    }
    values[w->query] = (assay_field_value){.data = "", .present = false};
    if (query)
        values[w->query] =
            (assay_field_value){.data = query, .shape = {(int64_t)strlen(query)}, .present = true};
    return asked;
}

static bool draw(worker *w, int64_t first, int64_t count, assay_error *error)
{
    const embed_request *r = w->request;
    const assay_draw as_it_is = {.seed = r->seed};
    assay_arena_reset(w->arena);
    for (int64_t i = 0; i < count; i++)
        if (!r->data->functions->sample(r->data->dataset, r->split, r->benchmark, first + i,
                                        &as_it_is, w->arena, &w->samples[i], error))
            return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = r->data->name,
                              .what = "the dataset failed and said no reason");
    return true;
}

/* ---- passes ---- */

static void begin_pass(const worker *w)
{
    assay_tape_begin(w->request->tape, (assay_step){.seed = w->request->seed, .no_gradient = true});
}

static bool collate(const worker *w, const assay_sample *samples, int64_t count, assay_part_of part,
                    assay_arena *arena, assay_batch *out, assay_error *error)
{
    const assay_network *network = w->request->network;
    const assay_collation in = {.samples = samples,
                                .count = count,
                                .phase = ASSAY_EVALUATION,
                                .wanted = &wanted,
                                .arena = arena,
                                .part = part};
    *out = (assay_batch){.samples = count, .sample = samples};
    return network->collate(network->user, &in, out, error) ||
           ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                      .what = "the model failed to collate and said no reason");
}

static bool prefill(worker *w, int64_t count, assay_error *error)
{
    assay_batch batch;
    const assay_network *network = w->request->network;
    assay_sample *histories =
        assay_arena_alloc(w->arena, count * (int64_t)sizeof *histories, error);
    if (!histories)
        return false;
    for (int64_t u = 0; u < count; u++) {
        histories[u] = ask(w, &w->samples[u], NULL, w->arena, error);
        if (!histories[u].values)
            return false;
    }
    begin_pass(w);
    return collate(w, histories, count, ASSAY_HISTORY, w->arena, &batch, error) &&
           (network->prefill(network->user, w->request->tape, &batch, w->prefix) ||
            assay_tape_failed(w->request->tape, error));
}

/* The width is known with the first vectors: room for a batch of them, and the file. */
static bool meet_width(worker *w, int64_t width, assay_error *error)
{
    const embed_request *r = w->request;
    int64_t bytes = 0;
    if (w->vectors)
        return width == w->report->width;
    w->report->width = width;
    if (!assay_size_mul(&bytes, r->batch * r->queries->count, 4 * width))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = WHERE, .what = "a batch is too large");
    w->vectors = assay_alloc(bytes, error);
    if (w->vectors && w->path)
        w->out = vectors_open(w->path, w->format, embed_users(r), r->queries, width, error);
    return w->vectors && (w->out || !w->path);
}

static void normalize(float *x, int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        double square = 0;
        for (int64_t i = 0; i < width; i++)
            square += (double)x[r * width + i] * x[r * width + i];
        const double factor = square > 0 ? 1 / sqrt(square) : 0;
        for (int64_t i = 0; i < width; i++)
            x[r * width + i] = (float)(x[r * width + i] * factor);
    }
}

/* Rows first .. first + count - 1 of the batch's users times queries, user after user. */
static bool run_rows(worker *w, int64_t first, int64_t count, assay_error *error)
{
    const embed_request *r = w->request;
    const assay_network *network = r->network;
    const int64_t queries = r->queries->count;
    assay_batch batch;
    assay_outputs outputs = {0};
    assay_arena_reset(w->questions);
    assay_sample *rows = assay_arena_alloc(w->questions, count * (int64_t)sizeof *rows, error);
    const assay_prefix **prefix =
        assay_arena_alloc(w->questions, count * (int64_t)sizeof *prefix, error);
    if (!rows || !prefix)
        return false;
    for (int64_t i = 0; i < count; i++) {
        const int64_t user = (first + i) / queries;
        rows[i] = ask(w, &w->samples[user], r->queries->texts[(first + i) % queries], w->questions,
                      error);
        prefix[i] = w->prefix[user];
        if (!rows[i].values)
            return false;
    }
    begin_pass(w);
    bool cached = w->report->cached;
    if (!collate(w, rows, count, cached ? ASSAY_QUESTION : ASSAY_WHOLE, w->questions, &batch,
                 error))
        return false;
    if (cached ? !network->resume(network->user, r->tape, &batch, prefix, &wanted, &outputs)
               : !network->run(network->user, r->tape, &batch, &wanted, &outputs))
        return assay_tape_failed(r->tape, error);
    const assay_tensor *x = assay_outputs_get(&outputs, names[0]);
    const int64_t width = x->shape[1];
    if (!meet_width(w, width, error))
        return false;
    memcpy(w->vectors + first * width, assay_f32(x), (size_t)(count * width) * sizeof(float));
    return true;
}

/* Whole sequences are long: few of them a pass. */
static int64_t rows_of_a_pass(const worker *w)
{
    const int64_t queries = w->request->queries->count;
    if (!w->report->cached)
        return w->request->batch;
    return MOST_ROWS / queries > 0 ? MOST_ROWS / queries * queries : queries;
}

static bool run_batch(worker *w, int64_t first, int64_t count, assay_error *error)
{
    const embed_request *r = w->request;
    const int64_t queries = r->queries->count, all = count * queries, step = rows_of_a_pass(w);
    bool ok = draw(w, first, count, error) && (!w->report->cached || prefill(w, count, error));
    for (int64_t row = 0; row < all && ok; row += step)
        ok = run_rows(w, row, all - row < step ? all - row : step, error);
    const int64_t width = w->report->width;
    if (ok && r->normalize)
        normalize(w->vectors, all, width);
    for (int64_t u = 0; u < count && ok && w->out; u++) {
        char number[32];
        const assay_field_value *id = w->id >= 0 ? &w->samples[u].values[w->id] : NULL;
        snprintf(number, sizeof number, "%lld", (long long)(first + u));
        ok =
            vectors_put(w->out, id ? id->data : number, id ? id->shape[0] : (int64_t)strlen(number),
                        w->vectors + u * queries * width, error);
    }
    for (int64_t u = 0; u < count; u++) {
        assay_prefix_free(w->prefix[u]);
        w->prefix[u] = NULL;
    }
    return ok;
}

static bool run_all(worker *w, assay_error *error)
{
    const embed_request *r = w->request;
    const int64_t all = embed_users(r);
    for (int64_t first = 0; first < all; first += r->batch) {
        if (r->stop && *r->stop)
            return ASSAY_FAIL(error, ASSAY_STOPPED, .where = WHERE, .what = "asked to end");
        const int64_t count = all - first < r->batch ? all - first : r->batch;
        if (!run_batch(w, first, count, error))
            return false;
        w->report->users += count;
        w->report->vectors += count * r->queries->count;
        if (r->progress)
            r->progress(r->user, w->report->users, all);
    }
    return true;
}

static bool check(const embed_request *r, assay_error *error)
{
    if (r->queries->count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE, .what = "nothing is asked",
                          .hint = "--query TEXT, --queries FILE, or data with benchmarks");
    if (embed_users(r) == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = r->data->name,
                          .what =
                              assay_text("its %s split has no users", assay_split_name(r->split)),
                          .hint = "--split names another");
    return true;
}

/* Whether the network can keep prefixes, found by the first user: a mask that cannot is no failure,
 * whole sequences run then. */
static bool try_cache(worker *w, assay_error *error)
{
    assay_error first = {0};
    if (w->request->without_cache || !w->request->network->facts->prefix)
        return true;
    if (!draw(w, 0, 1, error))
        return false;
    w->report->cached = prefill(w, 1, &first);
    assay_prefix_free(w->prefix[0]);
    w->prefix[0] = NULL;
    if (!w->report->cached && first.code != ASSAY_UNSUPPORTED && error && error->code == ASSAY_OK) {
        *error = first;
        return false;
    }
    return true;
}

bool embed_run(const embed_request *request, const char *path, vectors_format format,
               embed_report *report, assay_error *error)
{
    worker w = {.request = request, .path = path, .format = format, .report = report};
    *report = (embed_report){0};
    if (!check(request, error))
        return false;
    const int64_t batch = request->batch;
    w.arena = assay_arena_new(0, error);
    w.questions = assay_arena_new(0, error);
    w.samples = assay_zalloc(batch * (int64_t)sizeof *w.samples, error);
    w.prefix = assay_zalloc(batch * (int64_t)sizeof *w.prefix, error);
    bool ok = w.arena && w.questions && w.samples && w.prefix && match_fields(&w, error) &&
              try_cache(&w, error);
    const double begun = seconds();
    ok = ok && run_all(&w, error);
    if (ok && w.out) {
        ok = vectors_commit(w.out, error);
        w.out = NULL;
    }
    report->seconds = seconds() - begun;
    vectors_abandon(w.out);
    assay_free(w.vectors);
    assay_free(w.from);
    assay_free(w.prefix);
    assay_free(w.samples);
    assay_arena_free(w.questions);
    assay_arena_free(w.arena);
    return ok;
}
