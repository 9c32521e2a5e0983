// SPDX-License-Identifier: Apache-2.0

import CKernels

/// Self-attention over a square grid of tokens, either within windows or over the whole grid.
final class SelfAttention {
    /// The relative positions that are added to the scores before the softmax.
    enum Positions {
        /// Decomposed relative positions (Li 2022): two tables `[2 S - 1, headSize]`, multiplied by
        /// the unscaled queries.
        case decomposed(height: Tensor, width: Tensor)
        /// A symmetric table of biases, `[heads, window^2, window^2]`.
        case table([Float])
    }

    private let grid: Int
    private let window: Int
    private let heads: Int
    private let headSize: Int
    private let precision: Precision
    private let positions: Positions
    private let padding: [Float]

    /// Creates the attention.
    ///
    /// - Parameters:
    ///   - grid: height and width of the grid.
    ///   - window: height and width of a window; 0 means the whole grid.
    ///   - heads: the number of heads.
    ///   - headSize: the number of channels of a head.
    ///   - precision: the number format of input and output.
    ///   - positions: the relative positions.
    ///   - padding: `[3, heads, headSize]`, the q, k and v of a token outside the grid.
    init(
        grid: Int, window: Int, heads: Int, headSize: Int, precision: Precision, positions: Positions, padding: [Float]
    ) {
        self.grid = grid
        self.window = window
        self.heads = heads
        self.headSize = headSize
        self.precision = precision
        self.positions = positions
        self.padding = padding
    }

    /// Whether every token attends to the whole grid.
    var isGlobal: Bool { window == 0 }

    /// Computes the attention.
    ///
    /// - Parameters:
    ///   - qkv: `[grid * grid, 3, heads, headSize]` in the layer's precision.
    ///   - output: `[grid * grid, heads * headSize]` in the layer's precision.
    /// - Throws: `ComputeError`.
    func apply(qkv: UnsafeRawPointer, to output: UnsafeMutableRawPointer) throws(ComputeError) {
        let status = padding.withUnsafeBufferPointer { padding in
            switch positions {
            case .decomposed(let height, let width):
                height.values.withUnsafeBufferPointer { height in
                    width.values.withUnsafeBufferPointer { width in
                        run(qkv, output, padding.baseAddress, height.baseAddress, width.baseAddress, nil)
                    }
                }
            case .table(let table):
                table.withUnsafeBufferPointer { run(qkv, output, padding.baseAddress, nil, nil, $0.baseAddress) }
            }
        }
        try ComputeError.check(status, "the attention of \(grid) x \(grid) tokens")
    }

    private func run(
        _ qkv: UnsafeRawPointer, _ output: UnsafeMutableRawPointer, _ padding: UnsafePointer<Float>?,
        _ height: UnsafePointer<Float>?, _ width: UnsafePointer<Float>?, _ bias: UnsafePointer<Float>?
    ) -> ck_status {
        var call = ck_self_attention()
        call.batch = 1
        call.height = Int64(grid)
        call.width = Int64(grid)
        call.window = Int64(window)
        call.heads = Int64(heads)
        call.head_size = Int64(headSize)
        call.form = precision.form
        call.qkv = qkv
        call.padding = padding
        call.scale = 1 / Float(headSize).squareRoot()
        call.rel_height = height
        call.rel_width = width
        call.bias = bias
        call.output = output
        return ck_attend(&call)
    }
}
