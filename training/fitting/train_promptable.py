# SPDX-License-Identifier: Apache-2.0
"""Trains medsam-compact: python -m training.fitting.train_promptable --data DATA --start RUNS/polyp-compact/checkpoint.pt

The encoder begins as that of polyp-compact (a checkpoint of train.py). A new stage begins from the shipped file instead; it
uses squares of the full size and half the learning rate. The training continues from RUNS/medsam-compact/checkpoint.pt if
that file exists. log.csv and curve.png lie beside the checkpoint. Needs segment-anything (requirements-reference.txt).

Every step prompts its images with a jittered box. Two steps in five then prompt again: with one to five points alone, or
with one correcting point and the logits of the first mask, with or without the box. exporting/export_promptable.py turns
the checkpoint into the shipped file and its card.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from training.data import prompted_targets, prompts
from training.fitting.running import SEED, follow, has_bf16, rate, reuse_memory, save, write_log
from training.scores import dice
from training.networks import promptable
from training.networks.promptable import MEDSAM_COMPACT, Promptable
from training.networks.residual_unet import unfold
from training.paths import add_folders
from training.recipes import medsam_compact

SAMPLES = 32_000
BATCH = 8
RATES = {"encoder": 3e-4, "rest": 8e-4}
WEIGHT_DECAY = 0.02
AVERAGE_DECAY = 0.998  # of the moving average of the weights, per step


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="length of the run; may be changed when the run is resumed")
    parser.add_argument("--start", type=Path,
                        help="checkpoint of polyp-compact, for the encoder, or the shipped medsam-compact")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--score-minutes", type=float, default=12)
    return parser.parse_args()


def begin(path, training):
    """The network to train, and the facts of its earlier stages."""
    network = Promptable(MEDSAM_COMPACT)
    if path and path.suffix == ".safetensors":
        folded, facts = promptable.load(path)
        training.begin(1)
        rng = np.random.default_rng([SEED, 8])
        unfold(folded.image_encoder, network.image_encoder, (training.batch(4 * BATCH, rng)[0] for _ in range(8)))
        network.prompt_encoder.load_state_dict(folded.prompt_encoder.state_dict())
        network.mask_decoder.load_state_dict(folded.mask_decoder.state_dict())
        return network, facts["training"].get("stages") or [facts["training"]]
    if path:
        given = torch.load(path, weights_only=True, map_location="cpu")["average"]
        ours = network.image_encoder.state_dict()
        network.image_encoder.load_state_dict(
            {name: given[name] if name in given else value for name, value in ours.items()})
    return network, []


def mask_loss(logits, truth):
    """Cross-entropy plus soft Dice loss [batch, masks] of logits [batch, masks, rows, columns].

    truth is [batch, 1, rows, columns].
    """
    truth = truth.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((2, 3))
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * truth).sum((2, 3)) + 1
    return 4 * entropy + 1 - overlap / (probability.sum((2, 3)) + truth.sum((2, 3)) + 1)


def loss(logits, iou, truth, lone_point):
    """The loss of the single mask and of its predicted IoU.

    A lone point is ambiguous. For a lone point the loss also covers the best of the three other masks. All three get a
    small weight, so each keeps learning.
    """
    each = mask_loss(logits, truth)
    value = each[:, 0].mean()
    if lone_point:
        value = value + each[:, 1:].min(dim=1).values.mean() + 0.1 * each[:, 1:].mean()
    with torch.no_grad():
        mask, whole = logits > 0, truth.expand_as(logits) > 0.5
        true_iou = (mask & whole).sum((2, 3)) / (mask | whole).sum((2, 3)).clamp(min=1)
    error = (iou - true_iou).square()
    return value + (error.mean() if lone_point else error[:, 0].mean())


def prompted(network, embedding, targets, truth, rng):
    """The loss of one step: the round with a box and, sometimes, a second round."""
    shape = targets.shape[1:]
    boxes = np.stack([prompts.jittered(prompts.box_of(target), rng, shape) for target in targets])
    given = torch.from_numpy(boxes)
    drawn = torch.from_numpy(np.stack([medsam_compact.drawn_box(box, len(target)) for box, target in zip(boxes, targets)]))[:, None]
    logits, iou = network.decode(embedding, boxes=given, masks=drawn)
    value, choice = loss(logits.float(), iou.float(), truth, False), rng.random()
    if choice < 0.25:
        count = rng.choice([1, 1, 2, 3, 4, 5])
        chosen = [prompts.points_in(target, count, rng) for target in targets]
    elif choice < 0.4:
        found = F.interpolate(logits[:, :1].detach().float(), size=shape, mode="bilinear").numpy()[:, 0] > 0
        chosen = [prompts.points_in(target, 1, rng, wrong=mask != target) for target, mask in zip(targets, found)]
    else:
        return value
    points = tuple(torch.from_numpy(np.stack(part)) for part in zip(*chosen))
    if choice < 0.25:
        again = network.decode(embedding, points=points)
    else:
        again = network.decode(embedding, points=points, boxes=given if choice < 0.33 else None,
                               masks=logits[:, :1].detach().float())
    return value + loss(*(output.float() for output in again), truth, choice < 0.25 and count == 1)


def score(network, data, step):
    """Mean Dice per domain of every `step`-th held-out frame and slice, for a jittered truth box."""
    network, rng, found = network.folded(), np.random.default_rng(5), {}
    for domain, _, image, truth in prompted_targets.held_out(data, step, step):
        box = prompts.jittered(prompts.box_of(truth), rng, truth.shape)
        mask, _ = medsam_compact.predict(network, medsam_compact.embed(network, image), truth.shape, box)
        found.setdefault(domain, []).append(dice(mask, truth))
    return {domain: float(np.mean(values)) for domain, values in found.items()}


def main():
    arguments = options()
    reuse_memory()
    torch.set_num_threads(arguments.threads)
    folder = arguments.runs / medsam_compact.NAME
    folder.mkdir(parents=True, exist_ok=True)
    total, checkpoint = arguments.samples, folder / "checkpoint.pt"
    torch.manual_seed(SEED)
    training = prompted_targets.Training(arguments.data, arguments.runs)
    network, stages = begin(None if checkpoint.exists() else arguments.start, training)
    network = network.to(memory_format=torch.channels_last)
    average = Promptable(MEDSAM_COMPACT).to(memory_format=torch.channels_last).eval()
    average.load_state_dict(network.state_dict())
    groups = []
    for part, peak in RATES.items():
        for decays in (True, False):
            groups.append({"peak": peak, "weight_decay": WEIGHT_DECAY if decays else 0, "params": [
                p for name, p in network.named_parameters()
                if name.startswith(("image_encoder.encoder", "image_encoder.decoder")) == (part == "encoder")
                and (p.ndim > 1) == decays]})
    optimiser = torch.optim.AdamW(groups, lr=0)
    step, seconds, rows = 0, 0.0, []
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        step, seconds, rows, stages = kept["step"], kept["seconds"], kept["rows"], kept["stages"]
    seed, share = SEED + len(stages), 0.5 if stages else 1
    print(f"{medsam_compact.NAME}: {len(training.slices)} slices, {total} samples, at step {step}", flush=True)

    def report(stride):
        found = score(average, arguments.data, stride) if stride else {}
        rows.append({"samples": step * BATCH, "loss": f"{np.mean(losses):.4f}",
                     "dice": f"{np.mean(list(found.values())):.4f}" if found else "",
                     **{key: f"{found[key]:.4f}" if found else "" for key in ("polyp", "atrium")},
                     "seconds": f"{seconds:.0f}"})
        print(time.strftime("%H:%M:%S"), rows[-1], f"progress {step * BATCH / total:.3f}", flush=True)
        write_log(rows, folder)
        save(checkpoint, {"network": network.state_dict(), "average": average.state_dict(), "rows": rows,
                          "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds, "total": total, "seed": seed,
                          "stages": stages})

    losses, saved, scored = [], time.monotonic(), time.monotonic()
    while step * BATCH < total:
        begun = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = share * group["peak"] * rate(step * BATCH / total)
        rng = np.random.default_rng([seed, 9, step])
        training.begin(1 if stages else step * BATCH / total)
        network.resize(training.size)
        images, targets = training.batch(BATCH, rng)
        truth = F.avg_pool2d(torch.from_numpy(targets[:, None].astype(np.float32)), 2)
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16("cpu")):
            embedding = network.image_encoder(images.to(memory_format=torch.channels_last))
            value = prompted(network, embedding, targets, truth, rng)
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        step += 1
        follow(average, network, min(AVERAGE_DECAY, step / (step + 9)))
        losses.append(float(value.detach()))
        seconds += time.monotonic() - begun
        if time.monotonic() - saved > arguments.save_minutes * 60:
            with_score = time.monotonic() - scored > arguments.score_minutes * 60
            report(9 if with_score else None)
            losses, saved = [], time.monotonic()
            scored = saved if with_score else scored
    if losses:
        report(5)


if __name__ == "__main__":
    main()
