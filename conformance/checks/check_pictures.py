#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares secondary captures with burnt-in contours with their SEGs and source images, pixel by pixel.

An object passes if

- dciodvfy does not find an error,
- it shows each frame of one SEG once, or says how many it shows, and names the same source frames as the SEG,
- the contour is exactly the part of the SEG's mask that lies at most `thickness` steps from the outside, in the colour
  that the SEG recommends,
- every other pixel of the source is unchanged (RGB), or grey that rises with the source's values, and
- the caption lies below the source, and is not empty.

    check_pictures.py --sources folder --seg seg.dcm [--seg seg.dcm] pictures.dcm [pictures.dcm]
"""

import argparse
import json
import sys

import numpy as np
import pydicom

from check_seg import Failed, dciodvfy_errors, read_sources, require

PICTURES_STORAGE = "1.2.840.10008.5.1.4.1.1.7.4"
# The most that two JPEG decoders differ in a pixel, because they enlarge colours differently.
JPEG_DIFFERENCE = 40


def contour(mask, thickness):
    """The pixels of a mask from which a pixel outside the mask, or outside the frame, is at most so many steps away."""
    inner = np.pad(mask.astype(bool), 1)
    for _ in range(thickness):
        last = inner.copy()
        inner[1:-1, 1:-1] = (last[1:-1, 1:-1] & last[:-2, 1:-1] & last[2:, 1:-1] & last[1:-1, :-2] & last[1:-1, 2:])
    return mask.astype(bool) & ~inner[1:-1, 1:-1]


def srgb(lab):
    """The sRGB colour, 0 to 255, of a Recommended Display CIELab Value (PS3.3 C.10.7.1.1, D50)."""
    l, a, b = lab[0] * 100 / 65535, lab[1] * 255 / 65535 - 128, lab[2] * 255 / 65535 - 128
    y = (l + 16) / 116
    f = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(f > 6 / 29, f ** 3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.96422, 1, 0.82521]
    linear = np.clip(np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540],
                               [0.0719453, -0.2289914, 1.4052427]]) @ xyz, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def frames_of(segmentation):
    """Maps (SOP Instance UID, frame number or None) of each source frame to the mask of a SEG."""
    pixels = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    if segmentation.SegmentationType == "FRACTIONAL":
        pixels = pixels >= segmentation.MaximumFractionalValue / 2
    found = {}
    for group, mask in zip(segmentation.PerFrameFunctionalGroupsSequence, pixels):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        found[source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber")] = mask
    return found


def check_frame(picture, source, mask, color, thickness, is_lossy):
    """Compares one picture with its source frame and its mask."""
    rows, columns = mask.shape
    shown = picture[:rows, :columns]
    edge = contour(mask, thickness)
    require(edge.any(), "the mask is empty")
    colors = np.unique(shown[edge], axis=0)
    require(len(colors) == 1, f"the contour has {len(colors)} colours")
    require(np.abs(colors[0] - color).max() < 1.5, f"the contour is {colors[0]}, and the SEG recommends {color}")
    others = shown[~edge]
    if source.ndim == 3:
        difference = np.abs(others.astype(int) - source[~edge].astype(int)).max(initial=0)
        require(difference <= (JPEG_DIFFERENCE if is_lossy else 0), f"the source's pixels differ by {difference}")
        return []
    require((others == others[:, :1]).all(), "a grey pixel has a colour")
    return [others[:, 0], source[~edge]]


def check_grey(levels, values):
    """Expects that a brighter level stands for greater values, over all pictures of an object."""
    order = np.lexsort((values, levels))
    levels, values = levels[order], values[order]
    starts = np.flatnonzero(np.r_[True, np.diff(levels) > 0])
    require((values[starts[1:]] >= values[starts[1:] - 1]).all(), "greys do not rise with the source's values")
    require(len(starts) > 30, f"the pictures have only {len(starts)} grey levels")


def check(path, segmentations, sources):
    """Runs all checks on one object. Returns its description, or raises `Failed`."""
    errors = dciodvfy_errors(path)
    require(not errors, f"dciodvfy: {errors[:3]}")
    data = pydicom.dcmread(path)
    require(data.SOPClassUID == PICTURES_STORAGE, f"the SOP class is {data.SOPClassUID.name}")
    named = [(one.ReferencedSOPInstanceUID, one.get("ReferencedFrameNumber")) for one in data.SourceImageSequence]
    fitting = [one for one in segmentations if set(frames_of(one)) >= set(named)]
    require(len(fitting) == 1, f"{len(fitting)} SEG have the frames of the pictures")
    require(len(named) == fitting[0].NumberOfFrames or
            f"{len(named)} of {fitting[0].NumberOfFrames} frames with a finding are shown" in data.ImageComments,
            f"{len(named)} pictures of {fitting[0].NumberOfFrames} frames")
    require(len(named) == len(set(named)) == data.NumberOfFrames, "a source frame is shown twice")
    segmentation = fitting[0]
    masks = frames_of(segmentation)
    first = sources[named[0][0]]
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "PixelSpacing"):
        require(data.get(keyword) == first.get(keyword), f"{keyword} differs from the source")
    require("KONTUR" in data.SeriesDescription and "not reviewed" in data.SeriesDescription,
            f"the series description is {data.SeriesDescription}")
    pictures = data.pixel_array.reshape(data.NumberOfFrames, data.Rows, data.Columns, 3)
    color = srgb(segmentation.SegmentSequence[0].RecommendedDisplayCIELabValue)
    thickness = max(1, (min(segmentation.Rows, segmentation.Columns) + 270) // 540)
    grey = []
    for number, (picture, key) in enumerate(zip(pictures, named), 1):
        image = sources[key[0]]
        pixels = image.pixel_array if key[1] is None else image.pixel_array[key[1] - 1]
        try:
            grey.append(check_frame(picture, pixels, masks[key], color, thickness,
                                    image.file_meta.TransferSyntaxUID.is_compressed))
        except Failed as failure:
            raise Failed(f"picture {number}: {failure}") from None
        caption = picture[segmentation.Rows:]
        require(len(caption) > 30 and (caption == 230).all(axis=-1).sum() > 300, "the caption is missing")
    if grey[0]:
        check_grey(*(np.concatenate(part) for part in zip(*grey)))
    return {"uid": data.SOPInstanceUID, "pictures": data.NumberOfFrames, "rows": data.Rows, "columns": data.Columns,
            "comments": data.ImageComments}


def check_all(paths, seg_paths, folders):
    """Checks each object. Returns the descriptions of those that passed and the faults of the others."""
    segmentations = [pydicom.dcmread(path) for path in seg_paths]
    sources = {uid: pydicom.dcmread(one.filename) for uid, one in read_sources(folders).items()}
    found, wrong = [], []
    for path in paths:
        try:
            found.append(check(path, segmentations, sources))
        except (Failed, KeyError, AttributeError, ValueError) as error:
            wrong.append(f"{path.rsplit('/', 1)[-1]}: {type(error).__name__}: {error}")
    return found, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sources", action="append", required=True, help="a folder of source images; may be repeated")
    parser.add_argument("--seg", action="append", required=True, help="a SEG of these images; may be repeated")
    parser.add_argument("pictures", nargs="+", help="the secondary captures")
    options = parser.parse_args()
    found, wrong = check_all(options.pictures, options.seg, options.sources)
    print(json.dumps({"passed": found, "failed": wrong}, indent=1))
    sys.exit(1 if wrong or not found else 0)


if __name__ == "__main__":
    main()
