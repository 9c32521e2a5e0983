# SPDX-License-Identifier: Apache-2.0
"""The two residual U-Nets that ship: recipe, data, loss and hyperparameters of each."""
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
import torch.nn.functional as F

from training.data import left_atrium_volumes, polyp_frames
from training.recipes import left_atrium_compact, polyp_compact


@dataclass(frozen=True)
class Task:
    """How one network is trained, scored and exported."""
    recipe: ModuleType  # has NAME, VERSION, ARCHITECTURE, NORMALISATION, VIEWS, answer() and predict()
    data: ModuleType  # has DATA_SETS, SCENES, Training and held_out()
    loss: Callable  # of logits and truth
    samples: int  # length of a whole training
    batch: int
    learning_rate: float  # the peak
    average_decay: float  # of the moving average of the weights, per step
    weight_decay: float = 0.02

    @property
    def name(self):
        return self.recipe.NAME


def frame_loss(logits, truth):
    """Cross-entropy, plus the soft Dice loss of each frame [1, rows, columns] whose truth is not empty."""
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * truth).sum((1, 2, 3)) + 1
    dice = 1 - overlap / (probability.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)
    present = (truth.sum((1, 2, 3)) > 0).float()
    return F.binary_cross_entropy_with_logits(logits, truth) + (dice * present).mean()


def volume_loss(logits, truth):
    """Cross-entropy plus the soft Dice loss of one volume."""
    probability = torch.sigmoid(logits)
    dice = 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + dice


POLYP = Task(polyp_compact, polyp_frames, frame_loss, samples=120_000, batch=16, learning_rate=2e-3, average_decay=0.999)
LEFT_ATRIUM = Task(left_atrium_compact, left_atrium_volumes, volume_loss, samples=7_000, batch=1, learning_rate=1e-3,
                   average_decay=0.998)
TASKS = {task.name: task for task in (POLYP, LEFT_ATRIUM)}
