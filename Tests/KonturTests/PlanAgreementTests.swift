// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Persistence
import Platform
import TestSupport
import Testing

/// The node, `kontur segment` and `kontur route explain` make the same plan for each stack of the sample studies.
@Suite(.serialized, .timeLimit(.minutes(5))) struct PlanAgreementTests {
    /// A plan as each of the three prints it.
    struct Plan: Hashable, CustomStringConvertible {
        var series: String
        /// `routed`, `unmatched`, `undetermined` or `unfit`.
        var outcome: String
        var route: String?
        var segmenter: String?
        /// Instances that the segmenter gets.
        var instances: Int?
        var reason: String?

        var description: String {
            [series, outcome, route ?? "-", segmenter ?? "-", instances.map(String.init) ?? "-", reason ?? "-"]
                .joined(separator: " ")
        }
    }

    static let studies = ["lge", "colonoscopy", "unrouted"]

    @Test(arguments: [
        // Routed, routed, unmatched.
        """
          - {name: colonoscopy, when: {modality: ES}, segmenter: polyp-compact, sendTo: []}
          - name: left-atrium
            when: {modality: MR, numberOfInstances: {min: 20}, seriesDescription: {matches: "(?i)LGE"}}
            segmenter: left-atrium-compact
            sendTo: []
        """,
        // Unmatched, unfit, undetermined.
        """
          - {name: volumes, when: {modality: ES}, segmenter: left-atrium-compact, sendTo: []}
          - {name: chest, when: {modality: CT, mrAcquisitionType: 3D}, segmenter: left-atrium-compact, sendTo: []}
        """,
    ])
    func `node, segment and explain give the same plan`(_ routes: String) async throws {
        try await withTemporaryFolder { folder in
            let file = folder.appending(path: "kontur.yaml")
            let yaml = """
                node: {port: 0, bind: 127.0.0.1}
                spool: {path: spool, minimumFree: 1MiB, maxInstance: 1MiB}
                series: {quietSeconds: 1}
                routes:
                \(routes)
                """
            try Data(yaml.utf8).write(to: file)
            let explained = try await Self.explained(file.path)
            let segmented = try await Self.segmented(file.path, into: folder.appending(path: "out").path)
            let studies = try await DedicatedThread.run(name: "test-commit") {
                try Self.commit(into: folder.appending(path: "spool").path)
            }
            // A busy machine may need several runs: a node continues the work of its predecessor.
            var decided: Set<Plan> = []
            for _ in 0..<5 where decided.count < explained.count {
                decided = try await Self.decided(file.path, studies)
            }
            #expect(explained == segmented)
            #expect(explained == decided)
            #expect(Set(explained.map(\.series)).count >= Self.studies.count)
            #expect(Set(explained.map(\.outcome)).count >= 2)
        }
    }

    private static func json(_ arguments: [String], status: Set<Int> = [0]) async throws -> [String: Any] {
        let result = try await runExternal(Executables.kontur, arguments + ["--json"], within: 120)
        #expect(status.contains(result.status), "\(result.tail)")
        return try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    }

    private static var paths: [String] { studies.map { Checkout.samples.appending(path: $0).path } }

    private static func explained(_ configuration: String) async throws -> Set<Plan> {
        let report = try await json(["route", "explain", "--config", configuration] + paths)
        let stacks = try #require(report["stacks"] as? [[String: Any]])
        return Set(
            try stacks.map { stack in
                let decision = try #require(stack["decision"] as? [String: Any])
                let outcome = try #require(decision["outcome"] as? [String: Any])
                let unfit = stack["unfit"] as? String
                let kind = unfit != nil ? "unfit" : try #require(outcome.keys.first)
                return Plan(
                    series: try #require(stack["seriesInstanceUID"] as? String), outcome: kind,
                    route: stack["route"] as? String, segmenter: stack["segmenter"] as? String,
                    instances: stack["sources"] as? Int, reason: unfit)
            })
    }

    private static func segmented(_ configuration: String, into folder: String) async throws -> Set<Plan> {
        let report = try await json(
            ["segment", "--config", configuration, "--output", folder] + paths, status: [0, 1])
        let stacks = try #require(report["stacks"] as? [[String: Any]])
        return Set(
            try stacks.map { stack in
                let outcome = try #require(stack["outcome"] as? String)
                let isRouted = ["segmented", "nothingFound"].contains(outcome)
                return Plan(
                    series: try #require(stack["seriesInstanceUID"] as? String),
                    outcome: isRouted ? "routed" : outcome, route: stack["route"] as? String,
                    segmenter: stack["segmenter"] as? String, instances: isRouted ? stack["instances"] as? Int : nil,
                    reason: outcome == "unfit" ? stack["reason"] as? String : nil)
            })
    }

    /// The decisions of a node that runs for a few seconds.
    private static func decided(_ configuration: String, _ studies: Set<String>) async throws -> Set<Plan> {
        let node = try await runExternal(
            "/usr/bin/timeout",
            ["--preserve-status", "-s", "TERM", "8", Executables.kontur, "serve", "--config", configuration],
            within: 60)
        #expect(node.status == 0, "\(node.tail)")
        var plans: Set<Plan> = []
        for study in studies {
            let result = try await runExternal(
                Executables.kontur, ["jobs", "show", study, "--config", configuration, "--json"], within: 60)
            // The node has not indexed the study yet.
            guard result.status == 0 else { continue }
            let report = try #require(
                try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
            for series in try #require(report["series"] as? [[String: Any]]) {
                for entry in try #require(series["stacks"] as? [[String: Any]]) {
                    let stack = try #require(entry["stack"] as? [String: Any])
                    let state = try #require(stack["state"] as? String)
                    plans.insert(
                        Plan(
                            series: try #require(series["seriesInstanceUID"] as? String), outcome: state,
                            route: stack["route"] as? String, segmenter: stack["segmenter"] as? String,
                            instances: state == "routed" ? stack["instances"] as? Int : nil,
                            reason: state == "unfit" ? stack["why"] as? String : nil))
                }
            }
        }
        return plans
    }

    /// Puts the sample files into a spool as a listener would.
    ///
    /// - Returns: the Study Instance UIDs.
    private static func commit(into path: String) throws -> Set<String> {
        let journal = try Journal(
            spool: Spool(SpoolConfiguration(path: path, minimumFree: 0), access: .node(name: "TEST")))
        let association = AssociationFacts(
            id: UUID(), callingAETitle: "ENDO1", calledAETitle: "KONTUR", address: "127.0.0.1", peer: "scope")
        var known: Set<String> = []
        for study in studies {
            let folder = Checkout.samples.appending(path: study)
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            where name.hasSuffix(".dcm") {
                let source = folder.appending(path: name)
                let header = try InstanceFile(path: source.path).header
                let file = try journal.spool.incomingFile(now: Date())
                try Data(contentsOf: source).withUnsafeBytes { try file.writeHeader($0) }
                _ = try journal.commit(
                    file,
                    IncomingInstance(
                        sopClassUID: header.sopClassUID, sopInstanceUID: header.sopInstanceUID,
                        transferSyntaxUID: header.transferSyntaxUID, association: association))
                known.insert(header.studyInstanceUID)
            }
        }
        return known
    }
}
