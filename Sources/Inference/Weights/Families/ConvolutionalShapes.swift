// SPDX-License-Identifier: Apache-2.0

/// medsam-compact: the image encoder of training/networks/promptable.py, batch norms folded, and SAM's prompt encoder
/// and mask decoder.
struct ConvolutionalShapes {
    private(set) var network = NetworkShapes()
    let architecture: String

    private static let encoder = "image_encoder."

    /// Reads the sizes off `shapes`. All other tensors of the table follow from them.
    ///
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
