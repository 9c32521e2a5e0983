# SPDX-License-Identifier: Apache-2.0
"""Starts processes for a demo, a check or a benchmark, and ends them with it.

Each process runs in its own session, prints into a file, and dies with the program that started it (PR_SET_PDEATHSIG).
SIGTERM stops it, then SIGKILL. A program that imports this module exits on SIGTERM as on an error, and so stops its
processes first.
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
    """A peer did not start, stopped early or did not answer in time."""


def free_port():
    """A TCP port of the loopback interface that is free according to the kernel."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout, what, interval=0.05):
    """The first true value of `condition()`. Raises a `PeerError` that names `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise PeerError(f"waited {timeout:g} s for {what}, without success")
        time.sleep(interval)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One external process. Use it as a context, or call `stop`."""

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
        """Raises `PeerError`, with the last printed lines, if the process has ended."""
        if not self.running():
            raise PeerError(f"{self.name} ended with status {self.process.returncode}:\n{self.tail()}")

    def tail(self, lines=15):
        """The last lines that the process printed."""
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def stop(self):
        """Stops the process, by SIGKILL if SIGTERM does not. Returns its exit status and the seconds until its exit."""
        begin = time.monotonic()
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(self.stop_within)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode, time.monotonic() - begin

    def kill(self):
        """Ends the process, but not its children, with SIGKILL, and waits for its end."""
        if self.running():
            self.process.kill()
        self.process.wait(30)

    def resident(self):
        """The resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def children(self):
        """The process IDs of the direct children."""
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
