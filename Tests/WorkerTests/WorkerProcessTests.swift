// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Imaging
import Segmentation
import Supervision
import Testing
import TestSupport

/// The worker as a child process, spoken to over its pipes.
@Suite(
    .serialized, .enabled(if: WorkerChild.isThere, "needs the built kontur: set KONTUR_EXECUTABLE"),
    .timeLimit(.minutes(3)))
struct WorkerProcessTests {
    private var colonoscopy: [String] { Self.samples("colonoscopy") }

    private static func samples(_ study: String) -> [String] {
        let folder = Checkout.samples.appending(path: study)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".dcm") }.sorted().map { folder.appending(path: $0).path }
    }

    private func ask(_ role: String, _ request: WorkRequest) async throws -> WorkResponse {
        let line = try WorkMessage.line(request)
        let (response, _) = try await WorkerChild.run(role) { child in
            child.send(line)
            return child.response()
        }
        return try #require(response)
    }

    @Test func `reads the header of an instance whose UIDs are those of the command`() async throws {
        let path = try #require(colonoscopy.first)
        let response = try await ask("index", .index(request: IndexRequest(path: path)))
        guard case .indexed(let stored, let patientID, let imageDigest, let attributes) = response else {
            Issue.record("not indexed")
            return
        }
        let header = try StoredHeader.header(encoded: stored.encoded)
        #expect(header.modality == "ES")
        #expect(patientID?.isEmpty == false && header.patientID == nil)
        #expect(imageDigest.count == 64)
        let same = IndexRequest(path: path, sopClassUID: header.sopClassUID, sopInstanceUID: header.sopInstanceUID)
        #expect(attributes.values["StudyInstanceUID"]?.count == 64)
        #expect(
            try await ask("index", .index(request: same))
                == .indexed(
                    header: stored, patientID: patientID, imageDigest: imageDigest, attributes: attributes))
        for wrong in [
            IndexRequest(path: path, sopClassUID: header.sopClassUID, sopInstanceUID: "1.2.3"),
            IndexRequest(path: path, sopClassUID: "1.2.3", sopInstanceUID: header.sopInstanceUID),
        ] {
            guard case .quarantine(let reason) = try await ask("index", .index(request: wrong)) else {
                Issue.record("accepted")
                return
            }
            #expect(reason.contains("C-STORE command"))
        }
    }

    @Test func `quarantines a file that is not an instance, with a reason`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder.appending(path: "text").path
            try "hello".write(toFile: path, atomically: true, encoding: .utf8)
            guard case .quarantine = try await ask("index", .index(request: IndexRequest(path: path))) else {
                Issue.record("accepted")
                return
            }
        }
    }

    @Test func `a file that cannot be opened hinders, and can be tried again`() async throws {
        guard case .hindered = try await ask("index", .index(request: IndexRequest(path: "/nowhere"))) else {
            Issue.record("answered otherwise")
            return
        }
    }

    @Test func `a deflated data set is inflated up to the limit of the request and no further`() async throws {
        let fixture = Checkout.root.appending(path: "Tests/DICOMTests/Fixtures/ct_deflated.dcm").path
        guard
            case .indexed = try await ask(
                "index", .index(request: IndexRequest(path: fixture, largestDataSet: 1 << 20)))
        else {
            Issue.record("refused")
            return
        }
        guard
            case .quarantine(let reason) = try await ask(
                "index", .index(request: IndexRequest(path: fixture, largestDataSet: 500)))
        else {
            Issue.record("taken")
            return
        }
        #expect(reason.contains("inflated") && reason.contains("500"))
    }

    @Test func `ends when its input closes, also in the middle of a request`() async throws {
        let (_, idle) = try await WorkerChild.run("segment") { $0.closeInput() }
        #expect(idle == 0)
        let request = try segmentRequest(colonoscopy, folder: "/tmp", outputs: [])
        let line = try WorkMessage.line(.segment(request: request))
        let (_, busy) = try await WorkerChild.run("segment") { child in
            child.send(line)
            child.closeInput()
        }
        #expect(busy == 0)
    }

    @Test func `ignores an interrupt and does not write a core file`() async throws {
        let line = try WorkMessage.line(.index(request: IndexRequest(path: try #require(colonoscopy.first))))
        let (result, status) = try await WorkerChild.run("index") { child in
            child.send(line)
            _ = child.response()
            kill(child.processID, SIGINT)
            let limits = (try? String(contentsOfFile: "/proc/\(child.processID)/limits", encoding: .utf8)) ?? ""
            child.send(line)
            return (child.response() != nil, limits.contains(#/Max core file size\s+0\s+0/#))
        }
        #expect(result.0)
        #expect(result.1)
        #expect(status == 0)
    }

    @Test func `a line that is not a request ends it`() async throws {
        let (response, status) = try await WorkerChild.run("index") { child in
            child.send(Array("hello\n".utf8))
            return child.response()
        }
        #expect(response == nil)
        #expect(status == 65)
    }

    @Test func `a request of the other role is refused`() async throws {
        guard case .failed = try await ask("segment", .index(request: IndexRequest(path: "/x"))) else {
            Issue.record("answered")
            return
        }
    }

    @Test(arguments: ["polyp-compact", "left-atrium-compact"])
    func `segments a sample study, and twice the same`(name: String) async throws {
        let isVolume = name == "left-atrium-compact"
        let all = Self.samples(isVolume ? "lge" : "colonoscopy")
        let first = try InstanceFile(path: try #require(all.first)).header
        // Frames of one size, as in a stack.
        let files = try all.filter {
            let header = try InstanceFile(path: $0).header
            return header.rows == first.rows && header.columns == first.columns
        }
        try await withTemporaryFolder { folder in
            var hashes: [String] = []
            for run in 1...2 {
                let path = folder.appending(path: "\(run).dcm").path
                var request = try segmentRequest(files, folder: folder.path, outputs: [path], segmenter: name)
                request.overlayFolder = folder.appending(path: "overlays-\(run)").path
                let response = try await ask("segment", .segment(request: request))
                guard case .segmented(let outcome) = response else {
                    Issue.record("not segmented: \(response)")
                    return
                }
                #expect(outcome.frames == files.count)
                #expect(!outcome.foundFrames.isEmpty)
                #expect(outcome.overlays.count == outcome.foundFrames.count + (isVolume ? 1 : 0))
                #expect(
                    outcome.overlays.allSatisfy {
                        FileManager.default.fileExists(atPath: folder.appending(path: "overlays-\(run)/\($0)").path)
                    })
                let output = try #require(outcome.outputs.first)
                #expect(output.frames == outcome.foundFrames.count)
                let header = try InstanceFile(path: path).header
                #expect(header.sopInstanceUID == output.sopInstanceUID)
                #expect(header.namesKontur)
                hashes.append(output.sha256)
            }
            #expect(hashes[0] == hashes[1])
        }
    }

    @Test(arguments: SegmentationType.allCases)
    func `reads a stored answer back, and writes the object anew for a corrected patient`(
        type: SegmentationType
    ) async throws {
        try await withTemporaryFolder { folder in
            let files = Self.samples("lge")
            let stored = folder.appending(path: "stored.dcm").path
            var request = try segmentRequest(
                files, folder: folder.path, outputs: [stored], segmenter: "left-atrium-compact")
            request.outputs[0].description.type = type
            guard case .segmented(let first) = try await ask("segment", .segment(request: request)) else {
                Issue.record("not segmented")
                return
            }
            #expect(!first.isReused)
            let sha256 = try #require(first.outputs.first?.sha256)
            request.answer = .init(path: stored, sha256: sha256, confidence: first.confidence.value)
            // The same sources and description give the same bytes.
            request.outputs[0].path = folder.appending(path: "same.dcm").path
            guard case .segmented(let same) = try await ask("segment", .segment(request: request)) else {
                Issue.record("not segmented")
                return
            }
            #expect(same.isReused && same.outputs.first?.sha256 == sha256 && same.foundFrames == first.foundFrames)
            #expect(same.confidence.value == first.confidence.value)
            // A corrected patient.
            let corrected = try files.map { file in
                let url = folder.appending(path: (file as NSString).lastPathComponent)
                var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
                // The value of (0010,0020), explicit VR.
                let element = try #require(bytes.range(of: Data([0x10, 0, 0x20, 0, 0x4C, 0x4F])))
                bytes[element.upperBound + 2] = UInt8(ascii: "Z")
                try bytes.write(to: url)
                return url.path
            }
            var other = request
            other.sources = try segmentRequest(corrected, folder: folder.path, outputs: []).sources
            other.outputs[0].path = folder.appending(path: "other.dcm").path
            other.outputs[0].description.sopInstanceUID = "2.25.3"
            guard case .segmented(let outcome) = try await ask("segment", .segment(request: other)) else {
                Issue.record("not segmented")
                return
            }
            #expect(outcome.isReused)
            let before = try SegmentationReader(path: stored)
            let after = try SegmentationReader(path: other.outputs[0].path)
            #expect(before.frames.map(\.values) == after.frames.map(\.values))
            #expect(before.confidence == after.confidence && before.confidence != nil)
            let name = try DataSet.open(path: other.outputs[0].path)
            #expect(name.string(.patientID)?.hasPrefix("Z") == true)
            // Without the file, or with another one, the segmenter runs.
            request.answer?.sha256 = String(repeating: "0", count: 64)
            guard case .segmented(let anew) = try await ask("segment", .segment(request: request)) else {
                Issue.record("not segmented")
                return
            }
            #expect(!anew.isReused && anew.outputs.first?.sha256 == sha256)
        }
    }

    @Test func `repeats an object, or writes another one if the bytes differ`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder.appending(path: "1.dcm").path
            var request = try segmentRequest([try #require(colonoscopy.first)], folder: folder.path, outputs: [path])
            func write() async throws -> SegmentOutcome.Output? {
                guard case .segmented(let outcome) = try await ask("segment", .segment(request: request)) else {
                    return nil
                }
                return outcome.outputs.first
            }
            let first = try #require(try await write())
            var otherwise = request.outputs[0].description
            otherwise.sopInstanceUID = "2.25.3"
            for (sha256, uid) in [(first.sha256, "2.25.1"), (String(repeating: "0", count: 64), "2.25.3")] {
                request.outputs[0].repetition = .init(sha256: sha256, otherwise: otherwise)
                let output = try #require(try await write())
                #expect(output.sopInstanceUID == uid)
                #expect(try InstanceFile(path: path).header.sopInstanceUID == uid)
            }
        }
    }

    @Test func `writes the report that names the UID of the SEG, and without a finding a report alone`() async throws {
        try await withTemporaryFolder { folder in
            let paths = (1...3).map { folder.appending(path: "\($0).dcm").path }
            func written(_ file: String, sha256: String?) async throws -> [String: String] {
                var request = try segmentRequest([file], folder: folder.path, outputs: [paths[0]])
                let first = request.outputs[0].description
                var otherwise = first
                otherwise.sopInstanceUID = "2.25.3"
                request.outputs[0].repetition = sha256.map { .init(sha256: $0, otherwise: otherwise) }
                for (path, segmentation) in [(paths[1], first), (paths[2], otherwise)] {
                    let report = ObjectDescription(
                        sopInstanceUID: segmentation.sopInstanceUID + ".1", seriesInstanceUID: "2.25.4",
                        created: first.created, kind: .report(.strict), type: .binary,
                        segmentation: segmentation.reference(inStudy: "1.2"), segmenter: first.segmenter,
                        softwareVersion: "0")
                    request.outputs.append(.init(path: path, description: report))
                }
                guard case .segmented(let outcome) = try await ask("segment", .segment(request: request)) else {
                    return [:]
                }
                return Dictionary(uniqueKeysWithValues: outcome.outputs.map { ($0.path, $0.sopInstanceUID) })
            }
            let found = try #require(colonoscopy.first)
            let other = try await written(found, sha256: String(repeating: "0", count: 64))
            #expect(other == [paths[0]: "2.25.3", paths[2]: "2.25.3.1"])
            let report = try MeasurementReportReader(path: paths[2])
            #expect(report.groups.count == 2 && report.groups[1].segmentationUID == "2.25.3")
            let nothing = try #require(Self.samples("colonoscopy").first { $0.contains("no-polyp") })
            #expect(try await written(nothing, sha256: "0") == [paths[1]: "2.25.1.1"])
            #expect(try MeasurementReportReader(path: paths[1]).groups.map(\.isPresent) == [false])
        }
    }

    @Test func `compares the images of two files`() async throws {
        let files = Self.samples("lge")
        func compared(_ path: String, _ otherPath: String) async throws -> WorkResponse {
            try await ask("index", .compare(request: CompareRequest(path: path, otherPath: otherPath)))
        }
        #expect(try await compared(files[0], files[0]) == .compared(isSameImage: true))
        #expect(try await compared(files[0], files[1]) == .compared(isSameImage: false))
        guard case .failed = try await compared(files[0], "/nowhere") else {
            Issue.record("compared")
            return
        }
    }

    @Test func `refuses a recipe or weights that this executable does not have`() async throws {
        var request = try segmentRequest(colonoscopy, folder: "/tmp", outputs: [])
        request.segmenter.weightsHash = String(repeating: "0", count: 64)
        guard case .failed(let reason) = try await ask("segment", .segment(request: request)) else {
            Issue.record("answered")
            return
        }
        #expect(reason.contains("is not here") && reason.contains("send the images again"))
    }

    @Test func `a volume with a missing slice is unfit`() async throws {
        var files = Self.samples("lge")
        try #require(files.count > 6)
        files.remove(at: 5)
        let request = try segmentRequest(files, folder: "/tmp", outputs: [], segmenter: "left-atrium-compact")
        guard case .unfit(let reason) = try await ask("segment", .segment(request: request)) else {
            Issue.record("taken")
            return
        }
        #expect(reason.contains("missing"))
    }

    @Test func `a source that cannot be opened hinders, and can be tried again`() async throws {
        let request = try segmentRequest(["/nowhere.dcm"], folder: "/tmp", outputs: [])
        guard case .hindered = try await ask("segment", .segment(request: request)) else {
            Issue.record("answered otherwise")
            return
        }
    }

    @Test func `pictures are masks afterwards, all of the same worker, and a damaged one fails alone`() async throws {
        try await withTemporaryFolder { folder in
            let samples = (0..<90 * 70 * 3).map { UInt8(truncatingIfNeeded: $0 * 31 / 7) }
            let picture = Picture(rows: 90, columns: 70, channels: 3, samples: samples).png()
            try picture.write(to: folder.appending(path: "whole.png"))
            try picture.prefix(picture.count / 2).write(to: folder.appending(path: "half.png"))
            let lines = try ["half.png", "whole.png"].map { name in
                var request = try segmentRequest([folder.appending(path: name).path], folder: "/", outputs: [])
                request.form = .pictures
                request.maskFolder = folder.appending(path: "masks").path
                return try WorkMessage.line(.segment(request: request))
            }
            let (responses, _) = try await WorkerChild.run("segment") { child in
                lines.map { line in
                    child.send(line)
                    return child.response()
                }
            }
            guard case .failed(let reason) = responses[0], case .segmented(let outcome) = responses[1] else {
                Issue.record("answered otherwise: \(responses)")
                return
            }
            #expect(reason.hasPrefix("could not decode the PNG picture"))
            #expect(outcome.frames == 1 && outcome.outputs.isEmpty)
            #expect(outcome.frameMeasures["viewAgreement"]?.count == 1)
            let mask = try Picture(
                path: folder.appending(path: "masks/\(try #require(outcome.masks.first))").path)
            #expect(mask.rows == 90 && mask.columns == 70)
            #expect(Set(mask.samples).isSubset(of: [0, 255]))
        }
    }

    @Test func `names weights that were removed meanwhile, and what to do`() async throws {
        let entry = try Segmenters.entry("medsam-slices")
        var request = try segmentRequest(Self.samples("lge"), folder: "/tmp", outputs: [])
        request.segmenter = entry.template
        request.segmenter.weightsHash = String(repeating: "0", count: 64)
        request.weights = WeightFile(
            name: "medsam_vit_b", path: "/nowhere/medsam_vit_b.safetensors", sha256: request.segmenter.weightsHash,
            bytes: 1)
        guard case .failed(let reason) = try await ask("segment", .segment(request: request)) else {
            Issue.record("answered otherwise")
            return
        }
        #expect(reason.contains("medsam_vit_b are not installed any more"))
        #expect(reason.contains("kontur models add"))
    }

    @Test func `refuses a file that is not the requested weights`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder.appending(path: "a.safetensors").path
            try Data("no weights".utf8).write(to: URL(fileURLWithPath: path))
            let entry = try Segmenters.entry("medsam-slices")
            var request = try segmentRequest(Self.samples("lge"), folder: "/tmp", outputs: [])
            request.segmenter = entry.template
            request.segmenter.weightsHash = String(repeating: "0", count: 64)
            request.weights = WeightFile(name: "a", path: path, sha256: request.segmenter.weightsHash, bytes: 10)
            guard case .failed = try await ask("segment", .segment(request: request)) else {
                Issue.record("answered otherwise")
                return
            }
        }
    }

    private func segmentRequest(
        _ files: [String], folder: String, outputs: [String], segmenter: String = "polyp-compact"
    ) throws -> SegmentRequest {
        let descriptor = try Segmenters.entry(segmenter).template
        return SegmentRequest(
            run: "run", folder: "/",
            sources: files.map { .init(path: String($0.dropFirst()), sopInstanceUID: "1.2", frameNumbers: nil) },
            segmenter: descriptor,
            outputs: outputs.map { path in
                .init(
                    path: path,
                    description: ObjectDescription(
                        sopInstanceUID: "2.25.1", seriesInstanceUID: "2.25.2", created: 1_700_000_000,
                        kind: .segmentation(.strict), type: .binary,
                        segmenter: descriptor, softwareVersion: "0"))
            })
    }
}
