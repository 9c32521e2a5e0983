// SPDX-License-Identifier: Apache-2.0

import Foundation
import Segmentation
import Supervision
import TestSupport
import Testing

/// A number of a file may have any value: the answer is a result or an error, and never the death of a process.
@Suite(
    .serialized, .enabled(if: WorkerChild.isThere, "needs the built kontur: set KONTUR_EXECUTABLE"),
    .timeLimit(.minutes(3)))
struct ExtremeNumbersTests {
    /// The images of one row, in a folder of their own.
    private struct Images {
        let row: ExtremeNumber
        let paths: [String]
    }

    /// Each so many-th stack that decodes goes through a network: one goes in milliseconds, a thousand in a minute.
    ///
    /// `KONTUR_LONG=1` segments all.
    private static let step = ProcessInfo.processInfo.environment["KONTUR_LONG"] == "1" ? 1 : 32

    @Test func `no number of a file can trap, from the header to the SEG`() async throws {
        try await withTemporaryFolder { folder in
            let all = try Self.write(ExtremeNumber.all, to: folder)
            let index = try await WorkerChild.answers(
                "index", all.map { .index(request: IndexRequest(path: $0.paths[0])) })
            let pixels = try await WorkerChild.answers(
                "index", all.map { .compare(request: CompareRequest(path: $0.paths[0], otherPath: $0.paths[0])) })
            var readable: [Images] = []
            var isDecoded: Set<String> = []
            for (place, images) in all.enumerated() {
                #expect(index[place] != nil, "index: \(images.row)")
                #expect(pixels[place] != nil, "pixels: \(images.row)")
                if case .indexed? = index[place] { readable.append(images) }
                if case .compared? = pixels[place] { isDecoded.insert(images.paths[0]) }
            }
            // Both ways are walked: some of the numbers are refused, and some are taken.
            #expect(readable.count > 500 && readable.count < all.count)
            #expect(isDecoded.count > 300 && isDecoded.count < readable.count)

            for images in try await Self.trapped(readable) { Issue.record("stacks and plans: \(images.row)") }
            for (name, kinds) in [
                ("left-atrium-compact", [PlainImage.Kind.slice, .tableSlice]), ("polyp-compact", [.colour, .palette]),
            ] {
                let all = readable.enumerated().filter { kinds.contains($0.element.row.kind) }
                let stacks = all.filter { !isDecoded.contains($0.element.paths[0]) || $0.offset % Self.step == 0 }
                    .map(\.element)
                let requests = try stacks.map { try Self.segment($0.paths, with: name, folder: folder.path) }
                for (stack, answer) in zip(stacks, try await WorkerChild.answers("segment", requests)) {
                    #expect(answer != nil, "\(name): \(stack.row)")
                }
            }
        }
    }

    @Test func `the table holds every numeric attribute that the code reads from received files`() throws {
        let known = Set(NumericAttribute.all.map(\.name))
        let sources = Checkout.root.appending(path: "Sources")
        let files = try FileManager.default.subpathsOfDirectory(atPath: sources.path).filter {
            // The readers of Kontur's own objects read files that Kontur wrote a moment ago.
            $0.hasSuffix(".swift") && !($0.contains("DICOM/Derived/") && $0.hasSuffix("Reader.swift"))
        }
        var found: Set<String> = []
        for file in files {
            let text = try String(contentsOf: sources.appending(path: file), encoding: .utf8)
            for match in text.matches(of: #/(?:integers?|doubles?|short|numbers)\(\.(\w+)(?:, (?:in|of):|\))/#) {
                found.insert(String(match.1))
            }
        }
        #expect(found.count > 15)
        #expect(found.subtracting(known) == [])
    }

    private static func write(_ rows: [ExtremeNumber], to folder: URL) throws -> [Images] {
        try rows.enumerated().map { place, row in
            let own = folder.appending(path: "\(place)")
            try FileManager.default.createDirectory(at: own, withIntermediateDirectories: true)
            // The first and the last slice are extreme, the one between them is not.
            let isSlice = row.kind == .slice || row.kind == .tableSlice
            let paths = try (1...(isSlice ? 3 : 1)).map { number in
                let series = "1.2.\(place + 1)"
                let image =
                    number == 2
                    ? PlainImage(row.kind, series: series, number: number) : row.image(series: series, number: number)
                let url = own.appending(path: "\(number).dcm")
                try Data(image.bytes).write(to: url)
                return url.path
            }
            return Images(row: row, paths: paths)
        }
    }

    /// The rows whose stacks or plans end `kontur route explain`, found by halving.
    private static func trapped(_ rows: [Images]) async throws -> [Images] {
        guard !rows.isEmpty else { return [] }
        let folders = rows.map { URL(fileURLWithPath: $0.paths[0]).deletingLastPathComponent().path }
        let result = try await runExternal(Executables.kontur, ["route", "explain"] + folders, within: 60)
        if result.status < 124 { return [] }
        if rows.count == 1 { return rows }
        return try await trapped(Array(rows[..<(rows.count / 2)])) + trapped(Array(rows[(rows.count / 2)...]))
    }

    private static func segment(_ paths: [String], with name: String, folder: String) throws -> WorkRequest {
        let descriptor = try Segmenters.entry(name).template
        var request = SegmentRequest(
            run: "run", folder: "/",
            sources: paths.map { .init(path: String($0.dropFirst()), sopInstanceUID: "1.2", frameNumbers: nil) },
            segmenter: descriptor,
            outputs: [
                .init(
                    path: folder + "/seg.dcm",
                    description: .init(
                        sopInstanceUID: "2.25.1", seriesInstanceUID: "2.25.2", created: 1_700_000_000,
                        kind: .segmentation(.strict), type: .binary,
                        segmenter: descriptor, softwareVersion: "0"))
            ])
        let segmentation = request.outputs[0].description
        request.outputs.append(
            .init(
                path: folder + "/report.dcm",
                description: .init(
                    sopInstanceUID: "2.25.3", seriesInstanceUID: "2.25.4", created: 1_700_000_000,
                    kind: .report(.strict), type: .binary, segmentation: segmentation.reference(inStudy: "1.2"),
                    segmenter: descriptor, softwareVersion: "0")))
        request.outputs.append(
            .init(
                path: folder + "/pictures.dcm",
                description: .init(
                    sopInstanceUID: "2.25.5", seriesInstanceUID: "2.25.6", created: 1_700_000_000, kind: .pictures,
                    type: .binary, segmenter: descriptor, softwareVersion: "0")))
        request.gaps = .mark
        return .segment(request: request)
    }
}
