# SPDX-License-Identifier: Apache-2.0
"""Writes measures and confidences of drawn answers, for the Swift tests: python -m training.references.golden_confidence

The file is Tests/SegmentationTests/Golden/confidence.safetensors. `<n>.views` holds the probabilities of each view, [views,
rows, columns] or [views, slices, rows, columns]. The metadata key `kontur` holds a made-up fit as `confidence` and, for each
answer, its presence (or null), its measures, its fitted confidence and its confidence without a fit.
"""
import json

import numpy as np
from safetensors.numpy import save_file
from scipy import ndimage

from training.paths import SEGMENTATION_GOLDEN
from training.recipes import confidence

GOLDEN = SEGMENTATION_GOLDEN / "confidence.safetensors"
FIT = {"found": {"bias": -0.4, "weights": {"expectedDice": 0.7, "viewAgreement": 0.3, "boundaryCertainty": 0.2}},
       "empty": {"bias": 0.3, "weight": 0.8}}
SHAPES = [((48, 48), 0.9), ((31, 57), 0.6), ((48, 48), 0.2), ((1, 40), None), ((12, 17, 23), None), ((3, 30, 2), None),
          ((20, 20), 0.999), ((16, 16), 0.01), ((9, 9, 9), None)]


def draw(rng, shape, views):
    """Probabilities of each view: smooth blobs that are sharp, blurred, several or absent."""
    base = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(1.5, 4), mode="nearest")
    base = base / max(np.abs(base).max(), 1e-9) * rng.uniform(2, 9) - rng.uniform(-0.5, 2)
    each = [base + ndimage.gaussian_filter(rng.standard_normal(shape), 2) * rng.uniform(0.5, 3) for _ in range(views)]
    return (1 / (1 + np.exp(-np.array(each)))).astype(np.float32)


def main():
    rng, tensors, answers = np.random.default_rng(21), {}, []
    for n, (shape, presence) in enumerate(SHAPES):
        views = draw(rng, shape, 4 if len(shape) == 2 else 3)
        if n == len(SHAPES) - 1:
            views *= 0.4
        mean = views.mean(axis=0, dtype=np.float32)
        mask = mean >= 0.5
        found = confidence.measures(mask, mean, [view >= 0.5 for view in views], presence)
        is_empty = not mask.any() or (presence or 1) < 0.5
        answers.append({"presence": presence, "isEmpty": bool(is_empty), "measures": found,
                        "fitted": confidence.confidence(found, is_empty, FIT), "plain": confidence.plain(found, is_empty)})
        tensors[f"{n}.views"] = views
    save_file(tensors, GOLDEN, {"kontur": json.dumps({"confidence": FIT, "answers": answers}, sort_keys=True)})
    print(GOLDEN.name, GOLDEN.stat().st_size)


if __name__ == "__main__":
    main()
