// SPDX-License-Identifier: Apache-2.0

import DICOM
public import Platform

/// A node that cannot listen.
public struct ListenError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The requested address.
    public let address: IPAddress
    /// The requested port.
    public let port: UInt16
    /// The system's words, such as "Address already in use".
    public let cause: String

    public var description: String {
        "could not listen on \(address) port \(port): \(cause); choose another node.port or node.bind"
    }
}

/// The reason why a connection was ended before its request was whole.
public enum RequestFault: Sendable, Hashable, CustomStringConvertible {
    /// The first bytes are not an A-ASSOCIATE-RQ.
    case notARequest
    /// The first bytes at the port for secure connections are not a TLS handshake.
    case notTLS
    /// The request announces more bytes than the node takes.
    case tooLong(bytes: Int, limit: Int)
    /// The request was not whole within its time.
    case tooLate(limit: Duration)

    public var description: String {
        switch self {
        case .notARequest: "the first bytes are not an A-ASSOCIATE-RQ"
        case .notTLS: "the first bytes at the TLS port are not a TLS handshake"
        case .tooLong(let bytes, let limit): "the A-ASSOCIATE-RQ has \(bytes) bytes; at most \(limit) are taken"
        case .tooLate(let limit): "no whole A-ASSOCIATE-RQ came within \(limit.components.seconds) s"
        }
    }
}

/// Accepts connections, and hands each one on after it has sent its whole A-ASSOCIATE-RQ, or its first TLS record.
///
/// Until then a connection is an entry in one poll set, so that silent connections do not delay others and do not hold a
/// receiver. ``ConnectionBounds`` limits the time, the bytes and the number of such connections.
package final class ConnectionListener: Sendable {
    /// The treatment of a request by the listener's owner.
    package enum Handling: Sendable {
        /// The request was answered, or its answer is on the way.
        case taken
        /// The owner does not know the answer yet, and wants the request again in a moment.
        case later
    }

    /// Connections that are accepted before those that wait are looked at again.
    private static let batch = 64

    private let socket: ListeningSocket
    /// The socket for secure connections; `nil` if the node does not have a port for them.
    private let secureSocket: ListeningSocket?
    private let bounds: ConnectionBounds
    private let lingering: LingeringSockets

    /// Listens from now on.
    ///
    /// Connections wait in the kernel's queue until `run`.
    ///
    /// - Parameters:
    ///   - address: the IPv6 address `::` accepts callers of both families.
    ///   - port: 0 lets the kernel choose.
    ///   - securePort: the port for TLS; 0 lets the kernel choose, and `nil` means none.
    ///   - bounds: limits the connections that are not associations yet, or not any more.
    /// - Throws: the reason why the node cannot listen, for instance a port that is taken.
    package init(
        bind address: IPAddress, port: UInt16, securePort: UInt16? = nil, bounds: ConnectionBounds = .init()
    ) throws(ListenError) {
        self.bounds = bounds
        do throws(SystemCallError) {
            socket = try ListeningSocket(bind: address, port: port)
            lingering = try LingeringSockets(bounds)
        } catch {
            throw ListenError(address: address, port: port, cause: error.reason)
        }
        do throws(SystemCallError) {
            secureSocket = try securePort.map { port throws(SystemCallError) in
                try ListeningSocket(bind: address, port: port)
            }
        } catch {
            throw ListenError(address: address, port: securePort ?? 0, cause: error.reason)
        }
    }

    /// The port that the node listens on.
    ///
    /// If the caller asked for port 0, the kernel chose this port.
    package var port: UInt16 { socket.port }

    /// The port for secure connections, if there is one.
    package var securePort: UInt16? { secureSocket?.port }

    /// Accepts until `stop`.
    ///
    /// Blocks.
    ///
    /// - Parameters:
    ///   - faulty: called on this thread for each connection that was ended because of its request; must not block.
    ///   - arrived: called on this thread for each whole request; must not block. It may return `later` as long as the
    ///     request's `mayWait` is true.
    package func run(
        faulty: (IPAddress, RequestFault) -> Void = { _, _ in }, _ arrived: (AssociationArrival) -> Handling
    ) {
        var waiting = BoundedByAddress<WaitingConnection>(
            capacity: bounds.waiting.all, perNetwork: bounds.waiting.perNetwork)
        // If the process has no descriptors left, the loop does not accept for a moment. Otherwise it would spin.
        var acceptsAgainAt = MonotonicClock.now()
        while !lingering.isStopped {
            let accepts = MonotonicClock.now() >= acceptsAgainAt
            let (requests, closing) = (waiting.elements, lingering.sockets)
            var entries = [
                PollEntry(lingering.wakeUp.descriptor, reading: true),
                PollEntry(accepts ? socket.descriptor : -1, reading: true),
                PollEntry(accepts ? secureSocket?.descriptor ?? -1 : -1, reading: true),
            ]
            entries += requests.map { PollEntry($0.isPolled ? $0.socket.descriptor : -1, reading: true) }
            entries += closing.map { PollEntry($0.socket.descriptor, reading: true) }
            let isIdle = requests.isEmpty && closing.isEmpty && accepts
            Polling.wait(&entries, atMost: isIdle ? nil : .milliseconds(100))
            lingering.wakeUp.clear()

            // Newest first: callers that wait for the end of others must not stand behind them.
            let states = zip(requests, entries.dropFirst(3).map { $0.isReady }).reversed()
            let over = Set(
                states.filter { !advance($0, isReady: $1, faulty, arrived) }.map { ObjectIdentifier($0.0) })
            waiting.removeAll { over.contains(ObjectIdentifier($0)) }
            lingering.discard(zip(closing, entries.dropFirst(3 + requests.count).map { $0.isReady }))
            for (entry, listening) in zip(entries[1...2], [socket, secureSocket]) where entry.isReady {
                guard let listening, !accept(from: listening, into: &waiting, faulty, arrived) else { continue }
                acceptsAgainAt = MonotonicClock.now() + .milliseconds(100)
            }
            limitBytes(of: &waiting)
        }
    }

    /// Ends `run`, from any thread.
    ///
    /// The kernel refuses new connections once the listener is released.
    package func stop() {
        lingering.stop()
    }

    /// Reads a connection if it is ready, and hands its request on if it is whole.
    ///
    /// - Returns: whether the connection goes on waiting. Otherwise it was handed on, or is closed with its last
    ///   reference.
    private func advance(
        _ connection: WaitingConnection, isReady: Bool, _ faulty: (IPAddress, RequestFault) -> Void,
        _ arrived: (AssociationArrival) -> Handling
    ) -> Bool {
        let mayWait = MonotonicClock.now() < connection.deadline
        let reads = isReady || connection.isLookedAt
        switch reads ? connection.read(longest: bounds.longestRequest) : connection.progress {
        case .waits:
            if !mayWait { faulty(connection.socket.address, .tooLate(limit: bounds.requestLimit)) }
            return mayWait
        case .over:
            return false
        case .faulty(let fault):
            // The peer can read the reason only if it speaks DICOM.
            if case .tooLong = fault {
                connection.socket.writeAvailable(AssociationRejection.permanentLocalLimit.encoded)
                lingering.add(connection.socket, after: .rejection)
            }
            faulty(connection.socket.address, fault)
            return false
        case .whole(let request):
            let arrival = AssociationArrival(
                socket: connection.socket, request: request, mayWait: mayWait,
                acceptedAt: connection.deadline - bounds.requestLimit, lingering: lingering)
            return arrived(arrival) == .later && mayWait
        }
    }

    /// Accepts connections that wait in the kernel's queue.
    ///
    /// Most peers send their request at once, so a new connection is read before it joins the others.
    ///
    /// - Returns: false if the process has no descriptors left.
    private func accept(
        from listening: ListeningSocket, into waiting: inout BoundedByAddress<WaitingConnection>,
        _ faulty: (IPAddress, RequestFault) -> Void,
        _ arrived: (AssociationArrival) -> Handling
    ) -> Bool {
        for _ in 0..<Self.batch {
            switch listening.accept() {
            case .none: return true
            case .noResources:
                waiting.removeFirst()
                return false
            case .connection(let socket):
                let connection = WaitingConnection(
                    socket, isSecure: listening === secureSocket,
                    deadline: MonotonicClock.now() + bounds.requestLimit)
                guard advance(connection, isReady: true, faulty, arrived) else { continue }
                waiting.append(connection, from: socket.address)
            }
        }
        return true
    }

    /// Closes the connections with the most bytes until all requests together fit the bound.
    private func limitBytes(of waiting: inout BoundedByAddress<WaitingConnection>) {
        if waiting.count == 0 { return }
        var sum = waiting.elements.reduce(0) { $0 + $1.receivedBytes }
        while sum > bounds.requestBytes, let largest = waiting.elements.max(by: { $0.receivedBytes < $1.receivedBytes })
        {
            sum -= largest.receivedBytes
            waiting.removeAll { $0 === largest }
        }
    }
}

/// A connection in the poll set that has not sent its whole A-ASSOCIATE-RQ or TLS record, or that was not handed on yet.
private final class WaitingConnection {
    enum Progress {
        case waits
        /// The whole A-ASSOCIATE-RQ; `nil` for a TLS record, which stays in the kernel.
        case whole([UInt8]?)
        case faulty(RequestFault)
        /// The peer closed the connection.
        case over
    }

    /// Bytes that one call reads at most.
    private static let part = 64 << 10

    let socket: StreamSocket
    let isSecure: Bool
    /// A reading of `MonotonicClock`.
    let deadline: Duration
    private(set) var progress = Progress.waits
    private var received: [UInt8] = []

    /// - Parameters:
    ///   - socket: closed with the last reference to this object.
    ///   - isSecure: whether the peer has to begin TLS.
    ///   - deadline: a reading of `MonotonicClock`.
    init(_ socket: StreamSocket, isSecure: Bool, deadline: Duration) {
        self.socket = socket
        self.isSecure = isSecure
        self.deadline = deadline
    }

    /// Bytes that the node holds.
    var receivedBytes: Int { isSecure ? 0 : received.count }

    /// Whether the kernel tells when there is more to read.
    ///
    /// Part of a TLS record stays in the kernel, which would say "ready" for ever.
    var isPolled: Bool { !isWhole && !(isSecure && !received.isEmpty) }

    /// Whether the connection has to be looked at though the kernel does not tell about it.
    var isLookedAt: Bool { !isWhole && !isPolled }

    private var isWhole: Bool { if case .whole = progress { true } else { false } }

    /// Reads the bytes that have arrived, without waiting.
    ///
    /// - Parameter longest: bytes of the longest request, without the PDU header.
    /// - Returns: the new value of `progress`.
    func read(longest: Int) -> Progress {
        progress = isSecure ? peekAtRecord() : readRequest(longest: longest)
        return progress
    }

    private func readRequest(longest: Int) -> Progress {
        while true {
            let wanted = wantedLength
            if received.count == wanted { return .whole(received) }
            var part = [UInt8](repeating: 0, count: min(wanted - received.count, Self.part))
            switch part.withUnsafeMutableBytes({ socket.readAvailable(into: $0) }) {
            case .bytes(let count): received += part[..<count]
            case .wouldBlock: return .waits
            case .end: return .over
            }
            guard received[0] == RequestHead.type else { return .faulty(.notARequest) }
            guard wantedLength - RequestHead.pduHeader <= longest else {
                return .faulty(.tooLong(bytes: wantedLength - RequestHead.pduHeader, limit: longest))
            }
        }
    }

    /// The number of bytes to read: never more than the request, so that later bytes stay in the socket for the
    /// association.
    private var wantedLength: Int {
        guard received.count >= RequestHead.pduHeader else { return RequestHead.pduHeader }
        return RequestHead.pduHeader + received[2..<6].reduce(0) { $0 << 8 | Int($1) }
    }

    /// Looks for the client's first TLS record, a handshake (RFC 8446 5.1).
    private func peekAtRecord() -> Progress {
        var head = [UInt8](repeating: 0, count: 5)
        switch head.withUnsafeMutableBytes({ socket.peek(into: $0) }) {
        case .wouldBlock: return .waits
        case .end: return .over
        case .bytes(let count): received = Array(head[..<count])
        }
        guard received[0] == 0x16, received.count < 2 || received[1] == 3 else { return .faulty(.notTLS) }
        guard received.count == 5 else { return .waits }
        let length = Int(received[3]) << 8 | Int(received[4])
        guard length <= 1 << 14 else { return .faulty(.notTLS) }
        return socket.unreadBytes >= 5 + length ? .whole(nil) : .waits
    }
}
