#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends SEGs, label maps and reports to archives that differ in what they take.

| archive | takes |
|---|---|
| plain | every class, Explicit VR Little Endian |
| implicit | every class, Implicit VR Little Endian alone, PDUs of at most 1,024 bytes |
| labels | the same; its profile is labelmap |
| segs | Segmentation Storage alone |
| nolabels | every class but Label Map Segmentation Storage; its profile is labelmap |

The check passes if each archive has the objects of its classes, all values of what it stored equal the object that Kontur
read back before it was sent, no PDU is longer than the archive takes, and each delivery of a class that an archive does
not take is dead with a reason that names the class.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import pydicom
from pynetdicom import AE, evt

from node import ROOT, Node
from processes import free_port
from report import Report
from send import Sender, files, read_anything
from wire import EXPLICIT_LITTLE, IMPLICIT_LITTLE

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"
NAMES = {SEGMENTATION: "Segmentation Storage", LABEL_MAP: "Label Map Segmentation Storage",
         REPORT: "Comprehensive SR Storage"}

ROUTES = """
  - name: colonoscopy
    when: {modality: [ES]}
    segmenter: polyp-compact
    report: true
    sendTo: [archive, implicit, labels, segs, nolabels]
  - name: left-atrium
    when: {modality: [MR]}
    segmenter: left-atrium-compact
    report: true
    sendTo: [archive, implicit, labels, segs, nolabels]
"""
# A volume and frames of three sizes.
STACKS = 4


class Archive:
    """pynetdicom as a storage SCP. `longest` is the length of the longest P-DATA-TF that it got."""

    def __init__(self, name, classes, syntaxes, profile="strict", maximum=16384):
        self.name, self.classes, self.profile, self.maximum = name, classes, profile, maximum
        self.got, self.longest, self.port = {}, 0, free_port()
        title = AE(name.upper())
        title.maximum_pdu_size = maximum
        for one in classes:
            title.add_supported_context(one, syntaxes)
        self.server = title.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[
            (evt.EVT_C_STORE, self.take), (evt.EVT_PDU_RECV, self.measure)])

    def take(self, event):
        self.got[event.dataset.SOPInstanceUID] = event.dataset
        return 0

    def measure(self, event):
        if type(event.pdu).__name__ == "P_DATA_TF":
            self.longest = max(self.longest, event.pdu.pdu_length)

    def entry(self):
        return (f"  - {{name: {self.name}, aeTitle: {self.name.upper()}, host: 127.0.0.1, port: {self.port}, "
                f"viewerProfile: {self.profile}}}\n")

    def offered(self):
        """The classes that Kontur offers to the archive."""
        return [LABEL_MAP if self.profile == "labelmap" else SEGMENTATION, REPORT]


def difference(stored, sent, place=""):
    """The first element in which two data sets differ, or None. VRs do not count: Implicit VR does not hold them."""
    if stored.keys() - sent.keys() or sent.keys() - stored.keys():
        return f"{place}: one has {sorted(stored.keys() ^ sent.keys())} and the other has not"
    for element in sent:
        at, other = f"{place}/{element.keyword or element.tag}", stored[element.tag]
        if element.VR == "SQ":
            if len(element.value) != len(other.value):
                return f"{at}: {len(other.value)} items instead of {len(element.value)}"
            for index, (one, two) in enumerate(zip(other.value, element.value)):
                if found := difference(one, two, f"{at}[{index}]"):
                    return found
        elif element.value != other.value:
            return f"{at}: the values differ"
    return None


def check_archive(report, node, archive):
    """Compares what an archive got with the objects of the journal."""
    rows = node.query(
        "SELECT o.sopClassUID, o.sopInstanceUID, o.path, d.state, d.why FROM delivery d "
        "JOIN derivedInstance o ON o.id = d.derivedInstanceId WHERE d.peer = ?", archive.name)
    wanted = [uid for uid in archive.offered() if uid in archive.classes]
    for uid in archive.offered():
        own = [row for row in rows if row[0] == uid]
        report.expect(len(own) == STACKS, f"{archive.name}: {len(own)} deliveries of {NAMES[uid]}")
        for _, _, _, state, reason in own:
            if uid in wanted:
                report.expect(state == "sent", f"{archive.name}: {NAMES[uid]} is {state}: {reason}")
            else:
                report.expect(state == "dead" and NAMES[uid] in reason, f"{archive.name}: {state}, {reason}")
    sent = {row[1]: row[2] for row in rows if row[0] in wanted}
    report.expect(archive.got.keys() == sent.keys(), f"{archive.name} has {len(archive.got)} of {len(sent)} objects")
    for uid, path in sent.items():
        if uid in archive.got:
            found = difference(archive.got[uid], pydicom.dcmread(f"{node.spool}/{path}"))
            report.expect(not found, f"{archive.name}: {found}")
    # The length counts what follows the header of the PDU, as Maximum Length does (PS3.8 D.1).
    report.expect(archive.longest <= archive.maximum, f"{archive.name}: a PDU of {archive.longest} bytes")
    report.line(f"{archive.name}: {len(archive.got)} objects, values equal, longest PDU {archive.longest}")


def main():
    report = Report("archives")
    every, implicit = [SEGMENTATION, LABEL_MAP, REPORT], [IMPLICIT_LITTLE]
    archives = [
        Archive("archive", every, [EXPLICIT_LITTLE]),
        Archive("implicit", every, implicit, maximum=1024),
        Archive("labels", every, implicit, "labelmap", maximum=1024),
        Archive("segs", [SEGMENTATION], [EXPLICIT_LITTLE, IMPLICIT_LITTLE]),
        Archive("nolabels", [SEGMENTATION, REPORT], [EXPLICIT_LITTLE], "labelmap"),
    ]
    peers = "".join(archive.entry() for archive in archives[1:])
    with Node(archives[0].port, archive_title="ARCHIVE", routes=ROUTES, peers=peers) as node:
        sources = files([f"{ROOT}/samples-dicom/{study}" for study in ("lge", "colonoscopy")])
        Sender(node.port).send([read_anything(path) for path in sources])
        node.settle(60)
        for archive in archives:
            check_archive(report, node, archive)
        report.expect_whole_trail(node)
        report.expect_stopped(node.stop())
    for archive in archives:
        archive.server.shutdown()
    report.end()


if __name__ == "__main__":
    main()
