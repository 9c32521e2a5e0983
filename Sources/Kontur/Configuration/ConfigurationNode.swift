// SPDX-License-Identifier: Apache-2.0

import Routing

/// A value from the file, and the list that collects the errors in it.
struct ConfigurationNode {
    let value: ConfigurationValue
    let problems: ProblemList

    var place: ConfigurationPlace { value.place }

    func complain(_ reason: String) { problems.add(place, reason) }

    private func child(_ value: ConfigurationValue) -> ConfigurationNode {
        ConfigurationNode(value: value, problems: problems)
    }

    // MARK: maps

    /// The entries of the map in the order of the file; complains if the value is not a map.
    func entries(expecting form: String) -> [(entry: ConfigurationValue.Entry, value: ConfigurationNode)] {
        switch value.content {
        case .empty: return []
        case .map(let entries): return entries.map { ($0, child($0.value)) }
        case .text, .list:
            complain("expected \(form)")
            return []
        }
    }

    /// Reads a map that may hold only the known keys; complains about every other key.
    func section(_ known: [String]) -> ConfigurationSection {
        var values: [String: ConfigurationNode] = [:]
        for (entry, value) in entries(expecting: "keys and values: \(known.joined(separator: ", "))") {
            if known.contains(entry.key) {
                values[entry.key] = value
            } else {
                problems.add(entry.keyPlace, "unknown key; \(Spelling.advice(for: entry.key, among: known))")
            }
        }
        return ConfigurationSection(place: self, values: values)
    }

    // MARK: lists and scalars

    /// The elements of the list; complains if the value is not a list.
    func elements(expecting form: String) -> [ConfigurationNode] {
        switch value.content {
        case .empty: return []
        case .list(let values): return values.map(child)
        case .text, .map:
            complain("expected a list of \(form)")
            return []
        }
    }

    /// The text of the scalar as written; complains if the value is not a scalar.
    func text(expecting form: String) -> String? {
        if let text = value.text { return text }
        complain("expected \(form)")
        return nil
    }

    /// The scalar as `read` understands it; complains if `read` returns `nil`.
    func scalar<Value>(expecting form: String, _ read: (String) -> Value?) -> Value? {
        guard let text = text(expecting: form) else { return nil }
        if let value = read(text) { return value }
        complain("expected \(form), found '\(text)'")
        return nil
    }

    /// A whole number within bounds.
    func integer(_ range: ClosedRange<Int>, what: String) -> Int? {
        scalar(expecting: "\(what), \(range.lowerBound) to \(range.upperBound)") { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// A case of an enumeration, by its raw value.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(_ type: Choice.Type) -> Choice? {
        let known = Choice.allCases.map(\.rawValue)
        return scalar(expecting: known.alternatives) { Choice(rawValue: $0) }
    }

    /// `true` or `false`.
    var flag: Bool? { scalar(expecting: "true or false") { Bool($0) } }

    /// The name of a peer or a route, which stands in tables, logs and file names.
    var name: String? {
        scalar(expecting: "a name: up to 64 letters, digits, '-', '_' and '.', beginning with a letter or digit") {
            text in
            let isWord: (Character) -> Bool = { $0.isASCII && ($0.isLetter || $0.isNumber) }
            guard text.count <= 64, let first = text.first, isWord(first) else { return nil }
            return text.allSatisfy { isWord($0) || "-_.".contains($0) } ? text : nil
        }
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

    /// A value that must be there; complains at the map if it is not.
    func required(_ key: String, _ hint: String) -> ConfigurationNode? {
        if let value = values[key] { return value }
        place.complain("'\(key)' is missing: \(hint)")
        return nil
    }
}

extension [String] {
    /// The words as `a, b or c`.
    var alternatives: String {
        guard count > 1, let last else { return first ?? "" }
        return "\(dropLast().joined(separator: ", ")) or \(last)"
    }
}
