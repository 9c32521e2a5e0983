#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the output of `kontur segment --dump` with the reference package on the same checkpoint.

For each picture, the check compares the network's input with the reference's input, in grey levels. The reference
then computes image embedding, low-resolution logits and predicted IoU from the dumped input. Their error is the norm
of the difference over the norm. A drawn decoder may be chaotic: if the reference's own logits change by more than the
limit when it gets the dumped embedding instead of its own, the limit becomes four times that change. The check needs
torch, segment-anything 1.0 and safetensors, and for two families scikit-image or OpenCV.

    exact.py --family sam                                 drawn weights, scaled down
    exact.py --family sam --network vit_h                 drawn weights, full size (vit_b, vit_l, vit_h; tiny)
    exact.py --family medsam --checkpoint medsam_vit_b.pth --network vit_b --picture frame.png --box 40,60,300,260
    exact.py --family sam --draw sam_drawn.pth            only writes the checkpoint
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path[:0] = [os.path.join(HERE, "..", "peers"), ROOT]

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

import drawn_sam
from node import executable
from report import Report
from training.networks.reference_package import segment_anything

MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
# The largest norm of the difference over the norm, in fp32.
LIMITS = {"image_embedding": 5e-5, "low_res_logits": 1e-4, "iou_predictions": 1e-4}
ENCODERS = {
    "small": dict(size=256, width=96, depth=3, heads=2, global_blocks=(2,)),
    "vit_b": dict(size=1024, width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "vit_l": dict(size=1024, width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": dict(size=1024, width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}
PICTURES = [(150, 200, 3), (333, 250, 3), (64, 64, 1)]


def reference(name):
    """The reference's network: a key of `ENCODERS`, `tiny` for LiteMedSAM, or `convolutional` for medsam-compact."""
    modeling = segment_anything.modeling
    if name == "tiny":
        from training.networks.tiny_vit import TinyViT
        encoder, size, grid = TinyViT(), 256, 64
    elif name == "convolutional":
        from training.networks.promptable import GRID, MEDSAM_COMPACT, SIZE, ConvolutionalEncoder
        encoder, size, grid = ConvolutionalEncoder(replace(MEDSAM_COMPACT, norm="none")), SIZE, GRID
    else:
        facts = ENCODERS[name]
        size, grid = facts["size"], facts["size"] // 16
        encoder = modeling.ImageEncoderViT(
            img_size=size, patch_size=16, embed_dim=facts["width"], depth=facts["depth"], num_heads=facts["heads"],
            mlp_ratio=4, out_chans=256, norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
            use_rel_pos=True, window_size=14, global_attn_indexes=facts["global_blocks"])
    decoder = modeling.MaskDecoder(
        num_multimask_outputs=3, transformer_dim=256,
        transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        iou_head_depth=3, iou_head_hidden_dim=256)
    prompts = modeling.PromptEncoder(
        embed_dim=256, image_embedding_size=(grid, grid), input_image_size=(size, size), mask_in_chans=16)
    network = modeling.Sam(encoder, prompts, decoder)
    network.size, network.draws_boxes = size, name == "convolutional"
    return network.eval()


def draw(network, seed):
    """Gives every tensor of the state dict drawn values."""
    generator = np.random.default_rng(seed)
    state = {name: torch.from_numpy(drawn_sam.draw(generator, name, tuple(value.shape)))
             for name, value in network.state_dict().items() if value.is_floating_point()}
    network.load_state_dict(state, strict=False)


def drawn_picture(path, rows, columns, channels, seed):
    """Writes a picture of blobs and noise, so that neighbouring windows differ."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3)).astype(np.uint8)).resize((columns, rows), 2)
    picture = np.clip(np.asarray(coarse).astype(int) + generator.integers(-20, 20, (rows, columns, 3)), 0, 255)
    Image.fromarray(picture.astype(np.uint8)[..., 0] if channels == 1 else picture.astype(np.uint8)).save(path)


def sam_input(rgb, size):
    """Resizes the longest side to `size` with PIL, applies ImageNet's mean and deviation, and pads with zeros.

    Returns the input [size, size, 3], the grey levels per unit of the input, and the scale along x and y.
    """
    resized = segment_anything.utils.transforms.ResizeLongestSide(size).apply_image(rgb)
    padded = np.zeros((size, size, 3))
    padded[:resized.shape[0], :resized.shape[1]] = (resized - MEAN) / DEVIATION
    return padded, DEVIATION, np.array(resized.shape[1::-1]) / rgb.shape[1::-1]


def medsam_input(rgb, size):
    """Stretches with scikit-image's cubic splines to 8 bits, then maps minimum...maximum to 0...1.

    This is what MedSAM_Inference.py does.
    """
    from skimage import transform
    resized = transform.resize(rgb, (size, size), order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)
    low, high = float(resized.min()), float(resized.max())
    return (resized - low) / max(high - low, 1e-8), high - low, size / np.array(rgb.shape[1::-1])


def lite_medsam_input(rgb, size):
    """Resizes the longest side with OpenCV's INTER_AREA, maps minimum...maximum to 0...1, and pads with zeros."""
    import cv2
    scale = size / max(rgb.shape[:2])
    rows, columns = (int(side * scale + 0.5) for side in rgb.shape[:2])
    resized = cv2.resize(rgb, (columns, rows), interpolation=cv2.INTER_AREA).astype(float)
    low, high = resized.min(), resized.max()
    padded = np.zeros((size, size, 3))
    padded[:rows, :columns] = (resized - low) / max(high - low, 1e-8)
    return padded, high - low, scale * np.ones(2)


def medsam_compact_input(rgb, size):
    """Stretches with the resizing of the training, then applies ImageNet's mean and deviation."""
    from training.recipes.resize import resize
    return (resize(rgb, (size, size)) - MEAN) / DEVIATION, DEVIATION, size / np.array(rgb.shape[1::-1])


INPUTS = {"sam": sam_input, "medsam": medsam_input, "lite-medsam": lite_medsam_input,
          "medsam-compact": medsam_compact_input}
NETWORKS = {"lite-medsam": "tiny", "medsam-compact": "convolutional"}  # the only network of its family


@torch.no_grad()
def embed(network, values):
    """The reference's embedding [1, C, E, E] of an input [1, 3, S, S]."""
    return network.image_encoder(torch.from_numpy(values)).numpy()


def distance(values, expected):
    """The norm of the difference over the norm of the expected values."""
    return float(np.linalg.norm((values - expected).ravel()) / np.linalg.norm(expected.ravel()))


@torch.no_grad()
def answer(network, embedding, prompt, scale):
    """The reference's logits and predicted IoU for an embedding.

    `scale` converts pixels of the picture to pixels of the input, along x and y. LiteMedSAM truncates the scaled box
    (`resize_box_to_256` of CVPR24_LiteMedSAM_infer.py); its input has 256 pixels for 64 of the embedding.
    medsam-compact also gets the box drawn as a mask (`drawn_box` of the training).
    """
    is_lite = embedding.shape[-1] * 4 == network.size
    embedding = torch.from_numpy(embedding)
    points = boxes = masks = None
    if len(prompt) == 4:
        box = (np.array(prompt).reshape(2, 2) * scale).reshape(1, 4)
        boxes = torch.tensor(np.trunc(box) if is_lite else box, dtype=torch.float32)
        if network.draws_boxes:
            from training.recipes.medsam_compact import drawn_box
            masks = torch.from_numpy(drawn_box(boxes[0].numpy(), network.size))[None, None]
    else:
        points = (torch.tensor((np.array(prompt) * scale)[None, None], dtype=torch.float32), torch.ones(1, 1))
    sparse, dense = network.prompt_encoder(points=points, boxes=boxes, masks=masks)
    logits, iou = network.mask_decoder(
        image_embeddings=embedding, image_pe=network.prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense, multimask_output=points is not None)
    return {"low_res_logits": logits.numpy(), "iou_predictions": iou.numpy()}


def kontur(*arguments, timeout=3600):
    """Runs `kontur` and returns its standard output. Exits if the command fails."""
    done = subprocess.run([executable(), *arguments], capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise SystemExit(f"kontur {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def compare(report, network, family, picture, prompt, models, scratch, is_exact):
    """Runs one picture and one prompt through Kontur and the reference, and compares the results."""
    segmenter = f"{family}-{'point' if family == 'sam' and len(prompt) == 2 else 'box'}"
    asked = ",".join(map(str, prompt))
    option = ["--box", asked] if len(prompt) == 4 else ["--point", f"{asked},+"]
    dump = tempfile.mkdtemp(dir=scratch)
    kontur("segment", picture, "--output", f"{dump}/out", "--models", models, "--segmenter", segmenter, *option,
           "--dump", f"{dump}/dump")
    found = [os.path.join(root, name) for root, _, names in os.walk(f"{dump}/dump") for name in names]
    if not report.expect(len(found) == 1, f"{len(found)} files were dumped instead of 1"):
        return
    dumped = load_file(found[0])
    rgb = np.asarray(Image.open(picture).convert("RGB"))
    own, levels, scale = INPUTS[family](rgb, network.size)
    difference = np.abs(dumped["input"][0].transpose(1, 2, 0) - own) * levels
    line = [f"{os.path.basename(picture)} {segmenter} {asked}: input within {difference.max():.3f} grey levels"]
    report.expect(difference.max() <= 1.001, f"{line[0]}")
    embedding = embed(network, dumped["input"])
    expected = {"image_embedding": embedding, **answer(network, embedding, prompt, scale)}
    moved = answer(network, dumped["image_embedding"], prompt, scale)
    for name, value in expected.items():
        if name not in dumped:
            line.append(f"the dump lacks {name}")
            continue
        if not report.expect(dumped[name].shape == value.shape, f"{name} is {dumped[name].shape}, not {value.shape}"):
            continue
        error, own = distance(dumped[name], value), distance(moved[name], value) if name in moved else 0
        limit = max(LIMITS[name], 4 * own)
        line.append(f"{name} {error:.2e}" + (f" (the reference's own {own:.2e})" if own > LIMITS[name] / 2 else ""))
        if is_exact:
            report.expect(error <= limit, f"{name} differs by {error:.2e}, at most {limit:.0e}")
    logits, other = expected["low_res_logits"], dumped["low_res_logits"]
    sure = np.abs(logits) > max(1e-3, 10 * distance(moved["low_res_logits"], logits)) * logits.std()
    if is_exact:
        report.expect(np.array_equal((logits > 0)[sure], (other > 0)[sure]), "masks differ at pixels with clear logits")
    report.line(", ".join(line))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--family", choices=sorted(INPUTS), default="sam")
    parser.add_argument("--network", choices=[*ENCODERS, *NETWORKS.values()],
                        help="the network of the reference; scaled down by default")
    parser.add_argument("--checkpoint", help="a checkpoint instead of drawn weights")
    parser.add_argument("--draw", help="write the drawn checkpoint to this file, then stop")
    parser.add_argument("--picture", action="append", default=[], help="instead of drawn pictures; may be repeated")
    parser.add_argument("--box", help="x0,y0,x1,y1 in pixels of every picture")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    report = Report("exact")
    network = reference(options.network or NETWORKS.get(options.family, "small"))
    if options.checkpoint:
        network.load_state_dict(torch.load(options.checkpoint, weights_only=True), strict=False)
    else:
        draw(network, options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = options.checkpoint or options.draw or f"{scratch}/drawn.pth"
        if not options.checkpoint:
            torch.save({name: value for name, value in network.state_dict().items()
                        if name not in ("pixel_mean", "pixel_std")}, checkpoint)
        if options.draw:
            return report.line(f"written to {checkpoint}")
        kontur("models", "add", checkpoint, "--family", options.family, "--models", f"{scratch}/models")
        pictures = options.picture
        if not pictures:
            for index, size in enumerate(PICTURES):
                pictures.append(f"{scratch}/{index}-{size[0]}x{size[1]}.png")
                drawn_picture(pictures[-1], *size, seed=options.seed + index)
        is_exact = os.environ.get("KONTUR_INFERENCE") == "fp32"
        for picture in pictures:
            width, height = Image.open(picture).size
            box = json.loads(f"[{options.box}]") if options.box else [
                width // 5, height // 4, width * 3 // 4, height * 4 // 5]
            prompts = [box] + ([[width // 2, height // 3]] if options.family in ("sam", "medsam-compact") else [])
            for prompt in prompts:
                compare(report, network, options.family, picture, prompt, f"{scratch}/models", scratch, is_exact)
        if not is_exact:
            report.line("the limits were not applied: they hold only for KONTUR_INFERENCE=fp32")
    report.end()


if __name__ == "__main__":
    main()
