#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the images of labelled cases into DICOM studies.

`left_atrium` writes a volume [slice, row, column] as an MR series. `colonoscopy` writes JPEG frames as VL Endoscopic
Images. The pixels are those of the case. Patients, dates and places are invented.
"""

import os

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
VL_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"


def _base(sop_class, study, series, name, modality, syntax):
    """A data set with the patient, study, series and SOP common attributes, and a new SOP Instance UID."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(None)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.PatientName, data.PatientID = f"Case^{name}", name
    data.PatientBirthDate, data.PatientSex = "", "O"
    data.StudyDate = data.SeriesDate = data.ContentDate = data.AcquisitionDate = "20240115"
    data.StudyTime = data.SeriesTime = data.ContentTime = data.AcquisitionTime = "101500"
    data.AccessionNumber, data.ReferringPhysicianName, data.StudyID = "", "", "1"
    data.Manufacturer, data.Modality, data.SeriesNumber = "TESTVENDOR", modality, 1
    return data


def left_atrium(folder, name, image, description="3D LGE PSIR LA", spacing=0.625, slices=None, slope=None):
    """Writes an MR series. Returns its UIDs and those of its instances, slice 0 (the most inferior) first.

    `slices` repeats the image up to this number of slices. `slope` is the Rescale Slope, with an intercept of 0.
    """
    os.makedirs(folder, exist_ok=True)
    study, series, reference = generate_uid(None), generate_uid(None), generate_uid(None)
    uids = []
    for index in range(len(image) if slices is None else slices):
        data = _base(MR_IMAGE, study, series, name, "MR", ExplicitVRLittleEndian)
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "IR"]
        data.StudyDescription, data.SeriesDescription = "CARDIAC MRI", description
        data.ScanningSequence, data.SequenceVariant, data.ScanOptions = ["GR", "IR"], ["SP", "MP"], ""
        data.MRAcquisitionType, data.BodyPartExamined = "3D", "HEART"
        data.RepetitionTime, data.EchoTime, data.EchoTrainLength, data.InversionTime = "5.2", "2.4", "1", "270"
        data.SliceThickness = data.SpacingBetweenSlices = str(spacing)
        data.PatientPosition, data.PositionReferenceIndicator = "HFS", ""
        data.FrameOfReferenceUID, data.InstanceNumber = reference, index + 1
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = ["-60.0", "-80.0", f"{index * spacing:.4f}"]
        data.PixelSpacing = [str(spacing), str(spacing)]
        data.Rows, data.Columns = image.shape[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        if slope is not None:
            data.RescaleSlope, data.RescaleIntercept, data.RescaleType = slope, "0", "US"
        data.PixelData = image[index % len(image)].astype("<u2").tobytes()
        uids.append(data.SOPInstanceUID)
        data.save_as(os.path.join(folder, f"{index + 1:04}.dcm"), enforce_file_format=True)
    return {"study": study, "series": series, "instances": uids}


def colonoscopy(folder, name, jpegs, description="Colonoscopy"):
    """Writes JPEG files as one series of VL Endoscopic Images without re-encoding them. Returns its UIDs."""
    os.makedirs(folder, exist_ok=True)
    study, series = generate_uid(None), generate_uid(None)
    uids = []
    for index, path in enumerate(jpegs):
        with open(path, "rb") as file:
            bits = file.read()
        picture = Image.open(path)
        data = _base(VL_ENDOSCOPIC, study, series, name, "ES", JPEGBaseline8Bit)
        data.ImageType = ["ORIGINAL", "PRIMARY"]
        data.StudyDescription, data.SeriesDescription = description, "White light"
        data.AcquisitionContextSequence, data.PatientOrientation, data.Laterality = [], ["L", "F"], ""
        data.InstanceNumber = index + 1
        data.Rows, data.Columns = picture.height, picture.width
        data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
        data.PhotometricInterpretation = "YBR_FULL_422"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.LossyImageCompression, data.LossyImageCompressionMethod = "01", "ISO_10918_1"
        data.LossyImageCompressionRatio = f"{picture.height * picture.width * 3 / len(bits):.2f}"
        data.PixelData = encapsulate([bits])
        data["PixelData"].VR = "OB"
        uids.append(data.SOPInstanceUID)
        data.save_as(os.path.join(folder, f"{index + 1:04}.dcm"), enforce_file_format=True)
    return {"study": study, "series": series, "instances": uids}


def slices(folder, count, rows, columns, description="nothing a route takes", name="SLICES", seed=1):
    """Writes an MR series of noise with this number and size of slices. Returns its UIDs."""
    image = np.random.default_rng(seed).integers(0, 4096, (min(count, 8), rows, columns)).astype(np.uint16)
    return left_atrium(folder, name, image, description, slices=count)


def read_mask(path):
    """A truth picture as booleans. Pixels above 127 belong to the structure, as JPEG blurs masks."""
    return np.asarray(Image.open(path).convert("L")) > 127
