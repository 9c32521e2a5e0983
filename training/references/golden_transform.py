# SPDX-License-Identifier: Apache-2.0
"""Writes the geometry of segment-anything 1.0, for the tests: python -m training.references.golden_transform

The file is Tests/InferenceTests/Golden/transform.json. For images of odd sizes it holds the image size, points and boxes that
ResizeLongestSide returns, and samples of the masks that Sam.postprocess_masks makes of low-resolution logits. The logits
follow exactly from `logits`, which the test repeats. If a side would vanish, the reference fails and `resized` is null.
"""
import json
from types import SimpleNamespace

import numpy as np
import torch

from training.networks.reference_package import segment_anything
from training.paths import INFERENCE_GOLDEN

Sam = segment_anything.modeling.Sam
ResizeLongestSide = segment_anything.utils.transforms.ResizeLongestSide
FILE = INFERENCE_GOLDEN / "transform.json"
SIZES = [(1, 1), (1, 4000), (4000, 1), (1, 2048), (2, 3), (613, 409), (409, 613), (1024, 1024), (1023, 1024), (1025, 7),
         (333, 1000), (1500, 1999), (17, 16)]
INPUTS = {1024: 256, 256: 64, 64: 16}  # side of the input: side of the low-resolution logits


def logits(low):
    """[low, low], multiples of 1/32 between -8 and 8."""
    y, x = np.mgrid[:low, :low]
    return torch.from_numpy((((37 * x + 101 * y + x * y) % 513 - 256) / 32).astype(np.float32))


def case(rng, size, input_size, low):
    height, width = size
    transform = ResizeLongestSide(input_size)
    places = rng.random((5, 2)) * (width, height)
    places = np.concatenate([places, [[0, 0], [width, height], [width - 1, height - 1], [-3.5, 2 * height]]])
    boxes = np.concatenate([places[:2], places[2:4], places[-4:-2]], 1)[:2].reshape(-1, 4)
    found = {"size": size, "input": input_size, "low": low, "points": places.tolist(), "boxes": boxes.tolist(),
             "resized": None, "inputPoints": None, "inputBoxes": None, "samples": None}
    try:
        resized = transform.apply_image(np.zeros((height, width, 3), np.uint8)).shape[:2]
    except ValueError:
        return found
    assert resized == transform.get_preprocess_shape(height, width, input_size)
    found["resized"] = resized
    # SamPredictor.predict computes in double precision, then converts to single.
    found["inputPoints"] = torch.as_tensor(transform.apply_coords(places, size), dtype=torch.float).tolist()
    found["inputBoxes"] = torch.as_tensor(transform.apply_boxes(boxes, size), dtype=torch.float).tolist()
    sam = SimpleNamespace(image_encoder=SimpleNamespace(img_size=input_size))
    masks = Sam.postprocess_masks(sam, logits(low)[None, None], resized, size)[0, 0].numpy()
    rows = np.concatenate([rng.integers(0, height, 40), [0, 0, height - 1, height - 1]])
    columns = np.concatenate([rng.integers(0, width, 40), [0, width - 1, 0, width - 1]])
    found["samples"] = [[int(y), int(x), float(masks[y, x])] for y, x in zip(rows, columns)]
    return found


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(4)
    cases = [case(rng, size, input_size, low) for size in SIZES for input_size, low in INPUTS.items()]
    FILE.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(len(cases), "cases,", sum(found["resized"] is None for found in cases), "that the reference cannot resize,",
          FILE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
