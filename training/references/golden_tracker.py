# SPDX-License-Identifier: Apache-2.0
"""Writes the numbers that medsam2-compact in Swift is tested against: python -m training.references.golden_tracker

Tests/InferenceTests/Golden/medsam2_compact.safetensors is in float32, made by the network of networks/tracker.py with the
shipped weights and PyTorch on the CPU. The numbers belong to one set of weights, so exporting/export_tracker.py calls this
script after each export. frame() draws the frames with whole numbers: a disc that moves, shrinks and goes away.

`stage.*` and `track.*` hold every n-th value, channels last, with n under `strides`. `track.<recipe>.<frame>.<value>` holds
low_res, score, iou, pointer and memory. The recipe "one" prompts frame KEY with BOX, "two" also frame SECOND with SECOND_BOX.

The script prints how far an input changed by 1e-6 moves every value, and the errors of bf16 autocast.
"""
import hashlib
import json

import numpy as np
import torch
from safetensors.torch import save_file

from training.networks import tracker
from training.networks.tracker import ABSENT, SIZE
from training.paths import INFERENCE_GOLDEN, shipped
from training.recipes import medsam2_compact
from training.references import drawn_weights

FRAMES, KEY, SECOND = 12, 4, 6
BOX, SECOND_BOX = [70, 66, 182, 176], [84, 70, 174, 158]
RECIPES = {"one": {KEY: BOX}, "two": {KEY: BOX, SECOND: SECOND_BOX}}
KEPT = {"stage": 512, "low_res": 256, "memory": 128, "pointer": 64}  # values of each kind, about


def frame(index):
    """A grey frame [SIZE, SIZE] of whole numbers."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    step = index - KEY
    radius = 52 - 6 * abs(step)
    body = ((x - 126 - 3 * step) ** 2 + (y - 120 + 2 * step) ** 2 < radius ** 2) & (radius > 0)
    fine = (drawn_weights.bits(f"tracked.{index}", SIZE * SIZE) >> np.uint64(59)).astype(int).reshape(SIZE, SIZE)
    return np.where(body, 150, 50) + fine


def track(network, features, boxes):
    """The values of every frame by the steps of the recipe."""
    conditioning, values = {}, {}

    def note(index, logits, score, iou, memory):
        values[index] = {"low_res": logits if score > 0 else torch.full_like(logits, ABSENT), "score": torch.tensor([score]),
                         "iou": torch.tensor([iou]), "pointer": memory.pointer[0], "memory": memory.features[0]}
        return memory
    for index, box in boxes.items():
        conditioning[index] = note(index, *medsam2_compact.prompted(network, features[index], np.float32(box), (SIZE, SIZE)))
    first = min(boxes)
    for step, last in ((1, FRAMES), (-1, -1)):
        others = {}
        for index in range(first + step, last, step):
            if index not in conditioning:
                found = medsam2_compact.bank(index, step, conditioning, others, FRAMES)
                others[index] = note(index, *medsam2_compact.tracked(network, features[index], *found, FRAMES))
    return values


def error(found, reference):
    return float((found.float() - reference).norm() / reference.norm())


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    path = shipped(medsam2_compact.NAME)
    network = tracker.load(path)[0]
    volume = np.stack([frame(index) for index in range(FRAMES)]).astype(np.uint8)
    tensors, strides, errors, moved, scores = {}, {}, {}, {}, {}

    def thinned(key, kind, value):
        flat = value.float().reshape(-1)
        strides[kind] = max(1, flat.numel() // KEPT.get(kind.split(".")[0], flat.numel())) | 1
        tensors[key] = flat[::strides[kind]].clone()

    def encoded():
        """The features of the volume, and those of an input changed by 1e-6."""
        noise = torch.from_numpy(np.random.default_rng(7).normal(0, 1e-6, (FRAMES, 3, SIZE, SIZE))).float()
        plain = network.encode
        first = medsam2_compact.embed(network, volume)
        network.encode = lambda frames: plain(frames + noise[:len(frames)])
        second = medsam2_compact.embed(network, volume)
        del network.encode
        return first, second
    inputs = torch.from_numpy(np.repeat(volume[KEY][None, None], 3, axis=1)).float() / 255
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    outputs = network.image_encoder.trunk((inputs - mean) / deviation)
    features, shaken = encoded()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = medsam2_compact.embed(network, volume)
    for level, value in enumerate(outputs):
        thinned(f"stage.trunk.{level}", f"stage.trunk.{level}", value.permute(0, 2, 3, 1))
    for name, value, bf16, other in zip(("s0", "s1", "vision"), features[KEY], rounded[KEY], shaken[KEY]):
        last = value if name == "vision" else value.permute(0, 2, 3, 1)
        thinned(f"stage.{name}", f"stage.{name}", last)
        errors[f"stage.{name}"], moved[f"stage.{name}"] = error(bf16, value), error(other, value)
    for recipe, boxes in RECIPES.items():
        found, other = track(network, features, boxes), track(network, shaken, boxes)
        with torch.autocast("cpu", torch.bfloat16):
            bf16 = track(network, rounded, boxes)
        for index, values in found.items():
            for kind, value in values.items():
                thinned(f"track.{recipe}.{index}.{kind}", kind, value)
                name = f"{recipe}.{kind}"
                moved[name] = max(moved.get(name, 0), error(other[index][kind], value))
        scores[recipe] = [round(float(found[index]["score"]), 3) for index in range(FRAMES)]
        # Frames without the object hold -1024 everywhere, which would hide the others.
        both = [index for index in found if float(found[index]["score"]) > 0 and float(bf16[index]["score"]) > 0]
        errors[recipe] = error(torch.stack([bf16[index]["low_res"] for index in both]).float(),
                               torch.stack([found[index]["low_res"] for index in both]))
    facts = {"weights": hashlib.sha256(path.read_bytes()).hexdigest(), "strides": strides, "bf16": errors, "frames": FRAMES,
             "key": KEY, "size": SIZE,
             "recipes": {name: [{"frame": index, "box": box} for index, box in boxes.items()]
                         for name, boxes in RECIPES.items()}}
    save_file(tensors, INFERENCE_GOLDEN / "medsam2_compact.safetensors", {"kontur": json.dumps(facts, sort_keys=True)})
    print("moved by an input changed by 1e-6", {key: f"{value:.1e}" for key, value in moved.items()})
    print("bf16", {key: round(value, 4) for key, value in errors.items()})
    print("scores", scores)


if __name__ == "__main__":
    main()
