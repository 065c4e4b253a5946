"""A whole training step of Q-Anchor as published, in small, with every gradient, in double precision.

The chat layout (user-modelling spec 2.2 to 2.5) over the six sources: five of events, each with a
BERT and an adapter of its own, and a table of features, copied to several tokens; the user's and the
sources' summary tokens before the first source's marker; the answer behind the chat's turn of the
assistant, of which alone words are predicted. Written from the specification and from what layout.h
says stands where, independently of the C code; tests/models/test_reference.c gives the same
texts and weights to the plugins.

    python chat_step.py FOLDER      writes FOLDER/chat_step.safetensors
"""

import argparse
import os
import re

import numpy as np
import torch
import torch.nn.functional as F

from golden_users import bert_shapes, decoder_shapes, draw_weights
from safetensors_io import doubles, stored, write
from two_tower import BERT, CONFIG, EMBEDDING, HIDDEN, POSITIONS, SIZES, adapt, adapter_shapes
from users_reference import attention_bias, bert, contrastive, stack

END, SPECIAL, COPIES, TEMPERATURE = 3, 5, 3, 0.07
SOURCES = ("bill", "app", "minipro", "sousuo", "spm")  # as the dataset has them
SLOTS = {"bill": 4, "app": 3, "minipro": 3, "sousuo": 2, "spm": 3}
PUBLISHED_ORDER = ("bill", "minipro", "spm", "sousuo", "app", "tabular")  # of new tokens
SYSTEM = "system\nYou are a helpful assistant."
TEMPLATE = (
    "user\nWhat follows is the record of one user, taken from several sources: payment bills, "
    "installed apps, mini program visits, search queries, page paths and a table of features.\n"
)

# Slots, what is seen of those without an event, the head's middle, what summaries are means of, the
# contrast and its margin, and how the losses of words are reduced.
VARIANTS = {
    "published": ("fixed", "seen", "relu", "raw", "qa_code", 0.1, "mean"),
    "masked": ("fixed", "masked", "gelu", "raw", "qa_code", 0.1, "mean"),
    "paper": ("compact", "none", "relu", "raw", "qa_paper", 2.0, "sum"),
    "tokens": ("fixed", "seen", "relu", "tokens", "qa_code", 0.1, "sum"),
}

PERSONS = (
    {
        "bill": ["Bread, 3", "books 12", "Bread, 3", "rent 700"],
        "app": ["chess opened", "maps opened"],
        "minipro": ["tickets"],
        "sousuo": ["how to bake bread?", "chess rules"],
        "spm": ["home page", "page of bills"],
        "query": "What will she buy?",
        "answer": "bread, and books.",
        "features": [0.5, -1.0, 0.25],
    },
    {
        "bill": ["medicine 30"],
        "app": [],
        "minipro": ["doctor visits", "doctor visits", "taxi"],
        "sousuo": [],
        "spm": ["home page"],
        "query": "Is she well ?",
        "answer": "No",
        "features": [-0.75, 0.5, 1.5],
    },
    {
        "bill": [],
        "app": [],
        "minipro": [],
        "sousuo": [],
        "spm": [],
        "query": "What will he play?",
        "answer": "nobody knows what a user without records plays!",
        "features": [1.25, 0.0, -0.5],
    },
    {
        "bill": ["rent 650", "medicine 22"],
        "app": ["bank", "maps", "doctor"],
        "minipro": ["taxi"],
        "sousuo": ["doctor"],
        "spm": [],
        "query": "which user is this: ill, or well?",
        "answer": "ill",
        "features": [-0.25, -1.5, 0.75],
    },
)

# ---- words: lower case, the marks that close a word are words of their own ----


def split(text):
    words = []
    for part in text.lower().split():
        core = part.rstrip(".,;:!?")
        words += ([core] if core else []) + list(part[len(core) :])
    return words


def count_words():
    """{word: id}: the more frequent first, then by bytes, behind the special ones."""
    counts = {}
    for person in PERSONS:
        for text in [*(t for s in SOURCES for t in person[s]), person["query"], person["answer"]]:
            for word in split(text):
                counts[word] = counts.get(word, 0) + 1
    order = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    return {word: SPECIAL + i for i, word in enumerate(order)}


def new_tokens():
    """Ids of the chat's marks, of the published tokens of sources, then of the sentences' words."""
    names = ["<|im_start|>", "<|im_end|>"]
    names += [f"<|{s}_pad|>" for s in PUBLISHED_ORDER]
    names += [f"<|{s}_{side}|>" for s in PUBLISHED_ORDER for side in ("start", "end")]
    names += ["<|user_emb|>"]
    for word in split(f"{SYSTEM} {TEMPLATE} assistant query:"):
        if word not in COUNTED and word not in names:
            names.append(word)
    return {name: SPECIAL + len(COUNTED) + i for i, name in enumerate(names)}


COUNTED = count_words()
CLS, SEP = SPECIAL + len(COUNTED), SPECIAL + len(COUNTED) + 1  # of the event encoders
IDS = COUNTED | new_tokens()


def ids_of(text):
    """Marks <|...|> stand for themselves."""
    ids = []
    for part in re.split(r"(<\|\w+\|>)", text):
        ids += [IDS[part]] if part.startswith("<|") else [IDS[word] for word in split(part)]
    return ids


# ---- weights ----


def shapes():
    SIZES.vocabulary = SPECIAL + len(IDS)
    SIZES.bert_vocabulary = 2 + SPECIAL + len(COUNTED)
    all_shapes = decoder_shapes(SIZES)
    for source in SOURCES:
        own = bert_shapes(SIZES, POSITIONS)
        all_shapes |= {f"bert.{source}.{name}": shape for name, shape in own.items()}
        all_shapes |= adapter_shapes(f"encoder.{source}")
    all_shapes |= adapter_shapes("summary.user") | adapter_shapes("summary.source")
    features = len(PERSONS[0]["features"])
    return all_shapes | {
        "features.weight": (SIZES.width, features),
        "features.bias": (SIZES.width,),
        "features.mean.weight": (SIZES.bert_width, features),
        "features.mean.bias": (SIZES.bert_width,),
        "projector.0.weight": (HIDDEN, SIZES.width),
        "projector.0.bias": (HIDDEN,),
        "projector.2.weight": (EMBEDDING, HIDDEN),
        "projector.2.bias": (EMBEDDING,),
    }


def draw(seed):
    weights = draw_weights(np.random.default_rng(seed), shapes())
    return {name: (3 * value if "projector" in name else value) for name, value in weights.items()}


# ---- the model ----


def encode(w, source, texts):
    """(events, E): each text's state at [CLS]."""
    start = f"bert.{source}."
    own = {name[len(start) :]: value for name, value in w.items() if name.startswith(start)}
    ids = [[CLS, *(COUNTED[word] for word in split(text)), SEP] for text in texts]
    return torch.stack([bert(own, BERT, [row], [len(row)])[0, 0] for row in ids])


def history(w, person, slots, summed):
    """Tokens (n, D) from the summaries to the last marker, and which of them are empty slots."""
    table, x = w["model.embed_tokens.weight"], torch.tensor(person["features"], dtype=torch.float64)
    nothing = torch.zeros(SIZES.bert_width, dtype=torch.float64)
    means, blocks, empty = [], [], []
    for source in SOURCES:
        raw = encode(w, source, person[source]) if person[source] else nothing[None][:0]
        missing = SLOTS[source] - len(raw) if slots == "fixed" else 0
        events = adapt(w, f"encoder.{source}", torch.cat([raw, nothing.expand(missing, -1)]))
        of = raw if summed == "raw" else events[: len(raw)]
        means.append(of.mean(0) if len(raw) else nothing)
        blocks += [table[ids_of(f"<|{source}_start|>")], events, table[ids_of(f"<|{source}_end|>")]]
        empty += [False] + [False] * len(raw) + [True] * missing + [False]
    tabular = F.linear(x, w["features.weight"], w["features.bias"]).expand(COPIES, -1)
    raw = F.linear(x, w["features.mean.weight"], w["features.mean.bias"])
    means.append(raw if summed == "raw" else tabular.mean(0))
    blocks += [table[ids_of("<|tabular_start|>")], tabular, table[ids_of("<|tabular_end|>")]]
    summaries = [adapt(w, "summary.user", sum(means) / len(means))[None]]
    summaries.append(adapt(w, "summary.source", torch.stack(means)))
    empty = [False] * (1 + len(means)) + empty + [False] * (COPIES + 2)
    return torch.cat(summaries + blocks), torch.tensor(empty)


def project(w, x, middle):
    x = getattr(F, middle)(F.linear(x, w["projector.0.weight"], w["projector.0.bias"]))
    return F.linear(x, w["projector.2.weight"], w["projector.2.bias"])


def states(w, x, hidden=None):
    bias = attention_bias("causal", len(x))
    if hidden is not None:
        bias[:, hidden] = -torch.inf
    return stack(w, CONFIG, x[None], [len(x)], bias)[0]


def user(w, person, slots, padding, summed):
    """The state at <|user_emb|>, and the states from which the answer's words are predicted."""
    table = w["model.embed_tokens.weight"]
    before = table[ids_of(f"<|im_start|>{SYSTEM}<|im_end|>\n<|im_start|>{TEMPLATE}")]
    tokens, empty = history(w, person, slots, summed)
    question = table[ids_of(f"\nQuery: {person['query']}<|user_emb|>")]
    turn = table[ids_of("<|im_end|>\n<|im_start|>assistant\n")]
    x = torch.cat([before, tokens, question, turn, table[ids_of(person["answer"])]])
    hidden = torch.zeros(len(x), dtype=torch.bool)
    if padding == "masked":
        hidden[len(before) : len(before) + len(tokens)] = empty
    out = states(w, x, hidden)
    read = len(before) + len(tokens) + len(question) - 1
    return out[read], out[read + len(turn) :]


def step(w, slots, padding, middle, summed, contrast, margin, reduction):
    """The embeddings of both towers (B, E), and the two losses."""
    table = w["model.embed_tokens.weight"]
    left, right, words = [], [], []
    for person in PERSONS:
        answer = ids_of(person["answer"])
        read, predicting = user(w, person, slots, padding, summed)
        left.append(project(w, read, middle))
        right.append(project(w, states(w, table[[*answer, END]])[-1], middle))
        targets = torch.tensor([*answer, *ids_of("<|im_end|>")])
        words.append(F.cross_entropy(predicting @ table.T, targets, reduction="none"))
    left, right = torch.stack(left), torch.stack(right)
    next_token = torch.cat(words).mean() if reduction == "mean" else sum(map(sum, words)) / len(words)
    return left, right, contrastive(contrast, left, right, TEMPERATURE, margin), next_token


# ---- the file ----


def texts():
    """What the persons say, as bytes: events parted by newlines."""
    out = {"features": np.array([person["features"] for person in PERSONS], np.float32)}
    for i, person in enumerate(PERSONS):
        for field in (*SOURCES, "query", "answer"):
            text = person[field] if isinstance(person[field], str) else "\n".join(person[field])
            out[f"person.{i}.{field}"] = np.frombuffer(text.encode() + b"\0", np.uint8)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    weights = draw(11)
    out = texts() | weights
    w = doubles(weights, True)
    for variant, settings in VARIANTS.items():
        left, right, *losses = step(w, *settings)
        out[f"{variant}.user"], out[f"{variant}.answer"] = stored(left), stored(right)
        out[f"{variant}.contrastive"] = stored(losses[0].item())
        out[f"{variant}.next_token"] = stored(losses[1].item())
        gradients = torch.autograd.grad(sum(losses), list(w.values()), allow_unused=True)
        for name, gradient in zip(w, gradients):
            if gradient is not None and "position_embeddings" not in name:
                out[f"{variant}.grad.{name}"] = stored(gradient)
        print(variant, [f"{loss.item():.6f}" for loss in losses])
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "chat_step.safetensors"), out)


if __name__ == "__main__":
    main()
