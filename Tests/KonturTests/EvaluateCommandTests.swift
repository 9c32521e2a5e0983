// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// `kontur evaluate` on the drawn samples: small, and of no medical meaning.
@Suite(.serialized) struct EvaluateCommandTests {
    /// A table of two frames with their masks, and of one in which nothing is.
    static func table(in folder: URL) throws -> String {
        let samples = Checkout.root.appending(path: "samples-dicom")
        func frame(_ name: String) -> String { samples.appending(path: "colonoscopy/\(name).dcm").path }
        func mask(_ name: String) -> String { samples.appending(path: "truth/\(name).png").path }
        let file = folder.appending(path: "cases.csv")
        let text = """
            image,mask,group
            \(frame("frame-1-jpeg")),\(mask("frame-1-jpeg")),a
            \(frame("frame-2-rgb")),\(mask("frame-2-rgb")),b
            \(frame("frame-3-jpeg-no-polyp")),,b

            """
        try Data(text.utf8).write(to: file)
        return file.path
    }

    struct Summary: Decodable {
        struct Segmenter: Decodable {
            struct Score: Decodable {
                struct Estimate: Decodable {
                    let mean: Double
                    let count: Int
                }

                let name: String
                let estimate: Estimate
            }

            let name: String
            let cases: Int
            let emptyCases: Int
            let peakMemory: Int?
            let scores: [Score]
        }

        let frames: Int
        let segmenters: [Segmenter]
    }

    @Test func `measures a table of frames, and does nothing twice`() async throws {
        try await withTemporaryFolder { folder in
            let table = try Self.table(in: folder)
            let output = folder.appending(path: "out")
            let arguments = ["evaluate", table, "--output", output.path, "--title", "<drawn> samples"]
            let first = try await runExternal(Executables.kontur, arguments, within: 120)
            #expect(first.status == 0, "\(first.errors)")
            #expect(first.output.contains("polyp-compact") && first.output.contains("not a medical device"))
            let summary = try JSONDecoder().decode(
                Summary.self, from: Data(contentsOf: output.appending(path: "summary.json")))
            #expect(summary.frames == 3)
            #expect(
                summary.segmenters.map(\.name).sorted() == [
                    "medsam-compact-box", "medsam2-compact-frames", "polyp-compact",
                ])
            for segmenter in summary.segmenters {
                #expect(segmenter.cases == 3 && segmenter.emptyCases == 1)
                #expect((segmenter.peakMemory ?? 0) > 1 << 20)
                let dice = try #require(segmenter.scores.first { $0.name == "dice" })
                #expect(dice.estimate.count == 3 && (0...1).contains(dice.estimate.mean))
            }
            let page = try String(contentsOf: output.appending(path: "report.html"), encoding: .utf8)
            #expect(page.contains("Pilot report: &lt;drawn&gt; samples") && !page.contains("<drawn>"))
            #expect(!page.contains("src=\"http") && !page.contains("href="))

            let log = output.appending(path: "results.jsonl")
            let results = try Data(contentsOf: log)
            #expect(results.split(separator: UInt8(ascii: "\n")).count == 9)
            let second = try await runExternal(Executables.kontur, arguments, within: 120)
            #expect(second.status == 0)
            #expect(try Data(contentsOf: log) == results)
        }
    }

    @Test func `says what is wrong with data that cannot be used`() async throws {
        try await withTemporaryFolder { folder in
            let out = folder.appending(path: "out").path
            func errors(_ path: String) async throws -> String {
                let result = try await runExternal(
                    Executables.kontur, ["evaluate", path, "--output", out], within: 60)
                #expect(result.status == 1)
                return result.errors
            }
            let nothing = folder.appending(path: "nothing")
            #expect(try await errors(nothing.path).contains("there is no such file or folder"))
            try FileManager.default.createDirectory(at: nothing, withIntermediateDirectories: true)
            #expect(try await errors(nothing.path).contains("does not contain a labelled case"))
            let table = folder.appending(path: "cases.csv")
            try Data("picture,mask\n".utf8).write(to: table)
            #expect(
                try await errors(table.path).contains("cases.csv:1: the first row must name the columns image and mask")
            )
        }
    }
}
