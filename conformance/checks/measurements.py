#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the measurement reports of routes with `report: true`.

The check sends the sample studies and a colonoscopy without a finding, and kills the node (kill -9) while it works. It
passes if the archive then holds exactly one report for each stack, each report passes `check_measurements`, and the
report of the stack without a finding says so. After that the patient of the MRI is corrected: the new report names the
old one as predecessor, and the new SEG the old SEG. At the end the node forgets the study, as retention makes it do,
and gets it once more: it must make the same objects again, byte for byte.
"""

import glob
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import pydicom

from check_measurements import COMPREHENSIVE_SR, check_reports
from corrections import forget, objects, predecessors
from node import ROOT, Node
from orthanc import Orthanc
from processes import wait_until
from report import Report
from send import Sender, files, read_anything

ROUTES = """
  - name: colonoscopy
    when: {modality: [ES]}
    segmenter: polyp-compact
    report: true
    sendTo: [archive]
  - name: left-atrium
    when: {modality: [MR]}
    segmenter: left-atrium-compact
    report: true
    sendTo: [archive]
"""


def write_study_without_finding(folder):
    """Writes the sample frame without a polyp as a study of its own."""
    image = pydicom.dcmread(f"{ROOT}/samples-dicom/colonoscopy/frame-3-jpeg-no-polyp.dcm")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(image, keyword, pydicom.uid.generate_uid(None))
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(f"{folder}/nothing.dcm")


def write_corrected(folder):
    """Writes the sample MRI with another patient."""
    for path in glob.glob(f"{ROOT}/samples-dicom/lge/*.dcm"):
        image = pydicom.dcmread(path)
        image.PatientID, image.PatientName = "CORRECTED", "Corrected^Patient"
        image.save_as(f"{folder}/{os.path.basename(path)}")


def send(node, folders):
    Sender(node.port).send([read_anything(path) for path in files(folders)], keep_trying=30)


def saved(archive, modality, folder):
    """The files of every series of a modality."""
    return sorted(path for one in archive.series(Modality=modality) for path in archive.save_series(one["ID"], folder))


def check_all(report, archive, scratch, folders, expected, where):
    """Checks every report of the archive. Returns the headers of SEGs and reports."""
    segs, reports = saved(archive, "SEG", f"{scratch}/seg-{where}"), saved(archive, "SR", f"{scratch}/sr-{where}")
    report.expect((len(segs), len(reports)) == expected, f"{where}: {len(segs)} SEGs and {len(reports)} reports")
    found, wrong = check_reports(reports, segs, folders)
    for failure in wrong:
        report.expect(False, f"{where}: {failure}")
    report.line(f"{where}: {len(found)} reports passed, findings {sorted(count for _, count in found)}")
    return [[pydicom.dcmread(path, stop_before_pixels=True) for path in paths] for paths in (segs, reports)]


def main():
    report = Report("measurements")
    with Orthanc(overrides={"DicomCheckCalledAet": False}) as archive, tempfile.TemporaryDirectory() as scratch, \
            Node(archive.dicom_port, routes=ROUTES) as node:
        for name in ("nothing", "corrected"):
            os.makedirs(f"{scratch}/{name}")
        write_study_without_finding(f"{scratch}/nothing")
        write_corrected(f"{scratch}/corrected")
        samples = [f"{ROOT}/samples-dicom/colonoscopy", f"{ROOT}/samples-dicom/lge", f"{scratch}/nothing"]
        send(node, samples)
        # Some jobs are done, others are not, and objects are on their way.
        wait_until(lambda: node.states()["jobs"].get("done"), 60, "the first job to be done", 0.02)
        node.kill()
        node.start()
        report.expect_nothing_dead(node.settle(180))
        segs, reports = check_all(report, archive, scratch, samples, (4, 5), "samples")
        absent = sum("Absent" in str(one) for one in reports)
        report.expect(absent == 1, f"{absent} reports say that the structure is absent")

        send(node, [f"{scratch}/corrected"])
        wait_until(lambda: len(archive.series(Modality="SR")) >= 6, 120, "the report of the corrected patient", 0.2)
        node.settle(60)
        for before, after, kind in zip((segs, reports), (saved(archive, "SEG", f"{scratch}/seg-new"),
                                                         saved(archive, "SR", f"{scratch}/sr-new")), ("SEG", "report")):
            known = {one.SOPInstanceUID for one in before}
            new = [one for one in map(pydicom.dcmread, after) if one.SOPInstanceUID not in known]
            old = [one.SOPInstanceUID for one in before if one.Modality == new[0].Modality and one.StudyInstanceUID ==
                   new[0].StudyInstanceUID]
            report.expect(len(new) == 1 and new[0].PatientID == "CORRECTED", f"{len(new)} new objects: {kind}")
            report.expect(predecessors(new[0]) == old, f"the new {kind} names {len(predecessors(new[0]))} predecessors")

        made = objects(node)
        node.stop()
        forget(node)
        node.start()
        send(node, [f"{scratch}/corrected"])
        wait_until(lambda: node.states()["jobs"].get("done"), 60, "the job after retention", 0.2)
        node.settle(60)
        report.expect(objects(node) == made, "the repeated job made another object")
        classes = [row[0] for row in node.query("SELECT sopClassUID FROM derivedInstance WHERE path IS NOT NULL")]
        report.expect(sorted(classes) == sorted([COMPREHENSIVE_SR, "1.2.840.10008.5.1.4.1.1.66.4"]),
                      f"after retention the node made {len(classes)} objects")
        report.line(f"after retention: {node.query('SELECT why FROM job')}")
        report.expect_whole_trail(node)
    report.end()


if __name__ == "__main__":
    main()
