#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends one scene to the node as a still, as JPEG 2000 stills and as video in every codec.

The clip shows a sample frame with a polyp for a second, and then a second of its mean colour. The route asks for four
frames per second. The check passes if the node takes every transfer syntax over the network, each SEG refers to the frames
that begin the quarters of the first second and to no other frame, its masks agree with that of the uncompressed still,
and the notes name a clip whose rate and length are not those of its attributes. Needs ffmpeg.
"""

import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import UID, generate_uid
from pynetdicom import AE, evt

from check_seg import SEGMENTATION_STORAGE
from node import ROOT, Node
from processes import free_port
from report import Report
from send import Sender, read_part10

ROUTES = """
  - name: colonoscopy
    when: {modality: [ES]}
    segmenter: polyp-compact
    framesPerSecond: 4
    sendTo: [archive]
"""
RATE = 25
# The first frames of the quarters of a second at 25 frames per second, counted from 1.
EXPECTED = [1, 8, 14, 20]
SYNTAX = "1.2.840.10008.1.2"
STILL, VIDEO = "1.2.840.10008.5.1.4.1.1.77.1.1", "1.2.840.10008.5.1.4.1.1.77.1.1.1"
X264, X265 = ["-c:v", "libx264", "-crf", "12"], ["-c:v", "libx265", "-crf", "12", "-x265-params", "log-level=none"]
MPEG2 = ["-c:v", "mpeg2video", "-q:v", "2", "-bf", "2"]
# name, transfer syntax, encoder, container, pixel format, fragments, wrong attributes
CLIPS = [
    ("MPEG-2 elementary stream", ".4.100", MPEG2, "mpeg2video", "yuv420p", 1, {}),
    ("MPEG-2 transport stream", ".4.101.1", MPEG2, "mpegts", "yuv420p", 5, {}),
    ("H.264 in MP4", ".4.102", X264, "mp4", "yuv420p", 1, {}),
    ("H.264 elementary stream", ".4.104.1", X264, "h264", "yuv420p", 3, {}),
    ("HEVC of 10 bits", ".4.108", X265, "hevc", "yuv420p10le", 1, {}),
    ("wrong rate and length", ".4.103", X264, "mp4", "yuv420p", 1,
     {"CineRate": 60, "FrameTime": "16.67", "NumberOfFrames": 70}),
]


def encode(frames, options, container, rate=RATE):
    """The bytes that ffmpeg makes of frames [count, rows, columns, 3]."""
    _, rows, columns, _ = frames.shape
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/out"
        subprocess.run(
            ["ffmpeg", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{rows}", "-r",
             str(rate), "-i", "-", *options, "-f", container, path],
            input=frames.tobytes(), check=True, timeout=120)
        with open(path, "rb") as file:
            return file.read()


def instance(scene, sop_class, syntax, photometric, stream=None, fragments=1, count=None, changes={}):
    """An instance of a series of its own, with a stream in fragments or with the pixels of the scene."""
    data = pydicom.dcmread(f"{ROOT}/samples-dicom/colonoscopy/frame-2-rgb.dcm")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SeriesInstanceUID = generate_uid()
    data.file_meta.TransferSyntaxUID = UID(SYNTAX + syntax)
    data.Rows, data.Columns = scene.shape[:2]
    data.PhotometricInterpretation = photometric
    if count:
        data.NumberOfFrames, data.CineRate, data.FrameTime = count, RATE, f"{1000 / RATE:g}"
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    if stream is None:
        data.PixelData = scene.tobytes()
    else:
        size = -(-len(stream) // fragments // 2) * 2
        data.PixelData = encapsulate([stream[i:i + size] for i in range(0, len(stream), size)], has_bot=False)
        data["PixelData"].is_undefined_length = True
    return data


def instances(scene):
    """Everything that is sent: name, instance, whether it is a clip."""
    grey = np.broadcast_to(scene.reshape(-1, 3).mean(0).astype(np.uint8), scene.shape)
    clip = np.stack([scene] * RATE + [grey] * RATE)
    yield "uncompressed", instance(scene, STILL, ".1", "RGB"), False
    for name, syntax, options, photometric in [
        ("JPEG 2000 lossless", ".4.90", ["-pred", "1"], "YBR_RCT"),
        ("JPEG 2000 lossy", ".4.91", ["-compression_level", "20"], "YBR_ICT"),
    ]:
        stream = encode(scene[None], ["-c:v", "jpeg2000", "-format", "j2k", "-pix_fmt", "rgb24", *options], "image2pipe")
        yield name, instance(scene, STILL, syntax, photometric, stream, 3), False
    for name, syntax, options, container, pixel_format, fragments, changes in CLIPS:
        stream = encode(clip, [*options, "-pix_fmt", pixel_format], container)
        yield name, instance(
            scene, VIDEO, syntax, "YBR_PARTIAL_420", stream, fragments, len(clip), changes), True


def start_archive(port, stored):
    """Starts an archive that takes SEGs, and adds each to `stored`."""
    def store(event):
        stored.append(event.dataset)
        return 0x0000

    entity = AE(ae_title="ORTHANC")
    entity.add_supported_context(SEGMENTATION_STORAGE)
    return entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])


def masks(data):
    """The masks of a SEG, the frame numbers that they refer to (1 for a source of one frame), and the source's UID."""
    bits = np.unpackbits(np.frombuffer(data.PixelData, np.uint8), bitorder="little")
    count, rows, columns = int(data.NumberOfFrames), data.Rows, data.Columns
    numbers = []
    for group in data.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        numbers.append(int(source.get("ReferencedFrameNumber", 1)))
    return bits[:count * rows * columns].reshape(count, rows, columns), numbers, source.ReferencedSOPInstanceUID


def dice(one, other):
    return 2 * np.logical_and(one, other).sum() / max(one.sum() + other.sum(), 1)


def main():
    report = Report("formats")
    if not shutil.which("ffmpeg"):
        report.skip("ffmpeg is not installed")
    scene = pydicom.dcmread(f"{ROOT}/samples-dicom/colonoscopy/frame-2-rgb.dcm").pixel_array
    scene = np.ascontiguousarray(scene[:scene.shape[0] // 2 * 2, :scene.shape[1] // 2 * 2])
    port, stored = free_port(), []
    archive = start_archive(port, stored)
    with Node(port, routes=ROUTES) as node, tempfile.TemporaryDirectory() as folder:
        sent = {}
        for number, (name, data, is_clip) in enumerate(instances(scene)):
            path = f"{folder}/{number}.dcm"
            data.save_as(path, enforce_file_format=True)
            sender = Sender(node.port)
            report.expect(sender.send([read_part10(path)]), f"{name}: {sender.statuses}")
            sent[data.SOPInstanceUID] = (name, is_clip)
        report.expect_nothing_dead(node.settle(120))
        archive.shutdown()
        segs = {}
        for data in stored:
            bits, numbers, source = masks(data)
            segs[source] = (bits, numbers)
        truth = next((segs[uid][0][0] for uid, (name, _) in sent.items() if name == "uncompressed" and uid in segs), None)
        report.expect(truth is not None, "the uncompressed still has no SEG")
        for uid, (name, is_clip) in sent.items():
            if truth is None or uid not in segs:
                report.expect(False, f"{name}: there is no SEG")
                continue
            bits, numbers = segs[uid]
            worst = min(dice(mask, truth) for mask in bits)
            report.line(f"{name}: frames {numbers}, Dice to the uncompressed still at least {worst:.3f}")
            report.expect(numbers == (EXPECTED if is_clip else [1]), f"{name}: the SEG refers to frames {numbers}")
            report.expect(worst >= 0.95, f"{name}: Dice {worst:.3f}")
        notes = "\n".join(str(row[0]) for row in node.query("SELECT reason FROM audit WHERE event = 'jobDone'"))
        for words in ("has 25 frames per second, and its attributes say", "has 50 frames, and Number of Frames says 70",
                      "segmented 8 of 50 frames"):
            report.expect(words in notes, f"no note says '{words}'")
        report.expect_whole_trail(node)
    report.end()


if __name__ == "__main__":
    main()
