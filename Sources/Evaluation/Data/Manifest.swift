// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

/// A table of cases: CSV in UTF-8 (RFC 4180), with the names of the columns in its first row.
///
/// | column | meaning |
/// |---|---|
/// | `image` | a picture, a DICOM file, or a folder with one series; relative to the table's folder |
/// | `mask` | a picture, or a SEG for DICOM; empty if the structure is absent |
/// | `id` | optional: name of the case; by default the image's name |
/// | `group` | optional: site, scanner or patient; the report also gives scores for each group |
///
/// Other columns are ignored.
public struct Manifest: Sendable {
    /// One case of the table.
    public struct Row: Sendable, Hashable {
        /// Line in the file, from 1.
        public var line: Int
        /// Absolute path of the image.
        public var image: String
        /// Absolute path of the mask; `nil` if the structure is absent.
        public var mask: String?
        /// Name of the case.
        public var id: String
        /// Group of the case.
        public var group: String?

        /// Whether the image is a PNG or JPEG file.
        public var isPicture: Bool { PictureFormat(ofFile: image) != nil }
    }

    /// The cases in the order of the table.
    public var rows: [Row]

    /// Reads a table.
    ///
    /// - Throws: `EvaluationError`.
    public init(path: String) throws(EvaluationError) {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw .unreadable(path: path, reason: "it cannot be opened")
        }
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
        var table = CSVTable(String(decoding: data, as: UTF8.self)).rows
        guard !table.isEmpty else { throw .manifest(path: path, line: 1, reason: "the table is empty") }
        let names = table.removeFirst().fields.map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
        guard let image = names.firstIndex(of: "image"), let mask = names.firstIndex(of: "mask") else {
            throw .manifest(path: path, line: 1, reason: "the first row must name the columns image and mask")
        }
        rows = []
        var seen: Set<String> = []
        for row in table {
            func field(_ place: Int?) -> String? {
                guard let place, place < row.fields.count else { return nil }
                let text = row.fields[place].trimmingCharacters(in: .whitespaces)
                return text.isEmpty ? nil : text
            }
            func absolute(_ text: String) -> String {
                URL(fileURLWithPath: text, relativeTo: folder).standardizedFileURL.path
            }
            guard let file = field(image) else {
                throw .manifest(path: path, line: row.line, reason: "the column image is empty")
            }
            let files = [absolute(file)] + (field(mask).map { [absolute($0)] } ?? [])
            for file in files where !FileManager.default.fileExists(atPath: file) {
                throw .manifest(path: path, line: row.line, reason: "the file does not exist: \(file)")
            }
            let id =
                field(names.firstIndex(of: "id"))
                ?? URL(fileURLWithPath: file).deletingPathExtension().lastPathComponent
            guard seen.insert(id).inserted else {
                throw .manifest(
                    path: path, line: row.line, reason: "a second case is named \(id): give each case its own id")
            }
            rows.append(
                Row(
                    line: row.line, image: files[0], mask: files.count > 1 ? files[1] : nil, id: id,
                    group: field(names.firstIndex(of: "group"))))
        }
    }
}

/// Rows of comma-separated values (RFC 4180) with quotes and any kind of line end.
struct CSVTable {
    struct Row {
        /// Line on which the row begins, from 1.
        var line: Int
        var fields: [String]
    }

    private(set) var rows: [Row] = []

    /// Reads the rows of a text, without blank ones.
    init(_ text: String) {
        var (fields, field, line, start) = ([String](), "", 1, 1)
        var isQuoted = false
        var scalars = text.unicodeScalars.drop { $0 == "\u{FEFF}" }[...]
        func isBlank() -> Bool { fields.isEmpty && field.allSatisfy(\.isWhitespace) }
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "\"" where isQuoted && scalars.first == "\"":
                scalars.removeFirst()
                field.unicodeScalars.append(scalar)
            case "\"" where isQuoted || field.isEmpty: isQuoted.toggle()
            case "," where !isQuoted:
                fields.append(field)
                field = ""
            case "\r" where !isQuoted && scalars.first == "\n": continue
            case "\n", "\r":
                line += 1
                if isQuoted {
                    field.unicodeScalars.append(scalar)
                } else {
                    if !isBlank() { rows.append(Row(line: start, fields: fields + [field])) }
                    (fields, field, start) = ([], "", line)
                }
            default: field.unicodeScalars.append(scalar)
            }
        }
        if !isBlank() { rows.append(Row(line: start, fields: fields + [field])) }
    }

    /// One row as text with its line end.
    static func line(_ fields: [String]) -> String {
        fields.map { field in
            field.contains { ",\"\r\n".contains($0) }
                ? "\"\(field.replacingOccurrences(of: "\"", with: "\"\""))\"" : field
        }.joined(separator: ",") + "\n"
    }
}
