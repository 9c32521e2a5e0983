// SPDX-License-Identifier: Apache-2.0
//
// Object pointers and the positions of memories: `_forward_sam_heads` and `_prepare_memory_conditioned_features` of
// sam2/modeling/sam2_base.py, with their tensor names.

/// The vectors that describe the object of a frame in short.
final class ObjectPointers {
    private let projection: MLP
    /// The pointer of a frame without the object, `[channels]`.
    let noObject: [Float]
    /// The projection of distances in time; SAM 2.0 does not have it.
    private let time: Linear?
    private let channels: Int
    private let memoryChannels: Int
    private let workspace = Workspace()

    /// The most pointers of tracked frames that a frame attends to, plus one.
    static let most = 16

    init(_ weights: SafeTensors, channels: Int, memoryChannels: Int) throws {
        self.channels = channels
        self.memoryChannels = memoryChannels
        guard channels % memoryChannels == 0 else {
            throw WeightFileError.tensor(
                "obj_ptr_proj.layers.2.weight",
                reason: "pointers of \(channels) are not whole memories of \(memoryChannels)")
        }
        projection = try MLP(weights, "obj_ptr_proj", inputs: channels, outputs: channels)
        noObject = try weights.tensor("no_obj_ptr", shape: [1, channels]).values
        time =
            weights.shape(of: "obj_ptr_tpos_proj.weight") == nil
            ? nil : try weights.linear("obj_ptr_tpos_proj", channels, memoryChannels, precision: .fp32)
    }

    /// The pointer that a mask's output token `[channels]` stands for.
    func pointer(_ token: [Float]) throws -> [Float] {
        var pointer = [Float](repeating: 0, count: channels)
        try token.withUnsafeBufferPointer { token in
            try pointer.withUnsafeMutableBufferPointer { pointer in
                guard let from = token.baseAddress, let to = pointer.baseAddress else { return }
                try projection.apply(rows: 1, from, stride: channels, to: to, outputStride: channels, workspace)
            }
        }
        return pointer
    }

    /// The position of a pointer, `[memoryChannels]`.
    ///
    /// - Parameters:
    ///   - distance: how many frames ago the pointer was made.
    ///   - frames: the number of frames of the sequence.
    /// - Returns: the position.
    /// - Throws: `ComputeError`.
    func position(distance: Int, frames: Int) throws -> [Float] {
        var position = [Float](repeating: 0, count: memoryChannels)
        guard let time else { return position }
        let largest = Float(min(frames, Self.most) - 1)
        let code = SinePositions.distance(Float(distance) / largest, channels: channels)
        try code.withUnsafeBytes { code in
            try position.withUnsafeMutableBytes { position in
                guard let from = code.baseAddress, let to = position.baseAddress else { return }
                try time.apply(rows: 1, from, to: to)
            }
        }
        return position
    }
}

/// The positions of memories on the grid and in time.
struct MemoryPositions {
    /// The positional encoding of the grid, `[grid * grid, channels]`.
    private let grid: [Float]
    /// The learned vectors of the temporal indices, `[indices, channels]`.
    private let time: [Float]
    private let channels: Int

    init(_ weights: SafeTensors, grid side: Int, channels: Int) throws {
        self.channels = channels
        grid = SinePositions.grid(side, channels: channels)
        let name = "maskmem_tpos_enc"
        time = try weights.tensor(name, shape: [MemorySelection.temporalIndices, 1, 1, channels]).values
    }

    /// Appends a memory of bf16 numbers, `[grid * grid, channels]`, to the rows.
    func append(_ memory: [UInt16], temporalIndex: Int, to rows: inout MemoryRows) {
        let start = rows.values.count
        rows.values.reserveCapacity(start + memory.count)
        rows.keys.reserveCapacity(start + memory.count)
        for number in memory { rows.values.append(Float(bitPattern: UInt32(number) << 16)) }
        let offset = temporalIndex * channels
        for index in memory.indices {
            rows.keys.append(rows.values[start + index] + (grid[index] + time[offset + index % channels]))
        }
        rows.gridRows += memory.count / channels
    }
}
