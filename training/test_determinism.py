# SPDX-License-Identifier: Apache-2.0
"""pytest training/test_determinism.py: two trainings of 50 steps give the same weights, bit for bit, on one machine with the
same threads and library versions. Needs the data (KONTUR_DATA), two minutes."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import left_atrium

HERE = Path(__file__).resolve().parent
STEPS = 50


def train(data, runs, samples):
    subprocess.run([sys.executable, HERE / "train.py", left_atrium.NAME, "--data", data, "--runs", runs,
                    "--samples", str(samples), "--no-export", "--save-minutes", "0.1"], check=True, timeout=900)
    return torch.load(runs / left_atrium.NAME / "checkpoint.pt", weights_only=True)


def test_fifty_steps_twice(tmp_path):
    data = os.environ.get("KONTUR_DATA", HERE.parent / "../shared/data")
    if not (Path(data) / "la2018").exists():
        pytest.skip(f"{data} has no la2018")
    first, second = (train(data, tmp_path / name, STEPS * left_atrium.BATCH) for name in ("first", "second"))
    assert first["step"] == second["step"] == STEPS
    for key in ("network", "average"):
        for name, value in first[key].items():
            assert torch.equal(value, second[key][name]), f"{key} {name}"
    assert any(not torch.equal(value, first["average"][name]) for name, value in first["network"].items())
