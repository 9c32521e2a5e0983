// SPDX-License-Identifier: Apache-2.0

/// SAM's image encoder, a ViT with windowed and global attention and decomposed relative positions
/// (facebookresearch/segment-anything, segment_anything/modeling/image_encoder.py).
struct VisionTransformerShapes {
    private(set) var network = NetworkShapes()
    /// `ViT-B`, `ViT-L`, `ViT-H`, or what is known of another: `ViT 96/4, 256 x 256`.
    let architecture: String
    /// `b`, `l`, `h`, or `custom`.
    let letter: String

    /// Reads the sizes off `shapes`. All other tensors of the table follow from them.
    ///
    /// - Throws: `CheckpointError.mismatch`.
    init(_ shapes: [String: [Int]]) throws(CheckpointError) {
        let found = FoundShapes(shapes: shapes, network: "SAM with a ViT image encoder")
        let sizes = try Sizes(found)
        (letter, architecture) =
            sizes.published.map { ($0.letter, "ViT-\($0.letter.uppercased())") } ?? ("custom", sizes.title)
        add(sizes)
        try network.addPromptEncoderAndMaskDecoder(channels: sizes.channels, found)
    }

    private mutating func add(_ sizes: Sizes) {
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

private struct Sizes {
    var width: Int
    var patch: Int
    /// Tokens a side.
    var grid: Int
    var headSize: Int
    var hidden: Int
    /// Of the image embedding.
    var channels: Int
    /// Relative positions of every block: 2 S - 1 for attention within S x S tokens.
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

    /// The published size that this is; its depth ends with a global block.
    var published: Published? {
        guard grid == 64, patch == 16, hidden == 4 * width, channels == 256, positions.min() == 27 else { return nil }
        return Self.allPublished.first {
            $0.width == width && $0.heads * headSize == width && $0.globalBlocks == globalBlocks
                && $0.globalBlocks.last == positions.count - 1
        }
    }
}
