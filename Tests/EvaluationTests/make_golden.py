# SPDX-License-Identifier: Apache-2.0
"""Golden numbers for ScoreTests and StatisticsTests.

This script computes published scores from their definitions with numpy and SciPy. It compares them with pysodmetrics and
medpy before it writes them.

    pip install numpy scipy scikit-learn pysodmetrics medpy
    python make_golden.py          writes Golden/scores.json and Golden/statistics.json

If a centroid lies exactly between two pixels, pysodmetrics rounds it to the even one, and the authors' MATLAB code
rounds it away from zero. The cases below do not have such a centroid.
"""
import json
import pathlib

import numpy as np
from medpy.metric import binary
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score

EPS = np.finfo(float).eps


def weighted_f(p, g):
    """Margolin 2014, equations 5 to 8, beta 1."""
    if not g.any():
        return 0.0
    distance, nearest = ndimage.distance_transform_edt(~g, return_indices=True)
    error = np.abs(p - g)
    spread = np.where(g, error, error[tuple(nearest)])
    x = np.arange(-3, 4)
    kernel = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / (2 * 5 ** 2))
    smooth = ndimage.convolve(spread, kernel / kernel.sum(), mode="constant")
    dependent = np.where(g, np.minimum(error, smooth), error)
    weighted = dependent * np.where(g, 1, 2 - np.exp(np.log(0.5) / 5 * distance))
    found = g.sum() - weighted[g].sum()
    recall = 1 - weighted[g].mean()
    precision = found / (EPS + found + weighted[~g].sum())
    return 2 * recall * precision / (EPS + recall + precision)


def structure(p, g):
    """Fan 2017, alpha 0.5."""
    if not g.any():
        return 1 - p.mean()
    if g.all():
        return p.mean()

    def likeness(values):
        deviation = values.std(ddof=1) if len(values) > 1 else 0
        return 2 * values.mean() / (values.mean() ** 2 + 1 + deviation + EPS)

    whole = g.mean() * likeness(p[g]) + (1 - g.mean()) * likeness(1 - p[~g])
    row, column = (int(np.floor(places.mean() + 1.5)) for places in np.nonzero(g))

    def similarity(a, b):
        x, y, degrees = a.mean(), b.mean(), a.size - 1 + EPS
        sxx, syy = ((a - x) ** 2).sum() / degrees, ((b - y) ** 2).sum() / degrees
        above = 4 * x * y * ((a - x) * (b - y)).sum() / degrees
        below = (x * x + y * y) * (sxx + syy)
        return above / (below + EPS) if above != 0 else float(below == 0)

    parts = 0.0
    for rows in (slice(0, row), slice(row, None)):
        for columns in (slice(0, column), slice(column, None)):
            if g[rows, columns].size:
                parts += g[rows, columns].size / g.size * similarity(p[rows, columns], g[rows, columns].astype(float))
    return max(0.0, 0.5 * whole + 0.5 * parts)


def alignment(answer, g):
    """Fan 2018, of a binary answer."""
    a = answer.astype(float)
    if not g.any():
        enhanced = 1 - a
    elif g.all():
        enhanced = a
    else:
        p, q = a - a.mean(), g - g.mean()
        enhanced = (2 * p * q / (p * p + q * q + EPS) + 1) ** 2 / 4
    return enhanced.sum() / (g.size - 1 + EPS)


def six(levels, g):
    p = levels / 255
    if p.max() > p.min():
        p = (p - p.min()) / (p.max() - p.min())
    curve = [alignment(p >= t / 255 - 1e-12, g) for t in range(256)]
    return {"weightedF": weighted_f(p, g), "structure": structure(p, g), "enhancedAlignment": alignment(p >= 0.5, g),
            "meanEnhancedAlignment": float(np.mean(curve)), "largestEnhancedAlignment": float(np.max(curve)),
            "meanAbsoluteError": float(np.abs(p - g).mean())}


def held_against_pysodmetrics(levels, g, ours):
    import py_sod_metrics as sod
    measures = {"weightedF": sod.WeightedFmeasure(), "structure": sod.Smeasure(), "e": sod.Emeasure(),
                "meanAbsoluteError": sod.MAE()}
    for measure in measures.values():
        measure.step(pred=levels.astype(np.uint8), gt=(g * 255).astype(np.uint8))
    theirs = {"weightedF": measures["weightedF"].get_results()["wfm"], "structure": measures["structure"].get_results()["sm"],
              "meanAbsoluteError": measures["meanAbsoluteError"].get_results()["mae"]}
    curve = measures["e"].get_results()["em"]["curve"]
    theirs["meanEnhancedAlignment"], theirs["largestEnhancedAlignment"] = curve.mean(), curve.max()
    for name, value in theirs.items():
        assert abs(value - ours[name]) < 1e-9, (name, value, ours[name])


def ellipse(rows, columns, y, x, a, b, turn):
    v, u = np.mgrid[:rows, :columns]
    dy, dx = v - y, u - x
    p, q = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return (p / a) ** 2 + (q / b) ** 2 <= 1


def frames(generator):
    rows, columns = 37, 53
    truth = ellipse(rows, columns, 17.3, 22.8, 13.4, 8.2, 0.6)
    near = ellipse(rows, columns, 19.1, 25.2, 12.1, 9.3, 0.4)
    field = np.clip(ndimage.gaussian_filter(near * 1.0, 2.2) + ndimage.gaussian_filter(
        generator.normal(size=truth.shape), 2) * 0.4, 0, 1)
    edge = ellipse(rows, columns, 3, 49, 9, 7, 0)
    cases = {
        "near miss": (near * 255, truth), "soft map": (np.round(field * 255), truth),
        "soft map that fills no range": (np.round(field * 100 + 30), truth),
        "two objects": ((near | edge) * 255, truth), "at the border": (near * 255, edge),
        "disjoint": (edge * 255, truth), "empty answer": (truth * 0, truth), "full answer": (truth * 0 + 255, truth),
        "empty truth": (near * 255, truth & False), "full truth": (near * 255, truth | True),
        "one pixel": (near * 255, ellipse(rows, columns, 18, 20, 0.4, 0.4, 0)),
        "noise": (generator.integers(0, 256, truth.shape), truth),
    }
    for name, (levels, g) in cases.items():
        levels = np.asarray(levels, float)
        ours = six(levels, g)
        held_against_pysodmetrics(levels, g, ours)
        yield {"name": name, "rows": rows, "columns": columns, "map": levels.astype(np.uint8).tobytes().hex(),
               "truth": np.packbits(g).tobytes().hex(), "scores": ours}


def volumes(generator):
    for name, shape, spacing in (("even", (9, 20, 24), (1, 1, 1)), ("flat", (7, 22, 26), (2.5, 0.625, 0.7))):
        def ball(z, y, x, r):
            grid = np.mgrid[:shape[0], :shape[1], :shape[2]]
            return sum(((g - c) * s) ** 2 for g, c, s in zip(grid, (z, y, x), spacing)) <= r * r
        centre = [(n - 1) / 2 for n in shape]
        truth = ball(*centre, 5 * max(spacing[1:]))
        answer = ball(centre[0] + 1, centre[1] - 2, centre[2] + 1.5, 5.5 * max(spacing[1:]))
        answer |= ball(shape[0] - 1, 1, 2, 2)
        answer ^= (generator.random(shape) < 0.01)
        yield {"name": name, "shape": shape, "spacing": spacing, "truth": np.packbits(truth).tobytes().hex(),
               "answer": np.packbits(answer).tobytes().hex(),
               "hausdorff95": binary.hd95(answer, truth, spacing), "average": binary.asd(answer, truth, spacing),
               "symmetricAverage": binary.assd(answer, truth, spacing)}


def statistics(generator):
    a = np.round(generator.beta(5, 2, 40), 2)
    b = np.round(np.clip(a + generator.normal(0.02, 0.05, 40), 0, 1), 2)
    wilcoxon = stats.wilcoxon(a, b, zero_method="wilcox", correction=False, method="asymptotic")
    bad = a < 0.7
    return {"a": a.tolist(), "b": b.tolist(), "spearman": float(stats.spearmanr(a, b).statistic),
            "auroc": float(roc_auc_score(bad, 1 - b)), "wilcoxon": float(wilcoxon.pvalue),
            "quantiles": [float(np.percentile(a, q)) for q in (2.5, 33.3, 50, 97.5)]}


if __name__ == "__main__":
    generator = np.random.default_rng(7)
    folder = pathlib.Path(__file__).parent / "Golden"
    folder.mkdir(exist_ok=True)
    scores = {"frames": list(frames(generator)), "volumes": list(volumes(generator))}
    (folder / "scores.json").write_text(json.dumps(scores, indent=1))
    (folder / "statistics.json").write_text(json.dumps(statistics(generator), indent=1))
