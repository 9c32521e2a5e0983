# SPDX-License-Identifier: Apache-2.0
"""Imports the reference packages: `from reference_package import segment_anything`.

torchvision's wheels are built for one build of PyTorch; beside another one (the CPU-only build, say) their compiled
operators do not load, and the package cannot be imported. segment-anything needs one of them, non-maximum suppression,
which is then defined here, by its definition.
"""
import sys

import torch


def nms(boxes, scores, iou_threshold):
    """Indices of the boxes [n, XYXY] that are kept, best score first: none overlaps a better kept one by more."""
    order = torch.argsort(scores, descending=True, stable=True)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        corner = torch.maximum(boxes[best, :2], boxes[order, :2])
        size = (torch.minimum(boxes[best, 2:], boxes[order, 2:]) - corner).clamp(min=0)
        overlap = size[:, 0] * size[:, 1]
        # In double precision; boxes without area, whose quotient is 0/0, stay.
        order = order[~((overlap / (areas[best] + areas[order] - overlap)).double() > iou_threshold)]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64)


try:
    import torchvision
except RuntimeError:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):  # the two that the import itself looks for
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    import torchvision
    torchvision.extension._has_ops = lambda: True

import segment_anything  # noqa: E402, F401
