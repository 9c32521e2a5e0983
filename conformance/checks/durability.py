#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Watches the order of the node's system calls with strace: acknowledged means durable.

The node must sync three things before it writes a C-STORE response with status 0000 to the socket: the instance's file,
the folder of the file, and the journal's write-ahead log with the row that names the instance. The check runs the node
without faults, with delayed syncs, with failing syncs (EIO) and with a full disk (ENOSPC). After each faulty run, the
node starts again without faults, and every acknowledged instance must be there, unchanged.

The check is skipped (status 77) if ptrace is not permitted.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import make_studies
from node import Node
from processes import PeerError, free_port
from report import Report
from send import Sender, files, read_anything

CALLS = "write,writev,pwrite64,pwritev,fsync,fdatasync,sendto,sendmsg"
RESPONSE = bytes.fromhex("00000001" "02000000" "0180")
SUCCESS = bytes.fromhex("00000009" "02000000" "0000")
LINE = re.compile(r"^(\d+)\s+(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")

# The faults that strace injects. It counts `when` per thread. In the variants "first start", the spool does not exist
# yet, and the node may refuse to start. In the other variants, an earlier run made the spool.
VARIANTS = {
    "no faults": [],
    "delayed": ["fsync,fdatasync:delay_exit=60000"],
    "delayed before": ["fsync,fdatasync:delay_enter=60000"],
    "some syncs fail": ["fsync,fdatasync:error=EIO:when=9+3"],
    "every sync fails": ["fsync,fdatasync:error=EIO:when=9+1"],
    "disk full now and then": ["pwrite64:error=ENOSPC:when=40+23", "write:error=ENOSPC:when=8+5"],
    "disk stays full": ["pwrite64:error=ENOSPC:when=90+1"],
    "first start: disk full": ["pwrite64:error=ENOSPC:when=60+13"],
    "first start: syncs fail": ["fsync,fdatasync:error=EIO:when=2+1"],
}


class Call:
    """One system call: the lines of the trace where it began and ended, its path, its bytes and its result."""

    def __init__(self, name, begin, text):
        self.name, self.begin, self.end, self.text = name, begin, None, text
        self.result = ""

    def finish(self, end, rest):
        self.end = end
        self.text += rest
        self.result = self.text.rsplit(" = ", 1)[-1] if " = " in self.text else ""

    @property
    def failed(self):
        return self.result.startswith("-1")

    @property
    def path(self):
        found = re.match(r"\d+<(.*?)>", self.text)
        if not found:
            return ""
        text = found.group(1)
        return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text

    @property
    def data(self):
        parts = re.findall(r'"((?:\\x[0-9a-f]{2})*)"', self.text)
        return b"".join(bytes.fromhex(part.replace("\\x", "")) for part in parts)


def read_trace(path):
    """The finished calls of a trace, in the order in which they began."""
    calls, open_calls = [], {}
    with open(path, errors="replace") as file:
        for number, line in enumerate(file):
            found = LINE.match(line)
            if not found:
                continue
            thread, name, rest, resumed, more = found.groups()
            if name:
                call = Call(name, number, rest.replace(" <unfinished ...>", "").rstrip("\n"))
                calls.append(call)
                if "<unfinished ...>" in rest:
                    open_calls[thread] = call
                else:
                    call.finish(number, "")
            elif thread in open_calls:
                open_calls.pop(thread).finish(number, more.rstrip("\n"))
    return [call for call in calls if call.end is not None]


def check_order(report, calls, uids, variant):
    """Checks for each acknowledged instance that file, folder and log were synced between its bytes and its response.

    Returns the number of responses with status 0000 in the trace.
    """
    syncs = [call for call in calls if call.name in ("fsync", "fdatasync") and not call.failed]
    responses = 0
    written = {}
    log_writes = []
    for call in calls:
        if call.name in ("write", "writev", "pwrite64", "pwritev"):
            if "/instances/" in call.path:
                written.setdefault(call.path, []).append(call)
            elif call.path.endswith("-wal"):
                log_writes.append((call, call.data))
    contents = {path: b"".join(call.data for call in parts) for path, parts in written.items()}
    for call in calls:
        if call.name not in ("write", "writev", "sendto", "sendmsg") or "TCP" not in call.text[:80]:
            continue
        data = call.data
        if RESPONSE not in data or SUCCESS not in data:
            continue
        uid = next((uid for uid in uids if uid.encode() in data), None)
        if uid is None:
            continue
        responses += 1
        text = uid.encode()
        synced = lambda path, after: any(
            one.path == path and one.begin > after and one.end < call.begin for one in syncs)
        paths = [path for path, content in contents.items() if text in content]
        if not report.expect(paths, f"{variant}: the acknowledged {uid} is not in any file"):
            continue
        in_place = False
        for path in paths:
            last = max(part.end for part in written[path] if part.begin < call.begin)
            file_synced = synced(path, last)
            folder_synced = synced(os.path.dirname(path), min(part.begin for part in written[path]) - 1)
            in_place |= file_synced and folder_synced
        report.expect(in_place, f"{variant}: file or folder of {uid} not synced before its response")
        rows = [write for write, bytes_written in log_writes if text in bytes_written and write.begin < call.begin]
        wal_synced = any(synced(write.path, write.end) for write in rows[:1])
        report.expect(rows and wal_synced, f"{variant}: journal row of {uid} not synced before its response")
    return responses


def run_variant(report, name, instances, scratch):
    trace = f"{scratch}/trace"
    before = ["strace", "-f", "-yy", "-xx", "-s", "70000", "--seccomp-bpf", "-e", f"trace={CALLS}", "-e", "signal=none",
              "-o", trace]
    for fault in VARIANTS[name]:
        before += ["-e", f"inject={fault}"]
    folder = tempfile.mkdtemp(prefix="kontur-durability-")
    node = Node(free_port(), folder=folder, quiet=60)
    faulty = "error" in str(VARIANTS[name])
    if not name.startswith("first start"):
        node.start()
        node.stop()
    node.before = before
    sender = Sender(node.port, answer_within=20)
    try:
        started = True
        try:
            node.start(60)
        except PeerError as error:
            started = False
            report.line(f"{name}: the node did not start: {node.process.tail(2).strip()}")
            report.expect(faulty, f"{name}: the node did not start: {error}")
        if started:
            answers = collections.Counter()
            sender.send(instances, keep_trying=10 if faulty else 60,
                        on_answer=lambda _, status: answers.update([f"{status:04X}"]))
            node.kill()
            uids = [one.instance_uid for one in instances]
            responses = check_order(report, read_trace(trace), uids, name)
            report.line(f"{name}: {responses} responses checked, answers {dict(answers)}, resent {sender.resent} times")
            report.expect(responses >= len(sender.acknowledged) > 0 or faulty,
                          f"{name}: {responses} responses seen for {len(sender.acknowledged)} acknowledged")
            report.expect(responses >= len(sender.acknowledged), f"{name}: the trace lacks responses")
        node.before = []
        try:
            node.start()
        except PeerError as error:
            report.expect(False, f"{name}: the node does not start without the fault: {error}")
            return
        missing = sender.acknowledged - node.stored_uids()
        report.expect(not missing, f"{name}: {len(missing)} acknowledged instances are missing after the restart")
        damaged = node.damaged_files()
        report.expect(not damaged, f"{name}: files missing or different after the restart: {damaged[:3]}")
        again = Sender(node.port)
        report.expect(again.send(instances, keep_trying=20),
                      f"{name}: the node does not take every instance after the restart")
        node.stop()
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=15, help="number of slices to send")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="faults to try, separated by commas")
    options = parser.parse_args()
    report = Report("durability")
    if not shutil.which("strace"):
        report.skip("strace is not installed")
    if subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        report.skip("ptrace is not permitted here")
    scratch = tempfile.mkdtemp(prefix="kontur-durability-")
    try:
        make_studies.slices(f"{scratch}/slices", options.count, 100, 100)
        instances = [read_anything(path) for path in files([f"{scratch}/slices"])]
        for name in options.variants.split(","):
            run_variant(report, name, instances, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report.end()


if __name__ == "__main__":
    main()
