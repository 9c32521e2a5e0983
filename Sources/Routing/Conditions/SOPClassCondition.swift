// SPDX-License-Identifier: Apache-2.0

import DICOM

/// SOP Class UID (0008,0016), named by UID or by the keyword of PS3.6 Annex A.
struct SOPClassCondition: RouteCondition {
    private static let form = "a SOP class, as UID or keyword such as MRImageStorage, or a list of them"

    static let kind = RouteConditionKind("sopClass", form: form) { value throws(ConditionProblems) in
        try SOPClassCondition(value)
    }

    private let uids: [String]

    private init(_ value: ConfigurationValue) throws(ConditionProblems) {
        switch value.content {
        case .text: uids = [try Self.uid(value)]
        case .list(let values) where !values.isEmpty:
            uids = try values.readAll { value throws(ConditionProblems) in try Self.uid(value) }
        default: throw ConditionProblems(value, "expected \(Self.form)")
        }
    }

    private static func uid(_ value: ConfigurationValue) throws(ConditionProblems) -> String {
        guard case .text(let text) = value.content else { throw ConditionProblems(value, "expected \(form)") }
        if let known = SOPClass.images.first(where: { $0.keyword == text }) { return known.uid }
        if let uid = UID(text) { return uid.text }
        let advice = Spelling.suggestion(for: text, among: SOPClass.images.map(\.keyword).sorted()) ?? "give its UID"
        throw ConditionProblems(value, "unknown SOP class '\(text)'; \(advice)")
    }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        guard let uid = facts.sopClassUID?.trimmed, !uid.isEmpty else {
            return ConditionResult(.undetermined, "SOP Class UID is missing")
        }
        let fact = "SOP class is \(Self.name(uid))"
        if uids.contains(uid) { return ConditionResult(.matched, fact) }
        return ConditionResult(.notMatched, "\(fact), not \(uids.map(Self.name).joined(separator: " or "))")
    }

    private static func name(_ uid: String) -> String { SOPClass.image(uid)?.keyword ?? uid }
}
