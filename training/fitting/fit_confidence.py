# SPDX-License-Identifier: Apache-2.0
"""Fits the confidence (recipes/confidence.py) of a finished network. exporting/export.py calls it.

The weights never saw the cases of the fit. These cases are the held-out cases of the task, the cases that the last stage of
training left out, and real frames without a polyp. The trunk was trained on most of these real frames. Their presence,
however, comes from presence heads that were fitted without the frame's centre.

Each case also has corrupted copies: blurred, noisy, with less contrast, and cropped. The strength of the corruption varies
from case to case. The recipe segments the cases and all copies. One logistic regression maps the logits of the measures
to the Dice of the answer. Its target is a share 0...1 instead of a class, and its weights cannot be negative. For empty
answers, a second regression maps the absence to the probability that the structure is absent. The figures in the report
are cross-fitted: the confidence of a case and of its copies comes from a fit to the other folds.

Components, area, presence and the mean probability inside the mask did not improve the cross-fitted figures. The agreement
with a view at 4/3 of the scale did (Spearman 0.71 instead of 0.67 on frames in which something was found), but costs 44%
more time.
"""
import numpy as np
from scipy import ndimage, optimize

from training.scores import auroc, dice, spearman
from training.recipes import confidence

KINDS = {"blur": (0.01, 0.02, 0.05), "noise": (0.1, 0.25, 0.6), "contrast": (0.6, 0.35, 0.2), "crop": (0.8, 0.65, 0.5)}
COPIES = 0.5  # weight of all corrupted copies of a case together; the case itself has 1
FOLDS = 10
RIDGE = 1e-3
ACCEPTABLE = 0.7
LEAST = 10  # empty answers with and without truth that a fit of their confidence needs
NAMES = ("expectedDice", "viewAgreement", "boundaryCertainty", "likeness")  # those that the task measures are used


def corrupted(image, truth, kind, strength, rng):
    """A corrupted copy: (image, truth). The meaning of `strength` depends on the kind:

    blur: standard deviation as a share of the mean side; noise: standard deviation as a share of the 99th percentile;
    crop: share of each side that is kept; contrast: share of the contrast that is kept. The normalisation of a volume
    would undo a lower contrast. Therefore its voxels get the inverse of the strength as an exponent.
    """
    axes, image = truth.ndim, np.asarray(image, np.float32)
    if kind == "blur":
        sigma = strength * np.prod(truth.shape) ** (1 / axes)
        return ndimage.gaussian_filter(image, [sigma] * axes + [0] * (image.ndim - axes)), truth
    top = np.percentile(image, 99)
    if kind == "noise":
        return image + rng.standard_normal(image.shape, np.float32) * strength * top, truth
    if kind == "contrast" and axes == 3:
        return (image / top) ** (1 / strength) * top, truth
    if kind == "contrast":
        return image.mean() + (image - image.mean()) * strength, truth
    sides = [max(1, round(side * strength)) for side in truth.shape]
    starts = [rng.integers(whole - side + 1) for whole, side in zip(truth.shape, sides)]
    part = tuple(slice(start, start + side) for start, side in zip(starts, sides))
    return image[part], truth[part]


def copies(image, truth, number):
    """Yields (kind, level of corruption 0...3, image, truth) of the case itself and of its corrupted copies."""
    yield "clean", 0, image, truth
    for k, (kind, strengths) in enumerate(KINDS.items()):
        rng = np.random.default_rng([11, number, k])
        level = (number + k) % len(strengths)
        changed, cut = corrupted(image, truth, kind, strengths[level], rng)
        yield kind, level + 1, np.clip(np.round(changed), 0, 255).astype(np.uint8), cut


def collect(task, network, data, unseen=()):
    """One row per case and copy: origin, kind, Dice, whether the structure is present and found, and the measures.

    `unseen` holds further cases (name, image, truth, presence logit). A logit of None stands for the network's own.
    """
    rows, held_out = [], ((*case, None) for case in task.data.held_out(data))
    for number, (held, (name, image, truth, logit)) in enumerate(
            [(True, case) for case in held_out] + [(False, case) for case in unseen]):
        for kind, level, changed, cut in copies(image, truth, number) if truth.any() else [("clean", 0, image, truth)]:
            answer = task.recipe.answer(network, changed, *([] if logit is None else [logit]))
            rows.append({"case": name, "held_out": held, "kind": kind, "level": level, "dice": dice(answer.mask, cut),
                         "found": bool(answer.mask.any()), "present": bool(cut.any()), **answer.measures})
    return rows


def regression(x, share, weight):
    """The bias and the weights, at least 0, of a logistic regression of shares 0...1."""
    x = np.c_[np.ones(len(x)), x]
    weight = np.asarray(weight) / np.sum(weight)

    def loss(t):
        score = x @ t
        value = weight @ (np.logaddexp(0, score) - share * score) + RIDGE * (t[1:] @ t[1:])
        return value, x.T @ (weight * (1 / (1 + np.exp(-score)) - share)) + 2 * RIDGE * np.r_[0, t[1:]]

    bounds = [(None, None)] + [(0, None)] * (x.shape[1] - 1)
    return optimize.minimize(loss, np.r_[0, np.full(x.shape[1] - 1, 0.5)], jac=True, bounds=bounds, method="L-BFGS-B").x


def weights(rows):
    """The weight of each row in a fit: its `weight`, or one that follows from its kind."""
    return np.array([row["weight"] if "weight" in row else 1 if row["kind"] == "clean" else COPIES / len(KINDS)
                     for row in rows])


def fit(rows, names=NAMES):
    """The coefficients: {"found": {"bias", "weights": {measure: weight}}, "empty": {"bias", "weight"}}.

    `names` are those of the measures; those that the first row with a mask lacks are left out. `empty` is left out if
    there are too few empty answers.
    """
    found, empty = [row for row in rows if row["found"]], [row for row in rows if not row["found"]]
    names = [name for name in names if name in found[0]]
    bias, *slopes = regression(np.array([[confidence.logit(row[name]) for name in names] for row in found]),
                               np.array([row["dice"] for row in found]), weights(found))
    terms = {"found": {"bias": bias, "weights": {name: slope for name, slope in zip(names, slopes) if slope > 0}}}
    absent = np.array([not row["present"] for row in empty], bool)
    if min(absent.sum(), (~absent).sum()) >= LEAST:
        bias, slope = regression(np.array([[confidence.logit(row["absence"])] for row in empty]), absent, weights(empty))
        terms["empty"] = {"bias": bias, "weight": slope}
    return terms


def cross_fitted(rows, names=NAMES):
    """The confidence of each row by a fit to the other folds. A case and its copies are in one fold."""
    cases = sorted({row["case"] for row in rows})
    fold = dict(zip(np.random.default_rng(7).permutation(cases), np.arange(len(cases)) % FOLDS))
    found = np.empty(len(rows))
    for k in range(min(FOLDS, len(cases))):
        terms = fit([row for row in rows if fold[row["case"]] != k], names)
        for n, row in enumerate(rows):
            if fold[row["case"]] == k:
                found[n] = confidence.confidence(row, not row["found"], terms)
    return found


def report(rows, values):
    """How well the confidence `values` of the rows rank and match their Dice, for several groups of rows."""
    def study(chosen):
        sure, reached = np.array([values[n] for n in chosen]), np.array([rows[n]["dice"] for n in chosen])
        return {"cases": len(chosen), "spearman": spearman(sure, reached) if reached.std() * sure.std() else None,
                "auroc": auroc(-sure, reached < ACCEPTABLE),
                "mean_confidence": float(sure.mean()), "mean_dice": float(reached.mean())}

    found = {}
    clean = [n for n, row in enumerate(rows) if row["kind"] == "clean"]
    for name, chosen in (("held out", [n for n in clean if rows[n]["held_out"]]),
                         ("left out", [n for n in clean if not rows[n]["held_out"] and rows[n]["present"]]),
                         ("nothing there", [n for n in clean if not rows[n]["present"]]),
                         ("corrupted", [n for n, row in enumerate(rows) if row["kind"] != "clean"])):
        if chosen:
            found[name] = study(chosen)
    for name, levels in (("clean or corrupted", (0, 1, 2, 3)), ("clean or most corrupted", (0, 3))):
        known = [n for n, row in enumerate(rows) if row["held_out"] and row["level"] in levels]
        found[name] = auroc(values[known], [rows[n]["level"] == 0 for n in known])
    return found


def fitted(task, network, data, unseen=()):
    """The coefficients that ship, and the cross-fitted report about them."""
    rows = collect(task, network, data, unseen)
    return rounded(fit(rows)), rounded(report(rows, cross_fitted(rows)))


def rounded(numbers):
    if isinstance(numbers, dict):
        return {name: rounded(value) for name, value in numbers.items()}
    return round(numbers, 4) if isinstance(numbers, float) else numbers
