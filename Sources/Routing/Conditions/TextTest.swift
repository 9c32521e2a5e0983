// SPDX-License-Identifier: Apache-2.0

/// The value of a condition on text: one text, a list of which one must be equal, or a pattern to be found.
struct TextTest: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        /// Compared without regard to case and outer spaces.
        case oneOf([String])
        case matches(Pattern)
    }

    let kind: Kind

    static let form = "a text, a list of texts, or {matches: pattern}"

    init(_ value: ConditionValue) throws(ConditionProblems) {
        switch value {
        case .text(let text): kind = .oneOf([try Self.checked(text)])
        case .list(let values): kind = .oneOf(try Self.texts(values))
        case .map(let entries): kind = .matches(try Self.pattern(entries))
        case .empty: throw ConditionProblems("expected \(Self.form)")
        }
    }

    private static func checked(_ text: String) throws(ConditionProblems) -> String {
        if text.isBlank { throw ConditionProblems("an empty text is never equal to an attribute") }
        return text
    }

    private static func texts(_ values: [ConditionValue]) throws(ConditionProblems) -> [String] {
        if values.isEmpty { throw ConditionProblems("an empty list matches nothing; expected \(form)") }
        var texts: [String] = []
        var problems: [ConditionProblem] = []
        for (index, value) in values.enumerated() {
            do throws(ConditionProblems) {
                guard case .text(let text) = value else { throw ConditionProblems("expected a text") }
                texts.append(try checked(text))
            } catch {
                problems += error.problems.map { $0.within(.index(index)) }
            }
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        return texts
    }

    private static func pattern(_ entries: [ConditionValue.Entry]) throws(ConditionProblems) -> Pattern {
        var problems = entries.filter { $0.key != "matches" }
            .map { ConditionProblem.unknownKey($0.key, known: ["matches"], what: "key") }
        var found: Pattern?
        if let entry = entries.first(where: { $0.key == "matches" }) {
            if case .text(let source) = entry.value {
                do throws(PatternError) {
                    found = try Pattern(source)
                } catch {
                    problems.append(ConditionProblem(path: [.key("matches")], error.description))
                }
            } else {
                problems.append(ConditionProblem(path: [.key("matches")], "expected a pattern, such as \"(?i)colo\""))
            }
        } else if problems.isEmpty {
            problems.append(ConditionProblem("expected \(form)"))
        }
        guard problems.isEmpty, let found else { throw ConditionProblems(problems) }
        return found
    }

    /// - Parameter attribute: what the reason calls the value, such as `Modality`.
    func evaluate(_ value: String?, attribute: String) -> ConditionResult {
        evaluate(value.map { [$0] } ?? [], attribute: attribute)
    }

    /// For an attribute of several values: one of them must be equal, or the pattern is found in all of them joined by a
    /// backslash, as DICOM writes them.
    func evaluate(_ values: [String], attribute: String) -> ConditionResult {
        let values = values.map(\.trimmed).filter { !$0.isEmpty }
        if values.isEmpty { return ConditionResult(.undetermined, "\(attribute) is missing") }
        let said = "\(attribute) is \"\(values.joined(separator: "\\"))\""
        switch kind {
        case .oneOf(let texts):
            let wanted = Set(texts.map { $0.trimmed.uppercased() })
            let holds = values.contains { wanted.contains($0.uppercased()) }
            let list = texts.joined(separator: ", ")
            if texts.count == 1 {
                return ConditionResult(holds ? .matched : .notMatched, holds ? said : "\(said), not \(list)")
            }
            return ConditionResult(holds ? .matched : .notMatched, "\(said), \(holds ? "one" : "none") of \(list)")
        case .matches(let pattern):
            let holds = pattern.isFound(in: values.joined(separator: "\\"))
            return ConditionResult(
                holds ? .matched : .notMatched,
                "\(said), \(holds ? "which matches" : "which does not match") \(pattern)")
        }
    }
}

extension String {
    /// Without the spaces (and the padding NUL) around it.
    var trimmed: String {
        let isPadding: (Character) -> Bool = { $0.isWhitespace || $0 == "\0" }
        var rest = self[...]
        while let last = rest.last, isPadding(last) { rest.removeLast() }
        return String(rest.drop(while: isPadding))
    }
}
