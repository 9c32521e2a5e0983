#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lets the wall clock jump by a year in both directions while a series is open.

The check passes if the series neither closes early nor hangs, and if the jumps are shown until they are confirmed. It
needs libfaketime (Debian: libfaketime) and is skipped (status 77) without it.
"""

import glob
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from node import ROOT, Node
from orthanc import Orthanc
from processes import wait_until
from report import Report
from send import Sender, files, read_anything

QUIET = 6


def set_offset(path, text):
    with open(path + ".new", "w") as file:
        file.write(text + "\n")
    os.replace(path + ".new", path)


def main():
    report = Report("clock")
    # The library for programs with several threads: in them, the other one sometimes answers the true time.
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        report.skip("libfaketime is not installed")
    with tempfile.TemporaryDirectory() as scratch, Orthanc() as archive:
        offset = f"{scratch}/offset"
        set_offset(offset, "+0")
        environment = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1",
                       "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
        # libfaketime changes the environment of the first program that loads it, and a Swift program then does not find
        # its arguments. Therefore `timeout` loads the library first.
        before = ["/usr/bin/timeout", "600"]
        with Node(archive.dicom_port, quiet=QUIET, before=before, environment=environment) as node:
            for jump, sample in (("+365d", "lge"), ("-365d", "colonoscopy")):
                instances = [read_anything(path) for path in files([f"{ROOT}/samples-dicom/{sample}"])]
                half = len(instances) // 2
                closed_before = node.states()["series"].get("closed", 0)
                Sender(node.port).send(instances[:half], keep_trying=20)
                set_offset(offset, jump)
                sent = time.monotonic()
                while time.monotonic() - sent < QUIET - 2:
                    states = node.states()
                    early = states["series"].get("closed", 0) != closed_before
                    if not report.expect(not early, f"{jump}: the series closed early: {states}"):
                        break
                    time.sleep(0.5)
                Sender(node.port).send(instances[half:], keep_trying=20)
                closed = lambda: node.states()["series"].get("closed", 0) == closed_before + 1
                wait_until(closed, QUIET + 20, f"{sample} to close after {jump}")
                states = node.settle(180)
                report.line(f"{jump}: {states}")
                report.expect(node.echo() is not None, f"{jump}: the node does not answer C-ECHO")
            count = len(archive.series(Modality="SEG"))
            report.expect(count == 4, f"{count} SEG instead of 4")
            holds = node.json("status")["clockHolds"]
            report.expect(len(holds) == 2, f"status shows {len(holds)} jumps instead of 2: {holds}")
            report.expect(node.run("spool", "confirm-clock")[0] == 0, "the clock cannot be confirmed")
            report.expect(not node.json("status")["clockHolds"], "the jumps are still shown after the confirmation")
            report.expect_nothing_dead(states)
            report.expect_whole_trail(node)
            report.expect_stopped(node.stop())
    report.end()


if __name__ == "__main__":
    main()
