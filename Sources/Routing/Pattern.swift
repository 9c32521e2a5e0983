// SPDX-License-Identifier: Apache-2.0

import CRE2

/// A regular expression whose search time is linear in the length of the text, for every expression.
///
/// The syntax is that of RE2 (https://github.com/google/re2/wiki/Syntax): Perl's without backreferences and
/// look-around. `\d`, `\w`, `\s` and `\b` know ASCII only, `.` is any character but a line feed, and `(?i)` follows
/// Unicode's simple case folding.
public struct Pattern: Sendable, CustomStringConvertible {
    /// The expression as it was written.
    public let description: String
    private let compiled: CompiledPattern

    /// Characters (Unicode scalars) of the longest expression.
    public static let maximumLength = 1000

    /// - Throws: `PatternError` with the place in `source` and the reason.
    public init(_ source: String) throws(PatternError) {
        if source.isEmpty {
            throw PatternError(
                position: 1, reason: "an empty pattern is found everywhere; leave the condition out instead")
        }
        if source.unicodeScalars.count > Self.maximumLength {
            throw PatternError(
                position: Self.maximumLength + 1, reason: "longer than \(Self.maximumLength) characters")
        }
        description = source
        compiled = CompiledPattern(source)
        if compiled.status != CRE2_OK { throw PatternError(compiled, source) }
    }

    /// Whether a match begins anywhere in `text`.
    public func isFound(in text: String) -> Bool { compiled.isFound(in: text) }
}

/// A refused regular expression.
public struct PatternError: Error, Equatable, CustomStringConvertible {
    /// The place of the error: characters (Unicode scalars) of the pattern, counted from 1.
    public let position: Int
    /// The fault and, if it is known, the correct form.
    public let reason: String

    /// The place and the reason in one line.
    public var description: String { "at character \(position) of the pattern: \(reason)" }
}

extension PatternError {
    fileprivate init(_ refused: CompiledPattern, _ source: String) {
        let scalars = source.unicodeScalars
        let position = Self.position(of: refused, in: Array(scalars))
        let rest = String(String.UnicodeScalarView(scalars.dropFirst(position - 1)))
        self.init(position: position, reason: Self.reason(for: refused, in: rest))
    }

    /// Finds the place of an error, because RE2 reports only the text of the offending part.
    private static func position(of refused: CompiledPattern, in scalars: [Unicode.Scalar]) -> Int {
        let length = refused.argument.unicodeScalars.count
        switch refused.status {
        case CRE2_TRAILING_BACKSLASH: return scalars.count
        case CRE2_MISSING_PARENTHESIS: return openGroup(in: scalars) + 1
        case CRE2_MISSING_BRACKET: return scalars.count - length + 1
        default: break
        }
        // RE2 reads from left to right and stops at the first error. So every prefix that holds the offending part is
        // refused for the same reason, and the shortest of them ends with it.
        var end = scalars.count
        while end > 1 {
            let shorter = CompiledPattern(String(String.UnicodeScalarView(scalars[..<(end - 1)])))
            let isSame =
                refused.status == CRE2_UNEXPECTED_PARENTHESIS
                ? shorter.status == refused.status
                : shorter.status == refused.status && shorter.argument == refused.argument
            guard isSame else { break }
            end -= 1
        }
        return refused.status == CRE2_UNEXPECTED_PARENTHESIS ? end : max(1, end - length + 1)
    }

    /// Index of the last `(` that is not closed.
    private static func openGroup(in scalars: [Unicode.Scalar]) -> Int {
        var open: [Int] = []
        var classStart: Int?
        var index = 0
        while index < scalars.count {
            switch (scalars[index], classStart) {
            case ("\\", _): index += 1
            case ("[", nil):
                classStart = index
                // A bracket that begins a class is a member of it: []a] and [^]a].
                if index + 1 < scalars.count, scalars[index + 1] == "^" { index += 1 }
                if index + 1 < scalars.count, scalars[index + 1] == "]" { index += 1 }
            case ("]", .some): classStart = nil
            case ("(", nil): open.append(index)
            case (")", nil): _ = open.popLast()
            default: break
            }
            index += 1
        }
        return open.last ?? 0
    }

    /// The reason in words, with advice.
    private static func reason(for refused: CompiledPattern, in rest: String) -> String {
        let argument = refused.argument
        switch refused.status {
        case CRE2_BAD_ESCAPE:
            let digit = argument.dropFirst().first
            return digit.map { ("1"..."9").contains($0) } ?? false
                ? "backreferences are not supported" : "the escape '\(argument)' does not exist"
        case CRE2_BAD_RANGE where argument.hasPrefix("[:") || argument.lowercased().hasPrefix("\\p"):
            return "the class '\(argument)' does not exist"
        case CRE2_BAD_RANGE: return "this range runs backwards"
        case CRE2_MISSING_BRACKET: return "this class is never closed"
        case CRE2_MISSING_PARENTHESIS: return "this group is never closed"
        case CRE2_UNEXPECTED_PARENTHESIS:
            return "')' closes a group that was never opened; write '\\)' for the character"
        case CRE2_TRAILING_BACKSLASH: return "a backslash at the end escapes nothing"
        case CRE2_REPEAT_ARGUMENT:
            return "nothing to repeat before '\(argument)'; write '\\\(argument)' for the character"
        case CRE2_REPEAT_SIZE:
            return "the repetition '\(argument)' needs the smaller number first, and at most 1000 repeats in all"
        case CRE2_REPEAT_OPERATOR:
            return argument.hasSuffix("+")
                ? "possessive repetition is not supported; leave the '+' of '\(argument)' out"
                : "'\(argument)' repeats a repetition; put the first in parentheses"
        case CRE2_BAD_GROUP: return groupReason(argument, rest)
        case CRE2_TOO_LARGE: return "repetitions make the pattern too large to search quickly"
        default: return refused.text
        }
    }

    /// The reason why a form of group is refused; `rest` is the pattern from its parenthesis on.
    private static func groupReason(_ argument: String, _ rest: String) -> String {
        if rest.hasPrefix("(?=") || rest.hasPrefix("(?!") { return "look-ahead is not supported" }
        if rest.hasPrefix("(?<=") || rest.hasPrefix("(?<!") { return "look-behind is not supported" }
        if rest.hasPrefix("(?<") { return "named groups are not supported; use '(' or '(?:'" }
        if rest.hasPrefix("(?>") { return "atomic groups are not supported; use '(?:'" }
        return "the group form '\(argument)' does not exist; use '(?:', '(?i)' or '(?i:'"
    }
}

/// Owns an expression that RE2 has compiled or refused.
// RE2's object does not change after its construction, and its searches may run on several threads at once.
private final class CompiledPattern: @unchecked Sendable {
    private let handle: OpaquePointer

    init(_ source: String) {
        var source = source
        let made = source.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { cre2_create($0.baseAddress, $0.count) }
        }
        guard let made else { fatalError("out of memory") }
        handle = made
    }

    deinit { cre2_destroy(handle) }

    var status: cre2_status { cre2_get_status(handle) }

    /// The part of the expression that RE2 refuses.
    var argument: String {
        var length = 0
        let bytes = UnsafeRawBufferPointer(start: cre2_error_argument(handle, &length), count: length)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// RE2's own words about the error.
    var text: String { String(cString: cre2_error_text(handle)) }

    func isFound(in text: String) -> Bool {
        var text = text
        let found = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { cre2_search(handle, $0.baseAddress, $0.count) }
        }
        guard found >= 0 else { fatalError("out of memory") }
        return found == 1
    }
}
