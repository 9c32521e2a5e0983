# SPDX-License-Identifier: Apache-2.0
"""Compares SAM 2 with the reference: python -m training.references.exact_sam2 .build/release/Benchmarks [NAME ...]

NAME is sam2.1_t, sam2.1_s, sam2.1_b+, sam2.1_l, the same with sam2.0, or medsam2. `@256` sets the height and width of the
input, which is 1024, or 512 for medsam2. `:bf16` sets the precision. drawn_weights.py draws every tensor; golden_sam2.py
describes the frames, the prompts and the recipes. The reference is the package sam2 1.1.0 in PyTorch on the CPU.

In fp32, levels of the image encoder may differ by 5e-5, logits and predicted IoU of image prompts by 1e-4, logits of the frames
of a track by 1e-3 (norm of the difference over norm). Pixels must lie on the same side of 0 wherever |logit| > 1e-2 standard
deviations. Every frame must attend to the same memories and pointers. Controls without memory attention and without positions
must fail. The script prints how far an input changed by 1e-6 moves the reference's own track.

In bf16, every frame gets the reference's memories and pointers. The error of all frames that have the object may be 1.2 times
that of PyTorch's autocast. The script names the frames whose object score changes its sign.

A full-size network takes some minutes and 4 GB of memory.
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

from training.references import golden_sam2
from training.references.golden_sam import error
from training.references.golden_sam2 import Sizes

TRUNKS = {
    "t": dict(embed_dim=96, num_heads=1, stages=(1, 2, 7, 2), global_att_blocks=(5, 7, 9), window_spec=(8, 4, 14, 7),
              window_pos_embed_bkg_spatial_size=(7, 7)),
    "s": dict(embed_dim=96, num_heads=1, stages=(1, 2, 11, 2), global_att_blocks=(7, 10, 13), window_spec=(8, 4, 14, 7),
              window_pos_embed_bkg_spatial_size=(7, 7)),
    "b+": dict(embed_dim=112, num_heads=2, stages=(2, 3, 16, 3), global_att_blocks=(12, 16, 20), window_spec=(8, 4, 14, 7),
               window_pos_embed_bkg_spatial_size=(14, 14)),
    "l": dict(embed_dim=144, num_heads=2, stages=(2, 6, 36, 4), global_att_blocks=(23, 33, 43), window_spec=(8, 4, 16, 8),
              window_pos_embed_bkg_spatial_size=(7, 7)),
}
RECIPES = ["continue", "reset", "two", "point", "mask"]
DEFAULT = ["medsam2", "sam2.1_t", "sam2.1_b+", "sam2.1_s@256", "sam2.1_l@256", "sam2.0_t@256", "sam2.0_b+@256", "medsam2:bf16",
           "sam2.1_b+@256:bf16"]


def sizes_of(name):
    """The sizes, and the recipes: all of them for inputs up to 512, else one, because a frame takes seconds."""
    network, _, size = name.partition("@")
    version, trunk = ("2.1", "t") if network == "medsam2" else (network[3:6], network.split("_")[1])
    size = int(size or (512 if network == "medsam2" else 1024))
    sizes = Sizes(size=size, version=version, trunk=TRUNKS[trunk], channels=256, memory=64, hidden=2048)
    return sizes, RECIPES if size <= 512 else ["continue"]


def remember(model):
    """Keeps the features of every frame, so that each is encoded once per precision. The result holds them."""
    compute, kept = model.forward_image, {}

    def forward_image(image):
        key = (image.data_ptr(), torch.is_autocast_enabled("cpu"))
        if key not in kept:
            kept[key] = compute(image)
        return kept[key]
    model.forward_image = forward_image
    return kept


def rows(values, recipe):
    """The memories and pointers of a track; each is a copy, because a file cannot hold tensors that share numbers."""
    return {f"{name}.{kind}": value[kind].contiguous().clone() for name, value in values.items()
            for kind in ("memory", "pointer") if name.startswith(f"{recipe}.")}


class Answers:
    """What the program says about the question."""

    def __init__(self, program, folder, model, images, sizes, recipes, precision, kept):
        self.folder = folder
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "weights.safetensors")
        facts = {"precision": precision, "key": sizes.key, "box": sizes.box, "secondBox": sizes.second_box,
                 "points": sizes.points, "prompts": golden_sam2.prompts(sizes), "recipes": recipes, "size": sizes.size}
        tensors = {"frames": images, "mask": golden_sam2.mask_prompt(sizes), "given": golden_sam2.given_mask().float()}
        for recipe in recipes if kept else []:
            tensors.update(rows(kept, recipe))
        save_file(tensors, folder / "question.safetensors", {"kontur": json.dumps(facts)})
        subprocess.run([program, "track", str(folder)], check=True, timeout=3000)
        self.selections = json.loads((folder / "selections.json").read_text())

    def __call__(self, key, shape):
        values = np.fromfile(self.folder / f"{key}.f32", np.float32)
        return torch.from_numpy(values.reshape(tuple(shape)))


class Report:
    """Prints comparisons and remembers whether one failed."""

    def __init__(self, name):
        self.name, self.failed = name, False

    def check(self, what, value, limit, least=False):
        fails = not (value > limit if least else value <= limit)
        self.failed |= fails
        print(f"{self.name} {what}: {value:.2g}{' (at least' if least else ' of'} {limit:.2g}{')' if least else ''}"
              + (" FAILS" if fails else ""), flush=True)


def compare_image(report, answers, model, image, sizes, shaken, rounded):
    stages, levels, features = golden_sam2.features_of(model, image)
    names = [f"trunk.{level}" for level in range(4)] + ["s0", "s1", "vision"]
    autocast = dict(zip(names, rounded[0] + list(rounded[1]))) if rounded else {}
    for name, value in zip(names, stages + list(levels)):
        found = answers(f"stage.{name}", value.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        report.check(name, error(found, value), 1.2 * error(autocast[name].float(), value) if rounded else 5e-5)
    for name, question in golden_sam2.prompts(sizes).items():
        logits, iou = golden_sam2.decode(model, features, question, sizes)
        if rounded:
            with torch.autocast("cpu", torch.bfloat16):
                limit = 1.2 * error(golden_sam2.decode(model, rounded[2], question, sizes)[0].float(), logits)
        else:
            limit = max(1e-4, 4 * error(golden_sam2.decode(model, shaken[2], question, sizes)[0], logits))
        report.check(f"{name} logits", error(answers(f"image.{name}.logits", logits.shape), logits), limit)
        if not rounded:
            report.check(f"{name} IoU", error(answers(f"image.{name}.iou", iou.shape), iou), 1e-4)


def compare_track(report, answers, values, selections):
    worst = {"logits": 0, "pixels": 0, "pointer": 0, "memory": 0, "score": 0}
    for key, value in values.items():
        logits = value["low_res"]
        found = answers(f"{key}.low_res", logits.shape)
        differs = ((found > 0) != (logits > 0)) & (logits.abs() > 1e-2 * logits.std())
        score = answers(f"{key}.score", (1,))
        for what, difference in (("logits", error(found, logits)), ("pixels", int(differs.sum())),
                                 ("pointer", error(answers(f"{key}.pointer", value["pointer"].shape), value["pointer"])),
                                 ("memory", error(answers(f"{key}.memory", value["memory"].shape), value["memory"])),
                                 ("score", float((score - value["score"]).abs()))):
            worst[what] = max(worst[what], difference)
        if answers.selections.get(key) != selections.get(key):
            report.failed = True
            print(f"{report.name} {key} attends to {answers.selections.get(key)}, expected {selections.get(key)}")
    recipe = next(iter(values)).split(".")[0]
    for what, limit in (("logits", 1e-3), ("pixels", 0), ("pointer", 1e-3), ("memory", 2e-3), ("score", 1e-2)):
        report.check(f"{recipe} {what}, the worst of {len(values)} frames", worst[what], limit)


def controls(report, answers, model, images, sizes, tap, recipe):
    """The reference without a part has to differ from the program's answers."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    parts = {"memory attention": ("attn.out_proj", "attn_image.out_proj"), "positions": ("maskmem_tpos_enc",)}
    for part, names in parts.items():
        model.load_state_dict({
            name: torch.zeros_like(value) if name.startswith(("memory_attention", "maskmem")) and any(
                word in name for word in names) else value for name, value in state.items()})
        if part == "positions":
            for layer in model.memory_attention.layers:
                table = torch.ones_like(layer.self_attn.freqs_cis)
                layer.self_attn.freqs_cis = layer.cross_attn_image.freqs_cis = table
        values, _ = golden_sam2.track(model, images, recipe, tap, sizes)
        worst = max(error(answers(f"{name}.low_res", value["low_res"].shape), value["low_res"])
                    for name, value in values.items())
        report.check(f"control without {part}", worst, 1e-3, least=True)


@torch.inference_mode()
def compare(name, program):
    """Prints every comparison for one network. The result is whether any of them failed."""
    name, _, precision = name.partition(":")
    precision = precision or "fp32"
    sizes, recipes = sizes_of(name)
    report = Report(f"{name} {precision}")
    model = golden_sam2.build(sizes)
    golden_sam2.draw(model)
    images = golden_sam2.frames(sizes)
    kept_features = remember(model)
    golden_sam2.fit(model, images, sizes)
    tap = golden_sam2.Tap(model, sizes)
    noise = torch.from_numpy(np.random.default_rng(7).normal(0, 1e-6, tuple(images.shape))).float()
    shaken_images = images + noise
    tracks = {recipe: golden_sam2.track(model, images, recipe, tap, sizes) for recipe in recipes}
    kept = {key: value for values, _ in tracks.values() for key, value in values.items()} if precision == "bf16" else None
    with tempfile.TemporaryDirectory() as folder:
        answers = Answers(program, Path(folder), model, images, sizes, recipes, precision, kept)
        image = images[sizes.key:sizes.key + 1]
        kept_features.clear()  # the stages show only while a frame is encoded
        shaken = golden_sam2.features_of(model, shaken_images[sizes.key:sizes.key + 1])
        rounded = None
        if precision == "bf16":
            with torch.autocast("cpu", torch.bfloat16):
                rounded = golden_sam2.features_of(model, image)
            kept_features.clear()
        compare_image(report, answers, model, image, sizes, shaken, rounded)
        for recipe, (values, selections) in tracks.items():
            if precision == "fp32":
                compare_track(report, answers, values, selections)
                continue
            with torch.autocast("cpu", torch.bfloat16):
                theirs, _ = golden_sam2.track(model, images, recipe, tap, sizes, kept=values)
            ours = {key: {"low_res": answers(f"{key}.low_res", value["low_res"].shape),
                          "score": answers(f"{key}.score", (1,))} for key, value in values.items()}
            (limit, flipped), (found, ours_flipped) = (golden_sam2.autocast_errors(values, other) for other in (theirs, ours))
            report.check(f"{recipe} logits", found, 1.2 * limit)
            print(f"{report.name} {recipe}: the score changes its sign in {ours_flipped}, under autocast in {flipped}")
        if precision == "fp32":
            recipe = "reset" if "reset" in recipes else recipes[0]
            moved, _ = golden_sam2.track(model, shaken_images, recipe, tap, sizes)
            worst = max(error(moved[key]["low_res"], value["low_res"]) for key, value in tracks[recipe][0].items())
            print(f"{report.name}: an input changed by 1e-6 moves the logits of {recipe} by {worst:.2g}")
            controls(report, answers, model, images, sizes, tap, recipe)
    return report.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the Benchmarks executable")
    parser.add_argument("names", nargs="*", metavar="NAME", default=DEFAULT)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    failed = [name for name in arguments.names if compare(name, arguments.program)]
    print("differs from the reference: " + ", ".join(failed) if failed else "exact")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
