# SPDX-License-Identifier: Apache-2.0
"""The recipe of left-atrium-compact: the processing of a volume before and after the network.

A volume is [slices, rows, columns]. Slice 0 is the most inferior, rows grow to posterior and columns grow to the
patient's left. Volumes of another orientation are permuted and flipped first. Left and right are never exchanged.

1. Resize to a grid of SPACING mm with `resize.grid_shape` samples, in float32.
2. `normalise()`: if the smallest value is negative, subtract it. Take the voxels above 0. Let low and high be their 0.5
   and 99.5 percentiles (nearest rank: sorted[floor(q / 100 * (count - 1) + 0.5)]). Clip every voxel to [low, high].
   Subtract the mean and divide by the standard deviation (population, at least 1e-6) of the clipped voxels that were
   above 0.
3. Pad with zeros (the mean) at the far end of each axis, up to a multiple of STRIDE.
4. Run the network, drop the padding, apply the sigmoid and resize to the source grid. The mask is where the probability
   is at least 0.5.
5. Keep the largest connected component. Voxels that share a face, an edge or a corner are connected (26 neighbours).

For the mean of the shifts, steps 3 and 4 are repeated with SHIFTS voxels of zeros in front of each axis, and the
probabilities are averaged on the SPACING grid.

If a side of the volume is longer than SEARCHED mm, steps 2 to 4 run only in the region that `field_search` finds, and the
probability outside is zero. The search uses one shift.

An answer whose expectedDice times boundaryCertainty is below `field_search.LEAST_PLAUSIBLE` does not show an atrium: the
images may be a phase map or another sequence. Its confidence is at most DOUBTFUL. The same holds if the search does not
find a plausible region.
"""
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from training.networks.residual_unet import LEFT_ATRIUM_COMPACT
from training.recipes import field_search
from training.recipes.confidence import Answer, measures
from training.recipes.likeness import likeness, statistics
from training.recipes.resize import grid_shape, resize

NAME = "left-atrium-compact"
VERSION = "1.3.1"  # of the recipe, as the runtime names it
ARCHITECTURE = LEFT_ATRIUM_COMPACT
SPACING = 1.25
STRIDE = LEFT_ATRIUM_COMPACT.total_stride
SHIFTS = [0, 5, 10]
VIEWS = "three shifts"
SEARCHED = 225.0  # 1.5 times the longest side in training
DOUBTFUL = 0.25
ROUGHNESS, SKEWNESS = (0.9045, 0.0684), (0.1792, 0.2774)  # likeness.typical() of the normalised training volumes
NORMALISATION = {"spacing": [SPACING] * 3, "percentiles": [0.5, 99.5], "of": "voxels > 0, negatives shifted to 0",
                 "then": "zero mean, unit deviation", "pad": "zeros, far end", "multiple": STRIDE, "threshold": 0.5,
                 "component": "largest, 26 neighbours", "roughness": ROUGHNESS, "skewness": SKEWNESS, "searched": SEARCHED}


def to_grid(volume, spacing):
    """The volume resampled to SPACING mm. `spacing` is in mm for (slices, rows, columns)."""
    return resize(volume, grid_shape(volume.shape, spacing, SPACING))


def normalise(volume):
    """Step 2 of the recipe: float32, zero mean and unit deviation inside the body."""
    volume = volume - min(0.0, float(volume.min()))
    inside = volume > 0
    ordered = np.sort(volume[inside]) if inside.any() else np.zeros(1, np.float32)
    low, high = (ordered[int(q / 100 * (len(ordered) - 1) + 0.5)] for q in NORMALISATION["percentiles"])
    volume = np.clip(volume, low, high)
    values = volume[inside].astype(np.float64) if inside.any() else np.zeros(1)
    return ((volume - values.mean()) / max(values.std(), 1e-6)).astype(np.float32)


@torch.no_grad()
def probabilities(network, grid, shifts=SHIFTS):
    """The foreground probability for each shift, on the SPACING grid of the volume `grid`."""
    x, found = torch.from_numpy(normalise(grid)), []
    for shift in shifts:
        pad = []
        for n in reversed(x.shape):
            pad += [shift, -(n + shift) % STRIDE]
        y = torch.sigmoid(network(F.pad(x, pad)[None, None])[0, 0])
        found.append(y[tuple(slice(shift, shift + n) for n in x.shape)].numpy())
    return found


def largest_component(mask):
    """The largest connected component (26 neighbours) of a binary volume."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count else mask


def region(network, grid):
    """Slices of the region that shows the atrium in a large field of view, and the region's plausibility."""
    def answered(part):
        (probability,) = probabilities(network, part, SHIFTS[:1])
        return probability, largest_component(probability >= 0.5)
    return field_search.region(grid, answered)


def answer(network, volume, spacing=(0.625,) * 3):
    """The `Answer` of the whole recipe, on the volume's own grid."""
    grid, whole, plausible = to_grid(volume, spacing), (slice(None),) * 3, 1.0
    if max(n * step for n, step in zip(volume.shape, spacing)) > SEARCHED:
        whole, plausible = region(network, grid)
    part = grid[whole]
    each = probabilities(network, part)
    mean = np.mean(each, axis=0, dtype=np.float32)

    def on_source(probability):
        placed = np.zeros(grid.shape, np.float32)
        placed[whole] = probability
        return resize(placed, volume.shape)
    probability = on_source(mean)
    found = measures(largest_component(mean >= 0.5), mean, [largest_component(view >= 0.5) for view in each],
                     likeness=likeness(statistics(normalise(part)), (ROUGHNESS, SKEWNESS)))
    mask = largest_component(probability >= 0.5)
    if mask.any():
        plausible = min(plausible, found["expectedDice"] * found["boundaryCertainty"])
    return Answer(largest_component(on_source(each[0]) >= 0.5), mask, probability, found,
                  most=DOUBTFUL if plausible < field_search.LEAST_PLAUSIBLE else 1.0)


def predict(network, volume, spacing=(0.625,) * 3):
    """The mask of the unshifted volume alone, without a search."""
    (probability,) = probabilities(network, to_grid(volume, spacing), SHIFTS[:1])
    return largest_component(resize(probability, volume.shape) >= 0.5)
