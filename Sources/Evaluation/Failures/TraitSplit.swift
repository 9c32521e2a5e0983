// SPDX-License-Identifier: Apache-2.0

/// Dice of one segmenter over cases that are split into thirds by one trait.
public struct TraitSplit: Sendable, Hashable, Codable {
    public struct Part: Sendable, Hashable, Codable {
        /// The smallest and largest value of the trait in it.
        public var low: Double
        public var high: Double
        public var dice: Estimate
        /// Share of cases with a Dice below what is acceptable.
        public var unacceptable: Double
    }

    public var trait: String
    public var title: String
    /// From low values of the trait to high ones.
    public var parts: [Part]
    /// Spearman's correlation of the trait with Dice.
    public var spearman: Double?

    /// - Parameters:
    ///   - values: of the trait, one a case; cases without one are left out.
    /// - Returns: `nil` with fewer than six cases that have the trait, or when they all have the same value.
    public init?(
        trait: String, title: String, values: [Double?], dice: [Double], acceptable: Double, resampling: Resampling
    ) {
        precondition(values.count == dice.count, "values for every case")
        let known = values.indices.filter { values[$0] != nil }
            .map { (value: values[$0] ?? 0, dice: dice[$0]) }
            .sorted { ($0.value, $0.dice) < ($1.value, $1.dice) }
        guard known.count >= 6, known[0].value < known[known.count - 1].value else { return nil }
        self.trait = trait
        self.title = title
        let bounds = (0...3).map { known.count * $0 / 3 }
        parts = (0..<3).compactMap { third in
            let part = known[bounds[third]..<bounds[third + 1]]
            guard let first = part.first, let last = part.last,
                let estimate = Estimate(part.map(\.dice), resampling: resampling)
            else { return nil }
            let bad = part.count { $0.dice < acceptable }
            return Part(
                low: first.value, high: last.value, dice: estimate, unacceptable: Double(bad) / Double(part.count))
        }
        spearman = Ranks.spearman(known.map(\.value), known.map(\.dice))
    }
}
