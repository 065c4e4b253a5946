#!/usr/bin/env python3
"""Golden values of selective search and PAD's candidates: tests/golden/infrared/roi.safetensors.

Needs `pip install scikit-image selectivesearch==0.4`, the packages that PAD's own extraction of
candidates calls; nothing of this project takes part. For each case NAME the file holds

    NAME.image     U8  (H, W)  drawn here: shapes, a slope, noise, so that no two edges cost the same
    NAME.numbers   F64 (3)     scale, sigma, least pixels of a segment
    NAME.segments  I32 (H, W)  skimage.segmentation.felzenszwalb
    NAME.regions   I32 (R, 5)  x, y, w, h and pixels of selectivesearch's regions, in their order
    NAME.rois      I32 (K, 4)  boxes that are kept (600 pixels, sides 40, aspect 3), once each, in
                               the order of their first region

usage: roi.py OUT.safetensors
"""

import json
import struct
import sys
import warnings

import numpy as np
import selectivesearch.selectivesearch as published

warnings.simplefilter("ignore")  # LBP of float images is what the package does


def draw(height, width, seed, shapes, noise):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    image = 40 + 60 * y / height + 15 * x / width
    for _ in range(shapes):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(0.05, 0.25) * height, rng.uniform(0.04, 0.2) * width
        level = rng.uniform(20, 235)
        if rng.uniform() < 0.5:
            image[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = level
        else:
            image[(abs(y - cy) < ry) & (abs(x - cx) < rx)] = level
    image = image + rng.normal(0, noise, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def keep(regions):
    boxes = []
    for region in regions:
        x, y, w, h = region["rect"]
        if region["size"] < 600 or w < 40 or h < 40 or w > 3 * h or h > 3 * w:
            continue
        if (x, y, w, h) not in boxes:
            boxes.append((x, y, w, h))
    return boxes


def compute(image, scale, sigma, least):
    colours = np.repeat(image[:, :, None], 3, axis=2)
    labelled, regions = published.selective_search(colours, scale=scale, sigma=sigma, min_size=least)
    return {
        "image": image,
        "numbers": np.array([scale, sigma, least], np.float64),
        "segments": labelled[:, :, 3].astype(np.int32),
        "regions": np.array([(*r["rect"], r["size"]) for r in regions], np.int32),
        "rois": np.array(keep(regions), np.int32).reshape(-1, 4),
    }


def write(path, tensors):
    kinds = {"float64": "F64", "int32": "I32", "uint8": "U8"}
    header, content = {}, b""
    for name, value in tensors.items():
        data = np.ascontiguousarray(value).tobytes()
        header[name] = {
            "dtype": kinds[value.dtype.name],
            "shape": list(value.shape),
            "data_offsets": [len(content), len(content) + len(data)],
        }
        content += data
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + content)


def main():
    cases = {
        "published": (draw(180, 240, 1, 14, 3.0), 600, 0.9, 30),
        "noisy": (draw(120, 160, 2, 10, 12.0), 600, 0.9, 30),
        "fine": (draw(90, 110, 3, 12, 2.0), 60, 0.5, 12),
    }
    tensors = {}
    for name, (image, scale, sigma, least) in cases.items():
        for part, value in compute(image, scale, sigma, least).items():
            tensors[f"{name}.{part}"] = value
        print(name, "segments", int(tensors[f"{name}.segments"].max()) + 1,
              "regions", len(tensors[f"{name}.regions"]), "rois", len(tensors[f"{name}.rois"]))
    write(sys.argv[1], tensors)


main()
