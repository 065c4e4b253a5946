"""Ten steps of prompt tuning on a frozen tiny model, in double precision (user-modelling spec 2.6).

The model and its persons are those of two_tower.py. Six prompt vectors stand between the question
and the token that is read; two prototypes are compared by cosine; AdamW without decay moves the
prompts at 1e-2 and the prototypes at ten times that.

    python prompt_tuning.py FOLDER      writes FOLDER/prompt_tuning.safetensors
"""

import argparse
import os

import numpy as np
import torch
import torch.nn.functional as F

from golden_users import normal
from safetensors_io import doubles, stored, write
from two_tower import EMBEDDING, PERSONS, SIZES, draw, user

STEPS, TOKENS, RATE, TEMPERATURE = 10, 6, 1e-2, 0.07
QUESTION_ASKED = "is the person sick ?"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    w = doubles(draw(7))
    rng = np.random.default_rng(11)
    start = {
        "prompts": normal(rng, (TOKENS, SIZES.width), 0.3),
        "prototypes": normal(rng, (2, EMBEDDING), 0.4),
    }
    learned = doubles(start, True)
    labels = torch.tensor([person["label"] for person in PERSONS])
    optimizer = torch.optim.AdamW(
        [
            {"params": [learned["prompts"]], "lr": RATE},
            {"params": [learned["prototypes"]], "lr": 10 * RATE},
        ],
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
    )
    losses = []
    for _ in range(STEPS):
        u = [user(w, person, QUESTION_ASKED, learned["prompts"])[0] for person in PERSONS]
        cosines = F.normalize(torch.stack(u)) @ F.normalize(learned["prototypes"]).T
        loss = F.cross_entropy(cosines / TEMPERATURE, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print([f"{loss:.6f}" for loss in losses])
    out = {f"start.{name}": value for name, value in start.items()}
    out |= {f"final.{name}": stored(value) for name, value in learned.items()}
    out["loss"] = np.array(losses)
    write(os.path.join(folder, "prompt_tuning.safetensors"), out)


if __name__ == "__main__":
    main()
