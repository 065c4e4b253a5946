/* cost.c - what an image costs, counted as the published table does (infrared spec 2.12):
 * multiply-adds of convolutions (with their biases) and of linear layers (without), twice the
 * elements of batch norms, the elements of ReLU, and what pools read. Not counted: layer norms,
 * GELU, additions, resizes and the products of attention; nor the auxiliary head, which only
 * training has. */
#include "segmenter.h"

static void add_convolution(cost *to, double out, double in, double side, double pixels,
                            double bias)
{
    to->counted += pixels * out * (in * side * side + bias);
    to->elements += pixels * out;
}

/* Side 2: every input pixel makes four. */
static void add_up(cost *to, double width, double pixels)
{
    to->counted += pixels * 4 * width * width + 4 * pixels * width;
    to->elements += 4 * pixels * width;
}

static void add_block(cost *to, double out, double in, double side, double pixels)
{
    add_convolution(to, out, in, side, pixels, 0);
    to->counted += 3 * pixels * out;
    to->elements += 2 * pixels * out;
}

static void add_vit(cost *to, const assay_vit_config *c, double patches)
{
    const double width = (double)c->width, mlp = (double)c->mlp_width, tokens = 1 + patches;
    const double layers = (double)c->layers, patch = (double)c->patch;
    add_convolution(to, width, (double)c->channels, patch, patches, 1);
    to->counted += layers * tokens * (4 * width * width + 2 * width * mlp);
    to->attention += layers * 2 * tokens * tokens * width;
    /* Two norms, qkv, attention, its projection, two sums, two scales; the MLP's middle twice. */
    to->elements += layers * tokens * (13 * width + 2 * mlp);
}

static void add_upernet(cost *to, double width, double channels, double patches)
{
    static const double scales[] = {1, 4, 9, 36};
    const double pixels[] = {16 * patches, 4 * patches, patches}, coarse = patches / 4;
    for (int i = 0; i < MODEL_SCALES; i++) {
        to->counted += coarse * width;
        add_block(to, channels, width, 1, scales[i]);
    }
    to->elements += coarse * (width + MODEL_SCALES * channels);
    add_block(to, channels, width + MODEL_SCALES * channels, 3, coarse);
    for (int i = 0; i < MODEL_LEVELS - 1; i++) {
        add_block(to, channels, width, 1, pixels[i]);
        add_block(to, channels, channels, 3, pixels[i]);
        to->elements += pixels[i] * channels;
    }
    /* All four levels side by side at the first one's size, with their gradient on the way back. */
    to->elements += 2 * MODEL_LEVELS * pixels[0] * channels;
    add_block(to, channels, MODEL_LEVELS * channels, 3, pixels[0]);
}

/* Logits at the truth's size, with their gradients. */
static double loss_elements(const model *m)
{
    const double pixels = (double)m->config->image * (double)m->config->image;
    return (m->settings.auxiliary ? 4 : 2) * pixels * (double)m->classes;
}

cost model_cost(const model *m)
{
    const double side = (double)(m->config->image / m->config->patch), patches = side * side;
    const double width = (double)m->config->width, classes = (double)m->classes;
    cost made = {0};
    made.elements = loss_elements(m);
    add_vit(&made, m->config, patches);
    if (m->settings.head == HEAD_LINEAR) {
        add_convolution(&made, classes, m->taken_count * width, 1, patches, 1);
        return made;
    }
    add_up(&made, width, patches);
    made.counted += 2 * 4 * patches * width;
    made.elements += 2 * 4 * patches * width;
    add_up(&made, width, 4 * patches);
    add_up(&made, width, patches);
    made.counted += patches * width;
    add_upernet(&made, width, (double)m->channels, patches);
    if (m->settings.auxiliary)
        made.elements += 2 * patches * (double)m->settings.auxiliary_channels;
    add_convolution(&made, classes, (double)m->channels, 1, 16 * patches, 1);
    return made;
}
