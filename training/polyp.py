# SPDX-License-Identifier: Apache-2.0
"""polyp-compact: its data, its augmentation and its recipe (what happens before and after the network).

Recipe: RGB 0..255 -> resize.resize to SIZE x SIZE (stretched, no rounding) -> (x / 255 - MEAN) / STD -> network ->
sigmoid -> resize.resize to the frame's size -> mask = probability >= 0.5. With flips, the probabilities at SIZE x SIZE
of the four flipped frames are averaged before the last resize. The presence head (presence.py) looks at every view; where
the sigmoid of its mean logit is below PRESENCE_THRESHOLD there is no polyp: probabilities are multiplied with that
presence, which leaves the mask empty.
"""
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import blend
import endoscopes
import presence
import scenes
from confidence import Answer, measures
from networks import POLYP_COMPACT
from resize import resize

NAME = "polyp-compact"
VERSION = "1.2.0"  # of the recipe, as the runtime names it
ARCHITECTURE = POLYP_COMPACT
SIZE = 256
SIZE_AT_FIRST, FIRST = 192, 0.6  # the side of the squares for this share of a training
CACHE_SIZE = 288
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
FLIPS = [(), (3,), (2,), (2, 3)]
VIEWS = "four flips"
PRESENCE_THRESHOLD = 0.5  # at most that of the pixels
BATCH = 16
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
EMA = 0.999
SCENES = 200
KVASIR, DRAWN = 0, 9
CENTRES = [("^EndoCV2021_C5_", 5), ("^EndoCV2021_C6_", 6), ("^EndoCV2021_00", 2), ("^C3_", 3), ("_endocv2021_", 4),
           ("^100|OLCV1_100", 1)]
EMPTY_REPEATS = 2  # times more that the real frames without a polyp are drawn
DATA_SETS = ["Kvasir-SEG training (799)", "PolypGen single frames (1237)", f"drawn scenes ({SCENES})"]
NORMALISATION = {"scale": 1 / 255, "mean": MEAN.tolist(), "std": STD.tolist(), "threshold": 0.5, "size": [SIZE, SIZE],
                 "presence_threshold": PRESENCE_THRESHOLD}


def read_pair(folder, name, mask_suffix):
    image = np.asarray(Image.open(folder / "images" / name).convert("RGB"))
    mask = np.asarray(Image.open(folder / "masks" / (Path(name).stem + mask_suffix)).convert("L")) > 127
    return image, mask


def held_out(data):
    """The validation frames of Kvasir-SEG: (name, image, mask)."""
    folder = Path(data) / "kvasir-seg/validation"
    for path in sorted((folder / "images").iterdir()):
        yield path.stem, *read_pair(folder, path.name, ".jpg")


def centre(name):
    """The PolypGen centre of a file: 1 to 6."""
    for pattern, number in CENTRES:
        if re.search(pattern, name):
            return number
    raise ValueError(f"{name}: of no known PolypGen centre")


def training_pairs(data):
    """(image, mask 0 or 255, origin) of every frame; origin is a PolypGen centre, KVASIR or DRAWN."""
    for folder, suffix in ((Path(data) / "kvasir-seg/train", ".jpg"), (Path(data) / "polypgen/train", ".png")):
        for path in sorted((folder / "images").iterdir()):
            image, mask = read_pair(folder, path.name, suffix)
            yield image, mask.astype(np.uint8) * 255, KVASIR if suffix == ".jpg" else centre(path.name)
    for seed in range(SCENES):
        image, mask = scenes.colonoscopy(np.random.default_rng([1, seed]), (CACHE_SIZE, CACHE_SIZE), polyps=seed % 3)
        yield np.asarray(image, np.uint8), mask.astype(np.uint8) * 255, DRAWN


class Training:
    """Draws augmented batches from frames that were decoded once and kept as uint8.

    Every frame with a polyp is also kept with the polyp filled in (a frame without one) and with a healthy patch
    exchanged (blend.py). `leave_out` is a PolypGen centre that is not drawn from.
    """

    def __init__(self, data, cache, leave_out=None):
        self.progress = 0.0
        self.images, self.masks, self.filled, self.decoys, self.origin = load_cache(data, cache)
        self.empty = ~self.masks.any(axis=(1, 2))
        self.fillable = np.array([bool(frame[::8, ::8].any()) for frame in self.filled])
        drawn = np.flatnonzero(self.origin != leave_out)
        self.left_out = np.flatnonzero(self.origin == leave_out)
        real = drawn[self.empty[drawn] & (self.origin[drawn] != DRAWN)]
        self.indices = np.concatenate([drawn, np.repeat(real, EMPTY_REPEATS)])
        self.donors = drawn[~self.empty[drawn] & (self.origin[drawn] != DRAWN)]

    def __len__(self):
        return len(self.indices)

    def left_out_cases(self):
        for index in self.left_out:
            yield self.images[index], self.masks[index] > 127

    def choose(self, index, rng):
        """(image, mask, crop) of one frame or of something made from it; crop = (top, left, side) in 0..1 or None."""
        image, mask, choice = self.images[index], self.masks[index], rng.random()
        if self.empty[index]:
            return image, mask, None
        if choice < 0.14 and self.fillable[index]:
            return self.filled[index], np.zeros_like(mask), None
        if choice < 0.26:
            crop = healthy_crop(mask, rng)
            if crop:
                return image, np.zeros_like(mask), crop
        return (self.decoys[index] if choice > 0.85 else image), mask, None

    def warped(self, index, rng, source=None):
        image, mask, crop = source or self.choose(index, rng)
        if crop:
            top, left, side = (round(value * CACHE_SIZE) for value in crop)
            image, mask = (array[top:top + side, left:left + side] for array in (image, mask))
        stacked = torch.from_numpy(np.concatenate([image, mask[..., None]], axis=2)).permute(2, 0, 1)[None].float()
        fill = "zeros" if rng.random() < 0.5 else "reflection"
        side = SIZE_AT_FIRST if self.progress < FIRST else SIZE
        grid = F.affine_grid(endoscopes.random_affine(rng), (1, 4, side, side), align_corners=False)
        warped = F.grid_sample(stacked, grid, padding_mode=fill, align_corners=False)[0].numpy()
        return np.ascontiguousarray(warped[:3].transpose(1, 2, 0)), warped[3] > 127.5

    def sample(self, index, rng):
        image, truth = self.warped(index, rng)
        if rng.random() < 0.12:
            donor = rng.choice(self.donors)
            image, truth = blend.paste(rng, image, truth, *self.warped(
                donor, rng, (self.images[donor], self.masks[donor], None)))
        return normalise(endoscopes.recolour(image, rng)), truth[None].astype(np.float32)

    def batch(self, indices, rng):
        pairs = [self.sample(self.indices[index], rng) for index in indices]
        return (torch.from_numpy(np.stack([pair[0] for pair in pairs])),
                torch.from_numpy(np.stack([pair[1] for pair in pairs])))


def healthy_crop(mask, rng):
    """A square of 0.35 to 0.7 of the frame without a polyp: (top, left, side), or None."""
    for _ in range(8):
        side = rng.uniform(0.35, 0.7)
        top, left = rng.uniform(0, 1 - side, 2)
        box = [round(value * CACHE_SIZE) for value in (top, top + side, left, left + side)]
        if not mask[box[0]:box[1], box[2]:box[3]].any():
            return top, left, side
    return None


def load_cache(data, cache):
    """Images, masks, filled (zeros where nothing fitted), decoys (uint8, CACHE_SIZE squares), and where each is from."""
    paths = [Path(cache) / f"polyp-{name}.npy" for name in ("images", "masks", "filled", "decoys", "origin")]
    if not paths[-1].exists():
        frames = list(training_pairs(data))
        images, masks = (np.stack([np.asarray(Image.fromarray(frame[k]).resize((CACHE_SIZE, CACHE_SIZE), Image.BILINEAR))
                                   for frame in frames]) for k in (0, 1))
        origin = np.array([frame[2] for frame in frames])
        rng, found, exchanged = np.random.default_rng(3), np.zeros_like(images), images.copy()
        for k in np.flatnonzero(masks.any(axis=(1, 2))):
            alike = np.flatnonzero(origin == origin[k])
            others = lambda: (lambda n: (images[n], masks[n] > 127))(rng.choice(alike))
            patch = blend.filled(rng, images[k], masks[k] > 127, others)
            found[k] = 0 if patch is None else patch
            exchanged[k] = blend.decoy(rng, images[k], masks[k] > 127, others)
        for path, array in zip(paths, (images, masks, found, exchanged, origin)):
            np.save(path, array)
    return [np.load(path, mmap_mode="r") for path in paths[:-1]] + [np.load(paths[-1])]


def unseen(data, cache, leave_out, logits):
    """(name, image, mask, presence logit or None) of the frames of a centre that was left out, and of the real frames without
    a polyp of the others, whose presence `logits`, in the order of all such frames, are those of heads that do not know them."""
    training = Training(data, cache, leave_out)
    real = np.flatnonzero(training.empty & (training.origin != DRAWN))
    known = dict(zip(real, logits))
    for k in np.union1d(training.left_out, real):
        yield f"polypgen {k}", training.images[k], training.masks[k] > 127, known.get(k)


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
def probabilities(network, image, flips=FLIPS):
    """Foreground probability [SIZE, SIZE] of one frame, uint8 RGB [rows, columns, 3], in each of the flipped views, and
    their presence logits (None without a presence head)."""
    x = torch.from_numpy(normalise(resize(image, (SIZE, SIZE))))[None]
    each, logits = [], []
    for axes in flips:
        output, found = presence.look(network, x.flip(axes))
        each.append(torch.sigmoid(output).flip(axes)[0, 0].numpy())
        logits.append(None if found is None else float(found))
    return each, None if logits[0] is None else logits


def gate(probability, logits):
    """(probability, presence): multiplied with the presence where that is below the threshold."""
    if logits is None:
        return probability, None
    found = 1 / (1 + np.exp(-np.mean(logits)))
    return (probability * np.float32(found) if found < PRESENCE_THRESHOLD else probability), float(found)


def answer(network, image, logit=None):
    """The answer of the mean of the flips; `logit` takes the place of their mean presence logit."""
    each, logits = probabilities(network, image)
    mean = np.mean(each, axis=0, dtype=np.float32)
    probability, found = gate(resize(mean, image.shape[:2]), logits if logit is None else [logit])
    plain = gate(resize(each[0], image.shape[:2]), logits and logits[:1])[0]
    return Answer(plain >= 0.5, probability >= 0.5, probability,
                  measures(mean >= 0.5, mean, [view >= 0.5 for view in each], found))


def predict(network, image):
    each, logits = probabilities(network, image, FLIPS[:1])
    return gate(resize(each[0], image.shape[:2]), logits)[0] >= 0.5
