# SPDX-License-Identifier: Apache-2.0
"""Trains medsam2-compact: python -m training.fitting.train_tracker --data DATA --threads 2

The first stage begins from the shipped medsam-compact: its trunk, prompt encoder and mask decoder. The mask decoder keeps
the hidden units of its MLPs with the largest weights, and the neck begins as the least-squares fit to medsam-compact's image
embedding at half the resolution. The trunk stays as it is unless `--trunk-rate` gives it a learning rate.

A step encodes a batch of sequences (data/tracked_sequences.py) and tracks them twice: from the first frame on, and back
from the last frame that shows the structure. The trunk takes a tenth of the time of a step. Its output is therefore not
cached, and every step sees new augmentations. The first frame of a track is prompted with a jittered box. In one track
of four another frame is prompted, too; in one of five, tracked frames get correcting points. Memories contain the
network's own masks, rounded to bf16. During the first TEACHER of the training, the truth decides whether the structure
counts as present.

The training continues from RUNS/medsam2-compact/checkpoint.pt if that file exists. log.csv and curve.png lie beside the
checkpoint. exporting/export_tracker.py turns the checkpoint into a file and its card.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from training.data import prompts, tracked_sequences
from training.fitting.running import SEED, follow, has_bf16, rate, reuse_memory, save, write_log
from training.fitting.score_tracker import score
from training.networks import tracker
from training.networks.tracker import HIDDEN, LOW, SIZE, Features, Tracker, choose
from training.paths import add_folders, shipped
from training.recipes import medsam2_compact

SAMPLES = 60_000  # tracks
BATCH = 6  # sequences of a step
LENGTHS = (3, 4, 5, 6, 7, 8)
SHORT, SHORT_UNTIL = 5, 0.25  # longest sequence during this first share of a training
TEACHER = 0.15
PEAK = 5e-4
WEIGHT_DECAY = 0.02
AVERAGE_DECAY = 0.998  # of the moving average of the weights, per step
SECOND_PROMPT, CORRECTED = 0.25, 0.2  # shares of the tracks
LEAST_PRESENT = 8  # pixels of truth in the square from which the structure counts as present


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="tracks of the run; may be changed when it is resumed")
    parser.add_argument("--start", type=Path, help="a file of export_tracker.py to begin a new stage from")
    parser.add_argument("--rate", type=float, default=PEAK, help="peak learning rate behind the trunk")
    parser.add_argument("--trunk-rate", type=float, default=0, help="peak learning rate of the trunk")
    parser.add_argument("--no-polyps", action="store_true", help="train on atria only")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=4)
    parser.add_argument("--score-minutes", type=float, default=20)
    parser.add_argument("--scored", type=int, default=4, help="held-out volumes that are scored on the way")
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
        frames = training.batch(8, 2, rng)[0].flatten(0, 1)
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


def boxes(truth, rng):
    """The corners [batch, 2, 2] of a jittered box around each truth [batch, 256, 256]."""
    found = [prompts.jittered(prompts.box_of(mask), rng, mask.shape) for mask in (truth > 0.5).numpy()]
    return torch.from_numpy(np.stack(found)).reshape(-1, 2, 2)


def correcting_points(truth, logits, count, rng):
    """Points and labels that correct the masks of low-resolution logits [batch, 64, 64]."""
    found = F.interpolate(logits[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0] > 0
    chosen = [prompts.points_in(mask, count, rng, wrong=mask != other)
              for mask, other in zip((truth > 0.5).numpy(), found.numpy())]
    points, labels = (torch.from_numpy(np.stack(part)) for part in zip(*chosen))
    return points, labels.long()


class TrackedBatch:
    """Tracks through a batch of sequences: features and truth of each frame, and whether it shows the structure."""

    def __init__(self, network, features, truth, rng, teacher):
        self.network, self.features, self.truth, self.rng, self.teacher = network, features, truth, rng, teacher
        self.present = truth.sum((2, 3)) >= LEAST_PRESENT
        self.conditioning, self.others, self.losses = {}, {}, []

    def judge(self, index, answer, several):
        """Adds the loss of a frame."""
        self.losses.append(frame_loss(answer, self.truth[index], self.present[index], several))

    def remember(self, index, answer, several, prompted):
        """The Memory of a frame."""
        logits, token = choose(answer, True)[::2] if several else (answer.logits[:, 0], answer.tokens[:, 0])
        shown = self.present[index] if self.teacher else answer.score > 0
        return self.network.remember(self.features[index].vision, logits, token, shown, prompted)

    def prompt(self, index):
        """Prompts a frame with boxes and makes it a conditioning frame."""
        features, points = self.features[index], boxes(self.truth[index], self.rng)
        answer = self.network.decode(features.vision + self.network.no_mem_embed[0], features, points,
                                     torch.tensor([[2, 3]]).expand(len(points), 2))
        self.judge(index, answer, several=False)
        self.conditioning[index] = self.remember(index, answer, several=False, prompted=True)

    def follow(self, index, corrected):
        """Tracks to a frame and, with `corrected`, corrects its mask with points."""
        features, several = self.features[index], True
        memories, pointers = medsam2_compact.bank(index, 1, self.conditioning, self.others, tracker.POINTERS)
        embedding = self.network.condition(features.vision, memories, pointers)
        answer = self.network.decode(embedding, features)
        self.judge(index, answer, several)
        if corrected:
            logits, count = choose(answer, several)[0].detach(), int(self.rng.integers(1, 4))
            points, labels = correcting_points(self.truth[index], logits, count, self.rng)
            several = count == 1
            answer = self.network.decode(embedding, features, points, labels, logits[:, None].clamp(-32, 32))
            self.judge(index, answer, several)
        if index < len(self.features) - 1:
            self.others[index] = self.remember(index, answer, several, prompted=corrected)

    def run(self):
        """The mean loss of the frames."""
        shown = [index for index in range(1, len(self.features)) if self.present[index].all()]
        self.prompt(0)
        if shown and self.rng.random() < SECOND_PROMPT:
            self.prompt(int(self.rng.choice(shown)))
        corrects = self.rng.random() < CORRECTED
        for index in range(1, len(self.features)):
            if index not in self.conditioning:
                self.follow(index, corrects and index in shown and self.rng.random() < 0.4)
        return torch.stack(self.losses).mean()


def back(present, length):
    """For each sequence the frames [length, batch] of a track back from the last frame that shows the structure.

    A track that arrives at the first frame turns round.
    """
    last = [int(np.flatnonzero(column)[-1]) for column in present.T.numpy()]
    return torch.tensor([[abs(start - k) for start in last] for k in range(length)])


def step_loss(network, training, length, rng, teacher, trunk_learns):
    """The loss of one step: of both tracks through a batch of sequences."""
    frames, truth = training.batch(BATCH, length, rng)
    with torch.set_grad_enabled(trunk_learns):
        outputs = network.image_encoder.trunk(frames.flatten(0, 1).to(memory_format=torch.channels_last))
    features = network.project(outputs)
    onwards = torch.arange(length)[:, None].expand(length, BATCH)
    order = torch.cat([onwards, back(truth.sum((2, 3)) >= LEAST_PRESENT, length)], dim=1)
    sequence = torch.arange(BATCH).repeat(2)
    chosen = [Features(*(part[places] for part in features)) for places in order * BATCH + sequence]
    return TrackedBatch(network, chosen, truth[order, sequence], rng, teacher).run()


def main():
    arguments = options()
    reuse_memory()
    torch.set_num_threads(arguments.threads)
    folder = arguments.runs / medsam2_compact.NAME
    folder.mkdir(parents=True, exist_ok=True)
    total, checkpoint = arguments.samples, folder / "checkpoint.pt"
    torch.manual_seed(SEED)
    training = tracked_sequences.Training(arguments.data, arguments.runs, polyps=not arguments.no_polyps)
    stages = []
    if checkpoint.exists():
        network = Tracker()
    elif arguments.start:
        network, facts = tracker.load(arguments.start)
        stages = facts["training"].get("stages") or [facts["training"]]
    else:
        network = begin(training)
    network = network.to(memory_format=torch.channels_last)
    trunk_learns = arguments.trunk_rate > 0
    network.image_encoder.trunk.requires_grad_(trunk_learns)
    average = Tracker().to(memory_format=torch.channels_last).eval()
    average.load_state_dict(network.state_dict())
    groups = [{"peak": arguments.trunk_rate if of_trunk else arguments.rate, "weight_decay": WEIGHT_DECAY if decays else 0,
               "params": [p for name, p in network.named_parameters()
                          if name.startswith("image_encoder.trunk.") == of_trunk and (p.ndim > 1) == decays]}
              for of_trunk in (False, True) for decays in (True, False)]
    optimiser = torch.optim.AdamW(groups, lr=0, betas=(0.9, 0.98))
    step, seconds, rows = 0, 0.0, []
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        step, seconds, rows, stages = kept["step"], kept["seconds"], kept["rows"], kept["stages"]
        for group, fresh in zip(optimiser.param_groups, groups):
            group["peak"] = fresh["peak"]
    seed, tracks = SEED + len(stages), 2 * BATCH
    print(f"{medsam2_compact.NAME}: {len(training.volumes)} volumes, {total} tracks, at step {step}", flush=True)

    def report(volumes):
        found = score(average, arguments.data, volumes) if volumes else None
        rows.append({"samples": step * tracks, "loss": f"{np.mean(losses):.4f}", "dice": f"{found['dice']:.4f}" if found else "",
                     "beyond": f"{found['beyond']:.2f}" if found else "", "volumes": volumes or "", "seconds": f"{seconds:.0f}"})
        print(time.strftime("%H:%M:%S"), rows[-1], f"progress {step * tracks / total:.3f}", flush=True)
        write_log(rows, folder)

    def keep():
        save(checkpoint, {"network": network.state_dict(), "average": average.state_dict(), "rows": rows,
                          "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds, "total": total, "seed": seed,
                          "stages": stages})

    losses, saved, scored = [], time.monotonic(), time.monotonic()
    while step * tracks < total:
        begun, progress = time.monotonic(), step * tracks / total
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * rate(progress) * (0.5 if stages else 1)
        rng = np.random.default_rng([seed, 9, step])
        length = int(rng.choice([n for n in LENGTHS if n <= SHORT or stages or progress >= SHORT_UNTIL]))
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16("cpu")):
            value = step_loss(network, training, length, rng, not stages and progress < TEACHER, trunk_learns)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        follow(average, network, min(AVERAGE_DECAY, step / (step + 9)))
        losses.append(float(value.detach()))
        seconds += time.monotonic() - begun
        if time.monotonic() - saved > arguments.save_minutes * 60:
            keep()
            with_score = time.monotonic() - scored > arguments.score_minutes * 60
            report(arguments.scored if with_score else None)
            losses, saved = [], time.monotonic()
            scored = saved if with_score else scored
    keep()
    if losses:
        report(16)
        keep()


if __name__ == "__main__":
    main()
