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
    /// The viewer profile and the peers.
    package let output: SegmentationJob.Output
    /// The object that is sent unchanged; `nil` if one is written.
    package private(set) var stored: DerivedInstance?
    /// Series Instance UID of the stored object, as the job derives it.
    package private(set) var storedSeriesInstanceUID: String?
    /// The object to write, if none is stored.
    package private(set) var description: SegmentationDescription
    /// The stored object that is written again, with the description to use if its bytes differ.
    package private(set) var repetition: SegmentRequest.Repetition?

    /// Decides about one output.
    ///
    /// - Parameters:
    ///   - view: the journal.
    ///   - work: the work of the job.
    ///   - output: one of its outputs.
    ///   - earlier: `ReadTransaction.objects(before:)` of the job.
    ///   - softwareVersion: the version of Kontur, written into new objects.
    /// - Throws: errors of the journal.
    init(
        _ view: ReadTransaction, _ work: SegmentationJob, _ output: SegmentationJob.Output,
        earlier: [DerivedInstance], softwareVersion: String
    ) throws {
        self.output = output
        let profile = output.viewerProfile
        let others = earlier.filter { $0.viewerProfile == profile.rawValue }
        var last: DerivedInstance?
        var number = 0
        while let object = try view.derivedInstance(work.uid(.instance, for: profile, number: number)) {
            last = object
            number += 1
        }
        let new = work.description(
            for: profile, number: number, predecessors: others.filter(\.mayBeSent).map(\.reference),
            softwareVersion: softwareVersion)
        description = new
        guard let last, others.allSatisfy({ $0.id <= last.id }) else { return }
        if last.path != nil {
            // A rule for low confidence cannot judge an object whose confidence is not known.
            let isJudged = try work.review == nil || view.judgement(of: last.sopInstanceUID)?.confidence != nil
            if isJudged {
                stored = last
                storedSeriesInstanceUID = work.uid(.series, for: profile, number: number - 1)
            }
        } else if let bytes = last.description,
            var before = try? JSONDecoder().decode(SegmentationDescription.self, from: bytes)
        {
            // The place of the newest source may differ; the values that are copied from it do not.
            before.newestSource = work.newestSource
            description = before
            repetition = SegmentRequest.Repetition(sha256: last.sha256, otherwise: new)
        }
    }

    /// The description that an object was written with.
    ///
    /// - Returns: `nil` if this plan does not have an object of this UID.
    package func description(of sopInstanceUID: String) -> SegmentationDescription? {
        [description, repetition?.otherwise].compactMap { $0 }.first { $0.sopInstanceUID == sopInstanceUID }
    }

    /// The object to write, as a worker is asked for it.
    package func request(at path: String) -> SegmentRequest.Output {
        SegmentRequest.Output(path: path, description: description, repetition: repetition)
    }
}

/// The plans for all outputs of a job, made in the transaction that starts its run.
package struct ObjectPlans: Sendable {
    /// One plan per output.
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
        plans = try work.outputs.map {
            try ObjectPlan(view, work, $0, earlier: earlier, softwareVersion: softwareVersion)
        }
        answer = try view.object(ofAnswer: work.answerKey).flatMap { object in
            guard let path = object.path, let confidence = object.confidence else { return nil }
            return SegmentRequest.StoredAnswer(path: path, sha256: object.sha256, confidence: confidence)
        }
        for object in plans.compactMap(\.stored) {
            if let judgement = try view.judgement(of: object.sopInstanceUID) { (confidence, isLow) = judgement }
        }
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
