/* stored.c - what the bytes of a stored tensor mean: dtypes, and values as the engine wants them.
 *
 * Every value passes through double (floating dtypes, all of them exact there) or int64_t, so there
 * is one path per kind and one rounding at its end. Stored data may be unaligned and is only ever
 * read by memcpy. */
#include "engine/weights/safetensors.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    int64_t size;
    bool floating;
} stored_dtypes[] = {
    [ASSAY_STORED_F64] = {"F64", 8, true},  [ASSAY_STORED_F32] = {"F32", 4, true},
    [ASSAY_STORED_F16] = {"F16", 2, true},  [ASSAY_STORED_BF16] = {"BF16", 2, true},
    [ASSAY_STORED_I64] = {"I64", 8, false}, [ASSAY_STORED_I32] = {"I32", 4, false},
    [ASSAY_STORED_I16] = {"I16", 2, false}, [ASSAY_STORED_I8] = {"I8", 1, false},
    [ASSAY_STORED_U8] = {"U8", 1, false},   [ASSAY_STORED_BOOL] = {"BOOL", 1, false},
};

const char *assay_stored_dtype_name(assay_stored_dtype dtype)
{
    return stored_dtypes[dtype].name;
}

int64_t stored_dtype_size(assay_stored_dtype dtype)
{
    return stored_dtypes[dtype].size;
}

bool stored_dtype_parse(const char *name, assay_stored_dtype *out)
{
    for (size_t i = 0; i < sizeof stored_dtypes / sizeof stored_dtypes[0]; i++) {
        if (strcmp(stored_dtypes[i].name, name) == 0) {
            *out = (assay_stored_dtype)i;
            return true;
        }
    }
    return false;
}

/* ---- one value ---- */

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15) and 10 fraction bits. */
static double from_half(uint16_t bits)
{
    int exponent = (bits >> 10) & 0x1f;
    int fraction = bits & 0x3ff;
    double magnitude;
    if (exponent == 0x1f)
        magnitude = fraction != 0 ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        magnitude = ldexp(fraction, -24);
    else
        magnitude = ldexp(fraction + 0x400, exponent - 25);
    return copysign(magnitude, (bits & 0x8000) != 0 ? -1.0 : 1.0);
}

/* The i-th element of a tensor of a floating dtype; exact. */
static double floating_at(const assay_stored *stored, int64_t i)
{
    const uint8_t *from = (const uint8_t *)stored->data + i * stored_dtypes[stored->dtype].size;
    double f64;
    float f32;
    uint16_t bits;
    switch (stored->dtype) {
    case ASSAY_STORED_F64:
        memcpy(&f64, from, sizeof f64);
        return f64;
    case ASSAY_STORED_F32:
        memcpy(&f32, from, sizeof f32);
        return (double)f32;
    case ASSAY_STORED_F16:
        memcpy(&bits, from, sizeof bits);
        return from_half(bits);
    default:
        memcpy(&bits, from, sizeof bits);
        return (double)assay_from_bf16(bits);
    }
}

/* The i-th element of a tensor of an integer dtype. A boolean is 0 or 1, whatever its byte. */
static int64_t integer_at(const assay_stored *stored, int64_t i)
{
    const uint8_t *from = (const uint8_t *)stored->data + i * stored_dtypes[stored->dtype].size;
    int64_t i64;
    int32_t i32;
    int16_t i16;
    switch (stored->dtype) {
    case ASSAY_STORED_I64:
        memcpy(&i64, from, sizeof i64);
        return i64;
    case ASSAY_STORED_I32:
        memcpy(&i32, from, sizeof i32);
        return i32;
    case ASSAY_STORED_I16:
        memcpy(&i16, from, sizeof i16);
        return i16;
    case ASSAY_STORED_I8:
        return (int8_t)*from;
    case ASSAY_STORED_BOOL:
        return *from != 0;
    default:
        return *from;
    }
}

static double value_at(const assay_stored *stored, int64_t i)
{
    return stored_dtypes[stored->dtype].floating ? floating_at(stored, i)
                                                 : (double)integer_at(stored, i);
}

/* double to bfloat16 with one rounding. Going through a float that was rounded to nearest would
 * round twice and miss ties, so the float is rounded to odd: cut, with the last bit set when
 * anything was lost (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved
 * algorithms using rounding to odd", IEEE TC 2008). */
static uint16_t double_to_bf16(double value)
{
    union {
        float number;
        uint32_t bits;
    } u = {(float)value};
    if ((double)u.number != value && !isnan(value)) {
        if (fabs((double)u.number) > fabs(value))
            u.bits--;
        u.bits |= 1u;
    }
    return assay_to_bf16(u.number);
}

/* float to binary16, to nearest even: normal numbers keep 10 bits of fraction, those below 2^-14
 * are multiples of 2^-24. */
static uint16_t float_to_half(float value)
{
    union {
        float number;
        uint32_t bits;
    } u = {value};
    uint16_t sign = (uint16_t)(u.bits >> 16 & 0x8000);
    uint32_t magnitude = u.bits & 0x7fffffff;
    if (magnitude >= 0x7f800000) /* infinity, or a NaN that stays quiet */
        return (uint16_t)(sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 : 0));
    if (magnitude < 0x38800000)
        return (uint16_t)(sign | (uint16_t)lrintf(ldexpf(fabsf(value), 24)));
    magnitude += 0xfff + (magnitude >> 13 & 1); /* half a unit, less a bit where even is below */
    magnitude = (magnitude >> 13) - (112u << 10);
    return (uint16_t)(sign | (magnitude < 0x7c00 ? magnitude : 0x7c00));
}

bool stored_convert(const assay_tensor *tensor, int64_t first, int64_t n, assay_stored_dtype type,
                    void *out)
{
    const float *f32 = assay_f32(tensor);
    const uint16_t *bf16 = assay_bf16(tensor);
    float *floats = out;
    uint16_t *halves = out;
    bool fits = true;
    for (int64_t i = 0; i < n; i++) {
        float value = f32 != NULL ? f32[first + i] : assay_from_bf16(bf16[first + i]);
        if (type == ASSAY_STORED_F32) {
            floats[i] = value;
        } else if (type == ASSAY_STORED_BF16) {
            halves[i] = assay_to_bf16(value);
            fits = fits && (isinf(assay_from_bf16(halves[i])) == isinf(value));
        } else {
            halves[i] = float_to_half(value);
            fits = fits && ((halves[i] & 0x7fff) != 0x7c00 || isinf(value));
        }
    }
    return fits;
}

/* ---- whole tensors ---- */

static void read_floating(const assay_stored *stored, assay_tensor *out)
{
    float *f32 = assay_f32(out);
    uint16_t *bf16 = assay_bf16(out);
    for (int64_t i = 0; i < stored->count; i++) {
        double value = floating_at(stored, i);
        if (f32 != NULL)
            f32[i] = (float)value;
        else
            bf16[i] = double_to_bf16(value);
    }
}

/* Looks at every value before it writes the first, so that a failure leaves `out` as it was. */
static bool read_integers(const assay_stored *stored, assay_tensor *out, assay_error *error)
{
    int32_t *i32 = assay_i32(out);
    uint8_t *u8 = assay_u8(out);
    int64_t low = out->dtype == ASSAY_I32 ? INT32_MIN : 0;
    int64_t high = out->dtype == ASSAY_I32 ? INT32_MAX : UINT8_MAX;
    for (int64_t i = 0; i < stored->count; i++) {
        int64_t value = integer_at(stored, i);
        if (value < low || value > high)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = assay_text("tensor %s", stored->name),
                .what = assay_text("a stored value does not fit %s", assay_dtype_name(out->dtype)),
                .expected = assay_text("%lld .. %lld", (long long)low, (long long)high),
                .got = assay_text("%lld at element %lld", (long long)value, (long long)i));
    }
    for (int64_t i = 0; i < stored->count; i++) {
        int64_t value = integer_at(stored, i);
        if (i32 != NULL)
            i32[i] = (int32_t)value;
        else
            u8[i] = (uint8_t)value;
    }
    return true;
}

static bool same_representation(assay_stored_dtype stored, assay_dtype dtype)
{
    return (stored == ASSAY_STORED_F32 && dtype == ASSAY_F32) ||
           (stored == ASSAY_STORED_BF16 && dtype == ASSAY_BF16) ||
           (stored == ASSAY_STORED_I32 && dtype == ASSAY_I32) ||
           (stored == ASSAY_STORED_U8 && dtype == ASSAY_U8);
}

bool assay_stored_read(const assay_stored *stored, assay_tensor *out, assay_error *error)
{
    size_t extents = (size_t)stored->rank * sizeof stored->shape[0];
    if (out->rank != stored->rank || memcmp(out->shape, stored->shape, extents) != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = assay_text("tensor %s", stored->name),
                          .what = "the stored shape is not the one wanted",
                          .expected = assay_shape_text(out->rank, out->shape),
                          .got = assay_shape_text(stored->rank, stored->shape));
    bool wants_floating = out->dtype == ASSAY_F32 || out->dtype == ASSAY_BF16;
    if (wants_floating != stored_dtypes[stored->dtype].floating)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("tensor %s", stored->name),
                          .what = "the stored dtype does not convert to the one wanted",
                          .expected = wants_floating ? "F64, F32, F16 or BF16"
                                                     : "I64, I32, I16, I8, U8 or BOOL",
                          .got = assay_stored_dtype_name(stored->dtype),
                          .hint = "integers and floating-point numbers are never mixed");
    if (stored->count == 0)
        return true;
    if (same_representation(stored->dtype, out->dtype)) {
        memcpy(assay_elements(out), stored->data, (size_t)stored->bytes);
        return true;
    }
    if (!wants_floating)
        return read_integers(stored, out, error);
    read_floating(stored, out);
    return true;
}

assay_tensor *assay_stored_tensor(const assay_stored *stored, assay_dtype dtype, assay_error *error)
{
    if (stored->rank > ASSAY_MAX_RANK) {
        ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = assay_text("tensor %s", stored->name),
                   .what = "the stored tensor has too many axes",
                   .expected = assay_text("rank 0 .. %d", ASSAY_MAX_RANK),
                   .got = assay_shape_text(stored->rank, stored->shape));
        return NULL;
    }
    assay_tensor *tensor = assay_tensor_new(dtype, stored->rank, stored->shape, error);
    if (tensor != NULL && !assay_stored_read(stored, tensor, error)) {
        assay_tensor_free(tensor);
        tensor = NULL;
    }
    return tensor;
}

void assay_stored_doubles(const assay_stored *stored, double *out)
{
    for (int64_t i = 0; i < stored->count; i++)
        out[i] = value_at(stored, i);
}

bool assay_stored_scalar(const assay_stored *stored, double *out, assay_error *error)
{
    if (stored->count != 1)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = assay_text("tensor %s", stored->name),
                          .what = "the stored tensor is not a single value",
                          .expected = "one element",
                          .got = assay_shape_text(stored->rank, stored->shape));
    *out = value_at(stored, 0);
    return true;
}
