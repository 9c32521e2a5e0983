#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job: studies go into an Orthanc, which forwards them by itself, and the SEGs come back to it.

Passes when the archive holds exactly one SEG for each stack that a route takes, each passes `check_seg`, nothing is
dead, and the audit trail verifies. With an argument: those folders instead of the samples, and at least one SEG.
"""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from check_seg import check_folder
from node import ROOT
from processes import wait_until
from report import Report
from hospital import Hospital

# The sample studies: colonoscopy frames of three sizes are three stacks; the LGE series is one.
EXPECTED_STACKS = 4


def main():
    folders = sys.argv[1:] or [f"{ROOT}/samples-dicom"]
    report = Report("forwarding")
    with Hospital() as hospital, tempfile.TemporaryDirectory() as scratch:
        for folder in folders:
            stored, refused = hospital.archive.upload_tree(folder)
            report.line(f"{folder}: {stored} stored by the archive, {refused} refused")
        imaging = hospital.images()
        wait_until(lambda: (hospital.check() or True) and hospital.forwarded() >= len(imaging), 120, "the forwarder")
        states = hospital.node.settle(300)
        report.line(f"states: {states}")
        paths = hospital.save_segmentations(f"{scratch}/seg")
        for one in imaging:
            hospital.archive.save_series(one["ID"], f"{scratch}/sources")
        found, wrong = check_folder(paths, [f"{scratch}/sources"])
        for one in found:
            report.line(f"SEG {one['rows']} x {one['columns']}, {one['frames']} frames of {one['sources']} images, "
                        f"{one['voxels']} voxels compared in place: {one['description']}")
        for failure in wrong:
            report.expect(False, failure)
        if not sys.argv[1:]:
            report.expect(len(paths) == EXPECTED_STACKS, f"{len(paths)} SEG instead of {EXPECTED_STACKS}")
        report.expect(paths, "no SEG came back")
        report.expect(not states["jobs"].get("dead") and not states["deliveries"].get("dead"), "something is dead")
        status, output, errors = hospital.node.run("audit", "verify")
        report.expect(status == 0, f"audit verify: {output} {errors}")
        status, seconds = hospital.stop()
        report.expect(status == 0 and seconds < 10, f"the node ended with status {status} after {seconds:.1f} s")
    report.end()


if __name__ == "__main__":
    main()
