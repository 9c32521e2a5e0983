// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import TestSupport
import Testing

/// Checkpoints of PyTorch and transformers, and the weights that the store makes of them.
@Suite struct CheckpointTests {
    static func added(
        _ fixture: String, as file: String? = nil, _ options: WeightStore.AddOptions = .init(),
        _ body: (WeightStore.Addition, SafeTensors) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let source = try folder.file(file ?? fixture, Fixture.bytes(fixture))
            let store = WeightStore(folder: folder.appending(path: "store").path)
            let addition = try store.add(source, options)
            try body(addition, addition.weights.open())
        }
    }

    /// The length and the JSON of a safetensors file's header.
    static func header(of path: String) throws -> (length: Int, object: [String: [String: Any]]) {
        let bytes = try Data(contentsOf: URL(filePath: path))
        let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        let object = try JSONSerialization.jsonObject(with: bytes[8..<8 + length])
        return (length, try #require(object as? [String: [String: Any]]))
    }

    /// The number types of a safetensors file's tensors.
    static func types(in path: String) throws -> [String: String] {
        try header(of: path).object.compactMapValues { $0["dtype"] as? String }
    }

    @Test(arguments: [
        "sam_flat.pth", "sam_trained.pth", "sam_strided.pth", "sam_double.pth", "sam_transformers.safetensors",
        "sam_expected.safetensors",
    ])
    func `every way of saving a network gives the same tensors`(fixture: String) throws {
        let expected = try SafeTensors(path: Fixture.path("sam_expected.safetensors"))
        try Self.added(fixture) { addition, stored in
            #expect(stored.names == expected.names)
            let types = try Self.types(in: addition.weights.path)
            for name in expected.names {
                let (found, right) = (try stored.tensor(name), try expected.tensor(name))
                #expect(found == right, "\(name)")
                #expect(types[name] == "F32")
            }
            #expect(addition.weights.name == "sam_vit_custom")
            #expect(addition.weights.family == .sam)
            #expect(addition.weights.architecture == "ViT 8/2, 8 x 8")
            #expect(
                addition.weights.parameters
                    == expected.names.reduce(0) { $0 + (expected.shape(of: $1) ?? []).reduce(1, *) })
            #expect(stored.metadata["kontur.family"] == "sam")
            #expect(stored.metadata["kontur.source"] == fixture)
            #expect(stored.metadata["kontur.source_sha256"] == addition.weights.source.sha256)
        }
    }

    @Test(arguments: [("sam_half_protocol4.pth", "F16"), ("sam_bfloat16_parameters.pth", "BF16")])
    func `half precision is stored as it is`(fixture: String, type: String) throws {
        let expected = try SafeTensors(path: Fixture.path("sam_expected.safetensors"))
        try Self.added(fixture) { addition, stored in
            #expect(stored.names == expected.names)
            let types = try Self.types(in: addition.weights.path)
            let allowed: Float = type == "F16" ? 0x1p-11 : 0x1p-8
            for name in expected.names {
                #expect(types[name] == type)
                let (found, right) = (try stored.tensor(name), try expected.tensor(name))
                #expect(found.shape == right.shape)
                // Rounded to nearest: half a unit in the last place, or of the smallest subnormal number.
                #expect(zip(found.values, right.values).allSatisfy { abs($0 - $1) <= max(abs($1) * allowed, 0x1p-25) })
            }
        }
    }

    @Test func `LiteMedSAM is recognised, and its counters are left out`() throws {
        let expected = try SafeTensors(path: Fixture.path("lite_expected.safetensors"))
        try Self.added("lite_medsam.pth") { addition, stored in
            #expect(stored.names == expected.names)
            for name in expected.names {
                let (found, right) = (try stored.tensor(name), try expected.tensor(name))
                #expect(found == right, "\(name)")
            }
            #expect(addition.weights.family == .liteMedSAM)
            #expect(addition.weights.name == "lite_medsam_custom")
            #expect(addition.notes == ["Left out tensors that only training needs: num_batches_tracked."])
        }
    }

    @Test func `medsam-compact is recognised, and every tensor compared with its levels`() throws {
        let shapes = try DrawnSam("sam_convolutional").facts.shapes
        try withTemporaryFolder { folder in
            let store = WeightStore(folder: folder.appending(path: "store").path)
            let addition = try store.add(folder.file("compact.safetensors", [UInt8](DrawnWeights.file(shapes))))
            #expect(addition.weights.family == .medsamCompact && addition.weights.name == "medsam_compact")
            #expect(addition.weights.architecture == "convolutional 16/16/32/48/32" && addition.notes.isEmpty)
            let stored = try addition.weights.open()
            #expect(stored.names == shapes.keys.sorted())

            for (name, shape) in [
                ("image_encoder.encoder.3.blocks.0.b.conv.weight", [48, 48, 3, 2]),
                ("image_encoder.decoder.1.project.conv.bias", [33]), ("image_encoder.fine.weight", [256, 16, 2, 1]),
            ] {
                var other = shapes
                other[name] = shape
                let file = try folder.file("other.safetensors", [UInt8](DrawnWeights.file(other)))
                #expect { _ = try store.add(file) } throws: { "\($0)".contains("\(name) has shape \(shape)") }
            }
            var surplus = shapes
            surplus["image_encoder.decoder.2.project.conv.weight"] = [16, 32, 1, 1]
            let file = try folder.file("surplus.safetensors", [UInt8](DrawnWeights.file(surplus)))
            #expect { _ = try store.add(file) } throws: { "\($0)".contains("do not fit 3 of the decoder") }
        }
    }

    @Test func `notes name the entries beside the model`() throws {
        try Self.added("sam_trained.pth") { addition, _ in
            let expected = "Left out entries that are not part of the model: 'epoch', 'loss', 'optimizer'."
            #expect(addition.notes.contains(expected))
        }
        try Self.added("sam_double.pth") { addition, _ in
            #expect(addition.notes.contains("Rounded double precision to single precision."))
        }
        try Self.added("sam_transformers.safetensors") { addition, _ in
            #expect(addition.notes.contains { $0.contains("from the names of transformers") })
            #expect(addition.notes.contains { $0.contains("prompt_encoder.shared_embedding") })
        }
    }

    @Test func `the file's name or the operator distinguishes MedSAM from SAM`() throws {
        try Self.added("sam_flat.pth", as: "MedSAM_best.pth") { addition, _ in
            #expect(addition.weights.family == .medsam)
            #expect(addition.weights.name == "medsam_vit_custom")
            #expect(addition.notes.contains { $0.hasPrefix("Assumed MedSAM") && $0.contains("--family sam") })
        }
        try Self.added("sam_flat.pth", as: "MedSAM_best.pth", .init(family: .sam)) { addition, _ in
            #expect(addition.weights.family == .sam)
            #expect(addition.notes.isEmpty)
        }
        try Self.added("sam_flat.pth", .init(family: .medsam, terms: "ours")) { addition, _ in
            #expect(addition.weights.family == .medsam)
            #expect(addition.weights.licence == "ours")
        }
        try Self.added("sam_flat.pth") { addition, _ in
            #expect(addition.notes.contains { $0.hasPrefix("Assumed SAM") && $0.contains("--family medsam") })
        }
    }

    @Test func `a family with other tensors is refused`() {
        #expect(throws: CheckpointError.otherFamily(asked: .liteMedSAM, network: "SAM ViT 8/2, 8 x 8")) {
            try Self.added("sam_flat.pth", .init(family: .liteMedSAM)) { _, _ in }
        }
        #expect(throws: CheckpointError.otherFamily(asked: .medsamCompact, network: "SAM ViT 8/2, 8 x 8")) {
            try Self.added("sam_flat.pth", .init(family: .medsamCompact)) { _, _ in }
        }
        #expect(throws: CheckpointError.otherFamily(asked: .medsam, network: "LiteMedSAM")) {
            try Self.added("lite_medsam.pth", .init(family: .medsam)) { _, _ in }
        }
    }

    @Test func `the stored file is one that safetensors itself reads, with aligned numbers`() throws {
        try Self.added("sam_flat.pth") { addition, _ in
            let (header, object) = try Self.header(of: addition.weights.path)
            #expect((8 + header).isMultiple(of: 64))
            let expected = try SafeTensors(path: Fixture.path("sam_expected.safetensors")).names
            #expect(Set(object.keys) == Set(expected + ["__metadata__"]))
        }
    }
}
