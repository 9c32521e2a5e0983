// SPDX-License-Identifier: Apache-2.0

package import DICOM
package import Foundation
package import Imaging
package import Routing

/// The work of one job, as it is stored with it: everything that decides the objects it makes, their dates included, so
/// that running it again after a crash makes the same ones.
package struct SegmentationJob: Sendable, Hashable, Codable {
    /// The stable name of this sort of work.
    package static let kind = "segment"

    /// One source instance, in stack order.
    package struct Source: Sendable, Hashable, Codable {
        /// Relative to the spool.
        package var path: String
        package var sopInstanceUID: String
        /// Of the variant that was current when the series closed.
        package var imageDigest: String

        package init(path: String, sopInstanceUID: String, imageDigest: String) {
            self.path = path
            self.sopInstanceUID = sopInstanceUID
            self.imageDigest = imageDigest
        }
    }

    /// One object to make, and who gets it.
    package struct Output: Sendable, Hashable, Codable {
        package var viewerProfile: ViewerProfile.Name
        /// Names of peers.
        package var peers: [String]

        package init(viewerProfile: ViewerProfile.Name, peers: [String]) {
            self.viewerProfile = viewerProfile
            self.peers = peers
        }
    }

    package var segmenter: SegmenterDescriptor
    /// Where the weights are that are not inside the executable.
    package var weights: WeightFile?
    /// `nil` when nothing is asked beyond the segmenter's name.
    package var options: SegmenterOptions?
    package var type: SegmentationType
    package var gaps: VolumeAssembly.Gaps
    package var sources: [Source]
    /// Index of the source received last.
    package var newestSource: Int
    package var outputs: [Output]
    /// Seconds since 1970 UTC.
    package var created: Int64
    /// Seconds east of UTC where the node ran then.
    package var localOffsetFromUTC: Int
    /// When a person has to look at the answer; `nil` for never.
    package var review: ReviewRule?
    /// What is put up with, such as a gap that the route says to mark.
    package var notes: [String]

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

    /// What one of the derived UIDs names.
    package enum Purpose: String {
        case instance
        case series
    }

    /// The UID of an object or its series: made of everything that decides the bytes of the object, and of nothing else:
    /// no revision, no clock.
    package func uid(_ purpose: Purpose, for profile: ViewerProfile.Name) -> String {
        let images = sources.map { "\($0.sopInstanceUID) \($0.imageDigest)" }.sorted()
        return DerivedUID.make(
            [
                "kontur segmentation", segmenter.name, segmenter.version, segmenter.weightsHash, type.rawValue,
                gaps.rawValue, profile.rawValue, purpose.rawValue,
            ] + (options?.words ?? []) + (review?.markedBelow.map { ["review below \($0)"] } ?? []) + images)
    }

    /// Outputs grouped by viewer profile: two profiles are two objects, two peers of one profile get the same one.
    package static func outputs(for peers: [Peer]) -> [Output] {
        ViewerProfile.Name.allCases.compactMap { profile in
            let names = peers.filter { $0.viewerProfile == profile }.map(\.name)
            return names.isEmpty ? nil : Output(viewerProfile: profile, peers: names)
        }
    }

    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    package static func decoded(_ payload: Data) throws -> SegmentationJob {
        try JSONDecoder().decode(SegmentationJob.self, from: payload)
    }
}
