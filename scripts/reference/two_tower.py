"""A whole two-tower training step of a tiny model, with every gradient, in double precision.

Q-Anchor (user-modelling spec 2.3 to 2.5) in small: two sources of events, each with a BERT of its
own that is read at [CLS], an adapter per source, the user's and the sources' summary tokens, a
tabular token, a decoder with shared weights for both towers, a projection, and the sum of a
contrastive and a next-token loss. Written from the specification, independently of the C code;
tests/models/test_reference.c feeds the same texts and weights to the plugins.

    python two_tower.py FOLDER      writes FOLDER/two_tower.safetensors
"""

import argparse
import os

import numpy as np
import torch
import torch.nn.functional as F

from golden_users import bert_shapes, decoder_shapes, draw_weights
from safetensors_io import doubles, stored, write
from users_reference import attention_bias, bert, contrastive, stack

PAD, UNKNOWN, USER, END, QUESTION = range(5)
SOURCES = ("bill", "app")
SIZES = argparse.Namespace(
    width=8, layers=2, heads=2, kv_heads=1, head_width=4, mlp=12, vocabulary=0, bert_vocabulary=0,
    bert_width=8, bert_layers=1, bert_mlp=12,
)  # fmt: skip
CONFIG = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
MARGINS = {"qa_code": 0.1, "qa_paper": 2.0}  # the second leaves nothing out
BERT = {"num_hidden_layers": 1, "num_attention_heads": 2, "layer_norm_eps": 1e-12}
POSITIONS, EMBEDDING, HIDDEN, FEATURES = 512, 6, 10, 3

PERSONS = (
    {
        "bill": ["bread 3", "books 12", "bread 4", "rent 700"],
        "app": ["chess open", "maps open"],
        "query": "what will she buy ?",
        "answer": "bread and books",
        "features": [0.5, -1.0, 0.25],
        "label": 0,
    },
    {
        "bill": ["medicine 30", "doctor visit 80", "bread 3"],
        "app": [],
        "query": "is she well ?",
        "answer": "no",
        "features": [-0.75, 0.5, 1.5],
        "label": 1,
    },
    {
        "bill": [],
        "app": ["chess open", "chess close", "bank open"],
        "query": "what will he play ?",
        "answer": "chess and maps",
        "features": [1.25, 0.0, -0.5],
        "label": 0,
    },
    {
        "bill": ["rent 650", "medicine 22"],
        "app": ["doctor open"],
        "query": "is he well ?",
        "answer": "he pays the doctor",
        "features": [-0.25, -1.5, 0.75],
        "label": 1,
    },
)

# ---- words ----


def vocabulary():
    """{word: id}: the more frequent first, then by bytes, behind the special ones."""
    counts = {}
    for person in PERSONS:
        texts = [text for s in SOURCES for text in person[s]] + [person["query"], person["answer"]]
        for word in " ".join(texts).split():
            counts[word] = counts.get(word, 0) + 1
    order = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    return {word: 5 + i for i, word in enumerate(order)}


WORDS = vocabulary()
CLS, SEP = 5 + len(WORDS), 6 + len(WORDS)


def read_words(text):
    return [WORDS.get(word, UNKNOWN) for word in text.split()]


# ---- weights ----


def adapter_shapes(name):
    w, d = SIZES.bert_width, SIZES.width
    return {
        f"{name}.norm.weight": (w,),
        f"{name}.norm.bias": (w,),
        f"{name}.fc1.weight": (w, w),
        f"{name}.fc1.bias": (w,),
        f"{name}.fc2.weight": (d, w),
        f"{name}.fc2.bias": (d,),
    }


def shapes():
    SIZES.vocabulary = 5 + len(WORDS)
    SIZES.bert_vocabulary = 2 + SIZES.vocabulary  # [CLS] and [SEP] are the encoders' own
    all_shapes = decoder_shapes(SIZES)
    for source in SOURCES:
        own = bert_shapes(SIZES, POSITIONS)
        all_shapes |= {f"bert.{source}.{name}": shape for name, shape in own.items()}
        all_shapes |= adapter_shapes(f"encoder.{source}")
    all_shapes |= adapter_shapes("summary.user") | adapter_shapes("summary.source")
    return all_shapes | {
        "features.weight": (SIZES.width, FEATURES),
        "features.bias": (SIZES.width,),
        "features.mean.weight": (SIZES.bert_width, FEATURES),
        "features.mean.bias": (SIZES.bert_width,),
        "projector.0.weight": (HIDDEN, SIZES.width),
        "projector.0.bias": (HIDDEN,),
        "projector.2.weight": (EMBEDDING, HIDDEN),
        "projector.2.bias": (EMBEDDING,),
    }


# ---- the model ----


def adapt(w, name, x):
    x = F.layer_norm(x, x.shape[-1:], w[f"{name}.norm.weight"], w[f"{name}.norm.bias"], 1e-6)
    x = F.gelu(F.linear(x, w[f"{name}.fc1.weight"], w[f"{name}.fc1.bias"]))
    return F.linear(x, w[f"{name}.fc2.weight"], w[f"{name}.fc2.bias"])


def encode(w, source, texts):
    """(events, E): each text's state at [CLS]."""
    own = {
        name[len(f"bert.{source}.") :]: value
        for name, value in w.items()
        if name.startswith(f"bert.{source}.")
    }
    rows = []
    for text in texts:
        ids = [CLS, *read_words(text), SEP]
        rows.append(bert(own, BERT, [ids], [len(ids)])[0, 0])
    return torch.stack(rows)


def history(w, person):
    """Summary tokens, events of each source, the tabular token: (tokens, D)."""
    x = torch.tensor(person["features"], dtype=torch.float64)
    means, events = [], []
    for source in SOURCES:
        if not person[source]:
            means.append(torch.zeros(SIZES.bert_width, dtype=torch.float64))
            continue
        raw = encode(w, source, person[source])
        means.append(raw.mean(0))
        events.append(adapt(w, f"encoder.{source}", raw))
    means.append(F.linear(x, w["features.mean.weight"], w["features.mean.bias"]))
    tokens = [adapt(w, "summary.user", sum(means) / len(means))[None]]
    tokens.append(adapt(w, "summary.source", torch.stack(means)))
    tokens += events
    tokens.append(F.linear(x, w["features.weight"], w["features.bias"])[None])
    return torch.cat(tokens)


def project(w, x):
    x = F.gelu(F.linear(x, w["projector.0.weight"], w["projector.0.bias"]))
    return F.linear(x, w["projector.2.weight"], w["projector.2.bias"])


def states(w, x):
    bias = attention_bias("causal", len(x))
    return stack(w, CONFIG, x[None], [len(x)], bias)[0]


def user(w, person, query, prompts=None, answer=()):
    """The embedding, and the states from the read token on."""
    table = w["model.embed_tokens.weight"]
    parts = [history(w, person), table[[QUESTION, *read_words(query)]]]
    parts += [] if prompts is None else [prompts]
    parts.append(table[[USER]])
    read = sum(map(len, parts)) - 1
    if answer:
        parts.append(table[list(answer)])
    hidden = states(w, torch.cat(parts))
    return project(w, hidden[read]), hidden[read:]


def step(w, variant):
    """The two losses of one batch, with temperature .07."""
    left, right, logits, targets = [], [], [], []
    for person in PERSONS:
        answer = read_words(person["answer"])
        embedding, hidden = user(w, person, person["query"], answer=answer)
        left.append(embedding)
        right.append(project(w, states(w, w["model.embed_tokens.weight"][[*answer, END]])[-1]))
        logits.append(hidden @ w["model.embed_tokens.weight"].T)
        targets += [*answer, END]
    next_token = F.cross_entropy(torch.cat(logits), torch.tensor(targets))
    return contrastive(variant, torch.stack(left), torch.stack(right), 0.07, MARGINS[variant]), next_token


# ---- the file ----


def texts():
    """What the persons say, as bytes: events parted by newlines."""
    out = {"labels": np.array([person["label"] for person in PERSONS], np.int32)}
    out["features"] = np.array([person["features"] for person in PERSONS], np.float32)
    for i, person in enumerate(PERSONS):
        for field in (*SOURCES, "query", "answer"):
            text = person[field] if isinstance(person[field], str) else "\n".join(person[field])
            out[f"person.{i}.{field}"] = np.frombuffer(text.encode() + b"\0", np.uint8)
    return out


def draw(seed):
    weights = draw_weights(np.random.default_rng(seed), shapes())
    return {name: (3 * value if "projector" in name else value) for name, value in weights.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    weights = draw(7)
    out = texts() | weights
    w = doubles(weights, True)
    for variant in MARGINS:
        losses = step(w, variant)
        out[f"{variant}.contrastive"] = stored(losses[0].item())
        out[f"{variant}.next_token"] = stored(losses[1].item())
        gradients = torch.autograd.grad(sum(losses), list(w.values()), allow_unused=True)
        for name, gradient in zip(w, gradients):
            if gradient is not None and "position_embeddings" not in name:
                out[f"{variant}.grad.{name}"] = stored(gradient)
        print(variant, [f"{loss.item():.6f}" for loss in losses])
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "two_tower.safetensors"), out)


if __name__ == "__main__":
    main()
