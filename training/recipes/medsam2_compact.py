# SPDX-License-Identifier: Apache-2.0
"""The recipe of medsam2-compact: how prompts on some slices of a volume are tracked through all of them.

1. `percentile_scaled()` of medsam-compact turns an MRI volume into bytes. Frames of an examination in the order of time
   enter as they are.
2. Each slice is resized to SIZE x SIZE with `resize.resize` (stretched, not rounded), repeated as three colours, divided by
   255, normalised with MEAN and STD, and encoded once for both directions.
3. Each prompted slice is a conditioning frame: its box becomes two points in pixels of the square, its mask is the single
   mask, and it is remembered.
4. From the first prompted slice the network tracks to the last slice. Then it forgets the tracked slices and tracks to
   slice 0 (the recipe of MedSAM2: reset, prompt again). Beyond the prompted slices a direction ends after MOST_ABSENT slices
   in a row that do not show the structure. The temporal codes and pointers are SAM 2's. The length of the sequence, for
   the scale of the pointers' codes, is the number of slices.
5. A slice whose object score is at most 0 does not show the structure. Otherwise its low-resolution logits are resized to
   the slice's size; the mask is where they are above 0. Of the volume's mask (26 neighbours), the components that reach into
   a slice with a box that a person drew are kept, and otherwise the largest component, with what continues them (`kept`).
"""
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

from training.networks.tracker import MEMORIES, POINTERS, SIZE, Features, choose
from training.recipes import tracked_confidence
from training.recipes.medsam_compact import scaled
from training.recipes.polyp_compact import normalise
from training.recipes.resize import resize
from training.scores import dice

NAME = "medsam2-compact"
VERSION = "1.1.1"  # of the recipe, as the runtime names it
ENCODED = 8  # slices that are encoded together
MOST_ABSENT = 3  # slices in a row without the structure that end a direction
SURE, LIKELY = np.log(0.96 / 0.04), np.log(0.7 / 0.3)  # object scores that decide behind a gap


class Track(NamedTuple):
    """The answer for a volume [slices, rows, columns]."""
    mask: np.ndarray  # bool [slices, rows, columns]
    scores: np.ndarray  # object score of each slice, minus infinity where the tracking did not arrive
    iou: np.ndarray  # predicted IoU of each slice, 0 there
    stability: np.ndarray  # stability score of each slice (tracked_confidence.py), 0 there
    jitter: dict  # agreement of each prompted slice with the answers to moved boxes


@torch.no_grad()
def embed(network, volume):
    """The `Features` of each slice of a volume, grey [slices, rows, columns] or RGB [..., 3], in 0...255."""
    found = []
    for first in range(0, len(volume), ENCODED):
        planes = [plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2) for plane in volume[first:first + ENCODED]]
        frames = np.stack([normalise(resize(plane, (SIZE, SIZE))) for plane in planes])
        features = network.encode(torch.from_numpy(frames).to(memory_format=torch.channels_last))
        found += [Features(*(part[k:k + 1] for part in features)) for k in range(len(frames))]
    return found


def prompted(network, features, box, shape):
    """(logits [64, 64], score, predicted IoU, Memory) of a slice of shape (rows, columns) with a box XYXY."""
    points = torch.from_numpy(scaled(box, shape)).reshape(1, 2, 2)
    answer = network.decode(features.vision + network.no_mem_embed[0], features, points, torch.tensor([[2, 3]]))
    logits, iou, token = choose(answer, several=False)
    memory = network.remember(features.vision, logits, token, answer.score > 0, prompted=True)
    return logits[0], float(answer.score), float(iou), memory


def jitter_agreement(network, features, box, shape, logits):
    """The mean Dice of a prompted slice's mask, logits [64, 64] above 0, with the masks of its box moved in four ways."""
    found = []
    for moved in tracked_confidence.moved(scaled(box, shape)):
        points = torch.from_numpy(moved).reshape(1, 2, 2)
        answer = network.decode(features.vision + network.no_mem_embed[0], features, points, torch.tensor([[2, 3]]))
        found.append(dice(choose(answer, several=False)[0][0] > 0, logits > 0))
    return float(np.mean(found))


def tracked(network, features, memories, pointers, frames):
    """(logits [64, 64], score, predicted IoU, Memory) of a slice without a prompt."""
    embedding = network.condition(features.vision, memories, pointers, frames)
    answer = network.decode(embedding, features)
    logits, iou, token = choose(answer, several=True)
    memory = network.remember(features.vision, logits, token, answer.score > 0, prompted=False)
    return logits[0], float(answer.score), float(iou), memory


def bank(index, step, conditioning, others, frames):
    """Memories and pointers that slice `index` attends to when tracking with `step` 1 or -1, as `condition` takes them."""
    memories = [(MEMORIES - 1, memory) for memory in conditioning.values()]
    memories += [(d - 1, others[index - step * d]) for d in range(MEMORIES - 1, 0, -1) if index - step * d in others]
    pointers = [(step * (index - k), memory.pointer) for k, memory in conditioning.items() if step * (index - k) >= 0]
    pointers += [(d, others[index - step * d].pointer) for d in range(1, min(frames, POINTERS)) if index - step * d in others]
    return memories, pointers


def kept(mask, slices, scores):
    """The components of a volume's mask that reach into the given slices, or else the largest one, and what continues them.

    A component continues a kept one behind at most MOST_ABSENT - 1 slices without any, if both have a place in common at the
    ends of the gap and if an object score of its slices is at least SURE. Its outer slices below LIKELY do not count.
    """
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if not count:
        return mask
    spans = {label: (place[0].start, place[0].stop - 1) for label, place in enumerate(ndimage.find_objects(labels), 1)}
    chosen = set(np.setdiff1d(labels[sorted(slices)], [0]).tolist()) or {int(np.bincount(labels.ravel())[1:].argmax()) + 1}
    low, high = min(spans[label][0] for label in chosen), max(spans[label][1] for label in chosen)
    occupied = mask.any((1, 2))

    def continues(label, other):
        below, above = sorted((label, other), key=lambda one: spans[one])
        last, first = spans[below][1], spans[above][0]
        return (1 <= first - last - 1 < MOST_ABSENT and not occupied[last + 1:first].any()
                and bool(((labels[last] == below) & (labels[first] == above)).any()))

    grows = True
    while grows:
        more = {label for label, (first, last) in spans.items() if label not in chosen and (scores[first:last + 1] >= SURE).any()
                and any(continues(label, other) for other in chosen)}
        chosen |= more
        grows = bool(more)
    result = np.isin(labels, sorted(chosen))
    for outer in (range(len(mask) - 1, high, -1), range(low)):
        for index in outer:
            if result[index].any():
                if scores[index] >= LIKELY:
                    break
                result[index] = False
    return result


@torch.no_grad()
def track(network, features, shape, boxes, drawn=True):
    """The `Track` of slices of shape (rows, columns) with boxes XYXY {slice: box}, which a person has drawn or not."""
    count, found = len(features), {}
    conditioning, jitter = {}, {}
    for index, box in sorted(boxes.items()):
        *found[index], conditioning[index] = prompted(network, features[index], box, shape)
        logits, score, _ = found[index]
        jitter[index] = jitter_agreement(network, features[index], box, shape, logits) if score > 0 else 0.0
    first = min(boxes)
    for step, last in ((1, count), (-1, -1)):
        others, absent = {}, 0
        for index in range(first + step, last, step):
            if index in conditioning:
                absent = 0
                continue
            memories, pointers = bank(index, step, conditioning, others, count)
            *found[index], others[index] = tracked(network, features[index], memories, pointers, count)
            others.pop(index - step * POINTERS, None)
            absent = 0 if found[index][1] > 0 else absent + 1
            if absent >= MOST_ABSENT and (step < 0 or index > max(boxes)):
                break
    mask = np.zeros((count, *shape), bool)
    for index, (logits, score, _) in found.items():
        if score > 0:
            mask[index] = resize(logits.numpy(), shape) > 0
    scores, iou = (np.array([found[index][k] if index in found else fill for index in range(count)])
                   for k, fill in ((1, -np.inf), (2, 0)))
    stability = np.array([tracked_confidence.stability(found[index][0]) if index in found else 0 for index in range(count)])
    drawn_slices = [index for index in boxes if mask[index].any()] if drawn else []
    return Track(kept(mask, drawn_slices, scores), scores, iou, stability, jitter)
