// SPDX-License-Identifier: Apache-2.0

extension Frame {
    /// The samples of a frame, `[rows, columns, channels]`, row-major.
    ///
    /// Samples that are whole numbers of 0...255 may be kept as bytes, in a quarter of the memory.
    public struct Samples: RandomAccessCollection, Sendable {
        private enum Storage: Sendable {
            case bytes([UInt8])
            case floats([Float])
        }

        private let storage: Storage

        /// Keeps floating-point numbers.
        public init(_ values: [Float]) { storage = .floats(values) }

        /// Keeps whole numbers of 0...255.
        public init(bytes: [UInt8]) { storage = .bytes(bytes) }

        /// The samples as bytes; `nil` if they are kept as floating-point numbers.
        public var bytes: [UInt8]? {
            if case .bytes(let bytes) = storage { return bytes }
            return nil
        }

        /// The samples as floating-point numbers.
        ///
        /// Bytes are converted at each call.
        public var floats: [Float] {
            switch storage {
            case .floats(let values): values
            case .bytes(let bytes): bytes.map(Float.init)
            }
        }

        /// Calls `body` with the memory of the samples: that of the bytes, or else that of the floating-point numbers.
        public func withUnsafeBuffers<Result>(
            _ body: (_ bytes: UnsafeBufferPointer<UInt8>?, _ floats: UnsafeBufferPointer<Float>?) throws -> Result
        ) rethrows -> Result {
            switch storage {
            case .bytes(let bytes): try bytes.withUnsafeBufferPointer { try body($0, nil) }
            case .floats(let values): try values.withUnsafeBufferPointer { try body(nil, $0) }
            }
        }

        /// The least and the greatest sample; for bytes 0 and 255, which bound them.
        public var bounds: (low: Float, high: Float) {
            guard case .floats(let values) = storage, var low = values.first else { return (0, 255) }
            var high = low
            values.withUnsafeBufferPointer { values in
                for value in values {
                    low = value < low ? value : low
                    high = value > high ? value : high
                }
            }
            return (low, high)
        }

        /// Whether no sample is infinite or NaN.
        public var areFinite: Bool {
            guard case .floats(let values) = storage else { return true }
            // Infinities and NaN survive every addition.
            return values.withUnsafeBufferPointer { $0.reduce(0) { $0 + abs($1) * 0x1p-64 } }.isFinite
        }

        public var startIndex: Int { 0 }

        public var endIndex: Int {
            switch storage {
            case .bytes(let bytes): bytes.count
            case .floats(let values): values.count
            }
        }

        public subscript(index: Int) -> Float {
            switch storage {
            case .bytes(let bytes): Float(bytes[index])
            case .floats(let values): values[index]
            }
        }
    }
}

extension Frame.Samples: Equatable {
    /// Whether the values are the same, however they are kept.
    public static func == (a: Frame.Samples, b: Frame.Samples) -> Bool {
        if let left = a.bytes, let right = b.bytes { return left == right }
        return a.elementsEqual(b)
    }
}
