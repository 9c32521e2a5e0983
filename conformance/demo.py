#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the main job from end to end. `make demo` calls this program after the build.

The demo starts an Orthanc as the archive, the script that forwards its studies, and a Kontur node, all on loopback with
free ports. It uploads the studies to Orthanc and waits until the SEGs are back in Orthanc. Then it prints the results,
draws the SEGs over their images, verifies the audit trail and stops everything. It needs only Python 3.

    demo.py                      the sample studies
    demo.py --study folder       your own files
"""

import argparse
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "peers"), os.path.join(HERE, "checks")]

from hospital import Hospital
from node import ROOT, executable
from pictures import enlarge, overlay, write_png
from plain_seg import PlainSegmentation
from processes import PeerError

PICTURES_PER_SEG = 3
SMALL = 400


class Progress:
    """Overwrites one line on a terminal. Elsewhere, prints a line every few seconds, and the last one."""

    EVERY = 3

    def __init__(self):
        self.terminal = sys.stdout.isatty()
        self.last = ""
        self.printed = ""
        self.time = time.monotonic()

    def show(self, text):
        self.last = text
        if self.terminal:
            print(f"\r\033[K  {text}", end="", flush=True)
        elif time.monotonic() - self.time > self.EVERY and text != self.printed:
            self.line()

    def line(self):
        print(f"  {self.last}", flush=True)
        self.printed, self.time = self.last, time.monotonic()

    def done(self):
        if self.terminal and self.last:
            print()
        elif self.last != self.printed:
            self.line()
        self.last = self.printed = ""


def counts(states):
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"


def wait_for_answers(hospital, expected, timeout, progress):
    """Waits until every series is forwarded and the node has finished all work."""
    deadline = time.monotonic() + timeout
    quiet_since = None
    while True:
        hospital.check()
        states = hospital.node.states()
        forwarded = hospital.forwarded()
        progress.show(f"series forwarded: {forwarded} of {expected}; instances: {counts(states['instances'])}; "
                      f"jobs: {counts(states['jobs'])}; deliveries: {counts(states['deliveries'])}")
        if forwarded >= expected and not hospital.node.busy(states):
            quiet_since = quiet_since or time.monotonic()
            if time.monotonic() - quiet_since > 0.5:
                progress.done()
                return
        else:
            quiet_since = None
        if time.monotonic() > deadline:
            progress.done()
            raise PeerError(f"not finished after {timeout} s; the node's last lines:\n{hospital.node.process.tail()}")
        time.sleep(0.25)


def print_table(rows):
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(str(value).ljust(width) for value, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def short(uid):
    return uid if len(uid) <= 14 else "..." + uid[-11:]


def draw(archive, segmentation, folder):
    """Draws the frames of a SEG with the largest masks over their images. Returns the file names."""
    masks = {frame: segmentation.mask(frame) for frame in range(segmentation.frames)}
    largest = sorted(masks, key=lambda frame: -sum(masks[frame]))[:PICTURES_PER_SEG]
    names = []
    for frame in sorted(largest):
        source, numbers = segmentation.sources(frame)[0]
        found = archive.post("/tools/lookup", source.encode())
        instance = next((one["ID"] for one in found if one["Type"] == "Instance"), None)
        if instance is None:
            continue
        preview = f"frames/{numbers[0] - 1}/preview" if numbers else "preview"
        picture = archive.request("GET", f"/instances/{instance}/{preview}", accept="image/x-portable-arbitrarymap")
        modality = archive.get(f"/instances/{instance}/simplified-tags").get("Modality")
        columns, rows, rgb = overlay(picture, masks[frame], brighten=modality == "MR")
        if columns < SMALL:
            columns, rows, rgb = enlarge(columns, rows, rgb, -(-SMALL // columns))
        label = segmentation.description.split()[1:2]
        name = f"{'-'.join(label) or 'seg'}-{segmentation.uid[-8:]}-frame{frame + 1:03}.png"
        write_png(os.path.join(folder, name), columns, rows, rgb)
        names.append(name)
    return names


def explain(folder, configuration):
    """Prints the output of `kontur route explain` for the user's files."""
    print("\nkontur route explain gives the reason for each stack of these files:\n")
    subprocess.run(
        [executable(), "route", "explain", folder, "--config", configuration, "--calling-ae-title", "ORTHANC"],
        timeout=300)


def show_results(hospital, output):
    """Prints the table and writes the pictures. Returns the number of SEGs in the archive."""
    segmentations = {}
    for series in hospital.segmentations():
        for instance in series["Instances"]:
            one = PlainSegmentation(hospital.archive.file(instance))
            segmentations[one.uid] = one
    rows = [(
        "series", "modality", "images", "route", "segmenter", "frames", "time", "confidence", "SEG in the archive")]
    for one in hospital.node.results():
        segs = [uid for uid in one["segs"] if uid in segmentations]
        frames = sum(segmentations[uid].frames for uid in segs)
        rows.append((
            short(one["series"]), one["modality"] or "", one["instances"], one["route"] or one["state"],
            one["segmenter"] or "", frames or "", f"{one['seconds']:.1f} s" if one["seconds"] is not None else "",
            f"{one['confidence']:.2f}" if one["confidence"] is not None else "",
            ", ".join(segs) or (one["outcome"] if one["route"] else "")))
    print()
    print_table(rows)

    shutil.rmtree(output, ignore_errors=True)
    os.makedirs(output)
    names = []
    for one in segmentations.values():
        names += draw(hospital.archive, one, output)
    if names:
        print(f"\n{len(names)} overlays, drawn from the SEGs in the archive: {output}/")
        for name in names:
            print(f"  {name}")
    return len(segmentations)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--study", help="a folder of your own DICOM files instead of the samples")
    parser.add_argument("--output", default="demo-output", help="the folder for the overlays; its content is replaced")
    parser.add_argument("--timeout", type=int, default=600, help="give up after this many seconds")
    options = parser.parse_args()
    study = options.study or f"{ROOT}/samples-dicom"
    if not os.path.isdir(study):
        sys.exit(f"demo: the folder {study} does not exist")
    begin = time.monotonic()
    progress = Progress()
    with Hospital(quiet=1) as hospital:
        print(f"Orthanc (the archive): DICOM port {hospital.archive.dicom_port}, REST {hospital.archive.url}")
        print(f"Kontur: DICOM port {hospital.node.port}; conformance/peers/forward.py makes Orthanc forward")
        print(f"Uploading {study} to Orthanc:")
        stored, refused = hospital.archive.upload_tree(study, lambda done, of: progress.show(f"{done} of {of} files"))
        progress.done()
        print(f"  {stored} DICOM files stored" + (f", {refused} refused by Orthanc" if refused else ""))
        if not stored:
            sys.exit(f"demo: Orthanc did not find a new DICOM file in {study}")
        imaging = hospital.images()
        before = {uid for one in hospital.segmentations() for uid in one["Instances"]}
        print("Waiting until the SEGs are back in Orthanc:")
        wait_for_answers(hospital, len(imaging), options.timeout, progress)
        found = show_results(hospital, os.path.abspath(options.output)) - len(before)
        if found <= 0:
            print("\nKontur did not make a SEG.")
            explain(study, hospital.node.configuration)
        print()
        status, text, errors = hospital.node.run("audit", "verify")
        print((text + errors).strip())
        stopped, seconds = hospital.stop()
    print(f"\nAll processes are stopped. The demo took {time.monotonic() - begin:.0f} s.")
    if status != 0 or stopped != 0:
        sys.exit("demo: the audit trail did not verify" if status else f"demo: the node ended with status {stopped}")
    sys.exit(0 if found > 0 else 1)


if __name__ == "__main__":
    try:
        main()
    except (PeerError, OSError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
