// SPDX-License-Identifier: Apache-2.0

/// Suggests the word that a person meant.
public enum Spelling {
    /// Advice about an unknown word, for the end of an error text.
    ///
    /// - Returns: `did you mean 'modality'?` if a known word is near enough, otherwise `known are a, b, c`.
    public static func advice(for word: String, among known: [String]) -> String {
        suggestion(for: word, among: known) ?? "known are \(known.joined(separator: ", "))"
    }

    /// The question `did you mean 'modality'?`; `nil` if no known word is near enough.
    static func suggestion(for word: String, among known: [String]) -> String? {
        nearest(to: word, among: known).map { "did you mean '\($0)'?" }
    }

    /// The known word with the fewest edits from `word`; `nil` if it takes more than one edit per three letters.
    ///
    /// The comparison ignores case.
    public static func nearest(to word: String, among known: [String]) -> String? {
        let limit = max(1, word.count / 3)
        return
            known
            .map { (word: $0, distance: distance(word.lowercased(), $0.lowercased())) }
            .filter { $0.distance <= limit }
            .min { $0.distance < $1.distance }?
            .word
    }

    /// The number of insertions, deletions, replacements and swaps of neighbours between two words.
    private static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a)
        let b = Array(b)
        var rows = [Array(0...b.count)]
        for i in 0..<a.count {
            var row = [i + 1]
            for j in 0..<b.count {
                var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
