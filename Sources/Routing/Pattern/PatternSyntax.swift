// SPDX-License-Identifier: Apache-2.0

/// What a pattern means, before it becomes a program.
indirect enum PatternSyntax {
    case empty
    case scalars(ScalarSet)
    case assertion(PatternAssertion)
    case sequence([PatternSyntax])
    case choice([PatternSyntax])
    /// At least `minimum` and at most `maximum` times; `nil` is without end. The position serves error messages.
    case repeated(PatternSyntax, minimum: Int, maximum: Int?, position: Int)
}

enum PatternAssertion {
    case start, end, wordBoundary, notWordBoundary
}

/// A set of Unicode scalars; one that ignores case holds a scalar when it holds any of its simple case forms.
struct ScalarSet: Sendable {
    var ranges: [ClosedRange<UInt32>] = []
    var isNegated = false
    var ignoresCase = false

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        var found = holds(scalar.value)
        if !found, ignoresCase {
            for form in scalar.caseForms where holds(form) { found = true }
        }
        return found != isNegated
    }

    private func holds(_ value: UInt32) -> Bool { ranges.contains { $0.contains(value) } }

    static func of(_ scalar: Unicode.Scalar, ignoresCase: Bool) -> ScalarSet {
        ScalarSet(ranges: [scalar.value...scalar.value], ignoresCase: ignoresCase)
    }

    static let digits = ScalarSet(ranges: [0x30...0x39])
    static let words = ScalarSet(ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    static let spaces = ScalarSet(ranges: [0x09...0x0D, 0x20...0x20, 0xA0...0xA0])
    static let anythingButLineFeed = ScalarSet(ranges: [0x0A...0x0A], isNegated: true)

    var negated: ScalarSet { ScalarSet(ranges: ranges, isNegated: !isNegated, ignoresCase: ignoresCase) }

    /// The ranges of the set with its negation worked out, for use inside a larger class.
    var positiveRanges: [ClosedRange<UInt32>] {
        guard isNegated else { return ranges }
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
            next = max(next, range.upperBound + 1)
        }
        if next <= 0x10FFFF { result.append(next...0x10FFFF) }
        return result
    }
}

extension Unicode.Scalar {
    /// The upper and lower case of a letter where each is one scalar.
    fileprivate var caseForms: [UInt32] {
        [properties.lowercaseMapping, properties.uppercaseMapping].compactMap { mapping in
            let scalars = mapping.unicodeScalars
            return scalars.count == 1 ? scalars.first?.value : nil
        }
    }

    var isWord: Bool { ScalarSet.words.contains(self) }
}
