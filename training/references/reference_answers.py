# SPDX-License-Identifier: Apache-2.0
"""Writes the answers of the recipes, for the Swift tests: python -m training.references.reference_answers --data DATA

For each shipped U-Net it writes Tests/SegmentationTests/Golden/<name>.safetensors: drawn inputs (`<n>.input`), and the mean
probability and the mask that the recipe gives for them (`<n>.probability`, `<n>.mask`). The metadata key `kontur` holds the
weights' SHA-256 and the spacing, measures and confidence of each input. If the data are present, it also holds the Dice of
the first held-out frames and the mask's area in pixels per slice of MR series. The numbers belong to one set of
weights, so exporting/export.py calls this script after each export.
"""
import argparse
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from training.data import scenes
from training.fitting.tasks import LEFT_ATRIUM, POLYP, TASKS
from training.networks.shipped import load
from training.paths import ROOT, SEGMENTATION_GOLDEN, add_folders, shipped
from training.recipes import confidence, left_atrium_compact
from training.references.predict import canonical, read_volume
from training.scores import dice

CASES = 6


def drawn(task):
    """Yields small drawn images of odd sizes, and the keyword arguments of the recipe's `answer`."""
    if task is POLYP:
        for seed, shape in ((3, (101, 99)), (4, (150, 211))):
            image = scenes.colonoscopy(np.random.default_rng([9, seed]), shape, polyps=1)[0]
            yield np.asarray(image, np.uint8), {}
    else:
        spacing = (2.5, 2.0, 1.75)
        yield scenes.left_atrium(np.random.default_rng([9, 5]), spacing)[0], {"spacing": spacing}
        spacing = (5.0, 3.5, 3.0)  # in a field of view that is searched
        volume = scenes.left_atrium(np.random.default_rng([9, 6]), spacing)[0]
        yield np.pad(volume, ((0, 0), (31, 10), (9, 26))), {"spacing": spacing}


def areas(network, folder):
    """Pixels of the mask in each slice of an MR series, by position along the normal."""
    values, spacing, axes = read_volume(sorted(folder.glob("*.dcm")))
    order, flips = canonical(axes)
    turned = np.ascontiguousarray(np.flip(values.transpose(order), flips))
    mask = left_atrium_compact.answer(network, turned, tuple(spacing[k] for k in order)).mask
    return np.flip(mask, flips).transpose(np.argsort(order)).sum((1, 2)).tolist()


def write(task, network, digest, data, fit):
    """Writes the file of one task. `digest` is the SHA-256 of the weights, `fit` the coefficients of the confidence."""
    tensors, inputs = {}, []
    for n, (image, arguments) in enumerate(drawn(task)):
        answer = task.recipe.answer(network, image, **arguments)
        arrays = {"input": image, "probability": answer.probability, "mask": answer.mask}
        for key, array in arrays.items():  # bytes and bits fit fp16 exactly
            kind = np.float16 if array.dtype in (np.uint8, bool) else np.float32
            tensors[f"{n}.{key}"] = torch.from_numpy(np.ascontiguousarray(array, kind))
        inputs.append({**arguments, "measures": answer.measures,
                       "confidence": confidence.of(answer, fit)})
    held_out, series = {}, {}
    if task is LEFT_ATRIUM:
        series["samples-dicom/lge"] = areas(network, ROOT / "samples-dicom/lge")
        for folder in sorted(path for path in Path(data).glob("dicom/la-*") if path.is_dir()):
            series[f"dicom/{folder.name}"] = areas(network, folder)
    if Path(data).is_dir() and task is POLYP:
        for name, image, truth in itertools.islice(task.data.held_out(data), CASES):
            held_out[name] = dice(task.recipe.answer(network, image).mask, truth)
    facts = {"weights": digest, "inputs": inputs, "held_out": held_out, "series": series}
    SEGMENTATION_GOLDEN.mkdir(parents=True, exist_ok=True)
    save_file(tensors, SEGMENTATION_GOLDEN / f"{task.name}.safetensors", {"kontur": json.dumps(facts, sort_keys=True)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_folders(parser)
    data = parser.parse_args().data
    torch.set_num_threads(1)
    for task in TASKS.values():
        path = shipped(task.name)
        network, facts = load(path)
        write(task, network, hashlib.sha256(path.read_bytes()).hexdigest(), data, facts.get("confidence"))


if __name__ == "__main__":
    main()
