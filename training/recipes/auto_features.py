# SPDX-License-Identifier: Apache-2.0
"""The features by which the rule of sam-auto judges a generated mask, as SamAutoFeatures.swift computes them."""
import numpy as np
from scipy import ndimage

NAMES = ["logAreaShare", "squaredLogAreaShare", "stability", "predictedIoU", "borderContact", "colourContrast",
         "compactness", "specularShare", "centreDistance"]
SPECULAR = 200  # grey value from which all colours count as a reflection
RING = 0.25  # width of the ring around a mask, as a share of the radius of a disc with the mask's area


def features(mask, image, stability, predicted_iou):
    """The features in the order of NAMES.

    `mask` is bool [rows, columns] with at least one pixel, `image` is uint8 RGB [rows, columns, 3].
    """
    rows, columns = mask.shape
    area = int(mask.sum())
    padded = np.pad(mask, 1)
    edges = sum(int((np.diff(padded.astype(np.int8), axis=axis) != 0).sum()) for axis in (0, 1))
    border = int(mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum())
    distance = max(1, int(RING * np.sqrt(area / np.pi) + 0.5))
    ring = ndimage.maximum_filter(mask.astype(np.uint8), 2 * distance + 1, mode="constant").astype(bool) & ~mask
    contrast = 0.0
    if ring.any():
        contrast = np.linalg.norm(image[mask].mean(0, np.float64) - image[ring].mean(0, np.float64)) / 255
    y, x = np.nonzero(mask)
    offset = np.hypot(x.mean() - (columns - 1) / 2, y.mean() - (rows - 1) / 2)
    share = np.log(area / (rows * columns))
    return [share, share * share, stability, predicted_iou, border / edges, contrast,
            min(1, 64 * area / (np.pi * edges * edges)), (image[mask].min(1) >= SPECULAR).mean(),
            offset / (np.hypot(rows, columns) / 2)]
