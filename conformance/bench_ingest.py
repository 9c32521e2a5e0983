#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how fast Kontur takes instances and associations, beside Orthanc and DCMTK's storescp.

In every round, each server gets a fresh folder and the same slices. The servers take turns, and the result is the
median over the rounds. Orthanc has its default settings. storescp runs with TCP_NODELAY=1 and +B, and does not sync.
Kontur has file, folder and journal on disk before each answer.

    ingest        instances per second of Debian's dcmsend, over one association and over four at once; and the
                  processor time of the node and its children for each instance, until all are indexed
    tls           the same over one association of storescu, plain and with TLS
    associations  associations per second of one C-ECHO, and of one small instance, by one caller and by four at once

`--against EXECUTABLE` adds another executable of Kontur, such as one of the commit before, to every round.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "peers"), os.path.join(HERE, "checks")]

import make_studies
import wire
from certificates import Authority
from footprint import processor_seconds
from many import small_instance
from node import Node, executable
from orthanc import Orthanc
from processes import free_port, wait_until
from storescp import Storescp

SIDES = {"52 KB": 162, "128 KiB": 256}


class Kontur:
    """A node for one measurement. `title` and `port` are those of the plain port."""

    title = "KONTUR"

    def __init__(self, program, site=None):
        self.tls_port, settings, test = free_port(), "", ""
        if site:
            settings = (f"tls: {{port: {self.tls_port}, certificate: {site.node.certificate}, key: {site.node.key}, "
                        f"authorities: {site.authority.certificate}, clients: required}}")
            test = "certificate: {subject: 'O=Kontur checks,CN=test'}"
        self.node = Node(free_port(), quiet=900, routes=" []", program=program, settings=settings, test_settings=test)
        self.port = self.node.port

    def __enter__(self):
        self.node.start()
        return self

    def __exit__(self, *_):
        self.node.remove()

    def processor_seconds(self):
        """The processor time of the node, its children, and the children that have ended."""
        return sum(processor_seconds(pid) for pid in [self.node.process.pid, *self.node.process.children()])

    def wait_until_indexed(self):
        wait_until(lambda: not self.node.states()["instances"].get("received"), 300, "the index work", 0.2)


class Archive(Orthanc):
    """Orthanc with the names that a measurement needs."""

    def __enter__(self):
        super().__enter__()
        self.port = self.dicom_port
        return self


class Site:
    """The certificates of a node and of a caller."""

    def __init__(self, folder):
        self.authority = Authority(f"{folder}/authority")
        self.node, self.test = self.authority.issue("node"), self.authority.issue("test")


def run_all(commands, count):
    """Runs senders at the same time. Returns instances per second."""
    begin = time.monotonic()
    senders = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    statuses = [sender.wait(600) for sender in senders]
    if any(statuses):
        raise SystemExit(f"{commands[0]} ended with status {statuses}")
    return count / (time.monotonic() - begin)


def dcmsend(server, folders, count):
    """Sends each folder with its own dcmsend, and so its own association."""
    return run_all([["/usr/bin/dcmsend", "-q", "-aet", "TEST", "-aec", server.title, "--scan-directories", "127.0.0.1",
                     str(server.port), folder] for folder in folders], count)


def storescu(server, folders, count, site=None):
    """Sends each folder with its own storescu."""
    secure = ["+tls", site.test.key, site.test.certificate, "+cf", site.authority.certificate] if site else []
    port = server.tls_port if site else server.port
    return run_all([["/usr/bin/storescu", *secure, "-aet", "TEST", "-aec", server.title, "+sd", "127.0.0.1", str(port),
                     folder] for folder in folders], count)


def read_kind(connection):
    """Reads one PDU. Returns its type, or `None` at the end of the connection."""
    data = b""
    while len(data) < 6 or len(data) < 6 + int.from_bytes(data[2:6], "big"):
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    return data[0]


def call_often(server, count, callers, stores):
    """`callers` processes make `count` associations. Returns associations per second."""
    def requests(part):
        context = wire.SECONDARY_CAPTURE if stores else wire.VERIFICATION
        begin = wire.associate_request("TEST", server.title, [(context, [
            wire.EXPLICIT_LITTLE if stores else wire.IMPLICIT_LITTLE])])
        for index in range(part):
            if stores:
                one = small_instance("2.25.1", "2.25.2", index)
                yield begin, wire.pdv(1, wire.store_command(one.class_uid, one.instance_uid), True, True) + wire.pdv(
                    1, one.data, False, True)
            else:
                yield begin, wire.pdv(1, wire.command_set({
                    0x0002: wire.VERIFICATION, 0x0100: wire.C_ECHO_REQUEST, 0x0110: 1, 0x0800: wire.NO_DATA_SET}), True,
                    True)

    def run_one(first, second):
        """Whether the association went well. `None` if it was rejected, for instance because all places were taken."""
        with wire.connect(server.port) as connection:
            for data, answer in ((first, 2), (second, 4), (struct.pack(">BBII", 5, 0, 4, 0), 6)):
                connection.sendall(data)
                kind = read_kind(connection)
                if kind != answer:
                    return None if kind == 3 else False
        return True

    def call(part, start, done):
        prepared, failed = list(requests(part)), 0
        start.wait()
        for one in prepared:
            outcome = run_one(*one)
            while outcome is None:
                outcome = run_one(*one)
            failed += not outcome
        done.put(failed)

    start, done = multiprocessing.Event(), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=call, args=(count // callers, start, done)) for _ in range(callers)]
    for one in processes:
        one.start()
    time.sleep(0.3 + count / 20000)
    begin = time.monotonic()
    start.set()
    failed = sum(done.get(timeout=300) for _ in processes)
    seconds = time.monotonic() - begin
    for one in processes:
        one.join()
    if failed:
        raise SystemExit(f"{failed} of {count} associations failed")
    return count / seconds


def write_slices(folder, count, side, parts):
    """Writes `count` slices in `parts` folders, one MR series per folder. Returns the folders."""
    folders = []
    for part in range(parts):
        folders.append(f"{folder}/{side}-{parts}-{part}")
        make_studies.slices(folders[-1], count // parts, side, side, name=f"BENCH{part}", seed=part)
    return folders


def processor():
    """The processor's model, number of cores and widest vector instructions, as Linux names them."""
    with open("/proc/cpuinfo") as file:
        facts = [line.split(":", 1) for line in file if ":" in line]
    models = [value.strip() for key, value in facts if key.startswith("model name")]
    flags = next((value.split() for key, value in facts if key.startswith("flags")), [])
    widest = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags), "")
    return f"{models[0] if models else platform.processor()}, {len(models)} cores, {widest}"


def konturs(options, site=None):
    """The executables of Kontur to measure, by name."""
    found = {"kontur": lambda: Kontur(executable(), site)}
    if options.against:
        found["before"] = lambda: Kontur(options.against)
    return found


class Table:
    """Measured values by server and variant, such as ("kontur", "4 associations")."""

    def __init__(self):
        self.values = {}

    def add(self, server, variant, value, unit):
        self.values.setdefault((server, variant), []).append(value)
        print(f"{server}, {variant}: {value:.4g} {unit}", file=sys.stderr, flush=True)

    def medians(self, digits=1):
        return {f"{server}, {variant}": round(statistics.median(values), digits)
                for (server, variant), values in self.values.items()}

    def ratio(self, one, other):
        """The median over the rounds of one row divided by another."""
        return round(statistics.median(a / b for a, b in zip(self.values[one], self.values[other])), 2)

    def ratios(self):
        """Kontur divided by every other server, for each variant."""
        return {f"to {server}, {variant}": self.ratio(("kontur", variant), (server, variant))
                for server, variant in self.values if server != "kontur"}


def measure_ingest(options, scratch, result):
    several = f"{options.associations} associations"
    for size in options.sizes.split(","):
        rates, costs = Table(), Table()
        variants = {"1 association": write_slices(scratch, options.count, SIDES[size], 1)}
        if options.associations > 1:
            variants[several] = write_slices(scratch, options.count, SIDES[size], options.associations)
        few = write_slices(f"{scratch}/few", options.orthanc_count, SIDES[size], 1) if options.orthanc_count else None
        for _ in range(options.rounds):
            for variant, folders in variants.items():
                for name, make in konturs(options).items():
                    with make() as server:
                        before = server.processor_seconds()
                        rates.add(name, variant, dcmsend(server, folders, options.count), f"instances/s ({size})")
                        server.wait_until_indexed()
                        spent = (server.processor_seconds() - before) / options.count * 1000
                        costs.add(name, variant, spent, f"processor ms per instance ({size})")
                with Storescp(*(["--fork"] if variant == several else [])) as server:
                    rates.add("storescp +B", variant, dcmsend(server, folders, options.count), f"instances/s ({size})")
            if few:
                with Archive() as server:
                    rates.add("orthanc", "1 association", dcmsend(server, few, options.orthanc_count),
                              f"instances/s ({size})")
        found = rates.ratios()
        if several in variants:
            found[f"{several} to one"] = rates.ratio(("kontur", several), ("kontur", "1 association"))
        result[f"ingest, {size}"] = {"instances per second": rates.medians(), "ratios": found,
                                     "processor ms per instance": costs.medians(3), "ratios of these": costs.ratios()}


def measure_tls(options, scratch, result):
    for size in options.sizes.split(","):
        rates, site = Table(), Site(tempfile.mkdtemp(dir=scratch))
        folders = write_slices(f"{scratch}/tls", options.count, SIDES[size], 1)
        for _ in range(options.rounds):
            for variant, secured in (("plain", None), ("tls", site)):
                with Kontur(executable(), secured) as server:
                    rates.add("kontur", variant, storescu(server, folders, options.count, secured),
                              f"instances/s ({size}, storescu)")
        result[f"tls, {size}"] = {"instances per second": rates.medians(),
                                  "tls to plain": rates.ratio(("kontur", "tls"), ("kontur", "plain"))}


def measure_associations(options, _, result):
    servers = {**konturs(options), "storescp --fork": lambda: Storescp("--fork"), "orthanc": Archive}
    if not options.orthanc_count:
        del servers["orthanc"]
    for stores, what in ((False, "one C-ECHO"), (True, "one instance")):
        rates = Table()
        for _ in range(options.rounds):
            for name, make in servers.items():
                count = {"orthanc": 100, "storescp --fork": 400}.get(name, options.calls)
                for callers in (1, 4):
                    with make() as server:
                        rate = call_often(server, count, callers, stores)
                        rates.add(name, f"{callers} callers", rate, f"associations/s ({what})")
        result[f"associations of {what}"] = {"per second": rates.medians(), "ratios": rates.ratios()}


PARTS = {"ingest": measure_ingest, "tls": measure_tls, "associations": measure_associations}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="measurements, separated by commas")
    parser.add_argument("--against", metavar="EXECUTABLE", help="another executable of Kontur, to compare with")
    parser.add_argument("--count", type=int, default=1000, help="slices for Kontur and storescp")
    parser.add_argument("--orthanc-count", type=int, default=150, help="slices for Orthanc; 0 skips Orthanc")
    parser.add_argument("--calls", type=int, default=2000, help="associations with Kontur")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds")
    parser.add_argument("--associations", type=int, default=4, help="associations at once")
    parser.add_argument("--sizes", default=",".join(SIDES), help="slice sizes, separated by commas")
    options = parser.parse_args()
    result = {"processor": processor(), "date": time.strftime("%Y-%m-%d"), "rounds": options.rounds}
    scratch = tempfile.mkdtemp(prefix="kontur-bench-")
    try:
        for name in options.parts.split(","):
            PARTS[name](options, scratch, result)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
