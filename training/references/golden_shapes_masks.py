# SPDX-License-Identifier: Apache-2.0
"""Writes the masks that the reference generates on drawn pictures: python -m training.references.golden_shapes_masks

The network is that of shapes_sam.py. The file Tests/InferenceTests/Golden/shapes-masks.json holds parameters and, for each
picture, its size, the records, and which records are *safe*: rounding cannot change the decision about them. In a safe record

    the predicted IoU is more than 1e-3 from its threshold,
    three pixels cannot move the stability across its threshold,
    the IoU of the box with every competing box is more than .02 from the threshold of the non-maximum suppression,
    the score is more than 1e-4 from the scores of competing boxes and of the neighbours in the list.

shapes-inputs.safetensors holds the network's input for each picture as whole numbers, resized but not normalised, since
the tests of the recipes cover the resizing.
"""
import json

import torch
from safetensors.torch import save_file

from training.networks.reference_package import segment_anything, torchvision
from training.paths import INFERENCE_GOLDEN
from training.references import shapes_sam

generator_module = segment_anything.automatic_mask_generator
PARAMETERS = dict(points_per_side=16, pred_iou_thresh=0.88, stability_score_thresh=0.9, stability_score_offset=1.0)


def watch():
    """Records the boxes and scores that the last suppression was given."""
    seen = {}
    suppress = generator_module.batched_nms

    def batched(boxes, scores, *rest, **options):
        seen["boxes"], seen["scores"] = boxes, scores
        return suppress(boxes, scores, *rest, **options)

    generator_module.batched_nms = batched
    return seen


def is_safe(mask, index, masks, seen, parameters):
    """Whether rounding cannot change the decision about the record `mask`, the `index`-th of `masks`."""
    score = mask["predicted_iou"]
    if abs(score - parameters["pred_iou_thresh"]) <= 1e-3:
        return False
    # Three pixels in the smaller of the two areas move the quotient by at most this much.
    if abs(mask["stability_score"] - parameters["stability_score_thresh"]) <= 3 / mask["area"]:
        return False
    x, y, width, height = mask["bbox"]
    overlaps = torchvision.ops.box_iou(torch.tensor([[x, y, x + width, y + height]]).float(), seen["boxes"].float())[0]
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
    generator = segment_anything.SamAutomaticMaskGenerator(sam, output_mode="uncompressed_rle", **PARAMETERS)
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
    save_file(inputs, INFERENCE_GOLDEN / "shapes-inputs.safetensors")
    facts = {"parameters": PARAMETERS, "pictures": pictures}
    (INFERENCE_GOLDEN / "shapes-masks.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")
    print((INFERENCE_GOLDEN / "shapes-masks.json").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
