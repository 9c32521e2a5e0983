#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures instances per second from Debian's dcmsend over one association, into Kontur, Orthanc and storescp +B.

In every round, each server gets a fresh folder and the same slices. The servers take turns, and the result is the
median over the rounds. Orthanc has its default settings. storescp runs with TCP_NODELAY=1 and does not sync. Kontur
has file, folder and journal on disk before each answer. `--associations 4` also sends the same slices over four
associations at once.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "peers"), os.path.join(HERE, "checks")]

import make_studies
from node import Node
from orthanc import Orthanc
from processes import Process, free_port, wait_until
from wire import echo

SIDES = {"52 KB": 162, "128 KiB": 256}


def dcmsend(folders, port, called):
    """Sends each folder with its own dcmsend, and so its own association. Returns the seconds for all of them."""
    begin = time.monotonic()
    senders = [subprocess.Popen(
        ["/usr/bin/dcmsend", "-q", "-aet", "TEST", "-aec", called, "--scan-directories", "127.0.0.1", str(port),
         folder], stdout=subprocess.DEVNULL) for folder in folders]
    statuses = [sender.wait(600) for sender in senders]
    if any(statuses):
        raise SystemExit(f"dcmsend ended with status {statuses}")
    return time.monotonic() - begin


def to_kontur(folders):
    with Node(free_port(), quiet=30) as node:
        return dcmsend(folders, node.port, "KONTUR")


def to_orthanc(folders):
    with Orthanc() as archive:
        return dcmsend(folders, archive.dicom_port, "ORTHANC")


def to_storescp(folders):
    folder, port = tempfile.mkdtemp(prefix="kontur-storescp-"), free_port()
    try:
        command = ["/usr/bin/storescp", "+B", "-aet", "STORESCP", "-od", folder, str(port)]
        with Process(command, f"{folder}/log", environment={"TCP_NODELAY": "1"}) as server:
            def answers():
                server.check()
                try:
                    return echo(port, called="STORESCP") == 0
                except OSError:
                    return False
            wait_until(answers, 10, "storescp")
            return dcmsend(folders, port, "STORESCP")
    finally:
        shutil.rmtree(folder)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="slices for Kontur and storescp")
    parser.add_argument("--orthanc-count", type=int, default=150, help="slices for Orthanc; 0 skips Orthanc")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds")
    parser.add_argument("--associations", type=int, default=4, help="also send over this many; 1 skips it")
    parser.add_argument("--sizes", default=",".join(SIDES), help="slice sizes, separated by commas")
    options = parser.parse_args()
    result = {"processor": processor(), "date": time.strftime("%Y-%m-%d"), "rounds": options.rounds, "rates": {}}
    scratch = tempfile.mkdtemp(prefix="kontur-bench-")
    try:
        for size in options.sizes.split(","):
            one = write_slices(scratch, options.count, SIDES[size], 1)
            runs = {"kontur": (to_kontur, one, options.count), "storescp +B": (to_storescp, one, options.count)}
            if options.orthanc_count:
                few = write_slices(f"{scratch}/few", options.orthanc_count, SIDES[size], 1)
                runs["orthanc"] = (to_orthanc, few, options.orthanc_count)
            if options.associations > 1:
                many = write_slices(scratch, options.count, SIDES[size], options.associations)
                runs[f"kontur, {options.associations} associations"] = (to_kontur, many, options.count)
            rates = {name: [] for name in runs}
            for turn in range(options.rounds):
                for name, (send, folders, count) in runs.items():
                    rates[name].append(count / send(folders))
                    print(f"{size} round {turn + 1} {name}: {rates[name][-1]:.0f}/s", file=sys.stderr, flush=True)
            medians = {name: statistics.median(values) for name, values in rates.items()}
            result["rates"][size] = {name: round(value, 1) for name, value in medians.items()}
            ratios = {"to storescp +B": medians["kontur"] / medians["storescp +B"]}
            if "orthanc" in medians:
                ratios["to orthanc"] = medians["kontur"] / medians["orthanc"]
            for name, value in medians.items():
                if name.endswith("associations"):
                    ratios[f"{name} to one"] = value / medians["kontur"]
            result["rates"][size]["ratios"] = {name: round(value, 2) for name, value in ratios.items()}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
