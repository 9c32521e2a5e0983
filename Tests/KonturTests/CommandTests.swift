// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// The real executable: what it prints, and how it ends.
@Suite(.serialized) struct CommandTests {
    static func kontur(_ arguments: String...) async throws -> ExternalResult {
        try await runExternal(Executables.kontur, arguments, within: 60)
    }

    @Test func `help ends with 0 and says that this is no medical device`() async throws {
        let result = try await Self.kontur("--help")
        #expect(result.status == 0)
        #expect(result.output.contains("Research software, not a medical device"))
        for command in ["serve", "segment", "route", "status", "jobs", "audit", "models", "config"] {
            #expect(result.output.contains("  \(command) "), "\(command) is not listed")
        }
        #expect(!result.output.contains("worker"))
    }

    @Test func `the version is a number`() async throws {
        let result = try await Self.kontur("--version")
        #expect(result.status == 0)
        #expect(result.output.contains(/^\d+\.\d+\.\d+\n$/))
    }

    @Test(arguments: [
        ["frobnicate"], ["segment"], ["segment", "x"], ["serve", "--port"], ["audit", "verify", "--head"],
        ["segment", "x", "--output", "y", "--segmenter", "polyp-compct"],
        ["segment", "x", "--output", "y", "--segmenter", "polyp-compact", "--route", "a"],
        ["jobs", "retry"], ["worker", "--role", "sleep"],
    ])
    func `wrong usage ends with 64 and says why on standard error`(_ arguments: [String]) async throws {
        let result = try await runExternal(Executables.kontur, arguments, within: 60)
        #expect(result.status == 64)
        #expect(result.output.isEmpty)
        #expect(result.errors.hasPrefix("Error: "))
    }

    @Test func `a slip in a segmenter's name is recognised`() async throws {
        let result = try await Self.kontur("segment", "x", "--output", "y", "--segmenter", "polyp-compct")
        #expect(result.errors.contains("unknown segmenter 'polyp-compct'; did you mean 'polyp-compact'?"))
    }

    @Test func `a faulty configuration ends with 1, its errors with file and line`() async throws {
        try await withTemporaryFolder { folder in
            let file = folder.appending(path: "faulty.yaml").path
            try Data("node: {port: 99999}\nroute: []\n".utf8).write(to: URL(fileURLWithPath: file))
            for arguments in [["config", "check", file], ["serve", "--config", file], ["status", "--config", file]] {
                let result = try await runExternal(Executables.kontur, arguments, within: 60)
                #expect(result.status == 1)
                #expect(
                    result.errors == """
                        \(file):1:14: node.port: expected a port, 0 to 65535, found '99999'
                        \(file):2:1: route: unknown key; did you mean 'routes'?
                        2 errors in the configuration; nothing was started

                        """)
            }
        }
    }

    @Test func `a good configuration ends with 0 and says what it means`() async throws {
        let file = Checkout.root.appending(path: "kontur.example.yaml").path
        let text = try await Self.kontur("config", "check", file)
        #expect(text.status == 0)
        #expect(text.output.contains("no errors"))
        #expect(text.output.contains("colonoscopy"))
        let json = try await Self.kontur("config", "check", file, "--json")
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        #expect((object?["routes"] as? [Any])?.count == 2)
        #expect((object?["hash"] as? String)?.count == 64)
    }

    @Test func `the models are listed with their hashes`() async throws {
        let result = try await Self.kontur("models", "list", "--json")
        #expect(result.status == 0)
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        let models = try #require(object?["models"] as? [[String: Any]])
        #expect(Set(models.compactMap { $0["name"] as? String }) == ["polyp-compact", "left-atrium-compact"])
        #expect(models.allSatisfy { ($0["weightsHash"] as? String)?.count == 64 })
    }

    @Test func `files that cannot be read get a line each, and the command ends with 1`() async throws {
        try await withTemporaryFolder { folder in
            let study = folder.appending(path: "study")
            try FileManager.default.createDirectory(at: study, withIntermediateDirectories: true)
            try Data("this is no DICOM file".utf8).write(to: study.appending(path: "text.dcm"))
            try Data().write(to: study.appending(path: "empty.dcm"))
            try Data("what lies beside images".utf8).write(to: study.appending(path: "README"))
            let output = folder.appending(path: "out").path
            let result = try await Self.kontur(
                "segment", study.path, folder.appending(path: "missing").path, "--output", output, "--json")
            #expect(result.status == 1)
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            let files = try #require(object?["files"] as? [[String: Any]])
            #expect(files.count == 4)
            #expect(files.count { $0["outcome"] as? String == "quarantined" } == 3)
            #expect(files.count { $0["outcome"] as? String == "passedOver" } == 1)
            #expect(files.allSatisfy { ($0["reason"] as? String)?.isEmpty == false })
            #expect(result.errors.contains("3 files cannot be read"))
        }
    }
}
