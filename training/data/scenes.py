# SPDX-License-Identifier: Apache-2.0
"""Draws scenes with their truth: frames that resemble colonoscopy, volumes that resemble late gadolinium enhanced MRI.

They add empty frames and other shapes to the training sets, and samples-dicom uses them as pictures. Their pixels do not come
from patients: every shape, colour and noise is computed from the generator that is passed in.
"""
import numpy as np
from scipy import ndimage

from training.recipes.resize import resize


def smooth_noise(rng, shape, cells):
    """Noise of unit deviation whose structures measure about 1 / cells of the field."""
    coarse = rng.standard_normal([max(2, round(cells))] * len(shape)).astype(np.float32)
    fine = ndimage.gaussian_filter(resize(coarse, shape), [n / cells / 3 for n in shape])
    return fine / max(float(fine.std()), 1e-6)


# Colonoscopy ---------------------------------------------------------------------------------------------------------

def colonoscopy(rng, shape, polyps=1):
    """A frame of a bowel with `polyps` polyps: uint8 RGB [rows, columns, 3] and their mask."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    colour, light = mucosa(rng, y, x)
    mask = np.zeros(shape, bool)
    for _ in range(polyps):
        add_polyp(rng, y, x, colour, light, mask)
    image = colour * light[..., None]
    add_reflections(rng, image, y, x, mask)
    hole = rng.uniform(1.3, 2.0)  # the smaller, the more of the corners the endoscope's stop covers
    stop = np.maximum(np.maximum(abs(y), abs(x)) / 0.98, (abs(y) + abs(x)) / hole)
    image *= np.clip((1 - stop) * 40, 0, 1)[..., None]
    image = ndimage.gaussian_filter(image, (rng.uniform(0.3, 1.0),) * 2 + (0,))
    image += rng.normal(0, 0.01, image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), mask & (stop < 1)


def mucosa(rng, y, x):
    """Colour [rows, columns, 3] and light [rows, columns] of a wall with folds around a dark lumen."""
    cy, cx = rng.uniform(-0.9, 0.9, 2)
    wobble = smooth_noise(rng, y.shape, 4)
    distance = np.sqrt((y - cy) ** 2 + ((x - cx) * rng.uniform(0.8, 1.25)) ** 2) + 0.06 * wobble + 0.02
    distance = np.maximum(distance, 0.02)
    depth = np.log(distance)  # folds are rings, denser towards the lumen
    rise = (rng.uniform(0.5, 1.4) * depth + 0.12 * wobble + rng.uniform(0, 1)) % 1  # 0 at a fold's foot, 1 at its crest
    fall = np.clip((1 - rise) / rng.uniform(0.04, 0.15), 0, 1)
    fold = rise ** 2 * fall  # a slow rise, a steep fall
    light = 0.38 + 0.5 * np.clip(distance / rng.uniform(0.7, 1.4), 0, 1)
    light *= 1 + rng.uniform(0.1, 0.6) * (fold - 0.3) - rng.uniform(0.1, 0.4) * (rise < 0.3) * (1 - rise / 0.3) ** 2
    light *= 1 - 0.85 * np.exp(-(distance / rng.uniform(0.1, 0.35)) ** 2)
    light += 0.04 * smooth_noise(rng, y.shape, 10) + 0.012 * smooth_noise(rng, y.shape, 40)
    light += rng.uniform(0.005, 0.02) * smooth_noise(rng, y.shape, 90)
    base = np.array([rng.uniform(0.85, 1.05), rng.uniform(0.42, 0.62), rng.uniform(0.28, 0.5)])
    colour = base * (1 + 0.06 * smooth_noise(rng, y.shape, 5)[..., None] * np.array([0.3, 1, 1]))
    vessels = np.zeros_like(y)
    for cells in (4, 9):  # vessels run where a smooth field changes sign
        field = smooth_noise(rng, y.shape, cells)
        vessels += np.exp(-(field / rng.uniform(0.03, 0.07)) ** 2) * (smooth_noise(rng, y.shape, 3) > 0.2)
    vessels = ndimage.gaussian_filter(vessels, 0.7)[..., None] * rng.uniform(0.1, 0.45)
    return colour * (1 - vessels * np.array([0.25, 0.6, 0.55])), np.clip(light, 0.03, 1.2) * rng.uniform(0.8, 1.15)


def add_polyp(rng, y, x, colour, light, mask):
    """Adds a bump that is brighter on the lamp's side, with a dark rim and its own texture and tint.

    Changes `colour`, `light` and `mask`.
    """
    size = np.exp(rng.uniform(np.log(0.13), np.log(0.5)))
    cy, cx = rng.uniform(-0.6, 0.6, 2)
    angle, aspect = rng.uniform(0, np.pi), rng.uniform(0.65, 1)
    u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / size
    v = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / (size * aspect)
    around = np.arctan2(v, u)
    outline = 1 + sum(rng.normal(0, 0.12 / k) * np.cos(k * around + rng.uniform(0, 6)) for k in range(2, 6))
    r = np.sqrt(u * u + v * v) / outline
    inside = r < 1
    height = np.sqrt(np.clip(1 - r * r, 0, 1))
    lamp = np.array([-cy, -cx]) + rng.normal(0, 0.3, 2)
    lamp = lamp / max(np.hypot(*lamp), 0.2)
    slope = (lamp[0] * (y - cy) + lamp[1] * (x - cx)) / size
    bumps = smooth_noise(rng, y.shape, rng.uniform(12, 45)) * rng.uniform(0.02, 0.07)
    shade = (0.52 + 0.38 * height + 0.2 * slope * inside + bumps) * rng.uniform(0.8, 1.2)
    level = float(np.median(light[inside])) if inside.any() else 0.6
    edge = np.clip((1 - r) * size * 12, 0, 1)
    light[...] = light * (1 - edge) + edge * shade * (0.4 + 0.8 * level)
    light *= 1 - rng.uniform(0.1, 0.45) * np.exp(-((r - 1.1) / 0.2) ** 2) * np.clip(0.4 - slope, 0, 1) * (r > 1)
    tint = colour[inside].mean(axis=0) * np.array([1, rng.uniform(0.75, 1.2), rng.uniform(0.75, 1.25)])
    colour[...] = colour * (1 - 0.8 * edge[..., None]) + 0.8 * edge[..., None] * tint
    mask |= inside


def add_reflections(rng, image, y, x, mask):
    """Adds wet spots that mirror the lamp, more of them on polyps. Changes the image."""
    sites = [rng.uniform(-0.9, 0.9, 2) for _ in range(rng.integers(0, 14))]
    own = np.argwhere(mask)
    if len(own):
        sites += [own[rng.integers(len(own))] / np.array(mask.shape) * 2 - 1 for _ in range(rng.integers(1, 6))]
    for cy, cx in sites:
        a, b = rng.uniform(0.006, 0.03, 2)
        spot = np.clip(1.6 * np.exp(-((y - cy) / a) ** 2 - ((x - cx) / b) ** 2), 0, 1)[..., None]
        image += spot * (np.array([1, 0.97, 0.93]) - image)


# Left atrium ---------------------------------------------------------------------------------------------------------

def left_atrium(rng, spacing, field=(55.0, 88.0, 122.0)):
    """A chest around the left atrium: float32 [slices, rows, columns] in 0..1000 and the atrium's mask.

    `spacing` in mm, one number or (slices, rows, columns); `field` in mm on the same axes. Slice 0 is the most inferior,
    rows grow to posterior, columns to the patient's left.
    """
    spacing = np.broadcast_to(np.asarray(spacing, float), 3)
    shape = [round(f / s) for f, s in zip(field, spacing)]
    z, y, x = np.meshgrid(*((np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(shape, spacing)),
                          indexing="ij")
    jitter = rng.uniform(-5, 5, 3)
    z, y, x = (a + j + rng.uniform(1, 2) * smooth_noise(rng, shape, 4) for a, j in zip((z, y, x), jitter))
    grow = rng.uniform(0.9, 1.12)

    def ball(cz, cy, cx, rz, ry, rx, tilt=0.0):
        """The approximate signed distance in mm to an ellipsoid, negative inside. `tilt` turns it in the axial plane."""
        u, v = np.cos(tilt) * (x - cx) + np.sin(tilt) * (y - cy), np.cos(tilt) * (y - cy) - np.sin(tilt) * (x - cx)
        r = np.sqrt(((z - cz) / rz) ** 2 + (v / ry) ** 2 + (u / rx) ** 2)
        return (r - 1) * min(rz, ry, rx)

    def tube(start, end, radius):
        """The signed distance in mm to a straight vessel between two points (z, y, x)."""
        start, way = np.array(start, float), np.subtract(end, start).astype(float)
        t = np.clip(((z - start[0]) * way[0] + (y - start[1]) * way[1] + (x - start[2]) * way[2]) / (way @ way), 0, 1)
        return np.sqrt(sum((a - s - t * w) ** 2 for a, s, w in zip((z, y, x), start, way))) - radius

    blood, wall, tissue, lung = rng.uniform(0.55, 0.75), rng.uniform(0.2, 0.32), rng.uniform(0.25, 0.35), 0.05
    volume = np.full(shape, tissue, np.float32)

    def paint(distance, value, rim=None, width=1.6):
        if rim is not None:
            volume[distance < width] = rim
        volume[distance < 0] = value

    for side in (-1, 1):
        paint(ball(6, 16, side * 62 + 4, 60, 40, 32), lung, rim=0.4, width=1.2)
    for _ in range(25):  # vessels of the lungs
        centre = rng.uniform([-28, -10, -60], [28, 45, 60])
        if abs(centre[2]) > 38:
            paint(tube(centre, centre + rng.uniform(-14, 14, 3), rng.uniform(1, 2.5)), blood * 0.9)
    paint(tube((-40, 40, -14), (40, 38, -14), 19 * grow), rng.uniform(0.08, 0.16), rim=0.55, width=2)  # vertebrae
    paint(ball(-18, -22, -34, 24, 24, 24), blood * rng.uniform(0.8, 1), rim=wall)  # right atrium
    paint(ball(-24, -30, 38, 24, 26, 32, 0.5), rng.uniform(0.25, 0.4), rim=0.4)  # left ventricle: wall, then blood
    paint(ball(-24, -28, 36, 17, 18, 25, 0.5), blood * rng.uniform(0.8, 1))
    paint(tube((-8, -26, -2), (40, -30, -8), 14 * grow), blood, rim=wall)  # ascending aorta
    paint(tube((2, -20, -32), (40, -18, -30), 9), blood * 0.95, rim=wall)  # superior vena cava
    paint(tube((16, -30, 24), (30, -8, 8), 12), blood * 0.95, rim=wall)  # pulmonary trunk and its right branch
    paint(tube((26, -10, 14), (28, 4, -40), 9), blood * 0.95, rim=wall)
    atrium = ball(-1, 1, 1, 19 * grow, 15 * grow, 29 * grow, rng.uniform(-0.2, 0.2))
    veins = []
    for side in (-1, 1):
        for height, reach in ((9, 16), (-7, 12)):
            start = (height * 0.6, 4, side * 20 * grow)
            veins.append((tube(start, (height * 1.5, 8, side * (24 * grow + reach)), rng.uniform(5, 7)), start, side))
    whole = np.minimum(atrium, np.minimum.reduce([vein for vein, _, _ in veins]))
    scar = (smooth_noise(rng, shape, 10) > 1.2) & (atrium > 0)
    paint(whole, blood * rng.uniform(0.95, 1.1), rim=wall, width=2)
    volume[scar & (whole > 0) & (whole < 2)] = 0.9
    paint(tube((-40, 29, 19), (40, 27, 20), 11 * grow), blood, rim=wall)  # descending aorta
    mask = (whole < 0) & (abs(x) < 37 * grow)  # the challenge's masks end a little into the veins

    volume *= 1 + 0.05 * smooth_noise(rng, shape, 14)
    volume = ndimage.gaussian_filter(volume, 0.9 / spacing)
    volume *= np.exp(0.15 * smooth_noise(rng, shape, 2))
    grain = rng.uniform(0.02, 0.06)
    volume = np.hypot(volume + rng.normal(0, grain, shape), rng.normal(0, grain, shape))  # magnitudes are Rician
    return np.clip(volume * 1000, 0, 4095).astype(np.float32), mask
