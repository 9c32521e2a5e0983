# SPDX-License-Identifier: Apache-2.0
"""Packs the data of medsam2-compact's training: python -m training.data.tracked_pack --data DATA OUTPUT [OUTPUT ...]

A pack is one .npz file. It lets a machine train that does not have the data folder. Several outputs share the volumes and
frames between them, and a training reads all of them. The volumes are those of left_atrium_volumes.split, without the 16
held-out ones. A volume's slices are kept at their own size, after `percentile_scaled`; frames are squares. Both are WebP
pictures. A quality of 101 is lossless. A mask is exact.

    volume/<name>/<part>/pictures    bytes of the WebP files of all slices; <part> is "training" or "validation"
    volume/<name>/<part>/lengths     bytes of each file
    volume/<name>/<part>/mask        packed bits, compressed with LZMA
    frames/pictures, frames/lengths, frames/mask    the same for the frames
"""
import argparse
import io
import lzma
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

import numpy as np
from PIL import Image

from training.data import left_atrium_volumes, polyp_frames
from training.networks.tracker import SIZE
from training.recipes.medsam_compact import percentile_scaled

VALIDATION_STEP, VALIDATION_OFFSET = 10, 5  # every tenth training volume is set aside for validation
LEFT_OUT = 6  # the PolypGen centre that does not take part in training
LOSSLESS = 101


def parts(data):
    """Yields (part, path) of the 58 volumes that are trained on and the 6 that validate the training."""
    paths = left_atrium_volumes.split(data)[0]
    free = [path for path in paths if path.stem not in left_atrium_volumes.SAME_MASK]
    aside = free[VALIDATION_OFFSET::VALIDATION_STEP]
    for path in paths:
        yield "validation" if path in aside else "training", path


def frame_squares(data):
    """Image [SIZE, SIZE, 3] and mask [SIZE, SIZE], uint8, of each training frame with a polyp."""
    real = takewhile(lambda pair: pair[2] != polyp_frames.DRAWN, polyp_frames.training_pairs(data))
    for image, mask, origin in real:
        if origin != LEFT_OUT and mask.any():
            yield tuple(np.asarray(Image.fromarray(part).resize((SIZE, SIZE), Image.BILINEAR)) for part in (image, mask))


def packed(images, masks, quality):
    """The arrays of a pack for images [count, rows, columns(, 3)] in 0...255 and Boolean masks."""
    files = []
    for image in images:
        file = io.BytesIO()
        options = {"lossless": True} if quality >= LOSSLESS else {"quality": quality}
        Image.fromarray(image).save(file, "WEBP", method=6, **options)
        files.append(file.getvalue())
    bits = lzma.compress(np.packbits(masks).tobytes())
    return {"pictures": np.frombuffer(b"".join(files), np.uint8), "lengths": np.array([len(file) for file in files]),
            "mask": np.frombuffer(bits, np.uint8)}


def unpacked(arrays, mode):
    """Images uint8 [count, rows, columns(, 3)] and masks of 0 and 1 of the arrays of a pack. `mode` is "L" or "RGB"."""
    ends = np.cumsum(arrays["lengths"])
    body = arrays["pictures"].tobytes()

    def picture(end, length):
        return np.asarray(Image.open(io.BytesIO(body[end - length:end])).convert(mode))
    with ThreadPoolExecutor(8) as pool:
        images = np.stack(list(pool.map(picture, ends, arrays["lengths"])))
    count = int(np.prod(images.shape[:3]))
    bits = np.frombuffer(lzma.decompress(arrays["mask"].tobytes()), np.uint8)
    return images, np.unpackbits(bits, count=count).reshape(images.shape[:3])


def write(data, outputs, quality, frame_quality, frames):
    """Writes the packs. `frames` limits the number of colonoscopy frames."""
    made = [{} for _ in outputs]
    for k, (part, path) in enumerate(parts(data)):
        image, mask = left_atrium_volumes.read(path)
        for key, value in packed(percentile_scaled(image), mask > 0, quality).items():
            made[k % len(outputs)][f"volume/{path.stem}/{part}/{key}"] = value
    pairs = list(frame_squares(data))
    pairs = [pairs[k] for k in np.linspace(0, len(pairs) - 1, min(frames, len(pairs))).astype(int)] if frames else []
    for k, arrays in enumerate(made):
        if own := pairs[k::len(made)]:
            images, masks = zip(*own)
            arrays |= {f"frames/{key}": value for key, value in packed(images, np.stack(masks) > 127, frame_quality).items()}
    for output, arrays in zip(outputs, made):
        output.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{output}.new", "wb") as file:
            np.savez(file, **arrays)
        Path(f"{output}.new").rename(output)


def read(packs):
    """The volumes {part: [(name, image, mask)]} and the frames (images, masks), or None, of several packs."""
    volumes, frames = {"training": [], "validation": []}, []
    for pack in packs:
        with np.load(pack) as file:
            groups = {}
            for key in file.files:
                group, _, name = key.rpartition("/")
                groups.setdefault(group, {})[name] = file[key]
        for group, arrays in groups.items():
            if group == "frames":
                frames.append(unpacked(arrays, "RGB"))
            else:
                _, name, part = group.split("/")
                volumes[part].append((name, *unpacked(arrays, "L")))
    return volumes, tuple(map(np.concatenate, zip(*frames))) if frames else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with kvasir-seg/, polypgen/ and la2018/")
    parser.add_argument("--quality", type=int, default=LOSSLESS, help=f"of the slices, 1 to 100; {LOSSLESS} is lossless")
    parser.add_argument("--frame-quality", type=int, default=90, help="of the colonoscopy frames")
    parser.add_argument("--frames", type=int, default=10_000, help="colonoscopy frames, at most")
    parser.add_argument("outputs", type=Path, nargs="+", help=".npz files")
    arguments = parser.parse_args()
    write(arguments.data, arguments.outputs, arguments.quality, arguments.frame_quality, arguments.frames)
    for output in arguments.outputs:
        print(output, output.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
