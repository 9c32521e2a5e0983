// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Platform
import TestSupport
import Testing

/// Checkpoints of SAM 2: recognised by the names and shapes of their tensors.
///
/// The files are sparse: they have a header and room for the numbers.
@Suite struct SegmentAnything2CheckpointTests {
    /// SHA-256 of the sorted lines `name [shape]` of `state_dict()` in the package sam2 1.1.0, and the number of
    /// parameters.
    struct Expected {
        let name: String
        let isVersion21: Bool
        let tensors: Int
        let digest: String
        var parameters: Int?
    }

    static let expected = [
        Expected(
            name: "t", isVersion21: true, tensors: 471,
            digest: "aa97d3d723e3d9a274fafe9acc485268e11cfbd8f8906f147bd0966ea5a67ec9", parameters: 38_962_754),
        Expected(
            name: "s", isVersion21: true, tensors: 519,
            digest: "3bfa6b62d57cfb99196f6fdbf1fad40176b4c21ef18c8cf761c21082e8300909", parameters: 46_060_610),
        Expected(
            name: "b+", isVersion21: true, tensors: 615,
            digest: "3306e68a5090c989ce9495f712ed93942de79abd2f18b4686a66f2760eb5d0b2", parameters: 80_850_434),
        Expected(
            name: "l", isVersion21: true, tensors: 903,
            digest: "e80150164c9113ced6aebba005c54086720f89e4608bd3d495c95af8ffa276ba", parameters: 224_446_898),
        Expected(
            name: "t", isVersion21: false, tensors: 468,
            digest: "46dfd9146506224d5bfa36fab86358fb3f29e2eaf0bbae0f02661ae369b3ef76"),
        Expected(
            name: "b+", isVersion21: false, tensors: 612,
            digest: "3b46430dd2c541d656b867b34f019a0c1ee911b45cc8e67b0a71e1d0b95f387d"),
    ]

    static func shapes(_ name: String, isVersion21: Bool = true) throws -> [String: [Int]] {
        let trunk = try #require(HieraArchitecture.published.first { $0.name == name })
        return RecognisedSegmentAnything2.shapes(of: trunk, isVersion21: isVersion21)
    }

    @Test func `the tensors of every published size are those of the reference`() throws {
        for expected in Self.expected {
            let shapes = try Self.shapes(expected.name, isVersion21: expected.isVersion21)
            #expect(shapes.count == expected.tensors)
            if let parameters = expected.parameters {
                #expect(shapes.values.reduce(0) { $0 + $1.reduce(1, *) } == parameters)
            }
            #expect(Self.digest(of: shapes) == expected.digest, "\(expected.name)")
        }
    }

    /// SHA-256 of the sorted lines `name [shape]`.
    static func digest(of shapes: [String: [Int]]) -> String {
        let lines = shapes.map { "\($0.key) \($0.value)" }.sorted().joined(separator: "\n")
        var hasher = SHA256()
        Array(lines.utf8).withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return hasher.finalize().hexadecimal
    }

    /// SHA-256 of the sorted lines `name [shape]` of `state_dict()` in transformers 5.24 (Sam2VideoModel), as
    /// make_transformers_names.py prints them.
    static let transformers = [
        Expected(
            name: "t", isVersion21: true, tensors: 469,
            digest: "3cf8486bf3b86ee54bb3bb804c799331a4090f111c323d215da92cf7b4eb4704"),
        Expected(
            name: "s", isVersion21: true, tensors: 517,
            digest: "bb949b2231d9d6849efecb7b3b9c3f3bb927631fe6e6d61d39158b8ff9bb42fc"),
        Expected(
            name: "b+", isVersion21: true, tensors: 613,
            digest: "6f2bcab9210ba6b2bf4530bcb72f1fea3e76b00bb292f45ee59c95f9ff65407b"),
        Expected(
            name: "l", isVersion21: true, tensors: 901,
            digest: "3d23e5f05757da4dc0555c1f43e16009c4d15091f43f10e84a027a557d30599f"),
        Expected(
            name: "t", isVersion21: false, tensors: 466,
            digest: "666509757f3e69d0cb2b10c6f4df4cbad95f04b0608cac90e8b2e1af9822d577"),
        Expected(
            name: "b+", isVersion21: false, tensors: 610,
            digest: "eabac49f950b032963fc0da859c1acad7c32a0aaff6f892543f57475ec235da0"),
    ]

    /// The tensors of transformers' model of this size.
    static func renamed(_ name: String, isVersion21: Bool = true) throws -> [String: [Int]] {
        var renamed = [String: [Int]]()
        for (tensor, shape) in try shapes(name, isVersion21: isVersion21) where !tensor.contains("point_embeddings") {
            renamed[RecognisedSegmentAnything2.transformersName(tensor)] = shape
        }
        renamed["prompt_encoder.point_embed.weight"] = [4, 256]
        renamed["shared_image_embedding.positional_embedding"] = [2, 128]
        return renamed
    }

    /// Recognises a sparse safetensors file with these tensors.
    ///
    /// - Parameter beginnings: the first bytes of some tensors; all other bytes are 0.
    static func recognised(
        _ shapes: [String: [Int]], file: String = "x.safetensors", type: String = "F16", asked: ModelFamily? = nil,
        sha256: String = "", metadata: String = "{}", inputSize: Int? = nil, beginnings: [String: [UInt8]] = [:]
    ) throws -> RecognisedModel {
        try withTemporaryFolder { folder in
            var entries = ["\"__metadata__\":\(metadata)"]
            var end = 0
            var starts = [String: Int]()
            for (name, shape) in shapes.sorted(by: { $0.key < $1.key }) {
                starts[name] = end
                let bytes = shape.reduce(1, *) * (type == "F32" ? 4 : 2)
                entries.append(
                    "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(end),\(end + bytes)]}")
                end += bytes
            }
            let header = Array("{\(entries.joined(separator: ","))}".utf8)
            let path = try folder.file(file, little(UInt64(header.count), 8) + header)
            let handle = try FileHandle(forWritingTo: URL(filePath: path))
            try handle.truncate(atOffset: UInt64(8 + header.count + end))
            for (name, bytes) in beginnings {
                try handle.seek(toOffset: UInt64(8 + header.count + (starts[name] ?? 0)))
                try handle.write(contentsOf: Data(bytes))
            }
            try handle.close()
            return try RecognisedModel(
                Checkpoint(path: path), file: file, sha256: sha256, asked: asked, inputSize: inputSize)
        }
    }

    static func problem(_ shapes: [String: [Int]]) throws -> String {
        do {
            return "recognised \(try recognised(shapes).architecture)"
        } catch let error as CheckpointError {
            return error.description
        }
    }

    @Test func `size and version follow from the tensors`() throws {
        for (name, isVersion21, architecture, file) in [
            ("t", true, "Hiera-T (2.1)", "sam2.1_hiera_tiny"), ("s", false, "Hiera-S (2.0)", "sam2_hiera_small"),
            ("b+", true, "Hiera-B+ (2.1)", "sam2.1_hiera_base_plus"),
            ("l", false, "Hiera-L (2.0)", "sam2_hiera_large"),
        ] {
            let found = try Self.recognised(Self.shapes(name, isVersion21: isVersion21))
            #expect(found.architecture == architecture)
            #expect(found.name == file)
            #expect(found.family == .sam2)
        }
    }

    @Test func `MedSAM2 is told by its name or by the caller`() throws {
        let tiny = try Self.shapes("t")
        for file in ["MedSAM2_latest.safetensors", "medsam2_FLARE25_RECIST_baseline.safetensors"] {
            let named = try Self.recognised(tiny, file: file)
            #expect(named.architecture == "Hiera-T (2.1)")
            #expect(named.name == "medsam2" && named.family == .medsam2)
            #expect(named.notes.contains { $0.contains("file's name") && $0.contains("--family sam2") })
        }
        #expect(ModelFamily.medsam2.publishedTerms == "CC-BY-SA-4.0")
        #expect(try Self.recognised(tiny).notes.contains { $0.contains("--family medsam2") })
        #expect(try Self.recognised(tiny, asked: .medsam2).family == .medsam2)
        #expect(try Self.recognised(tiny, file: "MedSAM2.safetensors", asked: .sam2).family == .sam2)
        let large = try Self.shapes("l")
        #expect(try Self.recognised(large, file: "MedSAM2_large.safetensors").family == .sam2)
        for asked in [ModelFamily.medsam2, .sam, .liteMedSAM] {
            #expect(throws: CheckpointError.otherFamily(asked: asked, network: "SAM 2.1, Hiera-L")) {
                try Self.recognised(large, asked: asked)
            }
        }
    }

    @Test func `a published file is known by its hash`() throws {
        let hash = "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"
        let found = try Self.recognised(Self.shapes("t"), file: "medsam2.safetensors", sha256: hash)
        #expect(found.family == .sam2 && found.name == "sam2.1_hiera_tiny")
        #expect(found.notes.isEmpty)
    }

    @Test func `the names of transformers give the same tensors`() throws {
        for expected in Self.transformers {
            let renamed = try Self.renamed(expected.name, isVersion21: expected.isVersion21)
            #expect(renamed.count == expected.tensors && Self.digest(of: renamed) == expected.digest)
            let official = try Self.shapes(expected.name, isVersion21: expected.isVersion21)
            let found = try Self.recognised(renamed)
            #expect(Dictionary(uniqueKeysWithValues: found.tensors.map { ($0.name, $0.shape) }) == official)
            // The point embeddings are rows of one tensor.
            let points = found.tensors.filter { $0.name.contains("point_embeddings") }
            #expect(points.map(\.count) == [256, 256, 256, 256])
        }
    }

    /// Names of transformers' Sam2VideoModel, one of every rule.
    @Test(arguments: [
        ("sam_mask_decoder.iou_prediction_head.layers.1.bias", "mask_decoder.iou_prediction_head.layers.0.bias"),
        ("sam_mask_decoder.pred_obj_score_head.layers.2.bias", "mask_decoder.pred_obj_score_head.proj_out.bias"),
        ("obj_ptr_proj.layers.0.weight", "object_pointer_proj.proj_in.weight"),
        ("image_encoder.trunk.blocks.3.mlp.layers.1.bias", "vision_encoder.backbone.blocks.3.mlp.proj_out.bias"),
        ("image_encoder.trunk.blocks.3.norm1.bias", "vision_encoder.backbone.blocks.3.layer_norm1.bias"),
        ("image_encoder.trunk.patch_embed.proj.bias", "vision_encoder.backbone.patch_embed.projection.bias"),
        ("image_encoder.neck.convs.2.conv.bias", "vision_encoder.neck.convs.2.bias"),
        ("memory_encoder.mask_downsampler.encoder.9.bias", "memory_encoder.mask_downsampler.layers.3.conv.bias"),
        ("memory_encoder.mask_downsampler.encoder.4.bias", "memory_encoder.mask_downsampler.layers.1.layer_norm.bias"),
        ("memory_encoder.mask_downsampler.encoder.12.bias", "memory_encoder.mask_downsampler.final_conv.bias"),
        ("memory_encoder.fuser.layers.0.pwconv2.bias", "memory_encoder.memory_fuser.layers.0.pointwise_conv2.bias"),
        ("memory_encoder.fuser.layers.1.gamma", "memory_encoder.memory_fuser.layers.1.scale"),
        ("memory_encoder.out_proj.bias", "memory_encoder.projection.bias"),
        ("memory_encoder.pix_feat_proj.bias", "memory_encoder.feature_projection.bias"),
        ("memory_attention.layers.0.self_attn.out_proj.bias", "memory_attention.layers.0.self_attn.o_proj.bias"),
        ("sam_mask_decoder.output_upscaling.3.bias", "mask_decoder.upscale_conv2.bias"),
        ("sam_prompt_encoder.mask_downscaling.4.bias", "prompt_encoder.mask_embed.layer_norm2.bias"),
        ("obj_ptr_tpos_proj.weight", "temporal_positional_encoding_projection_layer.weight"),
        ("no_obj_ptr", "no_object_pointer"), ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
        ("no_mem_embed", "no_memory_embedding"), ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ])
    func `a tensor has its name in transformers`(official: String, theirs: String) {
        #expect(RecognisedSegmentAnything2.transformersName(official) == theirs)
    }

    @Test func `the two copies of the positional encoding in transformers must be equal`() throws {
        let shapes = try Self.renamed("t")
        let (one, other) = (
            "shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"
        )
        _ = try Self.recognised(shapes, beginnings: [one: [1], other: [1]])
        #expect {
            _ = try Self.recognised(shapes, beginnings: [one: [1], other: [2]])
        } throws: { "\($0)".contains("'\(one)': its numbers differ from those of '\(other)'") }
    }

    @Test func `the image part of SAM 2 alone is named`() throws {
        let part = try Self.renamed("t").filter { name, _ in
            !["memory_", "mask_downsample", "object_pointer", "temporal_", "occlusion_"].contains(where: name.hasPrefix)
        }
        #expect(try Self.problem(part).contains("image part of SAM 2 without its memory, as Sam2Model"))
    }

    @Test func `the size of the input is the published one, the metadata's or the caller's`() throws {
        let tiny = try Self.shapes("t")
        #expect(try Self.recognised(tiny).settings.inputSize == nil)
        #expect(try Self.recognised(tiny, metadata: #"{"inputSize":"256"}"#).settings.inputSize == 256)
        #expect(try Self.recognised(tiny, metadata: #"{"inputSize":"1024"}"#).settings.inputSize == nil)
        let asked = try Self.recognised(tiny, metadata: #"{"inputSize":"256"}"#, inputSize: 128)
        #expect(asked.settings.inputSize == 128)
        func assumes(_ metadata: String = "{}", _ inputSize: Int? = nil) throws -> Bool {
            try Self.recognised(tiny, metadata: metadata, inputSize: inputSize).notes.contains {
                $0.hasPrefix("Assumed an input of 1024 x 1024") && $0.contains("--input-size")
            }
        }
        #expect(try assumes())
        #expect(try !assumes(#"{"inputSize":"1024"}"#))
        #expect(try !assumes("{}", 1024))
        #expect(try !assumes("{}", 256))
        #expect(try Self.recognised(tiny, asked: .medsam2, inputSize: 512).settings.inputSize == nil)
        for size in [0, 100, 2048] {
            #expect {
                _ = try Self.recognised(tiny, inputSize: size)
            } throws: { "\($0)".hasSuffix("a multiple of 32 from 32 to 1024, not \(size)") }
        }
        for metadata in [
            #"{"inputSize":"many"}"#, #"{"inputSize":"48"}"#, #"{"hiera":"x"}"#,
            #"{"hiera":"{\"width\":96,\"heads\":1,\"stages\":[-1,2,7,2],\"globalBlocks\":[],\"windows\":[8,4,14,7]}"}"#,
            #"{"hiera":"{\"width\":96,\"heads\":0,\"stages\":[1,2,7,2],\"globalBlocks\":[],\"windows\":[8,4,14,7]}"}"#,
            #"{"hiera":"{\"width\":96,\"heads\":1,\"stages\":[1,2,7,2],\"globalBlocks\":[12],\"windows\":[8,4,14,7]}"}"#,
        ] {
            #expect {
                _ = try Self.recognised(tiny, metadata: metadata)
            } throws: { "\($0)".hasPrefix("the file cannot be used: the header is not valid: its ") }
        }
    }

    @Test func `hostile and incomplete checkpoints are named`() throws {
        var shapes = try Self.shapes("t")
        shapes["memory_attention.layers.2.linear1.bias"] = nil
        #expect(try Self.problem(shapes).contains("memory_attention.layers.2.linear1.bias is missing"))
        shapes = try Self.shapes("t")
        shapes["no_obj_embed_spatial"] = nil
        #expect(try Self.problem(shapes).contains("but no_obj_embed_spatial is missing; SAM 2.1 has all"))
        shapes = try Self.shapes("t")
        shapes["memory_encoder.out_proj.weight"] = nil
        #expect(try Self.problem(shapes).contains("memory_encoder.out_proj.weight is missing"))
        shapes = try Self.shapes("t")
        shapes["image_encoder.trunk.blocks.12.norm1.weight"] = [768]
        #expect(try Self.problem(shapes).contains("96 channels and 13 blocks"))
        shapes = try Self.shapes("t")
        shapes["image_encoder.trunk.blocks.1.attn.qkv.weight"] = [576, 95]
        #expect(try Self.problem(shapes).contains("has shape [576, 95], expected [576, 96]"))
        shapes = ["image_encoder.neck.convs.0.conv_1x1.weight": [1], "image_encoder.trunk.pos_embed": [1, 9, 9]]
        #expect(try Self.problem(shapes).contains("Efficient MedSAM2"))
        #expect(throws: CheckpointError.self) { try Self.recognised(Self.shapes("t"), type: "I16") }
    }

    @Test func `tensors may share a storage, unless a small file then claims too much`() throws {
        let golden = try Golden("sam_vit")
        struct Facts: Decodable { let shapes: [String: [Int]] }
        let shapes = try golden.facts(Facts.self).shapes.sorted { $0.key < $1.key }
        func added(tied: (Int) -> Bool) throws -> (claimed: Int, file: Int, problem: String?) {
            var (entries, records, claimed) = ([(String, [UInt8])](), [(String, [UInt8])](), 0)
            var keys = [Int: String]()
            for (name, shape) in shapes {
                let count = shape.reduce(1, *)
                let isNew = keys[count] == nil || !tied(count)
                let key = isNew ? "\(records.count)" : keys[count] ?? ""
                if isNew { records.append((key, [UInt8](repeating: 0, count: 4 * count))) }
                keys[count] = key
                claimed += 4 * count
                let strides = shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
                entries.append(
                    (
                        name,
                        PickleBuilder.tensor(
                            key, count: Int64(count), shape: shape.map(Int64.init), strides: strides.map(Int64.init))
                    ))
            }
            return try withTemporaryFolder { folder in
                let path = try folder.file(
                    "x.pth", PickleBuilder.archive(PickleBuilder.dictionary(entries), records: records))
                let checkpoint = try Checkpoint(path: path)
                do {
                    _ = try RecognisedModel(checkpoint, file: "x.pth", sha256: "", asked: nil)
                    return (claimed, checkpoint.size, nil)
                } catch {
                    return (claimed, checkpoint.size, "\(error)")
                }
            }
        }
        let largest = shapes.map { $0.value.reduce(1, *) }.max() ?? 0
        let some = try added { $0 >= largest / 4 }
        #expect(some.claimed > some.file && some.claimed <= 2 * some.file && some.problem == nil)
        let all = try added { _ in true }
        #expect(all.claimed > 2 * all.file && all.problem?.hasPrefix("its tensors share their numbers") == true)
    }

    @Test func `the prefix of a fine-tuned model is left out`() throws {
        let tensor = PickleBuilder.tensor(count: 1, shape: [1], strides: [1])
        let pickle = PickleBuilder.dictionary([
            ("model", PickleBuilder.dictionary([("sam2_model.no_mem_embed", tensor), ("sam2_model.b", tensor)]))
        ])
        try withTemporaryFolder { folder in
            let path = try folder.file("x.pth", PickleBuilder.archive(pickle))
            #expect(try Checkpoint(path: path).tensors.map(\.name).sorted() == ["b", "no_mem_embed"])
        }
    }
}
