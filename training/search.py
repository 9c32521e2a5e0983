# SPDX-License-Identifier: Apache-2.0
"""Where in a field of view far larger than the training's the network should look.

The grid is covered with windows of at most WINDOW points a side, which begin at least every STEP points. Windows in which fewer
than LEAST_INSIDE of the voxels are above the background (the smallest value, at most zero) are left out. Each of the others is
answered alone, as if it were the volume. In the order of how plausible the answers are,

    plausibility = expectedDice x boundaryCertainty     (confidence.py)

a window is put around the centre of mass of each, in whole steps of ROUNDING points and inside the grid, answered, and moved to the
new centre, until that moves it by no more than a step; what has not settled after MOVES answers, as a piece of something that the
window cuts, is dropped. So there are up to CANDIDATES, more than APART points from each other along some axis. The most plausible
one is the region. Nothing less plausible than LEAST_PLAUSIBLE is an atrium.
"""
import numpy as np

from confidence import measures

WINDOW, STEP, ROUNDING = 96, 48, 8
CANDIDATES, APART, MOVES = 4, 24, 3
LEAST_INSIDE = 0.05
LEAST_PLAUSIBLE = 0.35


def starts(extent):
    """Where windows begin along one axis: as few as STEP allows, evenly, the last one at the end."""
    count = -(-max(0, extent - WINDOW) // STEP)
    return [k * (extent - WINDOW) // count for k in range(count + 1)] if count else [0]


def windows(shape):
    """Slices of every window, the last axis fastest."""
    for a in starts(shape[0]):
        for b in starts(shape[1]):
            for c in starts(shape[2]):
                yield tuple(slice(start, min(start + WINDOW, extent)) for start, extent in zip((a, b, c), shape))


def plausibility(probability, mask):
    found = measures(mask, probability, [mask])
    return found["expectedDice"] * found["boundaryCertainty"]


def around(shape, mask, window):
    """The window around the centre of mass of the mask that was found in a window."""
    chosen = []
    for extent, middle, part in zip(shape, np.argwhere(mask).mean(axis=0), window):
        start = int((part.start + middle - WINDOW / 2) / ROUNDING + 0.5) * ROUNDING
        start = min(max(start, 0), max(0, extent - WINDOW))
        chosen.append(slice(start, min(start + WINDOW, extent)))
    return tuple(chosen)


def distance(window, other):
    return max(abs(a.start - b.start) for a, b in zip(window, other))


def region(grid, answered):
    """(slices of the region, its plausibility), zero where nothing was found; answered(part) is the probability of a part of the
    grid and its mask."""
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
