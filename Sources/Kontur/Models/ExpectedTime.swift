// SPDX-License-Identifier: Apache-2.0

import Imaging
import Inference
import Platform
import Segmentation

/// An estimate of the time that a study of ordinary size takes on this machine.
///
/// The estimate takes about a second. Networks inside the executable are run on synthetic input. For installed networks,
/// the number of operations is divided by the measured speed of the kernels: see `WorkEstimate`. Reading images and
/// writing SEGs is not included.
struct ExpectedTime: Encodable {
    /// Time for a study of `frames` frames or slices.
    var seconds: Double
    var frames: Int

    /// Frames of an endoscopy study of ordinary size.
    static let studyFrames = 20
    /// Slices of a cardiac volume of 400 x 400 x 110 mm.
    static let studySlices = 88

    /// The estimate in words, such as `about 4 min for 88 slices`; empty without an estimate.
    static func inWords(_ time: ExpectedTime?, accepts: SegmenterDescriptor.Accepts) -> String {
        guard let time else { return "" }
        let things = accepts == .volume ? "slices" : "frames"
        let seconds = time.seconds
        let duration =
            seconds < 10
            ? Formatted.seconds(.seconds(seconds))
            : seconds < 100 ? "\(Int(seconds.rounded())) s" : "\(Int((seconds / 60).rounded())) min"
        return "about \(duration) for \(time.frames) \(things)"
    }
}

/// Estimates the time of several segmenters, and measures each network and the kernels only once.
struct TimeEstimator {
    private var compact: [String: Double] = [:]
    private var speed: Double?

    /// The estimate for one segmenter; `nil` if it cannot be made, for instance because the weights cannot be read.
    mutating func time(of segmenter: InstalledSegmenter) -> ExpectedTime? {
        let name = segmenter.descriptor.name
        let isVolume = segmenter.descriptor.accepts == .volume
        let frames = isVolume ? ExpectedTime.studySlices : ExpectedTime.studyFrames
        guard let file = segmenter.weights else {
            return compactTime(name).map { ExpectedTime(seconds: $0, frames: frames) }
        }
        guard let work = try? WorkEstimate(SafeTensors(path: file.path)), let speed = kernelSpeed() else { return nil }
        let frame = (work.encoder + work.decoder * Self.prompts(of: name)) / speed
        // In a node, a compact network finds the prompt.
        let prompter = compactTime(isVolume ? "left-atrium-compact" : "polyp-compact") ?? 0
        return ExpectedTime(seconds: frame * Double(frames) + prompter, frames: frames)
    }

    /// The number of prompts that the mask decoder gets per frame.
    ///
    /// One prompt and its four shifted copies; `sam-auto` uses a grid of 32 x 32 points.
    private static func prompts(of name: String) -> Double { name == "sam-auto" ? 1024 : 5 }

    private mutating func kernelSpeed() -> Double? {
        if speed == nil {
            speed = try? {
                try Compute.startWithAnyThreads()
                return try Compute.measuredSpeed()
            }()
        }
        return speed
    }

    /// Seconds for a study of ordinary size with a network inside the executable.
    private mutating func compactTime(_ name: String) -> Double? {
        if let known = compact[name] { return known }
        guard let entry = try? Segmenters.entry(name), entry.isEmbedded,
            let segmenter = try? Segmenters.make(name)
        else { return nil }
        let isVolume = entry.template.accepts == .volume
        let input = isVolume ? Self.testVolume : Self.testFrame
        var seconds = 0.0
        // The first run warms up.
        for _ in 0..<2 {
            let start = MonotonicClock.now()
            guard (try? segmenter.segment(input) { _, _ in }) != nil else { return nil }
            seconds = (MonotonicClock.now() - start) / .seconds(1)
        }
        // The test volume has 1/64 of the voxels of an ordinary one, at the same spacing.
        let time = seconds * Double(isVolume ? 64 : ExpectedTime.studyFrames)
        compact[name] = time
        return time
    }

    private static var testFrame: SegmenterInput {
        .frames([Frame(rows: 576, columns: 720, channels: 3, samples: noise(576 * 720 * 3))])
    }

    /// A volume of 100 x 100 x 27.5 mm.
    private static var testVolume: SegmenterInput {
        let plane = PlaneGeometry(
            position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
            rowSpacing: 0.625, columnSpacing: 0.625)
        return .volume(
            Volume(
                slices: 22, rows: 160, columns: 160, voxels: noise(22 * 160 * 160), plane: plane, sliceSpacing: 1.25))
    }

    private static func noise(_ count: Int) -> [Float] { (0..<count).map { Float($0 &* 7919 % 256) } }
}
