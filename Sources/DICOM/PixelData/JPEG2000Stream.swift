// SPDX-License-Identifier: Apache-2.0
//
// The main header of a JPEG 2000 or HTJ2K codestream: ISO/IEC 15444-1 Annex A, ISO/IEC 15444-15. It is checked before
// OpenJPEG reserves memory for the size that it claims. Left out: everything behind the marker SIZ, which OpenJPEG reads,
// and the extensions of Part 2.

/// The properties of a JPEG 2000 codestream, from its marker SIZ.
package struct JPEG2000Stream: Hashable {
    /// The reason why bytes are not a stream that can be decoded.
    package struct Failure: Error, Hashable {
        var reason: String
    }

    /// The range of the codestream in the bytes: without the boxes that some writers leave around it.
    package var codestream: Range<Int>
    /// Rows of the image area.
    package var rows: Int
    /// Columns of the image area.
    package var columns: Int
    /// The number of components.
    package var components: Int
    /// Bits per sample, the same for all components.
    package var precision: Int

    /// The most samples that a byte of a codestream can stand for: the codestream of an even image is about this short.
    private static let samplesPerByte = 1 << 16
    /// The largest number of rows and of columns (PS3.3 C.7.6.3).
    private static let largest = 65_535
    /// Bytes of the shortest part of a tile: the markers SOT and SOD.
    private static let shortestTile = 14

    /// Reads the main header.
    ///
    /// - Throws: `Failure` if the header is invalid, claims more than its bytes can hold, or needs Part 2.
    package static func read(_ bytes: [UInt8]) throws(Failure) -> JPEG2000Stream {
        let codestream = try codestream(in: bytes)
        let start = codestream.lowerBound
        guard codestream.count >= 42, bytes[codestream].starts(with: [0xFF, 0x4F, 0xFF, 0x51]) else {
            throw Failure(reason: "it does not begin as a JPEG 2000 codestream")
        }
        func number(_ offset: Int, bytes count: Int) -> Int {
            (0..<count).reduce(0) { $0 << 8 | Int(bytes[start + offset + $1]) }
        }
        guard number(6, bytes: 2) & 0x8000 == 0 else {
            throw Failure(reason: "it uses extensions of JPEG 2000 Part 2, which are not supported")
        }
        let far = (columns: number(8, bytes: 4), rows: number(12, bytes: 4))
        let near = (columns: number(16, bytes: 4), rows: number(20, bytes: 4))
        let tile = (columns: number(24, bytes: 4), rows: number(28, bytes: 4))
        let components = number(40, bytes: 2)
        guard near.columns < far.columns, near.rows < far.rows, tile.columns > 0, tile.rows > 0,
            (1...4).contains(components), number(4, bytes: 2) == 38 + 3 * components,
            codestream.count >= 42 + 3 * components
        else { throw Failure(reason: "the size in its JPEG 2000 header is not usable") }
        let depths = Set((0..<components).map { number(42 + 3 * $0, bytes: 1) })
        guard depths.count == 1, let depth = depths.first, depth & 0x7F < 16 else {
            throw Failure(reason: "its JPEG 2000 components have more than 16 bits, or differ")
        }
        let stream = JPEG2000Stream(
            codestream: codestream, rows: far.rows - near.rows, columns: far.columns - near.columns,
            components: components, precision: depth & 0x7F + 1)
        let tiles = (across: far.columns / tile.columns, down: far.rows / tile.rows)
        guard max(stream.rows, stream.columns, tiles.across, tiles.down) <= Self.largest,
            stream.rows * stream.columns * components / Self.samplesPerByte <= codestream.count,
            tiles.across * tiles.down <= codestream.count / Self.shortestTile
        else {
            throw Failure(
                reason: "its JPEG 2000 header claims \(stream.rows) x \(stream.columns) pixels in "
                    + "\(codestream.count) bytes")
        }
        return stream
    }

    /// Finds the codestream: the content of the box `jp2c` if there are boxes (Annex I.5.4).
    private static func codestream(in bytes: [UInt8]) throws(Failure) -> Range<Int> {
        guard StreamKind(bytes.prefix(12)) == .jpeg2000Boxes else { return bytes.indices }
        var next = 0
        while bytes.count - next >= 16 {
            func number(_ offset: Int, bytes count: Int) -> UInt64 {
                (0..<count).reduce(0) { $0 << 8 | UInt64(bytes[next + offset + $1]) }
            }
            let short = number(0, bytes: 4)
            let header = short == 1 ? 16 : 8
            // A length of 0 goes to the end.
            let length = short == 0 ? bytes.count - next : Int(clamping: short == 1 ? number(8, bytes: 8) : short)
            guard length >= header else { break }
            let end = length > bytes.count - next ? bytes.count : next + length
            if bytes[next + 4..<next + 8].elementsEqual("jp2c".utf8) { return next + header..<max(end, next + header) }
            next = end
        }
        throw Failure(reason: "its JPEG 2000 boxes do not hold a codestream")
    }
}
