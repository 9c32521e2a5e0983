# SPDX-License-Identifier: Apache-2.0
"""Writes measures and confidences of drawn tracks, for the Swift tests: python -m training.references.golden_tracked_confidence

The file is Tests/SegmentationTests/Golden/tracked-confidence.json. The volume is the first input of
left-atrium-compact.safetensors beside it (reference_answers.py). Each case has the boxes {slice: XYXY}, the measures and the
confidence of the volume, and the confidence of each slice that the tracking reached, made with the shipped weights in
float32. `bf16` is the largest change of these numbers under autocast. The numbers belong to one set of weights, so exporting/export_tracker.py calls this script after
each export. The script also prints the largest change of an input that was moved by 1e-6 of its range.
"""
import hashlib
import json

import numpy as np
import torch

from training.data import prompts, scenes
from training.networks import tracker
from training.paths import SEGMENTATION_GOLDEN, shipped
from training.recipes import confidence, medsam2_compact, tracked_confidence
from training.recipes.medsam_compact import percentile_scaled

GOLDEN = SEGMENTATION_GOLDEN / "tracked-confidence.json"
SEED, SPACING = (9, 5), (2.5, 2.0, 1.75)  # of reference_answers.drawn


def answer(network, facts, features, alike, shape, boxes):
    """The numbers of one case."""
    track = medsam2_compact.track(network, features, shape, boxes)
    measures = tracked_confidence.volume_measures(track, boxes, alike)
    slices = {}
    for index in np.flatnonzero(np.isfinite(track.scores)):
        own = tracked_confidence.slice_measures(track.scores[index], track.iou[index], track.stability[index])
        slices[str(index)] = confidence.confidence(own, not track.mask[index].any(), facts["slice_confidence"])
    is_empty = not track.mask.any()
    return {"boxes": {str(index): box.tolist() for index, box in boxes.items()}, "isEmpty": is_empty, "measures": measures,
            "confidence": confidence.confidence(measures, is_empty, facts["confidence"]), "slices": slices}


def change(found, expected):
    """The largest difference of measures and confidences of two answers; infinite if they reach other slices."""
    if set(found["slices"]) != set(expected["slices"]) or set(found["measures"]) != set(expected["measures"]):
        return float("inf")
    numbers = [[case["confidence"], *(case["measures"][name] for name in sorted(case["measures"])),
                *(case["slices"][index] for index in sorted(case["slices"]))] for case in (found, expected)]
    return float(np.abs(np.subtract(*numbers)).max())


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    path = shipped(medsam2_compact.NAME)
    network, facts = tracker.load(path)
    if "confidence" not in facts:
        print("the weights have no fitted confidence")
        return
    volume, mask = scenes.left_atrium(np.random.default_rng(SEED), SPACING)
    alike = tracked_confidence.volume_likeness(volume, SPACING)
    present, shape = np.flatnonzero(mask.any((1, 2))), volume.shape[1:]
    first, middle, last = (int(present[int(share * (len(present) - 1))]) for share in (0.25, 0.5, 0.75))
    around = {index: prompts.box_of(mask[index]) for index in (first, middle, last)}
    width, height = around[middle][2:] - around[middle][:2]
    beside = np.clip(around[middle] - np.float32([width, height] * 2), 0, [shape[1], shape[0]] * 2).astype(np.float32)
    features = medsam2_compact.embed(network, percentile_scaled(volume))
    shaken = medsam2_compact.embed(network, percentile_scaled(volume).astype(np.float32)
                                   + np.random.default_rng(7).normal(0, 255e-6, volume.shape).astype(np.float32))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = medsam2_compact.embed(network, percentile_scaled(volume))
    cases = []
    for boxes in ({middle: around[middle]}, {middle: beside}, {first: around[first], last: around[last]}):
        found = answer(network, facts, features, alike, shape, boxes)
        moved = change(answer(network, facts, shaken, alike, shape, boxes), found)
        with torch.autocast("cpu", torch.bfloat16):
            found["bf16"] = change(answer(network, facts, rounded, alike, shape, boxes), found)
        print(f"{sorted(boxes)}: confidence {found['confidence']:.3f}, moved by {moved:.1e}, bf16 {found['bf16']:.1e}",
              {name: round(value, 3) for name, value in found["measures"].items()})
        if np.isfinite(found["bf16"]):
            cases.append(found)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    GOLDEN.write_text(json.dumps({"weights": digest, "cases": cases}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
