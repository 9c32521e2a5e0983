#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Storage commitment in both roles, with Orthanc and pynetdicom as peers.

As user, the node asks archives to commit themselves to its SEG objects: to one that reports on the same association, on
a new one, twice, with one object lost, for an unknown transaction, never, and only after the node was killed. As
provider, the node answers truly about what it has and what it does not have, on the same association and on a new one,
also if it was killed between request and report.

    commitment.py                    every part
    commitment.py --parts provider   one of them
"""

import argparse
import collections
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from many import small_instance
from node import ROOT, Node
from orthanc import Orthanc
from processes import PeerError, free_port, wait_until
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE, build_role, evt
from report import Report
from send import Sender, files, read_anything
from wire import EXPLICIT_LITTLE, IMPLICIT_LITTLE, MR_IMAGE, SECONDARY_CAPTURE, new_uid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
PUSH_MODEL, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0112, 0x0119
ROUTE = """
  - name: colonoscopy
    when: {modality: [ES]}
    segmenter: polyp-compact
    sendTo: [%s]
"""


def reference(class_uid, instance_uid, reason=None):
    """One item of a Referenced or Failed SOP Sequence."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def pairs(data, keyword):
    """(SOP class, SOP instance, Failure Reason or `None`) of each item of a sequence."""
    return [(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID), item.get("FailureReason"))
            for item in data.get(keyword, [])]


class Archive:
    """pynetdicom as an archive with storage commitment. `habit` says how it answers requests."""

    def __init__(self, habit, node_port):
        self.habit, self.node_port = habit, node_port
        self.title = f"A{habit.upper()}"
        self.stored, self.requests, self.results = collections.Counter(), [], []
        self.may_report = threading.Event()
        self.port = free_port()
        archive = AE(self.title)
        archive.add_supported_context(SEGMENTATION, [EXPLICIT_LITTLE])
        archive.add_supported_context(PUSH_MODEL, [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
        self.server = archive.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[
            (evt.EVT_C_STORE, self.take), (evt.EVT_N_ACTION, self.asked)])

    def take(self, event):
        self.stored[str(event.request.AffectedSOPInstanceUID)] += 1
        return 0

    def asked(self, event):
        data = event.action_information
        transaction, asked = str(data.TransactionUID), pairs(data, "ReferencedSOPSequence")
        self.requests.append((transaction, asked))
        threading.Thread(target=self.answer, args=(event.assoc, transaction, asked), daemon=True).start()
        return 0, None

    def answer(self, association, transaction, asked):
        kept = asked
        if self.habit == "never":
            return
        if self.habit == "late":
            self.may_report.wait(300)
        if self.habit == "lost":
            # The first object is lost until it comes a second time.
            first = next(iter(self.stored))
            kept = [one for one in asked if one[1] != first or self.stored[first] > 1]
        time.sleep(0.2)
        data = Dataset()
        data.TransactionUID = transaction
        data.ReferencedSOPSequence = Sequence([reference(*one[:2]) for one in kept])
        failed = [reference(*one[:2], NO_SUCH_INSTANCE) for one in asked if one not in kept]
        if failed:
            data.FailedSOPSequence = Sequence(failed)
        if not kept:
            del data.ReferencedSOPSequence
        if self.habit == "unknown":
            self.report(None, data, new_uid())
        for _ in range(2 if self.habit == "twice" else 1):
            self.report(association if self.habit == "same" else None, data, transaction)

    def report(self, association, data, transaction):
        data.TransactionUID = transaction
        kind = 2 if "FailedSOPSequence" in data else 1
        try:
            if association:
                status, _ = association.send_n_event_report(data, kind, PUSH_MODEL, PUSH_INSTANCE)
                self.results.append(("same", status.get("Status")))
                return
            caller = AE(self.title)
            caller.add_requested_context(PUSH_MODEL, [IMPLICIT_LITTLE])
            association = caller.associate("127.0.0.1", self.node_port, ae_title="KONTUR",
                                           ext_neg=[build_role(PUSH_MODEL, scp_role=True)])
            if not association.is_established:
                self.results.append(("new", "rejected" if association.is_rejected else "no association"))
                return
            status, _ = association.send_n_event_report(data, kind, PUSH_MODEL, PUSH_INSTANCE)
            self.results.append(("new", status.get("Status")))
            association.release()
        except Exception as error:
            self.results.append(("failed", str(error)))

    def entry(self):
        """The archive's item under `peers`."""
        return (f"  - {{name: {self.habit}, aeTitle: {self.title}, host: 127.0.0.1, port: {self.port}, "
                "commitment: true}\n")


def deliveries(node, peer=None):
    """The states of the deliveries of each peer, or the set of states of one peer."""
    found = {}
    for name, state in node.query("SELECT peer, state FROM delivery"):
        found.setdefault(name, collections.Counter())[state] += 1
    return found if peer is None else set(found.get(peer, {}))


def events(node, name, peer_title=None):
    """The number of records of an event."""
    rows = node.query("SELECT aeTitle FROM audit WHERE event = ?", name)
    return sum(peer_title in (None, row[0]) for row in rows)


def send_study(node):
    instances = [read_anything(path) for path in files([f"{ROOT}/samples-dicom/colonoscopy"])]
    return Sender(node.port).send(instances, keep_trying=10)


def expect_soon(report, condition, seconds, failure, found=lambda: ""):
    try:
        wait_until(condition, seconds, failure)
    except PeerError:
        report.expect(False, f"{failure}: {found()}")


def check_user(report):
    """The node asks archives with every habit, and Orthanc."""
    port = free_port()
    archives = {habit: Archive(habit, port) for habit in ("same", "new", "twice", "lost", "unknown", "never", "late")}
    orthanc = Orthanc(port)
    node = Node(orthanc.dicom_port, port=port, quiet=1, peers="".join(one.entry() for one in archives.values()),
                archive_settings="commitment: true",
                routes=ROUTE % ", ".join(["archive", *archives]))
    with orthanc, node:
        report.expect(send_study(node), "the study was not taken")
        prompt = {"archive", "same", "new", "twice", "lost", "unknown"}
        expect_soon(report, lambda: all(deliveries(node, one) == {"committed"} for one in prompt), 45,
                    "deliveries are not committed", lambda: deliveries(node))
        expect_soon(report, lambda: archives["never"].requests and archives["late"].requests, 20,
                    "an archive is not asked", lambda: archives["never"].requests)
        report.expect(deliveries(node, "never") <= {"sent"}, f"never answered: {deliveries(node, 'never')}")
        report.expect(deliveries(node, "late") <= {"sent"}, f"not yet answered: {deliveries(node, 'late')}")
        lost = archives["lost"]
        report.expect(sorted(lost.stored.values())[-1] == 2 and sum(lost.stored.values()) == len(lost.stored) + 1,
                      f"the lost object was not sent again once: {list(lost.stored.values())}")
        report.expect(events(node, "deliveryLost", "ALOST") == 1, "the trail does not name the lost object")
        for habit, kind in (("same", "same"), ("new", "new"), ("twice", "new")):
            answers = archives[habit].results
            report.expect(answers and {one[0] for one in answers} == {kind}, f"{habit}: {answers}")
            report.expect(answers and answers[0][1] == 0, f"{habit}: the report was answered with {answers}")
        report.line(f"answers: { {habit: one.results for habit, one in archives.items()} }")
        node.kill()
        # A peer has an hour to answer. This brings the end of the hour forward.
        node.change("UPDATE commitmentRequest SET deadline = 0 WHERE state = 'asked' AND peer = 'never'")
        node.start()
        archives["late"].may_report.set()
        expect_soon(report, lambda: deliveries(node, "late") == {"committed"}, 20,
                    "a report after a kill of the node does not count", lambda: (deliveries(node), archives["late"].results))
        expect_soon(report, lambda: events(node, "commitmentExpired", "ANEVER") and len(archives["never"].requests) > 1,
                    20, "an archive that does not answer is not asked again", lambda: archives["never"].requests)
        for name, states in sorted(deliveries(node).items()):
            report.line(f"{name}: {dict(states)}")
        states = node.states()["deliveries"]
        report.expect(not states.get("dead"), f"dead deliveries: {states}")
        report.expect_whole_trail(node)
        report.expect_stopped(node.stop())
    for one in archives.values():
        one.server.shutdown()


class Asker:
    """pynetdicom as the peer TEST, which asks the node and gets its reports."""

    def __init__(self, node_port):
        self.node_port, self.port = node_port, free_port()
        self.reports, self.server = [], None

    def take(self, event):
        data = event.event_information
        self.reports.append((str(data.TransactionUID), event.event_type,
                             {one[1] for one in pairs(data, "ReferencedSOPSequence")},
                             {one[1]: one[2] for one in pairs(data, "FailedSOPSequence")}))
        return 0, None

    def listen(self):
        peer = AE("TEST")
        peer.add_supported_context(PUSH_MODEL, [IMPLICIT_LITTLE, EXPLICIT_LITTLE], scu_role=True, scp_role=True)
        self.server = peer.start_server(("127.0.0.1", self.port), block=False,
                                        evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)])

    def ask(self, references, stay=0, transaction=None):
        """Asks about (SOP class, SOP instance). Stays on the association for some seconds, or until a report came."""
        data = Dataset()
        data.TransactionUID = transaction or new_uid()
        data.ReferencedSOPSequence = Sequence([reference(*one) for one in references])
        caller = AE("TEST")
        caller.add_requested_context(PUSH_MODEL, [IMPLICIT_LITTLE])
        association = caller.associate("127.0.0.1", self.node_port, ae_title="KONTUR",
                                       evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)])
        if not association.is_established:
            return None, "no association"
        status, _ = association.send_n_action(data, 1, PUSH_MODEL, PUSH_INSTANCE)
        deadline = time.monotonic() + stay
        while time.monotonic() < deadline and not self.report_of(data.TransactionUID):
            time.sleep(0.05)
        association.release()
        return str(data.TransactionUID), status.get("Status")

    def report_of(self, transaction):
        return next((one for one in self.reports if one[0] == transaction), None)


def expect_report(report, asker, transaction, kept, failed, situation, within=20):
    """Expects one report that commits to `kept`, and names the Failure Reasons `failed`."""
    expect_soon(report, lambda: asker.report_of(transaction), within, f"{situation}: no report")
    found = asker.report_of(transaction)
    if found:
        report.line(f"{situation}: event type {found[1]}, {len(found[2])} kept, failed {sorted(found[3].values())}")
        report.expect(found[2] == kept and found[3] == failed and found[1] == (2 if failed else 1),
                      f"{situation}: {found} instead of {kept}, {failed}")


def check_provider(report):
    """Peers ask the node about what they sent."""
    port = free_port()
    asker, orthanc = Asker(port), Orthanc(port)
    # The entry of the peer TEST has an address of its own, to which reports go.
    node = Node(orthanc.dicom_port, port=port, quiet=1, routes=" []",
                test_settings=f"host: 127.0.0.1, port: {asker.port}")
    with orthanc, node:
        study, series = new_uid(), new_uid()
        sent = [small_instance(study, series, index) for index in range(12)]
        report.expect(Sender(node.port).send(sent, keep_trying=10), "the instances were not taken")
        all_sent = [(SECONDARY_CAPTURE, one.instance_uid) for one in sent]
        node.settle(60)
        asker.listen()
        transaction, status = asker.ask(all_sent, stay=10)
        report.expect(status == 0, f"a request for storage commitment: {status}")
        if status != 0:
            return
        expect_report(report, asker, transaction, {one[1] for one in all_sent}, {}, "everything is there")
        absent, other = new_uid(), sent[1].instance_uid
        folder, name = node.query("SELECT folder, file FROM instance WHERE sopInstanceUID = ?", sent[2].instance_uid)[0]
        os.rename(node.file_of(folder, name), f"{node.folder}/removed")
        asked = [all_sent[0], (SECONDARY_CAPTURE, absent), (MR_IMAGE, other), all_sent[2]]
        transaction, status = asker.ask(asked, stay=10)
        expect_soon(report, lambda: asker.report_of(transaction), 20, "no report about a lost file")
        found = asker.report_of(transaction)
        if found:
            report.line(f"half of it is there: {sorted(found[3].values())}")
            report.expect(found[2] == {sent[0].instance_uid} and found[3].get(absent) == NO_SUCH_INSTANCE
                          and found[3].get(other) == CLASS_CONFLICT and sent[2].instance_uid in found[3],
                          f"the answer is not true: {found}")
        os.rename(f"{node.folder}/removed", node.file_of(folder, name))
        transaction, _ = asker.ask(all_sent[3:5])
        expect_report(report, asker, transaction, {one[1] for one in all_sent[3:5]}, {}, "on a new association")
        report.expect(len([one for one in asker.reports if one[0] == transaction]) == 1, "a report came twice")
        asker.server.shutdown()
        transaction, status = asker.ask(all_sent[5:7])
        report.expect(status == 0, f"a request before the kill: {status}")
        node.kill()
        node.start()
        asker.listen()
        expect_report(report, asker, transaction, {one[1] for one in all_sent[5:7]}, {}, "after a kill of the node", 40)
        for path in files([f"{ROOT}/samples-dicom/unrouted"]):
            orthanc.upload(path)
        known = orthanc.get("/instances?expand")
        orthanc.post("/modalities/kontur/store", {"Resources": [one["ID"] for one in known], "Synchronous": True})
        for more, wanted in (([], "Success"), ([[SECONDARY_CAPTURE, new_uid()]], "Failure")):
            instances = [[read_anything(path).class_uid, read_anything(path).instance_uid]
                         for path in files([f"{ROOT}/samples-dicom/unrouted"])]
            answer = orthanc.post("/modalities/kontur/storage-commitment", {"DicomInstances": instances + more})
            state = lambda: orthanc.get(f"/storage-commitment/{answer['ID']}")
            expect_soon(report, lambda: state()["Status"] != "Pending", 20, "Orthanc does not get a report", state)
            report.line(f"Orthanc: {state()['Status']}")
            report.expect(state()["Status"] == wanted, f"Orthanc: {state()}")
        report.expect_whole_trail(node)
        report.expect_stopped(node.stop())
    asker.server.shutdown()


PARTS = {"user": check_user, "provider": check_provider}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="parts to run, separated by commas")
    options = parser.parse_args()
    report = Report("commitment")

    def run(name):
        begin = time.monotonic()
        try:
            PARTS[name](report)
        except Exception as error:
            report.expect(False, f"{name}: {type(error).__name__}: {error}")
        report.line(f"-- {name}: {time.monotonic() - begin:.1f} s")

    # The parts mostly wait, so they run side by side.
    threads = [threading.Thread(target=run, args=(name,)) for name in options.parts.split(",")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    report.end()


if __name__ == "__main__":
    main()
