# SPDX-License-Identifier: Apache-2.0
"""Writes the numbers that Segment Anything in Swift is tested against: python -m training.references.golden_sam

The files in Tests/InferenceTests/Golden/ are safetensors in float32, made by the package segment-anything 1.0 with PyTorch on
the CPU. LiteMedSAM's encoder is networks/tiny_vit.py. Needs torch, segment-anything and safetensors.

    sam_vit.safetensors            a scaled-down SAM: grid 16 x 16, windows of 14 that need padding, one global block
    sam_tiny_vit.safetensors       a scaled-down LiteMedSAM: grids 64, 32, 16, 16, windows 7, 14, 7
    sam_convolutional.safetensors  a scaled-down medsam-compact (networks/promptable.py): grids 32, 16, 8, 4, 2, 4, 8

drawn_weights.py draws weights and inputs; they are not stored. `stage.<name>` holds every n-th value of a stage's output,
channels last, with n under `strides`. `embedding` is whole, in PyTorch's order. Each prompt of PROMPTS has `<prompt>.logits`
and `<prompt>.iou`. The metadata key `kontur` is a JSON with the shapes of all tensors, the strides, the prompts, and the errors
of PyTorch's bf16 autocast (norm of the difference over norm).
"""
import json
from functools import partial

import torch
from safetensors.torch import save_file

from training.networks.promptable import ConvolutionalEncoder
from training.networks.reference_package import segment_anything
from training.networks.residual_unet import Architecture
from training.networks.tiny_vit import TinyViT
from training.paths import INFERENCE_GOLDEN
from training.references import drawn_weights

modeling = segment_anything.modeling
KEPT = 4096  # values of each stage, about

# Coordinates are shares of the input's size. With `mask`, low-resolution logits are given, too.
PROMPTS = {
    "point": {"points": [[0.4, 0.3, 1]], "multimask": True},
    "point_single": {"points": [[0.4, 0.3, 1]], "multimask": False},
    "points": {"points": [[0.2, 0.7, 1], [0.9, 0.1, 0], [0.55, 0.5, 1]], "multimask": True},
    "box": {"box": [0.2, 0.15, 0.8, 0.6], "multimask": False},
    "box_points": {"points": [[0.5, 0.4, 1], [0.1, 0.9, 0]], "box": [0.2, 0.15, 0.8, 0.6], "multimask": False},
    "mask": {"mask": True, "multimask": True},
    "box_mask": {"box": [0.1, 0.3, 0.7, 0.9], "mask": True, "multimask": False},
    "mask_points": {"points": [[0.4, 0.3, 1], [0.3, 0.35, 0]], "mask": True, "multimask": True},
}


def sam(encoder, size, grid):
    """A Sam with drawn weights around an image encoder, and its tensors' shapes."""
    decoder = modeling.MaskDecoder(
        num_multimask_outputs=3, transformer_dim=256,
        transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        iou_head_depth=3, iou_head_hidden_dim=256)
    prompts = modeling.PromptEncoder(
        embed_dim=256, image_embedding_size=(grid, grid), input_image_size=(size, size), mask_in_chans=16)
    network = modeling.Sam(encoder, prompts, decoder)
    shapes = drawn_weights.fill(network)
    return network.eval(), shapes


def vit(size=256, width=64, depth=4, heads=2, global_blocks=(2,)):
    return modeling.ImageEncoderViT(
        img_size=size, patch_size=16, embed_dim=width, depth=depth, num_heads=heads, mlp_ratio=4, out_chans=256,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=14,
        global_attn_indexes=global_blocks)


def picture(size):
    """A drawn image, smooth enough that windows differ."""
    coarse = drawn_weights.noise("picture.coarse", [1, 3, size // 16, size // 16], 1)
    return torch.nn.functional.interpolate(coarse, scale_factor=16, mode="nearest") + drawn_weights.noise(
        "picture.fine", [1, 3, size, size], 0.5)


def mask_prompt(grid):
    return drawn_weights.noise("mask", [1, 1, 4 * grid, 4 * grid], 10)


@torch.no_grad()
def decode(network, embedding, prompt, size, grid):
    points = boxes = masks = None
    if "points" in prompt:
        given = torch.tensor(prompt["points"])
        points = (given[None, :, :2] * size, given[None, :, 2])
    if "box" in prompt:
        boxes = torch.tensor([prompt["box"]]) * size
    if "mask" in prompt:
        masks = mask_prompt(grid)
    sparse, dense = network.prompt_encoder(points=points, boxes=boxes, masks=masks)
    logits, iou = network.mask_decoder(
        image_embeddings=embedding, image_pe=network.prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense, multimask_output=prompt["multimask"])
    return logits.float(), iou.float()


def error(found, reference):
    return float((found.float() - reference).norm() / reference.norm())


def listen(network, names, stages):
    """Keeps the outputs of the named modules, channels last."""
    def keep(name, first):
        def hook(module, given, output):
            stages[name] = output.permute(0, 2, 3, 1) if first else output
        return hook
    modules = dict(network.image_encoder.named_modules())
    return [modules[name].register_forward_hook(keep(name, first)) for name, first in names]


@torch.no_grad()
def write(name, network, shapes, size, grid, stages):
    tensors, strides, found = {}, {}, {}
    image = picture(size)
    hooks = listen(network, stages, found)
    embedding = network.image_encoder(image)
    for hook in hooks:
        hook.remove()
    for stage, output in found.items():
        flat = output.reshape(-1)
        # Odd, so that the samples walk through the channels.
        strides[stage] = max(1, flat.numel() // KEPT) | 1
        tensors[f"stage.{stage}"] = flat[::strides[stage]].contiguous().clone()
    tensors["embedding"] = embedding.contiguous().clone()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network.image_encoder(image).float()
    errors = {"embedding": error(rounded, embedding)}
    for prompt, values in PROMPTS.items():
        logits, iou = decode(network, embedding, values, size, grid)
        tensors[f"{prompt}.logits"], tensors[f"{prompt}.iou"] = logits[0].clone(), iou[0].clone()
        with torch.autocast("cpu", torch.bfloat16):
            bf16, bf16_iou = decode(network, rounded, values, size, grid)
        errors[prompt] = error(bf16, logits)
    facts = {"shapes": shapes, "strides": strides, "prompts": PROMPTS, "bf16": errors, "size": size, "grid": grid}
    save_file(tensors, INFERENCE_GOLDEN / f"{name}.safetensors", {"kontur": json.dumps(facts, sort_keys=True)})
    print(name, {key: round(value, 4) for key, value in errors.items()},
          "logits' deviation", round(float(tensors["point.logits"].std()), 3),
          "embedding", round(float(embedding.std()), 3))


def main():
    torch.set_num_threads(2)
    network, shapes = sam(vit(), 256, 16)
    blocks = [(f"blocks.{i}", False) for i in range(4)]
    write("sam_vit", network, shapes, 256, 16, blocks)
    tiny = TinyViT(widths=(32, 64, 80, 320), depths=(1, 1, 2, 1), heads=(1, 2, 5, 10), size=64)
    network, shapes = sam(tiny, 64, 16)
    stages = [("patch_embed", True)]
    for layer, blocks in enumerate((1, 1, 2, 1)):
        stages += [(f"layers.{layer}.blocks.{block}", True) for block in range(blocks)]
        stages += [(f"layers.{layer}.downsample", True)] if layer < 3 else []
    write("sam_tiny_vit", network, shapes, 64, 16, stages)
    arch = Architecture(axes=2, channels=3, widths=(16, 16, 32, 48, 32), encoder_blocks=(0, 1, 2, 1, 1),
                        decoder_blocks=(1, 1), norm="none")
    network, shapes = sam(ConvolutionalEncoder(arch), 64, 8)
    stages = [(name, True) for name in [f"encoder.{l}" for l in range(5)] + ["decoder.0", "decoder.1", "fine"]]
    write("sam_convolutional", network, shapes, 64, 8, stages)


if __name__ == "__main__":
    main()
