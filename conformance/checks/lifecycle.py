#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping and a full disk.

One node a spool; SIGTERM and SIGINT end it within 10 s whatever is going on; it is small when idle; without room it
rejects associations for the moment (2/3/2) but answers C-ECHO, and what is too large gets A700 and leaves nothing.
"""

import os
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import make_studies
import wire
from hostile import STORAGE, identity, send_data
from kills import drawn_volume
from node import Node
from orthanc import Orthanc
from processes import free_port, wait_until
from report import Report
from send import Sender, files, read_anything

IDLE_BYTES = 100 * 10**6
STOP_WITHIN = 10


def expect_stop(report, node, what):
    status, seconds = node.stop()
    report.line(f"{what}: stopped with status {status} in {seconds:.1f} s")
    report.expect(status == 0 and seconds < STOP_WITHIN, f"{what}: status {status} after {seconds:.1f} s")


def check_room(report):
    with Node(free_port(), minimum_free="1000000GiB") as node:
        try:
            wire.Association(node.port, STORAGE).release()
            report.expect(False, "an association was accepted without room")
        except wire.Rejected as error:
            report.expect(error.reason == (2, 3, 2), f"without room: {error}")
        report.expect(node.echo() is not None, "no C-ECHO without room")
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
    check_room(report)
    with Node(free_port()) as node:
        status, _, errors = node.run("serve", timeout=20)
        report.expect(status == 1 and errors.strip(), f"a second node ended with status {status}: {errors.strip()}")
        report.line(f"second node: {errors.strip().splitlines()[-1] if errors.strip() else ''}")
        report.expect(node.echo() is not None, "the first node does not answer any more")
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
