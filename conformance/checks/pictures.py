#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the pictures with burnt-in contours that a route with `pictures: true` sends beside its SEGs.

The node gets the sample studies and small frames, and is killed a few times meanwhile. One archive is Orthanc; another
one takes SEGs only. The check passes if Orthanc has exactly one object with pictures for each SEG, the pictures pass
`check_pictures`, Orthanc renders each of them, an object that comes back is not segmented, and the other archive has its
SEG while its deliveries of pictures are dead with a reason that names the SOP class. A corrected patient gets pictures
that name the older ones as predecessors, without a second run of the network. `kontur segment --pictures` writes the same
kind of object.
"""

import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import pydicom
from pynetdicom import AE, evt

from check_pictures import PICTURES_STORAGE, check_all
from check_seg import SEGMENTATION_STORAGE, check_folder
from kills import kill_often
from node import ROOT, Node, executable
from orthanc import Orthanc
from processes import free_port, wait_until
from profiles import write_small_frames
from report import Report
from send import Sender, files, read_anything

ROUTES = """
  - name: colonoscopy
    when: {modality: [ES]}
    segmenter: polyp-compact
    pictures: true
    sendTo: [archive, plain]
  - name: left-atrium
    when: {modality: [MR]}
    segmenter: left-atrium-compact
    pictures: true
    sendTo: [archive]
"""
PEER = """\
  - {{name: plain, aeTitle: PLAIN, host: 127.0.0.1, port: {}}}
"""


def start_plain_archive(port, stored):
    """Starts an archive that takes SEGs only. Adds the SOP Instance UID of each to `stored`."""
    def store(event):
        stored.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    entity = AE(ae_title="PLAIN")
    entity.add_supported_context(SEGMENTATION_STORAGE)
    return entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])


def check_deliveries(report, node, segs, plain):
    """Expects that the archive without pictures has its SEGs, and that the reason is clear."""
    dead = [row[0] for row in node.query(
        """SELECT d.why FROM delivery d JOIN derivedInstance o ON o.id = d.derivedInstanceId
        WHERE d.state = 'dead' AND o.sopClassUID = ?""", PICTURES_STORAGE)]
    endoscopic = len(segs) - 1
    report.expect(len(set(plain)) == endoscopic, f"{len(set(plain))} SEG at the plain archive, not {endoscopic}")
    report.expect(len(dead) == endoscopic and all("Secondary Capture" in why or PICTURES_STORAGE in why for why in dead),
                  f"deliveries of pictures that the plain archive refuses: {dead}")
    report.line(f"plain archive: {len(set(plain))} SEG; reason: {dead[:1]}")


def check_correction(report, node, archive, pictures, scratch):
    """Sends the MRI again with another birth date. Expects one object with pictures that replaces the older one."""
    os.makedirs(f"{scratch}/corrected")
    for path in files([f"{ROOT}/samples-dicom/lge"]):
        data = pydicom.dcmread(path)
        data.PatientBirthDate = "19510203"
        data.save_as(f"{scratch}/corrected/{os.path.basename(path)}")
    Sender(node.port).send([read_anything(path) for path in files([f"{scratch}/corrected"])], keep_trying=20)
    wait_until(lambda: node.query("SELECT count(*) FROM job WHERE state = 'done'")[0][0] == len(pictures) + 1, 60,
               "the corrected series to be segmented")
    node.settle(60)
    found = {}
    for modality in ("SEG", "OT"):
        folder = f"{scratch}/after-{modality}"
        paths = [path for one in archive.series(Modality=modality) for path in archive.save_series(one["ID"], folder)]
        found[modality] = [path for path in paths if pydicom.dcmread(path).PatientBirthDate == "19510203"]
    passed, faults = check_all(found["OT"], found["SEG"], [f"{scratch}/corrected"])
    report.expect(len(passed) == len(found["SEG"]) == 1, f"pictures of the corrected patient: {found} {faults}")
    if passed:
        named = pydicom.dcmread(found["OT"][0]).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        older = [pydicom.dcmread(path) for path in pictures]
        expected = [one.SOPInstanceUID for one in older if one.BodyPartExamined == "HEART"]
        report.expect([one.ReferencedSOPInstanceUID for one in named.ReferencedSOPSequence] == expected,
                      "the corrected pictures do not name the older ones")
    why = node.query("SELECT why FROM job WHERE state = 'done' ORDER BY id DESC LIMIT 1")[0][0]
    report.expect("answer reused" in why, f"the corrected series was segmented anew: {why}")


def check_offline(report, scratch):
    """Runs `kontur segment --pictures` on the MRI. Expects pictures that fit the SEG."""
    source, folder = f"{ROOT}/samples-dicom/lge", f"{scratch}/offline"
    done = subprocess.run([executable(), "segment", source, "--output", folder, "--pictures", "--json"],
                          capture_output=True, text=True, timeout=120)
    report.expect(done.returncode == 0, f"kontur segment: {done.stderr}")
    line = json.loads(done.stdout)["stacks"][0]
    passed, faults = check_all([line["capture"]], [line["segmentation"]], [source])
    report.expect(len(passed) == 1 and os.path.dirname(line["capture"]) == folder, f"kontur segment: {faults}")


def main():
    report = Report("pictures")
    plain = []
    port = free_port()
    server = start_plain_archive(port, plain)
    with Orthanc() as archive, tempfile.TemporaryDirectory() as scratch:
        os.makedirs(f"{scratch}/sources")
        write_small_frames(f"{scratch}/sources")
        folders = [f"{scratch}/sources", f"{ROOT}/samples-dicom/colonoscopy", f"{ROOT}/samples-dicom/lge"]
        with Node(archive.dicom_port, routes=ROUTES, peers=PEER.format(port)) as node:
            Sender(node.port).send([read_anything(path) for path in files(folders)], keep_trying=20)
            kill_often(node, "node", 4, random.Random(1), 2.5)
            states = node.settle(180)
            report.line(f"states: {states}")
            report.expect(not states["jobs"].get("dead"), f"dead jobs: {states['jobs']}")
            segs = archive.save_segmentations(f"{scratch}/seg")
            _, wrong = check_folder(segs, folders)
            pictures = [(one, path) for one in archive.series(Modality="OT")
                        for path in archive.save_series(one["ID"], f"{scratch}/pictures")]
            report.expect(len(pictures) == len(segs) > 3, f"{len(pictures)} objects with pictures, {len(segs)} SEG")
            found, faults = check_all([path for _, path in pictures], segs, folders)
            for failure in wrong + faults:
                report.expect(False, failure)
            for one in found:
                report.line(f"{one['pictures']} pictures of {one['columns']} x {one['rows']}: {one['comments']}")
            for series, _ in pictures:
                instance = archive.get(f"/series/{series['ID']}")["Instances"][0]
                for frame in archive.get(f"/instances/{instance}/frames"):
                    image = archive.request("GET", f"/instances/{instance}/frames/{frame}/preview")
                    report.expect(image.startswith(b"\x89PNG"), "Orthanc does not render a picture")
            check_deliveries(report, node, segs, plain)
            before = node.query("SELECT count(*) FROM job")
            Sender(node.port).send([read_anything(path) for _, path in pictures], keep_trying=20)
            wait_until(lambda: node.query("SELECT count(*) FROM instance WHERE state = 'own'")[0][0] == len(pictures),
                       20, "the returned pictures to be recognised")
            report.expect(node.query("SELECT count(*) FROM job") == before, "a returned picture made a job")
            check_correction(report, node, archive, [path for _, path in pictures], scratch)
            report.expect_whole_trail(node)
        check_offline(report, scratch)
    server.shutdown()
    report.end()


if __name__ == "__main__":
    main()
