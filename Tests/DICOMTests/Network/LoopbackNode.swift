// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Platform
import Synchronization

/// A storage SCP on a free port of this machine that keeps what it receives in memory.
final class LoopbackNode: Sendable {
    static let aeTitle = AETitle("KONTUR")!
    static let caller = AETitle("ENDO1")!

    struct Received: Sendable, Equatable {
        var sopInstanceUID: String?
        var transferSyntaxUID: String
        var dataSet: [UInt8]
    }

    private struct State {
        var received: [Received] = []
        var endings: [String] = []
    }

    let listener: AssociationListener
    private let state = Mutex(State())
    private let may: Set<Peer.Permission>
    private let status: DIMSEStatus
    private let idleLimit: Duration

    init(
        may: Set<Peer.Permission> = [.store, .echo], status: DIMSEStatus = .success, idleLimit: Duration = .seconds(20),
        bounds: ConnectionBounds = ConnectionBounds(), bind: IPAddress = .anyIPv4
    ) throws {
        self.may = may
        self.status = status
        self.idleLimit = idleLimit
        listener = try AssociationListener(bind: bind, port: 0, bounds: bounds)
        DedicatedThread.start(name: "test-accept") { [self] in
            listener.run { arrival in
                DedicatedThread.start(name: "test-assoc") { self.serve(arrival) }
                return .taken
            }
        }
    }

    /// Runs `body` beside a node, and stops the node.
    static func with<Result>(
        may: Set<Peer.Permission> = [.store, .echo], status: DIMSEStatus = .success, idleLimit: Duration = .seconds(20),
        bounds: ConnectionBounds = ConnectionBounds(), bind: IPAddress = .anyIPv4,
        _ body: (LoopbackNode) async throws -> Result
    ) async throws -> Result {
        let node = try LoopbackNode(
            may: may, status: status, idleLimit: idleLimit, bounds: bounds, bind: bind)
        defer { node.listener.stop() }
        return try await body(node)
    }

    var port: UInt16 { listener.port }
    var peer: Peer { Peer(name: "node", aeTitle: Self.aeTitle, host: "127.0.0.1", port: port) }
    var received: [Received] { state.withLock { $0.received } }

    /// How the first association ended; waits for it.
    func ending() async throws -> String {
        for _ in 0..<400 {
            if let first = state.withLock({ $0.endings.first }) { return first }
            try await Task.sleep(for: .milliseconds(25))
        }
        return "not at all"
    }

    private func serve(_ arrival: AssociationArrival) {
        var ending = "released"
        do throws(AssociationError) {
            let pending = try arrival.parsed()
            let peer =
                pending.callingAETitle == Self.caller ? Peer(name: "caller", aeTitle: Self.caller, may: may) : nil
            let association = try pending.accept(
                as: Self.aeTitle, peer: peer, idleLimit: idleLimit, interruption: Interruption(), admit: { nil })
            defer { association.close() }
            while let request = try association.nextRequest() {
                switch request {
                case .other(let request):
                    if request.hasDataSet { try association.receiveDataSet { _ in } }
                    try association.respond(to: request)
                case .store(let request):
                    var bytes: [UInt8] = []
                    try association.receiveDataSet { bytes += $0 }
                    let received = Received(
                        sopInstanceUID: request.sopInstanceUID, transferSyntaxUID: request.transferSyntaxUID,
                        dataSet: bytes)
                    state.withLock { $0.received.append(received) }
                    try association.respond(to: request, status)
                }
            }
        } catch {
            ending = "\(error)"
        }
        state.withLock { $0.endings.append(ending) }
    }
}
