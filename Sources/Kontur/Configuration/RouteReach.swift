// SPDX-License-Identifier: Apache-2.0

import Foundation
import Routing

/// Finds routes that no stack can reach, because earlier routes take every stack that they would take.
///
/// Only what can be proved counts: each alternative of the route must demand at least what one alternative of an
/// earlier route demands. A condition demands as much as another one of the same key if its texts are some of the
/// other's, its range lies in the other's, or both have the same value. A missing attribute then leaves both routes
/// undetermined.
struct RouteReach {
    private var earlier: [(route: String, conditions: [String: Demand])] = []

    /// What one condition demands of a stack.
    private enum Demand: Equatable {
        /// One of these texts, without regard to case.
        case texts(Set<String>)
        case range(minimum: Double, maximum: Double)
        /// Any other value of a condition.
        case other(ConfigurationValue.Content)

        init(_ value: ConfigurationValue) {
            switch value.content {
            case .text(let text): self = .texts([Self.comparable(text)])
            case .list(let values) where values.allSatisfy({ $0.text != nil }):
                self = .texts(Set(values.compactMap { $0.text.map(Self.comparable) }))
            case .map(let entries) where entries.allSatisfy({ ["min", "max"].contains($0.key) }):
                let numbers = Dictionary(
                    entries.compactMap { entry in entry.value.text.flatMap(Double.init).map { (entry.key, $0) } }
                ) { first, _ in first }
                self = .range(minimum: numbers["min"] ?? -.infinity, maximum: numbers["max"] ?? .infinity)
            default: self = .other(value.content.withoutPlaces)
            }
        }

        private static func comparable(_ text: String) -> String {
            text.trimmingCharacters(in: .whitespaces).uppercased()
        }

        /// Whether a stack that meets this demand also meets the other one.
        func implies(_ other: Demand) -> Bool {
            switch (self, other) {
            case (.texts(let some), .texts(let all)): some.isSubset(of: all)
            case (.range(let minimum, let maximum), .range(let least, let most)): minimum >= least && maximum <= most
            default: self == other
            }
        }
    }

    /// Takes the next route of the file.
    ///
    /// - Parameters:
    ///   - name: the name of the route.
    ///   - when: its conditions, without errors: one set, or a list of alternative sets.
    /// - Returns: the earlier routes that take every stack of this one; empty if some stack may reach it.
    mutating func add(_ name: String, when: ConfigurationValue) -> [String] {
        let alternatives = Self.alternatives(when)
        let takers = alternatives.map { demands in
            earlier.first { other in
                other.conditions.allSatisfy { key, demand in demands[key]?.implies(demand) ?? false }
            }?.route
        }
        earlier += alternatives.map { (name, $0) }
        guard !takers.isEmpty, !takers.contains(nil) else { return [] }
        var names: [String] = []
        for taker in takers.compactMap({ $0 }) where !names.contains(taker) { names.append(taker) }
        return names
    }

    private static func alternatives(_ when: ConfigurationValue) -> [[String: Demand]] {
        switch when.content {
        case .map(let entries):
            [Dictionary(entries.map { ($0.key, Demand($0.value)) }) { first, _ in first }]
        case .list(let sets): sets.flatMap(alternatives)
        case .text, .empty: []
        }
    }
}

extension ConfigurationValue.Content {
    /// The value without its places in the file, for comparison.
    ///
    /// The order of keys does not matter.
    fileprivate var withoutPlaces: Self {
        switch self {
        case .text, .empty: self
        case .list(let values): .list(values.map { .init($0.content.withoutPlaces) })
        case .map(let entries):
            .map(entries.sorted { $0.key < $1.key }.map { .init($0.key, .init($0.value.content.withoutPlaces)) })
        }
    }
}
