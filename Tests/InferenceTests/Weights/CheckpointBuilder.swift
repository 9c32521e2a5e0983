// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// The bytes of a zip archive, entry by entry, with deliberate faults.
struct ZipBuilder {
    struct Entry {
        var name: String
        var bytes: [UInt8]
        var method: UInt16 = 0
        var flags: UInt16 = 0
        /// The size in the directory if it is not the true one.
        var claimedSize: UInt64?
        var claimedOffset: UInt64?
    }

    var entries: [Entry] = []

    mutating func add(_ name: String, _ bytes: [UInt8]) { entries.append(Entry(name: name, bytes: bytes)) }

    var bytes: [UInt8] {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for entry in entries {
            let offset = entry.claimedOffset ?? UInt64(file.count)
            let size = entry.claimedSize ?? UInt64(entry.bytes.count)
            let name = Array(entry.name.utf8)
            file +=
                [0x50, 0x4b, 3, 4] + little(20, 2) + little(UInt64(entry.flags), 2) + little(UInt64(entry.method), 2)
            file += [UInt8](repeating: 0, count: 16) + little(UInt64(name.count), 2) + little(0, 2) + name + entry.bytes
            directory += [0x50, 0x4b, 1, 2] + little(0, 2) + little(20, 2) + little(UInt64(entry.flags), 2)
            directory +=
                little(UInt64(entry.method), 2) + little(0, 8) + little(0xffff_ffff, 4) + little(0xffff_ffff, 4)
            directory += little(UInt64(name.count), 2) + little(28, 2) + little(0, 2) + little(0, 2) + little(0, 6)
            directory += little(0xffff_ffff, 4) + name
            directory += little(1, 2) + little(24, 2) + little(size, 8) + little(size, 8) + little(offset, 8)
        }
        let start = UInt64(file.count)
        let record = UInt64(file.count + directory.count)
        let (count, size) = (UInt64(entries.count), UInt64(directory.count))
        var end: [UInt8] = [0x50, 0x4b, 6, 6] + little(44, 8) + little(30, 2) + little(45, 2) + little(0, 8)
        end += little(count, 8) + little(count, 8) + little(size, 8) + little(start, 8)
        end += [0x50, 0x4b, 6, 7] + little(0, 4) + little(record, 8) + little(1, 4)
        end += [0x50, 0x4b, 5, 6] + little(0, 4) + little(0xffff, 2) + little(0xffff, 2)
        end += little(0xffff_ffff, 4) + little(0xffff_ffff, 4) + little(0, 2)
        return file + directory + end
    }
}

func little(_ value: UInt64, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// A pickle, opcode by opcode (Lib/pickletools.py).
struct PickleBuilder {
    var bytes: [UInt8] = [0x80, 2]

    static func text(_ text: String) -> [UInt8] { [0x58] + little(UInt64(text.utf8.count), 4) + Array(text.utf8) }
    static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
    static func int(_ value: Int64) -> [UInt8] { [0x8a, 8] + little(UInt64(bitPattern: value), 8) }
    static func tuple(_ items: [[UInt8]]) -> [UInt8] { [0x28] + items.joined() + [0x74] }

    /// A view of the storage `key`.
    static func tensor(
        _ key: String = "0", type: String = "FloatStorage", count: Int64, offset: Int64 = 0, shape: [Int64],
        strides: [Int64]
    ) -> [UInt8] {
        let storage = tuple([text("storage"), global("torch", type), text(key), text("cuda:3"), int(count)]) + [0x51]
        let hooks = global("collections", "OrderedDict") + [0x29, 0x52]
        return global("torch._utils", "_rebuild_tensor_v2")
            + tuple([storage, int(offset), tuple(shape.map(int)), tuple(strides.map(int)), [0x89], hooks]) + [0x52]
    }

    /// A dictionary of these.
    static func dictionary(_ entries: [(String, [UInt8])]) -> [UInt8] {
        [0x7d, 0x28] + entries.flatMap { text($0.0) + $0.1 } + [0x75]
    }

    /// An archive with this pickle, whose end is added, and these records.
    static func archive(_ pickle: [UInt8], records: [(String, [UInt8])] = [("0", [0, 0, 0x80, 0x3f])]) -> [UInt8] {
        var zip = ZipBuilder()
        zip.add("archive/data.pkl", [0x80, 2] + pickle + [0x2e])
        zip.add("archive/byteorder", Array("little".utf8))
        for (key, bytes) in records { zip.add("archive/data/\(key)", bytes) }
        return zip.bytes
    }
}

/// A generator whose numbers are the same in every run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

/// The checkpoints of `make_fixtures.py`.
enum Fixture {
    static func path(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/\(name)").path
    }

    static func bytes(_ name: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: path(name)))) }

    /// The entries of a checkpoint with the places of their bytes.
    static func records(of archive: [UInt8]) -> [(name: String, range: Range<Int>)] {
        directory(of: archive).map { header in
            func number(_ place: Int, _ width: Int) -> Int {
                archive[place..<place + width].reversed().reduce(0) { $0 << 8 | Int($1) }
            }
            let (size, nameLength, local) = (number(header + 24, 4), number(header + 28, 2), number(header + 42, 4))
            let start = local + 30 + number(local + 26, 2) + number(local + 28, 2)
            let name = String(decoding: archive[header + 46..<header + 46 + nameLength], as: UTF8.self)
            return (name, start..<start + size)
        }
    }

    /// The archive as PyTorch writes it after `set_crc32_options(False)`.
    static func withoutChecksums(_ archive: [UInt8]) -> [UInt8] {
        var archive = archive
        for header in directory(of: archive) { archive.replaceSubrange(header + 16..<header + 20, with: little(0, 4)) }
        return archive
    }

    /// The places of the headers in the directory.
    private static func directory(of archive: [UInt8]) -> [Int] {
        (0..<archive.count - 46).filter { archive[$0..<$0 + 4].elementsEqual([0x50, 0x4b, 1, 2]) }
    }
}

extension URL {
    /// Writes a file in this folder and returns its path.
    func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        let url = appending(path: name)
        try Data(bytes).write(to: url)
        return url.path
    }
}
