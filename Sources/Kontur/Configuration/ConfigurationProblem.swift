// SPDX-License-Identifier: Apache-2.0

import Routing

/// An error in a configuration file, with its place.
package struct ConfigurationProblem: Error, Sendable, Hashable, Encodable, CustomStringConvertible {
    /// The path of the file, as the command line names it.
    package var file: String
    /// Counted from 1.
    package var line: Int
    /// Counted from 1.
    package var column: Int
    /// The path of the value inside the file, such as `routes[0].when.modality`; empty for the file as a whole.
    package var path: String
    /// What is wrong and what to write instead.
    package var reason: String

    /// `file:line:column: path: reason`, the form that editors understand.
    package var description: String {
        "\(file):\(line):\(column): \(path.isEmpty ? "" : "\(path): ")\(reason)"
    }
}

/// All errors in a configuration file, in the order of its lines; never empty.
package struct ConfigurationError: Error, Sendable, Report, CustomStringConvertible {
    package var problems: [ConfigurationProblem]

    /// One line per error, and their number.
    package var description: String {
        let lines = problems.map(\.description).joined(separator: "\n")
        let count = problems.count == 1 ? "1 error" : "\(problems.count) errors"
        return "\(lines)\n\(count) in the configuration; nothing was started"
    }

    package var parts: [ReportPart] { [.line(description)] }
}

/// Collects the errors of one file, so that one error does not hide the next.
final class ProblemList {
    private let file: String
    private(set) var problems: [ConfigurationProblem] = []

    init(file: String) { self.file = file }

    func add(_ place: ConfigurationPlace, _ reason: String) {
        let problem = ConfigurationProblem(
            file: file, line: place.line, column: place.column, path: place.path, reason: reason)
        if !problems.contains(problem) { problems.append(problem) }
    }

    /// - Throws: `ConfigurationError` if the list holds an error.
    func check() throws(ConfigurationError) {
        if problems.isEmpty { return }
        throw ConfigurationError(problems: problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) })
    }
}
