# SPDX-License-Identifier: Apache-2.0
"""Scores medsam2-compact on held-out volumes: python -m training.fitting.score_tracker --data DATA

The network comes from a file (`--weights`), or is the averaged network of the checkpoint in RUNS. The prompt is a box
around the truth on the middle slice of the atrium, each edge moved by up to 20% of the side, and is tracked in both
directions. With `--automatic` the prompt does not come from the truth: left-atrium-compact answers the volume, and the box
around its mask, MARGIN pixels of the square wider on every side, is tracked from the slice where that mask is largest and
surest. The script prints the Dice of each volume, and the number of marked slices beyond the two ends of the atrium.
"""
import argparse
import functools
import json
from pathlib import Path

import numpy as np
import torch

from training.data import left_atrium_volumes, prompts
from training.fitting.running import has_bf16
from training.networks import shipped as unets
from training.networks import tracker
from training.networks.tracker import SIZE
from training.paths import add_folders, shipped
from training.recipes import left_atrium_compact, medsam2_compact
from training.recipes.medsam_compact import percentile_scaled
from training.scores import dice, summary

POSITIONS = {"quarter": 0.25, "middle": 0.5, "three quarters": 0.75}  # of the slices that show the atrium
MARGIN = 3  # pixels of the square around the box of an automatic prompt


def truth_boxes(name, truth, position, boxes):
    """Jittered boxes {slice: XYXY} around the truth, at `position` or, if there are several, spread over the atrium."""
    present = np.flatnonzero(truth.any((1, 2)))
    shares = [position] if boxes == 1 else [(k + 0.5) / boxes for k in range(boxes)]
    rng, given = np.random.default_rng([5, *name.encode()]), {}
    for share in shares:
        key = int(present[min(int(share * len(present)), len(present) - 1)])
        given[key] = prompts.jittered(prompts.box_of(truth[key]), rng, truth.shape[1:])
    return given


@functools.cache
def prompter():
    """The shipped left-atrium-compact."""
    return unets.load(shipped(left_atrium_compact.NAME))[0]


def automatic_box(image):
    """One box {slice: XYXY} around the mask that left-atrium-compact finds, in the slice where it is largest and surest."""
    with torch.autocast("cpu", enabled=False):
        found = left_atrium_compact.answer(prompter(), image)
    key = int((found.probability * found.mask).sum((1, 2)).argmax())
    whole = np.array([0, 0, *image.shape[:0:-1]], np.float32)
    if not found.mask[key].any():
        return {len(image) // 2: whole}
    margin = MARGIN / SIZE * np.tile(whole[2:], 2) * [-1, -1, 1, 1]
    return {key: np.clip(prompts.box_of(found.mask[key]) + margin, 0, np.tile(whole[2:], 2)).astype(np.float32)}


def volume_row(features, name, image, truth, position=0.5, boxes=1, automatic=False):
    """Scores of one volume. With several boxes they are spread evenly over the atrium instead of at `position`.

    `features` holds the network and the `Features` of each slice.
    """
    present = np.flatnonzero(truth.any((1, 2)))
    given = automatic_box(image) if automatic else truth_boxes(name, truth, position, boxes)
    key = max(given)
    found = medsam2_compact.track(*features, truth.shape[1:], given, drawn=not automatic)
    marked = np.flatnonzero(found.mask.any((1, 2)))
    return {"case": name, "dice": dice(found.mask, truth), "key": dice(found.mask[key], truth[key]), "slices": len(present),
            "below": int((marked < present[0]).sum()), "above": int((marked > present[-1]).sum()),
            "missed": int(len(present) - np.isin(present, marked).sum())}


def rows(network, data, prompts, count=None):
    """{prompt: one row for each of the first `count` held-out volumes} for prompts {prompt: options of volume_row}.

    The network computes in bf16 where the processor can, as in the executable.
    """
    found = {prompt: [] for prompt in prompts}
    for path in left_atrium_volumes.split(data)[1][:count]:
        image, truth = left_atrium_volumes.read(path)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16("cpu")):
            features = network, medsam2_compact.embed(network, percentile_scaled(image))
            for prompt, options in prompts.items():
                found[prompt].append(volume_row(features, path.stem, image, truth, **options))
    return found


def checkpointed(runs):
    """The averaged network of the checkpoint."""
    network = tracker.Tracker()
    network.load_state_dict(torch.load(runs / medsam2_compact.NAME / "checkpoint.pt", weights_only=True, map_location="cpu")["average"])
    return network.to(memory_format=torch.channels_last).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    parser.add_argument("--weights", type=Path, help="a file of export_tracker.py instead of the checkpoint")
    parser.add_argument("--volumes", type=int, help="score only the first volumes")
    parser.add_argument("--position", choices=POSITIONS, default="middle", help="of the prompted slice in the atrium")
    parser.add_argument("--boxes", type=int, default=1, help="prompted slices, spread evenly if more than one")
    parser.add_argument("--automatic", action="store_true", help="take the prompt from the shipped networks")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network = tracker.load(arguments.weights)[0] if arguments.weights else checkpointed(arguments.runs)
    options = {"position": POSITIONS[arguments.position], "boxes": arguments.boxes, "automatic": arguments.automatic}
    found = rows(network, arguments.data, {"asked": options}, arguments.volumes)["asked"]
    for row in found:
        print(json.dumps(row))
    ends = np.array([row[end] for row in found for end in ("below", "above")])
    print("Dice", {key: round(value, 4) for key, value in summary([row["dice"] for row in found]).items()},
          f"beyond an end: mean {ends.mean():.2f}, most {ends.max()}")


if __name__ == "__main__":
    main()
