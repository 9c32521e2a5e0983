# SPDX-License-Identifier: Apache-2.0
"""Reads a Segmentation object with Python's own library alone, as a second opinion on Kontur's writer.

The reader knows only Explicit VR Little Endian, as Kontur writes it. Bits of BINARY frames follow each other without
padding (PS3.5 8.1.1, PS3.3 C.8.20), least significant bit first. The reader shares no code with Kontur, DCMTK or
pydicom.
"""

import struct
import sys

LONG_LENGTH = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class SegmentationError(Exception):
    """The file is not a Segmentation object that this reader understands."""


def read_elements(data, start, end):
    """Reads the data set in `data[start:end]`. Returns tag -> (VR, bytes) or (b"SQ", [items]), and its end."""
    found = {}
    at = start
    while at + 8 <= end:
        group, element = struct.unpack_from("<HH", data, at)
        tag = group << 16 | element
        if tag == ITEM_END:
            return found, at + 8
        vr = bytes(data[at + 4:at + 6])
        if vr in LONG_LENGTH:
            length = struct.unpack_from("<I", data, at + 8)[0]
            at += 12
        else:
            length = struct.unpack_from("<H", data, at + 6)[0]
            at += 8
        if vr == b"SQ":
            value, at = read_items(data, at, end if length == UNDEFINED else at + length)
        else:
            if length == UNDEFINED or at + length > end:
                raise SegmentationError(f"element {tag:08X} reaches past the end of its data set")
            value = data[at:at + length]
            at += length
        found[tag] = (vr, value)
    return found, at


def read_items(data, at, end):
    """Reads the items of a sequence that begins at `at`. Returns them and the end of the sequence."""
    items = []
    while at + 8 <= end:
        group, element, length = struct.unpack_from("<HHI", data, at)
        at += 8
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return items, at
        if tag != ITEM:
            raise SegmentationError(f"found {tag:08X} where an item should begin")
        item, at = read_elements(data, at, end if length == UNDEFINED else at + length)
        items.append(item)
    return items, at


class PlainSegmentation:
    """The attributes and masks of one Segmentation object."""

    def __init__(self, data):
        data = memoryview(data)
        if bytes(data[128:132]) != b"DICM":
            raise SegmentationError("the DICM prefix is missing")
        meta_length = struct.unpack_from("<I", data, 140)[0]
        meta, at = read_elements(data, 132, 144 + meta_length)
        syntax = self.text(meta, 0x00020010)
        if syntax != "1.2.840.10008.1.2.1":
            raise SegmentationError(f"transfer syntax {syntax} is not Explicit VR Little Endian")
        self.elements, _ = read_elements(data, at, len(data))
        self.uid = self.text(self.elements, 0x00080018)
        self.series = self.text(self.elements, 0x0020000E)
        self.study = self.text(self.elements, 0x0020000D)
        self.description = self.text(self.elements, 0x0008103E)
        self.type = self.text(self.elements, 0x00620001)
        self.rows = self.number(0x00280010)
        self.columns = self.number(0x00280011)
        self.frames = int(self.text(self.elements, 0x00280008) or 1)
        self.pixels = self.elements[0x7FE00010][1]
        bits = self.rows * self.columns * self.frames * self.number(0x00280100)
        if len(self.pixels) != (bits + 15) // 16 * 2:
            raise SegmentationError(f"{len(self.pixels)} bytes of pixel data for {bits} bits")
        self.per_frame = self.items(self.elements, 0x52009230)
        if len(self.per_frame) != self.frames:
            raise SegmentationError(f"{len(self.per_frame)} functional groups for {self.frames} frames")

    @staticmethod
    def text(elements, tag):
        return bytes(elements[tag][1]).decode("latin-1").strip(" \0") if tag in elements else ""

    def number(self, tag):
        return struct.unpack("<H", self.elements[tag][1])[0]

    @staticmethod
    def items(elements, tag):
        return elements[tag][1] if tag in elements else []

    def sources(self, frame):
        """(SOP Instance UID, frame numbers) of the source images of a frame, counted from 0."""
        found = []
        for derivation in self.items(self.per_frame[frame], 0x00089124):
            for source in self.items(derivation, 0x00082112):
                numbers = self.text(source, 0x00081160)
                found.append((self.text(source, 0x00081155), [int(one) for one in numbers.split("\\") if one]))
        return found

    def position(self, frame):
        """Image Position (Patient) of a frame: three numbers in mm, or None."""
        for item in self.items(self.per_frame[frame], 0x00209113):
            return [float(number) for number in self.text(item, 0x00200032).split("\\")]
        return None

    def mask(self, frame):
        """A frame as `rows * columns` bytes of 0 and 1.

        FRACTIONAL values of at least half the maximum are 1. Of a label map, the value 1 is 1: Kontur's one segment.
        """
        size = self.rows * self.columns
        if self.type == "LABELMAP":
            return bytes(value == 1 for value in self.pixels[frame * size:(frame + 1) * size])
        if self.type == "FRACTIONAL":
            half = self.number(0x0062000E) / 2
            return bytes(value >= half for value in self.pixels[frame * size:(frame + 1) * size])
        first = frame * size
        value = int.from_bytes(self.pixels[first // 8:(first + size + 7) // 8], "little") >> (first % 8)
        digits = bin(value & ((1 << size) - 1))[2:].zfill(size).encode()
        return digits[::-1].translate(bytes.maketrans(b"01", b"\0\1"))


def main():
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            one = PlainSegmentation(file.read())
        print(f"{path}: {one.type} {one.frames} x {one.rows} x {one.columns} {one.description!r} {one.uid}")
        for frame in range(one.frames):
            print(f"  {frame + 1}: {sum(one.mask(frame))} pixels, position {one.position(frame)}, {one.sources(frame)}")


if __name__ == "__main__":
    main()
