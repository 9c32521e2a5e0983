# SPDX-License-Identifier: Apache-2.0
"""Boxes and points drawn from the truth, as prompts for training and scoring.

Boxes are XYXY in pixels of the mask; the right and lower edges lie one past the last pixel. Points are (x, y).
"""
import numpy as np

JITTER = 0.2


def box_of(mask):
    """The smallest box XYXY around a mask with at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def jittered(box, rng, limits, jitter=JITTER):
    """The box with each edge moved by a uniform share -jitter...jitter of the box's side.

    The result stays inside the image of shape `limits` (rows, columns).
    """
    side = np.tile(box[2:] - box[:2], 2)
    moved = box + rng.uniform(-jitter, jitter, 4) * side
    return np.clip(moved, 0, [limits[1], limits[0]] * 2).astype(np.float32)


def points_in(truth, count, rng, wrong=None):
    """Points [count, 2] and their labels [count]: 1 inside the truth, 0 outside.

    The first point lies inside the truth or, if the mask `wrong` of pixels to correct is given and not empty, inside
    `wrong`. A later point lies near the truth but outside with a probability of 0.3.
    """
    rows, columns = np.nonzero(wrong if wrong is not None and wrong.any() else truth)
    near = np.zeros_like(truth)
    x0, y0, x1, y1 = (box_of(truth) + len(truth) * np.array([-1, -1, 1, 1]) / 8).clip(0, max(truth.shape)).astype(int)
    near[y0:y1, x0:x1] = True
    outside = np.argwhere(near & ~truth)
    chosen = []
    for k in range(count):
        if k and len(outside) and rng.random() < 0.3:
            y, x = outside[rng.integers(len(outside))]
        else:
            pick = rng.integers(len(rows))
            y, x = rows[pick], columns[pick]
        chosen.append((x, y, truth[y, x]))
    chosen = np.array(chosen, np.float32)
    return chosen[:, :2], chosen[:, 2]
