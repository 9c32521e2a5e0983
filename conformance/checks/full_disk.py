#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills the disk of a node to its last byte (a tmpfs), and looks at the node, running, killed and stopped.

The check passes if `status`, `jobs list`, `audit show` and `audit verify` work each time and do not leave a file behind,
and if a start on the full disk deletes what keep times allow. It needs root and is skipped (status 77) otherwise.
"""

import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from node import ROOT, Node
from processes import free_port, wait_until
from report import Report
from send import Sender, files, read_anything

READING = (("status",), ("jobs", "list"), ("series", "list"), ("audit", "show"), ("audit", "verify"))


def fill(path):
    """Writes a file until the disk does not take another byte. Returns its path."""
    for size in (1 << 20, 4096, 1):
        with open(path, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return path


def check_reading(report, node, situation):
    before = sorted(os.listdir(node.spool))
    for words in READING:
        status, output, errors = node.run(*words)
        report.expect(status == 0, f"{situation}: kontur {' '.join(words)} ended with {status}: {output} {errors}")
    left = sorted(set(os.listdir(node.spool)) - set(before))
    # SQLite may make the index of the write-ahead log, without content.
    left = [name for name in left if not name.endswith(("-shm", "-wal"))]
    report.expect(not left, f"{situation}: {left} were left behind")


def main():
    report = Report("full disk")
    with tempfile.TemporaryDirectory() as scratch:
        if os.geteuid() != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", scratch], capture_output=True).returncode != 0:
            report.skip("a tmpfs cannot be mounted")
        node = Node(free_port(), folder=scratch, minimum_free="0", max_instance="1MiB", routes=" []",
                    keep="{done: 1s, unmatched: 1s, quarantined: 1s}")
        try:
            node.start()
            instances = [read_anything(path) for path in files([f"{ROOT}/samples-dicom/lge"])]
            Sender(node.port).send(instances, keep_trying=20)
            node.settle(60)
            check_reading(report, node, "running, with room")
            filler = fill(f"{scratch}/fill")
            check_reading(report, node, "running, full")
            with tempfile.TemporaryDirectory() as elsewhere:
                status, output, errors = node.run("spool", "backup", f"{elsewhere}/copy")
                report.expect(status == 0 and os.path.exists(f"{elsewhere}/copy/KONTUR-SPOOL"),
                              f"spool backup to another disk ended with {status}: {output} {errors}")
            node.kill()
            check_reading(report, node, "killed, full")
            os.remove(f"{node.spool}/kontur.sqlite-shm")
            fill(filler)
            check_reading(report, node, "killed, full, without the index of the log")
            os.remove(filler)
            node.start()
            report.expect_stopped(node.stop())
            fill(filler)
            check_reading(report, node, "stopped, full")
            report.expect(os.path.exists(f"{node.spool}/reserve"), "the node does not keep a reserve")
            time.sleep(4)
            node.start()
            wait_until(lambda: not node.stored_uids(), 20, "the start to delete what it may")
            left = [name for _, _, names in os.walk(f"{node.spool}/instances") for name in names]
            report.expect(not left, f"{len(left)} files are left after a start on a full disk")
            Sender(node.port).send(instances[:2], keep_trying=20)
            report.expect(len(node.stored_uids()) == 2, "the node does not take instances after it has made room")
            report.expect_whole_trail(node)
            report.expect_stopped(node.stop())
        finally:
            node.stop()
            subprocess.run(["umount", "-l", scratch], capture_output=True)
    report.end()


if __name__ == "__main__":
    main()
