# SPDX-License-Identifier: Apache-2.0
"""Runs a shipped U-Net on DICOM files in Python, to check the runtime:

    python -m training.references.predict polyp-compact samples-dicom/colonoscopy --truth samples-dicom/truth --out /tmp/masks
    python -m training.references.predict left-atrium-compact samples-dicom/lge --truth samples-dicom/truth/lge.npz

For frames it writes one PNG mask per file. For a volume it writes one npz with `mask` (packed bits) and `shape`; the slices
are ordered by their position along the normal, and rows and columns are as stored. With --truth it prints the Dice. The truth
of frames is a folder of PNGs of the same names. The truth of a volume is such an npz whose slice 0 is the most inferior.
"""
import argparse
from pathlib import Path

import numpy as np
import pydicom
import torch
from PIL import Image

from training.networks.shipped import load
from training.paths import shipped
from training.recipes import confidence, left_atrium_compact, polyp_compact
from training.scores import dice


def read_volume(paths):
    """Values [slices, rows, columns] as float32 by position, spacing in mm, and unit vectors of those axes in LPS."""
    slices = [pydicom.dcmread(path) for path in paths]
    column, row = np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float)
    normal = np.cross(column, row)
    slices.sort(key=lambda ds: np.dot(normal, np.array(ds.ImagePositionPatient, float)))
    heights = [np.dot(normal, np.array(ds.ImagePositionPatient, float)) for ds in slices]
    gap = (heights[-1] - heights[0]) / (len(slices) - 1)
    values = np.stack([ds.pixel_array * np.float32(getattr(ds, "RescaleSlope", 1))
                       + np.float32(getattr(ds, "RescaleIntercept", 0)) for ds in slices]).astype(np.float32)
    spacing = (gap, *(float(s) for s in slices[0].PixelSpacing))
    return values, spacing, np.stack([normal, row, column])


def canonical(axes):
    """(permutation, flips) that bring array axes with these LPS directions to head, posterior, left."""
    wanted = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    alignment = wanted @ axes.T  # [wanted, have]
    order = max(((a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3),
                key=lambda p: sum(abs(alignment[k, p[k]]) for k in range(3)))
    return order, [k for k in range(3) if alignment[k, order[k]] < 0]


def described(answer, fit):
    """Confidence and measures of an answer, rounded for printing."""
    values = {"confidence": confidence.of(answer, fit), **answer.measures}
    return {name: round(value, 4) for name, value in values.items()}


def answer_volume(network, fit, folder, truth, out):
    values, spacing, axes = read_volume(sorted(folder.glob("*.dcm")))
    order, flips = canonical(axes)
    turned = np.ascontiguousarray(np.flip(values.transpose(order), flips))
    answer = left_atrium_compact.answer(network, turned, tuple(spacing[k] for k in order))
    mask = np.flip(answer.mask, flips).transpose(np.argsort(order))
    print(folder.name, mask.shape, f"{mask.sum() * np.prod(spacing) / 1000:.1f} ml", described(answer, fit))
    if truth:
        with np.load(truth) as file:
            expected = np.unpackbits(file["mask"], count=int(np.prod(file["shape"]))).reshape(file["shape"])
        print("Dice", round(dice(mask, expected if axes[0][2] > 0 else expected[::-1]), 4))
    if out:
        np.savez_compressed(out / f"{folder.name}.npz", mask=np.packbits(mask), shape=mask.shape)


def answer_frames(network, fit, folder, truth, out):
    scores = []
    for path in sorted(folder.glob("*.dcm")):
        image = pydicom.dcmread(path).pixel_array
        answer = polyp_compact.answer(network, image)
        mask = answer.mask
        print(path.name, mask.shape, f"{mask.mean():.4f} of the frame", described(answer, fit), end="")
        expected = truth and truth / f"{path.stem}.png"
        if expected and expected.exists():
            scores.append(dice(mask, np.asarray(Image.open(expected).convert("L")) > 127))
            print(f" Dice {scores[-1]:.4f}", end="")
        print()
        if out:
            Image.fromarray(mask).save(out / f"{path.stem}.png")
    if scores:
        print(f"mean Dice {np.mean(scores):.4f} of {len(scores)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=[polyp_compact.NAME, left_atrium_compact.NAME])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network, facts = load(shipped(arguments.name))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    run = answer_volume if arguments.name == left_atrium_compact.NAME else answer_frames
    run(network, facts.get("confidence"), arguments.folder, arguments.truth, arguments.out)


if __name__ == "__main__":
    main()
