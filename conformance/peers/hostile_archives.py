# SPDX-License-Identifier: Apache-2.0
"""Archives that break the rules when a node calls them. Each habit is a function of the connection."""

import socket
import struct
import threading
import time

from hostile import NESTING, nested
from wire import APPLICATION_CONTEXT, EXPLICIT_LITTLE, command_set, item, pdv


def read_pdu(connection):
    data = b""
    while len(data) < 6 or len(data) < 6 + int.from_bytes(data[2:6], "big"):
        piece = connection.recv(65536)
        if not piece:
            raise OSError("closed")
        data += piece
    return data


def contexts_of(request):
    """The numbers of the proposed presentation contexts."""
    found, at = [], 74
    while at + 4 <= len(request):
        kind, _, length = struct.unpack_from(">BBH", request, at)
        if kind == 0x20:
            found.append(request[at + 4])
        at += 4 + length
    return found


def acceptance(request):
    """An A-ASSOCIATE-AC that accepts every context in Explicit VR Little Endian."""
    body = struct.pack(">HH", 1, 0) + request[10:74] + item(0x10, APPLICATION_CONTEXT.encode())
    for number in contexts_of(request):
        body += item(0x21, bytes([number, 0, 0, 0]) + item(0x40, EXPLICIT_LITTLE.encode()))
    body += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"2.25.1"))
    return struct.pack(">BBI", 2, 0, len(body)) + body


def accept(connection):
    """Accepts the association. Returns the number of the first context."""
    request = read_pdu(connection)
    connection.sendall(acceptance(request))
    return contexts_of(request)[0]


def wait_for_end(connection, seconds=60):
    connection.settimeout(seconds)
    while connection.recv(65536):
        pass


def garbage(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(range(256)) * 64)


def says_nothing(connection):
    wait_for_end(connection)


def accepts_and_says_nothing(connection):
    accept(connection)
    wait_for_end(connection)


def one_byte_a_second(connection):
    for byte in acceptance(read_pdu(connection)):
        connection.sendall(bytes([byte]))
        time.sleep(1)


def long_pdu(connection):
    accept(connection)
    connection.sendall(struct.pack(">BBI", 4, 0, 0xFFFFFFFF) + bytes(1 << 20))
    wait_for_end(connection)


def broken_acceptance(connection):
    answer = bytearray(acceptance(read_pdu(connection)))
    struct.pack_into(">H", answer, 74 + 2, 0xFFFF)
    connection.sendall(answer)
    wait_for_end(connection)


def foreign_contexts(connection):
    answer = bytearray(acceptance(read_pdu(connection)))
    at = bytes(answer).index(b"\x21\0")
    answer[at + 4] = 254
    connection.sendall(answer)
    wait_for_end(connection)


def nested_response(connection):
    context = accept(connection)
    data = nested(NESTING, True, explicit=False)
    for at in range(0, len(data), 16000):
        connection.sendall(pdv(context, data[at:at + 16000], True, at + 16000 >= len(data)))
    wait_for_end(connection)


def endless_response(connection):
    context = accept(connection)
    for _ in range(16384):
        connection.sendall(pdv(context, bytes(4096), True, False))


def other_message(connection):
    context = accept(connection)
    read_pdu(connection)
    connection.sendall(pdv(context, command_set({0x0100: 0x8001, 0x0120: 4711, 0x0800: 0x0101, 0x0900: 0}), True, True))
    wait_for_end(connection)


def closes_in_the_middle(connection):
    context = accept(connection)
    read_pdu(connection)
    connection.sendall(pdv(context, bytes(100), True, True)[:50])


def requests_something(connection):
    context = accept(connection)
    connection.sendall(pdv(context, command_set({
        0x0002: "1.2.840.10008.5.1.4.1.1.7", 0x0100: 1, 0x0110: 7, 0x0700: 0, 0x0800: 1, 0x1000: "1.2.3"}), True, True))
    wait_for_end(connection)


HABITS = [garbage, says_nothing, accepts_and_says_nothing, one_byte_a_second, long_pdu, broken_acceptance,
          foreign_contexts, nested_response, endless_response, other_message, closes_in_the_middle, requests_something]


class HostileArchive:
    """A listening socket with one habit."""

    def __init__(self, habit):
        self.habit, self.title, self.calls = habit, habit.__name__.upper().replace("_", "")[:16], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.calls += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                self.habit(connection)
            except (OSError, IndexError, ValueError):
                pass

    def entry(self):
        """The archive's item under `peers`."""
        name = self.habit.__name__.replace("_", "-")
        return f"  - {{name: {name}, aeTitle: {self.title}, host: 127.0.0.1, port: {self.port}}}\n"

    def close(self):
        self.listener.close()
