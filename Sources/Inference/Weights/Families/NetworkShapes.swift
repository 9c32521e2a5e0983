// SPDX-License-Identifier: Apache-2.0

/// The tensors that a network must have: names of the publisher's checkpoint, shapes in PyTorch's
/// order.
///
/// A table is built from the sizes that a few tensors of a checkpoint show. Then every tensor is
/// compared with the table.
struct NetworkShapes {
    private(set) var shapes: [String: [Int]] = [:]

    /// Adds one tensor.
    mutating func add(_ name: String, _ shape: [Int]) { shapes[name] = shape }

    /// Adds `name.weight` and `name.bias`.
    ///
    /// The extent of the bias is the weight's first extent, unless `bias` says otherwise.
    mutating func add(layer name: String, _ weight: [Int], bias: Int? = nil) {
        shapes[name + ".weight"] = weight
        shapes[name + ".bias"] = [bias ?? weight[0]]
    }

    /// The differences between `found` and this table, in words: tensors of other shapes, missing
    /// ones, and surplus ones.
    func problems(in found: [String: [Int]]) -> [String] {
        var wrong: [String] = []
        var missing: [String] = []
        for (name, shape) in shapes {
            guard let other = found[name] else {
                missing.append("\(name) is missing")
                continue
            }
            if other != shape { wrong.append("\(name) has shape \(other), expected \(shape)") }
        }
        let extra = found.keys.filter { shapes[$0] == nil }.map { "\($0.quoted) does not belong to this network" }
        return wrong.sorted() + missing.sorted() + extra.sorted()
    }
}

/// The shapes of a checkpoint's tensors, from which the sizes of a network are taken.
struct FoundShapes {
    let shapes: [String: [Int]]
    /// The name of the network in error messages.
    let network: String

    /// The largest extent that is accepted; products of a few such extents do not overflow.
    private static let largestExtent = 1 << 16

    /// The extent of a tensor along one axis.
    ///
    /// - Parameters:
    ///   - name: the name of the tensor.
    ///   - rank: the number of axes that the tensor must have.
    ///   - axis: the axis.
    /// - Returns: the extent.
    /// - Throws: `CheckpointError.mismatch` unless the tensor exists with `rank` axes and an extent
    ///   of 1 to 65,536.
    func extent(_ name: String, rank: Int, axis: Int) throws(CheckpointError) -> Int {
        guard let shape = shapes[name] else {
            throw .mismatch(network: network, problems: ["\(name) is missing"])
        }
        guard shape.count == rank, (1...Self.largestExtent).contains(shape[axis]) else {
            throw .mismatch(network: network, problems: ["\(name) has shape \(shape), expected \(rank) axes"])
        }
        return shape[axis]
    }

    /// The number of layers `prefix0.`, `prefix1.` and so on, at most 256.
    func count(_ prefix: String) -> Int {
        let numbers = shapes.keys.compactMap { name -> Int? in
            guard name.hasPrefix(prefix) else { return nil }
            let digits = name.dropFirst(prefix.count).prefix { $0 != "." }
            return digits.utf8.count <= 3 ? Int(digits) : nil
        }
        return min(256, max(0, (numbers.max() ?? -1) + 1))
    }

    /// Throws `CheckpointError.mismatch` with `problem` unless `isFine`.
    func check(_ isFine: Bool, _ problem: String) throws(CheckpointError) {
        guard isFine else { throw .mismatch(network: network, problems: [problem]) }
    }
}

extension NetworkShapes {
    /// Adds the prompt encoder and the mask decoder, which SAM, MedSAM and LiteMedSAM share.
    ///
    /// The names are those of facebookresearch/segment-anything, segment_anything/modeling:
    /// prompt_encoder.py, mask_decoder.py and transformer.py.
    ///
    /// - Parameters:
    ///   - channels: the number of channels of the image embedding; 256 in all published networks.
    ///   - found: the shapes of the checkpoint.
    /// - Throws: `CheckpointError.mismatch`.
    mutating func addPromptEncoderAndMaskDecoder(
        channels: Int, _ found: FoundShapes
    ) throws(CheckpointError) {
        try found.check(channels.isMultiple(of: 8), "an image embedding has a multiple of 8 channels, not \(channels)")
        try addPromptEncoder(channels: channels, found)
        try addTransformer(channels: channels, found)
        try addHeads(channels: channels, found)
    }

    private mutating func addPromptEncoder(channels: Int, _ found: FoundShapes) throws(CheckpointError) {
        let prompt = "prompt_encoder."
        let wide = try found.extent(prompt + "mask_downscaling.3.weight", rank: 4, axis: 0)
        add(prompt + "pe_layer.positional_encoding_gaussian_matrix", [2, channels / 2])
        for point in 0..<4 { add(prompt + "point_embeddings.\(point).weight", [1, channels]) }
        add(prompt + "not_a_point_embed.weight", [1, channels])
        add(prompt + "no_mask_embed.weight", [1, channels])
        add(layer: prompt + "mask_downscaling.0", [wide / 4, 1, 2, 2])
        add(layer: prompt + "mask_downscaling.1", [wide / 4])
        add(layer: prompt + "mask_downscaling.3", [wide, wide / 4, 2, 2])
        add(layer: prompt + "mask_downscaling.4", [wide])
        add(layer: prompt + "mask_downscaling.6", [channels, wide, 1, 1])
    }

    private mutating func addTransformer(channels: Int, _ found: FoundShapes) throws(CheckpointError) {
        let transformer = "mask_decoder.transformer."
        let inner = try found.extent(transformer + "final_attn_token_to_image.q_proj.weight", rank: 2, axis: 0)
        let hidden = try found.extent(transformer + "layers.0.mlp.lin1.weight", rank: 2, axis: 0)
        for depth in 0..<found.count(transformer + "layers.") {
            let layer = transformer + "layers.\(depth)."
            addAttention(layer + "self_attn.", channels: channels, inner: channels)
            addAttention(layer + "cross_attn_token_to_image.", channels: channels, inner: inner)
            addAttention(layer + "cross_attn_image_to_token.", channels: channels, inner: inner)
            for norm in 1...4 { add(layer: layer + "norm\(norm)", [channels]) }
            add(layer: layer + "mlp.lin1", [hidden, channels])
            add(layer: layer + "mlp.lin2", [channels, hidden])
        }
        addAttention(transformer + "final_attn_token_to_image.", channels: channels, inner: inner)
        add(layer: transformer + "norm_final_attn", [channels])
    }

    /// Adds the projections of an attention whose queries, keys and values have `inner` channels.
    mutating func addAttention(_ name: String, channels: Int, inner: Int) {
        for projection in ["q_proj", "k_proj", "v_proj"] { add(layer: name + projection, [inner, channels]) }
        add(layer: name + "out_proj", [channels, inner])
    }

    private mutating func addHeads(channels: Int, _ found: FoundShapes) throws(CheckpointError) {
        let decoder = "mask_decoder."
        let masks = try found.extent(decoder + "mask_tokens.weight", rank: 2, axis: 0)
        let hidden = try found.extent(decoder + "iou_prediction_head.layers.0.weight", rank: 2, axis: 0)
        try found.check(masks <= 64, "a mask decoder has a few mask tokens, not \(masks)")
        add(decoder + "iou_token.weight", [1, channels])
        add(decoder + "mask_tokens.weight", [masks, channels])
        add(layer: decoder + "output_upscaling.0", [channels, channels / 4, 2, 2], bias: channels / 4)
        add(layer: decoder + "output_upscaling.1", [channels / 4])
        add(layer: decoder + "output_upscaling.3", [channels / 4, channels / 8, 2, 2], bias: channels / 8)
        for mask in 0..<masks {
            let head = decoder + "output_hypernetworks_mlps.\(mask).layers."
            add(layer: head + "0", [channels, channels])
            add(layer: head + "1", [channels, channels])
            add(layer: head + "2", [channels / 8, channels])
        }
        add(layer: decoder + "iou_prediction_head.layers.0", [hidden, channels])
        add(layer: decoder + "iou_prediction_head.layers.1", [hidden, hidden])
        add(layer: decoder + "iou_prediction_head.layers.2", [masks, hidden])
    }
}
