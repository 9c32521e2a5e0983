// SPDX-License-Identifier: Apache-2.0

public import Imaging
public import Inference

/// One line of the catalogue: a segmenter, whether or not its weights are here.
public struct SegmenterEntry: Sendable, Hashable {
    /// The options that a person can give to a segmenter: the members of `SegmenterOptions`.
    public enum Option: String, Sendable, Hashable, CaseIterable {
        /// A box around the structure, XYXY in pixels of the frame.
        case box
        /// Points inside or outside the structure, in pixels of the frame.
        case points
        /// The slice in which the box and points lie, counted from 1.
        case keySlice
        /// Prompts of further slices or frames.
        case slicePrompts
        /// Pixels of the network's input that widen a box made from a mask.
        case margin
        /// Pixels of the network's input by which prompts are moved to test an answer.
        case shift
        /// The recipe that tracks prompts from slice to slice.
        case recipe
        /// The distance in slices between boxes that the segmenter finds by itself.
        case promptEvery

        /// The option on the command line.
        public var argument: String {
            switch self {
            case .box: "--box"
            case .points: "--point"
            case .keySlice: "--key-slice"
            case .slicePrompts: "--box or --point with a slice in front"
            case .margin: "--margin"
            case .shift: "--shift"
            case .recipe: "--recipe"
            case .promptEvery: "--prompt-every"
            }
        }

        /// The option in the configuration of a route, in quotes; `nil` if a route cannot set it.
        public var routeKey: String? {
            switch self {
            case .margin, .shift, .recipe, .promptEvery: "'\(rawValue)'"
            case .box, .points, .keySlice, .slicePrompts: nil
            }
        }
    }

    /// The descriptor of the segmenter.
    ///
    /// `weightsHash` and `licence` are empty if the executable does not hold weights for it.
    /// `version` lacks the part that depends on files beside installed weights.
    public let template: SegmenterDescriptor
    /// The family of weights that a site can install; `nil` if the segmenter runs on embedded
    /// weights alone.
    public let family: ModelFamily?
    /// The options that the segmenter takes.
    public let options: Set<Option>
    /// Reasons why the segmenter does not take some other options, as the end of an error text.
    let refusals: [Option: String]
    /// Whether the segmenter makes many masks and chooses among them by a rule.
    public let choosesAmongMasks: Bool
    /// The values of the option `recipe`; the first one is what the segmenter does without the option.
    ///
    /// The version of the segmenter names the recipe, because another recipe gives other answers.
    public let recipes: [String]

    init(
        _ template: SegmenterDescriptor, family: ModelFamily? = nil, options: Set<Option> = [],
        refusals: [Option: String] = [:], choosesAmongMasks: Bool = false, recipes: [String] = []
    ) {
        self.choosesAmongMasks = choosesAmongMasks
        self.recipes = recipes
        self.template = template
        self.family = family
        self.options = options
        self.refusals = refusals
    }

    /// The name used in configurations, such as `polyp-compact`.
    public var name: String { template.name }

    /// Whether the executable holds weights for the segmenter.
    public var isEmbedded: Bool { !template.weightsHash.isEmpty }

    /// The name in `CWeights` of the network that the segmenter runs on.
    var embeddedName: String { family?.rawValue ?? name }

    /// Checks that the segmenter takes these options.
    ///
    /// A value that depends on the size of the image is checked later, when the image is here.
    ///
    /// - Throws: `SegmentationError.option`.
    public func check(_ asked: SegmenterOptions) throws(SegmentationError) {
        if let recipe = asked.recipe, !TrackingMethod.allCases.contains(where: { $0.rawValue == recipe }) {
            let known = TrackingMethod.allCases.map(\.rawValue).joined(separator: ", ")
            throw refusal(.recipe, "no recipe is named \(recipe): choose one of \(known)")
        }
        for option in Option.allCases where asked.has(option) && !options.contains(option) {
            guard let reason = refusals[option] else {
                throw .optionNotTaken(segmenter: name, option: option, takes: options)
            }
            throw refusal(option, reason)
        }
        try checkNumbers(asked)
    }

    /// The segmenter's version with the recipe that the options ask for.
    ///
    /// - Parameters:
    ///   - version: the version with the recipe that the segmenter follows without the option.
    ///   - recipe: one of `recipes`, or `nil` for the first one.
    /// - Returns: the version with the name of the recipe in its build metadata.
    func version(_ version: String, following recipe: String?) -> String {
        guard let recipe, let usual = recipes.first, recipe != usual else { return version }
        return version.replacing("+\(usual)", with: "+\(recipe)", maxReplacements: 1)
    }

    /// The recipe that a version names.
    ///
    /// - Parameters:
    ///   - version: a version of this segmenter.
    ///   - usual: the version without the option `recipe`.
    /// - Returns: one of `recipes`; `nil` if the version does not name any.
    func recipe(of version: String, usual: String) -> String? {
        recipes.first { self.version(usual, following: $0) == version }
    }

    /// Whether `version` is that of this recipe, whatever way of tracking it names.
    func accepts(_ version: String, usual: String) -> Bool {
        version == usual || recipe(of: version, usual: usual) != nil
    }

    private func refusal(_ option: Option, _ reason: String) -> SegmentationError {
        .option(segmenter: name, option: option, reason: reason)
    }

    private func check(_ box: Box?, _ points: [LabeledPoint]) throws(SegmentationError) {
        if let box {
            guard [box.x0, box.y0, box.x1, box.y1].allSatisfy(\.isFinite) else {
                throw refusal(.box, "its corners are not numbers")
            }
            guard box.x0 <= box.x1, box.y0 <= box.y1 else {
                throw refusal(.box, "it is inverted: write x0,y0,x1,y1 with x0 < x1 and y0 < y1")
            }
            guard box.width > 0, box.height > 0 else { throw refusal(.box, "it is empty: it has no width or height") }
        }
        guard points.allSatisfy({ $0.x.isFinite && $0.y.isFinite }) else {
            throw refusal(.points, "their coordinates are not numbers")
        }
        let isTracked = options.contains(.slicePrompts)
        guard !isTracked || box != nil || points.isEmpty || points.contains(where: \.isForeground) else {
            throw refusal(.points, "no point lies on the structure: give one with +, or a box")
        }
        let marked = points.filter(\.isForeground).map { [$0.x, $0.y] }
        if let both = points.first(where: { !$0.isForeground && marked.contains([$0.x, $0.y]) }) {
            throw refusal(.points, "the point \(both.x),\(both.y) lies both on the structure and beside it")
        }
    }

    /// The error about a slice or frame that has two prompts.
    func twoPrompts(_ prompt: SlicePrompt, _ place: String) -> SegmentationError {
        refusal(prompt.option, "\(place) \(prompt.slice) has two prompts: give one box and its points")
    }

    /// Checks that every prompted slice or frame exists.
    ///
    /// - Parameters:
    ///   - asked: options that `check` accepts.
    ///   - count: the number of slices or frames.
    ///   - thing: `slice` or `frame`.
    /// - Throws: `SegmentationError.option`.
    func check(_ asked: SegmenterOptions, count: Int, _ thing: String) throws(SegmentationError) {
        let key: [(option: Option, place: Int)] = asked.keySlice.map { [(.keySlice, $0)] } ?? []
        let named = key + asked.slicePrompts.map { ($0.option, $0.slice) }
        guard let missing = named.first(where: { $0.place > count }) else { return }
        let whole = thing == "slice" ? "the volume has" : "the images have"
        throw refusal(
            missing.option,
            "\(thing) \(missing.place) does not exist: \(whole) \(count) \(thing)\(count == 1 ? "" : "s")")
    }

    private func checkSlices(_ asked: SegmenterOptions) throws(SegmentationError) {
        if let slice = asked.keySlice, slice < 1 { throw refusal(.keySlice, "slices are counted from 1") }
        if asked.keySlice != nil, asked.box == nil, asked.points.isEmpty, !asked.slicePrompts.isEmpty {
            throw refusal(.keySlice, "it has no box and no points, but other slices have: leave it out")
        }
        var slices = Set<Int>()
        if asked.box != nil || !asked.points.isEmpty, let key = asked.keySlice { slices.insert(key) }
        for prompt in asked.slicePrompts {
            guard prompt.slice >= 1 else { throw refusal(prompt.option, "slices are counted from 1") }
            guard slices.insert(prompt.slice).inserted else { throw twoPrompts(prompt, "slice") }
            guard prompt.box != nil || !prompt.points.isEmpty else {
                throw refusal(.slicePrompts, "the prompt of slice \(prompt.slice) is empty: give a box or points")
            }
            try check(prompt.box, prompt.points)
        }
    }

    private func checkNumbers(_ asked: SegmenterOptions) throws(SegmentationError) {
        func refuse(_ option: Option, _ reason: String) -> SegmentationError { refusal(option, reason) }
        try check(asked.box, asked.points)
        try checkSlices(asked)
        if let recipe = asked.recipe, !recipes.contains(recipe) {
            throw refuse(
                .recipe, "it does not follow \(recipe): it follows \(recipes.joined(separator: ", "))")
        }
        if let distance = asked.promptEvery, distance < 1 {
            throw refuse(.promptEvery, "it is a number of slices of at least 1")
        }
        if asked.promptEvery != nil, asked.hasPrompt {
            throw refuse(
                .promptEvery,
                "it is for boxes that the segmenter finds: leave out the prompts, or prompt further slices")
        }
        if let margin = asked.margin, !(abs(margin) <= 1024) {
            throw refuse(.margin, "it must be -1024 to 1024 pixels of the network's input")
        }
        if let shift = asked.shift, !(0...256).contains(shift) {
            throw refuse(.shift, "it must be 0 to 256 pixels of the network's input")
        }
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
        case .slicePrompts: !slicePrompts.isEmpty
        case .recipe: recipe != nil
        case .promptEvery: promptEvery != nil
        }
    }
}

extension SlicePrompt {
    /// The option with which a person gave the prompt.
    fileprivate var option: SegmenterEntry.Option { box != nil || points.isEmpty ? .box : .points }
}
