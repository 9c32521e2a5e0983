#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Searches a node's output for a patient's name, ID, birth date and the free text of a study.

Good and broken studies with telling values go through a node that logs everything. The check then searches log lines,
file names, audit records, the status and all other output for these values. Only the objects and the headers in the
database may hold them.
"""

import glob
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import pydicom

from node import ROOT, Node
from orthanc import Orthanc
from report import Report
from send import Sender, files, read_anything

TELLING = {"PatientName": "QUISQUOSE^ULYSSES", "PatientID": "PID-77123-X", "PatientBirthDate": "19310203",
           "StudyDescription": "Colonoscopy of a famous person", "SeriesDescription": "LGE of a famous person",
           "AccessionNumber": "ACC991723", "ReferringPhysicianName": "TELLTALE^DOCTOR"}
WORDS = ["QUISQUOSE", "ULYSSES", "77123", "19310203", "famous person", "ACC991723", "TELLTALE"]


def write_studies(folder):
    """Writes the samples with telling values, and broken copies of some."""
    for index, path in enumerate(files([f"{ROOT}/samples-dicom/colonoscopy", f"{ROOT}/samples-dicom/lge"])):
        data = pydicom.dcmread(path)
        for keyword, value in TELLING.items():
            setattr(data, keyword, value)
        data.save_as(f"{folder}/{index:03}.dcm")
        if index % 5 == 0:
            with open(f"{folder}/{index:03}.dcm", "rb") as file:
                whole = file.read()
            uid = data.SOPInstanceUID.encode()
            with open(f"{folder}/{index:03}-broken.dcm", "wb") as file:
                file.write(whole[:len(whole) // 2].replace(uid, uid[:-1] + (b"1" if uid[-1:] != b"1" else b"2")))


def main():
    report = Report("privacy")
    with tempfile.TemporaryDirectory() as scratch, Orthanc() as archive:
        write_studies(scratch)
        with Node(archive.dicom_port) as node:
            Sender(node.port).send([read_anything(path) for path in files([scratch])], keep_trying=5)
            states = node.settle(120)
            report.expect(states["jobs"].get("done") and states["instances"].get("quarantined"), f"states: {states}")
            texts = {"the names of files": "\n".join(glob.glob(f"{node.folder}/**", recursive=True))}
            for command in (["status"], ["jobs", "list"], ["audit", "show"]):
                texts["kontur " + " ".join(command)] = "".join(map(str, node.run(*command, "--json")))
            for table in ("audit", "stack", "job", "delivery", "series", "association"):
                columns = [row[1] for row in node.query(f"PRAGMA table_info({table})") if row[1] != "decision"]
                texts[f"the table {table}"] = str(node.query(f"SELECT {', '.join(columns)} FROM {table}"))
            texts["quarantine reasons"] = str(node.quarantined())
            node.stop()
            for path in glob.glob(f"{node.folder}/**", recursive=True):
                kept = ("/instances/", "/derived/", "/quarantine/", "kontur.sqlite")
                if os.path.isfile(path) and not any(part in path for part in kept):
                    with open(path, errors="replace") as file:
                        texts[os.path.relpath(path, node.folder)] = file.read()
        for name, text in texts.items():
            found = [word for word in WORDS if word.lower() in text.lower()]
            report.expect(not found, f"patient data in {name}: {found}")
        report.line(f"searched: {', '.join(sorted(texts))}")
    report.end()


if __name__ == "__main__":
    main()
