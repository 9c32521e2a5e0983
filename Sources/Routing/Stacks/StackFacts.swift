// SPDX-License-Identifier: Apache-2.0

import DICOM

/// The attributes of one stack that conditions can test, as received; `nil` if the stack lacks an attribute.
public struct StackFacts: Sendable, Hashable, Codable {
    // If instances disagree, a fact is the value of the first instance that has one.

    /// Modality (0008,0060).
    public var modality: String?
    /// SOP Class UID (0008,0016) of the first instance.
    public var sopClassUID: String?
    /// Body Part Examined (0018,0015).
    public var bodyPart: String?
    /// Study Description (0008,1030): free text, which may name a patient.
    ///
    /// Only the database and `route explain` may show it.
    public var studyDescription: String?
    /// Series Description (0008,103E): free text, which may name a patient, as above.
    public var seriesDescription: String?
    /// The values of Image Type (0008,0008); empty if it is missing.
    public var imageType: [String]
    /// Manufacturer (0008,0070).
    public var manufacturer: String?
    /// The AE titles that sent instances of the stack; empty for files.
    public var callingAETitles: [String]
    /// MR Acquisition Type (0018,0023).
    public var mrAcquisitionType: String?
    /// Distance between the centres of neighbouring slices, mm.
    public var sliceSpacing: Double?
    /// The instances of the stack, not of its series.
    public var numberOfInstances: Int
    /// The frames of the stack, which are the slices of a volume.
    public var numberOfFrames: Int

    public init(
        modality: String? = nil, sopClassUID: String? = nil, bodyPart: String? = nil, studyDescription: String? = nil,
        seriesDescription: String? = nil, imageType: [String] = [], manufacturer: String? = nil,
        callingAETitles: [String] = [], mrAcquisitionType: String? = nil, sliceSpacing: Double? = nil,
        numberOfInstances: Int, numberOfFrames: Int? = nil
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
        self.numberOfFrames = numberOfFrames ?? numberOfInstances
    }

    /// Collects the facts of a stack.
    ///
    /// - Parameters:
    ///   - stack: the stack. If its instances disagree, the first value in stack order counts.
    ///   - callingAETitles: one per instance or fewer; repeated titles count once.
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
            numberOfInstances: stack.instances.count, numberOfFrames: stack.numberOfFrames)
    }
}
