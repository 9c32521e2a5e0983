#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends studies that break PS3.5 in ways that leave no doubt about the image. Each must be segmented.

Each study is a frame or the MRI of the samples with one peculiarity, sent as raw data-set bytes. The check passes if no
instance is quarantined, the archive gets a SEG of every study, and `kontur segment` finds the atrium in a volume with
padding as well as without.
"""

import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import numpy as np
import pydicom
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from node import ROOT, Node, executable
from orthanc import Orthanc
from report import Report
from send import Instance, Sender
from wire import new_uid

EXPLICIT, IMPLICIT, BASELINE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50"
# Before Samples per Pixel, as both encodings write it.
BEFORE_PIXEL_MODULE = b"\x28\x00\x02\x00"


def element(group, number, vr, value):
    """An element in Explicit VR Little Endian with a short length."""
    return struct.pack("<HH", group, number) + vr + struct.pack("<H", len(value)) + value


def implicit(group, number, value):
    """An element in Implicit VR Little Endian."""
    return struct.pack("<HHI", group, number, len(value)) + value


def encoded(dataset, syntax):
    """The bytes of a data set, without File Meta Information."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def frame(name):
    """A frame of the samples with new UIDs."""
    dataset = pydicom.dcmread(glob.glob(f"{ROOT}/samples-dicom/colonoscopy/{name}-*.dcm")[0])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = new_uid(), new_uid()
    dataset.SOPInstanceUID = new_uid()
    return dataset


def inserted(extra):
    """A change of bytes: puts `extra` in front of the Image Pixel Module."""
    def change(data):
        at = data.index(BEFORE_PIXEL_MODULE)
        return data[:at] + extra + data[at:]
    return change


def attributes(**values):
    """A change of attributes."""
    def change(dataset):
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return change


def nothing(value):
    return value


# (peculiarity, sample, transfer syntax, change of attributes, change of bytes)
CASES = [
    *[(f"representation {vr}", "frame-2", EXPLICIT, nothing, inserted(element(0x27, 0x1001, vr, b"VALUE ")))
      for vr in (b"--", b"??", b"  ", b"\0\0")],
    ("representation OX", "frame-2", EXPLICIT, nothing,
     inserted(b"\x27\0\x01\x10OX\0\0" + struct.pack("<I", 6) + b"VALUE ")),
    ("no representation", "frame-2", EXPLICIT, nothing, inserted(implicit(0x27, 0x1001, b"VALUE "))),
    ("text as a sequence", "frame-2", IMPLICIT, nothing, inserted(implicit(0x12, 0x64, b"Invented Anonymizer "))),
    ("stray delimiters", "frame-2", EXPLICIT, nothing,
     inserted(implicit(0xFFFE, 0xE00D, b"") + implicit(0xFFFE, 0xE0DD, b""))),
    ("a doubled element", "frame-2", EXPLICIT, nothing, inserted(element(0x20, 0xE, b"UI", b"1.2.3\0"))),
    ("group 0002, explicit", "frame-2", EXPLICIT, nothing,
     lambda data: element(2, 0x10, b"UI", IMPLICIT.encode() + b"\0") + data),
    ("group 0002, implicit", "frame-2", IMPLICIT, nothing,
     lambda data: implicit(2, 0, struct.pack("<I", 28)) + implicit(2, 0x10, BASELINE.encode()) + data),
    ("group 0000", "frame-2", EXPLICIT, nothing, lambda data: element(0, 0x100, b"US", b"\1\0") + data),
    ("rubbish at the end", "frame-2", EXPLICIT, nothing, lambda data: data + b"\x08\0\1\0LO\0\0\4\0\0\0FUZZ"),
    ("no delimiter", "frame-1", BASELINE, nothing, lambda data: data[:-8]),
    ("zeros for a delimiter", "frame-1", BASELINE, nothing, lambda data: data[:-8] + bytes(500)),
    ("rgb", "frame-2", EXPLICIT, attributes(PhotometricInterpretation="rgb"), nothing),
    ("three grey samples", "frame-2", EXPLICIT, attributes(PhotometricInterpretation="MONOCHROME2"), nothing),
    ("High Bit 3", "frame-2", EXPLICIT, attributes(HighBit=3), nothing),
    ("empty attributes", "frame-2", EXPLICIT,
     attributes(NumberOfFrames=None, RescaleSlope=None, RescaleIntercept=None, PixelSpacing=None), nothing),
]


def instances():
    """One instance for each case."""
    for _, sample, syntax, change, spoil in CASES:
        dataset = frame(sample)
        change(dataset)
        yield Instance(dataset.SOPClassUID, dataset.SOPInstanceUID, syntax, spoil(encoded(dataset, syntax)))


def padded(folder, value):
    """Writes the MRI of the samples with the darkest 15% of each slice as `value`, and says so if it is a padding."""
    os.makedirs(folder)
    for number, path in enumerate(sorted(glob.glob(f"{ROOT}/samples-dicom/lge/*.dcm"))):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.astype(np.int16)
        dark = pixels < np.percentile(pixels, 15)
        pixels[dark] = 0 if value is None else value
        dataset.PixelData, dataset.PixelRepresentation = pixels.tobytes(), 1
        dataset.BitsStored, dataset.HighBit = 16, 15
        if value is not None:
            dataset.add_new(0x00280120, "SS", value)
        dataset.save_as(f"{folder}/{number:03}.dcm")


def atrium(folder):
    """The voxels that `kontur segment` finds, by SOP Instance UID, and the confidence."""
    with tempfile.TemporaryDirectory() as output:
        done = subprocess.run([executable(), "segment", folder, "--output", output, "--json"], capture_output=True,
                              text=True, timeout=120)
        stack = json.loads(done.stdout)["stacks"][0]
        seg = pydicom.dcmread(stack["segmentation"])
        groups = seg.PerFrameFunctionalGroupsSequence
        sources = [g.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID for g in groups]
        return dict(zip(sources, np.atleast_3d(seg.pixel_array) > 0)), stack["confidence"]


def main():
    report = Report("odd writers")
    sent = list(instances())
    with Orthanc() as archive, Node(archive.dicom_port) as node:
        sender = Sender(node.port)
        sender.send(sent)
        for one, (name, *_) in zip(sent, CASES):
            report.expect(sender.statuses.get(one.instance_uid) == 0, f"{name}: {sender.statuses.get(one.instance_uid)}")
        states = node.settle(120)
        names = {one.instance_uid: name for one, (name, *_) in zip(sent, CASES)}
        for uid, reason in node.quarantined():
            report.expect(False, f"{names.get(uid, uid)}: {reason}")
        report.expect(states["jobs"].get("done") == len(CASES),
                      f"not every study has a SEG: {states}")
        report.line(f"{len(CASES)} studies; states: {states}")

    with tempfile.TemporaryDirectory() as scratch:
        answers = []
        for name, value in (("zero", None), ("padding", -32768)):
            padded(f"{scratch}/{name}", value)
            answers.append(atrium(f"{scratch}/{name}"))
        (zero, confidence), (padding, other) = answers
        both = sum((zero[uid] & padding[uid]).sum() for uid in zero.keys() & padding.keys())
        dice = 2 * both / sum(mask.sum() for masks in (zero, padding) for mask in masks.values())
        report.line(f"padding: Dice {dice:.4f} with zeros, confidence {other:.3f} and {confidence:.3f}")
        report.expect(dice > 0.99 and abs(confidence - other) < 0.02, "padding changes the answer")
    report.end()


if __name__ == "__main__":
    main()
