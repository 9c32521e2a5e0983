#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes the scores of a run of `kontur evaluate` again, with numpy, SciPy, pysodmetrics and medpy.

    evaluation.py --results OUT --truth-pictures DATA/masks           frames: masks by the case's name
    evaluation.py --results OUT --truth-arrays CASE=TRUTH.npz ...     volumes: `mask` (packed bits) and `shape`

OUT is an output folder of `kontur evaluate`. The check shares no code with Kontur. It passes if every score of every
case in cases.csv, and every mean in summary.json, is within 1e-3 of the score that this program computes from the
masks in the folder. It needs `pip install pysodmetrics medpy scipy scikit-learn` in addition to the checks'
requirements.
"""

import argparse
import csv
import json
import os
import re
import sys

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from report import Report

LIMIT = 1e-3


def overlap(answer, truth):
    """Dice, IoU, precision and recall of two boolean arrays."""
    both, found, wanted = (answer & truth).sum(), answer.sum(), truth.sum()
    if found + wanted == 0:
        return dict.fromkeys(("dice", "iou", "precision", "recall"), 1.0)
    return {"dice": 2 * both / (found + wanted), "iou": both / (found + wanted - both),
            "precision": both / found if found else 0.0, "recall": both / wanted if wanted else 0.0}


def frame_scores(answer, truth):
    """The six scores of pysodmetrics for one frame, and the E-measure at each of its 256 thresholds."""
    if not answer.any() and not truth.any():
        return {"weightedF": 1, "structure": 1, "enhancedAlignment": 1, "meanEnhancedAlignment": 1,
                "largestEnhancedAlignment": 1, "meanAbsoluteError": 0}, np.ones(256)
    import py_sod_metrics as sod
    measures = sod.WeightedFmeasure(), sod.Smeasure(), sod.Emeasure(), sod.MAE()
    for measure in measures:
        measure.step(pred=answer.astype(np.uint8) * 255, gt=truth.astype(np.uint8) * 255)
    e = measures[2].get_results()["em"]
    return {"weightedF": measures[0].get_results()["wfm"], "structure": measures[1].get_results()["sm"],
            "enhancedAlignment": e["adp"], "meanEnhancedAlignment": e["curve"].mean(),
            "largestEnhancedAlignment": e["curve"].max(),
            "meanAbsoluteError": measures[3].get_results()["mae"]}, e["curve"]


def distances(answer, truth, spacing):
    """The surface distances of medpy, in the unit of `spacing`. Empty if only one of the two masks is empty."""
    from medpy.metric import binary
    if not answer.any() and not truth.any():
        return dict.fromkeys(("hausdorff95", "averageSurfaceDistance", "symmetricSurfaceDistance"), 0.0)
    if not answer.any() or not truth.any():
        return {}
    return {"hausdorff95": binary.hd95(answer, truth, spacing),
            "averageSurfaceDistance": binary.asd(answer, truth, spacing),
            "symmetricSurfaceDistance": binary.assd(answer, truth, spacing)}


def picture(path):
    """A mask picture as booleans."""
    return np.asarray(Image.open(path).convert("L")) > 127


def truth_picture(folder, case):
    for name in (f"{case}.png", f"{case}.jpg", f"{case}_mask.png"):
        if os.path.exists(f"{folder}/{name}"):
            return picture(f"{folder}/{name}")
    raise SystemExit(f"the mask of {case} is missing in {folder}")


def truth_array(path):
    file = np.load(path)
    shape = tuple(file["shape"])
    return np.unpackbits(file["mask"])[: np.prod(shape)].reshape(shape).astype(bool)


def answer(folder, result):
    """The masks of a result, in the order of the numbers in their names."""
    number = lambda path: [int(n) for n in re.findall(r"\d+", "/".join(path.split("/")[-2:]))]
    return [picture(f"{folder}/{path}") for path in sorted(result["masks"], key=number)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--results", required=True, help="an output folder of kontur evaluate")
    parser.add_argument("--truth-pictures", help="a folder of masks with the names of the cases")
    parser.add_argument("--truth-arrays", nargs="*", default=[], help="CASE=FILE.npz for each volume")
    parser.add_argument("--spacing", nargs=3, type=float, default=[1, 1, 1], help="mm between slices, rows, columns")
    arguments = parser.parse_args()
    report = Report("evaluation")
    try:
        import medpy.metric  # noqa: F401
        import py_sod_metrics  # noqa: F401
    except ImportError as error:
        report.skip(f"{error.name} is not installed")
    arrays = dict(pair.split("=", 1) for pair in arguments.truth_arrays)
    results = {}
    with open(f"{arguments.results}/results.jsonl") as file:
        for result in map(json.loads, file):
            if "failure" not in result:
                results[result["key"]["caseID"], result["name"], json.dumps(result["key"]["prompt"])] = result
    with open(f"{arguments.results}/cases.csv") as file:
        rows = {(row["case"], row["segmenter"], row["prompt"]): row for row in csv.DictReader(file)}
    with open(f"{arguments.results}/summary.json") as file:
        summaries = json.load(file)["segmenters"]
    worst, sums, curves = {}, {}, {}
    for (case, name, prompt), result in results.items():
        if "automatic" not in prompt:
            continue
        masks = answer(arguments.results, result)
        if case in arrays:
            found, wanted = np.stack(masks), truth_array(arrays[case])
            computed = overlap(found, wanted) | distances(found, wanted, arguments.spacing)
        else:
            wanted = truth_picture(arguments.truth_pictures, case)
            frame, curve = frame_scores(masks[0], wanted)
            computed = overlap(masks[0], wanted) | frame
            curves.setdefault(name, []).append(curve)
        row = rows[case, name, ""]
        for score, value in computed.items():
            worst[score] = max(worst.get(score, 0), abs(float(row[score]) - value))
            sums.setdefault((name, score), []).append(value)
    for score, difference in sorted(worst.items()):
        report.line(f"{score}: differs by at most {difference:.1e} in any case")
        report.expect(difference <= LIMIT, f"{score} differs by {difference:.1e}")
    means = 0.0
    for summary in summaries:
        for score in summary["scores"]:
            values = sums.get((summary["name"], score["name"]))
            if not values or summary["isOracle"]:
                continue
            mean = np.mean(values)
            if score["name"] == "largestEnhancedAlignment":
                mean = np.mean(curves[summary["name"]], axis=0).max()
            means = max(means, abs(score["estimate"]["mean"] - mean))
            report.line(f"{summary['name']}, {score['title']}: {score['estimate']['mean']:.4f}, here {mean:.4f}")
    report.line(f"means differ by at most {means:.1e} over {len(results)} results")
    report.expect(results and means <= LIMIT, f"{len(results)} results, whose means differ by {means:.1e}")
    report.end()


if __name__ == "__main__":
    main()
