# SPDX-License-Identifier: Apache-2.0
"""Measures of a track through a volume that do not need the truth. Its confidence is computed from them as in confidence.py.

A slice is outlined if the kept components of the volume's mask have pixels there. Of a slice:

    objectPresence   sigmoid of the object score
    predictedIoU     the network's own estimate
    stabilityScore   pixels of the low-resolution logits above 1, as a share of those above -1

Of a volume, the means of these three over its outlined slices, weighted with the area of the outline as the Dice of a volume
weights the Dice of its slices, and:

    jitterAgreement  of the prompted slices: mean Dice of the low-resolution mask with the masks of four moved boxes
                     (`moved()`); 0 for a prompted slice that is not outlined
    promptAgreement  of the prompted slices: pixels of the mask whose centre lies in the box, as a share of the smaller of
                     mask and box, and at most AGREES, which a box that is only jittered reaches. A box that is too small or
                     too large reaches it, too, and a box beside the outlined structure makes it 0. It is 0 for a slice that
                     is not outlined
    likeness         of the volume to the training volumes of left-atrium-compact (likeness.py)

The confidence of a volume is the Dice that the answer is expected to reach. A box that does not show the structure asks for
nothing that is there, so every answer to it but the empty one counts as a Dice of 0. The absence of an empty volume is 1 -
the largest objectPresence. The confidence of an outlined slice is fitted to the slice's own three measures, and that of an
empty slice is 1 - its objectPresence.
fitting/fit_tracked_confidence.py fits the coefficients, and the weight file carries them.
"""
import numpy as np

from training.networks.tracker import SIZE
from training.recipes import left_atrium_compact
from training.recipes.confidence import sigmoid
from training.recipes.likeness import likeness, statistics

SLICE_NAMES = ("objectPresence", "predictedIoU", "stabilityScore")
VOLUME_NAMES = (*SLICE_NAMES, "jitterAgreement", "promptAgreement", "likeness")
AGREES = 0.8
SHIFT = 3.0  # pixels of the square by which boxes are moved
WAYS = ((-1, -1, 1, 1), (1, 1, -1, -1), (1, 1, 1, 1), (-1, 1, -1, 1))  # larger, smaller, along both diagonals


def moved(box):
    """The box XYXY in pixels of the square, moved in four ways by SHIFT, but at most by a quarter of its side."""
    step = np.tile(np.minimum(np.float32(SHIFT), (box[2:] - box[:2]) / 4), 2)
    return [np.clip(box + np.float32(way) * step, 0, SIZE) for way in WAYS]


def stability(logits):
    """The stabilityScore of low-resolution logits; 0 if none is above -1."""
    possible = int((logits > -1).sum())
    return int((logits > 1).sum()) / possible if possible else 0.0


def prompt_agreement(mask, box):
    """The promptAgreement of one slice's mask with its box XYXY."""
    inside = np.zeros_like(mask)
    (left, top), (right, bottom) = (np.maximum(edge, 0) for edge in (np.ceil(box[:2] - 0.5), np.floor(box[2:] - 0.5) + 1))
    inside[int(top):int(bottom), int(left):int(right)] = True
    return float((mask & inside).sum() / max(1, min(mask.sum(), inside.sum())))


def volume_likeness(volume, spacing=(0.625,) * 3):
    """The likeness of a volume. `spacing` is in mm for (slices, rows, columns)."""
    known = left_atrium_compact.ROUGHNESS, left_atrium_compact.SKEWNESS
    grid = left_atrium_compact.to_grid(volume.astype(np.float32), spacing)
    return likeness(statistics(left_atrium_compact.normalise(grid)), known)


def slice_measures(score, iou, stable):
    """The measures of a slice or frame with this object score, predicted IoU and `stability()`, and its absence."""
    presence = sigmoid(score)
    return {"objectPresence": presence, "predictedIoU": float(np.clip(iou, 0, 1)), "stabilityScore": float(stable),
            "absence": 1 - presence}


def volume_measures(track, boxes, alike):
    """The measures of a track with boxes XYXY {slice: box}, through a volume with the likeness `alike`."""
    outlined = np.flatnonzero(track.mask.any((1, 2)))
    present = [sigmoid(score) for score in track.scores if np.isfinite(score)]
    if not len(outlined):
        return {"absence": 1 - max(present)}
    each = [slice_measures(track.scores[index], track.iou[index], track.stability[index]) for index in outlined]
    areas = track.mask[outlined].sum((1, 2))
    found = {name: float(np.average([measures[name] for measures in each], weights=areas)) for name in SLICE_NAMES}
    found["jitterAgreement"] = float(np.mean([track.jitter[index] if index in outlined else 0 for index in boxes]))
    agreements = [min(AGREES, prompt_agreement(track.mask[index], box)) for index, box in boxes.items()]
    found["promptAgreement"] = float(np.mean(agreements))
    return {**found, "likeness": alike, "absence": 1 - max(present)}
