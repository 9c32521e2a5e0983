#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job: an Orthanc receives studies and forwards them by itself, and the SEGs come back to the Orthanc.

The check passes if the archive holds exactly one SEG for each stack that a route takes, each SEG passes `check_seg`,
all jobs and deliveries succeed, and the audit trail verifies. Arguments name folders to send instead of the samples;
at least one SEG must then come back.
"""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from check_seg import check_folder
from hospital import Hospital
from node import ROOT
from report import Report

# In the sample studies, colonoscopy frames of three sizes form three stacks, and the LGE series forms one.
EXPECTED_STACKS = 4


def main():
    folders = sys.argv[1:] or [f"{ROOT}/samples-dicom"]
    report = Report("forwarding")
    with Hospital() as hospital, tempfile.TemporaryDirectory() as scratch:
        for folder in folders:
            stored, refused = hospital.archive.upload_tree(folder)
            report.line(f"{folder}: {stored} stored by the archive, {refused} refused")
        imaging = hospital.images()
        hospital.wait_until_forwarded(len(imaging), 120)
        states = hospital.node.settle(300)
        report.line(f"states: {states}")
        paths = hospital.archive.save_segmentations(f"{scratch}/seg")
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
        report.expect(paths, "a SEG is missing: the archive did not get any")
        report.expect_nothing_dead(states)
        report.expect_whole_trail(hospital.node)
        report.expect_stopped(hospital.stop())
    report.end()


if __name__ == "__main__":
    main()
