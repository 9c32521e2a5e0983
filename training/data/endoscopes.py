# SPDX-License-Identifier: Apache-2.0
"""Augments colonoscopy frames so that they resemble those of other endoscopes: geometry, light, colour, focus, surround."""
import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def random_affine(rng):
    """A random turn, scale, stretch, reflection and shift [1, 2, 3] for `torch.nn.functional.affine_grid`."""
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else 0.0
    reach = np.log(1.6) if rng.random() < 0.4 else np.log(1.15)
    scale = np.exp(rng.uniform(-reach, reach))
    aspect = np.exp(rng.uniform(np.log(0.75), np.log(1.33)) / 2) if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag([rng.choice([-1, 1]) * aspect, rng.choice([-1, 1]) / aspect]) / scale
    shift = rng.uniform(-0.15, 0.15, 2)
    return torch.tensor(np.c_[turn @ stretch, shift], dtype=torch.float32)[None]


def recolour(image, rng):
    """Changes light, colour, focus, compression, reflections and surround of a square [size, size, 3] in 0...255."""
    if rng.random() < 0.25:
        image = add_spots(image, rng)
    image = np.clip(image, 0, 255).astype(np.float32) / 255
    image = image ** np.float32(np.exp(rng.uniform(-0.35, 0.35)))
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * rng.uniform(0.6, 1.4)
    mean = image.mean()
    image = (image - mean) * rng.uniform(0.7, 1.3) + mean
    gains = rng.uniform(0.75, 1.25) * rng.uniform(0.88, 1.12, 3)
    image = image @ (np.diag(gains) + rng.uniform(-0.06, 0.06, (3, 3))).astype(np.float32)
    if rng.random() < 0.2:  # light that leaves a side or the rim dark
        centre, reach = rng.uniform(-0.4, 0.4, 2), rng.uniform(0.7, 1.6)
        y, x = np.ogrid[-1:1:len(image) * 1j, -1:1:len(image) * 1j]
        image = image * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / reach ** 2)[..., None]
    if rng.random() < 0.15:
        image = image + rng.standard_normal(image.shape, np.float32) * rng.uniform(0.01, 0.05)
    image = np.clip(image * 255, 0, 255).astype(np.float32)
    if rng.random() < 0.2:
        image = unfocus(image, rng)
    if rng.random() < 0.2:
        image = add_surround(image, rng)
    if rng.random() < 0.2:
        file = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=int(rng.integers(12, 75)))
        image = np.asarray(Image.open(file), np.float32)
    return image


def add_spots(image, rng):
    """Adds bright specular reflections."""
    size = len(image)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    for _ in range(rng.integers(1, 10)):
        y, x, a, b = *rng.uniform(0, size, 2), *rng.uniform(1, 7, 2)
        spot = np.exp(-(((rows - y) / a) ** 2 + ((columns - x) / b) ** 2) ** 2)[..., None]
        image = image + spot * (250 - image)
    return image


def unfocus(image, rng):
    """Lowers the resolution along one axis (motion blur) or both."""
    size = len(image)
    small = [int(size / rng.uniform(1.2, 3)) if rng.random() < 0.75 else size for _ in range(2)]
    kept = torch.from_numpy(image).permute(2, 0, 1)[None]
    kept = F.interpolate(kept, size=small, mode="bilinear", align_corners=False)
    kept = F.interpolate(kept, size=(size, size), mode="bilinear", align_corners=False)
    return kept[0].permute(1, 2, 0).numpy()


def add_surround(image, rng):
    """Adds dark borders, or an inset in a corner that resembles a position display."""
    image, size = image.copy(), len(image)
    if rng.random() < 0.5:
        for edge in (image, image[::-1], image.transpose(1, 0, 2), image.transpose(1, 0, 2)[::-1]):
            edge[:rng.integers(0, size // 10)] = rng.uniform(0, 20)
    else:
        high, wide = rng.integers(size // 8, size // 3, 2)
        corner = image[-high:, :wide] if rng.random() < 0.7 else image[:high, -wide:]
        corner[...] = rng.uniform(0, 70, 3) * np.array([0.4, 1, 0.5]) + rng.uniform(0, 25, (*corner.shape[:2], 1))
    return image
