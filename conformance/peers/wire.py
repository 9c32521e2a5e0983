# SPDX-License-Identifier: Apache-2.0
"""The DICOM upper layer by hand (PS3.8 9.3, PS3.7 E.1), for requests that toolkits do not allow.

It covers only the requesting side of C-ECHO and C-STORE, plain or over TLS, and needs only Python's own library.
"""

import socket
import struct
import uuid

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LITTLE, EXPLICIT_LITTLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
C_STORE_REQUEST, C_ECHO_REQUEST, C_STORE_RESPONSE = 0x0001, 0x0030, 0x8001
NO_DATA_SET = 0x0101


class Closed(Exception):
    """The peer closed or reset the connection, or did not answer in time."""


class Aborted(Closed):
    """The peer sent an A-ABORT."""


class Rejected(Exception):
    """The peer sent an A-ASSOCIATE-RJ: result, source and reason, as PS3.8 9.3.4 numbers them."""

    def __init__(self, result, source, reason):
        super().__init__(f"rejected {result}/{source}/{reason}")
        self.reason = (result, source, reason)


def new_uid():
    return f"2.25.{uuid.uuid4().int}"


def item(kind, body):
    """One item of an association PDU."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_request(calling, called, contexts, max_pdu=16384, more_items=b""):
    """An A-ASSOCIATE-RQ. `contexts` lists (abstract syntax, [transfer syntaxes]), numbered 1, 3, 5 and so on."""
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16)[:16] + calling.encode().ljust(16)[:16] + bytes(32)
    body += item(0x10, APPLICATION_CONTEXT.encode())
    for index, (abstract, syntaxes) in enumerate(contexts):
        inner = bytes([2 * index + 1, 0, 0, 0]) + item(0x30, abstract.encode())
        inner += b"".join(item(0x40, syntax.encode()) for syntax in syntaxes)
        body += item(0x20, inner)
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"2.25.1") + item(0x55, b"HANDMADE")
    body += item(0x50, user + more_items)
    return struct.pack(">BBI", 1, 0, len(body)) + body


def pdv(context, data, command, last):
    """One P-DATA-TF that carries one presentation data value."""
    header = (1 if command else 0) | (2 if last else 0)
    return struct.pack(">BBIIBB", 4, 0, len(data) + 6, len(data) + 2, context, header) + data


def command_set(elements):
    """An Implicit VR command set with its group length. `elements` maps (0000,element) to a string or a number (US)."""
    body = b""
    for element, value in sorted(elements.items()):
        if isinstance(value, int):
            value = struct.pack("<H", value)
        elif isinstance(value, str):
            value = value.encode()
            value += b"\0" * (len(value) % 2)
        body += struct.pack("<HHI", 0, element, len(value)) + value
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def store_command(class_uid, instance_uid, message=1):
    return command_set({
        0x0002: class_uid, 0x0100: C_STORE_REQUEST, 0x0110: message, 0x0700: 0, 0x0800: 1, 0x1000: instance_uid})


def read_command(data):
    """Maps each (0000,element) of a command set to its bytes."""
    found, at = {}, 0
    while at + 8 <= len(data):
        _, element, length = struct.unpack_from("<HHI", data, at)
        found[element] = data[at + 8:at + 8 + length]
        at += 8 + length
    return found


class Association:
    """An association that this side requests. Use it as a context."""

    def __init__(self, port, contexts, host="127.0.0.1", calling="TEST", called="KONTUR", timeout=10, max_pdu=16384,
                 tls=None):
        """`tls` is an `ssl.SSLContext`, or `None` for a plain connection."""
        self.socket = connect(port, host, timeout, tls)
        self.message = 0
        self.contexts = contexts
        self.socket.sendall(associate_request(calling, called, contexts, max_pdu))
        try:
            kind, body = self.read_pdu()
        except Closed:
            self.socket.close()
            raise
        if kind != 2:
            self.socket.close()
            raise Rejected(*body[1:4]) if kind == 3 else Closed(f"PDU type {kind} instead of an A-ASSOCIATE-AC")
        self.accepted = {}
        self.peer_max_pdu = 16384
        self.read_items(body[68:])

    def read_items(self, data):
        at = 0
        while at + 4 <= len(data):
            kind, _, length = struct.unpack_from(">BBH", data, at)
            value = data[at + 4:at + 4 + length]
            if kind == 0x21 and value[2] == 0:
                self.accepted[value[0]] = value[8:].rstrip(b"\0").decode()
            elif kind == 0x50:
                self.read_items(value)
            elif kind == 0x51 and length == 4:
                self.peer_max_pdu = struct.unpack(">I", value)[0] or 16384
            at += 4 + length

    def context(self, abstract, syntax=None):
        """The ID of an accepted context with this abstract syntax (and transfer syntax), or None."""
        for number, accepted in self.accepted.items():
            if self.contexts[number // 2][0] == abstract and syntax in (None, accepted):
                return number
        return None

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except OSError as error:
                raise Closed(str(error)) from None
            if not piece:
                raise Closed("connection closed")
            data += piece
        return data

    def read_pdu(self):
        kind, _, length = struct.unpack(">BBI", self.read_exactly(6))
        if length > 1 << 22:
            raise Closed(f"PDU of {length} bytes")
        body = self.read_exactly(length)
        if kind == 7:
            raise Aborted("A-ABORT")
        return kind, body

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Closed(str(error)) from None

    def send_message(self, context, data, command, last=True):
        """Sends a command or data set, split into PDUs of the peer's maximum length."""
        size = min(self.peer_max_pdu, 131072) - 12
        pieces = [data[at:at + size] for at in range(0, len(data), size)] or [b""]
        stream = b"".join(
            pdv(context, piece, command, last and index == len(pieces) - 1) for index, piece in enumerate(pieces))
        self.send(stream)

    def read_status(self):
        """The message ID and the status of the next response."""
        command = b""
        while True:
            kind, body = self.read_pdu()
            if kind != 4:
                raise Closed(f"PDU type {kind} instead of a response")
            at = 0
            while at < len(body):
                length, _, header = struct.unpack_from(">IBB", body, at)
                command += body[at + 6:at + 4 + length]
                at += 4 + length
            if header & 2:
                found = read_command(command)
                return struct.unpack("<H", found[0x0120])[0], struct.unpack("<H", found[0x0900])[0]

    def store(self, context, class_uid, instance_uid, data):
        """Sends data-set bytes unchanged by C-STORE. Returns the status."""
        self.message = self.message % 65535 + 1
        self.send_message(context, store_command(class_uid, instance_uid, self.message), command=True)
        self.send_message(context, data, command=False)
        message, status = self.read_status()
        if message != self.message:
            raise Closed(f"response to message {message} while {self.message} was open")
        return status

    def echo(self, context=1):
        self.message = self.message % 65535 + 1
        self.send_message(context, command_set({
            0x0002: VERIFICATION, 0x0100: C_ECHO_REQUEST, 0x0110: self.message, 0x0800: NO_DATA_SET}), command=True)
        return self.read_status()[1]

    def release(self):
        try:
            self.send(struct.pack(">BBII", 5, 0, 4, 0))
            self.read_pdu()
        except Closed:
            pass
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.release() if kind is None else self.close()


def connect(port, host="127.0.0.1", timeout=10, tls=None):
    """A TCP connection without Nagle's algorithm, secured by an `ssl.SSLContext` if there is one."""
    connection = socket.create_connection((host, port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return connection
    try:
        return tls.wrap_socket(connection, server_hostname=host)
    except OSError:
        connection.close()
        raise


def echo(port, calling="TEST", called="KONTUR", timeout=5, tls=None):
    """Sends one C-ECHO in its own association. Returns the status."""
    contexts = [(VERIFICATION, [IMPLICIT_LITTLE])]
    with Association(port, contexts, calling=calling, called=called, timeout=timeout, tls=tls) as one:
        return one.echo()
