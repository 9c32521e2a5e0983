// SPDX-License-Identifier: Apache-2.0
//
// Files that hold the weights of a network: PyTorch's zip checkpoints (`torch.save` since 1.6) and
// safetensors files. Opening a checkpoint finds where each tensor lies. The numbers are read when
// the checkpoint is converted.

/// The place of one tensor's numbers in a checkpoint.
package struct CheckpointTensor: Sendable, Hashable {
    /// The name of the tensor in the checkpoint.
    package var name: String
    /// The type of the numbers.
    package var type: NumberType
    /// The extents of the axes.
    package var shape: [Int]
    /// The distance between neighbours along each axis, in numbers.
    var strides: [Int]
    /// The offset of the first number in the file, in bytes.
    var offset: Int

    /// The number of values, at most the number of bytes in the file.
    package var count: Int { shape.reduce(1, *) }

    /// Whether the numbers lie one after the other in row-major order.
    var isContiguous: Bool {
        var step = 1
        for (extent, stride) in zip(shape, strides).reversed() {
            if extent != 1, stride != step { return false }
            // The product cannot overflow if there are numbers, because the file bounds `count`.
            step &*= extent
        }
        return true
    }
}

/// An opened checkpoint.
package struct Checkpoint: Sendable {
    /// The format of the file; the raw value names it for the operator.
    package enum Format: String, Sendable {
        case torch = "PyTorch checkpoint"
        case safetensors = "safetensors file"
    }

    /// The format of the file.
    package let format: Format
    /// The tensors in any order; each name occurs once.
    package var tensors: [CheckpointTensor]
    /// The names of entries that are not part of the model, such as `optimizer` and `epoch`.
    package let beside: [String]
    /// The `__metadata__` of a safetensors file; empty for other formats.
    let metadata: [String: String]
    let file: CheckpointFile
    /// Compares the entries with their stored checksums; `nil` if the format does not have
    /// checksums.
    package let checksums: EntryChecksums?

    /// The size of the file in bytes.
    package var size: Int { file.size }

    /// Opens a checkpoint and finds its tensors.
    ///
    /// - Parameter path: the path of the file.
    /// - Throws: `CheckpointError`.
    package init(path: String) throws(CheckpointError) {
        let file = try CheckpointFile(path: path)
        let beginning = try file.bytes(at: 0, count: min(512, file.size))
        switch FileKind(beginning, name: String(path.split(separator: "/").last ?? "")) {
        case .zip:
            let found = try TorchArchive(file)
            (format, tensors, beside) = (.torch, found.model.tensors, found.model.beside)
            (metadata, checksums) = ([:], EntryChecksums(found.archive))
        case .safetensors:
            let found = try SafeTensorsHeader.tensors(of: file)
            (format, tensors, beside) = (.safetensors, found.tensors, [])
            (metadata, checksums) = (found.metadata, nil)
        case .refused(let error): throw error
        }
        guard !tensors.isEmpty else { throw .format(reason: "the file does not contain a tensor") }
        self.file = file
    }

    /// The settings in the metadata, for a network of `family`.
    ///
    /// - Throws: `CheckpointError.format`.
    func settings(of family: ModelFamily) throws(CheckpointError) -> NetworkSettings {
        do throws(WeightFileError) {
            return try NetworkSettings(metadata, family: family)
        } catch {
            throw .format(reason: "the file cannot be used: \(error)")
        }
    }

    /// Checks that two tensors have the same numbers.
    ///
    /// - Parameters:
    ///   - copy: the tensor that is left out; it has the shape of the other one.
    ///   - original: the tensor that is kept.
    /// - Throws: `CheckpointError.tensor` if the numbers differ or cannot be read.
    func checkCopy(_ copy: CheckpointTensor, of original: CheckpointTensor) throws(CheckpointError) {
        guard try bytes(of: copy) == bytes(of: original) else {
            throw .tensor(
                copy.name,
                reason: "its numbers differ from those of \(original.name.quoted), but the published network has one "
                    + "positional encoding for images and prompts; save the model with equal copies")
        }
    }

    /// The numbers of a small tensor in the types of the store.
    private func bytes(of tensor: CheckpointTensor) throws(CheckpointError) -> [UInt8] {
        guard tensor.count <= 1 << 16 else { throw .tensor(tensor.name, reason: "it is too large for this network") }
        var bytes = [UInt8]()
        do {
            try TensorReader(file: file).read(tensor) { bytes += Array($0) }
        } catch let error as CheckpointError {
            throw error
        } catch {
            throw .unreadable(reason: "\(error)")
        }
        return bytes
    }
}

/// An error that keeps a checkpoint from being added.
public enum CheckpointError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file cannot be opened or read.
    case unreadable(reason: String)
    /// The file has an unsupported format.
    case format(reason: String)
    /// The file has an old format, which PyTorch itself can convert.
    case needsResaving(format: String, command: String)
    /// The zip archive around the tensors is not one that PyTorch writes.
    case archive(reason: String)
    /// An entry of the archive does not match its stored checksum.
    case damaged(entry: String)
    /// The pickle that describes the tensors is not that of a checkpoint.
    case pickle(reason: String, offset: Int)
    /// The pickle names an object that is neither a tensor nor a container; the object was not
    /// built or run.
    case refusedName(String)
    /// A tensor cannot be read.
    case tensor(String, reason: String)
    /// The tensors do not belong to a known network.
    case unknownNetwork(reason: String)
    /// Tensors are missing, surplus, or have other shapes than those of the network.
    case mismatch(network: String, problems: [String])
    /// The network cannot have an input of the size that the caller or the file names.
    case inputSize(reason: String)
    /// The caller requires a family that has other tensors.
    case otherFamily(asked: ModelFamily, network: String)

    /// The message for an operator.
    public var description: String {
        switch self {
        case .unreadable(let reason): "the file cannot be read: \(reason)"
        case .format(let reason): reason
        case .needsResaving(let format, let command):
            "\(format) are not supported; save the file again with\n  \(command)"
        case .archive(let reason): "the zip archive is not a PyTorch checkpoint: \(reason)"
        case .damaged(let entry):
            "the file is damaged: entry \(entry.quoted) does not match its stored checksum; download the file again"
        case .pickle(let reason, let offset):
            "the pickle of the checkpoint is not valid: \(reason) (at byte \(offset))"
        case .refusedName(let name):
            "refused \(name): a checkpoint may contain only tensors and containers, and other objects are never built "
                + "or run; if you trust the file, save its state_dict alone with PyTorch"
        case .tensor(let name, let reason): "tensor \(name.quoted): \(reason)"
        case .unknownNetwork(let reason):
            "the tensors are not weights of SAM, MedSAM, LiteMedSAM, medsam-compact, SAM 2 or MedSAM2: \(reason)"
        case .mismatch(let network, let problems):
            "the tensors are not those of \(network): " + Self.first(problems)
        case .inputSize(let reason): reason
        case .otherFamily(let asked, let network): "the tensors are weights of \(network), not of \(asked.title)"
        }
    }

    /// The first five problems and the number of further ones.
    private static func first(_ problems: [String]) -> String {
        let shown = problems.prefix(5).joined(separator: "; ")
        return problems.count > 5 ? "\(shown); and \(problems.count - 5) more" : shown
    }
}

/// The number types of checkpoints, named as PyTorch's storages without the suffix `Storage`.
package enum NumberType: String, Sendable, CaseIterable {
    case double = "Double"
    case float = "Float"
    case half = "Half"
    case bfloat16 = "BFloat16"
    case long = "Long"
    case int = "Int"
    case short = "Short"
    case char = "Char"
    case byte = "Byte"
    case bool = "Bool"

    /// The type with this name in a safetensors file.
    init?(safetensors name: String) {
        switch name {
        case "F64": self = .double
        case "F32": self = .float
        case "F16": self = .half
        case "BF16": self = .bfloat16
        case "I64": self = .long
        case "I32": self = .int
        case "I16": self = .short
        case "I8": self = .char
        case "U8": self = .byte
        case "BOOL": self = .bool
        default: return nil
        }
    }

    /// The number of bytes per number.
    package var width: Int {
        switch self {
        case .double, .long: 8
        case .float, .int: 4
        case .half, .bfloat16, .short: 2
        case .char, .byte, .bool: 1
        }
    }

    /// The type in which the store keeps such numbers: the same type, or single precision for
    /// double precision.
    ///
    /// It is `nil` for types that a network's parameters do not have.
    var stored: SafeTensors.DataType? {
        switch self {
        case .double, .float: .f32
        case .half: .f16
        case .bfloat16: .bf16
        case .long, .int, .short, .char, .byte, .bool: nil
        }
    }
}

extension String {
    /// The text in quotes, limited to 80 characters of printable ASCII.
    ///
    /// Use it for names from files that anybody may have written, so that they cannot control a
    /// terminal.
    var quoted: String {
        let shown = unicodeScalars.prefix(81).map {
            $0.isASCII && $0.value >= 32 && $0.value < 127 ? Character($0) : "?"
        }
        return shown.count > 80 ? "'\(String(shown.prefix(80)))...'" : "'\(String(shown))'"
    }
}
