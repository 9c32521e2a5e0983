#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives odd images and odd prompts to the segmenters of the SAM family. Each must get a result or a clear error.

The weights are drawn and scaled down. CASES lists each input with the expected outcome.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import numpy as np
import pydicom
from PIL import Image

import drawn_sam
import make_studies
from node import ROOT, executable
from report import Report

# The exit status of a result, of a failure with a reason, and of wrong usage.
RESULT, REASON, USAGE = 0, 1, 64
ATRIUM = os.path.join(ROOT, "samples-dicom/lge")
POLYP = os.path.join(ROOT, "samples-dicom/colonoscopy/frame-1-jpeg.dcm")

# (peculiarity, picture, segmenter, options, expected exit status, expected words of the message or note)
CASES = [
    ("one pixel", "1x1.png", "sam-box", ["--box", "0,0,1,1"], RESULT, ""),
    ("one pixel", "1x1.png", "sam-point", ["--point", "0,0,+"], RESULT, ""),
    ("one pixel", "1x1.png", "medsam-box", ["--box", "0,0,1,1"], RESULT, ""),
    ("one row", "1x4000.png", "sam-box", ["--box", "100,0,3000,1"], RESULT, ""),
    ("one row", "1x4000.png", "sam-point", ["--point", "3999,0,+"], RESULT, ""),
    ("one row", "1x4000.png", "medsam-box", ["--box", "100,0,3000,1"], RESULT, ""),
    ("one column", "4000x1.png", "medsam-box", ["--box", "0,100,1,3000"], RESULT, ""),
    ("16 bits", "grey16.png", "sam-box", ["--box", "10,10,40,30"], RESULT, ""),
    ("16 bits", "grey16.png", "medsam-box", ["--box", "10,10,40,30"], RESULT, ""),
    ("one value", "black.png", "sam-box", ["--box", "10,10,40,30"], RESULT, ""),
    ("one value", "white.png", "medsam-box", ["--box", "10,10,40,30"], RESULT, ""),
    ("one value, no prompt", "black.png", "sam-box", [], RESULT, ""),
    ("box as large as the image", "frame.png", "medsam-box", ["--box", "0,0,64,48"], RESULT, "fails there"),
    ("box larger than the image", "frame.png", "medsam-box", ["--box", "-20,-20,900,900"], RESULT, "cut off"),
    ("box of part of a pixel", "frame.png", "sam-box", ["--box", "10.2,10.2,10.4,10.4"], RESULT, ""),
    ("box outside", "frame.png", "medsam-box", ["--box", "100,100,200,200"], REASON, "outside the image"),
    ("box before the image", "frame.png", "sam-box", ["--box", "-20,-20,-1,-1"], REASON, "outside the image"),
    ("point outside", "frame.png", "sam-point", ["--point", "64,10,+"], REASON, "outside the image"),
    ("point far outside", "frame.png", "sam-point", ["--point", "1e30,10,+"], REASON, "outside the image"),
    ("point and background", "frame.png", "sam-point", ["--point", "5,5,+", "--point", "60,40,-"], RESULT, ""),
    ("only background", "frame.png", "sam-point", ["--point", "5,5,-"], RESULT, ""),
    ("inverted box", "frame.png", "sam-box", ["--box", "40,30,10,10"], USAGE, "inverted"),
    ("empty box", "frame.png", "sam-box", ["--box", "10,10,10,30"], USAGE, "empty"),
    ("box without numbers", "frame.png", "sam-box", ["--box", "inf,0,nan,1"], USAGE, "not numbers"),
    ("point for boxes", "frame.png", "medsam-box", ["--point", "5,5,+"], USAGE, "boxes only"),
    ("box for none", "frame.png", "polyp-compact", ["--box", "1,1,5,5"], USAGE, "no options"),
    ("picture for volumes", "frame.png", "medsam-slices", [], REASON, "give it DICOM files"),
    ("volume", "volume", "medsam-slices", ["--box", "10,10,40,30", "--key-slice", "2"], RESULT, "walked"),
    ("key slice beyond the volume", "volume", "medsam-slices", ["--box", "1,1,9,9", "--key-slice", "9"], REASON,
     "4 slices"),
    ("MR as frames", "volume", "sam-box", ["--box", "10,10,40,30"], RESULT, ""),
    ("MR as frames", "volume", "medsam-box", ["--box", "10,10,40,30"], RESULT, ""),
    ("volume of one value", "flat", "medsam-slices", ["--box", "10,10,40,30"], RESULT, ""),
    ("volume of one value, no prompt", "flat", "medsam-slices", [], RESULT, ""),
    ("not finite after rescale", "overflow", "medsam-slices", ["--box", "10,10,40,30"], REASON, ""),
    ("not finite after rescale", "overflow", "sam-box", ["--box", "10,10,40,30"], REASON, ""),
    ("rescale that is not finite", "infinite", "medsam-slices", ["--box", "10,10,40,30"], REASON, "Rescale Slope"),
    ("tracked", "volume", "medsam2-compact", ["--box", "10,10,40,30", "--key-slice", "2"], RESULT, "tracked by medsam2"),
    ("tracked, going on", "volume", "medsam2-compact", ["--box", "10,10,40,30", "--recipe", "sam2-video"], RESULT,
     "tracked by sam2-video"),
    ("tracked, one slice", "one", "medsam2-compact", ["--box", "10,10,40,30"], REASON, "at least two slices"),
    ("tracked, 300 slices", "many", "medsam2-compact", ["--box", "10,10,40,30", "--key-slice", "150"], RESULT, ""),
    ("tracked, prompt on every slice", "volume", "medsam2-compact",
     [word for k in range(1, 5) for word in ("--box", f"{k}:10,10,40,30")], RESULT, "slices 1, 2, 3, 4"),
    ("tracked, prompt on an empty slice", "gap", "medsam2-compact", ["--box", "2:10,10,40,30"], RESULT, ""),
    ("tracked, volume of one value, no prompt", "flat", "medsam2-compact", [], RESULT, "nothing to prompt with"),
    ("tracked, box outside", "volume", "medsam2-compact", ["--box", "100,100,200,200"], REASON, "outside the image"),
    ("tracked, slice beyond the volume", "volume", "medsam2-compact", ["--box", "9:1,1,9,9"], REASON, "4 slices"),
    ("tracked, two boxes on a slice", "volume", "medsam2-compact", ["--box", "2:1,1,9,9", "--box", "2:1,1,8,8"], USAGE,
     "twice"),
    ("tracked, unknown recipe", "volume", "medsam2-compact", ["--recipe", "sam3"], USAGE, "medsam2"),
    ("tracked, not finite after rescale", "overflow", "medsam2-compact", ["--box", "10,10,40,30"], REASON, ""),
    ("tracked frame", "frame.png", "medsam2-compact-frames", ["--box", "10,10,40,30"], RESULT, ""),
    ("tracked frame, box beside the polyp", POLYP, "medsam2-compact-frames", ["--box", "300,280,340,320"], RESULT,
     "does not follow the prompt of frame 1"),
    ("tracked, a black slice inside the atrium", "black-slice", "medsam2-compact", [], RESULT, "what continues it behind a gap"),
    ("tracked, box in the corner", ATRIUM, "medsam2-compact", ["--shift", "0", "--box", "0,0,6,6"], RESULT,
     "does not follow the prompt of slice"),
    ("tracked, no point on the structure", "volume", "medsam2-compact", ["--point", "9,9,-"], USAGE, "no point lies on"),
    ("tracked, one point on both sides", "volume", "medsam2-compact", ["--point", "9,9,-", "--point", "9,9,+"], USAGE,
     "both on the structure and beside it"),
    ("tracked, key slice without a prompt", "volume", "medsam2-compact", ["--key-slice", "3", "--box", "2:1,1,9,9"], USAGE,
     "has no box and no points"),
    ("tracked frame, box on black", "black.png", "medsam2-compact-frames", ["--box", "10,10,40,30"], RESULT,
     "nothing was found in the prompted frame 1"),
    ("tracked frame, recipe", "frame.png", "medsam2-compact-frames", ["--recipe", "medsam2"], USAGE, "forwards in time"),
]


def height(path):
    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


def write_inputs(folder):
    """Writes every file that CASES names."""
    generator = np.random.default_rng(5)

    def picture(name, pixels):
        Image.fromarray(pixels).save(f"{folder}/{name}")

    picture("1x1.png", np.full((1, 1, 3), 90, np.uint8))
    picture("1x4000.png", generator.integers(0, 256, (1, 4000, 3)).astype(np.uint8))
    picture("4000x1.png", generator.integers(0, 256, (4000, 1)).astype(np.uint8))
    picture("grey16.png", generator.integers(0, 65536, (48, 64)).astype(np.uint16))
    picture("black.png", np.zeros((48, 64, 3), np.uint8))
    picture("white.png", np.full((48, 64), 255, np.uint8))
    picture("frame.png", generator.integers(0, 256, (48, 64, 3)).astype(np.uint8))
    volume = generator.integers(0, 2000, (4, 48, 64)).astype(np.uint16)
    make_studies.left_atrium(f"{folder}/volume", "VOLUME", volume)
    make_studies.left_atrium(f"{folder}/flat", "FLAT", np.full_like(volume, 700))
    make_studies.left_atrium(f"{folder}/one", "ONE", volume[:1])
    make_studies.left_atrium(f"{folder}/many", "MANY", np.tile(volume, (75, 1, 1)))
    make_studies.left_atrium(f"{folder}/gap", "GAP", volume * (np.arange(4) != 1)[:, None, None].astype(np.uint16))
    shutil.copytree(ATRIUM, f"{folder}/black-slice")
    middle = sorted(glob.glob(f"{folder}/black-slice/**/*.dcm", recursive=True), key=height)[14]
    slice_ = pydicom.dcmread(middle)
    slice_.PixelData = bytes(len(slice_.PixelData))
    slice_.save_as(middle)
    make_studies.left_atrium(f"{folder}/infinite", "INFINITE", volume, slope="1e308")
    make_studies.left_atrium(f"{folder}/overflow", "OVERFLOW", volume, slope="1e38")


def install(models, scratch):
    """Installs the same drawn network as SAM and as MedSAM."""
    for family in ("sam", "medsam"):
        path = f"{scratch}/{family}_drawn.safetensors"
        drawn_sam.checkpoint(path)
        done = subprocess.run(
            [executable(), "models", "add", path, "--family", family, "--models", models], capture_output=True,
            text=True, timeout=300)
        if done.returncode != 0:
            raise SystemExit(f"models add: {done.stderr.strip()}")


def segment(case, folder, models, output):
    """Runs one case. Returns the exit status, and the errors, reasons and notes as one text."""
    _, name, segmenter, options, _, _ = case
    done = subprocess.run(
        [executable(), "segment", os.path.join(folder, name), "--output", output, "--models", models, "--segmenter", segmenter,
         "--json", *options], capture_output=True, text=True, timeout=300)
    said = done.stderr
    if done.stdout:
        found = json.loads(done.stdout)
        for line in found["stacks"] + found["pictures"]:
            said += json.dumps([line.get("reason"), line["notes"], line["outcome"]])
    return done.returncode, said


def main():
    report = Report("bad_input")
    with tempfile.TemporaryDirectory() as scratch:
        folder, models = f"{scratch}/in", f"{scratch}/models"
        os.makedirs(folder)
        write_inputs(folder)
        install(models, scratch)
        for index, case in enumerate(CASES):
            odd, name, segmenter, options, expected, words = case
            status, said = segment(case, folder, models, f"{scratch}/out/{index}")
            label = f"{odd} ({name}, {segmenter} {' '.join(options)})"
            report.expect(status == expected, f"{label}: status {status}, not {expected}: {said.strip()[-400:]}")
            report.expect(words in said, f"{label}: the output lacks '{words}': {said.strip()[-400:]}")
            report.expect("signal" not in said and "crash" not in said, f"{label}: {said.strip()[-400:]}")
        report.line(f"{len(CASES)} cases")
    report.end()


if __name__ == "__main__":
    main()
