#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends hostile and broken requests to a node, while a well-behaved client sends a C-ECHO five times per second.

The check passes if the node answers every C-ECHO within a second, is still the same process at the end, and has brought
every received instance into a final state. `--long` adds the attacks that need more than half a minute.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))

import hostile
from node import Node
from processes import free_port
from report import Report

ECHO_WITHIN = 1.0


def main():
    report = Report("attacks")
    attacks = hostile.ATTACKS + (hostile.SLOW_ATTACKS if "--long" in sys.argv else [])
    with Node(free_port()) as node:
        pid = node.process.pid
        for attack in attacks:
            begin = time.monotonic()
            with hostile.EchoWatch(node.port) as watch:
                outcome = attack(node.port)
            node.process.check()
            report.line(f"{attack.__name__}: {outcome} ({time.monotonic() - begin:.1f} s; "
                        f"{watch.count} C-ECHO, slowest {watch.slowest * 1000:.0f} ms)")
            report.expect(not watch.failures, f"{attack.__name__}: C-ECHO failed: {watch.failures[:3]}")
            report.expect(watch.slowest < ECHO_WITHIN, f"{attack.__name__}: a C-ECHO took {watch.slowest:.2f} s")
            report.expect("left open" not in outcome, f"{attack.__name__}: a connection was left open")
        report.expect(node.process.pid == pid and node.process.running(), "the node was replaced")
        states = node.settle(60)
        report.line(f"instances: {states['instances']}")
        report.expect(not states["instances"].get("received"), "an instance is still waiting to be indexed")
        report.expect_stopped(node.stop())
    report.end()


if __name__ == "__main__":
    main()
