// SPDX-License-Identifier: Apache-2.0
//
// The preamble of a Part 10 file, 128 bytes that PS3.10 7.1 leaves to the application. Kontur writes there how many
// bytes the data set has and their SHA-256, once the data set is complete. A file that lost its row, because the node
// was killed or the database was lost, thereby proves that it is whole.

import Foundation
import Platform

/// The proof that a received file is whole.
struct InstanceSeal: Equatable {
    /// Number of bytes that the seal takes: the preamble.
    static let size = 128
    private static let magic = Array("KONTUR-INSTANCE1".utf8)

    /// Offset of the data set, in bytes.
    var headerSize: Int64
    /// Size of the file, in bytes.
    var fileSize: Int64
    /// Time of receipt, in microseconds since 1970.
    var receivedAt: Int64
    /// SHA-256 of the data set, 32 bytes.
    var sha256: Data

    /// The reading of a preamble.
    enum Reading: Equatable {
        /// The file is complete if its size and its hash agree.
        case sealed(InstanceSeal)
        /// Kontur began the file and did not complete it.
        case unfinished
        /// A version of Kontur that did not write seals made the file, or the file is not one of Kontur.
        case absent
    }

    /// Whether a file that begins with these bytes has a preamble to write to.
    static func fits(_ header: UnsafeRawBufferPointer) -> Bool {
        header.count >= size + 4 && header[size..<size + 4].elementsEqual("DICM".utf8)
    }

    /// The preamble of a file that is being received.
    static let unfinished = magic + [UInt8](repeating: 0, count: size - magic.count)

    /// The preamble of a complete file.
    var encoded: [UInt8] {
        var bytes = Self.magic
        for number in [headerSize, fileSize, receivedAt] {
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
        }
        bytes += sha256
        return bytes + [UInt8](repeating: 0, count: Self.size - bytes.count)
    }

    /// Reads the preamble of a file.
    static func read(_ head: UnsafeRawBufferPointer) -> Reading {
        guard head.count >= magic.count, head[..<magic.count].elementsEqual(magic) else { return .absent }
        guard head.count >= size else { return .unfinished }
        func number(_ index: Int) -> Int64 {
            Int64(littleEndian: head.loadUnaligned(fromByteOffset: magic.count + 8 * index, as: Int64.self))
        }
        let seal = InstanceSeal(
            headerSize: number(0), fileSize: number(1), receivedAt: number(2), sha256: Data(head[40..<72]))
        guard seal.headerSize > Int64(size), seal.fileSize >= seal.headerSize else { return .unfinished }
        return .sealed(seal)
    }
}

/// The File Meta Information of a stored file, as ``Journal`` needs it to adopt the file.
public struct StoredFileFacts: Sendable, Equatable {
    /// Media Storage SOP Class UID.
    public var sopClassUID: String
    /// Media Storage SOP Instance UID.
    public var sopInstanceUID: String
    /// Transfer Syntax UID of the data set.
    public var transferSyntaxUID: String
    /// Source Application Entity Title, the peer that sent the instance; `nil` if the file does not name it.
    public var sourceAETitle: String?
    /// Offset of the data set, in bytes.
    public var headerSize: Int64

    /// Collects the facts.
    public init(
        sopClassUID: String, sopInstanceUID: String, transferSyntaxUID: String, sourceAETitle: String?,
        headerSize: Int64
    ) {
        self.sopClassUID = sopClassUID
        self.sopInstanceUID = sopInstanceUID
        self.transferSyntaxUID = transferSyntaxUID
        self.sourceAETitle = sourceAETitle
        self.headerSize = headerSize
    }

    /// Reads the File Meta Information, which Kontur wrote itself, from the first bytes of a file.
    ///
    /// The result is `nil` if the bytes do not begin with valid File Meta Information. The function must not read the
    /// data set.
    public typealias Reader = @Sendable (_ head: UnsafeRawBufferPointer) -> StoredFileFacts?
}
