// SPDX-License-Identifier: Apache-2.0

public import Imaging
public import Inference

/// One line of the catalogue: a segmenter, whether or not its weights are here.
public struct SegmenterEntry: Sendable, Hashable {
    /// What a person may ask of a segmenter: the members of `SegmenterOptions`.
    public enum Option: String, Sendable, Hashable, CaseIterable {
        case box
        case points
        case keySlice
        case margin
        case shift
    }

    /// `weightsHash` and `licence` are empty where only the site has weights, and `version` may lack what lies beside
    /// them.
    public let template: SegmenterDescriptor
    /// The family of weights that a site can install for it; `nil` when it runs on those inside the executable alone.
    public let family: ModelFamily?
    /// What it takes.
    public let options: Set<Option>
    /// Why it does not take some of the others, in words that follow "cannot use it: ".
    let refusals: [Option: String]
    /// Whether it makes many masks and chooses among them by a rule.
    public let choosesAmongMasks: Bool

    init(
        _ template: SegmenterDescriptor, family: ModelFamily? = nil, options: Set<Option> = [],
        refusals: [Option: String] = [:], choosesAmongMasks: Bool = false
    ) {
        self.choosesAmongMasks = choosesAmongMasks
        self.template = template
        self.family = family
        self.options = options
        self.refusals = refusals
    }

    public var name: String { template.name }

    /// Whether it has weights inside the executable.
    public var isEmbedded: Bool { !template.weightsHash.isEmpty }

    /// The segmenter on weights of its family.
    ///
    /// - Parameter version: of the recipe on these weights.
    func installed(_ weights: InstalledWeights, version: String) -> InstalledSegmenter {
        precondition(weights.family == family, "the weights are of the family that the segmenter needs")
        var descriptor = template
        descriptor.version = version
        descriptor.weightsHash = weights.sha256
        descriptor.licence = Self.plain(weights.licence)
        return InstalledSegmenter(
            descriptor,
            weights: WeightFile(
                name: weights.name, path: weights.path, sha256: weights.sha256, bytes: weights.bytes))
    }

    /// Whether the segmenter takes these options; what depends on the image's size shows when it is there.
    ///
    /// - Throws: `SegmentationError.option`.
    public func check(_ asked: SegmenterOptions) throws(SegmentationError) {
        for option in Option.allCases where asked.has(option) && !options.contains(option) {
            let reason = refusals[option] ?? "it takes \(options.isEmpty ? "no options" : "others: \(known)")"
            throw .option(segmenter: name, option: option.rawValue, reason: reason)
        }
        try checkNumbers(asked)
    }

    private func checkNumbers(_ asked: SegmenterOptions) throws(SegmentationError) {
        func refuse(_ option: Option, _ reason: String) -> SegmentationError {
            .option(segmenter: name, option: option.rawValue, reason: reason)
        }
        if let box = asked.box {
            guard [box.x0, box.y0, box.x1, box.y1].allSatisfy(\.isFinite) else {
                throw refuse(.box, "its corners are not numbers")
            }
            guard box.x0 <= box.x1, box.y0 <= box.y1 else {
                throw refuse(.box, "it is inverted: write x0,y0,x1,y1 with x0 < x1 and y0 < y1")
            }
            guard box.width > 0, box.height > 0 else { throw refuse(.box, "it is empty: it has no width or height") }
        }
        guard asked.points.allSatisfy({ $0.x.isFinite && $0.y.isFinite }) else {
            throw refuse(.points, "their coordinates are not numbers")
        }
        if let slice = asked.keySlice, slice < 1 { throw refuse(.keySlice, "slices are counted from 1") }
        if let margin = asked.margin, !(abs(margin) <= 1024) {
            throw refuse(.margin, "it is a number of pixels of the network's input")
        }
        if let shift = asked.shift, !(0...256).contains(shift) {
            throw refuse(.shift, "it is 0 to 256 pixels of the network's input")
        }
    }

    private var known: String { options.map(\.rawValue).sorted().joined(separator: ", ") }

    /// Descriptors are written in ASCII.
    private static func plain(_ text: String) -> String {
        String(decoding: text.utf8.map { $0 < 128 ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}

extension SegmenterOptions {
    /// Whether `option` is set.
    public func has(_ option: SegmenterEntry.Option) -> Bool {
        switch option {
        case .box: box != nil
        case .points: !points.isEmpty
        case .keySlice: keySlice != nil
        case .margin: margin != nil
        case .shift: shift != nil
        }
    }
}
