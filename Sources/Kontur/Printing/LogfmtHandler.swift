// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Platform

/// Writes log lines in the logfmt form to standard error.
///
/// Example: `time=2026-01-31T09:30:00.123Z level=info logger=kontur message="job done" job.id=7`. Each line is written by
/// one call, so that the lines of several threads do not mix.
struct LogfmtHandler: LogHandler {
    private let label: String
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(label: String, level: Logger.Level) {
        self.label = label
        logLevel = level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let more = event.metadata { all.merge(more) { _, new in new } }
        let time = Date().formatted(.iso8601.year().month().day().time(includingFractionalSeconds: true))
        var fields = [
            "time=\(time)Z", "level=\(event.level)", "logger=\(label)", "message=\(Self.quoted("\(event.message)"))",
        ]
        fields += all.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.quoted("\($0.value)"))" }
        StandardStream.error.write(fields.joined(separator: " ") + "\n")
    }

    /// The text in quotes if it contains spaces, quotes or `=`.
    ///
    /// Control characters become escapes, so that a record stays on one line.
    static func quoted(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x3D && $0 != 0x5C }
        if isPlain { return text }
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
