# SPDX-License-Identifier: Apache-2.0
"""Fits the object score of medsam2-compact on whole tracks: python -m training.fitting.fit_score --packs PACK.npz

The training's sequences are short. This fit tracks whole training volumes in both directions from a jittered box on a random
slice of the atrium, keeps the token that the score is computed from in every slice, and fits the score's MLP to whether
the slice shows the atrium. Every slice with the atrium also counts once with a prompt of its own. A round tracks with the
score of the round before, because an absent slice leaves another memory. At last the validation volumes are tracked with
scores lowered by each of SHIFTS, and the MLP's bias takes the largest shift that costs at most MOST_LOST of their mean Dice:
a slice that may or may not show the atrium is left out rather than marked beyond the atrium's end. The fitted MLP replaces
that of the averaged weights in the checkpoint. `score_fit` there lists all rounds, and `score_shift` all shifts. All other
weights stay.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from training.data import tracked_pack, tracked_sequences
from training.fitting import score_tracker
from training.fitting.running import SEED, reuse_memory, save
from training.fitting.train_tracker import LEAST_PRESENT, TrackedBatch, gathered
from training.networks.tracker import Features, Tracker
from training.paths import add_folders
from training.recipes import medsam2_compact

STEPS, RATE, DECAY = 400, 2e-3, 0.02
SHIFTS, MOST_LOST = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0), 0.002
SMOOTH = 0.01  # share of the labels that the fit takes as wrong, so that scores stay moderate


@torch.no_grad()
def tokens(network, volumes, rng):
    """The score's tokens [answers, 256] and whether their slices show the atrium, of volumes (image, mask) of squares.

    The volumes are tracked together. A slice beyond a shorter volume's end is left out. The prompted slice counts for both
    directions.
    """
    count = max(len(image) for image, _ in volumes)
    features, truths = [], []
    for image, mask in volumes:
        padded = torch.cat([image, image[-1:].expand(count - len(image), -1, -1)])
        parts = [network.encode(tracked_sequences.normalised(part[:, None].expand(-1, 3, -1, -1).float() / 255)
                                .to(memory_format=torch.channels_last)) for part in padded.split(16)]
        features.append(Features(*map(torch.cat, zip(*parts))))
        truths.append(torch.cat([mask, torch.zeros_like(mask[:1]).expand(count - len(mask), -1, -1)]))
    truth, features = torch.stack(truths), Features(*map(torch.cat, zip(*features)))
    shown = truth.sum((2, 3)) >= LEAST_PRESENT
    keys = torch.tensor([int(rng.choice(np.flatnonzero(row.numpy())[2:-2])) for row in shown])
    lengths, every, place = torch.tensor([len(image) for image, _ in volumes]), torch.arange(len(volumes)), torch.arange(count)
    found, labels, kept = [], [], []
    hook = network.sam_mask_decoder.pred_obj_score_head.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    for direction in (1, -1):
        reach = keys + direction * place[:, None]
        inside = (reach >= 0) & (reach < lengths)
        reach = reach.clamp(0, count - 1)
        steps = int(inside.any(1).sum())
        track = TrackedBatch(network, gathered(features, (every * count + reach)[:steps]), truth[every, reach[:steps]].float(),
                             teacher=False)
        for k in range(steps):
            kept.clear()
            track.follow(k) if k else track.prompt(0)
            found.append(kept[-1][inside[k]].float())
            labels.append(shown[every, reach[k]][inside[k]].float())
    for image, slices in enumerate(shown):
        for part in (image * count + torch.from_numpy(np.flatnonzero(slices.numpy()))).split(32):
            kept.clear()
            TrackedBatch(network, gathered(features, part[None]), truth.flatten(0, 1)[part][None].float(), teacher=False).prompt(0)
            found.append(kept[-1].float())
            labels.append(torch.ones(len(part)))
    hook.remove()
    return torch.cat(found), torch.cat(labels)


def fit(head, x, y):
    """Fits the MLP by its cross-entropy. Returns the entropies before and after."""
    learning = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    with torch.no_grad():
        before = float(F.binary_cross_entropy_with_logits(head(x)[:, 0], y))
    for step in range(STEPS):
        learning.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        learning.zero_grad()
        noisy = x + 0.05 * x.std() * torch.randn_like(x)
        F.binary_cross_entropy_with_logits(head(noisy)[:, 0], y * (1 - 2 * SMOOTH) + SMOOTH).backward()
        learning.step()
    with torch.no_grad():
        return before, float(F.binary_cross_entropy_with_logits(head(x)[:, 0], y))


def lower(network, shift):
    """Lowers the object scores of a network by `shift`."""
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias -= shift


@torch.no_grad()
def shifted_rows(network, volumes):
    """For each of SHIFTS the scores of tracks through volumes (name, image, mask), with a jittered box on the middle slice.

    A row holds the shift, the mean Dice, and the most slices that are marked beyond an end.
    """
    with torch.autocast("cpu", torch.bfloat16):
        embedded = [medsam2_compact.embed(network, image) for _, image, _ in volumes]
    rows = []
    for shift in SHIFTS:
        lower(network, shift)
        with torch.autocast("cpu", torch.bfloat16):  # a context of its own, because a context keeps the bias that it saw first
            found = [score_tracker.volume_row((network, features), name, image, mask > 0)
                     for features, (name, image, mask) in zip(embedded, volumes)]
        lower(network, -shift)
        rows.append({"shift": shift, "dice": round(float(np.mean([row["dice"] for row in found])), 4),
                     "beyond": max(row[end] for row in found for end in ("below", "above"))})
    return rows


def chosen_shift(rows):
    """The largest shift whose Dice is at most MOST_LOST below the best."""
    best = max(row["dice"] for row in rows)
    return max(row["shift"] for row in rows if row["dice"] >= best - MOST_LOST)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser, required=False)
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="files of tracked_pack.py")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--volumes", type=int, default=16, help="training volumes of a round")
    parser.add_argument("--batch", type=int, default=8, help="volumes that are tracked together")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    reuse_memory()
    torch.set_num_threads(arguments.threads)
    checkpoint = arguments.runs / medsam2_compact.NAME / "checkpoint.pt"
    kept = torch.load(checkpoint, weights_only=True, map_location="cpu")
    network = Tracker().eval()
    network.load_state_dict(kept["average"])
    network = network.to(memory_format=torch.channels_last)
    packed = tracked_pack.read(arguments.packs)[0]
    volumes = [tuple(tracked_sequences.squares(part, "cpu") for part in (image, mask * 255))
               for _, image, mask in packed["training"]]
    volumes = [(image, mask > 127) for image, mask in volumes]
    torch.manual_seed(SEED)
    rng, found, rounds = np.random.default_rng([SEED, 11]), [], kept.get("score_fit", [])
    order = rng.permutation(len(volumes))
    for number in range(len(rounds), len(rounds) + arguments.rounds):
        chosen = np.take(order, np.arange(number * arguments.volumes, (number + 1) * arguments.volumes), mode="wrap")
        for first in range(0, len(chosen), arguments.batch):
            with torch.autocast("cpu", torch.bfloat16):
                found.append(tokens(network, [volumes[k] for k in chosen[first:first + arguments.batch]], rng))
            print(f"round {number}: {sum(len(y) for _, y in found)} answers", flush=True)
        x, y = map(torch.cat, zip(*found))
        before, after = fit(network.sam_mask_decoder.pred_obj_score_head, x, y)
        rounds.append({"volumes": len(chosen), "answers": len(y), "before": round(before, 4), "after": round(after, 4)})
        print(json.dumps(rounds[-1]), flush=True)
    shifts = shifted_rows(network, packed["validation"])
    lower(network, chosen_shift(shifts))
    print(json.dumps(shifts), "chosen:", chosen_shift(shifts), flush=True)
    kept |= {"average": network.state_dict(), "score_fit": rounds, "score_shift": shifts}
    save(checkpoint, kept)


if __name__ == "__main__":
    main()
