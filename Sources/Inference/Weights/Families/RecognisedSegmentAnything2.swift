// SPDX-License-Identifier: Apache-2.0

/// A checkpoint whose tensors are those of SAM 2, SAM 2.1 or MedSAM2.
package struct RecognisedSegmentAnything2: Sendable {
    /// The tensors of the network with the publisher's names, sorted by name.
    let tensors: [CheckpointTensor]
    /// `.sam2` or `.medsam2`, which share their tensors.
    let family: ModelFamily
    /// `2.0` or `2.1`.
    let version: String
    /// The image encoder: tiny, small, base plus or large, or the one of the file's metadata.
    let trunk: HieraArchitecture
    /// Sentences that say which assumptions were made and which tensors were left out.
    let notes: [String]

    /// The published image encoder; `nil` for another one.
    private var published: HieraArchitecture.Published? {
        HieraArchitecture.published.first { $0.architecture == trunk }
    }

    /// Whether the publisher offers an image encoder of these sizes.
    var isOfPublishedSize: Bool { published != nil }

    /// The image encoder and the version of the network, such as `Hiera-B+ (2.1)` or `Hiera 16/8 (2.1)`.
    var architecture: String { "\(trunk.title) (\(version))" }

    /// The default name of the weights, such as `sam2.1_hiera_base_plus` or `medsam2`.
    var name: String {
        family == .medsam2 ? "medsam2" : "sam\(version == "2.0" ? "2" : version)_hiera_\(published?.word ?? "custom")"
    }

    /// Whether a checkpoint has the names of SAM 2's image encoder or of a relative's.
    static func isMeant(by names: some Sequence<String>) -> Bool {
        names.contains { $0.hasPrefix("image_encoder.trunk.") } || SegmentAnything2Names.areUsed(in: names)
    }

    /// Recognises the network by the names of its tensors and checks the shape of every tensor.
    ///
    /// - Parameters:
    ///   - checkpoint: the opened checkpoint.
    ///   - file: the name of the checkpoint's file, which distinguishes MedSAM2 from SAM 2.1 T.
    ///   - publication: the publication of the checkpoint if its hash is known.
    ///   - asked: the family that the caller requires, or `nil` for any.
    /// - Throws: `CheckpointError`.
    init(
        _ checkpoint: Checkpoint, file: String, publication: Publication?, asked: ModelFamily?
    ) throws(CheckpointError) {
        var notes: [String] = []
        let found = try Self.renamed(checkpoint, notes: &notes)
        let shapes = found.mapValues(\.shape)
        if let name = shapes.keys.first(where: { $0.contains("neck.convs.0.conv_1x1") })
            ?? (shapes["image_encoder.trunk.pos_embed"]?.count == 3 ? "image_encoder.trunk.pos_embed" : nil)
        {
            throw .unknownNetwork(
                reason: "\(name.quoted) belongs to Efficient MedSAM2, whose image encoder is another one")
        }
        guard shapes.keys.contains(where: { $0.hasPrefix("memory_encoder.") || $0.hasPrefix("memory_attention.") })
        else {
            throw .unknownNetwork(
                reason: "the file has the image part of SAM 2 without its memory, as Sam2Model of transformers saves "
                    + "it; add the publisher's file, or one of Sam2VideoModel")
        }
        let network = try SegmentAnything2Shapes(shapes, checkpoint.settings(of: .sam2).hiera)
        let problems = network.network.problems(in: shapes)
        let label = "SAM \(network.isVersion21 ? "2.1" : "2.0"), \(network.trunk.title)"
        guard problems.isEmpty else { throw .mismatch(network: label, problems: problems) }
        for tensor in found.values.sorted(by: { $0.name < $1.name }) where tensor.type.stored == nil {
            throw .tensor(tensor.name, reason: "its numbers are of type \(tensor.type.rawValue), not floating-point")
        }
        version = network.isVersion21 ? "2.1" : "2.0"
        trunk = network.trunk
        family = try Self.family(
            network, label, file: file, publication: publication, asked: asked, notes: &notes)
        tensors = found.values.sorted { $0.name < $1.name }
        self.notes = notes
    }

    /// Determines the family: SAM 2.1 T and MedSAM2 have the same tensors.
    private static func family(
        _ network: SegmentAnything2Shapes, _ label: String, file: String, publication: Publication?,
        asked: ModelFamily?, notes: inout [String]
    ) throws(CheckpointError) -> ModelFamily {
        let tiny = HieraArchitecture.published[0].architecture
        let isPublished = HieraArchitecture.published.contains { $0.architecture == network.trunk }
        let mayBeMedical = network.isVersion21 && (network.trunk == tiny || !isPublished)
        if let asked {
            guard asked == .sam2 || (asked == .medsam2 && mayBeMedical) else {
                throw .otherFamily(asked: asked, network: label)
            }
            return asked
        }
        if publication == nil, !mayBeMedical, file.lowercased().contains("medsam") {
            notes.append(
                "The file's name contains 'medsam', and its tensors are those of \(label). The terms shown are those of "
                    + "SAM 2; if its publisher has others, name them with --terms.")
        }
        guard publication == nil, mayBeMedical else { return .sam2 }
        guard file.lowercased().contains("medsam2") else {
            notes.append(
                "Assumed SAM 2.1 because the file's name does not contain 'medsam2'; MedSAM2 has the same tensors. If "
                    + "the weights are MedSAM2's, add them with --family medsam2.")
            return .sam2
        }
        notes.append(
            "Assumed MedSAM2 because of the file's name; SAM 2.1 T has the same tensors. If the weights are SAM 2.1's, "
                + "add them with --family sam2.")
        return .medsam2
    }

    /// Renames the tensors to the publisher's names.
    private static func renamed(
        _ checkpoint: Checkpoint, notes: inout [String]
    ) throws(CheckpointError) -> [String: CheckpointTensor] {
        let tensors = checkpoint.tensors
        guard SegmentAnything2Names.areUsed(in: tensors.lazy.map(\.name)) else {
            return Dictionary(tensors.map { ($0.name, $0) }) { _, last in last }
        }
        let official = Dictionary(
            officialNames.map { (SegmentAnything2Names.theirs($0), $0) }, uniquingKeysWith: { first, _ in first })
        var found: [String: CheckpointTensor] = [:]
        if let copy = tensors.first(where: { $0.name == SegmentAnything2Names.tiedCopy }),
            let original = tensors.first(where: { $0.name == SegmentAnything2Names.gaussian }),
            copy.shape == original.shape
        {
            try checkpoint.checkCopy(copy, of: original)
        }
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

    /// The names of all tensors of all published networks; the blocks that pool differ between them.
    private static let officialNames = HieraArchitecture.published.reduce(into: Set<String>()) { names, trunk in
        names.formUnion(shapes(of: trunk, isVersion21: true).keys)
    }

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
        if isVersion21 { for name in SegmentAnything2Shapes.addedIn21 { sizes[name] = [1, 64] } }
        guard let table = try? SegmentAnything2Shapes(sizes, nil) else {
            preconditionFailure("the sizes are those of a published network")
        }
        return table.network.shapes
    }
}
