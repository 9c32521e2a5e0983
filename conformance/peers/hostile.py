# SPDX-License-Identifier: Apache-2.0
"""Hostile and broken clients. Each function returns the reaction of the node in a few words."""

import struct
import threading
import time

import wire
from wire import (EXPLICIT_LITTLE, IMPLICIT_LITTLE, MR_IMAGE, SECONDARY_CAPTURE, VERIFICATION, Aborted, Association,
                  Closed, Rejected, command_set, connect, new_uid, pdv, store_command)

NESTING = 20_000
STORAGE = [
    (SECONDARY_CAPTURE, [EXPLICIT_LITTLE]), (SECONDARY_CAPTURE, [IMPLICIT_LITTLE]), (MR_IMAGE, [EXPLICIT_LITTLE])]


def element(tag, vr, value):
    """One Explicit VR Little Endian element with a short length."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def identity(class_uid, instance_uid):
    """The first elements of a data set, with the SOP class and instance of its command."""
    return element(0x00080016, b"UI", class_uid.encode()) + element(0x00080018, b"UI", instance_uid.encode())


def nested(depth, undefined, explicit=True):
    """Sequences (0040,A730) within sequences, with undefined or defined lengths."""
    if explicit:
        head = lambda length: struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, length)
    else:
        head = lambda length: struct.pack("<HHI", 0x0040, 0xA730, length)
    item = lambda length: struct.pack("<HHI", 0xFFFE, 0xE000, length)
    if undefined:
        return (head(0xFFFFFFFF) + item(0xFFFFFFFF)) * depth + (
            struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)) * depth
    size = len(head(0)) + len(item(0))
    return b"".join(
        head((depth - level) * size - len(head(0))) + item((depth - level - 1) * size) for level in range(depth))


def answer_of(action):
    """Describes the result of an action that returns a status or raises."""
    try:
        status = action()
        return "accepted" if status == 0 else f"status {status:04X}"
    except Aborted:
        return "aborted"
    except Rejected as error:
        return str(error)
    except (Closed, OSError):
        return "closed"


def send_data(port, data, class_uid=SECONDARY_CAPTURE, instance_uid=None, syntax=EXPLICIT_LITTLE):
    """Sends these bytes as the data set of a C-STORE."""
    def action():
        with Association(port, STORAGE) as association:
            context = association.context(class_uid, syntax)
            return association.store(context, class_uid, instance_uid or new_uid(), data)
    return answer_of(action)


def send_command(port, data):
    """Sends these bytes as one command set."""
    def action():
        with Association(port, [(VERIFICATION, [IMPLICIT_LITTLE])] + STORAGE) as association:
            association.send_message(1, data, command=True)
            return association.read_status()[1]
    return answer_of(action)


def send_bytes(port, data, answer_within=8):
    """Sends bytes on a bare connection. Tells whether the node closed the connection in time."""
    try:
        with connect(port, timeout=answer_within) as connection:
            connection.sendall(data)
            while connection.recv(4096):
                pass
            return "closed"
    except TimeoutError:
        return "left open"
    except OSError:
        return "closed"


def nested_data_sets(port):
    """Sends 20,000 nested sequences in data sets, in three encodings."""
    found = []
    for undefined, syntax in ((True, EXPLICIT_LITTLE), (False, EXPLICIT_LITTLE), (True, IMPLICIT_LITTLE)):
        uid = new_uid()
        explicit = syntax == EXPLICIT_LITTLE
        start = identity(SECONDARY_CAPTURE, uid) if explicit else command_identity(uid)
        found.append(send_data(port, start + nested(NESTING, undefined, explicit), instance_uid=uid, syntax=syntax))
    return ", ".join(found)


def command_identity(uid):
    """`identity` in Implicit VR."""
    found = b""
    for number, value in ((0x0016, SECONDARY_CAPTURE), (0x0018, uid)):
        value = value.encode() + b"\0" * (len(value) % 2)
        found += struct.pack("<HHI", 0x0008, number, len(value)) + value
    return found


def nested_command(port):
    """Sends nested sequences in a command set: one that is too long, and one with elements that are not a command's."""
    short = struct.pack("<HHII", 0, 0, 4, 0) + nested(500, True, explicit=False)
    return send_command(port, nested(NESTING, True, explicit=False)) + ", " + send_command(port, short)


def endless_command(port):
    """Sends up to 64 MiB of command fragments, none of which is the last."""
    try:
        with Association(port, [(VERIFICATION, [IMPLICIT_LITTLE])]) as association:
            piece = pdv(1, bytes(4096), command=True, last=False)
            for _ in range(16384):
                association.send(piece)
            return answer_of(lambda: association.read_status()[1])
    except Closed:
        return "aborted"


def false_lengths(port):
    """Sends 0xFFFFFFFF and other wrong lengths in elements, commands, PDVs and PDUs."""
    uid = new_uid()
    start = identity(SECONDARY_CAPTURE, uid)
    lies = [
        start + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0xFFFFFFFF) + bytes(1000),
        start + struct.pack("<HH2sHI", 0x0028, 0x3006, b"OW", 0, 0xFFFFFFFE) + bytes(1000),
        start + struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF),
        start + struct.pack("<HH2sHI", 0x0008, 0x1140, b"UN", 0, 0xFFFFFFFF) + bytes(999),
    ]
    found = {send_data(port, lie, instance_uid=uid) for lie in lies}
    found.add(send_command(port, struct.pack("<HHI", 0, 0x0002, 0xFFFFFFFF) + bytes(100)))
    found.add(send_command(port, struct.pack("<HHIIHHI", 0, 0, 4, 0xFFFFFFFF, 0, 0x0100, 2) + b"\x01\x00"))
    found.add(send_bytes(port, struct.pack(">BBI", 1, 0, 0xFFFFFFFF) + bytes(100_000)))
    try:
        with Association(port, STORAGE) as association:
            association.send(struct.pack(">BBIIBB", 4, 0, 0xFFFFFFFF, 0xFFFFFFFD, 1, 3) + bytes(100_000))
            found.add(answer_of(lambda: association.read_status()[1]))
        with Association(port, STORAGE) as association:
            association.send(struct.pack(">BBIIBB", 4, 0, 10, 1000, 1, 3) + bytes(4))
            found.add(answer_of(lambda: association.read_status()[1]))
    except Closed:
        found.add("closed")
    return ", ".join(sorted(found))


def silent(port, count=200, seconds=6):
    """Opens silent connections. Counts those that the node closed after some seconds."""
    connections = []
    try:
        for _ in range(count):
            connections.append(connect(port))
        time.sleep(seconds)
        closed = 0
        for one in connections:
            one.settimeout(0.01)
            try:
                closed += one.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed += 1
        return f"{closed} of {count} closed"
    finally:
        for one in connections:
            one.close()


def drip(port, seconds=12):
    """Sends one byte per second of an association request. The node must close the connection."""
    request = wire.associate_request("TEST", "KONTUR", STORAGE)
    with connect(port) as connection:
        begin = time.monotonic()
        try:
            for index in range(seconds):
                connection.sendall(request[index:index + 1])
                time.sleep(1)
        except OSError:
            return f"closed after {time.monotonic() - begin:.0f} s"
    return "left open"


def drip_data(port, seconds=45):
    """Sends one byte per second of a data set. The node ends transfers below 1 KiB/s over 30 s."""
    try:
        with Association(port, STORAGE) as association:
            association.send_message(1, store_command(SECONDARY_CAPTURE, new_uid()), command=True)
            begin = time.monotonic()
            try:
                while time.monotonic() - begin < seconds:
                    association.send(pdv(1, b"\0", command=False, last=False))
                    time.sleep(1)
            except Closed:
                return f"closed after {time.monotonic() - begin:.0f} s"
            return "left open"
    except Closed:
        return "closed"


def truncated(port):
    """Closes connections in the middle of an association request, a PDU, a command and a data set."""
    request = wire.associate_request("TEST", "KONTUR", STORAGE)
    with connect(port) as connection:
        connection.sendall(request[:len(request) // 2])
    for cut in ("pdu", "command", "data"):
        with Association(port, STORAGE) as association:
            command = store_command(SECONDARY_CAPTURE, new_uid())
            if cut == "pdu":
                association.send(pdv(1, command, True, True)[:40])
            elif cut == "command":
                association.send(pdv(1, command[:30], True, False))
            else:
                association.send_message(1, command, command=True)
                association.send(pdv(1, bytes(5000), False, False))
            association.close()
    uid = new_uid()
    data = identity(SECONDARY_CAPTURE, uid) + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 100_000) + bytes(500)
    return send_data(port, data, instance_uid=uid)


def text(port):
    """Sends an HTTP request instead of an association, a letter instead of a data set, and an empty data set."""
    letter = b"Dear PACS,\r\nplease find enclosed no pixels at all.\r\n" * 200
    return ", ".join([
        send_bytes(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), send_data(port, letter), send_data(port, b"")])


def odd_associations(port):
    """Sends association requests that are empty, too large or malformed."""
    found = set()
    many = [(f"1.2.3.{index}", [f"1.2.4.{one}" for one in range(20)]) for index in range(128)]
    requests = [
        wire.associate_request("TEST", "KONTUR", []),
        wire.associate_request("TEST", "KONTUR", many),
        wire.associate_request("TEST", "KONTUR", STORAGE, more_items=wire.item(0x56, b"\xff\xff" + b"A" * 60_000)),
        wire.associate_request("TEST", "KONTUR", STORAGE, max_pdu=1),
        wire.associate_request("TEST", "KONTUR", [("x" * 60_000, [IMPLICIT_LITTLE])]),
        struct.pack(">BBI", 1, 0, 4) + b"\0\1\0\0",
        struct.pack(">BBI", 4, 0, 10) + bytes(10),
        struct.pack(">BBI", 7, 0, 4) + bytes(4),
        struct.pack(">BBI", 99, 0, 4) + bytes(4),
    ]
    for request in requests:
        with connect(port, timeout=8) as connection:
            try:
                connection.sendall(request)
                answer = connection.recv(4096)
                found.add({2: "accepted", 3: "rejected", 7: "aborted"}.get(answer[0], "?") if answer else "closed")
            except OSError as error:
                found.add("left open" if isinstance(error, TimeoutError) else "closed")
    return ", ".join(sorted(found))


def odd_commands(port):
    """Sends commands with missing, doubled or senseless fields, and PDVs for contexts that were not negotiated."""
    found = set()
    uid = new_uid()
    for command in (
        command_set({0x0100: 0x0001, 0x0110: 1, 0x0800: 1}),
        store_command("../../../../etc/passwd", "../../../../etc/passwd"),
        store_command(SECONDARY_CAPTURE, "1." + "2" * 2000),
        store_command(SECONDARY_CAPTURE, ""),
        store_command(SECONDARY_CAPTURE, uid) * 2,
        command_set({0x0002: VERIFICATION, 0x0100: 0x0020, 0x0110: 1, 0x0800: 1}),
        command_set({0x0002: VERIFICATION, 0x0100: 0x7777, 0x0110: 1, 0x0800: 0x0101}),
        command_set({0x0002: SECONDARY_CAPTURE, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 0x0101, 0x1000: uid}),
        b"\0" * 7,
        b"",
    ):
        def action():
            with Association(port, STORAGE, timeout=4) as association:
                association.send_message(1, command, command=True)
                association.send_message(1, identity(SECONDARY_CAPTURE, uid), command=False)
                return association.read_status()[1]
        found.add(answer_of(action))
    with Association(port, STORAGE) as association:
        association.send_message(201, store_command(SECONDARY_CAPTURE, uid), command=True)
        found.add(answer_of(lambda: association.read_status()[1]))
    with Association(port, STORAGE) as association:
        association.send_message(1, identity(SECONDARY_CAPTURE, uid), command=False)
        found.add(answer_of(lambda: association.read_status()[1]))
    return ", ".join(sorted(found))


def strangers(port):
    """Calls with an unknown calling AE title and with a wrong called AE title."""
    found = []
    for calling, called in (("NOBODY", "KONTUR"), ("TEST", "SOMEBODY")):
        try:
            found.append(f"{wire.echo(port, calling, called):04X}")
        except Rejected as error:
            found.append(str(error))
    return ", ".join(found)


class EchoWatch:
    """Sends a C-ECHO five times per second on a thread of its own, and remembers the slowest answer."""

    def __init__(self, port, interval=0.2, tls=None):
        self.port, self.interval, self.tls = port, interval, tls
        self.slowest, self.count, self.failures = 0.0, 0, []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.ended.is_set():
            begin = time.monotonic()
            try:
                status = wire.echo(self.port, tls=self.tls)
                if status != 0:
                    self.failures.append(f"status {status:04X}")
            except (OSError, Closed, Rejected) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.count += 1
            self.ended.wait(self.interval)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(20)


ATTACKS = [strangers, nested_data_sets, nested_command, endless_command, false_lengths, truncated, text,
           odd_associations, odd_commands, silent, drip]
SLOW_ATTACKS = [drip_data]
