# SPDX-License-Identifier: Apache-2.0
"""A small hospital on loopback: an Orthanc as the archive, the forwarder, and a Kontur node."""

import os
import shutil
import sys
import tempfile

from node import ROUTES, Node
from orthanc import Orthanc
from processes import Process, free_port, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))


class Hospital:
    """Starts and stops the three together. Use it as a context."""

    def __init__(self, routes=ROUTES, quiet=1, skip="SEG,SR", orthanc=None, **node):
        """Writes the configurations.

        `skip` lists modalities that are not forwarded. `orthanc` adds keys to Orthanc's configuration. `node` holds
        arguments of `Node`.
        """
        self.folder = tempfile.mkdtemp(prefix="kontur-site-")
        port = free_port()
        self.archive = Orthanc(port, folder=f"{self.folder}/archive", overrides=orthanc)
        os.makedirs(f"{self.folder}/node")
        self.node = Node(
            self.archive.dicom_port, routes=routes, quiet=quiet, port=port, folder=f"{self.folder}/node", **node)
        self.skip = skip
        self.forwarder = None

    def start(self):
        try:
            self.archive.start()
            self.node.start()
            self.start_forwarder()
        except BaseException:
            self.stop()
            raise
        return self

    def start_forwarder(self):
        self.forwarder = Process(
            [sys.executable, f"{HERE}/forward.py", "--url", self.archive.url, "--skip", self.skip, "--everything",
             "--interval", "0.3", "--first-delay", "1", "--longest-delay", "5",
             "--state", f"{self.folder}/forward.json"],
            f"{self.folder}/forward.log", name="forward.py")

    def forwarded(self):
        """The number of series that the forwarder has sent completely."""
        with open(f"{self.folder}/forward.log") as file:
            return sum(" sent " in line for line in file)

    def wait_until_forwarded(self, count, timeout):
        """Waits until the forwarder has sent `count` series. Raises `PeerError` if it does not or a process ends."""
        def is_done():
            self.check()
            return self.forwarded() >= count

        wait_until(is_done, timeout, f"the forwarder to send {count} series", 0.2)

    def check(self):
        """Raises `PeerError` if one of the three has ended."""
        for one in (self.archive.process, self.forwarder, self.node.process):
            if one:
                one.check()

    def stop(self):
        """Stops all three and removes their folder. Returns the node's exit status and the seconds until its exit."""
        ended = self.node.stop()
        if self.forwarder:
            self.forwarder.stop()
        if self.archive.process:
            self.archive.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        return ended

    def images(self):
        """The series in the archive that the forwarder sends."""
        skipped = self.skip.split(",")
        return [one for one in self.archive.series() if one["MainDicomTags"].get("Modality") not in skipped]

    def segmentations(self):
        """The SEG series in the archive."""
        return self.archive.series(Modality="SEG")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
