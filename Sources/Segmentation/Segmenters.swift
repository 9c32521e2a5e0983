// SPDX-License-Identifier: Apache-2.0

public import Imaging

/// The segmenters that are built in: an explicit list.
public enum Segmenters {
    /// Every segmenter, described. Cheap: no weights are read.
    public static let all: [SegmenterDescriptor] = []

    /// Loads a segmenter, on the thread that will use it.
    ///
    /// - Parameters:
    ///   - name: the `name` of a descriptor in `all`.
    ///   - threads: for all inference in this process; fixed by the first call, later ones must ask for as many.
    ///     `nil`: as many as there are processors, at most 8.
    /// - Throws: `SegmentationError`.
    public static func make(_ name: String, threads: Int? = nil) throws -> any Segmenter {
        throw SegmentationError.unknownSegmenter(name, known: all.map(\.name))
    }
}
