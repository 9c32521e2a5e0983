// SPDX-License-Identifier: Apache-2.0

/** The set pixels of a mask as runs [first, length], counted row by row from 0. */
export function runs(mask) {
  const found = [];
  for (let at = 0; at < mask.length; at++) {
    if (!mask[at]) continue;
    const first = at;
    while (at < mask.length && mask[at]) at++;
    found.push([first, at - first]);
  }
  return found;
}
