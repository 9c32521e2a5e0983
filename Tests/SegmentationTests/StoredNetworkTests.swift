// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging
import Inference
import Segmentation
import Testing

extension SegmentationSuites {
    /// Scaled-down networks whose sizes are in the metadata of their files, on their way through the store of weights.
    @Suite struct StoredNetworkTests {
        private func withStore(_ body: (WeightStore) throws -> Void) throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "kontur-stored-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: folder) }
            try body(WeightStore(folder: folder.path))
        }

        private func given(_ family: ModelFamily) throws -> InstalledWeights {
            try #require(try DrawnModels.installed().first { $0.family == family })
        }

        private func answer(_ name: String, _ weights: InstalledWeights) throws -> SegmenterResult {
            let segmenter = try Segmenters.make(Segmenters.choose(name, among: [weights]))
            let box = Box(x0: 8, y0: 6, x1: 30, y1: 25)
            let input = Inputs.make(for: segmenter.descriptor.accepts, Inputs.pattern)
            return try segmenter.segment(input, options: SegmenterOptions(box: box), trace: nil) { _, _ in }
        }

        private static let segmenters: [(String, ModelFamily, String?)] = [
            ("sam2-track", .sam2, "Hiera 16/8 (2.1)"), ("sam2-box", .sam2, "Hiera 16/8 (2.1)"),
            ("lite-medsam-box", .liteMedSAM, "TinyViT"), ("medsam-compact-box", .medsamCompact, nil),
        ]

        @Test(arguments: segmenters)
        func `a stored network answers as the file that was added`(
            name: String, family: ModelFamily, architecture: String?
        ) throws {
            try withStore { store in
                let given = try given(family)
                let added = try store.add(given.path).weights
                #expect(added.family == family && added.architecture.contains(architecture ?? added.architecture))
                #expect(added.inputSize == (family == .sam2 ? 128 : 64))
                #expect(added.licence == "not known: weights of your own")
                let (stored, file) = try (added.open().metadata, SafeTensors(path: given.path).metadata)
                #expect(stored["inputSize"] == file["inputSize"] && stored["hiera"] == file["hiera"])
                let (found, expected) = try (answer(name, added), answer(name, given))
                #expect(found.masks == expected.masks && found.probabilities == expected.probabilities)
                // The drawn tracker finds nothing, but its object scores are in the confidence.
                #expect(found.frameConfidence == expected.frameConfidence)
                #expect(name == "sam2-track" || expected.masks.contains { !$0.isEmpty })
                // A stored file that is added to another store is the same network again.
                let again = try store.add(added.path, .init(name: "again")).weights
                #expect(again.inputSize == added.inputSize && again.architecture == added.architecture)
            }
        }

        @Test func `an input size that the operator names replaces the missing one`() throws {
            try withStore { store in
                let given = try given(.sam2)
                var bytes = try Data(contentsOf: URL(filePath: given.path))
                let range = try #require(bytes.range(of: Data(#""inputSize":"128","#.utf8)))
                bytes.replaceSubrange(range, with: Data(repeating: 0x20, count: range.count))
                let path = given.path + ".without-size.safetensors"
                defer { try? FileManager.default.removeItem(atPath: path) }
                try bytes.write(to: URL(filePath: path))
                let added = try store.add(path, .init(inputSize: 128)).weights
                let (found, expected) = try (answer("sam2-box", added), answer("sam2-box", given))
                #expect(found.masks == expected.masks && found.probabilities == expected.probabilities)
                #expect(expected.masks.contains { !$0.isEmpty })
                #expect(try store.add(path, .init(name: "published")).weights.inputSize == nil)
            }
        }

        @Test func `the facts of the training stay with the weights`() throws {
            try withStore { store in
                let given = try given(.medsamCompact)
                var bytes = try Data(contentsOf: URL(filePath: given.path))
                let facts = #"{"confidence":null}"#
                let entry = Data(#""kontur":"\#(facts.replacing("\"", with: "\\\""))","#.utf8)
                let place = try #require(bytes.range(of: Data(#""inputSize""#.utf8))).lowerBound
                bytes.insert(contentsOf: entry, at: place)
                let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) } + UInt64(entry.count)
                withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(0..<8, with: $0) }
                let path = given.path + ".with-facts.safetensors"
                defer { try? FileManager.default.removeItem(atPath: path) }
                try bytes.write(to: URL(filePath: path))
                #expect(try store.add(path).weights.open().metadata["kontur"] == facts)
            }
        }
    }
}
