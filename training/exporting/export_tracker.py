# SPDX-License-Identifier: Apache-2.0
"""Turns the checkpoint of medsam2-compact into the file that ships and its card: python -m training.exporting.export_tracker

The export takes the averaged weights, whose object score fitting/fit_score.py has fitted, and rounds them to fp16. It writes
Sources/CWeights/files/medsam2-compact-<first 8 hex digits of its SHA-256>.safetensors, removes the older file of that name,
and writes weights.S and the numbers for the Swift tests. Then it scores the rounded network on the held-out volumes and
writes training/cards/medsam2-compact.md. With `--output FILE` it writes only FILE, and a draft of the card beside it. All
tensors have SAM 2's names; those of the trunk are `image_encoder.trunk.encoder.*` and `….decoder.*`. The metadata also hold
the confidence that fitting/fit_tracked_confidence.py fitted to exactly these weights, if it did. `--weights FILE` exports
the network of a shipped file again, with a new fit.
"""
import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from training.data import tracked_sequences
from training.exporting import cards
from training.exporting.export import write_shipped
from training.fitting import fit_score, fit_tracked_confidence, score_tracker
from training.networks import tracker
from training.paths import CARDS, add_folders
from training.recipes import medsam2_compact
from training.references import golden_tracked_confidence, golden_tracker
from training.scores import summary

# Text of the card, position of the prompted slice in the atrium, number of boxes.
PROMPTS = {"middle": ("one box on the middle slice", 0.5, 1), "quarter": ("one box at a quarter of the slices", 0.25, 1),
           "three quarters": ("one box at three quarters of the slices", 0.75, 1),
           "three": ("three boxes, at a sixth, a half and five sixths of the slices", 0.5, 3),
           "automatic": ("one box that `left-atrium-compact` finds", None, 1)}

CARD = """# medsam2-compact

Tracks the structure in one or several boxes through a volume or through frames in the order of time: the left atrial cavity in
late gadolinium enhanced MRI, and polyps. **Research use only: not a medical device, not for diagnosis or treatment.**

File `{file}`, SHA-256 `{digest}`, fp16, {size:.1f} MB. SAM 2.1 at 256 x 256 with a convolutional trunk and fewer layers
(`training/networks/tracker.py`), trained by `training/fitting/train_tracker.py`: {samples} tracks of 3 to 30 frames, seeds from
{seed}, {hours:.2f} h on {device}. The trunk, the prompt encoder and parts of the mask decoder began as those of the
shipped `medsam-compact`; all other weights were drawn. At last `training/fitting/fit_score.py` fitted the MLP of the object
score to whole tracks through {fitted} training volumes, and lowered it by {shift}, which costs the validation volumes at most
.002 of Dice. The recipe before and after the network is the opening comment of
`training/recipes/medsam2_compact.py`.

## Data

| set | cases | used for | terms |
|---|---|---|---|
| 2018 Left Atrium Segmentation Challenge, training half of the usual 80/20 split | {volumes} volumes | training | research; the publisher states no licence |
| the same half | {validation} volumes | validation while the training went on | as above |
| Kvasir-SEG (Jha 2020) training, and PolypGen (Ali 2023) without centre 6, single frames with a polyp | {frames} frames of 1868 | training, under a drawn camera movement | research and education; CC BY 4.0 |
| 2018 Left Atrium Segmentation Challenge, same half | {held} volumes | held out: the scores below | as above |

The held-out volumes are those that `left-atrium-compact` and `medsam-compact` hold out, too. The trunk's weights descend from
networks that saw the same training frames. Real colonoscopy videos were not available.

## Scores

Dice per volume with the shipped fp16 weights, computed in bf16; the interval is the 95% bootstrap of the mean. All boxes but the
automatic one come from the truth, which a real application does not have; each edge is moved by up to 20% of the side. For the
automatic box, `left-atrium-compact` chooses the slice and marks the atrium there. "Beyond" is the number of marked slices beyond
an end of the atrium, mean and most.

| prompt | mean | 95% | median | worst | beyond |
|---|---|---|---|---|---|
{rows}

The prompted slice itself reaches a mean Dice of {key:.3f} (middle slice).

## Confidence

{confidence}

## Reproducibility

Trained in stages of {stages} tracks. The runs were stopped and resumed, and their length was fitted to the time there was, which
changes the learning rate. A fresh run of the command gives other weights.

## Known failures

- Below 0.8 with one box on the middle slice: {failed} of {held} volumes.
- More than 2 slices marked beyond an end of the atrium with one box on the middle slice: {far} of {held} volumes.
- Slices that show the atrium and are not marked: {missed:.1f} per volume, mostly at the roof and the floor. The largest
  component of the volume's mask is kept, or those of the slices that a person prompted, with what continues them behind one or
  two slices without an answer, if the network is sure there. Other slices lose their marks.
- Polyps were learnt from single frames under a drawn camera movement. Tracks through real videos were not measured.
- Other scanners, contrasts and structures were never seen. The network does not replace MedSAM2.
- The frame is stretched to a square of 256 pixels, masks to 64: structures of a few pixels there are lost.
"""


def rounded(runs):
    """The averaged network of the checkpoint with every tensor rounded to fp16, and the facts of its training."""
    kept = torch.load(runs / medsam2_compact.NAME / "checkpoint.pt", weights_only=True, map_location="cpu")
    network = tracker.Tracker().eval()
    network.load_state_dict({key: value.half().float() for key, value in kept["average"].items()})
    last = {"samples": kept["tracks"], "seed": kept["seed"], "seconds": round(kept["seconds"]),
            **{key: kept[key] for key in ("device", "volumes", "validation", "frames", "score_fit", "score_shift")}}
    return (network.to(memory_format=torch.channels_last),
            {**last, "stages": [*kept["stages"], last]} if kept["stages"] else last)


def again(path):
    """The network of a shipped file, and the facts of its training."""
    network, facts = tracker.load(path)
    return network.to(memory_format=torch.channels_last), facts["training"]


def body(network, training, fits):
    """The bytes of the shipped file. `fits` holds the coefficients of the confidence by their names in the metadata."""
    facts = {"name": medsam2_compact.NAME, "version": medsam2_compact.VERSION, "kind": "tracker2d",
             "architecture": {"trunk": tracker.TRUNK.as_dict(), "size": tracker.SIZE, "memory_attention_layers": tracker.LAYERS,
                              "hidden": tracker.HIDDEN, "memories": tracker.MEMORIES, "pointers": tracker.POINTERS},
             "data": tracked_sequences.DATA_SETS, "training": training,
             "licence": "weights: research use, see the model card", **fits}
    tensors = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    return save(tensors, {"kontur": json.dumps(facts, sort_keys=True)})


def card(name, content, found, training, sure):
    """The text of the model card of a file with this name and content.

    `found` holds the rows of each kind of prompt, `sure` what fit_tracked_confidence.py wrote, or None.
    """
    def beyond(rows):
        return np.array([row[end] for row in rows for end in ("below", "above")])

    def line(prompt):
        reached = summary([row["dice"] for row in found[prompt]])
        ends = beyond(found[prompt])
        return (f"| {PROMPTS[prompt][0]} | {reached['mean']:.4f} | {reached['low']:.4f} ... {reached['high']:.4f} "
                f"| {reached['median']:.4f} | {reached['min']:.4f} | {ends.mean():.1f}, {ends.max()} |")
    stages, middle = training.get("stages") or [training], found["middle"]
    fitted = sum(entry["volumes"] for entry in stages[-1]["score_fit"])
    return CARD.format(
        file=name, fitted=fitted, shift=fit_score.chosen_shift(stages[-1]["score_shift"]), seed=stages[0]["seed"],
        digest=hashlib.sha256(content).hexdigest(), size=len(content) / 1e6, confidence=cards.tracked_confidence(sure),
        samples=sum(stage["samples"] for stage in stages), hours=sum(stage["seconds"] for stage in stages) / 3600,
        **{key: stages[-1][key] for key in ("volumes", "validation", "frames")},
        device={"cuda": "a CUDA device", "cpu": "a shared processor core"}[stages[-1]["device"]],
        stages=", ".join(str(stage["samples"]) for stage in stages), held=len(middle), rows="\n".join(map(line, PROMPTS)),
        key=np.mean([row["key"] for row in middle]), missed=np.mean([row["missed"] for row in middle]),
        far=sum(max(row["below"], row["above"]) > 2 for row in middle), failed=sum(row["dice"] < 0.8 for row in middle))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    parser.add_argument("--weights", type=Path, help="a file of this script instead of the checkpoint")
    parser.add_argument("--output", type=Path, help="write only this file, and a draft of the card beside it")
    parser.add_argument("--volumes", type=int, help="score only the first held-out volumes")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, training = again(arguments.weights) if arguments.weights else rounded(arguments.runs)
    sure = fit_tracked_confidence.of(network, arguments.runs / medsam2_compact.NAME / "confidence.json")
    if sure is None:
        print("the confidence was not fitted to these weights: run python -m training.fitting.fit_tracked_confidence")
    content, card_path = body(network, training, sure["fits"] if sure else {}), CARDS / f"{medsam2_compact.NAME}.md"
    if arguments.output:
        path, card_path = arguments.output, arguments.output.with_suffix(".md")
        path.write_bytes(content)
    else:
        path, _ = write_shipped(medsam2_compact.NAME, content)
        golden_tracker.main()
        golden_tracked_confidence.main()
    prompts = {prompt: {"position": position, "boxes": count, "automatic": position is None}
               for prompt, (_, position, count) in PROMPTS.items()}
    found = score_tracker.rows(network, arguments.data, prompts, arguments.volumes)
    for prompt, rows in found.items():
        print(prompt, json.dumps(summary([row["dice"] for row in rows])))
    card_path.write_text(card(path.name, content, found, training, sure))


if __name__ == "__main__":
    main()
