"""Reference values of the user-modelling files, computed in PyTorch in double precision.

Written from the user-modelling specification (sections named below), independently of the C code.
`references` names, for every file of users/, its inputs and the function that computes the rest.
"""

import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

from safetensors_io import doubles, read

BIASES = ("causal", "full", "prefix", "scalar", "dense")
VARIANTS = ("qa_code", "qa_paper", "gg_paper", "gg_code")
BATCHES = ("ids_q", "len_q", "ids_a", "len_a")
RUN_NUMBERS = ("tau", "margin", "lr", "beta1", "beta2", "eps", "weight_decay", "rho")

# ---- decoder (1.3) ----


def valid(lengths, tokens):
    """(B, T): true before the row's length."""
    return torch.arange(tokens) < torch.as_tensor(lengths, dtype=torch.int64)[:, None]


def rms_norm(x, gain, eps):
    return gain * x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def rotate(x, base):
    """RoPE on (B, heads, T, d), the two halves of a head being the real and imaginary parts."""
    half = x.shape[-1] // 2
    rates = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * rates
    turn = torch.polar(torch.ones_like(angles), angles)
    turned = torch.complex(x[..., :half], x[..., half:]) * turn
    return torch.cat([turned.real, turned.imag], -1)


def attend(q, k, v, bias):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
    return torch.softmax(scores, -1) @ v


def self_attention(x, w, name, config, bias):
    def heads(part, count):
        weight, shift = w[f"{name}.{part}_proj.weight"], w.get(f"{name}.{part}_proj.bias")
        return F.linear(x, weight, shift).unflatten(-1, (count, -1)).transpose(1, 2)

    groups = config["num_key_value_heads"]
    sharing = config["num_attention_heads"] // groups
    q = rotate(heads("q", groups * sharing), config["rope_theta"])
    k = rotate(heads("k", groups), config["rope_theta"]).repeat_interleave(sharing, 1)
    v = heads("v", groups).repeat_interleave(sharing, 1)
    return F.linear(attend(q, k, v, bias).transpose(1, 2).flatten(2), w[f"{name}.o_proj.weight"])


def decoder(w, config, ids, lengths, bias):
    """States after the final norm (B, T, D), zero at padding; `bias` (T, T) shifts the scores."""
    ids = torch.as_tensor(ids, dtype=torch.int64)
    return stack(w, config, w["model.embed_tokens.weight"][ids], lengths, bias)


def stack(w, config, x, lengths, bias):
    """The same from embeddings x (B, T, D)."""
    seen = valid(lengths, x.shape[1])
    bias = bias.masked_fill(~seen[:, None, None, :], -math.inf)
    eps = config["rms_norm_eps"]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        n = rms_norm(x, w[f"{layer}.input_layernorm.weight"], eps)
        x = x + self_attention(n, w, f"{layer}.self_attn", config, bias)
        n = rms_norm(x, w[f"{layer}.post_attention_layernorm.weight"], eps)
        gate = F.silu(F.linear(n, w[f"{layer}.mlp.gate_proj.weight"]))
        up = F.linear(n, w[f"{layer}.mlp.up_proj.weight"])
        x = x + F.linear(gate * up, w[f"{layer}.mlp.down_proj.weight"])
    return rms_norm(x, w["model.norm.weight"], eps) * seen[..., None]


def attention_bias(kind, tokens, span=None, log_weights=None):
    """(T, T), added to the score of query i and key j (3.4)."""
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    nothing = torch.zeros(tokens, tokens, dtype=torch.float64)
    if kind == "full":
        return nothing
    if kind == "scalar":
        return nothing.masked_fill(future, math.log(0.3))
    if kind == "dense":
        return torch.where(future, log_weights, nothing)
    if kind == "prefix":
        first, end = span
        future[first:end, first:end] = False
    return nothing.masked_fill(future, -math.inf)


def decoder_values(folder, inputs):
    """Everything in decoder.safetensors that is computed."""
    config, w = read_model(folder, "")
    ids, lengths = inputs["ids"], inputs["lengths"]
    log_weights = doubles(inputs, True)["log_weights"]
    tokens = ids.shape[1]
    values, hidden = {}, {}
    for kind in BIASES:
        bias = attention_bias(kind, tokens, inputs["span"], log_weights)
        hidden[kind] = values[f"hidden.{kind}"] = decoder(w, config, ids, lengths, bias)

    follows = valid(lengths - 1, tokens)[:, :-1]
    logits = hidden["causal"][:, :-1][follows] @ w["model.embed_tokens.weight"].T
    targets = torch.as_tensor(ids, dtype=torch.int64)[:, 1:][follows]
    loss = F.cross_entropy(logits, targets)
    values["next_token.loss"] = loss.item()
    for name, gradient in zip(w, torch.autograd.grad(loss, list(w.values()))):
        values[f"next_token.grad.{name}"] = gradient

    leaves = {**w, "log_weights": log_weights}
    loss = (hidden["dense"] * doubles(inputs)["dense.cotangent"]).sum()
    for name, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values()))):
        values[f"dense.grad.{name}"] = gradient

    config, w = read_model(folder, "llama_")
    values["llama.logits"] = (
        decoder(w, config, ids, lengths, attention_bias("causal", tokens)) @ w["lm_head.weight"].T
    )
    return values


# ---- losses (1.6, 2.6) ----


def contrastive(variant, x, y, tau, margin):
    a, b = F.normalize(x), F.normalize(y)
    ab, aa, bb = a @ b.T, a @ a.T, b @ b.T
    positive = ab.diagonal()
    threshold = positive.detach()[:, None] + margin
    others = ~torch.eye(len(x), dtype=torch.bool)
    if variant == "qa_paper":
        joint = (ab <= threshold) & (aa <= threshold)
        terms = [(ab, joint), (aa, joint), (bb, joint)]
    elif variant == "gg_code":
        terms = [(ab, ab <= threshold)]
    else:
        third = ab.T if variant == "qa_code" else bb
        terms = [(s, s <= threshold) for s in (ab, aa, third)]
    kept = [(s / tau).masked_fill(~(mask & others), -math.inf) for s, mask in terms]
    z = torch.cat([positive[:, None] / tau] + kept, 1).logsumexp(1)
    return (z - positive / tau).mean()


def clearance(x, y, margin):
    """Distance of the nearest similarity to a threshold, for a.b, a.a, b.b and b.a. Where it is
    below float32's rounding, a negative that is masked here may be kept there."""
    a, b = F.normalize(x.detach()), F.normalize(y.detach())
    similarities = torch.stack([a @ b.T, a @ a.T, b @ b.T, b @ a.T])
    gaps = (similarities - similarities[0].diagonal()[:, None] - margin).abs()
    return gaps[:, ~torch.eye(len(a), dtype=torch.bool)].min(1).values


def loss_values(inputs, names):
    values, leaf = {}, doubles(inputs, True)
    for name in names:
        if name.startswith("prototype.") or not name.endswith(".loss"):
            continue
        stem = name[: -len(".loss")]
        variant, numbers = stem.split(".tau")
        tau, margin = map(float, numbers.split(".margin"))
        loss = contrastive(variant, leaf["X"], leaf["Y"], tau, margin)
        dx, dy = torch.autograd.grad(loss, [leaf["X"], leaf["Y"]])
        values |= {name: loss.item(), f"{stem}.dX": dx, f"{stem}.dY": dy}

    p, x = leaf["prototype.p"], leaf["X"]
    logits = F.normalize(x) @ F.normalize(p).T / inputs["prototype.tau"].item()
    loss = F.cross_entropy(logits, torch.as_tensor(inputs["prototype.y"], dtype=torch.int64))
    values["prototype.loss"] = loss.item()
    values["prototype.dp"], values["prototype.dX"] = torch.autograd.grad(loss, [p, x])
    return values


# ---- GG-SM training runs (3.5, the code's variant) ----


def tower(w, config, ids, lengths, bias):
    """Projected mean of the valid states (B, D), and the states."""
    hidden = decoder(w, config, ids, lengths, bias)
    pooled = hidden.sum(1) / torch.as_tensor(lengths, dtype=torch.float64)[:, None]
    inner = F.gelu(F.linear(pooled, w["projector.0.weight"], w["projector.0.bias"]))
    return F.linear(inner, w["projector.2.weight"], w["projector.2.bias"]), hidden


def future_weights(step, warmup, total, importance, frozen):
    """w_ij of step `step`, the 1e-8 of the warm-up included; meaningful for j > i."""
    if step < warmup:
        return torch.sigmoid(importance) + 1e-8
    alpha = min((step - warmup) / (total - warmup), 1.0)
    if not frozen.any():
        return torch.full_like(frozen, alpha)
    return (1 - alpha) * frozen + alpha


def guidance(gradient, lengths, side):
    """delta_ij: norms of the gradient (B, T, D) at key j, over the rows that hold i and j > i."""
    seen = valid(lengths, gradient.shape[1]).double()
    delta = torch.einsum("bj,bi->ij", gradient.norm(dim=-1) * seen, seen).triu(1)
    missing = side - len(delta)
    return F.pad(delta, (0, missing, 0, missing))


def training_values(folder, inputs, names):
    config, _ = read_model(folder, "")
    w = doubles(read(os.path.join(folder, "ggsm_init.safetensors")), True)
    numbers = {name: inputs[name].item() for name in RUN_NUMBERS}
    warmup, total = inputs["warmup_steps"].item(), inputs["total_steps"].item()
    query, answer = inputs["ids_q"].shape[2], inputs["ids_a"].shape[2]
    side = max(query, answer)
    above = torch.ones(query, query, dtype=torch.bool).triu(1)
    importance = torch.zeros(side, side, dtype=torch.float64)
    frozen = torch.zeros_like(importance)
    optimizer = torch.optim.AdamW(
        list(w.values()),
        lr=numbers["lr"],
        betas=(numbers["beta1"], numbers["beta2"]),
        eps=numbers["eps"],
        weight_decay=numbers["weight_decay"],
    )
    losses, means, nearest = [], [], math.inf
    for step in range(len(inputs["ids_q"])):
        weights = future_weights(step, warmup, total, importance, frozen)
        bias = attention_bias("dense", side, log_weights=weights.log())
        ids_q, len_q, ids_a, len_a = (inputs[name][step] for name in BATCHES)
        x, hidden = tower(w, config, ids_q, len_q, bias[:query, :query])
        y, _ = tower(w, config, ids_a, len_a, bias[:answer, :answer])
        loss = contrastive("gg_code", x, y, numbers["tau"], numbers["margin"])
        nearest = min(nearest, clearance(x, y, numbers["margin"])[0].item())
        hidden.retain_grad()
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        means.append(weights[:query, :query][above].mean().item())
        if step < warmup:
            delta = guidance(hidden.grad, len_q, side)
            if delta.any():
                importance = numbers["rho"] * importance + (1 - numbers["rho"]) * delta
            if step == warmup - 1:
                frozen = torch.sigmoid(importance)
        optimizer.step()
    print(f"{len(losses)} steps; nearest similarity to a threshold: {nearest:.1e}")
    values = {"loss": losses, "mean_weight": means, "importance": importance[:query, :query]}
    finals = [name for name in names if name.startswith("final.")]
    return {**values, **{name: w[name[len("final.") :]] for name in finals}}


# ---- BERT (1.2) and a low-rank branch (1.3) ----


def bert(w, config, ids, lengths):
    """Last states (B, T, D), zero at padding."""

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        weight, shift = w[f"{name}.weight"], w[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, shift, config["layer_norm_eps"])

    ids = torch.as_tensor(ids, dtype=torch.int64)
    seen = valid(lengths, ids.shape[1])
    bias = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, -math.inf)[:, None, None]
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        q, k, v = (
            linear(x, f"{layer}.attention.self.{part}")
            .unflatten(-1, (config["num_attention_heads"], -1))
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        attended = attend(q, k, v, bias).transpose(1, 2).flatten(2)
        attended = linear(attended, f"{layer}.attention.output.dense")
        x = norm(x + attended, f"{layer}.attention.output.LayerNorm")
        inner = F.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x * seen[..., None]


def bert_values(folder, inputs):
    config, w = read_model(folder, "bert_")
    hidden = bert(w, config, inputs["ids"], inputs["lengths"])
    _, base = read_model(folder, "")
    q_proj = "model.layers.0.self_attn.q_proj"
    x, a, b = (doubles(inputs)[f"lora.{name}"] for name in ("x", "A", "B"))
    scale = inputs["lora.alpha"].item() / inputs["lora.rank"].item()
    y = F.linear(x, base[f"{q_proj}.weight"] + scale * b @ a, base[f"{q_proj}.bias"])
    return {"hidden": hidden, "cls": hidden[:, 0], "lora.y_layer0_q_proj": y}


# ---- probe (1.7) ----


def logistic_regression(x, y, l2):
    """Minimiser of the mean log-loss + (l2/2) |w|^2 by Newton's method: weights and a free bias."""
    x = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.full(x.shape[1], l2)
    penalty[-1] = 0

    def objective(w):
        return np.logaddexp(0, -(2 * y - 1) * (x @ w)).mean() + 0.5 * (penalty * w * w).sum()

    w = np.zeros(x.shape[1])
    for _ in range(200):
        p = 1 / (1 + np.exp(-(x @ w)))
        gradient = x.T @ (p - y) / len(y) + penalty * w
        if np.abs(gradient).max() < 1e-13:
            break
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x / len(y) + np.diag(penalty), gradient)
        while objective(w - step) > objective(w) and np.abs(step).max() > 1e-12:
            step = step / 2
        w = w - step
    return w[:-1], w[-1]


def ranking(scores, y):
    """AUC by counting pairs, a tie as one half; KS over every threshold."""
    positive, negative = scores[y == 1], scores[y == 0]
    gaps = np.sign(positive[:, None] - negative)
    auc = (gaps > 0).mean() + 0.5 * (gaps == 0).mean()
    ks = max(abs((positive >= s).mean() - (negative >= s).mean()) for s in scores)
    return auc, ks


def probe_values(inputs):
    rows, x = inputs["train_rows"].item(), inputs["X"].astype(np.float64)
    y = inputs["y"].astype(np.float64)
    x = (x - x[:rows].mean(0)) / x[:rows].std(0)
    w, bias = logistic_regression(x[:rows], y[:rows], inputs["lambda"].item())
    scores = x[rows:] @ w + bias
    auc, ks = ranking(scores, y[rows:])
    tied_auc, tied_ks = ranking(inputs["tied_scores"], y[rows:])
    values = {"weights_standardised": w, "bias": bias, "scores": scores, "auc": auc, "ks": ks}
    return {**values, "tied_auc": tied_auc, "tied_ks": tied_ks}


# ---- files ----


def references(folder):
    """{file: (names of its inputs, reference(inputs, names))}"""
    run = [*BATCHES, "warmup_steps", "total_steps", *RUN_NUMBERS]
    lora = ["lora.A", "lora.B", "lora.alpha", "lora.rank", "lora.x"]
    decoder_inputs = ["ids", "lengths", "span", "log_weights", "dense.cotangent"]
    prototype = ["prototype.p", "prototype.tau", "prototype.y"]
    return {
        "decoder": (decoder_inputs, lambda given, names: decoder_values(folder, given)),
        "losses": (["X", "Y", *prototype], loss_values),
        "ggsm": (run, lambda given, names: training_values(folder, given, names)),
        "ggsm_ema": (run, lambda given, names: training_values(folder, given, names)),
        "bert": (["ids", "lengths", *lora], lambda given, names: bert_values(folder, given)),
        "probe": (
            ["X", "y", "train_rows", "lambda", "tied_scores"],
            lambda given, names: probe_values(given),
        ),
    }


def read_model(folder, prefix):
    """A configuration and its weights, as leaves that want gradients."""
    with open(os.path.join(folder, f"{prefix}config.json"), encoding="utf-8") as file:
        config = json.load(file)
    return config, doubles(read(os.path.join(folder, f"{prefix}model.safetensors")), True)
