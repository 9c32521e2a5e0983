// SPDX-License-Identifier: Apache-2.0

/// Why the store of weights cannot do what it was asked.
public enum WeightStoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A system call failed on a file or folder.
    case system(call: String, path: String, reason: String)
    /// A record that is no record of this store.
    case record(path: String)
    case unknownName(String, known: [String])
    case badName(String)
    /// Other weights have the name already.
    case nameTaken(String, family: ModelFamily, source: String)
    /// The checkpoint changed while it was read.
    case changing(path: String)
    /// Somebody else is changing the folder.
    case busy(String)
    /// Not enough room for the converted file.
    case full(path: String, needed: Int, free: Int)

    public var description: String {
        switch self {
        case .system(let call, let path, let reason): "could not \(call) \(path): \(reason)"
        case .record(let path): "\(path) is not a record of installed weights; remove it, and add the weights again"
        case .unknownName(let name, let known):
            "there are no weights \(name.quoted); "
                + (known.isEmpty ? "none are installed" : "installed are \(known.joined(separator: ", "))")
        case .badName(let name):
            "\(name.quoted) cannot be the name of weights: it has 1 to 64 letters, digits, '.', '_' and '-', and begins "
                + "with a letter or a digit"
        case .nameTaken(let name, let family, let source):
            "other weights have the name \(name): \(family.title), made of \(source); choose another with --name, or "
                + "replace them with --replace"
        case .changing(let path): "\(path) changed while it was read; add it again when it is complete"
        case .busy(let path): "another command is changing the weights in \(path); try again when it is done"
        case .full(let path, let needed, let free):
            "the weights need \(needed >> 20) MiB in \(path), and \(free >> 20) MiB are free there"
        }
    }
}

extension String {
    /// In quotes, shortened, with printable ASCII alone: names come from files that anybody may have written.
    var quoted: String {
        let shown = unicodeScalars.prefix(81).map {
            $0.isASCII && $0.value >= 32 && $0.value < 127 ? Character($0) : "?"
        }
        return shown.count > 80 ? "'\(String(shown.prefix(80)))...'" : "'\(String(shown))'"
    }
}
