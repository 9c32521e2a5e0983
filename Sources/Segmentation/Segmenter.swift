// SPDX-License-Identifier: Apache-2.0

public import Imaging
internal import Inference

/// A segmenter whose weights are loaded and packed.
///
/// Calls are synchronous and use the threads that `Compute` started. A segmenter belongs to the
/// thread that made it. Call it from that thread only, because OpenMP builds a team of threads for
/// every calling thread.
///
/// The same input and options give the same result bit for bit, on one machine with one thread
/// count and precision.
public protocol Segmenter: AnyObject {
    /// The recipe, its version and its weights.
    var descriptor: SegmenterDescriptor { get }

    /// Segments `input`.
    ///
    /// - Parameters:
    ///   - input: frames or a volume, as `descriptor.accepts` says.
    ///   - options: a person's prompts and settings. Options that `SegmenterEntry.options` does not
    ///     list are refused. A box and points apply to every frame. In a volume they lie in the key slice.
    ///   - trace: receives the network's inputs and outputs frame by frame, if it is not `nil`.
    ///   - progress: called on the same thread after every step with the steps done and the steps
    ///     in all. A step is a frame, or a part of the work on a volume.
    /// - Returns: the answer on the grid of the source.
    /// - Throws: `SegmentationError`, and errors of `trace`.
    func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult
}

/// A segmenter that segments each frame by itself.
public protocol FrameSegmenter: Segmenter {
    /// Starts a run over the frames of a stack.
    ///
    /// - Parameters:
    ///   - frames: the number of frames that will come, with those that may be left out.
    ///   - options: a person's prompts and settings, as for `segment`.
    ///   - trace: receives the network's inputs and outputs frame by frame, if it is not `nil`.
    /// - Returns: a run without frames.
    /// - Throws: `SegmentationError.option`.
    func run(frames: Int, options: SegmenterOptions, trace: (any SegmentationTrace)?) throws -> any FrameRun
}

/// A run of a segmenter over frames, one after the other.
///
/// A run does not keep frames and masks, so that the memory that it needs does not grow with the stack.
public protocol FrameRun: AnyObject {
    /// Segments the next frame.
    ///
    /// - Parameter frame: a frame that `SegmenterInput.unsuitability(of:)` does not refuse.
    /// - Returns: the answer on the grid of the frame.
    /// - Throws: `SegmentationError`, and errors of the trace.
    func segment(_ frame: Frame) throws -> FrameAnswer

    /// Counts frames of the stack that cannot be read, so that the next frame keeps its number.
    func leaveOut(_ count: Int)

    /// The confidence of the whole stack, and remarks for its reader; after at least one frame.
    func summary() -> (confidence: Confidence, notes: [String])
}

/// The answer for one frame.
public struct FrameAnswer: Sendable {
    /// The binary mask.
    public var mask: Mask
    /// Foreground probability 0...1, `[rows, columns]`.
    public var probabilities: [Float]
    /// The confidence of the mask.
    public var confidence: Confidence

    /// Makes an answer from its parts.
    public init(mask: Mask, probabilities: [Float], confidence: Confidence) {
        self.mask = mask
        self.probabilities = probabilities
        self.confidence = confidence
    }

    /// Empties mask and probabilities where the frame does not hold an image.
    ///
    /// - Parameter padding: `[rows, columns]`, 1 for padding.
    fileprivate mutating func clear(_ padding: some Collection<UInt8>) {
        mask = Mask(rows: mask.rows, columns: mask.columns, pixels: zip(mask.pixels, padding).map { $1 == 1 ? 0 : $0 })
        probabilities = zip(probabilities, padding).map { $1 == 1 ? 0 : $0 }
    }
}

extension FrameRun {
    public func leaveOut(_ count: Int) {}

    /// Segments the next frame with its padded pixels as background, and empties the answer there.
    ///
    /// - Parameter frame: a frame that `SegmenterInput.unsuitability(of:)` does not refuse.
    /// - Returns: the answer on the grid of the frame.
    /// - Throws: as `segment(_:)`.
    public func answer(_ frame: Frame) throws -> FrameAnswer {
        guard !frame.padding.isEmpty else { return try segment(frame) }
        var answer = try segment(frame.withPaddingAsBackground)
        answer.clear(frame.padding)
        return answer
    }
}

/// The confidence of each frame of a run so far, and whether its mask is not empty.
struct FrameConfidences {
    private(set) var each: [Confidence] = []
    private var found: [Bool] = []
    private var flat = 0

    /// The number of frames.
    var count: Int { each.count }
    /// The confidence of the stack (`PromptConfidence.mean(_:found:)`).
    var whole: Confidence { PromptConfidence.mean(each, found: found) }

    /// Remarks on the frames for the reader of the answer.
    var notes: [String] {
        flat == 0 ? [] : ["nothing can be seen in \(flat) of \(count) frames: all pixels of a frame have one value"]
    }

    /// Adds the answer for the next frame.
    ///
    /// - Parameters:
    ///   - answer: the answer.
    ///   - frame: the frame.
    /// - Returns: the answer; its confidence is 0 if the frame does not have contrast.
    mutating func add(_ answer: FrameAnswer, of frame: Frame) -> FrameAnswer {
        var answer = answer
        if Contrast.isMissing(in: frame) {
            answer.confidence.value = 0
            flat += 1
        }
        each.append(answer.confidence)
        found.append(!answer.mask.isEmpty)
        return answer
    }
}

extension FrameSegmenter {
    public func segment(
        _ input: SegmenterInput, options: SegmenterOptions, trace: (any SegmentationTrace)?,
        progress: (Int, Int) -> Void
    ) throws -> SegmenterResult {
        let frames = try input.frames(for: descriptor.name)
        let run = try run(frames: frames.count, options: options, trace: trace)
        var answers: [FrameAnswer] = []
        for frame in frames {
            answers.append(try run.answer(frame))
            progress(answers.count, frames.count)
        }
        let (confidence, notes) = run.summary()
        return SegmenterResult(
            masks: answers.map(\.mask), probabilities: answers.map(\.probabilities),
            frameConfidence: answers.map(\.confidence), confidence: confidence, notes: notes)
    }
}

extension Segmenter {
    /// Segments `input` without a person's options and without a trace.
    ///
    /// - Parameters:
    ///   - input: frames or a volume, as `descriptor.accepts` says.
    ///   - progress: called on the same thread after every step with the steps done and the steps
    ///     in all.
    /// - Returns: the answer on the grid of the source.
    /// - Throws: `SegmentationError`.
    public func segment(_ input: SegmenterInput, progress: (Int, Int) -> Void) throws -> SegmenterResult {
        try segment(input, options: .none, trace: nil, progress: progress)
    }
}

/// The images of one job.
public enum SegmenterInput: Sendable {
    /// Frames of any sizes. Each is segmented by itself, in order.
    case frames([Frame])
    /// The slices of one stack in order along its normal, in any orientation.
    case volume(Volume)
}

extension SegmenterInput {
    /// Frames with more pixels are refused, because a recipe holds several planes of each at once.
    private static var mostPixels: Int { 40_000_000 }
    /// Volumes with more voxels are refused.
    private static var mostVoxels: Int { 150_000_000 }

    /// The frames, if a segmenter of frames can segment them.
    ///
    /// Errors name `segmenter`.
    ///
    /// - Throws: `SegmentationError.wrongKind` for a volume; `.unsuitable` without a frame, for a
    ///   frame that is too large, and for values that are not finite.
    func frames(for segmenter: String) throws(SegmentationError) -> [Frame] {
        guard case .frames(let frames) = self else { throw .wrongKind(segmenter: segmenter, accepts: "frames") }
        guard !frames.isEmpty else { throw .unsuitable(segmenter: segmenter, reason: "it has no frames") }
        for (index, frame) in frames.enumerated() {
            if let reason = Self.unsuitability(of: frame) {
                throw .unsuitable(segmenter: segmenter, reason: "frame \(index + 1) \(reason)")
            }
        }
        return frames
    }

    /// The reason why segmenters of frames do not take a frame; `nil` if they do.
    ///
    /// - Returns: the end of a sentence whose subject is the frame.
    public static func unsuitability(of frame: Frame) -> String? {
        guard frame.rows <= mostPixels / frame.columns else {
            return "has more than \(mostPixels / 1_000_000) million pixels"
        }
        return frame.samples.areFinite ? nil : "has values that are not finite"
    }

    /// The volume, if a segmenter of volumes can segment it, with padded voxels as background.
    ///
    /// Errors name `segmenter`.
    ///
    /// - Throws: `SegmentationError.wrongKind` for frames; `.unsuitable` for a volume that is too
    ///   large, and for values that are not finite.
    func volume(for segmenter: String) throws(SegmentationError) -> Volume {
        guard case .volume(let volume) = self else { throw .wrongKind(segmenter: segmenter, accepts: "volumes") }
        guard volume.voxels.count <= Self.mostVoxels else {
            let reason = "it has more than \(Self.mostVoxels / 1_000_000) million voxels"
            throw .unsuitable(segmenter: segmenter, reason: reason)
        }
        guard Self.areFinite(volume.voxels) else {
            throw .unsuitable(segmenter: segmenter, reason: "it has values that are not finite")
        }
        return volume.withPaddingAsBackground
    }

    /// Tests all values with one sum, because infinities and NaN survive every addition.
    private static func areFinite(_ values: [Float]) -> Bool {
        values.reduce(0) { $0 + abs($1) * 0x1p-64 }.isFinite
    }
}

/// The answer to one job, on the grid of the source.
///
/// Element `i` of each list belongs to frame or slice `i` of the input.
public struct SegmenterResult: Sendable {
    /// One binary mask per frame or slice.
    public var masks: [Mask]
    /// Foreground probability 0...1 of each frame, `[rows, columns]`.
    public var probabilities: [[Float]]
    /// Confidence of each frame or slice.
    public var frameConfidence: [Confidence]
    /// Confidence of the whole stack.
    public var confidence: Confidence
    /// Remarks on this answer for its reader, in plain ASCII and without patient data.
    public var notes: [String]
    /// The indices of the slices whose prompts led to the slices between them; empty if there is no such slice.
    public var prompted: [Int] = []

    /// Makes a result from its parts.
    public init(
        masks: [Mask], probabilities: [[Float]], frameConfidence: [Confidence], confidence: Confidence, notes: [String]
    ) {
        self.masks = masks
        self.probabilities = probabilities
        self.frameConfidence = frameConfidence
        self.confidence = confidence
        self.notes = notes
    }

    /// A result without frames, to which a recipe adds.
    init(computedIn precision: Precision) {
        self.init(
            masks: [], probabilities: [], frameConfidence: [], confidence: Confidence(value: 0, measures: [:]),
            notes: ["computed in \(precision.rawValue)"])
    }

    /// Adds the answer of the next frame or slice.
    ///
    /// - Parameters:
    ///   - mask: 0 or 1, `[rows, columns]`.
    ///   - probabilities: 0...1, `[rows, columns]`.
    ///   - rows: rows of the frame.
    ///   - columns: columns of the frame.
    ///   - confidence: the confidence of this frame.
    mutating func add(
        mask: [UInt8], probabilities: [Float], rows: Int, columns: Int, confidence: Confidence
    ) {
        masks.append(Mask(rows: rows, columns: columns, pixels: mask))
        self.probabilities.append(probabilities)
        frameConfidence.append(confidence)
    }

    /// Empties masks and probabilities where the input does not hold an image.
    ///
    /// - Parameter padding: 1 for padding, of all frames or slices in turn; empty if no pixel is padded.
    mutating func clear(_ padding: [UInt8]) {
        guard !padding.isEmpty else { return }
        var start = 0
        for index in masks.indices {
            let padded = padding[start..<start + masks[index].pixels.count]
            start += padded.count
            guard padded.contains(1) else { continue }
            var answer = FrameAnswer(
                mask: masks[index], probabilities: probabilities[index], confidence: frameConfidence[index])
            answer.clear(padded)
            (masks[index], probabilities[index]) = (answer.mask, answer.probabilities)
        }
    }
}

/// The reasons why a segmenter does not answer.
public enum SegmentationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The catalogue does not have a segmenter of this name; `known` lists the names that it has.
    case unknownSegmenter(String, known: [String])
    /// The input is of another kind than the segmenter accepts.
    case wrongKind(segmenter: String, accepts: String)
    /// The segmenter cannot segment this input.
    case unsuitable(segmenter: String, reason: String)
    /// The segmenter does not take this option, or not this value of it.
    case option(segmenter: String, option: SegmenterEntry.Option, reason: String)
    /// The segmenter does not take this option; `takes` are those that it takes.
    case optionNotTaken(segmenter: String, option: SegmenterEntry.Option, takes: Set<SegmenterEntry.Option>)
    /// The weights that the segmenter needs are not installed, or several are and none was chosen.
    case missingWeights(segmenter: String, reason: String)
    /// The job asks for another version of the recipe, other embedded weights or another rule than
    /// this node has.
    case otherRecipe(segmenter: String, version: String)
    /// The weights are damaged or do not fit the recipe.
    case weights(segmenter: String, reason: String)
    /// The rule file that a site put beside its weights cannot be used.
    case rule(segmenter: String, reason: String)
    /// The kernels failed, or the processor lacks an instruction set that they need.
    case compute(segmenter: String, reason: String)

    /// What is wrong, with which segmenter, and what to do; options have their names on the command line.
    public var description: String { description { $0.argument } }

    /// What is wrong, with which segmenter, and what to do.
    ///
    /// - Parameter name: gives the name of an option in the words of the person who reads the text; `nil` for an option
    ///   that the person cannot set there.
    /// - Returns: one sentence or two, with the remedy.
    public func description(_ name: (SegmenterEntry.Option) -> String?) -> String {
        switch self {
        case .unknownSegmenter(let name, let known):
            "no segmenter is named \(name): choose one of \(known.joined(separator: ", "))"
        case .wrongKind(let segmenter, let accepts):
            "\(segmenter) segments \(accepts) only: route this stack to another segmenter"
        case .unsuitable(let segmenter, let reason):
            "\(segmenter) cannot segment this stack: \(reason)"
        case .option(let segmenter, let option, let reason):
            "\(segmenter) cannot use \(name(option) ?? option.argument): \(reason)"
        case .optionNotTaken(let segmenter, let option, let takes):
            "\(segmenter) cannot use \(name(option) ?? option.argument): it takes "
                + Self.list(SegmenterEntry.Option.allCases.filter(takes.contains).compactMap(name))
        case .missingWeights(let segmenter, let reason):
            "\(segmenter) lacks its weights: \(reason)"
        case .otherRecipe(let segmenter, let version):
            "\(segmenter) \(version) with the weights of this job is not here: the recipe, the weights or the rule "
                + "changed after the job was made; send the images again"
        case .weights(let segmenter, let reason):
            "the weights of \(segmenter) cannot be used: \(reason); build or install them again"
        case .rule(let segmenter, let reason):
            "the rule of \(segmenter) cannot be used: \(reason)"
        case .compute(let segmenter, let reason):
            "\(segmenter) could not compute: \(reason)"
        }
    }
}

extension SegmentationError {
    /// The names of options as the end of a sentence.
    private static func list(_ names: [String]) -> String {
        names.isEmpty ? "no options" : names.joined(separator: ", ") + " only"
    }
}

/// Runs `body` and names the segmenter in every error of kernels or weights.
///
/// - Throws: `SegmentationError` for such errors. Other errors pass unchanged.
func naming<Value>(_ segmenter: String, _ body: () throws -> Value) throws -> Value {
    do {
        return try body()
    } catch let error as WeightFileError {
        throw SegmentationError.weights(segmenter: segmenter, reason: error.description)
    } catch let error as ComputeError {
        throw SegmentationError.compute(segmenter: segmenter, reason: error.description)
    } catch let error as SegmentAnythingError {
        throw SegmentationError.compute(segmenter: segmenter, reason: error.description)
    }
}
