// SPDX-License-Identifier: Apache-2.0

import Routing
import Testing

@Suite struct PatternTests {
    /// Pattern, a text it is found in, a text it is not found in.
    static let table: [(pattern: String, found: [String], missing: [String])] = [
        ("colo", ["colo", "a colony", "xcolo"], ["Colo", "col o", ""]),
        ("(?i)colo", ["COLOSCOPY", "a Colony", "xcoLo"], ["cool"]),
        ("(?i)LGE|PSIR|late.?gad|delayed.?enh", ["3D lge", "Late Gad", "lategad", "psir_sax"], ["late  gad", "T1"]),
        ("^a.c$", ["abc", "a.c"], ["xabc", "abcx", "a\nc", "ac"]),
        ("a*b", ["b", "aaab"], ["aaa"]),
        ("^(ab)+$", ["ab", "abab"], ["", "aba"]),
        ("^a?b?$", ["", "a", "ab"], ["ba", "aab"]),
        ("^a{3}$", ["aaa"], ["aa", "aaaa"]),
        ("^a{2,}$", ["aa", "aaaaa"], ["a"]),
        ("^a{1,3}$", ["a", "aa", "aaa"], ["", "aaaa"]),
        ("^a{0}b", ["b"], ["ab"]),
        ("^a+?b$", ["ab", "aab"], ["b"]),
        ("^[a-c]+$", ["abc"], ["abd", ""]),
        ("^[^a-c]+$", ["xyz"], ["xaz"]),
        ("^[]a]+$", ["]a]"], ["b"]),
        ("^[a-]+$", ["a-a"], ["b"]),
        ("^[\\d_]+$", ["1_2"], ["a"]),
        ("^[^\\W\\d]+$", ["ab_"], ["a1", "a-"]),
        ("(?i)^[a-f]+$", ["ABC", "fF"], ["g"]),
        ("(?i)^[^a]$", ["b"], ["a", "A"]),
        ("\\bT1\\b", ["T1", "a T1 b", "T1-w"], ["T1w", "xT1", "T_1"]),
        ("\\BT1", ["xT1"], ["T1", " T1"]),
        ("^\\d{4}\\s\\w+$", ["2024 abc", "2024\tx_1"], ["24 abc", "2024 -"]),
        ("^\\D\\S\\W$", ["ab-"], ["1b-", "a -", "abc"]),
        ("a\\.b\\\\", ["a.b\\"], ["axb\\"]),
        ("(?:a|b)c", ["ac", "bc"], ["c", "ab"]),
        ("a(?i:B)c", ["abc", "aBc"], ["abC", "Abc"]),
        ("(a(?i)b)c", ["abc", "aBc"], ["aBC"]),
        ("|a", ["", "b"], []),
        ("x(|a)y", ["xy", "xay"], ["xby"]),
        ("()*", [""], []),
        ("(a*)*b", ["b", "aab"], ["aaa"]),
        ("(?i)größe", ["GRÖSSE größe", "GRÖßE"], ["grosse"]),
        ("(?i)лев", ["ЛЕВОЕ предсердие"], ["пред"]),
        ("^左.$", ["左房"], ["左心房"]),
        (".", ["x"], ["", "\n"]),
        ("$", ["", "abc"], []),
        ("a$|^b", ["xa", "bx"], ["ax", "xb"]),
        // What RE2 knows beyond the common forms.
        ("^\\pL+$", ["Größe", "左房"], ["T1"]),
        ("^[[:alpha:]]+$", ["abc"], ["a1"]),
        ("(?m)^b$", ["a\nb\nc"], ["a b c"]),
        ("a{x}", ["a{x}"], ["ax"]),
        ("^\\s$", [" ", "\t"], ["\u{A0}", "\u{0B}"]),
        ("(?i)^k$", ["K", "\u{212A}"], ["c"]),
    ]

    @Test(arguments: table.indices)
    func `finds what it should and nothing else`(_ row: Int) throws {
        let (source, found, missing) = Self.table[row]
        let pattern = try Pattern(source)
        for text in found { #expect(pattern.isFound(in: text), "\(source) should be found in \(text)") }
        for text in missing { #expect(!pattern.isFound(in: text), "\(source) should not be found in \(text)") }
    }

    static let refused: [(pattern: String, position: Int, reason: String)] = [
        ("", 1, "an empty pattern is found everywhere; leave the condition out instead"),
        ("(a)\\1", 4, "backreferences are not supported"),
        ("a(?=b)", 2, "look-ahead is not supported"),
        ("a(?!b)", 2, "look-ahead is not supported"),
        ("(?i)a(?=b)", 6, "look-ahead is not supported"),
        ("(?<=a)b", 1, "look-behind is not supported"),
        ("(?<name>a)", 1, "named groups are not supported; use '(' or '(?:'"),
        ("(?>a)", 1, "atomic groups are not supported; use '(?:'"),
        ("a(?z)b", 2, "the group form '(?z' does not exist; use '(?:', '(?i)' or '(?i:'"),
        ("(ab", 1, "this group is never closed"),
        ("a(b)[(](c[]]\\(", 8, "this group is never closed"),
        ("ab)", 3, "')' closes a group that was never opened; write '\\)' for the character"),
        ("(ab))c", 5, "')' closes a group that was never opened; write '\\)' for the character"),
        ("a[b", 2, "this class is never closed"),
        ("[a]ä[b", 5, "this class is never closed"),
        ("[z-a]", 2, "this range runs backwards"),
        ("[[:foo:]]", 2, "the class '[:foo:]' does not exist"),
        ("a\\pX", 2, "the class '\\pX' does not exist"),
        ("*a", 1, "nothing to repeat before '*'; write '\\*' for the character"),
        ("a*|b|*", 6, "nothing to repeat before '*'; write '\\*' for the character"),
        ("a**", 2, "'**' repeats a repetition; put the first in parentheses"),
        ("[**]\\**a{2}{3}", 9, "'{2}{3}' repeats a repetition; put the first in parentheses"),
        ("a++", 2, "possessive repetition is not supported; leave the '+' of '++' out"),
        ("a{3,2}", 2, "the repetition '{3,2}' needs the smaller number first, and at most 1000 repeats in all"),
        ("a{9999}", 2, "the repetition '{9999}' needs the smaller number first, and at most 1000 repeats in all"),
        ("a\\", 2, "a backslash at the end escapes nothing"),
        ("größe\\k", 6, "the escape '\\k' does not exist"),
    ]

    @Test(arguments: refused.indices)
    func `refuses what it cannot run, naming the place`(_ row: Int) {
        let (source, position, reason) = Self.refused[row]
        let error = #expect(throws: PatternError.self) { try Pattern(source) }
        #expect(error?.position == position)
        #expect(error?.reason == reason)
    }

    @Test(arguments: [
        "((a{1000}){1000}){1000}", "(((){1000}){1000}){1000}", "(((a?){100}){100}){100}", "(a{500}){500}b",
    ])
    func `refuses a pattern that grows too large`(_ source: String) {
        let error = #expect(throws: PatternError.self) { try Pattern(source) }
        #expect(error?.reason.hasSuffix("needs the smaller number first, and at most 1000 repeats in all") == true)
    }

    @Test func `refuses a pattern that is too long`() {
        #expect(throws: PatternError.self) { try Pattern(String(repeating: "a", count: 1001)) }
    }

    @Test func `takes groups nested as deeply as the longest pattern allows`() throws {
        let pattern = try Pattern(String(repeating: "(", count: 499) + "a" + String(repeating: ")", count: 499))
        #expect(pattern.isFound(in: "cat") && !pattern.isFound(in: "dog"))
    }

    @Test(arguments: [
        "(a*)*b", "(a|a)*b", "(a+)+$b", "((a*)*)*b", "(a?){100}a{100}b", "(.*)(.*)(.*)(.*)x", "^(a|aa)+$b",
    ])
    func `takes linear time where a backtracking engine would hang`(_ source: String) throws {
        let pattern = try Pattern(source)
        let text = String(repeating: "a", count: 10_000)
        let elapsed = ContinuousClock().measure { #expect(!pattern.isFound(in: text)) }
        #expect(elapsed < .seconds(1))
    }

    @Test func `searches with one pattern on several threads at once`() async throws {
        let pattern = try Pattern("(?i)LGE|late.?gad")
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<8 {
                group.addTask {
                    (0..<1000).allSatisfy { pattern.isFound(in: "\($0) Late Gad \(number)") }
                }
            }
            for await found in group { #expect(found) }
        }
    }

    @Test func `agrees with Swift's own engine on random patterns`() throws {
        var random = SeededGenerator(seed: 20_240_611)
        for _ in 0..<2_000 {
            let source = Self.randomPattern(depth: 3, using: &random)
            let ours = try Pattern(source)
            let theirs = try Regex(source)
            for _ in 0..<5 {
                let letters = (0..<Int.random(in: 0...7, using: &random)).map { _ in "abc".randomElement(using: &random)
                }
                let text = String(letters.compactMap { $0 })
                #expect(
                    try ours.isFound(in: text) == (theirs.firstMatch(in: text) != nil), "\(source) in '\(text)'")
            }
        }
    }

    private static func randomPattern(depth: Int, using random: inout SeededGenerator) -> String {
        let leaves = ["a", "b", "c", ".", "[ab]", "[^a]"]
        guard depth > 0 else { return leaves.randomElement(using: &random) ?? "a" }
        func inner(_ random: inout SeededGenerator) -> String { randomPattern(depth: depth - 1, using: &random) }
        switch Int.random(in: 0..<8, using: &random) {
        case 0: return "(\(inner(&random))|\(inner(&random)))"
        case 1: return "(\(inner(&random)))*"
        case 2: return "(?:\(inner(&random)))+"
        case 3: return "(\(inner(&random)))?"
        case 4: return "(\(inner(&random))){1,2}"
        case 5: return "^\(inner(&random))"
        case 6: return "\(inner(&random))$"
        default: return inner(&random) + inner(&random)
        }
    }
}

/// SplitMix64: the same numbers on every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
