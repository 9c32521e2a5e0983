// SPDX-License-Identifier: Apache-2.0

/// The value of a condition on a number: `{min: 20}`, `{max: 3.5}` or both, ends included.
struct NumberRange: Sendable, Hashable {
    let minimum: Double?
    let maximum: Double?

    static let form = "{min: number}, {max: number} or both"

    init(_ value: ConditionValue) throws(ConditionProblems) {
        guard case .map(let entries) = value, !entries.isEmpty else { throw ConditionProblems("expected \(Self.form)") }
        var numbers: [String: Double] = [:]
        var problems: [ConditionProblem] = []
        for entry in entries {
            guard ["min", "max"].contains(entry.key) else {
                problems.append(.unknownKey(entry.key, known: ["min", "max"], what: "key"))
                continue
            }
            if case .text(let text) = entry.value, let number = Double(text), number.isFinite, number >= 0 {
                numbers[entry.key] = number
            } else {
                problems.append(ConditionProblem(path: [.key(entry.key)], "expected a number, 0 or more"))
            }
        }
        if problems.isEmpty, let minimum = numbers["min"], let maximum = numbers["max"], minimum > maximum {
            problems.append(ConditionProblem("min is larger than max, so nothing can match"))
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        minimum = numbers["min"]
        maximum = numbers["max"]
    }

    /// - Parameter unit: written after the numbers, with its leading space.
    func evaluate(_ value: Double?, attribute: String, unit: String = "") -> ConditionResult {
        guard let value else { return ConditionResult(.undetermined, "\(attribute) is not known") }
        let said = "\(attribute) is \(Self.text(value))\(unit)"
        if let minimum, value < minimum {
            return ConditionResult(.notMatched, "\(said), less than \(Self.text(minimum))\(unit)")
        }
        if let maximum, value > maximum {
            return ConditionResult(.notMatched, "\(said), more than \(Self.text(maximum))\(unit)")
        }
        let bounds = [minimum.map { "at least \(Self.text($0))" }, maximum.map { "at most \(Self.text($0))" }]
        return ConditionResult(.matched, "\(said), \(bounds.compactMap { $0 }.joined(separator: " and "))\(unit)")
    }

    /// Up to three decimals, and none where there are none.
    private static func text(_ number: Double) -> String {
        let rounded = (number * 1000).rounded() / 1000
        return rounded == rounded.rounded() && abs(rounded) < 1e15 ? String(Int(rounded)) : String(rounded)
    }
}
