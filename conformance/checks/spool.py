#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loses the database, puts an older one back, names somebody's folder as a spool, and copies a running spool.

The check passes if no received file is lost, if the node says what it found, and if it changes nothing outside its spool.
"""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from node import ROOT, Node
from processes import PeerError, free_port
from report import Report
from send import Sender, files, read_anything


def received_files(spool):
    return sorted(name for _, _, names in os.walk(f"{spool}/instances") for name in names)


def lose_database(report, node, instances):
    """Puts back no database, and then one that knows half of the instances."""
    half = len(instances) // 2
    older = f"{node.folder}/older.sqlite"
    for copy, expected in ((None, half), (older, len(instances))):
        if copy:
            # The copy of a stopped node is whole without the write-ahead log.
            shutil.copy(f"{node.spool}/kontur.sqlite", older)
            node.start()
        Sender(node.port).send(instances[:expected], keep_trying=20)
        node.stop()
        before = received_files(node.spool)
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(f"{node.spool}/kontur.sqlite{suffix}"):
                os.remove(f"{node.spool}/kontur.sqlite{suffix}")
        if copy:
            shutil.copy(copy, f"{node.spool}/kontur.sqlite")
        node.start()
        report.expect(received_files(node.spool) == before, "received files disappeared with the database")
        report.expect(len(node.stored_uids()) == expected, f"{len(node.stored_uids())} rows instead of {expected}")
        behind = node.json("status")["databaseBehind"]
        report.expect(behind and ("an older copy" if copy else "was missing") in behind["reason"], f"status: {behind}")
        report.expect_whole_trail(node)
        node.stop()


def refuse_folder(report, folder):
    """Starts a node in a folder that holds other files."""
    with_files = Node(free_port(), folder=folder)
    for path in ("work/thesis.tex", "derived/results/table.csv", "instances/a/b/scan.dcm"):
        os.makedirs(os.path.dirname(f"{with_files.spool}/{path}"), exist_ok=True)
        with open(f"{with_files.spool}/{path}", "w") as file:
            file.write("precious")
    os.chmod(with_files.spool, 0o755)
    listing = lambda: [(place, sorted(names)) for place, _, names in os.walk(with_files.spool)]
    before = listing()
    status, output, errors = with_files.check_configuration()
    report.expect(status == 1 and "is not a spool of Kontur" in output + errors, f"config check: {output} {errors}")
    try:
        with_files.start(timeout=10)
        report.expect(False, "the node started in somebody's folder")
    except PeerError:
        pass
    with_files.stop()
    report.expect(listing() == before, f"somebody's folder was changed: {listing()}")
    report.expect(os.stat(with_files.spool).st_mode & 0o777 == 0o755, "somebody's folder has another mode")


def back_up(report, node, instances):
    """Copies the spool of a running node, and starts another node with the copy."""
    node.start()
    copy = Node(free_port(), folder=f"{node.folder}/second")
    status, output, errors = node.run("spool", "backup", copy.spool)
    report.expect(status == 0, f"spool backup: {output} {errors}")
    status, _, _ = node.run("spool", "backup", copy.spool)
    report.expect(status != 0, "a second copy was made over the first one")
    node.stop()
    copy.start()
    report.expect(copy.stored_uids() == {one.instance_uid for one in instances}, "the copy lacks instances")
    with open(f"{copy.folder}/node.log") as log:
        lines = [line for line in log if "adopted" in line or "quarantine" in line or "missing" in line]
    report.expect(not lines, f"the copy did not start clean: {lines}")
    report.expect_stopped(copy.stop())


def main():
    report = Report("spool")
    instances = [read_anything(path) for path in files([f"{ROOT}/samples-dicom/lge"])]
    with Node(free_port(), quiet=600, waits_at_most=900) as node:
        lose_database(report, node, instances)
        os.makedirs(f"{node.folder}/somebody")
        refuse_folder(report, f"{node.folder}/somebody")
        os.makedirs(f"{node.folder}/second")
        back_up(report, node, instances)
    report.end()


if __name__ == "__main__":
    main()
