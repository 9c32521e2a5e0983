// SPDX-License-Identifier: Apache-2.0
//
// Files that hold the weights of a network: PyTorch's zip checkpoints (`torch.save` since 1.6) and safetensors files.
// Of both, only where every tensor lies is read here; the numbers are read when they are converted.

/// One tensor of a checkpoint: where its numbers are.
package struct CheckpointTensor: Sendable, Hashable {
    package var name: String
    package var type: NumberType
    package var shape: [Int]
    /// In numbers.
    var strides: [Int]
    /// Of the first number, in the file.
    var offset: Int

    /// How many numbers; at most as many as the file has bytes.
    package var count: Int { shape.reduce(1, *) }

    /// The numbers lie one after the other, in row-major order.
    var isContiguous: Bool {
        var step = 1
        for (extent, stride) in zip(shape, strides).reversed() {
            if extent != 1, stride != step { return false }
            // No overflow where there are numbers at all: `count` is bounded by the file.
            step &*= extent
        }
        return true
    }
}

/// An opened checkpoint.
package struct Checkpoint: Sendable {
    package enum Format: String, Sendable {
        case torch = "PyTorch checkpoint"
        case safetensors = "safetensors file"
    }

    package let format: Format
    /// By their names, each once, in no order.
    package var tensors: [CheckpointTensor]
    /// What there is beside the model, in words: `optimizer`, `epoch`.
    package let beside: [String]
    let file: CheckpointFile
    /// Compares the checksums that were written with the numbers; `nil` where there are none.
    package let checksums: EntryChecksums?

    package var size: Int { file.size }

    /// Opens a checkpoint and finds its tensors.
    ///
    /// - Throws: `CheckpointError`.
    package init(path: String) throws(CheckpointError) {
        let file = try CheckpointFile(path: path)
        let beginning = try file.bytes(at: 0, count: min(512, file.size))
        switch FileKind(beginning, name: String(path.split(separator: "/").last ?? "")) {
        case .zip:
            let found = try TorchArchive(file)
            (format, tensors, beside) = (.torch, found.model.tensors, found.model.beside)
            checksums = EntryChecksums(found.archive)
        case .safetensors:
            (format, tensors, beside) = (.safetensors, try SafeTensorsHeader.tensors(of: file), [])
            checksums = nil
        case .refused(let error): throw error
        }
        guard !tensors.isEmpty else { throw .format(reason: "there is no tensor in it") }
        self.file = file
    }
}
