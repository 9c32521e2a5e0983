# SPDX-License-Identifier: Apache-2.0
"""Trains a residual U-Net that ships: python -m training.fitting.train polyp-compact --data DATA

The training continues from RUNS/<name>/checkpoint.pt if that file exists. Otherwise `--start FILE` begins a new stage from
shipped weights. Seeds are fixed: every step draws from a generator seeded with the step's number, so a resumed run sees
the same samples as an uninterrupted run. log.csv and curve.png lie beside the checkpoint. At the end
exporting/export.py turns the checkpoint into the shipped file and its model card.
"""
import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch

from training.exporting.export import export
from training.fitting.running import SEED, follow, has_bf16, rate, reuse_memory, save, write_log
from training.scores import dice, summary
from training.fitting.tasks import TASKS
from training.networks.residual_unet import UNet
from training.networks.shipped import load
from training.paths import add_folders


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=TASKS)
    add_folders(parser)
    parser.add_argument("--samples", type=int, help="length of the run; may be changed when the run is resumed")
    parser.add_argument("--start", type=Path, help="a shipped file to begin from, instead of random weights")
    parser.add_argument("--rate", type=float, help="peak learning rate; by default the task's, and half of it after --start")
    parser.add_argument("--leave-out", type=int, help="a PolypGen centre to leave out and to watch")
    parser.add_argument("--no-export", action="store_true", help="end with the checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--score-minutes", type=float, default=10)
    return parser.parse_args()


def score(task, network, data):
    """The Dice of each held-out case with one view."""
    return [dice(task.recipe.predict(network, image), mask) for _, image, mask in task.data.held_out(data)]


def watch(task, network, training):
    """Two texts about the left-out centre: mean Dice of frames with a polyp, share of other frames with a mask."""
    found = [(dice(mask := task.recipe.predict(network, image), truth), mask.any(), truth.any())
             for image, truth in training.left_out_cases()]
    return (f"{np.mean([score for score, _, present in found if present]):.4f}",
            f"{np.mean([marked for _, marked, present in found if not present] or [0]):.3f}")


def begin(task, path, training):
    """The network to train, and the facts of its earlier stages.

    Without a path all weights are drawn. With the path of a shipped file, the network gets batch norms again and is
    widened to the task's architecture.
    """
    if path is None:
        return UNet(task.recipe.ARCHITECTURE), []
    network, facts = load(path)
    if hasattr(network, "presence"):  # fitted again after the trunk
        del network.presence
    if task.recipe.ARCHITECTURE.norm == "batch":
        rng = np.random.default_rng([SEED, 8])
        chosen = rng.permutation(len(training))[:16 * task.batch].reshape(16, -1)
        network = network.unfolded(training.batch(indices, rng)[0] for indices in chosen)
    if network.arch != task.recipe.ARCHITECTURE:
        network = network.widened(task.recipe.ARCHITECTURE)
    return network, facts["training"].get("stages") or [facts["training"]]


def main():
    arguments = options()
    reuse_memory()
    torch.set_num_threads(arguments.threads)
    task = TASKS[arguments.name]
    folder = arguments.runs / task.name
    folder.mkdir(parents=True, exist_ok=True)
    total = arguments.samples or task.samples

    torch.manual_seed(SEED)
    leave_out = {"leave_out": arguments.leave_out} if arguments.leave_out is not None else {}
    training = task.data.Training(arguments.data, arguments.runs, **leave_out)
    checkpoint = folder / "checkpoint.pt"
    architecture = task.recipe.ARCHITECTURE
    network, stages = begin(task, None if checkpoint.exists() else arguments.start, training)
    layout = torch.channels_last if architecture.axes == 2 else torch.contiguous_format  # the faster ones
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device, memory_format=layout)
    average = UNet(architecture).to(device, memory_format=layout).eval()
    average.load_state_dict(network.state_dict())
    peak = arguments.rate or task.learning_rate * (0.5 if stages else 1)
    seed = SEED + len(stages)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": task.weight_decay},
                                   {"params": plain, "weight_decay": 0}], lr=peak)
    step, seconds, rows = 0, 0.0, []
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True, map_location=device)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
        step, seconds, rows, stages = kept["step"], kept["seconds"], kept["rows"], kept["stages"]
        peak, seed = kept["peak"], kept["seed"]
    print(f"{task.name}: {len(training)} cases, {total} samples, at step {step}", flush=True)

    def keep():
        save(checkpoint, {"network": network.state_dict(), "average": average.state_dict(), "rows": rows,
                          "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds, "seed": seed, "total": total,
                          "peak": peak, "stages": stages, "leave_out": arguments.leave_out})

    def report(with_score):
        watched_network = copy.deepcopy(average).cpu() if with_score else None
        value = summary(score(task, watched_network, arguments.data))["mean"] if with_score else ""
        watched = watch(task, watched_network, training) if with_score and leave_out else ("", "")
        rows.append({"samples": step * task.batch, "loss": f"{np.mean(losses):.4f}", "dice": value and f"{value:.4f}",
                     "left_out": watched[0], "left_out_marked": watched[1], "seconds": f"{seconds:.0f}"})
        print(time.strftime("%H:%M:%S"), rows[-1], f"lr {optimiser.param_groups[0]['lr']:.2e}", flush=True)
        write_log(rows, folder)

    losses, saved, scored = [], time.monotonic(), time.monotonic()
    while step * task.batch < total:
        begun = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = peak * rate(step * task.batch / total)
        first, count = step * task.batch, len(training)
        indices = [np.random.default_rng([seed, k // count]).permutation(count)[k % count]
                   for k in range(first, first + task.batch)]
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
        # The average covers at most a tenth of a short run.
        follow(average, network, min(task.average_decay, step / (step + 9), max(0.9, 1 - 10 * task.batch / total)))
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
