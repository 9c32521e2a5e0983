// SPDX-License-Identifier: Apache-2.0

import CDCMTK
import Glibc
import Synchronization

/// Why a node cannot listen.
public struct ListenError: Error, Sendable, Equatable, CustomStringConvertible {
    public let address: IPAddress
    public let port: UInt16
    public let cause: String

    public var description: String {
        "could not listen on \(address) port \(port): choose another node.port or node.bind: \(cause)"
    }
}

/// Accepts connections, and hands one on once its A-ASSOCIATE-RQ is whole.
///
/// Until then a connection is an entry in one poll set: 200 silent ones cost nothing and delay nobody. It has five
/// seconds and 64 KiB for its request; when too many wait, the oldest goes.
public final class AssociationListener: Sendable {
    /// Connections that may wait at once, unless told otherwise.
    public static let maximumWaiting = 512
    static let requestLimit: Duration = .seconds(5)

    private let descriptor: Int32
    private let maximumWaiting: Int
    private let farewell: Farewell
    /// What the kernel chose, when 0 was asked for.
    public let port: UInt16

    /// Listens from now on; connections wait in the kernel's queue until `run`.
    public init(
        bind address: IPAddress, port: UInt16, maximumWaiting: Int = AssociationListener.maximumWaiting
    ) throws(ListenError) {
        let isIPv6 = address.bytes.count == 16
        let descriptor = socket(
            isIPv6 ? AF_INET6 : AF_INET,
            Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            throw ListenError(address: address, port: port, cause: errorText(errno))
        }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        if isIPv6 {
            // `::` takes callers of both families.
            var off: Int32 = 0
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, socklen_t(MemoryLayout<Int32>.size))
        }
        guard address.withSocketAddress(port: port, { Glibc.bind(descriptor, $0, $1) }) == 0,
            listen(descriptor, 1024) == 0
        else {
            let cause = errorText(errno)
            close(descriptor)
            throw ListenError(address: address, port: port, cause: cause)
        }
        self.descriptor = descriptor
        self.port = Self.boundPort(descriptor)
        self.maximumWaiting = maximumWaiting
        farewell = Farewell(capacity: maximumWaiting)
    }

    deinit { close(descriptor) }

    private static func boundPort(_ descriptor: Int32) -> UInt16 {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutablePointer(to: &address) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        // The port stands at the same place in both families' addresses.
        return UInt16(bigEndian: address.sin6_port)
    }

    /// Accepts until `stop`. Blocks; `arrived` is called on this thread and must not.
    public func run(_ arrived: (AssociationArrival) -> Void) {
        var waiting: [WaitingConnection] = []
        /// Out of descriptors: the queue is left alone for a moment instead of asking in a circle.
        var acceptsAgainAt = SuspendingClock.now
        while !farewell.isStopped {
            waiting += farewell.takeLeavers()
            let now = SuspendingClock.now
            var set = [
                pollfd(fd: farewell.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: now < acceptsAgainAt ? -1 : descriptor, events: Int16(POLLIN), revents: 0),
            ]
            set += waiting.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            poll(&set, nfds_t(set.count), waiting.isEmpty && now >= acceptsAgainAt ? -1 : 100)
            farewell.clearWake()
            waiting = advance(waiting, events: set.dropFirst(2).map { $0.revents }, arrived)
            if set[1].revents != 0, !accept(into: &waiting) {
                acceptsAgainAt = SuspendingClock.now + .milliseconds(100)
            }
        }
        for connection in waiting { connection.close() }
    }

    private func advance(
        _ waiting: [WaitingConnection], events: [Int16], _ arrived: (AssociationArrival) -> Void
    ) -> [WaitingConnection] {
        let now = SuspendingClock.now
        var staying: [WaitingConnection] = []
        for (connection, events) in zip(waiting, events) {
            switch events == 0 ? .waits : connection.read() {
            case .waits where now < connection.deadline: staying.append(connection)
            case .waits, .over: connection.close()
            case .request(let body):
                let socket = StreamSocket(adopting: connection.descriptor, address: connection.address)
                arrived(AssociationArrival(socket: socket, body: body, farewell: farewell))
            }
        }
        return staying
    }

    /// - Returns: false when there are no descriptors left.
    private func accept(into waiting: inout [WaitingConnection]) -> Bool {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let (connection, address) = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    let connection = cdcmtk_accept(descriptor, $0, &length)
                    return (connection, connection < 0 ? nil : IPAddress($0))
                }
            }
            guard connection >= 0 else {
                switch errno {
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    if !waiting.isEmpty { waiting.removeFirst().close() }
                    return false
                case EINTR, ECONNABORTED: continue
                default: return true
                }
            }
            guard let address else {
                close(connection)
                continue
            }
            if waiting.count >= maximumWaiting { waiting.removeFirst().close() }
            waiting.append(
                WaitingConnection(
                    descriptor: connection, address: address, deadline: SuspendingClock.now + Self.requestLimit))
        }
    }

    /// Ends `run`, from any thread. New connections are refused once the listener is gone.
    public func stop() {
        farewell.stop()
    }
}

/// A connection in the poll set: one that has not asked yet, or one that is being seen off.
final class WaitingConnection {
    enum Progress {
        case waits
        /// The variable part of the whole A-ASSOCIATE-RQ.
        case request([UInt8])
        case over
    }

    static let maximumRequest = 64 << 10

    let descriptor: Int32
    let address: IPAddress
    let deadline: SuspendingClock.Instant
    /// Held for its descriptor while its last bytes go out.
    private let leaver: StreamSocket?
    private var received: [UInt8] = []

    init(descriptor: Int32, address: IPAddress, deadline: SuspendingClock.Instant) {
        self.descriptor = descriptor
        self.address = address
        self.deadline = deadline
        leaver = nil
    }

    init(seeingOff socket: StreamSocket) {
        descriptor = socket.descriptor
        address = socket.address
        deadline = SuspendingClock.now + .seconds(1)
        leaver = socket
    }

    /// Reads what is there, without waiting.
    func read() -> Progress {
        if leaver != nil { return discard() }
        while true {
            let wanted = wantedLength
            if received.count == wanted { return .request(Array(received[PDUStream.headerLength...])) }
            var part = [UInt8](repeating: 0, count: wanted - received.count)
            let count = recv(descriptor, &part, part.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) ? .waits : .over }
            received += part[..<count]
            // Anything else that speaks first is no DICOM.
            guard received[0] == PDUType.associateRequest.rawValue, wantedLength <= Self.maximumRequest else {
                return .over
            }
        }
    }

    /// Never more than the request, so that nothing is read too far.
    private var wantedLength: Int {
        guard received.count >= PDUStream.headerLength else { return PDUStream.headerLength }
        return PDUStream.headerLength + received[2..<6].reduce(0) { $0 << 8 | Int($1) }
    }

    private func discard() -> Progress {
        var part = [UInt8](repeating: 0, count: 16 << 10)
        // A few rounds only: whoever keeps sending is cut off at the deadline.
        for _ in 0..<8 {
            let count = recv(descriptor, &part, part.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) ? .waits : .over }
        }
        return .waits
    }

    func close() {
        if leaver == nil { _ = Glibc.close(descriptor) }
    }
}

/// Where associations go to end: the last PDU is only sure to arrive if we read on until the peer closes, because
/// closing a socket with unread bytes resets the connection. No thread waits for that; the accept loop does.
final class Farewell: Sendable {
    private struct State {
        var leavers: [StreamSocket] = []
        var isStopped = false
    }

    /// Readable when there is something to look at.
    let descriptor: Int32
    private let bell: Int32
    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int) {
        self.capacity = capacity
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        precondition(socketpair(AF_UNIX, type, 0, &pair) == 0, "could not make a pair of sockets: \(errorText(errno))")
        descriptor = pair[0]
        bell = pair[1]
    }

    deinit {
        close(descriptor)
        close(bell)
    }

    var isStopped: Bool { state.withLock { $0.isStopped } }

    func see(off socket: StreamSocket) {
        socket.begin(.working)
        socket.finishSending()
        let goes = state.withLock { state in
            // More than can be polled: the oldest have had the longest.
            if state.leavers.count >= capacity { state.leavers.removeFirst() }
            if !state.isStopped { state.leavers.append(socket) }
            return !state.isStopped
        }
        if goes { wake() }
    }

    func takeLeavers() -> [WaitingConnection] {
        let leavers = state.withLock { state in
            defer { state.leavers = [] }
            return state.leavers
        }
        return leavers.map(WaitingConnection.init(seeingOff:))
    }

    func stop() {
        state.withLock {
            $0.isStopped = true
            $0.leavers = []
        }
        wake()
    }

    /// A bell that has been rung and not heard rings once, however full the pair is.
    private func wake() {
        var stroke: UInt8 = 1
        send(bell, &stroke, 1, Int32(MSG_NOSIGNAL))
    }

    func clearWake() {
        var strokes = [UInt8](repeating: 0, count: 64)
        while recv(descriptor, &strokes, strokes.count, 0) == strokes.count {}
    }
}
