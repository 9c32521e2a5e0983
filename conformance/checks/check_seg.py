#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks Segmentation objects against their source images, by readers that share no code with Kontur.

A SEG passes if

- dciodvfy does not find an error,
- pydicom, highdicom and the plain reader see the same bits,
- every frame references a source image of its own study, series and position,
- the Referenced Series Sequence lists every image of the stack, and
- dcmqi's segimage2itkimage puts each voxel where the source has it (only with a frame of reference).

Masks are compared voxel by voxel.

    check_seg.py --sources folder [--sources folder] seg.dcm [seg.dcm]
"""

import argparse
import glob
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

import highdicom
import numpy as np
import pydicom

from plain_seg import PlainSegmentation

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
# dciodvfy of 2022 knows neither the class of 2024 nor a background, which has the number 0. It still checks each element.
TOO_NEW = ("Error - Information Object Not found", "Error - SegmentNumber not monotonically increasing from one by one")


class Failed(Exception):
    """A fault that a reader found in a SEG."""


def require(condition, message):
    if not condition:
        raise Failed(message)


def read_sources(folders):
    """Maps each SOP Instance UID to the header, without pixels, of every image below the folders."""
    found = {}
    for folder in folders:
        for path in glob.glob(os.path.join(folder, "**", "*"), recursive=True):
            if os.path.isfile(path):
                try:
                    one = pydicom.dcmread(path, stop_before_pixels=True)
                except pydicom.errors.InvalidDicomError:
                    continue
                if "SOPInstanceUID" in one:
                    found[one.SOPInstanceUID] = one
    return found


def dciodvfy_errors(path):
    """The lines of dciodvfy that begin with Error."""
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace", timeout=60)
    require(done.returncode >= 0, f"dciodvfy died of signal {-done.returncode}")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def read_nrrd(path):
    """The voxels [k, j, i] of an NRRD file, its origin, and the steps along i, j and k, in mm and LPS."""
    with open(path, "rb") as file:
        data = file.read()
    head, body = data.split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    require(fields["space"] == "left-posterior-superior", f"space is {fields['space']}")
    if fields["encoding"] == "gzip":
        body = gzip.decompress(body)
    kinds = {"short": "<i2", "unsigned char": "u1", "uchar": "u1", "unsigned short": "<u2", "float": "<f4"}
    sizes = [int(word) for word in fields["sizes"].split()]
    vector = lambda word: np.array([float(part) for part in word.strip("()").split(",")])
    steps = [vector(word) for word in fields["space directions"].split()]
    return np.frombuffer(body, kinds[fields["type"]]).reshape(sizes[::-1]), vector(fields["space origin"]), steps


def load_as_slicer(path, scratch):
    """Reads a SEG with dcmqi's segimage2itkimage, as 3D Slicer does. Returns voxels, origin and steps."""
    program = os.path.join(os.path.dirname(sys.executable), "segimage2itkimage")
    program = program if os.path.exists(program) else shutil.which("segimage2itkimage")
    require(program, "segimage2itkimage is not installed")
    done = subprocess.run(
        [program, "--inputDICOM", path, "--outputDirectory", scratch, "--outputType", "nrrd", "--prefix", "dcmqi"],
        capture_output=True, text=True, timeout=120)
    require(done.returncode == 0, f"segimage2itkimage: {(done.stdout + done.stderr).strip()[-300:]}")
    return read_nrrd(os.path.join(scratch, "dcmqi-1.nrrd"))


def check_placement(loaded, masks, sources):
    """Compares every voxel of every source image with the loaded volume. Returns the number of set voxels."""
    volume, origin, steps = loaded
    inverse = np.linalg.inv(np.stack(steps, axis=1))
    compared = 0
    for uid, source in sources.items():
        row_step, column_step = (float(value) for value in source.PixelSpacing)
        orientation = np.array([float(value) for value in source.ImageOrientationPatient])
        along_columns, along_rows = orientation[:3] * column_step, orientation[3:] * row_step
        start = np.array([float(value) for value in source.ImagePositionPatient])
        rows, columns = np.mgrid[:source.Rows, :source.Columns]
        points = start + columns[..., None] * along_columns + rows[..., None] * along_rows
        index = (points - origin) @ inverse.T
        nearest = np.rint(index).astype(int)
        inside = np.all((nearest >= 0) & (nearest < volume.shape[::-1]), axis=-1)
        require(np.abs(index - nearest)[inside].max(initial=0) < 0.01,
                f"the source voxels of {uid} lie between dcmqi's voxels")
        i, j, k = np.moveaxis(np.where(inside[..., None], nearest, 0), -1, 0)
        seen = (volume[k, j, i] != 0) & inside
        require(np.array_equal(seen, masks.get(uid, np.zeros_like(seen)).astype(bool)),
                f"dcmqi places the mask of {uid} elsewhere: {int((seen != masks.get(uid, 0)).sum())} voxels differ")
        compared += int(seen.sum())
    require(compared == int((volume != 0).sum()), "dcmqi shows voxels outside the source images")
    return compared


def check_references(data_set, plain, sources):
    """Checks that every frame references existing images, and that the SEG references every image of its stack."""
    listed = {item.ReferencedSOPInstanceUID for series in data_set.ReferencedSeriesSequence
              for item in series.ReferencedInstanceSequence}
    require(listed <= set(sources), f"{len(listed - set(sources))} referenced instances are not in the archive")
    one = sources[next(iter(listed))]
    require({sources[uid].SeriesInstanceUID for uid in listed} ==
            {series.SeriesInstanceUID for series in data_set.ReferencedSeriesSequence},
            "the Referenced Series Sequence names other series than its instances have")
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "Rows", "Columns"):
        require(data_set.get(keyword) == one.get(keyword), f"{keyword} differs from the source")
    if "FrameOfReferenceUID" in one:
        require(data_set.get("FrameOfReferenceUID") == one.FrameOfReferenceUID,
                "FrameOfReferenceUID differs from the source")
    require(data_set.SeriesInstanceUID not in {source.SeriesInstanceUID for source in sources.values()},
            "the SEG is in a series of the source")
    same_kind = {uid for uid, source in sources.items() if source.SeriesInstanceUID == one.SeriesInstanceUID and
                 (source.Rows, source.Columns) == (one.Rows, one.Columns)}
    require(listed == same_kind, f"{len(listed)} instances referenced, {len(same_kind)} in the stack")
    for frame in range(plain.frames):
        named = plain.sources(frame)
        require(len(named) == 1 and named[0][0] in listed, f"frame {frame + 1} references {named}")
        if plain.position(frame) is not None and one.get("FrameOfReferenceUID"):
            expected = [float(value) for value in sources[named[0][0]].ImagePositionPatient]
            require(np.allclose(plain.position(frame), expected, atol=1e-4),
                    f"the position of frame {frame + 1} differs from the source")
    require(data_set.SegmentSequence[-1].SegmentAlgorithmType == "AUTOMATIC", "SegmentAlgorithmType is not AUTOMATIC")
    require("KONTUR" in data_set.SeriesDescription and "not reviewed" in data_set.SeriesDescription,
            f"the series description is {data_set.SeriesDescription}")
    return listed


def check(path, all_sources):
    """Runs all checks on one SEG. Returns its description, or raises `Failed`."""
    data_set = pydicom.dcmread(path)
    is_label_map = data_set.SOPClassUID == LABEL_MAP_STORAGE
    errors = [error for error in dciodvfy_errors(path) if not (is_label_map and error.startswith(TOO_NEW))]
    require(not errors, f"dciodvfy: {errors[:3]}")
    with open(path, "rb") as file:
        plain = PlainSegmentation(file.read())
    require(is_label_map == (plain.type == "LABELMAP"), f"a {plain.type} has the class {data_set.SOPClassUID}")
    listed = check_references(data_set, plain, all_sources)
    sources = {uid: all_sources[uid] for uid in listed}

    stored = np.atleast_3d(data_set.pixel_array) if plain.frames > 1 else data_set.pixel_array[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        segmentation = highdicom.seg.segread(path)
        by_highdicom = segmentation.pixel_array if plain.frames > 1 else segmentation.pixel_array[None]
    require(np.array_equal(stored, by_highdicom), "highdicom and pydicom read different pixels")
    masks = {}
    for frame in range(plain.frames):
        mask = np.frombuffer(plain.mask(frame), np.uint8).reshape(plain.rows, plain.columns)
        other = stored[frame] >= data_set.MaximumFractionalValue / 2 if plain.type == "FRACTIONAL" else stored[frame]
        require(np.array_equal(mask, other), f"pydicom and the plain reader differ in frame {frame + 1}")
        require(plain.type == "FRACTIONAL" or mask.any(), f"frame {frame + 1} is empty")
        masks[plain.sources(frame)[0][0]] = mask
    require(len(masks) == plain.frames, "two frames reference the same source")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        order = sorted(masks)
        by_source = segmentation.get_pixels_by_source_instance(
            order, assert_missing_frames_are_empty=True, combine_segments=plain.type != "FRACTIONAL",
            **({"rescale_fractional": False} if plain.type == "FRACTIONAL" else {}))
    if plain.type != "FRACTIONAL":
        require(all(np.array_equal(by_source[index] != 0, masks[uid] != 0) for index, uid in enumerate(order)),
                "highdicom finds other masks by source instance")
    placed = None
    if "FrameOfReferenceUID" in data_set and plain.type != "FRACTIONAL":
        with tempfile.TemporaryDirectory() as scratch:
            loaded = load_as_slicer(path, scratch)
        if all("FrameOfReferenceUID" in source for source in sources.values()):
            placed = check_placement(loaded, masks, sources)
        else:
            # The frame of reference is made up, so positions cannot be compared. Every pixel must still be present.
            total = sum(int(mask.sum()) for mask in masks.values())
            require(int((loaded[0] != 0).sum()) == total, "dcmqi lost pixels")
    return {"file": os.path.basename(path), "uid": plain.uid, "type": plain.type, "frames": plain.frames,
            "rows": plain.rows, "columns": plain.columns, "sources": len(sources), "voxels": placed,
            "description": plain.description}


def check_folder(seg_paths, source_folders):
    """Checks each SEG. Returns the descriptions of those that passed and the faults of the others."""
    sources = read_sources(source_folders)
    sources = {uid: one for uid, one in sources.items()
               if one.SOPClassUID not in (SEGMENTATION_STORAGE, LABEL_MAP_STORAGE)}
    found, wrong = [], []
    for path in seg_paths:
        try:
            found.append(check(path, sources))
        except (Failed, KeyError, AttributeError, ValueError, RuntimeError) as error:
            wrong.append(f"{os.path.basename(path)}: {type(error).__name__}: {error}")
    return found, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sources", action="append", required=True, help="a folder of source images; may be repeated")
    parser.add_argument("seg", nargs="+", help="the Segmentation objects")
    options = parser.parse_args()
    found, wrong = check_folder(options.seg, options.sources)
    print(json.dumps({"passed": found, "failed": wrong}, indent=1))
    sys.exit(1 if wrong or not found else 0)


if __name__ == "__main__":
    main()
