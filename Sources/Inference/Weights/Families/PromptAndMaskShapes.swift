// SPDX-License-Identifier: Apache-2.0

extension NetworkShapes {
    /// Prompt encoder and mask decoder, the same in SAM, MedSAM and LiteMedSAM (facebookresearch/segment-anything,
    /// segment_anything/modeling/prompt_encoder.py, mask_decoder.py, transformer.py).
    ///
    /// - Parameter channels: of the image embedding; 256 in everything published.
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

    private mutating func addAttention(_ name: String, channels: Int, inner: Int) {
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
