# SPDX-License-Identifier: Apache-2.0
"""Code that the trainings share: seed, learning rate, averaged weights, checkpoints, the log and its curve."""
import csv
import math
import os
import sys

import torch

SEED = 20261122
WARM_UP = 0.03  # share of a training


def has_bf16(device):
    """Whether convolutions in bf16 are faster on this device than those in fp32."""
    return device == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def rate(progress):
    """The learning rate as a share of its peak: a linear warm-up, then a half cosine down to 0."""
    return progress / WARM_UP if progress < WARM_UP else 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@torch.no_grad()
def follow(average, network, keep):
    """Moves the averaged weights and statistics towards those of the network. `keep` is the share that stays."""
    pairs = zip(average.state_dict().values(), network.state_dict().values())
    ours, theirs = zip(*(pair for pair in pairs if pair[0].is_floating_point()))
    torch._foreach_lerp_(ours, theirs, 1 - keep)


def save(path, state):
    """Writes a checkpoint under a temporary name and renames it, so that an interruption leaves the previous one."""
    torch.save(state, f"{path}.new")
    os.replace(f"{path}.new", path)


def write_log(rows, folder):
    """Writes the rows of a training as log.csv and their curve as curve.png."""
    with open(folder / "log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[-1].keys())
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, folder / "curve.png")


def plot(rows, path):
    """Draws the training loss and the held-out Dice over the samples seen."""
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
    """Restarts Python with a malloc that keeps freed blocks, and threads that do not spin while they wait.

    Without the restart, page faults take a sixth of a step. On a busy machine, spinning threads take much more time
    than the work itself.
    """
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        os.environ |= {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000",
                       "OMP_WAIT_POLICY": "passive"}
        os.execv(sys.executable, sys.orig_argv)
