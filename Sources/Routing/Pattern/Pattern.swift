// SPDX-License-Identifier: Apache-2.0

/// A regular expression that is searched in time linear in the text, whatever the expression.
///
/// It is compiled to a small program that runs every alternative at once, so nothing backtracks: Ken Thompson, "Regular
/// Expression Search Algorithm" (1968), in Rob Pike's form. What such a program cannot do (backreferences, look-around) is refused,
/// and so is a program too large to run quickly.
///
/// Understood: literals, `.`, `[...]` with ranges and `^`, `\d \w \s` and their capitals, `\b \B`, `\t \n \r`, escaped
/// punctuation, `( )`, `(?: )`, `|`, `* + ?`, `{m}`, `{m,}`, `{m,n}` (lazy forms too, which find the same texts), `^`, `$` and `(?i)`.
/// Texts are compared by Unicode scalar; `\d`, `\w` and `\b` know ASCII only, `.` is anything but a line feed.
public struct Pattern: Sendable, Hashable, CustomStringConvertible {
    /// The expression as it was written.
    public let source: String
    let program: [PatternInstruction]

    public static let maximumLength = 1000
    /// Instructions: a text of a thousand characters costs at most some millions of steps.
    static let maximumProgram = 10_000
    static let maximumDepth = 50
    static let maximumRepeat = 1000

    /// - Throws: `PatternError` naming the place in `source` and what is wrong there.
    public init(_ source: String) throws(PatternError) {
        self.source = source
        var parser = PatternParser(source)
        var compiler = PatternCompiler()
        try compiler.compile(parser.parse())
        program = compiler.finish()
    }

    /// Whether a match begins anywhere in `text`.
    public func isFound(in text: String) -> Bool {
        PatternSearch(program: program, text: Array(text.unicodeScalars)).run()
    }

    public var description: String { source }
    public static func == (a: Pattern, b: Pattern) -> Bool { a.source == b.source }
    public func hash(into hasher: inout Hasher) { hasher.combine(source) }
}

/// A regular expression that is refused.
public struct PatternError: Error, Equatable, CustomStringConvertible {
    /// Counted in characters (Unicode scalars) from 1, where the trouble begins.
    public let position: Int
    public let reason: String

    public var description: String { "at character \(position) of the pattern: \(reason)" }
}
