// SPDX-License-Identifier: Apache-2.0

package import DICOM
import Foundation
import Imaging
package import Persistence
package import Supervision

/// The decision about one output of a job: an object that is stored is sent unchanged, or an object is written.
///
/// Three rules decide. Two objects of different bytes never share a UID. The same work gives the same object, also after
/// retention has deleted its file: it is written again with the dates, version and predecessors of the first time. The
/// object that a job leaves is the latest of its stack, so an older object is not sent again after a newer one, but
/// written anew with a UID of its own that names the newer one as predecessor.
package struct ObjectPlan: Sendable {
    /// The kind of the object and the peers.
    package let output: SegmentationJob.Output
    /// The SEG that the object refers to; `nil` for a kind that does not refer to a SEG.
    package let segmentation: InstanceReference?
    /// The object that is sent unchanged; `nil` if one is written.
    package private(set) var stored: DerivedInstance?
    /// Series Instance UID of the stored object, as the job derives it.
    package private(set) var storedSeriesInstanceUID: String?
    /// The object to write, if none is stored.
    package private(set) var description: ObjectDescription
    /// The stored object that is written again, with the description to use if its bytes differ.
    package private(set) var repetition: SegmentRequest.Repetition?

    /// Decides about one output.
    ///
    /// - Parameters:
    ///   - view: the journal.
    ///   - work: the work of the job.
    ///   - output: one of its outputs.
    ///   - segmentation: the SEG that the object refers to; `nil` for a kind that does not refer to a SEG.
    ///   - earlier: `ReadTransaction.objects(before:)` of the job.
    ///   - softwareVersion: the version of Kontur, written into new objects.
    /// - Throws: errors of the journal.
    init(
        _ view: ReadTransaction, _ work: SegmentationJob, _ output: SegmentationJob.Output,
        of segmentation: InstanceReference? = nil, earlier: [DerivedInstance], softwareVersion: String
    ) throws {
        self.output = output
        self.segmentation = segmentation
        let kind = output.kind
        let others = earlier.filter { $0.kind == kind.rawValue }
        var last: DerivedInstance?
        var number = 0
        while let object = try view.derivedInstance(work.uid(.instance, for: kind, of: segmentation, number: number)) {
            last = object
            number += 1
        }
        let new = work.description(
            for: kind, of: segmentation, number: number, predecessors: others.filter(\.mayBeSent).map(\.reference),
            softwareVersion: softwareVersion)
        description = new
        guard let last, others.allSatisfy({ $0.id <= last.id }) else { return }
        if last.path != nil {
            // A rule for low confidence cannot judge an object whose confidence is not known.
            let isJudged = try work.review == nil || view.judgement(of: last.sopInstanceUID)?.confidence != nil
            if isJudged {
                stored = last
                storedSeriesInstanceUID = work.uid(.series, for: kind, of: segmentation, number: number - 1)
            }
        } else if let bytes = last.description,
            var before = try? JSONDecoder().decode(ObjectDescription.self, from: bytes)
        {
            // The place of the newest source may differ; the values that are copied from it do not.
            before.newestSource = work.newestSource
            description = before
            repetition = SegmentRequest.Repetition(sha256: last.sha256, otherwise: new)
        }
    }

    /// The objects that the plan may leave: the stored one, or one of those that a worker may write.
    ///
    /// - Parameter studyInstanceUID: the study of the job.
    /// - Returns: the stored object, or one object per description.
    fileprivate func possibilities(inStudy studyInstanceUID: String) -> [InstanceReference] {
        if let stored, let series = storedSeriesInstanceUID {
            return [
                InstanceReference(
                    studyInstanceUID: studyInstanceUID, seriesInstanceUID: series, sopClassUID: stored.sopClassUID,
                    sopInstanceUID: stored.sopInstanceUID)
            ]
        }
        return [description, repetition?.otherwise].compactMap { $0?.reference(inStudy: studyInstanceUID) }
    }

    /// The description that an object was written with.
    ///
    /// - Returns: `nil` if this plan does not have an object of this UID.
    package func description(of sopInstanceUID: String) -> ObjectDescription? {
        [description, repetition?.otherwise].compactMap { $0 }.first { $0.sopInstanceUID == sopInstanceUID }
    }

    /// The object to write, as a worker is asked for it.
    package func request(at path: String) -> SegmentRequest.Output {
        SegmentRequest.Output(path: path, description: description, repetition: repetition)
    }
}

/// The plans for all outputs of a job, made in the transaction that starts its run.
///
/// A SEG that is written again gets another UID if its bytes differ, which only the worker finds out. An object that
/// refers to this SEG has a plan for each of the UIDs. ``used(_:)`` says which of them counts.
package struct ObjectPlans: Sendable {
    /// At least one plan per output, in the order of the outputs.
    package let plans: [ObjectPlan]
    /// A stored object with the answer; `nil` if the segmenter must run.
    package let answer: SegmentRequest.StoredAnswer?
    /// The confidence of the stored objects, 0...1.
    package private(set) var confidence: Double?
    /// Whether the job that made the stored objects had a low confidence.
    package private(set) var isLow = false

    /// The plans of objects that are written.
    package var missing: [ObjectPlan] { plans.filter { $0.stored == nil } }

    package init(_ view: ReadTransaction, _ job: Job, _ work: SegmentationJob, softwareVersion: String) throws {
        let earlier = try view.objects(before: job.id)
        var plans: [ObjectPlan] = []
        for output in work.outputs {
            var segmentations: [InstanceReference?] = [nil]
            if case .report(let profile) = output.kind {
                segmentations =
                    plans.first { $0.output.kind == .segmentation(profile) }?
                    .possibilities(inStudy: job.studyInstanceUID) ?? []
            }
            for segmentation in segmentations {
                plans.append(
                    try ObjectPlan(
                        view, work, output, of: segmentation, earlier: earlier, softwareVersion: softwareVersion))
            }
        }
        self.plans = plans
        answer = try view.object(ofAnswer: work.answerKey).flatMap { object in
            guard let path = object.path, let confidence = object.confidence else { return nil }
            return SegmentRequest.StoredAnswer(path: path, sha256: object.sha256, confidence: confidence)
        }
        for object in plans.compactMap(\.stored) {
            if let judgement = try view.judgement(of: object.sopInstanceUID) { (confidence, isLow) = judgement }
        }
    }

    /// The plans that count after the run: one per output.
    ///
    /// A plan whose object refers to a SEG counts if this is the SEG that the job leaves. If nothing was found, there is
    /// no SEG, and the first plan of each output counts.
    ///
    /// - Parameter made: SOP Instance UIDs of the objects that the worker wrote.
    /// - Returns: the plans, in the order of the outputs.
    package func used(_ made: some Collection<String>) -> [ObjectPlan] {
        let unused = Set(
            plans.flatMap { plan -> [String] in
                let possible = plan.possibilities(inStudy: "").map(\.sopInstanceUID)
                let left = possible.first { made.contains($0) } ?? possible.first
                return possible.filter { $0 != left }
            })
        return plans.filter { plan in plan.segmentation.map { !unused.contains($0.sopInstanceUID) } ?? true }
    }
}

extension DerivedInstance {
    /// The object as another object refers to it.
    fileprivate var reference: InstanceReference {
        InstanceReference(
            studyInstanceUID: studyInstanceUID, seriesInstanceUID: seriesInstanceUID, sopClassUID: sopClassUID,
            sopInstanceUID: sopInstanceUID)
    }
}
