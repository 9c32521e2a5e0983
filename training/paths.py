# SPDX-License-Identifier: Apache-2.0
"""Folders that the scripts read and write, and the options that name them."""
import os
from pathlib import Path

TRAINING = Path(__file__).resolve().parent
ROOT = TRAINING.parent
WEIGHTS = ROOT / "Sources/CWeights/files"
CARDS = TRAINING / "cards"
INFERENCE_GOLDEN = ROOT / "Tests/InferenceTests/Golden"
SEGMENTATION_GOLDEN = ROOT / "Tests/SegmentationTests/Golden"


def shipped(name):
    """The path of the weight file that the executable embeds under this name."""
    (path,) = WEIGHTS.glob(f"{name}-*.safetensors")
    return path


def add_folders(parser, required=True):
    """Adds --data and --runs to an argument parser."""
    given = os.environ.get("KONTUR_DATA")
    parser.add_argument("--data", type=Path, default=given, required=required and given is None,
                        help="folder with kvasir-seg/, polypgen/ and la2018/; KONTUR_DATA by default")
    parser.add_argument("--runs", type=Path, default=TRAINING / "runs",
                        help="folder for checkpoints, caches and curves")
