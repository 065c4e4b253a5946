"""Golden values of the user-modelling stacks, computed in PyTorch in double precision.

    golden_users.py OUT [--seed N] [--layers L] ...   writes OUT/users/
    golden_users.py --verify FOLDER                   recomputes FOLDER/users/ and compares

The values come from users_reference.py; this file draws the inputs. OUT/users/ receives
config.json and model (Qwen2), llama_config.json and llama_model, bert_config.json and bert_model,
decoder, losses, ggsm_init, ggsm, ggsm_ema, bert and probe (.safetensors). What each holds is said
by the README of the golden folder. Weights and inputs are exact in float32. The tests read a folder
with ASSAY_GOLDEN=OUT. Only for regeneration: nothing else runs this file.
"""

import argparse
import json
import os
import sys

import numpy as np
import torch

from safetensors_io import check, emit, write
from users_reference import BIASES, RUN_NUMBERS, VARIANTS, clearance, references

# ---- drawing inputs ----

FINALS = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "projector.2.weight",
)
OPTIONS = (  # name, default, meaning
    ("seed", 0, "of everything that is drawn"),
    ("layers", 3, "of the decoder"),
    ("heads", 4, "query heads"),
    ("kv-heads", 2, "key and value heads"),
    ("head-width", 16, "even"),
    ("width", 0, "of the states; 0: heads x head width"),
    ("mlp", 160, "inner width of the gated MLP"),
    ("vocabulary", 128, ""),
    ("batch", 3, "rows of the decoder's inputs; the first is full, the last of length 1"),
    ("tokens", 17, ""),
    ("rope-base", 1e4, ""),
    ("rows", 12, "of X and Y"),
    ("columns", 16, "of X and Y"),
    ("classes", 3, "prototypes"),
    ("steps", 40, "of the run ggsm"),
    ("warmup", 10, ""),
    ("rho", 0.0, "memory of the importance"),
    ("ema-steps", 30, "of the run ggsm_ema"),
    ("ema-warmup", 12, ""),
    ("ema-rho", 0.9, ""),
    ("pairs", 8, "queries and answers in a step of a run"),
    ("query-tokens", 15, ""),
    ("answer-tokens", 9, ""),
    ("projector", 48, "inner width of the projector"),
    ("code", 24, "outer width of the projector"),
    ("tau", 0.07, "of the runs and the prototypes"),
    ("margin", 0.1, "of the runs"),
    ("lr", 1e-3, "of the runs; in a deep stack 1e-3 lets float32's rounding grow past 1e-4"),
    ("weight-decay", 0.01, ""),
    ("bert-layers", 2, ""),
    ("bert-heads", 3, ""),
    ("bert-width", 48, "of the states"),
    ("bert-mlp", 96, ""),
    ("bert-vocabulary", 70, ""),
    ("bert-batch", 5, ""),
    ("bert-tokens", 11, ""),
    ("rank", 4, "of the low-rank branch"),
    ("alpha", 8.0, "of the low-rank branch"),
    ("probe-rows", 400, ""),
    ("probe-train", 300, "rows the probe is fitted to"),
    ("probe-features", 12, ""),
    ("l2", 0.01, "penalty of the probe"),
)


def normal(rng, shape, scale=1.0, mean=0.0):
    return (mean + scale * rng.standard_normal(shape)).astype(np.float32)


def integers(rng, low, high, shape):
    return rng.integers(low, high, shape).astype(np.int32)


def draw_weights(rng, shapes):
    """Norm gains near 1; embeddings and the head wider than the other matrices."""
    wide = {"model.embed_tokens.weight": 0.5, "embeddings.word_embeddings.weight": 0.5}
    wide["lm_head.weight"] = 0.3
    weights = {}
    for name, shape in shapes.items():
        if "norm" in name.lower() and name.endswith("weight"):
            weights[name] = normal(rng, shape, 0.1, 1.0)
        else:
            weights[name] = normal(rng, shape, wide.get(name, 0.08))
    return weights


def decoder_shapes(a):
    width, inner, keys = a.width, a.heads * a.head_width, a.kv_heads * a.head_width
    shapes = {"model.embed_tokens.weight": (a.vocabulary, width), "model.norm.weight": (width,)}
    for i in range(a.layers):
        layer = f"model.layers.{i}"
        shapes[f"{layer}.input_layernorm.weight"] = (width,)
        shapes[f"{layer}.post_attention_layernorm.weight"] = (width,)
        for part, rows in (("q", inner), ("k", keys), ("v", keys)):
            shapes[f"{layer}.self_attn.{part}_proj.weight"] = (rows, width)
            shapes[f"{layer}.self_attn.{part}_proj.bias"] = (rows,)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (width, inner)
        shapes[f"{layer}.mlp.gate_proj.weight"] = (a.mlp, width)
        shapes[f"{layer}.mlp.up_proj.weight"] = (a.mlp, width)
        shapes[f"{layer}.mlp.down_proj.weight"] = (width, a.mlp)
    return shapes


def bert_shapes(a, positions):
    width = a.bert_width
    shapes = {
        "embeddings.word_embeddings": (a.bert_vocabulary, width),
        "embeddings.position_embeddings": (positions, width),
        "embeddings.token_type_embeddings": (2, width),
        "embeddings.LayerNorm": (width,),
    }
    for i in range(a.bert_layers):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{layer}.attention.{part}"] = (width, width)
        shapes[f"{layer}.attention.output.LayerNorm"] = (width,)
        shapes[f"{layer}.intermediate.dense"] = (a.bert_mlp, width)
        shapes[f"{layer}.output.dense"] = (width, a.bert_mlp)
        shapes[f"{layer}.output.LayerNorm"] = (width,)
    shapes = {f"{name}.weight": shape for name, shape in shapes.items()}
    biased = [name for name in shapes if "_embeddings" not in name]
    return {**shapes, **{name[: -len("weight")] + "bias": shapes[name][:1] for name in biased}}


def write_model(folder, prefix, config, weights):
    with open(os.path.join(folder, f"{prefix}config.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(config, indent=1) + "\n")
    write(os.path.join(folder, f"{prefix}model.safetensors"), weights, {"format": "pt"})


def write_models(folder, a, rng):
    """All configurations and weights. The decoder's weights are returned."""
    weights = draw_weights(rng, decoder_shapes(a))
    config = {
        "hidden_size": a.width,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.kv_heads,
        "intermediate_size": a.mlp,
        "vocab_size": a.vocabulary,
        "rope_theta": a.rope_base,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "max_position_embeddings": 512,
        "model_type": "qwen2",
        "hidden_act": "silu",
        "architectures": ["Qwen2ForCausalLM"],
        "torch_dtype": "float32",
    }
    if a.width != a.heads * a.head_width:
        config["head_dim"] = a.head_width
    write_model(folder, "", config, weights)

    llama = {name: values for name, values in weights.items() if not name.endswith("bias")}
    llama |= draw_weights(rng, {"lm_head.weight": (a.vocabulary, a.width)})
    config |= {"tie_word_embeddings": False, "model_type": "llama", "attention_bias": False}
    write_model(folder, "llama_", {**config, "architectures": ["LlamaForCausalLM"]}, llama)

    shapes = {
        "projector.0.weight": (a.projector, a.width),
        "projector.0.bias": (a.projector,),
        "projector.2.weight": (a.code, a.projector),
        "projector.2.bias": (a.code,),
    }
    write(os.path.join(folder, "ggsm_init.safetensors"), {**weights, **draw_weights(rng, shapes)})

    positions = max(32, a.bert_tokens)
    config = {
        "hidden_size": a.bert_width,
        "num_attention_heads": a.bert_heads,
        "num_hidden_layers": a.bert_layers,
        "intermediate_size": a.bert_mlp,
        "vocab_size": a.bert_vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "model_type": "bert",
    }
    write_model(folder, "bert_", config, draw_weights(rng, bert_shapes(a, positions)))
    return weights


def draw_lengths(rng, rows, tokens):
    """The first row full, the last of length 1."""
    lengths = integers(rng, 1, tokens + 1, rows)
    lengths[-1], lengths[0] = 1, tokens
    return lengths


def draw_decoder(a, rng, weights):
    shape = (a.batch, a.tokens)
    first, end = a.span or (a.tokens // 8, max(a.tokens // 2, 1))
    inputs = {
        "ids": integers(rng, 0, a.vocabulary, shape),
        "lengths": draw_lengths(rng, *shape),
        "span": np.array([first, end], np.int32),
        "log_weights": np.log(rng.uniform(0.05, 1, (a.tokens, a.tokens))).astype(np.float32),
        "dense.cotangent": normal(rng, (*shape, a.width)),
    }
    gradients = [f"next_token.grad.{name}" for name in weights]
    gradients += [f"dense.grad.{name}" for name in (*weights, "log_weights")]
    states = [f"hidden.{kind}" for kind in BIASES]
    return inputs, [*states, "next_token.loss", "llama.logits", *gradients]


def draw_losses(a, rng):
    gap = 0.0
    while gap < 1e-5:
        x = normal(rng, (a.rows, a.columns))
        y = normal(rng, x.shape, 0.8) + x
        pair = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
        gap = min(clearance(*pair, margin).min().item() for margin in a.margins)
    inputs = {
        "X": x,
        "Y": y,
        "prototype.p": normal(rng, (a.classes, a.columns)),
        "prototype.tau": np.array([a.tau]),
        "prototype.y": integers(rng, 0, a.classes, a.rows),
    }
    cases = [
        f"{variant}.tau{tau:g}.margin{margin:g}.{value}"
        for variant in VARIANTS
        for tau in a.taus
        for margin in a.margins
        for value in ("loss", "dX", "dY")
    ]
    return inputs, [*cases, "prototype.loss", "prototype.dp", "prototype.dX"]


def draw_run(a, rng, steps, warmup, rho):
    query, answer = (steps, a.pairs, a.query_tokens), (steps, a.pairs, a.answer_tokens)
    inputs = {
        "ids_q": integers(rng, 0, a.vocabulary, query),
        "ids_a": integers(rng, 0, a.vocabulary, answer),
        "len_q": integers(rng, 1, query[2] + 1, query[:2]),
        "len_a": integers(rng, 1, answer[2] + 1, answer[:2]),
        "warmup_steps": np.array([warmup], np.int32),
        "total_steps": np.array([steps], np.int32),
    }
    numbers = (a.tau, a.margin, a.lr, 0.9, 0.98, 1e-6, a.weight_decay, rho)
    inputs |= {name: np.array([float(value)]) for name, value in zip(RUN_NUMBERS, numbers)}
    return inputs, ["loss", "mean_weight", "importance", *(f"final.{name}" for name in FINALS)]


def draw_bert(a, rng):
    inputs = {
        "ids": integers(rng, 0, a.bert_vocabulary, (a.bert_batch, a.bert_tokens)),
        "lengths": draw_lengths(rng, a.bert_batch, a.bert_tokens),
        "lora.A": normal(rng, (a.rank, a.width), 0.08),
        "lora.B": normal(rng, (a.heads * a.head_width, a.rank), 0.08),
        "lora.x": normal(rng, (6, a.width)),
        "lora.alpha": np.array([float(a.alpha)]),
        "lora.rank": np.array([a.rank], np.int32),
    }
    return inputs, ["hidden", "cls", "lora.y_layer0_q_proj"]


def draw_probe(a, rng):
    """Labels follow a logistic model; the tied scores are its logits in steps of one half."""
    x = normal(rng, (a.probe_rows, a.probe_features), 1.0, 0.2)
    logits = x @ normal(rng, a.probe_features, 0.7) + rng.standard_normal(a.probe_rows)
    inputs = {
        "X": x,
        "y": (rng.uniform(size=a.probe_rows) < 1 / (1 + np.exp(-logits))).astype(np.int32),
        "train_rows": np.array([a.probe_train], np.int32),
        "lambda": np.array([float(a.l2)]),
        "tied_scores": np.round(2 * logits[a.probe_train :]) / 2,
    }
    values = ["weights_standardised", "bias", "scores", "auc", "ks", "tied_auc", "tied_ks"]
    return inputs, values


def verify(folder):
    return all(
        [
            check(os.path.join(folder, f"{name}.safetensors"), inputs, reference)
            for name, (inputs, reference) in references(folder).items()
        ]
    )


def generate(folder, a):
    os.makedirs(folder, exist_ok=True)
    weights = write_models(folder, a, np.random.default_rng([a.seed, 0]))
    streams = [np.random.default_rng([a.seed, i]) for i in range(1, 7)]
    drawn = {
        "decoder": draw_decoder(a, streams[0], weights),
        "losses": draw_losses(a, streams[1]),
        "ggsm": draw_run(a, streams[2], a.steps, a.warmup, a.rho),
        "ggsm_ema": draw_run(a, streams[3], a.ema_steps, a.ema_warmup, a.ema_rho),
        "bert": draw_bert(a, streams[4]),
        "probe": draw_probe(a, streams[5]),
    }
    for name, (_, reference) in references(folder).items():
        emit(os.path.join(folder, f"{name}.safetensors"), *drawn[name], reference)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="?", metavar="OUT")
    parser.add_argument("--verify", metavar="FOLDER", help="compare, write nothing")
    parser.add_argument("--span", type=int, nargs=2, help="first and end of the open block")
    for name, default in (("taus", [0.02, 0.07]), ("margins", [0.1, 2.0])):
        parser.add_argument(
            f"--{name}", type=float, nargs="+", default=default, help=f"of the losses {default}"
        )
    for name, default, meaning in OPTIONS:
        text = f"{meaning} [{default}]".strip()
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    a = parser.parse_args()
    if (a.out is None) == (a.verify is None):
        parser.error("one folder is needed: OUT to write or --verify FOLDER to compare")
    if min(a.rows, a.pairs) < 2:
        parser.error("without two rows and two pairs no negative is left")
    a.width = a.width or a.heads * a.head_width
    return a


def main():
    a = arguments()
    if a.verify:
        return 0 if verify(os.path.join(a.verify, "users")) else 1
    generate(os.path.join(a.out, "users"), a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
