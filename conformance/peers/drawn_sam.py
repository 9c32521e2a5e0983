# SPDX-License-Identifier: Apache-2.0
"""Makes checkpoints of the SAM family with drawn weights, as safetensors files.

They test a node from end to end without published weights. A scaled-down network takes a second per slice, and its
masks are meaningless. The tensors are those of segment-anything 1.0.
"""

import json
import math
import struct

import numpy as np


def encoder_shapes(width=96, depth=3, heads=2, global_blocks=(2,), grid=16, window=14, channels=256):
    """The tensors of the ViT image encoder for an input of 16 `grid` pixels per side."""
    shapes = {"pos_embed": (1, grid, grid, width), "patch_embed.proj.weight": (width, 3, 16, 16),
              "patch_embed.proj.bias": (width,), "neck.0.weight": (channels, width, 1, 1),
              "neck.1.weight": (channels,), "neck.1.bias": (channels,),
              "neck.2.weight": (channels, channels, 3, 3), "neck.3.weight": (channels,), "neck.3.bias": (channels,)}
    for index in range(depth):
        positions = 2 * (grid if index in global_blocks else window) - 1
        for name, shape in {
                "norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,),
                "attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,),
                "attn.proj.weight": (width, width), "attn.proj.bias": (width,),
                "attn.rel_pos_h": (positions, width // heads), "attn.rel_pos_w": (positions, width // heads),
                "mlp.lin1.weight": (4 * width, width), "mlp.lin1.bias": (4 * width,),
                "mlp.lin2.weight": (width, 4 * width), "mlp.lin2.bias": (width,)}.items():
            shapes[f"blocks.{index}.{name}"] = shape
    return {f"image_encoder.{name}": shape for name, shape in shapes.items()}


def layer(name, outputs, inputs):
    """The tensors of a linear layer."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, channels):
    """The tensors of a layer norm."""
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def prompt_shapes(channels=256, masks=16):
    """The tensors of the prompt encoder."""
    prefix = "prompt_encoder."
    shapes = {f"{prefix}pe_layer.positional_encoding_gaussian_matrix": (2, channels // 2),
              f"{prefix}not_a_point_embed.weight": (1, channels), f"{prefix}no_mask_embed.weight": (1, channels)}
    shapes |= {f"{prefix}point_embeddings.{index}.weight": (1, channels) for index in range(4)}
    for index, shape in ((0, (masks // 4, 1, 2, 2)), (3, (masks, masks // 4, 2, 2)), (6, (channels, masks, 1, 1))):
        shapes |= {f"{prefix}mask_downscaling.{index}.weight": shape,
                   f"{prefix}mask_downscaling.{index}.bias": (shape[0],)}
    return shapes | norm(f"{prefix}mask_downscaling.1", masks // 4) | norm(f"{prefix}mask_downscaling.4", masks)


def attention_shapes(name, channels, inner):
    """The tensors of an attention layer whose heads have `inner` channels together."""
    shapes = layer(f"{name}.out_proj", channels, inner)
    for projection in ("q_proj", "k_proj", "v_proj"):
        shapes |= layer(f"{name}.{projection}", inner, channels)
    return shapes


def decoder_shapes(channels=256, hidden=2048, masks=4):
    """The tensors of the mask decoder."""
    prefix = "mask_decoder."
    transformer = f"{prefix}transformer."
    shapes = {f"{prefix}iou_token.weight": (1, channels), f"{prefix}mask_tokens.weight": (masks, channels)}
    for index in range(2):
        name = f"{transformer}layers.{index}."
        shapes |= attention_shapes(f"{name}self_attn", channels, channels)
        shapes |= attention_shapes(f"{name}cross_attn_token_to_image", channels, channels // 2)
        shapes |= attention_shapes(f"{name}cross_attn_image_to_token", channels, channels // 2)
        shapes |= layer(f"{name}mlp.lin1", hidden, channels) | layer(f"{name}mlp.lin2", channels, hidden)
        for number in range(1, 5):
            shapes |= norm(f"{name}norm{number}", channels)
    shapes |= attention_shapes(f"{transformer}final_attn_token_to_image", channels, channels // 2)
    shapes |= norm(f"{transformer}norm_final_attn", channels) | norm(f"{prefix}output_upscaling.1", channels // 4)
    for index, inputs, outputs in ((0, channels, channels // 4), (3, channels // 4, channels // 8)):
        shapes |= {f"{prefix}output_upscaling.{index}.weight": (inputs, outputs, 2, 2),
                   f"{prefix}output_upscaling.{index}.bias": (outputs,)}
    for mask in range(masks):
        name = f"{prefix}output_hypernetworks_mlps.{mask}.layers."
        shapes |= layer(f"{name}0", channels, channels) | layer(f"{name}1", channels, channels)
        shapes |= layer(f"{name}2", channels // 8, channels)
    name = f"{prefix}iou_prediction_head.layers."
    return shapes | layer(f"{name}0", channels, channels) | layer(f"{name}1", channels, channels) | layer(
        f"{name}2", masks, channels)


def draw(generator, name, shape):
    """Draws one tensor. Its values differ from every initial value of a training."""
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        values = generator.uniform(0.5, 1.5, shape)
    elif last in ("bias", "running_mean"):
        values = generator.uniform(-0.2, 0.2, shape)
    elif last == "weight" and len(shape) == 1:
        values = generator.uniform(0.8, 1.2, shape)
    elif last in ("pos_embed", "rel_pos_h", "rel_pos_w", "attention_biases"):
        values = generator.normal(0, 0.3, shape)
    elif "_embed" in name and "patch_embed" not in name or "_token" in name or "gaussian" in name:
        values = generator.normal(0, 1 if "gaussian" in name else 0.5, shape)
    else:
        fan_in = shape[0] if "output_upscaling" in name else math.prod(shape[1:])
        values = generator.normal(0, 1.5 / math.sqrt(fan_in), shape)
    return values.astype("<f4")


def checkpoint(path, seed=1, **encoder):
    """Writes a whole network as a safetensors file. `encoder` holds arguments of `encoder_shapes`."""
    generator = np.random.default_rng(seed)
    shapes = encoder_shapes(**encoder) | prompt_shapes() | decoder_shapes()
    header, at, values = {}, 0, []
    for name in sorted(shapes):
        tensor = draw(generator, name, shapes[name])
        header[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
        values.append(tensor.tobytes())
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for value in values:
            file.write(value)
