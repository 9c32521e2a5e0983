// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import TestSupport
import Testing

/// Changes bytes of valid files: the result is an error or weights, never a crash.
@Suite struct CheckpointFuzzTests {
    static let cases = Int(ProcessInfo.processInfo.environment["KONTUR_FUZZ_CASES"] ?? "") ?? 75

    /// Changes a few bytes, mostly in the parts that describe the file.
    static func mutate(_ bytes: [UInt8], _ places: Range<Int>, _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: places, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2:
                for index in place..<min(place + 8, bytes.count) { bytes[index] = 0xff }
            case 3:
                bytes[place] =
                    [0x28, 0x2e, 0x52, 0x62, 0x65, 0x68, 0x71, 0x74, 0x7d, 0x85].randomElement(using: &random) ?? 0
            case 4:
                let other = Int.random(in: places, using: &random)
                let count = min(16, bytes.count - max(place, other))
                for index in 0..<count { bytes[place + index] = bytes[other + index] }
            default: bytes.removeSubrange(place..<min(place + Int.random(in: 1...8, using: &random), bytes.count))
            }
            if places.upperBound > bytes.count { break }
        }
        return bytes
    }

    @Test(arguments: ["sam_strided.pth", "sam_half_protocol4.pth", "lite_medsam.pth", "sam_transformers.safetensors"])
    func `changed bytes never crash`(fixture: String) throws {
        let isZip = fixture.hasSuffix(".pth")
        // Checksums would hide nearly all changes from the readers behind them.
        let whole = isZip ? Fixture.withoutChecksums(try Fixture.bytes(fixture)) : try Fixture.bytes(fixture)
        // The pickle is at the beginning, the directory at the end.
        let front = 0..<min(whole.count, isZip ? 14_000 : 12_000)
        let back = (whole.count - min(whole.count, 14_000))..<whole.count
        var random = SeededGenerator(state: UInt64(whole.count))
        try withTemporaryFolder { folder in
            let store = WeightStore(folder: folder.appending(path: "store").path)
            for number in 0..<Self.cases {
                let places =
                    isZip && number.isMultiple(of: 3) ? back : number.isMultiple(of: 7) ? 0..<whole.count : front
                let path = try folder.file("x", Self.mutate(whole, places, &random))
                do {
                    let addition = try store.add(path, .init(replaces: true))
                    for name in try addition.weights.open().names { _ = try addition.weights.open().shape(of: name) }
                } catch is CheckpointError {
                } catch is WeightStoreError {}
            }
            #expect(try store.verify().allSatisfy { $0.problem == nil })
        }
    }

    @Test(arguments: ["sam_flat.pth", "sam_transformers.safetensors"])
    func `every truncation is refused`(fixture: String) throws {
        let whole = try Fixture.bytes(fixture)
        var random = SeededGenerator(state: 5)
        try withTemporaryFolder { folder in
            let store = WeightStore(folder: folder.appending(path: "store").path)
            let lengths =
                Array(0..<40) + Array((whole.count - 150)..<whole.count)
                + (0..<60).map { _ in Int.random(in: 40..<whole.count, using: &random) }
            for length in lengths {
                let path = try folder.file("x", Array(whole.prefix(length)))
                #expect(throws: CheckpointError.self, "\(length) bytes") { try store.add(path) }
            }
        }
    }
}
