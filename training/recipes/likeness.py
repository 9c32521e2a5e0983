# SPDX-License-Identifier: Apache-2.0
"""How much a volume resembles the training volumes, judged by two statistics of the image alone.

    roughness   log of a ratio: root mean square of the discrete Laplacian over that of the differences of neighbours.
                The Laplacian uses each voxel's neighbours along the axes; beyond a border it repeats the voxel itself.
                Blur lowers the roughness, noise raises it.
    skewness    third standardised moment of the voxels above the smallest value. It depends on contrast and field of view.

    likeness = exp(-d / 8),   d = sum of squares of (statistic - middle) / spread

`middle` and `spread` are the median and (90th - 10th percentile) / 2.563 over the training volumes. For a normal distribution
that spread is the standard deviation. A constant volume has the likeness 0.
"""
import numpy as np


def statistics(volume):
    """(roughness, skewness) of a volume, or None if it is constant."""
    volume = np.asarray(volume, np.float64)
    laplacian, squares, count = np.zeros(volume.shape), 0.0, 0
    for axis in range(volume.ndim):
        step = np.diff(volume, axis=axis)
        squares, count = squares + (step ** 2).sum(), count + step.size
        ends = [(1, 1) if k == axis else (0, 0) for k in range(volume.ndim)]
        laplacian += np.diff(np.pad(step, ends), axis=axis)
    inside = volume[volume > volume.min()]
    if not squares or inside.std() == 0:
        return None
    away = inside - inside.mean()
    return (float(0.5 * np.log((laplacian ** 2).mean() * count / squares)),
            float((away ** 3).mean() / (away ** 2).mean() ** 1.5))


def typical(volumes):
    """[(middle, spread)] of both statistics over the volumes."""
    low, middle, high = np.quantile([statistics(volume) for volume in volumes], (0.1, 0.5, 0.9), axis=0)
    return list(zip(middle, (high - low) / 2.563))


def likeness(volume, known):
    """The likeness 0...1 of a normalised volume. `known` is the result of typical() for the training volumes."""
    found = statistics(volume)
    if found is None:
        return 0.0
    return float(np.exp(-sum(((value - middle) / spread) ** 2 for value, (middle, spread) in zip(found, known)) / 8))
