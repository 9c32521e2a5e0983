// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Pipeline
import Routing
import Testing

/// Invariant 3: the UIDs of what a job makes.
@Suite struct `Running twice is harmless` {
    private func job(_ change: (inout SegmentationJob) -> Void = { _ in }) -> SegmentationJob {
        var job = SegmentationJob(
            segmenter: .stub, type: .binary, gaps: .refuse,
            sources: [
                .init(path: "a", sopInstanceUID: "1.1", imageDigest: "d1", copied: "c1"),
                .init(path: "b", sopInstanceUID: "1.2", imageDigest: "d2", copied: "c2"),
            ],
            newestSource: 1, copiedFromNewest: "p", outputs: [.init(.segmentation(.strict), peers: ["archive"])],
            created: 1_700_000_000,
            localOffsetFromUTC: 0, notes: [])
        change(&job)
        return job
    }

    private func uid(_ change: (inout SegmentationJob) -> Void = { _ in }) -> String {
        job(change).uid(.instance, for: .segmentation(.strict))
    }

    @Test func `what decides the bytes changes the UID`() {
        let uids = [
            uid(),
            uid { $0.segmenter.name = "other" },
            uid { $0.segmenter.version = "2" },
            uid { $0.segmenter.weightsHash = "1" },
            uid { $0.type = .fractional },
            uid { $0.gaps = .mark },
            uid { $0.sampling = FrameSampling(framesPerSecond: 2, declared: [25]) },
            uid { $0.sampling = FrameSampling(framesPerSecond: 2, declared: [30]) },
            uid { $0.options = SegmenterOptions(margin: 6) },
            uid { $0.options = SegmenterOptions(margin: 7) },
            uid { $0.options = SegmenterOptions(shift: 6) },
            uid { $0.sources[0].imageDigest = "d3" },
            uid { $0.sources[0].sopInstanceUID = "1.3" },
            uid { $0.sources[0].copied = "c3" },
            uid { $0.copiedFromNewest = "q" },
            uid { $0.label = SeriesLabel(seriesNumber: 5, ordinal: 0, reconstruction: []) },
            uid { $0.label = SeriesLabel(seriesNumber: 5, ordinal: 1, reconstruction: []) },
            uid { $0.label = SeriesLabel(seriesNumber: 5, ordinal: 1, reconstruction: ["PSIR"]) },
            uid { $0.sources[0].frameNumbers = [1, 2] },
            uid { $0.sources[0].frameNumbers = [12] },
            uid { $0.sources[1].frameNumbers = [12] },
            uid { $0.sources.removeLast() },
            // The order decides which frame is which, and which source gives the plane.
            uid { $0.sources.reverse() },
            job().uid(.instance, for: .segmentation(.strict), number: 1),
            job().uid(.instance, for: .segmentation(.slicer)),
            job().uid(.series, for: .segmentation(.strict)),
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

    @Test func `a payload that does not say what is copied gives a UID of its own`() {
        func old(_ change: (inout SegmentationJob) -> Void = { _ in }) -> String {
            uid {
                $0.copiedFromNewest = nil
                change(&$0)
            }
        }
        #expect(old() == old())
        #expect(old() != uid())
        #expect(old() != old { $0.created += 1 })
    }

    @Test func `an answer has one key, whoever the patient is and whatever the viewer needs`() {
        func key(_ change: (inout SegmentationJob) -> Void = { _ in }) -> String { job(change).answerKey }
        #expect(
            key()
                == key {
                    $0.copiedFromNewest = "q"
                    $0.sources[0].copied = "c3"
                    $0.review = ReviewRule(below: 0.5, action: .mark)
                    $0.created += 1
                })
        let keys = [
            key(), key { $0.segmenter.version = "2" }, key { $0.segmenter.weightsHash = "1" },
            key { $0.type = .fractional }, key { $0.gaps = .mark },
            key { $0.sampling = FrameSampling(framesPerSecond: 4, declared: [nil]) },
            key { $0.options = SegmenterOptions(margin: 6) },
            key { $0.sources[0].imageDigest = "d3" }, key { $0.sources.removeLast() }, key { $0.sources.reverse() },
        ]
        #expect(Set(keys).count == keys.count)
    }

    @Test func `a job survives its payload`() throws {
        let job = job {
            $0.weights = WeightFile(name: "a", path: "/models/a", sha256: $0.segmenter.weightsHash, bytes: 1)
            $0.options = SegmenterOptions(margin: 6)
        }
        #expect(try SegmentationJob.decoded(job.encoded()) == job)
    }

    @Test func `payloads of earlier versions are read: they name no weights, options or copied values`() throws {
        let old = job {
            $0.copiedFromNewest = nil
            for index in $0.sources.indices { $0.sources[index].copied = nil }
        }
        let payload = try old.encoded()
        let text = String(decoding: payload, as: UTF8.self)
        #expect(!text.contains("options") && !text.contains(#""weights""#) && !text.contains("copied"))
        #expect(!text.contains("frameNumbers") && !text.contains("label\""))
        #expect(try SegmentationJob.decoded(payload) == old)
    }

    @Test func `two peers of one profile get one object and another profile gets another`() throws {
        let title = try #require(AETitle("A"))
        let peers = [
            Peer(name: "a", aeTitle: title, viewerProfile: .ohif), Peer(name: "b", aeTitle: title),
            Peer(name: "c", aeTitle: title, viewerProfile: .ohif),
        ]
        #expect(
            SegmentationJob.outputs(for: peers) == [
                .init(.segmentation(.strict), peers: ["b"]), .init(.segmentation(.ohif), peers: ["a", "c"]),
            ])
    }
}
