/* library.c - see library.h. */
#include "library.h"

#include <oneapi/dnnl/dnnl.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- objects ---- */

/* Every object there was: reachable, so that a leak checker leaves the dead ones alone. */
static standin_object *all;

void *standin_memory(int64_t bytes, const char *what)
{
    void *memory = calloc(1, (size_t)bytes + (bytes == 0));
    if (memory == NULL)
        standin_fault("%s: no memory of the host's for %" PRId64 " bytes", what, bytes);
    return memory;
}

void *standin_object_new(const char *kind, size_t bytes)
{
    standin_object *object = standin_memory((int64_t)bytes, kind);
    object->kind = kind;
    object->alive = true;
    object->next = all;
    all = object;
    standin_count(kind, 1);
    return object;
}

bool standin_object_alive(const char *function, const char *kind, const void *memory)
{
    const standin_object *object = memory;
    if (object == NULL)
        return standin_refuse(function, "a missing object", kind, "NULL");
    if (object->kind != kind)
        return standin_refuse(function, "an object of another kind", kind, object->kind);
    return object->alive ||
           standin_refuse(function, "a destroyed object", kind, "one that was destroyed");
}

void standin_object_destroy(void *memory)
{
    standin_object *object = memory;
    object->alive = false;
    standin_count(object->kind, -1);
}

/* ---- refusals ---- */

bool standin_refuse(const char *function, const char *what, const char *expected, const char *got)
{
    fprintf(stderr, "standin: %s: %s: expected %s, got %s\n", function, what, expected, got);
    return false;
}

bool standin_require(bool holds, const char *function, const char *what, int64_t expected,
                     int64_t got)
{
    char want[32], have[32];
    if (holds)
        return true;
    snprintf(want, sizeof want, "%" PRId64, expected);
    snprintf(have, sizeof have, "%" PRId64, got);
    return standin_refuse(function, what, want, have);
}

bool standin_require_array(const char *function, const char *what, const void *p, int64_t bytes,
                           int64_t alignment)
{
    char want[64];
    if (!standin_may_touch(p, bytes)) {
        snprintf(want, sizeof want, "%" PRId64 " bytes of device memory", bytes);
        return standin_refuse(function, what, want, standin_where(p));
    }
    if ((uintptr_t)p % (uintptr_t)alignment == 0)
        return true;
    snprintf(want, sizeof want, "a pointer aligned to %" PRId64, alignment);
    return standin_refuse(function, what, want, standin_where(p));
}

/* ---- products ---- */

/* The nearest number of 11 significant bits; NaN and infinities stay. */
static float tf32_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000u) != 0x7f800000u)
        bits = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

/* A rounded copy (rows, columns) without gaps; the caller frees it. */
static float *rounded(const float *x, int64_t rows, int64_t columns, int64_t stride)
{
    float *copy = standin_memory(rows * columns * (int64_t)sizeof *copy, "factors rounded to TF32");
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            copy[r * columns + c] = tf32_of(x[r * stride + c]);
    return copy;
}

static void multiply_fp32(const standin_product *p)
{
    const int64_t each = sizeof(float);
    standin_share(p->a, (p->transpose_a ? p->k : p->m) * p->lda * each);
    standin_share(p->b, (p->transpose_b ? p->n : p->k) * p->ldb * each);
    standin_share(p->c, p->m * p->ldc * each);
    dnnl_status_t status =
        dnnl_sgemm(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N', p->m, p->n, p->k,
                   p->alpha, p->a, p->lda, p->b, p->ldb, p->beta, p->c, p->ldc);
    if (status != dnnl_success)
        standin_fault("dnnl_sgemm failed with status %d", (int)status);
}

void standin_multiply(const standin_product *product)
{
    standin_product p = *product;
    float *a = NULL, *b = NULL;
    if (p.tf32) {
        int64_t a_rows = p.transpose_a ? p.k : p.m, b_rows = p.transpose_b ? p.n : p.k;
        int64_t a_columns = p.m + p.k - a_rows, b_columns = p.n + p.k - b_rows;
        p.a = a = rounded(p.a, a_rows, a_columns, p.lda);
        p.b = b = rounded(p.b, b_rows, b_columns, p.ldb);
        p.lda = a_columns;
        p.ldb = b_columns;
    }
    multiply_fp32(&p);
    free(b);
    free(a);
}
