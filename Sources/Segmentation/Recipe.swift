// SPDX-License-Identifier: Apache-2.0

internal import CWeights
internal import Foundation
internal import Imaging
internal import Inference

/// A segmenter before its weights are loaded: its line of the catalogue, and the code that loads
/// it.
///
/// A recipe runs on weights inside the executable, on weights that a site installs, or on either.
/// `Segmenters.all` lists every recipe.
struct Recipe: Sendable {
    /// The description of the segmenter and of the weights and options that it takes.
    let entry: SegmenterEntry
    /// The version of the recipe on a file of weights.
    ///
    /// A recipe replaces this function if another file beside the weights decides answers too.
    var version: @Sendable (_ weights: String) throws(SegmentationError) -> String
    /// Packs verified weights.
    ///
    /// `Compute` runs on this thread already.
    private let make: @Sendable (RecipeWeights) throws -> any Segmenter

    /// A recipe whose version does not depend on the weights.
    ///
    /// - Parameters:
    ///   - entry: the line of the catalogue.
    ///   - make: packs the weights.
    init(_ entry: SegmenterEntry, make: @escaping @Sendable (RecipeWeights) throws -> any Segmenter) {
        self.entry = entry
        self.make = make
        version = { _ in entry.template.version }
    }

    /// The network inside the executable that this recipe runs on, if the build embedded one.
    private var embedded: EmbeddedWeights? { EmbeddedWeights(entry.embeddedName) }

    /// The segmenter on installed weights of its family.
    ///
    /// The weights are of the family `entry.family`.
    ///
    /// - Throws: `SegmentationError.rule`.
    func installed(_ weights: InstalledWeights) throws(SegmentationError) -> InstalledSegmenter {
        precondition(weights.family == entry.family, "the weights are of the family that the segmenter needs")
        var descriptor = entry.template
        descriptor.version = try version(weights.path)
        descriptor.weightsHash = weights.sha256
        // Descriptors are written in ASCII.
        descriptor.licence = String(
            decoding: weights.licence.utf8.map { $0 < 128 ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
        return InstalledSegmenter(
            descriptor,
            weights: WeightFile(
                name: weights.name, path: weights.path, sha256: weights.sha256, bytes: weights.bytes))
    }

    /// Loads the segmenter, after its version and the hash of its weights were compared with
    /// `wanted`.
    ///
    /// - Parameters:
    ///   - wanted: the descriptor that the job names.
    ///   - file: installed weights; `nil` for the weights inside the executable.
    ///   - precision: the number format of the network's matrix products.
    /// - Returns: the loaded segmenter.
    /// - Throws: `SegmentationError`.
    func load(_ wanted: SegmenterDescriptor, file: WeightFile?, precision: Precision) throws -> any Segmenter {
        let other = SegmentationError.otherRecipe(segmenter: wanted.name, version: wanted.version)
        return try naming(entry.name) {
            if entry.family != nil, let file {
                guard entry.accepts(wanted.version, usual: try version(file.path)) else { throw other }
                let tensors = try Self.open(file, hash: wanted.weightsHash)
                return try make(
                    RecipeWeights(descriptor: wanted, tensors: tensors, path: file.path, precision: precision))
            }
            guard let embedded else {
                throw SegmentationError.missingWeights(segmenter: wanted.name, reason: "no file was named")
            }
            guard entry.accepts(wanted.version, usual: entry.template.version), embedded.sha256 == wanted.weightsHash
            else { throw other }
            return try make(
                RecipeWeights(descriptor: wanted, tensors: embedded.open(), path: nil, precision: precision))
        }
    }

    /// Loads the segmenter on the weights inside the executable.
    ///
    /// - Throws: `SegmentationError`.
    func loadEmbedded(precision: Precision) throws -> any Segmenter {
        try load(entry.template, file: nil, precision: precision)
    }

    /// Maps a file of weights, and reads it once to verify its hash.
    private static func open(_ file: WeightFile, hash: String) throws(WeightFileError) -> SafeTensors {
        let weights = try SafeTensors(path: file.path)
        let found = weights.sha256
        guard found == hash else {
            throw .unreadable(path: file.path, reason: "its SHA-256 is \(found), not \(hash)")
        }
        return weights
    }
}

/// Verified weights, and the other facts that a recipe needs to load them.
struct RecipeWeights {
    /// The descriptor of the segmenter on these weights: their hash, their terms, and the recipe's
    /// version on them.
    let descriptor: SegmenterDescriptor
    let tensors: SafeTensors
    /// Path of installed weights; `nil` for the weights inside the executable.
    let path: String?
    let precision: Precision

    /// Compares numbers that the recipe relies on with those that the file's metadata records from
    /// the training.
    ///
    /// - Parameter expected: members of the metadata's `input` object.
    /// - Throws: `SegmentationError.weights` if a number differs by 1e-6 or more.
    func check(_ expected: [String: [Double]]) throws(SegmentationError) {
        let facts = metadata.flatMap { try? JSONDecoder().decode(TrainingFacts.self, from: $0) }
        for (key, value) in expected.sorted(by: { $0.key < $1.key }) {
            let found = facts?.input[key]?.numbers
            let agrees = found.map { $0.count == value.count && zip($0, value).allSatisfy { abs($0 - $1) < 1e-6 } }
            guard agrees == true else {
                let reason = "they were trained with \(key) \(found ?? []), the recipe has \(value)"
                throw .weights(segmenter: descriptor.name, reason: reason)
            }
        }
    }

    /// The confidence that was fitted to this network.
    ///
    /// - Parameters:
    ///   - subject: the answers that the fit is for.
    ///   - names: the measures that the recipe takes.
    /// - Returns: the fit; `nil` if the file does not hold one.
    /// - Throws: `SegmentationError.weights` for coefficients that cannot be used.
    func confidenceFit(
        _ subject: ConfidenceFit.Subject = .whole, measures names: [String] = AnswerMeasures.names
    ) throws(SegmentationError) -> ConfidenceFit? {
        guard let metadata else { return nil }
        do {
            return try ConfidenceFit(facts: metadata, subject: subject, measures: names)
        } catch {
            throw .weights(segmenter: descriptor.name, reason: error.description)
        }
    }

    /// JSON with everything that a recipe needs besides the tensors.
    private var metadata: Data? { tensors.metadata["kontur"].map { Data($0.utf8) } }
}

/// The part of a weight file's `kontur` metadata that a recipe checks.
private struct TrainingFacts: Decodable {
    /// A number or a list of numbers.
    ///
    /// Text becomes an empty list.
    struct Value: Decodable {
        let numbers: [Double]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Double.self) {
                numbers = [number]
            } else {
                numbers = (try? container.decode([Double].self)) ?? []
            }
        }
    }

    let input: [String: Value]
}

/// A weight file inside the executable.
struct EmbeddedWeights {
    /// SHA-256 of the embedded file, 64 lower-case hexadecimal digits.
    let sha256: String
    private let bytes: UnsafePointer<UInt8>
    private let size: Int

    /// Finds the weights that the build embedded under a network's name in `CWeights`.
    ///
    /// The result is `nil` if the build did not embed this network.
    init?(_ name: String) {
        let files = UnsafeBufferPointer(start: cweights_files, count: cweights_count)
        guard let file = files.first(where: { String(cString: $0.name) == name }), let bytes = file.bytes else {
            return nil
        }
        sha256 = String(cString: file.sha256)
        self.bytes = bytes
        size = file.size
    }

    /// The hash of a network that every build embeds.
    static func hash(of name: String) -> String {
        guard let found = Self(name) else {
            preconditionFailure("Sources/CWeights has no weights of \(name): run python -m training.exporting.embed")
        }
        return found.sha256
    }

    /// Maps the file, after its bytes were found to have the recorded hash.
    ///
    /// - Throws: `WeightFileError`.
    func open() throws(WeightFileError) -> SafeTensors {
        let file = try SafeTensors(embedded: bytes, count: size)
        let found = file.sha256
        guard found == sha256 else {
            throw .unreadable(path: "the embedded weights", reason: "their SHA-256 is \(found), not \(sha256)")
        }
        return file
    }
}
