#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts and stops a node, and fills its disk.

The check passes if a second node on the same spool refuses to start, SIGTERM and SIGINT end the node within 10 s in
every situation, and an idle node is small. Without free disk space, the node must reject associations for the moment
(2/3/2) but answer C-ECHO. An instance that is too large must get A700 and leave nothing behind.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import make_studies
import wire
from hostile import STORAGE, identity, send_data
from kills import drawn_volume
from node import Node, executable
from orthanc import Orthanc
from processes import free_port, wait_until
from report import Report
from send import Sender, files, read_anything

IDLE_BYTES = 100 * 10**6


def expect_stop(report, node, situation):
    """Stops the node and expects a clean end in time."""
    ended = node.stop()
    report.line(f"{situation}: stopped with status {ended[0]} in {ended[1]:.1f} s")
    report.expect_stopped(ended, node=f"{situation}: the node")


def check_full_disk(report):
    """A node whose limits cannot hold, a node without free disk space, and a node that gets an instance above its limit."""
    node = Node(free_port(), minimum_free="1000000GiB")
    for command in (["config", "check", node.configuration], ["serve", "--config", node.configuration]):
        done = subprocess.run([executable(), *command], capture_output=True, text=True, timeout=60)
        report.expect(done.returncode == 1 and "spool.minimumFree" in done.stderr,
                      f"limits that the disk can never hold: {command[0]} ended with {done.returncode}")
    node.remove()
    disk = os.statvfs(tempfile.gettempdir())
    size, free = (disk.f_blocks - disk.f_bfree + disk.f_bavail) * disk.f_frsize, disk.f_bavail * disk.f_frsize
    with Node(free_port(), minimum_free=str(min(free, size - (256 << 20)))) as node:
        try:
            wire.Association(node.port, STORAGE).release()
            report.expect(False, "an association was accepted without free disk space")
        except wire.Rejected as error:
            report.expect(error.reason == (2, 3, 2), f"without free disk space: {error}")
        report.expect(node.echo() is not None, "C-ECHO is not answered without free disk space")
        wait_until(lambda: "are free on the spool's disk" in node.process.tail(200), 10, "the figures in the log")
    with Node(free_port(), max_instance="1MiB") as node:
        uid = wire.new_uid()
        large = identity(wire.SECONDARY_CAPTURE, uid) + bytes(2 << 20)
        answer = send_data(node.port, large, instance_uid=uid)
        report.line(f"an instance that is too large: {answer}")
        report.expect(answer.startswith("status A7"), f"an instance that is too large: {answer}")
        left = [name for _, _, names in os.walk(f"{node.spool}/instances") for name in names]
        report.expect(not left and not node.stored_uids(), f"it left {left or 'a row'} behind")


def main():
    report = Report("lifecycle")
    check_full_disk(report)
    with Node(free_port()) as node:
        status, _, errors = node.run("serve", timeout=20)
        report.expect(status == 1 and errors.strip(), f"a second node ended with status {status}: {errors.strip()}")
        report.line(f"second node: {errors.strip().splitlines()[-1] if errors.strip() else ''}")
        report.expect(node.echo() is not None, "the first node stopped answering")
        time.sleep(3)
        report.line(f"idle: {node.process.resident() / 10**6:.0f} MB resident")
        report.expect(node.process.resident() < IDLE_BYTES, "an idle node takes too much memory")

        with wire.Association(node.port, STORAGE) as association:
            association.send_message(1, wire.store_command(wire.SECONDARY_CAPTURE, wire.new_uid()), command=True)
            association.send(wire.pdv(1, bytes(1000), command=False, last=False))
            expect_stop(report, node, "in the middle of a data set")

    with Orthanc() as archive, Node(archive.dicom_port) as node, tempfile.TemporaryDirectory() as scratch:
        volume, spacing = drawn_volume(88)
        make_studies.left_atrium(scratch, "STOP", volume, spacing=spacing)
        Sender(node.port).send([read_anything(path) for path in files([scratch])], keep_trying=20)
        wait_until(lambda: node.states()["jobs"].get("running"), 60, "a running job", 0.05)
        node.process.process.send_signal(signal.SIGINT)
        expect_stop(report, node, "while a job runs")
        states = node.states()["jobs"]
        report.expect(states == {"queued": 1}, f"after the stop: {states}")
        node.start()
        states = node.settle(180)
        report.expect(states["jobs"] == {"done": 1}, f"after the second start: {states['jobs']}")
        report.expect(len(archive.series(Modality="SEG")) == 1, "the SEG did not reach the archive")
        expect_stop(report, node, "idle")
    report.end()


if __name__ == "__main__":
    main()
