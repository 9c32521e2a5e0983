// SPDX-License-Identifier: Apache-2.0
//
// Applies the rules without a browser: `node run.mjs SEG IMAGE...` prints, for each viewer, the images on which it
// draws a mask, with the positions of the set pixels as runs [first, length], and the reason for other masks.

import { readFileSync } from "node:fs";
import { read } from "./dicom.js";
import { Segmentation, SourceImage } from "./objects.js";
import { RULES } from "./rules.js";
import { runs } from "./runs.js";

const [segPath, ...imagePaths] = process.argv.slice(2);
const seg = new Segmentation(read(new Uint8Array(readFileSync(segPath))));
const images = imagePaths.map((path) => new SourceImage(read(new Uint8Array(readFileSync(path)))));
const found = {};
for (const [viewer, rule] of Object.entries(RULES)) {
  const { drawn, reason } = rule(seg, images);
  const masks = drawn.map(({ image, frame, mask }) => ({ uid: image.uid, frame, runs: runs(mask) }));
  found[viewer] = { reason, drawn: masks };
}
console.log(JSON.stringify(found));
