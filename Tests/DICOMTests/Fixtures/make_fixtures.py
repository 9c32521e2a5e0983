#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the instances beside it, and what they decode to.

Needs pydicom numpy, imagecodecs (JPEG 2000 and HTJ2K), Pillow and the command line tools of DCMTK.
Nothing in the files comes from a patient: the pixels are
drawn here, the names made up. Run without arguments to make all of them anew.

Expected values are what pydicom reads from the uncompressed instance for lossless encodings, and what DCMTK's own
decoder (dcmdjpeg, dcmdjpls, dcmdrle) makes of lossy ones.
"""

import copy
import io
import json
import pathlib
import subprocess
import tempfile
import zlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian,
    JPEG2000Lossless, UID)

HERE = pathlib.Path(__file__).parent
MR, CT, US, SC, ES = (
    "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77.1.1")
VIDEO = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
MULTI_FRAME_SC = "1.2.840.10008.5.1.4.1.1.7.4"
ROOT = "2.25.1234567890"
ROWS, COLUMNS = 11, 13


def uid(name):
    return UID(f"{ROOT}.{sum(ord(c) * 31 ** i for i, c in enumerate(name)) % 10 ** 12}")


def instance(name, sop_class, syntax=ExplicitVRLittleEndian):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid(name)
    meta.TransferSyntaxUID = syntax
    ds = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    ds.set_original_encoding(UID(syntax).is_implicit_VR, UID(syntax).is_little_endian)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid(name)
    ds.StudyInstanceUID = uid("study")
    ds.SeriesInstanceUID = uid("series " + name)
    ds.Modality = {MR: "MR", CT: "CT", US: "US", ES: "ES", VIDEO: "ES"}.get(sop_class, "OT")
    ds.PatientName = "Fixture^Made Up"
    ds.PatientID = "FIXTURE"
    ds.StudyDescription = "FIXTURES"
    ds.SeriesDescription = name.replace("_", " ")
    ds.InstanceNumber = 1
    return ds


def pixels(ds, array, bits_allocated, bits_stored, signed=False, photometric="MONOCHROME2", planar=None, vr=None):
    """Puts an array [frames?, rows, columns, samples?] as Pixel Data."""
    color = array.ndim >= 3 and array.shape[-1] == 3
    frames = array.shape[0] if array.ndim == (4 if color else 3) else None
    ds.Rows, ds.Columns = array.shape[-3:-1] if color else array.shape[-2:]
    if frames is not None:
        ds.NumberOfFrames = frames
    ds.SamplesPerPixel = 3 if color else 1
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits_allocated, bits_stored, bits_stored - 1
    ds.PixelRepresentation = int(signed)
    if color:
        ds.PlanarConfiguration = planar or 0
        if planar:
            array = np.moveaxis(array, -1, -3)
    data = np.ascontiguousarray(array).tobytes()
    ds.PixelData = data + bytes(len(data) % 2)
    ds["PixelData"].VR = vr or ("OB" if bits_allocated == 8 else "OW")
    return ds


def gradient(seed, shape, low, high):
    """Something smooth with a little noise, so that lossy codecs have work and runs are short and long."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:shape[-2], 0:shape[-1]]
    plane = np.sin(x / 3.0) + np.cos(y / 2.5) + np.where((x > 4) & (y > 3), 1.5, 0)
    planes = np.stack([np.roll(plane, k, axis=1) for k in range(int(np.prod(shape[:-2], dtype=int)))])
    planes = planes.reshape(shape) + random.normal(0, 0.05, shape)
    planes = (planes - planes.min()) / (planes.max() - planes.min())
    return np.round(low + planes * (high - low)).astype(np.int64)


def write(name, ds, expected=None, tolerance=0.0):
    ds.save_as(HERE / f"{name}.dcm", enforce_file_format=True)
    if expected is not None:
        remember(name, expected, tolerance)


def remember(name, expected, tolerance=0.0):
    """expected: [frames, rows, columns, channels]."""
    expected = np.asarray(expected, dtype=np.float64)
    assert expected.ndim == 4, expected.shape
    lines = {
        "rows": expected.shape[1], "columns": expected.shape[2], "channels": expected.shape[3],
        "tolerance": tolerance, "frames": [[round(float(v), 4) for v in frame.ravel()] for frame in expected],
    }
    (HERE / f"{name}.json").write_text(json.dumps(lines, separators=(",", ":")) + "\n")


def tool(*arguments):
    subprocess.run([str(a) for a in arguments], check=True, timeout=60)


def compressed(name, source, encoder, decoder, expected_of, tolerance=0.0):
    """Encodes a fixture with a tool; what is expected comes from the matching decoder."""
    with tempfile.TemporaryDirectory() as folder:
        plain = pathlib.Path(folder) / "plain.dcm"
        tool(*encoder, HERE / f"{source}.dcm", HERE / f"{name}.dcm")
        tool(*decoder, HERE / f"{name}.dcm", plain)
        remember(name, expected_of(pydicom.dcmread(plain)), tolerance)


def as_frames(array, channels):
    rows, columns = (array.shape[-3:-1] if channels == 3 else array.shape[-2:])
    return array.reshape(-1, rows, columns, channels)


def main():
    for old in list(HERE.glob("*.dcm")) + list(HERE.glob("*.json")):
        old.unlink()

    # ---- Grey, 16 bits allocated, 12 stored, signed, rescaled: every syntax of the same image.
    signed = gradient(1, (ROWS, COLUMNS), -900, 1200)
    hu = as_frames(signed * 2.0 - 24.0, 1)

    def ct(name, syntax=ExplicitVRLittleEndian, big=False):
        ds = instance(name, CT, syntax)
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "2", "-24", "HU"
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [-10, 20, 30.5], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [0.5, 0.75], "3"
        ds.FrameOfReferenceUID = uid("frame of reference")
        return pixels(ds, signed.astype(">i2" if big else "<i2"), 16, 12, signed=True)

    write("ct_explicit_little_endian", ct("ct_explicit_little_endian"), hu)
    write("ct_implicit_little_endian", ct("ct_implicit_little_endian", ImplicitVRLittleEndian), hu)
    write("ct_deflated", ct("ct_deflated", DeflatedExplicitVRLittleEndian), hu)
    big = ct("ct_explicit_big_endian", ExplicitVRBigEndian, big=True)
    write("ct_explicit_big_endian", big, hu)
    plain = lambda ds: as_frames(ds.pixel_array * 2.0 - 24.0, 1)
    for name, encoder, decoder in [
        ("ct_rle", ["dcmcrle"], ["dcmdrle"]),
        ("ct_jpeg_lossless_sv1", ["dcmcjpeg", "+e1"], ["dcmdjpeg"]),
        ("ct_jpeg_lossless_predictor_6", ["dcmcjpeg", "+el", "+sv", "6"], ["dcmdjpeg"]),
        ("ct_jpegls_lossless", ["dcmcjpls", "+el"], ["dcmdjpls"]),
    ]:
        compressed(name, "ct_explicit_little_endian", encoder, decoder, plain)

    # ---- Grey, other depths.
    twelve = gradient(2, (ROWS, COLUMNS), 0, 4095)
    write("mr_unsigned_12bit", pixels(instance("mr_unsigned_12bit", MR), twelve.astype("<u2"), 16, 12),
          as_frames(twelve, 1))
    compressed("mr_jpeg_extended_12bit", "mr_unsigned_12bit", ["dcmcjpeg", "+ee", "+q", "95"], ["dcmdjpeg"],
               lambda ds: as_frames(ds.pixel_array, 1))
    compressed("mr_jpeg_progressive_12bit", "mr_unsigned_12bit", ["dcmcjpeg", "+ep", "+q", "95"], ["dcmdjpeg"],
               lambda ds: as_frames(ds.pixel_array, 1))
    compressed("mr_jpegls_near", "mr_unsigned_12bit", ["dcmcjpls", "+en", "+md", "3"], ["dcmdjpls"],
               lambda ds: as_frames(ds.pixel_array, 1))
    sixteen = gradient(3, (ROWS, COLUMNS), 0, 65535)
    write("mr_unsigned_16bit", pixels(instance("mr_unsigned_16bit", MR), sixteen.astype("<u2"), 16, 16),
          as_frames(sixteen, 1))
    compressed("mr_jpeg_lossless_16bit", "mr_unsigned_16bit", ["dcmcjpeg", "+e1"], ["dcmdjpeg"],
               lambda ds: as_frames(ds.pixel_array, 1))

    eight = gradient(4, (ROWS, COLUMNS), 0, 255)
    write("monochrome1_8bit",
          pixels(instance("monochrome1_8bit", SC), eight.astype("u1"), 8, 8, photometric="MONOCHROME1"),
          as_frames(255 - eight, 1))
    write("monochrome1_signed_8bit",
          pixels(instance("monochrome1_signed_8bit", SC), (eight - 128).astype("i1"), 8, 8, signed=True,
                 photometric="MONOCHROME1"),
          as_frames(-1 - (eight - 128), 1))

    # Ten bits in the middle of sixteen, with an overlay's rubbish around them.
    ten = gradient(5, (ROWS, COLUMNS), -500, 500)
    stored = ((ten & 0x3FF) << 3) | 0x5 | np.where(eight > 100, 0xE000, 0)
    middle = pixels(instance("signed_10bit_high_bit_12", SC), stored.astype("<u2"), 16, 10, signed=True)
    middle.HighBit = 12
    write("signed_10bit_high_bit_12", middle, as_frames(ten, 1))

    # A Modality LUT with a first value mapped, and values outside of it on both sides.
    lut = pixels(instance("modality_lut", SC), gradient(6, (ROWS, COLUMNS), 0, 31).astype("u1"), 8, 8)
    item = Dataset()
    table = (np.arange(20) ** 2 + 7).astype("<u2")
    item.LUTDescriptor, item.ModalityLUTType = [20, 5, 16], "US"
    item.add_new("LUTData", "OW", table.tobytes())
    lut.ModalityLUTSequence = [item]
    write("modality_lut", lut, as_frames(table[np.clip(gradient(6, (ROWS, COLUMNS), 0, 31) - 5, 0, 19)], 1))

    # ---- Colour.
    rgb = np.moveaxis(gradient(7, (3, ROWS, COLUMNS), 0, 255), 0, -1).astype("u1")
    write("rgb_by_pixel", pixels(instance("rgb_by_pixel", ES), rgb, 8, 8, photometric="RGB"), as_frames(rgb, 3))
    write("rgb_by_plane", pixels(instance("rgb_by_plane", ES), rgb, 8, 8, photometric="RGB", planar=1),
          as_frames(rgb, 3))
    words = rgb.tobytes() + bytes(1)
    swapped = np.frombuffer(words, "<u2").astype(">u2").tobytes()
    ow = pixels(instance("rgb_big_endian_words", ES, ExplicitVRBigEndian), rgb, 8, 8, photometric="RGB", vr="OW")
    ow.PixelData = swapped
    write("rgb_big_endian_words", ow, as_frames(rgb, 3))
    color = lambda ds: as_frames(ds.pixel_array, 3)
    for name, encoder, decoder in [
        ("rgb_rle", ["dcmcrle"], ["dcmdrle"]),
        ("rgb_jpeg_lossless", ["dcmcjpeg", "+e1"], ["dcmdjpeg"]),
        ("rgb_jpegls", ["dcmcjpls", "+el"], ["dcmdjpls"]),
        ("ybr_jpeg_baseline_444", ["dcmcjpeg", "+eb", "+s4", "+q", "90"], ["dcmdjpeg"]),
        ("ybr_jpeg_baseline_422", ["dcmcjpeg", "+eb", "+s2", "+q", "90"], ["dcmdjpeg"]),
        ("rgb_jpeg_baseline", ["dcmcjpeg", "+eb", "+cr", "+q", "90"], ["dcmdjpeg"]),
    ]:
        compressed(name, "rgb_by_pixel", encoder, decoder, color)

    from pydicom.pixels import convert_color_space
    ybr = convert_color_space(rgb, "RGB", "YBR_FULL")
    back = convert_color_space(ybr, "YBR_FULL", "RGB")
    write("ybr_full", pixels(instance("ybr_full", US), ybr, 8, 8, photometric="YBR_FULL"), as_frames(back, 3), 1)
    even = ybr[:, :12]
    sub = np.stack([even[:, 0::2, 0], even[:, 1::2, 0], even[:, 0::2, 1], even[:, 0::2, 2]], axis=-1)
    shared = even.copy()
    shared[:, 1::2, 1:] = even[:, 0::2, 1:]
    ds = pixels(instance("ybr_full_422", US), even, 8, 8, photometric="YBR_FULL_422")
    ds.PixelData = np.ascontiguousarray(sub).tobytes()
    write("ybr_full_422", ds, as_frames(convert_color_space(shared, "YBR_FULL", "RGB"), 3), 1)

    index = gradient(8, (ROWS, COLUMNS), 0, 15)
    entries = {c: (np.arange(12) * k + k) % 256 for c, k in [("Red", 21), ("Green", 13), ("Blue", 5)]}
    for bits in (8, 16):
        name = f"palette_{bits}bit"
        ds = pixels(instance(name, SC), index.astype("u1"), 8, 8, photometric="PALETTE COLOR")
        for channel, values in entries.items():
            setattr(ds, f"{channel}PaletteColorLookupTableDescriptor", [12, 2, bits])
            table = values.astype("u1") if bits == 8 else (values * 257).astype("<u2")
            ds.add_new(f"{channel}PaletteColorLookupTableData", "OW", table.tobytes())
        mapped = np.stack([entries[c][np.clip(index - 2, 0, 11)] for c in ("Red", "Green", "Blue")], axis=-1)
        write(name, ds, as_frames(mapped, 3), 0.01)

    # ---- Several frames, with and without an offset table, in one fragment each and in several.
    movie = np.moveaxis(gradient(9, (3, 3, ROWS, COLUMNS), 0, 255), 1, -1).astype("u1")
    name = "movie_rgb"
    write(name, pixels(instance(name, MULTI_FRAME_SC), movie, 8, 8, photometric="RGB"), as_frames(movie, 3))
    compressed("movie_jpeg_baseline", name, ["dcmcjpeg", "+eb", "+ot"], ["dcmdjpeg"], color)
    compressed("movie_rle", name, ["dcmcrle"], ["dcmdrle"], color)
    expected = json.loads((HERE / "movie_jpeg_baseline.json").read_text())
    for name, table in [("movie_jpeg_fragmented", True), ("movie_jpeg_fragmented_no_offset_table", False)]:
        ds = pydicom.dcmread(HERE / "movie_jpeg_baseline.dcm")
        frames = list(generate_fragments(ds.PixelData))[1:]
        pieces = [[f[:100], f[100:200], f[200:]] for f in frames]
        ds.PixelData = encapsulate_pieces(pieces, table)
        ds["PixelData"].is_undefined_length = True
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid(name)
        write(name, ds)
        (HERE / f"{name}.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")

    # ---- Refused by name.
    ds = copy.deepcopy(pydicom.dcmread(HERE / "rgb_by_pixel.dcm"))
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.92")
    ds.PixelData = encapsulate([bytes.fromhex("FF4FFF51") + bytes(60)])
    ds["PixelData"].is_undefined_length = True
    write("refused_jpeg2000_part_2", ds)
    streams()
    videos()
    ds = copy.deepcopy(pydicom.dcmread(HERE / "mr_unsigned_12bit.dcm"))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.3"
    write("refused_enhanced_mr_color", ds)

    # ---- Text.
    for name, charset, description in [
        ("text_latin1", "ISO_IR 100", "C\u0153ur \u00e9tude".replace("\u0153", "oe")),
        ("text_utf8", "ISO_IR 192", "Herz \u2665 \u5fc3\u81d3"),
        ("text_japanese", ["", "ISO 2022 IR 87"], "\u5fc3\u81d3 MR"),
        ("text_cyrillic", "ISO_IR 144", "\u0421\u0435\u0440\u0434\u0446\u0435"),
    ]:
        ds = pixels(instance(name, MR), twelve[:2, :2].astype("<u2"), 16, 12)
        ds.SpecificCharacterSet = charset
        ds.StudyDescription = description
        write(name, ds)
        (HERE / f"{name}.json").write_text(json.dumps({"studyDescription": description}) + "\n")


def streams():
    """JPEG 2000, HTJ2K, deflated and uncompressed frames in fragments, and streams and offset tables that are wrong."""
    import imagecodecs
    from PIL import Image

    def encoded(name, source, syntax, frames, photometric=None, table=None, pieces=1):
        """Puts compressed frames into a copy of an uncompressed fixture."""
        ds = pydicom.dcmread(HERE / f"{source}.dcm")
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid(name)
        ds.PhotometricInterpretation = photometric or ds.PhotometricInterpretation
        size = [-(-len(f) // pieces // 2) * 2 for f in frames]
        ds.PixelData = encapsulate_pieces(
            [[f[i:i + n] for i in range(0, len(f), n)] for f, n in zip(frames, size)], table)
        ds["PixelData"].is_undefined_length, ds["PixelData"].VR = True, "OB"
        return ds

    def expected(name, source, tolerance=0.0):
        value = json.loads((HERE / f"{source}.json").read_text())
        value["tolerance"] = tolerance
        (HERE / f"{name}.json").write_text(json.dumps(value, separators=(",", ":")) + "\n")

    def array(source):
        return pydicom.dcmread(HERE / f"{source}.dcm").pixel_array

    lossless, either = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
    def jpeg2000(array, **options):
        # Images this small have room for few levels.
        options = {"level": 0, "reversible": True, "codecformat": "j2k", "mct": array.ndim == 3, **options}
        return imagecodecs.jpeg2k_encode(array, resolutions=3, **options)

    for name, source, bits, photometric in [
        ("ct_jpeg2000_lossless", "ct_explicit_little_endian", 12, None),
        ("mr_jpeg2000_16bit", "mr_unsigned_16bit", 16, None),
        ("rgb_jpeg2000_lossless", "rgb_by_pixel", 8, "YBR_RCT"),
    ]:
        write(name, encoded(name, source, lossless, [jpeg2000(array(source), bitspersample=bits)], photometric))
        expected(name, source)
    # Boxes around the codestream, and signed pixels in a stream that says they are not.
    boxes = jpeg2000(array("rgb_by_pixel"), codecformat="jp2")
    write("rgb_jpeg2000_boxes", encoded("rgb_jpeg2000_boxes", "rgb_by_pixel", lossless, [boxes], "YBR_RCT"))
    expected("rgb_jpeg2000_boxes", "rgb_by_pixel")
    twelve = (array("ct_explicit_little_endian") & 0xFFF).astype("u2")
    unsigned = jpeg2000(twelve, bitspersample=12)
    write("ct_jpeg2000_unsigned", encoded("ct_jpeg2000_unsigned", "ct_explicit_little_endian", lossless, [unsigned]))
    expected("ct_jpeg2000_unsigned", "ct_explicit_little_endian")

    lossy = jpeg2000(array("rgb_by_pixel"), level=40, reversible=False)
    write("rgb_jpeg2000_lossy", encoded("rgb_jpeg2000_lossy", "rgb_by_pixel", either, [lossy], "YBR_ICT"))
    remember("rgb_jpeg2000_lossy", as_frames(imagecodecs.jpeg2k_decode(lossy), 3), 1)
    movie = [jpeg2000(f) for f in array("movie_rgb")]
    # The entries of the basic offset table do not lead to the frames.
    name = "movie_jpeg2000_wrong_table"
    write(name, encoded(name, "movie_rgb", lossless, movie, "YBR_RCT", table=[0, 4, 8], pieces=2))
    expected(name, "movie_rgb")
    name = "movie_rle_extended_table"
    rle = list(generate_fragments(pydicom.dcmread(HERE / "movie_rle.dcm").PixelData))[1:]
    ds = encoded(name, "movie_rgb", "1.2.840.10008.1.2.5", rle, table=[0, 2, 4], pieces=2)
    offsets, position = [], 0
    for f in rle:
        half = -(-len(f) // 2 // 2) * 2
        offsets.append(position)
        position += sum(8 + len(f[i:i + half]) + len(f[i:i + half]) % 2 for i in range(0, len(f), half))
    ds.add_new(0x7FE00001, "OV", b"".join(o.to_bytes(8, "little") for o in offsets))
    ds.add_new(0x7FE00002, "OV", b"".join(len(f).to_bytes(8, "little") for f in rle))
    write(name, ds)
    expected(name, "movie_rgb")

    signed = imagecodecs.htj2k_encode(array("ct_explicit_little_endian"), reversible=True, resolutions=3)
    write("ct_htj2k_lossless", encoded(
        "ct_htj2k_lossless", "ct_explicit_little_endian", "1.2.840.10008.1.2.4.201", [signed]))
    expected("ct_htj2k_lossless", "ct_explicit_little_endian")
    rgb = imagecodecs.htj2k_encode(array("rgb_by_pixel"), reversible=True, rgb=True, resolutions=3)
    write("rgb_htj2k_rpcl", encoded("rgb_htj2k_rpcl", "rgb_by_pixel", "1.2.840.10008.1.2.4.202", [rgb], "YBR_RCT"))
    expected("rgb_htj2k_rpcl", "rgb_by_pixel")
    lossy = imagecodecs.htj2k_encode(array("rgb_by_pixel"), level=0.02, reversible=False, rgb=True, resolutions=3)
    write("rgb_htj2k_lossy", encoded("rgb_htj2k_lossy", "rgb_by_pixel", "1.2.840.10008.1.2.4.203", [lossy], "YBR_ICT"))
    remember("rgb_htj2k_lossy", as_frames(imagecodecs.htj2k_decode(lossy), 3), 1)

    plain = [f.tobytes() for f in array("movie_rgb")]
    deflate = lambda raw: (lambda c: c.compress(raw) + c.flush())(zlib.compressobj(9, zlib.DEFLATED, -15))
    write("movie_deflated", encoded("movie_deflated", "movie_rgb", lossless, [deflate(f) for f in plain]))
    # pydicom does not know the syntax, and therefore does not write it.
    path = HERE / "movie_deflated.dcm"
    path.write_bytes(path.read_bytes().replace(lossless.encode(), b"1.2.840.10008.1.2.8.1\0", 1))
    expected("movie_deflated", "movie_rgb")
    name = "movie_encapsulated_uncompressed"
    write(name, encoded(name, "movie_rgb", "1.2.840.10008.1.2.1.98", plain))
    expected(name, "movie_rgb")

    # A JPEG of 64 x 48 pixels that ends in the middle, without an end marker.
    big = np.moveaxis(gradient(10, (3, 64, 48), 0, 255), 0, -1).astype("u1")
    file = io.BytesIO()
    Image.fromarray(big).save(file, "JPEG", quality=90, subsampling=0)
    half = file.getvalue()[:len(file.getvalue()) * 2 // 3 // 2 * 2]
    name = "rgb_jpeg_cut_off"
    ds = pixels(instance(name, ES), big, 8, 8, photometric="YBR_FULL_422")
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.50")
    ds.PixelData, ds["PixelData"].is_undefined_length = encapsulate([half]), True
    write(name, ds)
    remember(name, as_frames(np.asarray(Image.open(io.BytesIO(half + b"\xff\xd9"))), 3), 2)
    # The same image as JPEG 2000, cut off in its last third.
    whole = jpeg2000(big)
    name = "rgb_jpeg2000_cut_off"
    ds = pixels(instance(name, ES), big, 8, 8, photometric="YBR_RCT")
    ds.file_meta.TransferSyntaxUID = UID(lossless)
    ds.PixelData, ds["PixelData"].is_undefined_length = encapsulate([whole[:len(whole) * 2 // 3 // 2 * 2]]), True
    write(name, ds)


VIDEO_FRAMES, VIDEO_RATE = 12, 25


def video_frame(index):
    """Frame `index` from 0: a colour of its own, and a white square that moves by 4 pixels."""
    frame = np.zeros((48, 64, 3), "u1")
    frame[:] = [15 + 18 * index, 220 - 16 * index, 90]
    frame[16:32, 4 * index:4 * index + 16] = 255
    return frame


def videos():
    """One clip in every codec and in several containers; needs ffmpeg with libx264 and libx265."""
    raw = b"".join(video_frame(i).tobytes() for i in range(VIDEO_FRAMES))
    x265 = ["-c:v", "libx265", "-x265-params", "log-level=none:bframes=2", "-crf", "8"]
    x264 = ["-c:v", "libx264", "-crf", "8", "-bf", "2"]
    mpeg2 = ["-c:v", "mpeg2video", "-q:v", "2", "-bf", "2"]
    clips = [
        ("mpeg2_elementary", "100", mpeg2, "mpeg2video", 1, {}),
        ("mpeg2_program", "101", mpeg2, "vob", 1, {}),
        ("mpeg2_transport_fragmented", "101.1", mpeg2, "mpegts", 3, {}),
        ("h264_mp4", "102", x264, "mp4", 1, {}),
        ("h264_elementary_fragmented", "103.1", x264, "h264", 4, {}),
        ("h264_transport", "104", x264, "mpegts", 1, {}),
        ("hevc_elementary", "107", x265, "hevc", 1, {}),
        ("hevc_mp4_10bit", "108", x265 + ["-pix_fmt", "yuv420p10le"], "mp4", 1, {}),
        # Attributes that are wrong.
        ("h264_too_few_frames", "102", x264, "mp4", 1, {"NumberOfFrames": VIDEO_FRAMES + 8}),
        ("h264_wrong_rate", "102", x264, "mp4", 1, {"CineRate": 50, "FrameTime": 20}),
    ]
    for name, syntax, codec, container, pieces, changes in clips:
        depth = [] if "-pix_fmt" in codec else ["-pix_fmt", "yuv420p"]
        with tempfile.TemporaryDirectory() as folder:
            clip = pathlib.Path(folder) / "clip"
            subprocess.run(
                ["ffmpeg", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r",
                 str(VIDEO_RATE), "-i", "-", *codec, *depth, "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v",
                 "+bitexact", "-f", container, str(clip)], input=raw, check=True, timeout=60)
            stream = clip.read_bytes()
        ds = instance("video_" + name, VIDEO, f"1.2.840.10008.1.2.4.{syntax}")
        pixels(ds, np.zeros((48, 64, 3), "u1"), 8, 8, photometric="YBR_PARTIAL_420")
        ds.NumberOfFrames, ds.CineRate, ds.FrameTime = VIDEO_FRAMES, VIDEO_RATE, 1000 / VIDEO_RATE
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
        size = -(-len(stream) // pieces // 2) * 2
        ds.PixelData = encapsulate_pieces([[stream[i:i + size] for i in range(0, len(stream), size)]], None)
        ds["PixelData"].is_undefined_length = True
        write("video_" + name, ds)


def encapsulate_pieces(frames, table):
    """Fragments of several frames, and the basic offset table (PS3.5 A.4): true, none, or with these numbers."""
    body, offsets = b"", []
    for pieces in frames:
        offsets.append(len(body))
        for piece in pieces:
            piece += bytes(len(piece) % 2)
            body += b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece
    offsets = table if isinstance(table, list) else offsets if table else []
    entries = b"".join(o.to_bytes(4, "little") for o in offsets)
    return b"\xfe\xff\x00\xe0" + len(entries).to_bytes(4, "little") + entries + body


if __name__ == "__main__":
    main()
