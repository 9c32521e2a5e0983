# SPDX-License-Identifier: Apache-2.0
"""Two trainings of 50 steps give the same weights, bit for bit.

This holds on one machine with the same threads and library versions. The test takes two minutes and needs KONTUR_DATA.
"""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.fitting.tasks import LEFT_ATRIUM
from training.paths import ROOT

STEPS = 50


def train(data, runs, samples):
    subprocess.run([sys.executable, "-m", "training.fitting.train", LEFT_ATRIUM.name, "--data", data, "--runs", runs,
                    "--samples", str(samples), "--no-export", "--save-minutes", "0.1"], check=True, timeout=900, cwd=ROOT)
    return torch.load(runs / LEFT_ATRIUM.name / "checkpoint.pt", weights_only=True)


def test_fifty_steps_twice(tmp_path):
    data = Path(os.environ.get("KONTUR_DATA", "."))
    if not (data / "la2018").exists():
        pytest.skip("KONTUR_DATA does not name a folder with la2018")
    first, second = (train(data, tmp_path / name, STEPS * LEFT_ATRIUM.batch) for name in ("first", "second"))
    assert first["step"] == second["step"] == STEPS
    for key in ("network", "average"):
        for name, value in first[key].items():
            assert torch.equal(value, second[key][name]), f"{key} {name}"
    assert any(not torch.equal(value, first["average"][name]) for name, value in first["network"].items())
