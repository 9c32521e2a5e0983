# SPDX-License-Identifier: Apache-2.0
"""What an answer says about itself without the truth: its measures, and the confidence that is fitted to them.

The measures are taken where the network works: on the SIZE x SIZE square of a frame, on the SPACING mm grid of a volume. So
they do not depend on the resolution of what is segmented. There p is the mean probability of the views (before the
presence), the mask is p >= 0.5 (of a volume its largest component), and every view has such a mask, too.

    expectedDice                2 sum(p inside the mask) / (sum p + size of the mask): the Dice, were the pixels independent
                                and p right
    viewAgreement               mean Dice of the mask with the masks of the single views
    boundaryCertainty           1 - mean binary entropy, in bits, of p in the band along the boundary of the mask: the pixels
                                whose neighbourhood (5 x 5 pixels, 3 x 3 x 3 voxels, cut at the borders) holds pixels of the
                                mask and others
    meanForegroundProbability   mean p inside the mask
    presence                    where a network has a presence head
    likeness                    of a volume to those of the training (likeness.py)

Confidence is the expected Dice of the answer:

    sigmoid(bias + sum of weight * logit(measure)),     logit(x) = log(x / (1 - x)) of x cut to EDGE ... 1 - EDGE

with weights of at least 0: what makes a measure larger never makes the confidence smaller. An answer with an empty mask is
right when nothing is there; its confidence is the probability of that, sigmoid(bias + weight * logit(absence)), where
absence is 1 - presence, and 1 - the largest p without a presence head. fit_confidence.py finds the coefficients; they travel
in the weight file. A network without any has plain(): agreement x foreground, with a presence head x presence.
"""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from scores import dice

EDGE = 1e-3
BAND = {2: 2, 3: 1}  # half the width of the neighbourhood, by number of axes


class Answer(NamedTuple):
    """What a recipe makes of one case, on the grid of its source."""
    plain: np.ndarray  # mask of the first view alone
    mask: np.ndarray
    probability: np.ndarray
    measures: dict  # and `absence`
    most: float = 1.0  # what the confidence may be at most


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
    width = 2 * BAND[mask.ndim] + 1
    most, least = (of(mask.astype(np.uint8), width, mode="nearest") for of in (ndimage.maximum_filter, ndimage.minimum_filter))
    band = np.clip(p[most > least], 1e-7, 1 - 1e-7)
    return 1 - float(np.mean(-band * np.log2(band) - (1 - band) * np.log2(1 - band))) if band.size else 0.0


def logit(x):
    x = np.clip(x, EDGE, 1 - EDGE)
    return np.log(x / (1 - x))


def of(answer, fit=None):
    return min(answer.most, confidence(answer.measures, not answer.mask.any(), fit))


def confidence(found, is_empty, fit=None):
    """Of an answer with these measures; `fit` as fit_confidence.fit returns it."""
    if fit is None:
        return plain(found, is_empty)
    if is_empty:
        return sigmoid(fit["empty"]["bias"] + fit["empty"]["weight"] * logit(found["absence"])) if "empty" in fit else found["absence"]
    return sigmoid(fit["found"]["bias"] + sum(w * logit(found[name]) for name, w in fit["found"]["weights"].items()))


def sigmoid(x):
    return float(1 / (1 + np.exp(-x)))


def plain(found, is_empty):
    if is_empty:
        return found["absence"]
    return found["viewAgreement"] * found["meanForegroundProbability"] * found.get("presence", 1.0)
