/* positions.c - a ViT's position table resized to another grid of patches.
 *
 * As PyTorch's interpolate does it (bicubic with a = -0.75, align_corners = false, no
 * antialiasing), which the published fine-tuning uses on a 224-pixel checkpoint in a 512-pixel
 * model. */
#include "lab/train/positions.h"

#include <assay/image.h>
#include <assay/log.h>
#include <assay/memory.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *const table_name = "pos_embed";

/* The side of the grid behind 1 + side^2 tokens; 0: there is none. */
static int64_t grid_of(int64_t tokens)
{
    int64_t side = tokens > 1 ? (int64_t)llround(sqrt((double)(tokens - 1))) : 0;
    return side > 0 && side * side == tokens - 1 ? side : 0;
}

static bool is_table(const assay_params *params, const char *name)
{
    for (int64_t i = 0; i < assay_stacks(params); i++) {
        const assay_stack *stack = assay_stack_at(params, i);
        const size_t length = strlen(stack->prefix);
        if (stack->kind == ASSAY_STACK_VIT && strncmp(name, stack->prefix, length) == 0 &&
            strcmp(name + length, table_name) == 0)
            return true;
    }
    return false;
}

/* (rows, columns) to (columns, rows). */
static void transpose(const float *in, int64_t rows, int64_t columns, float *out)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            out[c * rows + r] = in[r * columns + c];
}

/* The tokens of a stored table: how many stand before the patches (a class token, or none), and the
 * side of their grid; 0: it is no table of positions. DeiT III adds positions before the class
 * token is there (spec 2.14). */
static int64_t stored_grid(int64_t tokens, int64_t *before)
{
    int64_t side = grid_of(tokens);
    *before = side > 0;
    return side > 0 ? side : grid_of(tokens + 1);
}

/* `from` (before + g g, width) to `out` (1 + side side, width). */
static bool resize(const float *from, int64_t before, int64_t g, float *out, int64_t side,
                   int64_t width, assay_error *error)
{
    float *in = assay_alloc(width * g * g * (int64_t)sizeof *in, error);
    float *made = assay_alloc(width * side * side * (int64_t)sizeof *made, error);
    bool ok = in && made;
    if (ok) {
        transpose(from + before * width, g * g, width, in);
        if (g == side)
            memcpy(made, in, (size_t)(width * g * g) * sizeof *made);
        else
            assay_resize_planes(in, width, g, g, made, side, side, ASSAY_BICUBIC);
        memset(out, 0, (size_t)width * sizeof *out);
        memcpy(out, from, (size_t)(before * width) * sizeof *out);
        transpose(made, width, side * side, out + width);
    }
    assay_free(in);
    assay_free(made);
    return ok;
}

bool positions_fit(const assay_params *params, const assay_parameter *parameter,
                   const assay_stored *stored, float *out, assay_error *error)
{
    const assay_tensor *value = parameter->value;
    if (!is_table(params, parameter->name) || stored->rank != 3 || value->rank != 3 ||
        stored->shape[0] != 1 || stored->shape[2] != value->shape[2] ||
        stored->dtype > ASSAY_STORED_BF16)
        return false;
    int64_t before = 0;
    const int64_t from = stored_grid(stored->shape[1], &before), to = grid_of(value->shape[1]);
    if (from == 0 || to == 0)
        return false;
    if (!out)
        return true;
    assay_tensor *table = assay_stored_tensor(stored, ASSAY_F32, error);
    bool ok = table && resize(assay_f32(table), before, from, out, to, value->shape[2], error);
    assay_tensor_free(table);
    if (ok)
        assay_log(ASSAY_LOG_INFO,
                  "%s: positions of a %" PRId64 " x %" PRId64 " grid resized to %" PRId64
                  " x %" PRId64,
                  stored->name, from, from, to, to);
    return ok;
}
