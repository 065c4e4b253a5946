/* cublaslt.c - the part of cuBLASLt that plugins/devices/cuda uses, done by the host; see
 * library.h.
 *
 * Stricter than the library: an algorithm computes the problem it was proposed for and no other;
 * arrays are as aligned as was said when it was proposed; sums that are added up in the output, in
 * an order that is chance, are refused. An algorithm that cuts its sum into parts keeps them in the
 * workspace, and the bytes it was promised are really used. */
#include "library.h"

#include <assay/tensor.h>

#include <cublasLt.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char handle_kind[] = "cublasLt handle", op_kind[] = "cublasLt operation descriptor",
                  layout_kind[] = "cublasLt matrix layout", wish_kind[] = "cublasLt preference";

typedef struct lt_handle {
    standin_object object;
} lt_handle;

typedef struct lt_op {
    standin_object object;
    cublasComputeType_t compute;
    int32_t transpose_a, transpose_b; /* cublasOperation_t */
    uint32_t epilogue;
    const float *bias;
} lt_op;

typedef struct lt_layout {
    standin_object object;
    cudaDataType type; /* CUDA_R_32F or CUDA_R_16BF */
    uint64_t rows, columns;
    int64_t stride, step; /* step: from one item to the next */
    int32_t items;
} lt_layout;

typedef struct lt_wish {
    standin_object object;
    uint64_t workspace;
    uint32_t schemes, align_a, align_b, align_c, align_d;
} lt_wish;

/* What a cublasLtMatmulAlgo_t holds here. */
typedef struct lt_algo {
    uint64_t problem; /* a hash of what it is for */
    uint64_t workspace;
    int32_t parts; /* of the sum over k */
    uint32_t scheme;
    uint16_t align_a, align_b, align_c, align_d, align_bias;
} lt_algo;

_Static_assert(sizeof(lt_algo) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm holds ours");

enum {
    LONG_SUM = 256, /* from here on the first algorithm proposed cuts the sum in two */
};

/* ---- handles and descriptors ---- */

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "the functionality requested is not supported";
    default:
        return "an internal operation failed";
    }
}

size_t cublasLtGetVersion(void)
{
    return CUBLAS_VERSION;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = (cublasLtHandle_t)standin_object_new(handle_kind, sizeof(lt_handle));
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t destroy(const char *function, const char *kind, void *object)
{
    if (!standin_object_alive(function, kind, object))
        return CUBLAS_STATUS_INVALID_VALUE;
    standin_object_destroy(object);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return destroy(__func__, handle_kind, handle);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *made, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) ||
        scale != CUDA_R_32F) {
        standin_require(false, __func__, "compute type or scale type that is not stood in for",
                        CUBLAS_COMPUTE_32F, compute);
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    lt_op *op = standin_object_new(op_kind, sizeof *op);
    op->compute = compute;
    op->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    *made = (cublasLtMatmulDesc_t)op;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t op)
{
    return destroy(__func__, op_kind, op);
}

/* Takes an attribute's value when its size is right. */
static cublasStatus_t set(const char *function, void *field, size_t wanted, const void *value,
                          size_t bytes)
{
    if (field == NULL) {
        standin_refuse(function, "attribute", "one that is stood in for", "another");
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (value == NULL || !standin_require(bytes == wanted, function, "bytes of an attribute",
                                          (int64_t)wanted, (int64_t)bytes))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    lt_op *op = (lt_op *)(void *)desc;
    if (!standin_object_alive(__func__, op_kind, op))
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(__func__, &op->transpose_a, sizeof op->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(__func__, &op->transpose_b, sizeof op->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(__func__, &op->epilogue, sizeof op->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(__func__, &op->bias, sizeof op->bias, value, bytes);
    default:
        return set(__func__, NULL, 0, value, bytes);
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *made, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t stride)
{
    if (!standin_require(type == CUDA_R_32F || type == CUDA_R_16BF, __func__, "type", CUDA_R_32F,
                         type) ||
        !standin_require(rows > 0 && rows <= INT32_MAX, __func__, "rows", 1, (int64_t)rows) ||
        !standin_require(columns > 0 && columns <= INT32_MAX, __func__, "columns", 1,
                         (int64_t)columns) ||
        !standin_require(stride >= (int64_t)rows, __func__,
                         "leading dimension of a column-major matrix, at least its rows",
                         (int64_t)rows, stride))
        return CUBLAS_STATUS_INVALID_VALUE;
    lt_layout *layout = standin_object_new(layout_kind, sizeof *layout);
    layout->type = type;
    layout->rows = rows;
    layout->columns = columns;
    layout->stride = stride;
    layout->items = 1;
    *made = (cublasLtMatrixLayout_t)layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t desc,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t bytes)
{
    lt_layout *layout = (lt_layout *)(void *)desc;
    if (!standin_object_alive(__func__, layout_kind, layout))
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return set(__func__, &layout->items, sizeof layout->items, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return set(__func__, &layout->step, sizeof layout->step, value, bytes);
    default:
        return set(__func__, NULL, 0, value, bytes);
    }
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    return destroy(__func__, layout_kind, layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *made)
{
    lt_wish *wish = standin_object_new(wish_kind, sizeof *wish);
    wish->schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
    wish->align_a = wish->align_b = wish->align_c = wish->align_d = 256;
    *made = (cublasLtMatmulPreference_t)wish;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t wish)
{
    return destroy(__func__, wish_kind, wish);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
    lt_wish *wish = (lt_wish *)(void *)preference;
    if (!standin_object_alive(__func__, wish_kind, wish))
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(__func__, &wish->workspace, sizeof wish->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(__func__, &wish->schemes, sizeof wish->schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return set(__func__, &wish->align_a, sizeof wish->align_a, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return set(__func__, &wish->align_b, sizeof wish->align_b, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return set(__func__, &wish->align_c, sizeof wish->align_c, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(__func__, &wish->align_d, sizeof wish->align_d, value, bytes);
    default:
        return set(__func__, NULL, 0, value, bytes);
    }
}

/* ---- problems ---- */

/* D (m, n) = op(A) (m, k) op(B) (k, n), column-major. */
typedef struct lt_problem {
    const lt_op *op;
    const lt_layout *a, *b, *c, *d;
    uint64_t k;
} lt_problem;

static bool transposed(int32_t operation)
{
    return operation == CUBLAS_OP_T;
}

static bool has_bias(const lt_op *op)
{
    return op->epilogue == CUBLASLT_EPILOGUE_BIAS || op->epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

static bool has_relu(const lt_op *op)
{
    return op->epilogue == CUBLASLT_EPILOGUE_RELU || op->epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

static bool check_shapes(const char *function, const lt_problem *p)
{
    bool ta = transposed(p->op->transpose_a), tb = transposed(p->op->transpose_b);
    uint64_t a_rows = ta ? p->a->columns : p->a->rows, b_rows = tb ? p->b->columns : p->b->rows;
    uint64_t b_columns = tb ? p->b->rows : p->b->columns;
    return standin_require(a_rows == p->d->rows, function, "rows of op(A), which are those of D",
                           (int64_t)p->d->rows, (int64_t)a_rows) &&
           standin_require(b_columns == p->d->columns, function,
                           "columns of op(B), which are those of D", (int64_t)p->d->columns,
                           (int64_t)b_columns) &&
           standin_require(b_rows == p->k, function, "rows of op(B), which are op(A)'s columns",
                           (int64_t)p->k, (int64_t)b_rows) &&
           standin_require(p->c->rows == p->d->rows && p->c->columns == p->d->columns &&
                               p->c->stride == p->d->stride,
                           function, "leading dimension or shape of C, which is D", p->d->stride,
                           p->c->stride);
}

/* Factors of one type, their product in fp32; TF32 is a way to compute fp32 factors. */
static bool check_types(const char *function, const lt_problem *p)
{
    return standin_require(p->a->type == p->b->type, function, "type of B, which is A's",
                           p->a->type, p->b->type) &&
           standin_require(p->c->type == CUDA_R_32F && p->d->type == CUDA_R_32F, function,
                           "type of C and D", CUDA_R_32F, p->d->type) &&
           standin_require(p->a->type == CUDA_R_32F || p->op->compute == CUBLAS_COMPUTE_32F,
                           function, "compute type of factors of bf16", CUBLAS_COMPUTE_32F,
                           p->op->compute);
}

/* Elements from the first of an item to behind its last. */
static int64_t extent_of(const lt_layout *layout)
{
    return ((int64_t)layout->columns - 1) * layout->stride + (int64_t)layout->rows;
}

/* As many items of each, those of D apart from each other. */
static bool check_items(const char *function, const lt_problem *p)
{
    const lt_layout *all[] = {p->a, p->b, p->c, p->d};
    for (int i = 0; i < 4; i++)
        if (!standin_require(all[i]->items >= 1 && all[i]->items == p->d->items, function,
                             "items of a batch, which are those of D", p->d->items,
                             all[i]->items) ||
            !standin_require(all[i]->step >= 0, function, "step of a batch, at least", 0,
                             all[i]->step))
            return false;
    return standin_require(p->c->step == p->d->step, function, "step of C, which is D", p->d->step,
                           p->c->step) &&
           standin_require(p->d->items == 1 || p->d->step >= extent_of(p->d), function,
                           "step from item to item of D, at least an item", extent_of(p->d),
                           p->d->step);
}

static bool check_problem(const char *function, const void *handle, cublasLtMatmulDesc_t op,
                          cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                          cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, lt_problem *p)
{
    if (!standin_object_alive(function, handle_kind, handle) ||
        !standin_object_alive(function, op_kind, op) ||
        !standin_object_alive(function, layout_kind, a) ||
        !standin_object_alive(function, layout_kind, b) ||
        !standin_object_alive(function, layout_kind, c) ||
        !standin_object_alive(function, layout_kind, d))
        return false;
    *p = (lt_problem){.op = (const void *)op,
                      .a = (const void *)a,
                      .b = (const void *)b,
                      .c = (const void *)c,
                      .d = (const void *)d};
    p->k = transposed(p->op->transpose_a) ? p->a->rows : p->a->columns;
    bool known = (p->op->epilogue == CUBLASLT_EPILOGUE_DEFAULT || has_bias(p->op) ||
                  p->op->epilogue == CUBLASLT_EPILOGUE_RELU) &&
                 (p->op->transpose_a == CUBLAS_OP_N || p->op->transpose_a == CUBLAS_OP_T) &&
                 (p->op->transpose_b == CUBLAS_OP_N || p->op->transpose_b == CUBLAS_OP_T);
    if (!known)
        return standin_refuse(function, "epilogue or operation", "one that is stood in for",
                              "another");
    if (has_bias(p->op) && p->op->bias == NULL)
        return standin_refuse(function, "bias", "a pointer, which the epilogue adds", "NULL");
    return check_types(function, p) && check_shapes(function, p) && check_items(function, p);
}

static uint64_t mixed(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 33;
}

static uint64_t hash_of(const lt_problem *p)
{
    const lt_layout *layouts[] = {p->a, p->b, p->d};
    uint64_t hash = mixed(mixed(mixed(1, (uint64_t)p->op->compute), p->op->epilogue),
                          (uint64_t)p->op->transpose_a << 8 | (uint64_t)p->op->transpose_b);
    for (int i = 0; i < 3; i++)
        hash = mixed(mixed(mixed(mixed(hash, layouts[i]->rows), layouts[i]->columns),
                           (uint64_t)layouts[i]->stride),
                     (uint64_t)layouts[i]->type) +
               mixed((uint64_t)layouts[i]->items, (uint64_t)layouts[i]->step);
    return hash;
}

static uint16_t alignment_of(const void *pointer)
{
    uintptr_t low = (uintptr_t)pointer & -(uintptr_t)pointer;
    return low == 0 || low > 256 ? 256 : (uint16_t)low;
}

static void propose(const lt_problem *p, const lt_wish *wish, int32_t parts, uint32_t scheme,
                    uint64_t workspace, cublasLtMatmulHeuristicResult_t *result)
{
    lt_algo algo = {.problem = hash_of(p),
                    .workspace = workspace,
                    .parts = parts,
                    .scheme = scheme,
                    .align_a = (uint16_t)wish->align_a,
                    .align_b = (uint16_t)wish->align_b,
                    .align_c = (uint16_t)wish->align_c,
                    .align_d = (uint16_t)wish->align_d,
                    .align_bias = alignment_of(p->op->bias)};
    memset(result, 0, sizeof *result);
    memcpy(&result->algo, &algo, sizeof algo);
    result->workspaceSize = (size_t)workspace;
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 1.0f;
}

/* Long sums are best cut in two, fastest in place; an epilogue on a single row of D is not
 * supported, nor are sums of a single product of bf16, nor batches of single numbers: some cases
 * have to be. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t op,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *count)
{
    lt_problem p;
    const lt_wish *wish = (const void *)preference;
    *count = 0;
    if (!check_problem(__func__, handle, op, a, b, c, d, &p) ||
        !standin_object_alive(__func__, wish_kind, wish) ||
        !standin_require(wanted > 0, __func__, "algorithms asked for", 1, wanted))
        return CUBLAS_STATUS_INVALID_VALUE;
    if ((p.op->epilogue != CUBLASLT_EPILOGUE_DEFAULT && p.d->rows == 1) ||
        (p.a->type == CUDA_R_16BF && p.k == 1) || (p.d->items > 1 && p.d->rows * p.d->columns == 1))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    uint64_t parts_bytes = 2 * (uint64_t)p.d->items * p.d->rows * p.d->columns * sizeof(float);
    if (p.k >= LONG_SUM && (wish->schemes & CUBLASLT_REDUCTION_SCHEME_INPLACE) && *count < wanted)
        propose(&p, wish, 2, CUBLASLT_REDUCTION_SCHEME_INPLACE, 0, &results[(*count)++]);
    if (p.k >= LONG_SUM && (wish->schemes & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) &&
        parts_bytes <= wish->workspace && *count < wanted)
        propose(&p, wish, 2, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, parts_bytes,
                &results[(*count)++]);
    if (*count < wanted)
        propose(&p, wish, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0, &results[(*count)++]);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- products ---- */

/* Queued: row-major, so that cuBLASLt's D^T = op(B)^T op(A)^T; one product after another. */
typedef struct lt_job {
    standin_product product; /* the whole sum of the first; its factors are a and b */
    const void *a, *b;
    bool narrow; /* they are bf16 */
    int64_t items, step_a, step_b, step_c;
    const float *bias; /* (n) or NULL */
    bool relu;
    float *partial; /* (items, parts, m, n) or NULL */
    int32_t parts;
} lt_job;

/* Each part of the sum into the workspace, then all of them in order. */
static void multiply_parts(const standin_product *whole, int32_t parts, float *partial)
{
    int64_t count = whole->m * whole->n;
    for (int32_t i = 0; i < parts; i++) {
        int64_t first = whole->k * i / parts, end = whole->k * (i + 1) / parts;
        standin_product part = *whole;
        part.k = end - first;
        part.a += first * (whole->transpose_a ? whole->lda : 1);
        part.b += first * (whole->transpose_b ? 1 : whole->ldb);
        part.beta = 0.0f;
        part.c = partial + i * count;
        part.ldc = whole->n;
        standin_multiply(&part);
    }
    for (int64_t r = 0; r < whole->m; r++)
        for (int64_t c = 0; c < whole->n; c++) {
            float *to = &whole->c[r * whole->ldc + c], sum = 0.0f;
            for (int32_t i = 0; i < parts; i++)
                sum += partial[i * count + r * whole->n + c];
            *to = whole->beta != 0.0f ? whole->beta * *to + sum : sum;
        }
}

/* The epilogue. ReLU makes 0 of all that is not positive, of a NaN, too: nothing else is
 * promised. */
static void end_product(const standin_product *p, const float *bias, bool relu)
{
    for (int64_t r = 0; r < p->m; r++)
        for (int64_t c = 0; c < p->n; c++) {
            float sum = p->c[r * p->ldc + c] + (bias != NULL ? bias[c] : 0.0f);
            p->c[r * p->ldc + c] = relu && !(sum > 0.0f) ? 0.0f : sum;
        }
}

/* One factor of item `item`, in fp32: its array, or for bf16 a copy without gaps that the caller
 * frees. */
static float *factor_of(const lt_job *job, const void *x, int64_t at, int64_t rows, int64_t columns,
                        int64_t *stride, const float **factor)
{
    float *wide = NULL;
    *factor = (const float *)x + at;
    if (!job->narrow)
        return NULL;
    wide = standin_memory(rows * columns * (int64_t)sizeof *wide, "factors of bf16");
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            wide[r * columns + c] = assay_from_bf16(((const uint16_t *)x)[at + r * *stride + c]);
    *stride = columns;
    *factor = wide;
    return wide;
}

static void run_item(const lt_job *job, int64_t item)
{
    standin_product p = job->product;
    int64_t a_rows = p.transpose_a ? p.k : p.m, b_rows = p.transpose_b ? p.n : p.k;
    float *a = factor_of(job, job->a, item * job->step_a, a_rows, p.m + p.k - a_rows, &p.lda, &p.a);
    float *b = factor_of(job, job->b, item * job->step_b, b_rows, p.n + p.k - b_rows, &p.ldb, &p.b);
    p.c += item * job->step_c;
    if (job->partial != NULL)
        multiply_parts(&p, job->parts, job->partial + item * job->parts * p.m * p.n);
    else
        standin_multiply(&p);
    if (job->bias != NULL || job->relu)
        end_product(&p, job->bias, job->relu);
    free(b);
    free(a);
}

static void run_job(void *data)
{
    const lt_job *job = data;
    for (int64_t item = 0; item < job->items; item++)
        run_item(job, item);
}

static int64_t bytes_of(const lt_layout *layout)
{
    return (layout->type == CUDA_R_16BF ? 2 : 4) *
           ((layout->items - 1) * layout->step + extent_of(layout));
}

/* What is wrong with the arrays for this algorithm is refused. */
static bool check_arrays(const lt_problem *p, const lt_algo *algo, const void *a, const void *b,
                         const void *c, const void *d)
{
    static const char function[] = "cublasLtMatmul";
    return standin_require_array(function, "A", a, bytes_of(p->a), algo->align_a) &&
           standin_require_array(function, "B", b, bytes_of(p->b), algo->align_b) &&
           standin_require_array(function, "C", c, bytes_of(p->c), algo->align_c) &&
           standin_require_array(function, "D", d, bytes_of(p->d), algo->align_d) &&
           (!has_bias(p->op) ||
            standin_require_array(function, "bias", p->op->bias,
                                  (int64_t)(p->d->rows * sizeof(float)), algo->align_bias)) &&
           (c == d || standin_refuse(function, "C", "D itself, in place", standin_where(c)));
}

static bool check_algorithm(const lt_problem *p, const lt_algo *algo, void *workspace, size_t bytes)
{
    static const char function[] = "cublasLtMatmul";
    if (algo->problem != hash_of(p))
        return standin_refuse(function, "algorithm", "one proposed for this problem",
                              "one of another problem");
    if (algo->scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE)
        return standin_refuse(function, "reduction scheme", "one whose order of additions is fixed",
                              "in place");
    return standin_require(bytes >= algo->workspace, function, "bytes of workspace",
                           (int64_t)algo->workspace, (int64_t)bytes) &&
           (algo->workspace == 0 ||
            standin_require_array(function, "workspace", workspace, (int64_t)bytes, 256));
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t op, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t bytes,
                              cudaStream_t stream)
{
    lt_problem p;
    lt_algo algo;
    if (!check_problem(__func__, handle, op, a, b, c, d, &p))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (algorithm == NULL || alpha == NULL || beta == NULL || !standin_is_stream(stream)) {
        standin_refuse(__func__, "algorithm, alpha, beta or stream", "all four", "one missing");
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    memcpy(&algo, algorithm, sizeof algo);
    if (!check_algorithm(&p, &algo, workspace, bytes) || !check_arrays(&p, &algo, A, B, C, D))
        return CUBLAS_STATUS_INVALID_VALUE;
    lt_job job = {.product = {.transpose_a = transposed(p.op->transpose_b),
                              .transpose_b = transposed(p.op->transpose_a),
                              .tf32 = p.op->compute == CUBLAS_COMPUTE_32F_FAST_TF32,
                              .m = (int64_t)p.d->columns,
                              .n = (int64_t)p.d->rows,
                              .k = (int64_t)p.k,
                              .lda = p.b->stride,
                              .ldb = p.a->stride,
                              .ldc = p.d->stride,
                              .alpha = *(const float *)alpha,
                              .beta = *(const float *)beta,
                              .c = D},
                  .a = B,
                  .b = A,
                  .narrow = p.a->type == CUDA_R_16BF,
                  .items = p.d->items,
                  .step_a = p.b->step,
                  .step_b = p.a->step,
                  .step_c = p.d->step,
                  .bias = has_bias(p.op) ? p.op->bias : NULL,
                  .relu = has_relu(p.op),
                  .partial = algo.parts > 1 ? workspace : NULL,
                  .parts = algo.parts};
    standin_enqueue(stream, __func__, run_job, &job, sizeof job);
    return CUBLAS_STATUS_SUCCESS;
}
