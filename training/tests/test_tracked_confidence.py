# SPDX-License-Identifier: Apache-2.0
"""Measures of tracks, and the cases that their confidence is fitted to."""
import numpy as np

from training.fitting import fit_tracked_confidence
from training.recipes import tracked_confidence
from training.recipes.medsam2_compact import Track


def disc(rows=40, columns=60, slices=9):
    """A mask [slices, rows, columns] that grows and shrinks, in the middle slices."""
    z, y, x = np.mgrid[:slices, :rows, :columns]
    return (4 * (z - slices // 2)) ** 2 + (y - 20) ** 2 + (x - 25) ** 2 < 100


def test_a_prompt_agrees_with_a_mask_that_it_shows_whatever_its_size():
    mask = np.zeros((10, 20), bool)
    mask[4:8, 5:15] = True

    def agreement(*box):
        return tracked_confidence.prompt_agreement(mask, np.float32(box))
    assert agreement(5, 4, 15, 8) == agreement(8, 5, 12, 7) == agreement(0, 0, 20, 10) == 1
    assert agreement(15, 4, 20, 8) == 0
    assert agreement(10, 4, 20, 8) == 0.5
    assert tracked_confidence.prompt_agreement(np.zeros_like(mask), np.float32([5, 4, 15, 8])) == 0


def test_boxes_are_moved_by_at_most_a_quarter_of_their_side():
    larger, smaller, along, across = tracked_confidence.moved(np.float32([20, 20, 60, 28]))
    assert larger.tolist() == [17, 18, 63, 30] and smaller.tolist() == [23, 22, 57, 26]
    assert along.tolist() == [23, 22, 63, 30] and across.tolist() == [17, 22, 57, 30]
    assert (tracked_confidence.moved(np.float32([0, 0, 255, 255]))[0] == [0, 0, 256, 256]).all()


def test_measures_of_a_volume_are_weighted_by_area():
    mask = disc()
    count, areas = len(mask), mask.sum((1, 2))
    scores = np.where(areas > 0, 2.0, -3.0)
    scores[0] = -np.inf
    track = Track(mask, scores, np.linspace(0, 1, count), np.linspace(1, 0.5, count), {4: 0.9, 0: 0.0})
    found = tracked_confidence.volume_measures(track, {4: np.float32([15, 10, 36, 31]), 0: np.float32([0, 0, 9, 9])}, 0.7)
    assert np.isclose(found["predictedIoU"], (areas * np.linspace(0, 1, count)).sum() / areas.sum())
    assert np.isclose(found["jitterAgreement"], 0.45) and np.isclose(found["promptAgreement"], 0.4)  # at most 0.8 of a box
    assert np.isclose(found["absence"], 1 - 1 / (1 + np.exp(-2))) and found["likeness"] == 0.7
    empty = tracked_confidence.volume_measures(track._replace(mask=np.zeros_like(mask)), {4: np.float32([15, 10, 36, 31])}, 0.7)
    assert set(empty) == {"absence"}


def test_a_box_beside_the_structure_does_not_show_it():
    mask = disc()[4]
    around = np.float32([16, 11, 35, 30])
    for first in range(4):
        box = fit_tracked_confidence.beside(around, mask.shape, first)
        assert tracked_confidence.prompt_agreement(mask, box) == 0
        assert (box[2:] - box[:2] >= 5).all() and (box >= 0).all() and (box[2:] <= [60, 40]).all()
