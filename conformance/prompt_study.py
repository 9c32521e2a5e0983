#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares a box in each slice with one tracked box, on atria that no training has seen, without any checkpoint.

    python conformance/prompt_study.py --data DATA --output OUT [--volumes 16] [--workers 1] [--truth-boxes]

DATA holds la2018/train. The script writes each volume as an MR series with a SEG of its truth to OUT/cases, and runs
`kontur evaluate --prompt-study` on them with the shipped networks: medsam-compact-box and medsam-compact-slices, which take
a box per slice or walk from one, and medsam2-compact, which tracks one. It prints the table of the report. The report is
OUT/results/report.html. `--truth-boxes` leaves out the enlarged and shifted boxes, which take long.
"""

import argparse
import json
import os
import subprocess
import sys
import warnings

import highdicom
import pydicom
from pydicom.sr.codedict import codes

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "checks")]

from accuracy import held_out_volumes  # noqa: E402
from make_studies import left_atrium  # noqa: E402

KONTUR = os.path.join(os.path.dirname(HERE), ".build/release/kontur")
SEGMENTERS = ["medsam-compact-box", "medsam-compact-slices", "medsam2-compact"]


def write_truth(folder, mask):
    """Writes a SEG of a mask [slice, row, column] beside the series of the folder."""
    sources = [pydicom.dcmread(os.path.join(folder, name)) for name in sorted(os.listdir(folder))]
    description = highdicom.seg.SegmentDescription(
        1, "Left atrium", codes.SCT.AnatomicalStructure, pydicom.sr.coding.Code("82471001", "SCT", "Left atrium"),
        highdicom.seg.SegmentAlgorithmTypeValues.MANUAL)
    segmentation = highdicom.seg.Segmentation(
        sources, mask.astype("u1"), highdicom.seg.SegmentationTypeValues.BINARY, [description],
        pydicom.uid.generate_uid(None), 2, pydicom.uid.generate_uid(None), 1, "TESTVENDOR", "none", "1", "1")
    segmentation.save_as(os.path.join(folder, "truth.dcm"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--volumes", type=int, default=16, help="number of held-out volumes")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--truth-boxes", action="store_true", help="only unchanged boxes")
    options = parser.parse_args()
    sys.path.append(options.data)
    import la
    cases = os.path.join(options.output, "cases")
    for path in held_out_volumes(options.data)[:options.volumes]:
        folder = os.path.join(cases, os.path.basename(path)[:6])
        if os.path.exists(os.path.join(folder, "truth.dcm")):
            continue
        image, mask = la.read(path)
        left_atrium(folder, os.path.basename(path)[:6], image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write_truth(folder, mask > 0)
    results = os.path.join(options.output, "results")
    named = [word for name in SEGMENTERS for word in ("--segmenter", name)]
    subprocess.run([
        KONTUR, "evaluate", cases, "--output", results, *named, "--workers", str(options.workers),
        "--truth-boxes" if options.truth_boxes else "--prompt-study"], check=True)
    with open(os.path.join(results, "summary.json")) as file:
        summary = json.load(file)
    for way in summary["promptedWays"]:
        dice, seconds = way["dice"], way["seconds"]["mean"]
        print(f"{way['name']:24}{way['boxes']:48}{way['prompts']:6.1f} boxes{seconds:8.2f} s   "
              f"Dice {dice['mean']:.3f} ({dice['low']:.3f} to {dice['high']:.3f}), {way['cases']} volumes")


if __name__ == "__main__":
    main()
