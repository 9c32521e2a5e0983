# SPDX-License-Identifier: Apache-2.0
"""Turns the checkpoint of medsam-compact into the file that ships and its card: python -m training.exporting.export_promptable

The export takes the averaged weights, folds batch norms, rounds to fp16 and scores the rounded network on the held-out
cases. It writes Sources/CWeights/files/medsam-compact-<first 8 hex digits of its SHA-256>.safetensors, removes the older
file of that name, and writes weights.S and training/cards/medsam-compact.md. With `--output FILE` it writes only FILE, which
`kontur models add` takes.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from training.data import prompted_targets, prompts
from training.exporting.export import write_shipped
from training.fitting.train_promptable import BATCH
from training.networks.promptable import MEDSAM_COMPACT, Promptable
from training.paths import CARDS, add_folders
from training.recipes import medsam_compact
from training.scores import dice, spearman, summary

DOMAINS = {"polyp": "Kvasir-SEG validation frames", "atrium": "LGE slices with at least 100 pixels of truth"}
ASKED = {"polyp": 0.90, "atrium": 0.91}
PROMPTS = {"jittered": "truth box, every edge moved by up to 20% of the side", "tight": "truth box as it is",
           "point": "one random point inside the truth"}

CARD = """# medsam-compact

Outlines the structure that a box or points mark: polyps in single colonoscopy frames (RGB), and the left atrial cavity in slices of late
gadolinium enhanced MRI. **Research use only: not a medical device, not for diagnosis or treatment.**

File `{file}`, SHA-256 `{digest}`, fp16, {size:.1f} MB. Segment Anything's prompt encoder and mask decoder around a
convolutional image encoder at 256 x 256 (`training/networks/promptable.py`), trained by `training/fitting/train_promptable.py`: {samples}
augmented samples in batches of {batch}, seeds from {seed}, {hours:.1f} h on a shared processor core. The encoder began as that of a
`polyp-compact` in training; all other weights were drawn. The recipe before and after the network is the opening comment of
`training/recipes/medsam_compact.py`.

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

Dice per case with the shipped fp16 weights. The interval is the 95% bootstrap of the mean; slices of one volume resemble each
other, so that the atrium's interval is too narrow. Boxes come from the truth, which a real application does not have.

| held out | prompt | mean | 95% | median | worst |
|---|---|---|---|---|---|
{rows}

Rank correlation (Spearman) of the predicted IoU with the true Dice, jittered box: {spearman}.

## Reproducibility

Trained in stages of {stages} samples. Each later stage began from the file of the stage before, with squares of 256 x 256 only
and half the learning rate. The runs were stopped and resumed, and their length was fitted to the time there was, which changes
the learning rate and the side of the squares. A fresh run of the command gives other weights.

## Known failures

- Below 0.5 with a jittered box: {failed}.
- Small targets are worst: mean Dice by quarters of the truth's area, small to large, {quarters}.
{short}- Boxes far beyond what was trained (edges moved by up to 20% of a side) and boxes as large as the image were not measured.
- One point alone says little about which structure is meant; points were a tenth of the training's prompts.
- Other scanners, contrasts and structures were never seen. The network knows polyps and atria and does not replace MedSAM.
- The image is stretched to a square of 256 pixels, masks to 128: structures of a few pixels there are lost.
"""

SHORT = """- With a jittered box: {}. Slices of the training's volumes
  reach 0.92, so that more volumes or more augmentation should help more than a longer run.
"""


def rounded(runs):
    """The folded network of the checkpoint with every tensor rounded to fp16, and the facts of its training."""
    kept = torch.load(runs / medsam_compact.NAME / "checkpoint.pt", weights_only=True)
    network = Promptable(MEDSAM_COMPACT).eval()
    network.load_state_dict(kept["average"])
    network = network.folded()
    network.load_state_dict({key: value.half().float() for key, value in network.state_dict().items()})
    last = {"samples": kept["step"] * BATCH, "seed": kept["seed"], "core_seconds": round(kept["seconds"])}
    return network, {**last, "stages": [*kept["stages"], last]} if kept["stages"] else last


def score(network, data):
    """One row per held-out case: the Dice for each kind of prompt, and the predicted IoU for the jittered box."""
    rng, rows = np.random.default_rng(5), []
    for domain, name, image, truth in prompted_targets.held_out(data):
        embedding, tight = medsam_compact.embed(network, image), prompts.box_of(truth)
        mask, iou = medsam_compact.predict(network, embedding, truth.shape, prompts.jittered(tight, rng, truth.shape))
        pointed = medsam_compact.predict_points(network, embedding, truth.shape, *prompts.points_in(truth, 1, rng))
        rows.append({"domain": domain, "case": name, "area": int(truth.sum()), "jittered": dice(mask, truth), "predicted": iou,
                     "tight": dice(medsam_compact.predict(network, embedding, truth.shape, tight)[0], truth),
                     "point": dice(pointed, truth)})
    return rows


def summaries(rows):
    """Summaries of the Dice by domain and kind of prompt."""
    return {domain: {prompt: {key: round(value, 4) for key, value in summary(
        [row[prompt] for row in rows if row["domain"] == domain]).items()} for prompt in PROMPTS} for domain in DOMAINS}


def body(network, scores, training):
    """The bytes of the shipped file."""
    facts = {"name": medsam_compact.NAME, "version": medsam_compact.VERSION, "kind": "promptable2d",
             "architecture": network.image_encoder.arch.as_dict(), "data": prompted_targets.DATA_SETS, "scores": scores,
             "training": training, "licence": "weights: research use, see the model card"}
    tensors = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    return save(tensors, {"kontur": json.dumps(facts, sort_keys=True)})


def write_card(path, digest, rows, scores, training, slices):
    """Writes the model card of the shipped file at `path`."""
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
    (CARDS / f"{medsam_compact.NAME}.md").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    parser.add_argument("--output", type=Path, help="write only this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network, training = rounded(arguments.runs)
    rows = score(network, arguments.data)
    scores = summaries(rows)
    file = body(network, scores, training)
    print(len(file), "bytes", json.dumps(scores))
    if arguments.output:
        arguments.output.write_bytes(file)
        return
    path, digest = write_shipped(medsam_compact.NAME, file)
    write_card(path, digest, rows, scores, training,
               len(prompted_targets.Training(arguments.data, arguments.runs).slices))


if __name__ == "__main__":
    main()
