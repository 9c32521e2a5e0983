# SPDX-License-Identifier: Apache-2.0
"""Sequences of frames with their truth, for the training of medsam2-compact.

Most sequences are neighbouring slices of a left-atrium volume, at a stride of 1 to 3 and in either direction; many of them
leave the atrium. The others show one colonoscopy frame under a moving camera, sometimes until the polyp leaves the view.
All frames of a sequence share one geometric and one photometric augmentation.
"""
from itertools import takewhile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage

from training.data import endoscopes, left_atrium_volumes, polyp_frames
from training.networks.tracker import SIZE
from training.recipes.medsam_compact import percentile_scaled
from training.recipes.polyp_compact import MEAN, STD

LEAST_TRUTH = 100  # pixels of the volume's own slice in the first frame of a sequence
LEAST_TARGET = 40  # pixels of the square in the first frame of a sequence
STRIDES = (1, 2, 3)
LEAVES = 0.4  # share of the batches whose sequences leave the structure
POLYPS = 0.15  # share of the sequences that show a colonoscopy frame
LEFT_OUT = 6  # the PolypGen centre that does not take part in training
DATA_SETS = ["Left Atrium Segmentation Challenge 2018 (64 volumes)", "Kvasir-SEG training (799)",
             "PolypGen single frames with a polyp, without centre 6"]


class Training:
    """Draws sequences from the training volumes and, with `polyps`, from the training frames."""

    def __init__(self, data, cache, polyps=True):
        self.volumes = []
        for path in left_atrium_volumes.split(data)[0]:
            image, mask = left_atrium_volumes.read(path)
            areas = (mask > 0).sum((1, 2))
            self.volumes.append((percentile_scaled(image), (mask > 0).astype(np.uint8), np.flatnonzero(areas >= LEAST_TRUTH)))
        self.frames = load_frames(data, cache) if polyps else None

    def sequence(self, length, leaves, rng):
        """Frames float32 [length, 3, SIZE, SIZE], normalised, and truth bool [length, SIZE, SIZE].

        The first frame shows the structure. With `leaves` the sequence is placed so that the structure goes away.
        """
        while True:
            draw = self.moving_frame if self.frames is not None and rng.random() < POLYPS else self.slices
            frames, truth = draw(length, leaves, rng)
            if truth[0].sum() >= LEAST_TARGET:
                frames = (frames / 255 - MEAN[:, None, None]) / STD[:, None, None]
                return frames.astype(np.float32), truth

    def batch(self, count, length, rng):
        """Frames [length, count, 3, SIZE, SIZE] and truth [length, count, SIZE, SIZE] as float32 tensors."""
        leaves = rng.random() < LEAVES
        frames, truth = zip(*(self.sequence(length, leaves, rng) for _ in range(count)))
        return torch.from_numpy(np.stack(frames, 1)), torch.from_numpy(np.stack(truth, 1).astype(np.float32))

    def slices(self, length, leaves, rng):
        """Slices of a volume, 0...255, and their truth."""
        image, mask, present = self.volumes[rng.integers(len(self.volumes))]
        step = int(rng.choice(STRIDES)) * int(rng.choice((-1, 1)))
        if leaves:
            end = present[-1] if step > 0 else present[0]
            start = end - step * int(rng.integers(0, length - 1))
        else:
            start = rng.choice(present)
        start = int(np.clip(start, present[0], present[-1]))
        chosen = np.clip(start + step * np.arange(length), 0, len(image) - 1)
        stacked = torch.from_numpy(np.stack([image[chosen], mask[chosen] * 255])).permute(1, 0, 2, 3).float()
        theta = affine(rng, turn=20, scale=(0.65, 1.35), mirror=0.3, shift=0.15)
        frames, truth = warped(stacked, np.repeat(theta[None], length, axis=0), rng)
        return np.repeat(relit(frames / 255, rng) * 255, 3, axis=1), truth

    def moving_frame(self, length, leaves, rng):
        """One colonoscopy frame under a camera that turns, approaches and shifts, 0...255, and its truth."""
        images, masks = self.frames
        index = rng.integers(len(images))
        stacked = torch.from_numpy(np.concatenate([images[index], masks[index][..., None]], axis=2)).permute(2, 0, 1)[None]
        first = affine(rng, turn=180, scale=(0.8, 1.5), mirror=0.5, shift=0.15)
        angle, growth = np.deg2rad(rng.normal(0, 6)), np.exp(rng.normal(0, 0.06))
        move = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * growth
        drift = rng.normal(0, 0.35 if leaves else 0.05, 2)
        thetas = [first]
        for _ in range(length - 1):
            last = thetas[-1]
            thetas.append(np.c_[last[:, :2] @ move, last[:, 2] + drift + rng.normal(0, 0.02, 2)])
        frames, truth = warped(stacked.float().expand(length, -1, -1, -1), np.stack(thetas), rng)
        seed = rng.integers(2 ** 32)  # the same light and colours in every frame
        frames = [endoscopes.recolour(np.ascontiguousarray(frame.transpose(1, 2, 0)), np.random.default_rng(seed))
                  for frame in frames]
        return np.stack(frames).transpose(0, 3, 1, 2), truth


def affine(rng, turn, scale, mirror, shift):
    """A random map [2, 3] for `affine_grid`: up to `turn` degrees, a scale, a stretch, a reflection and a shift."""
    angle = np.deg2rad(rng.uniform(-turn, turn)) if rng.random() < 0.5 else 0.0
    factor, aspect = np.exp(rng.uniform(*np.log(scale))), np.exp(rng.uniform(-0.2, 0.2) / 2)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([aspect, 1 / aspect]) / factor
    if rng.random() < mirror:
        matrix = matrix @ np.diag([-1, 1])
    return np.c_[matrix, rng.uniform(-shift, shift, 2)]


def warped(stacked, thetas, rng):
    """Images [length, channels, SIZE, SIZE] and truth [length, SIZE, SIZE] of `stacked`, whose last channel is the mask."""
    grid = F.affine_grid(torch.tensor(thetas, dtype=torch.float32), (len(stacked), 1, SIZE, SIZE), align_corners=False)
    fill = "reflection" if rng.random() < 0.4 else "zeros"
    found = F.grid_sample(stacked, grid, padding_mode=fill, align_corners=False).numpy()
    return found[:, :-1], found[:, -1] > 127.5


def relit(frames, rng):
    """Slices [length, 1, rows, columns] in 0...1 with another contrast, coil shading and focus, and noise per slice."""
    frames = np.maximum(frames, 0) ** np.exp(rng.uniform(-0.35, 0.35)) * np.exp(rng.uniform(-0.3, 0.3))
    if rng.random() < 0.5:
        coarse = torch.from_numpy(np.exp(rng.normal(0, rng.uniform(0.05, 0.3), (1, 1, 3, 3))).astype(np.float32))
        frames = frames * F.interpolate(coarse, size=frames.shape[2:], mode="bilinear", align_corners=True).numpy()
    if rng.random() < 0.25:
        frames = ndimage.gaussian_filter(frames, (0, 0, *[rng.uniform(0.5, 2)] * 2))
    if rng.random() < 0.4:
        frames = frames + rng.standard_normal(frames.shape, np.float32) * rng.uniform(0.005, 0.06) * (frames > 0)
    return np.clip(frames, 0, 1).astype(np.float32)


def load_frames(data, cache):
    """Images and masks (uint8 squares of SIZE) of the training frames with a polyp. Builds them if they are missing."""
    paths = [cache / f"tracked-{name}.npy" for name in ("images", "masks")]
    if not paths[-1].exists():
        real = takewhile(lambda pair: pair[2] != polyp_frames.DRAWN, polyp_frames.training_pairs(data))
        pairs = [(image, mask) for image, mask, origin in real if origin != LEFT_OUT and mask.any()]
        for k, path in enumerate(paths):
            np.save(path, np.stack([np.asarray(Image.fromarray(pair[k]).resize((SIZE, SIZE), Image.BILINEAR)) for pair in pairs]))
    return [np.load(path, mmap_mode="r") for path in paths]
