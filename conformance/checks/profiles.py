#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks each viewer profile and each type of SEG, at sizes that are not multiples of 8, with every reader.

The SEGs of frames of 101 x 99 pixels go to four peers with the profiles strict, ohif, slicer and labelmap. The SEG of
the sample MRI is written once as BINARY and once as FRACTIONAL. The check passes if each SEG passes `check_seg` and
carries the attributes of its profile.
"""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import numpy as np
import pydicom
from PIL import Image

from check_seg import check_folder
from node import ROOT, Node
from orthanc import Orthanc
from report import Report
from send import Sender, files, read_anything

PEERS = """\
  - {{name: {0}, aeTitle: {1}, host: 127.0.0.1, port: {2}, viewerProfile: {0}}}
"""
ROUTES = """
  - name: colonoscopy
    when: {modality: [ES]}
    segmenter: polyp-compact
    sendTo: [archive, ohif, slicer, labelmap]
  - name: left-atrium
    when: {modality: [MR]}
    segmenter: left-atrium-compact
    type: TYPE
    sendTo: [archive]
"""


def write_small_frames(folder):
    """Writes the sample's RGB frames with 101 rows and 99 columns."""
    for index, path in enumerate(path for path in files([f"{ROOT}/samples-dicom/colonoscopy"]) if "rgb" in path):
        for copy in range(3):
            data = pydicom.dcmread(path)
            picture = Image.fromarray(data.pixel_array).resize((99, 101))
            data.PixelData = np.ascontiguousarray(np.asarray(picture)[:, ::-1 if copy == 1 else 1]).tobytes() + b"\0"
            data.Rows, data.Columns, data.InstanceNumber = 101, 99, 10 * index + copy
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(None)
            data.save_as(f"{folder}/{index}-{copy}.dcm")


def main():
    report = Report("profiles")
    for kind in ("binary", "fractional"):
        # Debian's Orthanc of 2022 does not know label maps, so it has to take unknown classes.
        settings = {"DicomCheckCalledAet": False, "UnknownSopClassAccepted": True}
        with Orthanc(overrides=settings) as archive, tempfile.TemporaryDirectory() as scratch:
            os.makedirs(f"{scratch}/sources")
            write_small_frames(f"{scratch}/sources")
            folders = [f"{scratch}/sources", f"{ROOT}/samples-dicom/lge"]
            peers = "".join(PEERS.format(name, name.upper(), archive.dicom_port) for name in ("ohif", "slicer", "labelmap"))
            with Node(archive.dicom_port, routes=ROUTES.replace("TYPE", kind), peers=peers) as node:
                Sender(node.port).send([read_anything(path) for path in files(folders)], keep_trying=20)
                states = node.settle(180)
                report.expect_nothing_dead(states)
            paths = archive.save_segmentations(f"{scratch}/seg")
            found, wrong = check_folder(paths, folders)
            for failure in wrong:
                report.expect(False, failure)
            seen = set()
            for path in paths:
                data = pydicom.dcmread(path, stop_before_pixels=True)
                shared = data.SharedFunctionalGroupsSequence[0] if "SharedFunctionalGroupsSequence" in data else {}
                seen.add((data.Rows, data.SegmentationType, "FrameOfReferenceUID" in data,
                          "PlaneOrientationSequence" in shared))
            rows = pydicom.dcmread(files([folders[1]])[0]).Rows
            expected = {(rows, kind.upper(), True, True), (101, "BINARY", False, False), (101, "BINARY", False, True),
                        (101, "BINARY", True, True), (101, "LABELMAP", False, True)}
            report.expect(seen == expected, f"(rows, type, frame of reference, plane orientation): {sorted(seen)}")
            report.line(f"{kind}: {len(found)} SEG passed, frames {[one['frames'] for one in found]}")
    report.end()


if __name__ == "__main__":
    main()
