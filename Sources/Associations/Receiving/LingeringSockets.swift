// SPDX-License-Identifier: Apache-2.0

import Platform
import Synchronization

/// Sockets whose association is over and whose last PDU is still on its way to the peer.
///
/// Closing a socket that holds unread bytes resets the connection, and a reset may destroy the last PDU. The accept
/// loop therefore reads on until the peer closes, for a moment. No thread waits for it. Rejected connections are
/// bounded apart from the others, so that strangers do not cost a peer its last PDU.
final class LingeringSockets: Sendable {
    /// The end of the DICOM conversation on a socket.
    enum Ending: Sendable {
        /// The association was rejected, or its request was malformed.
        case rejection
        /// The association was open.
        case association
    }

    /// A socket that is read until its peer closes it.
    struct Closing: Sendable {
        let socket: StreamSocket
        /// A reading of `MonotonicClock`.
        let deadline: Duration
    }

    private struct State {
        var rejected: BoundedByAddress<Closing>
        var ended: BoundedByAddress<Closing>
        var isStopped = false
    }

    /// Rings if there are new sockets, and on `stop`.
    let wakeUp: WakeUp
    private let limit: Duration
    private let state: Mutex<State>

    /// - Parameter bounds: the number of sockets that are held, and the time.
    /// - Throws: the error of eventfd(2), if no descriptor is left.
    init(_ bounds: ConnectionBounds) throws(SystemCallError) {
        limit = bounds.closingLimit
        state = Mutex(
            State(
                rejected: BoundedByAddress(capacity: bounds.rejected.all, perNetwork: bounds.rejected.perNetwork),
                ended: BoundedByAddress(capacity: bounds.ended, perNetwork: bounds.ended)))
        wakeUp = try WakeUp()
    }

    /// Whether `stop` was called.
    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// The sockets to read from.
    var sockets: [Closing] { state.withLock { $0.rejected.elements + $0.ended.elements } }

    /// Closes the sending side of a socket, and hands the socket to the accept loop.
    ///
    /// If a bound is reached, the oldest socket is closed, because it had the most time.
    func add(_ socket: StreamSocket, after ending: Ending) {
        socket.finishSending()
        // Most peers close at once after the release.
        if Self.isClosed(socket) { return }
        let closing = Closing(socket: socket, deadline: MonotonicClock.now() + limit)
        // The socket that has to go is closed outside the lock, with its last reference.
        let removed = state.withLock { state -> Closing? in
            if state.isStopped { return nil }
            switch ending {
            case .rejection: return state.rejected.append(closing, from: socket.address)
            case .association: return state.ended.append(closing, from: socket.address)
            }
        }
        withExtendedLifetime(removed) {}
        wakeUp.ring()
    }

    /// Reads and discards the bytes that have arrived, and lets go of sockets that are closed or late.
    func discard(_ sockets: some Sequence<(Closing, Bool)>) {
        let now = MonotonicClock.now()
        var over: Set<ObjectIdentifier> = []
        for (closing, isReady) in sockets where now >= closing.deadline || (isReady && Self.isClosed(closing.socket)) {
            over.insert(ObjectIdentifier(closing.socket))
        }
        if over.isEmpty { return }
        state.withLock { state in
            state.rejected.removeAll { over.contains(ObjectIdentifier($0.socket)) }
            state.ended.removeAll { over.contains(ObjectIdentifier($0.socket)) }
        }
    }

    private static func isClosed(_ socket: StreamSocket) -> Bool {
        var part = [UInt8](repeating: 0, count: 16 << 10)
        // The number of rounds is limited: a peer that keeps sending is cut off at the deadline.
        for _ in 0..<8 {
            switch part.withUnsafeMutableBytes({ socket.readAvailable(into: $0) }) {
            case .bytes: continue
            case .wouldBlock: return false
            case .end: return true
            }
        }
        return false
    }

    /// Ends the accept loop, and closes the sockets.
    func stop() {
        state.withLock { state in
            state.isStopped = true
            state.rejected.removeAll { _ in true }
            state.ended.removeAll { _ in true }
        }
        wakeUp.ring()
    }
}
