// SPDX-License-Identifier: Apache-2.0

/// Reads the numbers of a checkpoint's tensors in the store's types and in row-major order, a few
/// megabytes at a time.
struct TensorReader {
    let file: CheckpointFile

    /// The bytes that are read at once of a tensor whose numbers lie in order.
    static let chunk = 4 << 20
    /// The most bytes that are read at once of a tensor whose numbers do not lie in order.
    ///
    /// Such a tensor is read whole. The largest tensor of a ViT-H has 26 MB.
    static let largestGather = 512 << 20

    /// Calls `body` with the numbers of a tensor, piece by piece.
    ///
    /// - Parameters:
    ///   - tensor: a tensor of the file.
    ///   - body: receives the bytes of the pieces in order; they are valid during the call only.
    /// - Throws: `CheckpointError.tensor` if a number is infinite or not a number, and the errors
    ///   of `body`.
    func read(
        _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        guard let stored = tensor.type.stored else {
            throw CheckpointError.tensor(tensor.name, reason: "its numbers are not floating-point numbers")
        }
        try pieces(of: tensor) { piece in
            let isFinite: Bool
            if tensor.type == .double {
                let singles = piece.bindMemory(to: Double.self).map { Float($0) }
                isFinite = try singles.withUnsafeBytes { bytes in
                    try body(bytes)
                    return Self.isFinite(bytes, .f32)
                }
            } else {
                isFinite = Self.isFinite(piece, stored)
                if isFinite { try body(piece) }
            }
            guard isFinite else {
                throw CheckpointError.tensor(
                    tensor.name, reason: "it contains numbers that are infinite or not a number")
            }
        }
    }

    /// Calls `body` with the numbers in the file's type, in row-major order.
    private func pieces(of tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let bytes = tensor.count * tensor.type.width
        guard tensor.isContiguous else { return try gather(tensor, body) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(bytes, Self.chunk), alignment: 64)
        defer { buffer.deallocate() }
        for start in stride(from: 0, to: bytes, by: Self.chunk) {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(Self.chunk, bytes - start)])
            try file.read(at: tensor.offset + start, into: piece)
            try body(UnsafeRawBufferPointer(piece))
        }
    }

    /// Reads the numbers of a tensor that do not lie in order, such as those of a transposed
    /// matrix.
    private func gather(_ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let width = tensor.type.width
        let last = zip(tensor.shape, tensor.strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
        let (count, span) = (tensor.count, (last + 1) * width)
        guard span <= Self.largestGather else {
            throw CheckpointError.tensor(
                tensor.name, reason: "its numbers are spread over \(span >> 20) MiB; save a contiguous copy of it")
        }
        let source = UnsafeMutableRawBufferPointer.allocate(byteCount: span, alignment: 64)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: count * width, alignment: 64)
        defer {
            source.deallocate()
            target.deallocate()
        }
        try file.read(at: tensor.offset, into: source)
        switch width {
        case 8: Self.gather(UInt64.self, tensor, from: source, to: target)
        case 4: Self.gather(UInt32.self, tensor, from: source, to: target)
        default: Self.gather(UInt16.self, tensor, from: source, to: target)
        }
        try body(UnsafeRawBufferPointer(target))
    }

    private static func gather<Word: FixedWidthInteger>(
        _ type: Word.Type, _ tensor: CheckpointTensor, from source: UnsafeMutableRawBufferPointer,
        to target: UnsafeMutableRawBufferPointer
    ) {
        let (source, target) = (source.bindMemory(to: type), target.bindMemory(to: type))
        var index = [Int](repeating: 0, count: tensor.shape.count)
        var place = 0
        for output in target.indices {
            target[output] = source[place]
            // One step to the next index; the last axis runs fastest.
            for axis in tensor.shape.indices.reversed() {
                index[axis] += 1
                place += tensor.strides[axis]
                if index[axis] < tensor.shape[axis] { break }
                place -= tensor.strides[axis] * tensor.shape[axis]
                index[axis] = 0
            }
        }
    }

    /// Whether every number is finite: no exponent consists of ones only.
    private static func isFinite(_ bytes: UnsafeRawBufferPointer, _ type: SafeTensors.DataType) -> Bool {
        switch type {
        case .f32: largest(bytes.bindMemory(to: UInt32.self), mask: 0x7fff_ffff) < 0x7f80_0000
        case .f16: largest(bytes.bindMemory(to: UInt16.self), mask: 0x7fff) < 0x7c00
        case .bf16: largest(bytes.bindMemory(to: UInt16.self), mask: 0x7fff) < 0x7f80
        }
    }

    @inline(__always)
    private static func largest<Word: FixedWidthInteger & UnsignedInteger>(
        _ words: UnsafeBufferPointer<Word>, mask: Word
    ) -> Word {
        var largest: Word = 0
        for word in words { largest = max(largest, word & mask) }
        return largest
    }
}
