# SPDX-License-Identifier: Apache-2.0
"""Writes the features of drawn masks, for the Swift tests: python -m training.references.golden_auto_features

The file is Tests/SegmentationTests/Golden/auto-features.json.
"""
import json

import numpy as np

from training.paths import SEGMENTATION_GOLDEN
from training.recipes.auto_features import NAMES, features

FILE = SEGMENTATION_GOLDEN / "auto-features.json"


def cases():
    """Masks in a picture that the test draws, too, and their features."""
    rows, columns = 60, 80
    y, x = np.mgrid[:rows, :columns]
    image = np.stack([(5 * x + 3 * y + 40 * c + 60 * (x * x + y * y > 2500)) % 256 for c in range(3)], 2).astype(np.uint8)
    masks = [(y - cy) ** 2 * a + (x - cx) ** 2 * b < r for cy, cx, a, b, r in
             ((30, 40, 1, 1, 200), (2, 3, 1, 2, 90), (59, 79, 1, 1, 3), (20, 20, 3, 1, 400), (30, 40, 1, 1, 9000))]
    masks += [masks[0] & ((x + y) % 3 > 0), (y == 7) & (x == 9)]
    found = []
    for index, mask in enumerate(masks):
        flat = mask.T.ravel()
        changes = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
        stability, predicted = 0.9 + index / 128, 0.875 + index / 64
        found.append({"counts": ([0] if flat[0] else []) + counts, "stability": stability, "predictedIoU": predicted,
                      "features": [float(value) for value in features(mask, image, stability, predicted)]})
    return {"rows": rows, "columns": columns, "names": NAMES, "masks": found}


if __name__ == "__main__":
    FILE.write_text(json.dumps(cases(), separators=(",", ":")) + "\n")
