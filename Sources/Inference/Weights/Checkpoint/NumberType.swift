// SPDX-License-Identifier: Apache-2.0

/// Types of numbers that checkpoints have, by the names of PyTorch's storages without `Storage`.
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

    /// By its name in a safetensors file.
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

    /// Bytes a number.
    package var width: Int {
        switch self {
        case .double, .long: 8
        case .float, .int: 4
        case .half, .bfloat16, .short: 2
        case .char, .byte, .bool: 1
        }
    }

    /// What the store keeps such numbers as: as they are, double precision as single. `nil`: not the numbers of a network.
    var stored: SafeTensors.DataType? {
        switch self {
        case .double, .float: .f32
        case .half: .f16
        case .bfloat16: .bf16
        case .long, .int, .short, .char, .byte, .bool: nil
        }
    }
}
