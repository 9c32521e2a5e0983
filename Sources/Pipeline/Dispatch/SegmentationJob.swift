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

        package init(path: String, sopInstanceUID: String, imageDigest: String) {
            self.path = path
            self.sopInstanceUID = sopInstanceUID
            self.imageDigest = imageDigest
        }
    }

    /// One object to make, and the peers that receive it.
    package struct Output: Sendable, Hashable, Codable {
        /// The viewers for which the object is written.
        package var viewerProfile: ViewerProfile.Name
        /// Names of the peers that receive the object.
        package var peers: [String]

        package init(viewerProfile: ViewerProfile.Name, peers: [String]) {
            self.viewerProfile = viewerProfile
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
    /// The source instances, in stack order.
    package var sources: [Source]
    /// Index of the source that was received last.
    package var newestSource: Int
    /// The objects to make.
    package var outputs: [Output]
    /// Date and time of the objects: seconds since 1970 UTC.
    package var created: Int64
    /// Seconds east of UTC at the node at that time.
    package var localOffsetFromUTC: Int
    /// The rule for answers of low confidence; `nil` if the route does not have a rule.
    package var review: ReviewRule?
    /// Irregularities that the route accepts, such as a gap that is marked.
    package var notes: [String]

    /// Makes a job from its parts.
    ///
    /// Empty options are stored as `nil`.
    package init(
        segmenter: SegmenterDescriptor, weights: WeightFile? = nil, options: SegmenterOptions = .none,
        type: SegmentationType, gaps: VolumeAssembly.Gaps, sources: [Source], newestSource: Int, outputs: [Output],
        created: Int64, localOffsetFromUTC: Int, review: ReviewRule? = nil, notes: [String]
    ) {
        self.segmenter = segmenter
        self.weights = weights
        self.options = options == .none ? nil : options
        self.type = type
        self.gaps = gaps
        self.sources = sources
        self.newestSource = newestSource
        self.outputs = outputs
        self.created = created
        self.localOffsetFromUTC = localOffsetFromUTC
        self.review = review
        self.notes = notes
    }

    /// The job for planned work.
    ///
    /// - Parameters:
    ///   - work: the plan's segmenter and route.
    ///   - sources: the plan's sources, in its order.
    ///   - newestSource: index of the source that was received last.
    ///   - outputs: the objects to make; empty for a job with a result that is not sent.
    ///   - created: seconds since 1970 UTC.
    ///   - localOffsetFromUTC: seconds east of UTC where the node runs.
    package init(
        _ work: StackPlan.Work, sources: [Source], newestSource: Int = 0, outputs: [Output], created: Int64,
        localOffsetFromUTC: Int
    ) {
        self.init(
            segmenter: work.segmenter.descriptor, weights: work.segmenter.weights, options: work.route.options,
            type: work.route.type, gaps: work.route.gaps, sources: sources, newestSource: newestSource,
            outputs: outputs, created: created, localOffsetFromUTC: localOffsetFromUTC, review: work.route.review,
            notes: work.notes)
    }

    /// The thing that a derived UID names.
    package enum UIDPurpose: String {
        case instance
        case series
    }

    /// The UID of an object or its series.
    ///
    /// The UID is derived from everything that decides the bytes of the object. The revision and the clock do not
    /// enter it, so running the job twice gives the same object.
    ///
    /// - Parameters:
    ///   - purpose: whether the UID names the object or its series.
    ///   - profile: the viewer for which the object is written.
    ///   - dated: whether `created` enters the UID too. `kontur segment` does not store anything between runs, so each
    ///     run makes a new object.
    /// - Returns: `2.25.` and a number: PS3.5 B.2.
    package func uid(_ purpose: UIDPurpose, for profile: ViewerProfile.Name, dated: Bool = false) -> String {
        let images = sources.map { "\($0.sopInstanceUID) \($0.imageDigest)" }.sorted()
        return DerivedUID.make(
            [
                "kontur segmentation", segmenter.name, segmenter.version, segmenter.weightsHash, type.rawValue,
                gaps.rawValue, profile.rawValue, purpose.rawValue,
            ] + (options?.words ?? []) + (review?.markedBelow.map { ["review below \($0)"] } ?? [])
                + (dated ? ["created \(created)"] : []) + images)
    }

    /// The outputs for some peers: one object per viewer profile.
    ///
    /// Peers with the same profile get the same object.
    package static func outputs(for peers: [Peer]) -> [Output] {
        ViewerProfile.Name.allCases.compactMap { profile in
            let names = peers.filter { $0.viewerProfile == profile }.map(\.name)
            return names.isEmpty ? nil : Output(viewerProfile: profile, peers: names)
        }
    }

    /// The request that has a worker do this job.
    ///
    /// - Parameters:
    ///   - run: the name of this attempt.
    ///   - folder: absolute path of the folder to which the paths of the sources are relative.
    ///   - outputs: the files to write, as `output` describes them.
    /// - Returns: a request without folders for overlays, masks and dumps; the caller adds them.
    package func request(run: String, folder: String, outputs: [SegmentRequest.Output]) -> SegmentRequest {
        SegmentRequest(
            run: run, folder: folder,
            sources: sources.map { SegmentRequest.Source(path: $0.path, sopInstanceUID: $0.sopInstanceUID) },
            segmenter: segmenter, weights: weights, options: options ?? .none, gaps: gaps, outputs: outputs)
    }

    /// The description of one object to write.
    ///
    /// - Parameters:
    ///   - path: absolute path of the file to write.
    ///   - profile: the viewer for which the object is written.
    ///   - predecessors: sent objects of earlier revisions that the object replaces.
    ///   - softwareVersion: the version of Kontur, written into the object.
    ///   - dated: as for `uid`.
    /// - Returns: the path and the description, with UIDs derived from the job.
    package func output(
        at path: String, for profile: ViewerProfile.Name, predecessors: [InstanceReference] = [],
        softwareVersion: String, dated: Bool = false
    ) -> SegmentRequest.Output {
        SegmentRequest.Output(
            path: path,
            description: SegmentationDescription(
                sopInstanceUID: uid(.instance, for: profile, dated: dated),
                seriesInstanceUID: uid(.series, for: profile, dated: dated), created: created,
                localOffsetFromUTC: localOffsetFromUTC, type: type, viewerProfile: profile, segmenter: segmenter,
                reviewBelow: review?.markedBelow, predecessors: predecessors, softwareVersion: softwareVersion,
                newestSource: newestSource))
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
