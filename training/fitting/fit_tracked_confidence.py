# SPDX-License-Identifier: Apache-2.0
"""Fits the confidence of medsam2-compact: python -m training.fitting.fit_tracked_confidence --data DATA

The network is that of a weight file (`--weights`), or the averaged network of the checkpoint in RUNS, rounded as in the
shipped file. The fit goes to RUNS/medsam2-compact/confidence.json, from where exporting/export_tracker.py takes it.

Volumes: the six that validated the training. The network's weights never saw them, but the training was watched on them. Each
is tracked with jittered boxes at three places, with a box of half or twice the size, with a box beside the atrium and with
one beyond its ends, and in parts without an atrium. Copies are blurred, noisy, of another contrast or cropped (as in
fit_confidence.py), inverted, or noise alone. recipes/tracked_confidence.py says which Dice counts. The fit of slices takes
the outlined slices of all tracks whose box shows the atrium.

Frames: the Kvasir-SEG validation frames, which no network was trained on, under the camera movement that the training draws,
with a box around the polyp or beside it on the first frame. Real videos were not available.

The regression is that of fit_confidence.py. The figures of the report are cross-fitted by volume or frame. The 16 held-out
volumes take no part in the fit. Each is tracked with a jittered box and with a box beside the atrium, and one corrupted
copy of each with a jittered box, for the report.
"""
import argparse
import hashlib
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from training.data import left_atrium_volumes, polyp_frames, prompts, tracked_pack, tracked_sequences
from training.fitting.fit_confidence import KINDS, corrupted, cross_fitted, fit, rounded
from training.fitting.running import has_bf16
from training.networks import tracker
from training.paths import add_folders
from training.recipes import confidence, medsam2_compact
from training.recipes.medsam_compact import percentile_scaled
from training.recipes.resize import resize
from training.recipes.tracked_confidence import (SLICE_NAMES, VOLUME_NAMES, slice_measures, stability, volume_likeness,
                                                 volume_measures)
from training.scores import auroc, dice, spearman

ASIDE = ((1.2, 0), (-1.2, 0), (0, 1.2), (0, -1.2))  # of the box's sides, for a box that does not show the structure
BEYOND = 8  # slices between an end of the atrium and a box that does not show it
LEAST_SLICES = 6  # of a part of a volume without an atrium
UNUSUAL = 0.5  # weight of a track that is not one of a jittered box through a clean volume
REVIEW, ACCEPTABLE = 0.8, 0.7  # the review limit of kontur.example.yaml, and the Dice below which an answer is bad
SEQUENCES, LENGTH = 48, 6  # tracks of frames


class Encoded:
    """The `Features` of a volume's slices, computed when a track asks for them."""

    def __init__(self, network, volume):
        self.network, self.volume, self.known = network, percentile_scaled(volume), {}

    def __len__(self):
        return len(self.volume)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if index not in self.known:
            first = index - index % medsam2_compact.ENCODED
            part = medsam2_compact.embed(self.network, self.volume[first:first + medsam2_compact.ENCODED])
            self.known |= {first + k: features for k, features in enumerate(part)}
        return self.known[index]


def resized(box, factor, shape):
    """The box XYXY, larger by a factor about its middle, inside an image of this shape."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * factor
    return np.clip(np.r_[middle - half, middle + half], 0, [shape[1], shape[0]] * 2).astype(np.float32)


def beside(box, shape, first):
    """A box of the same size beside the box XYXY, cut at the borders; the largest of ASIDE's, from `first` on."""
    found = []
    for k in range(len(ASIDE)):
        shift = np.tile(np.array(ASIDE[(first + k) % len(ASIDE)]) * (box[2:] - box[:2]), 2)
        found.append(np.clip(box + shift, 0, [shape[1], shape[0]] * 2).astype(np.float32))
    sizes = [(part[2] - part[0]) * (part[3] - part[1]) for part in found]
    return next(part for part, size in zip(found, sizes) if size >= 0.5 * max(sizes))


def row(network, features, alike, truth, boxes, shows=True, **facts):
    """The measures and the Dice of one track, and those of its slices. A box that does not show the structure has no truth."""
    truth = truth if shows else np.zeros_like(truth)
    track = medsam2_compact.track(network, features, truth.shape[1:], boxes)
    slices = []
    for index in np.flatnonzero(np.isfinite(track.scores)) if shows else ():
        slices.append({"found": bool(track.mask[index].any()), "present": bool(truth[index].any()),
                       "dice": dice(track.mask[index], truth[index]),
                       **slice_measures(track.scores[index], track.iou[index], track.stability[index])})
    return {**facts, "shows": shows, "dice": dice(track.mask, truth), "found": bool(track.mask.any()),
            "present": bool(truth.any()), **volume_measures(track, boxes, alike), "slices": slices}


def at(truth, share):
    """The slice at a share of those that show the atrium."""
    present = np.flatnonzero(truth.any((1, 2)))
    return int(present[min(int(share * len(present)), len(present) - 1)])


def jittered(truth, index, rng):
    """A jittered box {slice: XYXY} around the truth of a slice."""
    return {index: prompts.jittered(prompts.box_of(truth[index]), rng, truth.shape[1:])}


def volume_rows(network, number, name, image, truth):
    """The rows of one volume, its prompts and its copies."""
    rng, shape, truth = np.random.default_rng([31, number]), truth.shape[1:], truth > 0
    present, middle, even = np.flatnonzero(truth.any((1, 2))), at(truth, 0.5), number % 2 == 0
    features, alike = Encoded(network, image), volume_likeness(image)
    around = prompts.box_of(truth[middle])
    for share in (0.5, 0.25 if even else 0.75, 0.08 if even else 0.92):
        yield row(network, features, alike, truth, jittered(truth, at(truth, share), rng), case=name, kind="clean",
                  prompt="jittered", weight=1)
    unusual = {"case": name, "weight": UNUSUAL}
    yield row(network, features, alike, truth, {middle: resized(around, 0.5 if even else 2, shape)}, kind="clean",
              prompt="other size", **unusual)
    yield row(network, features, alike, truth, {middle: beside(around, shape, number)}, False, kind="clean", prompt="aside",
              **unusual)
    for index, near in ((present[0] - BEYOND, present[0]), (present[-1] + BEYOND, present[-1])):
        if 0 <= index < len(truth):
            (box,) = jittered(truth, near, rng).values()
            yield row(network, features, alike, truth, {int(index): box}, False, kind="clean", prompt="beyond", **unusual)
    for first, last in ((0, present[0] - 1), (present[-1] + 2, len(truth))):
        if last - first >= LEAST_SLICES:
            (box,) = jittered(truth, middle, rng).values()
            yield row(network, features[first:last], alike, truth[first:last], {(last - first) // 2: box}, False,
                      kind="clean", prompt="without an atrium", **unusual)
    for kind, changed, cut in copies(image, truth, number):
        yield row(network, Encoded(network, changed), volume_likeness(changed), cut, jittered(cut, at(cut, 0.5), rng),
                  kind != "noise alone", kind=kind, prompt="jittered", **unusual)


def held_out_rows(network, number, name, image, truth):
    """Rows of a held-out volume: a jittered box, one beside the atrium, and one corrupted copy."""
    rng, truth = np.random.default_rng([33, number]), truth > 0
    features, alike, middle = Encoded(network, image), volume_likeness(image), at(truth, 0.5)
    facts = {"case": name, "weight": 1}
    yield row(network, features, alike, truth, jittered(truth, middle, rng), kind="clean", prompt="jittered", **facts)
    yield row(network, features, alike, truth, {middle: beside(prompts.box_of(truth[middle]), truth.shape[1:], number)}, False,
              kind="clean", prompt="aside", **facts)
    kind, changed, cut = list(copies(image, truth, number // len(KINDS)))[number % len(KINDS)]
    yield row(network, Encoded(network, changed), volume_likeness(changed), cut, jittered(cut, at(cut, 0.5), rng), kind=kind,
              prompt="jittered", **facts)


def copies(image, truth, number):
    """Yields (kind, image, truth) of the corrupted copies of a volume."""
    for k, (kind, strengths) in enumerate(KINDS.items()):
        rng = np.random.default_rng([11, number, k])
        changed, cut = corrupted(image, truth, kind, strengths[(number + k) % len(strengths)], rng)
        if cut.any():
            yield kind, np.clip(np.round(changed), 0, 255).astype(np.uint8), cut
    yield "inverted", np.where(image > 0, 255 - image, 0).astype(np.uint8), truth
    noise = np.random.default_rng([12, number]).normal(0, 60, image.shape)
    yield "noise alone", np.clip(np.abs(noise), 0, 255).astype(np.uint8), truth


def frame_rows(network, data):
    """The rows of tracked frames with an outline."""
    rng, rows = np.random.default_rng([31, 99]), []
    torch.manual_seed(31)
    shown = (case[1:] for case in polyp_frames.held_out(data) if case[2].any())
    for number, (image, mask) in enumerate(islice(shown, SEQUENCES)):
        whole = torch.from_numpy(np.concatenate([image, mask[..., None] * np.uint8(255)], axis=2)).permute(2, 0, 1)[None]
        square = F.interpolate(whole.float(), (tracker.SIZE, tracker.SIZE), mode="bilinear", antialias=True).byte()
        frames, truth = tracked_sequences.Training.moving_frames(
            SimpleNamespace(frames=square), 1, LENGTH, number % 2 == 0, 0, rng)
        frames, truth = tracked_sequences.normalised(frames)[:, 0], truth[:, 0].numpy() > 0
        if not truth[0].any():
            continue
        shows, around = number % 4 != 3, prompts.box_of(truth[0])
        given = prompts.jittered(around, rng, truth.shape[1:]) if shows else beside(around, truth.shape[1:], number // 4)
        parts = network.encode(frames.to(memory_format=torch.channels_last))
        features = [tracker.Features(*(part[k:k + 1] for part in parts)) for k in range(LENGTH)]
        for (logits, score, iou), target in zip(followed(network, features, given), truth & shows):
            mask = (score > 0) & (resize(logits.numpy(), target.shape) > 0)
            if mask.any():
                rows.append({"case": str(number), "weight": 1 if shows else UNUSUAL, "found": True, "dice": dice(mask, target),
                             "present": bool(target.any()), **slice_measures(score, iou, stability(logits))})
    return rows


def followed(network, features, box):
    """Yields (logits, score, predicted IoU) of each frame of a sequence whose first frame has a box."""
    conditioning, others = {}, {}
    for index, frame in enumerate(features):
        if index:
            seen = medsam2_compact.bank(index, 1, conditioning, others, tracker.POINTERS)
            *found, others[index] = medsam2_compact.tracked(network, frame, *seen, tracker.POINTERS)
        else:
            *found, conditioning[0] = medsam2_compact.prompted(network, frame, box, (tracker.SIZE, tracker.SIZE))
        yield found


def slice_rows(rows):
    """The rows of outlined slices. The slices of a track share its weight."""
    return [{"case": row["case"], "weight": row["weight"] / len(row["slices"]), **part}
            for row in rows for part in row["slices"] if part["found"]]


def study(rows, values):
    """How well the confidences rank and match the Dice of the rows."""
    reached = np.array([row["dice"] for row in rows])
    varied = len(rows) > 1 and reached.std() * values.std() > 0
    return {"cases": len(rows), "spearman": spearman(values, reached) if varied else None,
            "auroc": auroc(-values, reached < ACCEPTABLE), "mean_confidence": float(values.mean()),
            "mean_dice": float(reached.mean()), "error": float(np.abs(values - reached).mean()),
            "below_review": float((values < REVIEW).mean())}


def groups(rows):
    """Text and rows of each group of the report on volumes."""
    clean = [row["kind"] == "clean" for row in rows]
    shown = [row["prompt"] in ("jittered", "other size") for row in rows]
    return {"a box of the atrium": [all(pair) for pair in zip(clean, shown)],
            "a box that does not show it": [not own for own in shown],
            "blurred, noisy, other contrast, cropped": [row["kind"] in KINDS for row in rows],
            "inverted, or noise alone": [row["kind"] in ("inverted", "noise alone") for row in rows],
            "all": [True for row in rows]}


def studies(rows, values):
    """The study of each group of rows about volumes."""
    return {name: study([row for row, own in zip(rows, mine) if own], values[np.array(mine)])
            for name, mine in groups(rows).items() if any(mine)}


def report(rows, frames, held_out, terms):
    """The cross-fitted report on volumes, slices and frames, and that of the fit `terms` on held-out volumes."""
    slices = slice_rows(rows)
    values = np.array([confidence.confidence(row, not row["found"], terms) for row in held_out])
    return {"volumes": studies(rows, cross_fitted(rows, VOLUME_NAMES)), "held_out": studies(held_out, values),
            "slices": study(slices, cross_fitted(slices, SLICE_NAMES)),
            "frames": study(frames, cross_fitted(frames, SLICE_NAMES))}


def digest(network):
    """SHA-256 over the tensors of a network, as fp16."""
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(name.encode() + value.half().contiguous().numpy().tobytes())
    return found.hexdigest()


def of(network, path):
    """The content of the file that this script wrote for the network's weights, or None."""
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    return kept if kept["tensors"] == digest(network) else None


def load(weights, runs):
    """The network of a weight file or, without one, of the checkpoint."""
    if weights:
        return tracker.load(weights)[0].to(memory_format=torch.channels_last)
    kept = torch.load(runs / medsam2_compact.NAME / "checkpoint.pt", weights_only=True, map_location="cpu")["average"]
    network = tracker.Tracker().eval()
    network.load_state_dict({key: value.half().float() for key, value in kept.items()})
    return network.to(memory_format=torch.channels_last)


def measured(make, number, path, data, weights, runs):
    """The rows that a function makes of one volume or, without a path, those of the frames; in a process of its own."""
    torch.set_num_threads(1)
    network = load(weights, runs)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=has_bf16("cpu")):
        return list(make(network, number, path.stem, *left_atrium_volumes.read(path)) if path else make(network, data))


def collect(data, weights, runs, processes, count):
    """The rows of the validation volumes, of the frames and of the first `count` held-out volumes."""
    validation = [path for part, path in tracked_pack.parts(data) if part == "validation"]
    jobs = [(volume_rows, number, path) for number, path in enumerate(validation)] + [(frame_rows, 0, None)]
    jobs += [(held_out_rows, number, path) for number, path in enumerate(left_atrium_volumes.split(data)[1][:count])]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        waiting = [pool.submit(measured, *job, data, weights, runs) for job in jobs]
        for count, job in enumerate(as_completed(waiting), 1):
            print(f"{count} of {len(jobs)} parts: {len(job.result())} answers", flush=True)
    parts = {make: [row for job, result in zip(jobs, waiting) if job[0] is make for row in result.result()]
             for make in (volume_rows, frame_rows, held_out_rows)}
    return tuple(parts.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    parser.add_argument("--weights", type=Path, help="a file of export_tracker.py instead of the checkpoint")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--held-out", type=int, default=16, help="held-out volumes of the report")
    arguments = parser.parse_args()
    rows, frames, held_out = collect(arguments.data, arguments.weights, arguments.runs, arguments.processes, arguments.held_out)
    fits = rounded({"confidence": fit(rows, VOLUME_NAMES), "slice_confidence": fit(slice_rows(rows), SLICE_NAMES),
                    "frame_confidence": fit(frames, SLICE_NAMES)})
    found = {"tensors": digest(load(arguments.weights, arguments.runs)), "fits": fits,
             "report": rounded(report(rows, frames, held_out, fits["confidence"]))}
    path = arguments.runs / medsam2_compact.NAME / "confidence.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**found, "rows": rows, "frame_rows": frames, "held_out_rows": held_out}))
    print(json.dumps(found, indent=1))
    print(path)


if __name__ == "__main__":
    main()
