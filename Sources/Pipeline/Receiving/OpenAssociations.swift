// SPDX-License-Identifier: Apache-2.0

import Associations
public import Foundation
package import Persistence
import Platform

/// The registry of open associations, by the id that the journal keeps with each received instance.
///
/// The registry limits the number of associations, in all and of one peer. It keeps a series open while an association
/// may bring more instances, and it ends all associations when the node stops. An association that is not registered is
/// over. After a restart the registry is empty.
// `@unchecked`: the mutable properties are touched only under `condition`.
public final class OpenAssociations: @unchecked Sendable {
    /// How long `drain` waits for threads after it has shut their sockets down.
    private static let grace: Duration = .seconds(2)

    private struct Association {
        let peer: String
        let interruption: AssociationInterruption
        let isVerificationOnly: Bool
    }

    private let places: AssociationPlaces
    /// Woken when a thread ends.
    private let condition = MonotonicCondition()
    private var open: [UUID: Association] = [:]
    /// Threads that handle a request or serve an association, by peer.
    private var threads: [String: Int] = [:]
    /// Threads of callers that are not known yet.
    private var handshakes = HandshakePlaces()
    private var isStopping = false
    private var onEnd: [@Sendable (UUID) -> Void] = []

    /// - Parameter places: the number of associations that may be open at once.
    public init(_ places: AssociationPlaces) {
        self.places = places
    }

    /// Whether any of these associations may still bring instances.
    public func isAnyOpen(of associations: some Sequence<UUID>) -> Bool {
        condition.withLock { associations.contains { open[$0] != nil } }
    }

    /// Registers `body`, which is called after the end of each open association that could store, on its thread.
    public func whenOneEnds(_ body: @escaping @Sendable (UUID) -> Void) {
        condition.withLock { onEnd.append(body) }
    }

    /// Admits an association and registers it as open, if a place is free and the disk has room for it.
    ///
    /// `end` must follow, also if the association was not admitted.
    ///
    /// - Parameters:
    ///   - id: the association's id in the journal.
    ///   - peer: name of the peer that calls.
    ///   - interruption: ends the association when the node stops.
    ///   - isVerificationOnly: whether the association proposes only Verification.
    ///   - checkRoom: called with the number of other open associations that may store, if a place is free. It looks at
    ///     the disk, so it runs outside the lock.
    /// - Returns: the reason why the association has to be rejected; `nil` if it is open.
    func admit(
        _ id: UUID, peer: String, interruption: AssociationInterruption, isVerificationOnly: Bool,
        checkRoom: (_ storing: Int) throws(RoomShortage) -> Void
    ) -> AdmissionRefusal? {
        var others = 0
        let refusal: AdmissionRefusal? = condition.withLock {
            let alike = open.values.filter { $0.isVerificationOnly == isVerificationOnly }
            let (all, perPeer) =
                isVerificationOnly
                ? (places.verification, places.verificationPerPeer) : (places.storing, places.storingPerPeer)
            if isStopping { return .stopping }
            if alike.count >= all { return .allPlacesTaken(all) }
            if alike.count(where: { $0.peer == peer }) >= perPeer { return .peerPlacesTaken(perPeer) }
            open[id] = Association(peer: peer, interruption: interruption, isVerificationOnly: isVerificationOnly)
            others = alike.count
            return nil
        }
        if refusal != nil || isVerificationOnly { return refusal }
        do throws(RoomShortage) {
            try checkRoom(others)
            return nil
        } catch {
            condition.withLock { _ = open.removeValue(forKey: id) }
            return .noRoom(error)
        }
    }

    /// Removes an association whose peer has gone, and calls the bodies of `whenOneEnds` if it was open and could store.
    func end(_ id: UUID) {
        let bodies = condition.withLock {
            open.removeValue(forKey: id).map { $0.isVerificationOnly ? [] : onEnd } ?? []
        }
        for body in bodies { body(id) }
    }

    /// Reserves a thread for a request.
    ///
    /// `releaseThread` must follow if the result is `nil`.
    ///
    /// - Parameter peer: name of the peer that calls.
    /// - Returns: the reason why the request has to be rejected.
    func reserveThread(for peer: String) -> AdmissionRefusal? {
        condition.withLock {
            if isStopping { return .stopping }
            if threadCount >= places.threads { return .allPlacesTaken(places.threads) }
            if let refusal = refusal(for: peer) { return refusal }
            count(1, peer)
            return nil
        }
    }

    /// Reserves a thread for a caller that is not known before the TLS handshake.
    ///
    /// `releaseThread(ofHandshake:)` or `moveThread` must follow if the result is `nil`.
    ///
    /// - Parameters:
    ///   - id: the call's id.
    ///   - address: the caller's address.
    /// - Returns: the reason why the caller has to be rejected, or has to wait in the case of ``AdmissionRefusal/crowded``.
    func reserveThread(forHandshake id: UUID, from address: IPAddress) -> AdmissionRefusal? {
        condition.withLock {
            if isStopping { return .stopping }
            if threadCount >= places.threads { return .allPlacesTaken(places.threads) }
            return handshakes.take(id, from: address, now: MonotonicClock.now()) ? nil : .crowded
        }
    }

    /// Whether a handshake has to end because other callers of its network wait.
    func givesWay(_ id: UUID) -> Bool { condition.withLock { handshakes.givesWay(id) } }

    /// Moves a thread that was reserved for a handshake to the peer that the caller has turned out to be.
    ///
    /// - Returns: the reason why the request has to be rejected; the thread stays reserved for the handshake then.
    func moveThread(ofHandshake id: UUID, to peer: String) -> AdmissionRefusal? {
        condition.withLock {
            if let refusal = refusal(for: peer) { return refusal }
            handshakes.release(id)
            count(1, peer)
            return nil
        }
    }

    /// Gives back a thread that is reserved for a handshake, and is about to end.
    func releaseThread(ofHandshake id: UUID) {
        condition.withLock {
            handshakes.release(id)
            condition.wakeAll()
        }
    }

    /// Threads that are reserved.
    private var threadCount: Int { threads.values.reduce(handshakes.count, +) }

    private func refusal(for peer: String) -> AdmissionRefusal? {
        threads[peer, default: 0] >= places.threadsPerPeer ? .peerPlacesTaken(places.threadsPerPeer) : nil
    }

    /// Gives back a reserved thread, which is about to end.
    func releaseThread(for peer: String) {
        condition.withLock {
            count(-1, peer)
            condition.wakeAll()
        }
    }

    private func count(_ change: Int, _ peer: String) {
        let left = threads[peer, default: 0] + change
        threads[peer] = left > 0 ? left : nil
    }

    /// Ends all associations, and blocks until their threads are done.
    ///
    /// Idle associations end at once. The others end after the instance in flight, or when `patience` is over.
    ///
    /// - Parameter patience: the time for instances in flight. The call takes at most two seconds more.
    func drain(patience: Duration) {
        for interruption in stop() { interruption.stopWhenIdle() }
        if waitForThreads(atMost: patience) { return }
        for interruption in stop() { interruption.stop() }
        _ = waitForThreads(atMost: Self.grace)
    }

    /// Stops admitting associations.
    ///
    /// - Returns: the interruptions of the open associations.
    private func stop() -> [AssociationInterruption] {
        condition.withLock {
            isStopping = true
            return open.values.map(\.interruption)
        }
    }

    private func waitForThreads(atMost limit: Duration) -> Bool {
        let deadline = MonotonicClock.now() + limit
        return condition.withLock {
            while !threads.isEmpty || handshakes.count > 0 {
                let rest = deadline - MonotonicClock.now()
                guard rest > .zero else { return false }
                _ = condition.wait(timeout: rest)
            }
            return true
        }
    }
}

/// The reason why the association of a known peer is rejected for the moment.
package enum AdmissionRefusal: Sendable, Equatable, CustomStringConvertible {
    case stopping
    case allPlacesTaken(Int)
    case peerPlacesTaken(Int)
    /// Too many TLS handshakes are under way.
    case crowded
    case noRoom(RoomShortage)

    package var description: String {
        switch self {
        case .stopping: "the node is stopping"
        case .allPlacesTaken(let count):
            "all \(count) places are taken; raise node.maxAssociations, or let peers send over fewer associations"
        case .peerPlacesTaken(let count):
            "the peer has all \(count) places that one peer may have; raise node.maxAssociationsPerPeer, or let the "
                + "peer send over fewer associations"
        case .crowded:
            "\(HandshakePlaces.perNetwork) TLS handshakes of the caller's network are under way, or \(HandshakePlaces.all) "
                + "in all; let the network call over fewer connections at once"
        case .noRoom(let shortage): "no room: \(shortage)"
        }
    }
}
