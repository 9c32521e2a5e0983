// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct KonturCommand: ParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "kontur",
        abstract: "Receives DICOM studies, segments what it knows, and sends DICOM Segmentation objects back.",
        discussion: """
            \(Shown.disclaimer)

            A PACS forwards studies to 'kontur serve'; without a node, 'kontur segment' does the same for files.
            Exit codes: 0 done, 1 something failed, 64 wrong usage.
            """,
        version: version,
        subcommands: [
            ServeCommand.self, SegmentCommand.self, RouteCommand.self, StatusCommand.self, JobsCommand.self,
            AuditCommand.self, ModelsCommand.self, EvaluateCommand.self, ConfigCommand.self, WorkerCommand.self,
        ])
}

/// One of the words of an enumeration, on the command line.
struct Word<Value: RawRepresentable<String> & CaseIterable & Sendable>: ExpressibleByArgument, Sendable {
    var value: Value

    init(_ value: Value) { self.value = value }

    init?(argument: String) {
        guard let value = Value(rawValue: argument) else { return nil }
        self.value = value
    }

    var defaultValueDescription: String { value.rawValue }
    static var allValueStrings: [String] { Value.allCases.map(\.rawValue) }
}

/// The options of every command that prints results.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON instead of tables.")
    var json = false

    var format: ReportFormat { json ? .json : .text }
}
