#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends files that take a worker seconds each (deflated data sets of 250 MiB) and files with impossible numbers.

The check passes if the series of other associations and peers close within seconds, although most of the slow files
still wait, if no worker dies, and if the node stops within ten seconds.
"""

import os
import struct
import sys
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from hostile import element, identity
from node import ROOT, Node
from processes import free_port, wait_until
from report import Report
from send import Instance, Sender, files, read_anything
from wire import EXPLICIT_LITTLE, SECONDARY_CAPTURE, new_uid

DEFLATED = "1.2.840.10008.1.2.1.99"
SLOW, SIZE = 12, 250 << 20
# As long as the index work of the slow files would take, far less than it took when they were first in one queue.
PROMPT = 10


def image(uid, series, more=()):
    """The elements of a small image up to its pixels; `more` replaces elements."""
    elements = {
        0x0020000D: ("UI", b"1.2.826.1"), 0x0020000E: ("UI", series.encode()), 0x00280002: ("US", struct.pack("<H", 1)),
        0x00280004: ("CS", b"MONOCHROME2 "), 0x00280010: ("US", struct.pack("<H", 8)),
        0x00280011: ("US", struct.pack("<H", 8)), 0x00280100: ("US", struct.pack("<H", 16)),
        0x00280101: ("US", struct.pack("<H", 16)), 0x00280103: ("US", struct.pack("<H", 0))}
    elements.update(more)
    return identity(SECONDARY_CAPTURE, uid) + b"".join(
        element(tag, vr.encode(), value) for tag, (vr, value) in sorted(elements.items()))


def deflated(data, flush):
    """Deflates bytes as a part of a stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(flush)


def main():
    report = Report("fair index work")
    other = "  - {name: other, aeTitle: OTHER, from: [127.0.0.0/8], may: [store, echo]}\n"
    with Node(free_port(), peers=other, waits_at_most=5) as node:
        pixels = b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", SIZE)
        zeros = deflated(bytes(SIZE), zlib.Z_FINISH)
        slow = []
        for _ in range(SLOW):
            uid = new_uid()
            head = deflated(image(uid, "1.2.826.1.1") + pixels, zlib.Z_FULL_FLUSH)
            slow.append(Instance(SECONDARY_CAPTURE, uid, DEFLATED, head + zeros))
        odd = []
        for tag, vr, value in ((0x00280101, "IS", b"-9223372036854775808"), (0x00280100, "SL", b"\xff\xff\xff\xff"),
                               (0x00280010, "UL", b"\xff\xff\xff\xff"), (0x00200013, "IS", b"-9223372036854775808"),
                               (0x00280008, "IS", b"9223372036854775807 "), (0x00280102, "IS", b"-9223372036854775808")):
            uid = new_uid()
            data = image(uid, "1.2.826.1.2", {tag: (vr, value)}) + b"\xe0\x7f\x10\x00OW\0\0\x80\0\0\0" + bytes(128)
            odd.append(Instance(SECONDARY_CAPTURE, uid, EXPLICIT_LITTLE, data))
        report.expect(Sender(node.port, answer_within=60).send(slow), "the slow files were not acknowledged")
        report.expect(Sender(node.port).send(odd), "the odd files were not acknowledged")
        begin = time.monotonic()
        for calling, sample in (("TEST", "unrouted"), ("OTHER", "lge")):
            sent = [read_anything(path) for path in files([f"{ROOT}/samples-dicom/{sample}"]) if path.endswith(".dcm")]
            report.expect(Sender(node.port, calling=calling).send(sent), f"{sample} was not acknowledged")
        closed = lambda: node.query(
            "SELECT count(*) FROM series WHERE state = 'closed' AND seriesInstanceUID NOT LIKE '1.2.826.1.%'")[0][0]
        opened = lambda: node.query("SELECT count(*) FROM series WHERE seriesInstanceUID NOT LIKE '1.2.826.1.%'")[0][0]
        wait_until(lambda: closed() >= 2 and closed() == opened(), 120, "the series of the others to close")
        seconds = time.monotonic() - begin
        left = node.states()["instances"].get("received", 0)
        report.line(f"{closed()} series of others closed after {seconds:.1f} s; {left} of {SLOW} slow files still wait")
        report.expect(seconds < PROMPT, f"the others waited {seconds:.0f} s; at most {PROMPT} s are right")
        with open(f"{node.folder}/node.log") as log:
            report.expect("worker lost" not in log.read(), "a worker died")
        _, seconds = node.stop()
        report.expect(seconds < 10, f"the stop took {seconds:.0f} s")
    report.end()


if __name__ == "__main__":
    main()
