// SPDX-License-Identifier: Apache-2.0
//
// Fragments to frames: PS3.5 A.4. Offset tables are hints: many writers make wrong ones.

/// The assignment of the fragments of Pixel Data to frames.
struct FrameFragments {
    /// For each frame, the byte ranges of its fragments; fewer than Number of Frames if the file lacks the last ones.
    let frames: [[Range<Int>]]

    /// Assigns fragments to frames.
    ///
    /// One fragment for each frame is the rule. Otherwise the extended offset table decides, then the basic one, then
    /// the markers and headers at which the frames of JPEG, JPEG 2000 and RLE begin. A table counts only if it leads to
    /// the first bytes of fragments, and these begin as frames of the syntax do.
    ///
    /// - Parameters:
    ///   - data: the data set.
    ///   - count: Number of Frames.
    ///   - syntax: the transfer syntax.
    ///   - remarks: takes a note if frames are missing.
    /// - Throws: `PixelDataError.inconsistent` if Pixel Data is not in fragments, or if they cannot be assigned.
    init(of data: DataSet, count: Int, syntax: TransferSyntax, remarks: DecodingRemarks) throws(PixelDataError) {
        guard let all = data.fragments(), all.count >= 2 else {
            throw .inconsistent(reason: "Pixel Data has no fragments although its transfer syntax compresses")
        }
        let fragments = Array(all.dropFirst())
        guard count > 1, fragments.count != count else {
            frames = count == 1 ? [fragments] : fragments.map { [$0] }
            return
        }
        let tables = [
            Self.offsets(data.raw(.extendedOffsetTable) ?? [], UInt64.self),
            Self.offsets(Array(data.bytes[all[0]]), UInt32.self),
        ]
        let search = Search(fragments: fragments, bytes: data.bytes, syntax: syntax, count: count)
        // The writer of an empty fragment beside the frames meant no frame by it.
        let whole = fragments.filter { !$0.isEmpty }
        if let starts = tables.lazy.compactMap(search.starts(at:)).first ?? search.startsByMarkers() {
            frames = zip(starts, starts.dropFirst() + [fragments.count]).map { Array(fragments[$0..<$1]) }
        } else if whole.count == count {
            frames = whole.map { [$0] }
        } else if whole.count < count, whole.allSatisfy(search.isStart) {
            remarks.add("Pixel Data holds \(whole.count) of its \(count) frames")
            frames = whole.map { [$0] }
        } else {
            throw .inconsistent(
                reason: "the \(fragments.count) fragments cannot be assigned to \(count) frames")
        }
    }

    /// The numbers of an offset table, in little endian.
    private static func offsets<Number: FixedWidthInteger>(_ table: [UInt8], _ type: Number.Type) -> [Int] {
        let size = Number.bitWidth / 8
        return table.withUnsafeBytes { bytes in
            (0..<bytes.count / size).map {
                Int(clamping: Number(littleEndian: bytes.loadUnaligned(fromByteOffset: size * $0, as: Number.self)))
            }
        }
    }

    /// The search for the fragments at which frames begin.
    private struct Search {
        let fragments: [Range<Int>]
        let bytes: FileBytes
        let syntax: TransferSyntax
        /// The number of frames.
        let count: Int

        /// Whether the first bytes of a frame can be told from others.
        private var isMarked: Bool { syntax.hasStreamMarkers || syntax == .rleLossless }

        /// Whether a fragment can be the first of a frame.
        func isStart(_ fragment: Range<Int>) -> Bool {
            guard isMarked else { return true }
            let start = bytes[fragment.clamped(to: fragment.lowerBound..<fragment.lowerBound + 12)]
            guard syntax == .rleLossless else { return StreamKind(start) != nil }
            // An RLE header begins with 1 to 15 segments, the first of which follows it (PS3.5 G.5).
            return start.count >= 8 && (1...15).contains(start[0])
                && start[1..<8].elementsEqual([0, 0, 0, 64, 0, 0, 0])
        }

        /// The first fragment of each frame by an offset table; `nil` for a table that is not right.
        func starts(at offsets: [Int]) -> [Int]? {
            guard offsets.count == count, let first = fragments.first else { return nil }
            var indices: [Int: Int] = [:]
            for (index, fragment) in fragments.enumerated() { indices[fragment.lowerBound - first.lowerBound] = index }
            let starts = offsets.compactMap { indices[$0] }
            guard starts.count == count, starts[0] == 0, zip(starts, starts.dropFirst()).allSatisfy(<),
                starts.allSatisfy({ isStart(fragments[$0]) })
            else { return nil }
            return starts
        }

        /// The fragments that begin with a marker; `nil` if they are not one for each frame.
        func startsByMarkers() -> [Int]? {
            guard isMarked else { return nil }
            let starts = fragments.indices.filter { isStart(fragments[$0]) }
            return starts.count == count && starts[0] == 0 ? starts : nil
        }
    }
}

/// The kind of a compressed stream, by its first bytes.
enum StreamKind {
    /// JPEG or JPEG-LS: SOI and another marker.
    case jpeg
    /// A codestream of JPEG 2000 or HTJ2K: SOC and SIZ.
    case jpeg2000
    /// Boxes around such a codestream (ISO/IEC 15444-1 Annex I), which DICOM does not allow and some writers leave.
    case jpeg2000Boxes

    /// Recognizes a stream; `nil` for other bytes.
    init?(_ bytes: some Collection<UInt8>) {
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if bytes.starts(with: [0xFF, 0x4F, 0xFF, 0x51]) {
            self = .jpeg2000
        } else if bytes.starts(with: [0, 0, 0, 12] + Array("jP  \r\n".utf8)) {
            self = .jpeg2000Boxes
        } else {
            return nil
        }
    }
}
