/* test_pairs.c - guided masks' kernels: norms by position, importance, prices of keys and of pairs.
 * The CPUs share one body, which is held to the formulas; other devices are held to it. */
#include "twins.h"

/* The device `index` of those under test, with the CPU's common body before them; NULL past the
 * last. */
static const assay_kernels *kernels_at(int index)
{
    const assay_device *device = index > 0 ? tested_device_at(index - 1) : NULL;
    return index == 0 ? &cpu_kernels_plain : device ? device->kernels : NULL;
}

static void same_doubles(const char *what, int64_t n, const double *got, const double *want)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-12 * fabs(want[i])))
            fail_msg("%s: number %lld is %.17g, its twin %.17g", what, (long long)i, got[i],
                     want[i]);
}

/* ---- norms ---- */

static void norms_are_added_over_the_rows_that_have_a_position(void **state)
{
    static const int64_t sizes[][4] = {{0, 3, 3, 5},     {1, 1, 1, 1},    {3, 7, 5, 33},
                                       {5, 65, 65, 129}, {2, 3, 3, 1000}, {4, 6, 6, 0}};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int with_lengths = 0; with_lengths < 2; with_lengths++) {
            int64_t batch = sizes[s][0], tokens = sizes[s][1], seen = sizes[s][2];
            int64_t width = sizes[s][3];
            int32_t lengths[8];
            double want[65], got[65];
            float *x = twin_normals("x", batch * tokens * width, 1e-6f);
            for (int64_t b = 0; b < batch; b++)
                lengths[b] = (int32_t)((b * 5 + 2) % (tokens + 1));
            for (int64_t t = 0; t < seen; t++) {
                want[t] = (double)t;
                for (int64_t b = 0; b < batch; b++) {
                    double squares = 0;
                    for (int64_t k = 0; k < width; k++)
                        squares += pow((double)x[(b * tokens + t) * width + k], 2);
                    if (!with_lengths || t < lengths[b])
                        want[t] += sqrt(squares);
                }
            }
            for (int k = 0; kernels_at(k) != NULL; k++) {
                for (int64_t t = 0; t < seen; t++)
                    got[t] = (double)t;
                kernels_at(k)->position_norms(batch, tokens, seen, width, x,
                                              with_lengths ? lengths : NULL, got);
                same_doubles("position_norms", seen, got, want);
            }
            free(x);
        }
}

/* ---- importance ---- */

enum { POSITIONS = 301 };

typedef struct learned {
    double norms[POSITIONS], samples[POSITIONS];
    float importance[POSITIONS], updates[POSITIONS];
} learned;

/* The last positions were seen by nobody, and some others. */
static void fill(learned *l, bool silent)
{
    for (int j = 0; j < POSITIONS; j++) {
        l->samples[j] = j < 290 && j % 7 != 3 ? j % 5 + 1 : 0;
        l->norms[j] = silent || l->samples[j] == 0 ? 0 : 1e-4 * (j % 11 + 1);
        l->importance[j] = 0.25f * (float)(j % 3);
        l->updates[j] = (float)(j % 4);
    }
    if (silent)
        l->norms[0] = 1; /* nobody's future */
}

static void learn(const assay_kernels *kernels, learned *l, bool mean, bool relative)
{
    const device_importance call = {.tokens = POSITIONS,
                                    .norms = l->norms,
                                    .samples = l->samples,
                                    .mean = mean,
                                    .relative = relative,
                                    .rho = 0.9,
                                    .importance = l->importance,
                                    .updates = relative ? l->updates : NULL};
    kernels->learn_importance(&call);
}

static void absolute_importance_moves_to_the_norms(void **state)
{
    (void)state;
    for (int mean = 0; mean < 2; mean++)
        for (int silent = 0; silent < 2; silent++)
            for (int k = 0; kernels_at(k) != NULL; k++) {
                learned l, before;
                fill(&l, silent);
                before = l;
                learn(kernels_at(k), &l, mean, false);
                for (int j = 0; j < POSITIONS; j++) {
                    double now = l.norms[j] / (mean && l.samples[j] > 0 ? l.samples[j] : 1);
                    double want = 0.9 * (double)before.importance[j] + (1 - 0.9) * now;
                    if (silent || j == 0)
                        want = (double)before.importance[j];
                    assert_true(fabs((double)l.importance[j] - want) <= 1e-7 * want);
                }
            }
}

static void relative_importance_moves_where_positions_were_seen(void **state)
{
    (void)state;
    double sum = 0, positions = 0;
    learned l, before;
    fill(&before, false);
    for (int j = 0; j < POSITIONS; j++)
        if (before.samples[j] > 0) {
            sum += before.norms[j] / before.samples[j];
            positions++;
        }
    for (int k = 0; kernels_at(k) != NULL; k++) {
        l = before;
        learn(kernels_at(k), &l, true, true);
        for (int j = 0; j < POSITIONS; j++) {
            double want = (double)before.importance[j];
            bool seen = before.samples[j] > 0;
            if (seen)
                want = 0.9 * want +
                       (1 - 0.9) * before.norms[j] / before.samples[j] / (sum / positions);
            assert_true(fabs((double)l.importance[j] - want) <= 2e-7 * want);
            assert_true(l.updates[j] == before.updates[j] + (seen ? 1.0f : 0.0f));
        }
        memset(before.norms, 0, sizeof before.norms);
        l = before;
        learn(kernels_at(k), &l, true, true);
        assert_memory_equal(l.importance, before.importance, sizeof l.importance);
        assert_memory_equal(l.updates, before.updates, sizeof l.updates);
        fill(&before, false);
    }
}

static void prices_are_logs_of_weights(void **state)
{
    (void)state;
    static const device_key_prices rules[] = {
        {.gain = 1, .floor = 1e-8},
        {.gain = 1, .rise = 0.3},
        {.gain = 2, .centre = 1, .offset = -3, .rise = 0.25, .rho = 0.99},
        {.offset = -INFINITY, .rise = 0.5},
        {.offset = -INFINITY},
    };
    learned l;
    fill(&l, false);
    for (int r = 0; r < 5; r++)
        for (int relative = 0; relative < 2; relative++)
            for (int k = 0; kernels_at(k) != NULL; k++) {
                float price[POSITIONS];
                device_key_prices call = rules[r];
                call.keys = POSITIONS;
                call.importance = l.importance;
                call.updates = relative ? l.updates : NULL;
                call.price = price;
                kernels_at(k)->key_prices(&call);
                for (int j = 0; j < POSITIONS; j++) {
                    double of = (double)l.importance[j], n = (double)l.updates[j];
                    if (relative)
                        of = n > 0 ? of / (1 - pow(call.rho, n)) : 1;
                    double guided = 1 / (1 + exp(-call.gain * (of - call.centre) - call.offset));
                    double want = log(guided + call.rise * (1 - guided) + call.floor);
                    if (!((double)price[j] == want || fabs((double)price[j] - want) <= 1e-6))
                        fail_msg("rule %d, key %d: %g, expected %g", r, j, (double)price[j], want);
                }
            }
}

/* ---- pairs ---- */

static void a_history_is_open_inside_alone(void **state)
{
    enum { BATCH = 3, TOKENS = 37 };
    static const int32_t span[] = {0, 37, 5, 21, 9, 9};
    (void)state;
    float price[BATCH * TOKENS], y[BATCH * TOKENS * TOKENS];
    for (int i = 0; i < BATCH * TOKENS; i++)
        price[i] = (float)-i;
    for (int k = 0; kernels_at(k) != NULL; k++)
        for (int by_key = 0; by_key < 2; by_key++) {
            const device_history call = {
                .batch = BATCH,
                .tokens = TOKENS,
                .span = span,
                .extent = {by_key ? 1 : BATCH, by_key ? 1 : TOKENS, by_key ? TOKENS : 1},
                .stride = {by_key ? 0 : TOKENS, !by_key, by_key},
                .price = price,
                .y = y};
            kernels_at(k)->history_prices(&call);
            for (int b = 0; b < BATCH; b++)
                for (int i = 0; i < TOKENS; i++)
                    for (int j = 0; j < TOKENS; j++) {
                        bool open = i >= span[2 * b] && j > i && j < span[2 * b + 1];
                        float want = open ? (float)-(by_key ? j : b * TOKENS + i) : -INFINITY;
                        assert_true(y[(b * TOKENS + i) * TOKENS + j] == want);
                    }
        }
}

static void a_query_sees_its_window_alone(void **state)
{
    enum { BATCH = 2, TOKENS = 131 };
    (void)state;
    int32_t window[2 * BATCH * TOKENS];
    float y[BATCH * TOKENS * TOKENS];
    for (int r = 0; r < BATCH * TOKENS; r++) {
        window[2 * r] = r * 7 % TOKENS;
        window[2 * r + 1] = r % 5 == 0 ? window[2 * r] : TOKENS - r % 11;
    }
    for (int k = 0; kernels_at(k) != NULL; k++) {
        kernels_at(k)->window_prices(BATCH, TOKENS, window, y);
        for (int r = 0; r < BATCH * TOKENS; r++)
            for (int j = 0; j < TOKENS; j++) {
                bool seen = window[2 * r] <= j && j < window[2 * r + 1];
                assert_true(y[r * TOKENS + j] == (seen ? 0.0f : -INFINITY));
            }
    }
}

/* Prices of pairs and their gradients at a size that is shared between blocks, device by device. */
static void closed_keys_agree_with_the_common_body(void **state)
{
    enum { BATCH = 2, HEADS = 3, MOST = 131, ALL = BATCH * HEADS * MOST * MOST };
    static const int32_t span[] = {0, 9, 4, 17};
    /* With the number of tokens behind. */
    static const int64_t extents[][5] = {
        {1, 1, 1, 1, MOST}, {1, 3, 1, MOST, MOST}, {2, 3, MOST, 1, MOST}, {2, 3, 17, 17, 17}};
    (void)state;
    float *price = twin_normals("price", ALL, 1.0f), *d_y = twin_normals("d_y", ALL, 1.0f);
    float *y[2] = {twin_floats(ALL), twin_floats(ALL)};
    float *d_price[2] = {twin_normals("d", ALL, 1.0f), twin_normals("d", ALL, 1.0f)};
    float future[BATCH * MOST], always[BATCH * MOST];
    for (int i = 0; i < BATCH * MOST; i++) {
        future[i] = i % 3 == 0 ? -INFINITY : 0.0f;
        always[i] = i % 5 == 0 ? -2.0f : 0.0f;
    }
    for (int k = 1; kernels_at(k) != NULL; k++)
        for (int e = 0; e < 4; e++)
            for (int whole = 0; whole < 2; whole++) {
                int64_t tokens = extents[e][4], next = 1, count = 1;
                int64_t queries = whole ? tokens : extents[e][2];
                int64_t heads = extents[e][1];
                device_closing call = {.batch = BATCH,
                                       .heads = heads,
                                       .queries = queries,
                                       .keys = tokens,
                                       .whole = whole,
                                       .future = future,
                                       .always = always,
                                       .span = whole ? span : NULL,
                                       .price = price,
                                       .d_y = d_y,
                                       .add = whole};
                for (int i = 3; i >= 0; i--) {
                    call.extent[i] = extents[e][i];
                    call.stride[i] = call.extent[i] > 1 ? next : 0;
                    next *= call.extent[i];
                    count *= call.extent[i];
                }
                for (int side = 0; side < 2; side++) {
                    call.y = y[side];
                    call.d_price = d_price[side];
                    kernels_at(side * k)->close_keys(&call);
                    kernels_at(side * k)->d_close_keys(&call);
                }
                twin_expect_close("close_keys", BATCH * heads * queries * tokens, y[1], y[0], 0, 0);
                double pairs = (double)(BATCH * heads * queries * tokens) / (double)count;
                twin_expect_close("d_close_keys", count, d_price[1], d_price[0], 1e-6,
                                  2e-7 * pairs);
                memcpy(d_price[1], d_price[0], (size_t)count * sizeof(float));
            }
    free(price);
    free(d_y);
    for (int side = 0; side < 2; side++) {
        free(y[side]);
        free(d_price[side]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_added_over_the_rows_that_have_a_position),
        cmocka_unit_test(absolute_importance_moves_to_the_norms),
        cmocka_unit_test(relative_importance_moves_where_positions_were_seen),
        cmocka_unit_test(prices_are_logs_of_weights),
        cmocka_unit_test(a_history_is_open_inside_alone),
        cmocka_unit_test(a_query_sees_its_window_alone),
        cmocka_unit_test(closed_keys_agree_with_the_common_body),
    };
    return cmocka_run_group_tests_name("pairs", tests, NULL, NULL);
}
