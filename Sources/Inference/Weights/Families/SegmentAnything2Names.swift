// SPDX-License-Identifier: Apache-2.0

/// The names of SAM 2's tensors in `transformers` (Sam2VideoModel).
///
/// src/transformers/models/sam2_video/convert_sam2_video_to_hf.py of `transformers` renames the publisher's tensors.
/// This type knows the new name of each official one. Numbers and shapes are the same, except that the four point
/// embeddings are rows of one tensor.
enum SegmentAnything2Names {
    /// Whether a checkpoint uses the names of `transformers`.
    static func areUsed(in names: some Sequence<String>) -> Bool {
        names.contains { $0.hasPrefix("vision_encoder.backbone.") }
    }

    /// The tensor whose rows are the point embeddings.
    static let points = "prompt_encoder.point_embed.weight"
    /// The positional encoding of the prompt encoder.
    static let gaussian = "prompt_encoder.shared_embedding.positional_embedding"
    /// The copy of the positional encoding outside the prompt encoder.
    static let tiedCopy = "shared_image_embedding.positional_embedding"
    /// The publisher's name of a point embedding.
    static func point(_ index: Int) -> String { "sam_prompt_encoder.point_embeddings.\(index).weight" }

    /// Replacements of parts of official names, in order.
    private static let replacements: [(String, String)] = [
        ("output_upscaling.0", "upscale_conv1"), ("output_upscaling.1", "upscale_layer_norm"),
        ("output_upscaling.3", "upscale_conv2"), ("mask_downscaling.0", "mask_embed.conv1"),
        ("mask_downscaling.1", "mask_embed.layer_norm1"), ("mask_downscaling.3", "mask_embed.conv2"),
        ("mask_downscaling.4", "mask_embed.layer_norm2"), ("mask_downscaling.6", "mask_embed.conv3"),
        ("dwconv", "depthwise_conv"), ("pwconv", "pointwise_conv"), ("fuser", "memory_fuser"), ("gamma", "scale"),
        ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
        ("obj_ptr_tpos_proj", "temporal_positional_encoding_projection_layer"),
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
        ("sam_prompt_encoder", "prompt_encoder"), ("sam_mask_decoder", "mask_decoder"),
        ("maskmem_tpos_enc", "memory_temporal_positional_encoding"), ("image_encoder.neck", "vision_encoder.neck"),
        ("image_encoder.trunk", "vision_encoder.backbone"), ("pix_feat_proj", "feature_projection"),
        ("patch_embed.proj", "patch_embed.projection"), ("no_mem_embed", "no_memory_embedding"),
        ("no_mem_pos_enc", "no_memory_positional_encoding"), ("obj_ptr", "object_pointer"),
        (".norm", ".layer_norm"), ("memory_encoder.out_proj", "memory_encoder.projection"), ("out_proj", "o_proj"),
        ("mask_downsampler.encoder.12", "mask_downsampler.final_conv"),
    ]

    /// The name in `transformers` of the official tensor `name`.
    static func theirs(_ name: String) -> String {
        var renamed = perceptron(downsampler(name))
        for (from, to) in replacements { renamed = renamed.replacing(from, with: to) }
        if renamed.hasPrefix("vision_encoder.neck.convs.") { renamed = renamed.replacing(".conv.", with: ".") }
        return renamed
    }

    /// Renames the layers of an MLP: the first is `proj_in`, the last is `proj_out`.
    private static func perceptron(_ name: String) -> String {
        let three = [
            "iou_prediction_head", "pred_obj_score_head", "obj_ptr_proj", "output_hypernetworks_mlps.0",
            "output_hypernetworks_mlps.1", "output_hypernetworks_mlps.2", "output_hypernetworks_mlps.3",
        ]
        for head in three where name.contains(head + ".layers.") {
            return name.replacing(".layers.0.", with: ".proj_in.").replacing(".layers.1.", with: ".layers.0.")
                .replacing(".layers.2.", with: ".proj_out.")
        }
        return name.replacing(".mlp.layers.0.", with: ".mlp.proj_in.")
            .replacing(".mlp.layers.1.", with: ".mlp.proj_out.")
    }

    /// Renames the steps of the mask downsampler: convolutions are numbered 0, 3, 6 and 9, each before its norm.
    private static func downsampler(_ name: String) -> String {
        let prefix = "memory_encoder.mask_downsampler.encoder."
        let number = name.dropFirst(prefix.count).prefix { $0 != "." }
        guard name.hasPrefix(prefix), let step = Int(number), step < 12 else { return name }
        let layer = "memory_encoder.mask_downsampler.layers.\(step / 3)." + (step % 3 == 0 ? "conv" : "layer_norm")
        return layer + name.dropFirst(prefix.count + number.count)
    }
}
