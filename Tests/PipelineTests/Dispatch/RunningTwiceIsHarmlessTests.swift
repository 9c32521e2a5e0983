// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Pipeline
import Testing

/// Invariant 3: the UIDs of what a job makes.
@Suite struct `Running twice is harmless` {
    private func job(_ change: (inout SegmentationJob) -> Void = { _ in }) -> SegmentationJob {
        var job = SegmentationJob(
            segmenter: .stub, type: .binary, gaps: .refuse,
            sources: [
                .init(path: "a", sopInstanceUID: "1.1", imageDigest: "d1"),
                .init(path: "b", sopInstanceUID: "1.2", imageDigest: "d2"),
            ],
            newestSource: 1, outputs: [.init(viewerProfile: .strict, peers: ["archive"])], created: 1_700_000_000,
            localOffsetFromUTC: 0, notes: [])
        change(&job)
        return job
    }

    private func uid(_ change: (inout SegmentationJob) -> Void = { _ in }) -> String {
        job(change).uid(.instance, for: .strict)
    }

    @Test func `what decides the bytes changes the UID`() {
        let uids = [
            uid(),
            uid { $0.segmenter.name = "other" },
            uid { $0.segmenter.version = "2" },
            uid { $0.segmenter.weightsHash = "1" },
            uid { $0.type = .fractional },
            uid { $0.gaps = .mark },
            uid { $0.options = SegmenterOptions(margin: 6) },
            uid { $0.options = SegmenterOptions(margin: 7) },
            uid { $0.options = SegmenterOptions(shift: 6) },
            uid { $0.sources[0].imageDigest = "d3" },
            uid { $0.sources[0].sopInstanceUID = "1.3" },
            uid { $0.sources.removeLast() },
            job().uid(.instance, for: .slicer),
            job().uid(.series, for: .strict),
        ]
        #expect(Set(uids).count == uids.count)
        #expect(uids.allSatisfy { $0.hasPrefix("2.25.") && $0.utf8.count <= 64 })
    }

    @Test func `what does not decide the bytes leaves the UID`() {
        #expect(
            uid()
                == uid {
                    $0.created += 31_536_000
                    $0.localOffsetFromUTC = 3600
                    $0.sources.reverse()
                    $0.newestSource = 0
                    $0.sources[0].path = "elsewhere"
                    $0.outputs[0].peers = ["other"]
                    $0.notes = ["n"]
                })
    }

    @Test func `where weights lie does not change the UID`() {
        let weights = WeightFile(
            name: "a", path: "/models/a", sha256: String(repeating: "0", count: 64), bytes: 1)
        #expect(uid() == uid { $0.weights = weights })
    }

    @Test func `jobs without options keep the UIDs that earlier versions gave them`() {
        #expect(uid() == "2.25.87474991814831668665324204367824313163")
    }

    @Test func `a job survives its payload`() throws {
        let job = job {
            $0.weights = WeightFile(name: "a", path: "/models/a", sha256: $0.segmenter.weightsHash, bytes: 1)
            $0.options = SegmenterOptions(margin: 6)
        }
        #expect(try SegmentationJob.decoded(job.encoded()) == job)
    }

    @Test func `payloads of earlier versions are read: they name no weights and no options`() throws {
        let payload = try job().encoded()
        let text = String(decoding: payload, as: UTF8.self)
        #expect(!text.contains("options") && !text.contains(#""weights""#))
        #expect(try SegmentationJob.decoded(payload) == job())
    }

    @Test func `two peers of one profile get one object and another profile gets another`() throws {
        let title = try #require(AETitle("A"))
        let peers = [
            Peer(name: "a", aeTitle: title, viewerProfile: .ohif), Peer(name: "b", aeTitle: title),
            Peer(name: "c", aeTitle: title, viewerProfile: .ohif),
        ]
        #expect(
            SegmentationJob.outputs(for: peers) == [
                .init(viewerProfile: .strict, peers: ["b"]), .init(viewerProfile: .ohif, peers: ["a", "c"]),
            ])
    }
}
