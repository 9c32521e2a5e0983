// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Supervision
import Testing

@Suite struct WorkMessageTests {
    @Test func `a request survives the line`() throws {
        let request = WorkRequest.segment(request: .example(sources: 3))
        let line = try WorkMessage.line(request)
        #expect(line.last == UInt8(ascii: "\n"))
        #expect(!line.dropLast().contains(UInt8(ascii: "\n")))
        #expect(try WorkRequest(line: line.dropLast()) == request)
        #expect(request.role == .segment)
    }

    @Test func `every answer survives the line`() throws {
        var header = InstanceHeader(
            sopClassUID: "1.2", sopInstanceUID: "1.3", transferSyntaxUID: "1.4", studyInstanceUID: "1.5",
            seriesInstanceUID: "1.6")
        header.studyDescription = "a\nb \u{2028} Jürgen"
        header.echoTime = .infinity
        header.patientID = "secret"
        let stored = try StoredHeader(header)
        let outcome = SegmentOutcome(
            frames: 2, foundFrames: [1], confidence: Confidence(value: 0.5, measures: ["a": 1]),
            frameConfidence: [0, 0.5], outputs: [], overlays: [], notes: ["x"])
        let messages: [WorkMessage] = [
            .progress(WorkProgress(phase: .reading, done: 0, total: 4)),
            .response(
                .indexed(
                    header: stored, patientID: "1", imageDigest: String(repeating: "ab", count: 32),
                    attributes: AttributeDigests(["PatientID": "cd", "Modality": "ef"]))),
            .response(.indexed(header: stored, patientID: nil, imageDigest: "", attributes: AttributeDigests([:]))),
            .response(.compared(isSameImage: true)),
            .response(.quarantine(reason: "r")), .response(.segmented(outcome: outcome)),
            .response(.unfit(reason: "r")), .response(.failed(reason: "r")), .response(.hindered(reason: "r")),
        ]
        for message in messages {
            let line = try WorkMessage.line(message)
            #expect(line.count { $0 == UInt8(ascii: "\n") } == 1)
            #expect(try WorkMessage(line: line.dropLast()) == message)
        }
    }

    @Test(arguments: ["", "{", "[]", "{\"progress\":{}}", "hello", "{\"response\":{\"_0\":{\"indexed\":{}}}}"])
    func `text that is not a message is refused and not quoted`(text: String) {
        #expect { try WorkMessage(line: Array(text.utf8)) } throws: { error in
            guard case .malformed = error as? WorkMessageError else { return false }
            return !"\(error)".contains("hello")
        }
    }

    @Test func `a header is stored without the patient's id`() throws {
        var header = InstanceHeader(
            sopClassUID: "1.2", sopInstanceUID: "1.3", transferSyntaxUID: "1.4", studyInstanceUID: "1.5",
            seriesInstanceUID: "1.6")
        header.patientID = "secret"
        header.echoTime = .infinity
        let stored = try StoredHeader(header)
        header.patientID = nil
        #expect(try StoredHeader.header(encoded: stored.encoded) == header)
        #expect(stored.seriesInstanceUID == "1.6" && stored.studyInstanceUID == "1.5")
    }

    @Test(arguments: ["PatientID", "PatientID ab PatientID cd", "PatientID ab Modality"])
    func `digests of attributes that do not pair are refused`(text: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(AttributeDigests.self, from: Data("\"\(text)\"".utf8))
        }
    }

    @Test func `a line over the limit is refused`() throws {
        let long = [UInt8](repeating: UInt8(ascii: " "), count: WorkMessage.answerLimit + 1)
        #expect(throws: WorkMessageError.tooLong(bytes: long.count, limit: WorkMessage.answerLimit)) {
            try WorkMessage(line: long)
        }
        let request = Array(long.prefix(WorkMessage.limit + 1))
        #expect(throws: WorkMessageError.tooLong(bytes: request.count, limit: WorkMessage.limit)) {
            try WorkRequest(line: request)
        }
        #expect(throws: WorkMessageError.self) {
            try WorkMessage.line(.segment(request: .example(sources: WorkMessage.sourceLimit + 1)))
        }
    }

    @Test func `a request with the most sources fits its line`() throws {
        _ = try WorkMessage.line(.segment(request: .example(sources: WorkMessage.sourceLimit)))
    }

    @Test func `the outcome of 100,000 frames fits its line`() throws {
        let frames = SegmentOutcome.framesMeasured
        let values = [Double](repeating: 0.1234, count: frames)
        let names = ["a", "b", "c", "d", "e", "f"].map { String(repeating: $0, count: 26) }
        let outcome = SegmentOutcome(
            frames: frames, foundFrames: Array(0..<frames), confidence: Confidence(value: 0.5, measures: [:]),
            frameConfidence: values, frameMeasures: Dictionary(uniqueKeysWithValues: names.map { ($0, values) }),
            outputs: [], overlays: (1...frames).map { "\($0).png" }, masks: (1...frames).map { "\($0).png" }, notes: [])
        _ = try WorkMessage.line(.response(.segmented(outcome: outcome)))
    }

    @Test func `paths that leave their folder are refused`() {
        for path in ["../x", "a/../../x", "/etc/passwd", ""] {
            var request = SegmentRequest.example(sources: 1)
            request.sources[0].path = path
            #expect(throws: WorkMessageError.self) { try WorkMessage.line(.segment(request: request)) }
        }
        #expect(throws: WorkMessageError.self) { try WorkMessage.line(.index(request: IndexRequest(path: "x"))) }
    }

    @Test func `an outcome that contradicts itself is refused`() throws {
        func outcome(found: [Int] = [1], measures: [String: [Double]] = [:]) -> SegmentOutcome {
            SegmentOutcome(
                frames: 2, foundFrames: found, confidence: Confidence(value: 0.5, measures: [:]),
                frameConfidence: [0, 0.5], frameMeasures: measures, outputs: [], overlays: [], notes: [])
        }
        for wrong in [outcome(found: [2]), outcome(measures: ["stability": [0.5]])] {
            let line = try WorkMessage.line(.response(.segmented(outcome: wrong)))
            #expect(throws: WorkMessageError.self) { try WorkMessage(line: line.dropLast()) }
        }
        // A measure that a frame does not have is NaN, which JSON has not.
        let line = try WorkMessage.line(.response(.segmented(outcome: outcome(measures: ["stability": [.nan, 0.5]]))))
        guard case .response(.segmented(let found)) = try WorkMessage(line: line.dropLast()) else {
            Issue.record("another message")
            return
        }
        #expect(found.frameMeasures["stability"]?[0].isNaN == true)
    }

    @Test func `weights, options, pictures and dumps go down with a request`() throws {
        var request = SegmentRequest.example(sources: 1)
        request.form = .pictures
        request.weights = WeightFile(
            name: "medsam_vit_b", path: "/models/a", sha256: request.segmenter.weightsHash, bytes: 9)
        request.options = SegmenterOptions(
            box: Box(x0: 1, y0: 2, x1: 3.5, y1: 4), points: [LabeledPoint(x: 1, y: 2, isForeground: false)],
            keySlice: 3, margin: 4, shift: 5)
        request.maskFolder = "/tmp/masks"
        request.dumpFolder = "/tmp/dump"
        request.candidateFolder = "/tmp/candidates"
        #expect(
            try WorkRequest(line: WorkMessage.line(.segment(request: request)).dropLast())
                == .segment(request: request))
    }

    @Test func `a request that contradicts itself is refused`() {
        let changes: [(inout SegmentRequest) -> Void] = [
            { $0.dumpFolder = "dump" },
            { $0.candidateFolder = "candidates" },
            { $0.maskFolder = "masks" },
            { $0.weights = WeightFile(name: "a", path: "a", sha256: $0.segmenter.weightsHash, bytes: 1) },
            { $0.weights = WeightFile(name: "a", path: "/a", sha256: String(repeating: "1", count: 64), bytes: 1) },
            {
                $0.form = .pictures
                let description = ObjectDescription(
                    sopInstanceUID: "1.2", seriesInstanceUID: "1.3", created: 0, kind: .segmentation(.strict),
                    type: .binary,
                    segmenter: $0.segmenter, softwareVersion: "0")
                $0.outputs = [.init(path: "/tmp/a.dcm", description: description)]
            },
        ]
        for change in changes {
            var request = SegmentRequest.example(sources: 1)
            change(&request)
            #expect(throws: WorkMessageError.self) { try WorkMessage.line(.segment(request: request)) }
        }
    }
}

extension SegmentRequest {
    static func example(sources: Int) -> SegmentRequest {
        SegmentRequest(
            run: "r1", folder: "/spool/instances",
            sources: (0..<sources).map { index in
                let digits = String(repeating: "1", count: 36 - String(index).count) + String(index)
                return Source(
                    path: "2026-11-22/07/\(digits).dcm", sopInstanceUID: "1.2.840.113619.2.\(digits).22.333.4444",
                    frameNumbers: nil)
            },
            segmenter: .example, outputs: [])
    }
}

extension SegmenterDescriptor {
    static let example = SegmenterDescriptor(
        name: "example", version: "1", accepts: .frames, weightsHash: String(repeating: "0", count: 64),
        segmentLabel: "polyp", category: CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        type: CodedConcept("41329004", "SCT", "Polyp"), anatomicRegion: nil,
        recommendedDisplayColor: DisplayColor(red: 0, green: 255, blue: 0), title: "", paper: "", licence: "")
}
