# SPDX-License-Identifier: Apache-2.0
"""polyp-compact: its data, its augmentation and its recipe (what happens before and after the network).

Recipe: RGB 0..255 -> resize.resize to SIZE x SIZE (stretched, no rounding) -> (x / 255 - MEAN) / STD -> network ->
sigmoid -> resize.resize to the frame's size -> mask = probability >= 0.5. With flips, the probabilities at SIZE x SIZE
of the four flipped frames are averaged before the last resize.
"""
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import scenes
from networks import POLYP_COMPACT
from resize import resize

NAME = "polyp-compact"
ARCHITECTURE = POLYP_COMPACT
SIZE = 192
CACHE_SIZE = 288
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
FLIPS = [(), (3,), (2,), (2, 3)]
VIEWS = "four flips"
BATCH = 16
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
EMA = 0.999
SCENES = 200
DATA_SETS = ["Kvasir-SEG training (799)", "PolypGen single frames (1237)", f"drawn scenes ({SCENES})"]
NORMALISATION = {"scale": 1 / 255, "mean": MEAN.tolist(), "std": STD.tolist(), "threshold": 0.5, "size": [SIZE, SIZE]}


def read_pair(folder, name, mask_suffix):
    image = np.asarray(Image.open(folder / "images" / name).convert("RGB"))
    mask = np.asarray(Image.open(folder / "masks" / (Path(name).stem + mask_suffix)).convert("L")) > 127
    return image, mask


def held_out(data):
    """The validation frames of Kvasir-SEG: (name, image, mask)."""
    folder = Path(data) / "kvasir-seg/validation"
    for path in sorted((folder / "images").iterdir()):
        yield path.stem, *read_pair(folder, path.name, ".jpg")


def training_pairs(data):
    for folder, suffix in ((Path(data) / "kvasir-seg/train", ".jpg"), (Path(data) / "polypgen/train", ".png")):
        for path in sorted((folder / "images").iterdir()):
            yield read_pair(folder, path.name, suffix)
    for seed in range(SCENES):
        yield scenes.colonoscopy(np.random.default_rng([1, seed]), (CACHE_SIZE, CACHE_SIZE), polyps=seed % 3)


class Training:
    """Draws augmented batches from frames that were decoded once and kept as uint8."""

    def __init__(self, data, cache):
        images, masks = Path(cache) / "polyp-images.npy", Path(cache) / "polyp-masks.npy"
        if not masks.exists():
            pairs = [(np.asarray(Image.fromarray(image).resize((CACHE_SIZE, CACHE_SIZE), Image.BILINEAR)),
                      np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((CACHE_SIZE, CACHE_SIZE),
                                                                                     Image.BILINEAR)))
                     for image, mask in training_pairs(data)]
            np.save(images, np.stack([pair[0] for pair in pairs]))
            np.save(masks, np.stack([pair[1] for pair in pairs]))
        self.images, self.masks = np.load(images), np.load(masks)

    def __len__(self):
        return len(self.images)

    def sample(self, index, rng):
        stacked = np.concatenate([self.images[index], self.masks[index][..., None]], axis=2)
        stacked = torch.from_numpy(stacked).permute(2, 0, 1)[None].float()
        fill = "zeros" if rng.random() < 0.5 else "reflection"
        warped = F.grid_sample(stacked, F.affine_grid(random_affine(rng), (1, 4, SIZE, SIZE), align_corners=False),
                               padding_mode=fill, align_corners=False)[0].numpy()
        image = recolour(np.ascontiguousarray(warped[:3].transpose(1, 2, 0)), rng)
        return normalise(image), (warped[3:] > 127.5).astype(np.float32)

    def batch(self, indices, rng):
        pairs = [self.sample(index, rng) for index in indices]
        return (torch.from_numpy(np.stack([pair[0] for pair in pairs])),
                torch.from_numpy(np.stack([pair[1] for pair in pairs])))


def random_affine(rng):
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else 0.0
    reach = np.log(1.6) if rng.random() < 0.4 else np.log(1.15)
    scale = np.exp(rng.uniform(-reach, reach))
    aspect = np.exp(rng.uniform(np.log(0.75), np.log(1.33)) / 2) if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag([rng.choice([-1, 1]) * aspect, rng.choice([-1, 1]) / aspect]) / scale
    shift = rng.uniform(-0.15, 0.15, 2)
    return torch.tensor(np.c_[turn @ stretch, shift], dtype=torch.float32)[None]


def recolour(image, rng):
    """Light, colour, focus, compression and reflections of another endoscope; [rows, columns, 3] in 0..255."""
    if rng.random() < 0.15:
        rows, columns = np.mgrid[:SIZE, :SIZE]
        for _ in range(rng.integers(1, 9)):
            y, x, a, b = *rng.uniform(0, SIZE, 2), *rng.uniform(1, 7, 2)
            spot = np.exp(-(((rows - y) / a) ** 2 + ((columns - x) / b) ** 2) ** 2)[..., None]
            image = image + spot * (250 - image)
    image = np.clip(image, 0, 255) / 255
    image = image ** np.exp(rng.uniform(-0.25, 0.25))
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * rng.uniform(0.7, 1.3)
    mean = image.mean()
    image = (image - mean) * rng.uniform(0.8, 1.2) + mean
    image = image * rng.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08, 3)
    image = image @ (np.eye(3) + rng.uniform(-0.04, 0.04, (3, 3)))
    if rng.random() < 0.1:
        image = image + rng.normal(0, rng.uniform(0.01, 0.05), image.shape)
    image = np.clip(image * 255, 0, 255).astype(np.float32)
    if rng.random() < 0.1:
        small = int(SIZE / rng.uniform(1.2, 3))
        kept = torch.from_numpy(image).permute(2, 0, 1)[None]
        kept = F.interpolate(kept, size=(small, small), mode="bilinear", align_corners=False)
        kept = F.interpolate(kept, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        image = kept[0].permute(1, 2, 0).numpy()
    if rng.random() < 0.15:
        file = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=int(rng.integers(15, 75)))
        image = np.asarray(Image.open(file), np.float32)
    return image


def normalise(image):
    return ((image / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)


def loss(logits, truth):
    """Cross-entropy, and soft Dice per frame where the truth is not empty."""
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * truth).sum((1, 2, 3)) + 1
    dice = 1 - overlap / (probability.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)
    present = (truth.sum((1, 2, 3)) > 0).float()
    return F.binary_cross_entropy_with_logits(logits, truth) + (dice * present).mean()


@torch.no_grad()
def probabilities(network, image, flips=FLIPS, size=SIZE):
    """Foreground probability [SIZE, SIZE] of one frame, uint8 RGB [rows, columns, 3], in each of the flipped views."""
    x = torch.from_numpy(normalise(resize(image, (size, size))))[None]
    return [torch.sigmoid(network(x.flip(axes))).flip(axes)[0, 0].numpy() for axes in flips]


def views(network, image):
    """(mask of the plain view, mask of the mean, masks of every view, mean probability), at the frame's size."""
    each = probabilities(network, image)
    mean = resize(np.mean(each, axis=0, dtype=np.float32), image.shape[:2])
    masks = [resize(view, image.shape[:2]) >= 0.5 for view in each]
    return masks[0], mean >= 0.5, masks, mean


def predict(network, image):
    return resize(probabilities(network, image, FLIPS[:1])[0], image.shape[:2]) >= 0.5
