// SPDX-License-Identifier: Apache-2.0

/// Sizes and durations as people write them.
package enum Quantities {
    static let sizeForm = "a size such as 512MiB or 2GiB"
    static let durationForm = "a duration such as 90s, 30m, 1h or 7d"

    private static let sizeUnits: [String: Int64] = [
        "": 1, "B": 1, "kB": 1000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000, "KiB": 1 << 10,
        "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    ]

    private static let durationUnits: [String: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]

    /// `2GiB`, `1.5 MB` or a plain number of bytes.
    package static func bytes(_ text: String) -> Int64? {
        scaled(text, by: sizeUnits, maximum: 1 << 60)
    }

    /// `7d`, `1h`, `0s`: a number and its unit, which must be there.
    package static func duration(_ text: String) -> Duration? {
        scaled(text, by: durationUnits, maximum: 100 * 365 * 86_400).map { .seconds($0) }
    }

    private static func scaled(_ text: String, by units: [String: Int64], maximum: Int64) -> Int64? {
        let number = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        let unit = text.dropFirst(number.count).drop { $0 == " " }
        guard let factor = units[String(unit)], let value = Double(number), value.isFinite else { return nil }
        let result = (value * Double(factor)).rounded()
        return result <= Double(maximum) ? Int64(result) : nil
    }
}
