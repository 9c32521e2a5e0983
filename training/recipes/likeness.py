# SPDX-License-Identifier: Apache-2.0
"""How much an image resembles those of the training, judged by a few statistics of the image alone.

Of a volume:

    roughness   log of a ratio: root mean square of the discrete Laplacian over that of the differences of neighbours.
                The Laplacian uses each voxel's neighbours along the axes; beyond a border it repeats the voxel itself.
                Blur lowers the roughness, noise raises it.
    skewness    third standardised moment of the voxels above the smallest value. It depends on contrast and field of view.

Of a frame, on the network's square in 0...255, over its lit pixels, whose largest channel is above LIT:

    redness     mean of log((R + DARK) / (G + DARK)), of colours rounded to whole numbers
    yellowness  mean of log((G + DARK) / (B + DARK))

    likeness = exp(-d / 8),   d = sum of squares of (statistic - middle) / spread

`middle` and `spread` are the median and (90th - 10th percentile) / 2.563 over the training volumes. For a normal distribution
that spread is the standard deviation. A constant volume, a grey frame and a frame with less than LEAST_LIT of its pixels
lit have the likeness 0.
"""
import numpy as np

LIT, LEAST_LIT, DARK = 20, 1 / 64, 8


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


def frame_statistics(square):
    """(redness, yellowness) of a square [rows, columns, 3] in 0...255, or None for a grey or dark one."""
    lit = square[square.max(axis=2) > LIT]
    if len(lit) < LEAST_LIT * square[..., 0].size or np.ptp(lit, axis=1).max() < 1:
        return None
    red, green, blue = (np.log(np.floor(lit[:, k].astype(np.float64) + 0.5) + DARK) for k in range(3))
    return float((red - green).mean()), float((green - blue).mean())


def typical(volumes):
    """[(middle, spread)] of both statistics over the volumes."""
    low, middle, high = np.quantile([statistics(volume) for volume in volumes], (0.1, 0.5, 0.9), axis=0)
    return list(zip(middle, (high - low) / 2.563))


def likeness(found, known):
    """The likeness 0...1 for the statistics of an image. `known` holds (middle, spread) of each for the training images."""
    if found is None:
        return 0.0
    return float(np.exp(-sum(((value - middle) / spread) ** 2 for value, (middle, spread) in zip(found, known)) / 8))
