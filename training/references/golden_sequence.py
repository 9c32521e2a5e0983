# SPDX-License-Identifier: Apache-2.0
"""Writes how SAM 2 and MedSAM2 prepare frames and resize logits: python -m training.references.golden_sequence

The file is Tests/SegmentationTests/Golden/sequence.safetensors. The networks' input is scaled down to 32 x 32.

    <n>.image      [rows, columns, channels], bytes
    <n>.bicubic    [32, 32, channels], bytes: Pillow's bicubic, as `_load_img_as_tensor` of sam2/utils/misc.py and
                   medsam2_infer_3D_CT.py resize frames
    input.sam2     [32, 32, 3], the input of SAM 2's video predictor for image 0 (sam2/utils/misc.py)
    input.medsam2  [32, 32, 3], the input of MedSAM2 for image 0 (medsam2_infer_3D_CT.py)
    input.image    [32, 32, 3], the input of SAM 2's image predictor for image 0 (sam2/utils/transforms.py)
    logits         [16, 16]; <rows>x<columns>: the same resized to a frame of this size

The script prints how much one grey level of one pixel of the image changes the results: the tests' tolerances lie between
that and the rounding of fp32.
"""
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import save_file

from training.paths import SEGMENTATION_GOLDEN
from training.recipes.resize import resize as triangle

GOLDEN = SEGMENTATION_GOLDEN / "sequence.safetensors"
SIZE = 32
IMAGES = [(37, 53, 3), (20, 30, 1), (45, 32, 3), (32, 32, 1), (3, 90, 1), (70, 64, 1)]
ANSWERS = [(37, 53), (100, 90), (1, 40), (64, 64)]
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def draw(rng, rows, columns, channels):
    """Noise, and two flat patches whose edges overshoot in a cubic."""
    image = np.clip(rng.normal(120, 60, (rows, columns, channels)), 0, 255)
    image[rows // 4:rows // 2, columns // 4:columns // 2] = 255
    image[rows // 2:, columns // 2:] = 0
    return image.astype(np.uint8)


def bicubic(image):
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    found = np.asarray(picture.resize((SIZE, SIZE)))  # Pillow's default filter is bicubic
    return found.reshape(SIZE, SIZE, image.shape[-1])


def sam2(image):
    """The input of SAM 2's video predictor: bytes / 255 in fp64, rounded to fp32, then normalised."""
    x = torch.from_numpy(bicubic(image) / 255.0).float()
    return ((x - MEAN) / DEVIATION).numpy()


def medsam2(image):
    """The input of MedSAM2's script: normalised in fp64."""
    x = bicubic(image) / 255.0
    return ((x - MEAN.numpy().astype(np.float64)) / DEVIATION.numpy().astype(np.float64)).astype(np.float32)


def single(image):
    """The input of SAM 2's image predictor: bytes / 255, bilinear with antialiasing in fp32, then normalised."""
    x = torch.from_numpy(image).float().permute(2, 0, 1)[None] / 255
    x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)[0].permute(1, 2, 0)
    return ((x - MEAN) / DEVIATION).numpy()


def main():
    rng = np.random.default_rng(7)
    found = {}
    for n, shape in enumerate(IMAGES):
        image = draw(rng, *shape)
        found[f"{n}.image"], found[f"{n}.bicubic"] = image.astype(np.float32), bicubic(image).astype(np.float32)
    first = found["0.image"].astype(np.uint8)
    found |= {"input.sam2": sam2(first), "input.medsam2": medsam2(first), "input.image": single(first)}
    logits = rng.normal(0, 4, (16, 16)).astype(np.float32)
    found["logits"] = logits
    for size in ANSWERS:
        found[f"{size[0]}x{size[1]}"] = F.interpolate(
            torch.from_numpy(logits)[None, None], size, mode="bilinear", align_corners=False)[0, 0].numpy()
    save_file({name: np.ascontiguousarray(values, np.float32) for name, values in found.items()}, GOLDEN)
    moved = first.copy()
    moved[20, 20] += 1
    for name, prepare in [("input.sam2", sam2), ("input.medsam2", medsam2), ("input.image", single)]:
        print(f"{name}: one grey level of one pixel changes it by up to {np.abs(prepare(moved) - prepare(first)).max():.2g}")
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes; triangle() and torch differ by "
          f"{np.abs(triangle(first.astype(np.float32), (SIZE, SIZE)) / 255 - (single(first) * DEVIATION.numpy() + MEAN.numpy())).max():.1g}")


if __name__ == "__main__":
    main()
