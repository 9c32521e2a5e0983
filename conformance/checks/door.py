#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls a node as peers with large requests and small PDUs do, and as strangers who want to use it up.

The node has 1,024 descriptors. The check passes if pynetdicom's largest request is accepted, no response is longer than
the caller's maximum, and a stranger who keeps rejected connections open does not cost a peer an instance or an
association. What strangers do fills neither the log nor the trail, and the counts are complete. An archive that takes
only Implicit VR Little Endian in PDUs of at most 1,024 bytes gets its SEG.
"""

import collections
import multiprocessing
import os
import socket
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import wire
from hostile import STORAGE, identity
from node import ROOT, Node
from processes import free_port, wait_until
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, StoragePresentationContexts, evt
from report import Report
from send import Sender, files, read_anything

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
DESCRIPTORS = 1024


def check_large_request(report, node):
    """128 presentation contexts with all transfer syntaxes: more than 64 KiB."""
    caller = AE("TEST")
    classes = [context.abstract_syntax for context in StoragePresentationContexts]
    classes += [f"1.2.826.0.1.3680043.9.3811.9.{index}" for index in range(128)]
    for abstract in classes[:128]:
        caller.add_requested_context(abstract, AllTransferSyntaxes)
    association = caller.associate("127.0.0.1", node.port, ae_title="KONTUR")
    accepted = len(association.accepted_contexts) if association.is_established else 0
    report.line(f"a request of 128 contexts: {accepted} accepted")
    report.expect(accepted == 128, f"{accepted} of 128 contexts were accepted")
    if association.is_established:
        association.release()


def check_small_pdus(report, node):
    """Responses in PDUs that the caller takes."""
    for maximum in (8, 128, 1000):
        with wire.Association(node.port, [(wire.VERIFICATION, [wire.IMPLICIT_LITTLE])], max_pdu=maximum) as association:
            sizes, read = [], association.read_pdu
            association.read_pdu = lambda: sizes.append(read()) or sizes[-1]
            status = association.echo()
            longest = max(len(body) for kind, body in sizes if kind == 4)
            report.expect(status == 0 and longest <= maximum, f"maximum {maximum}: status {status}, PDU of {longest}")


def keep_open(port, stop):
    """Calls as a stranger, again and again, and keeps the rejected connections open."""
    held, request = collections.deque(), wire.associate_request("NOBODY", "KONTUR", STORAGE)
    while not stop.is_set():
        try:
            connection = wire.connect(port, timeout=2)
            connection.sendall(request)
            held.append(connection)
        except OSError:
            time.sleep(0.01)
        while len(held) > 900:
            held.popleft().close()


def check_strangers(report, node, seconds=4):
    """A peer stores and calls while strangers keep connections open."""
    stop = multiprocessing.Event()
    strangers = [multiprocessing.Process(target=keep_open, args=(node.port, stop), daemon=True) for _ in range(2)]
    with wire.Association(node.port, STORAGE) as association:
        for stranger in strangers:
            stranger.start()
        begin, found, most = time.monotonic(), collections.Counter(), 0
        while time.monotonic() - begin < seconds:
            uid, context = wire.new_uid(), association.context(wire.SECONDARY_CAPTURE, wire.EXPLICIT_LITTLE)
            data = identity(wire.SECONDARY_CAPTURE, uid)
            found[f"status {association.store(context, wire.SECONDARY_CAPTURE, uid, data):04X}"] += 1
            try:
                found[f"echo {wire.echo(node.port):04X}"] += 1
            except (OSError, wire.Closed, wire.Rejected) as error:
                found[f"echo {error}"] += 1
            most = max(most, len(os.listdir(f"/proc/{node.serving()}/fd")))
        stop.set()
        for stranger in strangers:
            stranger.join(10)
    report.line(f"beside strangers: {dict(found)}; at most {most} descriptors")
    report.expect(set(found) == {"status 0000", "echo 0000"}, f"beside strangers: {dict(found)}")
    report.expect(most < DESCRIPTORS, f"{most} descriptors were open")


def rejected(node):
    """The number of rejected callers in the trail."""
    shown = node.json("audit", "show", "--event", "associationRejected", "--last", "1000")
    return sum(record.get("count") or 1 for record in shown["records"])


def check_reports(report, node, calls=1000):
    """Malformed requests of a stranger and of a peer, and bytes that are not DICOM."""
    size = os.path.getsize(node.process.log)
    malformed = wire.associate_request("TEST", "KONTUR", STORAGE)[:74]
    malformed = malformed[:2] + struct.pack(">I", 76) + malformed[6:] + b"\x20\0\xff\xff0000"
    for data in (malformed, malformed.replace(b"TEST  ", b"NOBODY"), b"GET / HTTP/1.1\r\n\r\n"):
        for _ in range(calls):
            try:
                with wire.connect(node.port, timeout=5) as connection:
                    connection.sendall(data)
                    connection.recv(100)
            except OSError:
                continue
    grown = os.path.getsize(node.process.log) - size
    report.line(f"{3 * calls} malformed requests: {grown} bytes in the log")
    report.expect(grown < 20_000, f"{grown} bytes in the log")


class SmallArchive:
    """pynetdicom as an archive that takes only Implicit VR Little Endian, in PDUs of at most 1,024 bytes."""

    def __init__(self):
        self.got, self.longest = [], 0
        self.port = free_port()
        archive = AE("ORTHANC")
        archive.maximum_pdu_size = 1024
        archive.add_supported_context(SEGMENTATION, [wire.IMPLICIT_LITTLE])
        self.server = archive.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[
            (evt.EVT_C_STORE, self.take), (evt.EVT_PDU_RECV, self.measure)])

    def take(self, event):
        self.got.append(event.dataset)
        return 0xB000

    def measure(self, event):
        if type(event.pdu).__name__ == "P_DATA_TF":
            self.longest = max(self.longest, event.pdu.pdu_length)


def main():
    report = Report("door")
    archive = SmallArchive()
    with Node(archive.port, before=["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]) as node:
        # prlimit becomes the node: it does not stay its parent.
        node.before, node.serving = [], lambda: node.process.pid
        check_large_request(report, node)
        check_small_pdus(report, node)
        Sender(node.port).send([read_anything(path) for path in files([f"{ROOT}/samples-dicom/colonoscopy"])])
        check_strangers(report, node)
        check_reports(report, node)
        wait_until(lambda: archive.got, 60, "a SEG in the archive", 0.2)
        report.line(f"the archive got {len(archive.got)} SEG, longest PDU {archive.longest}")
        report.expect(archive.longest <= 1024, f"a PDU of {archive.longest} bytes was sent")
        report.expect(all(len(data.SegmentSequence) == 1 for data in archive.got), "a SEG cannot be read")
        sent = node.json("audit", "show", "--event", "deliverySent")["records"]
        report.expect(any("B000" in (record.get("reason") or "") for record in sent), "the warning is not in the trail")
        before = rejected(node)
        report.expect_stopped(node.stop())
        node.process = None
        report.line(f"rejected callers in the trail: {before} before the stop, {rejected(node)} after")
        report.expect(rejected(node) > 3000, "callers are missing in the counts")
    archive.server.shutdown()
    report.end()


if __name__ == "__main__":
    main()
