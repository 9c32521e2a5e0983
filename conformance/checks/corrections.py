#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Corrects the patient of a study that was segmented and delivered.

The check sends the sample MRI, the same images with another patient, and the first patient again. It passes if each
correction gives one SEG that names its patient and has a UID of its own, if the newer SEG names the older ones as
predecessors, and if no network ran for it. At the end the node forgets the study, as retention makes it do, and gets it
once more: it must send the last SEG again, byte for byte. After that the node forgets the study again, and half of it
comes: it must wait for the rest, and not replace the SEG of the whole.
"""

import glob
import hashlib
import os
import sqlite3
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import pydicom
from pynetdicom import AE, evt

from node import ROOT, Node
from processes import free_port, wait_until
from report import Report
from send import Sender, read_part10

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
ROUTES = """
  - name: left-atrium
    when: {modality: [MR]}
    segmenter: left-atrium-compact
    sendTo: [archive]
"""


class Archive:
    """A storage SCP that keeps the SEGs that it receives."""

    def __init__(self):
        self.received = []
        self.port = free_port()
        entity = AE("ARCHIVE")
        entity.add_supported_context(SEGMENTATION, ["1.2.840.10008.1.2.1"])
        self.server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.keep)])

    def keep(self, event):
        self.received.append(event.dataset)
        return 0x0000


def send(node, patient, part=slice(None)):
    """Sends the sample MRI, or neighbouring slices of it, with another Patient ID and Patient's Name."""
    images = [pydicom.dcmread(path) for path in glob.glob(f"{ROOT}/samples-dicom/lge/*.dcm")]
    images = sorted(images, key=lambda image: image.ImagePositionPatient[2])[part]
    instances = []
    with tempfile.TemporaryDirectory(prefix="kontur-corrections-") as folder:
        for number, image in enumerate(images):
            image.PatientID, image.PatientName = patient, f"{patient}^Corrected"
            image.save_as(f"{folder}/{number}", enforce_file_format=True)
            instances.append(read_part10(f"{folder}/{number}"))
    sender = Sender(node.port, answer_within=60)
    sender.send_once(instances)
    assert len(sender.acknowledged) == len(instances), sender.statuses


def predecessors(seg):
    return [instance.ReferencedSOPInstanceUID
            for study in seg.get("PredecessorDocumentsSequence", [])
            for series in study.ReferencedSeriesSequence for instance in series.ReferencedSOPSequence]


def objects(node):
    """(SOP Instance UID, SHA-256) of each derived object, the first one first."""
    return node.query("SELECT sopInstanceUID, sha256 FROM derivedInstance ORDER BY id")


def forget(node):
    """Deletes the files and rows of the study, and keeps the rows of derived objects, as retention does."""
    database = sqlite3.connect(f"{node.spool}/kontur.sqlite")
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("UPDATE derivedInstance SET path = NULL")
    for table in ("delivery", "job", "stack", "instance", "series"):
        database.execute(f"DELETE FROM {table}")
    database.commit()
    database.close()
    for path in glob.glob(f"{node.spool}/instances/*/*/*") + glob.glob(f"{node.spool}/derived/*/*"):
        os.remove(path)


def main():
    report = Report("corrections")
    archive = Archive()
    with Node(archive.port, archive_title="ARCHIVE", routes=ROUTES) as node:
        for count, patient in enumerate(("FIRST", "SECOND", "FIRST"), 1):
            send(node, patient)
            wait_until(lambda: len(archive.received) >= count, 120, f"SEG {count}", 0.2)
            node.settle(60)
            segs = archive.received
            uids = [seg.SOPInstanceUID for seg in segs]
            report.expect(len(set(uids)) == count == len(uids), f"{len(uids)} SEGs after {count} deliveries: {uids}")
            report.expect(segs[-1].PatientID == patient, f"SEG {count} does not name patient {patient}")
            report.expect(sorted(predecessors(segs[-1])) == sorted(uids[:-1]),
                          f"SEG {count} names {len(predecessors(segs[-1]))} predecessors instead of {count - 1}")
            report.expect(segs[-1].PixelData == segs[0].PixelData, f"SEG {count} has another mask")
            reasons = [row[0] for row in node.query("SELECT why FROM job WHERE state = 'done' ORDER BY id")]
            report.expect(("answer reused" in reasons[-1]) == (count > 1), f"job {count}: {reasons[-1]}")
            report.line(f"patient {patient}: {reasons[-1]}")
        report.expect_whole_trail(node)
        before = objects(node)
        node.stop()
        forget(node)
        node.start()
        send(node, "FIRST")
        wait_until(lambda: len(archive.received) >= 4, 120, "the last SEG again", 0.2)
        node.settle(60)
        report.expect(archive.received[3] == archive.received[2], "the SEG that was sent again differs")
        report.expect(objects(node) == before, "the repeated job made another object")
        for (path, digest) in node.query("SELECT path, sha256 FROM derivedInstance WHERE path IS NOT NULL"):
            with open(f"{node.spool}/{path}", "rb") as file:
                report.expect(hashlib.sha256(file.read()).hexdigest() == digest, "a file is not the recorded object")
        report.line(f"sent again: {node.query('SELECT why FROM job')}")
        send(node, "THIRD")
        wait_until(lambda: len(archive.received) >= 5, 120, "the SEG of another patient", 0.2)
        report.expect(archive.received[4].PatientID == "THIRD", "the last SEG does not name the last patient")
        report.expect(archive.received[4].SOPInstanceUID not in {uid for uid, _ in before},
                      "another patient got the UID of an object that retention forgot")
        node.settle(60)
        node.stop()
        forget(node)
        node.start()
        send(node, "FOURTH", slice(0, 13))
        wait_until(lambda: node.states()["series"].get("setAside"), 60, "the half to be set aside", 0.2)
        report.line(f"half of the study: {node.json('status')['setAside']}")
        report.expect(len(archive.received) == 5, "a SEG of half the study was sent")
        send(node, "FOURTH", slice(13, None))
        wait_until(lambda: len(archive.received) >= 6, 120, "the SEG of the whole study", 0.2)
        sources = archive.received[5].ReferencedSeriesSequence[0].ReferencedInstanceSequence
        report.expect(archive.received[5].PatientID == "FOURTH" and len(sources) == 26,
                      f"the last SEG refers to {len(sources)} images")
    archive.server.shutdown()
    report.end()


if __name__ == "__main__":
    main()
