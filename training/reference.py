# SPDX-License-Identifier: Apache-2.0
"""Writes what the Swift recipes are compared with: python training/reference.py --data ../shared/data

For each shipped network, Tests/SegmentationTests/Golden/<name>.safetensors: drawn inputs (`<n>.input`), and the mean
probability and the mask that the recipe in training/ makes of them (`<n>.probability`, `<n>.mask`). The metadata key
`kontur` holds the weights' SHA-256, each input's spacing, measures and confidence, where the data are present the Dice of the first
held-out frames, and of MR series (the committed sample, and those of the data) the mask's area in each slice, in pixels.
export.py calls it, because the numbers belong to one set of weights.
"""
import argparse
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import confidence
import left_atrium
import polyp
import scenes
from scores import dice

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "Tests/SegmentationTests/Golden"
CASES = 6


def drawn(task):
    """(image, keyword arguments of task.views): small, of odd sizes."""
    if task is polyp:
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
    from predict import canonical, read_volume
    values, spacing, axes = read_volume(sorted(folder.glob("*.dcm")))
    order, flips = canonical(axes)
    turned = np.ascontiguousarray(np.flip(values.transpose(order), flips))
    mask = left_atrium.answer(network, turned, tuple(spacing[k] for k in order)).mask
    return np.flip(mask, flips).transpose(np.argsort(order)).sum((1, 2)).tolist()


def write(task, network, digest, data, fit):
    tensors, inputs = {}, []
    for n, (image, arguments) in enumerate(drawn(task)):
        answer = task.answer(network, image, **arguments)
        arrays = {"input": image, "probability": answer.probability, "mask": answer.mask}
        for key, array in arrays.items():  # bytes and bits fit fp16 exactly
            kind = np.float16 if array.dtype in (np.uint8, bool) else np.float32
            tensors[f"{n}.{key}"] = torch.from_numpy(np.ascontiguousarray(array, kind))
        inputs.append({**arguments, "measures": answer.measures,
                       "confidence": confidence.of(answer, fit)})
    held_out, series = {}, {}
    if task is left_atrium:
        series["samples-dicom/lge"] = areas(network, HERE.parent / "samples-dicom/lge")
        for folder in sorted(path for path in Path(data).glob("dicom/la-*") if path.is_dir()):
            series[f"dicom/{folder.name}"] = areas(network, folder)
    if Path(data).is_dir() and task is polyp:
        for name, image, truth in itertools.islice(task.held_out(data), CASES):
            held_out[name] = dice(task.answer(network, image).mask, truth)
    facts = {"weights": digest, "inputs": inputs, "held_out": held_out, "series": series}
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file(tensors, FOLDER / f"{task.NAME}.safetensors", {"kontur": json.dumps(facts, sort_keys=True)})


def main():
    from export import load
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=HERE.parent / "../shared/data", type=Path)
    data = parser.parse_args().data
    torch.set_num_threads(1)
    for task in (polyp, left_atrium):
        (path,) = (HERE.parent / "Sources/CWeights/files").glob(f"{task.NAME}-*.safetensors")
        network, facts = load(path)
        write(task, network, hashlib.sha256(path.read_bytes()).hexdigest(), data, facts.get("confidence"))


if __name__ == "__main__":
    main()
