"""Weights to and from Hugging Face transformers and PEFT, both ways.

    hf_exchange.py fixtures OUT                       tiny random models for the tests: OUT/hf/
    hf_exchange.py check EXCHANGE [--golden FOLDER] [--real FOLDER]

`fixtures` lets transformers save a Qwen2 (in shards), a Llama (fp16, untied, a head width of its own), a
BERT (with its heads, "bert." before every name) and a bare one (bf16), and PEFT an adapter of two of
them, and writes what they compute (NAME.safetensors: ids, lengths, hidden, logits, and with the adapter
adapted). `check` gives each of them, and the real models under FOLDER (scripts/weights), to EXCHANGE
(build/tests/weights/exchange), lets transformers and PEFT load what it saved, and compares both sides'
outputs: every line has to stay below 1e-4. Needs torch, transformers, peft and safetensors; only for
checks: nothing else runs this file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

BOUND = 1e-4


def draw_inputs(vocabulary, rows=3, tokens=9):
    ids = torch.randint(0, vocabulary, (rows, tokens))
    return ids, torch.tensor([tokens, 4, 1])


def outputs(model, ids, lengths):
    """hidden and, of a model with a head, logits; rows beyond the lengths are zero."""
    mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
    base = getattr(model, "base_model", model)
    if isinstance(model, PeftModel):
        base = model.base_model.model
        base = getattr(base, "model", base)
    with torch.no_grad():
        hidden = base(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        hidden = hidden * mask[..., None]
        head = model.get_output_embeddings() if base is not model else None
        values = {"hidden": hidden.float().contiguous()}
        if head is not None and not isinstance(base, BertModel):
            values["logits"] = head(hidden).float().contiguous()
    return values


def randomise(model, seed):
    """Numbers of a usual size everywhere, biases and norms too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if "norm" in name.lower() and "weight" in name else 0.2 * noise)


def adapter_of(model, targets, folder, seed):
    # What is added stays of the weights' own size: a wide model with 0.3 would have scores in the thousands, and
    # differ from itself in the second digit by rounding alone.
    spread = 0.3 if model.config.hidden_size < 100 else 0.05
    config = LoraConfig(r=3, lora_alpha=5, lora_dropout=0.1, target_modules=targets)
    adapted = get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(adapted.named_parameters()):
            if "lora_" in name:
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    adapted.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    return adapted


def tiny_models():
    """name, model, how it is saved, targets of an adapter or None."""
    size = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                max_position_embeddings=32)
    qwen = Qwen2ForCausalLM(Qwen2Config(**size, num_key_value_heads=2, tie_word_embeddings=True, rope_theta=1e6))
    llama = LlamaForCausalLM(LlamaConfig(**size, num_key_value_heads=1, head_dim=6, rope_theta=5e4,
                                         rms_norm_eps=1e-5, tie_word_embeddings=False))
    bert = BertForMaskedLM(BertConfig(**size))
    bare = BertModel(BertConfig(**size))
    yield "qwen2", qwen, dict(max_shard_size="6KB"), ["q_proj", "down_proj"]
    yield "llama", llama.half(), {}, None
    yield "bert", bert, {}, ["query", "output.dense"]
    yield "bert_bare", bare.bfloat16(), {}, None


def fixtures(out):
    root = os.path.join(out, "hf")
    os.makedirs(root, exist_ok=True)
    for seed, (name, model, how, targets) in enumerate(tiny_models()):
        torch.manual_seed(seed)
        randomise(model, seed)
        folder = os.path.join(root, name)
        model.save_pretrained(folder, **how)
        generation = os.path.join(folder, "generation_config.json")
        if os.path.exists(generation):
            os.remove(generation)
        ids, lengths = draw_inputs(32)
        model = load(folder)  # what was saved, exactly; and .half() would have rounded rotary frequencies
        values = {"ids": ids.int(), "lengths": lengths.int(), **outputs(model, ids, lengths)}
        if targets:
            adapted = adapter_of(model, targets, os.path.join(root, name + "_adapter"), seed)
            values["adapted"] = outputs(adapted, ids, lengths)["hidden"]
        save_file(values, os.path.join(root, name + ".safetensors"))
        print(name, {key: list(value.shape) for key, value in values.items()})


# ---- checking ----


def difference(a, b):
    return float((a.float() - b.float()).abs().max()) if a.shape == b.shape else float("inf")


class Report:
    def __init__(self):
        self.failed = 0

    def line(self, what, value):
        ok = value < BOUND
        self.failed += not ok
        print(f"{'ok    ' if ok else 'FAILED'} {what:66s} {value:.2e}")


def load(folder):
    """As anybody would: the class that config.json names, in fp32."""
    with open(os.path.join(folder, "config.json")) as file:
        architecture = json.load(file)["architectures"][0]
    loader = AutoModelForCausalLM if architecture.endswith("ForCausalLM") else AutoModel
    return loader.from_pretrained(folder, dtype=torch.float32).eval()


def exchange(program, source, values, out, *more):
    subprocess.run([program, source, values, out, *map(str, more)], check=True)
    return load_file(os.path.join(out, "values.safetensors"))


def check_model(program, name, folder, report, adapter_targets=None):
    """One published folder: through ours and back, in each type, in shards, and with an adapter."""
    with tempfile.TemporaryDirectory() as place:
        model = load(folder)
        ids, lengths = draw_inputs(model.config.vocab_size, tokens=24 if model.config.vocab_size > 100 else 9)
        inputs = os.path.join(place, "inputs.safetensors")
        save_file({"ids": ids.int(), "lengths": lengths.int()}, inputs)
        theirs = outputs(model, ids, lengths)
        for dtype, shard in (("F32", 0), ("F32", 200000000 if len(ids[0]) > 9 else 6000), ("BF16", 0), ("F16", 0)):
            out = os.path.join(place, f"{dtype}{shard}")
            ours = exchange(program, folder, inputs, out, dtype, shard)
            again = load(out)
            back = outputs(again, ids, lengths)
            title = f"{name} {dtype}{' in shards' if shard else ''}"
            for key in theirs:
                if dtype == "F32":
                    report.line(f"{title}: {key}, ours against transformers'", difference(ours[key], theirs[key]))
                    report.line(f"{title}: {key}, transformers on our export", difference(back[key], ours[key]))
            if dtype != "F32":
                # Rounded weights: what transformers reads is what we read again.
                own = exchange(program, out, inputs, os.path.join(place, "again"), "F32", 0)
                for key in theirs:
                    report.line(f"{title}: {key}, both read our export", difference(back[key], own[key]))
        if adapter_targets:
            check_adapter(program, name, folder, model, adapter_targets, inputs, ids, lengths, place, report)


def check_adapter(program, name, folder, model, targets, inputs, ids, lengths, place, report):
    source = os.path.join(place, "adapter")
    adapted = adapter_of(model, targets, source, 7)
    theirs = outputs(adapted, ids, lengths)
    out = os.path.join(place, "adapted")
    ours = exchange(program, folder, inputs, out, "F32", 0, source)
    report.line(f"{name}: PEFT's adapter, ours against PEFT's", difference(ours["hidden"], theirs["hidden"]))
    merged = outputs(load(out), ids, lengths)
    report.line(f"{name}: merged by us, transformers on our export", difference(merged["hidden"], theirs["hidden"]))
    again = PeftModel.from_pretrained(load(folder), os.path.join(out, "adapter")).eval()
    report.line(f"{name}: our adapter folder in PEFT", difference(outputs(again, ids, lengths)["hidden"], theirs["hidden"]))


def check(program, golden, real):
    report = Report()
    torch.manual_seed(1)
    for name, targets in (("qwen2", ["q_proj", "down_proj"]), ("llama", ["v_proj"]), ("bert_bare", ["query"])):
        check_model(program, name, os.path.join(golden, "hf", name), report, targets)
    for name, targets in (("minilm", ["query", "key", "value", "output.dense"]),
                          ("smollm2", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])):
        folder = os.path.join(real, name)
        if os.path.exists(os.path.join(folder, "config.json")):
            check_model(program, name, folder, report, targets)
        else:
            print(f"left out: {folder} is not there (scripts/weights fetches it)")
    print(f"{report.failed} lines at or above {BOUND}")
    return report.failed > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("fixtures")
    make.add_argument("out")
    compare = commands.add_parser("check")
    compare.add_argument("exchange")
    compare.add_argument("--golden", default=os.path.join(os.path.dirname(__file__), "../../tests/golden"))
    compare.add_argument("--real", default=os.path.join(os.path.dirname(__file__), "../../data/weights"))
    arguments = parser.parse_args()
    if arguments.command == "fixtures":
        fixtures(arguments.out)
        return 0
    return check(arguments.exchange, arguments.golden, arguments.real)


if __name__ == "__main__":
    sys.exit(main())
