// SPDX-License-Identifier: Apache-2.0

/// Reads a regular expression by recursive descent; the depth of groups is bounded, so is the recursion.
struct PatternParser {
    private let scalars: [Unicode.Scalar]
    private var index = 0
    private var depth = 0
    private var ignoresCase = false

    init(_ source: String) { scalars = Array(source.unicodeScalars) }

    mutating func parse() throws(PatternError) -> PatternSyntax {
        if scalars.isEmpty { throw error("an empty pattern is found everywhere; leave the condition out instead") }
        if scalars.count > Pattern.maximumLength {
            throw error("longer than \(Pattern.maximumLength) characters", at: Pattern.maximumLength)
        }
        let syntax = try choice()
        if index < scalars.count {
            throw error("')' closes a group that was never opened; write '\\)' for the character")
        }
        return syntax
    }

    private var current: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private func error(_ reason: String, at place: Int? = nil) -> PatternError {
        PatternError(position: (place ?? index) + 1, reason: reason)
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard current == scalar else { return false }
        index += 1
        return true
    }

    // MARK: choice, sequence, repetition

    private mutating func choice() throws(PatternError) -> PatternSyntax {
        var options = [try sequence()]
        while take("|") { options.append(try sequence()) }
        return options.count == 1 ? options[0] : .choice(options)
    }

    private mutating func sequence() throws(PatternError) -> PatternSyntax {
        var parts: [PatternSyntax] = []
        while let scalar = current, scalar != "|", scalar != ")" {
            let start = index
            parts.append(try repetition(of: try atom(), startingAt: start))
        }
        return parts.isEmpty ? .empty : parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func repetition(of atom: PatternSyntax, startingAt start: Int) throws(PatternError)
        -> PatternSyntax
    {
        guard let bounds = try quantifier() else { return atom }
        if case .assertion = atom {
            throw error("'\(scalars[start])' has no width, so it cannot be repeated", at: start)
        }
        if take("+") { throw error("possessive repetition is not supported: leave the second '+' out", at: index - 1) }
        _ = take("?")
        let second = index
        if try quantifier() != nil {
            throw error("a repetition of a repetition: put the first in parentheses", at: second)
        }
        return .repeated(atom, minimum: bounds.minimum, maximum: bounds.maximum, position: start + 1)
    }

    private mutating func quantifier() throws(PatternError) -> (minimum: Int, maximum: Int?)? {
        switch current {
        case "*": index += 1; return (0, nil)
        case "+": index += 1; return (1, nil)
        case "?": index += 1; return (0, 1)
        case "{": return try counted()
        default: return nil
        }
    }

    private mutating func counted() throws(PatternError) -> (minimum: Int, maximum: Int?) {
        let start = index
        let expected = "expected '{m}', '{m,}' or '{m,n}'; write '\\{' for the character"
        index += 1
        guard let minimum = number() else { throw error(expected, at: start) }
        var maximum: Int? = minimum
        if take(",") { maximum = number() }
        guard take("}") else { throw error(expected, at: start) }
        if max(minimum, maximum ?? 0) > Pattern.maximumRepeat {
            throw error("repeats more than \(Pattern.maximumRepeat) times", at: start)
        }
        if let maximum, maximum < minimum { throw error("the larger number comes second", at: start) }
        return (minimum, maximum)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let scalar = current, ScalarSet.digits.contains(scalar) {
            value = min((value ?? 0) * 10 + Int(scalar.value - 0x30), 1_000_000)
            index += 1
        }
        return value
    }

    // MARK: atoms

    private mutating func atom() throws(PatternError) -> PatternSyntax {
        let start = index
        guard let scalar = current else { return .empty }
        index += 1
        switch scalar {
        case ".": return .scalars(.anythingButLineFeed)
        case "^": return .assertion(.start)
        case "$": return .assertion(.end)
        case "(": return try group(openedAt: start)
        case "[": return .scalars(try scalarClass(openedAt: start))
        case "\\": return try escape(at: start)
        case "*", "+", "?", "{":
            throw error("nothing to repeat before '\(scalar)'; write '\\\(scalar)' for the character", at: start)
        default: return .scalars(.of(scalar, ignoresCase: ignoresCase))
        }
    }

    private mutating func group(openedAt start: Int) throws(PatternError) -> PatternSyntax {
        let outer = ignoresCase
        if take("?") {
            switch current {
            case ":": index += 1
            case "i":
                index += 1
                // (?i) holds to the end of the group it stands in; (?i: ... ) for what it encloses.
                if take(")") { ignoresCase = true; return .empty }
                guard take(":") else { throw error("of the flags only (?i) is supported", at: start) }
                ignoresCase = true
            case "=", "!": throw error("look-ahead is not supported", at: start)
            case "<":
                let isLookBehind = index + 1 < scalars.count && (scalars[index + 1] == "=" || scalars[index + 1] == "!")
                throw error(
                    isLookBehind ? "look-behind is not supported" : "named groups are not supported: use '(' or '(?:'",
                    at: start)
            case ">": throw error("atomic groups are not supported: use '(?:'", at: start)
            default: throw error("of the group forms only '(?:', '(?i)' and '(?i:' are supported", at: start)
            }
        }
        depth += 1
        if depth > Pattern.maximumDepth {
            throw error("more than \(Pattern.maximumDepth) groups inside each other", at: start)
        }
        let inner = try choice()
        guard take(")") else { throw error("this group is never closed", at: start) }
        depth -= 1
        ignoresCase = outer
        return inner
    }

    private mutating func escape(at start: Int) throws(PatternError) -> PatternSyntax {
        if take("b") { return .assertion(.wordBoundary) }
        if take("B") { return .assertion(.notWordBoundary) }
        return .scalars(try escapedSet(at: start))
    }

    /// What follows a backslash, in a class or outside; the backslash has been taken.
    private mutating func escapedSet(at start: Int) throws(PatternError) -> ScalarSet {
        guard let scalar = current else { throw error("a backslash at the end escapes nothing", at: start) }
        index += 1
        switch scalar {
        case "d": return .digits
        case "D": return .digits.negated
        case "w": return .words
        case "W": return .words.negated
        case "s": return .spaces
        case "S": return .spaces.negated
        case "t": return .of("\t", ignoresCase: false)
        case "n": return .of("\n", ignoresCase: false)
        case "r": return .of("\r", ignoresCase: false)
        case "1"..."9": throw error("backreferences are not supported", at: start)
        case "0", "a"..."z", "A"..."Z": throw error("'\\\(scalar)' is not supported", at: start)
        default: return .of(scalar, ignoresCase: ignoresCase)
        }
    }

    private mutating func scalarClass(openedAt start: Int) throws(PatternError) -> ScalarSet {
        var set = ScalarSet(isNegated: take("^"), ignoresCase: ignoresCase)
        var isFirst = true
        while true {
            guard let scalar = current else { throw error("this class is never closed", at: start) }
            if scalar == "]", !isFirst { break }
            isFirst = false
            let place = index
            let low = try classMember()
            guard current == "-", index + 1 < scalars.count, scalars[index + 1] != "]" else {
                set.ranges += low.positiveRanges
                continue
            }
            index += 1
            let high = try classMember()
            guard let from = low.only, let to = high.only else {
                throw error("a range runs between two characters", at: place)
            }
            if from > to { throw error("this range runs backwards", at: place) }
            set.ranges.append(from...to)
        }
        index += 1
        return set
    }

    private mutating func classMember() throws(PatternError) -> ScalarSet {
        let place = index
        guard let scalar = current else { throw error("this class is never closed", at: place) }
        index += 1
        if scalar == "[", current == ":" {
            throw error("'[:name:]' classes are not supported: use \\d, \\w or \\s", at: place)
        }
        return scalar == "\\" ? try escapedSet(at: place) : .of(scalar, ignoresCase: false)
    }
}

extension ScalarSet {
    /// The one scalar of a set that holds one.
    fileprivate var only: UInt32? {
        guard !isNegated, ranges.count == 1, ranges[0].count == 1 else { return nil }
        return ranges[0].lowerBound
    }
}
