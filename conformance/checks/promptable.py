#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Follows installed weights from the checkpoint to the archive: a route with `medsam-slices` gets an LGE volume.

The weights are drawn and scaled down, or those of --checkpoint. Drawn weights make meaningless masks, but the check
tests everything around them. It passes if

- the route is an error while the weights are missing, and the error names the command that installs them,
- `kontur models add` removes the error, and `kontur config check` then estimates the time,
- the SEG that comes back to the archive passes `check_seg`, and
- the SEG and the audit trail name the recipe and the hash of the weights.

The check also tries pictures and prompts with the same weights.

    promptable.py [--checkpoint medsam_vit_b.pth] [--slices 26]
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import numpy as np
import pydicom
from PIL import Image

import drawn_sam
import make_studies
from check_seg import check_folder
from kills import drawn_volume
from node import Node, executable
from orthanc import Orthanc
from report import Report
from send import Sender, files, read_anything

ROUTES = """
  - name: left-atrium
    when: {modality: [MR]}
    segmenter: medsam-slices
    margin: 6
    sendTo: [archive]
"""


def stored_hash(report, node):
    """Computes the SHA-256 of the only file of weights in the node's folder of models."""
    stored = [path for path in files([f"{node.spool}/models"]) if path.endswith(".safetensors")]
    if not report.expect(len(stored) == 1, f"{len(stored)} files of weights are installed"):
        report.end()
    with open(stored[0], "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(report, node, checkpoint):
    """Expects an error for the missing weights, and adds them as the error says."""
    status, _, errors = node.run("serve")
    report.expect(status == 1 and "kontur models add" in errors, f"start without weights: {status} {errors.strip()}")
    status, _, errors = node.check_configuration()
    report.expect(status == 1 and ": routes[0].segmenter: medsam-slices needs" in errors, f"check: {errors.strip()}")
    report.line(errors.strip())
    status, output, errors = node.run("models", "add", checkpoint, "--family", "medsam", timeout=600)
    if not report.expect(status == 0, f"models add: {errors.strip()}"):
        report.end()
    status, output, errors = node.check_configuration()
    report.expect(status == 0 and "about " in output, f"check with weights: {errors.strip()} {output.strip()}")
    report.line(output.strip())


def check_archive(report, node, archive, sources, weights, scratch):
    """Checks the SEG in the archive, and the method that the SEG and the audit trail name."""
    paths = archive.save_segmentations(f"{scratch}/seg")
    report.expect(len(paths) == 1, f"{len(paths)} SEG instead of 1")
    found, wrong = check_folder(paths, [sources])
    for failure in wrong:
        report.expect(False, failure)
    for one in found:
        report.line(f"SEG {one['rows']} x {one['columns']}, {one['frames']} frames of {one['sources']} images, "
                    f"{one['voxels']} voxels compared in place: {one['description']}")
    for path in paths:
        data = pydicom.dcmread(path, stop_before_pixels=True)
        comments = [str(frame.FrameContentSequence[0].get("FrameComments", ""))
                    for frame in data.PerFrameFunctionalGroupsSequence]
        report.expect(all("stabilityScore" in text and "jitterAgreement" in text for text in comments),
                      f"the frame comments lack the confidence: {comments[:2]}")
        algorithm = data.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
        report.expect(algorithm.AlgorithmName == "medsam-slices", f"the SEG names {algorithm.AlgorithmName}")
        report.expect(weights in algorithm.AlgorithmParameters, "the SEG does not name the hash of the weights")
    shown = node.json("audit", "show", "--event", "jobDone")["records"]
    report.expect(len(shown) == 1 and shown[0].get("weightsHash") == weights,
                  "the trail does not name the hash of the weights")
    report.expect_whole_trail(node)


def segment(report, arguments, expected=0, timeout=600):
    """Runs `kontur segment --json`. Notes a failure unless it ends with the expected status. Returns its output."""
    done = subprocess.run([executable(), "segment", *arguments, "--json"], capture_output=True, text=True,
                          timeout=timeout)
    report.expect(done.returncode == expected, f"segment {arguments}: {done.returncode} {done.stderr.strip()}")
    return json.loads(done.stdout) if done.stdout else {}


def try_pictures(report, models, scratch):
    """Tries a picture with a box, and checks its mask and the dump of the network's input and output."""
    rows, columns = 90, 120
    picture = np.random.default_rng(3).integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    Image.fromarray(picture).save(f"{scratch}/picture.png")
    common = [f"{scratch}/picture.png", "--output", f"{scratch}/out", "--models", models, "--segmenter", "medsam-box"]
    found = segment(report, common + ["--box", "20,10,80,70", "--dump", f"{scratch}/dump"])
    for one in found.get("pictures", []):
        report.expect(one["outcome"] in ("segmented", "nothingFound"), f"picture: {one}")
        if report.expect(one.get("mask"), f"the mask is missing: {one}"):
            mask = np.asarray(Image.open(one["mask"]))
            report.expect(mask.shape == (rows, columns) and set(np.unique(mask)) <= {0, 255},
                          "the mask has another size, or other values than 0 and 255")
    dumped = files([f"{scratch}/dump"])
    report.expect(len(dumped) == 1 and dumped[0].endswith(".safetensors"), f"dumped: {dumped}")
    for path in dumped:
        with open(path, "rb") as file:
            head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        report.line(", ".join(f"{name} {one['shape']}" for name, one in sorted(head.items())))
        report.expect({"input", "image_embedding", "low_res_logits"} <= set(head), f"dumped: {sorted(head)}")
    for wrong in (["--point", "5,5,+"], ["--box", "80,70,20,10"], ["--box", "1,1,1,9"], ["--box", "a"]):
        segment(report, common + wrong, expected=64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", help="a checkpoint of MedSAM instead of drawn weights")
    parser.add_argument("--slices", type=int, default=10, help="slices of the volume")
    options = parser.parse_args()
    report = Report("promptable")
    with tempfile.TemporaryDirectory() as scratch, Orthanc(overrides={"DicomCheckCalledAet": False}) as archive:
        checkpoint = options.checkpoint or f"{scratch}/medsam_drawn.safetensors"
        if not options.checkpoint:
            drawn_sam.checkpoint(checkpoint)
        volume, spacing = drawn_volume(options.slices)
        made = make_studies.left_atrium(f"{scratch}/sources", "PROMPTED", volume, spacing=spacing)
        node = Node(archive.dicom_port, routes=ROUTES)
        try:
            install(report, node, checkpoint)
            weights = stored_hash(report, node)
            node.start()
            Sender(node.port).send([read_anything(path) for path in files([f"{scratch}/sources"])], keep_trying=20)
            states = node.settle(120 + options.slices * (120 if options.checkpoint else 10))
            report.line(f"states: {states}")
            report.expect_nothing_dead(states)
            check_archive(report, node, archive, f"{scratch}/sources", weights, scratch)
            report.expect(len(made["instances"]) == options.slices, "not all slices were sent")
            node.stop()
            try_pictures(report, f"{node.spool}/models", scratch)
        finally:
            node.remove()
    report.end()


if __name__ == "__main__":
    main()
