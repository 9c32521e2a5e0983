// SPDX-License-Identifier: Apache-2.0

/// Finds the addresses of host names. A resolver that does not answer does not hold up the callers.
///
/// Each name is looked up on a thread of its own, by one look-up at a time. An answer is renewed after a minute. If the
/// resolver does not answer any more, the last answer stays usable for an hour. Names come from the configuration, so
/// the number of threads is bounded.
// `@unchecked`: `names` is touched only under `condition`.
public final class HostResolver: @unchecked Sendable {
    /// The result of a look-up.
    public enum LookUp: Sendable, Equatable {
        /// The addresses, in the resolver's order; at least one.
        case addresses([IPAddress])
        /// The resolver says that the name does not exist, or that it does not have an address.
        case unknownName
        /// The resolver did not answer in time, or it failed.
        case noAnswer
    }

    /// The age from which an answer is renewed.
    static let renewal: Duration = .seconds(60)
    /// The age up to which an answer is used while the resolver does not give a new one.
    static let usable: Duration = .seconds(3600)
    /// The wait before a name is looked up again for which the resolver gave no addresses.
    static let retry: Duration = .seconds(5)

    private struct Name {
        /// The addresses that the resolver gave last; empty for an unknown name.
        var addresses: [IPAddress] = []
        /// When the resolver gave `addresses`; `nil` if it never answered.
        var answeredAt: Duration?
        /// When the next look-up may begin.
        var nextLookUp: Duration?
        /// Whether a thread waits for the resolver.
        var isBusy = false
    }

    /// The resolver of this process.
    public static let shared = HostResolver()

    private let lookUp: @Sendable (String) -> LookUp
    private let clock: @Sendable () -> Duration
    /// Woken when a look-up ends.
    private let condition = MonotonicCondition()
    private var names: [String: Name] = [:]

    /// - Parameters:
    ///   - lookUp: asks the resolver for a name; may block.
    ///   - clock: a reading of a clock that only moves forward.
    public init(
        lookUp: @escaping @Sendable (String) -> LookUp = IPAddress.lookUp,
        clock: @escaping @Sendable () -> Duration = MonotonicClock.now
    ) {
        self.lookUp = lookUp
        self.clock = clock
    }

    /// The addresses of a host as far as they are known.
    ///
    /// The call does not wait.
    ///
    /// - Parameter host: a name, or an address as text.
    /// - Returns: an empty list for a name without addresses; `nil` while the first look-up runs.
    public func known(_ host: String) -> [IPAddress]? {
        if let literal = IPAddress(host) { return [literal] }
        return condition.withLock {
            beginLookUpIfDue(host)
            let name = names[host, default: Name()]
            if let answeredAt = name.answeredAt, clock() - answeredAt < Self.usable { return name.addresses }
            return name.isBusy ? nil : []
        }
    }

    /// The addresses of a host.
    ///
    /// The call waits for the resolver if it has to.
    ///
    /// - Parameters:
    ///   - host: a name, or an address as text.
    ///   - limit: the longest wait.
    ///   - isStopped: called ten times per second. The wait ends once it returns true.
    /// - Returns: `noAnswer` also if the time is over, or the caller stops.
    public func addresses(
        of host: String, within limit: Duration, isStopped: () -> Bool = { false }
    ) -> LookUp {
        let end = MonotonicClock.now() + limit
        while true {
            if let known = known(host) {
                if !known.isEmpty { return .addresses(known) }
                return condition.withLock { names[host]?.answeredAt == nil } ? .noAnswer : .unknownName
            }
            let rest = end - MonotonicClock.now()
            if rest <= .zero || isStopped() { return .noAnswer }
            condition.withLock {
                if names[host]?.isBusy == true { _ = condition.wait(timeout: min(rest, .milliseconds(100))) }
            }
        }
    }

    /// Begins a look-up unless one runs or the last answer is recent; called under the lock.
    private func beginLookUpIfDue(_ host: String) {
        var name = names[host, default: Name()]
        guard !name.isBusy, name.nextLookUp.map({ $0 <= clock() }) ?? true else { return }
        name.isBusy = true
        names[host] = name
        DedicatedThread.start(name: "kontur-resolve") { [self] in
            let result = lookUp(host)
            condition.withLock {
                take(result, for: host)
                condition.wakeAll()
            }
        }
    }

    private func take(_ result: LookUp, for host: String) {
        let now = clock()
        var name = names[host, default: Name()]
        name.isBusy = false
        switch result {
        case .addresses(let addresses):
            (name.addresses, name.answeredAt) = (addresses, now)
            name.nextLookUp = now + Self.renewal
        case .unknownName:
            (name.addresses, name.answeredAt) = ([], now)
            name.nextLookUp = now + Self.retry
        case .noAnswer:
            name.nextLookUp = now + Self.retry
        }
        names[host] = name
    }
}
