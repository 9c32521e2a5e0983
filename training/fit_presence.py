# SPDX-License-Identifier: Apache-2.0
"""Fits the presence head (presence.py) of a polyp network whose trunk is finished; export.py calls it.

It is fitted to frames without a polyp, real ones and made ones (crops without the polyp, polyps filled in: blend.py), and
to frames with one that were made in the same ways, so that no trace of the making tells them apart. The threshold is
chosen on real frames without a polyp of hospitals that the head was not fitted to, one of CENTRES after the other; then
the head is fitted to everything, and its bias shifted so that the threshold is a presence of 0.5.
"""
import hashlib
from pathlib import Path

import numpy as np
import torch

import endoscopes
import polyp
from presence import Presence, statistics
from resize import resize

CENTRES = (2, 4)  # of PolypGen, those with more than a few frames without a polyp: 26 and 66
MARKED = 0.05  # share of left-out frames without a polyp that may pass
CASES = 640
EMPTY, EMPTY_CROP, POLYP, DECOY, POLYP_CROP, FILLED, HEALTHY_CROP = range(7)
KEPT = (1, 1, 0.5, 0.5, 0.4, 0.42, 0.5)  # share of each kind that is drawn from
WEIGHTS = (3, 1.5, 1, 1, 1, 0.7, 0.7)  # in the loss, before both classes get the same sum
DECAY = 1e-3


def crop(mask, rng, low, high, with_polyp):
    """Slices of a square of `low` to `high` of the frame, with most of the polyp or with none of it; or None."""
    for _ in range(12):
        side = rng.uniform(low, high)
        top, left = rng.uniform(0, 1 - side, 2)
        a, b, c, d = (round(value * len(mask)) for value in (top, top + side, left, left + side))
        inside = (mask[a:b, c:d] > 127).sum()
        if inside >= 0.6 * (mask > 127).sum() if with_polyp else inside == 0:
            return slice(a, b), slice(c, d)
    return None


def frames(training, rng):
    """(image, kind, index of its frame) of everything that could be drawn from."""
    for k in np.flatnonzero(training.origin != polyp.DRAWN):
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
    """Statistics [cases, 3] of CASES frames, one flip each, their kinds and origins."""
    rng = np.random.default_rng(5)
    # A kind that is kept whole draws no number.
    found = [case for case in frames(training, rng) if KEPT[case[1]] == 1 or rng.random() < KEPT[case[1]]]
    rng.shuffle(order := np.arange(len(found)))
    rows, kinds, origins = [], [], []
    for image, kind, index in (found[k] for k in order[:CASES]):
        image = resize(image, (polyp.SIZE, polyp.SIZE))
        image = np.ascontiguousarray(image[::rng.choice([-1, 1]), ::rng.choice([-1, 1])])
        if rng.random() < (0.3 if kind in (EMPTY, POLYP) else 0.6):
            image = endoscopes.recolour(image, rng)
        head = dict(network.stages(torch.from_numpy(polyp.normalise(image))[None]))["head"]
        rows.append(statistics(head)[0].numpy())
        kinds.append(kind)
        origins.append(training.origin[index])
    return np.stack(rows).astype(np.float64), np.array(kinds), np.array(origins)


@torch.no_grad()
def collect_empty(network, training):
    """Statistics [frames, views, 3] of the real frames without a polyp, as the recipe sees them, and their centres."""
    chosen = np.flatnonzero(training.empty & (training.origin != polyp.DRAWN))
    found = []
    for k in chosen:
        x = torch.from_numpy(polyp.normalise(resize(training.images[k], (polyp.SIZE, polyp.SIZE))))[None]
        head = dict(network.stages(torch.cat([x.flip(axes) for axes in polyp.FLIPS])))["head"]
        found.append(statistics(head).numpy())
    return np.stack(found).astype(np.float64), training.origin[chosen]


def regression(x, truth, weight):
    """Weights and bias of a logistic regression, both classes of the same importance, by Newton's method."""
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
    """(head, report, logits): the head with its threshold at a presence of 0.5, what it does to left-out centres, and its
    logit of every real frame without a polyp, of those centres by the head that was fitted without them."""
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
    """Gives the network its presence head, whose statistics are kept in `runs`; returns the report, and the logits of the
    real frames without a polyp in their order."""
    trunk = hashlib.sha256(b"".join(value.numpy().tobytes() for value in network.state_dict().values())).hexdigest()
    file = Path(runs) / f"presence-{trunk[:8]}.npz"
    if not file.exists():
        training = polyp.Training(data, runs)
        parts = *collect(network, training), *collect_empty(network, training)
        np.savez(file, **dict(zip(("statistics", "kinds", "origins", "views", "centres"), parts)))
    with np.load(file) as kept:
        cases = [kept[key] for key in ("statistics", "kinds", "origins")]
        network.presence, report, logits = fit(cases, (kept["views"], kept["centres"]))
    for parameter in network.presence.parameters():
        parameter.data = parameter.data.half().float()
    return report, logits
