# SPDX-License-Identifier: Apache-2.0
"""The features and the fit of sam-auto's rule."""
import numpy as np
from PIL import Image

from training.fitting import fit_auto_rule
from training.recipes import auto_features


def test_fit_finds_the_coefficients_that_made_the_target():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4000, 3))
    target = 1 / (1 + np.exp(-(x @ [1.0, -2.0, 0.0] + 0.5)))
    coefficients, intercept = fit_auto_rule.fit(x, target, pull=1e-3)
    assert np.allclose(coefficients, [1, -2, 0], atol=1e-3) and abs(intercept - 0.5) < 1e-3


def test_masks_that_kontur_wrote_are_scored_with_their_truth(tmp_path):
    truth = np.zeros((4, 6), np.uint8)
    truth[1:3, 2:5] = 255
    (tmp_path / "truth").mkdir()
    Image.fromarray(truth).save(tmp_path / "truth" / "a.png")
    names = ",".join(auto_features.NAMES)
    values = ",".join("0.5" for _ in auto_features.NAMES)
    lines = [f"frame,rows,columns,weights,{names},counts", f"0,4,6,abc,{values},9 2 2 2 2 2 5", f"0,4,6,abc,{values},0 4 20"]
    (tmp_path / "masks.csv").write_text("\n".join(lines) + "\n")
    rows, weights = fit_auto_rule.written(tmp_path / "masks.csv", tmp_path / "truth")
    assert weights == "abc" and [row[2] for row in rows] == [1.0, 0.0]


def test_features_of_a_disc():
    y, x = np.mgrid[:60, :80]
    disc = (y - 30) ** 2 + (x - 40) ** 2 < 200
    image = np.where(disc[..., None], 250, 50).astype(np.uint8).repeat(3, 2)
    values = dict(zip(auto_features.NAMES, auto_features.features(disc, image, 0.9, 0.8)))
    assert values["borderContact"] == 0 and values["specularShare"] == 1
    assert values["compactness"] > 0.85 and values["centreDistance"] < 0.02
    assert abs(values["colourContrast"] - 200 * 3 ** 0.5 / 255) < 1e-6
