# SPDX-License-Identifier: Apache-2.0
"""Fits the rule by which sam-auto chooses among generated masks.

A site can fit the rule on its own frames and weights. If KONTUR_SAM_AUTO_MASKS=/full/path/masks.csv is set,
`kontur segment FRAMES... --segmenter sam-auto` writes every mask that it considered to this file. The truth pictures
lie in a folder, and their sorted names have the order of the frames. The following command then writes a rule:

    python -m training.fitting.fit_auto_rule --csv masks.csv --truth FOLDER --out NAME.rule.json

sam-auto reads the rule if it lies beside the weights NAME.safetensors. Every fifth frame is held out.

The following command made the rule inside the executable:

    python -m training.fitting.fit_auto_rule --proxy DATA/kvasir-seg --swift

The command does not use a network, because the official weights were not available. Its masks are regions grown by
colour from a grid of points, three per point as in SAM, and the truth moved, grown and shrunk. These masks have a
stability but do not have a predicted IoU, so the coefficient of the predicted IoU stays 0.

The model is a logistic regression of a mask's Dice with the truth. Features are standardised, and a small penalty pulls the
coefficients to 0.
"""
import argparse
import csv
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from training.scores import auroc, dice
from training.paths import ROOT
from training.recipes.auto_features import NAMES, features

SWIFT = ROOT / "Sources/Segmentation/Segmenters/SamAutoCoefficients.swift"
SIDE = 128

# Masks without a network ---------------------------------------------------------------------------------------------

def proposals(image, side=6):
    """Yields regions whose colour is similar to that of a grid point, and their stability as SAM defines it."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (1.5, 1.5, 0))
    rows, columns = image.shape[:2]
    y, x = np.mgrid[:rows, :columns]
    for cy in (np.arange(side) + 0.5) / side * rows:
        for cx in (np.arange(side) + 0.5) / side * columns:
            cy, cx = int(cy), int(cx)
            apart = np.linalg.norm(smooth - smooth[cy, cx], axis=2) / 64
            apart += 0.7 * np.hypot(y - cy, x - cx) / np.hypot(rows, columns) * 2
            for level in (0.25, 0.4, 0.6):
                inner, own, outer = (grown(apart < level + step, cy, cx) for step in (-0.006, 0, 0.006))
                if 20 < own.sum() < 0.9 * own.size:
                    yield own, inner.sum() / outer.sum()


def grown(mask, cy, cx):
    """The component of the mask that holds the point (cy, cx), with its holes filled."""
    labels, _ = ndimage.label(mask)
    own = labels == labels[cy, cx] if labels[cy, cx] else np.zeros_like(mask)
    return ndimage.binary_fill_holes(own)


def disturbed(rng, truth):
    """The truth, moved and then grown or shrunk, each by up to 0.3 of its radius."""
    radius = np.sqrt(truth.sum() / np.pi)
    moved = np.roll(truth, rng.integers(-1, 2, 2) * round(radius * rng.uniform(0, 0.3)), (0, 1))
    steps = round(radius * rng.uniform(0, 0.3))
    if steps == 0:
        return moved
    change = ndimage.binary_dilation if rng.random() < 0.5 else ndimage.binary_erosion
    return change(moved, iterations=steps)


def proxy(folder, count, seed):
    """Rows (frame, features, Dice, whether grown from a point) of masks on labelled frames."""
    rng = np.random.default_rng(seed)
    names = sorted(path.name for path in (folder / "images").iterdir())
    rows = []
    for number, name in enumerate(rng.permutation(names)[:count]):
        with Image.open(folder / "images" / name) as file:
            image = np.asarray(file.convert("RGB").resize((SIDE, SIDE), Image.BILINEAR))
        with Image.open(folder / "masks" / name) as file:
            truth = np.asarray(file.convert("L").resize((SIDE, SIDE), Image.BILINEAR)) > 127
        found = [(mask, score, True) for mask, score in proposals(image) if score >= 0.85]
        scores = [score for _, score, _ in found] or [0.95]
        if truth.sum() > 20:
            found += [(disturbed(rng, truth), rng.choice(scores), False) for _ in range(4)]
        for mask, score, own in found:
            if mask.any():
                rows.append((number, features(mask, image, score, 0.0), dice(mask, truth), own))
    return rows


# Masks that Kontur wrote ---------------------------------------------------------------------------------------------

def written(path, folder):
    """The rows, as `proxy` returns them, of the masks that Kontur wrote, and the hash of the weights."""
    truths = sorted(folder.iterdir())
    rows, weights, open_truth = [], set(), (None, None)
    csv.field_size_limit(1 << 30)
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            number = int(line["frame"])
            weights.add(line["weights"])
            if open_truth[0] != number:
                with Image.open(truths[number]) as picture:
                    open_truth = number, np.asarray(picture.convert("L")) > 127
            counts = [int(count) for count in line["counts"].split()]
            flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
            mask = flat.reshape(int(line["columns"]), int(line["rows"])).T
            rows.append((number, [float(line[name]) for name in NAMES], dice(mask, open_truth[1]), True))
    assert len(weights) == 1, "the masks come from several sets of weights"
    return rows, weights.pop()


# The model -----------------------------------------------------------------------------------------------------------

def fit(x, target, pull=1.0, rounds=50):
    """Coefficients and intercept by Newton's method. A constant column keeps the coefficient 0."""
    design = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.diag([pull] * x.shape[1] + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (chance - target) + penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        weights -= np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
    return weights[:-1], weights[-1]


def make(train, held, weights, fitted_on):
    """Fits the rule to the rows `train` as JSON for sam-auto, and prints its scores on the rows `held`."""
    x, target = np.array([row[1] for row in train]), np.array([row[2] for row in train])
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation < 1e-9] = 1
    coefficients, intercept = fit((x - mean) / deviation, target)
    other = (np.array([row[1] for row in held]) - mean) / deviation
    score = 1 / (1 + np.exp(-(other @ coefficients + intercept)))
    good, grown_ones = np.array([row[2] > 0.5 for row in held]), np.array([row[3] for row in held])
    print("held out:", len(set(row[0] for row in held)), "frames,", len(held), "masks, AUC", round(auroc(score, good), 4),
          "of those grown from points alone", round(auroc(score[grown_ones], good[grown_ones]), 4),
          f"({good[grown_ones].sum()} of {grown_ones.sum()} good)")
    best = [max((score[i], held[i][2]) for i in range(len(held)) if held[i][0] == frame and held[i][3])
            for frame in sorted({row[0] for row in held if row[3]})]
    oracle = [max(row[2] for row in held if row[0] == frame and row[3]) for frame in sorted({r[0] for r in held if r[3]})]
    print(f"Dice of the first choice among them {np.mean([d for _, d in best]):.4f}, of the best {np.mean(oracle):.4f}")
    for name, value in zip(NAMES, coefficients):
        print(f"  {name:22} {value:+.3f}")
    def frames(rows):
        return len({row[0] for row in rows})
    return {"provenance": {"weights": weights, "fittedOn": fitted_on, "frames": frames(train), "masks": len(train),
                           "heldOutAUC": round(float(auroc(score[grown_ones], good[grown_ones])), 4),
                           "heldOutFrames": frames(held)},
            "features": NAMES, "mean": rounded(mean), "deviation": rounded(deviation),
            "coefficients": rounded(coefficients), "intercept": rounded([intercept])[0], "threshold": 0.5}


def rounded(values):
    return [float(f"{value:.6g}") for value in values]


def swift(rule):
    """The Swift file that holds the rule inside the executable."""
    source = rule["provenance"]
    def listing(values):
        return ", ".join(repr(value) for value in values)
    return f'''// SPDX-License-Identifier: Apache-2.0
//
// Written by training/fitting/fit_auto_rule.py, which describes the fit.

extension SamAutoRule {{
    /// The rule inside the executable.
    ///
    /// It was fitted without a network, on regions grown by colour. Its quality on weights of
    /// Segment Anything is unknown.
    package static let builtIn = SamAutoRule(
        provenance: Provenance(
            weights: {json.dumps(source["weights"])},
            fittedOn: {json.dumps(source["fittedOn"])},
            frames: {source["frames"]}, masks: {source["masks"]}, heldOutAUC: {source["heldOutAUC"]},
            heldOutFrames: {source["heldOutFrames"]}),
        mean: [{listing(rule["mean"])}],
        deviation: [{listing(rule["deviation"])}],
        coefficients: [{listing(rule["coefficients"])}],
        intercept: {rule["intercept"]},
        threshold: {rule["threshold"]})
}}
'''


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--proxy", type=Path)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--swift", action="store_true")
    given = parser.parse_args()
    if given.csv:
        rows, weights = written(given.csv, given.truth)
        rule = make([row for row in rows if row[0] % 5], [row for row in rows if row[0] % 5 == 0], weights,
                    f"masks of {hashlib.sha256(given.csv.read_bytes()).hexdigest()[:8]}.csv")
        given.out.write_text(json.dumps(rule, indent=1) + "\n")
    else:
        rule = make(proxy(given.proxy / "train", given.frames, 5), proxy(given.proxy / "validation", given.frames // 3, 6),
                    "", "regions grown by colour and disturbed truth on Kvasir-SEG frames")
        if given.swift:
            SWIFT.write_text(swift(rule))


if __name__ == "__main__":
    main()
