// SPDX-License-Identifier: Apache-2.0

/// Why a checkpoint cannot be added.
public enum CheckpointError: Error, Sendable, Hashable, CustomStringConvertible {
    case unreadable(reason: String)
    /// No format that holds weights, or not one that is read.
    case format(reason: String)
    /// A format of old that PyTorch itself converts.
    case needsResaving(format: String, command: String)
    /// The zip archive around the tensors.
    case archive(reason: String)
    /// Bytes of an entry of the archive are not those that were written.
    case damaged(entry: String)
    /// The pickle that describes the tensors.
    case pickle(reason: String, offset: Int)
    /// A pickle that names something which is neither a tensor nor a container. It was not run.
    case refusedName(String)
    case tensor(String, reason: String)
    /// The tensors are those of no family.
    case unknownNetwork(reason: String)
    /// Tensors are missing, too many, or of other shapes.
    case mismatch(network: String, problems: [String])
    /// `--family` names one that has other tensors.
    case otherFamily(asked: ModelFamily, network: String)

    public var description: String {
        switch self {
        case .unreadable(let reason): "it cannot be read: \(reason)"
        case .format(let reason): reason
        case .needsResaving(let format, let command): "\(format) are not read; save it again with\n  \(command)"
        case .archive(let reason): "the zip archive is not that of a PyTorch checkpoint: \(reason)"
        case .damaged(let entry):
            "the file is damaged: \(entry.quoted) in it has not the checksum that it was written with; download it again"
        case .pickle(let reason, let offset): "its pickle is not that of a checkpoint: \(reason) (at byte \(offset))"
        case .refusedName(let name):
            "refuses \(name): a checkpoint is made of tensors and containers, and nothing else in it is ever built or "
                + "run; if you trust the file, save its state_dict alone with PyTorch"
        case .tensor(let name, let reason): "tensor \(name.quoted): \(reason)"
        case .unknownNetwork(let reason): "these are no weights of SAM, MedSAM or LiteMedSAM: \(reason)"
        case .mismatch(let network, let problems):
            "the tensors are not those of \(network): " + Self.first(problems)
        case .otherFamily(let asked, let network): "these are weights of \(network), not of \(asked.title)"
        }
    }

    /// The first few, and how many more there are.
    private static func first(_ problems: [String]) -> String {
        let shown = problems.prefix(5).joined(separator: "; ")
        return problems.count > 5 ? "\(shown); and \(problems.count - 5) more" : shown
    }
}
