/* device/test_attention.c - attention kernels: the fast twins against the plain one, the plain one
 * against differences, and what is promised bit for bit. */
#include "devices.h"

#include "attention_case.h"

#include <assay/device.h>

/* ---- fast against plain ---- */

static void compare_with_plain(const attention_shape *shape)
{
    attention_case plain = case_new(shape);
    case_use_span(&plain, shape);
    case_run_both(&cpu_kernels_plain, &plain);
    for (int v = 0; tested_device_at(v); v++) {
        const comparison of = {tested_device_at(v)->variant, shape};
        attention_case fast = case_new(shape);
        case_use_span(&fast, shape);
        case_run_both(tested_device_at(v)->kernels, &fast);
        compare(of, "out", fast.out_count, fast.out, plain.out, 0.0, 1e-6);
        compare(of, "row_lse", fast.lse_count, fast.lse, plain.lse, 1.0, 1e-6);
        compare_gradients(of, &fast, &plain);
        case_free(&fast);
    }
    case_free(&plain);
}

/* The masks of one size: every shape of costs, closed, open and everywhere. The rest (widths,
 * heads, lengths, span, rotary, fewer queries than keys, adding) turns with the count of cases, in
 * cycles of different length. */
static void compare_masks(int64_t keys, int *count)
{
    static const int64_t widths[] = {4, 16, 24, 64, 80, 7, 128};
    const int32_t lengths[][2] = {{(int32_t)keys, 0}, {(int32_t)(keys + 1) / 2, (int32_t)keys}};
    for (int cost = COST_NONE; cost < COST_SHAPES; cost++)
        for (int mode = 0; mode < 3; mode++) {
            int n = (*count)++;
            attention_shape shape = {
                .batch = 2,
                .kv_heads = 1 + n % 2,
                .shared = 1 + n / 2 % (keys < 100 ? 4 : 2),
                .width = widths[n % 7],
                .queries = n % 5 == 4 ? (keys + 1) / 2 : keys,
                .keys = keys,
                .cost = (cost_shape)cost,
                .open = mode == 1 || (mode == 2 && n % 4 < 2),
                .everywhere = mode == 2,
                .span = n % 3 == 1,
                .rotary = n / 3 % 2 && n % 7 != 5,
                .hide = n / 2 % 2,
                .lengths = n % 11 % 3 ? lengths[n % 11 % 3 - 1] : NULL,
                .add = n % 2,
            };
            compare_with_plain(&shape);
        }
}

static void fast_kernels_agree_with_the_plain_one(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 63, 64, 65, 130};
    int count = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        compare_masks(sizes[s], &count);
}

/* Heads wider than the usual, and one that turns in threes. */
static void wide_and_odd_heads_agree_with_the_plain_one(void **state)
{
    (void)state;
    static const int32_t lengths[] = {70, 37};
    static const attention_shape shapes[] = {
        {2, 1, 2, 160, 70, 70, .cost = COST_SCALAR, .open = true, .rotary = true,
         .lengths = lengths},
        {1, 2, 1, 256, 40, 65, .span = true, .rotary = true},
        {1, 1, 2, 202, 65, 65, .cost = COST_HEAD, .everywhere = true, .hide = true, .add = true},
        {2, 1, 2, 6, 70, 70, .cost = COST_ITEM_KEY, .open = true, .rotary = true,
         .lengths = lengths},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        compare_with_plain(&shapes[s]);
}

/* The map and its gradient, in place of out and d_out. */
static void use_map(attention_case *c)
{
    free(c->out);
    free(c->d_out);
    c->out_count = c->lse_count * c->call.keys;
    c->call.out = c->out = case_numbers("map", c->out_count);
    c->call.d_out = c->d_out = case_numbers("d_map", c->out_count);
    c->call.v = NULL;
    c->call.d_v = NULL;
    c->call.row_lse = NULL;
}

static void run_map(const assay_kernels *kernels, attention_case *c)
{
    case_run(kernels, c, false, kernels->attention_map);
    for (int64_t e = 0; e < c->out_count; e++)
        if (c->out[e] == 0.0f)
            c->d_out[e] = NAN; /* nothing that stands there may count */
    case_run(kernels, c, true, kernels->d_attention_map);
}

static const int32_t two_lengths[] = {77, 40};

static const attention_shape map_shapes[] = {
    {2, 2, 2, 16, 77, 77, .open = true, .cost = COST_DENSE, .rotary = true, .lengths = two_lengths},
    {2, 1, 3, 24, 5, 77, .lengths = two_lengths, .add = true},
    {2, 1, 2, 64, 70, 77, .cost = COST_HEAD, .everywhere = true, .hide = true, .span = true},
    {2, 1, 2, 160, 77, 77, .cost = COST_QUERY, .open = true, .rotary = true,
     .lengths = two_lengths},
};

static void fast_maps_agree_with_the_plain_one(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof map_shapes / sizeof *map_shapes; s++) {
        const attention_shape *shape = &map_shapes[s];
        attention_case plain = case_new(shape);
        case_use_span(&plain, shape);
        use_map(&plain);
        run_map(&cpu_kernels_plain, &plain);
        for (int v = 0; tested_device_at(v); v++) {
            const comparison of = {tested_device_at(v)->variant, shape};
            attention_case fast = case_new(shape);
            case_use_span(&fast, shape);
            use_map(&fast);
            run_map(tested_device_at(v)->kernels, &fast);
            compare(of, "map", fast.out_count, fast.out, plain.out, 0.0, 1e-6);
            compare_gradients(of, &fast, &plain);
            case_free(&fast);
        }
        case_free(&plain);
    }
}

/* ---- plain against differences ---- */

typedef double (*loss_of)(attention_case *c);

static double weighted_sum(const attention_case *c)
{
    double sum = 0.0;
    for (int64_t e = 0; e < c->out_count; e++)
        if (!isnan(c->d_out[e]))
            sum += (double)c->d_out[e] * c->out[e];
    return sum;
}

static double output_loss(attention_case *c)
{
    case_run(&cpu_kernels_plain, c, false, cpu_kernels_plain.attention);
    return weighted_sum(c);
}

static double map_loss(attention_case *c)
{
    case_run(&cpu_kernels_plain, c, false, cpu_kernels_plain.attention_map);
    return weighted_sum(c);
}

/* The gradient of the loss by four-point central differences with exact steps of 1/16: relative
 * error of the step about 1e-5 h^4, of the rounded outputs about 1e-7 / h. */
static void check_differences(attention_case *c, loss_of loss, int64_t n, float *x,
                              const float *gradient)
{
    const float h = 0.0625f;
    double error = 0.0, norm = 0.0;
    for (int64_t e = 0; e < n; e++) {
        const float old = x[e];
        double value[5];
        if (!isfinite(old))
            continue;
        for (int s = -2; s <= 2; s++) {
            x[e] = old + (float)s * h;
            value[s + 2] = s ? loss(c) : 0.0;
        }
        x[e] = old;
        double slope = (value[0] - value[4] + 8.0 * (value[3] - value[1])) / (12.0 * h);
        error += (slope - gradient[e]) * (slope - gradient[e]);
        norm += (double)gradient[e] * gradient[e];
    }
    assert_true(norm > 0.0);
    assert_true(sqrt(error / norm) < 5e-5);
}

static const int32_t short_lengths[] = {5, 3};

static const attention_shape small_shapes[] = {
    {2, 1, 2, 4, 4, 5, .cost = COST_DENSE, .open = true, .rotary = true, .lengths = short_lengths},
    {2, 2, 1, 4, 5, 5, .cost = COST_ITEM_KEY, .open = true, .span = true},
    {2, 1, 2, 6, 5, 5, .cost = COST_HEAD, .everywhere = true, .hide = true, .rotary = true},
    {2, 1, 1, 4, 5, 5, .cost = COST_SCALAR, .open = true, .lengths = short_lengths},
    {2, 1, 1, 3, 5, 5, .cost = COST_QUERY, .open = true, .lengths = short_lengths},
};

static void check_gradients(const attention_shape *shape, bool map)
{
    attention_case c = case_new(shape);
    case_use_span(&c, shape);
    /* The columns between keys and values of different heads all belong to one of the two; without
     * gradient of the values theirs must read 0. */
    memset(c.d_kv, 0, (size_t)c.kv_count * sizeof *c.d_kv);
    memset(c.d_q, 0, (size_t)c.q_count * sizeof *c.d_q);
    if (map) {
        use_map(&c);
        (void)map_loss(&c);
        case_run(&cpu_kernels_plain, &c, true, cpu_kernels_plain.d_attention_map);
    } else {
        (void)output_loss(&c);
        case_run(&cpu_kernels_plain, &c, true, cpu_kernels_plain.d_attention);
    }
    loss_of loss = map ? map_loss : output_loss;
    check_differences(&c, loss, c.q_count, c.q, c.d_q);
    check_differences(&c, loss, c.kv_count, c.kv, c.d_kv);
    check_differences(&c, loss, c.call.bias_count, c.cost, c.d_cost);
    case_free(&c);
}

static void plain_gradients_are_the_slopes_of_the_plain_forward(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof small_shapes / sizeof *small_shapes; s++) {
        check_gradients(&small_shapes[s], false);
        check_gradients(&small_shapes[s], true);
    }
}

/* ---- bit for bit ---- */

/* Variant -1 is the plain one, NULL ends the walk. */
static const assay_kernels *any_variant(int v)
{
    if (v < 0)
        return &cpu_kernels_plain;
    return tested_device_at(v) ? tested_device_at(v)->kernels : NULL;
}

static void assert_same_results(const attention_case *a, const attention_case *b)
{
    assert_memory_equal(a->out, b->out, (size_t)a->out_count * sizeof(float));
    assert_memory_equal(a->lse, b->lse, (size_t)a->lse_count * sizeof(float));
    assert_memory_equal(a->d_q, b->d_q, (size_t)a->q_count * sizeof(float));
    assert_memory_equal(a->d_kv, b->d_kv, (size_t)a->kv_count * sizeof(float));
}

/* Both calls, the costs of the first all set to `cost`, give the same bits. */
static void assert_costs_do_nothing(const attention_shape *with, const attention_shape *without,
                                    float cost)
{
    for (int v = -1; any_variant(v); v++) {
        attention_case a = case_new(with), b = case_new(without);
        case_use_span(&a, with);
        case_use_span(&b, without);
        for (int64_t e = 0; e < a.call.bias_count; e++)
            a.cost[e] = cost;
        case_run_both(any_variant(v), &a);
        case_run_both(any_variant(v), &b);
        assert_same_results(&a, &b);
        case_free(&a);
        case_free(&b);
    }
}

static const int32_t long_lengths[] = {90, 140};

static const attention_shape closed_shapes[] = {
    {2, 1, 2, 24, 140, 140, .rotary = true},
    {2, 1, 1, 16, 70, 140, .lengths = long_lengths},
    {2, 2, 1, 16, 140, 140, .span = true, .lengths = long_lengths},
};

static void an_open_future_at_infinite_cost_is_a_closed_one(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof closed_shapes / sizeof *closed_shapes; s++)
        for (int cost = COST_SCALAR; cost < COST_SHAPES; cost++) {
            attention_shape open = closed_shapes[s];
            open.open = true;
            open.cost = (cost_shape)cost;
            assert_costs_do_nothing(&open, &closed_shapes[s], -INFINITY);
        }
}

static void a_cost_of_zero_is_no_cost(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof closed_shapes / sizeof *closed_shapes; s++)
        for (int open = 0; open < 2; open++)
            for (int cost = COST_SCALAR; cost < COST_SHAPES; cost += 2) {
                attention_shape without = closed_shapes[s], with;
                without.open = open;
                with = without;
                with.cost = (cost_shape)cost;
                with.everywhere = !open || cost == COST_KEY;
                assert_costs_do_nothing(&with, &without, 0.0f);
            }
}

/* Copies the rows of batch item b, from row `first` on, of x (B, rows, stride) into y. */
static void copy_item(const float *x, int64_t rows, int64_t stride, int64_t b, int64_t first,
                      int64_t count, float *y)
{
    memcpy(y, x + (b * rows + first) * stride, (size_t)(count * stride) * sizeof *y);
}

/* Item b of a case, alone and without padding, has the same bits. */
static void assert_item_stands_alone(const assay_kernels *kernels, const attention_case *batch,
                                     const attention_shape *shape, int64_t b)
{
    const int64_t length = case_length(batch, b), heads = batch->call.heads;
    attention_shape alone = *shape;
    alone.batch = 1, alone.lengths = NULL, alone.keys = alone.queries = length;
    attention_case one = case_new(&alone);
    memcpy(one.span, batch->span, sizeof one.span);
    case_use_span(&one, shape);
    copy_item(batch->q, shape->queries, one.call.q_stride, b, 0, length, one.q);
    copy_item(batch->kv, shape->keys, one.call.k_stride, b, 0, length, one.kv);
    copy_item(batch->d_out, shape->queries, one.call.out_stride, b, 0, length, one.d_out);
    memcpy(one.cosine, batch->cosine, (size_t)(length * shape->width / 2) * sizeof(float));
    memcpy(one.sine, batch->sine, (size_t)(length * shape->width / 2) * sizeof(float));
    case_run_both(kernels, &one);
    for (int64_t i = 0; i < length; i++)
        for (int64_t h = 0; h < heads; h++) {
            const int64_t row = b * shape->queries + i, at = h * shape->width;
            const size_t bytes = (size_t)shape->width * sizeof(float);
            assert_memory_equal(one.out + i * one.call.out_stride + at,
                                batch->out + row * one.call.out_stride + at, bytes);
            assert_memory_equal(one.d_q + i * one.call.q_stride + at,
                                batch->d_q + row * one.call.q_stride + at, bytes);
            assert_memory_equal(one.lse + h * length + i,
                                batch->lse + (b * heads + h) * shape->queries + i, sizeof(float));
        }
    assert_memory_equal(one.d_kv, batch->d_kv + b * shape->keys * one.call.k_stride,
                        (size_t)(length * one.call.k_stride) * sizeof(float));
    case_free(&one);
}

static void an_item_does_not_depend_on_its_batch_nor_on_padding(void **state)
{
    (void)state;
    static const int32_t lengths[] = {90, 140, 17, 64};
    for (int v = -1; any_variant(v); v++)
        for (int mode = 0; mode < 3; mode++) {
            attention_shape shape = {4, 1, 2, 24, 140, 140, .rotary = true, .lengths = lengths};
            shape.open = mode == 1, shape.span = mode == 2;
            attention_case batch = case_new(&shape);
            case_use_span(&batch, &shape);
            case_run_both(any_variant(v), &batch);
            for (int64_t b = 0; b < shape.batch; b++)
                assert_item_stands_alone(any_variant(v), &batch, &shape, b);
            case_free(&batch);
        }
}

/* Queries that are computed later than the others, as when text is generated, give the same bits.
 */
static void later_queries_alone_give_the_same_rows(void **state)
{
    (void)state;
    static const int64_t later[] = {1, 3, 64, 100};
    const attention_shape whole = {1, 2, 2, 64, 140, 140, .rotary = true};
    for (int v = -1; any_variant(v); v++) {
        attention_case all = case_new(&whole);
        case_run_both(any_variant(v), &all);
        for (size_t s = 0; s < sizeof later / sizeof *later; s++) {
            attention_shape shape = whole;
            shape.queries = later[s];
            attention_case last = case_new(&shape);
            const int64_t first = 140 - later[s];
            copy_item(all.q, 140, all.call.q_stride, 0, first, later[s], last.q);
            case_run(any_variant(v), &last, false, any_variant(v)->attention);
            for (int64_t i = 0; i < later[s]; i++)
                assert_memory_equal(last.out + i * all.call.out_stride,
                                    all.out + (first + i) * all.call.out_stride,
                                    (size_t)(whole.width * 4) * sizeof(float));
            case_free(&last);
        }
        case_free(&all);
    }
}

static void results_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    static const int32_t lengths[] = {130, 64, 99};
    for (int v = 0; tested_device_at(v); v++)
        for (int cost = COST_NONE; cost < COST_SHAPES; cost++) {
            attention_shape shape = {3,
                                     2,
                                     2,
                                     64,
                                     130,
                                     130,
                                     .cost = (cost_shape)cost,
                                     .open = true,
                                     .rotary = true,
                                     .lengths = lengths};
            attention_case one = case_new(&shape);
            assert_true(assay_threads_set(1, NULL));
            case_run_both(tested_device_at(v)->kernels, &one);
            for (int threads = 2; threads <= 3; threads++) {
                attention_case more = case_new(&shape);
                assert_true(assay_threads_set(threads, NULL));
                case_run_both(tested_device_at(v)->kernels, &more);
                assert_same_results(&one, &more);
                if (one.d_cost)
                    assert_memory_equal(one.d_cost, more.d_cost,
                                        (size_t)one.call.bias_count * sizeof(float));
                case_free(&more);
            }
            case_free(&one);
        }
    assert_true(assay_threads_set(1, NULL));
}

/* ---- masks, as predicates ---- */

/* What the header says, once more and independently of the kernels. */
static bool sees(const attention_case *c, int64_t i, int64_t j)
{
    const int64_t length = case_length(c, 0), p = c->call.query_start + i;
    const bool inside =
        c->call.span && p >= c->span[0] && p < c->span[1] && j >= c->span[0] && j < c->span[1];
    if (p >= length || j >= length)
        return false;
    const bool charged = c->cost && (c->call.bias_everywhere || (j > p && !inside));
    if (charged && c->cost[i * c->call.keys + j] == -INFINITY)
        return false;
    return j <= p || inside || c->call.future_open;
}

static bool any_nonzero(const float *x, int64_t n)
{
    for (int64_t t = 0; t < n; t++)
        if (x[t] != 0.0f)
            return true;
    return false;
}

/* Sends a gradient into one output row and looks where it arrives. */
static void assert_gradient_follows_mask(const assay_kernels *kernels, const attention_shape *shape,
                                         int64_t i)
{
    const int64_t width = shape->width, keys = shape->keys;
    attention_case c = case_new(shape);
    case_use_span(&c, shape);
    for (int64_t e = 0; e < c.out_count; e++)
        c.d_out[e] = e / c.call.out_stride == i ? c.d_out[e] : 0.0f;
    case_run_both(kernels, &c);
    int64_t seen = 0;
    for (int64_t j = 0; j < keys; j++)
        seen += sees(&c, i, j);
    for (int64_t j = 0; j < keys; j++) {
        const float *d_k = c.d_kv + j * c.call.k_stride, *d_v = d_k + width;
        assert_int_equal(any_nonzero(d_v, width), sees(&c, i, j));
        assert_int_equal(any_nonzero(d_k, width), sees(&c, i, j) && seen > 1);
    }
    for (int64_t e = 0; e < shape->queries; e++)
        assert_int_equal(any_nonzero(c.d_q + e * c.call.q_stride, width), e == i && seen > 1);
    for (int64_t e = 0; e < c.call.bias_count; e++)
        if (e / keys != i || !sees(&c, i, e % keys))
            assert_true(c.d_cost[e] == 0.0f);
    if (!seen) {
        assert_false(any_nonzero(c.out + i * c.call.out_stride, width));
        assert_true(c.lse[i] == INFINITY);
    }
    case_free(&c);
}

static void gradients_reach_exactly_the_keys_that_are_seen(void **state)
{
    (void)state;
    static const int32_t cut[] = {66};
    static const attention_shape shapes[] = {
        {1, 1, 1, 8, 70, 70, .cost = COST_NONE},
        {1, 1, 1, 8, 70, 70, .lengths = cut, .rotary = true},
        {1, 1, 1, 8, 70, 70, .span = true},
        {1, 1, 1, 8, 70, 70, .open = true, .cost = COST_DENSE, .hide = true, .lengths = cut},
        {1, 1, 1, 8, 20, 70, .open = true, .cost = COST_DENSE, .hide = true, .span = true},
        {1, 1, 1, 8, 70, 70, .everywhere = true, .cost = COST_DENSE, .hide = true},
    };
    static const int64_t rows[] = {0, 1, 7, 30, 63, 64, 65, 69};
    for (int v = -1; any_variant(v); v++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                if (rows[r] < shapes[s].queries)
                    assert_gradient_follows_mask(any_variant(v), &shapes[s], rows[r]);
}

static void a_row_that_sees_nothing_is_zero(void **state)
{
    (void)state;
    static const int32_t none[] = {0, 0};
    static const attention_shape shapes[] = {
        {2, 1, 2, 16, 70, 70, .open = true, .lengths = none},
        {2, 1, 2, 16, 70, 70, .everywhere = true, .cost = COST_SCALAR},
    };
    for (int v = -1; any_variant(v); v++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            attention_case c = case_new(&shapes[s]);
            if (c.cost)
                c.cost[0] = -INFINITY;
            case_run_both(any_variant(v), &c);
            for (int64_t row = 0; row < 2 * 70; row++) {
                assert_false(any_nonzero(c.out + row * c.call.out_stride, 32));
                assert_false(any_nonzero(c.d_q + row * c.call.q_stride, 32));
            }
            for (int64_t e = 0; e < c.lse_count; e++)
                assert_true(c.lse[e] == INFINITY);
            assert_false(any_nonzero(c.d_kv, c.kv_count));
            assert_false(any_nonzero(c.d_cost, c.call.bias_count));
            use_map(&c);
            case_run(any_variant(v), &c, false, any_variant(v)->attention_map);
            assert_false(any_nonzero(c.out, c.out_count));
            case_free(&c);
        }
}

/* ---- numbers at the edge ---- */

static void large_scores_neither_overflow_nor_vanish(void **state)
{
    (void)state;
    const attention_shape shape = {1, 1, 1, 16, 70, 70, .open = true};
    for (int v = -1; any_variant(v); v++) {
        attention_case c = case_new(&shape);
        c.call.scale = 1e4f;
        case_run_both(any_variant(v), &c);
        for (int64_t e = 0; e < c.lse_count; e++)
            assert_true(isfinite(c.lse[e]) && c.lse[e] > 1e4f);
        assert_true(any_nonzero(c.out, 16));
        for (int64_t e = 0; e < c.kv_count; e++)
            assert_true(isfinite(c.d_kv[e]));
        case_free(&c);
    }
}

static void a_nan_in_a_query_shows_in_its_row_alone(void **state)
{
    (void)state;
    const attention_shape shape = {1, 1, 1, 16, 70, 70, .cost = COST_NONE};
    for (int v = -1; any_variant(v); v++) {
        attention_case c = case_new(&shape);
        c.q[66 * c.call.q_stride] = NAN;
        case_run(any_variant(v), &c, false, any_variant(v)->attention);
        for (int64_t i = 0; i < 70; i++) {
            assert_int_equal(isnan(c.out[i * c.call.out_stride]) != 0, i == 66);
            assert_int_equal(isnan(c.lse[i]) != 0, i == 66);
        }
        case_free(&c);
    }
}

static void calls_without_rows_or_wanted_gradients_do_nothing(void **state)
{
    (void)state;
    static const attention_shape shapes[] = {
        {0, 1, 1, 8, 4, 4, .open = true, .cost = COST_DENSE},
        {1, 1, 1, 8, 0, 4, .open = true, .cost = COST_KEY},
        {1, 1, 1, 8, 0, 0, .cost = COST_NONE},
    };
    for (int v = -1; any_variant(v); v++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            attention_case c = case_new(&shapes[s]);
            case_run_both(any_variant(v), &c);
            assert_false(any_nonzero(c.d_kv, c.kv_count));
            assert_false(any_nonzero(c.d_cost, c.call.bias_count));
            case_free(&c);
        }
        const attention_shape shape = {1, 1, 1, 8, 9, 9, .open = true, .cost = COST_DENSE};
        attention_case wanted = case_new(&shape), unwanted = case_new(&shape);
        unwanted.call.d_q = unwanted.call.d_k = unwanted.call.d_v = NULL;
        case_run_both(any_variant(v), &wanted);
        case_run_both(any_variant(v), &unwanted);
        assert_memory_equal(wanted.d_cost, unwanted.d_cost, 81 * sizeof(float));
        case_free(&wanted);
        case_free(&unwanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_kernels_agree_with_the_plain_one),
        cmocka_unit_test(wide_and_odd_heads_agree_with_the_plain_one),
        cmocka_unit_test(fast_maps_agree_with_the_plain_one),
        cmocka_unit_test(plain_gradients_are_the_slopes_of_the_plain_forward),
        cmocka_unit_test(an_open_future_at_infinite_cost_is_a_closed_one),
        cmocka_unit_test(a_cost_of_zero_is_no_cost),
        cmocka_unit_test(an_item_does_not_depend_on_its_batch_nor_on_padding),
        cmocka_unit_test(later_queries_alone_give_the_same_rows),
        cmocka_unit_test(results_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(gradients_reach_exactly_the_keys_that_are_seen),
        cmocka_unit_test(a_row_that_sees_nothing_is_zero),
        cmocka_unit_test(large_scores_neither_overflow_nor_vanish),
        cmocka_unit_test(a_nan_in_a_query_shows_in_its_row_alone),
        cmocka_unit_test(calls_without_rows_or_wanted_gradients_do_nothing),
    };
    /* One thread, but where threads are what is tested: spinning ones slow a busy machine down. */
    return assay_threads_set(1, NULL) ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
