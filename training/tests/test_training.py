# SPDX-License-Identifier: Apache-2.0
"""The definitions that the Swift runtime shares with the training, checked against PyTorch."""
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training.data import left_atrium_volumes, scenes
from training.fitting import fit_confidence
from training.scores import auroc, dice
from training.networks.residual_unet import LEFT_ATRIUM_COMPACT, POLYP_COMPACT, Architecture, UNet, unfold
from training.recipes import confidence, field_search, left_atrium_compact, likeness
from training.recipes.resize import grid_shape, matrix, resize
from training.references.golden_layers import draw_norms


@pytest.mark.parametrize("size", [(352, 192), (57, 91), (331, 192), (3, 7), (7, 3), (192, 539)])
def test_resize_is_torchs_antialiased_interpolation(size):
    n, m = size
    image = np.random.default_rng(0).random((n, n + 5), np.float32)
    expected = F.interpolate(torch.from_numpy(image)[None, None], size=(m, m + 3), mode="bilinear", antialias=True,
                             align_corners=False)[0, 0].numpy()
    np.testing.assert_allclose(resize(image, (m, m + 3)), expected, atol=2e-5)  # torch rounds its weights to float32


def test_resize_keeps_constants_and_identity():
    np.testing.assert_allclose(matrix(13, 5).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(matrix(9, 9), np.eye(9, dtype=np.float32))


def test_grid_keeps_the_field_of_view():
    assert grid_shape((88, 140, 183), (0.625,) * 3, 1.25) == (44, 70, 92)
    assert grid_shape((1, 1, 1), (0.1, 0.625, 2), 1.25) == (1, 1, 2)


@pytest.mark.parametrize("arch", [POLYP_COMPACT, LEFT_ATRIUM_COMPACT])
def test_folding_changes_nothing(arch):
    torch.manual_seed(0)
    network = UNet(arch).eval()
    with torch.no_grad():
        draw_norms(network)
        x = torch.randn(1, arch.channels, *[arch.total_stride * 2] * arch.axes)
        plain, folded = network(x), network.folded()(x)
    assert plain.shape[2:] == x.shape[2:]
    assert (plain - folded).abs().max() < 1e-4 * plain.abs().max()


def test_normalisation_ignores_scale_zeros_and_negative_offsets():
    volume = np.random.default_rng(0).uniform(1, 1000, (8, 20, 20)).astype(np.float32)
    expected = left_atrium_compact.normalise(volume)
    np.testing.assert_allclose(left_atrium_compact.normalise(volume * 64), expected, atol=1e-4)
    padded = left_atrium_compact.normalise(np.pad(volume, 4))
    np.testing.assert_allclose(padded[4:-4, 4:-4, 4:-4], expected, atol=1e-5)
    assert abs(float(expected.mean())) < 1e-4 and abs(float(expected.std()) - 1) < 1e-3
    assert np.isfinite(left_atrium_compact.normalise(np.zeros((4, 4, 4), np.float32))).all()


def test_scenes_are_the_same_for_the_same_seed():
    first, second = (scenes.colonoscopy(np.random.default_rng(3), (61, 83), 1) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second)) and first[1].any()
    volume, mask = scenes.left_atrium(np.random.default_rng(3), (5, 2.5, 2.5))
    assert volume.shape == mask.shape and 0.02 < mask.mean() < 0.25


def test_two_empty_masks_agree():
    assert dice(np.zeros((3, 3)), np.zeros((3, 3))) == 1


def test_confidence_rises_with_its_measures_and_stays_in_range():
    fit = {"found": {"bias": -1, "weights": {"expectedDice": 0.7, "viewAgreement": 0.4}}, "empty": {"bias": 1, "weight": 0.5}}
    steps = np.linspace(0, 1, 50)
    for is_empty, name in ((False, "expectedDice"), (False, "viewAgreement"), (True, "absence")):
        found = {"expectedDice": 0.7, "viewAgreement": 0.8, "absence": 0.6}
        values = [confidence.confidence({**found, name: step}, is_empty, fit) for step in steps]
        assert (np.diff(values) >= 0).all() and 0 <= values[0] < values[-1] <= 1


def test_fit_finds_the_mean_and_keeps_signs():
    rng, rows = np.random.default_rng(0), []
    for n in range(200):
        reached, found = rng.uniform(0.2, 1), n % 10 > 0
        rows.append({"case": str(n), "held_out": True, "kind": "clean", "level": 0, "dice": reached if found else float(n % 20 > 0),
                     "present": found or n % 20 == 0, "found": found, "expectedDice": reached ** 0.5,
                     "viewAgreement": 1 - reached, "boundaryCertainty": rng.random(), "absence": rng.uniform(0.5, 1)})
    fit = fit_confidence.fit(rows)
    assert "viewAgreement" not in fit["found"]["weights"] and fit["found"]["weights"]["expectedDice"] > 0
    values = np.array([confidence.confidence(row, not row["found"], fit) for row in rows])
    reached = np.array([row["dice"] for row in rows])
    assert abs(values.mean() - reached.mean()) < 1e-3
    assert fit_confidence.report(rows, fit_confidence.cross_fitted(rows))["held out"]["spearman"] > 0.8


@pytest.mark.parametrize("shape", [(40, 50, 3), (12, 20, 24)])
def test_corrupted_copies_keep_image_and_truth_together(shape):
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    truth = np.zeros(shape[:2] if shape[-1] == 3 else shape, bool)
    truth[4:8, 4:8] = True
    found = list(fit_confidence.copies(image, truth, 1))
    assert [kind for kind, *_ in found] == ["clean", *fit_confidence.KINDS]
    for kind, _, changed, cut in found:
        assert changed.shape[:truth.ndim] == cut.shape and changed.dtype == np.uint8
        assert kind == "clean" or not np.array_equal(changed, image)


def test_auroc():
    assert auroc([1, 2, 3, 4], [0, 0, 1, 1]) == 1 and auroc([1, 1, 1], [0, 1, 1]) == 0.5
    assert auroc([0.1, 0.4, 0.4, 0.9], [0, 1, 0, 1]) == 3.5 / 4 and auroc([1, 2], [1, 1]) is None


def test_a_widened_network_computes_the_same():
    narrow = UNet(Architecture(axes=2, channels=3, widths=(4, 6, 8), encoder_blocks=(0, 1, 2), decoder_blocks=(1, 1)))
    draw_norms(narrow)
    wide = narrow.widened(Architecture(axes=2, channels=3, widths=(8, 6, 16), encoder_blocks=(0, 1, 2), decoder_blocks=(1, 1)))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(wide.eval()(x), narrow.eval()(x))
    assert wide.encoder[2].down.conv.weight.shape[0] == 16 and wide.encoder[2].down.conv.weight[8:].any()


def test_a_network_that_gets_its_norms_back_computes_the_same():
    arch = dict(axes=2, channels=3, widths=(4, 6, 8), encoder_blocks=(0, 1, 2), decoder_blocks=(1, 1))
    network = UNet(Architecture(**arch)).eval()
    draw_norms(network)
    x = torch.randn(4, 3, 32, 32)
    normed = unfold(network.folded(), UNet(Architecture(**arch)), [x, x.flip(3)])
    with torch.no_grad():
        torch.testing.assert_close(normed.eval()(x), network(x), atol=1e-4, rtol=1e-3)
        assert (normed.train()(x) - network(x)).abs().mean() < 0.3 * network(x).abs().mean()  # statistics are those of x


def test_likeness_falls_when_an_image_is_changed():
    volumes = [scenes.left_atrium(np.random.default_rng([4, seed]), (2.5, 2.5, 2.5))[0] for seed in range(8)]
    known = likeness.typical(volumes)
    usual = np.mean([likeness.likeness(likeness.statistics(volume), known) for volume in volumes])
    noise = np.random.default_rng(0).standard_normal(volumes[0].shape)
    for changed in (volumes[0] + 2 * volumes[0].std() * noise, volumes[0] ** 3, np.cumsum(volumes[0], axis=1)):
        assert likeness.likeness(likeness.statistics(changed), known) < 0.3 * usual
    assert likeness.likeness(likeness.statistics(np.zeros((3, 4, 5))), known) == 0
    assert likeness.likeness(likeness.statistics(volumes[0] * 7 + 3), known) == pytest.approx(
        likeness.likeness(likeness.statistics(volumes[0]), known))


def test_known_volumes_are_those_of_the_training():
    data = Path(os.environ.get("KONTUR_DATA", "."))
    if not (data / "la2018").exists():
        pytest.skip("KONTUR_DATA does not name a folder with la2018")
    seen = (left_atrium_volumes.read(path)[0] for path in left_atrium_volumes.split(data)[0])
    found = likeness.typical(left_atrium_compact.normalise(left_atrium_compact.to_grid(image, (0.625,) * 3)) for image in seen)
    np.testing.assert_allclose(found, [left_atrium_compact.ROUGHNESS, left_atrium_compact.SKEWNESS], atol=1e-4)


def test_windows_cover_the_grid():
    for shape in ((44, 320, 97), (10, 96, 96), (200, 1, 145)):
        covered = np.zeros(shape, bool)
        for window in field_search.windows(shape):
            covered[window] = True
            assert all(part.stop - part.start == min(n, field_search.WINDOW) for part, n in zip(window, shape))
        assert covered.all()
        assert all(np.diff(field_search.starts(n)).max(initial=0) <= field_search.STEP for n in shape)


def test_the_most_plausible_place_is_found():
    grid = np.zeros((20, 300, 260), np.float32)
    grid[:, 100:170, 90:190] = 1  # what is there
    grid[4:16, 120:150, 120:170] = 3  # what is sought

    def answered(part):
        probability = np.where(part == 3, 0.95, np.where(part == 1, 0.02, 0)).astype(np.float32)
        return probability, probability >= 0.5
    region, plausible = field_search.region(grid, answered)
    inside = grid[region] == 3
    assert plausible > field_search.LEAST_PLAUSIBLE and inside.sum() == (grid == 3).sum()
    centre = np.argwhere(inside).mean(axis=0)
    assert all(abs(middle - 48) <= 12 for middle in centre[1:])
    assert field_search.region(grid, lambda part: (0 * part, part > 9))[1] == 0
