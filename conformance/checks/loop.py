#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Expects that SEGs which return to the node do not start a second generation.

The route accepts everything from the archive, and the archive forwards everything that it receives. The check passes if
the SEGs come back to the node, the node recognises them as its own, and the numbers of SEGs and jobs stop growing.
"""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from hospital import Hospital
from node import ROOT
from processes import wait_until
from report import Report

ROUTES = """
  - name: everything
    when: {callingAeTitle: [ORTHANC]}
    segmenter: polyp-compact
    sendTo: [archive]
"""


def main():
    report = Report("loop")
    with Hospital(routes=ROUTES, skip="") as hospital:
        hospital.archive.upload_tree(f"{ROOT}/samples-dicom/colonoscopy")
        hospital.archive.upload_tree(f"{ROOT}/samples-dicom/unrouted")
        wait_until(hospital.segmentations, 120, "a SEG in the archive", 0.3)
        hospital.node.settle(180)
        first = len(hospital.segmentations())
        came_back = lambda: hospital.node.settle(60)["instances"].get("own", 0) >= first
        wait_until(came_back, 60, "the SEGs to come back", 0.5)
        jobs = hospital.node.settle(60)["jobs"]
        time.sleep(8)
        states = hospital.node.settle(60)
        report.line(f"{first} SEG; states: {states}")
        report.expect(len(hospital.segmentations()) == first, f"{len(hospital.segmentations())} SEG instead of {first}")
        report.expect(states["jobs"] == jobs, f"jobs grew from {jobs} to {states['jobs']}")
    report.end()


if __name__ == "__main__":
    main()
