# SPDX-License-Identifier: Apache-2.0
"""Trains a network that ships inside Kontur: python training/train.py polyp-compact --data ../shared/data

Continues from runs/<name>/checkpoint.pt when there is one; otherwise `--start FILE` begins a new stage from shipped weights. Seeds are fixed; every step draws from a generator seeded
with its own number, so a resumed run sees what an uninterrupted one would. Beside the checkpoint: log.csv and curve.png.
At the end export.py turns the checkpoint into the shipped file and its model card (cards/<name>.md).
"""
import argparse
import copy
import csv
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

import left_atrium
import polyp
from export import TASKS, export, load
from networks import UNet
from scores import dice, summary

SAMPLES = {polyp.NAME: 120_000, left_atrium.NAME: 7_000}
SEED = 20261122
WARM_UP = 0.03  # of all samples
HERE = Path(__file__).resolve().parent


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=TASKS)
    parser.add_argument("--data", default=HERE.parent / "../shared/data", type=Path)
    parser.add_argument("--runs", default=HERE / "runs", type=Path)
    parser.add_argument("--samples", type=int, help="length of the run; may be changed when it is resumed")
    parser.add_argument("--start", type=Path, help="a shipped file to begin from, instead of random weights")
    parser.add_argument("--rate", type=float, help="peak learning rate; by default the task's, half of it after --start")
    parser.add_argument("--leave-out", type=int, help="a PolypGen centre to leave out and to watch")
    parser.add_argument("--no-export", action="store_true", help="end with the checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--score-minutes", type=float, default=10)
    return parser.parse_args()


def has_bf16(device):
    """Whether convolutions in bf16 are faster there than those in fp32."""
    return device == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def rate(progress):
    return progress / WARM_UP if progress < WARM_UP else 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def score(task, network, data):
    return [dice(task.predict(network, image), mask) for _, image, mask in task.held_out(data)]


def watch(task, network, training):
    """Mean Dice of a left-out centre's frames with a polyp, and the share of those without one that get a mask."""
    found = [(dice(mask := task.predict(network, image), truth), mask.any(), truth.any())
             for image, truth in training.left_out_cases()]
    return (f"{np.mean([score for score, _, present in found if present]):.4f}",
            f"{np.mean([marked for _, marked, present in found if not present] or [0]):.3f}")


def begin(task, path, training):
    """The network to train: drawn, or of a shipped file, with batch norms again, widened to the task's widths."""
    if path is None:
        return UNet(task.ARCHITECTURE), []
    network, facts = load(path)
    if hasattr(network, "presence"):  # fitted again when the trunk is finished
        del network.presence
    if task.ARCHITECTURE.norm == "batch":
        rng = np.random.default_rng([SEED, 8])
        chosen = rng.permutation(len(training))[:16 * task.BATCH].reshape(16, -1)
        network = network.unfolded(training.batch(indices, rng)[0] for indices in chosen)
    if network.arch != task.ARCHITECTURE:
        network = network.widened(task.ARCHITECTURE)
    return network, facts["training"].get("stages") or [facts["training"]]


@torch.no_grad()
def follow(average, network, keep):
    """Moves the averaged weights, and statistics, towards the network's: `keep` of them stays."""
    for ours, theirs in zip(average.state_dict().values(), network.state_dict().values()):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - keep)


def save(path, state):
    torch.save(state, f"{path}.new")
    os.replace(f"{path}.new", path)


def plot(rows, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4))
    x = [float(row["samples"]) for row in rows]
    axes.plot(x, [float(row["loss"]) for row in rows], color="tab:grey", label="training loss")
    scored = [(float(row["samples"]), float(row["dice"])) for row in rows if row["dice"]]
    axes.plot(*zip(*scored) if scored else ([], []), color="tab:blue", marker="o", label="Dice, held out")
    axes.set(xlabel="samples seen", ylim=(0, 1.5))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def reuse_memory():
    """Restarts Python with a malloc that keeps freed blocks: a sixth of a step would go to page faults."""
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        os.environ |= {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main():
    arguments = options()
    reuse_memory()
    torch.set_num_threads(arguments.threads)
    task = TASKS[arguments.name]
    folder = arguments.runs / task.NAME
    folder.mkdir(parents=True, exist_ok=True)
    total = arguments.samples or SAMPLES[task.NAME]

    torch.manual_seed(SEED)
    leave_out = {"leave_out": arguments.leave_out} if arguments.leave_out is not None else {}
    training = task.Training(arguments.data, arguments.runs, **leave_out)
    checkpoint = folder / "checkpoint.pt"
    network, stages = begin(task, None if checkpoint.exists() else arguments.start, training)
    layout = torch.channels_last if task.ARCHITECTURE.axes == 2 else torch.contiguous_format  # the faster ones
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device, memory_format=layout)
    average = UNet(task.ARCHITECTURE).to(device, memory_format=layout).eval()
    average.load_state_dict(network.state_dict())
    peak = arguments.rate or task.LEARNING_RATE * (0.5 if stages else 1)
    seed = SEED + len(stages)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": task.WEIGHT_DECAY},
                                   {"params": plain, "weight_decay": 0}], lr=peak)
    step, seconds, rows = 0, 0.0, []
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True, map_location=device)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        step, seconds, rows, stages = kept["step"], kept["seconds"], kept["rows"], kept["stages"]
        peak, seed = kept["peak"], kept["seed"]
    print(f"{task.NAME}: {len(training)} cases, {total} samples, at step {step}", flush=True)

    def keep():
        save(checkpoint, {"network": network.state_dict(), "average": average.state_dict(), "rows": rows,
                          "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds, "seed": seed, "total": total,
                          "peak": peak, "stages": stages, "leave_out": arguments.leave_out})

    def report(with_score):
        watched_network = copy.deepcopy(average).cpu() if with_score else None
        value = summary(score(task, watched_network, arguments.data))["mean"] if with_score else ""
        watched = watch(task, watched_network, training) if with_score and leave_out else ("", "")
        rows.append({"samples": step * task.BATCH, "loss": f"{np.mean(losses):.4f}", "dice": value and f"{value:.4f}",
                     "left_out": watched[0], "left_out_marked": watched[1], "seconds": f"{seconds:.0f}"})
        print(time.strftime("%H:%M:%S"), rows[-1], f"lr {optimiser.param_groups[0]['lr']:.2e}", flush=True)
        with open(folder / "log.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[-1].keys())
            writer.writeheader()
            writer.writerows(rows)
        plot(rows, folder / "curve.png")

    losses, saved, scored = [], time.monotonic(), time.monotonic()
    while step * task.BATCH < total:
        begun = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = peak * rate(step * task.BATCH / total)
        first, count = step * task.BATCH, len(training)
        indices = [np.random.default_rng([seed, k // count]).permutation(count)[k % count]
                   for k in range(first, first + task.BATCH)]
        training.progress = first / total
        images, truth = training.batch(indices, np.random.default_rng([seed, 7, step]))
        network.train()
        with torch.autocast(device, torch.bfloat16, enabled=has_bf16(device)):
            logits = network(images.to(device, memory_format=layout))
        value = task.loss(logits.float(), truth.to(device))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        step += 1
        keep_of = min(task.EMA, step / (step + 9), max(0.9, 1 - 10 * task.BATCH / total))  # a tenth of a short run
        follow(average, network, keep_of)
        losses.append(float(value.detach()))
        seconds += time.monotonic() - begun
        if time.monotonic() - saved > arguments.save_minutes * 60:
            with_score = time.monotonic() - scored > arguments.score_minutes * 60
            report(with_score)
            losses, saved = [], time.monotonic()
            scored = saved if with_score else scored
            keep()
    if losses:
        report(True)
    keep()
    if not arguments.no_export:
        export(task, arguments.data, arguments.runs)


if __name__ == "__main__":
    main()
