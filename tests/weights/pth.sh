#!/bin/sh
# pth.sh - scripts/pth on a checkpoint as PyTorch writes it, made here without PyTorch: names, dtypes and
# bytes survive, what is no tensor does not, and nothing in the file is executed.
# usage: pth.sh SOURCE_ROOT
set -u
root=$1
if ! command -v python3 >/dev/null; then
    echo "1..0 # SKIP python3 is not installed"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exec python3 - "$root/scripts/pth" "$work" <<'PYTHON'
import argparse, collections, io, json, os, pickle, struct, subprocess, sys, types, zipfile

script, work = sys.argv[1:]
torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utils})


def give(module, name):
    made = type(name, (), {}) if module is torch else (lambda *rest: None)
    made.__module__, made.__qualname__, made.__name__ = module.__name__, name, name
    setattr(module, name, made)
    return made


FloatStorage, HalfStorage = give(torch, "FloatStorage"), give(torch, "HalfStorage")
rebuild = give(utils, "_rebuild_tensor_v2")


class Storage:
    def __init__(self, kind, key, count):
        self.identity = ("storage", kind, key, "cpu", count)


class Tensor:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return rebuild, self.arguments


class Bomb:
    def __reduce__(self):
        return os.system, (f"touch {work}/executed",)


class Writer(pickle.Pickler):
    def persistent_id(self, value):
        return value.identity if isinstance(value, Storage) else None


def save(path, content, data):
    text = io.BytesIO()
    Writer(text, protocol=2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        for key, stored in data.items():
            archive.writestr(f"archive/data/{key}", stored)


def run(content, data):
    path, out = f"{work}/in.pth", f"{work}/out.safetensors"
    if os.path.exists(out):
        os.remove(out)
    save(path, content, data)
    done = subprocess.run([sys.executable, script, path, out], capture_output=True, text=True)
    if done.returncode != 0:
        return done, None
    whole = open(out, "rb").read()
    (size,) = struct.unpack_from("<Q", whole)
    header, body = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    return done, {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


numbers, half = struct.pack("<8f", *range(8)), struct.pack("<2e", 1.5, -2.0)
data = {"0": numbers, "1": half}
floats = Storage(FloatStorage, "0", 8)
hook = collections.OrderedDict()
model = collections.OrderedDict(
    {
        "blocks.0.w": Tensor(floats, 2, (2, 3), (3, 1), False, hook),
        "scalar": Tensor(floats, 7, (), (), False, hook),
        "half": Tensor(Storage(HalfStorage, "1", 2), 0, (1, 2), (2, 1), False, hook),
    }
)
tests = []
done, got = run({"model": model, "epoch": 3, "args": argparse.Namespace(lr=1.0), "optimizer": {"state": {0: Tensor(floats, 0, (8,), (1,), False, hook)}}}, data)
tests.append(("tensors keep their names, dtypes and bytes", got == {
    "model.blocks.0.w": ("F32", [2, 3], numbers[8:32]),
    "model.scalar": ("F32", [], numbers[28:32]),
    "model.half": ("F16", [1, 2], half),
}))
done, got = run({"model": model, "bomb": Bomb()}, data)
tests.append(("nothing is executed", got is not None and not os.path.exists(f"{work}/executed")))
done, got = run({"w": Tensor(floats, 0, (2, 4), (1, 2), False, hook)}, data)
tests.append(("a transposed tensor is refused", got is None and "not stored in order" in done.stderr))
done, got = run({"w": Tensor(floats, 4, (8,), (1,), False, hook)}, data)
tests.append(("a tensor beyond its data is refused", got is None and "beyond its data" in done.stderr and os.listdir(work) == ["in.pth"]))
open(f"{work}/text", "w").write("no archive")
done = subprocess.run([sys.executable, script, f"{work}/text", f"{work}/none"], capture_output=True, text=True)
tests.append(("another file is refused by name", done.returncode == 1 and f"{work}/text" in done.stderr))
print(f"1..{len(tests)}")
for i, (name, ok) in enumerate(tests):
    print("ok" if ok else "not ok", i + 1, "-", name)
PYTHON
