# SPDX-License-Identifier: Apache-2.0
"""Draws the outline of a SEG frame over its source image, with Python's own library only.

Orthanc decodes the image (`/instances/<id>/preview` as a portable arbitrary map). The mask comes from the Segmentation
object in the archive. The picture is a PNG.
"""

import struct
import zlib

OUTLINE = bytes((255, 214, 0))
FILL = bytes((255, 80, 0))


def read_pam(data):
    """(columns, rows, channels, bytes) of an 8-bit portable arbitrary map."""
    head, body = data.split(b"ENDHDR\n", 1)
    fields = dict(line.split(b" ", 1) for line in head.splitlines() if b" " in line)
    if fields[b"MAXVAL"] != b"255":
        raise ValueError("not an 8-bit picture")
    return int(fields[b"WIDTH"]), int(fields[b"HEIGHT"]), int(fields[b"DEPTH"]), body


def write_png(path, columns, rows, rgb):
    """Writes an 8-bit RGB picture."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + bytes(rgb[at:at + columns * 3]) for at in range(0, rows * columns * 3, columns * 3))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(lines, 6)) + chunk(b"IEND", b""))


def overlay(preview, mask, brighten=False):
    """Draws the outline of a mask on a preview and tints its inside. Returns (columns, rows, RGB)."""
    columns, rows, channels, pixels = read_pam(preview)
    if brighten:
        low, high = _window(pixels)
        scale = bytes(min(255, max(0, (value - low) * 255 // max(1, high - low))) for value in range(256))
        pixels = pixels.translate(scale)
    if channels == 1:
        rgb = bytearray(3 * len(pixels))
        rgb[0::3] = rgb[1::3] = rgb[2::3] = pixels
    else:
        rgb = bytearray(pixels)
    for at in range(rows * columns):
        if not mask[at]:
            continue
        column = at % columns
        inner = (0 < column < columns - 1 and columns <= at < (rows - 1) * columns
                 and mask[at - 1] and mask[at + 1] and mask[at - columns] and mask[at + columns])
        if inner:
            for channel in range(3):
                rgb[3 * at + channel] = (3 * rgb[3 * at + channel] + FILL[channel]) // 4
        else:
            rgb[3 * at:3 * at + 3] = OUTLINE
    return columns, rows, rgb


def enlarge(columns, rows, rgb, factor):
    """Repeats every pixel of a picture `factor` times in both directions."""
    lines = []
    for row in range(rows):
        line = rgb[row * columns * 3:(row + 1) * columns * 3]
        wide = bytearray(len(line) * factor)
        for step in range(factor):
            for channel in range(3):
                wide[3 * step + channel::3 * factor] = line[channel::3]
        lines += [bytes(wide)] * factor
    return columns * factor, rows * factor, b"".join(lines)


def _window(pixels):
    """The grey levels that enclose 98% of a picture's pixels."""
    histogram = [0] * 256
    for value, count in enumerate(map(pixels.count, (bytes([value]) for value in range(256)))):
        histogram[value] = count
    total, running, low, high = len(pixels), 0, 0, 255
    for value in range(256):
        running += histogram[value]
        if running <= total * 0.01:
            low = value
        if running < total * 0.99:
            high = value + 1
    return low, min(255, high)
