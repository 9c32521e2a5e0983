// SPDX-License-Identifier: Apache-2.0

import Persistence
import Platform
import Supervision

/// Has the index worker decode two variants of an instance, to find out whether they show the same image.
///
/// A scanner and a PACS may both send an instance, one of them compressed without loss. Ordinary instances are not
/// decoded.
struct VariantComparison: Sendable {
    let pool: WorkerPool
    let stop: StopFlag

    /// Compares an instance with the current variants of its UID.
    ///
    /// A worker that dies, overruns or cannot decode a file means another image.
    ///
    /// - Parameters:
    ///   - instance: the findings about the instance.
    ///   - path: absolute path of its file.
    ///   - variants: variants with other digests.
    /// - Returns: the findings, with the digest of the first variant that shows the same image; `nil` if the node
    ///   stops.
    /// - Throws: `WorkMessageError` for a path that does not fit into a message.
    func compared(
        _ instance: IndexedInstance, at path: String, with variants: [InstanceVariant]
    ) async throws -> IndexedInstance? {
        var instance = instance
        for variant in variants where variant.imageDigest != instance.imageDigest {
            guard let isSame = try await isSameImage(path, variant.path) else { return nil }
            if isSame, !instance.isRecoded {
                instance.imageDigest = variant.imageDigest
                instance.isRecoded = true
            } else {
                instance.otherImages.insert(variant.id)
            }
        }
        // A variant with the digest that the instance had before is known, too.
        instance.otherImages.formUnion(variants.map(\.id))
        return instance
    }

    private func isSameImage(_ path: String, _ other: String) async throws -> Bool? {
        while true {
            switch try await pool.perform(.compare(request: CompareRequest(path: path, otherPath: other))) {
            case .response(.compared(let isSameImage)): return isSameImage
            case .response, .workerDied, .overran: return false
            case .stopped: return nil
            case .notStarted:
                await Pause.wait(.seconds(2))
                if stop.isSet || Task.isCancelled { return nil }
            }
        }
    }
}
