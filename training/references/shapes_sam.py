# SPDX-License-Identifier: Apache-2.0
"""Trains a scaled-down Segment Anything on drawn shapes: python -m training.references.shapes_sam [--steps N]

The tests of automatic mask generation need a network with stable masks; with drawn weights, masks would not pass the
filters. This network has every part of SAM's ViT-B at a fraction of its size: 128 x 128 pixels, an encoder of four
blocks of 64 channels with windows and relative positions, and 64 channels in the decoder. It is built from the
reference's own classes. It learns three drawn pictures by heart within minutes, which suffices to compare two programs.
It is written to Tests/InferenceTests/Golden/shapes-sam.safetensors in fp16, with the reference's tensor names. Seeds
are fixed. One thread keeps the order of sums.
"""
import argparse
import json
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from scipy import ndimage

from training.networks.reference_package import segment_anything
from training.paths import INFERENCE_GOLDEN

modeling = segment_anything.modeling
ResizeLongestSide = segment_anything.utils.transforms.ResizeLongestSide

SIZE = 128
LOW = SIZE // 4
FILE = INFERENCE_GOLDEN / "shapes-sam.safetensors"


def build():
    """The network, as segment_anything.build_sam builds the large ones."""
    channels, grid = 64, SIZE // 16
    return modeling.Sam(
        modeling.ImageEncoderViT(
            img_size=SIZE, patch_size=16, embed_dim=64, depth=4, num_heads=2, mlp_ratio=2, out_chans=channels,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=6, global_attn_indexes=(1, 3)),
        modeling.PromptEncoder(
            embed_dim=channels, image_embedding_size=(grid, grid), input_image_size=(SIZE, SIZE), mask_in_chans=16),
        modeling.MaskDecoder(
            transformer_dim=channels, num_multimask_outputs=3, iou_head_depth=3, iou_head_hidden_dim=channels,
            transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=channels, mlp_dim=128, num_heads=8)))


# Drawings -----------------------------------------------------------------------------------------------------------

def texture(rng, height, width, cells):
    coarse = rng.standard_normal((cells, cells, 3)).astype(np.float32)
    return ndimage.zoom(coarse, (height / cells, width / cells, 1), order=1, mode="nearest", grid_mode=True)


def inside(rng, y, x, radius):
    """A disc, a turned rectangle or a blob of about that radius around the origin."""
    kind = rng.integers(3)
    if kind == 0:
        return y * y + x * x < radius * radius
    angle = rng.uniform(0, np.pi)
    if kind == 1:
        u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        return (abs(u) < radius * rng.uniform(0.6, 0.95)) & (abs(v) < radius * rng.uniform(0.6, 0.95))
    phi = np.arctan2(y, x)
    wave = 0.82 + 0.1 * np.sin(2 * phi + angle) + 0.08 * np.sin(3 * phi + rng.uniform(0, 6))
    return y * y + x * x < (radius * wave) ** 2


def colour_apart(rng, other):
    while True:
        colour = rng.uniform(20, 235, 3)
        if abs(colour - other).sum() > 170:
            return colour


def draw(rng, height, width):
    """uint8 RGB [height, width, 3] full of shapes, and a map of their labels from 1 on."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    back = rng.uniform(20, 235, 3)
    image = back + 14 * texture(rng, height, width, 6)
    grain = 8 * texture(rng, height, width, 60)
    labels = np.zeros((height, width), np.int32)
    rows, columns = (round(n / max(height, width) * 5.6) for n in (height, width))
    cell_y, cell_x = height / rows, width / columns
    for cell in range(rows * columns):
        radius = min(cell_y, cell_x) * rng.uniform(0.33, 0.46)
        slack_y, slack_x = max(cell_y / 2 - radius - 1, 0), max(cell_x / 2 - radius - 1, 0)
        cy = (cell // columns + 0.5) * cell_y + rng.uniform(-slack_y, slack_y)
        cx = (cell % columns + 0.5) * cell_x + rng.uniform(-slack_x, slack_x)
        # The window holds the whole shape.
        at = tuple(slice(max(int(c - radius) - 1, 0), int(c + radius) + 2) for c in (cy, cx))
        own = inside(rng, y[at] - cy, x[at] - cx, radius)
        image[at][own] = (colour_apart(rng, back) + grain[at])[own]
        labels[at][own] = cell + 1
    image = ndimage.gaussian_filter(image, (0.4, 0.4, 0)) + rng.normal(0, 3, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


# Training -----------------------------------------------------------------------------------------------------------

def pictures():
    """The three pictures to learn, each as `draw` returns it."""
    rng = np.random.default_rng(3)
    return [draw(rng, height, width) for height, width in ((256, 256), (288, 320), (360, 310))]


def reduce(mask):
    """[h, w] to the low resolution of the padded input: a pixel is set where more than half of it is."""
    scale = LOW / max(mask.shape)
    height, width = (int(n * scale + 0.5) for n in mask.shape)
    small = F.interpolate(torch.from_numpy(mask).float()[None, None], (height, width), mode="bilinear", antialias=True)
    return F.pad(small[0, 0] > 0.5, (0, LOW - width, 0, LOW - height)).float()


class Lesson:
    """A picture as the network's input, and the masks of its shapes."""

    def __init__(self, sam, image, labels):
        resized = ResizeLongestSide(SIZE).apply_image(image)
        self.pixels = sam.preprocess(torch.from_numpy(resized).permute(2, 0, 1).float())
        self.scale = SIZE / max(labels.shape)
        self.spots = [np.argwhere(labels == label) for label in range(labels.max() + 1)]
        self.masks = [reduce(labels == label) for label in range(labels.max() + 1)]
        self.masks[0] = torch.zeros(LOW, LOW)

    def ask(self, rng, count):
        """Points (x, y) in the network's input and the mask of each. The first point lies beside the shapes."""
        labels = [0] + list(rng.integers(1, len(self.masks), size=count - 1))
        spots = np.array([self.spots[label][rng.integers(len(self.spots[label]))] for label in labels])
        points = torch.from_numpy(spots[:, ::-1] * self.scale).float()
        return points, torch.stack([self.masks[label] for label in labels])


def decode(sam, embeddings, points):
    """MaskDecoder.predict_masks for several images with as many points each."""
    decoder, encoder = sam.mask_decoder, sam.prompt_encoder
    each = len(points) // len(embeddings)
    sparse, dense = encoder(points=(points[:, None], torch.ones(len(points), 1)), boxes=None, masks=None)
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([tokens.expand(len(points), -1, -1), sparse], dim=1)
    source = embeddings.repeat_interleave(each, 0) + dense
    hidden, image = decoder.transformer(source, encoder.get_dense_pe().expand_as(source), tokens)
    image = decoder.output_upscaling(image.transpose(1, 2).reshape(source.shape))
    weights = torch.stack([mlp(hidden[:, 2 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps[1:])], 1)
    logits = (weights @ image.flatten(2)).unflatten(2, image.shape[2:])
    return logits, decoder.iou_prediction_head(hidden[:, 0])[:, 1:]


def losses(logits, predicted, targets):
    """SAM's losses: the best of three masks learns the target, and each predicted IoU learns its mask's IoU."""
    wanted = targets[:, None].expand_as(logits)
    cross = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((2, 3))
    chance = logits.sigmoid()
    dice = 1 - (2 * (chance * wanted).sum((2, 3)) + 1) / (chance.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    real = targets.flatten(1).any(1).float()
    best = (10 * cross + dice).min(1).values
    hard = logits.detach() > 0
    overlap = (hard & (wanted > 0)).sum((2, 3)) / (hard | (wanted > 0)).sum((2, 3)).clamp(min=1)
    return (best * real).sum() / real.sum(), F.mse_loss(predicted, overlap), \
        ((overlap.max(1).values * real).sum() / real.sum()).item()


def train(steps, count=8):
    torch.manual_seed(3)
    torch.set_num_threads(1)
    rng = np.random.default_rng(4)
    sam = build().train()
    lessons = [Lesson(sam, *picture) for picture in pictures()]
    pixels = torch.stack([lesson.pixels for lesson in lessons])
    optimizer = torch.optim.AdamW(sam.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1)
    for step in range(steps):
        points, targets = (torch.cat(parts) for parts in zip(*[lesson.ask(rng, count) for lesson in lessons]))
        mask_loss, iou_loss, overlap = losses(*decode(sam, sam.image_encoder(pixels), points), targets)
        optimizer.zero_grad()
        (mask_loss + 2 * iou_loss).backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(step + 1, f"{mask_loss.item():.3f} {iou_loss.item():.4f} {overlap:.3f}", flush=True)
        if step % 250 == 249:
            write(sam, step + 1)


def write(sam, steps):
    tensors = {name: value.detach().half().contiguous().clone() for name, value in sam.state_dict().items()}
    facts = {"made_by": "training/references/shapes_sam.py", "steps": steps, "drawn": "shapes only, no data of others"}
    save_file(tensors, FILE, {"kontur": json.dumps(facts, sort_keys=True)})


def load():
    """The trained network in fp32, as the tests read it."""
    sam = build()
    sam.load_state_dict({name: value.float() for name, value in load_file(FILE).items()})
    return sam.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2500)
    train(parser.parse_args().steps)
