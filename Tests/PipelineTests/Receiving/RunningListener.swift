// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Logging
import Persistence
import Pipeline
import Platform
import Synchronization
import TestSupport

/// A listener at work on a spool of its own.
struct RunningListener: Sendable {
    static let us = AETitle("KONTUR")!
    static let them = AETitle("ENDO1")!
    /// The second peer, if there are two.
    static let others = AETitle("ENDO2")!

    let port: UInt16
    let spool: Spool
    let journal: Journal
    let open: OpenAssociations

    /// Runs `body` beside a listener that knows `ENDO1` on this machine, and stops the listener.
    ///
    /// - Parameters:
    ///   - maxAssociations: most associations that may store at once.
    ///   - hasTwoPeers: whether `ENDO2` may call, too.
    ///   - may: what the peers may ask for.
    ///   - minimumFree: bytes that stay free on the disk.
    ///   - maxInstance: bytes of the largest instance.
    ///   - calls: what the spool does to the disk.
    ///   - body: runs beside the listener.
    /// - Returns: what `body` returned.
    /// - Throws: what `body` threw.
    static func with<Result: Sendable>(
        maxAssociations: Int = 8, hasTwoPeers: Bool = false, may: Set<Peer.Permission> = [.store, .echo],
        minimumFree: Int64 = 0,
        maxInstance: Int64 = 1 << 26, calls: DurableCalls = .real,
        _ body: @escaping @Sendable (RunningListener) async throws -> Result
    ) async throws -> Result {
        try await withTemporaryFolder { folder in
            let loopback = [AddressBlock("127.0.0.0/8")!]
            var peers = [Peer(name: "scope", aeTitle: them, from: loopback, may: may)]
            if hasTwoPeers { peers.append(Peer(name: "second", aeTitle: others, from: loopback, may: may)) }
            let configuration = ListenerConfiguration(
                aeTitle: us, port: 0, bind: IPAddress("127.0.0.1")!, maxAssociations: maxAssociations, peers: peers)
            let spoolConfiguration = SpoolConfiguration(
                path: folder.path, minimumFree: minimumFree, maxInstance: maxInstance)
            let (listener, running) = try await DedicatedThread.run(name: "test-open") {
                let spool = try Spool(spoolConfiguration, access: .node(name: "test"), calls: calls)
                let journal = try Journal(spool: spool)
                let open = OpenAssociations(configuration.places)
                var logger = Logger(label: "test")
                logger.logLevel = .critical
                let receivers = try ReceiverPool(
                    executable: Executables.kontur, limits: ReceiverLimits(most: configuration.places.threads),
                    logger: logger)
                let listener = try Listener(
                    configuration, spool: spool, journal: journal, open: open, receivers: receivers, logger: logger,
                    onReceived: {})
                return (listener, RunningListener(port: listener.port, spool: spool, journal: journal, open: open))
            }
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await listener.run() }
                let result = try await body(running)
                group.cancelAll()
                try await group.waitForAll()
                return result
            }
        }
    }

    /// The instances in the journal.
    func received() async throws -> [ReceivedInstance] {
        let journal = journal
        return try await DedicatedThread.run(name: "test-journal") { try journal.read { try $0.arrivals().instances } }
    }

    /// The SOP instances of the trail's records of reception, record by record.
    func records(_ event: AuditEvent.Name) async throws -> [AuditRecord] {
        let trail = AuditTrail(journal: journal)
        return try await DedicatedThread.run(name: "test-trail") {
            try trail.latest(1000, AuditTrail.Filter(event: event)).reversed()
        }
    }

    /// Every file under `instances/`.
    func files() throws -> [URL] {
        let root = URL(fileURLWithPath: spool.path).appending(path: "instances")
        let all = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)?.allObjects as? [URL] ?? []
        return all.filter { $0.pathExtension == "dcm" }
    }

    /// A client on this machine that has an association with CT Image Storage and Verification.
    func client() -> RawClient? {
        let client = RawClient(port: port)
        return client.associate(calling: Self.them, called: Self.us) ? client : nil
    }
}

/// Disk calls that fail when they are told to.
final class FailingDisk: Sendable {
    private let failing = Mutex<(call: String, code: Int32)?>(nil)

    /// From now on `call` fails with `code`; nil for none.
    func fail(_ call: String?, _ code: Int32 = 0) {
        failing.withLock { $0 = call.map { ($0, code) } }
    }

    private func check(_ call: String) throws(SystemCallError) {
        if let failure = failing.withLock({ $0 }), failure.call == call {
            throw SystemCallError(call: call, code: failure.code)
        }
    }

    var calls: DurableCalls {
        var calls = DurableCalls.real
        let real = DurableCalls.real
        calls.create = { path throws(SystemCallError) in
            try self.check("open")
            return try real.create(path)
        }
        calls.write = { descriptor, bytes throws(SystemCallError) in
            try self.check("write")
            try real.write(descriptor, bytes)
        }
        calls.syncFile = { descriptor, path throws(SystemCallError) in
            try self.check("fdatasync")
            try real.syncFile(descriptor, path)
        }
        calls.syncFolder = { path throws(SystemCallError) in
            try self.check("fsync")
            try real.syncFolder(path)
        }
        calls.commit = { body in
            try self.check("commit")
            try body()
        }
        calls.freeSpace = { path throws(SystemCallError) in
            try self.check("statvfs")
            return try real.freeSpace(path)
        }
        return calls
    }
}
