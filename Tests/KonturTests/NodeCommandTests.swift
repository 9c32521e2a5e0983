// SPDX-License-Identifier: Apache-2.0

import Foundation
import Persistence
import Platform
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

    /// The records that `audit show` lists, newest first.
    static func records(_ configuration: String) async throws -> [[String: Any]] {
        let shown = try await kontur("audit", "show", "--config", configuration, "--json")
        let object = try JSONSerialization.jsonObject(with: Data(shown.output.utf8)) as? [String: Any]
        return try #require(object?["records"] as? [[String: Any]])
    }

    @Test func `weights added and removed with a configuration are in the trail of its spool`() async throws {
        try await withTemporaryFolder { folder in
            let configuration = try Self.configuration(in: folder)
            let file = ModelsCommandTests.fixtures.appending(path: "sam_trained.pth").path
            for _ in 0..<2 {
                let added = try await Self.kontur("models", "add", file, "--name", "ours", "--config", configuration)
                #expect(added.status == 0, "\(added.errors)")
                #expect(added.output.contains("the audit trail of \(folder.path)/spool"))
            }
            let elsewhere = ["--config", configuration, "--models", folder.appending(path: "elsewhere").path]
            let other = try await runExternal(Executables.kontur, ["models", "add", file] + elsewhere, within: 60)
            #expect(other.status == 0 && !other.output.contains("audit trail"))
            #expect(try await Self.kontur("models", "remove", "ours", "--config", configuration).status == 0)
            let records = try await Self.records(configuration)
            #expect(records.map { $0["event"] as? String } == ["modelRemoved", "modelInstalled"])
            #expect(records.map { $0["number"] as? Int } == [2, 1])
            #expect(records.allSatisfy { $0["reason"] as? String == "ours" && $0["user"] is String })
            #expect(Set(records.map { ($0["weightsHash"] as? String)?.count }) == [64])
            let gone = try await Self.kontur("models", "remove", "ours", "--config", configuration)
            #expect(gone.status == 1)
            #expect(try await Self.records(configuration).count == 2)
        }
    }

    @Test func `an operator erases a patient's link, and drops a segment after its export`() async throws {
        try await withTemporaryFolder { folder in
            let configuration = try Self.configuration(in: folder)
            let spool = folder.appending(path: "spool").path
            try await DedicatedThread.run(name: "test-spool") { try Self.fill(spool) }
            let erased = try await Self.kontur("audit", "erase", "1.2.3", "--config", configuration)
            #expect(erased.status == 0, "\(erased.errors)")
            #expect(erased.output == "Study 1.2.3 is not linked to its patient any more.\n")
            let again = try await Self.kontur("audit", "erase", "1.2.3", "--config", configuration)
            #expect(again.status == 1 && again.errors.contains("study '1.2.3' is not linked to a patient"))
            #expect(try await Self.records(configuration).first?["event"] as? String == "subjectErased")

            let early = try await Self.kontur("audit", "drop", "2026-01", "--config", configuration)
            #expect(early.status == 1)
            #expect(early.errors.contains("the segment 2026-01 was not exported; run 'kontur audit export' first"))
            let file = folder.appending(path: "january.jsonl").path
            let month = ["--month", "2026-01", "--output", file, "--config", configuration]
            let exported = try await runExternal(Executables.kontur, ["audit", "export"] + month, within: 60)
            #expect(exported.status == 0, "\(exported.errors)")
            let dropped = try await Self.kontur("audit", "drop", "2026-01", "--config", configuration)
            #expect(dropped.output == "Segment 2026-01 dropped: 2 records.\n")
            let records = try await Self.records(configuration)
            #expect(
                records.map { $0["event"] as? String } == ["auditSegmentDropped", "auditExported", "subjectErased"])
            #expect(try await Self.kontur("audit", "verify", "--config", configuration).status == 0)
            #expect(try await Self.kontur("audit", "verify", "--file", file).status == 0)
            let unknown = try await Self.kontur("audit", "drop", "1999-01", "--config", configuration)
            #expect(unknown.status == 1 && unknown.errors.contains("does not hold a segment 1999-01"))
        }
    }

    /// Makes a spool with one indexed instance, received in January 2026.
    private static func fill(_ path: String) throws {
        let spool = try Spool(SpoolConfiguration(path: path, minimumFree: 0), access: .node(name: "TEST"))
        let date = Date(timeIntervalSince1970: 1_769_000_000)
        let journal = try Journal(spool: spool, now: { date })
        let file = try spool.incomingFile(now: date)
        try [UInt8](repeating: 1, count: 4).withUnsafeBytes { try file.append($0) }
        let association = AssociationFacts(
            id: UUID(), callingAETitle: "TEST", calledAETitle: "KONTUR", address: "127.0.0.1", peer: "test")
        let instance = IncomingInstance(
            sopClassUID: "1.2", sopInstanceUID: "1.2.3.4.5", transferSyntaxUID: "1.2.840.10008.1.2.1",
            association: association)
        let id = try journal.commit(file, instance).id
        let indexed = IndexedInstance(
            id: id, studyInstanceUID: "1.2.3", seriesInstanceUID: "1.2.3.4", modality: "MR", imageDigest: "d",
            patientID: "patient", header: Data("{}".utf8))
        _ = try journal.write { try $0.indexed([indexed], AuditEvent()) }
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

    @Test func `segment sets a series aside that names two patients, and segments the others`() async throws {
        try await withTemporaryFolder { folder in
            let input = folder.appending(path: "in")
            try FileManager.default.copyItem(at: Checkout.samples.appending(path: "lge"), to: input)
            let names = try FileManager.default.contentsOfDirectory(atPath: input.path).filter { $0.hasSuffix(".dcm") }
            let file = input.appending(path: try #require(names.min()))
            var data = try Data(contentsOf: file)
            let place = try #require(data.firstRange(of: Data("SYN-0002".utf8)))
            data.replaceSubrange(place, with: Data("SYN-0003".utf8))
            try data.write(to: file)
            let frame = Checkout.samples.appending(path: "colonoscopy").path
            let result = try await Self.kontur(
                "segment", input.path, frame, "--output", folder.appending(path: "out").path, "--json")
            #expect(result.status == 1)
            #expect(result.errors.contains("1 series set aside: its instances name two patients: PatientID differs"))
            #expect(!result.errors.contains("SYN-0002") && !result.errors.contains("SYN-0003"))
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            let stacks = try #require(object?["stacks"] as? [[String: Any]])
            #expect(stacks.first?["outcome"] as? String == "setAside")
            #expect(stacks.count > 1 && stacks.dropFirst().allSatisfy { $0["outcome"] as? String != "setAside" })
        }
    }

    @Test func `routing is explained, and nothing is segmented`() async throws {
        let study = Checkout.samples.appending(path: "unrouted").path
        let example = Checkout.root.appending(path: "kontur.example.yaml").path
        let result = try await Self.kontur("route", "explain", study, "--config", example)
        #expect(result.status == 0)
        #expect(result.output.contains("unmatched: no route matches"))
        #expect(result.output.contains("modality: not matched: Modality is "))
    }
}
