// SPDX-License-Identifier: Apache-2.0

/// One thing wrong with a configuration file, and where.
package struct ConfigurationProblem: Error, Sendable, Hashable, Encodable, CustomStringConvertible {
    package var file: String
    /// Counted from 1.
    package var line: Int
    package var column: Int
    /// The way to the value, such as `routes[0].when.modality`; empty for the file as a whole.
    package var path: String
    package var reason: String

    package var description: String {
        "\(file):\(line):\(column): \(path.isEmpty ? "" : "\(path): ")\(reason)"
    }
}

/// A place in a configuration file.
package struct ConfigurationPlace: Sendable, Hashable {
    /// Counted from 1.
    package var line: Int
    package var column: Int
    package var path: String
}

/// Everything that is wrong with a configuration file, in the order of its lines; never empty.
package struct ConfigurationError: Error, Sendable, Report, CustomStringConvertible {
    package var problems: [ConfigurationProblem]

    package var description: String {
        let lines = problems.map(\.description).joined(separator: "\n")
        let count = problems.count == 1 ? "1 error" : "\(problems.count) errors"
        return "\(lines)\n\(count) in the configuration; nothing was started"
    }

    package var parts: [ReportPart] { [.line(description)] }
}

/// Gathers problems while a file is read, so that one does not hide the next.
final class ProblemList {
    let file: String
    private(set) var problems: [ConfigurationProblem] = []

    init(file: String) { self.file = file }

    func add(line: Int, column: Int, path: String, _ reason: String) {
        let problem = ConfigurationProblem(file: file, line: line, column: column, path: path, reason: reason)
        if !problems.contains(problem) { problems.append(problem) }
    }

    /// - Throws: `ConfigurationError` when anything was added.
    func check() throws(ConfigurationError) {
        if problems.isEmpty { return }
        throw ConfigurationError(problems: problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) })
    }
}
