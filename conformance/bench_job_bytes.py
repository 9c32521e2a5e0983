#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the bytes of source files that one job opens and hashes, for 88 slices and for one long multi-frame object.

The program lets `kontur segment` make the requests to its workers, and repeats them to a worker of its own: to one that
indexes the files, and to one that segments the stack, with one output or with one per viewer profile. strace counts how
often the worker opens a source, and the bytes that it maps or reads. gdb counts the bytes that pass through SHA-256.
Seconds are those of a run without either. `--executable NAME=PATH` compares several builds.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "peers"), os.path.join(HERE, "checks")]

import numpy as np
import pydicom

import make_studies
from bench_ingest import processor
from kills import drawn_volume
from node import ROOT, executable

PROFILES = ("strict", "ohif", "slicer")
# The function that hashes: of libcrypto's door, or of the library that earlier builds held.
UPDATES = ("cplatform_sha256_update", "CCryptoBoringSSL_SHA256_Update")
MULTI_FRAME_TRUE_COLOR = "1.2.840.10008.5.1.4.1.1.7.4"


def write_slices(folder):
    """Writes 88 slices of 336 x 448 in which the segmenter finds an atrium."""
    volume, spacing = drawn_volume(88)
    make_studies.left_atrium(folder, "BYTES", volume.repeat(4, axis=1).repeat(4, axis=2), spacing=spacing / 4)


def write_movie(folder, frames=300, side=472):
    """Writes one uncompressed multi-frame object of 200 MB, all of whose frames show a polyp."""
    os.makedirs(folder)
    data = pydicom.dcmread(f"{ROOT}/samples-dicom/colonoscopy/frame-2-rgb.dcm")
    still = data.pixel_array
    rows = np.arange(side) * still.shape[0] // side
    columns = np.arange(side) * still.shape[1] // side
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MULTI_FRAME_TRUE_COLOR
    data.Rows, data.Columns, data.NumberOfFrames = side, side, frames
    data.PixelData = still[rows][:, columns].tobytes() * frames
    data.save_as(f"{folder}/movie.dcm")


def captured_request(kontur, folder, segmenter, scratch):
    """The request to segment the stack of a folder, as `kontur segment` writes it into the worker's pipe."""
    log, output = f"{scratch}/strace", tempfile.mkdtemp(dir=scratch)
    command = ["strace", "--seccomp-bpf", "-f", "-qq", "-e", "trace=write", "-s", "4000000", "-o", log, kontur,
               "segment", folder, "--segmenter", segmenter, "--output", output, "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                ended = process.poll() is not None
                with open(log, encoding="latin-1") if os.path.exists(log) else open(os.devnull) as file:
                    for line in file:
                        found = re.search(r'write\(\d+, "(\{\\"segment\\":.*)\\n", \d+', line)
                        if found:
                            return json.loads(found[1].encode("latin-1").decode("unicode_escape"))
                if ended:
                    raise SystemExit(f"{kontur} sent no request to a worker in one write")
                time.sleep(0.1)
        finally:
            process.terminate()


class Conversation:
    """The pipe and the file of one worker. Its input stays open until every request is answered, and then closes."""

    def __init__(self, requests, scratch):
        self.requests = requests
        self.input, self.output = f"{scratch}/input", f"{scratch}/answers"
        for path in (self.input, self.output):
            if os.path.exists(path):
                os.remove(path)
        os.mkfifo(self.input)
        open(self.output, "w").close()
        threading.Thread(target=self._feed, daemon=True).start()

    def answers(self):
        """The answers so far, without progress."""
        with open(self.output) as file:
            return [line for line in file if line.startswith('{"response"') and line.endswith("\n")]

    def _feed(self):
        with open(self.input, "w") as pipe:
            pipe.writelines(json.dumps(one) + "\n" for one in self.requests)
            pipe.flush()
            deadline = time.monotonic() + 1800
            while os.path.exists(self.output) and time.monotonic() < deadline:
                if len(self.answers()) >= len(self.requests):
                    break
                time.sleep(0.02)

    def run(self, command):
        """Runs a command with the worker's input and output. Returns its seconds."""
        begin = time.monotonic()
        with open(self.input) as requests, open(self.output, "w") as answers:
            subprocess.run(command, stdin=requests, stdout=answers, stderr=subprocess.DEVNULL, check=True)
        return time.monotonic() - begin


def opened(worker, requests, folder, scratch):
    """How often a worker opens files of the folder, and the bytes that it maps and reads of them."""
    log = f"{scratch}/strace"
    Conversation(requests, scratch).run(
        ["strace", "--seccomp-bpf", "-f", "-y", "-qq", "-e", "trace=openat,mmap,read,pread64", "-o", log, *worker])
    opens = total = 0
    with open(log, encoding="latin-1") as file:
        for line in file:
            if f"<{folder}/" not in line:
                continue
            opens += "openat(" in line
            found = re.search(r"mmap\(NULL, (\d+),", line) or re.search(r"p?read(?:64)?\(.*= (\d+)$", line)
            total += int(found[1]) if found else 0
    return opens, total


def hashed(worker, requests, scratch):
    """The bytes that a worker hashes."""
    script = f"{scratch}/gdb"
    symbols = subprocess.run(["nm", worker[0]], capture_output=True, text=True, check=True).stdout
    update = next(name for name in UPDATES if f" {name}\n" in symbols)
    talk = Conversation(requests, scratch)
    with open(script, "w") as file:
        # The third argument of the function, by the calling convention of x86-64.
        file.write(f"set pagination off\nset confirm off\nset $sum = 0\nbreak *{update}\ncommands\nsilent\n"
                   f"set $sum = $sum + $rdx\ncontinue\nend\n"
                   f"run {' '.join(worker[1:])} < {talk.input} > {talk.output} 2> /dev/null\n"
                   'printf "hashed %lu\\n", $sum\n')
    ran = subprocess.run(["gdb", "-nx", "-batch", "-x", script, worker[0]], capture_output=True, text=True)
    found = re.search(r"hashed (\d+)", ran.stdout)
    if not found:
        raise SystemExit(f"gdb did not count: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    return int(found[1])


def measure(kontur, role, requests, folder, scratch):
    """Repeats requests to a worker of one role: alone, under strace, and under gdb."""
    worker = [kontur, "worker", "--role", role, "--threads", str(os.cpu_count())]
    talk = Conversation(requests, scratch)
    seconds = talk.run(worker)
    for answer in talk.answers():
        if not any(word in answer for word in ('"indexed"', '"segmented"')):
            raise SystemExit(f"the worker answered {answer[:500]}")
    opens, total = opened(worker, requests, folder, scratch)
    return {"opens": opens, "opened MB": round(total / 1e6, 1),
            "hashed MB": round(hashed(worker, requests, scratch) / 1e6, 1), "seconds": round(seconds, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--study", choices=["88 slices", "300 frames"], help="measure this study only")
    parser.add_argument("--executable", action="append", metavar="NAME=PATH",
                        help="a build to measure; may be repeated")
    options = parser.parse_args()
    builds = dict(one.split("=", 1) for one in options.executable or [f"kontur={executable()}"])
    scratch = tempfile.mkdtemp(prefix="kontur-bytes-")
    try:
        studies = {"88 slices": ("left-atrium-compact", write_slices), "300 frames": ("polyp-compact", write_movie)}
        report = {"processor": processor(), "date": time.strftime("%Y-%m-%d"), "measured": []}
        for study, (segmenter, write) in studies.items():
            if options.study not in (None, study):
                continue
            folder = f"{scratch}/{study.replace(' ', '-')}"
            write(folder)
            size = sum(os.path.getsize(f"{folder}/{name}") for name in os.listdir(folder))
            for build, kontur in builds.items():
                request = captured_request(kontur, folder, segmenter, scratch)
                job = request["segment"]["request"]
                job["overlayFolder"] = None
                paths = [f"{job['folder']}/{one['path']}" for one in job["sources"]]
                one = {"study": study, "MB": round(size / 1e6, 1), "build": build}
                one["index"] = measure(
                    kontur, "index", [{"index": {"request": {"path": path}}} for path in paths], folder, scratch)
                for count in (1, len(PROFILES)):
                    outputs = [json.loads(json.dumps(job["outputs"][0])) for _ in range(count)]
                    for output, profile in zip(outputs, PROFILES):
                        output["path"] = f"{scratch}/{profile}.dcm"
                        output["description"]["viewerProfile"] = profile
                    changed = {"segment": {"request": {**job, "outputs": outputs}}}
                    one[f"segment, {count} profiles"] = measure(kontur, "segment", [changed], folder, scratch)
                print(json.dumps(one), file=sys.stderr, flush=True)
                report["measured"].append(one)
        print(json.dumps(report, indent=1))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
