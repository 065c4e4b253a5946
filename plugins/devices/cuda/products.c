/* products.c - matrix products by cuBLASLt.
 *
 * cuBLASLt's matrices are column-major, ours row-major: what we store as C (m, n) it reads as C^T
 * (n, m), so it is asked for C^T = op(B)^T op(A)^T, with B first and nothing moved.
 *
 * Precision: fp32 is computed in fp32. With TF32 the factors are rounded to 11 significant bits
 * inside the tensor cores and the sums stay fp32. Factors that are stored as bf16 are multiplied
 * exactly by the tensor cores for them and summed in fp32. bf16 values stored as fp32 have 8 bits:
 * rounding them to TF32 changes nothing, so that those tensor cores give the same products, at half
 * the speed or less. That is the way of stored ones, too, for which the library has no algorithm.
 *
 * A batch is one call for all its items; where there is no algorithm for it, they are computed one
 * by one.
 *
 * Reproducible: the reduction schemes that are allowed cut a long sum into parts kept in the
 * workspace and add them in order; adding in the output as parts arrive is not allowed.
 *
 * A bias and ReLU are the library's epilogues. Its GELU is no use: it is the approximation by tanh,
 * and ours is exact. Where it has no algorithm for a product with its epilogue, the product starts
 * from the bias and ReLU follows.
 *
 * Bound by arithmetic at the sizes of models, by memory where m, n or k is small. Not measured. */
#include "cuda.h"
#include "kernels.h"
#include "plans.h"

#include <cublasLt.h>

#include <stdlib.h>

enum {
    MOST_WORKSPACE = 32 << 20, /* bytes: what NVIDIA recommends for Hopper */
    MOST_ALIGNMENT = 256,      /* bytes: beyond it a pointer's alignment changes nothing */
    CANDIDATES = 8,
};

/* The factors as cuBLASLt names them: its A is our B. */
typedef struct product_plan {
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    int64_t workspace;
    bool none; /* there is no algorithm: the product is computed in another way */
} product_plan;

static bool product_ok(cublasStatus_t status, const char *call)
{
    if (status != CUBLAS_STATUS_SUCCESS)
        cuda_note_failure(call, cublasLtGetStatusString(status));
    return status == CUBLAS_STATUS_SUCCESS;
}

static void destroy_plan(void *memory)
{
    product_plan *plan = memory;
    if (plan == NULL)
        return;
    if (plan->c != NULL)
        product_ok(cublasLtMatrixLayoutDestroy(plan->c), "cublasLtMatrixLayoutDestroy");
    if (plan->b != NULL)
        product_ok(cublasLtMatrixLayoutDestroy(plan->b), "cublasLtMatrixLayoutDestroy");
    if (plan->a != NULL)
        product_ok(cublasLtMatrixLayoutDestroy(plan->a), "cublasLtMatrixLayoutDestroy");
    if (plan->op != NULL)
        product_ok(cublasLtMatmulDescDestroy(plan->op), "cublasLtMatmulDescDestroy");
    free(plan);
}

static cuda_plans plans = {.destroy = destroy_plan};

/* The library's handle, made at the first product; NULL after a noted failure. */
static cublasLtHandle_t library(void)
{
    static cublasLtHandle_t handle;
    if (handle == NULL && !product_ok(cublasLtCreate(&handle), "cublasLtCreate"))
        handle = NULL;
    return handle;
}

static bool is_stored(const device_gemm *g)
{
    return g->precision == DEVICE_BF16_STORED;
}

static int64_t items_of(const device_gemm *g)
{
    return g->items > 1 ? g->items : 1;
}

/* The power of two, up to MOST_ALIGNMENT, that an address is a multiple of. */
static uint32_t alignment_of(uintptr_t address)
{
    uintptr_t low = address & -address;
    return low == 0 || low > MOST_ALIGNMENT ? MOST_ALIGNMENT : (uint32_t)low;
}

typedef struct alignments {
    uint32_t a, b, c, bias;
} alignments;

/* Of all items: what divides an address and a step divides what is so many steps behind it. */
static alignments alignments_of(const device_gemm *g)
{
    uintptr_t size = is_stored(g) ? sizeof(uint16_t) : sizeof(float);
    uintptr_t many = items_of(g) > 1;
    return (alignments){
        .a = alignment_of((uintptr_t)g->a | many * (uintptr_t)g->step_a * size),
        .b = alignment_of((uintptr_t)g->b | many * (uintptr_t)g->step_b * size),
        .c = alignment_of((uintptr_t)g->c | many * (uintptr_t)g->step_c * sizeof(float)),
        .bias = alignment_of((uintptr_t)g->bias)};
}

static bool set_op(cublasLtMatmulDesc_t op, cublasLtMatmulDescAttributes_t attribute,
                   const void *value, size_t bytes)
{
    return product_ok(cublasLtMatmulDescSetAttribute(op, attribute, value, bytes),
                      "cublasLtMatmulDescSetAttribute");
}

static bool has_epilogue(const device_gemm *g)
{
    return g->bias != NULL || g->activation != DEVICE_IDENTITY;
}

static uint32_t epilogue_of(const device_gemm *g)
{
    if (g->activation == DEVICE_RELU)
        return g->bias != NULL ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    return g->bias != NULL ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

static bool make_op(const device_gemm *g, product_plan *plan)
{
    cublasComputeType_t compute = g->precision == DEVICE_FP32 || is_stored(g)
                                      ? CUBLAS_COMPUTE_32F
                                      : CUBLAS_COMPUTE_32F_FAST_TF32;
    int32_t of_a = g->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    int32_t of_b = g->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint32_t epilogue = epilogue_of(g);
    return product_ok(cublasLtMatmulDescCreate(&plan->op, compute, CUDA_R_32F),
                      "cublasLtMatmulDescCreate") &&
           set_op(plan->op, CUBLASLT_MATMUL_DESC_TRANSA, &of_a, sizeof of_a) &&
           set_op(plan->op, CUBLASLT_MATMUL_DESC_TRANSB, &of_b, sizeof of_b) &&
           set_op(plan->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue) &&
           (g->bias == NULL ||
            set_op(plan->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g->bias, sizeof g->bias));
}

/* So many of a layout, a step of elements apart. */
static bool set_items(cublasLtMatrixLayout_t layout, int64_t items, int64_t step)
{
    int32_t count = (int32_t)items;
    return product_ok(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                       &count, sizeof count),
                      "cublasLtMatrixLayoutSetAttribute") &&
           product_ok(cublasLtMatrixLayoutSetAttribute(
                          layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step),
                      "cublasLtMatrixLayoutSetAttribute");
}

/* A row-major array (rows, columns) is a column-major one (columns, rows). */
static bool make_layout(cublasLtMatrixLayout_t *layout, cudaDataType type, int64_t rows,
                        int64_t columns, int64_t stride)
{
    return product_ok(
        cublasLtMatrixLayoutCreate(layout, type, (uint64_t)columns, (uint64_t)rows, stride),
        "cublasLtMatrixLayoutCreate");
}

static bool make_layouts(const device_gemm *g, product_plan *plan)
{
    int64_t b_rows = g->transpose_b ? g->n : g->k, a_rows = g->transpose_a ? g->k : g->m;
    cudaDataType type = is_stored(g) ? CUDA_R_16BF : CUDA_R_32F;
    return make_layout(&plan->a, type, b_rows, g->n + g->k - b_rows, g->ldb) &&
           make_layout(&plan->b, type, a_rows, g->m + g->k - a_rows, g->lda) &&
           make_layout(&plan->c, CUDA_R_32F, g->m, g->n, g->ldc) &&
           (items_of(g) == 1 ||
            (set_items(plan->a, g->items, g->step_b) && set_items(plan->b, g->items, g->step_a) &&
             set_items(plan->c, g->items, g->step_c)));
}

static bool set_wish(cublasLtMatmulPreference_t wish,
                     cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                     size_t bytes)
{
    return product_ok(cublasLtMatmulPreferenceSetAttribute(wish, attribute, value, bytes),
                      "cublasLtMatmulPreferenceSetAttribute");
}

static bool set_wishes(const device_gemm *g, cublasLtMatmulPreference_t wish)
{
    uint64_t workspace = MOST_WORKSPACE;
    uint32_t in_order = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* or none */
    alignments of = alignments_of(g);                           /* its A is our B */
    return set_wish(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace) &&
           set_wish(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &in_order, sizeof in_order) &&
           set_wish(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &of.b, sizeof of.b) &&
           set_wish(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &of.a, sizeof of.a) &&
           set_wish(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &of.c, sizeof of.c) &&
           set_wish(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &of.c, sizeof of.c);
}

/* The first of the library's proposals, which are ordered by the time that they should take. */
static bool choose_algorithm(const device_gemm *g, product_plan *plan)
{
    cublasLtMatmulPreference_t wish = NULL;
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int count = 0;
    bool ok = false;
    if (!product_ok(cublasLtMatmulPreferenceCreate(&wish), "cublasLtMatmulPreferenceCreate"))
        return false;
    if (!set_wishes(g, wish) || library() == NULL)
        goto done;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        library(), plan->op, plan->a, plan->b, plan->c, plan->c, wish, CANDIDATES, found, &count);
    for (int i = 0; i < count && status == CUBLAS_STATUS_SUCCESS && !ok; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS && found[i].workspaceSize <= MOST_WORKSPACE) {
            plan->algo = found[i].algo;
            plan->workspace = (int64_t)found[i].workspaceSize;
            ok = true;
        }
    if (status == CUBLAS_STATUS_SUCCESS && !ok)
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    plan->none = (has_epilogue(g) || is_stored(g) || items_of(g) > 1) &&
                 status == CUBLAS_STATUS_NOT_SUPPORTED;
    ok = plan->none || product_ok(status, "cublasLtMatmulAlgoGetHeuristic");
done:
    product_ok(cublasLtMatmulPreferenceDestroy(wish), "cublasLtMatmulPreferenceDestroy");
    return ok;
}

static const product_plan *plan_of(const device_gemm *g)
{
    alignments of = alignments_of(g);
    bool many = items_of(g) > 1;
    int64_t flags = (g->transpose_a ? 1 : 0) | (g->transpose_b ? 2 : 0) |
                    (g->bias != NULL ? 4 : 0) | (int64_t)g->precision << 3 |
                    (int64_t)g->activation << 8;
    cuda_plan_key key = {{g->m, g->n, g->k, g->lda, g->ldb, g->ldc, flags,
                          of.a | of.b << 16 | (int64_t)of.c << 32 | (int64_t)of.bias << 48,
                          items_of(g), many ? g->step_a : 0, many ? g->step_b : 0,
                          many ? g->step_c : 0}};
    product_plan *plan = cuda_plans_find(&plans, &key);
    if (plan != NULL)
        return plan;
    plan = calloc(1, sizeof *plan);
    if (plan == NULL) {
        cuda_note_failure("cuda_gemm", "no memory for a product's plan");
    } else if (make_op(g, plan) && make_layouts(g, plan) && choose_algorithm(g, plan)) {
        cuda_plans_keep(&plans, &key, plan);
        return plan;
    }
    destroy_plan(plan);
    return NULL;
}

/* C = bias in every row, or zeros. */
static void start_with_bias(const device_gemm *g)
{
    const float *row = g->bias;
    if (row == NULL) {
        int64_t bytes = g->n * (int64_t)sizeof(float);
        float *zeros = cuda_workspace(bytes);
        if (zeros == NULL ||
            !cuda_ok(cudaMemsetAsync(zeros, 0, (size_t)bytes, cuda_compute_stream()),
                     "cudaMemsetAsync"))
            return;
        row = zeros;
    }
    for (int64_t i = 0; i < items_of(g); i++)
        cuda_copy_rows(g->m, g->n, row, 0, g->c + i * g->step_c, g->ldc, false);
}

static void multiply(const device_gemm *g, const product_plan *plan)
{
    static const float one = 1.0f, zero = 0.0f;
    void *workspace = NULL;
    if (plan->workspace > 0 && (workspace = cuda_workspace(plan->workspace)) == NULL)
        return;
    if (g->bias != NULL &&
        !set_op(plan->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g->bias, sizeof g->bias))
        return;
    product_ok(cublasLtMatmul(library(), plan->op, &one, g->b, plan->a, g->a, plan->b,
                              g->add ? &one : &zero, g->c, plan->c, g->c, plan->c, &plan->algo,
                              workspace, (size_t)plan->workspace, cuda_compute_stream()),
               "cublasLtMatmul");
}

/* C = activation(C), row by row where there is something between the rows. */
static void finish(const device_gemm *g)
{
    int64_t rows = g->ldc == g->n ? 1 : g->m;
    if (g->activation == DEVICE_IDENTITY)
        return;
    for (int64_t i = 0; i < items_of(g); i++)
        for (int64_t r = 0; r < rows; r++) {
            float *c = g->c + i * g->step_c + r * g->ldc;
            cuda_activation(g->activation, g->m / rows * g->n, c, c);
        }
}

static void product(device_gemm g);

/* The epilogue before and after the product. */
static void multiply_bare(device_gemm g)
{
    device_gemm bare = g;
    if (g.bias != NULL) {
        start_with_bias(&g);
        bare.add = true;
    }
    bare.bias = NULL;
    bare.activation = DEVICE_IDENTITY;
    product(bare);
    finish(&g);
}

/* Numbers from the first of a factor's first item to the last of its last, with what lies between
 * them. */
static int64_t reach(int64_t items, int64_t step, int64_t rows, int64_t columns, int64_t stride)
{
    return (items - 1) * step + (rows - 1) * stride + columns;
}

/* Widened factors lie behind the workspace that the product may want: the same memory. */
static void multiply_widened(device_gemm g)
{
    int64_t a_rows = g.transpose_a ? g.k : g.m, b_rows = g.transpose_b ? g.n : g.k;
    int64_t a_count = reach(items_of(&g), g.step_a, a_rows, g.m + g.k - a_rows, g.lda);
    int64_t b_count = reach(items_of(&g), g.step_b, b_rows, g.n + g.k - b_rows, g.ldb);
    int64_t a_bytes =
        (a_count * (int64_t)sizeof(float) + MOST_ALIGNMENT - 1) / MOST_ALIGNMENT * MOST_ALIGNMENT;
    char *room = cuda_workspace(MOST_WORKSPACE + a_bytes + b_count * (int64_t)sizeof(float));
    if (room == NULL)
        return;
    float *a = (float *)(void *)(room + MOST_WORKSPACE);
    float *b = (float *)(void *)(room + MOST_WORKSPACE + a_bytes);
    cuda_from_bf16(a_count, g.a, a);
    cuda_from_bf16(b_count, g.b, b);
    g.a = a;
    g.b = b;
    g.precision = DEVICE_BF16;
    product(g);
}

static void multiply_one_by_one(device_gemm g)
{
    int64_t items = g.items;
    const float *a = g.a, *b = g.b;
    g.items = 1;
    for (int64_t i = 0; i < items; i++, g.c += g.step_c) {
        g.a = a + i * g.step_a;
        g.b = b + i * g.step_b;
        product(g);
    }
}

static void product(device_gemm g)
{
    const product_plan *plan = plan_of(&g);
    if (plan == NULL)
        return;
    if (!plan->none)
        multiply(&g, plan);
    else if (has_epilogue(&g))
        multiply_bare(g);
    else if (is_stored(&g))
        multiply_widened(g);
    else
        multiply_one_by_one(g);
}

void cuda_gemm(const device_gemm *g)
{
    if (g->m == 0 || g->n == 0)
        return;
    if (g->k > 0) {
        product(*g);
    } else if (!g->add) { /* a sum over nothing */
        start_with_bias(g);
        finish(g);
    }
}
