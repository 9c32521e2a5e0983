#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a backlog costs the node: 10,000 queued jobs of 500 sources, and 10,000 objects for an absent archive.

One long job keeps the worker busy. Meanwhile the program copies the rows of that job, with a payload of 500 sources,
and measures the processor time and the memory of `kontur serve` before and afterwards. The deliveries are copies of one
delivery to an archive that does not listen. The node polls every two seconds, so the time is given per two seconds.
"""

import argparse
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "peers"), os.path.join(HERE, "checks")]

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from bench_ingest import processor
from node import ROOT, Node
from processes import free_port, wait_until
from send import Sender, read_part10

ROUTES = """
  - {name: colonoscopy, when: {modality: [ES]}, segmenter: polyp-compact, sendTo: [archive]}
"""
TICKS = os.sysconf("SC_CLK_TCK")
# Most processor seconds per two seconds and MiB that a backlog may add.
MOST_SECONDS, MOST_MEMORY = 0.1, 64


def write_images(folder):
    """Writes one small image, and one multi-frame image that takes a worker minutes."""
    data = pydicom.dcmread(f"{ROOT}/samples-dicom/colonoscopy/frame-2-rgb.dcm")
    data.save_as(f"{folder}/short.dcm")
    still = data.pixel_array[::3, ::3]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SeriesInstanceUID = generate_uid()
    data.Rows, data.Columns, data.NumberOfFrames = *still.shape[:2], 4000
    data.PixelData = np.ascontiguousarray(still).tobytes() * 4000
    data.save_as(f"{folder}/long.dcm")


class Copies:
    """Inserts copies of a row with other values in some columns, whatever columns the schema has."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, timeout=60)

    def row(self, table, condition):
        cursor = self.connection.execute(f"SELECT * FROM {table} WHERE {condition}")
        return dict(zip([column[0] for column in cursor.description], cursor.fetchone()))

    def insert(self, table, row, **changes):
        values = {name: value for name, value in {**row, **changes}.items() if name != "id"}
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        return self.connection.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(values.values())).lastrowid

    def jobs(self, count, sources):
        """Queues copies of the running job, each in a series of its own."""
        job = self.row("job", "state = 'running'")
        stored = self.row("jobPayload", f"jobId = {job['id']}")
        stack = self.row("stack", f"id = {job['stackId']}")
        series = self.row("series", f"id = {stack['seriesId']}")
        work = json.loads(stored["payload"])
        work["sources"] = work["sources"] * sources
        payload = json.dumps(work).encode()
        for number in range(count):
            copy = self.insert("series", series, seriesInstanceUID=f"1.2.3.{number}")
            copy = self.insert("stack", stack, seriesId=copy)
            copy = self.insert("job", job, stackId=copy, state="queued", run=None)
            self.insert("jobPayload", stored, jobId=copy, payload=payload)
            # Short transactions: the node writes, too.
            if number % 50 == 49:
                self.connection.commit()
        self.connection.commit()

    def deliveries(self, count):
        """Adds copies of the one pending delivery and of its job."""
        delivery = self.row("delivery", "state = 'pending'")
        job = self.row("job", f"id = {delivery['jobId']}")
        derived = self.row("derivedInstance", f"id = {delivery['derivedInstanceId']}")
        for number in range(count):
            copy = self.insert(
                "derivedInstance", derived, sopInstanceUID=f"1.2.4.{number}", path=f"{derived['path']}.{number}")
            self.insert("delivery", delivery, jobId=self.insert("job", job), derivedInstanceId=copy)
            if number % 200 == 199:
                self.connection.commit()
        self.connection.commit()


def used(process):
    """The processor seconds of a process so far, without its children."""
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(process, seconds):
    """Processor seconds per two seconds, and the largest resident memory in MiB."""
    begin, start, most = time.monotonic(), used(process), 0
    while time.monotonic() < begin + seconds:
        most = max(most, process.resident())
        time.sleep(0.1)
    return (used(process) - start) / (time.monotonic() - begin) * 2, most / (1 << 20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000, help="queued jobs")
    parser.add_argument("--sources", type=int, default=500, help="source instances per job")
    parser.add_argument("--deliveries", type=int, default=10_000, help="pending deliveries")
    parser.add_argument("--seconds", type=float, default=20, help="length of a measurement")
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="kontur-bench-")
    failed = False
    try:
        write_images(scratch)
        with Node(free_port(), routes=ROUTES) as node:
            def state(table, name):
                return node.states()[table].get(name, 0)

            def send(name):
                if not Sender(node.port, answer_within=60).send([read_part10(f"{scratch}/{name}.dcm")]):
                    raise SystemExit(f"the node does not take the {name} image")

            send("short")
            wait_until(lambda: state("deliveries", "pending"), 60, "the first object")
            send("long")
            wait_until(lambda: state("jobs", "running"), 60, "the long job")
            print(f"{processor()}\n{'':32} s per 2 s      MiB")
            rows = []
            copies = Copies(f"{node.spool}/kontur.sqlite")
            for name, add in [
                    ("without a backlog", lambda: None),
                    (f"{options.deliveries} deliveries more", lambda: copies.deliveries(options.deliveries)),
                    (f"{options.jobs} jobs of {options.sources} more", lambda: copies.jobs(options.jobs, options.sources))]:
                add()
                time.sleep(3)
                rows.append(measure(node.process, options.seconds))
                print(f"{name:32} {rows[-1][0]:9.3f} {rows[-1][1]:8.0f}", flush=True)
            if not state("jobs", "running"):
                raise SystemExit("the long job ended before the measurement: nothing was measured")
            begin = time.monotonic()
            node.run("status")
            print(f"kontur status: {time.monotonic() - begin:.2f} s")
            begin = time.monotonic()
            node.run("jobs", "list")
            print(f"kontur jobs list: {time.monotonic() - begin:.2f} s")
            failed = any(time_used > rows[0][0] + MOST_SECONDS or memory > rows[0][1] + MOST_MEMORY
                         for time_used, memory in rows[1:])
            node.kill()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if failed:
        sys.exit("the backlog costs more than it may")


if __name__ == "__main__":
    main()
