# SPDX-License-Identifier: Apache-2.0
"""Records what real clients send on an association, and makes broken associations of it, from a seed.

A recording is the list of PDUs that a client sent. A mutation changes bytes, lengths, items or the order of the PDUs.
The same seed and the same recordings make the same mutations.
"""

import random
import socket
import struct
import threading
import time

import wire

# Values that parsers often mistake, as lengths of 2 and 4 bytes.
ODD_NUMBERS = [0, 1, 2, 5, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
               0xFFFFFFFE, 0xFFFFFFFF]


class Recorder:
    """Passes connections on to a node's port, and keeps the bytes that the callers send."""

    def __init__(self, port):
        self.target = port
        self.recordings = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(caller,), daemon=True).start()

    def serve(self, caller):
        data = bytearray()
        with caller, wire.connect(self.target) as node:
            back = threading.Thread(target=self.copy, args=(node, caller), daemon=True)
            back.start()
            self.copy(caller, node, data)
            back.join(10)
        self.recordings.append(split_pdus(bytes(data)))

    @staticmethod
    def copy(source, target, kept=None):
        try:
            while piece := source.recv(65536):
                if kept is not None:
                    kept += piece
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def split_pdus(data):
    """The PDUs of a stream of whole PDUs."""
    found, at = [], 0
    while at + 6 <= len(data):
        length = struct.unpack_from(">I", data, at + 2)[0]
        found.append(data[at:at + 6 + length])
        at += 6 + length
    return found


class Mutator:
    """Makes broken associations of recorded ones."""

    def __init__(self, recordings, seed):
        self.recordings = [one for one in recordings if one]
        self.source = random.Random(seed)
        self.kinds = [self.flip, self.overwrite, self.length, self.pdu_length, self.cut, self.insert, self.remove,
                      self.repeat, self.double, self.drop, self.swap, self.splice, self.retype]

    def mutated(self):
        """(names of the changes, PDUs) of the next broken association."""
        pdus = list(self.source.choice(self.recordings))
        names = []
        for _ in range(self.source.choice([1, 1, 1, 2, 3])):
            change = self.source.choice(self.kinds)
            names.append(change.__name__)
            pdus = change(pdus) or [b""]
        return "+".join(names), pdus

    def changed(self, pdus, change):
        """The PDUs with one of them changed. The beginnings of PDUs, which hold the lengths, are preferred."""
        index = self.source.randrange(len(pdus))
        return pdus[:index] + [bytes(change(bytearray(pdus[index])))] + pdus[index + 1:]

    def place(self, data, room=1):
        near = min(len(data), 400) if self.source.random() < 0.8 else len(data)
        return self.source.randrange(max(near - room, 0) + 1)

    def flip(self, pdus):
        def change(data):
            for _ in range(self.source.randint(1, 8)):
                if data:
                    data[self.place(data)%len(data)] ^= 1 << self.source.randrange(8)
            return data
        return self.changed(pdus, change)

    def overwrite(self, pdus):
        def change(data):
            at = self.place(data)
            data[at:at + 8] = self.source.randbytes(min(8, len(data) - at))
            return data
        return self.changed(pdus, change)

    def length(self, pdus):
        def change(data):
            order, size = self.source.choice("<>"), self.source.choice([2, 4])
            at = self.place(data, size)
            number = self.source.choice(ODD_NUMBERS) & (0xFFFF if size == 2 else 0xFFFFFFFF)
            data[at:at + size] = struct.pack(order + ("H" if size == 2 else "I"), number)
            return data
        return self.changed(pdus, change)

    def pdu_length(self, pdus):
        def change(data):
            real = max(len(data) - 6, 0)
            number = self.source.choice([real - 1, real + 1, real // 2, real * 2, *ODD_NUMBERS]) & 0xFFFFFFFF
            data[2:6] = struct.pack(">I", number)
            return data
        return self.changed(pdus, change)

    def cut(self, pdus):
        index = self.source.randrange(len(pdus))
        return pdus[:index] + [pdus[index][:self.place(pdus[index])]]

    def insert(self, pdus):
        def change(data):
            at = self.place(data)
            data[at:at] = self.source.randbytes(self.source.choice([1, 2, 7, 64, 5000]))
            return data
        return self.changed(pdus, change)

    def remove(self, pdus):
        def change(data):
            at = self.place(data)
            del data[at:at + self.source.choice([1, 2, 4, 20, 100])]
            return data
        return self.changed(pdus, change)

    def repeat(self, pdus):
        def change(data):
            at = self.place(data)
            piece = bytes(data[at:at + self.source.choice([4, 12, 60])])
            data[at:at] = piece * self.source.choice([2, 100, 1000])
            if self.source.random() < 0.7:
                data[2:6] = struct.pack(">I", max(len(data) - 6, 0))
            return data
        return self.changed(pdus, change)

    def double(self, pdus):
        index = self.source.randrange(len(pdus))
        return pdus[:index] + [pdus[index]] * self.source.choice([2, 3, 50]) + pdus[index + 1:]

    def drop(self, pdus):
        index = self.source.randrange(len(pdus))
        return pdus[:index] + pdus[index + 1:]

    def swap(self, pdus):
        mixed = list(pdus)
        self.source.shuffle(mixed)
        return mixed

    def splice(self, pdus):
        other = self.source.choice(self.recordings)
        return pdus[:self.source.randint(1, len(pdus))] + other[self.source.randrange(len(other)):]

    def retype(self, pdus):
        def change(data):
            data[0:1] = bytes([self.source.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 255])])
            return data
        return self.changed(pdus, change)


def play(port, pdus, wait=0.5, answer_within=10, tls=None):
    """Sends PDUs as fast as the node reads them, then ends its side of the connection. Describes the node's reaction."""
    last = None
    try:
        with wire.connect(port, timeout=answer_within, tls=tls) as connection:
            for index, pdu in enumerate(pdus):
                connection.sendall(pdu)
                if index == 0 and pdu:
                    # Most clients wait for the answer to their request.
                    connection.settimeout(wait)
                    try:
                        last = connection.recv(1 << 16)[:1] or last
                    except TimeoutError:
                        pass
                    connection.settimeout(answer_within)
            connection.shutdown(socket.SHUT_WR)
            begin = time.monotonic()
            while piece := connection.recv(1 << 16):
                last = piece[:1] if len(piece) < 100 else last
                if time.monotonic() - begin > answer_within:
                    return "left open"
    except TimeoutError:
        return "left open"
    except OSError:
        return "reset"
    return {b"\2": "accepted", b"\3": "rejected", b"\4": "answered", b"\6": "released", b"\7": "aborted"}.get(
        last, "closed")
