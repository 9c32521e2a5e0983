# SPDX-License-Identifier: Apache-2.0
"""Turns train_promptable.py's checkpoint into the file that ships and its card: python training/export_promptable.py

Takes the averaged weights, folds batch norms, rounds to fp16, scores the rounded network on the held-out cases, and writes
Sources/CWeights/files/medsam-compact-<first 8 hex digits of its SHA-256>.safetensors (an older file of that name is
removed), weights.S and cards/medsam-compact.md. With `--output FILE` only that file: `kontur models add` takes it.
"""
import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

import embed
import prompts
from export import HERE, WEIGHTS
from promptable import MEDSAM_COMPACT, Promptable
from scores import dice, spearman, summary
from train_promptable import BATCH

DOMAINS = {"polyp": "Kvasir-SEG validation frames", "atrium": "LGE slices with at least 100 pixels of truth"}
ASKED = {"polyp": 0.90, "atrium": 0.91}
PROMPTS = {"jittered": "truth box, every edge moved by up to 20% of the side", "tight": "truth box as it is",
           "point": "one point, drawn inside the truth"}

CARD = """# medsam-compact

Outlines what a box or points ask for: polyps in single colonoscopy frames (RGB), and the left atrial cavity in slices of late
gadolinium enhanced MRI. **Research use only: not a medical device, not for diagnosis or treatment.**

File `{file}`, SHA-256 `{digest}`, fp16, {size:.1f} MB. Segment Anything's prompt encoder and mask decoder around a
convolutional image encoder at 256 x 256 (`training/promptable.py`), trained by `training/train_promptable.py`: {samples}
augmented samples in batches of {batch}, seeds from {seed}, {hours:.1f} h on a shared processor core. The encoder began as that of a
`polyp-compact` in training, everything else drawn. The recipe before and after the network is the opening comment of
`training/prompts.py`.

## Data

| set | cases | used for | terms |
|---|---|---|---|
| Kvasir-SEG (Jha 2020), usual 800/100/100 split | 799 frames | training | research and education |
| PolypGen (Ali 2023), single frames with a polyp, without centre 6 | 1069 frames | training | CC BY 4.0 |
| 2018 Left Atrium Segmentation Challenge, training half of the usual 80/20 split | {slices} slices of 64 volumes | training | research; the publisher states no licence |
| Kvasir-SEG validation | 100 frames | held out: the scores below | research and education |
| 2018 Left Atrium Segmentation Challenge, same half | {held} slices of 16 volumes (every third with at least 100 pixels of truth) | held out | as above |

The encoder's first weights come from the same training frames, and may descend from some that saw PolypGen's centre 6. No frame of the Kvasir-SEG test hundred was used.

## Scores

Dice per case with the shipped fp16 weights; the interval is the 95% bootstrap of the mean (slices of one volume resemble each
other, so the atrium's is too narrow). Boxes come from the truth: an oracle that no routine has.

| held out | prompt | mean | 95% | median | worst |
|---|---|---|---|---|---|
{rows}

Rank correlation (Spearman) of the predicted IoU with the true Dice, jittered box: {spearman}.

## Reproducibility

Trained in stages of {stages} samples, each later one from the file of the one before, at 256 x 256 only and half the learning
rate. The runs were stopped and resumed, and their length was fitted to the time there was, which moves the learning rate and
the side of the squares. A fresh run of the command gives other weights.

## Known failures

- Below 0.5 with a jittered box: {failed}.
- Small targets are worst: mean Dice by quarters of the truth's area, small to large, {quarters}.
{short}- Boxes far beyond what was trained (edges moved by up to 20% of a side) and boxes as large as the image were not measured.
- One point alone says little about which structure is meant; points were a tenth of the training's prompts.
- Other scanners, contrasts and structures were never seen: the network knows polyps and atria, and is no general MedSAM.
- The image is stretched to a square of 256 pixels, masks to 128: structures of a few pixels there are lost.
"""

SHORT = """- With a jittered box: {}. Slices of the training's volumes
  reach 0.92: more volumes or more augmentation promise more than a longer run.
"""


def rounded(runs):
    """The folded network of a checkpoint with every tensor rounded to fp16, and how it came about."""
    kept = torch.load(runs / prompts.NAME / "checkpoint.pt", weights_only=True)
    network = Promptable(MEDSAM_COMPACT).eval()
    network.load_state_dict(kept["average"])
    network = network.folded()
    network.load_state_dict({key: value.half().float() for key, value in network.state_dict().items()})
    last = {"samples": kept["step"] * BATCH, "seed": kept["seed"], "core_seconds": round(kept["seconds"])}
    return network, {**last, "stages": [*kept["stages"], last]} if kept["stages"] else last


def score(network, data):
    """Rows of every held-out case: Dice under each kind of prompt, and the predicted IoU under the jittered box."""
    rng, rows = np.random.default_rng(5), []
    for domain, name, image, truth in prompts.held_out(data):
        embedding, tight = prompts.embed(network, image), prompts.box_of(truth)
        mask, iou = prompts.predict(network, embedding, truth.shape, prompts.jittered(tight, rng, truth.shape))
        rows.append({"domain": domain, "case": name, "area": int(truth.sum()), "jittered": dice(mask, truth), "predicted": iou,
                     "tight": dice(prompts.predict(network, embedding, truth.shape, tight)[0], truth),
                     "point": dice(prompts.predict_point(network, embedding, truth, rng), truth)})
    return rows


def summaries(rows):
    return {domain: {prompt: {key: round(value, 4) for key, value in summary(
        [row[prompt] for row in rows if row["domain"] == domain]).items()} for prompt in PROMPTS} for domain in DOMAINS}


def body(network, scores, training):
    facts = {"name": prompts.NAME, "version": prompts.VERSION, "kind": "promptable2d",
             "architecture": network.image_encoder.arch.as_dict(), "data": prompts.DATA_SETS, "scores": scores,
             "training": training, "licence": "weights: research use, see the model card"}
    tensors = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    return save(tensors, {"kontur": json.dumps(facts, sort_keys=True)})


def card(path, digest, rows, scores, training, slices):
    def line(domain, prompt):
        found = scores[domain][prompt]
        return (f"| {DOMAINS[domain]} | {PROMPTS[prompt]} | {found['mean']:.4f} | {found['low']:.4f} ... "
                f"{found['high']:.4f} | {found['median']:.4f} | {found['min']:.4f} |")

    def of(domain):
        return [row for row in rows if row["domain"] == domain]

    stages = training.get("stages") or [training]
    short = [f"{domain} {scores[domain]['jittered']['mean']:.3f} where {asked} was asked" for domain, asked in ASKED.items()
             if scores[domain]["jittered"]["mean"] < asked]

    def quarters(domain):
        ordered = sorted(of(domain), key=lambda row: row["area"])
        return ", ".join(f"{np.mean([row['jittered'] for row in part]):.2f}" for part in np.array_split(ordered, 4))
    text = CARD.format(
        file=path.name, digest=digest, size=path.stat().st_size / 1e6, batch=BATCH, seed=stages[0]["seed"],
        samples=sum(stage["samples"] for stage in stages), hours=sum(stage["core_seconds"] for stage in stages) / 3600,
        stages=", ".join(str(stage["samples"]) for stage in stages),
        short=SHORT.format("; ".join(short)) if short else "", slices=slices, held=len(of("atrium")),
        rows="\n".join(line(domain, prompt) for domain in DOMAINS for prompt in PROMPTS),
        spearman=", ".join(f"{domain} {spearman(*zip(*[(row['predicted'], row['jittered']) for row in of(domain)])):.2f}"
                           for domain in DOMAINS),
        quarters="; ".join(f"{domain} {quarters(domain)}" for domain in DOMAINS),
        failed=", ".join(f"{sum(row['jittered'] < 0.5 for row in of(domain))} of {len(of(domain))} ({domain})"
                         for domain in DOMAINS))
    (HERE / "cards" / f"{prompts.NAME}.md").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=HERE.parent / "../shared/data", type=Path)
    parser.add_argument("--runs", default=HERE / "runs", type=Path)
    parser.add_argument("--output", type=Path, help="write this file only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network, training = rounded(arguments.runs)
    rows = score(network, arguments.data)
    scores = summaries(rows)
    file = body(network, scores, training)
    digest = hashlib.sha256(file).hexdigest()
    path = arguments.output or WEIGHTS / f"{prompts.NAME}-{digest[:8]}.safetensors"
    if not arguments.output:
        for old in WEIGHTS.glob(f"{prompts.NAME}-*.safetensors"):
            old.unlink()
    path.write_bytes(file)
    print(path.name, len(file), json.dumps(scores))
    if not arguments.output:
        embed.write()
        card(path, digest, rows, scores, training, len(prompts.Training(arguments.data, arguments.runs).slices))


if __name__ == "__main__":
    main()
