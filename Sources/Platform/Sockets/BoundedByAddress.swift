// SPDX-License-Identifier: Apache-2.0

/// Connections in the order in which they came, bounded in all and for each caller's network.
///
/// A new connection always finds a place. If the bound of its network is reached, the oldest connection of that network
/// goes. If the whole bound is reached, the oldest connection of the network with the most connections goes. So a
/// caller with many connections pushes out its own connections first.
package struct BoundedByAddress<Element> {
    /// Most elements in all.
    package let capacity: Int
    /// Most elements of one network.
    package let perNetwork: Int
    private var entries: [(network: [UInt8], element: Element)] = []
    private var counts: [[UInt8]: Int] = [:]

    /// An empty list.
    package init(capacity: Int, perNetwork: Int) {
        precondition(capacity > 0 && perNetwork > 0, "a bound is at least 1")
        self.capacity = capacity
        self.perNetwork = perNetwork
    }

    /// The elements, oldest first.
    package var elements: [Element] { entries.map { $0.element } }
    package var count: Int { entries.count }

    /// Adds an element as the newest.
    ///
    /// - Returns: the element that had to go.
    @discardableResult
    package mutating func append(_ element: Element, from address: IPAddress) -> Element? {
        let network = address.network
        var removed: Element?
        if counts[network, default: 0] >= perNetwork {
            removed = removeOldest(of: network)
        } else if entries.count >= capacity, let busiest = counts.max(by: { $0.value < $1.value })?.key {
            removed = removeOldest(of: busiest)
        }
        entries.append((network, element))
        counts[network, default: 0] += 1
        return removed
    }

    /// Removes the oldest element, whatever its network.
    @discardableResult
    package mutating func removeFirst() -> Element? {
        entries.first.flatMap { removeOldest(of: $0.network) }
    }

    /// Removes every element for which `isOver` is true.
    package mutating func removeAll(where isOver: (Element) -> Bool) {
        var left: [(network: [UInt8], element: Element)] = []
        for entry in entries {
            if isOver(entry.element) { count(down: entry.network) } else { left.append(entry) }
        }
        entries = left
    }

    private mutating func removeOldest(of network: [UInt8]) -> Element? {
        guard let index = entries.firstIndex(where: { $0.network == network }) else { return nil }
        count(down: network)
        return entries.remove(at: index).element
    }

    private mutating func count(down network: [UInt8]) {
        let left = counts[network, default: 1] - 1
        counts[network] = left > 0 ? left : nil
    }
}

extension BoundedByAddress: Sendable where Element: Sendable {}
