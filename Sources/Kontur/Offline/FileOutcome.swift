// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation

/// Why a file does not belong to a stack.
struct FileOutcome: Encodable, Sendable {
    enum Kind: String, Encodable {
        /// The file cannot be read.
        case quarantined
        /// The object does not contain an image that can be segmented.
        case notAnImage
        /// Kontur made the object.
        case own
        /// An earlier file has the same SOP Instance UID.
        case duplicate
        /// A PNG or JPEG file in a folder. Only pictures that the command line names are segmented.
        case picture
        /// A file or link in a folder that does not claim to be DICOM.
        case passedOver
    }

    var path: String
    var outcome: Kind
    var reason: String
}

extension FileOutcome {
    /// The number of unreadable files and the reason for the first; `nil` if all files can be read.
    static func failure(_ files: [FileOutcome]) -> String? {
        guard let first = files.first(where: { $0.outcome == .quarantined }) else { return nil }
        let count = files.count { $0.outcome == .quarantined }
        let which = count == 1 ? "" : " the first,"
        return "\(Formatted.count(count, "file")) cannot be read:\(which) \(first.path): \(first.reason)"
    }

    /// The files that do not belong to a stack; `nil` if there are none.
    static func table(_ files: [FileOutcome]) -> TextTable? {
        if files.isEmpty { return nil }
        return TextTable(
            [.init("file"), .init("kind"), .init("reason")],
            rows: files.map { [$0.path, $0.outcome.inWords, $0.reason] })
    }
}

extension FileOutcome.Kind {
    fileprivate var inWords: String {
        switch self {
        case .quarantined: "unreadable"
        case .notAnImage: "not an image"
        case .own: "made by Kontur"
        case .duplicate: "duplicate"
        case .passedOver: "skipped"
        case .picture: "picture"
        }
    }
}

/// Files without an instance whose kind tells a person what to do, recognised by their first bytes.
enum ForeignFile {
    /// Why a DICOMDIR is not segmented.
    static let directory = "it is a Media Storage Directory; name its folder to segment the images"

    /// Whether a file is a DICOMDIR: its File Meta Information names its class, its data set does not (PS3.10 8.6).
    static func isDirectory(_ path: String) -> Bool {
        guard let file = FileHandle(forReadingAtPath: path) else { return false }
        defer { try? file.close() }
        let start = (try? file.read(upToCount: 4096)) ?? Data()
        let meta = start.withUnsafeBytes { try? FileMeta.read($0).meta }
        return meta?.sopClassUID == "1.2.840.10008.1.3.10"
    }

    private static let kinds: [(offset: Int, bytes: [UInt8], reason: String)] = [
        (0, [0x50, 0x4B, 0x03, 0x04], "a ZIP archive; unpack it, and name the folder"),
        (0, [0x50, 0x4B, 0x05, 0x06], "an empty ZIP archive"),
        (0, [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7z archive; unpack it, and name the folder"),
        (0, Array("Rar!".utf8), "a RAR archive; unpack it, and name the folder"),
        (0, [0x1F, 0x8B, 0x08], "a file compressed by gzip; unpack it first"),
        (0, Array("BZh".utf8), "a file compressed by bzip2; unpack it first"),
        (0, [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "a file compressed by xz; unpack it first"),
        (0, [0x28, 0xB5, 0x2F, 0xFD], "a file compressed by zstd; unpack it first"),
        (257, Array("ustar".utf8), "a tar archive; unpack it, and name the folder"),
        (32_769, Array("CD001".utf8), "the image of a CD; mount it, and name the folder"),
    ]

    /// The kind of a file and the remedy, in words; `nil` for DICOM and every kind without an entry.
    ///
    /// A Part 10 file has a preamble of any 128 bytes, which may look like another kind.
    static func reason(_ path: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? file.close() }
        let start = (try? file.read(upToCount: 512)) ?? Data()
        if start.dropFirst(128).prefix(4).elementsEqual("DICM".utf8) { return nil }
        for kind in kinds {
            var part = start
            if kind.offset >= start.count {
                guard (try? file.seek(toOffset: UInt64(kind.offset))) != nil,
                    let later = try? file.read(upToCount: kind.bytes.count)
                else { continue }
                part = later
            } else {
                part = start.dropFirst(kind.offset)
            }
            if part.prefix(kind.bytes.count).elementsEqual(kind.bytes) { return kind.reason }
        }
        return nil
    }
}
