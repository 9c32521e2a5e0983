#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the node (kill -9) while a PACS sends, corrects, moves and repeats studies, and while retention runs beside it.

A model holds what the PACS has: per study its patient, its series and their instances. The check passes if at the end
the newest SEG of every series names the patient of its study and refers to all its images, and if every instance that
was acknowledged within its keep time is on disk.

    kept.py --kills 30 --series 5 --slices 100 --quiet 6 --sweep --seed 1
"""

import argparse
import copy
import io
import os
import random
import shutil
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import pydicom
from pydicom.uid import generate_uid

from kills import kill_often, write_series
from node import Node
from orthanc import Orthanc
from report import Report
from send import Instance, Sender, files

# Retention sweeps a minute after each start.
SWEEP = 60


class Study:
    """A study of one series, as the PACS has it."""

    def __init__(self, datasets):
        self.datasets = datasets
        # Earlier series of the same images, which they have left.
        self.left = set()

    @property
    def series(self):
        return str(self.datasets[0].SeriesInstanceUID)

    @property
    def patient(self):
        return str(self.datasets[0].PatientID)

    @property
    def uids(self):
        return {str(one.SOPInstanceUID) for one in self.datasets}

    def correct(self, patient):
        """Gives the study another patient."""
        for one in self.datasets:
            one.PatientID, one.PatientName = patient, f"Case^{patient}"

    def move(self):
        """Moves the images into a new study and series; their SOP Instance UIDs stay."""
        self.left.add(self.series)
        study, series = generate_uid(None), generate_uid(None)
        for one in self.datasets:
            one.StudyInstanceUID, one.SeriesInstanceUID = study, series

    def instances(self):
        """What a C-STORE needs, with the data sets as they are now."""
        found = []
        for one in self.datasets:
            buffer = io.BytesIO()
            body = copy.copy(one)
            pydicom.dcmwrite(buffer, body, enforce_file_format=True)
            meta = one.file_meta
            data = buffer.getvalue()
            length = 132 + 12 + pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True) \
                .file_meta.FileMetaInformationGroupLength
            found.append(Instance(str(one.SOPClassUID), str(one.SOPInstanceUID), str(meta.TransferSyntaxUID),
                                  data[length:]))
        return found


class Pacs:
    """Sends studies, and remembers when the node acknowledged each instance last."""

    def __init__(self, port, report):
        self.port, self.report = port, report
        self.acknowledged = {}

    def send(self, instances, slowly=0):
        sender = Sender(self.port, answer_within=3)

        def note(one, status):
            if status == 0:
                self.acknowledged[one.instance_uid] = time.monotonic()
            time.sleep(slowly)

        if not sender.send(instances, 300, on_answer=note):
            self.report.expect(False, f"{len(instances) - len(sender.acknowledged)} instances were not acknowledged")


def work(pacs, studies, source, slowly, pause):
    """Sends every study, and corrects, moves and repeats some of them, in random order.

    A `pause` of seconds lets some series close, and some SEGs reach the archive, before the next change.
    """
    todo = [(study, "send") for study in studies]
    source.shuffle(todo)
    later = [(study, source.choice(["correct", "move", "repeat", "correct back"])) for study in studies for _ in (1, 2)]
    source.shuffle(later)
    for number, (study, what) in enumerate(todo + later):
        before = study.patient
        if source.random() < 0.4:
            time.sleep(pause)
        if what == "correct":
            study.correct(f"PATIENT{number}")
        elif what == "correct back":
            study.correct(f"WRONG{number}")
            pacs.send(study.instances(), slowly)
            study.correct(before)
        elif what == "move":
            study.move()
        instances = study.instances()
        source.shuffle(instances)
        if what == "repeat":
            instances = instances[:len(instances) // 2]
        pacs.send(instances, slowly)


def check_archive(report, archive, studies):
    """Expects that the newest SEG of every series is the right one."""
    folder = tempfile.mkdtemp(prefix="kontur-kept-seg-")
    found, replaced = {}, set()
    try:
        for path in archive.save_segmentations(folder):
            data = pydicom.dcmread(path, stop_before_pixels=True)
            # The source series comes first; series of replaced SEGs follow.
            source = data.ReferencedSeriesSequence[0]
            named = {item.ReferencedSOPInstanceUID for item in source.ReferencedInstanceSequence}
            for one in data.get("PredecessorDocumentsSequence", []):
                for series in one.ReferencedSeriesSequence:
                    replaced |= {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}
            made = (str(data.ContentDate), str(data.ContentTime), str(data.InstanceCreationDate),
                    str(data.InstanceCreationTime))
            found.setdefault(source.SeriesInstanceUID, []).append(
                (made, str(data.SOPInstanceUID), str(data.PatientID), named))
    finally:
        shutil.rmtree(folder)
    for study in studies:
        segs = sorted(found.get(study.series, []))
        if not report.expect(segs, f"series ...{study.series[-6:]} does not have a SEG"):
            continue
        newest = [one for one in segs if one[1] not in replaced] or segs[-1:]
        _, uid, patient, named = newest[-1]
        report.expect(patient == study.patient, f"the newest SEG ...{uid[-6:]} names {patient}, not {study.patient}")
        report.expect(named == study.uids, f"the newest SEG ...{uid[-6:]} refers to {len(named)} of "
                                           f"{len(study.uids)} images")
    report.line(f"archive: {[(len(segs)) for segs in found.values()]} SEGs by series")


def check_kept(report, node, pacs, studies, keep, source):
    """Sends half a study again right before a sweep, and expects it whole after the sweep."""
    node.stop()
    time.sleep(1)
    node.start()
    started = time.monotonic()
    study = source.choice(studies)
    time.sleep(max(0, SWEEP - 8 - (time.monotonic() - started)))
    pacs.send(study.instances()[:len(study.uids) // 2])
    time.sleep(max(0, SWEEP + 10 - (time.monotonic() - started)))
    now = time.monotonic()
    inside = {uid for uid, then in pacs.acknowledged.items() if now - then < keep - 2}
    missing = inside - node.stored_uids()
    report.expect(inside, "no instance is inside its keep time")
    report.expect(not missing, f"{len(missing)} of {len(inside)} instances inside their keep time are gone")
    report.expect(not node.damaged_files(), f"files missing or different: {node.damaged_files()[:3]}")
    report.line(f"{len(inside)} instances inside their keep time, {len(node.stored_uids())} stored")
    pacs.send(study.instances()[len(study.uids) // 2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=5, help="number of kills")
    parser.add_argument("--series", type=int, default=2, help="number of series to send")
    parser.add_argument("--slices", type=int, default=40, help="slices per series")
    parser.add_argument("--quiet", type=int, default=4, help="the node's series.quietSeconds")
    parser.add_argument("--pause", type=float, default=3, help="longest time between two kills, in seconds")
    parser.add_argument("--sweep", action="store_true", help="wait for sweeps, and send half a study before one")
    parser.add_argument("--keep", type=int, default=40, help="with --sweep: the keep times, in seconds")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("KONTUR_SEED", "1")), help="seed of everything")
    options = parser.parse_args()
    report = Report(f"kept, seed {options.seed}")
    source = random.Random(options.seed)
    scratch = tempfile.mkdtemp(prefix="kontur-kept-")
    keep = "{{done: {0}s, unmatched: {0}s, quarantined: {0}s}}".format(options.keep) if options.sweep else None
    try:
        write_series(scratch, options.series, options.slices)
        studies = [Study([pydicom.dcmread(path) for path in files([f"{scratch}/{name}"])])
                   for name in sorted(os.listdir(scratch))]
        with Orthanc() as archive, Node(archive.dicom_port, quiet=options.quiet, keep=keep) as node:
            pacs = Pacs(node.port, report)
            slowly = options.kills * options.pause / 2 / (options.series * options.slices * 3)
            sending = threading.Thread(target=work, args=(pacs, studies, source, slowly, options.quiet + 4))
            sending.start()
            kills = kill_often(node, "node", options.kills, random.Random(options.seed), options.pause)
            sending.join(600)
            report.expect(not sending.is_alive(), "the PACS is still sending after ten minutes")
            report.expect(kills == options.kills, f"{kills} kills instead of {options.kills}")
            states = node.settle(options.quiet * 8 + 420)
            report.line(f"states: {states}")
            report.expect_nothing_dead(states)
            check_archive(report, archive, studies)
            if options.sweep:
                check_kept(report, node, pacs, studies, options.keep, source)
                node.settle(options.quiet * 8 + 420)
                check_archive(report, archive, studies)
            else:
                missing = set(pacs.acknowledged) - node.stored_uids()
                report.expect(not missing, f"{len(missing)} acknowledged instances are missing")
                report.expect(not node.damaged_files(), f"files missing or different: {node.damaged_files()[:3]}")
            report.expect_whole_trail(node)
            if report.failures:
                report.line(node.process.tail(40))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report.end()


if __name__ == "__main__":
    main()
