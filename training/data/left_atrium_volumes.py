# SPDX-License-Identifier: Apache-2.0
"""Left-atrium MRI volumes (2018 Left Atrium Segmentation Challenge): reading, splitting, caching and augmentation.

A volume is [slices, rows, columns] with voxels of 0.625 mm. Slice 0 is the most inferior, rows grow to posterior and
columns grow to the patient's left.
"""
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from training.data import scenes
from training.recipes.left_atrium_compact import SPACING, STRIDE, normalise, to_grid

SOURCE_SPACING = (0.625,) * 3
SCENES = 5
DATA_SETS = ["Left Atrium Segmentation Challenge 2018 (64 volumes)", f"drawn volumes ({SCENES})"]

# Every fifth of the sorted names is held out. Two scans share one mask: the split does not count them, and both are
# training scans.
HELD_OUT_STEP, HELD_OUT_OFFSET = 5, 2
SAME_MASK = {"0RZDK210BSMWAA6467LU", "CMPXO4J23G58J53Q98SZ"}


def split(data):
    """(training, held out): 64 and 16 paths."""
    paths = sorted((Path(data) / "la2018/train").glob("*.la"))
    free = [path for path in paths if path.stem not in SAME_MASK]
    out = free[HELD_OUT_OFFSET::HELD_OUT_STEP]
    return [path for path in paths if path not in out], out


def read(path):
    """Image and mask of a packed volume. The reader `la.py` lies in the data folder."""
    folder = str(Path(path).parents[2])
    if folder not in sys.path:
        sys.path.append(folder)
    import la
    return la.read(path)


def held_out(data):
    """Yields (name, image, mask) of the held-out volumes."""
    for path in split(data)[1]:
        yield path.stem, *read(path)


class Training:
    """Draws augmented volumes from the training volumes, which are resampled to the network's grid once."""

    def __init__(self, data, cache):
        file = Path(cache) / "left-atrium.npz"
        if not file.exists():
            arrays = {}
            for k, path in enumerate(split(data)[0]):
                image, mask = read(path)
                arrays[f"image{k}"] = to_grid(image, SOURCE_SPACING).astype(np.float16)
                arrays[f"mask{k}"] = to_grid(mask, SOURCE_SPACING).astype(np.float16)
            for seed in range(SCENES):
                image, mask = scenes.left_atrium(np.random.default_rng([2, seed]), SPACING)
                arrays[f"image{k + 1 + seed}"] = image.astype(np.float16)
                arrays[f"mask{k + 1 + seed}"] = mask.astype(np.float16)
            np.savez(file, **arrays)
        with np.load(file) as kept:
            count = len(kept.files) // 2
            self.cases = [np.stack([kept[f"image{k}"], kept[f"mask{k}"]]).astype(np.float32) for k in range(count)]

    def __len__(self):
        return len(self.cases)

    def batch(self, indices, rng):
        """Input and target [1, 1, slices, rows, columns] of the one case in `indices`."""
        (index,) = indices
        image, mask = warp(self.cases[index], rng)
        image = normalise(np.maximum(change_intensities(image, rng), 0))
        front = rng.integers(0, 11) if rng.random() < 0.2 else 0
        pad = [(front, -(n + front) % STRIDE) for n in image.shape]  # as in the recipe
        return tuple(torch.from_numpy(np.pad(array, pad))[None, None] for array in (image, mask))


def warp(case, rng):
    """Rotates, scales, shifts and crops image and mask [2, slices, rows, columns] in one interpolation."""
    shape = np.array(case.shape[1:])
    low, high = ((0.65, 0.8), (0.85, 1.1), (0.85, 1.5))[rng.choice(3, p=(0.5, 0.43, 0.07))]  # half are cheap crops
    field = shape * np.r_[rng.uniform(0.9, 1.05), rng.uniform(low, high, 2)]
    size = np.maximum(2 * STRIDE, np.round(field).astype(int))
    angles = np.deg2rad(rng.uniform(-20, 20, 3) * (rng.random(3) < 0.5))
    scale = np.exp(rng.uniform(np.log(0.85), np.log(1.18))) * np.exp(rng.uniform(-0.06, 0.06, 3))
    (a, b, c), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    turn = (np.array([[1, 0, 0], [0, a, -sa], [0, sa, a]]) @ np.array([[b, 0, -sb], [0, 1, 0], [sb, 0, b]])
            @ np.array([[c, -sc, 0], [sc, c, 0], [0, 0, 1]]))
    shift = rng.uniform(-0.12, 0.12, 3) * shape
    # affine_grid expects the order x, y, z and coordinates in half fields.
    matrix = (turn / scale)[::-1, ::-1] * size[::-1][None, :] / shape[::-1][:, None]
    theta = torch.tensor(np.c_[matrix, (2 * shift / shape)[::-1]], dtype=torch.float32)[None]
    fill = "reflection" if rng.random() < 0.5 else "zeros"
    grid = F.affine_grid(theta, (1, 1, *size), align_corners=False)
    image = F.grid_sample(torch.from_numpy(case[None, :1]), grid, padding_mode=fill, align_corners=False)
    mask = F.grid_sample(torch.from_numpy(case[None, 1:]), grid, padding_mode=fill, align_corners=False)
    return image[0, 0].numpy(), mask[0, 0].numpy()


def change_intensities(image, rng):
    """Changes contrast, coil shading, resolution and noise. The result is relative to the image's maximum."""
    top = max(float(image.max()), 1e-3)
    image = image / top
    image = image ** np.exp(rng.uniform(-0.3, 0.3))
    if rng.random() < 0.5:
        coarse = np.exp(rng.normal(0, rng.uniform(0.05, 0.3), (3, 3, 3))).astype(np.float32)
        image = image * F.interpolate(torch.from_numpy(coarse)[None, None], size=image.shape, mode="trilinear",
                                      align_corners=True)[0, 0].numpy()
    if rng.random() < 0.25:
        small = [max(2, int(n / f)) for n, f in zip(image.shape, rng.uniform(1, 2.2, 3))]
        kept = F.interpolate(torch.from_numpy(image)[None, None], size=small, mode="trilinear", align_corners=False)
        image = F.interpolate(kept, size=image.shape, mode="trilinear", align_corners=False)[0, 0].numpy()
    if rng.random() < 0.4:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + noise * rng.uniform(0.005, 0.06) * (image > 0)
    return image.astype(np.float32)
