#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills, blocks, attacks and wears out the receivers of a node: the child processes that speak DICOM with callers.

Whatever happens to a receiver, it costs one association. Nothing that was acknowledged is lost, the caller sees an
A-ABORT, others get their C-ECHO within a second, the trail says what happened, and no process, descriptor or file stays.

    receivers.py                                        every part, in a short form
    receivers.py --parts large                          one part; `large` runs only if it is named, or with --long
    receivers.py --long --seed 7                        every part, in its long form
    receivers.py --parts corpus --mutations 20000       broken associations from recorded ones
"""

import argparse
import collections
import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import hostile
import wire
from footprint import Footprint, expect_gone, memory_of, receiver_of, receivers
from hostile import STORAGE, EchoWatch, identity
from hostile_archives import HABITS, HostileArchive
from many import small_instance
from mutations import Mutator, Recorder, play
from node import ROOT, Node
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from report import STOP_WITHIN, Report
from processes import free_port, wait_until
from send import Sender, files, read_anything
from wire import EXPLICIT_LITTLE, SECONDARY_CAPTURE, VERIFICATION, Aborted, Association, Closed, Rejected, new_uid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
ECHO_WITHIN = 1.0
IDLE_TOGETHER, IDLE_RECEIVER = 100e6, 12e6
# A receiver and the node may take this much more for an instance of any size.
STREAMED_WITHIN = 32e6


def expect_echoes(report, watch, situation, within=ECHO_WITHIN):
    report.line(f"{situation}: {watch.count} C-ECHO, slowest {watch.slowest * 1000:.0f} ms")
    report.expect(not watch.failures, f"{situation}: {len(watch.failures)} C-ECHO failed: {watch.failures[:3]}")
    report.expect(watch.slowest < within, f"{situation}: a C-ECHO took {watch.slowest:.2f} s")


def expect_nothing_left(report, node, situation):
    """Expects that every file of the spool's instances has its row, and every row its unchanged file."""
    rows = node.query("SELECT folder, file FROM instance")
    named = {name for _, name in rows}
    found = {name for part in ("instances", "quarantine") for _, _, names in os.walk(f"{node.spool}/{part}")
             for name in names}
    report.expect(found == named, f"{situation}: {len(found - named)} files without row, {len(named - found)} rows without")
    report.expect(not node.damaged_files(), f"{situation}: {len(node.damaged_files())} files are different")


def calm(node):
    """Waits until the node is idle, and its pool is complete. Returns its footprint."""
    wire.echo(node.port)
    time.sleep(1.5)
    return Footprint(node)


def used(node, callers=8):
    """Keeps a node busy with some callers at once, so that it has started its children. Returns its footprint then."""
    study = new_uid()
    senders = [Caller(node.port, [small_instance(study, new_uid(), index) for index in range(40)])
               for _ in range(callers)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    return calm(node)


class Caller(threading.Thread):
    """Sends instances until each is acknowledged, and notes how its associations ended."""

    def __init__(self, port, instances, pause=0.0):
        super().__init__(daemon=True)
        self.port, self.instances, self.pause = port, instances, pause
        self.acknowledged, self.ends = set(), collections.Counter()
        self.caller_port, self.slowest_end = None, 0.0

    def run(self):
        deadline = time.monotonic() + 120
        while len(self.acknowledged) < len(self.instances) and time.monotonic() < deadline:
            last = time.monotonic()
            try:
                with Association(self.port, STORAGE, timeout=5) as association:
                    self.caller_port = association.socket.getsockname()[1]
                    context = association.context(SECONDARY_CAPTURE, EXPLICIT_LITTLE)
                    for one in self.instances:
                        if one.instance_uid in self.acknowledged:
                            continue
                        last = time.monotonic()
                        if association.store(context, one.class_uid, one.instance_uid, one.data) == 0:
                            self.acknowledged.add(one.instance_uid)
                        time.sleep(self.pause)
                self.ends["released"] += 1
            except Aborted:
                self.ends["aborted"] += 1
                self.slowest_end = max(self.slowest_end, time.monotonic() - last)
            except Rejected as error:
                self.ends[str(error)] += 1
            except (Closed, OSError) as error:
                self.ends[f"lost ({error})"] += 1
            self.caller_port = None


def check_kills(report, options):
    """Kills receivers of three senders at random moments. The fourth sender, and C-ECHO, are not touched."""
    source = random.Random(options.seed)
    kills = 40 if options.long else 12
    with Node(free_port(), quiet=2, routes=" []") as node:
        before = used(node)
        if not report.expect(before.named("receiver"), f"kills: the node has no receivers: {before}"):
            return
        study = new_uid()
        sets = [[small_instance(study, new_uid(), index) for index in range(125)] for _ in range(4)]
        # The pause leaves time for all kills.
        senders = [Caller(node.port, one, pause=0.05 if options.long else 0.01) for one in sets]
        seen, done = set(receivers(node)), 0
        with EchoWatch(node.port) as watch:
            for sender in senders:
                sender.start()
            while done < kills and any(one.is_alive() for one in senders[:3]):
                time.sleep(source.uniform(0.01, 0.25))
                victim = source.choice(senders[:3]).caller_port
                pid = victim and receiver_of(node, victim)
                seen.update(receivers(node))
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    done += 1
            for sender in senders:
                sender.join(150)
        ends = sum((one.ends for one in senders[:3]), collections.Counter())
        acknowledged = set().union(*(one.acknowledged for one in senders))
        report.line(f"kills, seed {options.seed}: {done} of receivers, associations ended {dict(ends)}, slowest end "
                    f"{max(one.slowest_end for one in senders) * 1000:.0f} ms, {len(acknowledged)} acknowledged")
        expect_echoes(report, watch, "kills")
        report.expect(done >= kills // 2, f"kills: only {done} receivers were killed")
        report.expect(ends["aborted"] == done and set(ends) <= {"aborted", "released"},
                      f"kills: {done} kills, but associations ended {dict(ends)}")
        report.expect(dict(senders[3].ends) == {"released": 1}, f"kills: the fourth sender: {dict(senders[3].ends)}")
        report.expect(len(acknowledged) == 500, f"kills: {len(acknowledged)} of 500 acknowledged")
        lost = acknowledged - node.stored_uids()
        report.expect(not lost, f"kills: {len(lost)} acknowledged instances are missing")
        node.settle(120)
        expect_nothing_left(report, node, "kills")
        after = calm(node)
        report.line(f"kills: before {before}; after {after}")
        report.expect(after.descriptors <= before.descriptors + 4, "kills: descriptors are left open")
        report.expect(len(after.named("receiver")) <= len(before.named("receiver")) + 1, "kills: receivers are left over")
        children = node.process.children()
        report.expect_stopped(node.stop())
        expect_gone(report, children, "after the stop")
        # A stop writes the counts of what was not recorded one by one.
        recorded = recorded_deaths(node)
        if not report.expect(recorded == done, f"kills: the trail names {recorded} dead receivers instead of {done}"):
            for row in node.query("SELECT reason, count FROM audit WHERE event = 'associationLost'"):
                report.line(f"kills: {row}")
        report.expect_whole_trail(node)
        node.start()
        with Association(node.port, STORAGE) as association:
            association.send_message(1, wire.store_command(SECONDARY_CAPTURE, new_uid()), command=True)
            children = node.process.children()
            node.kill()
            expect_gone(report, children, "after the node was killed")
        node.start()
        report.expect(acknowledged <= node.stored_uids() and not node.damaged_files(), "kills: lost after the restart")


def recorded_deaths(node):
    """The number of receivers whose end the trail names."""
    rows = node.query("SELECT coalesce(count, 1) FROM audit WHERE event = 'associationLost'")
    return sum(row[0] for row in rows)


def check_nested(report, options):
    """20,000 nested sequences in command sets. Each costs its own association."""
    with Node(free_port(), quiet=30) as node:
        before = used(node)
        with Association(node.port, STORAGE) as bystander, EchoWatch(node.port, 0.05) as watch:
            outcomes = collections.Counter()
            for _ in range(500 if options.long else 40):
                outcomes[hostile.nested_command(node.port)] += 1
            uid = new_uid()
            context = bystander.context(SECONDARY_CAPTURE, EXPLICIT_LITTLE)
            status = bystander.store(context, SECONDARY_CAPTURE, uid, identity(SECONDARY_CAPTURE, uid))
            report.expect(status == 0, f"nested: the parallel association got {status:04X}")
        report.line(f"nested: {dict(outcomes)}")
        report.expect(set(outcomes) == {"aborted, aborted"}, f"nested: {dict(outcomes)}")
        expect_echoes(report, watch, "nested")
        after = calm(node)
        report.expect(after.descriptors <= before.descriptors + 4, f"nested: {before}, then {after}")
        node.process.check()


def check_silence(report, options):
    """200 silent connections, and callers of one byte a second, while a sender works."""
    with Node(free_port(), quiet=30) as node:
        study = new_uid()
        sender = Caller(node.port, [small_instance(study, new_uid(), index) for index in range(300)], pause=0.02)
        outcomes = {}
        attacks = {"silent": lambda: hostile.silent(node.port, 200, 7), "drip": lambda: hostile.drip(node.port)}
        if options.long:
            attacks["drip_data"] = lambda: hostile.drip_data(node.port)
        threads = [threading.Thread(target=lambda name=name, run=run: outcomes.update({name: run()}), daemon=True)
                   for name, run in attacks.items()]
        with EchoWatch(node.port) as watch:
            for thread in [sender, *threads]:
                thread.start()
            for thread in [sender, *threads]:
                thread.join(90)
        report.line(f"silence: {outcomes}, {len(sender.acknowledged)} stored, {dict(sender.ends)}")
        report.expect(dict(sender.ends) == {"released": 1}, f"silence: the sender's associations: {dict(sender.ends)}")
        report.expect(outcomes.get("silent") == "200 of 200 closed", f"silence: {outcomes.get('silent')}")
        report.expect("left open" not in str(outcomes), f"silence: {outcomes}")
        expect_echoes(report, watch, "silence")


def check_turnover(report, options):
    """Associations of one instance, one after the other and four at a time: nothing grows."""
    count = 2000 if options.long else 400
    with Node(free_port(), quiet=120) as node:
        study, series = new_uid(), new_uid()

        def run(count):
            failures = collections.Counter()

            def some(part):
                for index in range(part):
                    one = small_instance(study, series, index)
                    try:
                        with Association(node.port, STORAGE) as association:
                            context = association.context(SECONDARY_CAPTURE, EXPLICIT_LITTLE)
                            status = association.store(context, one.class_uid, one.instance_uid, one.data)
                            failures[f"{status:04X}"] += status != 0
                    except (Closed, Rejected, OSError) as error:
                        failures[str(error)] += 1

            threads = [threading.Thread(target=some, args=(count // 4,)) for _ in range(4)]
            begin = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            report.expect(not +failures, f"turnover: {dict(+failures)}")
            return count / (time.monotonic() - begin)

        run(200)
        before = used(node)
        rate = run(count)
        after = calm(node)
        report.line(f"turnover: {count} associations of one instance, {rate:.0f}/s; before {before}; after {after}")
        report.expect(after.descriptors <= before.descriptors + 4, "turnover: descriptors are left open")
        report.expect(len(after.named("receiver")) <= len(before.named("receiver")) + 1, "turnover: receivers are left")
        grown = after.private[after.node] - before.private[before.node]
        report.expect(grown < 8e6, f"turnover: the node has grown by {grown / 1e6:.1f} MB")
        largest = max((after.private[pid] for pid in after.named("receiver")), default=0)
        report.expect(largest < IDLE_RECEIVER * 1.25, f"turnover: a receiver has {largest / 1e6:.1f} MB of its own")
        expect_nothing_left(report, node, "turnover")


def check_memory(report, _):
    """The memory of an idle node, its receivers and senders."""
    with Node(free_port()) as node:
        time.sleep(3)
        found = Footprint(node)
        pool = found.named("receiver", "sender")
        together = sum(found.shares[pid] for pid in [found.node, *pool])
        largest = max((found.private[pid] for pid in pool), default=0)
        report.line(f"memory: {found}; node and pool {together / 1e6:.0f} MB, largest child {largest / 1e6:.1f} MB private")
        report.expect(pool, "memory: the node has no pool")
        report.expect(together <= IDLE_TOGETHER, f"memory: node and pool take {together / 1e6:.0f} MB")
        report.expect(largest <= IDLE_RECEIVER, f"memory: an idle child has {largest / 1e6:.1f} MB of its own")


def check_large(report, options):
    """One instance of 900 MB, while the memory of node and receivers is watched."""
    size = options.megabytes * 1_000_000
    with Node(free_port(), quiet=30, max_instance="1GiB", minimum_free="0") as node:
        before = calm(node)
        most, ended = collections.Counter(), threading.Event()

        def watch():
            while not ended.wait(0.05):
                for pid in [node.process.pid, *receivers(node)]:
                    most[pid] = max(most[pid], memory_of(pid)[0])

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        uid, piece = new_uid(), os.urandom(1 << 20)
        head = identity(SECONDARY_CAPTURE, uid) + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, size)
        digest, begin = hashlib.sha256(head), time.monotonic()
        with Association(node.port, STORAGE, timeout=120) as association:
            context = association.context(SECONDARY_CAPTURE, EXPLICIT_LITTLE)
            association.send_message(context, wire.store_command(SECONDARY_CAPTURE, uid), command=True)
            association.send_message(context, head, command=False, last=False)
            left = size
            while left:
                part = piece[:left]
                left -= len(part)
                digest.update(part)
                association.send_message(context, part, command=False, last=not left)
            _, status = association.read_status()
        seconds = time.monotonic() - begin
        ended.set()
        watcher.join()
        stored = node.query("SELECT size - headerSize, sha256 FROM instance WHERE sopInstanceUID = ?", uid)
        report.expect(status == 0 and stored == [(len(head) + size, digest.digest())], f"large: status {status:04X}")
        grown = most[node.process.pid] - before.private[before.node]
        largest = max((memory for pid, memory in most.items() if pid != node.process.pid), default=0)
        report.line(f"large: {size / 1e6:.0f} MB in {seconds:.1f} s; the node grew by {grown / 1e6:.1f} MB, the largest "
                    f"receiver had {largest / 1e6:.1f} MB")
        report.expect(grown < STREAMED_WITHIN, f"large: the node grew by {grown / 1e6:.0f} MB")
        report.expect(largest < IDLE_RECEIVER + STREAMED_WITHIN, f"large: a receiver had {largest / 1e6:.0f} MB")


def check_full(report, _):
    """A full disk: each instance gets A700, the association stands, and instances get Success when there is room."""
    with tempfile.TemporaryDirectory() as scratch:
        if os.geteuid() != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", scratch], capture_output=True).returncode != 0:
            report.line("full: not run, because a tmpfs cannot be mounted")
            return
        node = Node(free_port(), folder=scratch, quiet=60, minimum_free="0", max_instance="4MiB")
        try:
            node.start()
            statuses = []
            with Association(node.port, STORAGE, timeout=20) as association:
                context = association.context(SECONDARY_CAPTURE, EXPLICIT_LITTLE)

                def store(size):
                    uid = new_uid()
                    data = identity(SECONDARY_CAPTURE, uid) + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, size)
                    statuses.append(association.store(context, SECONDARY_CAPTURE, uid, data + bytes(size)))
                    return uid

                acknowledged = [store(100_000)]
                with open(f"{scratch}/fill", "wb", buffering=0) as file:
                    try:
                        while True:
                            file.write(bytes(1 << 16))
                    except OSError:
                        pass
                for size in (0, 16_300, 100_000, 3_000_000):
                    store(size)
                os.remove(f"{scratch}/fill")
                acknowledged.append(store(100_000))
            report.line(f"full: {[f'{status:04X}' for status in statuses]}")
            report.expect(statuses[0] == statuses[-1] == 0 and set(statuses[2:-1]) == {0xA700},
                          f"full: {[f'{status:04X}' for status in statuses]}")
            report.expect(set(acknowledged) <= node.stored_uids(), "full: an acknowledged instance is missing")
            expect_nothing_left(report, node, "full")
            report.expect_stopped(node.stop())
        finally:
            node.stop()
            subprocess.run(["umount", scratch], capture_output=True)


def check_stop(report, _):
    """A stop while children are in the middle of a request, a command, a data set, and of nothing."""
    with Node(free_port(), quiet=60) as node:
        calm(node)
        held = [Association(node.port, STORAGE, timeout=20) for _ in range(6)]
        for index, one in enumerate(held[:5]):
            command = wire.store_command(SECONDARY_CAPTURE, new_uid())
            if index == 0:
                one.send(wire.pdv(1, command, True, True)[:30])
            else:
                one.send_message(1, command, command=True)
                one.send(wire.pdv(1, bytes(1000), command=False, last=False)[:500 + 100 * index])
        silent = [wire.connect(node.port) for _ in range(3)]
        silent[0].sendall(wire.associate_request("TEST", "KONTUR", STORAGE)[:50])
        busy = Caller(node.port, [small_instance("1.2.3", "1.2.4", index) for index in range(5000)])
        busy.start()
        time.sleep(1)
        children, acknowledged = node.process.children(), set(busy.acknowledged)
        status, seconds = node.stop()
        report.line(f"stop: {seconds:.1f} s with {len(children)} children")
        report.expect(status == 0 and seconds < STOP_WITHIN, f"stop: status {status} after {seconds:.1f} s")
        expect_gone(report, children, "after the stop")
        acknowledged |= set(busy.acknowledged)
        report.expect(acknowledged <= node.stored_uids(), "stop: an acknowledged instance is missing")
        for one in [*held, *silent]:
            one.close()
        busy.instances = []


def record(port):
    """The PDUs that DCMTK's tools and pynetdicom send for C-ECHO and C-STORE."""
    recorder = Recorder(port)
    slices = files([f"{ROOT}/samples-dicom/lge"])[:2]
    names = ["-aet", "TEST", "-aec", "KONTUR"]
    for command in (["echoscu", *names, "127.0.0.1", str(recorder.port)],
                    ["storescu", *names, "127.0.0.1", str(recorder.port), *slices],
                    ["storescu", "-pdu", "4096", *names, "127.0.0.1", str(recorder.port), slices[0]],
                    ["dcmsend", *names, "127.0.0.1", str(recorder.port), *slices]):
        subprocess.run(command, capture_output=True, timeout=30, check=True)
    caller = AE("TEST")
    data = dcmread(slices[0])
    caller.add_requested_context(VERIFICATION)
    caller.add_requested_context(data.SOPClassUID, [data.file_meta.TransferSyntaxUID, ImplicitVRLittleEndian])
    association = caller.associate("127.0.0.1", recorder.port, ae_title="KONTUR")
    association.send_c_echo()
    association.send_c_store(data)
    association.release()
    wait_until(lambda: len(recorder.recordings) == 5, 10, "five recordings")
    recorder.close()
    return sorted(recorder.recordings, key=lambda one: (len(one), sum(map(len, one))))


def check_corpus(report, options):
    """Broken associations, made from recorded ones."""
    count = options.mutations or (5000 if options.long else 400)
    with Node(free_port(), quiet=2, routes=" []", max_instance="64MiB") as node:
        mutator = Mutator(record(node.port), options.seed)
        before = used(node)
        todo = [(number, *mutator.mutated()) for number in range(count)]
        outcomes, slow, lock, begin = collections.Counter(), [], threading.Lock(), time.monotonic()

        def some():
            while True:
                with lock:
                    if not todo:
                        return
                    number, names, pdus = todo.pop()
                outcome = play(node.port, pdus, wait=0.2)
                with lock:
                    outcomes[outcome] += 1
                    if outcome == "left open":
                        slow.append(f"{number} ({names})")

        with EchoWatch(node.port) as watch:
            threads = [threading.Thread(target=some, daemon=True) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(3000)
        report.line(f"corpus, seed {options.seed}: {count} in {time.monotonic() - begin:.1f} s: {dict(outcomes)}")
        expect_echoes(report, watch, "corpus")
        report.expect(not slow, f"corpus: connections were left open: {slow[:5]}")
        node.process.check()
        instances = [read_anything(path) for path in files([f"{ROOT}/samples-dicom/lge"])]
        report.expect(Sender(node.port).send(instances, keep_trying=5), "corpus: a sound study is not taken any more")
        states = node.settle(120)
        report.line(f"corpus: instances {states['instances']}")
        expect_nothing_left(report, node, "corpus")
        after = calm(node)
        report.line(f"corpus: before {before}; after {after}")
        report.expect(after.descriptors <= before.descriptors + 4, "corpus: descriptors are left open")
        report.expect_stopped(node.stop())
        report.line(f"corpus: {recorded_deaths(node)} receivers died")
        report.expect_whole_trail(node)


class Archive:
    """pynetdicom as an archive that takes every SEG."""

    def __init__(self):
        self.got, self.port = [], free_port()
        archive = AE("ORTHANC")
        archive.add_supported_context(SEGMENTATION, [EXPLICIT_LITTLE])
        self.server = archive.start_server(("127.0.0.1", self.port), block=False,
                                           evt_handlers=[(evt.EVT_C_STORE, self.take)])

    def take(self, event):
        self.got.append(event.request.AffectedSOPInstanceUID)
        return 0


def check_archives(report, _):
    """Archives that break the rules get nothing but their own connection, and the right archive gets its SEG."""
    hostile_ones = [HostileArchive(habit) for habit in HABITS]
    good = Archive()
    names = ", ".join(["archive", *(one.habit.__name__.replace("_", "-") for one in hostile_ones)])
    routes = f"\n  - {{name: colonoscopy, when: {{modality: [ES]}}, segmenter: polyp-compact, sendTo: [{names}]}}\n"
    with Node(good.port, quiet=1, routes=routes, peers="".join(one.entry() for one in hostile_ones)) as node:
        with EchoWatch(node.port) as watch:
            Sender(node.port).send([read_anything(path) for path in files([f"{ROOT}/samples-dicom/colonoscopy"])])
            wait_until(lambda: good.got, 60, "the SEG in the right archive")
            wait_until(lambda: all(one.calls for one in hostile_ones), 30, "calls to every archive")
            time.sleep(3)
        found = {peer: (state, why) for peer, state, why in node.query("SELECT peer, state, why FROM delivery")}
        for peer, (state, why) in sorted(found.items()):
            report.line(f"{peer}: {state}{f', {why}' if why else ''}")
        report.expect(found.pop("archive", ("",))[0] == "sent", "archives: the right archive has no SEG")
        report.expect(all(state in ("pending", "dead") for state, _ in found.values()), f"archives: {found}")
        expect_echoes(report, watch, "archives")
        node.process.check()
        children = node.process.children()
        report.expect_stopped(node.stop())
        expect_gone(report, children, "after the stop")
    for one in hostile_ones:
        one.close()
    good.server.shutdown()


PARTS = {"kills": check_kills, "nested": check_nested, "turnover": check_turnover, "memory": check_memory,
         "silence": check_silence, "stop": check_stop, "full": check_full, "corpus": check_corpus,
         "archives": check_archives, "large": check_large}
ONLY_LONG = {"large"}
# Parts that mostly wait. They run beside the parts that follow them, each on a thread of its own.
BESIDE_OTHERS = {"silence", "stop"}


def run(report, options, names):
    def run_one(name):
        begin = time.monotonic()
        try:
            PARTS[name](report, options)
        except Exception as error:
            report.expect(False, f"{name}: {type(error).__name__}: {error}")
        report.line(f"-- {name}: {time.monotonic() - begin:.1f} s")

    beside = []
    for name in names:
        if name in BESIDE_OTHERS:
            beside.append(threading.Thread(target=run_one, args=(name,)))
            beside[-1].start()
        else:
            run_one(name)
    for one in beside:
        one.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parts", help=f"parts to run, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--long", action="store_true", help="run every part, in its long form")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("KONTUR_SEED", "1")),
                        help="seed of the kills and of the broken associations")
    parser.add_argument("--mutations", type=int, help="number of broken associations")
    parser.add_argument("--megabytes", type=int, default=900, help="size of the large instance")
    options = parser.parse_args()
    report = Report("receivers")
    chosen = options.parts.split(",") if options.parts else [
        name for name in PARTS if options.long or name not in ONLY_LONG]
    run(report, options, chosen)
    report.end()


if __name__ == "__main__":
    main()
