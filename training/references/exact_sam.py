# SPDX-License-Identifier: Apache-2.0
"""Compares full-size networks with the reference: python -m training.references.exact_sam .build/release/Benchmarks [NAME ...]

NAME is vit_b, vit_l, vit_h or lite (all by default), followed by `:bf16` for that precision. drawn_weights.py draws every
tensor. The reference is the package segment-anything 1.0 in PyTorch on the CPU; LiteMedSAM's encoder is networks/tiny_vit.py.

In fp32 the embedding may differ by 5e-5, logits and predicted IoU by 1e-4 (norm of the difference over norm). Pixels must lie
on the same side of 0 wherever |logit| > 1e-3 standard deviations. A drawn decoder may be chaotic: if the reference's own
decoder moves by more when it is given our embedding, the limit is four times that movement. A control with relative positions
set to zero must fail.

In bf16 the error may be 1.2 times that of PyTorch's autocast. Pixels must lie on the same side of 0 wherever |logit| exceeds
three times the RMS of autocast's error. ViT-H needs 12 GB of memory and some minutes.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from training.networks.tiny_vit import TinyViT
from training.references import golden_sam

SIZES = {  # width, depth, heads, global blocks
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}


def build(name):
    if name == "lite":
        return golden_sam.sam(TinyViT(), 256, 64)[0], 256
    width, depth, heads, global_blocks = SIZES[name]
    return golden_sam.sam(golden_sam.vit(1024, width, depth, heads, global_blocks), 1024, 64)[0], 1024


def ask(program, folder, network, image, precision, size, repeats=2):
    """Runs the program. The result is a function from a name and a shape to the array that the program wrote."""
    state = {key: value for key, value in network.state_dict().items() if value.is_floating_point()}
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "weights.safetensors")
    prompts = {}
    for prompt, values in golden_sam.PROMPTS.items():
        prompts[prompt] = dict(values)
        if "points" in values:
            prompts[prompt]["points"] = [[x * size, y * size, label] for x, y, label in values["points"]]
        if "box" in values:
            prompts[prompt]["box"] = [value * size for value in values["box"]]
    facts = {"prompts": prompts, "precision": precision, "repeats": repeats}
    save_file({"input": image, "mask": golden_sam.mask_prompt(64)}, folder / "question.safetensors",
              {"kontur": json.dumps(facts)})
    subprocess.run([program, "answer", str(folder)], check=True, timeout=3000)
    return lambda key, shape: torch.from_numpy(np.fromfile(folder / f"{key}.f32", np.float32).reshape(tuple(shape)))


def rms(values):
    return values.pow(2).mean().sqrt()


def beyond(found, logits, margin):
    """The number of pixels on the other side of 0 among those whose |logit| exceeds the margin."""
    return int((((found > 0) != (logits > 0)) & (logits.abs() > margin)).sum())


def compare(name, program):
    """Prints every comparison for one network. The result is whether any of them failed."""
    name, _, precision = name.partition(":")
    precision = precision or "fp32"
    network, size = build(name)
    image = golden_sam.picture(size)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        answer = ask(program, Path(folder), network, image, precision, size)
        embedding = network.image_encoder(image)
        limit = {"embedding": 5e-5, "logits": 1e-4, "iou": 1e-4}
        rounded = None
        if precision == "bf16":
            with torch.autocast("cpu", torch.bfloat16):
                rounded = network.image_encoder(image).float()
            limit["embedding"] = 1.2 * golden_sam.error(rounded, embedding)
        failed = report(name, precision, "embedding", answer("embedding", embedding.shape), embedding, limit["embedding"])
        for prompt, values in golden_sam.PROMPTS.items():
            logits, iou = golden_sam.decode(network, embedding, values, size, 64)
            if rounded is not None:
                with torch.autocast("cpu", torch.bfloat16):
                    bf16, bf16_iou = golden_sam.decode(network, rounded, values, size, 64)
                limit = {"logits": 1.2 * golden_sam.error(bf16, logits), "iou": None}
            found = answer(f"{prompt}.logits", logits.shape)
            if rounded is None:
                # The movement of the reference's own decoder for an embedding that differs in the last bits.
                moved, moved_iou = golden_sam.decode(network, answer("embedding", embedding.shape), values, size, 64)
                limit = {"logits": max(1e-4, 4 * golden_sam.error(moved, logits)),
                         "iou": max(1e-4, 4 * golden_sam.error(moved_iou, iou))}
            failed |= report(name, precision, f"{prompt} logits", found, logits, limit["logits"])
            failed |= report(name, precision, f"{prompt} IoU", answer(f"{prompt}.iou", iou.shape), iou, limit["iou"])
            margin = 1e-3 * logits.std() if rounded is None else 3 * rms(bf16 - logits)
            differs = beyond(found, logits, margin)
            own = "" if rounded is None else f", {beyond(found, logits, 3 * rms(found - logits))} beyond 3 of our own errors"
            print(f"{name} {precision} {prompt}: {differs} pixels differ{own}")
            failed |= differs > 0
        if precision == "fp32" and name in ("vit_b", "lite"):
            failed |= control(name, network, image, answer("embedding", embedding.shape))
    return failed


def control(name, network, image, found):
    """Whether the reference without relative positions still agrees, which would make the comparison worthless."""
    for key, value in network.named_parameters():
        if "rel_pos" in key or "attention_biases" in key:
            value.zero_()
    difference = golden_sam.error(found, network.image_encoder(image))
    print(f"{name} control without relative positions: {difference:.2g}, more than 1e-3 is asked")
    return difference < 1e-3


def report(name, precision, what, found, reference, limit):
    """Prints one error and its limit. The result is whether the error exceeds the limit, if there is one."""
    value = golden_sam.error(found, reference)
    print(f"{name} {precision} {what}: {value:.2g}" + (f" of {limit:.2g}" if limit else ""), flush=True)
    return bool(limit) and not value <= limit


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the Benchmarks executable")
    parser.add_argument("names", nargs="*", metavar="NAME", default=["lite", "vit_b", "vit_l", "vit_h"])
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    failed = [name for name in arguments.names if compare(name, arguments.program)]
    print("differs from the reference: " + ", ".join(failed) if failed else "exact")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
