/* user.c - what a user's events hold, and a user as bytes (user.h).
 *
 * The bytes: a head of counts, then blocks, each aligned to 8: features, labels, pairs, for each
 * source its times; then for each source its ends, aligned to 4; then texts: the id, the pairs',
 * each source's. Numbers stand as in memory; the index's footer says for which byte order. */
#include "user.h"

#include <math.h>
#include <string.h>

int64_t user_events_before(const user_events *events, double until)
{
    int64_t low = 0, high = events->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (events->times[middle] < until)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

double user_horizon(const user_history *user)
{
    double horizon = INFINITY;
    for (int64_t i = 0; i < user->label_count; i++)
        horizon = fmin(horizon, user->labels[i].until);
    return horizon;
}

/* ---- bytes ---- */

typedef struct packed_head {
    uint32_t id_bytes, split, labels, pairs;
    uint32_t pair_text_bytes, sources;
    /* then for each source: events, bytes of text */
} packed_head;

typedef struct packed_source {
    uint32_t events, bytes;
} packed_source;

static uint32_t text_bytes(const user_events *events)
{
    return events->count > 0 ? events->ends[events->count - 1] : 0;
}

/* One walk serves packing (to != NULL), and measuring (to == NULL). */
static void put(uint8_t *to, int64_t *at, const void *data, int64_t bytes)
{
    if (to != NULL && bytes > 0)
        memcpy(to + *at, data, (size_t)bytes);
    *at += bytes;
}

static int64_t pack_into(uint8_t *to, const user_history *user, const set_description *description)
{
    int64_t at = 0;
    packed_head head = {.id_bytes = (uint32_t)user->id_bytes,
                        .split = (uint32_t)user->split,
                        .labels = (uint32_t)user->label_count,
                        .pairs = (uint32_t)user->pair_count,
                        .pair_text_bytes = (uint32_t)user->pair_text_bytes,
                        .sources = (uint32_t)description->source_count};
    put(to, &at, &head, sizeof head);
    for (int s = 0; s < description->source_count; s++) {
        packed_source source = {(uint32_t)user->sources[s].count, text_bytes(&user->sources[s])};
        put(to, &at, &source, sizeof source);
    }
    put(to, &at, user->features, description->feature_count * (int64_t)sizeof(double));
    put(to, &at, user->labels, user->label_count * (int64_t)sizeof *user->labels);
    put(to, &at, user->pairs, user->pair_count * (int64_t)sizeof *user->pairs);
    for (int s = 0; s < description->source_count; s++)
        put(to, &at, user->sources[s].times, user->sources[s].count * (int64_t)sizeof(double));
    for (int s = 0; s < description->source_count; s++)
        put(to, &at, user->sources[s].ends, user->sources[s].count * (int64_t)sizeof(uint32_t));
    put(to, &at, user->id, user->id_bytes);
    put(to, &at, user->pair_text, user->pair_text_bytes);
    for (int s = 0; s < description->source_count; s++)
        put(to, &at, user->sources[s].text, text_bytes(&user->sources[s]));
    return at;
}

bool user_pack(const user_history *user, const set_description *description, assay_arena *arena,
               const uint8_t **out, int64_t *bytes, assay_error *error)
{
    *bytes = pack_into(NULL, user, description);
    uint8_t *data = assay_arena_alloc(arena, *bytes, error);
    *out = data;
    if (data == NULL)
        return false;
    pack_into(data, user, description);
    return true;
}

/* The next `count` pieces of `size` bytes; NULL when there are not so many. */
static const void *take(const uint8_t *data, int64_t bytes, int64_t *at, int64_t count,
                        int64_t size)
{
    int64_t wanted = count * size;
    if (*at < 0 || wanted > bytes - *at) {
        *at = -1;
        return NULL;
    }
    const void *piece = data + *at;
    *at += wanted;
    return piece;
}

/* Whether every text ends within its source's, and none before it begins. */
static bool ends_fit(const user_events *events, uint32_t bytes)
{
    uint32_t before = 0;
    for (int64_t i = 0; i < events->count; i++) {
        if (events->ends[i] < before)
            return false;
        before = events->ends[i];
    }
    return before == bytes;
}

static bool pairs_fit(const user_history *user)
{
    for (int64_t i = 0; i < user->pair_count; i++) {
        const user_pair *pair = &user->pairs[i];
        if ((int64_t)pair->query_at + pair->query_bytes > user->pair_text_bytes ||
            (int64_t)pair->answer_at + pair->answer_bytes > user->pair_text_bytes)
            return false;
    }
    return true;
}

static bool labels_fit(const user_history *user, int label_count)
{
    for (int64_t i = 0; i < user->label_count; i++)
        if (user->labels[i].label < 0 || user->labels[i].label >= label_count)
            return false;
    return true;
}

static bool misfit(const char *where, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where, .what = "a user's record is damaged",
                      .hint = "remove the index; it is made again");
}

bool user_unpack(user_history *out, const set_description *description, const uint8_t *data,
                 int64_t bytes, const char *where, assay_arena *arena, assay_error *error)
{
    int64_t at = 0;
    int source_count = description->source_count;
    *out = (user_history){0};
    user_events *sources = assay_arena_alloc(arena, source_count * (int64_t)sizeof *sources, error);
    if (sources == NULL)
        return false;
    const packed_head *head = take(data, bytes, &at, 1, sizeof *head);
    const packed_source *sizes = take(data, bytes, &at, source_count, sizeof *sizes);
    if (sizes == NULL || head->sources != (uint32_t)source_count || head->split >= ASSAY_SPLITS)
        return misfit(where, error);
    out->split = (assay_data_split)head->split;
    out->label_count = head->labels;
    out->pair_count = head->pairs;
    out->pair_text_bytes = head->pair_text_bytes;
    out->id_bytes = head->id_bytes;
    out->features = take(data, bytes, &at, description->feature_count, sizeof(double));
    out->labels = take(data, bytes, &at, head->labels, sizeof *out->labels);
    out->pairs = take(data, bytes, &at, head->pairs, sizeof *out->pairs);
    for (int s = 0; s < source_count; s++) {
        sources[s].count = sizes[s].events;
        sources[s].times = take(data, bytes, &at, sizes[s].events, sizeof(double));
    }
    for (int s = 0; s < source_count; s++)
        sources[s].ends = take(data, bytes, &at, sizes[s].events, sizeof(uint32_t));
    out->id = take(data, bytes, &at, out->id_bytes, 1);
    out->pair_text = take(data, bytes, &at, out->pair_text_bytes, 1);
    for (int s = 0; s < source_count; s++)
        sources[s].text = take(data, bytes, &at, sizes[s].bytes, 1);
    out->sources = sources;
    bool good = at == bytes && pairs_fit(out) && labels_fit(out, description->label_count);
    for (int s = 0; good && s < source_count; s++)
        good = ends_fit(&sources[s], sizes[s].bytes);
    return good || misfit(where, error);
}
