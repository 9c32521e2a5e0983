// SPDX-License-Identifier: Apache-2.0

public import Platform
import Synchronization

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

/// Accepts connections, and hands each one on after it has sent its whole A-ASSOCIATE-RQ.
///
/// Until then a connection is an entry in one poll set, so that silent connections do not delay others. A connection
/// has five seconds and 64 KiB for its request. If too many connections wait, the listener closes the oldest.
public final class AssociationListener: Sendable {
    /// Default for the number of connections that may wait at once.
    public static let maximumWaiting = 512
    /// The time for a whole A-ASSOCIATE-RQ.
    private static let requestLimit: Duration = .seconds(5)

    private let socket: ListeningSocket
    private let maximumWaiting: Int
    private let lingering: LingeringSockets

    /// Listens from now on.
    ///
    /// Connections wait in the kernel's queue until `run`.
    ///
    /// - Parameters:
    ///   - address: the IPv6 address `::` accepts callers of both families.
    ///   - port: 0 lets the kernel choose.
    ///   - maximumWaiting: the largest number of connections that may wait without a whole request.
    /// - Throws: the reason why the node cannot listen, for instance a port that is taken.
    public init(
        bind address: IPAddress, port: UInt16, maximumWaiting: Int = AssociationListener.maximumWaiting
    ) throws(ListenError) {
        self.maximumWaiting = maximumWaiting
        do throws(SystemCallError) {
            socket = try ListeningSocket(bind: address, port: port)
            lingering = try LingeringSockets(capacity: maximumWaiting)
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
    /// - Parameter arrived: called on this thread for each whole request; must not block.
    public func run(_ arrived: (AssociationArrival) -> Void) {
        var waiting: [WaitingConnection] = []
        // If the process has no descriptors left, the loop does not accept for a moment. Otherwise it would spin.
        var acceptsAgainAt = MonotonicClock.now()
        while !lingering.isStopped {
            waiting += lingering.takeAll()
            let accepts = MonotonicClock.now() >= acceptsAgainAt
            var entries = [
                PollEntry(lingering.wakeUp.descriptor, reading: true),
                PollEntry(accepts ? socket.descriptor : -1, reading: true),
            ]
            entries += waiting.map { PollEntry($0.socket.descriptor, reading: true) }
            Polling.wait(&entries, atMost: waiting.isEmpty && accepts ? nil : .milliseconds(100))
            lingering.wakeUp.clear()
            waiting = advance(waiting, isReady: entries.dropFirst(2).map(\.isReady), arrived)
            if entries[1].isReady, !accept(into: &waiting) {
                acceptsAgainAt = MonotonicClock.now() + .milliseconds(100)
            }
        }
    }

    /// Ends `run`, from any thread.
    ///
    /// The kernel refuses new connections once the listener is released.
    public func stop() {
        lingering.stop()
    }

    /// Reads the connections that are ready.
    ///
    /// - Returns: the connections that go on waiting. The others are handed on, or closed with their last reference.
    private func advance(
        _ waiting: [WaitingConnection], isReady: [Bool], _ arrived: (AssociationArrival) -> Void
    ) -> [WaitingConnection] {
        let now = MonotonicClock.now()
        var staying: [WaitingConnection] = []
        for (connection, isReady) in zip(waiting, isReady) {
            switch isReady ? connection.read() : .waits {
            case .waits where now < connection.deadline: staying.append(connection)
            case .waits, .over: break
            case .request(let body):
                arrived(AssociationArrival(socket: connection.socket, body: body, lingering: lingering))
            }
        }
        return staying
    }

    /// Accepts all connections that wait in the kernel's queue.
    ///
    /// - Returns: false if the process has no descriptors left.
    private func accept(into waiting: inout [WaitingConnection]) -> Bool {
        while true {
            switch socket.accept() {
            case .none: return true
            case .noResources:
                if !waiting.isEmpty { waiting.removeFirst() }
                return false
            case .connection(let connection):
                if waiting.count >= maximumWaiting { waiting.removeFirst() }
                waiting.append(
                    WaitingConnection(
                        connection, role: .request, deadline: MonotonicClock.now() + Self.requestLimit))
            }
        }
    }
}

/// A connection in the poll set: it has not sent its whole request yet, or its association is over.
private final class WaitingConnection {
    enum Role {
        /// Read an A-ASSOCIATE-RQ.
        case request
        /// Discard bytes until the peer closes.
        case lingeringClose
    }

    enum Progress {
        case waits
        /// The variable part of the whole A-ASSOCIATE-RQ.
        case request([UInt8])
        /// The connection is closed, or the bytes received are not an A-ASSOCIATE-RQ.
        case over
    }

    /// Bytes of the longest request, without the PDU header.
    static let maximumRequest = 64 << 10

    let socket: StreamSocket
    let deadline: Duration
    private let role: Role
    private var received: [UInt8] = []

    /// - Parameters:
    ///   - socket: closed with the last reference to this object.
    ///   - role: the kind of bytes to read.
    ///   - deadline: a reading of `MonotonicClock`.
    init(_ socket: StreamSocket, role: Role, deadline: Duration) {
        self.socket = socket
        self.role = role
        self.deadline = deadline
    }

    /// Reads the bytes that have arrived, without waiting.
    func read() -> Progress {
        switch role {
        case .request: readRequest()
        case .lingeringClose: discard()
        }
    }

    private func readRequest() -> Progress {
        while true {
            let wanted = wantedLength
            if received.count == wanted { return .request(Array(received[PDUStream.headerLength...])) }
            var part = [UInt8](repeating: 0, count: wanted - received.count)
            switch part.withUnsafeMutableBytes({ socket.readAvailable(into: $0) }) {
            case .bytes(let count): received += part[..<count]
            case .wouldBlock: return .waits
            case .end: return .over
            }
            // A peer that sends another PDU first does not speak DICOM.
            guard received[0] == PDUType.associateRequest.rawValue, wantedLength <= Self.maximumRequest else {
                return .over
            }
        }
    }

    /// The number of bytes to read: never more than the request, so that later bytes stay in the socket for the
    /// association.
    private var wantedLength: Int {
        guard received.count >= PDUStream.headerLength else { return PDUStream.headerLength }
        return PDUStream.headerLength + received[2..<6].reduce(0) { $0 << 8 | Int($1) }
    }

    private func discard() -> Progress {
        var part = [UInt8](repeating: 0, count: 16 << 10)
        // The number of rounds is limited: a peer that keeps sending is cut off at the deadline.
        for _ in 0..<8 {
            switch part.withUnsafeMutableBytes({ socket.readAvailable(into: $0) }) {
            case .bytes: continue
            case .wouldBlock: return .waits
            case .end: return .over
            }
        }
        return .waits
    }
}

/// Sockets whose association is over and whose last PDU is still on its way to the peer.
///
/// Closing a socket that holds unread bytes resets the connection, and a reset may destroy the last PDU. The accept
/// loop therefore reads on until the peer closes, for at most a second. No thread waits for it.
final class LingeringSockets: Sendable {
    /// How long the accept loop reads on.
    private static let limit: Duration = .seconds(1)

    private struct State {
        var sockets: [StreamSocket] = []
        var isStopped = false
    }

    /// Rings if there are new sockets, and on `stop`.
    let wakeUp: WakeUp
    private let capacity: Int
    private let state = Mutex(State())

    /// - Parameter capacity: the largest number of sockets that are held for the accept loop.
    /// - Throws: the error of eventfd(2), if no descriptor is left.
    init(capacity: Int) throws(SystemCallError) {
        self.capacity = capacity
        wakeUp = try WakeUp()
    }

    /// Whether `stop` was called.
    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Closes the sending side of a socket, and hands the socket to the accept loop.
    func add(_ socket: StreamSocket) {
        socket.begin(.working)
        socket.finishSending()
        let isTaken = state.withLock { state in
            // If the capacity is reached, the oldest socket is closed, because it had the most time.
            if state.sockets.count >= capacity { state.sockets.removeFirst() }
            if !state.isStopped { state.sockets.append(socket) }
            return !state.isStopped
        }
        if isTaken { wakeUp.ring() }
    }

    /// The sockets that were added since the last call.
    fileprivate func takeAll() -> [WaitingConnection] {
        let sockets = state.withLock { state in
            defer { state.sockets = [] }
            return state.sockets
        }
        let deadline = MonotonicClock.now() + Self.limit
        return sockets.map { WaitingConnection($0, role: .lingeringClose, deadline: deadline) }
    }

    /// Ends the accept loop, and closes the sockets that it has not taken.
    func stop() {
        state.withLock {
            $0.isStopped = true
            $0.sockets = []
        }
        wakeUp.ring()
    }
}
