# SPDX-License-Identifier: Apache-2.0
"""Processes that a demo, a test or a benchmark starts, and that never outlive it.

Each runs in a session of its own, writes what it prints into a file, dies with the process that started it
(PR_SET_PDEATHSIG) and is stopped by SIGTERM, then by SIGKILL. A program that imports this ends on SIGTERM as on an
error: what it started is stopped first.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class PeerError(Exception):
    """A peer that did not start, stopped early or did not answer in time."""


def free_port():
    """A TCP port of the loopback interface that the kernel has just said is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout, what, interval=0.05):
    """The first true value of `condition()`; a `PeerError` naming `what` when `timeout` seconds pass without one."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise PeerError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(interval)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One external process; use it as a context, or call `stop`."""

    def __init__(self, arguments, log, environment=None, name=None, stop_within=10):
        self.name = name or os.path.basename(arguments[0])
        self.log = log
        self.stop_within = stop_within
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                preexec_fn=_die_with_parent, env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def check(self):
        """Raises `PeerError`, with the end of what it printed, if the process has ended."""
        if not self.running():
            raise PeerError(f"{self.name} ended with status {self.process.returncode}:\n{self.tail()}")

    def tail(self, lines=15):
        """The last lines that the process printed."""
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def stop(self):
        """Ends the process, gently if it lets us; returns its exit status and the seconds that it took."""
        begin = time.monotonic()
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(self.stop_within)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode, time.monotonic() - begin

    def kill(self):
        """kill -9 of the process, and of nothing else; returns once it is gone."""
        if self.running():
            self.process.kill()
        self.process.wait(30)

    def resident(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def children(self):
        """Process ids of the direct children."""
        found = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/children") as file:
                    found += [int(word) for word in file.read().split()]
            except OSError:
                continue
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
