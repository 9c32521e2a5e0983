// SPDX-License-Identifier: Apache-2.0

/// A picture for people or files: 8 bits a sample.
public struct Picture: Sendable, Hashable {
    public let rows: Int
    public let columns: Int
    /// 1 (grey) or 3 (RGB).
    public let channels: Int
    /// `[rows, columns, channels]`.
    public internal(set) var samples: [UInt8]

    public init(rows: Int, columns: Int, channels: Int, samples: [UInt8]) {
        precondition(rows > 0 && columns > 0 && (channels == 1 || channels == 3), "a picture has pixels, grey or RGB")
        precondition(samples.count == rows * columns * channels, "samples are [rows, columns, channels]")
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.samples = samples
    }

    /// The picture as a frame, with the same values.
    public var frame: Frame {
        Frame(rows: rows, columns: columns, channels: channels, samples: samples.map(Float.init))
    }

    /// Pixels brighter than `level` (of the mean of the channels) as a mask.
    public func mask(above level: UInt8) -> Mask {
        let pixels = (0..<rows * columns).map { pixel -> UInt8 in
            let sum = (0..<channels).reduce(0) { $0 + Int(samples[pixel * channels + $1]) }
            return sum > Int(level) * channels ? 1 : 0
        }
        return Mask(rows: rows, columns: columns, pixels: pixels)
    }
}

/// Why a picture could not be read or written.
public enum PictureError: Error, Sendable, Hashable, CustomStringConvertible {
    case unreadableFile(path: String, reason: String)
    case damaged(format: String, reason: String)
    case unwritable(path: String, reason: String)
    case unknownFormat

    public var description: String {
        switch self {
        case .unreadableFile(let path, let reason): "could not read \(path): \(reason)"
        case .damaged(let format, let reason): "could not decode the \(format) picture: \(reason)"
        case .unwritable(let path, let reason): "could not write \(path): \(reason)"
        case .unknownFormat: "the file is neither a PNG nor a JPEG picture"
        }
    }
}
