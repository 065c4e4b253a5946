/* maps_conv.c - convolution and transposed convolution of maps. */
#include "engine/tensor/maps.h"

#include <inttypes.h>

typedef struct conv_saved {
    int64_t stride, pad;
} conv_saved;

/* The weight is floating (a, b, k, k) with its axis `axis` equal to the channels of x. */
static bool takes_weight(assay_tape *tape, const char *op, const assay_tensor *x,
                         const assay_tensor *weight, int axis)
{
    if (!op_takes_map(tape, op, x) || !op_takes(tape, op, 1, (const assay_tensor *[]){weight}))
        return false;
    if (weight->rank == 4 && weight->shape[axis] == x->shape[1] && weight->shape[1 - axis] >= 1 &&
        weight->shape[2] >= 1 && weight->shape[2] == weight->shape[3])
        return true;
    op_mismatch(tape, op, "the weight does not fit x",
                assay_text(axis == 1 ? "(O, %" PRId64 ", k, k) for x %s"
                                     : "(%" PRId64 ", O, k, k) for x %s",
                           x->shape[1], assay_tensor_text(x)),
                weight);
    return false;
}

static device_conv conv_of(const conv_saved *saved, const assay_tensor *x,
                           const assay_tensor *weight)
{
    return (device_conv){.batch = x->shape[0],
                         .channels = x->shape[1],
                         .height = x->shape[2],
                         .width = x->shape[3],
                         .filters = weight->shape[0],
                         .side = weight->shape[2],
                         .stride = saved->stride,
                         .pad = saved->pad};
}

/* The gradient of a bias: the sum over images and pixels of the result's. */
static void add_bias_gradient(assay_tape *tape, assay_tensor *bias, const assay_tensor *y)
{
    assay_grad_target to = assay_tape_grad(tape, bias);
    if (to.data)
        op_kernels(tape)->sum_channels(y->shape[0], y->shape[1], y->shape[2] * y->shape[3], y->grad,
                                       to.data, to.add);
}

/* Maps are never rounded to bf16. */
static device_precision map_precision(const assay_tape *tape)
{
    return assay_tape_precision(tape) == ASSAY_PRECISION_TF32 ? DEVICE_TF32 : DEVICE_FP32;
}

static bool conv2d_backward(assay_tape *tape, const assay_node *node)
{
    assay_tensor *x = node->inputs[0], *weight = node->inputs[1], *y = node->outputs[0];
    assay_grad_target d_x = assay_tape_grad(tape, x), d_w = assay_tape_grad(tape, weight);
    operand in = operand_read(tape, x), w = operand_read(tape, weight);
    device_conv conv = conv_of(node->saved, x, weight);
    conv.x = in.data;
    conv.w = w.data;
    conv.d_y = y->grad;
    conv.precision = map_precision(tape);
    conv.d_x = d_x.data;
    conv.d_w = d_w.data;
    conv.add_x = d_x.add;
    conv.add_w = d_w.add;
    if (op_sound(tape) && (conv.d_x || conv.d_w))
        op_kernels(tape)->d_conv(&conv);
    add_bias_gradient(tape, node->inputs[2], y);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op conv2d_op = {sizeof(assay_op), "conv2d", conv2d_backward};

static bool takes_window(assay_tape *tape, const assay_tensor *x, const assay_tensor *weight,
                         int64_t stride, int64_t pad)
{
    int64_t side = weight->shape[2];
    if (stride < 1 || pad < 0 || pad >= side) {
        assay_tape_fail(
            tape, ASSAY_BAD_INPUT,
            (assay_failure){.where = "conv2d",
                            .what = "stride or padding is out of range",
                            .expected = assay_text("stride >= 1, 0 <= padding < %" PRId64, side),
                            .got =
                                assay_text("stride %" PRId64 ", padding %" PRId64, stride, pad)});
        return false;
    }
    if (x->shape[2] + 2 * pad >= side && x->shape[3] + 2 * pad >= side)
        return true;
    op_mismatch(tape, "conv2d", "the map is smaller than the window",
                assay_text("sides of at least %" PRId64, side - 2 * pad), x);
    return false;
}

assay_tensor *assay_conv2d(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                           assay_tensor *bias, int64_t stride, int64_t pad)
{
    assay_tensor *const inputs[] = {x, weight, bias};
    assay_tensor *y = NULL;
    conv_saved *saved = NULL;
    device_conv conv;
    operand in, w, b = {NULL, 0};
    if (!takes_weight(tape, "conv2d", x, weight, 1) ||
        !op_takes_vector(tape, "conv2d", "the bias", bias, weight->shape[0]) ||
        !takes_window(tape, x, weight, stride, pad))
        return NULL;
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!saved)
        return NULL;
    *saved = (conv_saved){stride, pad};
    conv = conv_of(saved, x, weight);
    y = assay_tape_tensor(tape, ASSAY_F32, 4,
                          (int64_t[]){x->shape[0], weight->shape[0],
                                      (x->shape[2] + 2 * pad - conv.side) / stride + 1,
                                      (x->shape[3] + 2 * pad - conv.side) / stride + 1});
    in = operand_read(tape, x);
    w = operand_read(tape, weight);
    if (bias)
        b = operand_read(tape, bias);
    if (!op_sound(tape))
        return NULL;
    conv.x = in.data;
    conv.w = w.data;
    conv.bias = b.data;
    conv.y = op_out(tape, y);
    conv.precision = map_precision(tape);
    op_kernels(tape)->conv(&conv);
    operand_end(tape, &b);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return assay_tape_record(tape, &conv2d_op, 3, inputs, 1, &y, saved) ? y : NULL;
}

/* ---- transposed: products of a few images at once, whose rows (O, k, k) are then woven into maps
 * ---- */

enum {
    PARTS_FLOATS =
        4 * 1024 * 1024, /* of the images taken at once, unless one has more: a cache holds them */
};

/* Sizes of one image: x (C, pixels), parts (O k k, pixels), y (O, k H, k W); and how many are taken
 * at once. */
typedef struct transposed {
    int64_t channels, filters, side, height, width, pixels, parts, at_once;
} transposed;

static transposed transposed_of(const assay_tensor *x, const assay_tensor *weight)
{
    int64_t side = weight->shape[2];
    transposed t = {.channels = x->shape[1],
                    .filters = weight->shape[1],
                    .side = side,
                    .height = x->shape[2],
                    .width = x->shape[3],
                    .pixels = x->shape[2] * x->shape[3],
                    .parts = weight->shape[1] * side * side};
    int64_t each = t.parts * t.pixels, fitting = each > 0 ? PARTS_FLOATS / each : x->shape[0];
    t.at_once = fitting < 1 ? 1 : fitting < x->shape[0] ? fitting : x->shape[0];
    return t;
}

/* Images from `first` on that are taken at once, of `batch`. */
static int64_t images_from(const transposed *t, int64_t first, int64_t batch)
{
    return batch - first < t->at_once ? batch - first : t->at_once;
}

static void transposed_images(const assay_kernels *k, const transposed *t, int64_t images,
                              const float *x, const float *w, const float *bias, float *parts,
                              float *y)
{
    k->gemm(&(device_gemm){.a = w,
                           .b = x,
                           .c = parts,
                           .m = t->parts,
                           .n = t->pixels,
                           .k = t->channels,
                           .lda = t->parts,
                           .ldb = t->pixels,
                           .ldc = t->pixels,
                           .transpose_a = true,
                           .items = images,
                           .step_b = t->channels * t->pixels,
                           .step_c = t->parts * t->pixels});
    k->depth_to_space(images, t->filters, t->side, t->height, t->width, parts, bias, y);
}

/* d_w (C, O k k) = [d_w +] x parts^T, image by image: each adds to the one before. */
static void d_transposed_weight(const assay_kernels *k, const transposed *t, int64_t images,
                                const float *x, const float *parts, float *d_w, bool add)
{
    for (int64_t i = 0; i < images; i++)
        k->gemm(&(device_gemm){.a = x + i * t->channels * t->pixels,
                               .b = parts + i * t->parts * t->pixels,
                               .c = d_w,
                               .m = t->channels,
                               .n = t->parts,
                               .k = t->pixels,
                               .lda = t->pixels,
                               .ldb = t->pixels,
                               .ldc = t->parts,
                               .transpose_b = true,
                               .add = add || i > 0});
}

static void d_transposed_images(const assay_kernels *k, const transposed *t, int64_t images,
                                const float *x, const float *w, const float *d_y, float *parts,
                                assay_grad_target d_x, assay_grad_target d_w)
{
    k->space_to_depth(images * t->filters, t->side, t->height, t->width, d_y, parts);
    if (d_x.data)
        k->gemm(&(device_gemm){.a = w,
                               .b = parts,
                               .c = d_x.data,
                               .m = t->channels,
                               .n = t->pixels,
                               .k = t->parts,
                               .lda = t->parts,
                               .ldb = t->pixels,
                               .ldc = t->pixels,
                               .add = d_x.add,
                               .items = images,
                               .step_b = t->parts * t->pixels,
                               .step_c = t->channels * t->pixels});
    if (d_w.data)
        d_transposed_weight(k, t, images, x, parts, d_w.data, d_w.add);
}

static bool conv_transpose2d_backward(assay_tape *tape, const assay_node *node)
{
    assay_tensor *x = node->inputs[0], *weight = node->inputs[1], *y = node->outputs[0];
    assay_grad_target d_x = assay_tape_grad(tape, x), d_w = assay_tape_grad(tape, weight);
    operand in = operand_read(tape, x), w = operand_read(tape, weight);
    transposed t = transposed_of(x, weight);
    operand parts = operand_scratch(tape, t.at_once * t.parts * t.pixels);
    int64_t of_x = t.channels * t.pixels, of_y = t.parts * t.pixels;
    bool wanted = d_x.data || d_w.data;
    if (op_sound(tape) && d_w.data && x->shape[0] == 0 && !d_w.add)
        op_kernels(tape)->fill(assay_tensor_count(weight), 0.0f, NULL, d_w.data, false);
    for (int64_t b = 0; op_sound(tape) && wanted && b < x->shape[0]; b += t.at_once) {
        assay_grad_target to = {d_x.data ? d_x.data + b * of_x : NULL, d_x.add};
        d_transposed_images(op_kernels(tape), &t, images_from(&t, b, x->shape[0]),
                            in.data + b * of_x, w.data, y->grad + b * of_y, parts.data, to,
                            (assay_grad_target){d_w.data, d_w.add || b > 0});
    }
    add_bias_gradient(tape, node->inputs[2], y);
    operand_end(tape, &parts);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op conv_transpose2d_op = {sizeof(assay_op), "conv_transpose2d",
                                             conv_transpose2d_backward};

assay_tensor *assay_conv_transpose2d(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                                     assay_tensor *bias)
{
    assay_tensor *const inputs[] = {x, weight, bias};
    assay_tensor *y = NULL;
    transposed t;
    operand in, w, b = {NULL, 0}, parts;
    int64_t height = 0, width = 0;
    if (!takes_weight(tape, "conv_transpose2d", x, weight, 0) ||
        !op_takes_vector(tape, "conv_transpose2d", "the bias", bias, weight->shape[1]))
        return NULL;
    t = transposed_of(x, weight);
    if (!assay_size_mul(&height, t.height, t.side) || !assay_size_mul(&width, t.width, t.side))
        return op_mismatch(tape, "conv_transpose2d", "the result is too large", "a smaller map", x);
    y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){x->shape[0], t.filters, height, width});
    if (!y)
        return NULL;
    in = operand_read(tape, x);
    w = operand_read(tape, weight);
    if (bias)
        b = operand_read(tape, bias);
    parts = operand_scratch(tape, t.at_once * t.parts * t.pixels);
    if (!op_sound(tape))
        return NULL;
    float *maps = op_out(tape, y);
    for (int64_t i = 0; i < x->shape[0]; i += t.at_once)
        transposed_images(op_kernels(tape), &t, images_from(&t, i, x->shape[0]),
                          in.data + i * t.channels * t.pixels, w.data, b.data, parts.data,
                          maps + i * t.parts * t.pixels);
    operand_end(tape, &parts);
    operand_end(tape, &b);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return assay_tape_record(tape, &conv_transpose2d_op, 3, inputs, 1, &y, NULL) ? y : NULL;
}
