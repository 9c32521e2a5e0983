#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks how series of real scanners become stacks, and where the SEG's frames then lie.

The sample MRI is rewritten as enhanced MR with frames out of order and a rescale of their own, as legacy converted
enhanced MR by highdicom, as two reconstructions in one instance, as two cardiac phases, and with numbers that senders
round. The check passes if each stack gets the mask that the plain series gets, in the right frames, readable by
highdicom, and if what is no volume gets its reason. The node takes the enhanced instance by C-STORE at the end.
"""

import copy
import glob
import json
import os
import subprocess
import sys
import tempfile
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import highdicom
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from node import ROOT, Node, executable
from orthanc import Orthanc
from report import Report
from send import Sender, read_anything

warnings.filterwarnings("ignore")
ENHANCED_MR, ENHANCED_MR_COLOR = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.3"
ROUTES = """
  - name: left-atrium
    when: {modality: [MR], numberOfFrames: {min: 20}}
    segmenter: left-atrium-compact
    sendTo: [archive]
"""


def slices():
    """The sample's slices in the order of their positions, with new UIDs."""
    found = [pydicom.dcmread(path) for path in glob.glob(f"{ROOT}/samples-dicom/lge/*.dcm")]
    orientation = np.array(found[0].ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    found.sort(key=lambda one: np.dot(normal, np.array(one.ImagePositionPatient, float)))
    study, series, reference = (generate_uid(None) for _ in range(3))
    for one in found:
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, reference
        rename(one)
    return found


def rename(one):
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid(None)


def item(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return Sequence([made])


def enhanced(sources, order, kinds=None, sop_class=ENHANCED_MR):
    """One enhanced instance. `order` lists the slice of each frame; `kinds` its Frame Type value 3."""
    made = copy.deepcopy(sources[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
                    "SpacingBetweenSlices", "EchoTime", "InversionTime"):
        delattr(made, keyword)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    rename(made)
    made.ImageType, made.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], len(order)
    shared, groups, pixels = Dataset(), [], []
    shared.PixelMeasuresSequence = item(
        SliceThickness=sources[0].SliceThickness, PixelSpacing=sources[0].PixelSpacing,
        SpacingBetweenSlices=sources[0].SpacingBetweenSlices)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=sources[0].ImageOrientationPatient)
    for frame, index in enumerate(order):
        # Stored values differ from frame to frame, and the rescale makes up for it.
        slope, intercept = 1 + frame % 2, -100 * (frame % 3)
        pixels.append(np.round((sources[index].pixel_array.astype(float) - intercept) / slope).astype("<u2"))
        group = Dataset()
        group.PlanePositionSequence = item(ImagePositionPatient=sources[index].ImagePositionPatient)
        group.FrameContentSequence = item(StackID="1", InStackPositionNumber=index + 1, DimensionIndexValues=[index + 1])
        group.MRImageFrameTypeSequence = item(
            FrameType=["ORIGINAL", "PRIMARY", kinds[frame] if kinds else "PSIR", "NONE"])
        group.PixelValueTransformationSequence = item(
            RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
        groups.append(group)
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    made.PixelData = np.stack(pixels).tobytes()
    return made


def segment(name, sources, *options):
    """Runs `kontur segment`. Returns its exit status and its report."""
    folder, out = f"{name}-in", f"{name}-out"
    os.makedirs(folder)
    for number, one in enumerate(sources):
        one.save_as(f"{folder}/{number:03}.dcm", enforce_file_format=True)
    done = subprocess.run([executable(), "segment", folder, "--output", out, "--json", *options],
                          capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout)["stacks"]


def placed(path, sources):
    """The masks of a SEG by the position of their frames, after a check of the references to the sources."""
    seg = highdicom.seg.segread(path)
    by_uid = {one.SOPInstanceUID: one for one in sources}
    masks = {}
    for group, mask in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)):
        reference = group.DerivationImageSequence[0].SourceImageSequence[0]
        source = by_uid[reference.ReferencedSOPInstanceUID]
        plane = source
        if "PerFrameFunctionalGroupsSequence" in source:
            plane = source.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        assert np.abs(position - np.array(plane.ImagePositionPatient, float)).max() < 1e-4, "a frame lies elsewhere"
        masks[tuple(np.round(position, 3))] = mask > 0
    return seg, masks


def same(one, other):
    """The share of equal voxels that is set in both (Dice)."""
    keys = set(one) | set(other)
    empty = np.zeros_like(next(iter(one.values())))
    both = sum((one.get(key, empty) & other.get(key, empty)).sum() for key in keys)
    return 2 * both / sum(mask.sum() for masks in (one, other) for mask in masks.values())


def check_volumes(report):
    plain = slices()
    _, stacks = segment("plain", plain)
    _, truth = placed(stacks[0]["segmentation"], plain)
    order = [(7 * index) % len(plain) for index in range(len(plain))]

    one = enhanced(plain, order)
    status, stacks = segment("enhanced", [one])
    report.expect(status == 0 and len(stacks) == 1, f"enhanced MR: exit {status}, {stacks}")
    seg, masks = placed(stacks[0]["segmentation"], [one])
    report.expect(same(truth, masks) > 0.999, f"enhanced MR: Dice {same(truth, masks):.4f} to the plain series")
    report.expect(seg.get_volume_geometry() is not None, "enhanced MR: highdicom sees no volume")
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    report.expect(np.allclose([float(value) for value in measures.PixelSpacing], [1.25, 1.25]), "another Pixel Spacing")

    for source in plain:
        source.AcquisitionDuration = 100.0
    legacy = highdicom.legacy.LegacyConvertedEnhancedMRImage(
        plain, series_instance_uid=generate_uid(None), series_number=9, sop_instance_uid=generate_uid(None),
        instance_number=1)
    legacy.SeriesDescription = plain[0].SeriesDescription
    status, stacks = segment("legacy", [legacy])
    _, masks = placed(stacks[0]["segmentation"], [legacy])
    report.expect(status == 0 and same(truth, masks) > 0.999, f"legacy converted: exit {status}")

    kinds = ["PSIR"] * len(order) + ["P"] * len(order)
    two = enhanced(plain, order + order, kinds)
    status, stacks = segment("two", [two])
    outcomes = sorted(stack["outcome"] for stack in stacks)
    report.expect(status == 0 and outcomes == ["segmented", "unmatched"], f"PSIR and phase map: {status}, {outcomes}")
    split = f"split in 2 by Image Type: {len(order)} and {len(order)}"
    said = [" ".join(stack["notes"] + [stack.get("reason") or ""]) for stack in stacks]
    report.expect(all(split in words for words in said), f"the split is not named: {said}")
    path = next(stack["segmentation"] for stack in stacks if "segmentation" in stack)
    seg, masks = placed(path, [two])
    report.expect(same(truth, masks) > 0.999, "the frames of the PSIR images are others")
    report.expect(seg.SeriesDescription == "KONTUR left atrium, series 4 PSIR (AI, not reviewed)" and
                  seg.SeriesNumber == 49000, f"{seg.SeriesNumber} {seg.SeriesDescription}")

    color = enhanced(plain, order, sop_class=ENHANCED_MR_COLOR)
    status, stacks = segment("color", [color])
    report.expect(status == 1 and "Enhanced MR Color Image Storage" in stacks[0]["reason"], f"MR Color: {stacks}")


def check_series(report):
    phases = slices() + slices()
    for number, one in enumerate(phases):
        first = phases[number % (len(phases) // 2)]
        one.StudyInstanceUID, one.SeriesInstanceUID = phases[0].StudyInstanceUID, phases[0].SeriesInstanceUID
        one.FrameOfReferenceUID, one.InstanceNumber = phases[0].FrameOfReferenceUID, number + 1
        one.TriggerTime = f"{(210 if one is first else 640) + 3.5 * (number % (len(phases) // 2)):.1f}"
    status, stacks = segment("phases", phases)
    report.expect(status == 0 and [stack["outcome"] for stack in stacks] == ["segmented"] * 2, f"phases: {stacks}")
    names = {pydicom.dcmread(stack["segmentation"]).SeriesDescription for stack in stacks}
    numbers = {pydicom.dcmread(stack["segmentation"]).SeriesNumber for stack in stacks}
    report.expect(len(names) == 2 and len(numbers) == 2, f"two SEGs are called {names}, {numbers}")

    lost = slices()
    for one in lost:
        one.FrameOfReferenceUID = generate_uid(None)
    _, stacks = segment("lost", lost)
    report.expect(len(stacks) == 1 and "26 frames of reference" in stacks[0]["reason"], f"lost frame: {stacks}")

    rounded = slices()
    for index, one in enumerate(rounded):
        one.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        one.ImagePositionPatient = ["-70.0", "-43.0", f"{-31.3 + 0.625 * index:.1f}"]
        one.SliceThickness = one.SpacingBetweenSlices = "0.625"
        one.PixelSpacing = ["0.9375", "0.9375"] if index % 2 else ["0.93749994", "0.93749994"]
    status, stacks = segment("rounded", rounded)
    report.expect(status == 0 and len(stacks) == 1, f"rounded positions: exit {status}, {len(stacks)} stacks")
    placed(stacks[0]["segmentation"], rounded)

    turned = slices()
    for one in turned:
        one.ImageOrientationPatient = [f"{float(value):.3f}" for value in one.ImageOrientationPatient]
    status, stacks = segment("turned", turned)
    report.expect(status == 0, f"an orientation of three digits: exit {status}, {stacks}")
    seg, _ = placed(stacks[0]["segmentation"], turned)
    report.expect(seg.get_volume_geometry() is not None, "an orientation of three digits: no volume for highdicom")


def check_node(report):
    plain = slices()
    one = enhanced(plain, [(11 * index) % len(plain) for index in range(len(plain))])
    with Orthanc(overrides={"DicomCheckCalledAet": False}) as archive:
        with Node(archive.dicom_port, routes=ROUTES) as node:
            one.save_as("enhanced.dcm", enforce_file_format=True)
            Sender(node.port).send([read_anything("enhanced.dcm")], keep_trying=20)
            report.expect_nothing_dead(node.settle(60))
        paths = archive.save_segmentations("seg")
    report.expect(len(paths) == 1, f"{len(paths)} SEGs came from the node")
    for path in paths:
        placed(path, [one])


def main():
    report = Report("stacks")
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        check_volumes(report)
        check_series(report)
        check_node(report)
    report.end()


if __name__ == "__main__":
    main()
