/* test_shapes.c - every operation with each way of being wrong: it returns NULL, and the tape's
 * error names the operation, what was expected and what was got. */
#include "under_test.h"

#include <assay/attention.h>
#include <assay/maps.h>
#include <assay/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- a wrong call as data ---- */

typedef struct arg {
    bool given;
    assay_dtype dtype;
    int rank;
    int64_t shape[ASSAY_MAX_RANK];
    int32_t value; /* of every entry, for i32 and u8 */
} arg;

#define RANK_OF(...) ((int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#define F(...)                                                                                     \
    {                                                                                              \
        true, ASSAY_F32, RANK_OF(__VA_ARGS__), {__VA_ARGS__}, 0                                    \
    }
#define H(...)                                                                                     \
    {                                                                                              \
        true, ASSAY_BF16, RANK_OF(__VA_ARGS__), {__VA_ARGS__}, 0                                   \
    }
#define I(value, ...)                                                                              \
    {                                                                                              \
        true, ASSAY_I32, RANK_OF(__VA_ARGS__), {__VA_ARGS__}, (value)                              \
    }
#define U(value, ...)                                                                              \
    {                                                                                              \
        true, ASSAY_U8, RANK_OF(__VA_ARGS__), {__VA_ARGS__}, (value)                               \
    }
#define SCALAR                                                                                     \
    {                                                                                              \
        true, ASSAY_F32, 0, {0}, 0                                                                 \
    }
#define NONE                                                                                       \
    {                                                                                              \
        false, ASSAY_F32, 0, {0}, 0                                                                \
    }

#define ARGS 7

typedef struct wrong {
    const char *op, *how;
    assay_tensor *(*call)(assay_tape *tape, assay_tensor *const t[], const struct wrong *w);
    assay_code code;
    arg args[ARGS];
    int64_t a, b, c;
    float x, y;
} wrong;

#define CALL(name, expression)                                                                     \
    static assay_tensor *name(assay_tape *tape, assay_tensor *const t[], const wrong *w)           \
    {                                                                                              \
        (void)t, (void)w;                                                                          \
        return expression;                                                                         \
    }

CALL(linear, assay_linear(tape, t[0], t[1], t[2], ASSAY_GELU))
CALL(activate, assay_activate(tape, t[0], ASSAY_RELU))
CALL(silu_product, assay_silu_product(tape, t[0], t[1]))
CALL(gated_mlp, assay_gated_mlp(tape, t[0], t[1], t[2], t[3]))
CALL(rms_norm, assay_rms_norm(tape, t[0], t[1], 1e-6f))
CALL(layer_norm, assay_layer_norm(tape, t[0], t[1], t[2], 1e-6f))
CALL(embedding, assay_embedding(tape, t[0], t[1]))
CALL(dropout, assay_dropout(tape, t[0], w->x, "name"))
CALL(drop_path, assay_drop_path(tape, t[0], w->x, "name"))
CALL(add, assay_add(tape, t[0], t[1]))
CALL(sub, assay_sub(tape, t[0], t[1]))
CALL(mul, assay_mul(tape, t[0], t[1]))
CALL(scale, assay_scale(tape, t[0], 2.0f))
CALL(reshape, assay_reshape(tape, t[0], (int)w->a, (const int64_t[]){w->b, w->c}))
CALL(cast, assay_cast(tape, t[0], (assay_dtype)w->a))
CALL(concat, assay_concat(tape, (int)w->a, t, (int)w->b))
CALL(slice, assay_slice(tape, t[0], (int)w->a, w->b, w->c))
CALL(gather, assay_gather(tape, t[0], t[1]))
CALL(mask_rows, assay_mask_rows(tape, t[0], t[1]))
CALL(patches, assay_patches(tape, t[0], w->a))
CALL(masked_mean, assay_masked_mean(tape, t[0], t[1]))
CALL(last_token, assay_last_token(tape, t[0], t[1]))
CALL(normalize, assay_normalize(tape, t[0], 1e-12f))
CALL(cosine, assay_cosine(tape, t[0], t[1]))
CALL(cosine_matrix, assay_cosine_matrix(tape, t[0], t[1]))
CALL(dot, assay_dot(tape, t[0], t[1]))
CALL(sum, assay_sum(tape, t[0]))
CALL(mean, assay_mean(tape, t[0]))
CALL(softmax, assay_softmax(tape, t[0]))
CALL(cross_entropy, assay_cross_entropy(tape, t[0], t[1], ASSAY_MEAN))
CALL(head, assay_cross_entropy_head(tape, t[0], t[1], t[2], ASSAY_MEAN))
CALL(contrastive,
     assay_contrastive(tape, t[0], t[1],
                       &(assay_contrastive_options){(assay_contrastive_variant)w->a, w->x, w->y},
                       NULL))
CALL(conv2d, assay_conv2d(tape, t[0], t[1], t[2], w->a, w->b))
CALL(conv_transpose2d, assay_conv_transpose2d(tape, t[0], t[1], t[2]))
CALL(batch_norm,
     assay_batch_norm(tape, t[0], t[1], t[2], &(assay_batch_stats){t[3], t[4], 0.1f}, 1e-5f))
CALL(max_pool2d, assay_max_pool2d(tape, t[0], w->a))
CALL(average_pool, assay_adaptive_average_pool2d(tape, t[0], w->a, w->b))
CALL(bilinear, assay_resize_bilinear(tape, t[0], w->a, w->b))
CALL(join_maps, assay_join_maps(tape, (int)w->a, t))
CALL(add_resized, assay_add_resized(tape, t[0], t[1]))
CALL(dropout2d, assay_dropout2d(tape, t[0], w->x, "name"))
CALL(tokens_to_map, assay_tokens_to_map(tape, t[0], w->a, w->b, w->c))
CALL(pixel_loss, assay_pixel_cross_entropy(tape, t[0], t[1], 255, w->a))
CALL(patch_targets, assay_patch_targets(tape, t[0], t[1], w->a, true))
CALL(history_prices, assay_history_prices(tape, t[0], t[1], w->a))
CALL(window_prices, assay_window_prices(tape, t[0]))
CALL(close_keys,
     assay_close_keys(tape, t[0], w->a, w->b,
                      &(assay_closed_keys){.future = t[1], .always = t[2], .span = t[3]}))
CALL(step_tensor, assay_tape_tensor(tape, ASSAY_F32, (int)w->a, (const int64_t[]){w->b, w->c}))

static assay_tensor *split(assay_tape *tape, assay_tensor *const t[], const wrong *w)
{
    assay_tensor *outs[2] = {NULL, NULL};
    return assay_split(tape, t[0], (int)w->a, 2, (const int64_t[]){w->b, w->c}, outs) ? outs[0]
                                                                                      : NULL;
}

/* A table of 6 positions for heads of width 4; none for c = -1. */
static assay_rotary *table;

static assay_tensor *rotate(assay_tape *tape, assay_tensor *const t[], const wrong *w)
{
    return assay_rotate(tape, t[0], w->a, w->c < 0 ? NULL : table, w->b);
}

/* q, k, v, lengths, span, log-weight, qkv; a query and b key heads; c: with the rotary table. */
static assay_attention_args attention_args(assay_tensor *const t[], const wrong *w)
{
    return (assay_attention_args){
        .q = t[0],
        .k = t[1],
        .v = t[2],
        .qkv = t[6],
        .heads = w->a,
        .kv_heads = w->b,
        .rotary = w->c ? table : NULL,
        .lengths = t[3],
        .bias = {.future = ASSAY_FUTURE_OPEN, .span = t[4], .log_weight = t[5]}};
}

static assay_tensor *attention(assay_tape *tape, assay_tensor *const t[], const wrong *w)
{
    assay_attention_args args = attention_args(t, w);
    return assay_attention(tape, &args);
}

static assay_tensor *attention_map(assay_tape *tape, assay_tensor *const t[], const wrong *w)
{
    assay_attention_args args = attention_args(t, w);
    return assay_attention_map(tape, &args);
}

static assay_tensor *bias_future(assay_tape *tape, assay_tensor *const t[], const wrong *w)
{
    return assay_attention(
        tape,
        &(assay_attention_args){
            .q = t[0], .k = t[0], .v = t[0], .heads = 1, .bias = assay_bias_future(tape, w->x)});
}

/* ---- the table ---- */

#define SHAPE ASSAY_BAD_SHAPE
#define VALUE ASSAY_BAD_INPUT
#define ROW(name, why, function, kind, ...)                                                        \
    {                                                                                              \
        .op = (name), .how = (why), .call = (function), .code = (kind), __VA_ARGS__                \
    }

static const wrong layer_wrongs[] = {
    ROW("linear", "no x", linear, VALUE, .args = {NONE, F(2, 3)}),
    ROW("linear", "no weight", linear, VALUE, .args = {F(2, 3)}),
    ROW("linear", "integers", linear, SHAPE, .args = {I(0, 2, 3), F(2, 3)}),
    ROW("linear", "a scalar", linear, SHAPE, .args = {SCALAR, F(2, 3)}),
    ROW("linear", "another width", linear, SHAPE, .args = {F(2, 3), F(2, 4)}),
    ROW("linear", "a weight of rank 1", linear, SHAPE, .args = {F(2, 3), F(3)}),
    ROW("linear", "a bias of another width", linear, SHAPE, .args = {F(2, 3), F(4, 3), F(3)}),
    ROW("linear", "a bias of rank 2", linear, SHAPE, .args = {F(2, 3), F(4, 3), F(1, 4)}),
    ROW("linear", "an integer bias", linear, SHAPE, .args = {F(2, 3), F(4, 3), I(0, 4)}),
    ROW("activate", "no x", activate, VALUE, .args = {NONE}),
    ROW("activate", "integers", activate, SHAPE, .args = {I(0, 3)}),
    ROW("silu_product", "no up", silu_product, VALUE, .args = {F(3)}),
    ROW("silu_product", "other shapes", silu_product, SHAPE, .args = {F(2, 3), F(3, 2)}),
    ROW("gated_mlp", "no down", gated_mlp, VALUE, .args = {F(2, 3), F(4, 3), F(4, 3)}),
    ROW("gated_mlp", "a scalar", gated_mlp, SHAPE, .args = {SCALAR, F(4, 3), F(4, 3), F(3, 4)}),
    ROW("gated_mlp", "the gate's width", gated_mlp, SHAPE,
        .args = {F(2, 3), F(4, 2), F(4, 3), F(3, 4)}),
    ROW("gated_mlp", "up's width", gated_mlp, SHAPE, .args = {F(2, 3), F(4, 3), F(4, 2), F(3, 4)}),
    ROW("gated_mlp", "up's height", gated_mlp, SHAPE, .args = {F(2, 3), F(4, 3), F(5, 3), F(3, 4)}),
    ROW("gated_mlp", "down turned", gated_mlp, SHAPE, .args = {F(2, 3), F(4, 3), F(4, 3), F(4, 3)}),
    ROW("rms_norm", "no weight", rms_norm, VALUE, .args = {F(2, 3)}),
    ROW("rms_norm", "a scalar", rms_norm, SHAPE, .args = {SCALAR, F(1)}),
    ROW("rms_norm", "another width", rms_norm, SHAPE, .args = {F(2, 3), F(2)}),
    ROW("rms_norm", "a weight of rank 2", rms_norm, SHAPE, .args = {F(2, 3), F(1, 3)}),
    ROW("layer_norm", "no x", layer_norm, VALUE, .args = {NONE, F(3), F(3)}),
    ROW("layer_norm", "a scalar", layer_norm, SHAPE, .args = {SCALAR}),
    ROW("layer_norm", "another weight", layer_norm, SHAPE, .args = {F(2, 3), F(2)}),
    ROW("layer_norm", "another bias", layer_norm, SHAPE, .args = {F(2, 3), F(3), F(4)}),
    ROW("layer_norm", "an integer bias", layer_norm, SHAPE, .args = {F(2, 3), NONE, I(0, 3)}),
    ROW("embedding", "no table", embedding, VALUE, .args = {NONE, I(0, 3)}),
    ROW("embedding", "no ids", embedding, VALUE, .args = {F(5, 3)}),
    ROW("embedding", "ids of f32", embedding, SHAPE, .args = {F(5, 3), F(2)}),
    ROW("embedding", "a table of rank 1", embedding, SHAPE, .args = {F(5), I(0, 2)}),
    ROW("embedding", "ids of rank 4", embedding, SHAPE, .args = {F(5, 3), I(0, 1, 1, 1, 1)}),
    ROW("embedding", "an id too large", embedding, VALUE, .args = {F(5, 3), I(5, 2)}),
    ROW("embedding", "an id below 0", embedding, VALUE, .args = {F(5, 3), I(-1, 2)}),
    ROW("dropout", "no x", dropout, VALUE, .args = {NONE}, .x = 0.5f),
    ROW("dropout", "p = 1", dropout, VALUE, .args = {F(2)}, .x = 1.0f),
    ROW("dropout", "p below 0", dropout, VALUE, .args = {F(2)}, .x = -0.1f),
    ROW("dropout", "p not a number", dropout, VALUE, .args = {F(2)}, .x = NAN),
    ROW("drop_path", "p above 1", drop_path, VALUE, .args = {F(2)}, .x = 1.5f),
    ROW("drop_path", "integers", drop_path, SHAPE, .args = {I(1, 2)}, .x = 0.5f),
};

static const wrong shape_wrongs[] = {
    ROW("add", "no b", add, VALUE, .args = {F(2)}),
    ROW("add", "not a suffix", add, SHAPE, .args = {F(2, 3), F(2)}),
    ROW("add", "b larger than a", add, SHAPE, .args = {F(3), F(2, 3)}),
    ROW("add", "an inner extent of 1", add, SHAPE, .args = {F(2, 3), F(2, 1)}),
    ROW("add", "an empty a, another b", add, SHAPE, .args = {F(0, 3), F(5)}),
    ROW("sub", "other widths", sub, SHAPE, .args = {F(2, 3), F(4)}),
    ROW("sub", "integers", sub, SHAPE, .args = {F(2, 3), I(1, 3)}),
    ROW("mul", "no a", mul, VALUE, .args = {NONE, F(3)}),
    ROW("mul", "other widths", mul, SHAPE, .args = {F(2, 3), F(3, 3)}),
    ROW("scale", "no x", scale, VALUE, .args = {NONE}),
    ROW("reshape", "no x", reshape, VALUE, .args = {NONE}, .a = 1, .b = 3),
    ROW("reshape", "another count", reshape, SHAPE, .args = {F(2, 3)}, .a = 2, .b = 2, .c = 4),
    ROW("reshape", "a negative extent", reshape, SHAPE, .args = {F(2, 3)}, .a = 2, .b = -2,
        .c = -3),
    ROW("reshape", "rank 5", reshape, SHAPE, .args = {F(2, 3)}, .a = 5),
    ROW("reshape", "rank -1", reshape, SHAPE, .args = {F(2, 3)}, .a = -1),
    ROW("cast", "no x", cast, VALUE, .args = {NONE}, .a = ASSAY_BF16),
    ROW("cast", "to integers", cast, VALUE, .args = {F(2)}, .a = ASSAY_I32),
    ROW("cast", "from integers", cast, SHAPE, .args = {I(1, 2)}, .a = ASSAY_F32),
    ROW("concat", "nothing", concat, VALUE, .args = {NONE}, .a = 0),
    ROW("concat", "a gap", concat, VALUE, .args = {F(2), NONE, F(2)}, .a = 3),
    ROW("concat", "another rank", concat, SHAPE, .args = {F(2, 3), F(3)}, .a = 2),
    ROW("concat", "another extent", concat, SHAPE, .args = {F(2, 3), F(2, 4)}, .a = 2),
    ROW("concat", "another dtype", concat, SHAPE, .args = {F(2, 3), H(2, 3)}, .a = 2),
    ROW("concat", "an axis too far", concat, VALUE, .args = {F(2), F(2)}, .a = 2, .b = 1),
    ROW("concat", "an axis below 0", concat, VALUE, .args = {F(2), F(2)}, .a = 2, .b = -1),
    ROW("concat", "scalars", concat, VALUE, .args = {SCALAR, SCALAR}, .a = 2),
    ROW("slice", "no x", slice, VALUE, .args = {NONE}, .c = 1),
    ROW("slice", "past the end", slice, VALUE, .args = {F(3)}, .b = 2, .c = 2),
    ROW("slice", "before 0", slice, VALUE, .args = {F(3)}, .b = -1, .c = 2),
    ROW("slice", "a negative length", slice, VALUE, .args = {F(3)}, .b = 2, .c = -1),
    ROW("slice", "a length beyond all sums", slice, VALUE, .args = {F(3)}, .b = 2, .c = INT64_MAX),
    ROW("slice", "no such axis", slice, VALUE, .args = {F(3)}, .a = 1, .c = 1),
    ROW("split", "no x", split, VALUE, .args = {NONE}, .b = 1),
    ROW("split", "no such axis", split, VALUE, .args = {F(3)}, .a = 1, .b = 1, .c = 2),
    ROW("split", "too short", split, SHAPE, .args = {F(3)}, .b = 1, .c = 1),
    ROW("split", "a negative length", split, SHAPE, .args = {F(3)}, .b = 4, .c = -1),
    ROW("split", "lengths beyond all sums", split, SHAPE, .args = {F(3)}, .b = INT64_MAX,
        .c = INT64_MAX),
    ROW("gather", "no x", gather, VALUE, .args = {NONE, I(0, 3)}),
    ROW("gather", "no index", gather, VALUE, .args = {F(2, 3)}),
    ROW("gather", "an index of rank 2", gather, SHAPE, .args = {F(2, 3), I(0, 2, 2)}),
    ROW("gather", "x of rank 3", gather, SHAPE, .args = {F(2, 3, 4), I(0, 2)}),
    ROW("gather", "a row too far", gather, VALUE, .args = {F(2, 3), I(2, 2)}),
    ROW("gather", "a row below 0", gather, VALUE, .args = {F(2, 3), I(-100, 2)}),
    ROW("mask_rows", "no lengths", mask_rows, VALUE, .args = {F(2, 3, 4)}),
    ROW("mask_rows", "rank 2", mask_rows, SHAPE, .args = {F(2, 3), I(1, 2)}),
    ROW("mask_rows", "lengths of f32", mask_rows, SHAPE, .args = {F(2, 3, 4), F(2)}),
    ROW("mask_rows", "another batch", mask_rows, SHAPE, .args = {F(2, 3, 4), I(1, 3)}),
    ROW("mask_rows", "a length too large", mask_rows, VALUE, .args = {F(2, 3, 4), I(4, 2)}),
    ROW("mask_rows", "a length below 0", mask_rows, VALUE, .args = {F(2, 3, 4), I(-1, 2)}),
    ROW("patches", "no images", patches, VALUE, .args = {NONE}, .a = 2),
    ROW("patches", "rank 3", patches, SHAPE, .args = {F(3, 4, 4)}, .a = 2),
    ROW("patches", "bf16", patches, SHAPE, .args = {H(1, 3, 4, 4)}, .a = 2),
    ROW("patches", "side 0", patches, SHAPE, .args = {F(1, 3, 4, 4)}, .a = 0),
    ROW("patches", "a height between", patches, SHAPE, .args = {F(1, 3, 5, 4)}, .a = 2),
    ROW("patches", "a width between", patches, SHAPE, .args = {F(1, 3, 4, 5)}, .a = 2),
    ROW("step tensor", "rank 5", step_tensor, SHAPE, .args = {NONE}, .a = 5),
    ROW("step tensor", "a negative extent", step_tensor, SHAPE, .args = {NONE}, .a = 1, .b = -1),
    ROW("step tensor", "too large", step_tensor, SHAPE, .args = {NONE}, .a = 2, .b = INT64_MAX,
        .c = 2),
    ROW("patch_targets", "no patches", patch_targets, VALUE, .args = {NONE, I(0, 2)}, .a = 3),
    ROW("patch_targets", "no index", patch_targets, VALUE, .args = {F(2, 4)}, .a = 3),
    ROW("patch_targets", "bf16", patch_targets, SHAPE, .args = {H(2, 4), I(0, 2)}, .a = 3),
    ROW("patch_targets", "an index of pairs", patch_targets, SHAPE, .args = {F(2, 4), I(0, 2, 2)},
        .a = 3),
    ROW("patch_targets", "no channels", patch_targets, SHAPE, .args = {F(2, 4), I(0, 2)}),
    ROW("patch_targets", "a patch that is not there", patch_targets, VALUE,
        .args = {F(2, 4), I(2, 2)}, .a = 3),
};

static const wrong pooling_wrongs[] = {
    ROW("masked_mean", "no x", masked_mean, VALUE, .args = {NONE}),
    ROW("masked_mean", "rank 2", masked_mean, SHAPE, .args = {F(2, 3)}),
    ROW("masked_mean", "lengths of rank 2", masked_mean, SHAPE, .args = {F(2, 3, 4), I(1, 2, 1)}),
    ROW("masked_mean", "a length too large", masked_mean, VALUE, .args = {F(2, 3, 4), I(4, 2)}),
    ROW("last_token", "no x", last_token, VALUE, .args = {NONE}),
    ROW("last_token", "rank 4", last_token, SHAPE, .args = {F(2, 3, 4, 5)}),
    ROW("last_token", "an empty row", last_token, VALUE, .args = {F(2, 3, 4), I(0, 2)}),
    ROW("last_token", "no tokens", last_token, VALUE, .args = {F(2, 0, 4)}),
    ROW("last_token", "another batch", last_token, SHAPE, .args = {F(2, 3, 4), I(1, 1)}),
    ROW("normalize", "no x", normalize, VALUE, .args = {NONE}),
    ROW("normalize", "a scalar", normalize, SHAPE, .args = {SCALAR}),
    ROW("cosine", "no y", cosine, VALUE, .args = {F(2, 3)}),
    ROW("cosine", "other rows", cosine, SHAPE, .args = {F(2, 3), F(3, 3)}),
    ROW("cosine_matrix", "no x", cosine_matrix, VALUE, .args = {NONE, F(2, 3)}),
    ROW("cosine_matrix", "other widths", cosine_matrix, SHAPE, .args = {F(2, 3), F(2, 4)}),
    ROW("cosine_matrix", "rank 3", cosine_matrix, SHAPE, .args = {F(1, 2, 3), F(2, 3)}),
    ROW("dot", "no a", dot, VALUE, .args = {NONE, F(2)}),
    ROW("dot", "scalars", dot, SHAPE, .args = {SCALAR, SCALAR}),
    ROW("dot", "other shapes", dot, SHAPE, .args = {F(2, 3), F(3)}),
    ROW("sum", "no x", sum, VALUE, .args = {NONE}),
    ROW("mean", "integers", mean, SHAPE, .args = {I(1, 3)}),
    ROW("mean", "nothing", mean, SHAPE, .args = {F(0, 3)}),
    ROW("softmax", "no x", softmax, VALUE, .args = {NONE}),
    ROW("softmax", "a scalar", softmax, SHAPE, .args = {SCALAR}),
    ROW("cross_entropy", "no logits", cross_entropy, VALUE, .args = {NONE, I(0, 2)}),
    ROW("cross_entropy", "no targets", cross_entropy, VALUE, .args = {F(2, 3)}),
    ROW("cross_entropy", "a scalar", cross_entropy, SHAPE, .args = {SCALAR, I(0, 1)}),
    ROW("cross_entropy", "targets of f32", cross_entropy, SHAPE, .args = {F(2, 3), F(2)}),
    ROW("cross_entropy", "another number", cross_entropy, SHAPE, .args = {F(2, 3), I(0, 3)}),
    ROW("cross_entropy", "a target too large", cross_entropy, VALUE, .args = {F(2, 3), I(3, 2)}),
    ROW("cross_entropy", "a target of -1", cross_entropy, VALUE, .args = {F(2, 3), I(-1, 2)}),
    ROW("cross_entropy_head", "no weight", head, VALUE, .args = {F(2, 3), NONE, I(0, 2)}),
    ROW("cross_entropy_head", "no targets", head, VALUE, .args = {F(2, 3), F(5, 3)}),
    ROW("cross_entropy_head", "another width", head, SHAPE, .args = {F(2, 3), F(5, 4), I(0, 2)}),
    ROW("cross_entropy_head", "a scalar", head, SHAPE, .args = {SCALAR, F(5, 1), I(0, 1)}),
    ROW("cross_entropy_head", "another number", head, SHAPE, .args = {F(2, 3), F(5, 3), I(0, 1)}),
    ROW("cross_entropy_head", "a target too large", head, VALUE,
        .args = {F(2, 3), F(5, 3), I(5, 2)}),
    ROW("cross_entropy_head", "no classes", head, VALUE, .args = {F(2, 3), F(0, 3), I(0, 2)}),
    ROW("contrastive", "no y", contrastive, VALUE, .args = {F(2, 3)}, .x = 1),
    ROW("contrastive", "rank 1", contrastive, SHAPE, .args = {F(3), F(3)}, .x = 1),
    ROW("contrastive", "other shapes", contrastive, SHAPE, .args = {F(2, 3), F(3, 3)}, .x = 1),
    ROW("contrastive", "no pairs", contrastive, SHAPE, .args = {F(0, 3), F(0, 3)}, .x = 1),
    ROW("contrastive", "temperature 0", contrastive, VALUE, .args = {F(2, 3), F(2, 3)}, .x = 0),
    ROW("contrastive", "no temperature", contrastive, VALUE, .args = {F(2, 3), F(2, 3)}, .x = NAN),
    ROW("contrastive", "margin below 0", contrastive, VALUE, .args = {F(2, 3), F(2, 3)}, .x = 1,
        .y = -1),
    ROW("contrastive", "no such variant", contrastive, VALUE, .args = {F(2, 3), F(2, 3)}, .a = 4,
        .x = 1),
};

#define MAP  F(2, 3, 4, 5)
#define NORM MAP, F(3), F(3)

static const wrong map_wrongs[] = {
    ROW("conv2d", "no x", conv2d, VALUE, .args = {NONE, F(2, 3, 3, 3)}, .a = 1, .b = 1),
    ROW("conv2d", "no weight", conv2d, VALUE, .args = {MAP}, .a = 1, .b = 1),
    ROW("conv2d", "x of rank 3", conv2d, SHAPE, .args = {F(3, 4, 5), F(2, 3, 3, 3)}, .a = 1),
    ROW("conv2d", "x without pixels", conv2d, SHAPE, .args = {F(2, 3, 0, 5), F(2, 3, 1, 1)},
        .a = 1),
    ROW("conv2d", "other channels", conv2d, SHAPE, .args = {MAP, F(2, 4, 3, 3)}, .a = 1),
    ROW("conv2d", "a weight of rank 3", conv2d, SHAPE, .args = {MAP, F(2, 3, 3)}, .a = 1),
    ROW("conv2d", "an oblong window", conv2d, SHAPE, .args = {MAP, F(2, 3, 3, 1)}, .a = 1),
    ROW("conv2d", "no filters", conv2d, SHAPE, .args = {MAP, F(0, 3, 3, 3)}, .a = 1),
    ROW("conv2d", "another bias", conv2d, SHAPE, .args = {MAP, F(2, 3, 3, 3), F(3)}, .a = 1),
    ROW("conv2d", "a bias of integers", conv2d, SHAPE, .args = {MAP, F(2, 3, 3, 3), I(0, 2)},
        .a = 1),
    ROW("conv2d", "stride 0", conv2d, VALUE, .args = {MAP, F(2, 3, 3, 3)}, .a = 0),
    ROW("conv2d", "padding below 0", conv2d, VALUE, .args = {MAP, F(2, 3, 3, 3)}, .a = 1, .b = -1),
    ROW("conv2d", "padding as wide as the window", conv2d, VALUE, .args = {MAP, F(2, 3, 3, 3)},
        .a = 1, .b = 3),
    ROW("conv2d", "a window too large", conv2d, SHAPE, .args = {MAP, F(2, 3, 5, 5)}, .a = 1),
    ROW("conv_transpose2d", "no weight", conv_transpose2d, VALUE, .args = {MAP}),
    ROW("conv_transpose2d", "other channels", conv_transpose2d, SHAPE,
        .args = {MAP, F(2, 3, 2, 2)}),
    ROW("conv_transpose2d", "another bias", conv_transpose2d, SHAPE,
        .args = {MAP, F(3, 2, 2, 2), F(3)}),
    ROW("batch_norm", "no weight", batch_norm, VALUE, .args = {MAP, NONE, F(3), F(3), F(3)}),
    ROW("batch_norm", "no statistics", batch_norm, VALUE, .args = {NORM}),
    ROW("batch_norm", "rank 2", batch_norm, SHAPE, .args = {F(2, 3), F(3), F(3), F(3), F(3)}),
    ROW("batch_norm", "another weight", batch_norm, SHAPE, .args = {MAP, F(4), F(3), F(3), F(3)}),
    ROW("batch_norm", "another bias", batch_norm, SHAPE, .args = {MAP, F(3), F(1), F(3), F(3)}),
    ROW("batch_norm", "other statistics", batch_norm, SHAPE, .args = {NORM, F(3), F(2)}),
    ROW("batch_norm", "statistics of bf16", batch_norm, SHAPE, .args = {NORM, F(3), H(3)}),
    ROW("max_pool2d", "no x", max_pool2d, VALUE, .args = {NONE}, .a = 2),
    ROW("max_pool2d", "no window", max_pool2d, SHAPE, .args = {MAP}, .a = 0),
    ROW("max_pool2d", "a window too large", max_pool2d, SHAPE, .args = {MAP}, .a = 5),
    ROW("adaptive_average_pool2d", "rank 3", average_pool, SHAPE, .args = {F(3, 4, 5)}, .a = 1,
        .b = 1),
    ROW("adaptive_average_pool2d", "no windows", average_pool, VALUE, .args = {MAP}, .a = 1),
    ROW("resize_bilinear", "rank 3", bilinear, SHAPE, .args = {F(3, 4, 5)}, .a = 1, .b = 1),
    ROW("resize_bilinear", "a height of -1", bilinear, VALUE, .args = {MAP}, .a = -1, .b = 1),
    ROW("join_maps", "nothing", join_maps, VALUE, .args = {MAP}, .a = 0),
    ROW("join_maps", "no second map", join_maps, VALUE, .args = {MAP, NONE}, .a = 2),
    ROW("join_maps", "another batch", join_maps, SHAPE, .args = {MAP, F(1, 3, 4, 5)}, .a = 2),
    ROW("join_maps", "rank 3", join_maps, SHAPE, .args = {MAP, F(3, 4, 5)}, .a = 2),
    ROW("add_resized", "no other", add_resized, VALUE, .args = {MAP, NONE}),
    ROW("add_resized", "other channels", add_resized, SHAPE, .args = {MAP, F(2, 4, 2, 2)}),
    ROW("add_resized", "another batch", add_resized, SHAPE, .args = {MAP, F(1, 3, 2, 2)}),
    ROW("dropout2d", "no x", dropout2d, VALUE, .args = {NONE}, .x = 0.5f),
    ROW("dropout2d", "rank 3", dropout2d, SHAPE, .args = {F(3, 4, 5)}, .x = 0.5f),
    ROW("dropout2d", "p of 1", dropout2d, VALUE, .args = {MAP}, .x = 1),
    ROW("tokens_to_map", "rank 2", tokens_to_map, SHAPE, .args = {F(4, 5)}, .b = 2, .c = 2),
    ROW("tokens_to_map", "a token too many", tokens_to_map, SHAPE, .args = {F(2, 6, 3)}, .a = 1,
        .b = 2, .c = 2),
    ROW("tokens_to_map", "no map", tokens_to_map, SHAPE, .args = {F(2, 1, 3)}, .a = 1, .b = 0,
        .c = 2),
    ROW("tokens_to_map", "skip below 0", tokens_to_map, SHAPE, .args = {F(2, 3, 3)}, .a = -1,
        .b = 2, .c = 2),
    ROW("pixel_cross_entropy", "no logits", pixel_loss, VALUE, .args = {NONE, U(0, 2, 4, 5)}),
    ROW("pixel_cross_entropy", "no truth", pixel_loss, VALUE, .args = {MAP}),
    ROW("pixel_cross_entropy", "truth of i32", pixel_loss, SHAPE, .args = {MAP, I(0, 2, 4, 5)}),
    ROW("pixel_cross_entropy", "another size", pixel_loss, SHAPE, .args = {MAP, U(0, 2, 5, 4)}),
    ROW("pixel_cross_entropy", "a class too high", pixel_loss, VALUE, .args = {MAP, U(3, 2, 4, 5)}),
};

#define QKV F(2, 3, 8), F(2, 3, 8), F(2, 3, 8)

/* The same for attention and for its map, which does not read v. */
static const wrong attention_wrongs[] = {
    ROW("attention", "no q", attention, VALUE, .args = {NONE, F(2, 3, 8), F(2, 3, 8)}, .a = 2),
    ROW("attention", "no k", attention, VALUE, .args = {F(2, 3, 8), NONE, F(2, 3, 8)}, .a = 2),
    ROW("attention", "q of rank 2", attention, SHAPE, .args = {F(3, 8), F(3, 8), F(3, 8)}, .a = 2),
    ROW("attention", "no heads", attention, VALUE, .args = {QKV}, .a = 0),
    ROW("attention", "heads not shared evenly", attention, VALUE, .args = {QKV}, .a = 4, .b = 3),
    ROW("attention", "key heads below 0", attention, VALUE, .args = {QKV}, .a = 2, .b = -1),
    ROW("attention", "more key heads", attention, VALUE, .args = {QKV}, .a = 2, .b = 4),
    ROW("attention", "heads that do not divide", attention, SHAPE, .args = {QKV}, .a = 3),
    ROW("attention", "k of another width", attention, SHAPE, .args = {QKV}, .a = 4, .b = 2),
    ROW("attention", "k of another batch", attention, SHAPE,
        .args = {F(2, 3, 8), F(1, 3, 8), F(2, 3, 8)}, .a = 2),
    ROW("attention", "fewer keys than queries", attention, SHAPE,
        .args = {F(2, 3, 8), F(2, 2, 8), F(2, 2, 8)}, .a = 2),
    ROW("attention", "integers", attention, SHAPE, .args = {I(0, 2, 3, 8), F(2, 3, 8), F(2, 3, 8)},
        .a = 2),
    ROW("attention", "qkv that does not divide", attention, SHAPE, .args = {[6] = F(2, 3, 8)},
        .a = 2, .b = 2),
    ROW("attention", "an empty qkv", attention, SHAPE, .args = {[6] = F(2, 3, 0)}, .a = 2),
    ROW("attention", "lengths of another batch", attention, SHAPE, .args = {QKV, I(1, 3)}, .a = 2),
    ROW("attention", "lengths of f32", attention, SHAPE, .args = {QKV, F(2)}, .a = 2),
    ROW("attention", "a length beyond the keys", attention, VALUE, .args = {QKV, I(4, 2)}, .a = 2),
    ROW("attention", "a length below 0", attention, VALUE, .args = {QKV, I(-1, 2)}, .a = 2),
    ROW("attention", "a span of three", attention, SHAPE, .args = {QKV, [4] = I(0, 3)}, .a = 2),
    ROW("attention", "spans of another batch", attention, SHAPE, .args = {QKV, [4] = I(0, 3, 2)},
        .a = 2),
    ROW("attention", "a span of f32", attention, SHAPE, .args = {QKV, [4] = F(2)}, .a = 2),
    ROW("attention", "a span before 0", attention, SHAPE, .args = {QKV, [4] = I(-1, 2)}, .a = 2),
    ROW("attention", "a log-weight of rank 2", attention, SHAPE, .args = {QKV, [5] = F(3, 3)},
        .a = 2),
    ROW("attention", "a log-weight of bf16", attention, SHAPE, .args = {QKV, [5] = H(1, 1, 1, 1)},
        .a = 2),
    ROW("attention", "a log-weight per stray head", attention, SHAPE,
        .args = {QKV, [5] = F(1, 3, 1, 1)}, .a = 2),
    ROW("attention", "a log-weight per stray key", attention, SHAPE,
        .args = {QKV, [5] = F(1, 1, 1, 2)}, .a = 2),
    ROW("attention", "a table of another head width", attention, SHAPE, .args = {QKV}, .a = 4,
        .c = 1),
    ROW("attention", "a table too short", attention, SHAPE,
        .args = {F(1, 7, 4), F(1, 7, 4), F(1, 7, 4)}, .a = 1, .c = 1),
};

static const wrong other_attention_wrongs[] = {
    ROW("attention", "no v", attention, VALUE, .args = {F(2, 3, 8), F(2, 3, 8)}, .a = 2),
    ROW("attention", "v of another width", attention, SHAPE,
        .args = {F(2, 3, 8), F(2, 3, 8), F(2, 3, 4)}, .a = 2),
    ROW("attention", "v of another length", attention, SHAPE,
        .args = {F(2, 3, 8), F(2, 3, 8), F(2, 4, 8)}, .a = 2),
    ROW("attention bias", "a weight above 1", bias_future, VALUE, .args = {F(1, 2, 4)}, .x = 1.5f),
    ROW("attention bias", "a weight below 0", bias_future, VALUE, .args = {F(1, 2, 4)}, .x = -0.5f),
    ROW("attention bias", "a weight that is no number", bias_future, VALUE, .args = {F(1, 2, 4)},
        .x = NAN),
    ROW("history_prices", "no prices", history_prices, VALUE, .args = {NONE, I(0, 2, 2)}, .a = 3),
    ROW("history_prices", "no span", history_prices, VALUE, .args = {F(1, 1, 1, 3)}, .a = 3),
    ROW("history_prices", "rank 3", history_prices, SHAPE, .args = {F(1, 1, 3), I(0, 2, 2)},
        .a = 3),
    ROW("history_prices", "other keys", history_prices, SHAPE, .args = {F(1, 1, 1, 4), I(0, 2, 2)},
        .a = 3),
    ROW("history_prices", "prices by head", history_prices, SHAPE,
        .args = {F(1, 2, 1, 3), I(0, 2, 2)}, .a = 3),
    ROW("history_prices", "one number a span", history_prices, SHAPE,
        .args = {F(1, 1, 1, 3), I(0, 2, 1)}, .a = 3),
    ROW("history_prices", "a span past the tokens", history_prices, VALUE,
        .args = {F(1, 1, 1, 3), I(4, 2, 2)}, .a = 3),
    ROW("window_prices", "no window", window_prices, VALUE, .args = {NONE}),
    ROW("window_prices", "one number a query", window_prices, SHAPE, .args = {I(0, 2, 3)}),
    ROW("close_keys", "bf16 prices", close_keys, SHAPE, .args = {H(1, 1, 1, 3)}, .a = 2, .b = 3),
    ROW("close_keys", "another batch", close_keys, SHAPE, .args = {F(4, 1, 1, 3)}, .a = 2, .b = 3),
    ROW("close_keys", "costs of other keys", close_keys, SHAPE, .args = {F(1, 1, 1, 3), F(2, 4)},
        .a = 2, .b = 3),
    ROW("close_keys", "costs of another batch", close_keys, SHAPE,
        .args = {F(1, 1, 1, 3), NONE, F(3, 3)}, .a = 2, .b = 3),
    ROW("close_keys", "spans of another batch", close_keys, SHAPE,
        .args = {F(1, 1, 1, 3), NONE, NONE, I(0, 3, 2)}, .a = 2, .b = 3),
    ROW("rotate", "no x", rotate, VALUE, .args = {NONE}, .a = 2),
    ROW("rotate", "no table", rotate, VALUE, .args = {F(1, 2, 8)}, .a = 2, .c = -1),
    ROW("rotate", "rank 2", rotate, SHAPE, .args = {F(2, 8)}, .a = 2),
    ROW("rotate", "no heads", rotate, SHAPE, .args = {F(1, 2, 8)}, .a = 0),
    ROW("rotate", "another head width", rotate, SHAPE, .args = {F(1, 2, 8)}, .a = 4),
    ROW("rotate", "past the table", rotate, SHAPE, .args = {F(1, 2, 8)}, .a = 2, .b = 5),
    ROW("rotate", "before the table", rotate, SHAPE, .args = {F(1, 2, 8)}, .a = 2, .b = -1),
};

/* ---- trying them ---- */

static void give(assay_tape *tape, const wrong *w, assay_tensor *t[])
{
    for (int i = 0; i < ARGS; i++) {
        t[i] = NULL;
        if (!w->args[i].given)
            continue;
        t[i] = assay_tape_tensor(tape, w->args[i].dtype, w->args[i].rank, w->args[i].shape);
        assert_non_null(t[i]);
        if (t[i]->data)
            memset(t[i]->data, 0, (size_t)assay_tensor_bytes(t[i]));
        for (int64_t j = 0; t[i]->dtype == ASSAY_I32 && j < assay_tensor_count(t[i]); j++)
            assay_i32(t[i])[j] = w->args[i].value;
        if (t[i]->dtype == ASSAY_U8)
            memset(t[i]->data, w->args[i].value, (size_t)assay_tensor_bytes(t[i]));
    }
}

static void try_one(assay_tape *tape, const wrong *w)
{
    assay_tensor *t[ARGS], *result = NULL;
    assay_tape_begin(tape, (assay_step){.training = true});
    give(tape, w, t);
    result = w->call(tape, t, w);
    const assay_error *error = assay_tape_error(tape);
    bool explained = error->what[0] && (w->code != SHAPE || (error->expected[0] && error->got[0]));
    if (result || error->code != w->code || strcmp(error->where, w->op) != 0 || !explained) {
        char text[1024];
        print_error("%s with %s: %s\n", w->op, w->how,
                    result ? "a result" : assay_error_format(error, text, sizeof text));
        fail();
    }
}

static void try_all(const wrong *wrongs, size_t n)
{
    const assay_device *devices[] = {device_under_test(NULL), assay_device_plain()};
    for (int d = 0; d < 2; d++) {
        assay_tape *tape = assay_tape_new(devices[d], ASSAY_PRECISION_FP32, NULL);
        assert_non_null(tape);
        for (size_t i = 0; i < n; i++)
            try_one(tape, &wrongs[i]);
        assay_tape_free(tape);
    }
}

#define TRY_ALL(wrongs) try_all((wrongs), sizeof(wrongs) / sizeof((wrongs)[0]))

static void layers_refuse_what_does_not_fit(void **state)
{
    (void)state;
    TRY_ALL(layer_wrongs);
}

static void rearrangements_refuse_what_does_not_fit(void **state)
{
    (void)state;
    TRY_ALL(shape_wrongs);
}

static void pooling_and_losses_refuse_what_does_not_fit(void **state)
{
    (void)state;
    TRY_ALL(pooling_wrongs);
}

static void maps_refuse_what_does_not_fit(void **state)
{
    (void)state;
    TRY_ALL(map_wrongs);
}

static void attention_refuses_what_does_not_fit(void **state)
{
    (void)state;
    table = assay_rotary_new(6, 4, 100.0, NULL);
    assert_non_null(table);
    TRY_ALL(attention_wrongs);
    for (size_t i = 0; i < sizeof attention_wrongs / sizeof attention_wrongs[0]; i++) {
        wrong w = attention_wrongs[i];
        w.op = "attention_map";
        w.call = attention_map;
        w.args[2].given = false;
        try_all(&w, 1);
    }
    TRY_ALL(other_attention_wrongs);
    assay_rotary_free(table);
    table = NULL;
}

/* ---- what is made outside a tape ---- */

static void a_tensor_that_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        int rank;
        int64_t shape[ASSAY_MAX_RANK];
    } wrongs[] = {{5, {1}}, {-1, {1}}, {1, {-1}}, {2, {INT64_MAX, 2}}, {1, {INT64_MAX / 2}}};
    for (int i = 0; i < 5; i++) {
        assay_error error = {0};
        assert_null(assay_tensor_new(ASSAY_F32, wrongs[i].rank, wrongs[i].shape, &error));
        assert_int_equal(error.code, ASSAY_BAD_SHAPE);
        assert_string_equal(error.where, "tensor");
        assert_true(error.what[0] && error.got[0]);
    }
    assay_tensor_free(NULL);
}

static void a_rotary_table_that_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        int64_t positions, width;
        double base;
    } wrongs[] = {{0, 4, 1.0}, {-1, 4, 1.0}, {1, 3, 1.0}, {1, 0, 1.0}, {1, 4, 0.0}, {1, 4, NAN}};
    for (int i = 0; i < 6; i++) {
        assay_error error = {0};
        assert_null(assay_rotary_new(wrongs[i].positions, wrongs[i].width, wrongs[i].base, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_string_equal(error.where, "rotary");
    }
    assay_rotary_free(NULL);
}

static void tensors_describe_themselves(void **state)
{
    (void)state;
    assay_tensor *t = assay_tensor_new(ASSAY_BF16, 3, (const int64_t[]){3, 17, 64}, NULL);
    assert_non_null(t);
    assert_string_equal(assay_tensor_text(t), "(3, 17, 64) bf16");
    assert_string_equal(assay_shape_text(0, NULL), "()");
    assert_int_equal(assay_tensor_bytes(t), 3 * 17 * 64 * 2);
    assert_true(t->shape[3] == 1 && t->is_leaf && !t->needs_grad && !t->has_grad);
    assert_null(assay_f32(t));
    assert_null(assay_i32(t));
    assert_null(assay_u8(t));
    assert_ptr_equal(assay_bf16(t), t->data);
    assay_tensor_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_refuse_what_does_not_fit),
        cmocka_unit_test(rearrangements_refuse_what_does_not_fit),
        cmocka_unit_test(pooling_and_losses_refuse_what_does_not_fit),
        cmocka_unit_test(maps_refuse_what_does_not_fit),
        cmocka_unit_test(attention_refuses_what_does_not_fit),
        cmocka_unit_test(a_tensor_that_cannot_be_is_refused),
        cmocka_unit_test(a_rotary_table_that_cannot_be_is_refused),
        cmocka_unit_test(tensors_describe_themselves),
    };
    return cmocka_run_group_tests_name("shapes", tests, NULL, NULL);
}
