# SPDX-License-Identifier: Apache-2.0
"""The recipe of medsam-compact: the processing of an image and its prompt before and after the network.

1. MRI only: `percentile_scaled()` turns the volume into bytes, and each slice is repeated as three colours.
2. Resize the RGB image (0...255) to SIZE x SIZE with `resize.resize`. The image is stretched and not rounded.
3. Divide by 255, subtract MEAN and divide by STD, then run the image encoder.
4. Scale the prompt with the image. A box enters twice: as SAM's box prompt and, if there is no mask of an earlier round,
   as the mask prompt that `drawn_box()` draws.
5. Resize the single mask's 128 x 128 logits to the image's size. The mask is where they are above 0.
"""
import numpy as np
import torch

from training.networks.promptable import SIZE
from training.recipes.polyp_compact import normalise
from training.recipes.resize import resize

NAME = "medsam-compact"
VERSION = "1.0.0"  # of the recipe, as the runtime names it


def percentile_scaled(volume):
    """The volume as uint8, scaled as MedSAM's preparation of MRI does.

    Values are clipped to the 0.5 and 99.5 percentiles of the voxels above 0, scaled to 0...255 and rounded down. Voxels
    that are 0 stay 0.
    """
    inside = volume[volume > 0]
    low, high = np.percentile(inside, [0.5, 99.5]) if inside.size else (0, 1)
    scaled = (np.clip(volume, low, high) - low) / max(high - low, 1e-6) * 255
    return np.where(volume > 0, scaled, 0).astype(np.uint8)


def drawn_box(box, size=SIZE):
    """The mask prompt [size / 2, size / 2] that stands for a box XYXY in pixels of a square image of side `size`.

    The values are 5 in the box's centre, 0 on the ellipse inside the box, and -5 from the box's corners outwards.
    """
    centres = np.arange(1, size, 2, np.float32)

    def share(low, high):
        return (centres - (low + high) / 2) / max((high - low) / 2, 1)

    radius = share(box[1], box[3])[:, None] ** 2 + share(box[0], box[2])[None] ** 2
    return (5 * np.clip(1 - radius, -1, 1)).astype(np.float32)


def scaled(coordinates, shape):
    """Coordinates x, y, x, y, ... of an image of shape (rows, columns) in pixels of the network's input."""
    coordinates = np.asarray(coordinates, np.float32)
    factors = np.array([SIZE / shape[1], SIZE / shape[0]], np.float32)
    return coordinates * np.tile(factors, coordinates.shape[-1] // 2)


@torch.no_grad()
def embed(network, image):
    """The image embedding [1, 256, 32, 32] of an RGB image [rows, columns, 3] in 0...255."""
    return network.image_encoder(torch.from_numpy(normalise(resize(image, (SIZE, SIZE))))[None])


@torch.no_grad()
def predict(network, embedding, shape, box):
    """The mask and its predicted IoU for a box XYXY in an image of shape (rows, columns)."""
    box = scaled(box, shape)
    drawn = torch.from_numpy(drawn_box(box))[None, None]
    logits, iou = network.decode(embedding, boxes=torch.from_numpy(box)[None], masks=drawn)
    return resize(logits[0, 0].numpy(), shape) > 0, float(iou[0, 0])


@torch.no_grad()
def predict_points(network, embedding, shape, points, labels):
    """The mask with the highest predicted IoU, of three, for points [n, 2] (x, y) with labels [n]."""
    given = torch.from_numpy(scaled(points, shape))[None], torch.from_numpy(labels)[None]
    logits, iou = network.decode(embedding, points=given)
    return resize(logits[0, 1 + int(iou[0, 1:].argmax())].numpy(), shape) > 0
