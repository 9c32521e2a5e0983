// SPDX-License-Identifier: Apache-2.0

import Routing
import Yams

/// A value of the file with its place, which every complaint about it names.
struct ConfigurationNode {
    let node: Node
    /// Such as `peers[0].port`.
    let path: String
    let problems: ProblemList

    /// The file's only document; an empty file is an empty map.
    ///
    /// - Throws: `ConfigurationError` when it is no YAML.
    static func root(_ text: String, problems: ProblemList) throws(ConfigurationError) -> ConfigurationNode {
        do {
            let node = try compose(yaml: text) ?? Node([(Node, Node)]())
            return ConfigurationNode(node: node, path: "", problems: problems)
        } catch let error as YamlError {
            let (line, column, reason) = error.place
            problems.add(line: line, column: column, path: "", reason)
        } catch {
            problems.add(line: 1, column: 1, path: "", "not readable as YAML: \(error)")
        }
        try problems.check()
        preconditionFailure("a problem was added above")
    }

    func complain(_ reason: String) { problems.add(line: line, column: column, path: path, reason) }

    var place: ConfigurationPlace { ConfigurationPlace(line: line, column: column, path: path) }
    var line: Int { node.mark?.line ?? 1 }
    var column: Int { node.mark?.column ?? 1 }

    func child(_ node: Node, _ name: String) -> ConfigurationNode {
        ConfigurationNode(node: node, path: path.isEmpty ? name : "\(path).\(name)", problems: problems)
    }

    private func element(_ node: Node, _ index: Int) -> ConfigurationNode {
        ConfigurationNode(node: node, path: "\(path)[\(index)]", problems: problems)
    }

    /// `key:` with nothing behind it, `~` and `null`.
    var isEmpty: Bool {
        guard case .scalar(let scalar) = node, scalar.style == .plain else { return false }
        return ["", "~", "null"].contains(scalar.string)
    }

    // MARK: maps

    /// The map's keys in the order of the file; complains when it is none.
    func entries(expecting form: String) -> [(key: ConfigurationNode, name: String, value: ConfigurationNode)] {
        if isEmpty { return [] }
        guard case .mapping(let mapping) = node else {
            complain("expected \(form)")
            return []
        }
        return mapping.compactMap { key, value in
            guard case .scalar(let scalar) = key else {
                child(key, "?").complain("expected a key")
                return nil
            }
            return (child(key, scalar.string), scalar.string, child(value, scalar.string))
        }
    }

    /// A map of these keys only; others are complained about, with the nearest known one.
    func section(_ known: [String]) -> ConfigurationSection {
        var values: [String: ConfigurationNode] = [:]
        for (key, name, value) in entries(expecting: "keys and values: \(known.joined(separator: ", "))") {
            if known.contains(name) {
                values[name] = value
            } else if let nearest = Spelling.nearest(to: name, among: known) {
                key.complain("unknown key; did you mean '\(nearest)'?")
            } else {
                key.complain("unknown key; known are \(known.joined(separator: ", "))")
            }
        }
        return ConfigurationSection(place: self, values: values)
    }

    // MARK: lists and scalars

    /// The elements of a list; complains when it is none.
    func elements(expecting form: String) -> [ConfigurationNode] {
        if isEmpty { return [] }
        guard case .sequence(let sequence) = node else {
            complain("expected a list of \(form)")
            return []
        }
        return sequence.enumerated().map { element($1, $0) }
    }

    /// The text of a scalar as written; complains when it is none.
    func text(expecting form: String) -> String? {
        guard case .scalar(let scalar) = node, !isEmpty else {
            complain("expected \(form)")
            return nil
        }
        return scalar.string
    }

    /// A scalar read by `read`, which says no with `nil`.
    func value<Value>(expecting form: String, _ read: (String) -> Value?) -> Value? {
        guard let text = text(expecting: form) else { return nil }
        if let value = read(text) { return value }
        complain("expected \(form), found '\(text)'")
        return nil
    }

    /// A whole number within bounds.
    func integer(_ range: ClosedRange<Int>, what: String) -> Int? {
        value(expecting: "\(what), \(range.lowerBound) to \(range.upperBound)") { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// One of the words of an enumeration.
    func word<Word: RawRepresentable<String> & CaseIterable>(_ type: Word.Type) -> Word? {
        let known = Word.allCases.map(\.rawValue)
        return value(expecting: known.alternatives) { Word(rawValue: $0) }
    }
}

/// A map whose keys are known.
struct ConfigurationSection {
    let place: ConfigurationNode
    private let values: [String: ConfigurationNode]

    init(place: ConfigurationNode, values: [String: ConfigurationNode]) {
        self.place = place
        self.values = values
    }

    subscript(_ key: String) -> ConfigurationNode? { values[key] }

    /// A value that must be there; complains at the map when it is not.
    func required(_ key: String, _ hint: String) -> ConfigurationNode? {
        if let value = values[key] { return value }
        place.complain("'\(key)' is missing: \(hint)")
        return nil
    }
}

extension [String] {
    /// `a, b or c`
    var alternatives: String {
        guard count > 1, let last else { return first ?? "" }
        return "\(dropLast().joined(separator: ", ")) or \(last)"
    }
}

extension YamlError {
    /// Line and column from 1, and the reason in words.
    fileprivate var place: (line: Int, column: Int, reason: String) {
        switch self {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let during = context.map { " (\($0.text) that begins in line \(max(1, $0.mark.line)))" } ?? ""
            return (max(1, mark.line), max(1, mark.column), "not YAML: \(problem)\(during)")
        case .reader(let problem, let offset, _, let yaml):
            let before = yaml.utf8.prefix(offset ?? 0)
            let line = before.count { $0 == 0x0A } + 1
            return (line, 1, "not YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            return (
                max(1, context.mark.line), max(1, context.mark.column),
                "the same key twice in one map: \(duplicates.joined(separator: ", "))"
            )
        default:
            return (1, 1, "not YAML: \(self)")
        }
    }
}
