// SPDX-License-Identifier: Apache-2.0
//
// Images and segmentations as the rules see them: the attributes that decide where a mask is drawn, and the masks.

export const SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4";
export const LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7";

/** One image instance. */
export class SourceImage {
  constructor(data) {
    this.data = data;
    this.uid = data.string("SOPInstanceUID");
    this.series = data.string("SeriesInstanceUID");
    this.frameOfReference = data.string("FrameOfReferenceUID");
    this.rows = data.short("Rows");
    this.columns = data.short("Columns");
    this.frames = Number(data.string("NumberOfFrames") ?? 1);
    // Image Position and Orientation (Patient) as numbers; `undefined` if absent.
    this.position = data.numbers("ImagePositionPatient");
    this.orientation = data.numbers("ImageOrientationPatient");
    this.number = Number(data.string("InstanceNumber") ?? 0);
  }
}

/** One SEG or label map. */
export class Segmentation {
  constructor(data) {
    this.data = data;
    this.sopClass = data.string("SOPClassUID");
    this.type = data.string("SegmentationType");
    this.frameOfReference = data.string("FrameOfReferenceUID");
    this.rows = data.short("Rows");
    this.columns = data.short("Columns");
    this.bits = data.short("BitsAllocated");
    this.maximum = data.short("MaximumFractionalValue");
    this.series = data.items("ReferencedSeriesSequence").map((item) => item.string("SeriesInstanceUID"));
    this.segments = data.items("SegmentSequence").map((item) => ({
      number: item.short("SegmentNumber"), label: item.string("SegmentLabel"),
      description: item.string("SegmentDescription"), color: rgb(item.shorts("RecommendedDisplayCIELabValue")),
    }));
    const shared = data.item("SharedFunctionalGroupsSequence");
    const measures = shared?.item("PixelMeasuresSequence");
    this.sharedOrientation = shared?.item("PlaneOrientationSequence")?.numbers("ImageOrientationPatient");
    this.spacing = measures?.numbers("PixelSpacing");
    this.sliceSpacing = (measures?.numbers("SpacingBetweenSlices") ?? measures?.numbers("SliceThickness"))?.[0];
    this.frames = data.items("PerFrameFunctionalGroupsSequence").map((group, index) => {
      const source = group.item("DerivationImageSequence")?.item("SourceImageSequence");
      return {
        index,
        segment: group.item("SegmentIdentificationSequence")?.short("ReferencedSegmentNumber"),
        source: source?.string("ReferencedSOPInstanceUID"),
        sourceFrame: source?.numbers("ReferencedFrameNumber")?.[0],
        isPreserved: source?.string("SpatialLocationsPreserved"),
        position: group.item("PlanePositionSequence")?.numbers("ImagePositionPatient"),
        orientation: group.item("PlaneOrientationSequence")?.numbers("ImageOrientationPatient"),
      };
    });
  }

  get isLabelMap() { return this.type === "LABELMAP"; }

  /** The stored values of a frame: bits follow each other without padding between frames (PS3.5 8.1.1). */
  values(frame) {
    const size = this.rows * this.columns, pixels = this.data.bytes("PixelData"), found = new Uint8Array(size);
    for (let index = 0, at = frame * size; index < size; index++, at++) {
      found[index] = this.bits === 1 ? (pixels[at >> 3] >> (at & 7)) & 1 : pixels[at];
    }
    return found;
  }

  /** The mask of a frame as 0 and 1; a probability of at least a half is 1. */
  mask(frame) {
    const half = this.type === "FRACTIONAL" ? this.maximum / 2 : 0.5;
    return this.values(frame).map((value) => Number(value >= half));
  }
}

/** The sRGB colour, 0...255, of a Recommended Display CIELab Value (PS3.3 C.10.7.1.1): D50, adapted to D65. */
function rgb(lab) {
  if (lab?.length !== 3) return undefined;
  const lightness = (lab[0] / 65535) * 100, a = (lab[1] / 65535) * 255 - 128, b = (lab[2] / 65535) * 255 - 128;
  const y = (lightness + 16) / 116;
  const linear = (t) => (t > 6 / 29 ? t ** 3 : 3 * (6 / 29) ** 2 * (t - 4 / 29));
  const [x3, y3, z3] = [y + a / 500, y, y - b / 200].map(linear);
  const [x, z] = [x3 * 0.9642, z3 * 0.8249];
  return [
    3.1338561 * x - 1.6168667 * y3 - 0.4906146 * z, -0.9787684 * x + 1.9161415 * y3 + 0.033454 * z,
    0.0719453 * x - 0.2289914 * y3 + 1.4052427 * z,
  ].map((channel) => {
    const value = channel <= 0.0031308 ? 12.92 * channel : 1.055 * channel ** (1 / 2.4) - 0.055;
    return Math.round(Math.min(Math.max(value, 0), 1) * 255);
  });
}
