#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No second generation: routes that ask only who is calling, and an archive that forwards back whatever it receives.

Passes when the SEGs came back to the node, were recognised as its own, and neither their number nor the number of jobs
grew any more.
"""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from node import ROOT
from processes import wait_until
from report import Report
from hospital import Hospital

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
        report.expect(len(hospital.segmentations()) == first, f"{len(hospital.segmentations())} SEG after {first}")
        report.expect(states["jobs"] == jobs, f"jobs grew from {jobs} to {states['jobs']}")
    report.end()


if __name__ == "__main__":
    main()
