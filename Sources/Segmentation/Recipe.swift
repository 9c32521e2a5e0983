// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging
internal import Inference

/// Runs `body`, and says of every error of the kernels or weights whose it is.
func naming<Value>(_ name: String, _ body: () throws -> Value) throws -> Value {
    do {
        return try body()
    } catch let error as WeightFileError {
        throw SegmentationError.weights(segmenter: name, reason: error.description)
    } catch let error as ComputeError {
        throw SegmentationError.compute(segmenter: name, reason: error.description)
    } catch let error as SegmentAnythingError {
        throw SegmentationError.compute(segmenter: name, reason: error.description)
    }
}

/// What a segmenter on weights that a site installs declares beside the door's `Segmenter`.
protocol InstalledRecipe: Segmenter {
    static var entry: SegmenterEntry { get }

    /// The version on a file of weights: what a site laid beside them decides answers, too.
    ///
    /// - Parameter path: of the weights, which are not read.
    /// - Throws: `SegmentationError.rule`.
    static func version(on path: String) throws(SegmentationError) -> String

    /// Packs the weights; `Compute` has been started on this thread.
    ///
    /// - Parameters:
    ///   - descriptor: the entry's, with the version on these weights, their hash and terms.
    ///   - file: where the weights are; `nil`: inside the executable.
    init(_ descriptor: SegmenterDescriptor, weights: SafeTensors, file: WeightFile?, precision: Precision) throws
}

extension InstalledRecipe {
    static func version(on path: String) -> String { entry.template.version }
}

/// What every segmenter on embedded weights declares beside the door's `Segmenter`.
protocol Recipe: Segmenter {
    static var description: SegmenterDescriptor { get }

    /// Loads the weights; `Compute` has been started on this thread.
    init(precision: Precision) throws
}

extension Recipe {
    var descriptor: SegmenterDescriptor { Self.description }

    static var name: String { description.name }
    static var entry: SegmenterEntry { SegmenterEntry(description) }

    static func unsuitable(_ reason: String) -> SegmentationError { .unsuitable(segmenter: name, reason: reason) }

    /// The embedded file, whose metadata must agree with the recipe.
    ///
    /// - Parameter expected: values of the file's `input` facts that the recipe relies on.
    static func weights(expecting expected: [String: [Double]]) throws -> SafeTensors {
        try naming(name) {
            let file = try EmbeddedWeights(of: name).open()
            let parsed = file.recipeFacts.flatMap { try? JSONDecoder().decode(RecipeFacts.self, from: $0) }
            for (key, value) in expected.sorted(by: { $0.key < $1.key }) {
                let found = parsed?.input[key]?.numbers
                let agrees = found.map { $0.count == value.count && zip($0, value).allSatisfy { abs($0 - $1) < 1e-6 } }
                guard agrees == true else {
                    let reason = "they were trained with \(key) \(found ?? []), the recipe has \(value)"
                    throw SegmentationError.weights(segmenter: name, reason: reason)
                }
            }
            return file
        }
    }

    /// The confidence that was fitted to this file's network; `nil` when none was.
    static func confidenceFit(in file: SafeTensors) throws -> ConfidenceFit? {
        guard let facts = file.recipeFacts else { return nil }
        do {
            return try ConfidenceFit(facts: facts)
        } catch {
            throw SegmentationError.weights(segmenter: name, reason: error.description)
        }
    }
}

extension SafeTensors {
    /// The JSON of everything that a recipe needs besides the tensors.
    fileprivate var recipeFacts: Data? { metadata["kontur"].map { Data($0.utf8) } }
}

/// The part of a weight file's `kontur` metadata that a recipe checks.
private struct RecipeFacts: Decodable {
    /// A number, a list of numbers, or text, which is passed over.
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
