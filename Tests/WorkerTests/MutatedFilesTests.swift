// SPDX-License-Identifier: Apache-2.0

import Foundation
import Supervision
import TestSupport
import Testing

/// Damaged variants of the fixtures of `DICOMTests`, the same ones in each run.
///
/// `KONTUR_MUTATIONS` sets the number of variants of each fixture.
@Suite(
    .serialized, .enabled(if: WorkerChild.isThere, "needs the built kontur: set KONTUR_EXECUTABLE"))
struct MutatedFilesTests {
    private static let variants =
        ProcessInfo.processInfo.environment["KONTUR_MUTATIONS"].flatMap { Int($0) } ?? 60

    @Test(.timeLimit(.minutes(60)))
    func `no change of bytes or lengths kills a worker that reads and decodes the file`() async throws {
        let fixtures = Checkout.root.appending(path: "Tests/DICOMTests/Fixtures")
        let names = try FileManager.default.contentsOfDirectory(atPath: fixtures.path).filter { $0.hasSuffix(".dcm") }
        #expect(names.count > 30)
        for (number, name) in names.sorted().enumerated() {
            let whole = [UInt8](try Data(contentsOf: fixtures.appending(path: name)))
            var random = SplitMix64(seed: UInt64(number) + 1)
            let mutants = (0..<Self.variants).map { _ in Self.mutated(whole, &random) }
            try await withTemporaryFolder { folder in
                var requests: [WorkRequest] = []
                for (place, mutant) in mutants.enumerated() {
                    let path = folder.appending(path: "\(place)").path
                    try Data(mutant).write(to: URL(fileURLWithPath: path))
                    requests.append(.index(request: IndexRequest(path: path)))
                    requests.append(.compare(request: CompareRequest(path: path, otherPath: path)))
                }
                let answers = try await WorkerChild.answers("index", requests)
                for (place, answer) in answers.enumerated() {
                    #expect(answer != nil, "variant \(place / 2) of \(name), \(place % 2 == 0 ? "read" : "decoded")")
                }
            }
        }
    }

    /// Changes one to four places: bytes, numbers that are often lengths, and pieces that are lost or doubled.
    private static func mutated(_ whole: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        var bytes = whole
        for _ in 0..<Int.random(in: 1...4, using: &random) where bytes.count > 16 {
            // Most of a fixture is pixels: half of the changes hit the first 2 KiB behind the preamble.
            let end = Bool.random(using: &random) ? bytes.count : min(bytes.count, 2200)
            let place = Int.random(in: min(128, end - 9)..<(end - 8), using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[place] = .random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 2: bytes.replaceSubrange(place..<place + 2, with: extreme(2, &random))
            case 3: bytes.replaceSubrange(place..<place + 4, with: extreme(4, &random))
            case 4: bytes.removeSubrange(place..<place + .random(in: 1...8, using: &random))
            default: bytes.insert(contentsOf: bytes[place..<place + 8], at: place)
            }
        }
        if Int.random(in: 0..<8, using: &random) == 0 { bytes.removeLast(.random(in: 0..<bytes.count, using: &random)) }
        return bytes
    }

    private static func extreme(_ width: Int, _ random: inout SplitMix64) -> [UInt8] {
        let values = [0, 1, 0xFF, 0xFFFF, 0x8000, 0x7FFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE]
        return PlainImage.number(values.randomElement(using: &random) ?? 0, width: width)
    }
}
