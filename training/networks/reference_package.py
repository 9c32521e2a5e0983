# SPDX-License-Identifier: Apache-2.0
"""Imports the reference package: `from training.networks.reference_package import segment_anything`

A torchvision wheel is built for one build of PyTorch. Beside another build, such as the CPU-only one, its compiled operators
do not load and the package cannot be imported. segment-anything needs only non-maximum suppression, which this file then
defines in Python.
"""
import sys

import torch


def nms(boxes, scores, iou_threshold):
    """Indices of the boxes [n, XYXY] to keep, best score first.

    The IoU of a kept box with a better kept box is at most the threshold.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        corner = torch.maximum(boxes[best, :2], boxes[order, :2])
        size = (torch.minimum(boxes[best, 2:], boxes[order, 2:]) - corner).clamp(min=0)
        overlap = size[:, 0] * size[:, 1]
        # The comparison is in double precision. Boxes without area stay: their quotient is 0/0.
        order = order[~((overlap / (areas[best] + areas[order] - overlap)).double() > iou_threshold)]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64)


try:
    import torchvision
except RuntimeError:  # an operator does not exist
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):  # the two that the import itself looks for
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    import torchvision
    torchvision.extension._has_ops = lambda: True

import segment_anything  # noqa: E402, F401
