// SPDX-License-Identifier: Apache-2.0

/// A data set that a peer sends.
struct Sending: Hashable {
    var uid: String
    var study: String
    var series: String
    /// What the pixels show.
    var image: String
    /// The transfer syntax of the pixels, which does not change the image.
    var encoding: String
    var patient: String

    var place: String { study + " " + series }
    var bytes: [UInt8] { Array("\(self)".utf8) }
    /// The digest of the pixels as they were sent.
    var digest: String { image + " " + encoding }
}

/// The plain model of a journal: everything that was received, in its order, and what must hold for it.
struct HistoryModel {
    struct Received {
        var id: Int64
        var sending: Sending
        var isIndexed = false
        /// Whether a variant replaced this one that retention has deleted since.
        var isReplaced = false
        /// When the node acknowledged the data set last, in seconds that have really passed; `nil` if it never did.
        var acknowledged: Double?
    }

    var received: [Received] = []
    /// The instances of each closed series when it was closed.
    var closed: [String: [Sending]] = [:]

    /// The current instances by place: no later variant of the UID has the same place or the same image.
    ///
    /// The encoding counts for nothing here.
    var current: [String: [Sending]] {
        var found: [String: [Sending]] = [:]
        let indexed = received.filter(\.isIndexed)
        for one in indexed {
            found[one.sending.place, default: []] += []
            if !isReplaced(one, among: indexed) { found[one.sending.place, default: []].append(one.sending) }
        }
        return found.mapValues { $0.sorted { $0.uid < $1.uid } }
    }

    private func isReplaced(_ one: Received, among others: [Received]) -> Bool {
        one.isReplaced
            || others.contains {
                one.id < $0.id && one.sending.uid == $0.sending.uid
                    && (one.sending.place == $0.sending.place || one.sending.image == $0.sending.image)
            }
    }

    /// Notes which instances were indexed; a closed series whose instances changed is open again.
    mutating func index(_ id: Int64) {
        for index in received.indices where received[index].id == id { received[index].isIndexed = true }
        let current = current
        for (place, instances) in closed where current[place]?.map(\.known) != instances.map(\.known) {
            closed[place] = nil
        }
    }

    /// Notes that the node acknowledges a data set again, and with it everything of its series.
    mutating func renew(_ id: Int64, at time: Double) {
        for index in received.indices where received[index].id == id { received[index].acknowledged = time }
    }

    /// Forgets the instances that retention has deleted.
    mutating func keep(_ ids: Set<Int64>) {
        let indexed = received.filter(\.isIndexed)
        for index in received.indices where received[index].isIndexed {
            received[index].isReplaced = isReplaced(received[index], among: indexed)
        }
        received.removeAll { !ids.contains($0.id) }
    }

    /// The database is lost: every file is found again, in the order of receipt, and nothing else is known.
    ///
    /// A data set that repeats the one before it does not get a second row.
    mutating func loseDatabase() {
        var found: [Received] = []
        for var one in received {
            if found.last(where: { $0.sending.uid == one.sending.uid })?.sending == one.sending { continue }
            one.isIndexed = false
            one.isReplaced = false
            found.append(one)
        }
        received = found
        closed = [:]
    }
}

extension Sending {
    /// What the node knows of a current instance: the same image and attributes are nothing new.
    var known: [String] { [uid, image, patient] }
}

/// A seeded generator: SplitMix64.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
