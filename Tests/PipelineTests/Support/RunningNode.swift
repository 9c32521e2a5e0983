// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Imaging
import Logging
import Persistence
import Pipeline
import Platform
import Routing
import Supervision
import TestSupport

extension SenderPool {
    /// The processes that send for the tests.
    static let tests = SenderPool(executable: Executables.kontur)
}

/// Whole nodes in this process, with real workers or stand-ins for them.
struct NodeFolder: Sendable {
    let folder: URL

    /// The built `kontur`, without which nothing can be indexed.
    static let hasKontur = FileManager.default.isExecutableFile(atPath: Executables.kontur)

    static func with<Result>(_ body: (NodeFolder) async throws -> Result) async throws -> Result {
        try await withTemporaryFolder { try await body(NodeFolder(folder: $0)) }
    }

    /// An executable that does what `kontur` does, but answers every segment request by running `python`, which finds
    /// the request in `request` and a function `answer(response)`.
    func standIn(_ python: String) throws -> String {
        let path = folder.appending(path: "worker-\(UUID().uuidString)").path
        let indented = python.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }
            .joined(separator: "\n")
        let script = """
            #!/bin/sh
            if [ "$1" != worker ] || [ "$3" = index ]; then exec \(Executables.kontur) "$@"; fi
            exec python3 "$0.py"
            """
        let body = """
            import hashlib, json, os, signal, struct, sys, time
            def element(group, number, vr, value):
                if len(value) % 2: value += b"\\0"
                length = struct.pack("<HI", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
                return struct.pack("<HH", group, number) + vr + length + value
            def part10(uid):
                sop_class, explicit = b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.1.2.1"
                meta = (element(2, 1, b"OB", b"\\0\\1") + element(2, 2, b"UI", sop_class)
                    + element(2, 3, b"UI", uid) + element(2, 16, b"UI", explicit))
                return (bytes(128) + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta
                    + element(8, 22, b"UI", sop_class) + element(8, 24, b"UI", uid))
            def answer(response):
                print(json.dumps({"response": {"_0": response}}), flush=True)
            def found(request):
                outputs = []
                for output in request["outputs"]:
                    text = part10(output["description"]["sopInstanceUID"].encode())
                    open(output["path"], "wb").write(text)
                    outputs.append({"path": output["path"], "sha256": hashlib.sha256(text).hexdigest(),
                        "bytes": len(text), "sopInstanceUID": output["description"]["sopInstanceUID"],
                        "seriesInstanceUID": output["description"]["seriesInstanceUID"], "frames": 1})
                answer({"segmented": {"outcome": {"frames": 1, "foundFrames": [0],
                    "confidence": {"value": 0.5, "measures": {}}, "frameConfidence": [0.5], "outputs": outputs,
                    "leftOut": 0, "frameMeasures": {}, "overlays": [], "masks": [], "notes": [], "isReused": False}}})
            for line in sys.stdin:
                request = json.loads(line)["segment"]["request"]
                folder = "\(folder.path)"
            \(indented)
            """
        try script.write(toFile: path, atomically: true, encoding: .utf8)
        try body.write(toFile: path + ".py", atomically: true, encoding: .utf8)
        chmod(path, 0o700)
        return path
    }

    /// A node that takes images from `ENDO1`, gives endoscopy of any kind and MR to `segmenters`, and sends to `archive`.
    func node(
        _ name: String = "node", archive: UInt16? = nil, quietSeconds: Int = 1, executable: String? = nil,
        segmenters: [SegmenterDescriptor] = [.stub], routes: [Route]? = nil, clock: NodeClock = .system
    ) async throws -> Node {
        guard let title = AETitle("KONTUR"), let scope = AETitle("ENDO1"), let loopback = AddressBlock("127.0.0.0/8"),
            let archiveTitle = AETitle("ARCHIVE"), let bind = IPAddress("127.0.0.1")
        else { preconditionFailure("constants") }
        var peers = [Peer(name: "scope", aeTitle: scope, from: [loopback])]
        peers.append(
            Peer(
                name: "archive", aeTitle: archiveTitle, host: archive.map { _ in "127.0.0.1" }, port: archive,
                from: [loopback]))
        let settings = NodeSettings(
            listener: ListenerConfiguration(aeTitle: title, port: 0, bind: bind, peers: peers),
            spool: SpoolConfiguration(path: folder.appending(path: name).path, minimumFree: 0),
            series: SeriesConfiguration(waiting: .init(quietSeconds: quietSeconds)),
            planner: StackPlanner(
                targets: try (routes ?? [.everything]).map { route in
                    StackPlanner.Target(
                        route,
                        segmenter: segmenters.first { $0.name == route.segmenter }.map { .success(.init($0)) }
                            ?? .failure(UnavailableSegmenter("no segmenter is named \(route.segmenter)")))
                }, maximumInstances: WorkMessage.sourceLimit),
            configuration: Data("test".utf8),
            configurationHash: "c0ffee",
            softwareVersion: "0", executable: executable ?? Executables.kontur)
        return try await Node.start(settings, clock: clock, logger: .silent)
    }

    /// Another node that plays the archive: it is called `ARCHIVE`, takes from us, and routes nothing.
    func archive() async throws -> Node {
        guard let us = AETitle("KONTUR"), let title = AETitle("ARCHIVE"), let bind = IPAddress("127.0.0.1"),
            let loopback = AddressBlock("127.0.0.0/8")
        else { preconditionFailure("constants") }
        return try await Node.start(
            NodeSettings(
                listener: ListenerConfiguration(
                    aeTitle: title, port: 0, bind: bind, peers: [Peer(name: "node", aeTitle: us, from: [loopback])]),
                spool: SpoolConfiguration(path: folder.appending(path: "archive").path, minimumFree: 0),
                series: SeriesConfiguration(),
                planner: StackPlanner(targets: [], maximumInstances: 0), configuration: Data(),
                configurationHash: "", softwareVersion: "0", executable: Executables.kontur),
            logger: .silent)
    }

    /// Runs nodes beside `body`; they are cancelled when it ends, however it ends.
    static func running<Result: Sendable>(
        _ nodes: [Node], _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in nodes { group.addTask { try await node.run() } }
            do {
                let result = try await body()
                group.cancelAll()
                while let end = await group.nextResult() { _ = end }
                return result
            } catch {
                group.cancelAll()
                while let end = await group.nextResult() { _ = end }
                throw error
            }
        }
    }

    /// The committed sample files of one study.
    static func samples(_ study: String) throws -> [String] {
        let folder = Checkout.samples.appending(path: study)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".dcm") }.sorted()
            .map { folder.appending(path: $0).path }
    }

    /// Stores files at a node, as a peer would.
    ///
    /// - Parameters:
    ///   - files: what to store, in this order.
    ///   - port: the node's port.
    ///   - calling: the peer's AE title.
    ///   - like: files whose SOP classes and transfer syntaxes are proposed, if `files` are not instances themselves.
    /// - Throws: `SendFailure` for a status other than success, or the error of the association.
    static func send(
        _ files: [String], to port: UInt16, calling: String = "ENDO1", like: [String]? = nil
    ) async throws {
        guard let us = AETitle(calling), let them = AETitle("KONTUR") else { preconditionFailure("constants") }
        let peer = Peer(name: "node", aeTitle: them, host: "127.0.0.1", port: port)
        try await DedicatedThread.run(name: "test-send") {
            let contexts = try (like ?? files).map { path in
                let header = try InstanceFile(path: path).header
                return SOPClassAndSyntax(
                    sopClassUID: header.sopClassUID, transferSyntaxUID: header.transferSyntaxUID)
            }
            let association = try AssociationRequestor(aeTitle: us, senders: .tests).connect(
                to: peer, contexts: ContextProposal.storage(contexts))
            for file in files {
                let status = try association.store(path: file)
                guard status == .success else { throw SendFailure(status: status) }
            }
            association.release()
        }
    }

    struct SendFailure: Error { let status: DIMSEStatus }

    /// Polls until `condition` holds.
    ///
    /// - Returns: whether it did in time.
    static func eventually(
        within limit: Duration = .seconds(60), _ condition: @escaping @Sendable () throws -> Bool
    ) async throws -> Bool {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            if try await DedicatedThread.run(name: "test-look", condition) { return true }
            try await Task.sleep(for: .milliseconds(100))
        }
        return false
    }
}

extension NodeStatus {
    func count(_ counts: KeyPath<NodeStatus, [Count]>, _ state: String) -> Int {
        self[keyPath: counts].first { $0.state == state }?.count ?? 0
    }
}

extension Route {
    /// Takes endoscopy and MR, and sends to `archive`.
    fileprivate static var everything: Route {
        get throws {
            Route(
                name: "all",
                when: [try ConditionSet(.map([.init("modality", .list([.text("ES"), .text("MR")]))]))],
                segmenter: "stub", sendTo: ["archive"])
        }
    }
}
