#!/usr/bin/env python3
"""The Hugging Face peer of the tokenizer benchmark: lines of a file to ids, one text a line, on one core.
usage: hf_tokenizer.py TOKENIZER TEXT [passes]      prints one JSON line
Takes the fastest of its ways: a call for each line, one batch, and one batch without offsets; the best pass of each,
by processor time."""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers
from tokenizers import Tokenizer

of = Tokenizer.from_file(sys.argv[1])
of.no_truncation()
of.no_padding()
passes = int(sys.argv[3]) if len(sys.argv) > 3 else 5
with open(sys.argv[2], encoding="utf-8", newline="\n") as file:
    text = file.read()
lines = text[:-1].split("\n") if text.endswith("\n") else text.split("\n")
ways = {"encode": lambda: [of.encode(line, add_special_tokens=False) for line in lines],
        "encode_batch": lambda: of.encode_batch(lines, add_special_tokens=False)}
if hasattr(of, "encode_batch_fast"):
    ways["encode_batch_fast"] = lambda: of.encode_batch_fast(lines, add_special_tokens=False)
best, chosen, encodings = None, None, None
for name, way in ways.items():
    way()
    for _ in range(passes):
        begun = time.process_time()
        encodings = way()
        seconds = time.process_time() - begun
        if best is None or seconds < best:
            best, chosen = seconds, name
ids = [encoding.ids for encoding in encodings]
total = sum(i * (place + 1) for line in ids for place, i in enumerate(line)) & 0xFFFFFFFF
print(json.dumps(dict(peer="tokenizers " + tokenizers.__version__, mb_per_s=round(len(text.encode()) / best / 1e6, 3),
                      ids=sum(map(len, ids)), sum=total, way=chosen)))
