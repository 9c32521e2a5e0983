# SPDX-License-Identifier: Apache-2.0
"""Writes how the references of the SAM family prepare images and logits: python -m training.references.golden_recipes

The file is Tests/SegmentationTests/Golden/recipes.safetensors. The networks' input is scaled down to 64 x 64.

    <n>.image        [rows, columns, channels], bytes
    <n>.sam          [rows, columns, 3], bytes: segment_anything's ResizeLongestSide (Pillow)
    <n>.medsam       [64, 64, 3], bytes: scikit-image as in MedSAM_Inference.py
    <n>.lite         [rows, columns, 3], bytes: OpenCV as in CVPR24_LiteMedSAM_infer.py
    input.<family>   [64, 64, 3], the network's input for image 0
    mri.volume       [slices, rows, columns]; mri.bytes: as MedSAM's pre_CT_MR.py prepares it
    box.plane        [16, 16]: the box BOX of a 32 x 32 input as medsam-compact's mask prompt
    logits           [16, 16] and [64, 64] (lite); <rows>x<columns>.<family>: the same resized to an image of this size, as
                     logits for sam and medsam-compact, as probabilities for the others

The preparation for medsam-compact is that of its training (recipes/medsam_compact.py). The script needs segment-anything,
scikit-image and OpenCV beside PyTorch. It uses only the geometry of segment_anything.
"""
import json

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from skimage import transform

from training.paths import SEGMENTATION_GOLDEN
from training.recipes.medsam_compact import drawn_box
from training.recipes.resize import resize as triangle

# The models of the package need torchvision's operators; its transforms need Pillow's resize alone.
from segment_anything.utils.transforms import ResizeLongestSide

GOLDEN = SEGMENTATION_GOLDEN / "recipes.safetensors"
SIZE = 64
IMAGES = [(37, 53, 3), (200, 130, 3), (64, 64, 1), (5, 90, 3), (1, 17, 1), (131, 2, 3), (128, 128, 3), (150, 40, 1),
          (60, 63, 3), (97, 97, 1), (2, 2, 3)]
BOX = (3.5, 6, 19.25, 30)
MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def draw(rng, rows, columns, channels):
    """Waves, noise and two flat patches: edges, overshoot and constant ground."""
    y, x = np.mgrid[:rows, :columns]
    image = np.stack([110 + 70 * np.sin(x / (5 + c)) * np.cos(y / (7 - c)) for c in range(channels)], -1)
    image = image + rng.normal(0, 25, image.shape)
    image[rows // 4:rows // 2, columns // 4:columns // 2] = 255
    image[rows // 2:, columns // 2:] = 7
    return np.clip(image, 0, 255).astype(np.uint8)


def colour(image):
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def longest_side(image):
    scale = SIZE * 1.0 / max(image.shape[:2])
    rows, columns = (int(side * scale + 0.5) for side in image.shape[:2])
    return rows, columns


def medsam(image):
    return transform.resize(image, (SIZE, SIZE), order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)


def lite(image):
    rows, columns = longest_side(image)
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)


def min_max(image):
    image = image.astype(np.float64)
    return (image - image.min()) / np.clip(image.max() - image.min(), a_min=1e-8, a_max=None)


def padded(image):
    return np.pad(image, ((0, SIZE - image.shape[0]), (0, SIZE - image.shape[1]), (0, 0)))


def mri(volume):
    """pre_CT_MR.py for every modality that is not CT."""
    low, high = np.percentile(volume[volume > 0], 0.5), np.percentile(volume[volume > 0], 99.5)
    clipped = np.clip(volume, low, high)
    scaled = (clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0
    scaled[volume == 0] = 0
    return np.uint8(scaled)


def interpolate(values, size):
    return F.interpolate(torch.from_numpy(values)[None, None], size, mode="bilinear", align_corners=False)[0, 0].numpy()


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def main():
    rng = np.random.default_rng(11)
    tensors = {}
    resize = ResizeLongestSide(SIZE)
    for index, shape in enumerate(IMAGES):
        image = draw(rng, *shape)
        tensors[f"{index}.image"] = image
        tensors[f"{index}.medsam"] = medsam(colour(image))
        if min(longest_side(image)) > 0:
            tensors[f"{index}.sam"] = resize.apply_image(colour(image))
            tensors[f"{index}.lite"] = lite(colour(image))
    tensors = {name: value.astype(np.float16) for name, value in tensors.items()}
    image = tensors["0.image"].astype(np.uint8)
    inputs = {"sam": padded((resize.apply_image(image) - MEAN) / DEVIATION), "medsam": min_max(medsam(image)),
              "lite": padded(min_max(lite(image))),
              "medsam-compact": (triangle(image, (SIZE, SIZE)) - MEAN) / DEVIATION}
    tensors |= {f"input.{name}": value.astype(np.float32) for name, value in inputs.items()}
    volume = np.round(rng.gamma(2, 220, (5, 23, 31)))
    volume[rng.random(volume.shape) < 0.3] = 0
    tensors |= {"mri.volume": volume.astype(np.float32), "mri.bytes": mri(volume).astype(np.float16)}

    logits, fine = rng.normal(0, 3, (16, 16)).astype(np.float32), rng.normal(0, 3, (SIZE, SIZE)).astype(np.float32)
    tensors |= {"logits": logits, "logits.lite": fine, "box.plane": drawn_box(np.array(BOX), 32)}
    for rows, columns in ((37, 53), (100, 90), (1, 40), (64, 64)):
        inside = longest_side(np.zeros((rows, columns, 1)))
        inside = tuple(max(1, side) for side in inside)
        at = f"{rows}x{columns}"
        tensors[f"{at}.sam"] = interpolate(interpolate(logits, (SIZE, SIZE))[:inside[0], :inside[1]], (rows, columns))
        tensors[f"{at}.medsam-compact"] = triangle(logits, (rows, columns))
        tensors[f"{at}.medsam"] = interpolate(sigmoid(logits), (rows, columns))
        tensors[f"{at}.lite"] = sigmoid(interpolate(np.ascontiguousarray(fine[:inside[0], :inside[1]]), (rows, columns)))
    facts = {"images": len(IMAGES), "size": SIZE, "box": BOX}
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, GOLDEN,
              {"kontur": json.dumps(facts, sort_keys=True)})
    print(GOLDEN.name, GOLDEN.stat().st_size)


if __name__ == "__main__":
    main()
