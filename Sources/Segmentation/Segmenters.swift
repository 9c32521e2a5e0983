// SPDX-License-Identifier: Apache-2.0

public import Imaging
internal import Inference

/// The segmenters that are built in: an explicit list.
public enum Segmenters {
    private static var recipes: [any Recipe.Type] {
        [
            PolypCompact.self,
            LeftAtriumCompact.self,
        ]
    }

    /// Every segmenter, described. Cheap: no weights are read.
    public static let all: [SegmenterDescriptor] = recipes.map { $0.description }

    /// Loads a segmenter, on the thread that will use it.
    ///
    /// - Parameters:
    ///   - name: the `name` of a descriptor in `all`.
    ///   - threads: for all inference in this process; fixed by the first call, later ones must ask for as many.
    ///     `nil`: as many as were fixed already, else as many as there are processors, at most 8.
    /// - Throws: `SegmentationError`.
    public static func make(_ name: String, threads: Int? = nil) throws -> any Segmenter {
        guard let recipe = recipes.first(where: { $0.name == name }) else {
            throw SegmentationError.unknownSegmenter(name, known: all.map(\.name))
        }
        return try recipe.naming(name) {
            if let threads { try Compute.start(threads: threads) } else { try Compute.startWithAnyThreads() }
            return try recipe.init(precision: Compute.precision())
        }
    }
}
