// SPDX-License-Identifier: Apache-2.0

import Inference
import Testing

extension InferenceSuites {
    /// Compares resampling with `training/recipes/resize.py` and with torch's antialiased
    /// interpolation.
    ///
    /// torch's weights are single precision: 2e-6.
    @Suite struct ResamplingTests {
        let file: SafeTensors

        init() throws {
            try Compute.startWithAnyThreads()
            file = try Golden("resize").file
        }

        @Test(arguments: [(13, 5), (5, 13), (8, 4), (7, 7), (331, 192), (1, 3)])
        func `matrices are those of the training`(n: Int, m: Int) throws {
            let matrix = ResamplingMatrix(from: n, to: m)
            let reference = try file.tensor("\(n)to\(m).matrix")
            let rows = n * m < 1000 ? Array(0..<m) : [0, 1, m / 2, m - 1]
            #expect(reference.shape == [rows.count, n])
            #expect(difference(rows.flatMap(matrix.row), reference.values) < 1e-7)
        }

        @Test(arguments: ["down", "up", "mixed", "volume"])
        func `images and volumes are resized as PyTorch does`(name: String) throws {
            let (input, output) = (try file.tensor("\(name).input"), try file.tensor("\(name).output"))
            let found = Resampling.resize(input.values, from: input.shape, to: output.shape)
            #expect(difference(found, output.values) < 2e-6)
        }

        @Test(arguments: [(7, 9, 3, 5), (64, 50, 16, 16), (5, 6, 11, 8), (9, 9, 9, 4), (3, 1, 2, 1)], [1, 3])
        func `a picture of bytes is resized like one of numbers`(sizes: (Int, Int, Int, Int), channels: Int) {
            let from = [sizes.0, sizes.1]
            let bytes = (0..<from[0] * from[1] * channels).map { UInt8(truncatingIfNeeded: $0 * 101 + $0 / 7) }
            let found = Resampling.resize(bytes: bytes, from: from, to: [sizes.2, sizes.3], kept: channels)
            // The axes come in the other order: 255 with the rounding of two sums.
            let wanted = Resampling.resize(
                bytes.map(Float.init), from: from, to: [sizes.2, sizes.3], kept: channels)
            #expect(found.count == wanted.count && difference(found, wanted) < 1e-4)
        }

        @Test func `plane by plane gives the same bits as all at once`() throws {
            let input = try file.tensor("volume.input")
            let whole = Resampling.resize(input.values, from: input.shape, to: [9, 5, 13])
            var planes = [Float]()
            Resampling.resizeByPlane(input.values, from: input.shape, to: [9, 5, 13]) { index, plane in
                #expect(planes.count == index * 65)
                planes += plane
            }
            #expect(planes == whole)
        }

        @Test func `colours are kept apart`() {
            let rgb: [Float] = (0..<12).flatMap { [Float($0), Float($0) * 10, 5] }
            let found = Resampling.resize(rgb, from: [3, 4], to: [6, 2], kept: 3)
            let red = Resampling.resize((0..<12).map(Float.init), from: [3, 4], to: [6, 2])
            #expect(difference(stride(from: 0, to: 36, by: 3).map { found[$0] }, red) < 1e-6)
            #expect(stride(from: 2, to: 36, by: 3).allSatisfy { abs(found[$0] - 5) < 1e-5 })
        }

        @Test func `every small pair of sizes keeps a constant`() {
            for n in 1...12 {
                for m in 1...12 {
                    let found = Resampling.resize([Float](repeating: 3, count: n), from: [n], to: [m])
                    #expect(found.count == m && found.allSatisfy { abs($0 - 3) < 1e-5 }, "\(n) to \(m)")
                }
            }
        }
    }
}
