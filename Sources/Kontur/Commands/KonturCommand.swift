// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

struct KonturCommand: ParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "kontur",
        abstract: "Receives DICOM studies, segments them and sends back DICOM Segmentation objects.",
        discussion: """
            \(Formatted.disclaimer)

            A PACS forwards studies to 'kontur serve'. 'kontur segment' does the same for files, without a node.
            Exit codes: 0 success, 1 failure, 64 wrong usage.
            """,
        version: version,
        subcommands: [
            ServeCommand.self, SegmentCommand.self, RouteCommand.self, StatusCommand.self, JobsCommand.self,
            SeriesCommand.self, AuditCommand.self, SpoolCommand.self, ModelsCommand.self, EvaluateCommand.self,
            ConfigCommand.self,
        ])
}

/// A case of an enumeration, by its raw value on the command line.
struct ChoiceArgument<Value: RawRepresentable<String> & CaseIterable & Sendable>: ExpressibleByArgument, Sendable {
    var value: Value

    init(_ value: Value) { self.value = value }

    init?(argument: String) {
        guard let value = Value(rawValue: argument) else { return nil }
        self.value = value
    }

    var defaultValueDescription: String { value.rawValue }
    static var allValueStrings: [String] { Value.allCases.map(\.rawValue) }
}

/// The option that every command with printed results has.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON instead of tables.")
    var json = false

    var format: ReportFormat { json ? .json : .text }
}

/// The folder that `--output` names.
enum OutputFolder {
    /// Creates the folder, unless it exists, and gives its absolute path.
    static func create(_ path: String) throws(CommandError) -> URL {
        let folder = URL(fileURLWithPath: path, isDirectory: true).standardizedFileURL
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw CommandError("could not create the folder '\(path)'; choose another --output")
        }
        return folder
    }
}
