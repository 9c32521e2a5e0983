#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures seconds and peak resident memory of `kontur segment`, workers included.

The studies are drawn: the sample's left atrium resampled to 88 slices, and the sample's polyp frames repeated, as they are
and enlarged to 1920 x 1080. Each study runs `--rounds` times. The report shows the medians. The rate of frames excludes
the time of a run with one frame. `--folder` measures a folder of frames of one size instead. `Benchmarks frames FOLDER`
shows the steps of a frame.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "peers"), os.path.join(HERE, "checks")]

import pydicom
from PIL import Image
from pydicom.encaps import encapsulate

import make_studies
from bench_ingest import processor
from kills import drawn_volume
from node import ROOT, executable
from send import files


def resident(pid):
    """The resident bytes of a process and all its descendants."""
    total = 0
    try:
        with open(f"/proc/{pid}/statm") as file:
            total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                total += sum(resident(int(child)) for child in file.read().split())
    except OSError:
        pass
    return total


def segment(folder):
    """Runs `kontur segment` once. Returns its seconds and its peak of resident bytes."""
    output = tempfile.mkdtemp(prefix="kontur-bench-out-")
    begin = time.monotonic()
    try:
        with subprocess.Popen([executable(), "segment", folder, "--output", output, "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            peak = 0
            while process.poll() is None:
                peak = max(peak, resident(process.pid))
                time.sleep(0.02)
            seconds = time.monotonic() - begin
            if process.returncode != 0:
                raise SystemExit(f"kontur segment ended with status {process.returncode}")
        return seconds, peak
    finally:
        shutil.rmtree(output)


def enlarged(data):
    """Enlarges a frame to 1920 x 1080 and compresses it as scopes do."""
    pixels = Image.fromarray(pydicom.pixels.convert_color_space(data.pixel_array, data.PhotometricInterpretation, "RGB"))
    stream = io.BytesIO()
    pixels.resize((1920, 1080), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    data.PixelData = encapsulate([stream.getvalue()])
    data.Rows, data.Columns = 1080, 1920


def write_frames(folder, count, change=lambda data: None):
    """Writes `count` copies of one of the sample's JPEG frames, each changed and with its own UID."""
    os.makedirs(folder)
    sources = [path for path in files([f"{ROOT}/samples-dicom/colonoscopy"]) if "frame-1" in path]
    for index in range(count):
        data = pydicom.dcmread(sources[index % len(sources)])
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(None)
        data.InstanceNumber = index + 1
        change(data)
        data.save_as(f"{folder}/{index:04}.dcm")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each study")
    parser.add_argument("--frames", type=int, default=100, help="polyp frames in the study")
    parser.add_argument("--folder", help="measure only this folder with DICOM files of frames of one size")
    options = parser.parse_args()
    if options.folder:
        seconds, peak = zip(*(segment(options.folder) for _ in range(options.rounds)))
        rate = len(os.listdir(options.folder)) / statistics.median(seconds)
        print(json.dumps({"processor": processor(), "frames a second": round(rate, 1), "MiB": max(peak) >> 20}, indent=1))
        return
    scratch = tempfile.mkdtemp(prefix="kontur-bench-")
    try:
        volume, spacing = drawn_volume(88)
        make_studies.left_atrium(f"{scratch}/volume", "BENCH", volume, spacing=spacing)
        write_frames(f"{scratch}/frames", options.frames)
        write_frames(f"{scratch}/frame", 1)
        write_frames(f"{scratch}/large-frames", options.frames // 3, enlarged)
        write_frames(f"{scratch}/large-frame", 1, enlarged)
        found = {}
        for name in ("volume", "frames", "frame", "large-frames", "large-frame"):
            runs = [segment(f"{scratch}/{name}") for _ in range(options.rounds)]
            found[name] = (statistics.median(run[0] for run in runs), max(run[1] for run in runs))
            print(f"{name}: {found[name][0]:.2f} s, {found[name][1] / 2**20:.0f} MiB", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    more = found["frames"][0] - found["frame"][0]
    more_large = found["large-frames"][0] - found["large-frame"][0]
    print(json.dumps({
        "processor": processor(), "date": time.strftime("%Y-%m-%d"), "rounds": options.rounds,
        "left atrium, 88 slices": {"seconds": round(found["volume"][0], 2), "MiB": found["volume"][1] >> 20},
        "polyp frames": {"frames a second": round((options.frames - 1) / more, 1), "MiB": found["frames"][1] >> 20},
        "polyp frames of 1920 x 1080": {
            "frames a second": round((options.frames // 3 - 1) / more_large, 1), "MiB": found["large-frames"][1] >> 20},
    }, indent=1))


if __name__ == "__main__":
    main()
