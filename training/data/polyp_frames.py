# SPDX-License-Identifier: Apache-2.0
"""Colonoscopy frames of Kvasir-SEG and PolypGen: reading, splitting, caching and augmentation.

The training frames are decoded once, kept as uint8 squares of CACHE_SIZE pixels, and augmented anew for every batch.
"""
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from training.data import blend, endoscopes, scenes
from training.recipes.polyp_compact import SIZE, normalise

SIZE_AT_FIRST, FIRST = 192, 0.6  # side of the squares during this first share of a training
CACHE_SIZE = 288
SCENES = 200
KVASIR, DRAWN = 0, 9
CENTRES = [("^EndoCV2021_C5_", 5), ("^EndoCV2021_C6_", 6), ("^EndoCV2021_00", 2), ("^C3_", 3), ("_endocv2021_", 4),
           ("^100|OLCV1_100", 1)]
EMPTY_REPEATS = 2  # additional draws of each real frame without a polyp
DATA_SETS = ["Kvasir-SEG training (799)", "PolypGen single frames (1237)", f"drawn scenes ({SCENES})"]


def read_pair(folder, name, mask_suffix):
    """The RGB image and the mask of one frame. JPEG masks are not exactly 0 and 255."""
    image = np.asarray(Image.open(folder / "images" / name).convert("RGB"))
    mask = np.asarray(Image.open(folder / "masks" / (Path(name).stem + mask_suffix)).convert("L")) > 127
    return image, mask


def held_out(data):
    """Yields (name, image, mask) of every validation frame of Kvasir-SEG."""
    folder = Path(data) / "kvasir-seg/validation"
    for path in sorted((folder / "images").iterdir()):
        yield path.stem, *read_pair(folder, path.name, ".jpg")


def centre(name):
    """The PolypGen centre, 1 to 6, that a file name belongs to."""
    for pattern, number in CENTRES:
        if re.search(pattern, name):
            return number
    raise ValueError(f"{name}: the name does not match any PolypGen centre")


def training_pairs(data):
    """Yields (image, mask 0 or 255, origin) of every frame. The origin is a PolypGen centre, KVASIR or DRAWN."""
    for folder, suffix in ((Path(data) / "kvasir-seg/train", ".jpg"), (Path(data) / "polypgen/train", ".png")):
        for path in sorted((folder / "images").iterdir()):
            image, mask = read_pair(folder, path.name, suffix)
            yield image, mask.astype(np.uint8) * 255, KVASIR if suffix == ".jpg" else centre(path.name)
    for seed in range(SCENES):
        image, mask = scenes.colonoscopy(np.random.default_rng([1, seed]), (CACHE_SIZE, CACHE_SIZE), polyps=seed % 3)
        yield np.asarray(image, np.uint8), mask.astype(np.uint8) * 255, DRAWN


class Training:
    """Draws augmented batches from the cached frames.

    Each frame with a polyp also has a copy in which the polyp is filled in (a frame without a polyp) and a copy in which
    a healthy patch is exchanged (blend.py). Batches do not contain frames of the PolypGen centre `leave_out`.
    """

    def __init__(self, data, cache, leave_out=None):
        self.progress = 0.0
        self.images, self.masks, self.filled, self.decoys, self.origin = load_cache(data, cache)
        self.empty = ~self.masks.any(axis=(1, 2))
        self.fillable = np.array([bool(frame[::8, ::8].any()) for frame in self.filled])
        drawn = np.flatnonzero(self.origin != leave_out)
        self.left_out = np.flatnonzero(self.origin == leave_out)
        real = drawn[self.empty[drawn] & (self.origin[drawn] != DRAWN)]
        self.indices = np.concatenate([drawn, np.repeat(real, EMPTY_REPEATS)])
        self.donors = drawn[~self.empty[drawn] & (self.origin[drawn] != DRAWN)]

    def __len__(self):
        return len(self.indices)

    def left_out_cases(self):
        """Yields (image, mask) of each frame of the centre that is left out."""
        for index in self.left_out:
            yield self.images[index], self.masks[index] > 127

    def choose(self, index, rng):
        """(image, mask, crop) of one frame or of one of its copies.

        The crop is (top, left, side) as fractions of the frame, or None.
        """
        image, mask, choice = self.images[index], self.masks[index], rng.random()
        if self.empty[index]:
            return image, mask, None
        if choice < 0.14 and self.fillable[index]:
            return self.filled[index], np.zeros_like(mask), None
        if choice < 0.26:
            crop = healthy_crop(mask, rng)
            if crop:
                return image, np.zeros_like(mask), crop
        return (self.decoys[index] if choice > 0.85 else image), mask, None

    def warped(self, index, rng, source=None):
        """A turned, scaled, mirrored and shifted frame: float [side, side, 3] in 0...255, and its mask."""
        image, mask, crop = source or self.choose(index, rng)
        if crop:
            top, left, side = (round(value * CACHE_SIZE) for value in crop)
            image, mask = (array[top:top + side, left:left + side] for array in (image, mask))
        stacked = torch.from_numpy(np.concatenate([image, mask[..., None]], axis=2)).permute(2, 0, 1)[None].float()
        fill = "zeros" if rng.random() < 0.5 else "reflection"
        side = SIZE_AT_FIRST if self.progress < FIRST else SIZE
        grid = F.affine_grid(endoscopes.random_affine(rng), (1, 4, side, side), align_corners=False)
        warped = F.grid_sample(stacked, grid, padding_mode=fill, align_corners=False)[0].numpy()
        return np.ascontiguousarray(warped[:3].transpose(1, 2, 0)), warped[3] > 127.5

    def donor(self, rng):
        """A warped frame with a polyp, to paste from."""
        index = rng.choice(self.donors)
        return self.warped(index, rng, (self.images[index], self.masks[index], None))

    def sample(self, index, rng):
        """One network input [3, side, side] and its target [1, side, side]."""
        image, truth = self.warped(index, rng)
        if rng.random() < 0.12:
            image, truth = blend.paste(rng, image, truth, *self.donor(rng))
        return normalise(endoscopes.recolour(image, rng)), truth[None].astype(np.float32)

    def batch(self, indices, rng):
        """Inputs [batch, 3, side, side] and targets [batch, 1, side, side] for indices into this object."""
        pairs = [self.sample(self.indices[index], rng) for index in indices]
        return (torch.from_numpy(np.stack([pair[0] for pair in pairs])),
                torch.from_numpy(np.stack([pair[1] for pair in pairs])))


def healthy_crop(mask, rng):
    """A square without a polyp, 0.35 to 0.7 of the frame's side: (top, left, side) as fractions, or None."""
    for _ in range(8):
        side = rng.uniform(0.35, 0.7)
        top, left = rng.uniform(0, 1 - side, 2)
        box = [round(value * CACHE_SIZE) for value in (top, top + side, left, left + side)]
        if not mask[box[0]:box[1], box[2]:box[3]].any():
            return top, left, side
    return None


def load_cache(data, cache):
    """Images, masks, filled frames, decoys (uint8 squares of CACHE_SIZE) and origins. Builds them if they are missing.

    A filled frame is all zeros if a fitting healthy patch was not found.
    """
    paths = [Path(cache) / f"polyp-{name}.npy" for name in ("images", "masks", "filled", "decoys", "origin")]
    if not paths[-1].exists():
        frames = list(training_pairs(data))
        images, masks = (np.stack([np.asarray(Image.fromarray(frame[k]).resize((CACHE_SIZE, CACHE_SIZE), Image.BILINEAR))
                                   for frame in frames]) for k in (0, 1))
        origin = np.array([frame[2] for frame in frames])
        rng, found, exchanged = np.random.default_rng(3), np.zeros_like(images), images.copy()
        for k in np.flatnonzero(masks.any(axis=(1, 2))):
            alike = np.flatnonzero(origin == origin[k])

            def others(alike=alike):
                n = rng.choice(alike)
                return images[n], masks[n] > 127
            patch = blend.filled(rng, images[k], masks[k] > 127, others)
            found[k] = 0 if patch is None else patch
            exchanged[k] = blend.decoy(rng, images[k], masks[k] > 127, others)
        for path, array in zip(paths, (images, masks, found, exchanged, origin)):
            np.save(path, array)
    return [np.load(path, mmap_mode="r") for path in paths[:-1]] + [np.load(paths[-1])]


def unseen(data, cache, leave_out, logits):
    """Yields (name, image, mask, presence logit or None) of frames whose presence logit is unbiased.

    These are the frames of the centre `leave_out` and the real frames without a polyp of the other centres. `logits`
    holds one presence logit per real frame without a polyp, in their order, from heads that were fitted without the
    frame's centre.
    """
    training = Training(data, cache, leave_out)
    real = np.flatnonzero(training.empty & (training.origin != DRAWN))
    known = dict(zip(real, logits))
    for k in np.union1d(training.left_out, real):
        yield f"polypgen {k}", training.images[k], training.masks[k] > 127, known.get(k)
