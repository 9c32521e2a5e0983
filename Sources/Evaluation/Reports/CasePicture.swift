// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

/// Draws a case with two outlines: the truth in cyan, the answer in orange.
enum CasePicture {
    static let truthColour: [UInt8] = [0, 229, 255]
    static let answerColour: [UInt8] = [255, 150, 0]
    private static let side = 360

    /// Draws a frame, or three slices of a volume side by side.
    ///
    /// The slices lie at a quarter, a half and three quarters of those in which truth or answer are
    /// not empty.
    static func picture(_ loaded: LoadedCase, answer: [Mask]) -> Picture {
        let occupied = loaded.truth.indices.filter { !loaded.truth[$0].isEmpty || !answer[$0].isEmpty }
        let chosen =
            loaded.frames.count == 1
            ? [0]
            : occupied.isEmpty ? [loaded.frames.count / 2] : [1, 2, 3].map { occupied[$0 * (occupied.count - 1) / 4] }
        let tiles = chosen.map {
            tile(loaded.frames[$0], loaded.truth[$0], answer[$0], side: chosen.count > 1 ? 240 : side)
        }
        return row(tiles)
    }

    /// Draws one frame with its longest side about `side` pixels long.
    private static func tile(_ frame: Frame, _ truth: Mask, _ answer: Mask, side: Int) -> Picture {
        let longest = max(frame.rows, frame.columns)
        let scale = Double(min(side, longest * 4)) / Double(longest)
        let (rows, columns) = (max(1, Int(Double(frame.rows) * scale)), max(1, Int(Double(frame.columns) * scale)))
        let (low, high) = range(of: frame)
        func source(_ place: Int, _ count: Int, _ whole: Int) -> Int {
            min(whole - 1, (2 * place + 1) * whole / (2 * count))
        }
        let ys = (0..<rows).map { source($0, rows, frame.rows) }
        let xs = (0..<columns).map { source($0, columns, frame.columns) }
        func inside(_ mask: Mask, _ row: Int, _ column: Int) -> Bool {
            guard (0..<rows).contains(row), (0..<columns).contains(column) else { return false }
            return mask.pixels[ys[row] * mask.columns + xs[column]] != 0
        }
        func isEdge(_ mask: Mask, _ row: Int, _ column: Int) -> Bool {
            guard inside(mask, row, column) else { return false }
            // Two pixels wide, because the page shows pictures smaller than they are.
            return [(1, 0), (-1, 0), (0, 1), (0, -1), (2, 0), (-2, 0), (0, 2), (0, -2)]
                .contains { !inside(mask, row + $0.0, column + $0.1) }
        }
        var samples: [UInt8] = []
        samples.reserveCapacity(rows * columns * 3)
        for row in 0..<rows {
            for column in 0..<columns {
                if isEdge(answer, row, column) {
                    samples += answerColour
                } else if isEdge(truth, row, column) {
                    samples += truthColour
                } else {
                    let pixel = ys[row] * frame.columns + xs[column]
                    for channel in 0..<3 {
                        let value = frame.samples[pixel * frame.channels + min(channel, frame.channels - 1)]
                        let share = (value - low) / max(high - low, 1e-6)
                        samples.append(UInt8(min(max(share.isFinite ? share : 0, 0), 1) * 255))
                    }
                }
            }
        }
        return Picture(rows: rows, columns: columns, channels: 3, samples: samples)
    }

    /// The values shown as black and white.
    private static func range(of frame: Frame) -> (Float, Float) {
        if frame.channels == 3 { return (0, 255) }
        let sorted = frame.samples.filter(\.isFinite).sorted()
        guard !sorted.isEmpty else { return (0, 1) }
        return (sorted[sorted.count / 100], sorted[(sorted.count - 1) * 99 / 100])
    }

    /// Puts pictures of the same height side by side.
    private static func row(_ tiles: [Picture]) -> Picture {
        guard tiles.count > 1 else { return tiles[0] }
        let (rows, columns) = (tiles[0].rows, tiles.reduce(0) { $0 + $1.columns })
        var samples: [UInt8] = []
        for row in 0..<rows {
            for tile in tiles { samples += tile.samples[row * tile.columns * 3..<(row + 1) * tile.columns * 3] }
        }
        return Picture(rows: rows, columns: columns, channels: 3, samples: samples)
    }
}

extension CaseResult {
    /// A PNG file of the case with truth and answer.
    ///
    /// - Throws: `EvaluationError` if files of the case or its masks are missing.
    func picture(of source: EvaluationCase, output: String) throws(EvaluationError) -> Data {
        let loaded = try LoadedCase(source)
        var answer = loaded.truth.map { Mask(rows: $0.rows, columns: $0.columns) }
        for (place, path) in zip(answeredImages, masks) {
            do {
                answer[place] = try Picture(path: "\(output)/\(path)").mask(above: 127)
            } catch {
                throw .unreadable(path: path, reason: "\(error)")
            }
        }
        return CasePicture.picture(loaded, answer: answer).png()
    }

    /// The index of the image to which each mask belongs.
    ///
    /// A mask's folder is named for the first image of its request, and its file for the place in
    /// that request.
    private var answeredImages: [Int] {
        masks.map { path in
            let parts = path.split(separator: "/")
            guard parts.count >= 2, let first = Int(parts[parts.count - 2]),
                let own = Int(parts[parts.count - 1].prefix { $0 != "." })
            else { return 0 }
            return min(frames - 1, first - 1 + own - 1)
        }
    }
}
