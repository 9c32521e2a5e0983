// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Values as texts for tables and messages.
enum Formatted {
    static let disclaimer =
        "Research software, not a medical device: results must not be used for diagnosis or treatment."

    /// A fraction such as `0.87`; empty for `nil`.
    static func fraction(_ value: Double?) -> String { value.map { String(format: "%.2f", $0) } ?? "" }

    /// A time such as `12.3 s`.
    static func seconds(_ duration: Duration) -> String { String(format: "%.1f s", duration / .seconds(1)) }

    /// An age in its largest units: `3 d 4 h`, `2 h 5 min`, `3 min` or `12 s`.
    static func age(_ duration: Duration) -> String {
        let seconds = max(0, Int(duration.components.seconds))
        switch seconds {
        case ..<60: return "\(seconds) s"
        case ..<3600: return "\(seconds / 60) min"
        case ..<86_400: return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
        default: return "\(seconds / 86_400) d \(seconds % 86_400 / 3600) h"
        }
    }

    /// A size such as `1.5 GiB`.
    static func bytes(_ count: Int64) -> String {
        var value = Double(count)
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if abs(value) < 1024 { return unit == "B" ? "\(count) B" : String(format: "%.1f \(unit)", value) }
            value /= 1024
        }
        return String(format: "%.1f TiB", value)
    }

    /// The end of a UID, which is enough to tell series apart in a table; JSON has the whole UID.
    static func uid(_ uid: String) -> String { uid.count <= 20 ? uid : "…" + uid.suffix(19) }

    /// A number with its noun: `1 instance` or `2 instances`.
    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}
