// SPDX-License-Identifier: Apache-2.0

import Foundation
import Imaging

/// A temporary folder that is removed after its test.
final class TestFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "kontur-evaluation-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ text: String, to name: String) throws -> String {
        try makeFolder(of: name)
        try Data(text.utf8).write(to: URL(filePath: file(name)))
        return file(name)
    }

    /// A grey picture in which the pixels of `box` (rows, columns) are 255 and the others 0.
    @discardableResult
    func picture(_ name: String, rows: Int = 8, columns: Int = 10, box: (Range<Int>, Range<Int>)? = nil) throws
        -> String
    {
        try makeFolder(of: name)
        let samples = (0..<rows * columns).map { index -> UInt8 in
            guard let box else { return 0 }
            return box.0.contains(index / columns) && box.1.contains(index % columns) ? 255 : 0
        }
        try Picture(rows: rows, columns: columns, channels: 1, samples: samples).writePNG(to: file(name))
        return file(name)
    }

    private func makeFolder(of name: String) throws {
        try FileManager.default.createDirectory(
            at: URL(filePath: file(name)).deletingLastPathComponent(), withIntermediateDirectories: true)
    }
}
