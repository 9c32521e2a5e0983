// SPDX-License-Identifier: Apache-2.0

/// The names of SAM's tensors in `transformers` (SamModel).
///
/// src/transformers/models/sam/convert_sam_to_hf.py of `transformers` renames the publisher's
/// tensors. This type reverses the renaming. Numbers and shapes are the same.
enum TransformersNames {
    /// Whether a checkpoint uses the names of `transformers`.
    static func areUsed(in names: some Sequence<String>) -> Bool { names.contains { $0.hasPrefix("vision_encoder.") } }

    /// The prompt encoder's own copy of the positional encoding.
    static let tiedCopy = "prompt_encoder.shared_embedding.positional_embedding"

    /// The publisher's name of a tensor; an unknown name stays as it is.
    static func official(_ name: String) -> String {
        let words = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        switch words[0] {
        case "vision_encoder":
            return (["image_encoder"] + imageEncoder(Array(words.dropFirst()))).joined(separator: ".")
        case "shared_image_embedding":
            return name == "shared_image_embedding.positional_embedding" ? gaussian : name
        case "prompt_encoder":
            if name == tiedCopy { return gaussian }
            return (["prompt_encoder"] + promptEncoder(Array(words.dropFirst()))).joined(separator: ".")
        case "mask_decoder": return (["mask_decoder"] + maskDecoder(Array(words.dropFirst()))).joined(separator: ".")
        default: return name
        }
    }

    private static let gaussian = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"

    private static func imageEncoder(_ words: [String]) -> [String] {
        switch words.first {
        case "layers": return ["blocks"] + words.dropFirst().map(norm)
        case "patch_embed": return words.map { $0 == "projection" ? "proj" : $0 }
        case "neck":
            let steps = ["conv1": "0", "layer_norm1": "1", "conv2": "2", "layer_norm2": "3"]
            return words.map { steps[$0] ?? $0 }
        default: return words
        }
    }

    private static func promptEncoder(_ words: [String]) -> [String] {
        switch words.first {
        case "point_embed": return ["point_embeddings"] + words.dropFirst()
        case "mask_embed":
            let steps = ["conv1": "0", "layer_norm1": "1", "conv2": "3", "layer_norm2": "4", "conv3": "6"]
            return ["mask_downscaling"] + words.dropFirst().map { steps[$0] ?? $0 }
        default: return words
        }
    }

    private static func maskDecoder(_ words: [String]) -> [String] {
        switch words.first {
        case "transformer": return words.map(norm)
        case "upscale_conv1": return ["output_upscaling", "0"] + words.dropFirst()
        case "upscale_layer_norm": return ["output_upscaling", "1"] + words.dropFirst()
        case "upscale_conv2": return ["output_upscaling", "3"] + words.dropFirst()
        case "iou_prediction_head": return ["iou_prediction_head"] + perceptron(Array(words.dropFirst()))
        case "output_hypernetworks_mlps": return Array(words.prefix(2)) + perceptron(Array(words.dropFirst(2)))
        default: return words
        }
    }

    /// Renames the three layers of an MLP: `proj_in`, `layers.0` and `proj_out`.
    private static func perceptron(_ words: [String]) -> [String] {
        switch words.first {
        case "proj_in": return ["layers", "0"] + words.dropFirst()
        case "layers" where words.dropFirst().first == "0": return ["layers", "1"] + words.dropFirst(2)
        case "proj_out": return ["layers", "2"] + words.dropFirst()
        default: return words
        }
    }

    /// Renames `layer_norm1` to `norm1` and `layer_norm_final_attn` to `norm_final_attn`.
    private static func norm(_ word: String) -> String {
        word.hasPrefix("layer_norm") ? String(word.dropFirst("layer_".count)) : word
    }
}
