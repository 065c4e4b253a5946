/* convolution.c - convolutions of maps: oneDNN's for the fast variants, the loops of the definition
 * for `plain`.
 *
 * A 1 x 1 convolution is a product per image and is computed as one. Others are oneDNN's: 3 x 3
 * ones by Winograd's method where it has it (4 x 4 results from 6 x 6 inputs in the domain of their
 * polynomials: a quarter of the multiplications, the result within 1e-6 of the definition, and a
 * few times the memory), the rest directly. oneDNN chooses the layouts, in which channels stand in
 * blocks as wide as its vectors; arrays are copied into them and back. What it prepares for a shape
 * is kept, see `prepared`, and so is the scratch of the largest. */
#include "engine/device/cpu/variants.h"

#include <assay/memory.h>

#include <oneapi/dnnl/dnnl.h>

#include <stdlib.h>
#include <string.h>
#include <threads.h>

static int64_t out_height(const device_conv *g)
{
    return (g->height + 2 * g->pad - g->side) / g->stride + 1;
}

static int64_t out_width(const device_conv *g)
{
    return (g->width + 2 * g->pad - g->side) / g->stride + 1;
}

/* ---- plain ---- */

/* x at line i, column j of channel c, 0 in the padding. */
static double padded(const device_conv *g, int64_t b, int64_t c, int64_t i, int64_t j)
{
    if (i < 0 || i >= g->height || j < 0 || j >= g->width)
        return 0.0;
    return g->x[((b * g->channels + c) * g->height + i) * g->width + j];
}

void cpu_conv_plain(const device_conv *g)
{
    int64_t height = out_height(g), width = out_width(g), side = g->side;
    for (int64_t at = 0; at < g->batch * g->filters * height * width; at++) {
        int64_t j = at % width, i = at / width % height, o = at / (width * height) % g->filters;
        int64_t b = at / (width * height * g->filters);
        double sum = g->bias != NULL ? g->bias[o] : 0.0;
        for (int64_t c = 0; c < g->channels; c++)
            for (int64_t k = 0; k < side * side; k++)
                sum += padded(g, b, c, i * g->stride - g->pad + k / side,
                              j * g->stride - g->pad + k % side) *
                       g->w[(o * g->channels + c) * side * side + k];
        g->y[at] = (float)sum;
    }
}

/* The sum over the outputs that read cell (i, j) of channel c, each by the weight it reads it
 * by. */
static double plain_d_cell(const device_conv *g, int64_t b, int64_t c, int64_t i, int64_t j)
{
    int64_t height = out_height(g), width = out_width(g), side = g->side;
    double sum = 0.0;
    for (int64_t k = 0; k < side * side; k++) {
        int64_t row = i + g->pad - k / side, column = j + g->pad - k % side;
        if (row < 0 || column < 0 || row % g->stride != 0 || column % g->stride != 0 ||
            row / g->stride >= height || column / g->stride >= width)
            continue;
        for (int64_t o = 0; o < g->filters; o++)
            sum += (double)g->w[(o * g->channels + c) * side * side + k] *
                   g->d_y[((b * g->filters + o) * height + row / g->stride) * width +
                          column / g->stride];
    }
    return sum;
}

static double plain_d_weight(const device_conv *g, int64_t o, int64_t c, int64_t k)
{
    int64_t height = out_height(g), width = out_width(g);
    double sum = 0.0;
    for (int64_t b = 0; b < g->batch; b++)
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 0; j < width; j++)
                sum += padded(g, b, c, i * g->stride - g->pad + k / g->side,
                              j * g->stride - g->pad + k % g->side) *
                       g->d_y[((b * g->filters + o) * height + i) * width + j];
    return sum;
}

void cpu_d_conv_plain(const device_conv *g)
{
    int64_t cells = g->height * g->width, taps = g->side * g->side;
    for (int64_t at = 0; at < g->batch * g->channels * cells && g->d_x != NULL; at++) {
        double d = plain_d_cell(g, at / (cells * g->channels), at / cells % g->channels,
                                at / g->width % g->height, at % g->width);
        g->d_x[at] = (float)((g->add_x ? g->d_x[at] : 0.0) + d);
    }
    for (int64_t at = 0; at < g->filters * g->channels * taps && g->d_w != NULL; at++) {
        double d = plain_d_weight(g, at / (taps * g->channels), at / taps % g->channels, at % taps);
        g->d_w[at] = (float)((g->add_w ? g->d_w[at] : 0.0) + d);
    }
}

/* ---- 1 x 1: products ---- */

static bool is_product(const device_conv *g)
{
    return g->side == 1 && g->stride == 1 && g->pad == 0;
}

/* y_b (O, pixels) = w (O, C) x_b (C, pixels) [+ bias] */
static void product_conv(const device_conv *g)
{
    int64_t pixels = g->height * g->width;
    for (int64_t b = 0; b < g->batch; b++) {
        float *y = g->y + b * g->filters * pixels;
#pragma omp parallel for schedule(static) if (g->bias != NULL && g->filters * pixels >= 1 << 15)
        for (int64_t o = 0; o < (g->bias != NULL ? g->filters : 0); o++)
            for (int64_t i = 0; i < pixels; i++)
                y[o * pixels + i] = g->bias[o];
        cpu_gemm(&(device_gemm){.a = g->w,
                                .b = g->x + b * g->channels * pixels,
                                .c = y,
                                .m = g->filters,
                                .n = pixels,
                                .k = g->channels,
                                .lda = g->channels,
                                .ldb = pixels,
                                .ldc = pixels,
                                .add = g->bias != NULL});
    }
}

static void d_product_conv(const device_conv *g)
{
    int64_t pixels = g->height * g->width;
    for (int64_t b = 0; b < g->batch; b++) {
        const float *d_y = g->d_y + b * g->filters * pixels;
        if (g->d_x != NULL)
            cpu_gemm(&(device_gemm){.a = g->w,
                                    .b = d_y,
                                    .c = g->d_x + b * g->channels * pixels,
                                    .m = g->channels,
                                    .n = pixels,
                                    .k = g->filters,
                                    .lda = g->channels,
                                    .ldb = pixels,
                                    .ldc = pixels,
                                    .transpose_a = true,
                                    .add = g->add_x});
        if (g->d_w != NULL)
            cpu_gemm(&(device_gemm){.a = d_y,
                                    .b = g->x + b * g->channels * pixels,
                                    .c = g->d_w,
                                    .m = g->filters,
                                    .n = g->channels,
                                    .k = pixels,
                                    .lda = pixels,
                                    .ldb = pixels,
                                    .ldc = g->channels,
                                    .transpose_b = true,
                                    .add = g->add_w || b > 0});
    }
}

/* ---- what oneDNN prepares ---- */

typedef enum pass_kind { PASS_FORWARD, PASS_DATA, PASS_WEIGHTS, PASSES } pass_kind;

/* One array of a pass: as the caller has it, and as the convolution wants it. */
typedef struct pass_array {
    int argument;               /* oneDNN's name for it */
    dnnl_memory_t outer, inner; /* inner: NULL where the layouts are the same */
    dnnl_primitive_t copy;      /* in, or, for the result, out; NULL alike */
    int64_t at;                 /* of `inner` in the scratch */
} pass_array;

enum {
    RESULT = 2, /* arrays 0 and 1 are read */
    ARRAYS = 3,
};

typedef struct pass {
    bool tried; /* prepared, or found impossible: then `conv` is NULL */
    dnnl_primitive_t conv;
    pass_array arrays[ARRAYS];
    dnnl_memory_t bias, space; /* or NULL */
    int64_t space_at, sum_at;  /* oneDNN's own scratch; a result that is added */
    int64_t scratch;           /* bytes without the latter */
    int64_t result_count;
} pass;

typedef struct prepared {
    int64_t key[9];
    uint64_t used; /* when, for the choice of whom to forget */
    pass passes[PASSES];
} prepared;

enum {
    SHAPES = 128, /* kept; a network has some twenty */
};

/* All of it is guarded by `lock`, which a convolution holds while it computes: memories are pointed
 * at the caller's arrays, and threads of one process would share the cores anyway. */
static mtx_t lock;
static once_flag started = ONCE_FLAG_INIT;
static dnnl_engine_t engine;
static dnnl_stream_t stream;
static dnnl_primitive_attr_t own_space; /* its scratch is `room` */
static prepared *shapes[SHAPES];
static uint64_t clock_of_use;
static char *room; /* the scratch of one pass at a time; it grows, and stays */
static int64_t room_bytes;

static void start(void)
{
    (void)mtx_init(&lock, mtx_plain);
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success ||
        dnnl_primitive_attr_create(&own_space) != dnnl_success ||
        dnnl_primitive_attr_set_scratchpad_mode(own_space, dnnl_scratchpad_mode_user) !=
            dnnl_success)
        own_space = NULL;
}

static void pass_end(pass *p)
{
    for (int i = 0; i < ARRAYS; i++) {
        (void)dnnl_primitive_destroy(p->arrays[i].copy);
        (void)dnnl_memory_destroy(p->arrays[i].inner);
        (void)dnnl_memory_destroy(p->arrays[i].outer);
    }
    (void)dnnl_primitive_destroy(p->conv);
    (void)dnnl_memory_destroy(p->bias);
    (void)dnnl_memory_destroy(p->space);
    memset(p, 0, sizeof *p);
}

static int64_t aligned(int64_t bytes)
{
    return (bytes + ASSAY_ALIGNMENT - 1) / ASSAY_ALIGNMENT * ASSAY_ALIGNMENT;
}

static bool memory_of(dnnl_memory_t *memory, const dnnl_memory_desc_t *layout)
{
    return dnnl_memory_create(memory, layout, engine, DNNL_MEMORY_NONE) == dnnl_success;
}

/* A primitive that copies from one layout to another. */
static bool copier(dnnl_primitive_t *copy, const dnnl_memory_desc_t *from,
                   const dnnl_memory_desc_t *to)
{
    dnnl_primitive_desc_t description = NULL;
    bool made = dnnl_reorder_primitive_desc_create(&description, from, engine, to, engine, NULL) ==
                    dnnl_success &&
                dnnl_primitive_create(copy, description) == dnnl_success;
    (void)dnnl_primitive_desc_destroy(description);
    return made;
}

static bool prepare_array(pass *p, int i, const dnnl_memory_desc_t *outer,
                          const dnnl_memory_desc_t *inner)
{
    pass_array *a = &p->arrays[i];
    if (!memory_of(&a->outer, outer))
        return false;
    if (dnnl_memory_desc_equal(outer, inner))
        return true;
    a->at = p->scratch;
    p->scratch += aligned((int64_t)dnnl_memory_desc_get_size(inner));
    return memory_of(&a->inner, inner) &&
           (i == RESULT ? copier(&a->copy, inner, outer) : copier(&a->copy, outer, inner));
}

/* The layouts of x, w and y as the caller has them, and with the choice left to oneDNN. */
typedef struct layouts {
    dnnl_memory_desc_t outer[3], open[3], bias;
    dnnl_dims_t strides, pads;
} layouts;

enum { X, W, Y };

static bool lay_out(const device_conv *g, layouts *l)
{
    const dnnl_dims_t sizes[3] = {{g->batch, g->channels, g->height, g->width},
                                  {g->filters, g->channels, g->side, g->side},
                                  {g->batch, g->filters, out_height(g), out_width(g)}};
    const dnnl_dims_t filters = {g->filters};
    memset(l, 0, sizeof *l);
    l->strides[0] = l->strides[1] = g->stride;
    l->pads[0] = l->pads[1] = g->pad;
    for (int i = 0; i < 3; i++)
        if (dnnl_memory_desc_init_by_tag(&l->outer[i], 4, sizes[i], dnnl_f32, dnnl_abcd) !=
                dnnl_success ||
            dnnl_memory_desc_init_by_tag(&l->open[i], 4, sizes[i], dnnl_f32, dnnl_format_tag_any) !=
                dnnl_success)
            return false;
    return dnnl_memory_desc_init_by_tag(&l->bias, 1, filters, dnnl_f32, dnnl_a) == dnnl_success;
}

/* oneDNN's plan for the forward pass; the backward passes take the direct one as a hint. */
static bool plan_forward(const device_conv *g, const layouts *l, dnnl_alg_kind_t method,
                         dnnl_primitive_desc_t *plan)
{
    dnnl_convolution_desc_t conv;
    return dnnl_convolution_forward_desc_init(&conv, dnnl_forward_training, method, &l->open[X],
                                              &l->open[W], g->bias != NULL ? &l->bias : NULL,
                                              &l->open[Y], l->strides, l->pads,
                                              l->pads) == dnnl_success &&
           dnnl_primitive_desc_create(plan, &conv, own_space, engine, NULL) == dnnl_success;
}

static bool plan_backward(const layouts *l, pass_kind kind, dnnl_alg_kind_t method,
                          const dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *plan)
{
    dnnl_convolution_desc_t conv;
    dnnl_status_t status =
        kind == PASS_DATA
            ? dnnl_convolution_backward_data_desc_init(&conv, method, &l->open[X], &l->open[W],
                                                       &l->open[Y], l->strides, l->pads, l->pads)
            : dnnl_convolution_backward_weights_desc_init(&conv, method, &l->open[X], &l->open[W],
                                                          NULL, &l->open[Y], l->strides, l->pads,
                                                          l->pads);
    return status == dnnl_success &&
           dnnl_primitive_desc_create(plan, &conv, own_space, engine, hint) == dnnl_success;
}

/* For each pass, what its arrays are: which of x, w, y, and oneDNN's names for them. */
static const struct {
    int which, argument;
    dnnl_query_t layout;
} roles[PASSES][ARRAYS] = {{{X, DNNL_ARG_SRC, dnnl_query_src_md},
                            {W, DNNL_ARG_WEIGHTS, dnnl_query_weights_md},
                            {Y, DNNL_ARG_DST, dnnl_query_dst_md}},
                           {{Y, DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md},
                            {W, DNNL_ARG_WEIGHTS, dnnl_query_weights_md},
                            {X, DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md}},
                           {{X, DNNL_ARG_SRC, dnnl_query_src_md},
                            {Y, DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md},
                            {W, DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md}}};

static bool take_plan(pass *p, pass_kind kind, const layouts *l, const dnnl_primitive_desc_t plan,
                      bool bias)
{
    const dnnl_memory_desc_t *space =
        dnnl_primitive_desc_query_md(plan, dnnl_query_scratchpad_md, 0);
    for (int i = 0; i < ARRAYS; i++) {
        const dnnl_memory_desc_t *outer = &l->outer[roles[kind][i].which];
        const dnnl_memory_desc_t *inner =
            dnnl_primitive_desc_query_md(plan, roles[kind][i].layout, 0);
        p->arrays[i].argument = roles[kind][i].argument;
        if (inner == NULL || !prepare_array(p, i, outer, inner))
            return false;
    }
    if (bias && !memory_of(&p->bias, &l->bias))
        return false;
    p->space_at = p->scratch;
    if (space != NULL && dnnl_memory_desc_get_size(space) > 0) {
        if (!memory_of(&p->space, space))
            return false;
        p->scratch += aligned((int64_t)dnnl_memory_desc_get_size(space));
    }
    p->sum_at = p->scratch;
    p->result_count = (int64_t)dnnl_memory_desc_get_size(&l->outer[roles[kind][RESULT].which]) /
                      (int64_t)sizeof(float);
    return dnnl_primitive_create(&p->conv, plan) == dnnl_success;
}

/* The fastest method is tried first. Winograd's tiles are 4 x 4: smaller maps would mostly fill
 * them with padding. */
static bool plan_pass(const device_conv *g, pass_kind kind, const layouts *l,
                      dnnl_primitive_desc_t *plan)
{
    bool tiles = g->side == 3 && g->stride == 1 && g->height >= 8 && g->width >= 8;
    dnnl_primitive_desc_t hint = NULL;
    bool made = false;
    if (kind == PASS_FORWARD)
        return (tiles && plan_forward(g, l, dnnl_convolution_winograd, plan)) ||
               plan_forward(g, l, dnnl_convolution_direct, plan);
    made = plan_forward(g, l, dnnl_convolution_direct, &hint) &&
           ((tiles && plan_backward(l, kind, dnnl_convolution_winograd, hint, plan)) ||
            plan_backward(l, kind, dnnl_convolution_direct, hint, plan));
    (void)dnnl_primitive_desc_destroy(hint);
    return made;
}

static void prepare_pass(pass *p, pass_kind kind, const device_conv *g)
{
    dnnl_primitive_desc_t plan = NULL;
    layouts l;
    bool made = lay_out(g, &l) && plan_pass(g, kind, &l, &plan) &&
                take_plan(p, kind, &l, plan, kind == PASS_FORWARD && g->bias != NULL);
    (void)dnnl_primitive_desc_destroy(plan);
    if (!made)
        pass_end(p);
    p->tried = true;
}

/* The place of this shape: its own, a free one, or that of the shape that waited longest. */
static prepared *place_of(const int64_t key[9])
{
    prepared **place = &shapes[0];
    for (int i = 0; i < SHAPES; i++) {
        if (shapes[i] != NULL && memcmp(shapes[i]->key, key, sizeof shapes[i]->key) == 0)
            return shapes[i];
        if (*place != NULL && (shapes[i] == NULL || shapes[i]->used < (*place)->used))
            place = &shapes[i];
    }
    if (*place == NULL)
        *place = calloc(1, sizeof **place);
    else
        for (int kind = 0; kind < PASSES; kind++)
            pass_end(&(*place)->passes[kind]);
    if (*place != NULL)
        memcpy((*place)->key, key, sizeof(*place)->key);
    return *place;
}

/* The pass for this shape, or NULL where oneDNN cannot help. Under the lock. */
static pass *pass_for(const device_conv *g, pass_kind kind)
{
    const int64_t key[9] = {g->batch, g->channels, g->height, g->width,       g->filters,
                            g->side,  g->stride,   g->pad,    g->bias != NULL};
    prepared *shape = own_space != NULL && g->batch > 0 ? place_of(key) : NULL;
    if (shape == NULL)
        return NULL;
    shape->used = ++clock_of_use;
    if (!shape->passes[kind].tried)
        prepare_pass(&shape->passes[kind], kind, g);
    return shape->passes[kind].conv != NULL ? &shape->passes[kind] : NULL;
}

static int64_t pass_bytes(const pass *p, bool add)
{
    return p->scratch + (add ? aligned(p->result_count * (int64_t)sizeof(float)) : 0);
}

static bool copy_array(const pass_array *a)
{
    bool in = a->argument == DNNL_ARG_SRC || a->argument == DNNL_ARG_WEIGHTS ||
              a->argument == DNNL_ARG_DIFF_DST;
    const dnnl_exec_arg_t ends[] = {{DNNL_ARG_FROM, in ? a->outer : a->inner},
                                    {DNNL_ARG_TO, in ? a->inner : a->outer}};
    return a->copy == NULL || dnnl_primitive_execute(a->copy, stream, 2, ends) == dnnl_success;
}

/* Room for a pass. What was there is of no more use. */
static bool make_room(int64_t bytes)
{
    if (bytes <= room_bytes)
        return true;
    free(room);
    room = aligned_alloc(ASSAY_ALIGNMENT, (size_t)bytes);
    room_bytes = room != NULL ? bytes : 0;
    return room != NULL;
}

/* result = [result +] the pass of arrays a and b. */
static bool run_pass(const pass *p, const float *a, const float *b, const float *bias,
                     float *result, bool add)
{
    if (!make_room(pass_bytes(p, add)))
        return false;
    float *to = add ? (float *)(void *)(room + p->sum_at) : result;
    void *const outer[ARRAYS] = {(void *)(uintptr_t)a, (void *)(uintptr_t)b, to};
    dnnl_exec_arg_t arguments[ARRAYS + 2];
    int count = 0;
    for (int i = 0; i < ARRAYS; i++) {
        const pass_array *x = &p->arrays[i];
        if (dnnl_memory_set_data_handle(x->outer, outer[i]) != dnnl_success ||
            (x->inner != NULL &&
             dnnl_memory_set_data_handle(x->inner, room + x->at) != dnnl_success))
            return false;
        arguments[count++] = (dnnl_exec_arg_t){x->argument, x->inner != NULL ? x->inner : x->outer};
    }
    if (p->bias != NULL) {
        (void)dnnl_memory_set_data_handle(p->bias, (void *)(uintptr_t)bias);
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, p->bias};
    }
    if (p->space != NULL) {
        (void)dnnl_memory_set_data_handle(p->space, room + p->space_at);
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->space};
    }
    if (!copy_array(&p->arrays[0]) || !copy_array(&p->arrays[1]) ||
        dnnl_primitive_execute(p->conv, stream, count, arguments) != dnnl_success ||
        !copy_array(&p->arrays[RESULT]) || dnnl_stream_wait(stream) != dnnl_success)
        return false;
    if (add) {
#pragma omp parallel for simd schedule(static) if (p->result_count >= 1 << 15)
        for (int64_t i = 0; i < p->result_count; i++)
            result[i] += to[i];
    }
    return true;
}

/* ---- in parts of the batch, so that the scratch is that of a part ---- */

static int64_t most_floats = INT64_C(1) << 27; /* of a part's transforms: 512 MiB */

int64_t cpu_conv_part(int64_t floats)
{
    int64_t was = most_floats;
    most_floats = floats;
    return was;
}

/* Images that are taken together: Winograd's method holds 36 numbers for each 16 of x and y. */
static int64_t images_of_part(const device_conv *g)
{
    double each = 36.0 / 16.0 * (double)(g->height * g->width) * (double)(g->channels + g->filters);
    double fitting = (double)most_floats / each;
    if (fitting >= (double)g->batch)
        return g->batch;
    return fitting >= 1.0 ? (int64_t)fitting : 1;
}

/* Images first .. of the batch, as many as a part holds; later parts add to the weight's
 * gradient. */
static device_conv part_of(const device_conv *g, int64_t first)
{
    device_conv part = *g;
    int64_t of_x = g->channels * g->height * g->width;
    int64_t of_y = g->filters * out_height(g) * out_width(g), images = images_of_part(g);
    part.batch = g->batch - first < images ? g->batch - first : images;
    part.x = g->x + first * of_x;
    part.y = g->y != NULL ? g->y + first * of_y : NULL;
    part.d_y = g->d_y != NULL ? g->d_y + first * of_y : NULL;
    part.d_x = g->d_x != NULL ? g->d_x + first * of_x : NULL;
    part.add_w = g->add_w || first > 0;
    return part;
}

/* Kernels have no way to fail: what oneDNN refuses is left to the definition. */

static void conv_part(const device_conv *g)
{
    const pass *p = pass_for(g, PASS_FORWARD);
    if (p == NULL || !run_pass(p, g->x, g->w, g->bias, g->y, false))
        cpu_conv_plain(g);
}

static void d_conv_part(const device_conv *g, pass_kind kind)
{
    bool data = kind == PASS_DATA, done = false;
    const pass *p = pass_for(g, kind);
    device_conv alone = *g;
    if (p != NULL && data)
        done = run_pass(p, g->d_y, g->w, NULL, g->d_x, g->add_x);
    else if (p != NULL)
        done = run_pass(p, g->x, g->d_y, NULL, g->d_w, g->add_w);
    if (done)
        return;
    *(data ? &alone.d_w : &alone.d_x) = NULL;
    cpu_d_conv_plain(&alone);
}

void cpu_conv(const device_conv *g)
{
    if (is_product(g)) {
        product_conv(g);
        return;
    }
    call_once(&started, start);
    (void)mtx_lock(&lock);
    for (int64_t first = 0; first < g->batch; first += images_of_part(g)) {
        device_conv part = part_of(g, first);
        conv_part(&part);
    }
    (void)mtx_unlock(&lock);
}

void cpu_d_conv(const device_conv *g)
{
    if (g->batch == 0) {
        cpu_d_conv_plain(g);
        return;
    }
    if (is_product(g)) {
        d_product_conv(g);
        return;
    }
    call_once(&started, start);
    (void)mtx_lock(&lock);
    for (int64_t first = 0; first < g->batch; first += images_of_part(g)) {
        device_conv part = part_of(g, first);
        if (g->d_x != NULL)
            d_conv_part(&part, PASS_DATA);
        if (g->d_w != NULL)
            d_conv_part(&part, PASS_WEIGHTS);
    }
    (void)mtx_unlock(&lock);
}
