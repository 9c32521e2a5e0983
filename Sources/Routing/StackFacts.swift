// SPDX-License-Identifier: Apache-2.0

import DICOM

/// What a condition sees of one stack: attributes as received, `nil` where the stack has none.
public struct StackFacts: Sendable, Hashable, Codable {
    public var modality: String?
    public var sopClassUID: String?
    public var bodyPart: String?
    /// Free text, like the next: it may name a patient, so it goes into the database and `route explain` only.
    public var studyDescription: String?
    public var seriesDescription: String?
    /// The values of Image Type.
    public var imageType: [String]
    public var manufacturer: String?
    /// Those that sent instances of the stack; empty for files that nobody sent.
    public var callingAETitles: [String]
    public var mrAcquisitionType: String?
    /// Between the centres of neighbouring slices, mm.
    public var sliceSpacing: Double?
    public var numberOfInstances: Int

    public init(
        modality: String? = nil, sopClassUID: String? = nil, bodyPart: String? = nil, studyDescription: String? = nil,
        seriesDescription: String? = nil, imageType: [String] = [], manufacturer: String? = nil,
        callingAETitles: [String] = [], mrAcquisitionType: String? = nil, sliceSpacing: Double? = nil,
        numberOfInstances: Int
    ) {
        self.modality = modality
        self.sopClassUID = sopClassUID
        self.bodyPart = bodyPart
        self.studyDescription = studyDescription
        self.seriesDescription = seriesDescription
        self.imageType = imageType
        self.manufacturer = manufacturer
        self.callingAETitles = callingAETitles
        self.mrAcquisitionType = mrAcquisitionType
        self.sliceSpacing = sliceSpacing
        self.numberOfInstances = numberOfInstances
    }

    /// The facts of a stack; where its instances disagree, the first in stack order that says something is believed.
    public init(_ stack: Stack, callingAETitles: [String] = []) {
        func first(_ attribute: KeyPath<InstanceHeader, String?>) -> String? {
            stack.instances.lazy.compactMap { $0[keyPath: attribute] }.first { !$0.isBlank }
        }
        self.init(
            modality: first(\.modality), sopClassUID: stack.instances.first?.sopClassUID,
            bodyPart: first(\.bodyPartExamined), studyDescription: first(\.studyDescription),
            seriesDescription: first(\.seriesDescription),
            imageType: stack.instances.first { !$0.imageType.isEmpty }?.imageType ?? [],
            manufacturer: first(\.manufacturer), callingAETitles: Array(Set(callingAETitles)).sorted(),
            mrAcquisitionType: first(\.mrAcquisitionType), sliceSpacing: stack.sliceSpacing,
            numberOfInstances: stack.instances.count)
    }
}

extension String {
    var isBlank: Bool { allSatisfy(\.isWhitespace) }
}
