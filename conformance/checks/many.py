#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Expects `kontur status` to answer within 200 ms with 100,000 instances in the spool.

The check sends `--sent` instances over eight associations at once. It copies rows in the database for the rest, because
sending all of them takes minutes (`--sent 100000` does it).
"""

import argparse
import os
import sqlite3
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from hostile import element, identity
from node import Node, executable
from processes import free_port
from report import Report
from send import Instance, Sender
from wire import EXPLICIT_LITTLE, SECONDARY_CAPTURE, new_uid

ASSOCIATIONS = 8
STATUS_WITHIN = 0.2
IN_ONE_SERIES = 500


def small_instance(study, series, number):
    """A Secondary Capture Image of 2 x 2 pixels."""
    uid = new_uid()
    data = identity(SECONDARY_CAPTURE, uid) + element(0x00080060, b"CS", b"OT")
    data += element(0x00100020, b"LO", b"MANY") + element(0x0020000D, b"UI", study.encode())
    data += element(0x0020000E, b"UI", series.encode()) + element(0x00200013, b"IS", str(number).encode())
    for tag, value in ((0x00280002, 1), (0x00280010, 2), (0x00280011, 2), (0x00280100, 8), (0x00280101, 8),
                       (0x00280102, 7), (0x00280103, 0)):
        if tag == 0x00280010:
            data += element(0x00280004, b"CS", b"MONOCHROME2")
        data += element(tag, b"US", struct.pack("<H", value))
    data += struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 4) + struct.pack("<I", number)
    return Instance(SECONDARY_CAPTURE, uid, EXPLICIT_LITTLE, data)


def send_part(port, count, failures):
    """Sends `count` instances as series of one study. Appends to `failures` if the node does not take them all."""
    study = new_uid()
    sent = 0
    while sent < count:
        batch = min(IN_ONE_SERIES, count - sent)
        series = new_uid()
        sender = Sender(port)
        if not sender.send([small_instance(study, series, index) for index in range(batch)], keep_trying=60):
            failures.append(f"{len(sender.acknowledged)} of {batch} acknowledged")
            return
        sent += batch


def copy_rows(node, count):
    """Fills the database of a stopped node up to `count` instances. Returns the number of instances after that."""
    database = sqlite3.connect(f"{node.spool}/kontur.sqlite")
    present = database.execute("SELECT count(*) FROM instance").fetchone()[0]
    for table, key in (("instance", "id"), ("instanceHeader", "instanceId")):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        values = [f"{key} + n * 1000000" if column == key else
                  f"{column} || '.' || n" if column == "sopInstanceUID" else column for column in columns]
        database.execute(f"""
            WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < ?)
            INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table}, copy""",
            (count // present - 1,))
    database.commit()
    filled = database.execute("SELECT count(*) FROM instance").fetchone()[0]
    database.close()
    return filled


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="instances in the spool")
    parser.add_argument("--sent", type=int, default=2_000, help="how many of them are sent")
    options = parser.parse_args()
    report = Report("many instances")
    with Node(free_port()) as node:
        failures = []
        begin = time.monotonic()
        threads = [threading.Thread(target=send_part, args=(node.port, options.sent // ASSOCIATIONS, failures))
                   for _ in range(ASSOCIATIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report.expect(not failures, f"sending failed: {failures[:2]}")
        seconds = time.monotonic() - begin
        report.line(f"{options.sent} instances in {seconds:.0f} s: {options.sent / seconds:.0f}/s")
        states = node.settle(900)
        report.line(f"settled {time.monotonic() - begin:.0f} s after the first instance: {states['instances']}")
        if options.count > options.sent:
            node.stop()
            report.line(f"{copy_rows(node, options.count)} instances in the journal")
            node.start()
        times = []
        for _ in range(7):
            begin = time.monotonic()
            command = [executable(), "status", "--config", node.configuration]
            done = subprocess.run(command, capture_output=True, timeout=60)
            times.append(time.monotonic() - begin)
            report.expect(done.returncode == 0, f"kontur status: {done.stderr[-200:]}")
        # The fastest run counts, because other programs may slow down the others.
        report.line(f"kontur status: {min(times) * 1000:.0f} ms, fastest of {len(times)}")
        report.expect(min(times) < STATUS_WITHIN, "kontur status is too slow")
        report.line(f"node: {node.process.resident() / 10**6:.0f} MB resident")
    report.end()


if __name__ == "__main__":
    main()
