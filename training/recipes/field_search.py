# SPDX-License-Identifier: Apache-2.0
"""Finds the region that shows the structure in a field of view far larger than those of the training.

1. Cover the grid with windows of at most WINDOW points a side, which begin at least every STEP points. Skip windows in which
   fewer than LEAST_INSIDE of the voxels exceed the background (the smallest value, at most zero).
2. Answer each window alone, as if it were the volume.
3. Order the answers by plausibility = expectedDice x boundaryCertainty (confidence.py). Around each answer's centre of mass
   place a window, in whole steps of ROUNDING points and inside the grid. Answer it and move it to the new centre, until it
   moves by at most one step. Drop a window that has not settled after MOVES answers, such as one that cuts a structure.
4. Collect up to CANDIDATES such windows that are more than APART points from each other along some axis. The most plausible
   one is the region. A region less plausible than LEAST_PLAUSIBLE does not show an atrium.
"""
import numpy as np

from training.recipes.confidence import measures

WINDOW, STEP, ROUNDING = 96, 48, 8
CANDIDATES, APART, MOVES = 4, 24, 3
LEAST_INSIDE = 0.05
LEAST_PLAUSIBLE = 0.35


def starts(extent):
    """The first points of the windows along one axis: evenly spaced, as few as STEP allows, the last window at the end."""
    count = -(-max(0, extent - WINDOW) // STEP)
    return [k * (extent - WINDOW) // count for k in range(count + 1)] if count else [0]


def windows(shape):
    """Yields the slices of each window. The last axis varies fastest."""
    for a in starts(shape[0]):
        for b in starts(shape[1]):
            for c in starts(shape[2]):
                yield tuple(slice(start, min(start + WINDOW, extent)) for start, extent in zip((a, b, c), shape))


def plausibility(probability, mask):
    """How plausible an answer is, 0...1."""
    found = measures(mask, probability, [mask])
    return found["expectedDice"] * found["boundaryCertainty"]


def around(shape, mask, window):
    """The window around the centre of mass of a mask. The mask lies in `window` of a grid of this shape."""
    chosen = []
    for extent, middle, part in zip(shape, np.argwhere(mask).mean(axis=0), window):
        start = int((part.start + middle - WINDOW / 2) / ROUNDING + 0.5) * ROUNDING
        start = min(max(start, 0), max(0, extent - WINDOW))
        chosen.append(slice(start, min(start + WINDOW, extent)))
    return tuple(chosen)


def distance(window, other):
    """The largest distance of two windows along any axis, in points."""
    return max(abs(a.start - b.start) for a, b in zip(window, other))


def region(grid, answered):
    """The slices of the region and its plausibility, which is zero if every answer is empty.

    `answered(part)` returns the probability and the mask of a part of the grid.
    """
    def settled(window):
        for _ in range(MOVES):
            probability, mask = answered(grid[window])
            again = around(grid.shape, mask, window) if mask.any() else window
            if distance(window, again) <= ROUNDING:
                return window, plausibility(probability, mask)
            window = again
        return window, 0.0

    background, found, regions = min(0.0, float(grid.min())), [], []
    for window in windows(grid.shape):
        if (grid[window] > background).mean() >= LEAST_INSIDE:
            probability, mask = answered(grid[window])
            if mask.any():
                found.append((plausibility(probability, mask), around(grid.shape, mask, window)))
    for _, window in sorted(found, key=lambda entry: -entry[0]):
        if len(regions) < CANDIDATES and all(distance(window, other) > APART for other, _ in regions):
            regions.append(settled(window))
    middle = tuple(slice(max(0, extent - WINDOW) // 2, max(0, extent - WINDOW) // 2 + min(extent, WINDOW)) for extent in grid.shape)
    return max(regions, key=lambda entry: entry[1], default=(middle, 0.0))
