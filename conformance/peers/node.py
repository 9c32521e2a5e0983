# SPDX-License-Identifier: Apache-2.0
"""Runs `kontur serve` with its own configuration, spool and port, for demo, checks and benchmarks."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from journal import Journal
from processes import PeerError, Process, free_port, wait_until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

# The routes of kontur.example.yaml, without a review rule.
ROUTES = """
  - name: colonoscopy
    when: {modality: [ES], studyDescription: {matches: "(?i)colo"}}
    segmenter: polyp-compact
    sendTo: [archive]
  - name: left-atrium
    when:
      modality: [MR]
      mrAcquisitionType: [3D]
      numberOfInstances: {min: 20}
      seriesDescription: {matches: "(?i)LGE|PSIR|late.?gad|delayed.?enh"}
    segmenter: left-atrium-compact
    sendTo: [archive]
"""


def executable():
    """The path of `kontur`: KONTUR_EXECUTABLE, or else the release build of this checkout."""
    path = os.environ.get("KONTUR_EXECUTABLE") or os.path.join(ROOT, ".build", "release", "kontur")
    if not os.access(path, os.X_OK):
        raise PeerError(f"the executable {path} is missing: build it with `make build`")
    return path


def keys(*parts):
    """Joins parts of a YAML mapping in one line. Empty parts count as absent."""
    return ", ".join(part for part in parts if part)


class Node(Journal):
    """A node. Used as a context, it stops at the end of the context, and its folder is removed."""

    def __init__(self, archive_port, archive_title="ORTHANC", routes=ROUTES, quiet=1, workers=1, folder=None, keep=None,
                 port=None, peers="", minimum_free="64MiB", max_instance="256MiB", profile="strict", before=(),
                 environment=None, waits_at_most=900, settings="", archive_settings="", test_settings="",
                 program=None):
        """Writes the configuration.

        `archive_port` is the port of the archive. `peers` adds YAML list items. `before` is a command that runs the
        node, such as `strace ...`. `environment` adds variables for the node alone. `settings` adds keys of the section
        `node`, and `archive_settings` and `test_settings` add keys of the two peers, such as `tls: true`. `program` is the
        path of another `kontur`.
        """
        self.owns_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="kontur-node-")
        super().__init__(f"{self.folder}/spool")
        self.port = port or free_port()
        self.title = "KONTUR"
        self.before = list(before)
        self.environment = environment or {}
        self.program = program or executable()
        self.process = None
        self.configuration = f"{self.folder}/kontur.yaml"
        with open(self.configuration, "w") as file:
            file.write(f"""\
node: {{{keys(f"aeTitle: KONTUR, port: {self.port}, bind: 127.0.0.1, workers: {workers}", settings)}}}
peers:
  - {{{keys(f"name: archive, aeTitle: {archive_title}, host: 127.0.0.1, port: {archive_port}", archive_settings,
            f"viewerProfile: {profile}")}}}
  - {{{keys("name: test, aeTitle: TEST, from: [127.0.0.0/8], may: [store, echo]", test_settings)}}}
{peers}spool:
  path: {self.spool}
  minimumFree: {minimum_free}
  maxInstance: {max_instance}
  keep: {keep or "{done: 7d, unmatched: 1h, quarantined: 30d}"}
series: {{quietSeconds: {quiet}, waitAtMostSeconds: {waits_at_most}}}
routes:{routes}""")

    def start(self, timeout=20):
        command = self.before + [self.program, "serve", "--config", self.configuration]
        self.process = Process(command, f"{self.folder}/node.log", environment=self.environment, name="kontur serve",
                               stop_within=15)

        def listens():
            self.process.check()
            with socket.socket() as probe:
                probe.settimeout(1)
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listens, timeout, "kontur serve to listen")
        return self

    def stop(self):
        """Stops the node as an operator would. Returns its exit status and the seconds until its exit."""
        if not self.process:
            return None, 0
        if self.before and self.process.running():
            # The command that runs the node (strace) ends together with the node.
            for child in self.process.children():
                os.kill(child, signal.SIGTERM)
            begin = time.monotonic()
            try:
                self.process.process.wait(self.process.stop_within)
            except subprocess.TimeoutExpired:
                self.kill()
            return self.process.process.returncode, time.monotonic() - begin
        return self.process.stop()

    def kill(self):
        """Ends the node with SIGKILL."""
        if self.before and self.process.running():
            for child in self.process.children():
                os.kill(child, signal.SIGKILL)
            self.process.process.wait(30)
        else:
            self.process.kill()

    def remove(self):
        self.stop()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        self.remove()

    def run(self, *arguments, timeout=60):
        """`kontur <arguments> --config ...`: (exit status, standard output, standard error)."""
        command = [self.program, *arguments, "--config", self.configuration]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout, done.stderr

    def check_configuration(self, timeout=60):
        """`kontur config check`: (exit status, standard output, standard error)."""
        command = [self.program, "config", "check", self.configuration]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments, timeout=60):
        """The output of `kontur <arguments> --json --config ...`, decoded."""
        status, output, errors = self.run(*arguments, "--json", timeout=timeout)
        if status != 0:
            raise PeerError(f"kontur {' '.join(arguments)} ended with status {status}: {errors.strip()}")
        return json.loads(output)

    def echo(self, timeout=5, calling="TEST"):
        """The seconds of a C-ECHO by DCMTK's echoscu, association included, or None if it failed."""
        begin = time.monotonic()
        done = subprocess.run(
            ["/usr/bin/echoscu", "-to", str(timeout), "-ta", str(timeout), "-td", str(timeout), "-aet", calling,
             "-aec", self.title, "127.0.0.1", str(self.port)], capture_output=True, timeout=timeout + 5)
        return time.monotonic() - begin if done.returncode == 0 else None
