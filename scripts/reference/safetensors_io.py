"""Reading, writing and comparing the safetensors files of golden values.

Shared by golden_users.py and golden_infrared.py. A golden file holds inputs, which a generator
draws or sets, and reference values, which are computed from the inputs alone. So one function per
file, `reference(inputs, names)`, which returns {name: value}, serves both `emit`, which writes a
file, and `check`, which recomputes one.

A reference value that is a PyTorch tensor is stored as F32, as a network's value; a NumPy array or
a Python number is stored as it is (F64 for scores, losses and series; U8 for pixels).
"""

import json
import os
import struct

import numpy as np
import torch

TYPES = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
}
AGREEMENT = 1e-5  # norm of the difference, relative to the norm of the stored value
NOTHING = 1e-6  # of the largest gradient in the file: a smaller gradient is rounding


def read(path):
    """{name: array} of one file."""
    with open(path, "rb") as file:
        content = file.read()
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, end = entry["data_offsets"]
        values = np.frombuffer(content[8 + size + first : 8 + size + end], TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).copy()
    return tensors


def write(path, tensors, metadata=None):
    """Writes {name: array}, in the order of the names."""
    codes = {dtype: code for code, dtype in TYPES.items()}
    header, body = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        data = values.tobytes()
        header[name] = {
            "dtype": codes[values.dtype.newbyteorder("<")],
            "shape": list(values.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the values start at a multiple of 8 bytes
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def doubles(arrays, gradients=False):
    """The same values as float64 tensors, leaves of a graph when gradients are wanted."""
    return {
        name: torch.tensor(values, dtype=torch.float64, requires_grad=gradients)
        for name, values in arrays.items()
    }


def stored(value):
    """A reference value as the array that its file holds."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy().astype(np.float32)
    return np.atleast_1d(np.asarray(value))


def emit(path, inputs, names, reference):
    """Computes the values `names` from the inputs and writes both."""
    computed = reference(inputs, names)
    if set(computed) != set(names):
        raise ValueError(f"{path}: computed {set(computed) ^ set(names)} unasked or not at all")
    write(path, {**inputs, **{name: stored(value) for name, value in computed.items()}})
    print(f"{path}: {len(names)} values from {len(inputs)} inputs")


def is_gradient(name):
    return "grad" in name.split(".") or name.split(".")[-1] in ("dX", "dY", "dp")


def check(path, input_names, reference):
    """Recomputes every stored value of a file that is not an input; true when all of them agree."""
    if not os.path.exists(path):
        print(f"{path}: absent, skipped")
        return True
    held = read(path)
    inputs = {name: held.pop(name) for name in input_names}
    computed = {name: stored(value) for name, value in reference(inputs, list(held)).items()}
    for name in set(computed) ^ set(held):
        print(f"{path}: {name} is {'not stored' if name in computed else 'not recomputed'}")
    norms = {name: np.linalg.norm(values.astype(np.float64)) for name, values in held.items()}
    largest = max((norms[name] for name in held if is_gradient(name)), default=0.0)
    worst, worst_name = 0.0, "nothing"
    for name in set(computed) & set(held):
        if computed[name].shape != held[name].shape:
            shapes = f"{held[name].shape}, not {computed[name].shape}"
            raise ValueError(f"{path}: {name} has shape {shapes}")
        difference = np.linalg.norm(computed[name].astype(np.float64) - held[name])
        norm = norms[name]
        if is_gradient(name) and norm < NOTHING * largest:
            norm = largest
        error = difference / norm if norm > 0 else float(difference > 0)
        if not error <= worst:
            worst, worst_name = error, name
    agrees = worst <= AGREEMENT and set(computed) == set(held)
    print(f"{path}: {len(held)} values, worst relative error {worst:.2e} ({worst_name})")
    return agrees
