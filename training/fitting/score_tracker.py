# SPDX-License-Identifier: Apache-2.0
"""Scores medsam2-compact on held-out volumes: python -m training.fitting.score_tracker --data DATA

The network comes from a file (`--weights`), or is the averaged network of the checkpoint in RUNS. The prompt is a box
around the truth on the middle slice of the atrium, each edge moved by up to 20% of the side, and is tracked in both
directions. The script prints the Dice of each volume, and the number of marked slices beyond the two ends of the
atrium.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

from training.data import left_atrium_volumes, prompts
from training.networks import tracker
from training.paths import add_folders
from training.recipes import medsam2_compact
from training.recipes.medsam_compact import percentile_scaled
from training.scores import dice, summary

POSITIONS = {"quarter": 0.25, "middle": 0.5, "three quarters": 0.75}  # of the slices that show the atrium


def volume_row(network, name, image, truth, position=0.5, boxes=1):
    """Scores of one volume. With several boxes they are spread evenly over the atrium instead of at `position`."""
    present = np.flatnonzero(truth.any((1, 2)))
    shares = [position] if boxes == 1 else [(k + 0.5) / boxes for k in range(boxes)]
    rng = np.random.default_rng([5, *name.encode()])
    given = {}
    for share in shares:
        key = int(present[min(int(share * len(present)), len(present) - 1)])
        given[key] = prompts.jittered(prompts.box_of(truth[key]), rng, truth.shape[1:])
    features = medsam2_compact.embed(network, percentile_scaled(image))
    found = medsam2_compact.track(network, features, truth.shape[1:], given)
    marked = np.flatnonzero(found.mask.any((1, 2)))
    return {"case": name, "dice": dice(found.mask, truth), "key": dice(found.mask[key], truth[key]), "slices": len(present),
            "below": int((marked < present[0]).sum()), "above": int((marked > present[-1]).sum()),
            "missed": int(len(present) - np.isin(present, marked).sum())}


def rows(network, data, count=None, **options):
    """One row for each of the first `count` held-out volumes."""
    paths = left_atrium_volumes.split(data)[1][:count]
    return [volume_row(network, path.stem, *volume, **options)
            for path, volume in ((path, left_atrium_volumes.read(path)) for path in paths)]


def score(network, data, count=None):
    """Mean Dice, and mean number of marked slices beyond an end of the atrium."""
    found = rows(network, data, count)
    return {"dice": float(np.mean([row["dice"] for row in found])),
            "beyond": float(np.mean([row[end] for row in found for end in ("below", "above")]))}


def checkpointed(runs):
    """The averaged network of the checkpoint."""
    network = tracker.Tracker()
    network.load_state_dict(torch.load(runs / medsam2_compact.NAME / "checkpoint.pt", weights_only=True)["average"])
    return network.to(memory_format=torch.channels_last).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    parser.add_argument("--weights", type=Path, help="a file of export_tracker.py instead of the checkpoint")
    parser.add_argument("--volumes", type=int, help="score only the first volumes")
    parser.add_argument("--position", choices=POSITIONS, default="middle", help="of the prompted slice in the atrium")
    parser.add_argument("--boxes", type=int, default=1, help="prompted slices, spread evenly if more than one")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network = tracker.load(arguments.weights)[0] if arguments.weights else checkpointed(arguments.runs)
    found = rows(network, arguments.data, arguments.volumes, position=POSITIONS[arguments.position], boxes=arguments.boxes)
    for row in found:
        print(json.dumps(row))
    ends = np.array([row[end] for row in found for end in ("below", "above")])
    print("Dice", {key: round(value, 4) for key, value in summary([row["dice"] for row in found]).items()},
          f"beyond an end: mean {ends.mean():.2f}, most {ends.max()}")


if __name__ == "__main__":
    main()
