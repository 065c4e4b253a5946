"""The segmenter's parts that no published golden file has, in PyTorch and double precision.

A small ViT with layer scale and BEiT's relative position bias, read by the linear head from two of its
blocks: a training step with every gradient; and what the same weights say of larger images through
sliding windows. Written from the infrared specification (1.1, 1.4, 2.9.5, 2.10, 2.11), independently
of the C code; tests/models/test_segmenter_own.c gives the same weights and images to the plugins.

    segmenter_own.py FOLDER      writes FOLDER/segmenter.safetensors

    param.NAME                   weights
    image, labels                (B, S, S): normalised pixels; classes, 255 is not counted
    layer.L, attention.L         block L's output (B, T, D) and its attention's map (B, heads, T, T)
    logits, loss, grad.NAME      of the step
    wide.I, scores.I             another image (H, W), and its classes' mean logits (C, H, W)
    sizes                        side of a window, stride, and the long and short side that fit
"""

import argparse
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

from safetensors_io import doubles, stored, write

WIDTH, DEPTH, HEADS, MLP, PATCH, SIDE, CLASSES, BATCH = 16, 3, 2, 40, 4, 16, 5, 3
READ = (0, 2)  # the blocks that the head reads
STRIDE, FIT_LONG, FIT_SHORT = 11, 64, 22
WIDE = ((24, 40), (31, 13), (20, 20))  # heights and widths
IGNORED = 255

# ---- the network ----


def linear(w, name, x):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)


def relative_index(side):
    """(T, T) rows of the table (1.4): a patch to a patch by their displacement, then the class token
    to anything, anything to the class token, and the class token to itself."""
    rows = (2 * side - 1) ** 2 + 3
    y, x = np.divmod(np.arange(side * side), side)
    index = np.empty((1 + side * side, 1 + side * side), dtype=np.int64)
    down = y[:, None] - y[None, :] + side - 1
    right = x[:, None] - x[None, :] + side - 1
    index[1:, 1:] = down * (2 * side - 1) + right
    index[0, :], index[:, 0], index[0, 0] = rows - 3, rows - 2, rows - 1
    return torch.from_numpy(index)


def attend(w, block, x):
    """The attention's result and its map; the table's columns are the heads."""
    batch, tokens, width = x.shape
    qkv = linear(w, f"{block}.attn.qkv", x).reshape(batch, tokens, 3, HEADS, width // HEADS)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    table = w[f"{block}.attn.relative_position_bias_table"]
    bias = table[relative_index(math.isqrt(tokens - 1))].permute(2, 0, 1)
    weights = F.softmax(q @ k.transpose(-1, -2) / math.sqrt(width // HEADS) + bias, dim=-1)
    joined = (weights @ v).transpose(1, 2).reshape(batch, tokens, width)
    return linear(w, f"{block}.attn.proj", joined), weights


def blocks(w, image):
    """Every block's output and map for gray images (B, S, S)."""
    image = image[:, None].repeat(1, 3, 1, 1)
    x = F.conv2d(image, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].repeat(len(x), 1, 1), x], dim=1) + w["pos_embed"]
    layers, maps = [], []
    for i in range(DEPTH):
        block = f"blocks.{i}"
        attended, weights = attend(w, block, norm(w, f"{block}.norm1", x))
        x = x + w[f"{block}.gamma_1"] * attended
        inner = F.gelu(linear(w, f"{block}.mlp.fc1", norm(w, f"{block}.norm2", x)))
        x = x + w[f"{block}.gamma_2"] * linear(w, f"{block}.mlp.fc2", inner)
        layers.append(x)
        maps.append(weights)
    return layers, maps


def classify(w, layers):
    """(B, C, g, g): a 1 x 1 convolution of the blocks' patches side by side (2.10)."""
    side = math.isqrt(layers[0].shape[1] - 1)
    maps = [layers[i][:, 1:].transpose(1, 2).unflatten(-1, (side, side)) for i in READ]
    return F.conv2d(
        torch.cat(maps, dim=1), w["decode_head.conv_seg.weight"], w["decode_head.conv_seg.bias"]
    )


def resize(x, height, width):
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


# ---- sliding windows (2.11) ----


def starts(extent):
    count = max(extent - SIDE + STRIDE - 1, 0) // STRIDE + 1
    return [min(i * STRIDE, extent - SIDE) for i in range(count)]


def slide(w, image):
    """Mean logits (C, H, W) of one image (H, W), at its own size."""
    height, width = image.shape
    factor = min(FIT_LONG / max(height, width), FIT_SHORT / min(height, width))
    tall, wide = int(height * factor + 0.5), int(width * factor + 0.5)
    fitted = resize(image[None, None], tall, wide)[0, 0]
    total = torch.zeros(CLASSES, tall, wide, dtype=torch.float64)
    seen = torch.zeros(tall, wide, dtype=torch.float64)
    for top in starts(tall):
        for left in starts(wide):
            window = fitted[top : top + SIDE, left : left + SIDE]
            logits = resize(classify(w, blocks(w, window[None])[0]), SIDE, SIDE)[0]
            total[:, top : top + SIDE, left : left + SIDE] += logits
            seen[top : top + SIDE, left : left + SIDE] += 1
    return resize((total / seen)[None], height, width)[0]


# ---- what is drawn, and what is computed of it ----


def normal(rng, shape, scale, mean=0.0):
    return (mean + scale * rng.standard_normal(shape)).astype(np.float32)


def draw_weights(rng):
    side = SIDE // PATCH
    w = {
        "cls_token": normal(rng, (1, 1, WIDTH), 0.5),
        "pos_embed": normal(rng, (1, 1 + side * side, WIDTH), 0.5),
        "patch_embed.proj.weight": normal(rng, (WIDTH, 3, PATCH, PATCH), 0.25),
        "patch_embed.proj.bias": normal(rng, (WIDTH,), 0.1),
        "decode_head.conv_seg.weight": normal(rng, (CLASSES, len(READ) * WIDTH, 1, 1), 0.3),
        "decode_head.conv_seg.bias": normal(rng, (CLASSES,), 0.2),
    }
    for i in range(DEPTH):
        block = f"blocks.{i}"
        for part, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", MLP, WIDTH),
            ("mlp.fc2", WIDTH, MLP),
        ):
            w[f"{block}.{part}.weight"] = normal(rng, (rows, columns), 0.3)
            w[f"{block}.{part}.bias"] = normal(rng, (rows,), 0.1)
        for part in ("norm1", "norm2"):
            w[f"{block}.{part}.weight"] = normal(rng, (WIDTH,), 0.2, 1.0)
            w[f"{block}.{part}.bias"] = normal(rng, (WIDTH,), 0.1)
        table = ((2 * side - 1) ** 2 + 3, HEADS)
        w[f"{block}.attn.relative_position_bias_table"] = normal(rng, table, 1.0)
        for part in ("gamma_1", "gamma_2"):
            w[f"{block}.{part}"] = normal(rng, (WIDTH,), 0.3, 0.7)
    return w


def smooth(rng, height, width):
    """Pixels that a resize to other sizes leaves alike."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.zeros((height, width))
    for _ in range(6):
        a, b, c, d = rng.uniform(-0.5, 0.5, 4)
        image += rng.uniform(0.3, 0.9) * np.sin(a * y + b * x + 6 * c) + 0.1 * d
    return image.astype(np.float32)


def step(w, image, labels):
    """A training step: cross-entropy over all pixels, those that do not count among them (2.9.5)."""
    layers, maps = blocks(w, image)
    logits = classify(w, layers)
    whole = resize(logits, SIDE, SIDE)
    total = F.cross_entropy(whole, labels, ignore_index=IGNORED, reduction="sum")
    loss = total / labels.numel()
    gradients = torch.autograd.grad(loss, list(w.values()))
    values = {"logits": logits, "loss": loss}
    values.update({f"grad.{name}": g for name, g in zip(w, gradients)})
    for i in range(DEPTH):
        values[f"layer.{i}"], values[f"attention.{i}"] = layers[i], maps[i]
    return values


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    rng = np.random.default_rng(a.seed)
    drawn = draw_weights(rng)
    image = np.stack([smooth(rng, SIDE, SIDE) for _ in range(BATCH)])
    labels = rng.integers(0, CLASSES, (BATCH, SIDE, SIDE)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.15] = IGNORED
    wide = [smooth(rng, height, width) for height, width in WIDE]

    w = doubles(drawn, gradients=True)
    values = step(w, torch.from_numpy(image).double(), torch.from_numpy(labels).long())
    with torch.no_grad():
        for i, pixels in enumerate(wide):
            values[f"scores.{i}"] = slide(w, torch.from_numpy(pixels).double())
    held = {name: stored(value) for name, value in values.items()}
    held.update({f"param.{name}": value for name, value in drawn.items()})
    held.update({f"wide.{i}": pixels for i, pixels in enumerate(wide)})
    held.update({"image": image, "labels": labels})
    held["sizes"] = np.array([SIDE, STRIDE, FIT_LONG, FIT_SHORT], dtype=np.int32)
    os.makedirs(a.folder, exist_ok=True)
    path = os.path.join(a.folder, "segmenter.safetensors")
    write(path, held)
    print(f"{path}: loss {float(values['loss']):.6f}, {len(held)} tensors")


if __name__ == "__main__":
    main()
