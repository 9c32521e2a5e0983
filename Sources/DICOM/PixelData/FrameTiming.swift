// SPDX-License-Identifier: Apache-2.0
//
// The time between frames: PS3.3 C.7.6.5 (Cine), C.7.6.6 (Multi-frame). Left out: Preferred Playback Sequencing and
// trims, which concern display.

/// The timing of the frames of a cine or video instance.
public struct FrameTiming: Sendable, Hashable {
    /// Frames per second; `nil` if neither the attributes nor the clip say it.
    public var framesPerSecond: Double?
    /// The number of frames that Number of Frames promises and the instance holds.
    public var frames: Int
    /// What is odd about the rate or the length, in words for the record.
    public var remarks: [String]

    public init(framesPerSecond: Double?, frames: Int, remarks: [String] = []) {
        self.framesPerSecond = framesPerSecond
        self.frames = frames
        self.remarks = remarks
    }

    /// The rate of a clip that does not say it: the one that FFmpeg assumes.
    private static let assumed = 25.0
    /// The relative difference of two rates that rounding can explain: 29.97 is called 30.
    private static let tolerance = 0.02

    /// Compares a clip with the attributes of its instance.
    ///
    /// The rate of the clip counts, because it is the one at which the clip plays.
    ///
    /// - Parameters:
    ///   - clipRate: frames per second of the clip; `nil` if it does not say it.
    ///   - pictures: coded pictures of the clip: its frames, or its fields if they come apart.
    ///   - declaredRate: frames per second by the attributes; `nil` if they do not say it.
    ///   - declaredFrames: Number of Frames.
    init(clipRate: Double?, pictures: Int, declaredRate: Double?, declaredFrames: Int) {
        framesPerSecond = clipRate ?? declaredRate ?? Self.assumed
        frames = min(declaredFrames, max(pictures, 1))
        remarks = []
        if let clipRate, let declaredRate, abs(clipRate - declaredRate) > Self.tolerance * clipRate {
            remarks.append(
                "the clip has \(Self.text(clipRate)) frames per second, and its attributes say "
                    + "\(Self.text(declaredRate))")
        }
        if clipRate == nil, declaredRate == nil {
            remarks.append("the clip does not say its rate: \(Self.text(Self.assumed)) frames per second are assumed")
        }
        if pictures != declaredFrames, pictures != 2 * declaredFrames {
            remarks.append("the clip has \(pictures) frames, and Number of Frames says \(declaredFrames)")
        }
    }

    /// Chooses the frames that begin the intervals of a rate.
    ///
    /// - Parameters:
    ///   - wanted: frames per second, positive.
    ///   - numbers: the frames to choose from, ascending from 1.
    /// - Returns: the first frame of each interval of `1 / wanted` seconds; all frames if the rate is not known.
    public func chosen(_ wanted: Double, from numbers: [Int]) -> [Int] {
        guard let framesPerSecond, framesPerSecond > 0, wanted > 0, wanted < framesPerSecond else { return numbers }
        var last: Int?
        return numbers.filter { number in
            // Frames lie on the edges of intervals, give or take a rounding error.
            let interval = Int((Double(number - 1) * wanted / framesPerSecond + 1e-6).rounded(.down))
            defer { last = interval }
            return interval != last
        }
    }

    /// The rate by the Cine module: Frame Time is exact, and the others are whole numbers.
    static func declaredRate(_ data: DataSet) -> Double? {
        if let time = data.double(.frameTime), let rate = usable(1000 / time) { return rate }
        let times = data.doubles(.frameTimeVector).dropFirst()
        if !times.isEmpty, let rate = usable(1000 * Double(times.count) / times.reduce(0, +)) { return rate }
        return usable(data.double(.cineRate)) ?? usable(data.double(.recommendedDisplayFrameRate))
    }

    /// A rate between one frame in 1,000 seconds and 1,000 frames per second.
    fileprivate static func usable(_ rate: Double?) -> Double? {
        rate.flatMap { (0.001...1000).contains($0) ? $0 : nil }
    }

    /// A rate for a person, without needless digits.
    private static func text(_ rate: Double) -> String {
        let rounded = (rate * 100).rounded() / 100
        return rounded == rounded.rounded() && abs(rounded) < 1e9 ? "\(Int(rounded))" : "\(rounded)"
    }
}

/// The rate at which the frames of cine and video instances are segmented.
public struct FrameSampling: Sendable, Hashable, Codable {
    /// Frames per second, positive; a rate above that of an instance takes all of its frames.
    public var framesPerSecond: Double
    /// For each source, the frames per second by its attributes, which decide about the frames, too.
    public var declared: [Double?]

    /// The rate for video if a route does not name one.
    public static let ofVideo = 2.0

    public init(framesPerSecond: Double, declared: [Double?]) {
        self.framesPerSecond = framesPerSecond
        self.declared = declared
    }

    /// Makes the sampling of a stack of frames; `nil` if every frame is segmented.
    ///
    /// - Parameters:
    ///   - wanted: frames per second by the route; `nil` if it does not name a rate: video then has `ofVideo`, and every
    ///     frame of other instances is segmented.
    ///   - headers: the sources.
    public init?(_ wanted: Double?, of headers: [InstanceHeader]) {
        let isVideo = headers.contains { TransferSyntax(rawValue: $0.transferSyntaxUID)?.isVideo == true }
        guard isVideo || headers.contains(where: { $0.numberOfFrames > 1 }),
            let rate = wanted ?? (isVideo ? Self.ofVideo : nil)
        else { return nil }
        self.init(framesPerSecond: rate, declared: headers.map(\.framesPerSecond))
    }

    /// Everything that decides which frames are chosen, for a derived UID.
    public var words: [String] {
        ["framesPerSecond", "\(framesPerSecond)"] + declared.map { $0.map { "\($0)" } ?? "" }
    }
}

extension InstanceFile {
    /// Reads the timing of the frames.
    ///
    /// The packets of a clip are counted, and are not decoded.
    ///
    /// - Throws: `PixelDataError` if the instance has a clip that cannot be opened.
    public func timing() throws(PixelDataError) -> FrameTiming {
        let data: DataSet
        do { data = try dataSet() } catch { throw .dataSet(error) }
        let declared = header.framesPerSecond
        guard TransferSyntax(rawValue: header.transferSyntaxUID)?.isVideo == true else {
            return FrameTiming(framesPerSecond: declared, frames: header.numberOfFrames)
        }
        let clip = try VideoPixels(PixelLayout(header), in: data, remarks: DecodingRemarks())
        let facts = try clip.facts()
        return FrameTiming(
            clipRate: FrameTiming.usable(facts.framesPerSecond), pictures: facts.pictures,
            declaredRate: declared,
            declaredFrames: header.numberOfFrames)
    }
}
