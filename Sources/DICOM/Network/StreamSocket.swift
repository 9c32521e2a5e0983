// SPDX-License-Identifier: Apache-2.0

import Glibc
import Platform
import Synchronization

/// A connected TCP socket, used by one thread and watched by `SocketWatchdog`.
///
/// Calls block without timeouts of their own: the watchdog shuts the socket down when its deadline passes, and any
/// thread may `shutDown` it; the blocked call then fails with the reason. The descriptor is closed with the object, so
/// nobody can shut down a number that has passed to somebody else.
package final class StreamSocket: Sendable {
    /// What the thread that owns the socket is doing, which decides what counts as too slow.
    package enum Activity: Sendable, Equatable {
        /// We are at work ourselves: no limit.
        case working
        /// The peer owes us something before this passes; `what` names it in the error.
        case waiting(Duration, what: String)
        /// The peer is in the middle of something: it has to keep up `SocketWatchdog.minimumRate`.
        case moving(what: String)
    }

    /// Why the socket was ended from outside.
    package enum Verdict: Sendable, Equatable {
        case timeout(waitingFor: String)
        case stopped
    }

    private struct State {
        var activity = Activity.working
        var since: SuspendingClock.Instant
        /// Bytes moved since `since`.
        var moved = 0
        /// Set while we are at work on what has come; the peer's time stands still.
        var pausedAt: SuspendingClock.Instant?
        var verdict: Verdict?
        /// End as soon as the peer has nothing under way.
        var stopsWhenIdle = false
    }

    let descriptor: Int32
    /// The other end.
    let address: IPAddress
    private let state: Mutex<State>

    /// Takes a connected socket over: its options are set, the watchdog starts to watch it.
    package init(adopting descriptor: Int32, address: IPAddress) {
        self.descriptor = descriptor
        self.address = address
        state = Mutex(State(since: SuspendingClock.now))
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        set(Int32(IPPROTO_TCP), TCP_NODELAY)
        set(SOL_SOCKET, SO_KEEPALIVE)
        SocketWatchdog.shared.watch(self)
    }

    deinit { close(descriptor) }

    private func set(_ level: Int32, _ option: Int32) {
        var on: Int32 = 1
        setsockopt(descriptor, level, option, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    package func begin(_ activity: Activity) {
        let now = SuspendingClock.now
        let stops = state.withLock { state in
            state.activity = activity
            state.since = now
            state.moved = 0
            guard state.stopsWhenIdle, state.verdict == nil, case .waiting = activity else { return false }
            state.verdict = .stopped
            return true
        }
        if stops { shutdown(descriptor, Int32(SHUT_RD)) }
    }

    /// Runs `body` without counting its time against the peer.
    package func pausing<Result>(_ body: () -> Result) -> Result {
        let start = SuspendingClock.now
        state.withLock { $0.pausedAt = start }
        let result = body()
        let end = SuspendingClock.now
        state.withLock {
            $0.pausedAt = nil
            $0.since += end - start
        }
        return result
    }

    /// Reads at least one byte.
    ///
    /// - Returns: 0 when the peer has closed its side.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(AssociationError) -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count > 0 {
                // The kernel leaves the mode by itself: peers with Nagle's algorithm on wait for each ACK.
                set(Int32(IPPROTO_TCP), TCP_QUICKACK)
                state.withLock { $0.moved += count }
                return count
            }
            let code = errno
            if let verdict = state.withLock({ $0.verdict }) { throw error(for: verdict) }
            if count == 0 { return 0 }
            if code != EINTR { throw .connectionLost(reason: errorText(code)) }
        }
    }

    /// Sends all of `bytes`.
    func write(_ bytes: UnsafeRawBufferPointer) throws(AssociationError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = send(descriptor, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
            if count > 0 {
                state.withLock { $0.moved += count }
                rest = rest.dropFirst(count)
                continue
            }
            let code = errno
            if let verdict = state.withLock({ $0.verdict }) { throw error(for: verdict) }
            if code != EINTR { throw .connectionLost(reason: errorText(code)) }
        }
    }

    func write(_ bytes: [UInt8]) throws(AssociationError) {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(AssociationError) in try write(buffer) }
        }
        try result.get()
    }

    /// Ends every call on the socket, now and later, on whatever thread.
    package func shutDown(_ verdict: Verdict) {
        state.withLock { if $0.verdict == nil { $0.verdict = verdict } }
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Ends reading as soon as nothing is under way: now, when the peer is being waited for. What is under way is
    /// finished, and there can still be written.
    package func stopWhenIdle() {
        let idle = state.withLock { state in
            state.stopsWhenIdle = true
            guard state.verdict == nil, case .waiting = state.activity else { return false }
            state.verdict = .stopped
            return true
        }
        if idle { shutdown(descriptor, Int32(SHUT_RD)) }
    }

    /// Whether it was ended because the node stops.
    var isStopping: Bool { state.withLock { $0.verdict == .stopped } }

    /// Says no more, but still hears what the peer says until it closes.
    func finishSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// The verdict on a socket that has broken its limit, and a new window for one that keeps up. Watchdog only.
    package func judge(at now: SuspendingClock.Instant) -> Verdict? {
        state.withLock { state in
            guard state.verdict == nil, state.pausedAt == nil else { return nil }
            switch state.activity {
            case .working:
                return nil
            case .waiting(let limit, let what):
                return now - state.since > limit ? .timeout(waitingFor: what) : nil
            case .moving(let what):
                guard now - state.since >= SocketWatchdog.window else { return nil }
                if state.moved < SocketWatchdog.minimumRate * Int(SocketWatchdog.window.components.seconds) {
                    return .timeout(waitingFor: what)
                }
                state.since = now
                state.moved = 0
                return nil
            }
        }
    }

    private func error(for verdict: Verdict) -> AssociationError {
        switch verdict {
        case .timeout(let what): .timeout(waitingFor: what)
        case .stopped: .connectionLost(reason: "the node is stopping")
        }
    }
}

/// The system's words for an error number.
func errorText(_ number: Int32) -> String {
    String(cString: strerror(number))
}

/// One thread that holds a deadline for every socket.
///
/// A peer that sends a byte a second passes every timeout of a single call; here it has to keep up a rate.
package final class SocketWatchdog: Sendable {
    static let shared = SocketWatchdog()

    /// Bytes a second that a peer has to move over a `window` in the middle of something.
    package static let minimumRate = 1024
    package static let window: Duration = .seconds(30)

    private struct Entry: Sendable {
        weak var socket: StreamSocket?
    }

    private let entries = Mutex<[Entry]?>(nil)

    func watch(_ socket: StreamSocket) {
        let starts = entries.withLock { entries in
            let first = entries == nil
            entries = (entries ?? []) + [Entry(socket: socket)]
            return first
        }
        if starts {
            DedicatedThread.start(name: "kontur-watchdog", stackSize: 256 << 10) { self.patrol() }
        }
    }

    private func patrol() -> Never {
        while true {
            usleep(250_000)
            let now = SuspendingClock.now
            let sockets = entries.withLock { entries in
                entries?.removeAll { $0.socket == nil }
                return (entries ?? []).compactMap(\.socket)
            }
            for socket in sockets {
                if let verdict = socket.judge(at: now) { socket.shutDown(verdict) }
            }
        }
    }
}
