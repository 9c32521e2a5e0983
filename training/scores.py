# SPDX-License-Identifier: Apache-2.0
"""Dice per case, the bootstrap interval of its mean, and how well one measure ranks another."""
import numpy as np
from scipy import stats


def dice(mask, truth):
    """2 |A and B| / (|A| + |B|). Two empty masks score 1."""
    mask, truth = np.asarray(mask, bool), np.asarray(truth, bool)
    total = mask.sum() + truth.sum()
    return 1.0 if total == 0 else float(2 * (mask & truth).sum() / total)


def summary(values, draws=2000, seed=0):
    """Mean, median and minimum of the values, and the 95% interval of the mean over resampled cases."""
    values = np.asarray(values)
    means = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "median": float(np.median(values)),
            "min": float(values.min()), "count": len(values)}


def spearman(a, b):
    """Spearman's rank correlation."""
    return float(stats.spearmanr(a, b).statistic)


def auroc(values, positive):
    """The share of pairs in which the positive case has the larger value; ties count half.

    None if all cases are positive or all are negative.
    """
    values, positive = np.asarray(values), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return None
    ranks = stats.rankdata(values)
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(values) - count)))
