# SPDX-License-Identifier: Apache-2.0
"""The endoscopic field: the part of a frame that shows the endoscope's picture.

A capture box shows the picture inside a dark border. Text, a second picture or the drawing of the endoscope's position
may stand in the border, and cover a corner of the picture.

1. The level of the border is the EDGE_RANK quantile (rounded down) of the brightness, the largest of R, G and B, along the
   frame's edge. If it is above DARKEST, the frame does not have a border and is its own field.
2. A pixel is lit if it is brighter than the border by more than STEP. Cells are squares of min(rows, columns) // CELLS
   pixels, of which every size // 6 th pixel is looked at in both directions. A cell is lit if more than half of these
   pixels are.
3. Lit cells are foreign if green or blue exceeds red by more than FOREIGN in the mean, and no channel varies by more than
   FLAT. A component of foreign cells is a graphic if it takes LEAST_GRAPHIC of all cells and FILL of its bounding
   rectangle, and no channel of the cells' means varies by more than FLAT. This rectangle, widened by a cell on each side,
   does not belong to the field.
4. The field is the largest component (4 neighbours) of the other lit cells. If it takes less than SMALLEST of the cells,
   the frame is its own field.
5. Pixels count if they are lit and lie in a cell of the field, or in one of its 8 neighbours that is not a graphic. A row
   or column counts if at least a cell's side lies between its first and last such pixel. The box goes from the first to
   the last row and column that count. The outline is the convex hull of the rows' ends, cut at the box, with its columns
   rounded outwards.
"""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

EDGE_RANK, DARKEST, STEP, CELLS, SMALLEST = 0.1, 34, 14, 64, 0.06
FOREIGN, FLAT, LEAST_GRAPHIC, FILL = 24, 20, 0.005, 0.75


class Field(NamedTuple):
    """The field of a frame. `rows` and `columns` are slices, `inside` is [rows, columns] of the whole frame."""
    rows: slice
    columns: slice
    inside: np.ndarray

    def picture(self, image):
        """The frame cut to the field's box, with black outside the field."""
        return np.where(self.inside[..., None], image, 0)[self.rows, self.columns]

    def placed(self, values):
        """Values [rows, columns] of the picture on the frame, with zeros outside the field."""
        whole = np.zeros(self.inside.shape, values.dtype)
        whole[self.rows, self.columns] = values
        return np.where(self.inside, whole, 0)


def find(image):
    """The `Field` of an RGB frame [rows, columns, 3] in 0...255."""
    rows, columns = image.shape[:2]
    whole = Field(slice(0, rows), slice(0, columns), np.ones((rows, columns), bool))
    bright = image.max(axis=2).astype(np.float32)
    edge = np.sort(np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]]))
    level = edge[int(EDGE_RANK * (len(edge) - 1))]
    if level > DARKEST:
        return whole
    lit = bright > level + STEP
    size = max(1, min(rows, columns) // CELLS)
    cells, foreign, means = lit_cells(image.astype(np.float32), lit, size)
    graphics = np.zeros_like(cells)
    labels, _ = ndimage.label(foreign)
    for number, (ys, xs) in enumerate(ndimage.find_objects(labels), 1):
        part = labels[ys, xs] == number
        area = part.sum()
        if np.ptp(means[ys, xs][part], axis=0).max() <= FLAT and area >= LEAST_GRAPHIC * cells.size and area >= FILL * (ys.stop - ys.start) * (xs.stop - xs.start):
            graphics[max(0, ys.start - 1):ys.stop + 1, max(0, xs.start - 1):xs.stop + 1] = True
    labels, count = ndimage.label(cells & ~graphics)
    areas = np.bincount(labels.ravel(), minlength=2)[1:]
    if not count or areas.max() < SMALLEST * cells.size:
        return whole
    near = ndimage.binary_dilation(labels == 1 + areas.argmax(), np.ones((3, 3))) & ~graphics

    def pixels(mask):
        return np.kron(mask, np.ones((size, size), bool))[:rows, :columns]
    shown = lit & pixels(near)
    left, right = ends(shown)
    top, bottom = ends(shown.T)
    ys, xs = np.flatnonzero(right - left >= size), np.flatnonzero(bottom - top >= size)
    if not len(ys) or not len(xs):
        return whole
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    lines = [y for y in range(y0, y1) if right[y] > max(left[y], x0) and left[y] < x1]
    first = envelope(lines, np.clip(left[lines], x0, x1))
    last = -envelope(lines, -np.clip(right[lines], x0, x1))
    inside = np.zeros((rows, columns), bool)
    at = np.arange(columns)
    inside[lines[0]:lines[-1] + 1] = (at >= first[:, None]) & (at < last[:, None])
    return Field(slice(y0, y1), slice(x0, x1), inside & ~pixels(graphics))


def lit_cells(image, lit, size):
    """Which cells are lit, which are lit in one colour that tissue does not have, and the mean colours of lit cells."""
    rows, columns = lit.shape
    shape = -(-rows // size), -(-columns // size)
    cells, foreign, means = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros((*shape, 3), np.float32)
    step = max(1, size // 6)
    for y in range(shape[0]):
        for x in range(shape[1]):
            part = (slice(y * size, (y + 1) * size, step), slice(x * size, (x + 1) * size, step))
            cells[y, x] = lit[part].mean() > 0.5
            if cells[y, x]:
                colours = image[part].reshape(-1, 3)
                means[y, x] = red, green, blue = colours.mean(axis=0)
                foreign[y, x] = max(green, blue) - red > FOREIGN and np.ptp(colours, axis=0).max() <= FLAT
    return cells, foreign, means


def ends(shown):
    """The first set pixel of each row and one past the last; both 0 in a row without one."""
    found = shown.any(axis=1)
    return np.where(found, shown.argmax(axis=1), 0), np.where(found, shown.shape[1] - shown[:, ::-1].argmax(axis=1), 0)


def envelope(lines, values):
    """The greatest convex sequence that is nowhere above `values` at `lines`, rounded down, from the first to the last line."""
    corners = []
    for row, value in zip(lines, values.tolist()):
        while len(corners) > 1 and ((corners[-1][1] - corners[-2][1]) * (row - corners[-2][0])
                                    >= (value - corners[-2][1]) * (corners[-1][0] - corners[-2][0])):
            corners.pop()
        corners.append((row, value))
    at, low = zip(*corners)
    return np.floor(np.interp(np.arange(at[0], at[-1] + 1), at, low)).astype(int)
