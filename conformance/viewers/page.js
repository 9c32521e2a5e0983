// SPDX-License-Identifier: Apache-2.0
//
// Draws images and the masks of a segmentation, once for each viewer. The files come from the file field, or from the
// address: `?seg=URL&image=URL&image=URL`. Then `&post=URL` asks for a report of the drawn pixels.

import { read } from "./dicom.js";
import { Segmentation, SourceImage } from "./objects.js";
import { RULES, isSegmentation } from "./rules.js";
import { runs } from "./runs.js";

const element = (name, parent, properties = {}) =>
  parent.appendChild(Object.assign(document.createElement(name), properties));

/** Makes a picture of one frame of an image, in grey or colour; black if the page cannot decode its pixels. */
async function picture(image, frame) {
  const canvas = Object.assign(document.createElement("canvas"), { width: image.columns, height: image.rows });
  const { data } = image, context = canvas.getContext("2d");
  const fragments = data.elements.get(0x7fe00010)?.fragments;
  if (fragments) {
    const bitmap = await createImageBitmap(new Blob([fragments[frame] ?? fragments[1]])).catch(() => undefined);
    if (bitmap) context.drawImage(bitmap, 0, 0);
    return canvas;
  }
  const samples = data.short("SamplesPerPixel") ?? 1, bytes = (data.short("BitsAllocated") ?? 8) / 8;
  const size = image.rows * image.columns, pixels = data.bytes("PixelData");
  const view = new DataView(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const start = (frame - 1) * size * samples * bytes;
  const value = (at) => (bytes === 2 ? view.getUint16(start + 2 * at, true) : view.getUint8(start + at));
  let largest = 255;
  if (samples === 1) for (let at = 0; at < size; at++) largest = Math.max(at ? largest : 1, value(at));
  const drawn = context.createImageData(image.columns, image.rows);
  for (let at = 0; at < size; at++) {
    for (let channel = 0; channel < 3; channel++) {
      drawn.data[4 * at + channel] = (value(samples === 3 ? 3 * at + channel : at) / largest) * 255;
    }
    drawn.data[4 * at + 3] = 255;
  }
  context.putImageData(drawn, 0, 0);
  return canvas;
}

/** Draws a mask on a transparent canvas in the colour that the segment recommends. */
function drawMask(canvas, mask, color) {
  const context = canvas.getContext("2d"), drawn = context.createImageData(canvas.width, canvas.height);
  mask.forEach((one, at) => { if (one) drawn.data.set([...color, 255], 4 * at); });
  context.putImageData(drawn, 0, 0);
}

/** Reads the positions of the pixels back that a canvas shows. */
function drawnRuns(canvas) {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return runs(Array.from({ length: pixels.length / 4 }, (_, at) => pixels[4 * at + 3] !== 0));
}

/** Shows all images with the masks of each viewer. Returns the drawn pixels by viewer. */
async function show(files) {
  const sets = files.map(read), found = {};
  const segData = sets.find(isSegmentation);
  const images = sets.filter((data) => !isSegmentation(data) && data.short("Rows")).map((data) => new SourceImage(data))
    .sort((a, b) => a.number - b.number);
  const viewers = document.getElementById("viewers");
  viewers.replaceChildren();
  if (!segData || !images.length) {
    viewers.textContent = "Open at least one image and one segmentation.";
    return found;
  }
  const seg = new Segmentation(segData), segment = seg.segments.find((one) => one.number === 1) ?? {};
  document.getElementById("segments").textContent = `${seg.type}: ${segment.label ?? ""}. ${segment.description ?? ""}`;
  const pictures = new Map();
  for (const [viewer, rule] of Object.entries(RULES)) {
    const { drawn, reason } = rule(seg, images), isComplete = drawn.length === seg.frames.length;
    element("h2", viewers, { textContent: `${viewer}: ${drawn.length} of ${seg.frames.length} frames drawn` });
    if (reason) element("p", viewers, { className: "reason", textContent: reason });
    const row = element("div", viewers, { className: "images" });
    found[viewer] = { reason, isComplete, drawn: [] };
    for (const { image, frame, mask } of drawn) {
      const figure = element("figure", row), box = element("div", figure);
      const [below, above] = [0, 1].map(() => element("canvas", box, { width: image.columns, height: image.rows }));
      element("figcaption", figure, { textContent: `image ${image.number}, frame ${frame}` });
      const key = `${image.uid} ${frame}`;
      if (!pictures.has(key)) pictures.set(key, await picture(image, frame));
      below.getContext("2d").drawImage(pictures.get(key), 0, 0);
      drawMask(above, mask, segment.color ?? [255, 0, 0]);
      found[viewer].drawn.push({ uid: image.uid, frame, runs: drawnRuns(above) });
    }
  }
  return found;
}

document.getElementById("files").addEventListener("change", async (event) => {
  await show(await Promise.all([...event.target.files].map(async (file) => new Uint8Array(await file.arrayBuffer()))));
});

const address = new URLSearchParams(location.search);
if (address.has("seg")) {
  const urls = [...address.getAll("image"), address.get("seg")];
  let found;
  try {
    const answers = await Promise.all(urls.map((url) => fetch(url)));
    found = await show(await Promise.all(answers.map(async (answer) => new Uint8Array(await answer.arrayBuffer()))));
  } catch (error) {
    found = { error: error.message };
  }
  if (address.has("post")) await fetch(address.get("post"), { method: "POST", body: JSON.stringify(found) });
}
