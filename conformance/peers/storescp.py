# SPDX-License-Identifier: Apache-2.0
"""DCMTK's storescp as a server, in a folder of its own."""

import shutil
import tempfile

from processes import Process, free_port, wait_until
from wire import Closed, echo


class Storescp:
    """A `storescp +B` with `TCP_NODELAY=1`. Use it as a context. `options` are further options, such as `--fork`."""

    title = "STORESCP"

    def __init__(self, *options):
        self.folder, self.port = tempfile.mkdtemp(prefix="kontur-storescp-"), free_port()
        command = ["/usr/bin/storescp", "+B", *options, "-aet", self.title, "-od", self.folder, str(self.port)]
        self.process = Process(command, f"{self.folder}/log", environment={"TCP_NODELAY": "1"})

    def answers(self):
        self.process.check()
        try:
            return echo(self.port, called=self.title) == 0
        except (OSError, Closed):
            return False

    def __enter__(self):
        try:
            wait_until(self.answers, 10, "storescp")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
