# SPDX-License-Identifier: Apache-2.0
"""Writes what the reference generates on drawn pictures with the network of shapes_sam.py: python training/shapes_masks.py

Into Tests/InferenceTests/Golden/shapes-masks.json: parameters, and for each picture its pixels' file, the records and
which of them are *safe*, that is, cannot be decided otherwise by rounding:

    predicted IoU more than 1e-3 from its threshold, stability not flipped by 3 pixels, no box that competes with it has an
    IoU within .02 of the NMS threshold, its score is more than 1e-4 from those of the boxes it competes with and of its
    neighbours in the list

The network's input of every picture is written to shapes-inputs.safetensors as whole numbers, resized but not yet
normalised: the tests of recipes are about that step, these are not.
"""
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torchvision.ops import box_iou

from reference_package import segment_anything  # noqa: F401
from segment_anything import SamAutomaticMaskGenerator
from segment_anything import automatic_mask_generator as generator_module
import shapes_sam

FOLDER = Path(__file__).resolve().parent.parent / "Tests/InferenceTests/Golden"
PARAMETERS = dict(points_per_side=16, pred_iou_thresh=0.88, stability_score_thresh=0.9, stability_score_offset=1.0)


def watch():
    """Notes what the suppression of a picture's boxes was given last."""
    seen = {}
    suppress = generator_module.batched_nms

    def batched(boxes, scores, *rest, **options):
        seen["boxes"], seen["scores"] = boxes, scores
        return suppress(boxes, scores, *rest, **options)

    generator_module.batched_nms = batched
    return seen


def is_safe(mask, index, masks, seen, parameters):
    score = mask["predicted_iou"]
    if abs(score - parameters["pred_iou_thresh"]) <= 1e-3:
        return False
    # Three pixels more or fewer in the smaller of the two areas move the quotient by that much at most.
    if abs(mask["stability_score"] - parameters["stability_score_thresh"]) <= 3 / mask["area"]:
        return False
    x, y, width, height = mask["bbox"]
    overlaps = box_iou(torch.tensor([[x, y, x + width, y + height]]).float(), seen["boxes"].float())[0]
    scores = seen["scores"]
    own = (scores == score) & (overlaps == 1)
    rivals = (overlaps > 0.68) & ~own
    if (abs(overlaps[~own] - 0.7) <= 0.02).any() or (abs(scores[rivals] - score) <= 1e-4).any():
        return False
    beside = masks[max(index - 1, 0):index] + masks[index + 1:index + 2]
    return all(abs(other["predicted_iou"] - score) > 1e-4 for other in beside)


def main():
    torch.set_num_threads(1)
    sam = shapes_sam.load()
    generator = SamAutomaticMaskGenerator(sam, output_mode="uncompressed_rle", **PARAMETERS)
    seen = watch()
    pictures, inputs = [], {}
    for number, (image, _) in enumerate(shapes_sam.pictures()):
        masks = generator.generate(image)
        safe = [is_safe(mask, index, masks, seen, PARAMETERS) for index, mask in enumerate(masks)]
        resized = generator.predictor.transform.apply_image(image)
        inputs[str(number)] = torch.from_numpy(resized).half()
        pictures.append({"size": image.shape[:2], "masks": masks, "safe": safe})
        print(image.shape[:2], len(seen["boxes"]), "stable,", len(masks), "masks,", sum(safe), "safe,",
              f"stability {min(m['stability_score'] for m in masks):.3f},",
              f"predicted IoU {min(m['predicted_iou'] for m in masks):.3f}")
    save_file(inputs, FOLDER / "shapes-inputs.safetensors")
    facts = {"parameters": PARAMETERS, "pictures": pictures}
    (FOLDER / "shapes-masks.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")
    print((FOLDER / "shapes-masks.json").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
