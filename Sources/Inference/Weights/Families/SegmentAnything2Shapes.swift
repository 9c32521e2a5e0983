// SPDX-License-Identifier: Apache-2.0

/// The tensors of SAM 2: a Hiera image encoder, SAM's prompt encoder, a mask decoder with finer levels and an object
/// score, and the memory of frames.
///
/// The names are those of facebookresearch/sam2, sam2/modeling.
struct SegmentAnything2Shapes {
    /// The tensors that the network must have.
    private(set) var network = NetworkShapes()
    /// The sizes of the trunk.
    let trunk: HieraArchitecture
    /// Whether the network has the tensors that SAM 2.1 added.
    let isVersion21: Bool

    /// The tensors that SAM 2.1 added to SAM 2.
    static let addedIn21 = ["no_obj_embed_spatial", "obj_ptr_tpos_proj.bias", "obj_ptr_tpos_proj.weight"]

    private let channels: Int
    private let memoryChannels: Int

    /// Takes the sizes from a few of the shapes and lists all tensors that follow from them.
    ///
    /// - Parameters:
    ///   - shapes: the tensors of a checkpoint.
    ///   - named: the sizes of a trunk that was not published; `nil` for the published one that the tensors show.
    /// - Throws: `CheckpointError.mismatch`.
    init(_ shapes: [String: [Int]], _ named: HieraArchitecture?) throws(CheckpointError) {
        let found = FoundShapes(shapes: shapes, network: "SAM 2")
        let trunkName = "image_encoder.trunk."
        let width = try found.extent(trunkName + "patch_embed.proj.weight", rank: 4, axis: 0)
        let blocks = found.count(trunkName + "blocks.")
        let published = HieraArchitecture.published(width: width, blocks: blocks)?.architecture
        if let named, (named.width, named.blocks) != (width, blocks) {
            throw .mismatch(
                network: "SAM 2",
                problems: [
                    "its image encoder has \(width) channels and \(blocks) blocks, its metadata says \(named.width) and "
                        + "\(named.blocks)"
                ])
        }
        guard let trunk = named ?? published else {
            let known = HieraArchitecture.published.map { "\($0.architecture.width) and \($0.architecture.blocks)" }
            throw .mismatch(
                network: "SAM 2",
                problems: [
                    "its image encoder has \(width) channels and \(blocks) blocks, the published ones have "
                        + known.joined(separator: ", ")
                ])
        }
        self.trunk = trunk
        channels = try found.extent("image_encoder.neck.convs.0.conv.weight", rank: 4, axis: 0)
        memoryChannels = try found.extent("memory_encoder.out_proj.weight", rank: 4, axis: 0)
        let added = Self.addedIn21.filter { shapes[$0] != nil }
        isVersion21 = !added.isEmpty
        let lacking = Self.addedIn21.filter { shapes[$0] == nil }
        try found.check(
            added.isEmpty || lacking.isEmpty,
            "it has \(added.joined(separator: ", ")), but \(lacking.joined(separator: ", ")) is missing; SAM 2.1 has "
                + "all of these tensors and SAM 2.0 has none")
        try found.check(
            channels.isMultiple(of: 32), "an image embedding has a multiple of 32 channels, not \(channels)")
        try found.check(
            channels.isMultiple(of: memoryChannels),
            "object pointers of \(channels) channels are not whole memories of \(memoryChannels)")
        addTrunk(side: try found.extent(trunkName + "pos_embed", rank: 4, axis: 2))
        addPrompts()
        try addDecoder(found)
        try addMemory(found)
    }

    private mutating func addTrunk(side: Int) {
        let name = "image_encoder.trunk."
        let width = trunk.width
        network.add(name + "pos_embed", [1, width, side, side])
        let window = trunk.windows[0]
        network.add(name + "pos_embed_window", [1, width, window, window])
        network.add(layer: name + "patch_embed.proj", [width, 3, 7, 7])
        for (index, block) in trunk.table.enumerated() {
            let prefix = name + "blocks.\(index)."
            network.add(layer: prefix + "norm1", [block.inputs])
            network.add(layer: prefix + "attn.qkv", [3 * block.outputs, block.inputs])
            network.add(layer: prefix + "attn.proj", [block.outputs, block.outputs])
            network.add(layer: prefix + "norm2", [block.outputs])
            network.add(layer: prefix + "mlp.layers.0", [4 * block.outputs, block.outputs])
            network.add(layer: prefix + "mlp.layers.1", [block.outputs, 4 * block.outputs])
            if block.pools { network.add(layer: prefix + "proj", [block.outputs, block.inputs]) }
        }
        for level in 0..<4 {
            network.add(layer: "image_encoder.neck.convs.\(level).conv", [channels, width << (3 - level), 1, 1])
        }
    }

    private mutating func addPrompts() {
        let name = "sam_prompt_encoder."
        network.add(name + "pe_layer.positional_encoding_gaussian_matrix", [2, channels / 2])
        for point in 0..<4 { network.add(name + "point_embeddings.\(point).weight", [1, channels]) }
        network.add(name + "not_a_point_embed.weight", [1, channels])
        network.add(name + "no_mask_embed.weight", [1, channels])
        network.add(layer: name + "mask_downscaling.0", [4, 1, 2, 2])
        network.add(layer: name + "mask_downscaling.1", [4])
        network.add(layer: name + "mask_downscaling.3", [16, 4, 2, 2])
        network.add(layer: name + "mask_downscaling.4", [16])
        network.add(layer: name + "mask_downscaling.6", [channels, 16, 1, 1])
    }

    private mutating func addDecoder(_ found: FoundShapes) throws(CheckpointError) {
        let (name, masks) = ("sam_mask_decoder.", 4)
        let inner = try found.extent(name + "transformer.final_attn_token_to_image.q_proj.weight", rank: 2, axis: 0)
        let hidden = try found.extent(name + "transformer.layers.0.mlp.layers.0.weight", rank: 2, axis: 0)
        for depth in 0..<2 {
            let layer = name + "transformer.layers.\(depth)."
            network.addAttention(layer + "self_attn.", channels: channels, inner: channels)
            network.addAttention(layer + "cross_attn_token_to_image.", channels: channels, inner: inner)
            network.addAttention(layer + "cross_attn_image_to_token.", channels: channels, inner: inner)
            for norm in 1...4 { network.add(layer: layer + "norm\(norm)", [channels]) }
            network.add(layer: layer + "mlp.layers.0", [hidden, channels])
            network.add(layer: layer + "mlp.layers.1", [channels, hidden])
        }
        network.addAttention(name + "transformer.final_attn_token_to_image.", channels: channels, inner: inner)
        network.add(layer: name + "transformer.norm_final_attn", [channels])
        for (token, rows) in [("iou_token", 1), ("mask_tokens", masks), ("obj_score_token", 1)] {
            network.add(name + token + ".weight", [rows, channels])
        }
        network.add(layer: name + "output_upscaling.0", [channels, channels / 4, 2, 2], bias: channels / 4)
        network.add(layer: name + "output_upscaling.1", [channels / 4])
        network.add(layer: name + "output_upscaling.3", [channels / 4, channels / 8, 2, 2], bias: channels / 8)
        network.add(layer: name + "conv_s0", [channels / 8, channels, 1, 1])
        network.add(layer: name + "conv_s1", [channels / 4, channels, 1, 1])
        for mask in 0..<masks { addPerceptron(name + "output_hypernetworks_mlps.\(mask)", channels, channels / 8) }
        let wide = try found.extent(name + "iou_prediction_head.layers.0.weight", rank: 2, axis: 0)
        addPerceptron(name + "iou_prediction_head", wide, masks)
        addPerceptron(name + "pred_obj_score_head", channels, 1)
    }

    /// Adds three layers: `channels` to `hidden`, `hidden` to `hidden`, `hidden` to `outputs`.
    private mutating func addPerceptron(_ name: String, _ hidden: Int, _ outputs: Int) {
        network.add(layer: name + ".layers.0", [hidden, channels])
        network.add(layer: name + ".layers.1", [hidden, hidden])
        network.add(layer: name + ".layers.2", [outputs, hidden])
    }

    private mutating func addMemory(_ found: FoundShapes) throws(CheckpointError) {
        network.add("maskmem_tpos_enc", [MemorySelection.temporalIndices, 1, 1, memoryChannels])
        network.add("no_mem_embed", [1, 1, channels])
        network.add("no_mem_pos_enc", [1, 1, channels])
        network.add("no_obj_ptr", [1, channels])
        network.add(layer: "mask_downsample", [1, 1, 4, 4])
        addPerceptron("obj_ptr_proj", channels, channels)
        if isVersion21 {
            network.add("no_obj_embed_spatial", [1, memoryChannels])
            network.add(layer: "obj_ptr_tpos_proj", [memoryChannels, channels])
        }
        addMemoryEncoder()
        let name = "memory_attention."
        let hidden = try found.extent(name + "layers.0.linear1.weight", rank: 2, axis: 0)
        for depth in 0..<4 {
            let layer = name + "layers.\(depth)."
            network.addAttention(layer + "self_attn.", channels: channels, inner: channels)
            network.addAttention(layer + "cross_attn_image.", channels: channels, inner: channels)
            for projection in ["k_proj", "v_proj"] {
                network.add(layer: layer + "cross_attn_image." + projection, [channels, memoryChannels])
            }
            for norm in 1...3 { network.add(layer: layer + "norm\(norm)", [channels]) }
            network.add(layer: layer + "linear1", [hidden, channels])
            network.add(layer: layer + "linear2", [channels, hidden])
        }
        network.add(layer: name + "norm", [channels])
    }

    private mutating func addMemoryEncoder() {
        let name = "memory_encoder."
        for (step, widths) in [(1, 4), (4, 16), (16, 64), (64, 256)].enumerated() {
            network.add(layer: name + "mask_downsampler.encoder.\(3 * step)", [widths.1, widths.0, 3, 3])
            network.add(layer: name + "mask_downsampler.encoder.\(3 * step + 1)", [widths.1])
        }
        network.add(layer: name + "mask_downsampler.encoder.12", [channels, 256, 1, 1])
        network.add(layer: name + "pix_feat_proj", [channels, channels, 1, 1])
        for depth in 0..<2 {
            let layer = name + "fuser.layers.\(depth)."
            network.add(layer: layer + "dwconv", [channels, 1, 7, 7])
            network.add(layer: layer + "norm", [channels])
            network.add(layer: layer + "pwconv1", [4 * channels, channels])
            network.add(layer: layer + "pwconv2", [channels, 4 * channels])
            network.add(layer + "gamma", [channels])
        }
        network.add(layer: name + "out_proj", [memoryChannels, channels, 1, 1])
    }
}
