# SPDX-License-Identifier: Apache-2.0
"""medsam-compact: its data, its prompts and its recipe (what happens before and after the network).

Recipe: RGB 0..255 -> resize.resize to 256 x 256 (stretched, no rounding) -> (x / 255 - MEAN) / STD -> image encoder.
MRI first: clipped to the 0.5 and 99.5 percentiles of the volume's voxels > 0, scaled to 0..255, zeros stay 0, rounded
down to whole numbers, repeated three times. Prompts are scaled with the image. A box is given twice: to the prompt encoder's box
input, and, when there is no mask of an earlier round, drawn by `drawn_box` as its mask input. The single mask's 128 x 128
logits -> resize.resize to the image's size -> mask = logits > 0.

A truth box is the smallest box around the truth; jitter j moves every edge by a share, uniform in -j...j, of the side.
"""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

import blend
import endoscopes
import left_atrium
import polyp
from polyp import MEAN, STD
from promptable import SIZE
from resize import resize

NAME = "medsam-compact"
VERSION = "1.0.0"  # of the recipe, as the runtime names it
SIZE_AT_FIRST, FIRST = 192, 0.6  # the side of the squares for this share of a training
JITTER = 0.2
LEAST_TRUTH = 100  # pixels of a slice that is scored
LEFT_OUT = 6  # the PolypGen centre that is not drawn from
DATA_SETS = ["Kvasir-SEG training (799)", "PolypGen single frames with a polyp, without centre 6",
             "Left Atrium Segmentation Challenge 2018 (slices of 64 volumes)"]
SMALLEST = 60  # pixels of a target in a square


def percentile_scaled(volume):
    """uint8 0..255, as MedSAM's preparation of MRI."""
    inside = volume[volume > 0]
    low, high = np.percentile(inside, [0.5, 99.5]) if inside.size else (0, 1)
    scaled = (np.clip(volume, low, high) - low) / max(high - low, 1e-6) * 255
    return np.where(volume > 0, scaled, 0).astype(np.uint8)


def drawn_box(box, size=SIZE):
    """A box XYXY in an image of side `size` as a mask prompt of half the side: 5 in its centre, 0 on the ellipse inside it,
    -5 from its corners outwards."""
    centres = np.arange(1, size, 2, np.float32)

    def share(low, high):
        return (centres - (low + high) / 2) / max((high - low) / 2, 1)

    radius = share(box[1], box[3])[:, None] ** 2 + share(box[0], box[2])[None] ** 2
    return (5 * np.clip(1 - radius, -1, 1)).astype(np.float32)


def box_of(mask):
    """The smallest box XYXY around a mask: edges of pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def jittered(box, rng, limits, jitter=JITTER):
    """The box with every edge moved, inside the image of limits (height, width) and not inside out."""
    side = np.tile(box[2:] - box[:2], 2)
    moved = box + rng.uniform(-jitter, jitter, 4) * side
    return np.clip(moved, 0, [limits[1], limits[0]] * 2).astype(np.float32)


def slices(paths):
    """(scaled slice uint8, truth) of every slice with at least LEAST_TRUTH pixels of truth, volume by volume."""
    for path in paths:
        image, mask = left_atrium.read(path)
        scaled = percentile_scaled(image)
        for plane, truth in zip(scaled, mask > 0):
            if truth.sum() >= LEAST_TRUTH:
                yield path.stem, plane, truth


def held_out(data, frames=1, planes=3):
    """(domain, name, image RGB, truth) of what is scored: of frames and of slices every so many-th."""
    for name, image, truth in list(polyp.held_out(data))[::frames]:
        yield "polyp", name, image, truth
    for name, plane, truth in list(slices(left_atrium.split(data)[1]))[::planes]:
        yield "atrium", name, np.repeat(plane[..., None], 3, axis=2), truth


class Training:
    """Batches whose first half are colonoscopy frames and whose second half are LGE slices."""

    def __init__(self, data, cache):
        self.frames = polyp.Training(data, cache, leave_out=LEFT_OUT)
        file = Path(cache) / "lge-slices.npz"
        if not file.exists():
            found = list(slices(left_atrium.split(data)[0]))
            np.savez(file, **{f"{k}": np.stack([plane, truth.astype(np.uint8) * 255])
                              for k, (_, plane, truth) in enumerate(found)})
        with np.load(file) as kept:
            self.slices = [kept[f"{k}"] for k in range(len(kept.files))]

    def begin(self, progress):
        """Sets the side of the squares for this share of the training."""
        self.size = SIZE_AT_FIRST if progress < FIRST else SIZE
        self.frames.progress = 0 if self.size == polyp.SIZE_AT_FIRST else 1

    def frame(self, rng):
        frames = self.frames
        index = rng.choice(frames.donors)
        source = frames.decoys if rng.random() < 0.15 else frames.images
        image, truth = frames.warped(index, rng, (source[index], frames.masks[index], None))
        if rng.random() < 0.12:
            donor = rng.choice(frames.donors)
            image, truth = blend.paste(rng, image, truth, *frames.warped(
                donor, rng, (frames.images[donor], frames.masks[donor], None)))
        return endoscopes.recolour(image, rng), truth

    def slice(self, rng):
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
        """Image [3, side, side], normalised, and the target: the whole truth or one of its parts."""
        while True:
            image, truth = draw(rng)
            if rng.random() < 0.25:
                parts, count = ndimage.label(truth)
                truth = parts == rng.integers(1, count + 1) if count > 1 else truth
            if truth.sum() >= SMALLEST:
                return polyp.normalise(image), truth

    def batch(self, count, rng):
        pairs = [self.sample(self.frame if k < count // 2 else self.slice, rng) for k in range(count)]
        return torch.from_numpy(np.stack([image for image, _ in pairs])), np.stack([truth for _, truth in pairs])


def relit(image, rng):
    """Contrast, coil shading, focus and noise of a slice in 0..1."""
    image = np.maximum(image, 0) ** np.exp(rng.uniform(-0.35, 0.35)) * np.exp(rng.uniform(-0.3, 0.3))
    if rng.random() < 0.5:
        coarse = torch.from_numpy(np.exp(rng.normal(0, rng.uniform(0.05, 0.3), (1, 1, 3, 3))).astype(np.float32))
        image = image * F.interpolate(coarse, size=image.shape, mode="bilinear", align_corners=True)[0, 0].numpy()
    if rng.random() < 0.25:
        image = ndimage.gaussian_filter(image, rng.uniform(0.5, 2))
    if rng.random() < 0.4:
        image = image + rng.standard_normal(image.shape, np.float32) * rng.uniform(0.005, 0.06) * (image > 0)
    return image.astype(np.float32)


def points_in(truth, count, rng, wrong=None):
    """Points [count, 2] XY and their labels: the first one inside; `wrong` are pixels to correct, when there are any."""
    rows, columns = np.nonzero(wrong if wrong is not None and wrong.any() else truth)
    near = np.zeros_like(truth)
    x0, y0, x1, y1 = (box_of(truth) + len(truth) * np.array([-1, -1, 1, 1]) / 8).clip(0, max(truth.shape)).astype(int)
    near[y0:y1, x0:x1] = True
    outside = np.argwhere(near & ~truth)
    chosen = []
    for k in range(count):
        if k and len(outside) and rng.random() < 0.3:
            y, x = outside[rng.integers(len(outside))]
        else:
            pick = rng.integers(len(rows))
            y, x = rows[pick], columns[pick]
        chosen.append((x, y, truth[y, x]))
    chosen = np.array(chosen, np.float32)
    return chosen[:, :2], chosen[:, 2]


@torch.no_grad()
def embed(network, image):
    return network.image_encoder(torch.from_numpy(polyp.normalise(resize(image, (SIZE, SIZE))))[None])


@torch.no_grad()
def predict(network, embedding, shape, box):
    """(mask, predicted IoU) for a box XYXY in an image of `shape`."""
    box = np.asarray(box, np.float32) * np.tile([SIZE / shape[1], SIZE / shape[0]], 2).astype(np.float32)
    drawn = torch.from_numpy(drawn_box(box))[None, None]
    logits, iou = network.decode(embedding, boxes=torch.from_numpy(box)[None], masks=drawn)
    return resize(logits[0, 0].numpy(), shape) > 0, float(iou[0, 0])


@torch.no_grad()
def predict_point(network, embedding, truth, rng):
    """The mask for one point inside the truth: the best of three by predicted IoU."""
    point, label = points_in(truth, 1, rng)
    point = point * np.array([SIZE / truth.shape[1], SIZE / truth.shape[0]], np.float32)
    logits, iou = network.decode(embedding, points=(torch.from_numpy(point)[None], torch.from_numpy(label)[None]))
    return resize(logits[0, 1 + int(iou[0, 1:].argmax())].numpy(), truth.shape) > 0
