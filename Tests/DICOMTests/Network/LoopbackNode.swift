// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
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
        maximumWaiting: Int = AssociationListener.maximumWaiting
    ) throws {
        self.may = may
        self.status = status
        self.idleLimit = idleLimit
        listener = try AssociationListener(bind: .anyIPv4, port: 0, maximumWaiting: maximumWaiting)
        DedicatedThread.start(name: "test-accept") { [self] in
            listener.run { arrival in
                DedicatedThread.start(name: "test-assoc") { self.serve(arrival) }
            }
        }
    }

    /// Runs `body` beside a node, and stops the node.
    static func with<Result>(
        may: Set<Peer.Permission> = [.store, .echo], status: DIMSEStatus = .success, idleLimit: Duration = .seconds(20),
        maximumWaiting: Int = AssociationListener.maximumWaiting, _ body: (LoopbackNode) async throws -> Result
    ) async throws -> Result {
        let node = try LoopbackNode(may: may, status: status, idleLimit: idleLimit, maximumWaiting: maximumWaiting)
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
                as: Self.aeTitle, peer: peer, idleLimit: idleLimit, interruption: Interruption(), hasRoom: { true })
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

/// A TCP client that sends whatever it is told. Its calls block; a read has ten seconds.
final class RawClient {
    enum Answer: Equatable {
        case pdu(type: UInt8, body: [UInt8])
        case closed
        case nothing
    }

    private let descriptor: Int32

    init(port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(code == 0, "could not connect to this machine")
    }

    deinit { close(descriptor) }

    /// - Returns: false when the other side does not listen any more.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    func receive() -> Answer {
        switch read(6) {
        case .some(let header):
            guard header.count == 6 else { return .closed }
            let length = header[2..<6].reduce(0) { $0 << 8 | Int($1) }
            return .pdu(type: header[0], body: read(length) ?? [])
        case nil: return .nothing
        }
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var part = [UInt8](repeating: 0, count: count - bytes.count)
            let got = recv(descriptor, &part, part.count, 0)
            if got < 0, errno == EAGAIN { return nil }
            guard got > 0 else { return bytes }
            bytes += part[..<got]
        }
        return bytes
    }

    static let ctImageStorage = "1.2.840.10008.5.1.4.1.1.2"

    /// Negotiates CT Image Storage as context 1 and Verification as context 3.
    func associate() -> Bool {
        let request = AssociateRequest(
            called: LoopbackNode.aeTitle, calling: LoopbackNode.caller,
            contexts: [
                ProposedContext(id: 1, abstractSyntax: Self.ctImageStorage, transferSyntaxes: ["1.2.840.10008.1.2"]),
                ProposedContext(id: 3, abstractSyntax: "1.2.840.10008.1.1", transferSyntaxes: ["1.2.840.10008.1.2"]),
            ], user: UserInformation(maximumLength: 16_384))
        send(request.encoded)
        guard case .pdu(2, _) = receive() else { return false }
        return true
    }

    /// A P-DATA-TF with one PDV; its lengths can be lied about.
    static func data(
        _ bytes: [UInt8], context: UInt8 = 1, command: Bool, last: Bool, pduLength: UInt32? = nil,
        pdvLength: UInt32? = nil
    ) -> [UInt8] {
        func field(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
        return [4, 0] + field(pduLength ?? UInt32(bytes.count + 6)) + field(pdvLength ?? UInt32(bytes.count + 2))
            + [context, (command ? 1 : 0) | (last ? 2 : 0)] + bytes
    }

    /// A C-STORE-RQ for an instance of CT Image Storage.
    static func store(_ instance: String = "1.2.3.4") -> [UInt8] {
        var command = CommandSet()
        command.set(.affectedSOPClassUID, uid: ctImageStorage)
        command.set(.commandField, CommandField.storeRequest)
        command.set(.messageID, 1)
        command.set(.priority, 0)
        command.set(.commandDataSetType, 0)
        command.set(.affectedSOPInstanceUID, uid: instance)
        return command.encoded
    }
}
