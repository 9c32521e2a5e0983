# SPDX-License-Identifier: Apache-2.0
"""Frames made from frames: polyps filled in from their surroundings, healthy patches exchanged, polyps pasted.

`clone` follows Poisson image editing (Perez 2003) with a membrane interpolated on a pyramid: inside the mask, the
result is the source's texture plus a smooth field that matches the target along the edge. Filling in its polyp turns a
frame into one without a polyp. `decoy` treats a healthy patch of a frame with a polyp in the same way, so a network
cannot learn to recognise the seams.
"""
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

MARGIN = 5  # pixels around a polyp that are filled in, too
TRIES = 24
DARK = 45  # mean grey value up to which a patch is not used


def membrane(difference, known):
    """The values `difference` [rows, columns, 3] where `known` is 1, and smooth values elsewhere."""
    values = torch.from_numpy(difference * known[..., None]).permute(2, 0, 1)[None].float()
    weights = torch.from_numpy(known)[None, None].float()
    levels = [(values, weights)]
    while min(levels[-1][1].shape[2:]) > 4:
        levels.append(tuple(F.avg_pool2d(x, 2, ceil_mode=True) for x in levels[-1]))
    values, weights = levels[-1]
    field = values.sum((2, 3), keepdim=True) / weights.sum((2, 3), keepdim=True).clamp(min=1e-6)
    for values, weights in reversed(levels):
        field = F.interpolate(field, size=values.shape[2:], mode="bilinear", align_corners=False)
        field = torch.where(weights > 0, values / weights.clamp(min=1e-6), field)
    return field[0].permute(1, 2, 0).numpy()


def clone(target, source, mask):
    """`target` with the inside of the mask taken from `source`, without a step at the edge: uint8 [rows, columns, 3]."""
    ring = ndimage.binary_dilation(mask, iterations=4) & ~mask
    if not ring.any():
        return target
    target, source = target.astype(np.float32), source.astype(np.float32)
    field = membrane(target - source, ring.astype(np.float32))
    field = ndimage.gaussian_filter(field, (3, 3, 0))
    alpha = ndimage.gaussian_filter(mask.astype(np.float32), 1.2)[..., None]
    return np.clip(target * (1 - alpha) + alpha * (source + field), 0, 255).astype(np.uint8)


def moved(array, rng_values):
    """The array turned by quarters, mirrored and rolled: (turns, whether mirrored, rows, columns)."""
    turns, mirrored, down, right = rng_values
    array = np.rot90(array, turns)
    return np.roll(array[:, ::-1] if mirrored else array, (down, right), axis=(0, 1))


def healthy_source(rng, image, avoid, region, others):
    """A frame whose pixels inside `region` show neither a polyp nor the dark surround, or None.

    `avoid` is the polyp of `image`. `others()` draws another frame and its mask.
    """
    for attempt in range(TRIES):
        frame, mask = (image, avoid) if attempt < TRIES // 2 else others()
        way = (rng.integers(4), rng.random() < 0.5, *rng.integers(0, image.shape[0], 2))
        if moved(mask, way)[region].any():
            continue
        candidate = moved(frame, way)
        if candidate[region].mean() > DARK and (candidate[region].max(axis=1) > 25).mean() > 0.97:
            return candidate
    return None


def filled(rng, image, mask, others):
    """The frame without its polyp, or None if no patch fits."""
    region = ndimage.binary_dilation(mask, iterations=MARGIN)
    if region.mean() > 0.5:
        return None
    source = healthy_source(rng, image, region, region, others)
    return None if source is None else clone(image, source, region)


def decoy(rng, image, mask, others):
    """The frame with a healthy patch, in the shape of another frame's polyp, exchanged. The truth does not change."""
    avoid = ndimage.binary_dilation(mask, iterations=2 * MARGIN)
    for _ in range(TRIES):
        region = moved(others()[1], (rng.integers(4), False, *rng.integers(0, image.shape[0], 2)))
        if not 0.003 < region.mean() < 0.25 or (region & avoid).any() or image[region].mean() < DARK:
            continue
        source = healthy_source(rng, image, avoid, region, others)
        if source is not None:
            return clone(image, source, region)
    return image


def paste(rng, image, truth, donor, donor_mask):
    """The frame with the donor's polyp on it, and the new truth: float [rows, columns, 3] and a binary mask.

    The donor's colour is shifted towards the frame's.
    """
    outside = ndimage.binary_dilation(donor_mask, iterations=6) & ~donor_mask
    if not outside.any() or image[donor_mask].mean() < DARK:
        return image, truth
    shift = (image[outside] - donor[outside]).mean(axis=0) * rng.uniform(0.4, 1)
    alpha = ndimage.gaussian_filter(donor_mask.astype(np.float32), rng.uniform(0.8, 2.5))[..., None]
    return image * (1 - alpha) + alpha * (donor + shift), truth | donor_mask
