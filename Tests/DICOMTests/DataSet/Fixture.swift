// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// The instances that `Fixtures/make_fixtures.py` makes.
enum Fixture {
    private static let folder = Checkout.root.appending(path: "Tests/DICOMTests/Fixtures")

    static func url(_ name: String) -> URL { folder.appending(path: "\(name).dcm") }
    static func path(_ name: String) -> String { url(name).path }

    static func all() throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "dcm" }.sorted { $0.path < $1.path }
    }

    /// The expected frames of a fixture.
    struct Expected: Decodable {
        let rows: Int
        let columns: Int
        let channels: Int
        let tolerance: Float
        /// `[rows, columns, channels]` each.
        let frames: [[Float]]
    }

    static func expected<Value: Decodable>(_ name: String, as type: Value.Type = Expected.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: "\(name).json")))
    }

    /// Names of the fixtures with expected pixels.
    static let decoded: [String] =
        (try? all())?.map { $0.deletingPathExtension().lastPathComponent }.filter {
            (try? expected($0)) != nil
        } ?? []
}
