/* residence.c - moving a tensor's numbers to the side that asks for them (tensor/residence.h). */
#include "engine/tensor/residence.h"

#include "engine/tensor/tape.h"

#include <assay/memory.h>

#include <string.h>

/* ---- step memory of the device ---- */

assay_arena *tape_room(assay_tape *tape)
{
    return tape->arena;
}

void *tape_numbers(assay_tape *tape, int64_t bytes)
{
    if (!tape->numbers)
        return assay_tape_scratch(tape, bytes);
    if (tape->error.code != ASSAY_OK)
        return NULL;
    return device_arena_alloc(tape->numbers, bytes, &tape->error);
}

void tape_numbers_release(assay_tape *tape, void *numbers, int64_t bytes)
{
    if (tape->numbers)
        device_arena_release(tape->numbers, numbers, bytes);
    else
        assay_tape_release(tape, numbers, bytes);
}

const void *op_sent(assay_tape *tape, const void *bytes, int64_t n)
{
    if (!tape->numbers || !bytes)
        return bytes;
    void *copy = tape_numbers(tape, n);
    if (copy)
        tape->device->memory->upload(copy, bytes, n);
    return copy;
}

/* ---- the host asks ---- */

/* Memory for the host's copy of what a device computed. */
static void *room_for(assay_arena *room, int64_t bytes)
{
    return room ? assay_arena_alloc(room, bytes, NULL) : assay_alloc(bytes, NULL);
}

/* The tensor's numbers on the host, up to date and free to be written. Only the residence changes,
 * which is no part of a tensor's value: hence the const of those who ask. */
static void *here(const assay_tensor *asked)
{
    assay_tensor *t = (assay_tensor *)(uintptr_t)asked;
    if (!t->side.device)
        return t->data;
    if (!t->data)
        t->data = room_for(t->side.room, assay_tensor_bytes(t));
    if (!t->data)
        return NULL;
    if (t->side.old_here && !t->side.blank)
        t->side.device->memory->download(t->data, t->side.there, assay_tensor_bytes(t));
    t->side.old_here = t->side.blank = false;
    t->side.old_there = true;
    return t->data;
}

void *assay_elements(const assay_tensor *tensor)
{
    return here(tensor);
}

const void *tensor_look(const assay_tensor *asked)
{
    assay_tensor *t = (assay_tensor *)(uintptr_t)asked;
    bool was_old = t->side.old_there;
    const void *numbers = here(t);
    t->side.old_there = t->side.device ? was_old : false;
    return numbers;
}

float *assay_f32(const assay_tensor *tensor)
{
    return tensor->dtype == ASSAY_F32 ? here(tensor) : NULL;
}

uint16_t *assay_bf16(const assay_tensor *tensor)
{
    return tensor->dtype == ASSAY_BF16 ? here(tensor) : NULL;
}

int32_t *assay_i32(const assay_tensor *tensor)
{
    return tensor->dtype == ASSAY_I32 ? here(tensor) : NULL;
}

uint8_t *assay_u8(const assay_tensor *tensor)
{
    return tensor->dtype == ASSAY_U8 ? here(tensor) : NULL;
}

const int32_t *op_ints(const assay_tensor *x)
{
    return x->data;
}

const uint8_t *op_bytes(const assay_tensor *x)
{
    return x->data;
}

const float *assay_gradient(const assay_tensor *asked)
{
    assay_tensor *t = (assay_tensor *)(uintptr_t)asked;
    int64_t bytes = assay_tensor_count(t) * (int64_t)sizeof(float);
    if (!t->has_grad)
        return NULL;
    if (!t->side.grad_there)
        return t->grad;
    bool fresh = !t->side.grad_here;
    if (fresh)
        t->side.grad_here = room_for(t->side.room, bytes);
    if (t->side.grad_here && (t->side.grad_old || fresh))
        t->side.device->memory->download(t->side.grad_here, t->grad, bytes);
    t->side.grad_old = false;
    return t->side.grad_here;
}

/* ---- a kernel asks ---- */

/* Gives a leaf's memory on another device back: it moves for good. */
static void leave_device(assay_tensor *leaf)
{
    (void)here(leaf);
    leaf->side.device->memory->give(leaf->side.there);
    leaf_drop_grad(leaf);
    leaf->side.there = NULL;
    leaf->side.device = NULL;
    leaf->side.old_there = false;
}

/* Whether the leaf has memory on the device. */
static bool settle(const assay_device *device, assay_tensor *leaf, assay_error *error)
{
    if (leaf->side.device == device)
        return true;
    if (leaf->side.device)
        leave_device(leaf);
    leaf->side.there = device->memory->take(assay_tensor_bytes(leaf), error);
    if (!leaf->side.there)
        return false;
    leaf->side.device = device;
    leaf->side.pass = 0;
    leaf->side.old_there = true;
    leaf->side.old_here = false;
    return true;
}

static void send(assay_tensor *t)
{
    if (t->side.old_there && !t->side.blank)
        t->side.device->memory->upload(t->side.there, t->data, assay_tensor_bytes(t));
    t->side.old_there = false;
}

void *leaf_in(const assay_device *device, assay_tensor *leaf, assay_error *error)
{
    if (!device->memory)
        return here(leaf);
    if (!settle(device, leaf, error))
        return NULL;
    send(leaf);
    return leaf->side.there;
}

void *leaf_change(const assay_device *device, assay_tensor *leaf, assay_error *error)
{
    void *numbers = leaf_in(device, leaf, error);
    if (numbers && device->memory)
        leaf->side.old_here = true;
    return numbers;
}

/* Where kernels write all of the leaf's numbers: what was there or here is forgotten. */
static void *leaf_out(const assay_device *device, assay_tensor *leaf, assay_error *error)
{
    if (!device->memory)
        return here(leaf);
    if (!settle(device, leaf, error))
        return NULL;
    leaf->side.old_there = leaf->side.blank = false;
    leaf->side.old_here = true;
    return leaf->side.there;
}

/* A tensor of this or another step, or a batch's: has memory that lasts as long as this pass.
 * Numbers that only the device has stay where they are. */
static bool visit(assay_tape *tape, assay_tensor *t)
{
    if (t->side.there && (t->side.old_here || t->side.pass == 0 || t->side.pass == tape->pass))
        return true;
    t->side.there = tape_numbers(tape, assay_tensor_bytes(t));
    if (!t->side.there)
        return false;
    t->side.device = tape->device;
    t->side.pass = tape->pass;
    t->side.old_there = true;
    return true;
}

void *op_in(assay_tape *tape, const assay_tensor *asked)
{
    assay_tensor *t = (assay_tensor *)(uintptr_t)asked;
    if (!tape->numbers)
        return here(t);
    if (tape->error.code != ASSAY_OK)
        return NULL;
    if (t->is_leaf && !t->side.borrowed)
        return leaf_in(tape->device, t, &tape->error);
    if (!visit(tape, t))
        return NULL;
    send(t);
    return t->side.there;
}

void *op_change(assay_tape *tape, assay_tensor *x)
{
    void *numbers = op_in(tape, x);
    if (numbers && tape->numbers) {
        x->side.old_here = true;
        x->side.blank = false;
    }
    return numbers;
}

void *op_out(assay_tape *tape, assay_tensor *y)
{
    if (tape->numbers)
        y->side.blank = true; /* nothing to send */
    return op_change(tape, y);
}

bool assay_tape_keep(assay_tape *tape, assay_tensor *to, int64_t first, const assay_tensor *from)
{
    const device_memory *memory = tape->device->memory;
    int64_t count = assay_tensor_count(from);
    int64_t width = to->shape[0] > 0 ? assay_tensor_count(to) / to->shape[0] : 0;
    const void *numbers = op_in(tape, from);
    float *out = first == 0 ? leaf_out(tape->device, to, &tape->error)
                            : leaf_change(tape->device, to, &tape->error);
    if (!numbers || !out || tape->error.code != ASSAY_OK)
        return false;
    out += first * width;
    if (from->dtype == ASSAY_BF16)
        tape->device->kernels->from_bf16(count, numbers, out);
    else if (memory)
        memory->copy(out, numbers, count * (int64_t)sizeof *out);
    else if (count > 0)
        memcpy(out, numbers, (size_t)count * sizeof *out);
    return true;
}

assay_tensor *leaf_zeros(const assay_device *device, int rank, const int64_t *shape,
                         assay_error *error)
{
    assay_tensor *leaf = NULL;
    if (!device->memory) {
        leaf = assay_tensor_new(ASSAY_F32, rank, shape, error);
        if (leaf)
            memset(leaf->data, 0, (size_t)assay_tensor_bytes(leaf));
        return leaf;
    }
    leaf = assay_zalloc((int64_t)sizeof *leaf, error);
    if (!leaf)
        return NULL;
    *leaf =
        (assay_tensor){.dtype = ASSAY_F32, .rank = rank, .is_leaf = true, .side.old_here = true};
    for (int i = 0; i < ASSAY_MAX_RANK; i++)
        leaf->shape[i] = i < rank ? shape[i] : 1;
    leaf->side.device = device;
    leaf->side.there = device->memory->take(assay_tensor_bytes(leaf), error);
    if (!leaf->side.there) {
        assay_free(leaf);
        return NULL;
    }
    device->memory->clear(leaf->side.there, assay_tensor_bytes(leaf));
    return leaf;
}

/* ---- gradients of leaves ---- */

void leaf_drop_grad(assay_tensor *leaf)
{
    if (leaf->side.grad_there)
        leaf->side.device->memory->give(leaf->grad);
    else
        assay_free(leaf->grad);
    assay_free(leaf->side.grad_here);
    leaf->grad = leaf->side.grad_here = NULL;
    leaf->side.grad_there = leaf->has_grad = false;
}

bool leaf_take_grad(const assay_device *device, assay_tensor *leaf, assay_error *error)
{
    int64_t bytes = 0;
    const device_memory *memory = device ? device->memory : NULL;
    if (memory && !settle(device, leaf, error))
        return false;
    if (leaf->grad && leaf->side.grad_there == (memory != NULL))
        return true;
    if (leaf->grad)
        leaf_drop_grad(leaf);
    if (!assay_size_mul(&bytes, assay_tensor_count(leaf), (int64_t)sizeof(float)))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "tensor",
                          .what = "the gradient's size does not fit in 63 bits");
    leaf->grad = memory ? memory->take(bytes, error) : assay_alloc(bytes, error);
    leaf->side.grad_there = leaf->grad && memory;
    leaf->has_grad = false;
    return leaf->grad != NULL;
}
