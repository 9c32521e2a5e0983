# SPDX-License-Identifier: Apache-2.0
"""Prints the digests of SegmentAnything2CheckpointTests.transformers: python Tests/InferenceTests/Weights/make_transformers_names.py

Each line has the size, the version, the number of tensors and SHA-256 of the sorted lines `name [shape]` of `state_dict()` of
transformers' Sam2VideoModel, built from the configuration of facebook/sam2.1-hiera-* or facebook/sam2-hiera-*. The model is
built without memory for its numbers, and nothing is downloaded. Needs torch and transformers (5.24 made the digests).
"""
import hashlib
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from training.networks import reference_package  # noqa: E402, F401  (makes torchvision importable beside another PyTorch)
from transformers import Sam2VideoConfig, Sam2VideoModel  # noqa: E402
from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig  # noqa: E402

# width, heads, blocks per stage, global blocks, windows, side of the position embedding
SIZES = {"t": (96, 1, [1, 2, 7, 2], [5, 7, 9], [8, 4, 14, 7], 7), "s": (96, 1, [1, 2, 11, 2], [7, 10, 13], [8, 4, 14, 7], 7),
         "b+": (112, 2, [2, 3, 16, 3], [12, 16, 20], [8, 4, 14, 7], 14), "l": (144, 2, [2, 6, 36, 4], [23, 33, 43], [8, 4, 16, 8], 7)}


def model(size, is_version_21):
    width, heads, blocks, whole, windows, side = SIZES[size]
    widths = [width << stage for stage in range(4)]
    backbone = Sam2HieraDetConfig(
        hidden_size=width, num_attention_heads=heads, blocks_per_stage=blocks, embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads << stage for stage in range(4)], window_size_per_stage=windows,
        global_attention_blocks=whole, window_positional_embedding_background_size=[side, side])
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1])
    with torch.device("meta"):
        return Sam2VideoModel(Sam2VideoConfig(
            vision_config=vision, enable_occlusion_spatial_embedding=is_version_21,
            enable_temporal_pos_encoding_for_object_pointers=is_version_21))


for name, is_version_21 in [("t", True), ("s", True), ("b+", True), ("l", True), ("t", False), ("b+", False)]:
    lines = sorted(f"{key} {list(value.shape)}" for key, value in model(name, is_version_21).state_dict().items())
    print(name, "2.1" if is_version_21 else "2.0", len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest())
