// SPDX-License-Identifier: Apache-2.0

internal import CKernels

/// Self-attention of a grid of tokens, in windows or over the whole grid.
final class SelfAttention {
    /// What is added to the scores before the softmax.
    enum Positions {
        /// Tables `[2 S - 1, headSize]`, by which the unscaled queries are multiplied.
        case decomposed(height: Tensor, width: Tensor)
        /// `[heads, window^2, window^2]`, symmetric.
        case table([Float])
    }

    private let grid: Int
    private let window: Int
    private let heads: Int
    private let headSize: Int
    private let precision: Precision
    private let positions: Positions
    private let padding: [Float]

    /// - Parameters:
    ///   - window: its height and width, 0 for the whole grid.
    ///   - padding: `[3, heads, headSize]`, what a token outside the grid has.
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

    var isGlobal: Bool { window == 0 }

    /// - Parameters:
    ///   - qkv: `[grid * grid, 3, heads, headSize]` in the precision given.
    ///   - output: `[grid * grid, heads * headSize]`, in the same.
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
