// SPDX-License-Identifier: Apache-2.0

/// SOP Class UID (0008,0016), as a UID or by the keyword of PS3.6 for the classes that segmenters meet.
struct SOPClassCondition: RouteCondition {
    static let key = "sopClass"
    static let form = "a SOP class, as UID or keyword such as MRImageStorage, or a list of them"

    /// PS3.4 B.5.
    static let keywords: [String: String] = [
        "ComputedRadiographyImageStorage": "1.2.840.10008.5.1.4.1.1.1",
        "CTImageStorage": "1.2.840.10008.5.1.4.1.1.2",
        "EnhancedCTImageStorage": "1.2.840.10008.5.1.4.1.1.2.1",
        "UltrasoundMultiFrameImageStorage": "1.2.840.10008.5.1.4.1.1.3.1",
        "MRImageStorage": "1.2.840.10008.5.1.4.1.1.4",
        "EnhancedMRImageStorage": "1.2.840.10008.5.1.4.1.1.4.1",
        "UltrasoundImageStorage": "1.2.840.10008.5.1.4.1.1.6.1",
        "SecondaryCaptureImageStorage": "1.2.840.10008.5.1.4.1.1.7",
        "MultiFrameGrayscaleByteSecondaryCaptureImageStorage": "1.2.840.10008.5.1.4.1.1.7.2",
        "MultiFrameTrueColorSecondaryCaptureImageStorage": "1.2.840.10008.5.1.4.1.1.7.4",
        "VLEndoscopicImageStorage": "1.2.840.10008.5.1.4.1.1.77.1.1",
        "VideoEndoscopicImageStorage": "1.2.840.10008.5.1.4.1.1.77.1.1.1",
        "VLPhotographicImageStorage": "1.2.840.10008.5.1.4.1.1.77.1.4",
    ]

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
        if let uid = keywords[text] { return uid }
        let isUID =
            text.utf8.count <= 64 && text.contains(".")
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
                !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            }
        if isUID { return text }
        if let nearest = Spelling.nearest(to: text, among: Array(keywords.keys).sorted()) {
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

    private static func name(_ uid: String) -> String { keywords.first { $0.value == uid }?.key ?? uid }
}
