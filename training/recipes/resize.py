# SPDX-License-Identifier: Apache-2.0
"""The one definition of resizing in Kontur, used by the training and, in Swift, by every prediction.

It is a separable triangle filter with antialiasing. It equals
`torch.nn.functional.interpolate(mode="bilinear", antialias=True, align_corners=False)` up to float32 rounding (1e-5 of the
range). Along one axis, from n to m samples:

    scale   = n / m
    support = max(scale, 1)                         half-width of the triangle, in input pixels
    centre  = scale * (i + 0.5)                     of output pixel i; input pixel j covers [j, j + 1)
    first   = max(0, int(centre - support + 0.5))
    last    = min(n, int(centre + support + 0.5))   one past the end
    w(i, j) = max(0, 1 - |j + 0.5 - centre| / support)  for first <= j < last, then divided by their sum over j

Shrinking widens the triangle to the pitch of the output pixels. Enlarging is linear interpolation that repeats the edge pixel
outside. Axes are resized one after another, the last one first; the order affects only the last bits of the float32 sums.
Weights are computed in double precision and rounded to float32.
"""
import numpy as np


def matrix(n, m):
    """Weights [m, n] in float32 that resample an axis of n samples to m."""
    scale = n / m
    support = max(scale, 1.0)
    weights = np.zeros((m, n), np.float64)
    for i in range(m):
        centre = scale * (i + 0.5)
        first = max(0, int(centre - support + 0.5))
        last = min(n, int(centre + support + 0.5))
        w = np.maximum(0.0, 1.0 - np.abs(np.arange(first, last) + 0.5 - centre) / support)
        weights[i, first:last] = w / w.sum()
    return weights.astype(np.float32)


def resize(array, shape):
    """Resamples the first len(shape) axes of an array to `shape`, in float32. Further axes, such as colours, stay."""
    array = np.asarray(array, np.float32)
    for axis in reversed(range(len(shape))):
        if array.shape[axis] != shape[axis]:
            moved = np.moveaxis(array, axis, 0)
            flat = matrix(array.shape[axis], shape[axis]) @ moved.reshape(array.shape[axis], -1)
            array = np.moveaxis(flat.reshape(shape[axis], *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(array)


def grid_shape(shape, spacing, target):
    """The samples per axis of a volume resampled from `spacing` (mm per axis) to `target` mm, rounded to whole voxels."""
    return tuple(max(1, int(n * s / target + 0.5)) for n, s in zip(shape, spacing))
