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

    /// What a fixture decodes to.
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

/// SplitMix64: the same numbers every time.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
