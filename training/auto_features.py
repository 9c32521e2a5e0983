# SPDX-License-Identifier: Apache-2.0
"""What the rule of sam-auto sees of a generated mask: Sources/Segmentation/Segmenters/SamAutoFeatures.swift in Python."""
import numpy as np
from scipy import ndimage

NAMES = ["logAreaShare", "squaredLogAreaShare", "stability", "predictedIoU", "borderContact", "colourContrast",
         "compactness", "specularShare", "centreDistance"]
SPECULAR = 200
RING = 0.25


def features(mask, image, stability, predicted_iou):
    """`mask` bool [rows, columns] with at least one pixel, `image` uint8 RGB."""
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


def golden():
    """Masks in a picture that the test can draw too, and their features."""
    rows, columns = 60, 80
    y, x = np.mgrid[:rows, :columns]
    image = np.stack([(5 * x + 3 * y + 40 * c + 60 * (x * x + y * y > 2500)) % 256 for c in range(3)], 2).astype(np.uint8)
    masks = [(y - cy) ** 2 * a + (x - cx) ** 2 * b < r for cy, cx, a, b, r in
             ((30, 40, 1, 1, 200), (2, 3, 1, 2, 90), (59, 79, 1, 1, 3), (20, 20, 3, 1, 400), (30, 40, 1, 1, 9000))]
    masks += [masks[0] & ((x + y) % 3 > 0), (y == 7) & (x == 9)]
    cases = []
    for index, mask in enumerate(masks):
        flat = mask.T.ravel()
        changes = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
        stability, predicted = 0.9 + index / 128, 0.875 + index / 64
        cases.append({"counts": ([0] if flat[0] else []) + counts, "stability": stability, "predictedIoU": predicted,
                      "features": [float(value) for value in features(mask, image, stability, predicted)]})
    return {"rows": rows, "columns": columns, "names": NAMES, "masks": cases}


if __name__ == "__main__":
    import json
    from pathlib import Path
    path = Path(__file__).resolve().parent.parent / "Tests/SegmentationTests/Golden/auto-features.json"
    path.write_text(json.dumps(golden(), separators=(",", ":")) + "\n")
