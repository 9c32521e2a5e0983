# SPDX-License-Identifier: Apache-2.0
"""Writes the sample studies beside this file: python samples-dicom/generate.py

Pictures come from training/data/scenes.py, everything else is written here. Seeds, dates and UIDs are fixed, so a second run
gives the same files (JPEG bytes depend on Pillow's libjpeg). UIDs are 2.25 and a hash of the object's name.
"""
import hashlib
import io
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, MRImageStorage,
                         VLEndoscopicImageStorage)

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
from training.data import scenes  # noqa: E402

# File, (rows, columns), seed of the scene, polyps, JPEG quality or None for uncompressed RGB.
FRAMES = [
    ("frame-1-jpeg", (331, 357), 11, 1, 90),
    ("frame-2-rgb", (331, 357), 12, 1, None),
    ("frame-3-jpeg-no-polyp", (331, 357), 13, 0, 90),
    ("frame-4-jpeg-two-polyps", (331, 357), 14, 2, 75),
    ("frame-5-rgb-small", (203, 251), 15, 1, None),
    ("frame-6-jpeg-large", (539, 621), 16, 1, 85),
]
LGE_SEED = 21
LGE_SPACING = (2.5, 1.25, 1.25)  # slices, rows, columns in mm
LGE_FIELD = (65.0, 105.0, 140.0)
TILT = (14.0, -9.0)  # degrees about the patient's left-right and feet-head axes


def uid(name):
    return "2.25." + str(int.from_bytes(hashlib.sha256(f"kontur samples {name}".encode()).digest()[:15], "big"))


def instance(sop_class, name, study, series_number, number, transfer_syntax=ExplicitVRLittleEndian):
    """A data set with the patient, study, series, equipment and SOP common attributes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid(name)
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = uid("implementation")
    meta.ImplementationVersionName = "KONTUR_SAMPLES"
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid(name)
    ds.PatientName, ds.PatientID = study["patient"], study["id"]
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyInstanceUID, ds.StudyDescription = uid(study["id"]), study["description"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = study["date"]
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101500"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.SeriesInstanceUID, ds.SeriesNumber = uid(f"{study['id']} series {series_number}"), series_number
    ds.InstanceNumber = number
    ds.Manufacturer, ds.ManufacturerModelName = "Kontur samples", "scenes.py"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"
    return ds


def pixels(ds, array, bits=None):
    ds.Rows, ds.Columns = array.shape[:2]
    ds.SamplesPerPixel = array.shape[2] if array.ndim == 3 else 1
    ds.BitsAllocated = array.dtype.itemsize * 8
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(array.dtype.kind == "i")
    if array.ndim == 3:
        ds.PlanarConfiguration = 0
    body = array.tobytes()
    ds.PixelData = body + b"\0" * (len(body) % 2)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"


def colonoscopy(folder, truth):
    study = {"patient": "SYNTHETIC^COLON", "id": "SYN-0001", "description": "Colonoscopy, synthetic", "date": "20260105"}
    for number, (name, size, seed, polyps, quality) in enumerate(FRAMES, 1):
        image, mask = scenes.colonoscopy(np.random.default_rng(seed), size, polyps)
        ds = instance(VLEndoscopicImageStorage, name, study, 1, number,
                      JPEGBaseline8Bit if quality else ExplicitVRLittleEndian)
        ds.Modality, ds.SeriesDescription = "ES", "Withdrawal, synthetic"
        ds.BodyPartExamined, ds.ImageType = "COLON", ["ORIGINAL", "PRIMARY"]
        ds.PatientOrientation = ""
        ds.AcquisitionContextSequence = []
        pixels(ds, image)
        ds.PhotometricInterpretation = "RGB"
        ds.LossyImageCompression = "00"
        if quality:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=1)  # 4:2:2
            ds.PhotometricInterpretation = "YBR_FULL_422"
            ds.LossyImageCompression = "01"
            ds.LossyImageCompressionRatio = f"{image.nbytes / file.tell():.2f}"
            ds.LossyImageCompressionMethod = "ISO_10918_1"
            ds.PixelData = encapsulate([file.getvalue()])
            ds["PixelData"].is_undefined_length = True
        ds.save_as(folder / f"{name}.dcm", enforce_file_format=True)
        Image.fromarray(mask).save(truth / f"{name}.png")


def directions():
    """Unit vectors of increasing column, row and slice in LPS: an axial stack, tilted twice."""
    a, b = np.deg2rad(TILT)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return (about_z @ about_x).T


def decimal(values):
    return [f"{value:.8g}" for value in values]


def late_enhancement(folder, truth):
    study = {"patient": "SYNTHETIC^ATRIUM", "id": "SYN-0002", "description": "Cardiac MRI with contrast, synthetic",
             "date": "20260106"}
    volume, mask = scenes.left_atrium(np.random.default_rng(LGE_SEED), LGE_SPACING, LGE_FIELD)
    volume = np.clip(volume * 18, 0, 65535).astype(np.uint16)
    np.savez_compressed(truth / "lge.npz", mask=np.packbits(mask), shape=mask.shape)
    column, row, normal = directions()
    half = (np.array(volume.shape) - 1) / 2 * LGE_SPACING
    corner = np.array([3.0, -12.0, 40.0]) - half[0] * normal - half[1] * row - half[2] * column
    order = np.random.default_rng(5).permutation(len(volume))  # position k is sent as instance order[k] + 1
    for k, plane in enumerate(volume):
        number = int(order[k]) + 1
        ds = instance(MRImageStorage, f"lge {number}", study, 4, number)
        ds.Modality, ds.SeriesDescription, ds.BodyPartExamined = "MR", "LGE PSIR 3D synthetic", "HEART"
        ds.ProtocolName, ds.PatientPosition = "3D_LGE_SYNTHETIC", "HFS"
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("lge frame of reference"), ""
        ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = ["GR", "IR"], ["SP", "MP"], ""
        ds.MRAcquisitionType, ds.AcquisitionNumber = "3D", 1
        ds.RepetitionTime, ds.EchoTime, ds.InversionTime, ds.EchoTrainLength = "5.2", "2.4", "270", 1
        ds.MagneticFieldStrength, ds.ContrastBolusAgent = "1.5", "none: synthetic"
        ds.SliceThickness = ds.SpacingBetweenSlices = f"{LGE_SPACING[0]:g}"
        ds.PixelSpacing = [f"{s:g}" for s in LGE_SPACING[1:]]
        ds.ImageOrientationPatient = decimal([*column, *row])
        ds.ImagePositionPatient = decimal(corner + k * LGE_SPACING[0] * normal)
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.WindowCenter, ds.WindowWidth = "8000", "16000"
        pixels(ds, plane)
        ds.save_as(folder / f"slice-{number:02d}.dcm", enforce_file_format=True)


def unrouted(folder):
    """Three CT slices of a water cylinder with a rod: no route of the default configuration takes CT."""
    study = {"patient": "SYNTHETIC^PHANTOM", "id": "SYN-0003", "description": "CT phantom, synthetic", "date": "20260107"}
    y, x = np.mgrid[-48:48, -48:48] * 2.0
    noise = np.random.default_rng(31)
    for k in range(3):
        image = np.where(np.hypot(y, x) < 80, 0.0, -1000.0) + noise.normal(0, 12, y.shape)
        image[np.hypot(y + 20, x - 25) < 12] += 300
        ds = instance(CTImageStorage, f"ct {k}", study, 1, k + 1)
        ds.Modality, ds.SeriesDescription, ds.BodyPartExamined = "CT", "Water phantom", "CHEST"
        ds.ImageType, ds.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS"
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("ct frame of reference"), ""
        ds.AcquisitionNumber, ds.KVP, ds.SliceThickness = 1, "120", "5"
        ds.PixelSpacing, ds.ImageOrientationPatient = ["2", "2"], ["1", "0", "0", "0", "1", "0"]
        ds.ImagePositionPatient = decimal([-96, -96, 5.0 * k])
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
        ds.PhotometricInterpretation = "MONOCHROME2"
        pixels(ds, np.clip(image + 1024, 0, 4095).astype(np.uint16), bits=12)
        ds.save_as(folder / f"ct-{k + 1}.dcm", enforce_file_format=True)


def main():
    folders = {name: HERE / name for name in ("colonoscopy", "lge", "unrouted", "truth")}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    colonoscopy(folders["colonoscopy"], folders["truth"])
    late_enhancement(folders["lge"], folders["truth"])
    unrouted(folders["unrouted"])


if __name__ == "__main__":
    main()
