// SPDX-License-Identifier: Apache-2.0

import Associations
import DICOM
import Foundation
import Logging
import Platform
import Synchronization
import TestSupport

/// A node's side of receiving on a free port of this machine, with real receiver processes. It keeps data sets in memory.
final class ReceivingNode: Sendable {
    static let aeTitle = AETitle("KONTUR")!
    static let caller = AETitle("ENDO1")!
    /// The built `kontur`, whose `receiver` command the processes run.
    static let hasKontur = FileManager.default.isExecutableFile(atPath: Executables.kontur)

    private struct State {
        var received: [[UInt8]] = []
        var endings: [String] = []
        var receivers: [Int32] = []
    }

    let listener: ConnectionListener
    let pool: ReceiverPool
    private let state = Mutex(State())
    private let idleLimit: Duration

    private init(idleLimit: Duration, bounds: ConnectionBounds) throws {
        self.idleLimit = idleLimit
        listener = try ConnectionListener(bind: .anyIPv4, port: 0, bounds: bounds)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        pool = try ReceiverPool(
            executable: Executables.kontur, limits: ReceiverLimits(most: 64), logger: logger)
        DedicatedThread.start(name: "test-pool") { [pool] in pool.run() }
        DedicatedThread.start(name: "test-accept") { [self] in
            listener.run { arrival in
                DedicatedThread.start(name: "test-assoc") { self.serve(arrival) }
                return .taken
            }
        }
    }

    /// Runs `body` beside a node, and stops the node.
    static func with<Result>(
        idleLimit: Duration = .seconds(20), bounds: ConnectionBounds = ConnectionBounds(),
        _ body: (ReceivingNode) async throws -> Result
    ) async throws -> Result {
        let node = try ReceivingNode(idleLimit: idleLimit, bounds: bounds)
        defer {
            node.listener.stop()
            node.pool.stop()
        }
        return try await body(node)
    }

    var port: UInt16 { listener.port }

    /// A client that has an association with CT Image Storage and Verification.
    static func client(of port: UInt16) -> RawClient? {
        let client = RawClient(port: port)
        return client.associate(calling: caller, called: aeTitle) ? client : nil
    }

    /// The data sets that came, in order.
    var received: [[UInt8]] { state.withLock { $0.received } }
    /// The process that served each association, in order.
    var receivers: [Int32] { state.withLock { $0.receivers } }

    /// How the first association ended; waits for it.
    func ending() async throws -> String {
        for _ in 0..<400 {
            if let first = state.withLock({ $0.endings.first }) { return first }
            try await Task.sleep(for: .milliseconds(25))
        }
        return "not at all"
    }

    private func serve(_ arrival: AssociationArrival) {
        guard let receiver = pool.take(until: MonotonicClock.now() + .seconds(10)) else {
            return arrival.reject(.temporaryCongestion)
        }
        state.withLock { $0.receivers.append(receiver.processID) }
        let association = ReceivedAssociation(arrival, receiver: receiver, interruption: AssociationInterruption())
        var ending = "released"
        do throws(AssociationError) {
            try serve(association)
        } catch {
            ending = "\(error)"
        }
        association.close()
        pool.giveBack(receiver)
        state.withLock { $0.endings.append(ending) }
    }

    private func serve(_ association: ReceivedAssociation) throws(AssociationError) {
        let proposal = try association.proposal(within: .seconds(5))
        let peer = AETitle(proposal.calling) == Self.caller ? Peer(name: "caller", aeTitle: Self.caller) : nil
        switch Negotiation.answer(to: proposal, aeTitle: Self.aeTitle, peer: peer) {
        case .failure(let rejection): return try association.reject(rejection)
        case .success(let answers): try association.accept(answers, of: proposal)
        }
        while let request = try association.nextRequest(idleLimit: idleLimit) {
            guard case .store = request else {
                try association.answer(.unrecognizedOperation)
                continue
            }
            guard let file = Self.file() else { preconditionFailure("no file for a data set") }
            let dataSet = try association.take(into: file.number, limit: 1 << 20) { false }
            guard dataSet.code == 0, let bytes = Self.bytes(of: file, dataSet) else {
                try association.answer(.outOfResources)
                continue
            }
            state.withLock { $0.received.append(bytes) }
            try association.answer(.success)
        }
    }

    private static func file() -> FileDescriptor? {
        let path = FileManager.default.temporaryDirectory.appending(path: "kontur-test-\(UUID().uuidString)").path
        return try? FileDescriptor(path: path, for: .creating)
    }

    /// The bytes of the data set, if their digest is the one that the receiver has computed.
    private static func bytes(of file: FileDescriptor, _ dataSet: ReceivedDataSet) -> [UInt8]? {
        let path = "/proc/self/fd/\(file.number)"
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)), data.count == Int(dataSet.bytes) else {
            return nil
        }
        if let real = try? FileManager.default.destinationOfSymbolicLink(atPath: path) {
            try? FileManager.default.removeItem(atPath: real)
        }
        var hasher = SHA256()
        data.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return Array(hasher.finalize()) == dataSet.sha256 ? Array(data) : nil
    }
}

/// Carries a value between threads that use it one after the other.
// Sendable: the tests hand the value on, they do not share it.
struct Unchecked<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}
