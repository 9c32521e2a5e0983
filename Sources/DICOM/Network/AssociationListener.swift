// SPDX-License-Identifier: Apache-2.0

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
    /// The request announces more bytes than the node takes.
    case tooLong(bytes: Int, limit: Int)
    /// The request was not whole within its time.
    case tooLate(limit: Duration)

    public var description: String {
        switch self {
        case .notARequest: "the first bytes are not an A-ASSOCIATE-RQ"
        case .tooLong(let bytes, let limit): "the A-ASSOCIATE-RQ has \(bytes) bytes; at most \(limit) are taken"
        case .tooLate(let limit): "no whole A-ASSOCIATE-RQ came within \(limit.components.seconds) s"
        }
    }
}

/// Accepts connections, and hands each one on after it has sent its whole A-ASSOCIATE-RQ.
///
/// Until then a connection is an entry in one poll set, so that silent connections do not delay others.
/// ``ConnectionBounds`` limits the time, the bytes and the number of such connections.
public final class AssociationListener: Sendable {
    /// The treatment of a request by the listener's owner.
    public enum Handling: Sendable {
        /// The request was answered, or its answer is on the way.
        case taken
        /// The owner does not know the answer yet, and wants the request again in a moment.
        case later
    }

    /// Connections that are accepted before those that wait are looked at again.
    private static let batch = 64

    private let socket: ListeningSocket
    private let bounds: ConnectionBounds
    private let lingering: LingeringSockets

    /// Listens from now on.
    ///
    /// Connections wait in the kernel's queue until `run`.
    ///
    /// - Parameters:
    ///   - address: the IPv6 address `::` accepts callers of both families.
    ///   - port: 0 lets the kernel choose.
    ///   - bounds: limits the connections that are not associations yet, or not any more.
    /// - Throws: the reason why the node cannot listen, for instance a port that is taken.
    public init(bind address: IPAddress, port: UInt16, bounds: ConnectionBounds = .init()) throws(ListenError) {
        self.bounds = bounds
        do throws(SystemCallError) {
            socket = try ListeningSocket(bind: address, port: port)
            lingering = try LingeringSockets(bounds)
        } catch {
            throw ListenError(address: address, port: port, cause: error.reason)
        }
    }

    /// The port that the node listens on.
    ///
    /// If the caller asked for port 0, the kernel chose this port.
    public var port: UInt16 { socket.port }

    /// Accepts until `stop`.
    ///
    /// Blocks.
    ///
    /// - Parameters:
    ///   - faulty: called on this thread for each connection that was ended because of its request; must not block.
    ///   - arrived: called on this thread for each whole request; must not block. It may return `later` as long as the
    ///     request's `mayWait` is true.
    public func run(
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
            ]
            entries += requests.map { PollEntry($0.isWhole ? -1 : $0.socket.descriptor, reading: true) }
            entries += closing.map { PollEntry($0.socket.descriptor, reading: true) }
            let isIdle = requests.isEmpty && closing.isEmpty && accepts
            Polling.wait(&entries, atMost: isIdle ? nil : .milliseconds(100))
            lingering.wakeUp.clear()

            let states = zip(requests, entries.dropFirst(2).map(\.isReady))
            let over = Set(
                states.filter { !advance($0, isReady: $1, faulty, arrived) }.map { ObjectIdentifier($0.0) })
            waiting.removeAll { over.contains(ObjectIdentifier($0)) }
            lingering.discard(zip(closing, entries.dropFirst(2 + requests.count).map(\.isReady)))
            if entries[1].isReady, !accept(into: &waiting, faulty, arrived) {
                acceptsAgainAt = MonotonicClock.now() + .milliseconds(100)
            }
            limitBytes(of: &waiting)
        }
    }

    /// Ends `run`, from any thread.
    ///
    /// The kernel refuses new connections once the listener is released.
    public func stop() {
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
        switch isReady ? connection.read(longest: bounds.longestRequest) : connection.progress {
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
        case .request(let body):
            let arrival = AssociationArrival(
                socket: connection.socket, body: body, mayWait: mayWait, lingering: lingering)
            return arrived(arrival) == .later && mayWait
        }
    }

    /// Accepts connections that wait in the kernel's queue.
    ///
    /// Most peers send their request at once, so a new connection is read before it joins the others.
    ///
    /// - Returns: false if the process has no descriptors left.
    private func accept(
        into waiting: inout BoundedByAddress<WaitingConnection>, _ faulty: (IPAddress, RequestFault) -> Void,
        _ arrived: (AssociationArrival) -> Handling
    ) -> Bool {
        for _ in 0..<Self.batch {
            switch socket.accept() {
            case .none: return true
            case .noResources:
                waiting.removeFirst()
                return false
            case .connection(let socket):
                let connection = WaitingConnection(socket, deadline: MonotonicClock.now() + bounds.requestLimit)
                guard advance(connection, isReady: true, faulty, arrived) else { continue }
                waiting.append(connection, from: socket.address)
            }
        }
        return true
    }

    /// Closes the connections with the most bytes until all requests together fit the bound.
    private func limitBytes(of waiting: inout BoundedByAddress<WaitingConnection>) {
        var sum = waiting.elements.reduce(0) { $0 + $1.receivedBytes }
        while sum > bounds.requestBytes, let largest = waiting.elements.max(by: { $0.receivedBytes < $1.receivedBytes })
        {
            sum -= largest.receivedBytes
            waiting.removeAll { $0 === largest }
        }
    }
}

/// A connection in the poll set that has not sent its whole A-ASSOCIATE-RQ, or whose request was not handed on yet.
private final class WaitingConnection {
    enum Progress {
        case waits
        /// The variable part of the whole A-ASSOCIATE-RQ.
        case request([UInt8])
        case faulty(RequestFault)
        /// The peer closed the connection.
        case over
    }

    /// Bytes that one call reads at most.
    private static let part = 64 << 10

    let socket: StreamSocket
    /// A reading of `MonotonicClock`.
    let deadline: Duration
    private(set) var progress = Progress.waits
    private var received: [UInt8] = []

    /// - Parameters:
    ///   - socket: closed with the last reference to this object.
    ///   - deadline: a reading of `MonotonicClock`.
    init(_ socket: StreamSocket, deadline: Duration) {
        self.socket = socket
        self.deadline = deadline
    }

    var receivedBytes: Int { received.count }

    /// Whether the request is whole and was not handed on yet.
    var isWhole: Bool { if case .request = progress { true } else { false } }

    /// Reads the bytes that have arrived, without waiting.
    ///
    /// - Parameter longest: bytes of the longest request, without the PDU header.
    /// - Returns: the new value of `progress`.
    func read(longest: Int) -> Progress {
        progress = readRequest(longest: longest)
        return progress
    }

    private func readRequest(longest: Int) -> Progress {
        while true {
            let wanted = wantedLength
            if received.count == wanted { return .request(Array(received[PDUStream.headerLength...])) }
            var part = [UInt8](repeating: 0, count: min(wanted - received.count, Self.part))
            switch part.withUnsafeMutableBytes({ socket.readAvailable(into: $0) }) {
            case .bytes(let count): received += part[..<count]
            case .wouldBlock: return .waits
            case .end: return .over
            }
            guard received[0] == PDUType.associateRequest.rawValue else { return .faulty(.notARequest) }
            guard wantedLength - PDUStream.headerLength <= longest else {
                return .faulty(.tooLong(bytes: wantedLength - PDUStream.headerLength, limit: longest))
            }
        }
    }

    /// The number of bytes to read: never more than the request, so that later bytes stay in the socket for the
    /// association.
    private var wantedLength: Int {
        guard received.count >= PDUStream.headerLength else { return PDUStream.headerLength }
        return PDUStream.headerLength + received[2..<6].reduce(0) { $0 << 8 | Int($1) }
    }
}
