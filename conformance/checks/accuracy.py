#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores the SEGs that come back for labelled cases, which go into an Orthanc and are forwarded from there.

The cases lie in the folder KONTUR_DATA, and no network was trained on them: the left-atrium volumes that training sets
aside, and Kvasir's validation frames. highdicom and pydicom both read the masks and must agree. The check is skipped
(status 77) without the data.
"""

import argparse
import glob
import os
import sys
import tempfile
import time
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import highdicom
import numpy as np
import pydicom

import make_studies
from hospital import Hospital
from report import Report

FLOORS = {"left atrium": 0.90, "polyp": 0.83}
# The training splits its volumes in the same way: every fifth of the sorted names, without a pair that shares one mask.
SAME_MASK = {"0RZDK210BSMWAA6467LU", "CMPXO4J23G58J53Q98SZ"}


def dice(one, other):
    """2|A and B| / (|A| + |B|), or 1 if both masks are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def held_out_volumes(data):
    paths = sorted(glob.glob(f"{data}/la2018/train/*.la"))
    return [path for path in paths if os.path.basename(path)[:-3] not in SAME_MASK][2::5]


def read_masks(paths):
    """Maps each source SOP Instance UID to its mask. highdicom reads the SEGs, and pydicom's pixels must be equal."""
    masks = {}
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(path)
            segmentation = highdicom.seg.segread(path)
            frames = np.reshape(data.pixel_array, (-1, data.Rows, data.Columns)) != 0
            uids = [item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
                    for item in data.PerFrameFunctionalGroupsSequence]
            by_source = segmentation.get_pixels_by_source_instance(
                uids, assert_missing_frames_are_empty=True, combine_segments=True)
        if not np.array_equal(by_source != 0, frames):
            raise SystemExit(f"highdicom and pydicom read different masks in {path}")
        masks.update(zip(uids, frames))
    return masks


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--volumes", type=int, default=16, help="number of left-atrium volumes")
    parser.add_argument("--frames", type=int, default=100, help="number of colonoscopy frames")
    parser.add_argument("--per-study", type=int, default=25, help="colonoscopy frames per study")
    options = parser.parse_args()
    report = Report("accuracy")
    data = os.environ.get("KONTUR_DATA")
    if not data or not os.path.isdir(f"{data}/la2018"):
        report.skip("KONTUR_DATA does not name a folder with labelled cases")
    sys.path.append(data)
    import la

    scores = {"left atrium": [], "polyp": []}
    with Hospital(quiet=3) as hospital, tempfile.TemporaryDirectory() as scratch:
        volumes, frames = [], []
        for index, path in enumerate(held_out_volumes(data)[:options.volumes]):
            image, truth = la.read(path)
            made = make_studies.left_atrium(f"{scratch}/la{index}", f"LA{index}", image)
            volumes.append((made["instances"], truth.astype(bool)))
        pictures = sorted(glob.glob(f"{data}/kvasir-seg/validation/images/*"))[:options.frames]
        for index in range(0, len(pictures), options.per_study):
            part = pictures[index:index + options.per_study]
            made = make_studies.colonoscopy(f"{scratch}/co{index}", f"CO{index}", part)
            frames += [(uid, make_studies.read_mask(path.replace("/images/", "/masks/")))
                       for uid, path in zip(made["instances"], part)]
        begin = time.monotonic()
        hospital.archive.upload_tree(scratch)
        expected = len(volumes) + -(-len(pictures) // options.per_study)
        hospital.wait_until_forwarded(expected, 1200)
        states = hospital.node.settle(1800)
        report.line(f"states: {states}, {time.monotonic() - begin:.0f} s")
        masks = read_masks(hospital.archive.save_segmentations(f"{scratch}/seg"))
    for uids, truth in volumes:
        found = np.stack([masks.get(uid, np.zeros(truth.shape[1:], bool)) for uid in uids])
        scores["left atrium"].append(dice(found, truth))
    for uid, truth in frames:
        scores["polyp"].append(dice(masks.get(uid, np.zeros(truth.shape, bool)), truth))
    for name, values in scores.items():
        if values:
            report.line(f"{name}: mean Dice {np.mean(values):.3f} over {len(values)} cases, lowest {min(values):.3f}")
            report.expect(np.mean(values) >= FLOORS[name], f"{name}: the mean Dice is below {FLOORS[name]}")
    report.end()


if __name__ == "__main__":
    main()
