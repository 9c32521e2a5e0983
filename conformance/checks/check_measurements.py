#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks measurement reports against the SEGs that they measure, by readers that share no code with Kontur.

A report passes if

- dciodvfy does not find an error,
- highdicom reads it as a Measurement Report (TID 1500) with its observer, algorithm and references,
- its tracking identifier and its segment are those of the SEG that it names,
- every instance that it names is in its evidence,
- it follows the rules by which OHIF reads reports, and
- each number is within 1% of the number that this program computes from the masks of the SEG.

    check_measurements.py --sources folder --seg folder sr.dcm [sr.dcm]
"""

import argparse
import os
import sys

import highdicom
import numpy as np
import pydicom

from check_seg import Failed, dciodvfy_errors, read_sources, require

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
PRESENCE = ("705057003", "SCT", "Presence")
TOLERANCE = 0.01


def longest_distance(points):
    """The longest distance between two of the points, by comparing all pairs."""
    points = np.unique(np.asarray(points, float), axis=0)
    longest = 0.0
    for start in range(0, len(points), 500):
        difference = points[start:start + 500, None] - points[None]
        longest = max(longest, np.sqrt((difference ** 2).sum(-1)).max())
    return longest


def row_ends(mask):
    """The first and the last set pixel of each row, as (row, column). The longest distance joins two of them."""
    ends = []
    for row in np.flatnonzero(mask.any(1)):
        columns = np.flatnonzero(mask[row])
        ends += [(row, columns[0]), (row, columns[-1])]
    return np.array(ends)


def expected_in_frame(mask, spacing):
    """The numbers of one frame by (name, unit). `spacing` is (rows, columns) in mm, or None."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    ends = row_ends(mask)
    expected = {("Area", "{pixels}"): mask.sum(), ("Long Axis", "{pixels}"): longest_distance(ends),
                ("Width of the bounding box", "{pixels}"): width, ("Height of the bounding box", "{pixels}"): height}
    if spacing is not None:
        expected |= {("Area", "mm2"): mask.sum() * spacing[0] * spacing[1],
                     ("Long Axis", "mm"): longest_distance(ends * spacing),
                     ("Width of the bounding box", "mm"): width * spacing[1],
                     ("Height of the bounding box", "mm"): height * spacing[0]}
    return expected


def expected_in_volume(seg, masks):
    """The numbers of a volume by (name, unit), from the geometry of the SEG alone."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    rows, columns = (float(value) for value in measures.PixelSpacing)
    slices = float(measures.SpacingBetweenSlices)
    axes = [float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    along_columns, along_rows = np.array(axes[:3]) * columns, np.array(axes[3:]) * rows
    points, in_plane = [], 0.0
    for group, mask in zip(seg.PerFrameFunctionalGroupsSequence, masks):
        origin = np.array([float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient])
        ends = row_ends(mask)
        points += [origin + row * along_rows + column * along_columns for row, column in ends]
        in_plane = max(in_plane, longest_distance(ends * (rows, columns)))
    return {("Volume", "ml"): masks.sum() * rows * columns * slices / 1000,
            ("Diameter", "mm"): longest_distance(points), ("Long Axis", "mm"): in_plane}


def compare_numbers(group, expected, where):
    """Compares the measurements of a group with the expected numbers, and expects a confidence beside them."""
    numbers = {(one.name.meaning, one.unit.value): float(one.value) for one in group.get_measurements()}
    confidence = numbers.pop(("Confidence", "1"), None)
    require(confidence is not None and 0 <= confidence <= 1, f"{where}: the confidence is {confidence}")
    require(set(numbers) == set(expected), f"{where}: it has {sorted(numbers)} and should have {sorted(expected)}")
    for name, value in expected.items():
        require(abs(numbers[name] - value) <= TOLERANCE * abs(value), f"{where}: {name} {numbers[name]}, not {value}")


def check_group(group, segment, where):
    """Checks the facts that every group states: tracking, finding and algorithm."""
    require(group.tracking_identifier.startswith(segment.TrackingID), f"{where}: {group.tracking_identifier}")
    require(group.finding_type.value == segment.SegmentedPropertyTypeCodeSequence[0].CodeValue,
            f"{where}: the finding is {group.finding_type}")
    texts = {item.name.meaning: item.value for item in group[0].ContentSequence if item.value_type.value == "TEXT"}
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    require(texts["Algorithm Name"] == algorithm.AlgorithmName and texts["Algorithm Version"] ==
            algorithm.AlgorithmVersion, f"{where}: the algorithm is {texts}")


def check_rules_of_ohif(document):
    """Checks what OHIF 3 needs (read in its source).

    OHIF merges groups of one Tracking UID, and takes the first UIDREF of a group for that UID. It does not load a
    report in which a number without a region lacks a content item of its own.
    """
    for container in document.ContentSequence:
        if container.ConceptNameCodeSequence[0].CodeMeaning != "Imaging Measurements":
            continue
        merged = {}
        for group in container.ContentSequence:
            items = group.ContentSequence
            uid = next(item for item in items if item.ValueType == "UIDREF")
            require(uid.ConceptNameCodeSequence[0].CodeMeaning == "Tracking Unique Identifier",
                    "the first UID of a group is not its Tracking UID")
            merged.setdefault(uid.UID, []).extend(items)
        for items in merged.values():
            regions = sum(item.ValueType == "SCOORD" for item in items)
            require(regions <= 1, f"{regions} regions have one Tracking UID")
            numbers = [item for item in items if item.ValueType == "NUM"]
            require(regions or all("ContentSequence" in item for item in numbers), "a number has no content item")


def check_box(group, mask, source_uid, where):
    """Compares the bounding box with the mask."""
    boxes = [item for item in group[0].ContentSequence if item.name.meaning == "Bounding box"]
    require(len(boxes) == 1, f"{where}: {len(boxes)} bounding boxes")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    points = np.asarray(boxes[0].GraphicData, float).reshape(-1, 2)
    require(tuple(points.min(0)) == (columns[0], rows[0]) and tuple(points.max(0)) == (columns[-1] + 1, rows[-1] + 1),
            f"{where}: the bounding box is {points.tolist()}")
    named = boxes[0].ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    require(named == source_uid, f"{where}: the bounding box is on another image")


def named_instances(item):
    """The SOP Instance UIDs of all images below a content item."""
    if "ReferencedSOPSequence" in item and "ValueType" in item:
        yield item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    for child in item.get("ContentSequence", []):
        yield from named_instances(child)


def check_report(path, segs, sources):
    """Checks one report. Returns (SEG or None, number of findings). Raises `Failed`."""
    errors = dciodvfy_errors(path)
    require(not errors, f"dciodvfy: {errors[:3]}")
    document = highdicom.sr.srread(path)
    require(document.SOPClassUID == COMPREHENSIVE_SR, f"its class is {document.SOPClassUID}")
    content = document.content
    require(isinstance(content, highdicom.sr.MeasurementReport), "highdicom does not see a Measurement Report")
    require(content.get_observer_contexts()[0].observer_identifying_attributes.manufacturer_name == "KONTUR",
            "the observer is not Kontur")
    evidence = {one.ReferencedSOPInstanceUID: series.SeriesInstanceUID
                for study in document.CurrentRequestedProcedureEvidenceSequence
                for series in study.ReferencedSeriesSequence for one in series.ReferencedSOPSequence}
    named = set(named_instances(document))
    require(named == set(evidence), f"{len(named ^ set(evidence))} instances are in the tree or the evidence alone")
    listed = [uid for uid in evidence if uid in sources]
    one = sources[listed[0]]
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
        require(document.get(keyword) == one.get(keyword), f"{keyword} differs from the source")
    check_rules_of_ohif(document)
    whole = content.get_image_measurement_groups()
    require(len(whole) == 1, f"{len(whole)} groups about the whole stack")
    stated = [one.value.meaning for one in whole[0].get_qualitative_evaluations(highdicom.sr.CodedConcept(*PRESENCE))]
    require(len(stated) == 1, f"it states the presence {len(stated)} times")
    volumes, frames = content.get_volumetric_roi_measurement_groups(), content.get_planar_roi_measurement_groups()
    if stated[0] == "Absent":
        require(not volumes and not frames, "it measures a structure that is absent")
        require(set(evidence) <= set(sources), "it names a SEG of an absent structure")
        return None, 0
    others = [uid for uid in evidence if uid not in sources]
    require(len(others) == 1 and others[0] in segs, f"it names {len(others)} other objects")
    seg = segs[others[0]]
    require(evidence[others[0]] == seg.SeriesInstanceUID, "the evidence has another series for the SEG")
    listed_in_seg = {one.ReferencedSOPInstanceUID for one in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    require(set(listed) == listed_in_seg, "its sources are not those of the SEG")
    masks = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns) != 0
    segment = seg.SegmentSequence[0]
    for number, group in enumerate(whole + volumes + frames):
        check_group(group, segment, f"group {number + 1}")
    # The segment has one Tracking UID. Findings of several frames each have their own.
    of_segment = whole + volumes + (frames if len(frames) == 1 else [])
    require({str(group.tracking_uid) for group in of_segment} == {segment.TrackingUID},
            "the Tracking UID is not that of the segment")
    own = {str(group.tracking_uid) for group in frames}
    require(len(own) == len(frames) and (len(own) == 1 or segment.TrackingUID not in own),
            f"{len(own)} Tracking UIDs for {len(frames)} frames")
    if volumes:
        require(len(volumes) == 1 and not frames, f"{len(volumes)} volumes and {len(frames)} frames")
        require(volumes[0].referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID, "another SEG")
        compare_numbers(volumes[0], expected_in_volume(seg, masks), "volume")
        return seg, 1
    require(len(frames) == len(masks), f"{len(frames)} frames measured, {len(masks)} in the SEG")
    for number, group in enumerate(frames):
        where = f"frame {number + 1}"
        reference = group.referenced_segmentation_frame
        require(reference.referenced_sop_instance_uid == seg.SOPInstanceUID, f"{where}: another SEG")
        place = reference[0].referenced_frame_numbers[0]
        derivation = seg.PerFrameFunctionalGroupsSequence[place - 1].DerivationImageSequence[0].SourceImageSequence[0]
        source = sources[derivation.ReferencedSOPInstanceUID]
        require(reference.source_image_for_segmentation.referenced_sop_instance_uid == source.SOPInstanceUID,
                f"{where}: another source image")
        spacing = np.array(source.PixelSpacing, float) if source.get("PixelSpacing") else None
        compare_numbers(group, expected_in_frame(masks[place - 1], spacing), where)
        check_box(group, masks[place - 1], source.SOPInstanceUID, where)
    return seg, len(frames)


def check_reports(paths, seg_paths, folders):
    """Checks reports. Returns the findings of those that passed, and the faults of the others."""
    sources = read_sources(folders)
    segs = {}
    for path in seg_paths:
        seg = pydicom.dcmread(path)
        segs[seg.SOPInstanceUID] = seg
    found, wrong = [], []
    for path in paths:
        try:
            found.append(check_report(path, segs, {uid: one for uid, one in sources.items() if uid not in segs}))
        except (Failed, KeyError, IndexError, AttributeError, RuntimeError, ValueError, TypeError) as error:
            wrong.append(f"{os.path.basename(path)}: {type(error).__name__}: {error}")
    return found, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", action="append", required=True, metavar="FOLDER")
    parser.add_argument("--seg", action="append", default=[], metavar="FILE")
    parser.add_argument("reports", nargs="+")
    options = parser.parse_args()
    found, wrong = check_reports(options.reports, options.seg, options.sources)
    for seg, findings in found:
        print(f"report of {findings} findings" if seg is not None else "report: absent")
    for failure in wrong:
        print(f"FAILED: {failure}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
