// SPDX-License-Identifier: Apache-2.0
//
// Reads Part 10 files in Explicit or Implicit VR Little Endian (PS3.5 7), as a second opinion on Kontur's writer.
// Left out: other transfer syntaxes, except that the fragments of encapsulated pixels are found.

const UNDEFINED = 0xffffffff;
const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const ITEM = 0xfffee000, ITEM_END = 0xfffee00d, SEQUENCE_END = 0xfffee0dd, PIXEL_DATA = 0x7fe00010;
const IMPLICIT = "1.2.840.10008.1.2";

// The attributes that the rules read: keyword -> tag. Implicit VR needs to know which of them are sequences.
export const TAGS = {
  TransferSyntaxUID: 0x00020010, SOPClassUID: 0x00080016, SOPInstanceUID: 0x00080018, Modality: 0x00080060,
  ReferencedSeriesSequence: 0x00081115, ReferencedSOPInstanceUID: 0x00081155, ReferencedFrameNumber: 0x00081160,
  SourceImageSequence: 0x00082112, DerivationImageSequence: 0x00089124, SliceThickness: 0x00180050,
  SpacingBetweenSlices: 0x00180088, SeriesInstanceUID: 0x0020000e, InstanceNumber: 0x00200013,
  ImagePositionPatient: 0x00200032, ImageOrientationPatient: 0x00200037, FrameOfReferenceUID: 0x00200052,
  PlanePositionSequence: 0x00209113, PlaneOrientationSequence: 0x00209116, SamplesPerPixel: 0x00280002,
  PhotometricInterpretation: 0x00280004, NumberOfFrames: 0x00280008, Rows: 0x00280010, Columns: 0x00280011,
  PixelSpacing: 0x00280030, BitsAllocated: 0x00280100, PixelMeasuresSequence: 0x00289110,
  SpatialLocationsPreserved: 0x0028135a, SegmentationType: 0x00620001, SegmentSequence: 0x00620002,
  SegmentNumber: 0x00620004, SegmentLabel: 0x00620005, SegmentDescription: 0x00620006,
  SegmentIdentificationSequence: 0x0062000a, ReferencedSegmentNumber: 0x0062000b,
  RecommendedDisplayCIELabValue: 0x0062000d, MaximumFractionalValue: 0x0062000e,
  SharedFunctionalGroupsSequence: 0x52009229, PerFrameFunctionalGroupsSequence: 0x52009230, PixelData: PIXEL_DATA,
};
const SEQUENCES = new Set(Object.keys(TAGS).filter((keyword) => keyword.endsWith("Sequence")).map((key) => TAGS[key]));

/** A data set or an item: elements by tag, with values by keyword. */
export class DataSet {
  constructor() { this.elements = new Map(); }

  bytes(keyword) { return this.elements.get(TAGS[keyword])?.value; }

  /** The values of a text attribute; an empty list if it is absent or empty. */
  strings(keyword) {
    const value = this.bytes(keyword);
    if (!value?.length) return [];
    return new TextDecoder("latin1").decode(value).split("\\").map((text) => text.replace(/[ \0]+$/, "").trim());
  }

  string(keyword) { return this.strings(keyword)[0] || undefined; }

  /** Numbers of a Decimal or Integer String; `undefined` if the attribute is absent or empty. */
  numbers(keyword) {
    const texts = this.strings(keyword);
    return texts.length ? texts.map(Number) : undefined;
  }

  /** The numbers of a VR US attribute. */
  shorts(keyword) {
    const value = this.bytes(keyword);
    if (!value?.length) return undefined;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    return Array.from({ length: value.length >> 1 }, (_, index) => view.getUint16(2 * index, true));
  }

  short(keyword) { return this.shorts(keyword)?.[0]; }

  items(keyword) { return this.elements.get(TAGS[keyword])?.items ?? []; }

  item(keyword) { return this.items(keyword)[0]; }
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  tag(at) { return this.view.getUint16(at, true) * 0x10000 + this.view.getUint16(at + 2, true); }

  /** Reads elements up to `end`, or to the end of an item of undefined length. Returns the data set and its end. */
  dataSet(at, end, explicit) {
    const found = new DataSet();
    while (at + 8 <= end) {
      const tag = this.tag(at);
      if (tag === ITEM_END) return [found, at + 8];
      // Group 2 is always in Explicit VR.
      const isExplicit = explicit || tag < 0x00030000;
      const vr = isExplicit ? String.fromCharCode(this.bytes[at + 4], this.bytes[at + 5]) : "";
      const isLong = !isExplicit || LONG.has(vr);
      const length = isExplicit && !isLong ? this.view.getUint16(at + 6, true)
        : this.view.getUint32(at + (isExplicit ? 8 : 4), true);
      at += isExplicit && isLong ? 12 : 8;
      if (vr === "SQ" || SEQUENCES.has(tag) || (length === UNDEFINED && tag !== PIXEL_DATA)) {
        const [items, next] = this.items(at, length === UNDEFINED ? end : at + length, explicit);
        found.elements.set(tag, { items });
        at = next;
      } else if (length === UNDEFINED) {
        const [fragments, next] = this.fragments(at, end);
        found.elements.set(tag, { fragments });
        at = next;
      } else {
        if (at + length > end) throw new Error(`element ${tag.toString(16)} reaches past the end of its data set`);
        found.elements.set(tag, { value: this.bytes.subarray(at, at + length) });
        at += length;
      }
    }
    return [found, at];
  }

  items(at, end, explicit) {
    const found = [];
    while (at + 8 <= end) {
      const tag = this.tag(at), length = this.view.getUint32(at + 4, true);
      at += 8;
      if (tag === SEQUENCE_END) return [found, at];
      if (tag !== ITEM) throw new Error(`found ${tag.toString(16)} where an item should begin`);
      const [item, next] = this.dataSet(at, length === UNDEFINED ? end : at + length, explicit);
      found.push(item);
      at = next;
    }
    return [found, at];
  }

  fragments(at, end) {
    const found = [];
    while (at + 8 <= end) {
      const tag = this.tag(at), length = this.view.getUint32(at + 4, true);
      at += 8;
      if (tag === SEQUENCE_END) break;
      found.push(this.bytes.subarray(at, at + length));
      at += length;
    }
    return [found, at];
  }
}

/** Reads a Part 10 file from a `Uint8Array`. The attributes of group 2 are in the data set, too. */
export function read(bytes) {
  if (new TextDecoder().decode(bytes.subarray(128, 132)) !== "DICM") throw new Error("the DICM prefix is missing");
  const reader = new Reader(bytes);
  const end = 144 + reader.view.getUint32(140, true);
  const [meta] = reader.dataSet(132, end, true);
  const [data] = reader.dataSet(end, bytes.length, meta.string("TransferSyntaxUID") !== IMPLICIT);
  for (const [tag, element] of meta.elements) data.elements.set(tag, element);
  return data;
}
