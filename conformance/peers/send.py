#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends files by C-STORE, valid or not, and repeats until they are acknowledged.

A Part 10 file is sent with the UIDs of its file meta information and the unchanged bytes of its data set. Any other
file is sent as raw data-set bytes under a made-up UID. The sender does not parse data sets, so it also sends invalid
ones.

    send.py --port 11112 --resend 120 folder/
"""

import argparse
import os
import struct
import sys
import time

from wire import Association, Closed, EXPLICIT_LITTLE, Rejected, SECONDARY_CAPTURE, new_uid


class Instance:
    """The values that a C-STORE needs for one object."""

    def __init__(self, class_uid, instance_uid, syntax, data):
        self.class_uid = class_uid
        self.instance_uid = instance_uid
        self.syntax = syntax
        self.data = data


def read_part10(path):
    """The instance in a Part 10 file, or `None` if the file meta information is missing or incomplete."""
    with open(path, "rb") as file:
        data = file.read()
    if data[128:132] != b"DICM":
        return None
    found, at = {}, 132
    while at + 8 <= len(data) and data[at:at + 2] == b"\x02\x00":
        element = struct.unpack_from("<H", data, at + 2)[0]
        if data[at + 4:at + 6] in (b"OB", b"UN"):
            length, start = struct.unpack_from("<I", data, at + 8)[0], at + 12
        else:
            length, start = struct.unpack_from("<H", data, at + 6)[0], at + 8
        found[element] = data[start:start + length].rstrip(b"\0 ").decode("latin-1")
        at = start + length
    if not all(found.get(element) for element in (0x0002, 0x0003, 0x0010)):
        return None
    return Instance(found[0x0002], found[0x0003], found[0x0010], data[at:])


def read_anything(path):
    """The instance in a file, or the file's bytes as the data set of a made-up Secondary Capture Image."""
    instance = read_part10(path)
    if instance is None:
        with open(path, "rb") as file:
            instance = Instance(SECONDARY_CAPTURE, new_uid(), EXPLICIT_LITTLE, file.read())
    return instance


def files(paths):
    """Every file under the given paths, sorted."""
    found = []
    for path in paths:
        if os.path.isdir(path):
            found += [os.path.join(root, name) for root, _, names in os.walk(path) for name in names]
        else:
            found.append(path)
    return sorted(found)


def contexts_for(instances):
    """The presentation contexts: one per pair of SOP class and transfer syntax, at most 128."""
    pairs = sorted({(one.class_uid, one.syntax) for one in instances})
    return [(class_uid, [syntax]) for class_uid, syntax in pairs][:128]


class Sender:
    """Sends instances in order, over as many associations as necessary."""

    def __init__(self, port, calling="TEST", called="KONTUR", answer_within=10, host="127.0.0.1", max_pdu=16384,
                 tls=None):
        """`tls` is an `ssl.SSLContext`, or `None` for plain connections."""
        self.port, self.host, self.tls = port, host, tls
        self.calling, self.called = calling, called
        self.answer_within = answer_within
        self.max_pdu = max_pdu
        self.statuses = {}
        self.acknowledged = set()
        self.resent = 0

    def send_once(self, instances, on_answer=None):
        """Sends the unacknowledged instances over one association. Raises the error that ended the association."""
        todo = [one for one in instances if one.instance_uid not in self.acknowledged]
        with Association(self.port, contexts_for(todo), self.host, self.calling, self.called, self.answer_within,
                         self.max_pdu, self.tls) as association:
            for one in todo:
                context = association.context(one.class_uid, one.syntax)
                if context is None:
                    self.statuses[one.instance_uid] = None
                    continue
                status = association.store(context, one.class_uid, one.instance_uid, one.data)
                self.statuses[one.instance_uid] = status
                if status == 0:
                    self.acknowledged.add(one.instance_uid)
                if on_answer:
                    on_answer(one, status)

    def send(self, instances, keep_trying=0, pause=0.2, on_answer=None):
        """Sends until all instances are acknowledged or `keep_trying` seconds are over. Returns whether all were."""
        deadline = time.monotonic() + keep_trying
        while True:
            try:
                self.send_once(instances, on_answer)
            except (OSError, Closed, Rejected):
                pass
            if all(one.instance_uid in self.acknowledged for one in instances):
                return True
            if time.monotonic() > deadline:
                return False
            self.resent += 1
            time.sleep(pause)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("paths", nargs="+", help="files, or folders of them")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11112)
    parser.add_argument("--calling", default="TEST", help="calling AE title")
    parser.add_argument("--called", default="KONTUR", help="called AE title")
    parser.add_argument("--resend", type=float, default=0, help="keep trying for this many seconds")
    options = parser.parse_args()
    instances = [read_anything(path) for path in files(options.paths)]
    sender = Sender(options.port, options.calling, options.called, host=options.host)
    begin = time.monotonic()
    complete = sender.send(instances, options.resend)
    seconds = time.monotonic() - begin
    print(f"{len(sender.acknowledged)} of {len(instances)} acknowledged in {seconds:.1f} s")
    for one in instances:
        status = sender.statuses.get(one.instance_uid)
        if status != 0:
            print(f"{one.instance_uid}: {'not accepted' if status is None else f'status {status:04X}'}")
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
