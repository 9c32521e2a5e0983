// SPDX-License-Identifier: Apache-2.0

/// A checkpoint whose tensors are those of SAM 2, SAM 2.1 or MedSAM2.
package struct RecognisedSegmentAnything2: Sendable {
    /// Who trained a checkpoint; MedSAM2 has the tensors of SAM 2.1 T.
    package enum Family: String, Sendable, CaseIterable {
        case sam2
        case medsam2

        /// The name of the family for people.
        package var title: String { self == .sam2 ? "SAM 2" : "MedSAM2" }

        /// The terms of the publisher's checkpoints.
        package var publishedTerms: String { self == .sam2 ? "Apache License 2.0" : "CC-BY-SA-4.0" }

        /// Height and width of the input.
        package var inputSize: Int {
            self == .sam2 ? SegmentAnything2.publishedInputSize : SegmentAnything2.medicalInputSize
        }
    }

    /// The tensors of the network with the publisher's names, sorted by name.
    package let tensors: [CheckpointTensor]
    /// Who trained the checkpoint.
    package let family: Family
    /// `2.0` or `2.1`.
    package let version: String
    /// The image encoder: tiny, small, base plus or large.
    package let trunk: HieraArchitecture.Published
    /// Sentences that say which assumptions were made and which tensors were left out.
    package let notes: [String]

    /// The network in words, such as `SAM 2.1, Hiera-B+`.
    package var title: String {
        let size = "Hiera-\(trunk.name.uppercased())"
        return family == .sam2 ? "SAM \(version), \(size)" : "MedSAM2, \(size)"
    }

    /// The default name of the weights, such as `sam2.1_hiera_base_plus` or `medsam2`.
    package var name: String {
        family == .medsam2 ? "medsam2" : "sam\(version == "2.0" ? "2" : version)_hiera_\(trunk.word)"
    }

    /// Recognises the network by the names of its tensors and checks the shape of every tensor.
    ///
    /// - Parameters:
    ///   - checkpoint: the opened checkpoint.
    ///   - file: the name of the checkpoint's file, which distinguishes MedSAM2 from SAM 2.1 T.
    ///   - asked: the family that the caller requires, or `nil` for any.
    /// - Throws: `CheckpointError`.
    package init(_ checkpoint: Checkpoint, file: String, asked: Family? = nil) throws(CheckpointError) {
        var notes: [String] = []
        let found = try Self.renamed(checkpoint.tensors, notes: &notes)
        let shapes = found.mapValues(\.shape)
        if let name = shapes.keys.first(where: { $0.contains("neck.convs.0.conv_1x1") })
            ?? (shapes["image_encoder.trunk.pos_embed"]?.count == 3 ? "image_encoder.trunk.pos_embed" : nil)
        {
            throw .unknownNetwork(
                reason: "\(name.quoted) belongs to Efficient MedSAM2, whose image encoder is another one")
        }
        let network = try SegmentAnything2Shapes(shapes)
        let problems = network.network.problems(in: shapes)
        let label = "SAM \(network.isVersion21 ? "2.1" : "2.0"), Hiera-\(network.trunk.name.uppercased())"
        guard problems.isEmpty else { throw .mismatch(network: label, problems: problems) }
        for tensor in found.values.sorted(by: { $0.name < $1.name }) where tensor.type.stored == nil {
            throw .tensor(tensor.name, reason: "its numbers are of type \(tensor.type.rawValue), not floating-point")
        }
        version = network.isVersion21 ? "2.1" : "2.0"
        trunk = network.trunk
        let mayBeMedical = network.isVersion21 && network.trunk.name == "t"
        if asked == .medsam2, !mayBeMedical {
            throw .mismatch(
                network: Family.medsam2.title,
                problems: ["MedSAM2 has the tensors of SAM 2.1, Hiera-T, not of \(label)"])
        }
        let isNamedMedical = file.lowercased().contains("medsam2")
        family = asked ?? (mayBeMedical && isNamedMedical ? .medsam2 : .sam2)
        if asked == nil, mayBeMedical {
            notes.append(
                family == .medsam2
                    ? "Assumed MedSAM2 because of the file's name; SAM 2.1 T has the same tensors."
                    : "Assumed SAM 2.1 because the file's name does not contain 'medsam2'; MedSAM2 has the same "
                        + "tensors.")
        }
        tensors = found.values.sorted { $0.name < $1.name }
        self.notes = notes
    }

    /// Renames the tensors to the publisher's names.
    private static func renamed(
        _ tensors: [CheckpointTensor], notes: inout [String]
    ) throws(CheckpointError) -> [String: CheckpointTensor] {
        guard SegmentAnything2Names.areUsed(in: tensors.lazy.map(\.name)) else {
            return Dictionary(tensors.map { ($0.name, $0) }) { _, last in last }
        }
        let official = Dictionary(
            officialNames.map { (SegmentAnything2Names.theirs($0), $0) }, uniquingKeysWith: { first, _ in first })
        var found: [String: CheckpointTensor] = [:]
        for var tensor in tensors where tensor.name != SegmentAnything2Names.tiedCopy {
            if tensor.name == SegmentAnything2Names.points {
                guard tensor.shape.count == 2, tensor.shape[0] == 4 else {
                    throw .tensor(tensor.name, reason: "it has shape \(tensor.shape), expected four rows")
                }
                for row in 0..<4 {
                    var point = tensor
                    point.name = SegmentAnything2Names.point(row)
                    point.shape[0] = 1
                    point.offset += row * tensor.strides[0] * tensor.type.width
                    found[point.name] = point
                }
                continue
            }
            tensor.name = official[tensor.name] ?? tensor.name
            found[tensor.name] = tensor
        }
        notes.append("Renamed the tensors from the names of transformers to the publisher's.")
        return found
    }

    /// The names of all tensors of the largest network.
    private static let officialNames: [String] = {
        guard let largest = HieraArchitecture.published.last else { return [] }
        return Array(shapes(of: largest, isVersion21: true).keys)
    }()

    /// The name in `transformers` of the publisher's tensor `name`.
    package static func transformersName(_ name: String) -> String { SegmentAnything2Names.theirs(name) }

    /// The tensors of a published network.
    ///
    /// - Parameters:
    ///   - trunk: the published trunk.
    ///   - isVersion21: whether the network is SAM 2.1, not SAM 2.0.
    /// - Returns: the shapes by name.
    package static func shapes(of trunk: HieraArchitecture.Published, isVersion21: Bool) -> [String: [Int]] {
        let (width, blocks) = (trunk.architecture.width, trunk.architecture.blocks)
        let side = trunk.name == "b+" ? 14 : 7
        // Only the sizes that differ between networks are taken from these tensors.
        var sizes = [
            "image_encoder.trunk.patch_embed.proj.weight": [width, 3, 7, 7],
            "image_encoder.trunk.blocks.\(blocks - 1).norm1.weight": [width],
            "image_encoder.trunk.pos_embed": [1, width, side, side],
            "image_encoder.neck.convs.0.conv.weight": [256, 8 * width, 1, 1],
            "memory_encoder.out_proj.weight": [64, 256, 1, 1],
            "sam_mask_decoder.transformer.final_attn_token_to_image.q_proj.weight": [128, 256],
            "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight": [2048, 256],
            "sam_mask_decoder.iou_prediction_head.layers.0.weight": [256, 256],
            "memory_attention.layers.0.linear1.weight": [2048, 256],
        ]
        if isVersion21 { sizes["no_obj_embed_spatial"] = [1, 64] }
        guard let table = try? SegmentAnything2Shapes(sizes) else {
            preconditionFailure("the sizes are those of a published network")
        }
        return table.network.shapes
    }
}
