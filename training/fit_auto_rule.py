# SPDX-License-Identifier: Apache-2.0
"""Fits the rule by which sam-auto chooses among generated masks.

A site fits it on its own frames and weights. With KONTUR_SAM_AUTO_MASKS=/full/path/masks.csv set, `kontur segment FRAMES...
--segmenter sam-auto` writes every mask it looked at. Then, with a folder of truth pictures whose sorted names follow the
order of the frames,

    python training/fit_auto_rule.py --csv masks.csv --truth FOLDER --out NAME.rule.json

makes a file that sam-auto reads when it lies beside the weights NAME.safetensors. Every fifth frame is held out.

The rule inside the executable comes from

    python training/fit_auto_rule.py --proxy ../shared/data/kvasir-seg --swift

without a network: no official weights were at hand. Its masks are proposals grown from a grid of points by colour, three
for each point as SAM has, and the truth moved, grown and shrunk. They have a stability but no predicted IoU, whose
coefficient stays 0.

The model is logistic; it estimates a mask's Dice with the truth, which is its target; features are standardised and
coefficients drawn to 0 a little.
"""
import argparse
import csv
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from auto_features import NAMES, features

SWIFT = Path(__file__).resolve().parent.parent / "Sources/Segmentation/Segmenters/SamAutoCoefficients.swift"
SIDE = 128
PREDICTED = NAMES.index("predictedIoU")


def dice(a, b):
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


# Masks without a network ---------------------------------------------------------------------------------------------

def proposals(image, side=6):
    """Regions around a grid of points whose colour is like the point's, and their stability, as SAM's is defined."""
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
    """The component of a point, without holes."""
    labels, _ = ndimage.label(mask)
    own = labels == labels[cy, cx] if labels[cy, cx] else np.zeros_like(mask)
    return ndimage.binary_fill_holes(own)


def disturbed(rng, truth):
    """The truth moved, grown or shrunk by up to a third of its radius."""
    radius = np.sqrt(truth.sum() / np.pi)
    moved = np.roll(truth, rng.integers(-1, 2, 2) * round(radius * rng.uniform(0, 0.3)), (0, 1))
    steps = round(radius * rng.uniform(0, 0.3))
    if steps == 0:
        return moved
    change = ndimage.binary_dilation if rng.random() < 0.5 else ndimage.binary_erosion
    return change(moved, iterations=steps)


def proxy(folder, count, seed):
    """Rows of (frame, features, Dice, grown from a point?) of masks on labelled frames."""
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
    """Rows as `proxy` has them, and the hash of the weights."""
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
    assert len(weights) == 1, "the masks are of one set of weights"
    return rows, weights.pop()


# The model -----------------------------------------------------------------------------------------------------------

def fit(x, target, pull=1.0, rounds=50):
    """Coefficients and intercept by Newton's method; a column without deviation keeps 0."""
    design = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.diag([pull] * x.shape[1] + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (chance - target) + penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        weights -= np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
    return weights[:-1], weights[-1]


def auc(scores, positive):
    """The share of pairs of a positive and another that the scores order rightly; ties count half."""
    if positive.all() or not positive.any():
        return float("nan")
    ranks = np.argsort(np.argsort(scores, kind="stable")) + 1.0
    for value in np.unique(scores):
        ranks[scores == value] = ranks[scores == value].mean()
    count = positive.sum()
    return (ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count))


def make(train, held, weights, fitted_on):
    x, target = np.array([row[1] for row in train]), np.array([row[2] for row in train])
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation < 1e-9] = 1
    coefficients, intercept = fit((x - mean) / deviation, target)
    other = (np.array([row[1] for row in held]) - mean) / deviation
    score = 1 / (1 + np.exp(-(other @ coefficients + intercept)))
    good, grown_ones = np.array([row[2] > 0.5 for row in held]), np.array([row[3] for row in held])
    print("held out:", len(set(row[0] for row in held)), "frames,", len(held), "masks, AUC", round(auc(score, good), 4),
          "of those grown from points alone", round(auc(score[grown_ones], good[grown_ones]), 4),
          f"({good[grown_ones].sum()} of {grown_ones.sum()} good)")
    best = [max((score[i], held[i][2]) for i in range(len(held)) if held[i][0] == frame and held[i][3])
            for frame in sorted({row[0] for row in held if row[3]})]
    oracle = [max(row[2] for row in held if row[0] == frame and row[3]) for frame in sorted({r[0] for r in held if r[3]})]
    print(f"Dice of the first choice among them {np.mean([d for _, d in best]):.4f}, of the best {np.mean(oracle):.4f}")
    for name, value in zip(NAMES, coefficients):
        print(f"  {name:22} {value:+.3f}")
    frames = lambda rows: len({row[0] for row in rows})
    return {"provenance": {"weights": weights, "fittedOn": fitted_on, "frames": frames(train), "masks": len(train),
                           "heldOutAUC": round(float(auc(score[grown_ones], good[grown_ones])), 4),
                           "heldOutFrames": frames(held)},
            "features": NAMES, "mean": rounded(mean), "deviation": rounded(deviation),
            "coefficients": rounded(coefficients), "intercept": rounded([intercept])[0], "threshold": 0.5}


def rounded(values):
    return [float(f"{value:.6g}") for value in values]


def swift(rule):
    source = rule["provenance"]
    listing = lambda values: ", ".join(repr(value) for value in values)
    return f'''// SPDX-License-Identifier: Apache-2.0
//
// Written by training/fit_auto_rule.py, which says how.

extension SamAutoRule {{
    /// The rule inside the executable. It was fitted without a network, on proposals grown by colour: on weights of Segment
    /// Anything it is not measured.
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
