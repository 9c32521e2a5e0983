# SPDX-License-Identifier: Apache-2.0
"""Trains medsam2-compact: python -m training.fitting.train_tracker --data DATA --seconds 4000

The first stage begins from the shipped medsam-compact: its trunk, prompt encoder and mask decoder. The mask decoder keeps
the hidden units of its MLPs with the largest weights, and the neck begins as the least-squares fit to medsam-compact's image
embedding at half the resolution. The trunk follows at a smaller learning rate, or stays as it is with `--trunk-rate 0`.

A step encodes a batch of sequences (data/tracked_sequences.py) and tracks them twice: from the first frame on, and back
from the last frame that shows the structure. The first frame of a track is prompted with a jittered box. In one batch of
four another frame is prompted, too; in one of five, tracked frames get correcting points. LEAVES of the batches leave the
structure. Memories contain the network's own masks, rounded to bf16. During the first TEACHER of the training, the truth
decides whether the structure counts as present. From LONG_FROM on, LONG of the batches are long: they run WARM frames
without gradients first, so that the network learns from memories as they are far from the prompt.

The training reads packs (data/tracked_pack.py) and makes them from DATA if they are missing. It runs on a CUDA device if
there is one. It plans the learning rate for `--seconds` of steps in all: processor time on a CPU, unless `--wall-time` is
given. It continues from RUNS/medsam2-compact/checkpoint.pt if that file exists. `--stop-after` ends a run early. log.csv and
curve.png lie beside the checkpoint. `--slim FOLDER` also keeps the averaged weights there, in files of at most PART bytes.
`score_tracker` and exporting/export_tracker.py read a checkpoint.
"""
import argparse
import io
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from training.data import tracked_pack, tracked_sequences
from training.data.prompts import JITTER
from training.fitting.running import SEED, follow, has_bf16, rate, reuse_memory, save, write_log
from training.networks import tracker
from training.networks.tracker import HIDDEN, LOW, SIZE, Features, Tracker, choose
from training.paths import add_folders, shipped
from training.recipes import medsam2_compact

BATCH = 6  # sequences of a step on a CPU
LENGTHS = (3, 4, 5, 6, 7, 8)
SHORT, SHORT_UNTIL = 5, 0.15  # longest sequence during this first share of a training
WARM, LONG_FROM, LONG = 24, 0.4, 0.25
TEACHER = 0.1
LEAVES = 0.4
PEAK, TRUNK_PEAK = 8e-4, 1e-4
WEIGHT_DECAY = 0.02
AVERAGE_DECAY = 0.997  # of the moving average of the weights, per step
SECOND_PROMPT, CORRECTED = 0.25, 0.2  # shares of the batches that do not leave the structure
LEAST_PRESENT = 8  # pixels of truth in the square from which the structure counts as present
PART = 15 << 20


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser, required=False)
    parser.add_argument("--packs", type=Path, nargs="+", help="files of tracked_pack.py; RUNS/tracked.npz by default")
    parser.add_argument("--seconds", type=float, default=20_000, help="planned duration of the steps, over all runs")
    parser.add_argument("--wall-time", action="store_true", help="plan by wall-clock time on a CPU, too")
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="seconds after which this run ends")
    parser.add_argument("--steps", type=int, default=0, help="end this run after so many steps")
    parser.add_argument("--batch", type=int, default=BATCH, help="sequences of a step; halved if the memory does not suffice")
    parser.add_argument("--start", type=Path, help="a file of export_tracker.py to begin a new stage from")
    parser.add_argument("--rate", type=float, default=PEAK, help="peak learning rate behind the trunk")
    parser.add_argument("--trunk-rate", type=float, default=TRUNK_PEAK, help="peak learning rate of the trunk")
    parser.add_argument("--no-polyps", action="store_true", help="train on atria only")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="compile the parts that a step runs most often")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-seconds", type=float, default=240)
    parser.add_argument("--score-seconds", type=float, default=1200)
    parser.add_argument("--slim", type=Path, help="folder for the averaged weights in small files")
    return parser.parse_args()


def begin(training):
    """A network whose trunk, neck, prompt encoder and mask decoder come from the shipped medsam-compact."""
    given = {name: value.float() for name, value in load_file(shipped("medsam-compact")).items()}
    network = Tracker()
    state = network.state_dict()

    def take(ours, theirs):
        for name in state:
            source = theirs + name.removeprefix(ours)
            if name.startswith(ours) and source in given and given[source].shape == state[name].shape:
                state[name] = given[source]
    take("image_encoder.trunk.", "image_encoder.")
    # The trunk has one residual block at stride 32, medsam-compact has two. Leaving out the first of them costs less.
    take("image_encoder.trunk.encoder.4.blocks.0.", "image_encoder.encoder.4.blocks.1.")
    take("sam_prompt_encoder.", "prompt_encoder.")
    take("sam_mask_decoder.", "mask_decoder.")
    for layer in range(2):
        name = f"transformer.layers.{layer}.mlp."
        into, bias, out = (given[f"mask_decoder.{name}lin{key}"] for key in ("1.weight", "1.bias", "2.weight"))
        kept = (into.norm(dim=1) * out.norm(dim=0)).topk(HIDDEN).indices
        parts = {"0.weight": into[kept], "0.bias": bias[kept], "1.weight": out[:, kept],
                 "1.bias": given[f"mask_decoder.{name}lin2.bias"]}
        state |= {f"sam_mask_decoder.{name}layers.{key}": value for key, value in parts.items()}
    for name in ("weight", "bias"):  # an image embedding has this norm at its end
        state[f"memory_attention.norm.{name}"] = given[f"image_encoder.neck.1.{name}"]
    for name in ("conv_s0.weight", "conv_s1.weight"):  # drawn; the upscaling at first listens to the embedding
        state[f"sam_mask_decoder.{name}"] *= 0.1
    network.load_state_dict(state)
    fit_neck(network, training)
    return network


@torch.no_grad()
def fit_neck(network, training):
    """Fits the neck's level 2 to medsam-compact's image embedding, averaged over 2 x 2 places, by least squares."""
    from training.networks import promptable  # needs segment-anything
    encoder = promptable.load(shipped("medsam-compact"))[0].image_encoder
    rows, targets, rng = [], [], np.random.default_rng([SEED, 8])
    for _ in range(12):
        frames = training.batch(8, 2, rng)[0].flatten(0, 1).cpu()
        _, _, fine, coarse = network.image_encoder.trunk(frames)
        outputs = torch.cat([fine, F.interpolate(coarse, scale_factor=2, mode="nearest"), torch.ones_like(fine[:, :1])], dim=1)
        rows.append(outputs.permute(0, 2, 3, 1).flatten(0, 2))
        targets.append(F.avg_pool2d(encoder(frames), 2).permute(0, 2, 3, 1).flatten(0, 2))
    x, y = torch.cat(rows).double(), torch.cat(targets).double()
    inner = x.T @ x
    solution = torch.linalg.solve(inner + 1e-4 * inner.diagonal().mean() * torch.eye(len(inner)), x.T @ y).T.float()
    coarsest, fine = network.image_encoder.neck.convs[0].conv, network.image_encoder.neck.convs[1].conv
    width = fine.weight.shape[1]
    fine.weight.copy_(solution[:, :width, None, None])
    coarsest.weight.copy_(solution[:, width:-1, None, None])
    fine.bias.copy_(solution[:, -1])
    coarsest.bias.zero_()
    residual = (y - x @ solution.T.double()).square().mean() / y.var()
    print(f"neck: {float(residual):.3f} of the embedding's variance is left", flush=True)


def mask_loss(logits, truth):
    """Cross-entropy plus soft Dice loss of logits [batch, masks, 64, 64], and the masks' IoU, both [batch, masks].

    The truth [batch, 1, 64, 64] is a share of each pixel.
    """
    truth = truth.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((2, 3))
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * truth).sum((2, 3)) + 1
    with torch.no_grad():
        found, whole = logits > 0, truth > 0.5
        iou = (found & whole).sum((2, 3)) / (found | whole).sum((2, 3)).clamp(min=1)
    return 8 * entropy + 1 - overlap / (probability.sum((2, 3)) + truth.sum((2, 3)) + 1), iou


def frame_loss(answer, truth, present, several):
    """The loss of one frame: masks and predicted IoU where the structure is present, and the object score everywhere.

    With `several`, the best alternative has the largest weight. Otherwise, the single mask has it. Other masks have a
    small weight.
    """
    each, iou = mask_loss(answer.logits, F.avg_pool2d(truth[:, None], SIZE // LOW))
    main = each[:, 1:].min(dim=1).values if several else each[:, 0]
    masks = main + 0.2 * each.mean(dim=1) + (answer.iou - iou).abs().mean(dim=1)
    share = present.float()
    value = (masks * share).sum() / share.sum().clamp(min=1)
    return value + F.binary_cross_entropy_with_logits(answer.score, share)


def edges(mask):
    """The boxes XYXY [batch, 4] of masks [batch, rows, columns]. The box of an empty mask is the middle of the image."""
    sides = []
    for axis in (1, 2):
        size = mask.shape[3 - axis]
        place = torch.arange(size, device=mask.device)
        filled = mask.any(dim=axis)
        low, high = torch.where(filled, place, size).amin(1), torch.where(filled, place, -1).amax(1) + 1
        empty = high == 0
        sides.append((torch.where(empty, size // 4, low), torch.where(empty, 3 * size // 4, high)))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def boxes(truth):
    """The corners [batch, 2, 2] of a box around each truth [batch, 256, 256], jittered as prompts.jittered does."""
    box = edges(truth > 0.5)
    side = (box[:, 2:] - box[:, :2]).repeat(1, 2)
    return (box + (2 * torch.rand_like(box) - 1) * JITTER * side).clamp(0, SIZE).unflatten(1, (2, 2))


def correcting_points(truth, logits, count):
    """Points [batch, count, 2] and labels that correct the masks of low-resolution logits [batch, 64, 64].

    The first point lies in a pixel that is wrong. A later point lies outside the structure but near it with a probability
    of 0.3.
    """
    truth = truth > 0.5
    found = F.interpolate(logits[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0] > 0
    wrong = found != truth
    wrong = torch.where(wrong.any(dim=2).any(dim=1)[:, None, None], wrong, truth)
    place = torch.arange(SIZE, device=truth.device)
    x0, y0, x1, y1 = (edges(truth) + SIZE / 8 * torch.tensor([-1, -1, 1, 1]).to(truth.device))[:, :, None].unbind(1)
    near = ((place >= y0) & (place < y1))[:, :, None] & ((place >= x0) & (place < x1))[:, None] & ~truth
    picked = []
    for k in range(count):
        outside = torch.rand(len(truth), 1, 1, device=truth.device) < (0.3 if k else 0)
        weights = torch.where(outside, near, wrong).flatten(1).float() + 1e-9
        picked.append(torch.multinomial(weights, 1)[:, 0])
    picked = torch.stack(picked, dim=1)
    points = torch.stack([picked % SIZE, picked // SIZE], dim=2).float()
    return points, truth.flatten(1).gather(1, picked).long()


class TrackedBatch:
    """Tracks through a batch of sequences: features and truth of each frame, and whether it shows the structure."""

    def __init__(self, network, features, truth, teacher):
        self.network, self.features, self.truth, self.teacher = network, features, truth, teacher
        self.present = truth.sum((2, 3)) >= LEAST_PRESENT
        self.conditioning, self.others, self.losses = {}, {}, []
        self.corners = torch.tensor([[2, 3]]).to(truth.device)

    def judge(self, index, answer, several):
        """Adds the loss of a frame."""
        if torch.is_grad_enabled():
            self.losses.append(frame_loss(answer, self.truth[index], self.present[index], several))

    def remember(self, index, answer, several, prompted):
        """The Memory of a frame."""
        logits, token = choose(answer, True)[::2] if several else (answer.logits[:, 0], answer.tokens[:, 0])
        shown = self.present[index] if self.teacher else answer.score > 0
        return self.network.remember(self.features[index].vision, logits, token, shown, prompted)

    def prompt(self, index):
        """Prompts a frame with boxes and makes it a conditioning frame."""
        features, points = self.features[index], boxes(self.truth[index])
        answer = self.network.decode(features.vision + self.network.no_mem_embed[0], features, points,
                                     self.corners.expand(len(points), 2))
        self.judge(index, answer, several=False)
        self.conditioning[index] = self.remember(index, answer, several=False, prompted=True)
        return answer

    def follow(self, index, points=0):
        """Tracks to a frame and corrects its mask with so many points. Returns the last answer."""
        features, several = self.features[index], True
        memories, pointers = medsam2_compact.bank(index, 1, self.conditioning, self.others, tracker.POINTERS)
        embedding = self.network.condition(features.vision, memories, pointers)
        answer = self.network.decode(embedding, features)
        self.judge(index, answer, several)
        if points:
            logits = choose(answer, several)[0].detach()
            several = points == 1
            answer = self.network.decode(embedding, features, *correcting_points(self.truth[index], logits, points),
                                         logits[:, None].clamp(-32, 32))
            self.judge(index, answer, several)
        if index < len(self.features) - 1:
            self.others[index] = self.remember(index, answer, several, prompted=points > 0)
            self.others.pop(index - tracker.POINTERS, None)
        return answer

    def run(self, first=0, last=None, second=None, corrected=()):
        """Tracks the frames `first` to `last`. `second` is prompted, too; `corrected` {frame: points} get points."""
        if first == 0:
            self.prompt(0)
            if second:
                self.prompt(second)
        for index in range(max(first, 1), len(self.features) if last is None else last):
            if index not in self.conditioning:
                self.follow(index, corrected.get(index, 0) if corrected else 0)


def back(present, length):
    """For each sequence the frames [length, batch] of a track back from the last frame that shows the structure.

    A track that arrives at the first frame turns round.
    """
    place = torch.arange(length, device=present.device)[:, None]
    last = torch.where(present, place[:len(present)], 0).amax(0)
    return (last - place).abs()


class Plan(NamedTuple):
    """What happens in the tracks of a batch."""
    length: int
    warm: int = 0  # frames without gradients at the beginning
    leaves: bool = False
    second: int = 0  # a frame that is prompted, too
    corrected: dict = {}  # points of the frames that get any


def plan(rng, progress, later):
    """Draws the Plan of a step. `later` tells that this is not the first stage."""
    leaves = bool(rng.random() < LEAVES)
    if (later or progress >= LONG_FROM) and rng.random() < LONG:
        return Plan(WARM + 6, WARM, leaves)
    length = int(rng.choice([n for n in LENGTHS if n <= SHORT or later or progress >= SHORT_UNTIL]))
    if leaves:
        return Plan(length, leaves=True)
    second = int(rng.integers(1, length)) if rng.random() < SECOND_PROMPT else 0
    frames = [k for k in range(1, length) if rng.random() < 0.4] if rng.random() < CORRECTED else []
    return Plan(length, second=second, corrected={k: int(rng.integers(1, 4)) for k in frames})


def gathered(features, places):
    """The Features of each row of places [frames, tracks]."""
    return [Features(*(part[row] for part in features)) for row in places]


def step_loss(network, training, batch, chosen, rng, teacher, cast):
    """The mean loss of one step: of both tracks through a batch of sequences. `cast` makes an autocast context."""
    frames, truth = training.batch(batch, chosen.length, rng, chosen.leaves, max([chosen.second, *chosen.corrected]))
    onwards = torch.arange(chosen.length, device=truth.device)[:, None].expand(chosen.length, batch)
    order = torch.cat([onwards, back(truth.sum((2, 3)) >= LEAST_PRESENT, chosen.length)], dim=1)
    sequence = torch.arange(batch, device=truth.device).repeat(2)
    places, flat = order * batch + sequence, frames.flatten(0, 1).to(memory_format=torch.channels_last)
    track, features = TrackedBatch(network, [], truth[order, sequence], teacher), []
    if chosen.warm:
        with cast(), torch.no_grad():  # an autocast context of its own: its weights in bf16 do not get gradients
            features = gathered(network.encode(flat), places[:chosen.warm])
            track.features = features + [None]
            track.run(last=chosen.warm)
        flat = flat[places[chosen.warm:].flatten()]
        places = torch.arange(len(flat), device=truth.device).unflatten(0, (-1, 2 * batch))
    with cast():
        track.features = features + gathered(network.encode(flat), places)
        track.run(chosen.warm, None, chosen.second, chosen.corrected)
        return torch.stack(track.losses).mean()


@torch.no_grad()
def validate(network, volumes, cast):
    """Mean Dice, marked slices beyond an end and missed slices of the validation volumes, with a box on the middle slice.

    The volumes are tracked together. Masks are compared on the squares, and the largest component is not taken.
    """
    torch.manual_seed(SEED)
    count = max(len(image) for _, image, _ in volumes)
    features, truths = [], []
    with cast():
        for _, image, mask in volumes:
            padded = torch.cat([image, image[-1:].expand(count - len(image), -1, -1)])
            frames = tracked_sequences.normalised(padded[:, None].expand(-1, 3, -1, -1).float() / 255)
            features.append(network.encode(frames.to(memory_format=torch.channels_last)))
            truths.append(torch.cat([mask, torch.zeros_like(mask[:1]).expand(count - len(mask), -1, -1)]))
        truth, features = torch.stack(truths), Features(*map(torch.cat, zip(*features)))
        shown = truth.any(3).any(2)
        place = torch.arange(count, device=truth.device)
        low, high = torch.where(shown, place, count).amin(1), torch.where(shown, place, -1).amax(1)
        middle = torch.stack([place[row][len(place[row]) // 2] for row in shown])
        every, found = torch.arange(len(volumes), device=truth.device), torch.zeros_like(truth)
        for direction in (1, -1):
            reach = middle + direction * torch.arange(count, device=truth.device)[:, None]
            inside = (reach >= 0) & (reach < count)
            reach = reach.clamp(0, count - 1)
            steps = int(inside.any(1).sum())
            track = TrackedBatch(network, gathered(features, (every * count + reach)[:steps]),
                                 truth[every, reach[:steps]].float(), teacher=False)
            for k in range(steps):
                answer = track.prompt(0) if k == 0 else track.follow(k)
                logits = answer.logits[:, 0] if k == 0 else choose(answer, True)[0]
                mask = F.interpolate(logits[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0] > 0
                mask &= (answer.score > 0)[:, None, None] & inside[k][:, None, None]
                found[every, reach[k]] |= mask
    dice = 2 * (found & truth).sum((1, 2, 3)) / (found.sum((1, 2, 3)) + truth.sum((1, 2, 3)))
    marked = found.any(3).any(2)
    beyond = (marked & ((place < low[:, None]) | (place > high[:, None]))).sum(1) / 2
    return {"dice": float(dice.mean()), "worst": float(dice.min()), "beyond": float(beyond.mean()),
            "missed": float((shown & ~marked).sum(1).float().mean())}


def compiled(network):
    """Compiles the parts of a step that consist of many small operations."""
    network.memory_encoder.forward = torch.compile(network.memory_encoder.forward, dynamic=False)
    network.sam_mask_decoder.forward = torch.compile(network.sam_mask_decoder.forward, dynamic=False)
    globals()["mask_loss"] = torch.compile(mask_loss, dynamic=False)


def split(body, folder, stem):
    """Writes bytes as FOLDER/STEM.0, .1, … of at most PART bytes each. `cat` joins them."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, first in enumerate(range(0, len(body), PART)):
        (folder / f"{stem}.{k}").write_bytes(body[first:first + PART])


def main():
    begun = time.monotonic()
    arguments = options()
    reuse_memory()
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device(arguments.device)
    folder = arguments.runs / medsam2_compact.NAME
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, packs = folder / "checkpoint.pt", arguments.packs or [arguments.runs / "tracked.npz"]
    if not arguments.packs and not packs[0].exists():
        tracked_pack.write(arguments.data, packs, tracked_pack.LOSSLESS, 90, 10_000)
    torch.manual_seed(SEED)
    training = tracked_sequences.Training(packs, device, polyps=not arguments.no_polyps)
    stages = []
    if checkpoint.exists():
        network = Tracker()
    elif arguments.start:
        network, facts = tracker.load(arguments.start)
        stages = facts["training"].get("stages") or [facts["training"]]
    else:
        network = begin(training)
    network = network.to(device, memory_format=torch.channels_last).train()
    network.image_encoder.trunk.requires_grad_(arguments.trunk_rate > 0)
    average = Tracker().to(device, memory_format=torch.channels_last).eval()
    average.load_state_dict(network.state_dict())
    groups = [{"peak": arguments.trunk_rate if of_trunk else arguments.rate, "weight_decay": WEIGHT_DECAY if decays else 0,
               "params": [p for name, p in network.named_parameters() if p.requires_grad
                          and name.startswith("image_encoder.trunk.") == of_trunk and (p.ndim > 1) == decays]}
              for of_trunk in (False, True) for decays in (True, False)]
    groups = [group for group in groups if group["params"]]
    learning = torch.optim.AdamW(groups, lr=0, betas=(0.9, 0.98), fused=device.type == "cuda")
    step, tracks, seconds, rows = 0, 0, 0.0, []
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True, map_location=device)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        learning.load_state_dict(kept["optimiser"])
        step, tracks, seconds, rows, stages = (kept[key] for key in ("step", "tracks", "seconds", "rows", "stages"))
        for group, fresh in zip(learning.param_groups, groups):
            group["peak"] = fresh["peak"]
    if arguments.compile:
        compiled(network)
    seed, batch = SEED + len(stages), arguments.batch
    print(f"{medsam2_compact.NAME}: {len(training.volumes)} volumes, {len(training.validation)} for validation, "
          f"{0 if training.frames is None else len(training.frames)} frames, at step {step}, "
          f"{time.monotonic() - begun:.0f} s after the start", flush=True)

    def cast():
        return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device.type))

    def report(scored):
        found = validate(average, training.validation, cast) if scored and training.validation else {}
        loss = float(torch.stack(losses).mean()) if losses else float(rows[-1]["loss"] if rows else "nan")
        rows.append({"samples": tracks, "step": step, "loss": f"{loss:.4f}",
                     **{key: f"{found[key]:.4f}" if found else "" for key in ("dice", "worst", "beyond", "missed")},
                     "seconds": f"{seconds:.0f}"})
        now, share = time.monotonic() - begun, seconds / arguments.seconds
        print(f"{now:.0f} s", json.dumps(rows[-1]), f"progress {share:.3f}", flush=True)
        losses.clear()

    def keep():
        facts = {"rows": rows, "step": step, "tracks": tracks, "seconds": seconds, "total": arguments.seconds, "seed": seed,
                 "stages": stages, "device": device.type, "volumes": len(training.volumes),
                 "validation": len(training.validation), "frames": 0 if training.frames is None else len(training.frames)}
        save(checkpoint, {"network": network.state_dict(), "average": average.state_dict(),
                          "optimiser": learning.state_dict(), **facts})
        write_log(rows, folder)
        if arguments.slim:
            body = io.BytesIO()
            torch.save({"average": {key: value.cpu() for key, value in average.state_dict().items()}, **facts}, body)
            split(body.getvalue(), arguments.slim, "checkpoint.pt")

    # Other work may share the processor.
    clock = time.monotonic if device.type == "cuda" or arguments.wall_time else time.process_time
    losses, saved, scored, steps = [], time.monotonic(), time.monotonic(), 0
    while seconds < arguments.seconds and time.monotonic() - begun < arguments.stop_after and not 0 < arguments.steps <= steps:
        started, progress = clock(), seconds / arguments.seconds
        for group in learning.param_groups:
            group["lr"] = group["peak"] * rate(progress) * (0.5 if stages else 1)
        rng = np.random.default_rng([seed, 9, step])
        torch.manual_seed(int(rng.integers(2 ** 62)))
        learning.zero_grad()
        try:
            value = step_loss(network, training, batch, plan(rng, progress, bool(stages)), rng,
                              not stages and progress < TEACHER, cast)
            value.backward()
        except torch.cuda.OutOfMemoryError:
            batch = batch // 2
            print(f"not enough memory: {batch} sequences a step from now on", flush=True)
            continue
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        step, steps, tracks = step + 1, steps + 1, tracks + 2 * batch
        if torch.isfinite(norm):
            learning.step()
            follow(average, network, min(AVERAGE_DECAY, step / (step + 9)))
            losses.append(value.detach())
        else:
            print(f"step {step} is left out: its gradients are not finite", flush=True)
        seconds += clock() - started
        if time.monotonic() - saved > arguments.save_seconds:
            with_score = time.monotonic() - scored > arguments.score_seconds
            report(with_score)
            keep()
            saved = time.monotonic()
            scored = saved if with_score else scored
    keep()  # the scores take a while
    report(True)
    keep()


if __name__ == "__main__":
    main()
