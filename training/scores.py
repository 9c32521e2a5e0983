# SPDX-License-Identifier: Apache-2.0
"""Dice per case, its mean with a bootstrap interval, and how a measure ranks."""
import numpy as np
from scipy import stats


def dice(mask, truth):
    """2 |A and B| / (|A| + |B|); two empty masks score 1."""
    mask, truth = np.asarray(mask, bool), np.asarray(truth, bool)
    total = mask.sum() + truth.sum()
    return 1.0 if total == 0 else float(2 * (mask & truth).sum() / total)


def summary(values, draws=2000, seed=0):
    """Mean, median, smallest, and the 95% interval of the mean over resampled cases."""
    values = np.asarray(values)
    means = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "median": float(np.median(values)),
            "min": float(values.min()), "count": len(values)}


def spearman(a, b):
    return float(stats.spearmanr(a, b).statistic)


def auroc(values, positive):
    """How often a positive has a larger value than another one; 0.5 for ties, None where one of them is missing."""
    values, positive = np.asarray(values), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return None
    ranks = stats.rankdata(values)
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(values) - count)))
