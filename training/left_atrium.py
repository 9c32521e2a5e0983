# SPDX-License-Identifier: Apache-2.0
"""left-atrium-compact: its data, its augmentation and its recipe (what happens before and after the network).

Recipe, for a volume [slices, rows, columns] whose slice 0 is the most inferior, whose rows grow to posterior and whose
columns grow to the patient's left (other orientations are permuted and flipped to this one first):

1. resize.resize to a SPACING mm grid of resize.grid_shape samples, in float32.
2. normalise(): if the smallest value is negative, subtract it; take the voxels > 0; low and high are their 0.5 and 99.5
   percentiles (nearest rank: sorted[floor(q / 100 * (count - 1) + 0.5)]); clip every voxel to [low, high]; subtract the
   mean and divide by the standard deviation (population, at least 1e-6) of the clipped voxels that were > 0.
3. Zeros (the mean) at the far end of each axis up to a multiple of STRIDE.
4. Network; drop the padding; sigmoid; resize.resize to the source grid; mask = probability >= 0.5.
5. Keep the largest connected component (faces, edges and corners touch: 26 neighbours).

With shifts, steps 3 and 4 are repeated with SHIFTS voxels of zeros also in front of each axis, and the probabilities on
the SPACING grid are averaged. Left and right are never exchanged.

Where a side of the volume is longer than SEARCHED mm, steps 2 to 4 are done in the region of the grid that search.py finds, with
one view while it searches; outside of it the probability is zero. Where nothing plausible is found, the confidence is at most
DOUBTFUL.
"""
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

import scenes
import search
from confidence import Answer, measures
from likeness import likeness
from networks import LEFT_ATRIUM_COMPACT
from resize import grid_shape, resize

NAME = "left-atrium-compact"
VERSION = "1.2.0"  # of the recipe, as the runtime names it
ARCHITECTURE = LEFT_ATRIUM_COMPACT
SPACING = 1.25
STRIDE = LEFT_ATRIUM_COMPACT.total_stride
SHIFTS = [0, 5, 10]
VIEWS = "three shifts"
SEARCHED = 225.0  # 1.5 times the longest side in training
DOUBTFUL = 0.25
ROUGHNESS, SKEWNESS = (0.9045, 0.0684), (0.1792, 0.2774)  # likeness.typical() of the training volumes as the recipe sees them
BATCH = 1
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.02
EMA = 0.998
SCENES = 5
DATA_SETS = ["Left Atrium Segmentation Challenge 2018 (64 volumes)", f"drawn volumes ({SCENES})"]
NORMALISATION = {"spacing": [SPACING] * 3, "percentiles": [0.5, 99.5], "of": "voxels > 0, negatives shifted to 0",
                 "then": "zero mean, unit deviation", "pad": "zeros, far end", "multiple": STRIDE, "threshold": 0.5,
                 "component": "largest, 26 neighbours", "roughness": ROUGHNESS, "skewness": SKEWNESS, "searched": SEARCHED}

# Held out: every fifth of the sorted names without the pair that shares one mask (0RZDK2…, CMPXO4…: both in training).
HELD_OUT_STEP, HELD_OUT_OFFSET = 5, 2
SAME_MASK = {"0RZDK210BSMWAA6467LU", "CMPXO4J23G58J53Q98SZ"}


def split(data):
    """(training, held out): 64 and 16 paths."""
    paths = sorted((Path(data) / "la2018/train").glob("*.la"))
    free = [path for path in paths if path.stem not in SAME_MASK]
    out = free[HELD_OUT_OFFSET::HELD_OUT_STEP]
    return [path for path in paths if path not in out], out


def read(path):
    """Image and mask of a packed volume; its reader lies beside the data."""
    folder = str(Path(path).parents[2])
    if folder not in sys.path:
        sys.path.append(folder)
    import la
    return la.read(path)


def held_out(data):
    for path in split(data)[1]:
        yield path.stem, *read(path)


def to_grid(volume, spacing):
    return resize(volume, grid_shape(volume.shape, spacing, SPACING))


def normalise(volume):
    volume = volume - min(0.0, float(volume.min()))
    inside = volume > 0
    ordered = np.sort(volume[inside]) if inside.any() else np.zeros(1, np.float32)
    low, high = (ordered[int(q / 100 * (len(ordered) - 1) + 0.5)] for q in NORMALISATION["percentiles"])
    volume = np.clip(volume, low, high)
    values = volume[inside].astype(np.float64) if inside.any() else np.zeros(1)
    return ((volume - values.mean()) / max(values.std(), 1e-6)).astype(np.float32)


class Training:
    """Draws augmented volumes from those resampled once to the network's grid."""

    def __init__(self, data, cache):
        file = Path(cache) / "left-atrium.npz"
        if not file.exists():
            arrays = {}
            for k, path in enumerate(split(data)[0]):
                image, mask = read(path)
                arrays[f"image{k}"] = to_grid(image, (0.625,) * 3).astype(np.float16)
                arrays[f"mask{k}"] = to_grid(mask, (0.625,) * 3).astype(np.float16)
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
        (index,) = indices
        image, mask = warp(self.cases[index], rng)
        image = normalise(np.maximum(change_intensities(image, rng), 0))
        front = rng.integers(0, 11) if rng.random() < 0.2 else 0
        pad = [(front, -(n + front) % STRIDE) for n in image.shape]  # as in the recipe
        return tuple(torch.from_numpy(np.pad(array, pad))[None, None] for array in (image, mask))


def warp(case, rng):
    """Rotation, scale, shift and another field of view, in one interpolation."""
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
    # affine_grid wants x, y, z and coordinates in half fields
    matrix = (turn / scale)[::-1, ::-1] * size[::-1][None, :] / shape[::-1][:, None]
    theta = torch.tensor(np.c_[matrix, (2 * shift / shape)[::-1]], dtype=torch.float32)[None]
    fill = "reflection" if rng.random() < 0.5 else "zeros"
    grid = F.affine_grid(theta, (1, 1, *size), align_corners=False)
    image = F.grid_sample(torch.from_numpy(case[None, :1]), grid, padding_mode=fill, align_corners=False)
    mask = F.grid_sample(torch.from_numpy(case[None, 1:]), grid, padding_mode=fill, align_corners=False)
    return image[0, 0].numpy(), mask[0, 0].numpy()


def change_intensities(image, rng):
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


def loss(logits, truth):
    probability = torch.sigmoid(logits)
    dice = 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + dice


@torch.no_grad()
def probabilities(network, grid, shifts=SHIFTS):
    """Foreground probability in each of the shifted views of a volume on the SPACING grid, in canonical orientation."""
    x, found = torch.from_numpy(normalise(grid)), []
    for shift in shifts:
        pad = []
        for n in reversed(x.shape):
            pad += [shift, -(n + shift) % STRIDE]
        y = torch.sigmoid(network(F.pad(x, pad)[None, None])[0, 0])
        found.append(y[tuple(slice(shift, shift + n) for n in x.shape)].numpy())
    return found


def largest_component(mask):
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count else mask


def region(network, grid):
    """Where to look in a large field of view, and how plausible it is there."""
    def answered(part):
        (probability,) = probabilities(network, part, SHIFTS[:1])
        return probability, largest_component(probability >= 0.5)
    return search.region(grid, answered)


def answer(network, volume, spacing=(0.625,) * 3):
    """The answer of the mean of the shifts; its masks are on the source grid."""
    grid, whole, plausible = to_grid(volume, spacing), (slice(None),) * 3, 1.0
    if max(n * step for n, step in zip(volume.shape, spacing)) > SEARCHED:
        whole, plausible = region(network, grid)
    part = grid[whole]
    each = probabilities(network, part)
    mean = np.mean(each, axis=0, dtype=np.float32)

    def on_source(probability):
        placed = np.zeros(grid.shape, np.float32)
        placed[whole] = probability
        return resize(placed, volume.shape)
    probability = on_source(mean)
    found = measures(largest_component(mean >= 0.5), mean, [largest_component(view >= 0.5) for view in each],
                     likeness=likeness(normalise(part), (ROUGHNESS, SKEWNESS)))
    return Answer(largest_component(on_source(each[0]) >= 0.5), largest_component(probability >= 0.5), probability, found,
                  most=DOUBTFUL if plausible < search.LEAST_PLAUSIBLE else 1.0)


def predict(network, volume, spacing=(0.625,) * 3):
    """The mask of the first view, everywhere."""
    (probability,) = probabilities(network, to_grid(volume, spacing), SHIFTS[:1])
    return largest_component(resize(probability, volume.shape) >= 0.5)
