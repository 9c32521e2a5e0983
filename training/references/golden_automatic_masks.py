# SPDX-License-Identifier: Apache-2.0
"""Writes the answers of segment-anything's automatic mask generator: python -m training.references.golden_automatic_masks

The file is Tests/InferenceTests/Golden/automatic-masks.json. Each case has parameters, an image size, the candidates of every
crop, point and mask in the generator's order, and the records that the reference makes of them. A stub stands in for the
network: a candidate is seven whole numbers from which its logits follow exactly (`plane`; the test repeats these lines), and
a score. In cases without `low` the logits have the crop's size. In cases with `low` they have a low resolution and go through
Sam.postprocess_masks. A logit within 2e-6 of a cut could then fall on either side, so the script draws such
a case again with another seed.
"""
import json
from types import SimpleNamespace

import numpy as np
import torch

from training.networks.reference_package import segment_anything
from training.paths import INFERENCE_GOLDEN

Sam = segment_anything.modeling.Sam
FILE = INFERENCE_GOLDEN / "automatic-masks.json"
ELLIPSE, STEPS, NOTHING, FAINT = range(4)


def plane(candidate, height, width):
    """The logits [height, width] of a candidate, exact in fp32."""
    kind, cx, cy, a, b, level, grain = candidate
    y, x = np.mgrid[:height, :width]
    if kind == ELLIPSE:  # a hill, roughened so that it has islands and holes
        values = (level - a * (x - cx) ** 2 - b * (y - cy) ** 2 + grain * ((7 * x + 13 * y) % 11 - 5)) / 64
    elif kind == STEPS:  # a x b pixels of which `level` columns are stable
        inside = (x >= cx) & (x < cx + a) & (y >= cy) & (y < cy + b)
        values = np.where(inside, np.where(x < cx + level, 2, 0.5), -3)
    else:
        values = np.full((height, width), -5 if kind == NOTHING else -0.5)
    return torch.from_numpy(values.astype(np.float32))


def candidates(rng, points, height, width, grain):
    """Three masks per point, many of them alike, and scores with few different values, so that ties occur."""
    masks, scores = [], []
    for x, y in points:
        for mask in range(3):
            kind = rng.choice([ELLIPSE, STEPS, NOTHING, FAINT], p=[0.8, 0.1, 0.05, 0.05])
            if kind == ELLIPSE:
                cell = min(height, width) / 3
                cx, cy = (int((int(p / cell) + 0.5) * cell + rng.integers(-2, 3)) for p in (x, y))
                a, b = (int(n) for n in rng.integers(2, 20, 2))
                radius = int(rng.integers(4, 6 + max(int(cell), 4)))
                masks.append([ELLIPSE, cx, cy, a, b, min(a, b) * radius * radius, int(rng.integers(0, grain + 1))])
            elif kind == STEPS:
                masks.append([STEPS, int(x), int(y), 12, int(rng.integers(2, 6)), int(rng.integers(7, 12)), 0])
            else:
                masks.append([int(kind), 0, 0, 0, 0, 0, 0])
            scores.append(float(np.float32(rng.integers(40, 66) / 64 + (rng.random() < 0.3) * 1e-7)))
    return masks, scores


class Stub:
    """Stands in for the network and records the candidates of each crop in `crops`."""

    def __init__(self, rng, grain, low, input_size):
        self.rng, self.grain, self.low, self.crops = rng, grain, low, []
        self.nearest = np.inf
        self.mask_threshold, self.device = Sam.mask_threshold, torch.device("cpu")
        self.image_encoder = SimpleNamespace(img_size=input_size)

    def answer(self, predictor, points):
        points = points[:, 0].numpy() * np.array(self.size[::-1]) / np.array(predictor.input_size[::-1])
        height, width = (self.low, self.low) if self.low else self.size
        scale = self.low / max(self.size) if self.low else 1
        masks, scores = candidates(self.rng, points * scale, height, width, self.grain)
        self.crops[-1]["masks"] += masks
        self.crops[-1]["scores"] += scores
        logits = torch.stack([plane(mask, height, width) for mask in masks]).unflatten(0, (-1, 3))
        if self.low:
            logits = Sam.postprocess_masks(self, logits, predictor.input_size, self.size)
            kept = logits.flatten(0, 1)[torch.tensor(scores) > 0.88]
            for cut in (-1, 0, 1):
                self.nearest = min(self.nearest, float((kept - cut).abs().min()))
        return logits, torch.tensor(scores).unflatten(0, (-1, 3)), None


def run(name, seed, size, grain=0, low=None, input_size=1024, **parameters):
    while True:
        stub = Stub(np.random.default_rng(seed), grain, low, input_size)
        generator = segment_anything.SamAutomaticMaskGenerator(stub, output_mode="uncompressed_rle", **parameters)
        predictor = generator.predictor

        def set_image(image):
            stub.size = image.shape[:2]
            predictor.input_size = predictor.transform.get_preprocess_shape(*stub.size, input_size)
            stub.crops.append({"masks": [], "scores": []})

        predictor.set_image = set_image
        predictor.predict_torch = lambda points, labels, **options: stub.answer(predictor, points)
        found = generator.generate(np.zeros((*size, 3), np.uint8))
        if stub.nearest > 2e-6:
            break
        seed += 1000
    if "point_grids" in parameters:
        parameters["point_grids"] = [grid.tolist() for grid in parameters["point_grids"]]
    print(name, sum(len(crop["masks"]) for crop in stub.crops), "->", len(found))
    # JSON does not have NaN, so 0/0 becomes null.
    for mask in found:
        mask["stability_score"] = None if np.isnan(mask["stability_score"]) else mask["stability_score"]
    return {"name": name, "size": size, "low": low, "input": input_size, "parameters": parameters,
            "crops": stub.crops, "masks": found}


def main():
    torch.set_num_threads(1)
    grids = [np.array([[0.5, 0.5], [0.2, 0.3]]), np.array([[0.4, 0.5], [0.5, 0.6], [0.9, 0.9]])]
    few = dict(pred_iou_thresh=0.875, stability_score_thresh=0.75)
    cases = [
        run("defaults but for the grid", 1, (120, 90), points_per_side=12),
        run("scores and stability at their thresholds", 2, (120, 90), points_per_side=10, **few),
        run("one layer of crops", 3, (150, 200), points_per_side=8, crop_n_layers=1, points_per_batch=5,
            stability_score_thresh=0.6),
        run("two layers of crops with fewer points", 4, (301, 203), points_per_side=8, crop_n_layers=2,
            crop_n_points_downscale_factor=2, crop_overlap_ratio=0.25, crop_nms_thresh=0.5, **few),
        run("small regions removed", 5, (120, 90), grain=12, points_per_side=8, min_mask_region_area=12,
            stability_score_thresh=0.1),
        run("small regions removed after crops", 6, (90, 130), grain=16, points_per_side=6, crop_n_layers=1,
            min_mask_region_area=30, stability_score_thresh=0.1, pred_iou_thresh=0.7, box_nms_thresh=0.9),
        run("nothing filtered", 7, (40, 56), point_grids=grids, points_per_side=None, crop_n_layers=1,
            pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=0.4),
        run("another offset", 8, (70, 80), points_per_side=7, stability_score_offset=0.5, pred_iou_thresh=0.8,
            stability_score_thresh=0.8),
        run("one point", 9, (33, 65), points_per_side=1, pred_iou_thresh=0.5, stability_score_thresh=0.5),
        run("from low resolution", 10, (100, 150), low=32, input_size=128, points_per_side=8,
            stability_score_thresh=0.7),
        run("from low resolution, upright, with crops", 11, (170, 90), low=32, input_size=128, points_per_side=6,
            crop_n_layers=1, stability_score_thresh=0.6),
    ]
    FILE.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(FILE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
