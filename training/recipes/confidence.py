# SPDX-License-Identifier: Apache-2.0
"""Measures of an answer that do not need the truth, and the confidence that is computed from them.

The measures are taken on the grid of the network: the SIZE x SIZE square of a frame, the SPACING mm grid of a volume. They
do not depend on the resolution of the source. p is the mean probability of the views on this grid, before the presence is
applied. The mask is p >= 0.5, for a volume its largest component. Each view has a mask of its own.

    expectedDice                2 sum(p inside the mask) / (sum p + size of the mask): the expected Dice if pixels were
                                independent and p calibrated
    viewAgreement               mean Dice of the mask with the masks of the single views
    boundaryCertainty           1 - mean binary entropy, in bits, of p in the band along the boundary of the mask. The band
                                consists of the pixels whose neighbourhood (5 x 5 pixels, 3 x 3 x 3 voxels, cut at the
                                borders) holds pixels inside and outside the mask
    meanForegroundProbability   mean p inside the mask
    presence                    only with a presence head
    likeness                    of a volume to the training volumes (likeness.py)

The confidence is the expected Dice of the answer:

    sigmoid(bias + sum of weight * logit(measure)),     logit(x) = log(x / (1 - x)) with x clipped to EDGE ... 1 - EDGE

The weights are at least 0, so a larger measure never lowers the confidence. An answer with an empty mask is right if
the structure is absent. Its confidence is the probability of absence, sigmoid(bias + weight * logit(absence)). The
absence is 1 - presence, or 1 - the largest p without a presence head. fitting/fit_confidence.py fits the coefficients,
and the weight file carries them. A network without coefficients uses `plain()`: agreement x foreground (x presence,
with a presence head).
"""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from training.scores import dice

EDGE = 1e-3
BAND = {2: 2, 3: 1}  # half the width of the neighbourhood, by number of axes


class Answer(NamedTuple):
    """The answer of a recipe for one case, on the grid of the source."""
    plain: np.ndarray  # mask of the first view alone
    mask: np.ndarray  # binary
    probability: np.ndarray  # 0...1
    measures: dict  # by name, and `absence`
    most: float = 1.0  # upper bound of the confidence


def measures(mask, probability, masks, presence=None, likeness=None):
    """The measures of one answer: mask and mean probability on the network's grid, the masks of the single views."""
    p = np.asarray(probability, np.float64)
    inside = float(p[mask].sum())
    found = {"expectedDice": 2 * inside / max(p.sum() + mask.sum(), 1e-9),
             "viewAgreement": float(np.mean([dice(mask, other) for other in masks])),
             "boundaryCertainty": boundary_certainty(mask, p),
             "meanForegroundProbability": inside / mask.sum() if mask.any() else 0.0,
             "absence": 1 - float(p.max())}
    if likeness is not None:
        found["likeness"] = likeness
    return found if presence is None else {**found, "presence": presence, "absence": 1 - presence}


def boundary_certainty(mask, p):
    """The measure boundaryCertainty; 0 if the mask does not have a boundary."""
    width = 2 * BAND[mask.ndim] + 1
    most, least = (of(mask.astype(np.uint8), width, mode="nearest") for of in (ndimage.maximum_filter, ndimage.minimum_filter))
    band = np.clip(p[most > least], 1e-7, 1 - 1e-7)
    return 1 - float(np.mean(-band * np.log2(band) - (1 - band) * np.log2(1 - band))) if band.size else 0.0


def logit(x):
    """log(x / (1 - x)) with x clipped to EDGE ... 1 - EDGE."""
    x = np.clip(x, EDGE, 1 - EDGE)
    return np.log(x / (1 - x))


def of(answer, fit=None):
    """The confidence of an `Answer`."""
    return min(answer.most, confidence(answer.measures, not answer.mask.any(), fit))


def confidence(found, is_empty, fit=None):
    """The confidence 0...1 of an answer with these measures. `fit` holds coefficients as fit_confidence.fit returns them."""
    if fit is None:
        return plain(found, is_empty)
    if is_empty:
        return sigmoid(fit["empty"]["bias"] + fit["empty"]["weight"] * logit(found["absence"])) if "empty" in fit else found["absence"]
    return sigmoid(fit["found"]["bias"] + sum(w * logit(found[name]) for name, w in fit["found"]["weights"].items()))


def sigmoid(x):
    return float(1 / (1 + np.exp(-x)))


def plain(found, is_empty):
    """The confidence without fitted coefficients."""
    if is_empty:
        return found["absence"]
    return found["viewAgreement"] * found["meanForegroundProbability"] * found.get("presence", 1.0)
