"""Golden values of the ViT, of image resizing and of segmentation scores, in PyTorch and NumPy.

    golden_infrared.py OUT [--seed N] [--depth L] ...   writes OUT/infrared/
    golden_infrared.py --verify FOLDER                  recomputes FOLDER/infrared/ and compares

Written from the infrared specification (sections named below), independently of the C code.
OUT/infrared/ receives vit.json, vit, vit_reference and image_reference (.safetensors); what each
holds is said by the README of the golden folder. pillow_bicubic.* is left out, or fails to verify,
where Pillow is not installed. The tests read a folder with ASSAY_GOLDEN=OUT. Only for regeneration:
nothing else runs this file.
"""

import argparse
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from safetensors_io import check, doubles, emit, read, write

try:
    from PIL import Image
except ImportError:
    Image = None

IGNORED = 255
RESIZED = ("bicubic", "bilinear", "nearest")

# ---- ViT (1.1) ----


def linear(w, name, x):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)


def vit(w, config, image):
    """Outputs and softmaxed maps (B, heads, T, T) of the blocks; states after the final norm."""
    patch, heads = config["patch"], config["heads"]
    image = image.repeat(1, w["patch_embed.proj.weight"].shape[1] // image.shape[1], 1, 1)
    x = F.conv2d(image, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1) + w["pos_embed"]
    layers, maps = [], []
    for i in range(config["depth"]):
        block = f"blocks.{i}"
        qkv = linear(w, f"{block}.attn.qkv", norm(w, f"{block}.norm1", x))
        q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), -1)
        attended = (attention @ v).transpose(1, 2).flatten(2)
        x = x + linear(w, f"{block}.attn.proj", attended)
        inner = F.gelu(linear(w, f"{block}.mlp.fc1", norm(w, f"{block}.norm2", x)))
        x = x + linear(w, f"{block}.mlp.fc2", inner)
        layers.append(x)
        maps.append(attention)
    return layers, maps, norm(w, "norm", x)


def without_class(attention, floor):
    """Maps (..., N, N) of the patches alone, `floor` added to each entry, rows summing to one."""
    patches = attention[..., 1:, 1:] + floor
    return patches / patches.sum(-1, keepdim=True)


def mutual_information(attention):
    """NMI (2.6.1) of every map, averaged over the images: (heads)."""
    a = without_class(attention, 1e-8)
    n = a.shape[-1]
    keys = a.mean(-2, keepdim=True)
    information = (a * (a / keys).log()).sum((-1, -2)) / n
    entropy = -(keys * keys.log()).sum((-1, -2))
    return (information / torch.sqrt(math.log(n) * entropy)).mean(0)


def attention_distance(attention, patch):
    """Mean distance in pixels (2.6.4), averaged over queries and images: (heads)."""
    a = without_class(attention, 1e-32)
    side = math.isqrt(a.shape[-1])
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1).double()
    return (a * patch * torch.cdist(places, places)).sum(-1).mean((0, 2))


def vit_values(folder, inputs):
    with open(os.path.join(folder, "vit.json"), encoding="utf-8") as file:
        config = json.load(file)
    w = doubles(read(os.path.join(folder, "vit.safetensors")), True)
    given = doubles(inputs)
    layers, maps, final = vit(w, config, given["image"])
    loss = (final * given["cotangent"]).sum()
    gradients = torch.autograd.grad(loss, list(w.values()))
    values = {f"grad.{name}": gradient for name, gradient in zip(w, gradients)}
    values["final_norm"] = final
    for i, (layer, attention) in enumerate(zip(layers, maps)):
        values[f"layer.{i}"], values[f"attention.{i}"] = layer, attention
    maps = [attention.detach() for attention in maps]
    values["nmi"] = torch.stack([mutual_information(a) for a in maps]).numpy()
    distances = [attention_distance(a, config["patch"]) for a in maps]
    values["attention_distance"] = torch.stack(distances).numpy()
    return values


# ---- images and segmentation scores (1.3, 2.11) ----


def resize(image, kind, size):
    """Half-pixel centres and no antialiasing; nearest rounds the source position down."""
    return F.interpolate(image, size, mode=kind, align_corners=None if kind == "nearest" else False)


def segmentation_scores(truth, prediction, classes):
    """IoU per class (-1: in neither map) and their mean; mean accuracy over the classes of the
    truth; overall accuracy."""
    counted = truth != IGNORED
    truth, prediction = truth[counted], prediction[counted]
    iou, accuracy = np.full(classes, -1.0), []
    for c in range(classes):
        real, said = truth == c, prediction == c
        if (real | said).any():
            iou[c] = (real & said).sum() / (real | said).sum()
        if real.any():
            accuracy.append((real & said).sum() / real.sum())
    return {
        "miou.iou": iou,
        "miou.miou": iou[iou >= 0].mean(),
        "miou.macc": np.mean(accuracy),
        "miou.aacc": (truth == prediction).mean(),
    }


def image_values(inputs, names, classes):
    values = segmentation_scores(inputs["miou.truth"], inputs["miou.prediction"], classes)
    image = doubles(inputs)["in"]
    for name in names:
        kind, size = name.split(".")
        if kind in RESIZED:
            values[name] = resize(image, kind, [int(side) for side in size.split("x")])
        if kind == "pillow_bicubic" and Image:
            height, width = map(int, size.split("x"))
            gray = Image.fromarray(inputs["pillow.in"], "L")
            values[name] = np.asarray(gray.resize((width, height), Image.BICUBIC))
    return values


def references(folder, classes):
    """{file: (names of its inputs, reference(inputs, names))}"""
    images = ["in", "pillow.in", "miou.truth", "miou.prediction"]
    return {
        "vit_reference": (["image", "cotangent"], lambda given, names: vit_values(folder, given)),
        "image_reference": (images, lambda given, names: image_values(given, names, classes)),
    }


def verify(folder):
    path = os.path.join(folder, "image_reference.safetensors")
    classes = len(read(path)["miou.iou"]) if os.path.exists(path) else 0
    return all(
        [
            check(os.path.join(folder, f"{name}.safetensors"), inputs, reference)
            for name, (inputs, reference) in references(folder, classes).items()
        ]
    )


# ---- drawing inputs ----

OPTIONS = (  # name, default, meaning
    ("seed", 0, "of everything that is drawn"),
    ("dim", 48, "of the states; a multiple of 4 and of the heads"),
    ("depth", 3, "blocks"),
    ("heads", 3, ""),
    ("patch", 16, "side of a patch in pixels"),
    ("side", 64, "side of the image in pixels"),
    ("images", 3, ""),
    ("classes", 8, "of the segmentation maps"),
)


def normal(rng, shape, scale=1.0, mean=0.0):
    return (mean + scale * rng.standard_normal(shape)).astype(np.float32)


def sine_cosine(width, side):
    """Fixed positions (1.2): the first half of a row tells the column, the second the row."""
    rates = 10000.0 ** (-np.arange(width // 4) / (width / 4))
    wave = np.arange(side)[:, None] * rates
    wave = np.concatenate([np.sin(wave), np.cos(wave)], 1)
    grid = np.concatenate([np.tile(wave, (side, 1)), np.repeat(wave, side, 0)], 1)
    return np.concatenate([np.zeros((1, width)), grid])[None].astype(np.float32)


def draw_vit(a, rng):
    dim = a.dim
    shapes = {"patch_embed.proj.bias": (dim,), "norm.weight": (dim,), "norm.bias": (dim,)}
    for i in range(a.depth):
        for part in ("norm1", "norm2"):
            shapes[f"blocks.{i}.{part}.weight"] = shapes[f"blocks.{i}.{part}.bias"] = (dim,)
        for part, rows, columns in (
            ("attn.qkv", 3 * dim, dim),
            ("attn.proj", dim, dim),
            ("mlp.fc1", 4 * dim, dim),
            ("mlp.fc2", dim, 4 * dim),
        ):
            shapes[f"blocks.{i}.{part}.weight"] = (rows, columns)
            shapes[f"blocks.{i}.{part}.bias"] = (rows,)
    weights = {
        "cls_token": normal(rng, (1, 1, dim), 0.3),
        "pos_embed": sine_cosine(dim, a.side // a.patch),
        "patch_embed.proj.weight": normal(rng, (dim, 3, a.patch, a.patch), 0.64 / a.patch),
    }
    for name, shape in shapes.items():
        if len(shape) == 2:
            weights[name] = normal(rng, shape, 0.12)
        else:
            gain = "norm" in name and name.endswith("weight")
            weights[name] = normal(rng, shape, 0.08, 1.0 if gain else 0.0)
    return weights


def draw_maps(a, rng):
    """Truth with ignored pixels, and a prediction that is right in three pixels of five. The last
    class is in neither map, the one before is only ever predicted."""
    shape = (a.images, 40, 30)
    truth = rng.integers(0, a.classes - 2, shape)
    guess = rng.integers(0, a.classes - 1, shape)
    prediction = np.where(rng.uniform(size=shape) < 0.6, truth, guess)
    truth[rng.uniform(size=shape) < 0.1] = IGNORED
    return truth.astype(np.uint8), prediction.astype(np.uint8)


def draw_images(a, rng):
    truth, prediction = draw_maps(a, rng)
    inputs = {
        "in": rng.uniform(size=(1, 3, *a.source)).astype(np.float32),
        "pillow.in": rng.integers(0, 256, (37, 53)).astype(np.uint8),
        "miou.truth": truth,
        "miou.prediction": prediction,
    }
    sizes = [f"{height}x{width}" for height, width in zip(a.sizes[::2], a.sizes[1::2])]
    names = [f"{kind}.{size}" for kind in RESIZED for size in sizes]
    names += [f"miou.{score}" for score in ("iou", "miou", "macc", "aacc")]
    if Image:
        names += [f"pillow_bicubic.{size}" for size in ("16x16", "37x20", "64x80")]
    return inputs, names


def generate(folder, a):
    os.makedirs(folder, exist_ok=True)
    weights, inputs, images = (np.random.default_rng([a.seed, i]) for i in range(3))
    config = {"dim": a.dim, "depth": a.depth, "heads": a.heads, "patch": a.patch, "image": a.side}
    with open(os.path.join(folder, "vit.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(config) + "\n")
    w = draw_vit(a, weights)
    write(os.path.join(folder, "vit.safetensors"), w)
    tokens = 1 + (a.side // a.patch) ** 2
    drawn = {
        "image": normal(inputs, (a.images, 1, a.side, a.side)),
        "cotangent": normal(inputs, (a.images, tokens, a.dim)),
    }
    names = [f"{kind}.{i}" for kind in ("layer", "attention") for i in range(a.depth)]
    names += ["final_norm", "nmi", "attention_distance", *(f"grad.{name}" for name in w)]
    drawn = {"vit_reference": (drawn, names), "image_reference": draw_images(a, images)}
    for name, (_, reference) in references(folder, a.classes).items():
        emit(os.path.join(folder, f"{name}.safetensors"), *drawn[name], reference)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="?", metavar="OUT")
    parser.add_argument("--verify", metavar="FOLDER", help="compare, write nothing")
    parser.add_argument("--source", type=int, nargs=2, default=[14, 14], help="image to be resized")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[14, 20, 32, 32, 7, 9],
        help="to resize it to: height, width, height, width ...",
    )
    for name, default, meaning in OPTIONS:
        text = f"{meaning} [{default}]".strip()
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    a = parser.parse_args()
    if (a.out is None) == (a.verify is None):
        parser.error("one folder is needed: OUT to write or --verify FOLDER to compare")
    if a.classes < 3 or len(a.sizes) % 2:
        parser.error("three classes at least, and sizes in pairs")
    return a


def main():
    a = arguments()
    if a.verify:
        return 0 if verify(os.path.join(a.verify, "infrared")) else 1
    generate(os.path.join(a.out, "infrared"), a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
