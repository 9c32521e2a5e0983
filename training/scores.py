# SPDX-License-Identifier: Apache-2.0
"""Dice per case, its mean with a bootstrap interval, and what a segmentation says about itself."""
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


def confidence(mask, masks, probability, presence=None):
    """Without the truth: mean Dice of the mask with the masks of the single views, mean probability inside the mask,
    and their product. An empty mask has the foreground value 1 - (largest probability). Where a network says whether
    there is anything at all, the product is multiplied with that presence, and an empty answer has 1 - presence."""
    agreement = float(np.mean([dice(mask, other) for other in masks]))
    foreground = float(probability[mask].mean()) if mask.any() else 1 - float(probability.max())
    value = agreement * foreground
    if presence is None:
        return {"agreement": agreement, "foreground": foreground, "confidence": value}
    return {"agreement": agreement, "foreground": foreground, "presence": presence,
            "confidence": value * presence if mask.any() else 1 - presence}


def spearman(a, b):
    return float(stats.spearmanr(a, b).statistic)
