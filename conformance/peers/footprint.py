# SPDX-License-Identifier: Apache-2.0
"""What a node and its children hold, as /proc tells it: processes, descriptors, connections and memory."""

import os

from processes import wait_until


def command_of(pid):
    """The command of a Kontur process, such as `receiver`, `sender` or `worker`. Empty if the process has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return ""
    return words[1].decode() if len(words) > 1 else ""


def is_there(pid):
    """Whether a process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def processor_seconds(pid):
    """User and system time of a process and of its children that have ended, in seconds. 0 for an ended process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return sum(int(value) for value in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def memory_of(pid):
    """(private bytes, proportional share in bytes) of a process, from smaps_rollup. (0, 0) for an ended process."""
    found = {}
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                words = line.split()
                if len(words) == 3 and words[2] == "kB":
                    found[words[0]] = int(words[1]) * 1024
    except OSError:
        return 0, 0
    return found.get("Private_Clean:", 0) + found.get("Private_Dirty:", 0), found.get("Pss:", 0)


def descriptors_of(pid):
    """Maps each open descriptor of a process to the name of what it is open on. Empty for an ended process."""
    found = {}
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
    except OSError:
        pass
    return found


def connections_to(port):
    """Maps the caller's port of each established TCP connection to `port` of this machine to the socket's inode."""
    found = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path) as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == "01" and int(words[1].rsplit(":", 1)[1], 16) == port:
                found[int(words[2].rsplit(":", 1)[1], 16)] = int(words[9])
    return found


class Footprint:
    """The processes, descriptors and memory of a running node at one moment."""

    def __init__(self, node):
        self.node = node.process.pid
        self.children = {pid: command_of(pid) for pid in node.process.children()}
        self.descriptors = len(descriptors_of(self.node))
        self.private = {pid: memory_of(pid)[0] for pid in [self.node, *self.children]}
        self.shares = {pid: memory_of(pid)[1] for pid in [self.node, *self.children]}

    def named(self, *commands):
        """The process IDs of the children that run one of these commands."""
        return [pid for pid, command in self.children.items() if command in commands]

    def __str__(self):
        counts = {command: len(self.named(command)) for command in sorted(set(self.children.values()))}
        return (f"{self.descriptors} descriptors, children {counts}, node "
                f"{self.private[self.node] / 1e6:.0f} MB private, all {sum(self.shares.values()) / 1e6:.0f} MB")


def receivers(node):
    """The process IDs of a node's receivers."""
    return [pid for pid in node.process.children() if command_of(pid) == "receiver"]


def receiver_of(node, caller_port, port=None):
    """The process ID of the receiver that serves the connection from a caller's port, or `None`."""
    inode = connections_to(port or node.port).get(caller_port)
    name = f"socket:[{inode}]"
    return next((pid for pid in receivers(node) if name in descriptors_of(pid).values()), None)


def expect_gone(report, pids, situation, within=3):
    """Notes a failure unless all these processes end in time."""
    try:
        wait_until(lambda: not any(is_there(pid) for pid in pids), within, f"{len(pids)} processes to end")
    except Exception:
        left = {pid: command_of(pid) for pid in pids if is_there(pid)}
        report.expect(False, f"{situation}: {left} are left")
