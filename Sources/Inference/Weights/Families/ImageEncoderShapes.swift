// SPDX-License-Identifier: Apache-2.0

/// The tensors of SAM's image encoder, a ViT with windowed and global attention and decomposed
/// relative positions.
///
/// The names are those of facebookresearch/segment-anything,
/// segment_anything/modeling/image_encoder.py.
struct VisionTransformerShapes {
    /// The tensors that the network must have.
    private(set) var network = NetworkShapes()
    /// `ViT-B`, `ViT-L` or `ViT-H`, or the sizes of another encoder: `ViT 96/4, 256 x 256`.
    let architecture: String
    /// `b`, `l`, `h`, or `custom`.
    let letter: String

    /// Takes the sizes from a few of the shapes and lists all tensors that follow from them.
    ///
    /// - Parameter shapes: the tensors of a checkpoint.
    /// - Throws: `CheckpointError.mismatch`.
    init(_ shapes: [String: [Int]]) throws(CheckpointError) {
        let found = FoundShapes(shapes: shapes, network: "SAM with a ViT image encoder")
        let sizes = try ViTSizes(found)
        (letter, architecture) =
            sizes.published.map { ($0.letter, "ViT-\($0.letter.uppercased())") } ?? ("custom", sizes.title)
        add(sizes)
        try network.addPromptEncoderAndMaskDecoder(channels: sizes.channels, found)
    }

    private mutating func add(_ sizes: ViTSizes) {
        let encoder = "image_encoder."
        let (width, channels) = (sizes.width, sizes.channels)
        network.add(encoder + "pos_embed", [1, sizes.grid, sizes.grid, width])
        network.add(layer: encoder + "patch_embed.proj", [width, 3, sizes.patch, sizes.patch])
        for (depth, positions) in sizes.positions.enumerated() {
            let block = encoder + "blocks.\(depth)."
            network.add(layer: block + "norm1", [width])
            network.add(block + "attn.rel_pos_h", [positions, sizes.headSize])
            network.add(block + "attn.rel_pos_w", [positions, sizes.headSize])
            network.add(layer: block + "attn.qkv", [3 * width, width])
            network.add(layer: block + "attn.proj", [width, width])
            network.add(layer: block + "norm2", [width])
            network.add(layer: block + "mlp.lin1", [sizes.hidden, width])
            network.add(layer: block + "mlp.lin2", [width, sizes.hidden])
        }
        network.add(encoder + "neck.0.weight", [channels, width, 1, 1])
        network.add(layer: encoder + "neck.1", [channels])
        network.add(encoder + "neck.2.weight", [channels, channels, 3, 3])
        network.add(layer: encoder + "neck.3", [channels])
    }
}

/// The sizes of a ViT image encoder.
private struct ViTSizes {
    var width: Int
    var patch: Int
    /// The number of tokens per side of the grid.
    var grid: Int
    var headSize: Int
    var hidden: Int
    /// The number of channels of the image embedding.
    var channels: Int
    /// The number of relative positions of every block: 2 S - 1 for attention within S x S tokens.
    var positions: [Int]

    init(_ found: FoundShapes) throws(CheckpointError) {
        let encoder = "image_encoder."
        width = try found.extent(encoder + "patch_embed.proj.weight", rank: 4, axis: 0)
        patch = try found.extent(encoder + "patch_embed.proj.weight", rank: 4, axis: 3)
        grid = try found.extent(encoder + "pos_embed", rank: 4, axis: 2)
        headSize = try found.extent(encoder + "blocks.0.attn.rel_pos_h", rank: 2, axis: 1)
        hidden = try found.extent(encoder + "blocks.0.mlp.lin1.weight", rank: 2, axis: 0)
        channels = try found.extent(encoder + "neck.0.weight", rank: 4, axis: 0)
        positions = []
        for depth in 0..<found.count(encoder + "blocks.") {
            positions.append(try found.extent(encoder + "blocks.\(depth).attn.rel_pos_h", rank: 2, axis: 0))
        }
        try found.check(width.isMultiple(of: headSize), "\(width) channels are not heads of \(headSize)")
        let windows = Set(positions).subtracting([2 * grid - 1])
        try found.check(
            windows.count <= 1 && windows.allSatisfy { !$0.isMultiple(of: 2) && $0 < 2 * grid - 1 },
            "its blocks have \(Set(positions).sorted()) relative positions, expected \(2 * grid - 1) and those of one "
                + "window size")
    }

    private var globalBlocks: [Int] { positions.indices.filter { positions[$0] == 2 * grid - 1 } }

    var title: String { "ViT \(width)/\(positions.count), \(grid * patch) x \(grid * patch)" }

    /// The sizes of a published encoder.
    struct Published {
        var letter: String
        var width: Int
        var heads: Int
        var globalBlocks: [Int]
    }

    private static let allPublished = [
        Published(letter: "b", width: 768, heads: 12, globalBlocks: [2, 5, 8, 11]),
        Published(letter: "l", width: 1024, heads: 16, globalBlocks: [5, 11, 17, 23]),
        Published(letter: "h", width: 1280, heads: 16, globalBlocks: [7, 15, 23, 31]),
    ]

    /// The published encoder that has these sizes, if there is one.
    ///
    /// The last block of a published encoder attends globally.
    var published: Published? {
        guard grid == 64, patch == 16, hidden == 4 * width, channels == 256, positions.min() == 27 else { return nil }
        return Self.allPublished.first {
            $0.width == width && $0.heads * headSize == width && $0.globalBlocks == globalBlocks
                && $0.globalBlocks.last == positions.count - 1
        }
    }
}

/// The tensors of LiteMedSAM's image encoder, a TinyViT without its first two steps of
/// downsampling.
///
/// The names are those of bowang-lab/MedSAM, branch LiteMedSAM, tiny_vit_sam.py.
struct TinyVisionTransformerShapes {
    private(set) var network = NetworkShapes()
    let architecture: String

    private static let encoder = "image_encoder."

    /// Takes the sizes from a few of the shapes and lists all tensors that follow from them.
    ///
    /// - Parameter shapes: the tensors of a checkpoint.
    /// - Throws: `CheckpointError.mismatch`, or `.unknownNetwork` for MobileSAM, whose tensors have
    ///   the same names.
    init(_ shapes: [String: [Int]]) throws(CheckpointError) {
        let encoder = Self.encoder
        let found = FoundShapes(shapes: shapes, network: "LiteMedSAM")
        if shapes[encoder + "patch_embed.seq.0.c.weight"]?.last == 3 {
            throw .unknownNetwork(
                reason: "the tensors are those of MobileSAM, whose image encoder begins with other strides")
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

    /// Adds a convolution without bias and the batch norm behind it.
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

/// The tensors of medsam-compact: the image encoder of training/networks/promptable.py and SAM's prompt
/// encoder and mask decoder.
///
/// Batch norms are folded into the convolutions.
struct ConvolutionalShapes {
    private(set) var network = NetworkShapes()
    let architecture: String

    private static let encoder = "image_encoder."

    /// Takes the sizes from a few of the shapes and lists all tensors that follow from them.
    ///
    /// - Parameter shapes: the tensors of a checkpoint.
    /// - Throws: `CheckpointError.mismatch`.
    init(_ shapes: [String: [Int]]) throws(CheckpointError) {
        let encoder = Self.encoder
        let found = FoundShapes(shapes: shapes, network: "medsam-compact")
        let levels = min(found.count(encoder + "encoder."), 8)
        let steps = found.count(encoder + "decoder.")
        try found.check(levels == steps + 3, "\(levels) levels of the encoder do not fit \(steps) of the decoder")
        var widths: [Int] = []
        for level in 0..<levels {
            widths.append(try found.extent(encoder + "encoder.\(level).down.conv.weight", rank: 4, axis: 0))
        }
        let stem = try found.extent(encoder + "encoder.0.down.conv.weight", rank: 4, axis: 2)
        let down = try found.extent(encoder + "encoder.1.down.conv.weight", rank: 4, axis: 2)
        let channels = try found.extent(encoder + "neck.0.weight", rank: 4, axis: 0)
        architecture = "convolutional \(widths.map(String.init).joined(separator: "/"))"
        for level in 0..<levels {
            let name = encoder + "encoder.\(level)."
            let (inputs, kernel) = level == 0 ? (3, stem) : (widths[level - 1], down)
            network.add(layer: name + "down.conv", [widths[level], inputs, kernel, kernel])
            addBlocks(name, widths[level], found)
        }
        for step in 0..<steps {
            let name = encoder + "decoder.\(step)."
            let width = widths[levels - 2 - step]
            network.add(layer: name + "project.conv", [width, widths[levels - 1 - step], 1, 1])
            addBlocks(name, width, found)
        }
        network.add(encoder + "fine.weight", [channels, widths[1], 2, 2])
        network.add(encoder + "neck.0.weight", [channels, widths[levels - 1 - steps], 1, 1])
        network.add(layer: encoder + "neck.1", [channels])
        try network.addPromptEncoderAndMaskDecoder(channels: channels, found)
    }

    private mutating func addBlocks(_ name: String, _ width: Int, _ found: FoundShapes) {
        for block in 0..<found.count(name + "blocks.") {
            for part in ["a", "b"] { network.add(layer: "\(name)blocks.\(block).\(part).conv", [width, width, 3, 3]) }
        }
    }
}
