#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the node, or children of one kind, at random moments (kill -9) while a sender brings instances.

The sender sends an instance again if the node does not acknowledge it within 2 seconds. The check passes if every
acknowledged instance is stored, every job is alive, and the archive holds one SEG per series that references all of its
instances. With --revisions, older SEGs may remain in the archive.

    kills.py --victim node --kills 30 --series 5 --slices 100 --quiet 20 --seed 1
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import numpy as np
import pydicom

import make_studies
from footprint import command_of
from node import ROOT, Node
from orthanc import Orthanc
from report import Report
from send import Sender, files, read_anything


def drawn_volume(slices):
    """The sample's drawn atrium [slice, row, column], resampled to a number of slices, and its spacing in mm."""
    data = [pydicom.dcmread(path) for path in files([f"{ROOT}/samples-dicom/lge"])]
    normal = np.cross(data[0].ImageOrientationPatient[:3], data[0].ImageOrientationPatient[3:])
    data.sort(key=lambda one: float(np.dot(normal, one.ImagePositionPatient)))
    volume = np.stack([one.pixel_array for one in data])
    chosen = np.linspace(0, len(volume) - 1, slices).round().astype(int)
    return np.minimum(volume[chosen], 4095), float(data[0].PixelSpacing[0])


def write_series(folder, count, slices):
    """Writes `count` LGE series in which the segmenter finds an atrium. Maps each series UID to its instance UIDs."""
    volume, spacing = drawn_volume(slices)
    made = {}
    for index in range(count):
        shifted = np.roll(volume, index, axis=2)
        one = make_studies.left_atrium(f"{folder}/{index}", f"KILL{index}", shifted, spacing=spacing)
        made[one["series"]] = set(one["instances"])
    return made


def kill_often(node, victim, kills, source, longest_pause):
    """Kills the node, or one of its workers, receivers or senders, at random moments. Returns the number of kills.

    Call this on the main thread: a process that another thread started dies with that thread.
    """
    deadline = time.monotonic() + 20 * kills * longest_pause + 60
    done = 0
    while done < kills and time.monotonic() < deadline:
        time.sleep(source.uniform(0.05, longest_pause))
        if victim == "node":
            node.process.kill()
            done += 1
            node.start()
        else:
            children = [pid for pid in node.process.children() if command_of(pid) == victim]
            if children:
                try:
                    os.kill(source.choice(children), signal.SIGKILL)
                    done += 1
                except ProcessLookupError:
                    pass
    return done


def check_archive(report, archive, made, revisions):
    """Expects one SEG per series that references all its instances. With revisions, older SEGs may remain."""
    folder = tempfile.mkdtemp(prefix="kontur-kills-seg-")
    found = {}
    try:
        for path in archive.save_segmentations(folder):
            data = pydicom.dcmread(path, stop_before_pixels=True)
            named = {item.ReferencedSOPInstanceUID for one in data.ReferencedSeriesSequence
                     for item in one.ReferencedInstanceSequence}
            found.setdefault(data.ReferencedSeriesSequence[0].SeriesInstanceUID, []).append(named)
    finally:
        shutil.rmtree(folder)
    for series, instances in made.items():
        segs = found.get(series, [])
        complete = sum(named == instances for named in segs)
        report.expect(complete == 1, f"series ...{series[-6:]}: {complete} complete SEG among {len(segs)}")
        report.expect(revisions or len(segs) == 1, f"series ...{series[-6:]}: {len(segs)} SEG instead of one")
    report.line(f"archive: {[sorted(map(len, segs)) for segs in found.values()]} instances referenced, by series")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--victim", choices=["node", "worker", "receiver", "sender"], default="node", help="the process to kill")
    parser.add_argument("--kills", type=int, default=6, help="number of kills")
    parser.add_argument("--series", type=int, default=2, help="number of series to send")
    parser.add_argument("--slices", type=int, default=60, help="slices per series")
    parser.add_argument("--quiet", type=int, default=6, help="the node's series.quietSeconds")
    parser.add_argument("--pause", type=float, default=1.5, help="longest time between two kills, in seconds")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("KONTUR_SEED", "1")), help="seed of the moments")
    parser.add_argument("--revisions", action="store_true", help="allow SEGs of older revisions in the archive")
    options = parser.parse_args()
    report = Report(f"kills of the {options.victim}, seed {options.seed}")
    scratch = tempfile.mkdtemp(prefix="kontur-kills-")
    try:
        made = write_series(scratch, options.series, options.slices)
        instances = [read_anything(path) for path in files([scratch])]
        with Orthanc() as archive, Node(archive.dicom_port, quiet=options.quiet) as node:
            sender = Sender(node.port, answer_within=2)
            slowly = lambda *_: time.sleep(options.kills * options.pause / 2 / len(instances))
            sending = threading.Thread(target=sender.send, args=(instances, 300), kwargs={"on_answer": slowly})
            sending.start()
            kills = kill_often(node, options.victim, options.kills, random.Random(options.seed), options.pause)
            sending.join(400)
            report.expect(len(sender.acknowledged) == len(instances),
                          f"{len(sender.acknowledged)} of {len(instances)} acknowledged")
            report.expect(kills == options.kills, f"{kills} kills instead of {options.kills}")
            report.line(f"{len(sender.acknowledged)} acknowledged, resent {sender.resent} times, {kills} kills")
            states = node.settle(options.quiet + 420)
            report.line(f"states: {states}")
            lost = sender.acknowledged - node.stored_uids()
            report.expect(not lost, f"{len(lost)} acknowledged instances are missing")
            report.expect(not node.damaged_files(), f"files missing or different: {node.damaged_files()[:3]}")
            report.expect(not states["jobs"].get("dead"), f"dead jobs: {states['jobs']}")
            check_archive(report, archive, made, options.revisions)
            report.expect_whole_trail(node)
            if report.failures:
                report.line(node.process.tail(40))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report.end()


if __name__ == "__main__":
    main()
