# SPDX-License-Identifier: Apache-2.0
"""Images and targets of medsam-compact: colonoscopy frames and slices of left-atrium volumes."""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from training.data import blend, endoscopes, left_atrium_volumes, polyp_frames
from training.networks.promptable import SIZE
from training.recipes.medsam_compact import percentile_scaled
from training.recipes.polyp_compact import normalise

SIZE_AT_FIRST, FIRST = 192, 0.6  # side of the squares during this first share of a training
LEAST_TRUTH = 100  # pixels of truth in each slice that is used
LEFT_OUT = 6  # the PolypGen centre that does not take part in training
DATA_SETS = ["Kvasir-SEG training (799)", "PolypGen single frames with a polyp, without centre 6",
             "Left Atrium Segmentation Challenge 2018 (slices of 64 volumes)"]
SMALLEST = 60  # pixels of a target in a training square


def slices(paths):
    """Yields (volume's name, scaled slice uint8, truth) of each slice with at least LEAST_TRUTH pixels of truth."""
    for path in paths:
        image, mask = left_atrium_volumes.read(path)
        for plane, truth in zip(percentile_scaled(image), mask > 0):
            if truth.sum() >= LEAST_TRUTH:
                yield path.stem, plane, truth


def held_out(data, frames=1, planes=3):
    """Yields (domain, name, RGB image, truth) of every `frames`-th frame and every `planes`-th slice held out."""
    for name, image, truth in list(polyp_frames.held_out(data))[::frames]:
        yield "polyp", name, image, truth
    for name, plane, truth in list(slices(left_atrium_volumes.split(data)[1]))[::planes]:
        yield "atrium", name, np.repeat(plane[..., None], 3, axis=2), truth


class Training:
    """Draws batches whose first half are colonoscopy frames and whose second half are MRI slices."""

    def __init__(self, data, cache):
        self.frames = polyp_frames.Training(data, cache, leave_out=LEFT_OUT)
        file = Path(cache) / "lge-slices.npz"
        if not file.exists():
            found = list(slices(left_atrium_volumes.split(data)[0]))
            np.savez(file, **{f"{k}": np.stack([plane, truth.astype(np.uint8) * 255])
                              for k, (_, plane, truth) in enumerate(found)})
        with np.load(file) as kept:
            self.slices = [kept[f"{k}"] for k in range(len(kept.files))]

    def begin(self, progress):
        """Sets the side of the squares for this share 0...1 of the training."""
        self.size = SIZE_AT_FIRST if progress < FIRST else SIZE
        self.frames.progress = 0 if self.size == polyp_frames.SIZE_AT_FIRST else 1

    def frame(self, rng):
        """An augmented frame [side, side, 3] in 0...255 and its truth."""
        frames = self.frames
        index = rng.choice(frames.donors)
        source = frames.decoys if rng.random() < 0.15 else frames.images
        image, truth = frames.warped(index, rng, (source[index], frames.masks[index], None))
        if rng.random() < 0.12:
            image, truth = blend.paste(rng, image, truth, *frames.donor(rng))
        return endoscopes.recolour(image, rng), truth

    def slice(self, rng):
        """An augmented slice [side, side, 3] in 0...255 and its truth."""
        stacked = torch.from_numpy(self.slices[rng.integers(len(self.slices))])[None].float()
        angle = np.deg2rad(rng.uniform(-20, 20)) if rng.random() < 0.5 else 0.0
        scale = np.exp(rng.uniform(np.log(0.65), np.log(1.35)))
        aspect = np.exp(rng.uniform(-0.2, 0.2) / 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        theta = np.c_[turn @ np.diag([aspect, 1 / aspect]) / scale, rng.uniform(-0.15, 0.15, 2)]
        grid = F.affine_grid(torch.tensor(theta, dtype=torch.float32)[None], (1, 2, self.size, self.size), align_corners=False)
        fill = "reflection" if rng.random() < 0.5 else "zeros"
        image, truth = F.grid_sample(stacked, grid, padding_mode=fill, align_corners=False)[0].numpy()
        image = relit(image / 255, rng) * 255
        return np.repeat(np.clip(image, 0, 255)[..., None], 3, axis=2), truth > 127.5

    def sample(self, draw, rng):
        """A network input [3, side, side] and its target [side, side]: the whole truth or one of its parts."""
        while True:
            image, truth = draw(rng)
            if rng.random() < 0.25:
                parts, count = ndimage.label(truth)
                truth = parts == rng.integers(1, count + 1) if count > 1 else truth
            if truth.sum() >= SMALLEST:
                return normalise(image), truth

    def batch(self, count, rng):
        """Inputs, a tensor [count, 3, side, side], and targets, an array [count, side, side]."""
        pairs = [self.sample(self.frame if k < count // 2 else self.slice, rng) for k in range(count)]
        return torch.from_numpy(np.stack([image for image, _ in pairs])), np.stack([truth for _, truth in pairs])


def relit(image, rng):
    """A slice in 0...1 with another contrast, coil shading, focus and noise."""
    image = np.maximum(image, 0) ** np.exp(rng.uniform(-0.35, 0.35)) * np.exp(rng.uniform(-0.3, 0.3))
    if rng.random() < 0.5:
        coarse = torch.from_numpy(np.exp(rng.normal(0, rng.uniform(0.05, 0.3), (1, 1, 3, 3))).astype(np.float32))
        image = image * F.interpolate(coarse, size=image.shape, mode="bilinear", align_corners=True)[0, 0].numpy()
    if rng.random() < 0.25:
        image = ndimage.gaussian_filter(image, rng.uniform(0.5, 2))
    if rng.random() < 0.4:
        image = image + rng.standard_normal(image.shape, np.float32) * rng.uniform(0.005, 0.06) * (image > 0)
    return image.astype(np.float32)
