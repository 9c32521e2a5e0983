// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Commands that need a spool or files, with the real executable.
@Suite(.serialized) struct NodeCommandTests {
    static func kontur(_ arguments: String...) async throws -> ExternalResult {
        try await runExternal(Executables.kontur, arguments, within: 120)
    }

    /// A configuration in `folder` whose node listens on a port that the kernel chooses.
    static func configuration(in folder: URL) throws -> String {
        let file = folder.appending(path: "kontur.yaml")
        let yaml = """
            node: {port: 0, bind: 127.0.0.1}
            peers: [{name: test, aeTitle: TEST, from: [127.0.0.1]}]
            spool: {path: spool, minimumFree: 1MiB, maxInstance: 1MiB}
            """
        try Data(yaml.utf8).write(to: file)
        return file.path
    }

    /// Runs a node for three seconds and ends it as an operator would.
    static func serve(_ configuration: String) async throws -> ExternalResult {
        try await runExternal(
            "/usr/bin/timeout",
            ["--preserve-status", "-s", "TERM", "3", Executables.kontur, "serve", "--config", configuration],
            within: 60)
    }

    @Test func `a node starts, says what it is, and ends with 0 when it is told to`() async throws {
        try await withTemporaryFolder { folder in
            let configuration = try Self.configuration(in: folder)
            let result = try await Self.serve(configuration)
            #expect(result.status == 0)
            #expect(result.output.isEmpty)
            #expect(result.errors.contains("Research software, not a medical device"))
            #expect(result.errors.contains(/node\.port=[1-9]\d*/))
            #expect(result.errors.contains("node stopped"))
            #expect(result.errors.split(separator: "\n").allSatisfy { $0.hasPrefix("time=") })
        }
    }

    @Test func `the spool of a stopped node answers status, jobs and audit`() async throws {
        try await withTemporaryFolder { folder in
            let configuration = try Self.configuration(in: folder)
            _ = try await Self.serve(configuration)
            let spool = folder.appending(path: "spool").path

            let status = try await Self.kontur("status", "--config", configuration)
            #expect(status.status == 0)
            #expect(status.output.contains("node: not running"))
            #expect(try await Self.kontur("jobs", "--spool", spool).output == "No jobs.\n")
            let retry = try await Self.kontur("jobs", "retry", "7", "--spool", spool)
            #expect(retry.status == 1)
            #expect(retry.errors.contains("job 7: the job does not exist"))
            #expect(try await Self.kontur("jobs", "show", "1.2.3", "--spool", spool).status == 1)

            let whole = try await Self.kontur("audit", "verify", "--spool", spool)
            #expect(whole.status == 0)
            let head = try #require(whole.output.firstMatch(of: /head ([0-9a-f]{64})/)).1
            #expect(try await Self.kontur("audit", "verify", "--spool", spool, "--head", String(head)).status == 0)
            let other = String(repeating: "0", count: 63) + "1"
            #expect(try await Self.kontur("audit", "verify", "--spool", spool, "--head", other).status == 1)
            let shown = try await Self.kontur("audit", "show", "--spool", spool, "--event", "nodeStarted", "--json")
            #expect(shown.output.contains("\"nodeStarted\""))
            #expect(!shown.output.contains("\"nodeStopped\""))
        }
    }

    @Test func `an exported trail is proven without its node, and one changed byte is found`() async throws {
        try await withTemporaryFolder { folder in
            let configuration = try Self.configuration(in: folder)
            _ = try await Self.serve(configuration)
            let file = folder.appending(path: "trail.jsonl")
            #expect(try await Self.kontur("audit", "export", "--config", configuration, "-o", file.path).status == 0)
            #expect(try await Self.kontur("audit", "verify", "--file", file.path).status == 0)
            let text = try String(contentsOf: file, encoding: .utf8)
            let changed = text.replacing("nodeStarted", with: "nodeStartec", maxReplacements: 1)
            try Data(changed.utf8).write(to: file)
            let result = try await Self.kontur("audit", "verify", "--file", file.path)
            #expect(result.status == 1)
            #expect(result.errors.contains("the audit trail is broken at record 1:"))
        }
    }

    @Test func `a spool that is not there is not made by looking for it`() async throws {
        try await withTemporaryFolder { folder in
            let spool = folder.appending(path: "mistyped").path
            let result = try await Self.kontur("status", "--spool", spool)
            #expect(result.status == 1)
            #expect(result.errors.contains("there is no spool at \(spool)"))
            #expect(!FileManager.default.fileExists(atPath: spool))
        }
    }

    @Test func `a sample study is segmented without a node, and again into the same folder`() async throws {
        try await withTemporaryFolder { folder in
            let output = folder.appending(path: "out")
            for _ in 0..<2 {
                let study = Checkout.samples.appending(path: "lge").path
                let result = try await Self.kontur("segment", study, "--output", output.path, "--json")
                #expect(result.status == 0, "\(result.tail)")
                let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
                let stacks = try #require(object?["stacks"] as? [[String: Any]])
                #expect(stacks.map { $0["outcome"] as? String } == ["segmented"])
                #expect(stacks.map { $0["route"] as? String } == ["left-atrium"])
                let path = try #require(stacks.first?["segmentation"] as? String)
                #expect(FileManager.default.fileExists(atPath: path))
                let overlays = try #require(stacks.first?["overlays"] as? [String])
                #expect(!overlays.isEmpty)
                #expect(overlays.allSatisfy { FileManager.default.fileExists(atPath: $0) })
                let names = try FileManager.default.contentsOfDirectory(atPath: output.path)
                #expect(names.sorted() == ["1-left-atrium-compact-overlays", "1-left-atrium-compact.dcm"])
            }
        }
    }

    @Test func `routing is explained, and nothing is segmented`() async throws {
        let study = Checkout.samples.appending(path: "unrouted").path
        let example = Checkout.root.appending(path: "kontur.example.yaml").path
        let result = try await Self.kontur("route", "explain", study, "--config", example)
        #expect(result.status == 0)
        #expect(result.output.contains("unmatched: no route takes it"))
        #expect(result.output.contains("modality: not matched: Modality is "))
    }
}
