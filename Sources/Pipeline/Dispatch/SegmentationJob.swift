// SPDX-License-Identifier: Apache-2.0

package import DICOM
package import Foundation
package import Imaging
package import Routing
package import Supervision

/// The payload of one job: everything that decides its objects, their dates included.
///
/// Running the job again after a crash therefore makes the same objects.
package struct SegmentationJob: Sendable, Hashable, Codable {
    /// The kind of these jobs in the journal.
    ///
    /// The name must not change.
    package static let kind = "segment"

    /// One source instance, in stack order.
    package struct Source: Sendable, Hashable, Codable {
        /// Path relative to the spool.
        package var path: String
        /// SOP Instance UID.
        package var sopInstanceUID: String
        /// Image digest of the variant that was current when the series closed.
        package var imageDigest: String
        /// Digest of everything else that the object takes from this source: `SourceAttributes.digestOfEach`.
        ///
        /// `nil` in a payload of an earlier version.
        package var copied: String?
        /// The frames to segment, counted from 1; `nil` for all of them.
        package var frameNumbers: [Int]?

        package init(
            path: String, sopInstanceUID: String, imageDigest: String, copied: String?, frameNumbers: [Int]? = nil
        ) {
            self.path = path
            self.sopInstanceUID = sopInstanceUID
            self.imageDigest = imageDigest
            self.copied = copied
            self.frameNumbers = frameNumbers
        }
    }

    /// One object to make, and the peers that receive it.
    package struct Output: Sendable, Hashable, Codable {
        /// The kind of the object.
        package var kind: ObjectKind
        /// Names of the peers that receive the object.
        package var peers: [String]

        // The key of payloads since the time when every object was a SEG.
        private enum CodingKeys: String, CodingKey {
            case kind = "viewerProfile"
            case peers
        }

        package init(_ kind: ObjectKind, peers: [String]) {
            self.kind = kind
            self.peers = peers
        }
    }

    /// The recipe and the weights.
    package var segmenter: SegmenterDescriptor
    /// The weight file, if the weights are not inside the executable.
    package var weights: WeightFile?
    /// The options of the route; `nil` if the route does not set any.
    package var options: SegmenterOptions?
    /// BINARY or FRACTIONAL.
    package var type: SegmentationType
    /// Whether a volume with gaps or doubled positions is unfit, or is segmented with a note.
    package var gaps: VolumeAssembly.Gaps
    /// The choice among the frames of cine and video instances; `nil` if every frame is segmented.
    package var sampling: FrameSampling?
    /// The source instances, in stack order.
    package var sources: [Source]
    /// Index of the source that was received last.
    package var newestSource: Int
    /// Digest of the patient and study attributes, which are copied from that source: `SourceAttributes.digestOfNewest`.
    ///
    /// `nil` in a payload of an earlier version.
    package var copiedFromNewest: String?
    /// The objects to make; a SEG comes before the objects that refer to it.
    package var outputs: [Output]
    /// Date and time of the objects: seconds since 1970 UTC.
    package var created: Int64
    /// Seconds east of UTC at the node at that time.
    package var localOffsetFromUTC: Int
    /// The rule for answers of low confidence; `nil` if the route does not have a rule.
    package var review: ReviewRule?
    /// Facts for the record, such as a gap that the route says to mark.
    package var notes: [String]
    /// The source series and the stack in it, which the objects name; `nil` for none, as in earlier versions.
    package var label: SeriesLabel?

    /// Makes a job from its parts.
    ///
    /// Empty options are stored as `nil`.
    package init(
        segmenter: SegmenterDescriptor, weights: WeightFile? = nil, options: SegmenterOptions = .none,
        type: SegmentationType, gaps: VolumeAssembly.Gaps, sampling: FrameSampling? = nil, sources: [Source],
        newestSource: Int,
        copiedFromNewest: String?, outputs: [Output], created: Int64, localOffsetFromUTC: Int,
        review: ReviewRule? = nil, notes: [String], label: SeriesLabel? = nil
    ) {
        self.segmenter = segmenter
        self.weights = weights
        self.options = options == .none ? nil : options
        self.type = type
        self.gaps = gaps
        self.sampling = sampling
        self.sources = sources
        self.newestSource = newestSource
        self.copiedFromNewest = copiedFromNewest
        self.outputs = outputs
        self.created = created
        self.localOffsetFromUTC = localOffsetFromUTC
        self.review = review
        self.notes = notes
        self.label = label
    }

    /// The job for planned work.
    ///
    /// - Parameters:
    ///   - work: the plan's segmenter and route.
    ///   - sources: the plan's sources, in its order; they get the plan's frame numbers.
    ///   - newestSource: index of the source that was received last.
    ///   - copiedFromNewest: digest of the attributes that are copied from that source.
    ///   - outputs: the objects to make; empty for a job with a result that is not sent.
    ///   - created: seconds since 1970 UTC.
    ///   - localOffsetFromUTC: seconds east of UTC where the node runs.
    package init(
        _ work: StackPlan.Work, sources: [Source], newestSource: Int = 0, copiedFromNewest: String?,
        outputs: [Output], created: Int64, localOffsetFromUTC: Int
    ) {
        var sources = sources
        for (index, numbers) in zip(sources.indices, work.frameNumbers) { sources[index].frameNumbers = numbers }
        self.init(
            segmenter: work.segmenter.descriptor, weights: work.segmenter.weights, options: work.route.options,
            type: work.route.type, gaps: work.route.gaps, sampling: work.sampling, sources: sources,
            newestSource: newestSource,
            copiedFromNewest: copiedFromNewest, outputs: outputs, created: created,
            localOffsetFromUTC: localOffsetFromUTC, review: work.route.review,
            notes: work.notes, label: work.label)
    }

    /// The thing that a derived UID names.
    package enum UIDPurpose: String {
        case instance
        case series
    }

    /// The UID of an object or its series.
    ///
    /// The UID is derived from everything that decides the bytes of the object: the images in stack order, digests of
    /// all values that are copied from them, recipe, weights, options and the review rule. The revision and the clock
    /// do not enter it, so running the job twice gives the same object. ``ObjectPlan`` sees to the rest: dates, version
    /// of Kontur and predecessors.
    ///
    /// - Parameters:
    ///   - purpose: whether the UID names the object or its series.
    ///   - kind: the kind of the object.
    ///   - segmentation: the SEG that the object refers to; `nil` for a kind that does not refer to a SEG.
    ///   - number: counts the objects that share all of this and differ nevertheless, from 0.
    ///   - dated: whether `created` enters the UID too. `kontur segment` does not store anything between runs, so each
    ///     run makes a new object.
    /// - Returns: `2.25.` and a number: PS3.5 B.2.
    package func uid(
        _ purpose: UIDPurpose, for kind: ObjectKind, of segmentation: InstanceReference? = nil, number: Int = 0,
        dated: Bool = false
    ) -> String {
        // A payload of an earlier version does not say what is copied, so the object must not share its UID.
        let isDated = dated || copiedFromNewest == nil || sources.contains { $0.copied == nil }
        return DerivedUID.make(
            ["kontur segmentation", purpose.rawValue, kind.rawValue, "\(number)"] + answer
                + [review?.markedBelow.map { "\($0)" } ?? "", isDated ? "\(created)" : "", copiedFromNewest ?? ""]
                + sources.map { $0.copied ?? "" } + (segmentation.map { [$0.sopInstanceUID] } ?? [])
                + (label?.identity ?? []))
    }

    /// The text that objects of one answer share: same images in the same order, recipe, weights and options.
    package var answerKey: String { DerivedUID.make(["kontur answer"] + answer) }

    /// Everything that decides the answer; lists begin with their length.
    private var answer: [String] {
        let words = options?.words ?? []
        return [segmenter.name, segmenter.version, segmenter.weightsHash, type.rawValue, gaps.rawValue]
            + ["\(words.count)"] + words + (sampling?.words ?? [])
            + ["\(sources.count)"] + sources.flatMap { [$0.sopInstanceUID, $0.imageDigest] } + frames
    }

    /// The frames of each source; an empty list if all frames of all sources are used.
    private var frames: [String] {
        guard sources.contains(where: { $0.frameNumbers != nil }) else { return [] }
        return ["frames"]
            + sources.flatMap { ["\($0.frameNumbers?.count ?? -1)"] + ($0.frameNumbers ?? []).map(String.init) }
    }

    /// The outputs for some peers: one object of each kind that the route asks for.
    ///
    /// Peers with the same profile get the same SEG and the same report.
    ///
    /// - Parameters:
    ///   - peers: the peers that receive the results of the route.
    ///   - report: whether a measurement report goes with each SEG.
    ///   - pictures: whether pictures with burnt-in contours go to all of the peers.
    /// - Returns: one output per object; a SEG comes before the report that refers to it.
    package static func outputs(for peers: [Peer], report: Bool = false, pictures: Bool = false) -> [Output] {
        var outputs: [Output] = []
        for profile in ViewerProfile.Name.allCases {
            let names = peers.filter { $0.viewerProfile == profile }.map(\.name)
            if names.isEmpty { continue }
            outputs.append(Output(.segmentation(profile), peers: names))
            if report { outputs.append(Output(.report(profile), peers: names)) }
        }
        if pictures, !peers.isEmpty { outputs.append(Output(.pictures, peers: peers.map(\.name))) }
        return outputs
    }

    /// Takes the present paths of the sources, by SOP Instance UID; a source without one keeps its path.
    package mutating func findSources(at paths: [String: String]) {
        for index in sources.indices {
            if let path = paths[sources[index].sopInstanceUID] { sources[index].path = path }
        }
    }

    /// The request that has a worker do this job.
    ///
    /// - Parameters:
    ///   - run: the name of this attempt.
    ///   - folder: absolute path of the folder to which the paths of the sources are relative.
    ///   - outputs: the files to write, as `output` describes them.
    ///   - answer: a stored object with the answer.
    /// - Returns: a request without folders for overlays, masks and dumps; the caller adds them.
    package func request(
        run: String, folder: String, outputs: [SegmentRequest.Output], answer: SegmentRequest.StoredAnswer? = nil
    ) -> SegmentRequest {
        SegmentRequest(
            run: run, folder: folder,
            sources: sources.map {
                SegmentRequest.Source(
                    path: $0.path, sopInstanceUID: $0.sopInstanceUID, frameNumbers: $0.frameNumbers)
            },
            segmenter: segmenter, weights: weights, options: options ?? .none, gaps: gaps,
            framesPerSecond: sampling?.framesPerSecond, outputs: outputs, answer: answer)
    }

    /// The description of one object to write, with UIDs derived from the job.
    ///
    /// - Parameters:
    ///   - kind: the kind of the object.
    ///   - segmentation: the SEG that the object refers to; `nil` for a kind that does not refer to a SEG.
    ///   - number: as for `uid`.
    ///   - predecessors: sent objects that the object replaces.
    ///   - softwareVersion: the version of Kontur, written into the object.
    ///   - dated: as for `uid`.
    /// - Returns: the description without the confidences, which the worker adds.
    package func description(
        for kind: ObjectKind, of segmentation: InstanceReference? = nil, number: Int = 0,
        predecessors: [InstanceReference] = [], softwareVersion: String, dated: Bool = false
    ) -> ObjectDescription {
        ObjectDescription(
            sopInstanceUID: uid(.instance, for: kind, of: segmentation, number: number, dated: dated),
            seriesInstanceUID: uid(.series, for: kind, of: segmentation, number: number, dated: dated),
            created: created, localOffsetFromUTC: localOffsetFromUTC, kind: kind, type: type,
            segmentation: segmentation, segmenter: segmenter,
            reviewBelow: review?.markedBelow, predecessors: predecessors, softwareVersion: softwareVersion,
            newestSource: newestSource, seriesLabel: label, prompts: options.flatMap { $0.hasPrompt ? $0 : nil })
    }

    /// Encodes the job for the journal, with sorted keys.
    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    /// Decodes a payload of the journal.
    package static func decoded(_ payload: Data) throws -> SegmentationJob {
        try JSONDecoder().decode(SegmentationJob.self, from: payload)
    }
}
