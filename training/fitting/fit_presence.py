# SPDX-License-Identifier: Apache-2.0
"""Fits the presence head (networks/presence_head.py) of a polyp network with a finished trunk. exporting/export.py calls it.

The head is fitted to frames without a polyp and to frames with a polyp. Some frames without a polyp are real, others are
made: crops without the polyp, and frames whose polyp is filled in (data/blend.py). Frames with a polyp are made in the
same ways, so that the head cannot recognise a made frame by its seams.

The threshold is chosen on real frames without a polyp. For each of CENTRES in turn, these frames come from that
hospital, and the head is fitted without it. Then the head is fitted to all frames, and its bias is shifted so that the
threshold is a presence of 0.5.
"""
import hashlib
from pathlib import Path

import numpy as np
import torch

from training.data import endoscopes, polyp_frames
from training.networks.presence_head import Presence, statistics
from training.recipes import polyp_compact
from training.recipes.resize import resize

CENTRES = (2, 4)  # the PolypGen centres with more than a few frames without a polyp: 26 and 66
MARKED = 0.05  # share of left-out frames without a polyp that may be called present
CASES = 640
EMPTY, EMPTY_CROP, POLYP, DECOY, POLYP_CROP, FILLED, HEALTHY_CROP = range(7)
KEPT = (1, 1, 0.5, 0.5, 0.4, 0.42, 0.5)  # share of each kind that is used
WEIGHTS = (3, 1.5, 1, 1, 1, 0.7, 0.7)  # in the loss, before both classes are scaled to the same sum
DECAY = 1e-3


def crop(mask, rng, low, high, with_polyp):
    """Row and column slices of a square with `low` to `high` of the frame's side, or None.

    The square holds at least 60% of the polyp if `with_polyp` is true, and does not touch it otherwise.
    """
    for _ in range(12):
        side = rng.uniform(low, high)
        top, left = rng.uniform(0, 1 - side, 2)
        a, b, c, d = (round(value * len(mask)) for value in (top, top + side, left, left + side))
        inside = (mask[a:b, c:d] > 127).sum()
        if inside >= 0.6 * (mask > 127).sum() if with_polyp else inside == 0:
            return slice(a, b), slice(c, d)
    return None


def frames(training, rng):
    """Yields (image, kind, index of its frame) of every image that the head could be fitted to."""
    for k in np.flatnonzero(training.origin != polyp_frames.DRAWN):
        image, mask = training.images[k], training.masks[k]
        if training.empty[k]:
            yield image, EMPTY, k
            for _ in range(4):
                part = crop(mask, rng, 0.6, 1, False)
                if rng.random() >= 0.5:
                    yield image[part], EMPTY_CROP, k
            continue
        yield image, POLYP, k
        choice = rng.random(3)
        if choice[0] < 0.2:
            yield training.decoys[k], DECOY, k
        if choice[0] > 0.6 and (part := crop(mask, rng, 0.5, 0.9, True)):
            yield image[part], POLYP_CROP, k
        if choice[1] < 0.55 and training.fillable[k]:
            yield training.filled[k], FILLED, k
        if choice[2] < 0.5 and (part := crop(mask, rng, 0.35, 0.75, False)):
            yield image[part], HEALTHY_CROP, k


@torch.no_grad()
def collect(network, training):
    """Statistics [cases, 3], kinds and origins of CASES images, each seen in one flip."""
    rng = np.random.default_rng(5)
    # The draw is skipped for kinds that are used whole: the seeded sequence depends on it.
    found = [case for case in frames(training, rng) if KEPT[case[1]] == 1 or rng.random() < KEPT[case[1]]]
    rng.shuffle(order := np.arange(len(found)))
    rows, kinds, origins = [], [], []
    for image, kind, index in (found[k] for k in order[:CASES]):
        image = resize(image, (polyp_compact.SIZE, polyp_compact.SIZE))
        image = np.ascontiguousarray(image[::rng.choice([-1, 1]), ::rng.choice([-1, 1])])
        if rng.random() < (0.3 if kind in (EMPTY, POLYP) else 0.6):
            image = endoscopes.recolour(image, rng)
        head = dict(network.stages(torch.from_numpy(polyp_compact.normalise(image))[None]))["head"]
        rows.append(statistics(head)[0].numpy())
        kinds.append(kind)
        origins.append(training.origin[index])
    return np.stack(rows).astype(np.float64), np.array(kinds), np.array(origins)


@torch.no_grad()
def collect_empty(network, training):
    """Statistics [frames, views, 3] and centres of the real frames without a polyp, in the flips of the recipe."""
    chosen = np.flatnonzero(training.empty & (training.origin != polyp_frames.DRAWN))
    found = []
    for k in chosen:
        x = torch.from_numpy(polyp_compact.normalise(resize(training.images[k], (polyp_compact.SIZE, polyp_compact.SIZE))))[None]
        head = dict(network.stages(torch.cat([x.flip(axes) for axes in polyp_compact.FLIPS])))["head"]
        found.append(statistics(head).numpy())
    return np.stack(found).astype(np.float64), training.origin[chosen]


def regression(x, truth, weight):
    """Weights and bias of a logistic regression by Newton's method. Both classes have the same total weight."""
    for side in (truth, ~truth):
        weight = np.where(side, 0.5 * weight / weight[side].sum(), weight)
    mean, deviation = x.mean(0), x.std(0)
    z = np.c_[(x - mean) / deviation, np.ones(len(x))]
    decay = np.diag([DECAY] * x.shape[1] + [0])
    t = np.zeros(z.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-z @ t))
        slope = z.T @ (weight * (p - truth)) + decay @ t
        t -= np.linalg.solve((z * (weight * p * (1 - p))[:, None]).T @ z + decay, slope)
    return t[:-1] / deviation, t[-1] - (t[:-1] / deviation) @ mean


def fit(cases, empty):
    """The head, a report on left-out centres, and one logit per real frame without a polyp.

    The head's threshold is a presence of 0.5. The logits of a left-out centre come from the head that was fitted without
    this centre.
    """
    (x, kinds, origins), (views, centres) = cases, empty

    def fitted(without=None):
        chosen, real = origins != without, centres != without
        made = np.r_[np.array(WEIGHTS, float)[kinds[chosen]], np.full(views[real][..., 0].size, WEIGHTS[EMPTY] / 4)]
        return regression(np.r_[x[chosen], views[real].reshape(-1, x.shape[1])],
                          np.r_[np.isin(kinds[chosen], (POLYP, DECOY, POLYP_CROP)), np.zeros(views[real][..., 0].size, bool)],
                          made)

    left_out = {}
    for centre in CENTRES:
        weight, bias = fitted(without=centre)
        left_out[centre] = (views[centres == centre] @ weight + bias).mean(axis=1)
    threshold = np.quantile(np.concatenate(list(left_out.values())), 1 - MARKED)
    weight, bias = fitted()
    head = Presence()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.fill_(bias - threshold)
    report = {f"centre {centre}": {"empty": len(values), "marked": round(float((values >= threshold).mean()), 3)}
              for centre, values in left_out.items()}
    logits = (views @ weight + bias).mean(axis=1)
    for centre, values in left_out.items():
        logits[centres == centre] = values
    return head.eval(), report, logits - threshold


def attach(network, data, runs):
    """Attaches a presence head to the network. Returns the report and logits of `fit()`.

    The statistics are kept in the folder `runs`, under the hash of the trunk.
    """
    trunk = hashlib.sha256(b"".join(value.numpy().tobytes() for value in network.state_dict().values())).hexdigest()
    file = Path(runs) / f"presence-{trunk[:8]}.npz"
    if not file.exists():
        training = polyp_frames.Training(data, runs)
        parts = *collect(network, training), *collect_empty(network, training)
        np.savez(file, **dict(zip(("statistics", "kinds", "origins", "views", "centres"), parts)))
    with np.load(file) as kept:
        cases = [kept[key] for key in ("statistics", "kinds", "origins")]
        network.presence, report, logits = fit(cases, (kept["views"], kept["centres"]))
    for parameter in network.presence.parameters():
        parameter.data = parameter.data.half().float()
    return report, logits
