/* operand.c - input checks and fp32 views, shared by the operations. */
#include "engine/tensor/operand.h"

#include <inttypes.h>

bool op_takes(assay_tape *tape, const char *op, int n, const assay_tensor *const tensors[])
{
    if (!op_sound(tape))
        return false;
    for (int i = 0; i < n; i++) {
        if (tensors[i] && (tensors[i]->dtype == ASSAY_F32 || tensors[i]->dtype == ASSAY_BF16))
            continue;
        assay_tape_fail(tape, tensors[i] ? ASSAY_BAD_SHAPE : ASSAY_BAD_INPUT,
                        (assay_failure){.where = op,
                                        .what = assay_text("input %d is %s", i + 1,
                                                           tensors[i] ? "not floating" : "missing"),
                                        .expected = "a tensor of f32 or bf16",
                                        .got = assay_tensor_text(tensors[i])});
        return false;
    }
    return true;
}

bool op_takes_ints(assay_tape *tape, const char *op, const assay_tensor *tensor)
{
    if (!op_sound(tape))
        return false;
    if (tensor && tensor->dtype == ASSAY_I32)
        return true;
    assay_tape_fail(tape, tensor ? ASSAY_BAD_SHAPE : ASSAY_BAD_INPUT,
                    (assay_failure){.where = op,
                                    .what = "ids, indices, targets and lengths are integers",
                                    .expected = "a tensor of i32",
                                    .got = assay_tensor_text(tensor)});
    return false;
}

bool op_takes_activation(assay_tape *tape, const char *op, int activation)
{
    if (activation >= DEVICE_IDENTITY && activation <= DEVICE_EXP)
        return true;
    assay_tape_fail(tape, ASSAY_BAD_INPUT,
                    (assay_failure){.where = op,
                                    .what = "no such activation",
                                    .expected = assay_text("0 to %d", (int)DEVICE_EXP),
                                    .got = assay_text("%d", activation)});
    return false;
}

assay_tensor *op_mismatch(assay_tape *tape, const char *op, const char *what, const char *expected,
                          const assay_tensor *got)
{
    return assay_tape_fail(
        tape, ASSAY_BAD_SHAPE,
        (assay_failure){
            .where = op, .what = what, .expected = expected, .got = assay_tensor_text(got)});
}

bool op_takes_lengths(assay_tape *tape, const char *op, const assay_tensor *lengths, int64_t batch,
                      int64_t tokens)
{
    const int32_t *length = NULL;
    if (!lengths)
        return op_sound(tape);
    if (!op_takes_ints(tape, op, lengths))
        return false;
    if (lengths->rank != 1 || lengths->shape[0] != batch) {
        op_mismatch(tape, op, "lengths do not fit the batch",
                    assay_text("(%" PRId64 ") i32", batch), lengths);
        return false;
    }
    length = op_ints(lengths);
    for (int64_t b = 0; b < batch; b++)
        if (length[b] < 0 || length[b] > tokens) {
            assay_tape_fail(
                tape, ASSAY_BAD_INPUT,
                (assay_failure){.where = op,
                                .what = assay_text("length of row %" PRId64 " is out of range", b),
                                .expected = assay_text("0 to %" PRId64, tokens),
                                .got = assay_text("%" PRId32, length[b])});
            return false;
        }
    return true;
}

assay_tensor *op_like(assay_tape *tape, const assay_tensor *x, assay_dtype dtype)
{
    return assay_tape_tensor(tape, dtype, x->rank, x->shape);
}

int64_t op_width(const assay_tensor *x)
{
    return x->rank ? x->shape[x->rank - 1] : 1;
}

int64_t op_rows(const assay_tensor *x)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < x->rank; i++)
        rows *= x->shape[i];
    return rows;
}

bool op_sound(const assay_tape *tape)
{
    return assay_tape_error(tape)->code == ASSAY_OK;
}

assay_dtype op_activation_dtype(const assay_tape *tape)
{
    return assay_tape_precision(tape) == ASSAY_PRECISION_BF16 ? ASSAY_BF16 : ASSAY_F32;
}

const assay_kernels *op_kernels(const assay_tape *tape)
{
    return assay_tape_device(tape)->kernels;
}

operand operand_scratch(assay_tape *tape, int64_t n)
{
    operand o = {NULL, 0};
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, n, (int64_t)sizeof(float))) {
        assay_tape_fail(
            tape, ASSAY_NO_MEMORY,
            (assay_failure){.where = "scratch", .what = "size does not fit in 63 bits"});
        return o;
    }
    o.data = tape_numbers(tape, bytes);
    o.bytes = o.data ? bytes : 0;
    return o;
}

operand operand_read(assay_tape *tape, const assay_tensor *x)
{
    int64_t n = assay_tensor_count(x);
    void *numbers = op_in(tape, x);
    if (x->dtype == ASSAY_F32 || !numbers)
        return (operand){numbers, 0};
    operand o = operand_scratch(tape, n);
    if (o.data)
        op_kernels(tape)->from_bf16(n, numbers, o.data);
    return o;
}

device_precision op_factor_precision(const assay_tape *tape)
{
    static const device_precision of[] = {
        [ASSAY_PRECISION_FP32] = DEVICE_FP32,
        [ASSAY_PRECISION_BF16] = DEVICE_BF16,
        [ASSAY_PRECISION_TF32] = DEVICE_TF32,
    };
    return of[assay_tape_precision(tape)];
}

device_precision factor_precision(const assay_tape *tape)
{
    device_precision precision = op_factor_precision(tape);
    bool stored = precision == DEVICE_BF16 && assay_tape_device(tape)->gemm_takes_bf16;
    return stored ? DEVICE_BF16_STORED : precision;
}

op_factor factor_of_numbers(assay_tape *tape, device_precision precision, const float *x, int64_t n)
{
    int64_t bytes = n * (int64_t)sizeof(uint16_t);
    operand wide = {NULL, 0};
    uint16_t *narrow = NULL;
    if ((precision != DEVICE_BF16 && precision != DEVICE_BF16_STORED) || n == 0)
        return (op_factor){x, 0};
    if (precision == DEVICE_BF16)
        wide = operand_scratch(tape, n);
    narrow = tape_numbers(tape, bytes);
    if (narrow)
        op_kernels(tape)->to_bf16(n, x, narrow);
    if (precision == DEVICE_BF16_STORED)
        return (op_factor){narrow, narrow ? bytes : 0};
    if (narrow && wide.data)
        op_kernels(tape)->from_bf16(n, narrow, wide.data);
    tape_numbers_release(tape, narrow, bytes);
    return (op_factor){wide.data, wide.bytes};
}

op_factor factor_of(assay_tape *tape, device_precision precision, const assay_tensor *x)
{
    const void *numbers = NULL;
    if (x->dtype == ASSAY_BF16 && precision != DEVICE_BF16_STORED) {
        operand wide = operand_read(tape, x); /* needs no rounding */
        return (op_factor){wide.data, wide.bytes};
    }
    numbers = op_in(tape, x);
    if (!numbers || x->dtype == ASSAY_BF16)
        return (op_factor){numbers, 0};
    return factor_of_numbers(tape, precision, numbers, assay_tensor_count(x));
}

void factor_end(assay_tape *tape, op_factor *f)
{
    if (f->bytes)
        tape_numbers_release(tape, (void *)(uintptr_t)f->data, f->bytes);
    *f = (op_factor){NULL, 0};
}

operand operand_for(assay_tape *tape, assay_tensor *y)
{
    if (y->dtype == ASSAY_F32)
        return (operand){op_out(tape, y), 0};
    return operand_scratch(tape, assay_tensor_count(y));
}

void operand_store(assay_tape *tape, operand *o, assay_tensor *y)
{
    uint16_t *narrow = o->data && y->dtype == ASSAY_BF16 ? op_out(tape, y) : NULL;
    if (narrow)
        op_kernels(tape)->to_bf16(assay_tensor_count(y), o->data, narrow);
    operand_end(tape, o);
}

void operand_end(assay_tape *tape, operand *o)
{
    if (o->bytes)
        tape_numbers_release(tape, o->data, o->bytes);
    *o = (operand){NULL, 0};
}
