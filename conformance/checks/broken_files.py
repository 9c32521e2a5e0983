#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends broken files as raw data-set bytes and gives them to `kontur segment`. Each must get a clear answer.

The files are seeded mutations of the samples (cut short, bytes changed, lengths changed). A folder of malformed files
is added if there is one (`--folder`, or `third-party/malformed` below KONTUR_DATA). The check passes if the node
answers C-ECHO within a second throughout, every acknowledged file ends indexed, not an image, Kontur's own, or
quarantined with a reason, and `kontur segment` neither crashes nor hangs.
"""

import argparse
import collections
import concurrent.futures
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from hostile import EchoWatch
from node import ROOT, Node, executable
from orthanc import Orthanc
from report import Report
from send import Sender, files, read_anything
from wire import new_uid

SEED = 20261122


def mutate(data, random_source):
    """One broken version of a file's bytes. The first 132 bytes stay, so that the file keeps its DICM prefix."""
    data = bytearray(data)
    kind = random_source.randrange(5)
    at = random_source.randrange(132, len(data))
    if kind == 0:
        del data[at:]
    elif kind == 1:
        for _ in range(random_source.randrange(1, 40)):
            data[random_source.randrange(132, len(data))] = random_source.randrange(256)
    elif kind == 2:
        at = random_source.randrange(132, min(len(data) - 4, 2000)) & ~1
        data[at:at + 4] = random_source.choice([b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\0\0"])
    elif kind == 3:
        del data[at:at + random_source.randrange(1, 3000)]
    else:
        data[at:at] = bytes(random_source.randrange(256) for _ in range(random_source.randrange(1, 300)))
    return bytes(data)


def write_mutations(folder, count):
    """Writes `count` broken versions of the samples."""
    random_source = random.Random(SEED)
    samples = [path for path in files([f"{ROOT}/samples-dicom"]) if path.endswith(".dcm")]
    for index in range(count):
        with open(random_source.choice(samples), "rb") as file:
            data = file.read()
        with open(os.path.join(folder, f"mutation-{index:04}.dcm"), "wb") as file:
            file.write(mutate(data, random_source))


def segment(path):
    """Runs `kontur segment` on one file. Returns (path, exit status or None for a timeout, last line of its errors)."""
    with tempfile.TemporaryDirectory() as output:
        try:
            done = subprocess.run([executable(), "segment", path, "--output", output, "--json"], capture_output=True,
                                  text=True, errors="replace", timeout=120)
        except subprocess.TimeoutExpired:
            return path, None, ""
    lines = done.stderr.strip().splitlines()
    return path, done.returncode, lines[-1] if lines else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", help="a folder of malformed files")
    parser.add_argument("--mutations", type=int, default=60, help="number of broken versions of the samples")
    parser.add_argument("--segment", type=int, default=40, help="number of files that kontur segment gets")
    options = parser.parse_args()
    folder = options.folder
    if not folder and os.environ.get("KONTUR_DATA"):
        folder = os.path.join(os.environ["KONTUR_DATA"], "third-party", "malformed")

    report = Report("broken files")
    with tempfile.TemporaryDirectory() as scratch, Orthanc() as archive, Node(archive.dicom_port) as node:
        write_mutations(scratch, options.mutations)
        paths = files([scratch] + ([folder] if folder and os.path.isdir(folder) else []))
        instances = []
        for path in paths:
            one = read_anything(path)
            if one.instance_uid in {other.instance_uid for other in instances}:
                one.instance_uid = new_uid()
            instances.append(one)
        report.line(f"{len(paths)} files, {len(paths) - options.mutations} of them from {folder}")

        answers = {}
        with EchoWatch(node.port) as watch:
            for one in instances:
                sender = Sender(node.port)
                sender.send([one])
                answers[one.instance_uid] = sender.statuses.get(one.instance_uid)
            states = node.settle(300)
        node.process.check()
        kinds = collections.Counter("none" if status is None else f"{status:04X}" for status in answers.values())
        report.line(f"answers: {dict(kinds)}; instances: {states['instances']}")
        report.expect(not watch.failures and watch.slowest < 1,
                      f"C-ECHO: slowest {watch.slowest:.2f} s, {watch.failures[:2]}")
        report.expect(not states["instances"].get("received"), "a file is still waiting to be indexed")
        for uid, reason in node.quarantined():
            report.expect(reason, f"{uid} is quarantined without a reason")
        acknowledged = {uid for uid, status in answers.items() if status == 0}
        report.expect(acknowledged <= node.stored_uids(), "an acknowledged file is not in the journal")

        chosen = random.Random(SEED).sample(paths, min(options.segment, len(paths)))
        outcomes = {}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for path, status, words in pool.map(segment, chosen):
                outcomes[status] = outcomes.get(status, 0) + 1
                name = os.path.basename(path)
                report.expect(status in (0, 1), f"kontur segment {name}: status {status}: {words}")
                report.expect(status == 0 or words, f"kontur segment {name}: does not give a reason")
        report.line(f"kontur segment: {outcomes}")
    report.end()


if __name__ == "__main__":
    main()
