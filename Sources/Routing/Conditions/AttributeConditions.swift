// SPDX-License-Identifier: Apache-2.0

/// Conditions that compare one attribute with texts, a pattern or a range: one line each.
enum AttributeConditions {
    static let all: [RouteConditionKind] = [
        // (0008,0060), PS3.3 C.7.3.1.1.1.
        .text("modality", "Modality") { [$0.modality] },
        // (0018,0015), PS3.16 Annex L.
        .text("bodyPart", "Body Part Examined") { [$0.bodyPart] },
        // (0008,1030): free text.
        .text("studyDescription", "Study Description") { [$0.studyDescription] },
        // (0008,103E): free text.
        .text("seriesDescription", "Series Description") { [$0.seriesDescription] },
        // (0008,0008), PS3.3 C.7.6.1.1.2: at least one of its values must equal a text of the condition. A pattern is
        // searched in the joined values, ORIGINAL\PRIMARY\... . An image without Image Type is of none of the types, so
        // that a route can leave types out without asking for the attribute.
        .text("imageType", "Image Type", missing: .notMatched) { $0.imageType },
        // (0008,0070): the manufacturer of the equipment.
        .text("manufacturer", "Manufacturer") { [$0.manufacturer] },
        // The AE titles that sent instances of the stack: one of them must be equal.
        .text("callingAeTitle", "calling AE title") { $0.callingAETitles },
        // (0018,0023), PS3.3 C.8.3.1: 2D or 3D.
        .text("mrAcquisitionType", "MR Acquisition Type") { [$0.mrAcquisitionType] },
        // The distance between the centres of neighbouring slices.
        .number("sliceSpacing", "slice spacing", unit: " mm") { $0.sliceSpacing },
        // The instances of the stack, not of its series.
        .number("numberOfInstances", "number of instances") { Double($0.numberOfInstances) },
        // The frames of the stack: the slices of a volume, whether they are instances or frames of one.
        .number("numberOfFrames", "number of frames") { Double($0.numberOfFrames) },
    ]
}

extension RouteConditionKind {
    /// A condition on text.
    ///
    /// - Parameters:
    ///   - key: the key in the configuration.
    ///   - attribute: the name of the attribute in reasons.
    ///   - missing: the outcome if the attribute is missing.
    ///   - values: the values of the attribute; `nil` if it is missing.
    /// - Returns: a kind whose value is a `TextTest`.
    fileprivate static func text(
        _ key: String, _ attribute: String, missing: RouteOutcome = .undetermined,
        values: @escaping @Sendable (StackFacts) -> [String?]
    ) -> RouteConditionKind {
        RouteConditionKind(key, form: TextTest.form) { value throws(ConditionProblems) in
            TextCondition(attribute: attribute, missing: missing, values: values, test: try TextTest(value))
        }
    }

    /// A condition on a number.
    ///
    /// - Parameters:
    ///   - key: the key in the configuration.
    ///   - attribute: the name of the attribute in reasons.
    ///   - unit: printed after the numbers, with its leading space.
    ///   - number: the value of the attribute; `nil` if it is missing.
    /// - Returns: a kind whose value is a `NumberRange`.
    fileprivate static func number(
        _ key: String, _ attribute: String, unit: String = "", number: @escaping @Sendable (StackFacts) -> Double?
    ) -> RouteConditionKind {
        RouteConditionKind(key, form: NumberRange.form) { value throws(ConditionProblems) in
            NumberCondition(attribute: attribute, unit: unit, number: number, range: try NumberRange(value))
        }
    }
}

private struct TextCondition: RouteCondition {
    let attribute: String
    let missing: RouteOutcome
    let values: @Sendable (StackFacts) -> [String?]
    let test: TextTest

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        test.evaluate(values(facts).compactMap { $0 }, attribute: attribute, missing: missing)
    }
}

private struct NumberCondition: RouteCondition {
    let attribute: String
    let unit: String
    let number: @Sendable (StackFacts) -> Double?
    let range: NumberRange

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        range.evaluate(number(facts), attribute: attribute, unit: unit)
    }
}

/// The value of a condition on text: one text, a list of alternative texts, or a pattern to find.
struct TextTest: Sendable {
    private enum Kind: Sendable {
        /// The comparison ignores case and the spaces around a text.
        case oneOf([String])
        case matches(Pattern)
    }

    private let kind: Kind

    static let form = "a text, a list of texts, or {matches: pattern}"

    init(_ value: ConfigurationValue) throws(ConditionProblems) {
        switch value.content {
        case .text(let text): kind = .oneOf([try Self.checked(text, value)])
        case .list(let values) where values.isEmpty:
            throw ConditionProblems(value, "an empty list matches nothing; expected \(Self.form)")
        case .list(let values):
            kind = .oneOf(
                try values.readAll { value throws(ConditionProblems) in
                    guard let text = value.text else { throw ConditionProblems(value, "expected a text") }
                    return try Self.checked(text, value)
                })
        case .map(let entries): kind = .matches(try Self.pattern(entries, value))
        case .empty: throw ConditionProblems(value, "expected \(Self.form)")
        }
    }

    private static func checked(
        _ text: String, _ value: ConfigurationValue
    ) throws(ConditionProblems) -> String {
        if text.isBlank { throw ConditionProblems(value, "an empty text is never equal to an attribute") }
        return text
    }

    private static func pattern(
        _ entries: [ConfigurationValue.Entry], _ value: ConfigurationValue
    ) throws(ConditionProblems) -> Pattern {
        var problems = entries.filter { $0.key != "matches" }
            .map { ConditionProblem.unknown("key", $0, known: ["matches"]) }
        var pattern: Pattern?
        if let expression = entries.first(where: { $0.key == "matches" })?.value {
            do throws(PatternError) {
                pattern = try expression.text.map { source throws(PatternError) in try Pattern(source) }
                if pattern == nil {
                    problems.append(.init(at: expression.place, "expected a pattern, such as \"(?i)colo\""))
                }
            } catch {
                problems.append(.init(at: expression.place, error.description))
            }
        } else if problems.isEmpty {
            problems.append(.init(at: value.place, "expected \(form)"))
        }
        guard problems.isEmpty, let pattern else { throw ConditionProblems(problems) }
        return pattern
    }

    /// Compares the values of an attribute with the test.
    ///
    /// If the attribute has several values, at least one must be equal. A pattern is searched in the values joined by a
    /// backslash, as DICOM writes them.
    ///
    /// - Parameters:
    ///   - values: empty if the attribute is missing.
    ///   - attribute: the name of the attribute in the reason, such as `Modality`.
    ///   - missing: the outcome if the attribute is missing.
    /// - Returns: the outcome, and a reason that quotes the values and the test.
    func evaluate(
        _ values: [String], attribute: String, missing: RouteOutcome = .undetermined
    ) -> ConditionResult {
        let values = values.map(\.trimmed).filter { !$0.isEmpty }
        if values.isEmpty { return ConditionResult(missing, "\(attribute) is missing") }
        let fact = "\(attribute) is \"\(values.joined(separator: "\\"))\""
        switch kind {
        case .oneOf(let texts):
            let wanted = Set(texts.map { $0.trimmed.uppercased() })
            let holds = values.contains { wanted.contains($0.uppercased()) }
            let list = texts.joined(separator: ", ")
            if texts.count == 1 {
                return ConditionResult(holds ? .matched : .notMatched, holds ? fact : "\(fact), not \(list)")
            }
            return ConditionResult(holds ? .matched : .notMatched, "\(fact), \(holds ? "one" : "none") of \(list)")
        case .matches(let pattern):
            let holds = pattern.isFound(in: values.joined(separator: "\\"))
            return ConditionResult(
                holds ? .matched : .notMatched,
                "\(fact), \(holds ? "which matches" : "which does not match") \(pattern)")
        }
    }
}

extension String {
    /// Whether the text is empty or consists of spaces.
    var isBlank: Bool { allSatisfy(\.isWhitespace) }

    /// The text without the spaces and the padding NUL around it.
    var trimmed: String {
        let isPadding: (Character) -> Bool = { $0.isWhitespace || $0 == "\0" }
        var rest = self[...]
        while let last = rest.last, isPadding(last) { rest.removeLast() }
        return String(rest.drop(while: isPadding))
    }
}

/// The value of a condition on a number: `{min: 20}`, `{max: 3.5}` or both, ends included.
struct NumberRange: Sendable, Hashable {
    private let minimum: Double?
    private let maximum: Double?

    static let form = "{min: number}, {max: number} or both"

    init(_ value: ConfigurationValue) throws(ConditionProblems) {
        guard case .map(let entries) = value.content, !entries.isEmpty else {
            throw ConditionProblems(value, "expected \(Self.form)")
        }
        var numbers: [String: Double] = [:]
        var problems: [ConditionProblem] = []
        for entry in entries {
            guard ["min", "max"].contains(entry.key) else {
                problems.append(.unknown("key", entry, known: ["min", "max"]))
                continue
            }
            if case .text(let text) = entry.value.content, let number = Double(text), number.isFinite, number >= 0 {
                numbers[entry.key] = number
            } else {
                problems.append(ConditionProblem(at: entry.value.place, "expected a number, 0 or more"))
            }
        }
        if problems.isEmpty, let minimum = numbers["min"], let maximum = numbers["max"], minimum > maximum {
            problems.append(ConditionProblem(at: value.place, "min is larger than max, so nothing can match"))
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        minimum = numbers["min"]
        maximum = numbers["max"]
    }

    /// Compares a value with the range.
    ///
    /// - Parameters:
    ///   - value: `nil` if the attribute is missing: the result is then undetermined.
    ///   - attribute: the name of the attribute in the reason.
    ///   - unit: printed after the numbers, with its leading space.
    /// - Returns: the outcome, and a reason that quotes the value and the bounds.
    func evaluate(_ value: Double?, attribute: String, unit: String = "") -> ConditionResult {
        guard let value else { return ConditionResult(.undetermined, "\(attribute) is not known") }
        let fact = "\(attribute) is \(Self.text(value))\(unit)"
        if let minimum, value < minimum {
            return ConditionResult(.notMatched, "\(fact), less than \(Self.text(minimum))\(unit)")
        }
        if let maximum, value > maximum {
            return ConditionResult(.notMatched, "\(fact), more than \(Self.text(maximum))\(unit)")
        }
        let bounds = [minimum.map { "at least \(Self.text($0))" }, maximum.map { "at most \(Self.text($0))" }]
        return ConditionResult(.matched, "\(fact), \(bounds.compactMap { $0 }.joined(separator: " and "))\(unit)")
    }

    /// At most three decimals; a whole number is written without a decimal point.
    private static func text(_ number: Double) -> String {
        let rounded = (number * 1000).rounded() / 1000
        return rounded == rounded.rounded() && abs(rounded) < 1e15 ? String(Int(rounded)) : String(rounded)
    }
}
