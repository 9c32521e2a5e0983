// SPDX-License-Identifier: Apache-2.0

import DICOM

/// SOP Class UID (0008,0016), as a UID or by the keyword of PS3.6 for the classes that segmenters meet.
struct SOPClassCondition: RouteCondition {
    static let key = "sopClass"
    static let form = "a SOP class, as UID or keyword such as MRImageStorage, or a list of them"

    private let uids: [String]

    init(_ value: ConditionValue) throws(ConditionProblems) {
        let named: [ConditionValue]
        let isList: Bool
        switch value {
        case .text: (named, isList) = ([value], false)
        case .list(let values) where !values.isEmpty: (named, isList) = (values, true)
        default: throw ConditionProblems("expected \(Self.form)")
        }
        var uids: [String] = []
        var problems: [ConditionProblem] = []
        for (index, value) in named.enumerated() {
            do throws(ConditionProblem) {
                uids.append(try Self.uid(value))
            } catch {
                problems.append(isList ? error.within(.index(index)) : error)
            }
        }
        if !problems.isEmpty { throw ConditionProblems(problems) }
        self.uids = uids
    }

    private static func uid(_ value: ConditionValue) throws(ConditionProblem) -> String {
        guard case .text(let text) = value else { throw ConditionProblem("expected \(form)") }
        if let known = SOPClass.images.first(where: { $0.keyword == text }) { return known.uid }
        if let uid = UID(text) { return uid.text }
        if let nearest = Spelling.nearest(to: text, among: SOPClass.images.map(\.keyword).sorted()) {
            throw ConditionProblem("unknown SOP class '\(text)'; did you mean '\(nearest)'?")
        }
        throw ConditionProblem("unknown SOP class '\(text)'; give its UID")
    }

    func evaluate(_ facts: StackFacts) -> ConditionResult {
        guard let uid = facts.sopClassUID?.trimmed, !uid.isEmpty else {
            return ConditionResult(.undetermined, "SOP Class UID is missing")
        }
        let said = "SOP class is \(Self.name(uid))"
        if uids.contains(uid) { return ConditionResult(.matched, said) }
        return ConditionResult(.notMatched, "\(said), not \(uids.map(Self.name).joined(separator: " or "))")
    }

    private static func name(_ uid: String) -> String { SOPClass.image(uid)?.keyword ?? uid }
}
