// SPDX-License-Identifier: Apache-2.0

import Platform
import Routing
import Yams

/// A YAML file as configuration values.
enum ConfigurationFile {
    /// Reads the only document of a file; an empty file is an empty map.
    ///
    /// - Throws: `ConfigurationError` if the text is not YAML.
    static func read(_ text: String, problems: ProblemList) throws(ConfigurationError) -> ConfigurationValue {
        do {
            guard let node = try compose(yaml: text) else { return .map([]) }
            return value(node, path: "", problems)
        } catch let error as YamlError {
            let (place, reason) = error.complaint
            problems.add(place, reason)
        } catch {
            problems.add(ConfigurationPlace(), "not readable as YAML: \(error)")
        }
        try problems.check()
        preconditionFailure("a problem was added above")
    }

    private static func value(_ node: Node, path: String, _ problems: ProblemList) -> ConfigurationValue {
        let place = place(of: node, path: path)
        switch node {
        case .scalar(let scalar):
            let isEmpty = scalar.style == .plain && ["", "~", "null"].contains(scalar.string)
            return ConfigurationValue(isEmpty ? .empty : .text(scalar.string), at: place)
        case .sequence(let sequence):
            let values = sequence.enumerated().map { value($1, path: "\(path)[\($0)]", problems) }
            return ConfigurationValue(.list(values), at: place)
        case .mapping(let mapping):
            let entries = mapping.compactMap { key, content -> ConfigurationValue.Entry? in
                func child(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
                guard let name = key.scalar?.string else {
                    problems.add(Self.place(of: key, path: child("?")), "expected a key")
                    return nil
                }
                return .init(
                    name, at: Self.place(of: key, path: child(name)), value(content, path: child(name), problems))
            }
            return ConfigurationValue(.map(entries), at: place)
        case .alias: return ConfigurationValue(.empty, at: place)
        }
    }

    private static func place(of node: Node, path: String) -> ConfigurationPlace {
        ConfigurationPlace(line: node.mark?.line ?? 1, column: node.mark?.column ?? 1, path: path)
    }
}

extension YamlError {
    /// The place of the error and the reason in words.
    fileprivate var complaint: (place: ConfigurationPlace, reason: String) {
        switch self {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let during = context.map { " (\($0.text) that begins in line \(max(1, $0.mark.line)))" } ?? ""
            return (Self.place(mark), "not YAML: \(problem)\(during)")
        case .reader(let problem, let offset, _, let yaml):
            let before = yaml.utf8.prefix(offset ?? 0)
            let line = before.count { $0 == 0x0A } + 1
            return (ConfigurationPlace(line: line), "not YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.joined(separator: ", ")
            return (Self.place(context.mark), "the same key twice in one map: \(keys)")
        default:
            return (ConfigurationPlace(), "not YAML: \(self)")
        }
    }

    private static func place(_ mark: Mark) -> ConfigurationPlace {
        ConfigurationPlace(line: max(1, mark.line), column: max(1, mark.column))
    }
}

extension ConfigurationValue {
    /// The SHA-256 of the meaning of a configuration: 64 lower-case hexadecimal digits.
    ///
    /// Comments, layout, quoting and the order of keys do not change it. The order of lists does, because the first
    /// route that matches takes a stack.
    var meaningHash: String {
        SHA256.hash(data: canonical).hexadecimal
    }

    /// The bytes that are hashed.
    ///
    /// The kind and the length precede each value, and the keys are sorted.
    private var canonical: [UInt8] {
        switch content {
        case .empty: return Self.field("s", [])
        case .text(let text): return Self.field("s", Array(text.utf8))
        case .list(let values): return Self.field("l", values.flatMap(\.canonical))
        case .map(let entries):
            let fields = entries.map { Self.field("s", Array($0.key.utf8)) + $0.value.canonical }
            return Self.field("m", fields.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 })
        }
    }

    private static func field(_ kind: String, _ bytes: [UInt8]) -> [UInt8] {
        Array("\(kind)\(bytes.count):".utf8) + bytes
    }
}
