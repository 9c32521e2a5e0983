// SPDX-License-Identifier: Apache-2.0
//
// Stands for the packages of dwv that are not needed to show a mask: konva draws annotations, magic-wand-tool paints,
// and jszip unpacks archives. Every property of the default export is callable, and gives the same object again.

const any = new Proxy(function () {}, {
  get: (_, key) => (key === "prototype" ? {} : any), construct: () => any, apply: () => any,
});

export default any;
