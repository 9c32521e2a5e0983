// SPDX-License-Identifier: Apache-2.0

internal import Foundation
public import Imaging

/// Properties that may make a case hard, measured on the image and its truth, never on an answer.
///
/// Intensities are fractions of the image's range. The range is 0...255 for colour, and from the
/// 1st to the 99th percentile for grey. The surroundings are the pixels outside the truth that are
/// close to it: at most a tenth of the square root of its area away, or 3 pixels if that is more.
/// They are found slice by slice.
public struct CaseTraits: Sendable, Hashable, Codable {
    /// Gradient of brightness across the true edge, per pixel.
    ///
    /// The value is the mean over the edge's pixels of the gradient along the normal of the
    /// smoothed truth.
    public var boundarySharpness: Double?
    /// Distance between the mean colours of the truth and of the surroundings, 0...1.
    public var contrast: Double?
    /// Size of the true structure: millilitres in a volume, fraction of the pixels (0...1) in a
    /// frame.
    public var size: Double?
    /// Mean brightness of the frame, or of the true structure in a volume.
    public var brightness: Double
    /// Fraction of truth and surroundings that is brighter than 0.9 in all channels; `nil` for grey
    /// images.
    public var highlights: Double?

    /// Names of the traits with their titles, in the order of reports.
    public static let titles: [(name: String, title: String)] = [
        ("boundarySharpness", "sharpness of the true edge"), ("contrast", "contrast to surroundings"),
        ("size", "size"), ("brightness", "brightness"), ("highlights", "specular highlights"),
    ]

    /// The trait with this name; `nil` if it is unknown or was not measured.
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

    /// Measures a case.
    ///
    /// - Parameters:
    ///   - frames: one frame, or the slices of a volume.
    ///   - truth: one mask per frame.
    ///   - spacing: the spacing of slices, rows and columns, mm; `nil` for a frame.
    public init(frames: [Frame], truth: [Mask], spacing: [Double]?) {
        precondition(frames.count == truth.count && !frames.isEmpty, "every frame has a true mask")
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

/// A sum of colours.
private struct ColourSum {
    var sum = [0.0, 0.0, 0.0]
    var count = 0

    mutating func add(_ colour: (Double, Double, Double)) {
        sum[0] += colour.0
        sum[1] += colour.1
        sum[2] += colour.2
        count += 1
    }

    /// The distance between the mean colours; 1 from black to white.
    func distance(to other: ColourSum) -> Double {
        let squares = zip(sum, other.sum).reduce(0) { total, pair in
            let difference = pair.0 / Double(count) - pair.1 / Double(other.count)
            return total + difference * difference
        }
        return (squares / 3).squareRoot()
    }
}

/// The sums from which the traits of a case are computed.
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
        // Luma of Rec. 601. For grey it is the value itself.
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

    /// Adds the gradient across the edge, from Sobel's operator on the image and on the mask.
    ///
    /// The gradient of the mask is the normal of the edge.
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

/// Dice of one segmenter in three equal groups of cases, which are ordered by one trait.
public struct TraitSplit: Sendable, Hashable, Codable {
    /// One third of the cases.
    public struct Part: Sendable, Hashable, Codable {
        /// The smallest value of the trait.
        public var low: Double
        /// The largest value of the trait.
        public var high: Double
        /// Mean Dice.
        public var dice: Estimate
        /// Fraction of cases with a Dice below the acceptable one.
        public var unacceptable: Double
    }

    /// Name of the trait.
    public var trait: String
    /// Title of the trait in reports.
    public var title: String
    /// The three groups, from low values of the trait to high ones.
    public var parts: [Part]
    /// Spearman's rank correlation of the trait with Dice.
    public var spearman: Double?

    /// Splits the cases that have the trait.
    ///
    /// The result is `nil` if fewer than six cases have the trait, or if all have the same value.
    ///
    /// - Parameters:
    ///   - trait: its name.
    ///   - title: its title in reports.
    ///   - values: the values of the trait, one per case; `nil` for a case without it.
    ///   - dice: one per case.
    ///   - acceptable: a lower Dice needs correction.
    ///   - resampling: for the intervals.
    public init?(
        trait: String, title: String, values: [Double?], dice: [Double], acceptable: Double, resampling: Bootstrap
    ) {
        precondition(values.count == dice.count, "values for every case")
        let known = values.indices.filter { values[$0] != nil }
            .map { (value: values[$0] ?? 0, dice: dice[$0]) }
            .sorted { ($0.value, $0.dice) < ($1.value, $1.dice) }
        guard known.count >= 6, known[0].value < known[known.count - 1].value else { return nil }
        self.trait = trait
        self.title = title
        let bounds = (0...3).map { known.count * $0 / 3 }
        parts = (0..<3).compactMap { third in
            let part = known[bounds[third]..<bounds[third + 1]]
            guard let first = part.first, let last = part.last,
                let estimate = Estimate(part.map(\.dice), resampling: resampling)
            else { return nil }
            let bad = part.count { $0.dice < acceptable }
            return Part(
                low: first.value, high: last.value, dice: estimate, unacceptable: Double(bad) / Double(part.count))
        }
        spearman = Ranks.spearman(known.map(\.value), known.map(\.dice))
    }
}
