# SPDX-License-Identifier: Apache-2.0
"""The network of medsam-compact beside segment-anything's decoder, and its prompts."""
from importlib.util import find_spec

import numpy as np
import pytest
import torch

if find_spec("segment_anything") is None:
    pytest.skip("needs requirements-reference.txt", allow_module_level=True)

from training.data import prompts
from training.networks.promptable import GRID, SIZE, Promptable
from training.recipes.medsam_compact import drawn_box
from training.references.golden_layers import draw_norms


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    drawn = Promptable().eval()
    with torch.no_grad():
        draw_norms(drawn)
    return drawn


def error(found, expected):
    return float((found - expected).norm() / expected.norm())


@torch.no_grad()
def test_folding_changes_nothing(network):
    x = torch.randn(1, 3, SIZE, SIZE)
    embedding = network.image_encoder(x)
    assert embedding.shape == (1, 256, GRID, GRID)
    assert error(network.folded().image_encoder(x), embedding) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("kind", ["box", "points", "box and mask"])
def test_the_decoder_is_segment_anythings(network, kind):
    embedding = torch.randn(1, 256, GRID, GRID)
    points = (torch.tensor([[[40.0, 90.0], [200.0, 30.0]]]), torch.tensor([[1.0, 0.0]])) if kind == "points" else None
    boxes = None if kind == "points" else torch.tensor([[30.0, 60.0, 200.0, 180.0]])
    masks = torch.from_numpy(drawn_box(boxes[0].numpy()))[None, None] if kind == "box and mask" else None
    logits, iou = network.decode(embedding, points, boxes, masks)
    sparse, dense = network.prompt_encoder(points=points, boxes=boxes, masks=masks)
    for several, chosen in ((False, slice(0, 1)), (True, slice(1, 4))):
        expected = network.mask_decoder(
            image_embeddings=embedding, image_pe=network.prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense, multimask_output=several)
        assert error(logits[:, chosen], expected[0]) < 1e-5 and error(iou[:, chosen], expected[1]) < 1e-5


@torch.no_grad()
def test_images_of_a_batch_are_asked_apart(network):
    embeddings = torch.randn(2, 256, GRID, GRID)
    boxes = torch.tensor([[30.0, 60.0, 200.0, 180.0], [5.0, 5.0, 90.0, 250.0]])
    together = network.decode(embeddings, boxes=boxes)[0]
    for k in range(2):
        assert error(together[k:k + 1], network.decode(embeddings[k:k + 1], boxes=boxes[k:k + 1])[0]) < 1e-5


def test_a_drawn_box_holds_an_ellipse():
    drawn = drawn_box(np.array([64, 32, 192, 96], np.float32))
    assert drawn.shape == (SIZE // 2, SIZE // 2) and drawn.max() > 4.9 and drawn.min() == -5
    rows, columns = np.nonzero(drawn > 0)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (32, 16, 96, 48)
    assert abs((drawn > 0).sum() / (64 * 32) - np.pi / 4) < 0.01


def test_jitter_moves_edges_by_shares_of_the_side_and_stays_inside():
    rng, box = np.random.default_rng(0), np.array([10, 20, 110, 60], np.float32)
    moved = np.stack([prompts.jittered(box, rng, (62, 115)) for _ in range(500)])
    assert (moved >= 0).all() and (moved <= [115, 62, 115, 62]).all()
    assert (np.abs(moved - box) <= [20, 8, 20, 8]).all() and np.ptp(moved[:, 1]) > 14
    truth = np.zeros((62, 115), bool)
    truth[20:60, 10:110] = True
    assert (prompts.box_of(truth) == box).all()


def test_points_lie_where_their_labels_say():
    rng, truth = np.random.default_rng(0), np.zeros((SIZE, SIZE), bool)
    truth[100:140, 60:200] = True
    wrong = np.zeros_like(truth)
    wrong[141:150, 60:200] = True
    for correction in (None, wrong):
        places, labels = prompts.points_in(truth, 5, rng, correction)
        assert all(truth[int(y), int(x)] == label for (x, y), label in zip(places, labels))
        assert labels[0] == (correction is None)
