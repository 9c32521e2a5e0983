// SPDX-License-Identifier: Apache-2.0

/// LiteMedSAM's image encoder, a TinyViT without its first two steps of downsampling (bowang-lab/MedSAM, branch
/// LiteMedSAM, tiny_vit_sam.py).
struct TinyVisionTransformerShapes {
    private(set) var network = NetworkShapes()
    let architecture: String

    private static let encoder = "image_encoder."

    /// Reads the sizes off `shapes`. All other tensors of the table follow from them.
    ///
    /// - Throws: `CheckpointError.mismatch`, `.unknownNetwork` for MobileSAM, whose names are the same.
    init(_ shapes: [String: [Int]]) throws(CheckpointError) {
        let encoder = Self.encoder
        let found = FoundShapes(shapes: shapes, network: "LiteMedSAM")
        if shapes[encoder + "patch_embed.seq.0.c.weight"]?.last == 3 {
            throw .unknownNetwork(reason: "they are those of MobileSAM, whose encoder begins with other strides")
        }
        var widths = [try found.extent(encoder + "patch_embed.seq.2.c.weight", rank: 4, axis: 0)]
        for stage in 0..<3 {
            widths.append(try found.extent(encoder + "layers.\(stage).downsample.conv1.c.weight", rank: 4, axis: 0))
        }
        let channels = try found.extent(encoder + "neck.0.weight", rank: 4, axis: 0)
        try found.check(widths[0].isMultiple(of: 2), "an even number of channels comes first, not \(widths[0])")
        architecture =
            widths == [64, 128, 160, 320] ? "TinyViT" : "TinyViT \(widths.map(String.init).joined(separator: "/"))"
        addStem(widths[0])
        try addFirstStage(widths, found)
        for stage in 1..<4 { try addStage(stage, widths, found) }
        network.add(encoder + "neck.0.weight", [channels, widths[3], 1, 1])
        network.add(layer: encoder + "neck.1", [channels])
        network.add(encoder + "neck.2.weight", [channels, channels, 3, 3])
        network.add(layer: encoder + "neck.3", [channels])
        try network.addPromptEncoderAndMaskDecoder(channels: channels, found)
    }

    /// A convolution without bias, and the batch norm behind it.
    private mutating func addConvolution(_ name: String, _ weight: [Int]) {
        network.add(name + ".c.weight", weight)
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            network.add("\(name).bn.\(tensor)", [weight[0]])
        }
    }

    private mutating func addStem(_ width: Int) {
        addConvolution(Self.encoder + "patch_embed.seq.0", [width / 2, 3, 1, 1])
        addConvolution(Self.encoder + "patch_embed.seq.2", [width, width / 2, 1, 1])
    }

    private mutating func addFirstStage(_ widths: [Int], _ found: FoundShapes) throws(CheckpointError) {
        let stage = Self.encoder + "layers.0."
        let width = widths[0]
        let hidden = try found.extent(stage + "blocks.0.conv1.c.weight", rank: 4, axis: 0)
        for depth in 0..<found.count(stage + "blocks.") {
            let block = stage + "blocks.\(depth)."
            addConvolution(block + "conv1", [hidden, width, 1, 1])
            addConvolution(block + "conv2", [hidden, 1, 3, 3])
            addConvolution(block + "conv3", [width, hidden, 1, 1])
        }
        addMerging(stage + "downsample.", from: width, to: widths[1])
    }

    private mutating func addMerging(_ name: String, from width: Int, to wider: Int) {
        addConvolution(name + "conv1", [wider, width, 1, 1])
        addConvolution(name + "conv2", [wider, 1, 3, 3])
        addConvolution(name + "conv3", [wider, wider, 1, 1])
    }

    private mutating func addStage(_ number: Int, _ widths: [Int], _ found: FoundShapes) throws(CheckpointError) {
        let stage = Self.encoder + "layers.\(number)."
        let width = widths[number]
        let heads = try found.extent(stage + "blocks.0.attn.attention_biases", rank: 2, axis: 0)
        let offsets = try found.extent(stage + "blocks.0.attn.attention_biases", rank: 2, axis: 1)
        let hidden = try found.extent(stage + "blocks.0.mlp.fc1.weight", rank: 2, axis: 0)
        try found.check(width.isMultiple(of: heads), "\(width) channels are not \(heads) heads")
        try found.check(
            (1...64).contains { $0 * $0 == offsets }, "\(offsets) attention biases are not those of a square window")
        for depth in 0..<found.count(stage + "blocks.") {
            let block = stage + "blocks.\(depth)."
            network.add(layer: block + "attn.norm", [width])
            network.add(layer: block + "attn.qkv", [3 * width, width])
            network.add(layer: block + "attn.proj", [width, width])
            network.add(block + "attn.attention_biases", [heads, offsets])
            network.add(layer: block + "mlp.norm", [width])
            network.add(layer: block + "mlp.fc1", [hidden, width])
            network.add(layer: block + "mlp.fc2", [width, hidden])
            addConvolution(block + "local_conv", [width, 1, 3, 3])
        }
        if number < 3 { addMerging(stage + "downsample.", from: width, to: widths[number + 1]) }
    }
}
