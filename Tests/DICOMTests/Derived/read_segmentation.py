#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares SEGs with the masks that were meant, as pydicom and highdicom read them.

    read_segmentation.py seg.dcm masks [seg.dcm masks]

`masks` holds the values of the frames in the order of the SEG, one byte a pixel.
"""

import pathlib
import sys
import warnings

import highdicom
import numpy as np
import pydicom


def compare(path, masks):
    data_set = pydicom.dcmread(path)
    shape = (int(data_set.NumberOfFrames), data_set.Rows, data_set.Columns)
    meant = np.frombuffer(pathlib.Path(masks).read_bytes(), np.uint8).reshape(shape)
    stored = data_set.pixel_array.reshape(shape)
    assert np.array_equal(stored, meant), f"{path}, pydicom: {int((stored != meant).sum())} pixels differ"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        segmentation = highdicom.seg.segread(path)
        read = segmentation.pixel_array.reshape(shape)
    assert np.array_equal(read, meant), f"{path}, highdicom: {int((read != meant).sum())} pixels differ"
    assert [segment.SegmentNumber for segment in segmentation.SegmentSequence if segment.SegmentNumber] == [1]


def main():
    paths = sys.argv[1:]
    for path, masks in zip(paths[::2], paths[1::2], strict=True):
        compare(path, masks)
    print(f"{len(paths) // 2} equal")


if __name__ == "__main__":
    main()
