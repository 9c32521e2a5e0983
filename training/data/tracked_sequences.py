# SPDX-License-Identifier: Apache-2.0
"""Sequences of frames with their truth, for the training of medsam2-compact.

Most sequences are slices of a left-atrium volume, at a stride of 1 to 3 and in either direction; many of them leave the
atrium. The others show one colonoscopy frame under a moving camera that also bends it, sometimes until the polyp leaves the
view. All frames of a sequence share one geometric and one photometric augmentation. The data stay on the training's device
as uint8 squares, and the device draws and applies the augmentations of a whole batch at once.
"""
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from training.data import tracked_pack
from training.networks.tracker import SIZE
from training.recipes.polyp_compact import MEAN, STD

LEAST_TRUTH = 100  # pixels of the volume's own slice in the first frame of a sequence
LEAST_TARGET = 40  # pixels of the square in the first frame of a sequence
STRIDES = (1, 2, 3)
POLYPS = 0.15  # share of the sequences that show a colonoscopy frame
SPARE = 1.25  # sequences drawn for each one used, because a first frame may have lost its structure
BLUR = 4  # pixels that the kernel of a blur reaches
DATA_SETS = ["Left Atrium Segmentation Challenge 2018 (64 volumes, 6 of them for validation)", "Kvasir-SEG training (799)",
             "PolypGen single frames with a polyp, without centre 6"]


class Volume(NamedTuple):
    """Where the slices of a volume lie in the stack of all slices."""
    name: str
    first: int
    count: int
    present: np.ndarray  # slices of the volume with at least LEAST_TRUTH pixels


def squares(images, device):
    """Images [count, rows, columns] as uint8 squares [count, SIZE, SIZE]."""
    whole = torch.from_numpy(images).to(device)[:, None].float()
    whole = F.interpolate(whole, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
    return whole[:, 0].round().clamp(0, 255).byte()


def normalised(frames):
    """Frames [..., 3, rows, columns] in 0...1 as the network takes them."""
    mean, std = (torch.from_numpy(part).to(frames.device)[:, None, None] for part in (MEAN, STD))
    return (frames - mean) / std


class Training:
    """Draws sequences from the volumes and, with `polyps`, from the frames of packs (tracked_pack.py)."""

    def __init__(self, packs, device="cpu", polyps=True):
        volumes, frames = tracked_pack.read(packs)
        self.volumes = self.stack(volumes["training"], device)
        self.validation = [(name, squares(image, device), squares(mask * 255, device) > 127)
                           for name, image, mask in volumes["validation"]]
        self.frames = None
        if polyps and frames is not None:
            images, masks = (torch.from_numpy(part).to(device) for part in frames)
            self.frames = torch.cat([images.permute(0, 3, 1, 2), masks[:, None] * 255], dim=1)

    def stack(self, volumes, device):
        """The places of the volumes (name, image, mask) in `self.slices`, uint8 [slices, 2, SIZE, SIZE] with the mask."""
        found, parts, first = [], [], 0
        for name, image, mask in volumes:
            found.append(Volume(name, first, len(image), np.flatnonzero(mask.sum((1, 2)) >= LEAST_TRUTH)))
            parts.append(torch.stack([squares(image, device), squares(mask * 255, device)], dim=1))
            first += len(image)
        self.slices = torch.cat(parts)
        return found

    def batch(self, count, length, rng, leaves=False, shown=0):
        """Normalised frames [length, count, 3, SIZE, SIZE] and truth [length, count, SIZE, SIZE], 0 or 1 in float32.

        The first frame shows the structure. With `leaves` the sequences are placed so that the structure goes away.
        Otherwise the atrium also is in frame `shown`, where the volume has room for it.
        """
        polyps = int(rng.binomial(count, POLYPS)) if self.frames is not None else 0
        parts = [draw(number, length, leaves, shown, rng)
                 for draw, number in ((self.volume_slices, count - polyps), (self.moving_frames, polyps)) if number]
        frames, truth = (torch.cat(part, dim=1) for part in zip(*parts))
        return normalised(frames), truth

    def volume_slices(self, count, length, leaves, shown, rng):
        """Slices of volumes in 0...1, and their truth."""
        spare = int(count * SPARE) + 1
        indices = np.stack([self.path(length, leaves, shown, rng) for _ in range(spare)])
        thetas = on(affine(rng, spare, turn=25, scale=(0.45, 1.4), mirror=0.3, shift=0.2), self.slices)
        bend = bending(rng, spare, 0.035, self.slices)
        first = self.slices[torch.from_numpy(indices[:, 0]).to(self.slices.device), 1:]
        kept = fullest(warped(first.float(), thetas, bend, "zeros"), count)
        stacked = self.slices[torch.from_numpy(indices).to(kept.device)[kept]].float().flatten(1, 2)
        fill = "reflection" if rng.random() < 0.4 else "zeros"
        found = warped(stacked, thetas[kept], bend[kept], fill).unflatten(1, (length, 2))
        frames = relit(found[:, :, 0] / 255, rng).transpose(0, 1)[:, :, None].expand(-1, -1, 3, -1, -1)
        return frames, (found[:, :, 1] > 127.5).float().transpose(0, 1)

    def path(self, length, leaves, shown, rng):
        """The places [length] of a sequence's slices in `self.slices`."""
        volume = self.volumes[rng.integers(len(self.volumes))]
        low, high = volume.present[0], volume.present[-1]
        step = int(rng.choice(STRIDES)) * int(rng.choice((-1, 1))) if length <= 16 else int(rng.choice((-1, 1)))
        if leaves:
            start = (high if step > 0 else low) - step * int(rng.integers(0, length - 1))
        else:
            room = max(high - low - abs(step) * shown, 0)
            start = low + int(rng.integers(room + 1)) if step > 0 else high - int(rng.integers(room + 1))
        start = int(np.clip(start, low, high))
        return volume.first + np.clip(start + step * np.arange(length), 0, volume.count - 1)

    def moving_frames(self, count, length, leaves, shown, rng):
        """Colonoscopy frames under a camera that turns, approaches, shifts and bends them, in 0...1, and their truth."""
        spare = int(count * SPARE) + 1
        chosen = torch.from_numpy(rng.integers(len(self.frames), size=spare)).to(self.frames.device)
        thetas = affine(rng, spare, turn=180, scale=(0.8, 1.5), mirror=0.5, shift=0.15)
        bend = bending(rng, spare, 0.03, self.frames)
        kept = fullest(warped(self.frames[chosen, 3:].float(), on(thetas, self.frames), bend, "zeros"), count)
        thetas = thetas[kept.cpu().numpy()]
        moves = turned(np.deg2rad(rng.normal(0, 6, count))) * np.exp(rng.normal(0, 0.06, count))[:, None, None]
        drift = rng.normal(0, 0.35 if leaves else 0.05, (count, 2))
        every = [thetas]
        for _ in range(length - 1):
            last = every[-1]
            shift = last[:, :, 2] + drift + rng.normal(0, 0.02, (count, 2))
            every.append(np.concatenate([last[:, :, :2] @ moves, shift[:, :, None]], axis=2))
        thetas = on(np.stack(every, axis=1).reshape(-1, 2, 3), self.frames)
        slow = bending(rng, count, 0.008, self.frames)[:, None] * torch.arange(length, device=kept.device)[:, None, None, None]
        bend = (bend[kept][:, None] + slow + bending(rng, count * length, 0.004, self.frames).unflatten(0, (count, length)))
        stacked = self.frames[chosen[kept]].float()[:, None].expand(-1, length, -1, -1, -1).flatten(0, 1)
        fill = "reflection" if rng.random() < 0.4 else "zeros"
        found = warped(stacked, thetas, bend.flatten(0, 1), fill).unflatten(0, (count, length))
        frames = recoloured(found[:, :, :3] / 255, rng)
        return frames.transpose(0, 1), (found[:, :, 3] > 127.5).float().transpose(0, 1)


def on(array, like):
    """A float32 tensor of the array on the device of `like`."""
    return torch.from_numpy(np.asarray(array, np.float32)).to(like.device)


def fullest(first, count):
    """Indices of `count` masks [spare, 1, SIZE, SIZE] that have at least LEAST_TARGET pixels, as far as there are any."""
    return ((first > 127.5).sum((1, 2, 3)) >= LEAST_TARGET).int().argsort(descending=True, stable=True)[:count]


def turned(angles):
    """Rotations [count, 2, 2]."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def affine(rng, count, turn, scale, mirror, shift):
    """Random maps [count, 2, 3] for `affine_grid`: up to `turn` degrees, a scale, a stretch, a reflection and a shift."""
    angles = np.deg2rad(rng.uniform(-turn, turn, count)) * (rng.random(count) < 0.5)
    factors, aspects = np.exp(rng.uniform(*np.log(scale), count)), np.exp(rng.uniform(-0.25, 0.25, count) / 2)
    sides = np.stack([aspects * np.where(rng.random(count) < mirror, -1, 1), 1 / aspects], axis=1) / factors[:, None]
    return np.concatenate([turned(angles) * sides[:, None], rng.uniform(-shift, shift, (count, 2, 1))], axis=2)


def bending(rng, count, reach, like):
    """Smooth random displacements [count, 5, 5, 2] in half squares, at most of about twice `reach`; half of them are weak."""
    strength = reach * rng.random((count, 1, 1, 1)) * np.where(rng.random((count, 1, 1, 1)) < 0.5, 1, 0.2)
    return on(rng.normal(0, 1, (count, 5, 5, 2)) * strength, like)


def warped(stacked, thetas, bend, fill):
    """Pictures [count, channels, SIZE, SIZE] moved by affine maps [count, 2, 3] and displacements [count, 5, 5, 2]."""
    grid = F.affine_grid(thetas, (len(stacked), 1, SIZE, SIZE), align_corners=False)
    smooth = F.interpolate(bend.permute(0, 3, 1, 2), size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return F.grid_sample(stacked, grid + smooth.permute(0, 2, 3, 1), padding_mode=fill, align_corners=False)


def blurred(frames, sigmas):
    """Frames [count, channels, rows, columns], each blurred by a Gaussian with a deviation in pixels of sigmas [count]."""
    places = torch.arange(-BLUR, BLUR + 1, device=frames.device)
    kernels = torch.exp(-0.5 * (places / sigmas[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True))[:, None]
    x = frames.transpose(0, 1)
    x = F.conv2d(x, kernels[:, :, None], padding=(0, BLUR), groups=len(frames))
    return F.conv2d(x, kernels[:, :, :, None], padding=(BLUR, 0), groups=len(frames)).transpose(0, 1)


def focus(rng, count, share, like):
    """Deviations in pixels for `blurred`; `share` of the sequences lose sharpness."""
    return on(np.where(rng.random(count) < share, rng.uniform(0.5, 2, count), 0.1), like)


def shading(rng, count, like):
    """Smooth factors [count, 1, SIZE, SIZE], as from receiver coils or a lamp, that half of the sequences get."""
    reach = rng.uniform(0.05, 0.35, (count, 1, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.5)
    coarse = on(np.exp(rng.normal(0, 1, (count, 1, 3, 3)) * reach), like)
    return F.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear", align_corners=True)


def noise(rng, shape, share, reach, like):
    """Noise of this shape, whose first axis counts sequences; `share` of the sequences get it."""
    strength = rng.uniform(*reach, shape[0]) * (rng.random(shape[0]) < share)
    return torch.randn(shape, device=like.device) * on(strength, like).reshape(-1, *[1] * (len(shape) - 1))


def relit(frames, rng):
    """Slices [count, length, rows, columns] in 0...1 with another contrast, coil shading and focus, and noise per slice."""
    count, length = frames.shape[:2]

    def factor(reach, *shape):
        return on(np.exp(rng.uniform(-reach, reach, shape)), frames)
    frames = frames.clamp(min=0) ** factor(0.4, count, 1, 1, 1) * factor(0.35, count, 1, 1, 1) * factor(0.05, count, length, 1, 1)
    frames = blurred(frames * shading(rng, count, frames), focus(rng, count, 0.3, frames))
    return (frames + noise(rng, frames.shape, 0.4, (0.005, 0.07), frames) * (frames > 0)).clamp(0, 1)


def recoloured(frames, rng):
    """Colour frames [count, length, 3, rows, columns] in 0...1 with another light, colour, focus, and noise."""
    count = len(frames)

    def drawn(low, high):
        return on(rng.uniform(low, high, (count, 1, 1, 1, 1)), frames)
    frames = frames.clamp(0, 1) ** drawn(-0.35, 0.35).exp()
    grey = frames.mean(2, keepdim=True)
    frames = grey + (frames - grey) * drawn(0.6, 1.4)
    mean = frames.mean((1, 2, 3, 4), keepdim=True)
    frames = (frames - mean) * drawn(0.7, 1.3) + mean
    gains = np.eye(3) * (rng.uniform(0.75, 1.25, (count, 1)) * rng.uniform(0.88, 1.12, (count, 3)))[:, None]
    mixed = torch.einsum("nlchw,ncd->nldhw", frames, on(gains + rng.uniform(-0.06, 0.06, (count, 3, 3)), frames))
    frames = (mixed * shading(rng, count, frames)[:, None]).clamp(0, 1)
    frames = blurred(frames.flatten(1, 2), focus(rng, count, 0.25, frames)).unflatten(1, frames.shape[1:3])
    return (frames + noise(rng, frames.shape, 0.15, (0.01, 0.05), frames)).clamp(0, 1)
