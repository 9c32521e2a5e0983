// SPDX-License-Identifier: Apache-2.0
//
// Where three viewers draw the masks of a SEG, decided from the attributes alone. Each rule follows a viewer's source:
//
//   OHIF    cornerstonejs/cornerstone3D 7034957, packages/adapters: labelmapImagesFromBuffer.ts, Segmentation_4X.js
//   Weasis  nroduit/Weasis 4.7.2: SegSpecialElement, SpecialElementRegion, SegmentationVolumeBuilder
//   dwv     ivmartel/dwv 0.36: maskFactory.js, geometry.js
//
// A rule gets a `Segmentation` and the `SourceImage`s that are open. It returns `drawn`, a list of { image, frame (of
// the image, from 1), mask }, and `reason`, the words for masks that are not drawn. Left out: turned and oblique
// planes, for which a rule gives a reason.

import { LABEL_MAP, SEGMENTATION } from "./objects.js";

const AXIAL = [1, 0, 0, 0, 1, 0];
const isNear = (a, b, tolerance) =>
  Boolean(a && b) && a.length === b.length && a.every((value, index) => Math.abs(value - b[index]) <= tolerance);
const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
const normal = ([a, b, c, d, e, f]) => [b * f - c * e, c * d - a * f, a * e - b * d];

class Drawing {
  constructor() {
    this.drawn = new Map();
    this.reason = "";
  }

  /** Adds a mask. Masks of one image add up. */
  add(image, frame, mask) {
    const key = `${image.uid} ${frame}`, before = this.drawn.get(key);
    this.drawn.set(key, { image, frame, mask: before ? mask.map((one, index) => one | before.mask[index]) : mask });
  }

  end(reason = this.reason) { return { drawn: [...this.drawn.values()], reason }; }
}

/** OHIF: by Derivation Image, else by position; the plane has to have an orientation. */
export function ohif(seg, images) {
  const drawing = new Drawing();
  if (!seg.series.length) return drawing.end("the Referenced Series Sequence is missing");
  const stack = images.filter((image) => image.series === seg.series[0]);
  if (!stack.length) return drawing.end("the first referenced series is not open");
  const orientation = seg.sharedOrientation ?? seg.frames[0]?.orientation;
  if (!orientation) return drawing.end("the Plane Orientation Sequence is missing");
  // OHIF gives an image without an orientation the axial one.
  if (!isNear(orientation, stack[0].orientation ?? AXIAL, 1e-3)) return drawing.end("the planes are turned or oblique");
  for (const frame of seg.frames) {
    const values = seg.values(frame.index);
    if (seg.type === "FRACTIONAL" && values.some((value) => value !== 0 && value !== seg.maximum)) {
      return new Drawing().end("fractional segmentations are not supported");
    }
    if (!seg.isLabelMap && frame.segment === undefined) return new Drawing().end("a frame does not name its segment");
    const isThere = (one) =>
      one.frameOfReference === seg.frameOfReference && isNear(one.position, frame.position, 1e-3);
    const image = stack.find((one) => one.uid === frame.source) ?? stack.find(isThere);
    if (!image) {
      drawing.reason = "a frame does not belong to any image, and is left out";
      continue;
    }
    if (image.rows !== seg.rows || image.columns !== seg.columns) return new Drawing().end("the sizes differ");
    drawing.add(image, frame.sourceFrame ?? 1, seg.mask(frame.index));
  }
  return drawing.end();
}

/** Weasis: by a volume that is built of all frames with a position, else by SOP Instance UID. */
export function weasis(seg, images) {
  const drawing = new Drawing();
  const frames = seg.frames.filter((frame) => seg.isLabelMap || frame.segment !== undefined);
  if (frames.length < seg.frames.length) drawing.reason = "a frame does not name its segment";
  const planes = frames.filter((frame) => frame.position && (frame.orientation ?? seg.sharedOrientation));
  if (planes.length) {
    weasisVolume(seg, planes, images, drawing);
    return drawing.end();
  }
  for (const frame of frames) {
    if (frame.isPreserved === "NO") {
      drawing.reason = "Spatial Locations Preserved is NO, and there is no position";
      continue;
    }
    const image = images.find((one) => one.uid === frame.source && seg.series.includes(one.series));
    if (image) drawing.add(image, frame.sourceFrame ?? 1, seg.mask(frame.index));
    else drawing.reason = "a frame does not name an image of a referenced series";
  }
  return drawing.end();
}

/** Cuts Weasis's volume at the planes of the images. */
function weasisVolume(seg, planes, images, drawing) {
  const orientation = planes[0].orientation ?? seg.sharedOrientation, axis = normal(orientation);
  const places = planes.map((frame) => dot(axis, frame.position)), first = Math.min(...places);
  const gaps = [...places].sort((a, b) => a - b).map((place, index, all) => place - all[index - 1]).slice(1)
    .filter((gap) => gap > 1e-4).sort((a, b) => a - b);
  const spacing = gaps[gaps.length >> 1] ?? seg.sliceSpacing ?? 1;
  const stamped = new Map();
  planes.forEach((frame, index) => {
    const slice = Math.round((places[index] - first) / spacing), mask = seg.mask(frame.index);
    const before = stamped.get(slice);
    stamped.set(slice, { frame, mask: before ? mask.map((one, at) => one | before.mask[at]) : mask });
  });
  for (const image of images) {
    if (!image.position || !image.orientation) {
      drawing.reason = "the frames have positions, and an image has none";
      continue;
    }
    const slice = stamped.get(Math.round((dot(axis, image.position) - first) / spacing));
    if (!slice) continue;
    const shift = image.position.map((value, index) => value - slice.frame.position[index]);
    const isAligned = isNear(image.orientation, orientation, 1e-3)
      && Math.abs(dot(shift, orientation.slice(0, 3))) < 0.05 && Math.abs(dot(shift, orientation.slice(3))) < 0.05;
    if (isAligned) drawing.add(image, 1, slice.mask);
    else drawing.reason = "the planes are turned or oblique";
  }
}

/** dwv: by position only, and only for SEGs of the type BINARY. */
export function dwv(seg, images) {
  const drawing = new Drawing();
  if (seg.sopClass !== SEGMENTATION) return drawing.end("the SOP class is not supported");
  if (seg.type !== "BINARY") return drawing.end("the Segmentation Type is not supported");
  const origins = images.map((image) => image.position ?? [0, 0, 0]);
  const isDoubled = origins.some((one, index) => origins.findIndex((other) => isNear(one, other, 1e-6)) < index);
  if (isDoubled) return drawing.end("several images have one position, and cannot be open together");
  if (images.some((image) => image.frames > 1)) return drawing.end("a multi-frame image has one position");
  if (seg.frames.some((frame) => !frame.position)) return drawing.end("the Plane Position Sequence is missing");
  const orientation = seg.frames[0].orientation ?? seg.sharedOrientation;
  if (!orientation) return drawing.end("the Plane Orientation Sequence is missing");
  for (const frame of seg.frames) {
    const image = images[origins.findIndex((origin) => isNear(origin, frame.position, 1e-4))];
    if (!image) return new Drawing().end("a frame has a position that is not the position of an image");
    drawing.add(image, 1, seg.mask(frame.index));
  }
  return drawing.end();
}

/** The rules by the name of the viewer. */
export const RULES = { OHIF: ohif, Weasis: weasis, dwv };

/** Whether a data set is a SEG or a label map. */
export const isSegmentation = (data) => [SEGMENTATION, LABEL_MAP].includes(data.string("SOPClassUID"));
