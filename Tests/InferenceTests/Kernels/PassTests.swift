// SPDX-License-Identifier: Apache-2.0

import CKernels
import Inference
import Testing

extension InferenceSuites {
    /// Compares the pass of every path with the plain one.
    ///
    /// Sums have another order and exponentials are polynomials, so the tolerance is 1e-5 of the
    /// norm.
    @Suite struct PassTests {
        init() throws { try Compute.startWithAnyThreads() }

        struct Case: CustomTestStringConvertible {
            let path: ck_path
            let places: Int
            let tokens: Int
            let channels: Int

            var testDescription: String {
                "\(ck_path_name(path).map { String(cString: $0) } ?? "?") \(places) \(tokens) \(channels)"
            }
        }

        static let cases: [Case] = (0..<UInt32(ck_path_count)).map { ck_path($0) }
            .filter { $0 != ck_path_plain && ck_path_available($0) != 0 }
            .flatMap { path in
                // The places do not fill a block or chunk, and the tokens do not fill a tile.
                [(1, 1, 32), (100, 5, 64), (357, 7, 32), (600, 12, 96)].map {
                    Case(path: path, places: $0.0, tokens: $0.1, channels: $0.2)
                }
            }

        @Test(arguments: cases) func `gives what the plain version gives`(item: Case) throws {
            let chosen = ck_current_path()
            defer { ck_choose_path(chosen) }
            for spreads in [true, false] {
                #expect(ck_choose_path(ck_path_plain) == ck_ok)
                let plain = run(item, spreads: spreads)
                #expect(ck_choose_path(item.path) == ck_ok)
                let found = run(item, spreads: spreads)
                #expect(error(found.places, plain.places) < 1e-5)
                #expect(error(found.sums, plain.sums) < 1e-5)
            }
        }

        /// Runs a pass over drawn numbers; without `spreads`, the places stay as they are.
        private func run(_ item: Case, spreads: Bool) -> (places: [Float], sums: [Float]) {
            let (places, channels, vectors) = (item.places, item.channels, 8 * item.tokens)
            func draw(_ name: String, _ count: Int, _ deviation: Double) -> [Float] {
                DrawnWeights.normal(name, count, deviation)
            }
            let names = ["rows", "positions", "key", "value", "query", "bias", "weight", "norm"]
            let sizes = [places, places, vectors, vectors, vectors, 1, 1, 1].map { $0 * channels }
            let inputs = zip(names, sizes).map { draw($0, $1, $0 == "key" || $0 == "query" ? 0.3 : 1) }
            let offset = draw("offset", vectors, 1)
            var output = inputs[0]
            var sums = [Float](repeating: 0, count: vectors * channels)
            var call = ck_pass()
            (call.places, call.tokens, call.channels) = (Int64(places), Int64(item.tokens), Int64(channels))
            call.epsilon = 1e-5
            let status = output.withUnsafeMutableBufferPointer { output in
                sums.withUnsafeMutableBufferPointer { sums in
                    withPointers(inputs + [offset]) { given in
                        (call.rows, call.positions, call.query) = (given[0], given[1], given[4])
                        if spreads { (call.key, call.value, call.offset) = (given[2], given[3], given[8]) }
                        (call.bias, call.norm_weight, call.norm_bias) = (given[5], given[6], given[7])
                        (call.output, call.sums) = (output.baseAddress, sums.baseAddress)
                        return ck_pass_tokens(&call)
                    }
                }
            }
            #expect(status == ck_ok)
            return (output, sums)
        }

        private func withPointers<Result>(
            _ arrays: [[Float]], _ pointers: [UnsafePointer<Float>?] = [], _ body: ([UnsafePointer<Float>?]) -> Result
        ) -> Result {
            guard pointers.count < arrays.count else { return body(pointers) }
            return arrays[pointers.count].withUnsafeBufferPointer {
                withPointers(arrays, pointers + [$0.baseAddress], body)
            }
        }

        @Test func `channels that do not fill a vector are refused`() {
            var call = ck_pass()
            (call.places, call.tokens, call.channels) = (1, 1, 33)
            #expect(ck_pass_tokens(&call) == ck_bad_argument)
        }
    }
}
