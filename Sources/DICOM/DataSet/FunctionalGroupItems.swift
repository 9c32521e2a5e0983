// SPDX-License-Identifier: Apache-2.0
//
// Reads functional groups: PS3.3 C.7.6.16.2 (common macros), C.8.13.5 (Enhanced MR), and the attributes that a
// conversion to a legacy converted enhanced image leaves unassigned (C.7.6.16.2.25). Left out: the macros that decide
// neither the place nor the values of a frame.

public import Imaging

/// The items of the Shared and the Per-Frame Functional Groups Sequence of one data set.
struct FunctionalGroupItems {
    private let data: DataSet
    private let shared: DataSet.Item?
    private let perFrame: [DataSet.Item]

    /// Finds the items; `nil` without functional groups.
    init?(_ data: DataSet) {
        shared = data.items(.sharedFunctionalGroupsSequence).first
        perFrame = data.items(.perFrameFunctionalGroupsSequence)
        guard shared != nil || !perFrame.isEmpty else { return nil }
        self.data = data
    }

    /// The number of items of the Per-Frame Functional Groups Sequence.
    var count: Int { perFrame.count }

    /// The items of a macro that hold for a frame, counted from 0: its own, before those that all frames share.
    func items(_ macro: Attribute, frame: Int) -> [DataSet.Item] {
        let places = [perFrame.indices.contains(frame) ? perFrame[frame] : nil, shared].compactMap { $0 }
        return places.compactMap { data.items(macro, in: $0).first }
    }

    /// The numbers of an attribute in the first of these macros that has them.
    private func numbers(_ attribute: Attribute, _ macros: [Attribute], frame: Int) -> [Double] {
        macros.lazy.flatMap { items($0, frame: frame) }.map { data.doubles(attribute, in: $0) }.first { !$0.isEmpty }
            ?? []
    }

    /// The item of the Pixel Value Transformation macro of a frame, counted from 0; `nil` without one.
    ///
    /// - SeeAlso: PS3.3 C.7.6.16.2.9.
    func transformation(frame: Int) -> DataSet.Item? {
        items(.pixelValueTransformationSequence, frame: frame).first
    }

    private func number(_ attribute: Attribute, _ macros: Attribute..., frame: Int) -> Double? {
        numbers(attribute, macros, frame: frame).first.flatMap { $0.isFinite && $0.magnitude < 1e9 ? $0 : nil }
    }

    private func integer(_ attribute: Attribute, _ macros: Attribute..., frame: Int) -> Int? {
        macros.lazy.flatMap { items($0, frame: frame) }.compactMap { data.integer(attribute, in: $0) }.first
    }

    private func texts(_ attribute: Attribute, _ macros: Attribute..., frame: Int) -> [String] {
        macros.lazy.flatMap { items($0, frame: frame) }.map { data.strings(attribute, in: $0) }.first { !$0.isEmpty }
            ?? []
    }

    /// The first text of an attribute that a conversion left unassigned; `nil` without one.
    func unassignedText(_ attribute: Attribute) -> String? {
        texts(
            attribute, .unassignedPerFrameConvertedAttributesSequence,
            .unassignedSharedConvertedAttributesSequence, frame: 0
        ).first.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Reads the attributes of a frame, counted from 0.
    ///
    /// - Returns: the attributes, and the reason why the frame has no plane although a macro of its plane is present.
    func attributes(frame: Int) -> (FrameAttributes, planeProblem: String?) {
        var attributes = FrameAttributes()
        var problem: String?
        let position = numbers(.imagePositionPatient, [.planePositionSequence], frame: frame)
        let orientation = numbers(.imageOrientationPatient, [.planeOrientationSequence], frame: frame)
        if !position.isEmpty || !orientation.isEmpty {
            let spacing = numbers(.pixelSpacing, [.pixelMeasuresSequence], frame: frame)
            switch ImagePlane.read(position: position, orientation: orientation, pixelSpacing: spacing) {
            case .success(let plane): attributes.plane = plane
            case .failure(let found): problem = found.reason
            }
        }
        attributes.sliceThickness = number(.sliceThickness, .pixelMeasuresSequence, frame: frame)
            .flatMap { $0 > 0 ? $0 : nil }
        attributes.spacingBetweenSlices = number(.spacingBetweenSlices, .pixelMeasuresSequence, frame: frame)
            .flatMap { $0 != 0 ? abs($0) : nil }
        readKind(frame, &attributes)
        readTimes(frame, &attributes)
        return (attributes, problem)
    }

    /// Reads what the frame shows: Frame Type and Stack ID.
    private func readKind(_ frame: Int, _ attributes: inout FrameAttributes) {
        attributes.imageType = texts(.frameType, .mrImageFrameTypeSequence, frame: frame).prefix(16).map(\.limited)
        let component = texts(.complexImageComponent, .mrImageFrameTypeSequence, frame: frame).first ?? ""
        if !component.isEmpty, component != "MIXED", !attributes.imageType.contains(component) {
            attributes.imageType.append(component.limited)
        }
        attributes.stackID = texts(.stackID, .frameContentSequence, frame: frame).first
            .flatMap { $0.isEmpty ? nil : $0.limited }
    }

    /// Reads what tells the volumes at one place apart.
    private func readTimes(_ frame: Int, _ attributes: inout FrameAttributes) {
        let (own, shared) = (
            Attribute.unassignedPerFrameConvertedAttributesSequence,
            Attribute.unassignedSharedConvertedAttributesSequence
        )
        attributes.echoTime =
            number(.effectiveEchoTime, .mrEchoSequence, frame: frame) ?? number(.echoTime, own, shared, frame: frame)
        attributes.temporalPosition =
            integer(.temporalPositionIndex, .frameContentSequence, frame: frame)
            ?? integer(.temporalPositionIdentifier, own, shared, frame: frame)
        let cardiac = Attribute.cardiacSynchronizationSequence
        attributes.triggerTime =
            number(.nominalCardiacTriggerDelayTime, cardiac, frame: frame)
            ?? number(.actualCardiacTriggerDelayTime, cardiac, frame: frame)
            ?? number(.triggerTime, own, shared, frame: frame)
        attributes.cardiacPhasePercentage =
            number(.nominalPercentageOfCardiacPhase, cardiac, own, shared, frame: frame)
        attributes.inversionTime =
            number(.inversionTimes, .mrModifierSequence, frame: frame)
            ?? number(.inversionTime, own, shared, frame: frame)
        attributes.acquisitionNumber =
            integer(.frameAcquisitionNumber, .frameContentSequence, frame: frame)
            ?? integer(.acquisitionNumber, own, shared, frame: frame)
    }
}

extension InstanceHeader {
    /// Reads the functional groups of an image with frames that have planes of their own.
    ///
    /// Without usable planes, `frames` stays `nil` and `planeProblem` names the cause.
    mutating func readFunctionalGroups(of data: DataSet) {
        let known = SOPClass.image(sopClassUID)
        guard known?.functionalGroups != .unsupported else { return }
        let isRequired = known?.functionalGroups == .required
        guard let groups = FunctionalGroupItems(data) else {
            if isRequired { planeProblem = "it has no functional groups" }
            return
        }
        mrAcquisitionType = mrAcquisitionType ?? groups.unassignedText(.mrAcquisitionType)
        guard numberOfFrames <= FrameTable.limit else {
            planeProblem = "it has \(numberOfFrames) frames; volumes of at most \(FrameTable.limit) are supported"
            return
        }
        guard groups.count == numberOfFrames else {
            if isRequired {
                planeProblem = "it has \(numberOfFrames) frames, and functional groups of \(groups.count)"
            }
            return
        }
        var table: [FrameAttributes] = []
        var problem: String?
        for frame in 0..<numberOfFrames {
            let (attributes, reason) = groups.attributes(frame: frame)
            table.append(attributes)
            if problem == nil, let reason { problem = "frame \(frame + 1): \(reason)" }
        }
        if table.contains(where: { $0.plane != nil }) { frames = FrameTable(table) }
        planeProblem = problem ?? planeProblem
    }

    /// The plane of a frame, counted from 1; `nil` without usable geometry.
    ///
    /// Only the frame of a single-frame image may have the plane of the instance.
    public func plane(ofFrame number: Int) -> PlaneGeometry? {
        guard let frames else { return numberOfFrames == 1 ? plane : nil }
        return frames.frames.indices.contains(number - 1) ? frames.frames[number - 1].plane : nil
    }

    /// The header of one frame, counted from 1: that of the instance, with the attributes of the frame.
    ///
    /// `frames` is `nil` in it. The header of an instance without functional groups stays as it is.
    public func header(ofFrame number: Int) -> InstanceHeader {
        guard let frames, frames.frames.indices.contains(number - 1) else { return self }
        let frame = frames.frames[number - 1]
        var header = self
        header.frames = nil
        header.plane = frame.plane
        header.sliceThickness = frame.sliceThickness ?? sliceThickness
        header.spacingBetweenSlices = frame.spacingBetweenSlices ?? spacingBetweenSlices
        if !frame.imageType.isEmpty { header.imageType = frame.imageType }
        header.stackID = frame.stackID
        header.echoTime = frame.echoTime ?? echoTime
        header.temporalPositionIdentifier = frame.temporalPosition ?? temporalPositionIdentifier
        header.triggerTime = frame.triggerTime ?? triggerTime
        header.cardiacPhasePercentage = frame.cardiacPhasePercentage ?? cardiacPhasePercentage
        header.inversionTime = frame.inversionTime ?? inversionTime
        header.acquisitionNumber = frame.acquisitionNumber ?? acquisitionNumber
        return header
    }
}
