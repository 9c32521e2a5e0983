// SPDX-License-Identifier: Apache-2.0

internal import Foundation
public import Imaging

/// What may make a case hard, measured on the image and its truth, never on an answer.
///
/// Values are shares of the image's range: 0...255 for colour, else from its 1st to its 99th percentile. The surroundings
/// are the pixels outside the truth and within a tenth of the root of its area (at least 3 pixels) of it, slice by slice.
public struct CaseTraits: Sendable, Hashable, Codable {
    /// The gradient of brightness across the true edge, a pixel: the mean over the edge's pixels of the gradient's part
    /// along the normal of the (smoothed) truth.
    public var boundarySharpness: Double?
    /// How far the mean colour inside is from that of the surroundings.
    public var contrast: Double?
    /// Share of the frame that the truth takes; of a volume its size in ml.
    public var size: Double?
    /// Mean brightness of the frame, or of a volume's truth.
    public var brightness: Double
    /// Share of specular highlights (brighter than 0.9 in all colours) in truth and surroundings, for colour frames.
    public var highlights: Double?

    /// The names and what they mean, in the order of reports.
    public static let titles: [(name: String, title: String)] = [
        ("boundarySharpness", "sharpness of the true edge"), ("contrast", "contrast to surroundings"),
        ("size", "size"), ("brightness", "brightness"), ("highlights", "specular highlights"),
    ]

    public subscript(name: String) -> Double? {
        switch name {
        case "boundarySharpness": boundarySharpness
        case "contrast": contrast
        case "size": size
        case "brightness": brightness
        case "highlights": highlights
        default: nil
        }
    }

    /// - Parameter spacing: of slices, rows and columns, mm; `nil` for a frame.
    public init(frames: [Frame], truth: [Mask], spacing: [Double]?) {
        precondition(frames.count == truth.count && !frames.isEmpty, "every frame has its truth")
        let range = Self.range(of: frames)
        var sums = TraitSums()
        for (frame, mask) in zip(frames, truth) where spacing == nil || !mask.isEmpty {
            sums.add(frame, mask, range: range, isVolume: spacing != nil)
        }
        let pixels = frames.reduce(0) { $0 + $1.rows * $1.columns }
        brightness = sums.brightnessCount > 0 ? sums.brightness / Double(sums.brightnessCount) : 0
        guard sums.inside.count > 0 else { return }
        size =
            spacing.map { Double(sums.inside.count) * $0.reduce(1, *) / 1000 }
            ?? Double(sums.inside.count) / Double(pixels)
        boundarySharpness = sums.edgeCount > 0 ? sums.edge / Double(sums.edgeCount) : nil
        contrast = sums.around.count > 0 ? sums.inside.distance(to: sums.around) : nil
        if frames[0].channels == 3 {
            highlights = Double(sums.highlights) / Double(sums.inside.count + sums.around.count)
        }
    }

    private static func range(of frames: [Frame]) -> (low: Double, scale: Double) {
        if frames[0].channels == 3 { return (0, 1 / 255) }
        let count = frames.reduce(0) { $0 + $1.samples.count }
        let step = max(1, count / 200_000)
        let sorted = frames.flatMap { frame in
            stride(from: 0, to: frame.samples.count, by: step).map { Double(frame.samples[$0]) }
        }.filter(\.isFinite).sorted()
        guard !sorted.isEmpty else { return (0, 1) }
        let (low, high) = (Quantiles.quantile(0.01, of: sorted), Quantiles.quantile(0.99, of: sorted))
        return (low, high > low ? 1 / (high - low) : 0)
    }
}

/// Colours summed up.
private struct ColourSum {
    var sum = [0.0, 0.0, 0.0]
    var count = 0

    mutating func add(_ colour: (Double, Double, Double)) {
        sum[0] += colour.0
        sum[1] += colour.1
        sum[2] += colour.2
        count += 1
    }

    /// Between the means, 1 from black to white.
    func distance(to other: ColourSum) -> Double {
        let squares = zip(sum, other.sum).reduce(0) { total, pair in
            let difference = pair.0 / Double(count) - pair.1 / Double(other.count)
            return total + difference * difference
        }
        return (squares / 3).squareRoot()
    }
}

private struct TraitSums {
    var inside = ColourSum()
    var around = ColourSum()
    var edge = 0.0
    var edgeCount = 0
    var highlights = 0
    var brightness = 0.0
    var brightnessCount = 0

    mutating func add(_ frame: Frame, _ mask: Mask, range: (low: Double, scale: Double), isVolume: Bool) {
        let channels = frame.channels
        func colour(_ pixel: Int) -> (Double, Double, Double) {
            func value(_ channel: Int) -> Double {
                let sample = Double(frame.samples[pixel * channels + min(channel, channels - 1)])
                return sample.isFinite ? (sample - range.low) * range.scale : 0
            }
            return (value(0), value(1), value(2))
        }
        let colours = (0..<frame.rows * frame.columns).map(colour)
        // Luma of Rec. 601, which for grey is the value itself.
        let luma = colours.map { 0.299 * $0.0 + 0.587 * $0.1 + 0.114 * $0.2 }
        for pixel in luma.indices where !isVolume || mask.pixels[pixel] != 0 {
            brightness += luma[pixel]
            brightnessCount += 1
        }
        guard !mask.isEmpty else { return }
        let width = max(3, 0.1 * Double(mask.area).squareRoot())
        let limit = Int(width * width)
        let nearest = NearestPixels(of: mask.pixels, rows: mask.rows, columns: mask.columns)
        for pixel in luma.indices where nearest.squaredDistances[pixel] <= limit {
            if mask.pixels[pixel] != 0 { inside.add(colours[pixel]) } else { around.add(colours[pixel]) }
            let (red, green, blue) = colours[pixel]
            if min(red, green, blue) > 0.9 { highlights += 1 }
        }
        addEdge(luma, mask)
    }

    /// The gradient across the edge, by Sobel's operator on the image and on the mask, whose gradient is the normal.
    private mutating func addEdge(_ luma: [Double], _ mask: Mask) {
        let (rows, columns) = (mask.rows, mask.columns)
        guard rows > 2, columns > 2 else { return }
        let inside = mask.pixels.map(Double.init)
        func gradient(_ values: [Double], _ row: Int, _ column: Int) -> (y: Double, x: Double) {
            func at(_ y: Int, _ x: Int) -> Double { values[(row + y) * columns + column + x] }
            let x = at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1)
            let y = at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1)
            return (y / 8, x / 8)
        }
        for row in 1..<rows - 1 {
            for column in 1..<columns - 1 where inside[row * columns + column] == 1 {
                let normal = gradient(inside, row, column)
                let length = (normal.y * normal.y + normal.x * normal.x).squareRoot()
                guard length > 0 else { continue }
                let slope = gradient(luma, row, column)
                edge += abs(slope.y * normal.y + slope.x * normal.x) / length
                edgeCount += 1
            }
        }
    }
}
