// SPDX-License-Identifier: Apache-2.0

import Imaging
import Inference
import Platform
import Segmentation

/// An estimate of the time that a study of ordinary size takes on this machine.
///
/// The estimate takes a few seconds. Networks inside the executable are run on synthetic input. For installed networks,
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
    private var images: [ModelFamily: Double] = [:]
    private var speed: Double?

    /// The estimate for one segmenter; `nil` if it cannot be made, for instance because the weights cannot be read.
    mutating func time(of segmenter: InstalledSegmenter) -> ExpectedTime? {
        let name = segmenter.descriptor.name
        let isVolume = segmenter.descriptor.accepts == .volume
        let frames = isVolume ? ExpectedTime.studySlices : ExpectedTime.studyFrames
        guard let entry = try? Segmenters.entry(name) else { return nil }
        guard let family = entry.family else {
            return compactTime(name).map { ExpectedTime(seconds: $0, frames: frames) }
        }
        let image =
            segmenter.weights.map { installedTime(of: $0, family, entry) } ?? embeddedTime(of: family)
        // In a node, a compact network finds the prompt.
        let prompter = compactTime(isVolume ? "left-atrium-compact" : "polyp-compact") ?? 0
        return image.map { ExpectedTime(seconds: $0 * Double(frames) + prompter, frames: frames) }
    }

    /// Seconds per slice or frame with installed weights; `nil` if they cannot be read.
    private mutating func installedTime(
        of file: WeightFile, _ family: ModelFamily, _ entry: SegmenterEntry
    ) -> Double? {
        guard let work = try? WorkEstimate(SafeTensors(path: file.path), family: family), let speed = kernelSpeed()
        else { return nil }
        let tracks = entry.options.contains(.slicePrompts)
        let prompts = tracks ? 1 : Self.prompts(of: entry.name)
        return (work.encoder + work.decoder * prompts + (tracks ? work.memory : 0)) / speed
    }

    /// Seconds per slice or frame with a promptable network inside the executable, with a given prompt.
    ///
    /// The compact network that finds prompts does not find any in noise, so the segmenter gets boxes.
    private mutating func embeddedTime(of family: ModelFamily) -> Double? {
        if let known = images[family] { return known }
        let box = Box(x0: 40, y0: 40, x1: 120, y1: 120)
        let time: Double?
        switch family {
        case .medsamCompact:
            time = Self.time(of: "medsam-compact-box", Self.testFrame, SegmenterOptions(box: box))
        case .medsam2Compact:
            // A tracking that has to reach the last slice does not end before it.
            let last = Self.trackedSlices
            let options = SegmenterOptions(slicePrompts: [1, last].map { SlicePrompt(slice: $0, box: box) })
            time = Self.time(of: "medsam2-compact", Self.testVolume(last), options).map { $0 / Double(last) }
        case .sam, .medsam, .liteMedSAM, .sam2, .medsam2: time = nil
        }
        images[family] = time
        return time
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
        let isVolume = (try? Segmenters.entry(name))?.template.accepts == .volume
        let input = isVolume ? Self.testVolume(Self.testSlices) : Self.testFrame
        guard let seconds = Self.time(of: name, input, .none) else { return nil }
        // The test volume has 1/64 of the voxels of an ordinary one, at the same spacing.
        let time = seconds * Double(isVolume ? 64 : ExpectedTime.studyFrames)
        compact[name] = time
        return time
    }

    /// Seconds of the second run of a segmenter; the first run warms up.
    private static func time(of name: String, _ input: SegmenterInput, _ options: SegmenterOptions) -> Double? {
        guard let segmenter = try? Segmenters.make(name) else { return nil }
        var seconds = 0.0
        for _ in 0..<2 {
            let start = MonotonicClock.now()
            guard (try? segmenter.segment(input, options: options, trace: nil) { _, _ in }) != nil else { return nil }
            seconds = (MonotonicClock.now() - start) / .seconds(1)
        }
        return seconds
    }

    /// Slices of the test volume.
    private static let testSlices = 22
    /// Slices of the test volume of a tracker: with as many, the last ones attend to all memories.
    private static let trackedSlices = 8

    private static var testFrame: SegmenterInput {
        .frames([Frame(rows: 576, columns: 720, channels: 3, samples: noise(576 * 720 * 3))])
    }

    /// A volume of 100 x 100 mm, with 1.25 mm for each slice.
    private static func testVolume(_ slices: Int) -> SegmenterInput {
        let plane = PlaneGeometry(
            position: Vector3(0, 0, 0), rowDirection: Vector3(1, 0, 0), columnDirection: Vector3(0, 1, 0),
            rowSpacing: 0.625, columnSpacing: 0.625)
        return .volume(
            Volume(
                slices: slices, rows: 160, columns: 160, voxels: noise(slices * 160 * 160), plane: plane,
                sliceSpacing: 1.25))
    }

    private static func noise(_ count: Int) -> [Float] { (0..<count).map { Float($0 &* 7919 % 256) } }
}
