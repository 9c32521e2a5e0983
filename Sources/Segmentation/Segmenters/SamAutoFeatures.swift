// SPDX-License-Identifier: Apache-2.0
//
// The features by which sam-auto's rule judges a generated mask.
// `training/recipes/auto_features.py` has the same definitions, because rules are fitted in Python.
// A test compares the two.

internal import Foundation
package import Inference
internal import Platform

/// The features of one mask, in the order of `names`.
package struct SamAutoFeatures: Sendable, Hashable {
    /// Names of the features, which a rule file repeats.
    package static let names = [
        "logAreaShare", "squaredLogAreaShare", "stability", "predictedIoU", "borderContact", "colourContrast",
        "compactness", "specularShare", "centreDistance",
    ]

    /// A pixel with at least this value in every channel is a specular highlight, 0...255.
    static let specular: UInt8 = 200
    /// Width of the ring around a mask, in radii of a disc of the mask's area.
    static let ring = 0.25

    /// One value per name.
    package let values: [Double]

    /// Features from their values, one per name.
    package init(_ values: [Double]) {
        precondition(values.count == Self.names.count, "every feature has a value")
        self.values = values
    }

    /// Measures a mask on its frame.
    ///
    /// - Parameters:
    ///   - mask: with at least one pixel.
    ///   - image: the frame in which the mask was found.
    package init(_ mask: AutomaticMask, in image: ByteImage) {
        let colours = image.colour.values
        let (rows, columns) = (image.rows, image.columns)
        let pixels = mask.segmentation.pixels
        let area = Double(mask.area)
        let outline = Outline(pixels, rows: rows, columns: columns, box: mask.box)
        let distance = max(1, Int(Self.ring * (area / Double.pi).squareRoot() + 0.5))
        let around = Self.dilated(pixels, rows: rows, columns: columns, by: distance, box: mask.box)
        var (inside, outside) = (Colour(), Colour())
        var specular = 0
        var (sumX, sumY) = (0.0, 0.0)
        for y in around.y0...around.y1 {
            for x in around.x0...around.x1 {
                let place = y * columns + x
                if pixels[place] != 0 {
                    inside.add(colours, place)
                    (sumX, sumY) = (sumX + Double(x), sumY + Double(y))
                    let least = min(colours[place * 3], colours[place * 3 + 1], colours[place * 3 + 2])
                    if least >= Self.specular { specular += 1 }
                } else if around[x, y] {
                    outside.add(colours, place)
                }
            }
        }
        let share = log(area / Double(rows * columns))
        let offset = (
            x: sumX / area - Double(columns - 1) / 2, y: sumY / area - Double(rows - 1) / 2
        )
        let diagonal = hypot(Double(rows), Double(columns)) / 2
        let edges = Double(outline.edges)
        self.init([
            share, share * share, Double(mask.stabilityScore), Double(mask.predictedIoU),
            Double(outline.borderEdges) / edges, inside.distance(to: outside) / 255,
            min(1, 64 * area / (Double.pi * edges * edges)), Double(specular) / area,
            hypot(offset.x, offset.y) / diagonal,
        ])
    }

    /// Sums of the colours of a set of pixels.
    private struct Colour {
        private var sums = (0.0, 0.0, 0.0)
        private var count = 0.0

        mutating func add(_ colours: [UInt8], _ place: Int) {
            sums.0 += Double(colours[place * 3])
            sums.1 += Double(colours[place * 3 + 1])
            sums.2 += Double(colours[place * 3 + 2])
            count += 1
        }

        /// The distance between the mean colours; 0 if a set is empty.
        func distance(to other: Colour) -> Double {
            guard count > 0, other.count > 0 else { return 0 }
            let red = sums.0 / count - other.sums.0 / other.count
            let green = sums.1 / count - other.sums.1 / other.count
            let blue = sums.2 / count - other.sums.2 / other.count
            return (red * red + green * green + blue * blue).squareRoot()
        }
    }

    /// Counts of pixel sides between set and clear pixels, and of set pixels' sides on the image's
    /// border.
    private struct Outline {
        var edges = 0
        var borderEdges = 0

        init(_ pixels: [UInt8], rows: Int, columns: Int, box: PixelBox) {
            for y in box.y0...box.y1 {
                for x in box.x0...box.x1 where pixels[y * columns + x] != 0 {
                    let place = y * columns + x
                    let border =
                        (x == 0 ? 1 : 0) + (x == columns - 1 ? 1 : 0) + (y == 0 ? 1 : 0)
                        + (y == rows - 1 ? 1 : 0)
                    borderEdges += border
                    edges += border
                    if x > 0, pixels[place - 1] == 0 { edges += 1 }
                    if x < columns - 1, pixels[place + 1] == 0 { edges += 1 }
                    if y > 0, pixels[place - columns] == 0 { edges += 1 }
                    if y < rows - 1, pixels[place + columns] == 0 { edges += 1 }
                }
            }
        }
    }

    /// A window of the image that marks the pixels near a mask.
    private struct Neighbourhood {
        let (x0, y0, x1, y1): (Int, Int, Int, Int)
        let near: [Bool]

        subscript(x: Int, y: Int) -> Bool { near[(y - y0) * (x1 - x0 + 1) + x - x0] }
    }

    /// Marks the pixels that are at most `distance` rows and columns from a set one.
    private static func dilated(
        _ pixels: [UInt8], rows: Int, columns: Int, by distance: Int, box: PixelBox
    ) -> Neighbourhood {
        let (x0, y0) = (max(box.x0 - distance, 0), max(box.y0 - distance, 0))
        let (x1, y1) = (min(box.x1 + distance, columns - 1), min(box.y1 + distance, rows - 1))
        let (width, height) = (x1 - x0 + 1, y1 - y0 + 1)
        var wide = [Bool](repeating: false, count: width * height)
        for y in box.y0...box.y1 {
            // The end, exclusive, of the pixels that the last set pixel of the line reaches.
            var reach = x0
            for x in box.x0...box.x1 where pixels[y * columns + x] != 0 {
                let end = min(x + distance, x1) + 1
                for place in max(max(x - distance, x0), reach)..<end { wide[(y - y0) * width + place - x0] = true }
                reach = end
            }
        }
        var near = [Bool](repeating: false, count: width * height)
        for column in 0..<width {
            var reach = 0
            for row in box.y0 - y0...box.y1 - y0 where wide[row * width + column] {
                let end = min(row + distance, height - 1) + 1
                for place in max(max(row - distance, 0), reach)..<end { near[place * width + column] = true }
                reach = end
            }
        }
        return Neighbourhood(x0: x0, y0: y0, x1: x1, y1: y1, near: near)
    }
}

/// A CSV file with the features of every mask that sam-auto generates.
///
/// training/fitting/fit_auto_rule.py fits a rule for a site's own weights and frames from it. The
/// environment variable KONTUR_SAM_AUTO_MASKS holds the file's full path. Lines are added at its
/// end.
final class SamAutoTable {
    static let variable = "KONTUR_SAM_AUTO_MASKS"

    private let file: FileDescriptor
    private let weights: String
    /// The number of the next frame, from 0, counted over all runs that write to the file.
    private var frame = 0

    /// Opens the file, or makes it with a header line.
    ///
    /// The result is `nil` if the variable is not set.
    ///
    /// - Throws: `SegmentationError.unsuitable` if the file cannot be written.
    init?(environment: [String: String], weights: String) throws(SegmentationError) {
        guard let path = environment[Self.variable], !path.isEmpty else { return nil }
        self.weights = weights
        var text = ""
        if FileManager.default.fileExists(atPath: path) {
            do {
                text = try String(contentsOfFile: path, encoding: .utf8)
            } catch {
                throw Self.refusal(error)
            }
        }
        let last = text.split(separator: "\n").last?.split(separator: ",").first
        frame = last.flatMap { Int($0) }.map { $0 + 1 } ?? 0
        do {
            file = try FileDescriptor(path: path, for: .appending)
        } catch {
            throw Self.refusal(error)
        }
        if text.isEmpty { try add(["frame", "rows", "columns", "weights"] + SamAutoFeatures.names + ["counts"]) }
    }

    /// Adds one line per mask of a frame.
    func write(_ masks: [AutomaticMask], of image: ByteImage) throws(SegmentationError) {
        for mask in masks where mask.area > 0 {
            let features = SamAutoFeatures(mask, in: image).values.map { "\($0)" }
            let counts = mask.segmentation.counts.map(String.init).joined(separator: " ")
            try add(["\(frame)", "\(image.rows)", "\(image.columns)", weights] + features + [counts])
        }
        frame += 1
    }

    private func add(_ fields: [String]) throws(SegmentationError) {
        do {
            try Array((fields.joined(separator: ",") + "\n").utf8).withUnsafeBytes { try file.write($0) }
        } catch {
            throw Self.refusal(error)
        }
    }

    private static func refusal(_ error: any Error) -> SegmentationError {
        let cause = (error as? SystemCallError)?.reason ?? "\(error)"
        return .unsuitable(
            segmenter: SamAuto.recipe.entry.name,
            reason: "the file that \(variable) names cannot be written: \(cause)")
    }
}
